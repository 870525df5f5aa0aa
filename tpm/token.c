/* The TPM backend's table, and the calls that are about the token as a whole. */
#include "admin.h"
#include "adopt.h"
#include "export.h"
#include "log.h"
#include "object.h"
#include "op.h"
#include "pin.h"
#include "tpm_token.h"

#define DEFAULT_TRIES 10
#define MAX_TRIES 1000
#define RANDOM_CHUNK 64
#define STIR_MAX 128

/* ---- lifetime ---- */

static const char *const known_keys[] = {
	"type", "tcti", "store", "label", "pin", "pin-tries", "so-pin-tries", "bus", "secret-keys", "keys", "persistent",
	"persistent-auth", NULL,
};
static const struct conf_choice bus_words[] = {
	{"auto", BUS_AUTO}, {"protected", BUS_PROTECTED}, {"trusted", BUS_TRUSTED},
};
static const struct conf_choice place_words[] = {{"process", false}, {"tpm", true}};
static const struct conf_choice pin_words[] = {{"required", false}, {"none", true}};

static CK_RV read_conf(struct tpm_token *t, const struct conf_section *conf, struct conn_conf *ret)
{
	unsigned long user, so;
	int bus, none, tpm;

	TRY(conf_check_keys(conf, known_keys));
	TRY(conf_get_choice(conf, "bus", bus_words, ARRAY_LEN(bus_words), BUS_AUTO, &bus));
	TRY(conf_get_choice(conf, "pin", pin_words, ARRAY_LEN(pin_words), false, &none));
	TRY(conf_get_choice(conf, "secret-keys", place_words, ARRAY_LEN(place_words), false, &tpm));
	TRY(conf_get_number(conf, "pin-tries", DEFAULT_TRIES, 1, MAX_TRIES, &user));
	TRY(conf_get_number(conf, "so-pin-tries", DEFAULT_TRIES, 1, MAX_TRIES, &so));
	t->conf = conf;
	t->pin_none = none;
	t->secret_keys_tpm = tpm;
	t->user_tries = (uint32_t)user;
	t->so_tries = (uint32_t)so;
	*ret = (struct conn_conf){.slot = conf_name(conf), .tcti = conf_get(conf, "tcti"), .bus = (enum conn_bus)bus};
	return CKR_OK;
}

static void tpm_free(struct token *tok)
{
	struct tpm_token *t = tpm_token_of(tok);

	if (!t)
		return;
	tpm_state_forget(t);
	tpm_known_done(&t->known);
	adopted_free(t->adopted);
	store_free(t->store);
	conn_free(t->conn);
	free(t->mechs);
	free(t);
}

static CK_RV tpm_open(const struct conf_section *conf, struct token **ret)
{
	struct tpm_token *t = calloc(1, sizeof *t);
	struct conn_conf conn;
	CK_RV rv;

	if (!t)
		return CKR_HOST_MEMORY;
	t->base.ops = &tpm_token_ops;
	rv = read_conf(t, conf, &conn);
	if (rv == CKR_OK)
		rv = adopted_new(conf, &t->adopted);
	if (rv == CKR_OK)
		rv = store_new(conf, &t->store);
	if (rv == CKR_OK)
		rv = conn_new(&conn, &t->conn);
	if (rv != CKR_OK) {
		tpm_free(&t->base);
		return rv;
	}
	*ret = &t->base;
	return CKR_OK;
}

static void tpm_forked(struct token *tok)
{
	struct tpm_token *t = tpm_token_of(tok);

	conn_forked(t->conn);
	store_forked(t->store);
}

/* ---- description ---- */

static CK_RV tpm_probe(struct token *tok)
{
	struct tpm_token *t = tpm_token_of(tok);
	CK_RV rv = conn_probe(t->conn);

	if (rv == CKR_OK && t->parent && parent_foreign(t->parent, t->conn))
		return CKR_TOKEN_NOT_RECOGNIZED;
	/* A mutex of the application's that fails (R11) says nothing of the TPM. */
	return rv == CKR_OK || rv == CKR_HOST_MEMORY || rv == CKR_GENERAL_ERROR ? rv : CKR_TOKEN_NOT_PRESENT;
}

static void copy_text(char *out, size_t size, const void *in, size_t n)
{
	n = MIN(n, size - 1);
	memcpy(out, in, n);
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = 0;
}

/* What the counter of a PIN says, in the flags of each. */
static const struct pin_flags {
	CK_FLAGS low, final, locked;
} pin_flags[] = {
	[TOKEN_USER] = {CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED},
	[TOKEN_SO] = {CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED},
};

static CK_FLAGS count_flags(uint32_t count, uint32_t limit, const struct pin_flags *f)
{
	return (count ? f->low : 0) | (count + 1 == limit ? f->final : 0) | (count >= limit ? f->locked : 0);
}

struct description {
	struct tpm_token *t;
	struct token_info *info;
};

/* Is this the token's TPM at all?  CKR_TOKEN_NOT_RECOGNIZED.  A storage key that takes the owner's authorization to be
 * made again can't be looked for; whoever needs it will say so. */
static CK_RV look_for_parent(struct conn *c, struct tpm_token *t)
{
	struct storage *storage;
	CK_RV rv = parent_storage(c, t->parent, &storage);
	uint16_t base = rv == CKR_OK ? TPM2_RC_SUCCESS : conn_rc_base(c);

	return base == TPM2_RC_BAD_AUTH || base == TPM2_RC_AUTH_FAIL ? CKR_OK : rv;
}

static CK_RV count_pin(struct conn *c, struct tpm_token *t, const struct pin_rec *pin, const struct pin_flags *f,
		       CK_FLAGS *flags)
{
	const struct conn_properties *p;
	uint32_t count, limit;
	bool known;

	if (!pin->present)
		return CKR_OK;
	TRY(conn_properties(c, &p));
	if (pin->index.handle) {
		if (pin_count(c, pin, &count, &limit, &known) != CKR_OK)
			return look_for_parent(c, t); /* else login explains what is wrong with an index */
		if (known)
			*flags |= count_flags(count, limit, f);
		return CKR_OK;
	}
	TRY(conn_refresh(c, &p));
	*flags |= count_flags(p->in_lockout ? p->max_auth_fail : p->lockout_counter, p->max_auth_fail, f);
	return CKR_OK;
}

static CK_RV describe_body(struct conn *c, void *arg)
{
	struct description *d = arg;
	struct token_info *i = d->info;
	const struct conn_properties *p;
	CK_FLAGS flags = 0;

	TRY(conn_properties(c, &p));
	copy_text(i->manufacturer, sizeof i->manufacturer, p->manufacturer_text, strlen(p->manufacturer_text));
	copy_text(i->model, sizeof i->model, p->vendor, strlen(p->vendor));
	i->hardware = (CK_VERSION){.major = 2, .minor = (CK_BYTE)(p->revision % 100)};
	i->firmware = (CK_VERSION){.major = (CK_BYTE)(p->firmware[0] >> 16), .minor = (CK_BYTE)p->firmware[0]};
	if (d->t->initialized) {
		TRY(count_pin(c, d->t, &d->t->rec.user, &pin_flags[TOKEN_USER], &flags));
		TRY(count_pin(c, d->t, &d->t->rec.so, &pin_flags[TOKEN_SO], &flags));
	}
	i->flags |= flags;
	return d->t->initialized ? adopted_look(c, d->t->adopted) : CKR_OK;
}

/* Whether this is the token's TPM: one command per connection. */
static CK_RV recognize_body(struct conn *c, void *arg)
{
	struct tpm_token *t = ((struct description *)arg)->t;

	TRY(look_for_parent(c, t));
	return adopted_look(c, t->adopted);
}

static CK_RV ask_tpm(struct description *d, bool brief)
{
	if (brief && !d->t->initialized)
		return CKR_OK;
	return conn_run(d->t->conn, RC_PROBE, brief ? recognize_body : describe_body, d);
}

static void describe_record(const struct tpm_token *t, struct token_info *i)
{
	const char *label = conf_get(t->conf, "label");
	char hex[33];

	i->flags |= CKF_LOGIN_REQUIRED;
	if (!t->initialized) {
		copy_text(i->label, sizeof i->label, label ? label : "", label ? strlen(label) : 0);
		return;
	}
	hex_encode(BYTES_OF(t->rec.id), hex);
	copy_text(i->serial, sizeof i->serial, hex, sizeof i->serial - 1);
	copy_text(i->label, sizeof i->label, t->rec.label, sizeof t->rec.label);
	i->flags |= CKF_TOKEN_INITIALIZED;
	if (t->rec.user.present)
		i->flags |= CKF_USER_PIN_INITIALIZED;
	if (t->rec.pin_none)
		i->flags &= ~CKF_LOGIN_REQUIRED;
}

static void describe_slot(const struct tpm_token *t, struct token_info *i)
{
	const char *tcti = conf_get(t->conf, "tcti");

	(void)snprintf(i->description, sizeof i->description, "TPM 2.0 %s (%s)", conf_name(t->conf),
		       tcti ? tcti : "device:/dev/tpmrm0");
	i->hardware_slot = true;
}

static CK_RV tpm_info(struct token *tok, struct token_info *ret)
{
	struct tpm_token *t = tpm_token_of(tok);
	struct token_info i = {.pin_min = PIN_MIN, .pin_max = PIN_MAX, .flags = CKF_RNG};
	struct description d = {.t = t, .info = &i};
	CK_RV rv;

	describe_slot(t, ret);
	describe_slot(t, &i);
	TRY(tpm_state_refresh(t));
	describe_record(t, &i);
	rv = store_writable(t->store);
	if (rv == CKR_TOKEN_WRITE_PROTECTED)
		i.flags |= CKF_WRITE_PROTECTED;
	else if (rv != CKR_OK)
		return rv;
	TRY(ask_tpm(&d, ret->brief));
	if (conn_poisoned(t->conn))
		i.flags |= CKF_ERROR_STATE;
	rv = t->parent && parent_foreign(t->parent, t->conn) ? CKR_TOKEN_NOT_RECOGNIZED : CKR_OK;
	if (rv == CKR_OK && ret->brief) {
		i.replaced = t->replaced;
		t->replaced = false;
	}
	*ret = i;
	return rv;
}

/* ---- PINs ---- */

static CK_RV login(struct tpm_token *t, enum token_user who, struct bytes pin)
{
	struct key256 secret CLEANUP(key256_wipe);
	const struct pin_rec *rec = who == TOKEN_SO ? &t->rec.so : &t->rec.user;
	struct keyset *keys = NULL;

	TRY(tpm_state_need_token(t));
	if (!rec->present)
		return CKR_USER_PIN_NOT_INITIALIZED;
	TRY(pin_login(t->conn, t->parent, rec, pin, &secret));
	TRY(keyset_new(&secret, SECRET_PRIVATE, &keys));
	keyset_free(t->private_keys);
	t->private_keys = keys;
	t->who = who == TOKEN_SO ? SO : USER;
	t->reopen = true;
	return CKR_OK;
}

static CK_RV tpm_login(struct token *tok, enum token_user who, struct bytes pin)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, login(t, who, pin));
}

static CK_RV reauth(struct tpm_token *t, struct token_op *op, struct bytes pin)
{
	const struct tpm_ready *key = op ? tpm_op_key(op) : NULL;

	TRY(tpm_state_need_token(t));
	if (key && key->auth == AUTH_GIVEN)
		return adopted_authorize(t, op, pin);
	if (!t->rec.user.present)
		return CKR_USER_PIN_NOT_INITIALIZED;
	return pin_prove(t->conn, t->parent, &t->rec.user, pin);
}

static CK_RV tpm_reauth(struct token *tok, struct token_op *op, struct bytes pin)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, reauth(t, op, pin));
}

static void tpm_logout(struct token *tok)
{
	struct tpm_token *t = tpm_token_of(tok);

	tpm_state_close(t);
	for (size_t i = 0; i < t->known.n; i++) {
		struct known *k = &t->known.at[i];

		k->closed |= k->private != 0;
		k->told &= (uint8_t)~k->private;
	}
	adopted_forget(t->adopted, false);
	t->reopen = true; /* a token without PINs tells them again */
}

/* ---- random numbers ---- */

struct random_req {
	uint8_t *out;
	size_t n;
};

static CK_RV random_body(struct conn *c, void *arg)
{
	struct random_req *r = arg;
	size_t done = 0, n;

	while (done < r->n) {
		TRY(tpm2_get_random(c, NULL, r->out + done, r->n - done, &n));
		done += n;
	}
	return CKR_OK;
}

/* The TPM's bytes, which may have crossed a bus in clear, xored with libcrypto's: as good as the better of the two. */
static CK_RV tpm_random(struct token *tok, uint8_t *out, size_t n)
{
	struct tpm_token *t = tpm_token_of(tok);
	uint8_t chunk[RANDOM_CHUNK];
	CK_RV rv = random_bytes(out, n);

	for (size_t at = 0; at < n && rv == CKR_OK; at += sizeof chunk) {
		struct random_req r = {.out = chunk, .n = MIN(sizeof chunk, n - at)};

		rv = conn_run(t->conn, RC_RNG, random_body, &r);
		for (size_t i = 0; i < r.n && rv == CKR_OK; i++)
			out[at + i] ^= chunk[i];
	}
	wipe(chunk, sizeof chunk);
	if (rv != CKR_OK)
		wipe(out, n);
	return tpm_state_answer(t, rv);
}

static CK_RV seed_body(struct conn *c, void *arg)
{
	return tpm2_stir_random(c, NULL, *(struct bytes *)arg);
}

static CK_RV tpm_seed(struct token *tok, struct bytes in)
{
	struct tpm_token *t = tpm_token_of(tok);

	while (in.len) {
		struct bytes part = BYTES(in.ptr, MIN(in.len, STIR_MAX));

		TRY(tpm_state_answer(t, conn_run(t->conn, RC_RNG, seed_body, &part)));
		in = BYTES(in.ptr + part.len, in.len - part.len);
	}
	return CKR_OK;
}

const struct token_ops tpm_token_ops = {
	.abi = TOKEN_OPS_ABI,
	.name = "tpm",
	.open = tpm_open,
	.forked = tpm_forked,
	.free = tpm_free,
	.probe = tpm_probe,
	.info = tpm_info,
	.mechs = tpm_mechs,
	.init_token = tpm_init_token,
	.init_pin = tpm_init_pin,
	.set_pin = tpm_set_pin,
	.login = tpm_login,
	.reauth = tpm_reauth,
	.logout = tpm_logout,
	.sync = tpm_sync,
	.make = tpm_make,
	.update = tpm_update,
	.destroy = tpm_destroy,
	.obj_free = tpm_obj_free,
	.obj_size = tpm_obj_size,
	.export_key = tpm_export_key,
	.op_begin = tpm_op_begin,
	.op_size = tpm_op_size,
	.op_update = tpm_op_update,
	.op_finish = tpm_op_finish,
	.op_free = tpm_op_free,
	.random = tpm_random,
	.seed = tpm_seed,
};

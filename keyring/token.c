/* The keyring token's entry points: configuration, description, wiring. */
#include "kr_token.h"

#include <stdio.h>
#include <time.h>

#include "auth.h"
#include "change.h"
#include "obj.h"
#include "op.h"
#include "rv.h"
#include "soft.h"
#include "state.h"
#include "sync.h"

#define TRIES_DEFAULT 10
#define TRIES_MAX 100
#define REFRESH_SECONDS 3600 /* a persistent keyring expires after three days without use */

/* ---- lifetime ---- */

static void kr_free(struct token *tok)
{
	struct kr_token *t = kr_of(tok);

	if (!t)
		return;
	kr_lock_drop(&t->lock);
	known_done(&t->known);
	serials_done(&t->seen);
	secret_free(t->secrets);
	free(t);
}

static void kr_free_cleanup(struct kr_token **t)
{
	if (*t)
		kr_free(&(*t)->base);
}

enum pin_mode { PIN_REQUIRED, PIN_NONE };

static CK_RV read_conf(const struct conf_section *conf, struct kr_token *t)
{
	static const char *const keys[] = {"type", "keyring", "label", "pin", "pin-tries", "so-pin-tries", NULL};
	static const struct conf_choice pin[] = {{"required", PIN_REQUIRED}, {"none", PIN_NONE}};
	const char *ring = conf_get(conf, "keyring");
	unsigned long user, so;
	int mode;

	TRY(conf_check_keys(conf, keys));
	TRY(conf_get_choice(conf, "pin", pin, ARRAY_LEN(pin), PIN_REQUIRED, &mode));
	TRY(conf_get_number(conf, "pin-tries", TRIES_DEFAULT, 1, TRIES_MAX, &user));
	TRY(conf_get_number(conf, "so-pin-tries", TRIES_DEFAULT, 1, TRIES_MAX, &so));
	if (!anchor_parse(ring ? ring : "user", conf_name(conf), &t->anchor)) {
		conf_complain(conf, "keyring", "must be session, user or persistent, optionally with :NAME after it");
		return CKR_ARGUMENTS_BAD;
	}
	t->pin_none = mode == PIN_NONE;
	t->limit[TOKEN_USER] = (uint8_t)user;
	t->limit[TOKEN_SO] = (uint8_t)so;
	return CKR_OK;
}

static CK_RV kr_open(const struct conf_section *conf, struct token **ret)
{
	struct kr_token *t CLEANUP(kr_free_cleanup) = calloc(1, sizeof *t);

	if (!t)
		return CKR_HOST_MEMORY;
	t->lock = KR_LOCK_NONE;
	t->base.ops = &keyring_token_ops;
	t->conf = conf;
	t->secrets = secret_alloc(sizeof *t->secrets);
	if (!t->secrets)
		return CKR_HOST_MEMORY;
	TRY(read_conf(conf, t));
	*ret = &TAKE(t)->base;
	return CKR_OK;
}

/* The socket of a lock that another thread held at the time of the fork must not stay open here: it would keep the
 * lock taken. */
static void kr_forked(struct token *tok)
{
	kr_lock_drop(&kr_of(tok)->lock);
}

/* ---- description ---- */

static CK_RV kr_probe(struct token *tok)
{
	return state_check(kr_of(tok));
}

static void describe_slot(const struct kr_token *t, struct token_info *ret)
{
	snprintf(ret->description, sizeof ret->description, "Linux keyring (%s) %.40s", anchor_word(t->anchor.kind),
		 t->anchor.name);
	snprintf(ret->manufacturer, sizeof ret->manufacturer, "Signet");
	snprintf(ret->model, sizeof ret->model, "keyring");
	ret->hardware = ret->firmware = (CK_VERSION){0, 1};
	ret->pin_min = PIN_MIN;
	ret->pin_max = PIN_MAX;
	ret->hardware_slot = false;
	ret->removable = true; /* others can take the ring away */
}

static void describe_token(struct kr_token *t, struct token_info *ret)
{
	const struct trec *trec = &t->secrets->trec;

	snprintf(ret->label, sizeof ret->label, "%s", trec->label);
	hex_encode(BYTES(trec->id, 8), ret->serial);
	ret->flags |= CKF_TOKEN_INITIALIZED | auth_flags(t);
	if (trec->pin[TOKEN_USER].kind != TREC_CLEAR)
		ret->flags |= CKF_LOGIN_REQUIRED;
	if (trec->pin[TOKEN_USER].kind == TREC_SCRYPT)
		ret->flags |= CKF_USER_PIN_INITIALIZED;
	if (!t->writable)
		ret->flags |= CKF_WRITE_PROTECTED;
}

static CK_RV kr_info(struct token *tok, struct token_info *ret)
{
	struct kr_token *t = kr_of(tok);
	const char *label = conf_get(t->conf, "label");
	struct token_info info = {.brief = ret->brief};
	CK_RV rv;

	describe_slot(t, &info);
	*ret = info;
	TRY(state_check(t));
	rv = t->store.ring == 0 ? CKR_OK : state_refresh(t);
	if (rv == CKR_DEVICE_REMOVED) {
		t->was_removed = true;
		return CKR_TOKEN_NOT_PRESENT;
	}
	TRY(rv);
	info.flags = CKF_RNG;
	if (t->store.ring != 0)
		describe_token(t, &info);
	else
		snprintf(info.label, sizeof info.label, "%s", label ? label : "");
	if (t->store.ring == 0 && !t->pin_none)
		info.flags |= CKF_LOGIN_REQUIRED;
	if (info.brief) {
		info.replaced = t->was_removed;
		t->was_removed = false;
	}
	*ret = info;
	return CKR_OK;
}

static CK_RV kr_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n)
{
	(void)tok;
	*ret = soft_mechs;
	*ret_n = soft_mechs_count;
	return CKR_OK;
}

/* ---- the rest ---- */

/* Each use of a token restarts the persistent keyring's timer, but once an hour is enough. */
static CK_RV refresh_and_sync(struct token *tok, const struct token_view *view)
{
	struct kr_token *t = kr_of(tok);
	struct timespec now;

	if (t->anchor.kind == ANCHOR_PERSISTENT && clock_gettime(CLOCK_BOOTTIME, &now) == 0 &&
	    (t->refreshed == 0 || now.tv_sec - t->refreshed >= REFRESH_SECONDS)) {
		anchor_refresh(&t->anchor);
		t->refreshed = now.tv_sec;
	}
	return kr_sync(tok, view);
}

static CK_RV kr_random(struct token *tok, uint8_t *out, size_t n)
{
	(void)tok;
	return random_bytes(out, n);
}

const struct token_ops keyring_token_ops = {
	.abi = TOKEN_OPS_ABI,
	.name = "keyring",
	.open = kr_open,
	.forked = kr_forked,
	.free = kr_free,
	.probe = kr_probe,
	.info = kr_info,
	.mechs = kr_mechs,
	.init_token = kr_init_token,
	.init_pin = kr_init_pin,
	.set_pin = kr_set_pin,
	.login = kr_login,
	.reauth = kr_reauth,
	.logout = kr_logout,
	.sync = refresh_and_sync,
	.make = kr_make,
	.update = kr_update,
	.destroy = kr_destroy,
	.obj_free = obj_free,
	.obj_size = kr_obj_size,
	.op_begin = kr_op_begin,
	.op_size = kr_op_size,
	.op_update = kr_op_update,
	.op_finish = kr_op_finish,
	.op_free = kr_op_free,
	.random = kr_random,
	.seed = NULL, /* libcrypto's generator needs none */
};

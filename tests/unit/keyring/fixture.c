#include "fixture.h"

#include <stdarg.h>
#include <stdio.h>

#include "ring.h"
#include "store.h"

void fresh_session(void)
{
	cr_assert(keyctl_join_session_keyring(NULL) > 0);
}

void front_open(struct front *f, const char *where, ...)
{
	va_list ap;
	const char *key;

	*f = (struct front){0};
	f->conf = conf_section_new("test", "test.conf", 1);
	cr_assert(conf_section_add(f->conf, "type", "keyring", 2) == CKR_OK);
	cr_assert(conf_section_add(f->conf, "keyring", where, 3) == CKR_OK);
	va_start(ap, where);
	while ((key = va_arg(ap, const char *)))
		cr_assert(conf_section_add(f->conf, key, va_arg(ap, const char *), 4) == CKR_OK);
	va_end(ap);
	cr_assert(keyring_token_ops.open(f->conf, &f->tok) == CKR_OK);
}

static void forget(struct front *f, size_t i)
{
	keyring_token_ops.obj_free(f->tok, f->told[i]);
	f->told[i] = f->told[--f->n];
}

void front_close(struct front *f)
{
	while (f->n > 0)
		forget(f, 0);
	keyring_token_ops.free(f->tok);
	conf_section_free(f->conf);
}

static size_t place_of(const struct front *f, const uint8_t id[16])
{
	for (size_t i = 0; i < f->n; i++)
		if (memcmp(f->told[i]->id, id, 16) == 0)
			return i;
	return MAX_TOLD;
}

static CK_RV view_put(void *ctx, struct token_obj *obj)
{
	struct front *f = ctx;
	size_t i = place_of(f, obj->id);

	f->puts++;
	if (i < MAX_TOLD)
		forget(f, i);
	cr_assert(f->n < MAX_TOLD);
	f->told[f->n++] = obj;
	return CKR_OK;
}

static void view_drop(void *ctx, const uint8_t id[16])
{
	struct front *f = ctx;
	size_t i = place_of(f, id);

	f->drops++;
	if (i < MAX_TOLD)
		forget(f, i);
}

CK_RV front_sync(struct front *f)
{
	struct token_view view = {.put = view_put, .drop = view_drop, .ctx = f};
	CK_RV rv = keyring_token_ops.sync(f->tok, &view);

	if (rv == CKR_DEVICE_REMOVED)
		while (f->n > 0)
			forget(f, 0);
	return rv;
}

CK_RV front_destroy(struct front *f, const struct token_obj *o)
{
	size_t i = place_of(f, o->id);
	CK_RV rv = keyring_token_ops.destroy(f->tok, o);

	if (rv == CKR_OK && i < MAX_TOLD)
		forget(f, i);
	return rv;
}

bool has_label(const struct token_obj *o, const char *label)
{
	struct bytes value;

	return attrs_get(o->attrs, CKA_LABEL, &value) && bytes_equal(value, STR(label));
}

struct token_obj *front_find(struct front *f, const char *label)
{
	for (size_t i = 0; i < f->n; i++)
		if (has_label(f->told[i], label))
			return f->told[i];
	return NULL;
}

void init_token(struct front *f, bool user)
{
	static const uint8_t label[33] = "test token                      ";

	cr_assert(keyring_token_ops.init_token(f->tok, STR("so-pin"), label) == CKR_OK);
	if (!user)
		return;
	cr_assert(login(f, TOKEN_SO, "so-pin") == CKR_OK);
	cr_assert(keyring_token_ops.init_pin(f->tok, STR("1234")) == CKR_OK);
	keyring_token_ops.logout(f->tok);
}

CK_RV login(struct front *f, enum token_user who, const char *pin)
{
	return keyring_token_ops.login(f->tok, who, STR(pin));
}

struct attrs *data_template(const char *label, size_t value_len, bool private)
{
	struct attrs *a = attrs_new();
	uint8_t *value = calloc(1, value_len + 1);

	cr_assert(attrs_set_ulong(a, CKA_CLASS, CKO_DATA) == CKR_OK);
	cr_assert(attrs_set_bool(a, CKA_TOKEN, true) == CKR_OK);
	cr_assert(attrs_set_bool(a, CKA_PRIVATE, private) == CKR_OK);
	cr_assert(attrs_set(a, CKA_LABEL, STR(label)) == CKR_OK);
	cr_assert(attrs_set(a, CKA_VALUE, BYTES(value, value_len)) == CKR_OK);
	free(value);
	return a;
}

CK_RV make_data(struct front *f, const char *label, size_t value_len, bool private, struct token_obj **ret)
{
	struct attrs *a CLEANUP(attrs_cleanup) = data_template(label, value_len, private);
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a, .persist = true};
	struct token_obj *o[2] = {NULL, NULL};

	TRY(keyring_token_ops.make(f->tok, &req, o));
	if (ret)
		*ret = o[0];
	else
		keyring_token_ops.obj_free(f->tok, o[0]);
	return CKR_OK;
}

CK_RV set_label(struct front *f, const struct token_obj *o, const char *label, struct token_obj **ret)
{
	struct attrs *changes CLEANUP(attrs_cleanup) = attrs_new();
	struct token_obj *changed;

	TRY(attrs_set(changes, CKA_LABEL, STR(label)));
	TRY(keyring_token_ops.update(f->tok, o, changes, &changed));
	if (ret)
		*ret = changed;
	else
		keyring_token_ops.obj_free(f->tok, changed);
	return CKR_OK;
}

CK_RV make_pair(struct front *f, const char *label, struct token_obj *ret[2])
{
	static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	struct attrs *pub CLEANUP(attrs_cleanup) = attrs_new(), *priv CLEANUP(attrs_cleanup) = attrs_new();
	struct make_req req = {.kind = MAKE_GENERATE, .mech = CKM_EC_KEY_PAIR_GEN, .tmpl = pub, .tmpl_priv = priv,
			       .persist = true};

	TRY(attrs_set_ulong(pub, CKA_CLASS, CKO_PUBLIC_KEY));
	TRY(attrs_set_ulong(pub, CKA_KEY_TYPE, CKK_EC));
	TRY(attrs_set(pub, CKA_EC_PARAMS, BYTES_OF(p256)));
	TRY(attrs_set(pub, CKA_LABEL, STR(label)));
	TRY(attrs_set_bool(pub, CKA_PRIVATE, false));
	TRY(attrs_set_ulong(priv, CKA_CLASS, CKO_PRIVATE_KEY));
	TRY(attrs_set_ulong(priv, CKA_KEY_TYPE, CKK_EC));
	TRY(attrs_set(priv, CKA_LABEL, STR(label)));
	TRY(attrs_set_bool(priv, CKA_PRIVATE, true));
	return keyring_token_ops.make(f->tok, &req, ret);
}

struct digest ring_digest(key_serial_t ring)
{
	struct serials s CLEANUP(serials_done) = {0};
	struct buffer all CLEANUP(buffer_done) = {0};
	struct digest d;

	buffer_init(&all, 1u << 22);
	cr_assert(ring_list(ring, &s) == 0);
	for (size_t i = 0; i < s.n; i++) {
		struct key_info info;

		cr_assert(key_describe(s.at[i], &info) == 0);
		if (strcmp(info.name, STORE_RESERVE) == 0 || strcmp(info.name, STORE_TRIES) == 0)
			continue;
		buffer_put_be32(&all, (uint32_t)s.at[i]);
		if (strcmp(info.name, STORE_STAGE) == 0)
			continue;
		cr_assert(key_read(s.at[i], &all) == 0);
	}
	cr_assert(hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&all), d.b) == CKR_OK);
	return d;
}

bool digest_equal(struct digest a, struct digest b)
{
	return memcmp(a.b, b.b, sizeof a.b) == 0;
}

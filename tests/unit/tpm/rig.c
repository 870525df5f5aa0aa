#include "rig.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "der.h"
#include "log.h"
#include "state.h"

static CK_RV on_put(void *ctx, struct token_obj *obj)
{
	struct rig *r = ctx;

	r->puts++;
	for (size_t i = 0; i < r->n_seen; i++)
		if (!memcmp(r->seen[i]->id, obj->id, 16)) {
			r->tok->ops->obj_free(r->tok, r->seen[i]);
			r->seen[i] = obj;
			return CKR_OK;
		}
	cr_assert_lt(r->n_seen, RIG_MAX);
	r->seen[r->n_seen++] = obj;
	return CKR_OK;
}

static void on_drop(void *ctx, const uint8_t id[16])
{
	struct rig *r = ctx;

	r->drops++;
	for (size_t i = 0; i < r->n_seen; i++)
		if (!memcmp(r->seen[i]->id, id, 16)) {
			r->tok->ops->obj_free(r->tok, r->seen[i]);
			r->seen[i] = r->seen[--r->n_seen];
			return;
		}
}

static void forget_seen(struct rig *r)
{
	while (r->n_seen)
		r->tok->ops->obj_free(r->tok, r->seen[--r->n_seen]);
}

void rig_start(struct rig *r, const char *key, const char *value)
{
	*r = (struct rig){.view = {.put = on_put, .drop = on_drop, .ctx = r}};
	log_configure(secure_getenv("SIGNET_LOG"));
	swtpm_start(&r->tpm);
	snprintf(r->dir, sizeof r->dir, "/tmp/signet-store-XXXXXX");
	cr_assert_not_null(mkdtemp(r->dir));
	snprintf(r->store, sizeof r->store, "%s/token", r->dir);
	r->conf = conf_section_new("test", "test.conf", 1);
	cr_assert_not_null(r->conf);
	cr_assert_eq(conf_section_add(r->conf, "type", "tpm", 2), CKR_OK);
	cr_assert_eq(conf_section_add(r->conf, "tcti", r->tpm.wrapped, 3), CKR_OK);
	cr_assert_eq(conf_section_add(r->conf, "store", r->store, 4), CKR_OK);
	if (key)
		cr_assert_eq(conf_section_add(r->conf, key, value, 5), CKR_OK);
	r->tok = rig_open_again(r);
}

struct token *rig_open_again(const struct rig *r)
{
	struct token *tok;

	cr_assert_eq(tpm_token_ops.open(r->conf, &tok), CKR_OK);
	return tok;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void rig_stop(struct rig *r)
{
	forget_seen(r);
	tpm_token_ops.free(r->tok);
	conf_section_free(r->conf);
	swtpm_expect_clean(&r->tpm);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	swtpm_stop(&r->tpm);
}

void rig_reopen(struct rig *r)
{
	forget_seen(r);
	tpm_token_ops.free(r->tok);
	r->tok = rig_open_again(r);
}

CK_RV rig_sync(struct rig *r)
{
	CK_RV rv = tpm_token_ops.sync(r->tok, &r->view);

	if (rv == CKR_DEVICE_REMOVED)
		forget_seen(r);
	return rv;
}

struct token_obj *rig_find(const struct rig *r, CK_OBJECT_CLASS class, const char *label)
{
	struct bytes value;

	for (size_t i = 0; i < r->n_seen; i++) {
		struct attrs *a = r->seen[i]->attrs;

		if (attrs_get_ulong(a, CKA_CLASS, CK_UNAVAILABLE_INFORMATION) == class &&
		    attrs_get(a, CKA_LABEL, &value) && bytes_equal(value, BYTES(label, strlen(label))))
			return r->seen[i];
	}
	return NULL;
}

void rig_init(struct rig *r)
{
	static const char label[33] = "rig                             ";

	cr_assert_eq(tpm_token_ops.init_token(r->tok, PIN_SO, (const uint8_t *)label), CKR_OK);
	cr_assert_eq(tpm_token_ops.login(r->tok, TOKEN_SO, PIN_SO), CKR_OK);
	cr_assert_eq(tpm_token_ops.init_pin(r->tok, PIN_USER), CKR_OK);
	tpm_token_ops.logout(r->tok);
}

void rig_login(struct rig *r)
{
	cr_assert_eq(tpm_token_ops.login(r->tok, TOKEN_USER, PIN_USER), CKR_OK);
}

uint64_t rig_commands(const struct token *tok)
{
	return conn_commands(((const struct tpm_token *)tok)->conn);
}

struct attrs *rig_attrs(CK_OBJECT_CLASS class, CK_KEY_TYPE type, const char *label, bool private)
{
	struct attrs *a = attrs_new();

	cr_assert_not_null(a);
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, class), CKR_OK);
	if (type != CK_UNAVAILABLE_INFORMATION)
		cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, type), CKR_OK);
	cr_assert_eq(attrs_set_bool(a, CKA_PRIVATE, private), CKR_OK);
	cr_assert_eq(attrs_set(a, CKA_LABEL, BYTES(label, strlen(label))), CKR_OK);
	return a;
}

static CK_RV generate(struct rig *r, CK_MECHANISM_TYPE mech, struct attrs *pub, struct attrs *priv, bool persist,
		      struct token_obj *ret[2])
{
	struct make_req req = {.kind = MAKE_GENERATE, .mech = mech, .tmpl = pub, .tmpl_priv = priv, .persist = persist};
	CK_RV rv = tpm_token_ops.make(r->tok, &req, ret);

	attrs_free(pub);
	attrs_free(priv);
	return rv;
}

CK_RV rig_rsa(struct rig *r, const char *label, bool persist, bool private, struct token_obj *ret[2])
{
	struct attrs *pub = rig_attrs(CKO_PUBLIC_KEY, CKK_RSA, label, false);

	cr_assert_eq(attrs_set_ulong(pub, CKA_MODULUS_BITS, 2048), CKR_OK);
	return generate(r, CKM_RSA_PKCS_KEY_PAIR_GEN, pub, rig_attrs(CKO_PRIVATE_KEY, CKK_RSA, label, private), persist,
			ret);
}

CK_RV rig_ec(struct rig *r, enum rig_curve curve, const char *label, bool persist, bool private,
	     struct token_obj *ret[2])
{
	struct attrs *pub = rig_attrs(CKO_PUBLIC_KEY, CKK_EC, label, false);

	cr_assert_eq(attrs_set(pub, CKA_EC_PARAMS, der_curves[curve == P256 ? CURVE_P256 : CURVE_P384].oid), CKR_OK);
	return generate(r, CKM_EC_KEY_PAIR_GEN, pub, rig_attrs(CKO_PRIVATE_KEY, CKK_EC, label, private), persist, ret);
}

CK_RV rig_op(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
	     struct bytes in, struct outbuf *out)
{
	struct token_op *op;
	size_t max;
	CK_RV rv;

	TRY(tpm_token_ops.op_begin(tok, kind, scheme, key, &op, &max));
	cr_assert_leq(tpm_token_ops.op_size(op, in.len, true), out->cap);
	rv = tpm_token_ops.op_finish(op, in, out);
	tpm_token_ops.op_free(op);
	return rv;
}

static CK_RV held_body(struct conn *c, void *arg)
{
	TPM2_HANDLE h[8];

	return tpm2_get_handles(c, TPM2_HR_TRANSIENT, h, ARRAY_LEN(h), arg);
}

size_t rig_held(const struct rig *r)
{
	size_t n = 99;

	cr_assert_eq(conn_run(((struct tpm_token *)r->tok)->conn, RC_PROBE, held_body, &n), CKR_OK);
	return n;
}

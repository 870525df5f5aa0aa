/* Private keys of every kind and origin in the TPM: imported, made here for export, used for agreement. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <tss2/tss2_tcti.h>

#include "rig.h"
#include "soft.h"
#include "state.h"
#include "tcti_wrap.h"

static struct rig rig;

static void start(void)
{
	rig_start(&rig, "bus", "protected");
	rig_init(&rig);
	rig_login(&rig);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(keys, .init = start, .fini = stop, .timeout = 120);

static void let_go(struct token_obj *o)
{
	tpm_token_ops.obj_free(rig.tok, o);
}

/* ---- keys of libcrypto ---- */

struct pair {
	struct attrs *pub, *priv;
};

static void pair_done(struct pair *p)
{
	attrs_free(p->pub);
	attrs_free(p->priv);
}

static void set_bool(struct attrs *a, CK_ATTRIBUTE_TYPE type, bool v)
{
	cr_assert_eq(attrs_set_bool(a, type, v), CKR_OK);
}

static void make_soft(CK_MECHANISM_TYPE mech, CK_ULONG bits, enum curve_id curve, struct pair *ret)
{
	CK_KEY_TYPE type = mech == CKM_RSA_PKCS_KEY_PAIR_GEN ? CKK_RSA : CKK_EC;

	ret->pub = rig_attrs(CKO_PUBLIC_KEY, type, "soft", false);
	ret->priv = rig_attrs(CKO_PRIVATE_KEY, type, "soft", true);
	if (bits)
		cr_assert_eq(attrs_set_ulong(ret->pub, CKA_MODULUS_BITS, bits), CKR_OK);
	else
		cr_assert_eq(attrs_set(ret->pub, CKA_EC_PARAMS, der_curves[curve].oid), CKR_OK);
	cr_assert_eq(soft_generate(mech, ret->pub, ret->priv), CKR_OK);
	set_bool(ret->priv, CKA_EXTRACTABLE, false);
}

static void make_rsa(CK_ULONG bits, struct pair *ret)
{
	make_soft(CKM_RSA_PKCS_KEY_PAIR_GEN, bits, 0, ret);
}

static void make_ec(enum curve_id curve, struct pair *ret)
{
	make_soft(CKM_EC_KEY_PAIR_GEN, 0, curve, ret);
}

static CK_RV bring(enum make_kind kind, const struct attrs *priv, bool persist, struct token_obj **ret)
{
	struct make_req req = {.kind = kind, .tmpl = priv, .persist = persist};
	struct token_obj *made[2] = {NULL, NULL};
	CK_RV rv = tpm_token_ops.make(rig.tok, &req, made);

	if (rv == CKR_OK)
		*ret = made[0];
	return rv;
}

static struct token_obj *import(const struct attrs *priv)
{
	struct token_obj *o = NULL;

	cr_assert_eq(bring(MAKE_CREATE, priv, false, &o), CKR_OK);
	return o;
}

/* Whether libcrypto finds the signature right. */
static CK_RV verify(const struct attrs *pub, const struct scheme *scheme, struct bytes in, const struct outbuf *sig)
{
	struct outbuf given = {.ptr = sig->ptr, .cap = sig->len, .len = sig->len};
	struct soft_key *k;
	struct soft_op *op;
	size_t max;
	CK_RV rv;

	cr_assert_eq(soft_key_new(pub, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_VERIFY, scheme, k, &op, &max), CKR_OK);
	rv = soft_op_finish(op, in, &given);
	soft_op_free(op);
	soft_key_unref(k);
	return rv;
}

static void sign_and_verify(const struct token_obj *key, const struct attrs *pub, const struct scheme *scheme, size_t n)
{
	uint8_t in[64], sig[512];
	struct outbuf out = {.ptr = sig, .cap = sizeof sig};

	cr_assert_eq(random_bytes(in, sizeof in), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_SIGN, scheme, key, BYTES(in, n), &out), CKR_OK);
	cr_assert_eq(verify(pub, scheme, BYTES(in, n), &out), CKR_OK);
	sig[out.len / 2] ^= 1;
	cr_assert_eq(verify(pub, scheme, BYTES(in, n), &out), CKR_SIGNATURE_INVALID);
}

/* What libcrypto encrypted, the TPM decrypts. */
static void decrypt(const struct token_obj *key, const struct attrs *pub, const struct scheme *scheme)
{
	uint8_t cipher[512], plain[512];
	struct outbuf c = {.ptr = cipher, .cap = sizeof cipher}, p = {.ptr = plain, .cap = sizeof plain};
	struct soft_key *k;
	struct soft_op *op;
	size_t max;

	cr_assert_eq(soft_key_new(pub, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_ENCRYPT, scheme, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, BYTES("a secret", 8), &c), CKR_OK);
	soft_op_free(op);
	soft_key_unref(k);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, scheme, key, BYTES(cipher, c.len), &p), CKR_OK);
	cr_assert_eq(p.len, 8);
	cr_assert_eq(memcmp(plain, "a secret", 8), 0);
}

/* ---- import ---- */

static const CK_ATTRIBUTE_TYPE values[] = {
	CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT, CKA_VALUE,
};

static size_t count_values(const struct attrs *a)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		n += attrs_has(a, values[i]);
	return n;
}

static void rsa_round_trip(CK_ULONG bits)
{
	const struct hash *sha256 = &crypto_hashes[HASH_SHA256], *sha512 = &crypto_hashes[HASH_SHA512];
	struct pair p CLEANUP(pair_done);
	struct token_obj *o;
	struct bytes a, b;

	make_rsa(bits, &p);
	o = import(p.priv);
	cr_assert_eq(count_values(o->attrs), 0);
	cr_assert(attrs_get(o->attrs, CKA_MODULUS, &a) && attrs_get(p.pub, CKA_MODULUS, &b) && bytes_equal(a, b));
	cr_assert(attrs_get(o->attrs, CKA_SIGNET_PLACE, &a) && bytes_equal(a, BYTES("tpm", 3)));
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS, .hash = sha256}, 32);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS, .hash = sha512}, 64);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS}, 35);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS_PSS, .hash = sha256, .mgf = sha512,
						   .salt_len = 20}, 32);
	decrypt(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS});
	decrypt(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS_OAEP, .hash = sha256, .mgf = sha256,
					   .label = BYTES("l", 1)});
	let_go(o);
}

static CK_RV sizes_body(struct conn *c, void *arg)
{
	const uint16_t *sizes;
	size_t n;

	TRY(conn_rsa_sizes(c, &sizes, &n));
	memcpy(arg, sizes, n * sizeof *sizes);
	return CKR_OK;
}

Test(keys, import_rsa_of_every_size)
{
	uint16_t sizes[CONN_RSA_SIZES] = {0};

	cr_assert_eq(conn_run(((struct tpm_token *)rig.tok)->conn, RC_PROBE, sizes_body, sizes), CKR_OK);
	cr_assert_neq(sizes[0], 0);
	for (size_t i = 0; i < CONN_RSA_SIZES && sizes[i]; i++)
		rsa_round_trip(sizes[i]);
}

/* The shared x of a soft private key and a point. */
static void agree_soft(const struct attrs *priv, struct bytes point, struct outbuf *out)
{
	const struct scheme ecdh = {.type = CKM_ECDH1_DERIVE};
	struct soft_key *k;
	struct soft_op *op;
	size_t max;

	cr_assert_eq(soft_key_new(priv, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_DERIVE, &ecdh, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, point, out), CKR_OK);
	soft_op_free(op);
	soft_key_unref(k);
}

static struct bytes point_of(const struct attrs *pub, enum curve_id curve)
{
	struct bytes wrapped, point;

	cr_assert(attrs_get(pub, CKA_EC_POINT, &wrapped));
	cr_assert(ec_point_unwrap(wrapped, &der_curves[curve], &point));
	return point;
}

/* The TPM's key with libcrypto's point, and the other way round. */
static void agree(const struct token_obj *key, const struct attrs *pub, enum curve_id curve)
{
	const struct scheme ecdh = {.type = CKM_ECDH1_DERIVE};
	struct pair other CLEANUP(pair_done);
	uint8_t ours[66], theirs[66];
	struct outbuf a = {.ptr = ours, .cap = sizeof ours}, b = {.ptr = theirs, .cap = sizeof theirs};

	make_ec(curve, &other);
	cr_assert_eq(rig_op(rig.tok, OP_DERIVE, &ecdh, key, point_of(other.pub, curve), &a), CKR_OK);
	agree_soft(other.priv, point_of(pub, curve), &b);
	cr_assert_eq(a.len, der_curves[curve].field);
	cr_assert(bytes_equal(BYTES(ours, a.len), BYTES(theirs, b.len)));
}

Test(keys, import_ec_of_every_curve)
{
	static const enum curve_id curves[] = {CURVE_P256, CURVE_P384, CURVE_P521};

	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		struct pair p CLEANUP(pair_done);
		struct token_obj *o;

		make_ec(curves[i], &p);
		o = import(p.priv);
		cr_assert_eq(count_values(o->attrs), 0);
		cr_assert(attrs_has(o->attrs, CKA_PUBLIC_KEY_INFO));
		sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_ECDSA}, 32);
		sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_ECDSA}, 64);
		sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_ECDSA}, 20);
		agree(o, p.pub, curves[i]);
		let_go(o);
	}
	rig_reopen(&rig);
	cr_assert_eq(swtpm_census(&rig.tpm).objects, 0);
}

/* A value with zeros in front, as not everybody writes it. */
Test(keys, import_short_values)
{
	struct pair p CLEANUP(pair_done);
	uint8_t value[40] = {0};
	struct token_obj *o;
	struct bytes d;

	make_ec(CURVE_P256, &p);
	cr_assert(attrs_get(p.priv, CKA_VALUE, &d));
	memcpy(value + sizeof value - d.len, d.ptr, d.len);
	cr_assert_eq(attrs_set(p.priv, CKA_VALUE, BYTES_OF(value)), CKR_OK);
	o = import(p.priv);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_ECDSA}, 32);
	let_go(o);
}

Test(keys, unwrapped_and_derived_ones_too)
{
	struct pair p CLEANUP(pair_done);
	struct token_obj *o;

	make_ec(CURVE_P256, &p);
	cr_assert_eq(bring(MAKE_UNWRAP, p.priv, false, &o), CKR_OK);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_ECDSA}, 32);
	let_go(o);
	cr_assert_eq(bring(MAKE_DERIVE, p.priv, false, &o), CKR_OK);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_ECDSA}, 32);
	let_go(o);
}

Test(keys, import_budget)
{
	struct pair p CLEANUP(pair_done);
	struct token_obj *o;
	uint64_t before;

	make_ec(CURVE_P256, &p);
	before = rig_commands(rig.tok);
	o = import(p.priv);
	cr_assert_leq(rig_commands(rig.tok) - before, 4);
	cr_assert_eq(rig_held(&rig), 0);
	let_go(o);
}

Test(keys, refused_ones)
{
	static const struct {
		CK_ATTRIBUTE_TYPE type;
		struct bytes value;
		CK_RV rv;
	} rows[] = {
		{CKA_SIGNET_PLACE, {.ptr = (const uint8_t *)"process", .len = 7}, CKR_TEMPLATE_INCONSISTENT},
		{CKA_SIGNET_PLACE, {.ptr = (const uint8_t *)"kernel", .len = 6}, CKR_TEMPLATE_INCONSISTENT},
		{CKA_PUBLIC_EXPONENT, {.ptr = (const uint8_t *)"\1\0\0\0\1", .len = 5}, CKR_ATTRIBUTE_VALUE_INVALID},
		{CKA_MODULUS, {.ptr = (const uint8_t *)"\1\0\0\0\1", .len = 5}, CKR_ATTRIBUTE_VALUE_INVALID},
		{CKA_PRIME_1, {.ptr = (const uint8_t *)"\7", .len = 1}, CKR_ATTRIBUTE_VALUE_INVALID},
	};
	struct pair p CLEANUP(pair_done);

	make_rsa(2048, &p);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct attrs *a CLEANUP(attrs_cleanup) = NULL;
		struct token_obj *o;
		CK_RV rv;

		cr_assert_eq(attrs_copy(p.priv, &a), CKR_OK);
		cr_assert_eq(attrs_set(a, rows[i].type, rows[i].value), CKR_OK);
		rv = bring(MAKE_CREATE, a, true, &o);
		cr_assert_eq(rv, rows[i].rv, "row %zu: 0x%lx", i, rv);
	}
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 0);
}

/* A prime that isn't this modulus's: the TPM looks. */
Test(keys, parts_that_do_not_fit_together)
{
	struct pair p CLEANUP(pair_done), q CLEANUP(pair_done);
	struct token_obj *o;
	struct bytes prime;

	make_rsa(2048, &p);
	make_rsa(2048, &q);
	cr_assert(attrs_get(q.priv, CKA_PRIME_1, &prime));
	cr_assert_eq(attrs_set(p.priv, CKA_PRIME_1, prime), CKR_OK);
	cr_assert_eq(bring(MAKE_CREATE, p.priv, true, &o), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(rig_held(&rig), 0);
}

Test(keys, edwards_is_not_for_tpms)
{
	struct attrs *pub CLEANUP(attrs_cleanup) = rig_attrs(CKO_PUBLIC_KEY, CKK_EC_EDWARDS, "ed", false);
	struct attrs *priv CLEANUP(attrs_cleanup) = rig_attrs(CKO_PRIVATE_KEY, CKK_EC_EDWARDS, "ed", true);
	struct token_obj *o;

	cr_assert_eq(attrs_set(pub, CKA_EC_PARAMS, der_curves[CURVE_ED25519].oid), CKR_OK);
	cr_assert_eq(soft_generate(CKM_EC_EDWARDS_KEY_PAIR_GEN, pub, priv), CKR_OK);
	cr_assert_eq(bring(MAKE_CREATE, priv, true, &o), CKR_ATTRIBUTE_VALUE_INVALID);
}

/* ---- keys that may leave ---- */

static struct token_obj *stored(const char *label)
{
	struct token_obj *o;

	rig_reopen(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	o = rig_find(&rig, CKO_PRIVATE_KEY, label);
	cr_assert_not_null(o);
	return o;
}

static struct token_obj *forbid(const struct token_obj *o)
{
	struct attrs *changes CLEANUP(attrs_cleanup) = attrs_new();
	struct token_obj *changed;

	set_bool(changes, CKA_EXTRACTABLE, false);
	cr_assert_eq(tpm_token_ops.update(rig.tok, o, changes, &changed), CKR_OK);
	return changed;
}

Test(keys, values_stay_while_they_may_leave)
{
	struct pair p CLEANUP(pair_done);
	struct token_obj *o, *changed;
	size_t open, closed;

	make_rsa(2048, &p);
	set_bool(p.priv, CKA_EXTRACTABLE, true);
	cr_assert_eq(bring(MAKE_CREATE, p.priv, true, &o), CKR_OK);
	cr_assert_eq(count_values(o->attrs), 6);
	let_go(o);
	o = stored("soft");
	cr_assert_eq(count_values(o->attrs), 6);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS}, 20);
	cr_assert_eq(tpm_token_ops.obj_size(rig.tok, o, &open), CKR_OK);
	changed = forbid(o);
	cr_assert_eq(count_values(changed->attrs), 0);
	cr_assert_eq(tpm_token_ops.obj_size(rig.tok, changed, &closed), CKR_OK);
	cr_assert_lt(closed + 800, open);
	let_go(changed);
	o = stored("soft");
	cr_assert_eq(count_values(o->attrs), 0);
	sign_and_verify(o, p.pub, &(struct scheme){.type = CKM_RSA_PKCS}, 20);
}

Test(keys, a_copy_that_may_not_leave_has_no_values)
{
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;
	struct pair p CLEANUP(pair_done);
	struct token_obj *o, *made[2] = {NULL, NULL};
	struct make_req req = {.kind = MAKE_COPY, .persist = true};

	make_ec(CURVE_P384, &p);
	set_bool(p.priv, CKA_EXTRACTABLE, true);
	o = import(p.priv);
	cr_assert_eq(attrs_copy(o->attrs, &a), CKR_OK);
	req.base = o;
	req.tmpl = a;
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_OK);
	cr_assert_eq(count_values(made[0]->attrs), 1);
	let_go(made[0]);
	set_bool(a, CKA_EXTRACTABLE, false);
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_OK);
	cr_assert_eq(count_values(made[0]->attrs), 0);
	sign_and_verify(made[0], p.pub, &(struct scheme){.type = CKM_ECDSA}, 32);
	let_go(made[0]);
	cr_assert_eq(attrs_set(a, CKA_SIGNET_PLACE, BYTES("process", 7)), CKR_OK);
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_TEMPLATE_INCONSISTENT);
	let_go(o);
}

static CK_RV generate(CK_MECHANISM_TYPE mech, struct pair *p, struct token_obj *ret[2])
{
	struct make_req req = {.kind = MAKE_GENERATE, .mech = mech, .tmpl = p->pub, .tmpl_priv = p->priv};

	return tpm_token_ops.make(rig.tok, &req, ret);
}

Test(keys, generated_for_export)
{
	struct pair p CLEANUP(pair_done) = {rig_attrs(CKO_PUBLIC_KEY, CKK_EC, "x", false),
					    rig_attrs(CKO_PRIVATE_KEY, CKK_EC, "x", true)};
	struct token_obj *made[2];
	struct bytes place;

	cr_assert_eq(attrs_set(p.pub, CKA_EC_PARAMS, der_curves[CURVE_P256].oid), CKR_OK);
	set_bool(p.priv, CKA_EXTRACTABLE, true);
	cr_assert_eq(generate(CKM_EC_KEY_PAIR_GEN, &p, made), CKR_OK);
	cr_assert(attrs_has(made[1]->attrs, CKA_VALUE));
	cr_assert(attrs_get(made[1]->attrs, CKA_SIGNET_PLACE, &place) && bytes_equal(place, BYTES("tpm", 3)));
	sign_and_verify(made[1], made[0]->attrs, &(struct scheme){.type = CKM_ECDSA}, 32);
	let_go(made[0]);
	let_go(made[1]);
	cr_assert_eq(attrs_set(p.pub, CKA_EC_PARAMS, der_curves[CURVE_ED25519].oid), CKR_OK);
	cr_assert_eq(generate(CKM_EC_KEY_PAIR_GEN, &p, made), CKR_CURVE_NOT_SUPPORTED);
	cr_assert_eq(generate(CKM_EC_EDWARDS_KEY_PAIR_GEN, &p, made), CKR_MECHANISM_INVALID);
}

/* ---- agreement ---- */

Test(keys, agreement)
{
	const struct scheme ecdh = {.type = CKM_ECDH1_DERIVE};
	struct token_obj *pair[2];
	struct bytes good;
	uint8_t point[65], x[32];
	struct outbuf out = {.ptr = x, .cap = sizeof x};
	uint64_t before;

	cr_assert_eq(rig_ec(&rig, P256, "one", false, true, pair), CKR_OK);
	agree(pair[1], pair[0]->attrs, CURVE_P256);
	good = point_of(pair[0]->attrs, CURVE_P256);
	before = rig_commands(rig.tok);
	cr_assert_eq(rig_op(rig.tok, OP_DERIVE, &ecdh, pair[1], good, &out), CKR_OK);
	cr_assert_leq(rig_commands(rig.tok) - before, 2);
	memcpy(point, good.ptr, sizeof point);
	point[64] ^= 1;
	before = rig_commands(rig.tok);
	cr_assert_eq(rig_op(rig.tok, OP_DERIVE, &ecdh, pair[1], BYTES_OF(point), &out), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(rig_op(rig.tok, OP_DERIVE, &ecdh, pair[1], BYTES(point, 33), &out), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(rig_op(rig.tok, OP_DERIVE, &ecdh, pair[1], NO_BYTES, &out), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(rig_commands(rig.tok), before);
	let_go(pair[0]);
	let_go(pair[1]);
}

/* ---- a TPM that lies, or somebody between us and it ---- */

static uint32_t lie_about;

/* Another bit somewhere in the middle of the answer's parameters. */
static TSS2_RC lie(uint32_t cc, unsigned n, uint8_t *answer, size_t *size)
{
	(void)n;
	if (cc == lie_about && *size > 100)
		answer[60] ^= 1;
	return TSS2_RC_SUCCESS;
}

static void arm(uint32_t cc)
{
	lie_about = cc;
	wrap_hooks()->receive = cc ? lie : NULL;
}

static void nothing_came_of_it(void)
{
	arm(0);
	cr_assert_eq(rig_held(&rig), 0);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 0);
}

Test(keys, another_public_area_than_asked_for)
{
	struct token_obj *pair[2];

	arm(TPM2_CC_Create);
	cr_assert_eq(rig_ec(&rig, P256, "lie", true, true, pair), CKR_DEVICE_ERROR);
	nothing_came_of_it();
}

Test(keys, another_duplicate_than_sent)
{
	struct pair p CLEANUP(pair_done);
	struct token_obj *o;

	make_ec(CURVE_P256, &p);
	arm(TPM2_CC_Import);
	cr_assert_eq(bring(MAKE_CREATE, p.priv, true, &o), CKR_ATTRIBUTE_VALUE_INVALID);
	nothing_came_of_it();
}

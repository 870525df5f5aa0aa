/* The blob of a working key, beside its attributes in a record:
 *
 *   version   1   1
 *   secret    1   0: the authValue comes from the private secret, 1: from the public one
 *   auth id  16   random; the authValue is HMAC-SHA-256(authorization key, auth id)
 *   public        sized TPM2B_PUBLIC
 *   private       sized TPM2B_PRIVATE, wrapped by the storage key
 *
 * RSA and EC keys alike may sign and decrypt as far as the TPM is concerned; which of it an application may do is the
 * object's CKA_SIGN, CKA_DECRYPT and CKA_DERIVE, which may change while a TPM's attributes cannot. */
#include "key.h"

#include "crypto.h"
#include "der.h"
#include "log.h"
#include "soft.h"
#include "token.h"
#include "tokenrec.h"

#define BLOB_VERSION 1
#define DEFAULT_EXPONENT 65537u
/* Working keys: never outside this TPM, authorized by their authValue, no part in dictionary-attack protection. */
#define KEY_ATTRIBUTES                                                                                                 \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | \
	 TPMA_OBJECT_NODA | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_SIGN_ENCRYPT)

/* ---- what the secrets give ---- */

static const char *const private_labels[] = {"signet private records", "signet private keys", "signet private padding"};
static const char *const public_labels[] = {"signet public records", "signet public keys", "signet public padding"};

CK_RV keyset_new(const struct key256 *secret, enum token_secret kind, struct keyset **ret)
{
	const char *const *labels = kind == SECRET_PRIVATE ? private_labels : public_labels;
	struct keyset *k CLEANUP(secret_cleanup) = secret_alloc(sizeof *k);

	if (!k)
		return CKR_HOST_MEMORY;
	k->kind = kind;
	k->secret = *secret;
	TRY(hkdf_sha256(secret, labels[0], NO_BYTES, &k->aead));
	TRY(hkdf_sha256(secret, labels[1], NO_BYTES, &k->authorization));
	TRY(hkdf_sha256(secret, labels[2], NO_BYTES, &k->padding));
	*ret = TAKE(k);
	return CKR_OK;
}

CK_RV tpm_key_auth(const struct keyset *keys, const uint8_t auth_id[16], struct key256 *ret)
{
	const struct bytes id = BYTES(auth_id, 16);

	return hmac_sha256(BYTES_OF(keys->authorization.b), &id, 1, ret->b);
}

/* ---- the blob ---- */

void tpm_key_emit(const struct tpm_key *k, struct buffer *out)
{
	buffer_put_u8(out, BLOB_VERSION);
	buffer_put_u8(out, (uint8_t)k->secret);
	buffer_put(out, BYTES_OF(k->auth_id));
	put_public(out, &k->blob.public);
	put_private(out, &k->blob.private);
}

CK_RV tpm_key_parse(struct bytes in, const uint8_t id[16], struct tpm_key *ret)
{
	struct reader r = reader_of(in);
	uint8_t version = read_u8(&r), secret = read_u8(&r);
	struct bytes auth_id = read_bytes(&r, sizeof ret->auth_id);
	struct tpm_key k = {.secret = secret ? SECRET_PUBLIC : SECRET_PRIVATE};

	read_public(&r, &k.blob.public);
	read_private(&r, &k.blob.private);
	if (!reader_done(&r) || version != BLOB_VERSION || secret > 1)
		return CKR_DEVICE_ERROR;
	memcpy(k.auth_id, auth_id.ptr, sizeof k.auth_id);
	memcpy(k.blob.id, id, sizeof k.blob.id);
	*ret = k;
	return CKR_OK;
}

/* ---- ready for use ---- */

CK_RV tpm_ready_new(struct bytes blob, const uint8_t id[16], struct tpm_ready **ret)
{
	struct tpm_ready *r CLEANUP(tpm_ready_cleanup) = calloc(1, sizeof *r);

	if (!r)
		return CKR_HOST_MEMORY;
	atomic_init(&r->refs, 1);
	TRY(tpm_key_parse(blob, id, &r->key));
	*ret = TAKE(r);
	return CKR_OK;
}

static CK_RV set_auth(const struct keyset *keys, const uint8_t auth_id[16], TPM2B_AUTH *ret)
{
	struct key256 auth CLEANUP(key256_wipe);

	TRY(tpm_key_auth(keys, auth_id, &auth));
	ret->size = sizeof auth.b;
	memcpy(ret->buffer, auth.b, sizeof auth.b);
	return CKR_OK;
}

CK_RV tpm_ready_derive(struct tpm_ready *r, const struct keyset *keys)
{
	struct tpm_ready_secrets *s CLEANUP(secret_cleanup) = NULL;

	if (r->secrets)
		return CKR_OK;
	s = secret_alloc(sizeof *s);
	if (!s)
		return CKR_HOST_MEMORY;
	if (r->auth == AUTH_DERIVED)
		TRY(set_auth(keys, r->key.auth_id, &s->auth));
	s->padding = keys->padding;
	r->secrets = TAKE(s);
	return CKR_OK;
}

struct tpm_ready *tpm_ready_ref(struct tpm_ready *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void tpm_ready_unref(struct tpm_ready *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	parent_unref(r->parent);
	secret_free(r->secrets);
	free(r);
}

/* ---- templates ---- */

static CK_RV rsa_template(const struct attrs *pub, TPMT_PUBLIC *t)
{
	CK_ULONG bits = attrs_get_ulong(pub, CKA_MODULUS_BITS, 0);
	TPMS_RSA_PARMS *rsa = &t->parameters.rsaDetail;
	uint32_t e = DEFAULT_EXPONENT;
	struct bytes exponent;

	if (attrs_get(pub, CKA_PUBLIC_EXPONENT, &exponent) && exponent.len) {
		for (e = 0; exponent.len; exponent = BYTES(exponent.ptr + 1, exponent.len - 1)) {
			if (e >> 24)
				return CKR_ATTRIBUTE_VALUE_INVALID;
			e = e << 8 | *exponent.ptr;
		}
	}
	if (bits < 1024 || bits > TPM2_MAX_RSA_KEY_BYTES * 8 || bits % 8)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	t->type = TPM2_ALG_RSA;
	rsa->symmetric.algorithm = TPM2_ALG_NULL;
	rsa->scheme.scheme = TPM2_ALG_NULL;
	rsa->keyBits = (TPMI_RSA_KEY_BITS)bits;
	rsa->exponent = e == DEFAULT_EXPONENT ? 0 : e;
	return CKR_OK;
}

static CK_RV ec_template(const struct attrs *pub, TPMT_PUBLIC *t)
{
	TPMS_ECC_PARMS *ecc = &t->parameters.eccDetail;
	const struct curve *curve;
	struct bytes params;
	bool malformed = false;

	if (!attrs_get(pub, CKA_EC_PARAMS, &params))
		return CKR_TEMPLATE_INCOMPLETE;
	curve = curve_by_params(params, &malformed);
	if (malformed)
		return CKR_DOMAIN_PARAMS_INVALID;
	if (!curve || !curve->tpm_id)
		return CKR_CURVE_NOT_SUPPORTED;
	t->type = TPM2_ALG_ECC;
	ecc->symmetric.algorithm = TPM2_ALG_NULL;
	ecc->scheme.scheme = TPM2_ALG_NULL;
	ecc->curveID = curve->tpm_id;
	ecc->kdf.scheme = TPM2_ALG_NULL;
	return CKR_OK;
}

/* ---- from the public area to attributes ---- */

static uint32_t exponent_of(const TPMS_RSA_PARMS *rsa)
{
	return rsa->exponent ? rsa->exponent : DEFAULT_EXPONENT;
}

static CK_RV rsa_attrs(const TPMT_PUBLIC *t, struct attrs *a)
{
	const TPM2B_PUBLIC_KEY_RSA *n = &t->unique.rsa;
	uint32_t e = exponent_of(&t->parameters.rsaDetail);
	uint8_t be[4] = {(uint8_t)(e >> 24), (uint8_t)(e >> 16), (uint8_t)(e >> 8), (uint8_t)e};
	size_t skip = 0;

	while (skip < 3 && !be[skip])
		skip++;
	TRY(attrs_set(a, CKA_MODULUS, BYTES(n->buffer, n->size)));
	return attrs_set(a, CKA_PUBLIC_EXPONENT, BYTES(be + skip, sizeof be - skip));
}

static CK_RV put_coordinate(struct buffer *point, const TPM2B_ECC_PARAMETER *v, size_t field)
{
	if (v->size > field)
		return CKR_DEVICE_ERROR;
	for (size_t i = v->size; i < field; i++)
		buffer_put_u8(point, 0);
	buffer_put(point, BYTES(v->buffer, v->size));
	return buffer_status(point);
}

static CK_RV ec_attrs(const TPMT_PUBLIC *t, struct attrs *a)
{
	struct buffer point CLEANUP(buffer_done), wrapped CLEANUP(buffer_done);
	const struct curve *curve;
	struct bytes params;
	bool malformed;

	buffer_init(&point, 256);
	buffer_init(&wrapped, 256);
	if (!attrs_get(a, CKA_EC_PARAMS, &params) || !(curve = curve_by_params(params, &malformed)))
		return CKR_GENERAL_ERROR;
	buffer_put_u8(&point, 4); /* uncompressed */
	TRY(put_coordinate(&point, &t->unique.ecc.x, curve->field));
	TRY(put_coordinate(&point, &t->unique.ecc.y, curve->field));
	ec_point_wrap(buffer_bytes(&point), curve, &wrapped);
	TRY(buffer_status(&wrapped));
	return attrs_set(a, CKA_EC_POINT, buffer_bytes(&wrapped));
}

static const struct kind_row {
	CK_MECHANISM_TYPE mech;
	CK_RV (*tmpl)(const struct attrs *pub, TPMT_PUBLIC *t);
	CK_RV (*public_attrs)(const TPMT_PUBLIC *t, struct attrs *a);
	CK_ATTRIBUTE_TYPE shared[2];  /* of the public half, that the private one has too */
} kind_rows[] = {
	{
		.mech = CKM_RSA_PKCS_KEY_PAIR_GEN,
		.tmpl = rsa_template,
		.public_attrs = rsa_attrs,
		.shared = {CKA_MODULUS, CKA_PUBLIC_EXPONENT},
	},
	{
		.mech = CKM_EC_KEY_PAIR_GEN,
		.tmpl = ec_template,
		.public_attrs = ec_attrs,
		.shared = {CKA_EC_PARAMS, CKA_PUBLIC_KEY_INFO},
	},
};

static const struct kind_row *kind_of(CK_MECHANISM_TYPE mech)
{
	for (size_t i = 0; i < ARRAY_LEN(kind_rows); i++)
		if (kind_rows[i].mech == mech)
			return &kind_rows[i];
	return NULL;
}

static CK_RV share(const struct attrs *from, struct attrs *to, CK_ATTRIBUTE_TYPE type)
{
	struct bytes value;

	return attrs_get(from, type, &value) ? attrs_set(to, type, value) : CKR_OK;
}

static CK_RV describe(const struct kind_row *row, const TPMT_PUBLIC *t, struct attrs *pub, struct attrs *priv)
{
	TRY(row->public_attrs(t, pub));
	TRY(soft_complete(pub));
	TRY(share(pub, priv, CKA_PUBLIC_KEY_INFO));
	for (size_t i = 0; i < ARRAY_LEN(row->shared); i++)
		TRY(share(pub, priv, row->shared[i]));
	return CKR_OK;
}

/* ---- generating ---- */

struct generation {
	const struct generate_req *req;
	TPM2B_PUBLIC tmpl;
	struct tpm_key key;
	TPM2B_SENSITIVE_CREATE sensitive;
};

static void generation_wipe(struct generation *g)
{
	wipe(g, sizeof *g);
}

/* Whether a key is what its template asked for, and as long. */
static bool as_asked(const TPMT_PUBLIC *key, const TPMT_PUBLIC *tmpl)
{
	if (key->type != tmpl->type || key->nameAlg != tmpl->nameAlg || key->objectAttributes != tmpl->objectAttributes)
		return false;
	if (key->type == TPM2_ALG_ECC)
		return key->parameters.eccDetail.curveID == tmpl->parameters.eccDetail.curveID &&
		       key->unique.ecc.x.size > 0 && key->unique.ecc.y.size > 0;
	return key->parameters.rsaDetail.keyBits == tmpl->parameters.rsaDetail.keyBits &&
	       exponent_of(&key->parameters.rsaDetail) == exponent_of(&tmpl->parameters.rsaDetail) &&
	       key->unique.rsa.size == key->parameters.rsaDetail.keyBits / 8;
}

static CK_RV create_body(struct conn *c, void *arg)
{
	struct generation *g = arg;
	struct session s CLEANUP(session_end) = {0};
	struct create_req create = {.sensitive = &g->sensitive, .tmpl = &g->tmpl};
	struct entity parent;
	struct salt_key salt;

	TRY(parent_use(c, g->req->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	g->key.blob.public = (TPM2B_PUBLIC){0};
	TRY(tpm2_create(c, &parent, &s, &create, &g->key.blob.public, &g->key.blob.private));
	return as_asked(&g->key.blob.public.publicArea, &g->tmpl.publicArea) ? CKR_OK : CKR_DEVICE_ERROR;
}

static CK_RV choose_auth(struct generation *g)
{
	g->key.secret = g->req->keys->kind;
	TRY(random_bytes(g->key.auth_id, sizeof g->key.auth_id));
	return set_auth(g->req->keys, g->key.auth_id, &g->sensitive.sensitive.userAuth);
}

CK_RV tpm_key_generate(struct conn *c, const struct generate_req *req, struct buffer *ret_blob)
{
	struct generation g CLEANUP(generation_wipe) = {.req = req};
	const struct kind_row *row = kind_of(req->mech);
	TPMT_PUBLIC *t = &g.tmpl.publicArea;

	if (!row)
		return CKR_MECHANISM_INVALID;
	t->nameAlg = TPM2_ALG_SHA256;
	t->objectAttributes = KEY_ATTRIBUTES;
	TRY(row->tmpl(req->pub, t));
	TRY(choose_auth(&g));
	TRY(conn_run(c, RC_GEN, create_body, &g));
	TRY(describe(row, &g.key.blob.public.publicArea, req->pub, req->priv));
	tpm_key_emit(&g.key, ret_blob);
	return buffer_status(ret_blob);
}

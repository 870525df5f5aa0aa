/* RSA and EC public areas, from attributes and to them. */
#include "public.h"

#include "der.h"
#include "soft.h"

#define DEFAULT_EXPONENT 65537u

const struct curve *public_curve(TPM2_ECC_CURVE id)
{
	for (size_t i = 0; i < CURVE_COUNT; i++)
		if (der_curves[i].tpm_id && der_curves[i].tpm_id == id)
			return &der_curves[i];
	return NULL;
}

/* ---- from attributes ---- */

/* A TPM has 32 bits for it; 0 there stands for 65537. */
static CK_RV read_exponent(const struct attrs *a, uint32_t *ret)
{
	struct bytes exponent;
	uint32_t e = DEFAULT_EXPONENT;

	if (attrs_get(a, CKA_PUBLIC_EXPONENT, &exponent) && exponent.len) {
		for (e = 0; exponent.len; exponent = BYTES(exponent.ptr + 1, exponent.len - 1)) {
			if (e >> 24)
				return CKR_ATTRIBUTE_VALUE_INVALID;
			e = e << 8 | *exponent.ptr;
		}
		if (!e)
			return CKR_ATTRIBUTE_VALUE_INVALID;
	}
	*ret = e == DEFAULT_EXPONENT ? 0 : e;
	return CKR_OK;
}

static CK_RV set_rsa(CK_ULONG bits, const struct attrs *a, TPMT_PUBLIC *t)
{
	TPMS_RSA_PARMS *rsa = &t->parameters.rsaDetail;

	if (bits < 1024 || bits > TPM2_MAX_RSA_KEY_BYTES * 8 || bits % 8)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(read_exponent(a, &rsa->exponent));
	t->type = TPM2_ALG_RSA;
	rsa->symmetric.algorithm = TPM2_ALG_NULL;
	rsa->scheme.scheme = TPM2_ALG_NULL;
	rsa->keyBits = (TPMI_RSA_KEY_BITS)bits;
	return CKR_OK;
}

static CK_RV rsa_template(const struct attrs *pub, TPMT_PUBLIC *t)
{
	return set_rsa(attrs_get_ulong(pub, CKA_MODULUS_BITS, 0), pub, t);
}

static CK_RV rsa_whole(const struct attrs *priv, TPMT_PUBLIC *t)
{
	TPM2B_PUBLIC_KEY_RSA *unique = &t->unique.rsa;
	struct bytes n;

	(void)attrs_get(priv, CKA_MODULUS, &n);
	while (n.len && !*n.ptr)
		n = BYTES(n.ptr + 1, n.len - 1);
	/* Sizes are those of whole bytes, with the highest bit set. */
	if (!n.len || !(*n.ptr & 0x80))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(set_rsa(n.len * 8, priv, t));
	unique->size = (uint16_t)n.len;
	memcpy(unique->buffer, n.ptr, n.len);
	return CKR_OK;
}

static CK_RV ec_params(const struct attrs *a, const struct curve **ret)
{
	const struct curve *curve;
	struct bytes params;
	bool malformed = false;

	if (!attrs_get(a, CKA_EC_PARAMS, &params))
		return CKR_TEMPLATE_INCOMPLETE;
	curve = curve_by_params(params, &malformed);
	if (malformed)
		return CKR_DOMAIN_PARAMS_INVALID;
	if (!curve || !curve->tpm_id)
		return CKR_CURVE_NOT_SUPPORTED;
	*ret = curve;
	return CKR_OK;
}

static CK_RV ec_template(const struct attrs *pub, TPMT_PUBLIC *t)
{
	TPMS_ECC_PARMS *ecc = &t->parameters.eccDetail;
	const struct curve *curve;

	TRY(ec_params(pub, &curve));
	t->type = TPM2_ALG_ECC;
	ecc->symmetric.algorithm = TPM2_ALG_NULL;
	ecc->scheme.scheme = TPM2_ALG_NULL;
	ecc->curveID = curve->tpm_id;
	ecc->kdf.scheme = TPM2_ALG_NULL;
	return CKR_OK;
}

static void set_coordinate(TPM2B_ECC_PARAMETER *to, const uint8_t *from, size_t field)
{
	to->size = (uint16_t)field;
	memcpy(to->buffer, from, field);
}

/* The point is the end of soft_complete()'s SubjectPublicKeyInfo: uncompressed, at the end of a BIT STRING. */
static CK_RV ec_whole(const struct attrs *priv, TPMT_PUBLIC *t)
{
	const struct curve *curve;
	struct bytes info;
	const uint8_t *point;

	TRY(ec_params(priv, &curve));
	TRY(ec_template(priv, t));
	if (!attrs_get(priv, CKA_PUBLIC_KEY_INFO, &info) || info.len <= 1 + 2 * curve->field)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	point = info.ptr + info.len - (1 + 2 * curve->field);
	if (*point != 4)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	set_coordinate(&t->unique.ecc.x, point + 1, curve->field);
	set_coordinate(&t->unique.ecc.y, point + 1 + curve->field, curve->field);
	return CKR_OK;
}

/* ---- to attributes ---- */

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
	const struct curve *curve = public_curve(t->parameters.eccDetail.curveID);

	buffer_init(&point, 256);
	buffer_init(&wrapped, 256);
	if (!curve)
		return CKR_CURVE_NOT_SUPPORTED;
	buffer_put_u8(&point, 4); /* uncompressed */
	TRY(put_coordinate(&point, &t->unique.ecc.x, curve->field));
	TRY(put_coordinate(&point, &t->unique.ecc.y, curve->field));
	ec_point_wrap(buffer_bytes(&point), curve, &wrapped);
	TRY(buffer_status(&wrapped));
	/* A template's own form of the curve's name stays. */
	if (!attrs_has(a, CKA_EC_PARAMS))
		TRY(attrs_set(a, CKA_EC_PARAMS, curve->oid));
	return attrs_set(a, CKA_EC_POINT, buffer_bytes(&wrapped));
}

/* ---- by type ---- */

static const struct kind_row {
	CK_KEY_TYPE key_type;
	TPMI_ALG_PUBLIC type;
	CK_RV (*tmpl)(const struct attrs *pub, TPMT_PUBLIC *t);
	CK_RV (*whole)(const struct attrs *priv, TPMT_PUBLIC *t);
	CK_RV (*attrs)(const TPMT_PUBLIC *t, struct attrs *a);
	CK_ATTRIBUTE_TYPE shared[2];  /* of the public half, that the private one has too */
} kind_rows[] = {
	{
		.key_type = CKK_RSA,
		.type = TPM2_ALG_RSA,
		.tmpl = rsa_template,
		.whole = rsa_whole,
		.attrs = rsa_attrs,
		.shared = {CKA_MODULUS, CKA_PUBLIC_EXPONENT},
	},
	{
		.key_type = CKK_EC,
		.type = TPM2_ALG_ECC,
		.tmpl = ec_template,
		.whole = ec_whole,
		.attrs = ec_attrs,
		.shared = {CKA_EC_PARAMS, CKA_PUBLIC_KEY_INFO},
	},
};

static const struct kind_row *kind_of(CK_KEY_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(kind_rows); i++)
		if (kind_rows[i].key_type == type)
			return &kind_rows[i];
	return NULL;
}

CK_RV public_template(CK_KEY_TYPE type, const struct attrs *pub, TPMT_PUBLIC *ret)
{
	const struct kind_row *row = kind_of(type);

	if (!row)
		return CKR_KEY_TYPE_INCONSISTENT;
	ret->nameAlg = TPM2_ALG_SHA256;
	return row->tmpl(pub, ret);
}

CK_RV public_of_private(CK_KEY_TYPE type, const struct attrs *priv, TPMT_PUBLIC *ret)
{
	const struct kind_row *row = kind_of(type);

	if (!row)
		return CKR_KEY_TYPE_INCONSISTENT;
	ret->nameAlg = TPM2_ALG_SHA256;
	return row->whole(priv, ret);
}

bool public_as_asked(const TPMT_PUBLIC *key, const TPMT_PUBLIC *tmpl)
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

static CK_RV share(const struct attrs *from, struct attrs *to, CK_ATTRIBUTE_TYPE type)
{
	struct bytes value;

	return attrs_get(from, type, &value) ? attrs_set(to, type, value) : CKR_OK;
}

CK_RV public_describe(const TPMT_PUBLIC *key, struct attrs *pub, struct attrs *priv)
{
	const struct kind_row *row = NULL;

	for (size_t i = 0; i < ARRAY_LEN(kind_rows); i++)
		if (kind_rows[i].type == key->type)
			row = &kind_rows[i];
	if (!row)
		return CKR_KEY_TYPE_INCONSISTENT;
	TRY(row->attrs(key, pub));
	TRY(soft_complete(pub));
	if (!priv)
		return CKR_OK;
	TRY(share(pub, priv, CKA_PUBLIC_KEY_INFO));
	for (size_t i = 0; i < ARRAY_LEN(row->shared); i++)
		TRY(share(pub, priv, row->shared[i]));
	return CKR_OK;
}

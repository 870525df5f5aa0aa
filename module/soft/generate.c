/* New keys from libcrypto's generator, into attributes. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "soft_internal.h"

static void bn_cleanup(BIGNUM **b)
{
	BN_clear_free(*b);
}

static CK_RV set_from_pkey(EVP_PKEY *pkey, const char *param, CK_ATTRIBUTE_TYPE type, size_t pad_to, struct attrs *a)
{
	BIGNUM *v CLEANUP(bn_cleanup) = NULL;

	if (EVP_PKEY_get_bn_param(pkey, param, &v) != 1)
		return crypto_failed("generated key", CKR_FUNCTION_FAILED);
	return soft_set_number(a, type, v, pad_to);
}

static EVP_PKEY_CTX *generator(const char *type)
{
	OSSL_LIB_CTX *lib = crypto_lib();
	EVP_PKEY_CTX *c CLEANUP(pkey_ctx_cleanup) = lib ? EVP_PKEY_CTX_new_from_name(lib, type, NULL) : NULL;

	return c && EVP_PKEY_keygen_init(c) == 1 ? TAKE(c) : NULL;
}

/* The exponent that the template asks for; 65537 by default. */
static CK_RV wanted_exponent(const struct attrs *pub, BIGNUM **ret)
{
	static const uint8_t f4[] = {1, 0, 1};
	struct bytes e = attrs_has(pub, CKA_PUBLIC_EXPONENT) ? soft_integer(pub, CKA_PUBLIC_EXPONENT) : BYTES_OF(f4);
	BIGNUM *v;

	/* Odd, at least 3, and below 2^256 (FIPS 186-5, A.1.1). */
	if (e.len == 0 || e.len > 32 || e.ptr[e.len - 1] % 2 == 0 || (e.len == 1 && e.ptr[0] == 1))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	v = BN_bin2bn(e.ptr, (int)e.len, NULL);
	if (!v)
		return crypto_failed("RSA exponent", CKR_HOST_MEMORY);
	*ret = v;
	return CKR_OK;
}

static CK_RV make_rsa(const struct attrs *pub, EVP_PKEY **ret)
{
	CK_ULONG bits = attrs_get_ulong(pub, CKA_MODULUS_BITS, 0);
	EVP_PKEY_CTX *c CLEANUP(pkey_ctx_cleanup) = NULL;
	BIGNUM *e CLEANUP(bn_cleanup) = NULL;

	if (!attrs_has(pub, CKA_MODULUS_BITS))
		return CKR_TEMPLATE_INCOMPLETE;
	if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(wanted_exponent(pub, &e));
	c = generator("RSA");
	if (!c || EVP_PKEY_CTX_set_rsa_keygen_bits(c, (int)bits) != 1 ||
	    EVP_PKEY_CTX_set1_rsa_keygen_pubexp(c, e) != 1)
		return crypto_failed("RSA generator", CKR_HOST_MEMORY);
	if (EVP_PKEY_generate(c, ret) != 1)
		return crypto_failed("RSA generation", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

static CK_RV generate_rsa(struct attrs *pub, struct attrs *priv)
{
	EVP_PKEY *pkey CLEANUP(pkey_cleanup) = NULL;

	TRY(make_rsa(pub, &pkey));
	for (size_t i = 0; i < RSA_MEMBERS; i++)
		TRY(set_from_pkey(pkey, soft_rsa_params[i], soft_rsa_attrs[i], 0, priv));
	TRY(set_from_pkey(pkey, OSSL_PKEY_PARAM_RSA_N, CKA_MODULUS, 0, pub));
	TRY(set_from_pkey(pkey, OSSL_PKEY_PARAM_RSA_E, CKA_PUBLIC_EXPONENT, 0, pub));
	return soft_set_public_info(pkey, pub, priv);
}

/* CKA_EC_PARAMS of both halves, and CKA_EC_POINT of the public one. */
static CK_RV set_point(const struct curve *c, struct bytes point, struct attrs *pub, struct attrs *priv)
{
	struct buffer wrapped CLEANUP(buffer_done);
	struct bytes params;

	buffer_init(&wrapped, 256);
	ec_point_wrap(point, c, &wrapped);
	TRY(buffer_status(&wrapped));
	(void)attrs_get(pub, CKA_EC_PARAMS, &params);
	TRY(attrs_set(priv, CKA_EC_PARAMS, params));
	return attrs_set(pub, CKA_EC_POINT, buffer_bytes(&wrapped));
}

static CK_RV generate_ec(struct attrs *pub, struct attrs *priv)
{
	EVP_PKEY_CTX *g CLEANUP(pkey_ctx_cleanup) = NULL;
	EVP_PKEY *pkey CLEANUP(pkey_cleanup) = NULL;
	uint8_t point[1 + 2 * EC_MAX_ORDER];
	const struct curve *c = NULL;
	size_t len = 0;

	TRY(soft_curve(pub, false, &c));
	g = generator("EC");
	if (!g || EVP_PKEY_CTX_set_group_name(g, c->name) != 1)
		return crypto_failed("EC generator", CKR_HOST_MEMORY);
	if (EVP_PKEY_generate(g, &pkey) != 1 ||
	    EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len) != 1)
		return crypto_failed("EC generation", CKR_FUNCTION_FAILED);
	TRY(set_point(c, BYTES(point, len), pub, priv));
	TRY(set_from_pkey(pkey, OSSL_PKEY_PARAM_PRIV_KEY, CKA_VALUE, c->order, priv));
	return soft_set_public_info(pkey, pub, priv);
}

static CK_RV generate_edwards(struct attrs *pub, struct attrs *priv)
{
	uint8_t *value CLEANUP(secret_cleanup) = secret_alloc(32);
	EVP_PKEY_CTX *g CLEANUP(pkey_ctx_cleanup) = NULL;
	EVP_PKEY *pkey CLEANUP(pkey_cleanup) = NULL;
	uint8_t point[32];
	size_t value_len = 32, point_len = sizeof point;
	const struct curve *c = NULL;

	if (!value)
		return CKR_HOST_MEMORY;
	TRY(soft_curve(pub, true, &c));
	g = generator(c->name);
	if (!g || EVP_PKEY_generate(g, &pkey) != 1 ||
	    EVP_PKEY_get_raw_private_key(pkey, value, &value_len) != 1 ||
	    EVP_PKEY_get_raw_public_key(pkey, point, &point_len) != 1)
		return crypto_failed("Edwards key generation", CKR_FUNCTION_FAILED);
	TRY(set_point(c, BYTES(point, point_len), pub, priv));
	TRY(attrs_set(priv, CKA_VALUE, BYTES(value, value_len)));
	return soft_set_public_info(pkey, pub, priv);
}

static CK_RV generate_secret(struct attrs *priv, bool aes)
{
	CK_ULONG len = attrs_get_ulong(priv, CKA_VALUE_LEN, 0);
	uint8_t *value CLEANUP(secret_cleanup) = NULL;

	if (!attrs_has(priv, CKA_VALUE_LEN))
		return CKR_TEMPLATE_INCOMPLETE;
	if (aes ? len != 16 && len != 24 && len != 32 : len == 0 || len > SECRET_KEY_MAX)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	value = secret_alloc(len);
	if (!value)
		return CKR_HOST_MEMORY;
	TRY(random_bytes(value, len));
	TRY(attrs_set(priv, CKA_VALUE, BYTES(value, len)));
	return soft_complete(priv);
}

static CK_RV generate_aes(struct attrs *pub UNUSED, struct attrs *priv)
{
	return generate_secret(priv, true);
}

static CK_RV generate_generic(struct attrs *pub UNUSED, struct attrs *priv)
{
	return generate_secret(priv, false);
}

/* What the object's class and key type are follows from the mechanism; a caller's template may leave them out. */
static const struct {
	CK_MECHANISM_TYPE mech;
	CK_KEY_TYPE type;
	bool pair;
	CK_RV (*make)(struct attrs *pub, struct attrs *priv);
} rows[] = {
	{.mech = CKM_RSA_PKCS_KEY_PAIR_GEN, .type = CKK_RSA, .pair = true, .make = generate_rsa},
	{.mech = CKM_EC_KEY_PAIR_GEN, .type = CKK_EC, .pair = true, .make = generate_ec},
	{.mech = CKM_EC_EDWARDS_KEY_PAIR_GEN, .type = CKK_EC_EDWARDS, .pair = true, .make = generate_edwards},
	{.mech = CKM_AES_KEY_GEN, .type = CKK_AES, .make = generate_aes},
	{.mech = CKM_GENERIC_SECRET_KEY_GEN, .type = CKK_GENERIC_SECRET, .make = generate_generic},
};

static CK_RV set_type(struct attrs *a, CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
	if (!attrs_has(a, CKA_CLASS))
		TRY(attrs_set_ulong(a, CKA_CLASS, class));
	return attrs_has(a, CKA_KEY_TYPE) ? CKR_OK : attrs_set_ulong(a, CKA_KEY_TYPE, type);
}

CK_RV soft_generate(CK_MECHANISM_TYPE mech, struct attrs *pub, struct attrs *priv)
{
	size_t i = 0;

	while (i < ARRAY_LEN(rows) && rows[i].mech != mech)
		i++;
	if (i == ARRAY_LEN(rows) || rows[i].pair != (pub != NULL))
		return CKR_MECHANISM_INVALID;
	TRY(set_type(priv, rows[i].pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY, rows[i].type));
	if (pub)
		TRY(set_type(pub, CKO_PUBLIC_KEY, rows[i].type));
	return rows[i].make(pub, priv);
}

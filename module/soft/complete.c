/* What an imported key must show besides its values: derived, or checked where the template gave it. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "soft_internal.h"

#define CHECK_VALUE_LEN 3u

static void openssl_cleanup(uint8_t **p)
{
	OPENSSL_free(*p);
}

CK_RV soft_set_public_info(EVP_PKEY *pkey, struct attrs *a, struct attrs *b)
{
	uint8_t *der CLEANUP(openssl_cleanup) = NULL;
	int len = i2d_PUBKEY(pkey, &der);
	struct bytes info;

	if (len <= 0)
		return crypto_failed("SubjectPublicKeyInfo", CKR_FUNCTION_FAILED);
	info = BYTES(der, (size_t)len);
	TRY(attrs_set(a, CKA_PUBLIC_KEY_INFO, info));
	return b ? attrs_set(b, CKA_PUBLIC_KEY_INFO, info) : CKR_OK;
}

/* CKA_PUBLIC_KEY_INFO: an empty one is filled in, any other must be this key's (PKCS#11 3.2, 4.10). */
static CK_RV complete_public_info(EVP_PKEY *pkey, struct attrs *a)
{
	struct attrs *own CLEANUP(attrs_cleanup) = attrs_new();
	struct bytes given, computed;

	if (!own)
		return CKR_HOST_MEMORY;
	TRY(soft_set_public_info(pkey, own, NULL));
	(void)attrs_get(own, CKA_PUBLIC_KEY_INFO, &computed);
	if (attrs_get(a, CKA_PUBLIC_KEY_INFO, &given) && given.len > 0)
		return bytes_equal(given, computed) ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
	return attrs_set(a, CKA_PUBLIC_KEY_INFO, computed);
}

/* A number that the key decides: set, or refused if the template says another. */
static CK_RV complete_number(struct attrs *a, CK_ATTRIBUTE_TYPE type, CK_ULONG v)
{
	if (attrs_has(a, type) && attrs_get_ulong(a, type, ~v) != v)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return attrs_set_ulong(a, type, v);
}

static CK_RV complete_rsa(struct attrs *a, bool private)
{
	struct soft_key *k CLEANUP(soft_key_cleanup) = NULL;

	if (private)
		TRY(soft_rsa_complete(a));
	TRY(soft_key_new(a, &k));
	if (!private)
		TRY(complete_number(a, CKA_MODULUS_BITS, soft_key_size(k)));
	return complete_public_info(k->pkey, a);
}

static void group_cleanup(EC_GROUP **g)
{
	EC_GROUP_free(*g);
}
static void point_cleanup(EC_POINT **p)
{
	EC_POINT_free(*p);
}
static void bn_cleanup(BIGNUM **b)
{
	BN_clear_free(*b);
}
static void bn_ctx_cleanup(BN_CTX **c)
{
	BN_CTX_free(*c);
}

/* The public point of a private value, uncompressed, into out (1 + 2 * field bytes).  The arithmetic blinds itself with
 * random numbers of the BN_CTX's library: without one, of the application's, which may be set up to use us (R5). */
static CK_RV ec_public(const struct curve *c, struct bytes value, uint8_t *out)
{
	OSSL_LIB_CTX *lib = crypto_lib();
	EC_GROUP *g CLEANUP(group_cleanup) = lib ? EC_GROUP_new_by_curve_name_ex(lib, NULL, EC_curve_nist2nid(c->name))
						 : NULL;
	EC_POINT *p CLEANUP(point_cleanup) = g ? EC_POINT_new(g) : NULL;
	BIGNUM *d CLEANUP(bn_cleanup) = BN_bin2bn(value.ptr, (int)value.len, NULL);
	BN_CTX *ctx CLEANUP(bn_ctx_cleanup) = lib ? BN_CTX_secure_new_ex(lib) : NULL;
	size_t len = 1 + 2 * c->field;

	if (!p || !d || !ctx)
		return crypto_failed("EC key", CKR_HOST_MEMORY);
	if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(g)) >= 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	BN_set_flags(d, BN_FLG_CONSTTIME);
	if (EC_POINT_mul(g, p, d, NULL, NULL, ctx) != 1 ||
	    EC_POINT_point2oct(g, p, POINT_CONVERSION_UNCOMPRESSED, out, len, ctx) != len)
		return crypto_failed("EC point", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

/* The CKA_EC_POINT of a private key: what an importer says must be this key's. */
static CK_RV check_point(const struct attrs *a, const struct curve *c, struct bytes own)
{
	struct bytes given, point;

	if (!attrs_get(a, CKA_EC_POINT, &given))
		return CKR_OK;
	return ec_point_unwrap(given, c, &point) && bytes_equal(point, own) ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

/* What is shown is the form of the specification (6.3.3, 6.3.5), whichever the importer had. */
static CK_RV show_point(struct attrs *a, const struct curve *c)
{
	struct buffer wrapped CLEANUP(buffer_done);
	struct bytes given, point;

	buffer_init(&wrapped, 2 * EC_MAX_ORDER + 8);
	if (!attrs_get(a, CKA_EC_POINT, &given))
		return CKR_OK;
	if (!ec_point_unwrap(given, c, &point))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	ec_point_wrap(point, c, &wrapped);
	TRY(buffer_status(&wrapped));
	return attrs_set(a, CKA_EC_POINT, buffer_bytes(&wrapped));
}

static CK_RV complete_ec(struct attrs *a, bool private)
{
	EVP_PKEY *pkey CLEANUP(pkey_cleanup) = NULL;
	struct soft_key *k CLEANUP(soft_key_cleanup) = NULL;
	uint8_t point[1 + 2 * EC_MAX_ORDER];
	struct bytes value;

	TRY(soft_key_new(a, &k));
	TRY(show_point(a, k->curve));
	if (!private)
		return complete_public_info(k->pkey, a);
	value = soft_integer(a, CKA_VALUE);
	TRY(ec_public(k->curve, value, point));
	TRY(check_point(a, k->curve, BYTES(point, 1 + 2 * k->curve->field)));
	TRY(soft_ec_pkey(k->curve, BYTES(point, 1 + 2 * k->curve->field), NO_BYTES, &pkey));
	return complete_public_info(pkey, a);
}

static CK_RV complete_edwards(struct attrs *a, bool private)
{
	struct soft_key *k CLEANUP(soft_key_cleanup) = NULL;
	uint8_t point[32];
	size_t len = sizeof point;

	TRY(soft_key_new(a, &k));
	if (EVP_PKEY_get_raw_public_key(k->pkey, point, &len) != 1)
		return crypto_failed("Edwards key", CKR_FUNCTION_FAILED);
	TRY(show_point(a, k->curve));
	if (private)
		TRY(check_point(a, k->curve, BYTES(point, len)));
	return complete_public_info(k->pkey, a); /* libcrypto derives the point from the private value */
}

static void cipher_ctx_cleanup(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

/* The first three bytes of: AES, a block of zeros encrypted; other secrets, SHA-1 of the value (PKCS#11 3.2, 4.11). */
static CK_RV check_value(struct soft_key *k, uint8_t out[CHECK_VALUE_LEN])
{
	EVP_CIPHER_CTX *c CLEANUP(cipher_ctx_cleanup) = NULL;
	uint8_t block[AES_BLOCK] = {0}, digest[20];
	EVP_CIPHER *ecb;
	int n;

	if (k->family == SOFT_GENERIC) {
		TRY(hash_once(&crypto_hashes[HASH_SHA1], BYTES(k->secret, k->size), digest));
		memcpy(out, digest, CHECK_VALUE_LEN);
		wipe(digest, sizeof digest); /* a short secret could be found by it */
		return CKR_OK;
	}
	c = EVP_CIPHER_CTX_new();
	ecb = soft_key_cipher(k, AES_ECB);
	if (!c || !ecb)
		return crypto_failed("check value", CKR_HOST_MEMORY);
	if (EVP_EncryptInit_ex2(c, ecb, k->secret, NULL, NULL) != 1 ||
	    EVP_EncryptUpdate(c, block, &n, block, sizeof block) != 1)
		return crypto_failed("check value", CKR_FUNCTION_FAILED);
	memcpy(out, block, CHECK_VALUE_LEN);
	return CKR_OK;
}

static CK_RV complete_secret(struct attrs *a, bool private UNUSED)
{
	struct soft_key *k CLEANUP(soft_key_cleanup) = NULL;
	uint8_t computed[CHECK_VALUE_LEN];
	struct bytes given;

	TRY(soft_key_new(a, &k));
	TRY(complete_number(a, CKA_VALUE_LEN, soft_key_size(k)));
	TRY(check_value(k, computed));
	if (!attrs_get(a, CKA_CHECK_VALUE, &given))
		return attrs_set(a, CKA_CHECK_VALUE, BYTES_OF(computed));
	/* Present and empty: the application wants none. */
	return given.len == 0 || bytes_equal(given, BYTES_OF(computed)) ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

CK_RV soft_complete(struct attrs *attrs)
{
	static CK_RV (*const rows[])(struct attrs *a, bool private) = {
		[SOFT_RSA] = complete_rsa, [SOFT_EC] = complete_ec, [SOFT_EDWARDS] = complete_edwards,
		[SOFT_AES] = complete_secret, [SOFT_GENERIC] = complete_secret,
	};
	struct attrs *work CLEANUP(attrs_cleanup) = NULL;
	enum soft_family family;
	CK_RV rv;

	if (!attrs_has(attrs, CKA_CLASS))
		return CKR_TEMPLATE_INCOMPLETE;
	rv = soft_family(attrs, &family);
	if (rv == CKR_KEY_TYPE_INCONSISTENT) /* a key's code; here there is a template only */
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(rv);
	TRY(attrs_copy(attrs, &work));
	rv = rows[family](work, attrs_get_ulong(attrs, CKA_CLASS, 0) == CKO_PRIVATE_KEY);
	if (rv == CKR_KEY_TYPE_INCONSISTENT) /* a type that this class doesn't have */
		return CKR_TEMPLATE_INCONSISTENT;
	TRY(rv);
	return attrs_merge(attrs, work);
}

/* libcrypto as the judge. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "judge.h"

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *key = NULL;

	cr_assert(ctx && params);
	cr_assert(EVP_PKEY_fromdata_init(ctx) == 1);
	cr_assert(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1, "the public key isn't one");
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *rsa_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE pub)
{
	uint8_t modulus[1024], exponent[16];
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();

	CK_ULONG n = attribute(s, pub, CKA_MODULUS, modulus, sizeof modulus);
	CK_ULONG e = attribute(s, pub, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
	BIGNUM *bn = BN_bin2bn(modulus, (int)n, NULL), *be = BN_bin2bn(exponent, (int)e, NULL);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be);
	EVP_PKEY *key = from_params("RSA", bld);
	BN_free(bn);
	BN_free(be);
	return key;
}

static EVP_PKEY *ec_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE pub)
{
	static const struct {
		uint8_t last[2]; /* of the curve's OID */
		const char *group;
	} curves[] = {{{0x01, 0x07}, "P-256"}, {{0x00, 0x22}, "P-384"}, {{0x00, 0x23}, "P-521"}};
	uint8_t params[32], point[160];
	const char *group = NULL;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();

	CK_ULONG n = attribute(s, pub, CKA_EC_PARAMS, params, sizeof params);
	CK_ULONG p = attribute(s, pub, CKA_EC_POINT, point, sizeof point);
	for (size_t i = 0; i < ARRAY_LEN(curves); i++)
		if (n > 2 && memcmp(params + n - 2, curves[i].last, 2) == 0)
			group = curves[i].group;
	cr_assert(group, "unknown curve");
	/* T141: an OCTET STRING around the uncompressed point; P-521's length takes two bytes. */
	size_t head = point[1] == 0x81 ? 3 : 2;
	cr_assert(point[0] == 0x04 && point[head - 1] == p - head && point[head] == 0x04, "CKA_EC_POINT");
	OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
	OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point + head, p - head);
	return from_params("EC", bld);
}

EVP_PKEY *judge_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE pub)
{
	return attribute_ulong(s, pub, CKA_KEY_TYPE) == CKK_RSA ? rsa_key(s, pub) : ec_key(s, pub);
}

bool judge_rsa(EVP_PKEY *key, const EVP_MD *md, int padding, int salt, struct bytes digest, struct bytes sig)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

	cr_assert(ctx && EVP_PKEY_verify_init(ctx) == 1);
	cr_assert(EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1);
	cr_assert(!md || EVP_PKEY_CTX_set_signature_md(ctx, md) == 1);
	if (padding == RSA_PKCS1_PSS_PADDING)
		cr_assert(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) == 1);
	int good = EVP_PKEY_verify(ctx, sig.ptr, sig.len, digest.ptr, digest.len);
	EVP_PKEY_CTX_free(ctx);
	return good == 1;
}

bool judge_ecdsa(EVP_PKEY *key, struct bytes digest, struct bytes rs)
{
	uint8_t der[160], *p = der;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	size_t half = rs.len / 2;

	cr_assert(sig && ECDSA_SIG_set0(sig, BN_bin2bn(rs.ptr, (int)half, NULL),
					BN_bin2bn(rs.ptr + half, (int)half, NULL)) == 1);
	int n = i2d_ECDSA_SIG(sig, &p);
	cr_assert(n > 0);
	ECDSA_SIG_free(sig);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	cr_assert(ctx && EVP_PKEY_verify_init(ctx) == 1);
	int good = EVP_PKEY_verify(ctx, der, (size_t)n, digest.ptr, digest.len);
	EVP_PKEY_CTX_free(ctx);
	return good == 1;
}

size_t judge_encrypt(EVP_PKEY *key, int padding, const EVP_MD *oaep, struct bytes plain, uint8_t *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	size_t n = 512;

	cr_assert(ctx && EVP_PKEY_encrypt_init(ctx) == 1);
	cr_assert(EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1);
	if (oaep)
		cr_assert(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, oaep) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, oaep) == 1);
	cr_assert(EVP_PKEY_encrypt(ctx, out, &n, plain.ptr, plain.len) == 1);
	EVP_PKEY_CTX_free(ctx);
	return n;
}

/* Key derivation from a shared secret. */
#include <openssl/core_names.h>
#include <openssl/kdf.h>

#include "soft_internal.h"

static void kdf_cleanup(EVP_KDF **k)
{
	EVP_KDF_free(*k);
}
static void kdf_ctx_cleanup(EVP_KDF_CTX **c)
{
	EVP_KDF_CTX_free(*c); /* wipes its copy of z */
}

/* ANS X9.63, 5.6.3 (SEC 1, 3.6.1). */
static CK_RV x963(const struct hash *hash, struct bytes z, struct bytes shared, size_t n, uint8_t *out)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash->name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)z.ptr, z.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)shared.ptr, shared.len),
		OSSL_PARAM_END,
	};
	OSSL_LIB_CTX *lib = crypto_lib();
	EVP_KDF *kdf CLEANUP(kdf_cleanup) = lib ? EVP_KDF_fetch(lib, OSSL_KDF_NAME_X963KDF, NULL) : NULL;
	EVP_KDF_CTX *c CLEANUP(kdf_ctx_cleanup) = kdf ? EVP_KDF_CTX_new(kdf) : NULL;

	if (!c)
		return crypto_failed("X9.63 KDF", CKR_HOST_MEMORY);
	if (shared.len == 0)
		params[2] = OSSL_PARAM_construct_end();
	if (EVP_KDF_derive(c, out, n, params) != 1)
		return crypto_failed("X9.63 KDF", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

CK_RV soft_kdf_x963(const struct hash *hash, struct bytes z, struct bytes shared, size_t n, uint8_t *out)
{
	if (n == 0 || z.len == 0 || (!hash && n > z.len))
		return CKR_KEY_SIZE_RANGE;
	if (hash)
		return x963(hash, z, shared, n, out);
	memmove(out, z.ptr, n);
	return CKR_OK;
}

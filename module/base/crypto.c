/* libcrypto through a library context of our own. */
#include <pthread.h>
#include <stdatomic.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "crypto.h"
#include "log.h"

#define DER(...) {.ptr = (const uint8_t[]){__VA_ARGS__}, .len = sizeof((const uint8_t[]){__VA_ARGS__})}
/* DigestInfo up to the digest itself for the SHA-2 family, whose OIDs differ in the last octet (RFC 8017, 9.2). */
#define DER_SHA2(last, size)                                                                                           \
	DER(0x30, 0x11 + (size), 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05,  \
	    0x00, 0x04, size)

const struct hash crypto_hashes[HASH_COUNT] = {
	[HASH_SHA1] = {HASH_SHA1, "SHA1", 20, 64, 0x0004, CKM_SHA_1, CKM_SHA_1_HMAC, CKG_MGF1_SHA1,
		       DER(0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14)},
	/* TPM 2.0 has no SHA-224: 0 is TPM_ALG_ERROR. */
	[HASH_SHA224] = {HASH_SHA224, "SHA224", 28, 64, 0x0000, CKM_SHA224, CKM_SHA224_HMAC, CKG_MGF1_SHA224,
			 DER_SHA2(0x04, 28)},
	[HASH_SHA256] = {HASH_SHA256, "SHA256", 32, 64, 0x000b, CKM_SHA256, CKM_SHA256_HMAC, CKG_MGF1_SHA256,
			 DER_SHA2(0x01, 32)},
	[HASH_SHA384] = {HASH_SHA384, "SHA384", 48, 128, 0x000c, CKM_SHA384, CKM_SHA384_HMAC, CKG_MGF1_SHA384,
			 DER_SHA2(0x02, 48)},
	[HASH_SHA512] = {HASH_SHA512, "SHA512", 64, 128, 0x000d, CKM_SHA512, CKM_SHA512_HMAC, CKG_MGF1_SHA512,
			 DER_SHA2(0x03, 64)},
};

/* Everything fetched, made together and published by one store: whoever loses the race frees his own.  The first
 * cipher has libcrypto list all that there are, a millisecond that a program which only looks at public objects needs
 * not wait: it comes at first use. */
struct fetched {
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *provider;
	EVP_MD *md[HASH_COUNT];
	EVP_MAC *hmac;
	_Atomic(EVP_CIPHER *) gcm;
	EVP_KDF *hkdf, *scrypt;
};
static _Atomic(struct fetched *) shared;

static void fetched_free(struct fetched *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < HASH_COUNT; i++)
		EVP_MD_free(f->md[i]);
	EVP_MAC_free(f->hmac);
	EVP_CIPHER_free(f->gcm);
	EVP_KDF_free(f->hkdf);
	EVP_KDF_free(f->scrypt);
	if (f->provider)
		(void)OSSL_PROVIDER_unload(f->provider);
	OSSL_LIB_CTX_free(f->lib);
	free(f);
}

static bool fetch_all(struct fetched *f)
{
	f->lib = OSSL_LIB_CTX_new();
	if (!f->lib)
		return false;
	f->provider = OSSL_PROVIDER_load(f->lib, "default");
	if (!f->provider)
		return false;
	for (size_t i = 0; i < HASH_COUNT; i++) {
		f->md[i] = EVP_MD_fetch(f->lib, crypto_hashes[i].name, NULL);
		if (!f->md[i])
			return false;
	}
	f->hmac = EVP_MAC_fetch(f->lib, "HMAC", NULL);
	f->hkdf = EVP_KDF_fetch(f->lib, "HKDF", NULL);
	f->scrypt = EVP_KDF_fetch(f->lib, "SCRYPT", NULL);
	return f->hmac && f->hkdf && f->scrypt;
}

static struct fetched *fetched(void)
{
	struct fetched *f = atomic_load_explicit(&shared, memory_order_acquire), *other = NULL;

	if (f)
		return f;
	f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	if (!fetch_all(f)) {
		(void)crypto_failed("loading the default provider", CKR_GENERAL_ERROR);
		fetched_free(f);
		return NULL;
	}
	if (atomic_compare_exchange_strong(&shared, &other, f))
		return f;
	fetched_free(f);
	return other;
}

OSSL_LIB_CTX *crypto_lib(void)
{
	struct fetched *f = fetched();

	return f ? f->lib : NULL;
}

void crypto_shutdown(void)
{
	fetched_free(atomic_exchange(&shared, NULL));
}

/* An entry of libcrypto's queue, told from another one of the same code by where it was made. */
struct entry {
	unsigned long code;
	const char *file;
	int line;
};

static struct entry newest(void)
{
	struct entry e = {.file = NULL};

	e.code = ERR_peek_last_error_all(&e.file, &e.line, NULL, NULL, NULL);
	return e;
}

/* The error of the last failure, or 0 if it left none; the queue goes back to its mark. */
static unsigned long take_error(void)
{
	unsigned long first = ERR_peek_error();
	struct entry last = newest(), older;

	/* The first error says most, but with a mark it is older than this failure. */
	if (ERR_pop_to_mark() != 1)
		return first;
	(void)ERR_set_mark();
	older = newest();
	return last.code == older.code && last.file == older.file && last.line == older.line ? 0 : last.code;
}

static CK_RV answer(const char *what, CK_RV otherwise, CK_RV fatal)
{
	unsigned long error = take_error();
	char text[160];

	if (error) {
		ERR_error_string_n(error, text, sizeof text);
		log_debug("%s: libcrypto: %s", what, text);
	}
	if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
		return CKR_HOST_MEMORY;
	return ERR_FATAL_ERROR(error) ? fatal : otherwise;
}

CK_RV crypto_failed(const char *what, CK_RV otherwise)
{
	return answer(what, otherwise, otherwise);
}

CK_RV crypto_refused(const char *what, CK_RV verdict)
{
	return answer(what, verdict, CKR_FUNCTION_FAILED);
}

const struct hash *hash_by_mech(CK_MECHANISM_TYPE mech)
{
	for (size_t i = 0; i < HASH_COUNT; i++)
		if (crypto_hashes[i].mech == mech)
			return &crypto_hashes[i];
	return NULL;
}

const struct hash *hash_by_mgf(CK_RSA_PKCS_MGF_TYPE mgf)
{
	for (size_t i = 0; i < HASH_COUNT; i++)
		if (crypto_hashes[i].mgf == mgf)
			return &crypto_hashes[i];
	return NULL;
}

const EVP_MD *hash_md(const struct hash *h)
{
	struct fetched *f = fetched();

	return f ? f->md[h->id] : NULL;
}

CK_RV hash_once(const struct hash *h, struct bytes in, uint8_t *out)
{
	const EVP_MD *md = hash_md(h);

	if (!md)
		return CKR_HOST_MEMORY;
	if (EVP_Digest(in.len ? in.ptr : (const uint8_t *)"", in.len, out, NULL, md, NULL) != 1)
		return crypto_failed("digest", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

static void mac_cleanup(EVP_MAC_CTX **c)
{
	EVP_MAC_CTX_free(*c);
}

CK_RV hmac_sha256(struct bytes key, const struct bytes *pieces, size_t n, uint8_t out[32])
{
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
			       OSSL_PARAM_END};
	struct fetched *f = fetched();
	EVP_MAC_CTX *c CLEANUP(mac_cleanup) = f ? EVP_MAC_CTX_new(f->hmac) : NULL;
	size_t len;

	if (!c)
		return CKR_HOST_MEMORY;
	if (EVP_MAC_init(c, key.len ? key.ptr : (const uint8_t *)"", key.len, params) != 1)
		return crypto_failed("HMAC", CKR_FUNCTION_FAILED);
	for (size_t i = 0; i < n; i++)
		if (pieces[i].len && EVP_MAC_update(c, pieces[i].ptr, pieces[i].len) != 1)
			return crypto_failed("HMAC", CKR_FUNCTION_FAILED);
	if (EVP_MAC_final(c, out, &len, 32) != 1 || len != 32)
		return crypto_failed("HMAC", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

static void kdf_cleanup(EVP_KDF_CTX **c)
{
	EVP_KDF_CTX_free(*c);
}

CK_RV hkdf_sha256(const struct key256 *secret, const char *label, struct bytes info, struct key256 *ret)
{
	/* The label and its NUL stand before the info, so that no two uses share an input.  libcrypto concatenates. */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret->b, sizeof secret->b),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)label, strlen(label) + 1),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(info.len ? info.ptr : (const uint8_t *)""),
						  info.len),
		OSSL_PARAM_END,
	};
	struct fetched *f = fetched();
	EVP_KDF_CTX *c CLEANUP(kdf_cleanup) = f ? EVP_KDF_CTX_new(f->hkdf) : NULL;

	if (!c)
		return CKR_HOST_MEMORY;
	if (info.len == 0)
		params[3] = OSSL_PARAM_construct_end();
	if (EVP_KDF_derive(c, ret->b, sizeof ret->b, params) != 1)
		return crypto_failed("HKDF", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

CK_RV scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD,
						  (void *)(pin.len ? pin.ptr : (const uint8_t *)""), pin.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt.ptr, salt.len),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_END,
	};
	struct fetched *f = fetched();
	EVP_KDF_CTX *c CLEANUP(kdf_cleanup) = f ? EVP_KDF_CTX_new(f->scrypt) : NULL;

	if (!c)
		return CKR_HOST_MEMORY;
	if (EVP_KDF_derive(c, ret->b, sizeof ret->b, params) != 1)
		return crypto_failed("scrypt", CKR_HOST_MEMORY); /* all but its memory was checked above */
	return CKR_OK;
}

CK_RV random_bytes(void *out, size_t n)
{
	OSSL_LIB_CTX *lib = crypto_lib();

	if (!lib)
		return CKR_HOST_MEMORY;
	if (n > 0 && RAND_priv_bytes_ex(lib, out, n, 256) != 1)
		return crypto_failed("random numbers", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

#define NONCE 12
#define TAG 16

static void cipher_cleanup(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

/* NULL if libcrypto gives none. */
static const EVP_CIPHER *gcm(struct fetched *f)
{
	EVP_CIPHER *there = atomic_load_explicit(&f->gcm, memory_order_acquire), *made;

	if (there)
		return there;
	made = EVP_CIPHER_fetch(f->lib, "AES-256-GCM", NULL);
	if (!made || atomic_compare_exchange_strong(&f->gcm, &there, made))
		return made;
	EVP_CIPHER_free(made);
	return there;
}

/* Keyed and fed with the additional data. */
static CK_RV gcm_start(EVP_CIPHER_CTX *c, bool seal, const struct key256 *key, const uint8_t nonce[NONCE],
		       struct bytes aad)
{
	const EVP_CIPHER *cipher = gcm(fetched());
	int n;

	if (aad.len > INT32_MAX)
		return CKR_DEVICE_MEMORY;
	if (!cipher || EVP_CipherInit_ex2(c, cipher, key->b, nonce, seal, NULL) != 1 ||
	    (aad.len && EVP_CipherUpdate(c, NULL, &n, aad.ptr, (int)aad.len) != 1))
		return crypto_failed("AES-GCM", CKR_HOST_MEMORY);
	return CKR_OK;
}

static CK_RV gcm_seal(EVP_CIPHER_CTX *c, struct bytes plain, uint8_t *out)
{
	int n = 0, rest = 0;

	if (plain.len && EVP_CipherUpdate(c, out, &n, plain.ptr, (int)plain.len) != 1)
		return crypto_failed("AES-GCM", CKR_HOST_MEMORY);
	if (EVP_CipherFinal_ex(c, out + n, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, out + plain.len) != 1)
		return crypto_failed("AES-GCM", CKR_HOST_MEMORY);
	return CKR_OK;
}

CK_RV aead_seal(const struct key256 *key, struct bytes aad, struct bytes plain, struct buffer *out)
{
	EVP_CIPHER_CTX *c CLEANUP(cipher_cleanup) = fetched() ? EVP_CIPHER_CTX_new() : NULL;
	uint8_t *sealed CLEANUP(free_cleanup) = NULL;
	size_t n = plain.len + AEAD_OVERHEAD;

	if (!c || plain.len > INT32_MAX - AEAD_OVERHEAD)
		return CKR_HOST_MEMORY;
	sealed = malloc(n);
	if (!sealed)
		return CKR_HOST_MEMORY;
	TRY(random_bytes(sealed, NONCE));
	TRY(gcm_start(c, true, key, sealed, aad));
	TRY(gcm_seal(c, plain, sealed + NONCE));
	buffer_put(out, BYTES(sealed, n));
	return buffer_status(out);
}

static CK_RV gcm_open(EVP_CIPHER_CTX *c, struct bytes in, uint8_t *plain)
{
	int n = 0, rest = 0;

	if (in.len > TAG && EVP_CipherUpdate(c, plain, &n, in.ptr, (int)(in.len - TAG)) != 1)
		return crypto_failed("AES-GCM", CKR_HOST_MEMORY);
	if (EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(in.ptr + in.len - TAG)) != 1)
		return crypto_failed("AES-GCM", CKR_HOST_MEMORY);
	/* A wrong tag isn't libcrypto's own failure: of a PIN's seal it means a wrong PIN. */
	if (EVP_CipherFinal_ex(c, plain + n, &rest) != 1)
		return answer("AES-GCM tag", CKR_FUNCTION_FAILED, CKR_HOST_MEMORY);
	return CKR_OK;
}

CK_RV aead_open(const struct key256 *key, struct bytes aad, struct bytes sealed, struct buffer *out)
{
	EVP_CIPHER_CTX *c CLEANUP(cipher_cleanup) = fetched() ? EVP_CIPHER_CTX_new() : NULL;
	struct buffer plain CLEANUP(buffer_done);
	CK_RV rv;

	buffer_init(&plain, sealed.len);
	if (!c)
		return CKR_HOST_MEMORY;
	if (sealed.len < AEAD_OVERHEAD || sealed.len > INT32_MAX)
		return CKR_FUNCTION_FAILED;
	buffer_put(&plain, BYTES(sealed.ptr, sealed.len)); /* room, which the plaintext then overwrites */
	TRY(buffer_status(&plain));
	TRY(gcm_start(c, false, key, sealed.ptr, aad));
	rv = gcm_open(c, BYTES(sealed.ptr + NONCE, sealed.len - NONCE), plain.ptr);
	if (rv != CKR_OK)
		return rv;
	buffer_put(out, BYTES(plain.ptr, sealed.len - AEAD_OVERHEAD));
	return buffer_status(out);
}

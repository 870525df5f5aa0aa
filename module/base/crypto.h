/* libcrypto as Signet uses it: through an OSSL_LIB_CTX of its own with the default provider (R5), made at first
 * use, with every algorithm fetched once.  All functions may be called from any thread. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include <openssl/evp.h>

#include "bytes.h"
#include "secret.h"

/* The library context, or NULL if libcrypto gives none. */
OSSL_LIB_CTX *crypto_lib(void);
/* Frees the context and all that was fetched.  Only for programs that end with it (tests under a leak checker), on
 * their last thread: a thread that has used the context goes back to it when it exits, and crashes if it is gone.
 * C_Finalize therefore leaves the context to the next C_Initialize. */
void crypto_shutdown(void);

enum hash_id { HASH_SHA1, HASH_SHA224, HASH_SHA256, HASH_SHA384, HASH_SHA512, HASH_COUNT };

/* One digest algorithm under each of its names. */
struct hash {
	enum hash_id id;
	const char *name;          /* libcrypto's */
	size_t size, block;        /* bytes */
	uint16_t tpm_alg;          /* TPM_ALG_ID (TCG Algorithm Registry) */
	CK_MECHANISM_TYPE mech;    /* CKM_SHA256 … */
	CK_MECHANISM_TYPE hmac;    /* CKM_SHA256_HMAC … */
	CK_RSA_PKCS_MGF_TYPE mgf;  /* CKG_MGF1_SHA256 … */
	struct bytes digest_info;  /* DER prefix of PKCS#1 v1.5 (RFC 8017, 9.2) */
};
extern const struct hash crypto_hashes[HASH_COUNT];
const struct hash *hash_by_mech(CK_MECHANISM_TYPE mech); /* CKM_SHA256 → row; NULL */
const struct hash *hash_by_mgf(CK_RSA_PKCS_MGF_TYPE mgf);
const EVP_MD *hash_md(const struct hash *h); /* fetched once; NULL on failure */
/* One digest; out has h->size bytes.  CKR_HOST_MEMORY or CKR_FUNCTION_FAILED. */
CK_RV hash_once(const struct hash *h, struct bytes in, uint8_t *out) MUST_CHECK;

/* HMAC-SHA-256 over up to four pieces. */
CK_RV hmac_sha256(struct bytes key, const struct bytes *pieces, size_t n, uint8_t out[32]) MUST_CHECK;
/* HKDF-SHA-256 (RFC 5869) with an empty salt: a 256-bit key for one named use. */
CK_RV hkdf_sha256(const struct key256 *secret, const char *label, struct bytes info, struct key256 *ret) MUST_CHECK;

/* AES-256-GCM.  Sealed form: 12 bytes nonce (random), ciphertext, 16 bytes tag. */
#define AEAD_OVERHEAD 28
CK_RV aead_seal(const struct key256 *key, struct bytes aad, struct bytes plain, struct buffer *out) MUST_CHECK;
/* CKR_FUNCTION_FAILED when the tag is wrong, and for nothing else: then *out is unchanged.  What else can fail is
 * libcrypto's memory: CKR_HOST_MEMORY. */
CK_RV aead_open(const struct key256 *key, struct bytes aad, struct bytes sealed, struct buffer *out) MUST_CHECK;

/* From libcrypto's generator for secrets (RAND_priv_bytes_ex). */
CK_RV random_bytes(void *out, size_t n) MUST_CHECK;

/* scrypt (RFC 7914) → 32 bytes. */
CK_RV scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret) MUST_CHECK;

/* What libcrypto's error queue says about the last failure goes to the debug log, and the queue goes back to its last
 * mark (the front sets one at the entry of each C_ function; below it lie the application's own errors), or is emptied
 * if there is none.  Returns CKR_HOST_MEMORY if it was memory, else `otherwise`. */
CK_RV crypto_failed(const char *what, CK_RV otherwise);
/* The same where libcrypto may have refused what it was given: `verdict` says so.  An error that libcrypto calls fatal is
 * its own failure, not a verdict: CKR_HOST_MEMORY or CKR_FUNCTION_FAILED. */
CK_RV crypto_refused(const char *what, CK_RV verdict);

#endif

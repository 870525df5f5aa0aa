/* The outer wrapping of a duplicate (TPM 2.0 Part 1, 23.3.2.3), in the form that TPM2_Import takes:
 *
 *   TPM2B_DIGEST  HMAC(INTEGRITY key, encrypted || name of the object), by the parent's nameAlg
 *   bytes         encrypted: the TPM2B_SENSITIVE, by CFB of the parent's cipher with an IV of zeros, STORAGE key
 *
 * Both keys come by KDFa from the seed, which travels as a session's salt does, but for its label. */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <tss2/tss2_mu.h>

#include "conn_private.h"
#include "crypto.h"
#include "log.h"
#include "name.h"

struct wrapping {
	const struct hash *hash;  /* the parent's nameAlg */
	unsigned key_bits;        /* of its cipher */
	const TPM2B_NAME *name;   /* of the object */
	struct salt seed;
};

static void wrapping_wipe(struct wrapping *w)
{
	wipe(&w->seed, sizeof w->seed);
}

static void private_wipe(TPM2B_PRIVATE *p)
{
	wipe(p, sizeof *p);
}

static void sensitive_wipe(TPM2B_SENSITIVE *s)
{
	wipe(s, sizeof *s);
}

struct derived {
	uint8_t b[64];
	size_t len;
};

static void derived_wipe(struct derived *d)
{
	wipe(d, sizeof *d);
}

/* KDFa (Part 1, 11.4.10.2) is the counter mode of NIST SP800-108 with a label and a counter of 32 bits. */
static bool derive(const struct wrapping *w, const char *label, struct bytes context, struct derived *ret)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)w->hash->name, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, (char[]){"HMAC"}, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)w->seed.b, w->seed.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)label, strlen(label)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)context.ptr, context.len),
		OSSL_PARAM_END};
	EVP_KDF *kdf = EVP_KDF_fetch(crypto_lib(), "KBKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	bool ok = ctx && EVP_KDF_derive(ctx, ret->b, ret->len, params) > 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

static bool encrypt(const struct wrapping *w, uint8_t *data, size_t n)
{
	static const uint8_t iv[16];
	struct derived key CLEANUP(derived_wipe) = {.len = w->key_bits / 8};
	EVP_CIPHER *cfb = EVP_CIPHER_fetch(crypto_lib(), w->key_bits == 128 ? "AES-128-CFB" : "AES-256-CFB", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len;
	bool ok = cfb && ctx && derive(w, "STORAGE", BYTES(w->name->name, w->name->size), &key) &&
		  EVP_EncryptInit_ex2(ctx, cfb, key.b, iv, NULL) > 0 &&
		  EVP_EncryptUpdate(ctx, data, &len, data, (int)n) > 0;

	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(cfb);
	return ok;
}

/* Over `n` bytes, encrypted, behind which there is room for the name. */
static bool authenticate(const struct wrapping *w, uint8_t *data, size_t n, uint8_t *out)
{
	struct derived key CLEANUP(derived_wipe) = {.len = w->hash->size};
	size_t len;

	memcpy(data + n, w->name->name, w->name->size);
	return derive(w, "INTEGRITY", NO_BYTES, &key) &&
	       EVP_Q_mac(crypto_lib(), "HMAC", NULL, w->hash->name, NULL, key.b, key.len, data, n + w->name->size, out,
			 w->hash->size, &len);
}

static CK_RV wrap(const struct wrapping *w, const TPMT_SENSITIVE *sensitive, TPM2B_PRIVATE *ret)
{
	TPM2B_SENSITIVE plain CLEANUP(sensitive_wipe) = {.sensitiveArea = *sensitive};
	TPM2B_PRIVATE out CLEANUP(private_wipe) = {0};
	size_t at = 2 + w->hash->size, end = at;

	if (Tss2_MU_TPM2B_SENSITIVE_Marshal(&plain, out.buffer, sizeof out.buffer, &end) != TSS2_RC_SUCCESS ||
	    end + w->name->size > sizeof out.buffer)
		return CKR_GENERAL_ERROR;
	out.buffer[1] = (uint8_t)w->hash->size;
	if (!encrypt(w, out.buffer + at, end - at) || !authenticate(w, out.buffer + at, end - at, out.buffer + 2))
		return crypto_failed("wrapping a key for the TPM", CKR_FUNCTION_FAILED);
	out.size = (uint16_t)end;
	*ret = out;
	return CKR_OK;
}

CK_RV duplicate_make(struct conn *c, const TPM2B_PUBLIC *parent, const TPM2B_PUBLIC *public,
		     const TPMT_SENSITIVE *sensitive, TPM2B_PRIVATE *ret_duplicate, TPM2B_ENCRYPTED_SECRET *ret_seed)
{
	const TPMT_PUBLIC *p = &parent->publicArea;
	const TPMT_SYM_DEF_OBJECT *sym = &p->parameters.asymDetail.symmetric;
	TPM2B_NAME name = {0};
	struct wrapping w CLEANUP(wrapping_wipe) = {
		.hash = name_hash(p->nameAlg), .key_bits = sym->keyBits.aes, .name = &name};
	TPM2B_ENCRYPTED_SECRET seed = {0};

	if (!w.hash || sym->algorithm != TPM2_ALG_AES || sym->mode.aes != TPM2_ALG_CFB ||
	    (w.key_bits != 128 && w.key_bits != 256)) {
		log_error("slot %s: the storage key protects its children in a way that Signet doesn't know", c->slot);
		return conn_fail(c, CKR_DEVICE_ERROR);
	}
	CK_RV rv = name_of_object(&public->publicArea, &name);
	if (rv != CKR_OK)
		return conn_fail(c, rv);
	TRY(salt_make(parent, "DUPLICATE", &w.seed, &seed));
	TRY(wrap(&w, sensitive, ret_duplicate));
	*ret_seed = seed;
	return CKR_OK;
}

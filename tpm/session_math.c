/* The arithmetic of authorization sessions (TPM 2.0 Part 1, 11.4 and 19) on libcrypto objects that are fetched once:
 * fetching costs more than what is fetched.  HMAC is built from the digest (RFC 2104): libcrypto's, which has a context
 * for each of its three hashes to set up and wipe with every new key, takes three times as long. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <tss2/tss2_mu.h>

#include "conn_private.h"
#include "crypto.h"
#include "der.h"
#include "name.h"

#define MAX_COORDINATE 66 /* bytes, P-521 */
#define HASH_SIZE 32
#define HASH_BLOCK 64
#define NONCES 8          /* drawn at once: a draw costs as much as a signature's whole arithmetic */

struct session_math {
	EVP_MD *sha256;
	EVP_MD_CTX *md;
	uint8_t nonces[NONCES][NONCE_SIZE];
	size_t nonces_left;
	EVP_CIPHER *cfb;  /* from the first parameter that is encrypted on */
	EVP_CIPHER_CTX *cipher;
};

struct session_math *session_math_new(void)
{
	struct session_math *m = calloc(1, sizeof *m);

	if (!m || !crypto_lib()) {
		free(m);
		return NULL;
	}
	m->sha256 = EVP_MD_fetch(crypto_lib(), "SHA256", NULL);
	m->md = EVP_MD_CTX_new();
	m->cipher = EVP_CIPHER_CTX_new();
	if (m->sha256 && m->md && m->cipher && EVP_DigestInit_ex2(m->md, m->sha256, NULL) > 0)
		return m;
	session_math_free(m);
	return NULL;
}

void session_math_free(struct session_math *m)
{
	if (!m)
		return;
	EVP_CIPHER_CTX_free(m->cipher);
	EVP_MD_CTX_free(m->md);
	EVP_CIPHER_free(m->cfb);
	EVP_MD_free(m->sha256);
	wipe(m, sizeof *m);
	free(m);
}

bool math_nonce(struct session_math *m, TPM2B_NONCE *ret)
{
	if (!m->nonces_left && random_bytes(m->nonces, sizeof m->nonces) != CKR_OK)
		return false;
	if (!m->nonces_left)
		m->nonces_left = NONCES;
	ret->size = NONCE_SIZE;
	memcpy(ret->buffer, m->nonces[--m->nonces_left], NONCE_SIZE);
	return true;
}

/* H(first || pieces). */
static bool hash_after(struct session_math *m, struct bytes first, const struct bytes *pieces, size_t n,
		       uint8_t out[HASH_SIZE])
{
	bool ok = EVP_DigestInit_ex2(m->md, NULL, NULL) > 0; /* the same digest again */

	if (ok && first.len)
		ok = EVP_DigestUpdate(m->md, first.ptr, first.len) > 0;
	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(m->md, pieces[i].ptr, pieces[i].len) > 0;
	return ok && EVP_DigestFinal_ex(m->md, out, NULL) > 0;
}

bool math_hash(struct session_math *m, const struct bytes *pieces, size_t n, uint8_t out[32])
{
	return hash_after(m, NO_BYTES, pieces, n, out);
}

/* The key, filled up to a block and xored with `pad`; keys longer than a block are hashed first. */
static bool hmac_block(struct session_math *m, struct bytes key, uint8_t pad, uint8_t block[HASH_BLOCK])
{
	memset(block, 0, HASH_BLOCK);
	if (key.len > HASH_BLOCK) {
		if (!hash_after(m, NO_BYTES, &key, 1, block))
			return false;
	} else if (key.len) {
		memcpy(block, key.ptr, key.len);
	}
	for (size_t i = 0; i < HASH_BLOCK; i++)
		block[i] ^= pad;
	return true;
}

bool math_hmac(struct session_math *m, struct bytes key, const struct bytes *pieces, size_t n, uint8_t out[32])
{
	uint8_t block[HASH_BLOCK], inner[HASH_SIZE];
	const struct bytes digest = BYTES_OF(inner);
	bool ok = hmac_block(m, key, 0x36, block) && hash_after(m, BYTES_OF(block), pieces, n, inner) &&
		  hmac_block(m, key, 0x5c, block) && hash_after(m, BYTES_OF(block), &digest, 1, out);

	wipe(block, sizeof block);
	return ok;
}

bool math_cfb(struct session_math *m, const uint8_t key_iv[32], bool encrypt, uint8_t *data, size_t n)
{
	int len;

	if (!m->cfb)
		m->cfb = EVP_CIPHER_fetch(crypto_lib(), "AES-128-CFB", NULL);
	if (!m->cfb || n > INT32_MAX)
		return false;
	return EVP_CipherInit_ex2(m->cipher, m->cfb, key_iv, key_iv + 16, encrypt, NULL) > 0 &&
	       EVP_CipherUpdate(m->cipher, data, &len, data, (int)n) > 0;
}

bool session_kdfa(struct session_math *m, struct bytes key, const char *label, struct bytes u, struct bytes v,
		  uint8_t out[32])
{
	static const uint8_t counter[4] = {0, 0, 0, 1}, bits[4] = {0, 0, 1, 0}; /* one block of 256 bits */
	const struct bytes pieces[] = {BYTES_OF(counter), BYTES(label, strlen(label) + 1), u, v, BYTES_OF(bits)};

	return math_hmac(m, key, pieces, ARRAY_LEN(pieces), out);
}

/* ---- salts ---- */

static const struct curve *curve_by_tpm(TPM2_ECC_CURVE id)
{
	for (size_t i = 0; i < CURVE_COUNT; i++)
		if (der_curves[i].tpm_id == id && !der_curves[i].edwards)
			return &der_curves[i];
	return NULL;
}

/* A key pair's (or a public key's) point, uncompressed. */
struct point {
	uint8_t b[1 + 2 * MAX_COORDINATE];
	size_t field;
};

static bool point_of(const TPMS_ECC_POINT *in, size_t field, struct point *ret)
{
	if (in->x.size > field || in->y.size > field)
		return false;
	*ret = (struct point){.b = {4}, .field = field};
	memcpy(ret->b + 1 + field - in->x.size, in->x.buffer, in->x.size);
	memcpy(ret->b + 1 + 2 * field - in->y.size, in->y.buffer, in->y.size);
	return true;
}

static void pkey_cleanup(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}
static void pkey_ctx_cleanup(EVP_PKEY_CTX **p)
{
	EVP_PKEY_CTX_free(*p);
}

static EVP_PKEY *public_pkey(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx CLEANUP(pkey_ctx_cleanup) = EVP_PKEY_CTX_new_from_name(crypto_lib(), type, NULL);
	EVP_PKEY *key = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		return NULL;
	return key;
}

static EVP_PKEY *peer_pkey(const struct curve *curve, const struct point *p)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve->name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)p->b, 1 + 2 * p->field),
		OSSL_PARAM_END};

	return public_pkey("EC", params);
}

/* The x coordinate of own * peer, padded to the curve's size. */
static bool shared_x(EVP_PKEY *own, EVP_PKEY *peer, uint8_t *z, size_t field)
{
	EVP_PKEY_CTX *ctx CLEANUP(pkey_ctx_cleanup) = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), own, NULL);
	size_t n = field;

	return ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer_ex(ctx, peer, 1) > 0 &&
	       EVP_PKEY_derive(ctx, z, &n) > 0 && n == field;
}

/* How a salt is made: the nameAlg of the key that opens it, and what it is for. */
struct salting {
	const struct hash *hash;
	struct bytes label; /* with its terminating zero, which counts */
};

/* KDFe (Part 1, 11.4.10.3), one block: the salt is as long as the digest. */
static CK_RV kdfe(const struct salting *h, struct bytes z, const struct point *own, const struct point *peer,
		  uint8_t *out)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, 1024);
	buffer_put_be32(&b, 1);
	buffer_put(&b, z);
	buffer_put(&b, h->label);
	buffer_put(&b, BYTES(own->b + 1, own->field));
	buffer_put(&b, BYTES(peer->b + 1, peer->field));
	TRY(buffer_status(&b));
	return hash_once(h->hash, buffer_bytes(&b), out);
}

static CK_RV put_point(const struct point *p, TPM2B_ENCRYPTED_SECRET *ret)
{
	TPMS_ECC_POINT out = {.x.size = (uint16_t)p->field, .y.size = (uint16_t)p->field};
	size_t n = 0;

	memcpy(out.x.buffer, p->b + 1, p->field);
	memcpy(out.y.buffer, p->b + 1 + p->field, p->field);
	if (Tss2_MU_TPMS_ECC_POINT_Marshal(&out, ret->secret, sizeof ret->secret, &n) != TSS2_RC_SUCCESS)
		return CKR_GENERAL_ERROR;
	ret->size = (uint16_t)n;
	return CKR_OK;
}

struct shared_secret {
	uint8_t x[MAX_COORDINATE];
};
static void shared_wipe(struct shared_secret *z)
{
	wipe(z, sizeof *z);
}

/* An ephemeral key's point goes out, the ECDH result through KDFe is the salt. */
static CK_RV salt_ecc(const TPMT_PUBLIC *key, const struct salting *h, struct salt *ret,
		      TPM2B_ENCRYPTED_SECRET *secret)
{
	const struct curve *curve = curve_by_tpm(key->parameters.eccDetail.curveID);
	struct point peer, own = {.b = {0}};
	struct shared_secret z CLEANUP(shared_wipe) = {.x = {0}};
	size_t n = 0;
	CK_RV rv;

	if (!curve || !point_of(&key->unique.ecc, curve->field, &peer))
		return CKR_DEVICE_ERROR;
	EVP_PKEY *eph CLEANUP(pkey_cleanup) = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", curve->name);
	EVP_PKEY *pkey CLEANUP(pkey_cleanup) = peer_pkey(curve, &peer);

	own.field = curve->field;
	if (!eph || !pkey || !shared_x(eph, pkey, z.x, curve->field) ||
	    EVP_PKEY_get_octet_string_param(eph, OSSL_PKEY_PARAM_PUB_KEY, own.b, sizeof own.b, &n) <= 0 ||
	    n != 1 + 2 * curve->field || own.b[0] != 4)
		return crypto_refused("salting a session or a key", CKR_DEVICE_ERROR);
	rv = kdfe(h, BYTES(z.x, curve->field), &own, &peer, ret->b);
	if (rv == CKR_OK)
		rv = put_point(&own, secret);
	return rv;
}

static EVP_PKEY *rsa_pkey(const TPMT_PUBLIC *key)
{
	uint32_t e = key->parameters.rsaDetail.exponent ? key->parameters.rsaDetail.exponent : 65537;
	uint8_t n[sizeof key->unique.rsa.buffer];
	size_t len = MIN(key->unique.rsa.size, sizeof n);

	for (size_t i = 0; i < len; i++) /* OSSL_PARAM integers are in the processor's order */
		n[i] = key->unique.rsa.buffer[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? len - 1 - i : i];
	OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, len),
			       OSSL_PARAM_construct_uint32(OSSL_PKEY_PARAM_RSA_E, &e), OSSL_PARAM_END};

	return public_pkey("RSA", params);
}

/* A random salt, by OAEP with the key's nameAlg and the label. */
static CK_RV salt_rsa(const TPMT_PUBLIC *key, const struct salting *h, struct salt *ret, TPM2B_ENCRYPTED_SECRET *secret)
{
	char oaep[] = OSSL_PKEY_RSA_PAD_MODE_OAEP;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, oaep, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, (char *)h->hash->name, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, (char *)h->hash->name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, (void *)h->label.ptr,
						  h->label.len),
		OSSL_PARAM_END};
	EVP_PKEY *pkey CLEANUP(pkey_cleanup) = rsa_pkey(key);
	EVP_PKEY_CTX *ctx CLEANUP(pkey_ctx_cleanup) =
		pkey ? EVP_PKEY_CTX_new_from_pkey(crypto_lib(), pkey, NULL) : NULL;
	size_t n = sizeof secret->secret;

	TRY(random_bytes(ret->b, ret->len));
	if (!ctx || EVP_PKEY_encrypt_init_ex(ctx, params) <= 0 ||
	    EVP_PKEY_encrypt(ctx, secret->secret, &n, ret->b, ret->len) <= 0)
		return crypto_refused("salting a session or a key", CKR_DEVICE_ERROR);
	secret->size = (uint16_t)n;
	return CKR_OK;
}

CK_RV salt_make(const TPM2B_PUBLIC *key, const char *label, struct salt *ret, TPM2B_ENCRYPTED_SECRET *ret_secret)
{
	const TPMT_PUBLIC *p = &key->publicArea;
	const struct salting h = {.hash = name_hash(p->nameAlg), .label = BYTES(label, strlen(label) + 1)};

	if (!h.hash || h.hash->size > sizeof ret->b)
		return CKR_DEVICE_ERROR;
	ret->len = h.hash->size;
	switch (p->type) {
	case TPM2_ALG_ECC:
		return salt_ecc(p, &h, ret, ret_secret);
	case TPM2_ALG_RSA:
		return salt_rsa(p, &h, ret, ret_secret);
	default:
		return CKR_DEVICE_ERROR;
	}
}

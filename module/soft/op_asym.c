/* Operations with RSA, EC and Edwards keys.  RSA with a private key, and PKCS#1 v1.5 verification, are a raw
 * operation between the encodings of pad.c, as they are with keys in a TPM or the kernel. */
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include "rv.h"
#include "soft_internal.h"

/* libcrypto wants a pointer also where there is no data. */
static const uint8_t *data_of(struct bytes in)
{
	return in.len > 0 ? in.ptr : (const uint8_t *)"";
}

/* Of a digest longer than the order its leftmost bits count (FIPS 186-5, 6.4.1); libcrypto, which takes them itself,
 * would first make an int of the length. */
static struct bytes leftmost(struct bytes digest, const struct curve *c)
{
	return BYTES(data_of(digest), MIN(digest.len, c->order));
}

static size_t asym_size(const struct soft_op *op, size_t in_len UNUSED, bool final)
{
	return final ? op->key->max_output : 0;
}

static void asym_done(struct soft_op *op)
{
	EVP_PKEY_CTX_free(op->asym.ctx);
	free(op->asym.label);
}

/* Keeps the scheme for the finish; the label is copied, the other borrowed parts mean nothing here. */
static CK_RV keep_scheme(struct soft_op *op, const struct scheme *scheme)
{
	op->asym.scheme = *scheme;
	op->asym.scheme.label = op->asym.scheme.iv = op->asym.scheme.aad = NO_BYTES;
	if (scheme->label.len == 0)
		return CKR_OK;
	op->asym.label = malloc(scheme->label.len);
	if (!op->asym.label)
		return CKR_HOST_MEMORY;
	memcpy(op->asym.label, scheme->label.ptr, scheme->label.len);
	op->asym.scheme.label = BYTES(op->asym.label, scheme->label.len);
	return CKR_OK;
}

/* ---- RSA ---- */

/* What an encoding takes of the modulus: fixed bytes, lengths of its hash, the salt; and libcrypto's name for it. */
struct rsa_encoding {
	CK_MECHANISM_TYPE type;
	size_t fixed, hashes, salts;
	int padding;
};

static const struct rsa_encoding *rsa_encoding(CK_MECHANISM_TYPE type)
{
	static const struct rsa_encoding rows[] = {
		{.type = CKM_RSA_PKCS, .fixed = 11, .padding = RSA_PKCS1_PADDING},
		{.type = CKM_RSA_PKCS_PSS, .fixed = 2, .hashes = 1, .salts = 1, .padding = RSA_PKCS1_PSS_PADDING},
		{.type = CKM_RSA_PKCS_OAEP, .fixed = 2, .hashes = 2, .padding = RSA_PKCS1_OAEP_PADDING},
		{.type = CKM_RSA_X_509, .padding = RSA_NO_PADDING},
	};
	size_t i = 0;

	while (i < ARRAY_LEN(rows) - 1 && rows[i].type != type)
		i++;
	return &rows[i];
}

static size_t rsa_overhead(const struct scheme *s)
{
	const struct rsa_encoding *e = rsa_encoding(s->type);

	return e->fixed + e->hashes * (s->hash ? s->hash->size : 0) + e->salts * s->salt_len;
}

static CK_RV rsa_begin(struct soft_op *op, const struct scheme *scheme)
{
	bool hashes = rsa_encoding(scheme->type)->hashes > 0;
	/* PSS has a bit less than the modulus, which may cost a byte (RFC 8017, 9.1.1). */
	size_t room = scheme->type == CKM_RSA_PKCS_PSS ? (op->key->size + 6) / 8 : op->key->max_output;

	if (hashes && (!scheme->hash || !scheme->mgf))
		return CKR_MECHANISM_PARAM_INVALID;
	if (scheme->salt_len > room || rsa_overhead(scheme) > room)
		return CKR_KEY_SIZE_RANGE;
	return keep_scheme(op, scheme);
}

/* Whether a block is, as a number, not below the modulus: for the code of a raw operation that failed. */
static bool too_large(const struct soft_key *k, const uint8_t *block)
{
	BIGNUM *n = NULL, *v = BN_bin2bn(block, (int)k->max_output, NULL);
	bool large = v && EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && BN_cmp(v, n) >= 0;

	BN_clear_free(v);
	BN_free(n);
	return large;
}

static CK_RV raw_failed(const char *what, const struct soft_key *k, const uint8_t *block, CK_RV if_too_large)
{
	return crypto_failed(what, too_large(k, block) ? if_too_large : CKR_FUNCTION_FAILED);
}

/* The raw private operation: a modulus' length of bytes to as many. */
static CK_RV rsa_raw(struct soft_key *k, const uint8_t *in, uint8_t *out, CK_RV if_too_large)
{
	EVP_PKEY_CTX *c = soft_ctx_take(k);
	size_t n = k->max_output;

	if (!c)
		return CKR_HOST_MEMORY;
	if (EVP_PKEY_sign(c, out, &n, in, n) != 1) {
		EVP_PKEY_CTX_free(c);
		return raw_failed("RSA private operation", k, in, if_too_large);
	}
	soft_ctx_give(k, c);
	return CKR_OK;
}

static CK_RV rsa_sign(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	uint8_t em[RSA_MAX_BYTES];

	TRY(rsa_pad_sign(&op->asym.scheme, op->key->size, in, em));
	TRY(rsa_raw(op->key, em, out->ptr, CKR_DATA_INVALID));
	out->len = op->key->max_output;
	return CKR_OK;
}

const struct soft_op_class soft_rsa_sign = {
	.begin = rsa_begin, .size = asym_size, .finish = rsa_sign, .done = asym_done,
};

static CK_RV check_signature_len(const struct soft_op *op, const struct outbuf *signature)
{
	return signature->len == op->key->max_output ? CKR_OK : CKR_SIGNATURE_LEN_RANGE;
}

/* What libcrypto's verification came to: a negative result is no verdict. */
static CK_RV verdict(const char *what, int result)
{
	return result == 1 ? CKR_OK : crypto_refused(what, result < 0 ? CKR_FUNCTION_FAILED : CKR_SIGNATURE_INVALID);
}

/* The encoding is made again and compared with what the signature holds (RFC 8017, 8.2.2): nothing is parsed. */
static CK_RV rsa_verify(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	uint8_t em[RSA_MAX_BYTES], held[RSA_MAX_BYTES];
	size_t n = sizeof held;
	EVP_PKEY_CTX *c;
	CK_RV rv = rsa_pad_sign(&op->asym.scheme, op->key->size, in, em);

	TRY(rv_prefer(rv, check_signature_len(op, out)));
	c = soft_ctx_take(op->key);
	if (!c)
		return CKR_HOST_MEMORY;
	rv = verdict("RSA verification", EVP_PKEY_verify_recover(c, held, &n, out->ptr, out->len));
	if (rv != CKR_OK) {
		EVP_PKEY_CTX_free(c);
		return rv;
	}
	soft_ctx_give(op->key, c);
	return secret_equal(BYTES(held, n), BYTES(em, out->len)) ? CKR_OK : CKR_SIGNATURE_INVALID;
}

const struct soft_op_class soft_rsa_verify = {
	.begin = rsa_begin, .size = asym_size, .finish = rsa_verify, .done = asym_done,
};

static CK_RV pss_verify_begin(struct soft_op *op, const struct scheme *s)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), op->key->pkey, NULL);

	op->asym.ctx = c;
	TRY(rsa_begin(op, s));
	if (!c || EVP_PKEY_verify_init(c) != 1 || EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(c, hash_md(s->hash)) != 1 ||
	    EVP_PKEY_CTX_set_rsa_mgf1_md(c, hash_md(s->mgf)) != 1 ||
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(c, (int)s->salt_len) != 1)
		return crypto_failed("PSS verification", CKR_HOST_MEMORY);
	return CKR_OK;
}

static CK_RV pss_verify(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	CK_RV rv = in.len == op->asym.scheme.hash->size ? CKR_OK : CKR_DATA_LEN_RANGE;

	TRY(rv_prefer(rv, check_signature_len(op, out)));
	return verdict("PSS verification", EVP_PKEY_verify(op->asym.ctx, out->ptr, out->len, in.ptr, in.len));
}

const struct soft_op_class soft_pss_verify = {
	.begin = pss_verify_begin, .size = asym_size, .finish = pss_verify, .done = asym_done,
};

/* libcrypto takes over the copy of the label. */
static int set_label(EVP_PKEY_CTX *c, struct bytes label)
{
	void *copy;

	if (label.len == 0)
		return 1;
	copy = label.len <= INT32_MAX ? OPENSSL_memdup(label.ptr, label.len) : NULL;
	if (!copy)
		return 0;
	if (EVP_PKEY_CTX_set0_rsa_oaep_label(c, copy, (int)label.len) == 1)
		return 1;
	OPENSSL_free(copy);
	return 0;
}

static int set_oaep(EVP_PKEY_CTX *c, const struct scheme *s)
{
	return EVP_PKEY_CTX_set_rsa_oaep_md(c, hash_md(s->hash)) == 1 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(c, hash_md(s->mgf)) == 1 && set_label(c, s->label);
}

static CK_RV rsa_encrypt_begin(struct soft_op *op, const struct scheme *s)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), op->key->pkey, NULL);
	int padding = rsa_encoding(s->type)->padding;

	op->asym.ctx = c;
	TRY(rsa_begin(op, s));
	if (!c || EVP_PKEY_encrypt_init(c) != 1 || EVP_PKEY_CTX_set_rsa_padding(c, padding) != 1 ||
	    (padding == RSA_PKCS1_OAEP_PADDING && !set_oaep(c, s)))
		return crypto_failed("RSA encryption", CKR_HOST_MEMORY);
	return CKR_OK;
}

static CK_RV rsa_encrypt(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	size_t k = op->key->max_output, n = out->cap;
	uint8_t block[RSA_MAX_BYTES];
	CK_RV rv = CKR_OK;

	if (in.len > k - rsa_overhead(&op->asym.scheme))
		return CKR_DATA_LEN_RANGE;
	if (op->asym.scheme.type == CKM_RSA_X_509) {
		TRY(rsa_pad_sign(&op->asym.scheme, op->key->size, in, block));
		in = BYTES(block, k);
	}
	if (EVP_PKEY_encrypt(op->asym.ctx, out->ptr, &n, data_of(in), in.len) == 1)
		out->len = n;
	else if (in.ptr == block)
		rv = raw_failed("RSA encryption", op->key, block, CKR_DATA_INVALID);
	else
		rv = crypto_failed("RSA encryption", CKR_FUNCTION_FAILED);
	wipe(block, sizeof block);
	return rv;
}

const struct soft_op_class soft_rsa_encrypt = {
	.begin = rsa_encrypt_begin, .size = asym_size, .finish = rsa_encrypt, .done = asym_done,
};

static size_t rsa_decrypt_size(const struct soft_op *op, size_t in_len UNUSED, bool final)
{
	return final ? op->key->max_output - rsa_overhead(&op->asym.scheme) : 0;
}

static CK_RV rsa_decrypt(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	const struct scheme *s = &op->asym.scheme;
	uint8_t em[RSA_MAX_BYTES];
	struct outbuf plain = {.ptr = em, .cap = sizeof em}, result = {.ptr = out->ptr, .cap = out->cap};
	struct bytes block = BYTES(em, op->key->max_output);
	CK_RV rv;

	if (in.len != block.len)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	rv = rsa_raw(op->key, in.ptr, em, CKR_ENCRYPTED_DATA_INVALID);
	if (rv == CKR_OK)
		rv = s->type == CKM_RSA_PKCS ? rsa_unpad_pkcs1(&op->key->kdk, in, block, &plain)
					     : rsa_unpad_decrypt(s, block, &plain);
	if (rv == CKR_OK)
		rv = outbuf_put(&result, BYTES(plain.ptr, plain.len));
	if (rv == CKR_OK)
		out->len = result.len;
	wipe(em, sizeof em);
	return rv;
}

const struct soft_op_class soft_rsa_decrypt = {
	.begin = rsa_begin, .size = rsa_decrypt_size, .finish = rsa_decrypt, .done = asym_done,
};

/* ---- ECDSA ---- */

/* SEQUENCE of two INTEGERs of the largest order, with their headers. */
#define ECDSA_DER_MAX (2 * (EC_MAX_ORDER + 3) + 3)

static CK_RV plain_begin(struct soft_op *op UNUSED, const struct scheme *scheme UNUSED)
{
	return CKR_OK;
}

static CK_RV ecdsa_sign(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	EVP_PKEY_CTX *c = soft_ctx_take(op->key);
	uint8_t der[ECDSA_DER_MAX];
	size_t n = sizeof der;

	if (!c)
		return CKR_HOST_MEMORY;
	in = leftmost(in, op->key->curve);
	if (EVP_PKEY_sign(c, der, &n, in.ptr, in.len) != 1) {
		EVP_PKEY_CTX_free(c);
		return crypto_failed("ECDSA", CKR_FUNCTION_FAILED);
	}
	soft_ctx_give(op->key, c);
	if (!ecdsa_der_to_raw(BYTES(der, n), op->key->curve->order, out->ptr))
		return CKR_FUNCTION_FAILED;
	out->len = op->key->max_output;
	return CKR_OK;
}

const struct soft_op_class soft_ecdsa_sign = {.begin = plain_begin, .size = asym_size, .finish = ecdsa_sign};

static CK_RV ecdsa_verify(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	struct buffer der CLEANUP(buffer_done);
	EVP_PKEY_CTX *c;
	CK_RV rv;

	buffer_init(&der, ECDSA_DER_MAX);
	if (out->len == 0 || out->len % 2 || out->len > op->key->max_output)
		return CKR_SIGNATURE_LEN_RANGE;
	if (!ecdsa_raw_to_der(BYTES(out->ptr, out->len), &der))
		return CKR_HOST_MEMORY;
	c = soft_ctx_take(op->key);
	if (!c)
		return CKR_HOST_MEMORY;
	in = leftmost(in, op->key->curve);
	rv = verdict("ECDSA verification", EVP_PKEY_verify(c, der.ptr, der.len, in.ptr, in.len));
	if (rv != CKR_OK) {
		EVP_PKEY_CTX_free(c);
		return rv;
	}
	soft_ctx_give(op->key, c);
	return CKR_OK;
}

const struct soft_op_class soft_ecdsa_verify = {.begin = plain_begin, .size = asym_size, .finish = ecdsa_verify};

/* ---- ECDH (SP 800-56A, 5.7.1.2) ---- */

static size_t ecdh_size(const struct soft_op *op, size_t in_len UNUSED, bool final)
{
	return final ? op->key->curve->field : 0;
}

/* A public key from what the other party sent: only a point of the curve is one. */
static CK_RV peer_key(const struct curve *c, struct bytes point, EVP_PKEY **ret)
{
	CK_RV rv;

	if (point.len != 1 + 2 * c->field || point.ptr[0] != 0x04)
		return CKR_MECHANISM_PARAM_INVALID;
	rv = soft_ec_pkey(c, point, NO_BYTES, ret);
	return rv == CKR_ATTRIBUTE_VALUE_INVALID ? CKR_MECHANISM_PARAM_INVALID : rv;
}

static CK_RV ecdh(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	EVP_PKEY *peer CLEANUP(pkey_cleanup) = NULL;
	EVP_PKEY_CTX *c CLEANUP(pkey_ctx_cleanup) = NULL;
	size_t n = op->key->curve->field;

	TRY(peer_key(op->key->curve, in, &peer));
	c = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), op->key->pkey, NULL);
	if (!c || EVP_PKEY_derive_init(c) != 1)
		return crypto_failed("ECDH", CKR_HOST_MEMORY);
	if (EVP_PKEY_derive_set_peer(c, peer) != 1)
		return crypto_refused("ECDH", CKR_MECHANISM_PARAM_INVALID);
	if (EVP_PKEY_derive(c, out->ptr, &n) != 1 || n != op->key->curve->field)
		return crypto_failed("ECDH", CKR_FUNCTION_FAILED);
	out->len = n;
	return CKR_OK;
}

const struct soft_op_class soft_ecdh = {.begin = plain_begin, .size = ecdh_size, .finish = ecdh};

/* ---- EdDSA (RFC 8032, pure) ---- */

#define EDDSA_SIZE 64

static void md_ctx_cleanup(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

/* Half of the signature is written before the message is read for the second time, and the caller's buffer may hold
 * both: so it is made elsewhere. */
static CK_RV eddsa_sign(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	EVP_MD_CTX *c CLEANUP(md_ctx_cleanup) = EVP_MD_CTX_new();
	uint8_t signature[EDDSA_SIZE];
	size_t n = sizeof signature;

	if (!c || EVP_DigestSignInit_ex(c, NULL, NULL, crypto_lib(), NULL, op->key->pkey, NULL) != 1)
		return crypto_failed("EdDSA", CKR_HOST_MEMORY);
	if (EVP_DigestSign(c, signature, &n, data_of(in), in.len) != 1)
		return crypto_failed("EdDSA", CKR_FUNCTION_FAILED);
	memcpy(out->ptr, signature, n);
	out->len = n;
	return CKR_OK;
}

const struct soft_op_class soft_eddsa_sign = {.begin = plain_begin, .size = asym_size, .finish = eddsa_sign};

static CK_RV eddsa_verify(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	EVP_MD_CTX *c CLEANUP(md_ctx_cleanup) = NULL;

	TRY(check_signature_len(op, out));
	c = EVP_MD_CTX_new();
	if (!c || EVP_DigestVerifyInit_ex(c, NULL, NULL, crypto_lib(), NULL, op->key->pkey, NULL) != 1)
		return crypto_failed("EdDSA verification", CKR_HOST_MEMORY);
	return verdict("EdDSA verification", EVP_DigestVerify(c, out->ptr, out->len, data_of(in), in.len));
}

const struct soft_op_class soft_eddsa_verify = {.begin = plain_begin, .size = asym_size, .finish = eddsa_verify};

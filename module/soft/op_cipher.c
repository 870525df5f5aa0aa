/* AES in its modes.  Sizes are exact because `held` follows what libcrypto keeps back: a part of a block, and with
 * CBC_PAD decryption also a whole one, which may be the last. */
#include <openssl/core_names.h>

#include "soft_internal.h"

/* libcrypto counts in int; a multiple of the block. */
#define CHUNK (1u << 30)
/* What libcrypto takes as a GCM nonce. */
#define GCM_IV_MAX 128u
/* Ceiling of what GCM decryption collects. */
#define GCM_COLLECT_MAX ((size_t)1 << 30)

static void cipher_done(struct soft_op *op)
{
	EVP_CIPHER_CTX_free(op->cipher.ctx);
	buffer_done(&op->cipher.collected);
}

static bool encrypting(const struct soft_op *op)
{
	return op->kind == OP_ENCRYPT;
}

static CK_RV length_code(const struct soft_op *op)
{
	return encrypting(op) ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
}

static CK_RV cipher_begin(struct soft_op *op, enum aes_mode mode, struct bytes iv)
{
	EVP_CIPHER *cipher = soft_key_cipher(op->key, mode);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	size_t iv_len = iv.len;
	OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_IVLEN, &iv_len), OSSL_PARAM_END};

	op->cipher.ctx = c;
	if (!c || !cipher)
		return crypto_failed("cipher", CKR_HOST_MEMORY);
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	/* Key and counter block have the right length: what can be missing is memory. */
	if (EVP_CipherInit_ex2(c, cipher, op->key->secret, mode == AES_GCM ? NULL : iv.ptr, encrypting(op), NULL) != 1)
		return crypto_failed("cipher", CKR_HOST_MEMORY);
	/* A nonce goes in after its length. */
	if (mode == AES_GCM && (EVP_CIPHER_CTX_set_params(c, params) != 1 ||
				EVP_CipherInit_ex2(c, NULL, NULL, iv.ptr, encrypting(op), NULL) != 1))
		return crypto_refused("GCM nonce", CKR_MECHANISM_PARAM_INVALID);
	return CKR_OK;
}

/* Feeds libcrypto; out NULL: additional data.  *ret_n: bytes written. */
static CK_RV run(struct soft_op *op, struct bytes in, uint8_t *out, size_t *ret_n)
{
	size_t written = 0;

	for (size_t at = 0, n; at < in.len; at += n) {
		int given = 0;

		n = MIN(in.len - at, (size_t)CHUNK);
		if (EVP_CipherUpdate(op->cipher.ctx, out ? out + written : NULL, &given, in.ptr + at, (int)n) != 1)
			return crypto_failed("cipher", CKR_FUNCTION_FAILED);
		written += (size_t)given;
	}
	*ret_n = written;
	return CKR_OK;
}

/* ---- ECB, CBC, CBC_PAD ---- */

static CK_RV block_begin(struct soft_op *op, const struct scheme *scheme)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		enum aes_mode mode;
		size_t iv;
		bool pad;
	} rows[] = {
		{.type = CKM_AES_ECB, .mode = AES_ECB},
		{.type = CKM_AES_CBC, .mode = AES_CBC, .iv = AES_BLOCK},
		{.type = CKM_AES_CBC_PAD, .mode = AES_CBC, .iv = AES_BLOCK, .pad = true},
	};
	size_t i = 0;

	while (i < ARRAY_LEN(rows) - 1 && rows[i].type != scheme->type)
		i++;
	if (scheme->iv.len != rows[i].iv)
		return CKR_MECHANISM_PARAM_INVALID;
	TRY(cipher_begin(op, rows[i].mode, scheme->iv));
	op->cipher.pad = rows[i].pad;
	(void)EVP_CIPHER_CTX_set_padding(op->cipher.ctx, rows[i].pad);
	return CKR_OK;
}

/* Whole blocks that come out of `total` bytes before the end. */
static size_t blocks_of(const struct soft_op *op, size_t total)
{
	bool hold_last = op->cipher.pad && !encrypting(op) && total > 0;

	return (total - hold_last) / AES_BLOCK * AES_BLOCK;
}

static size_t block_size(const struct soft_op *op, size_t in_len, bool final)
{
	size_t total = op->cipher.held + in_len;

	if (!final || !op->cipher.pad)
		return blocks_of(op, total);
	if (encrypting(op))
		return blocks_of(op, total) + AES_BLOCK;
	return total > 0 ? total - 1 : 0; /* at least a byte of padding goes */
}

/* Where bytes are held, output runs ahead of input, and in place would overwrite what is still to be read. */
static CK_RV run_blocks(struct soft_op *op, struct bytes in, uint8_t *out, size_t *ret_n)
{
	size_t total = op->cipher.held + in.len;
	struct buffer copy CLEANUP(buffer_done);

	buffer_init(&copy, in.len);
	if (op->cipher.held > 0 && in.ptr == out) {
		buffer_put(&copy, in);
		TRY(buffer_status(&copy));
		in = buffer_bytes(&copy);
	}
	TRY(run(op, in, out, ret_n));
	op->cipher.held = total - *ret_n;
	return CKR_OK;
}

static CK_RV block_update(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	size_t n = 0;

	TRY(run_blocks(op, in, out->ptr, &n));
	out->len = n;
	return CKR_OK;
}

static CK_RV block_finish(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	size_t total = op->cipher.held + in.len, n = 0;
	bool unpad = op->cipher.pad && !encrypting(op);
	uint8_t last[AES_BLOCK];
	int rest = 0;
	CK_RV rv;

	if ((unpad || !op->cipher.pad) && total % AES_BLOCK)
		return length_code(op);
	if (unpad && total == 0)
		return length_code(op);
	TRY(run_blocks(op, in, out->ptr, &n));
	if (EVP_CipherFinal_ex(op->cipher.ctx, last, &rest) != 1)
		return crypto_refused("padding", unpad ? CKR_ENCRYPTED_DATA_INVALID : CKR_FUNCTION_FAILED);
	rv = (size_t)rest <= out->cap - n ? CKR_OK : CKR_BUFFER_TOO_SMALL;
	if (rv == CKR_OK) {
		if (rest > 0)
			memcpy(out->ptr + n, last, (size_t)rest);
		out->len = n + (size_t)rest;
	}
	wipe(last, sizeof last);
	return rv;
}

const struct soft_op_class soft_aes_block = {
	.begin = block_begin, .size = block_size, .update = block_update, .finish = block_finish, .done = cipher_done,
};

/* ---- CTR ---- */

/* Bytes until the low `bits` of the counter block have been through all their values. */
static uint64_t counter_room(struct bytes block, unsigned bits)
{
	uint64_t low = 0, mask = ((uint64_t)1 << bits) - 1;

	for (size_t i = 8; i < AES_BLOCK; i++)
		low = low << 8 | block.ptr[i];
	return (mask - (low & mask) + 1) * AES_BLOCK;
}

static CK_RV ctr_begin(struct soft_op *op, const struct scheme *scheme)
{
	if (scheme->iv.len != AES_BLOCK || scheme->counter_bits == 0 || scheme->counter_bits > 128)
		return CKR_MECHANISM_PARAM_INVALID;
	/* A wider counter outlives any amount of data. */
	if (scheme->counter_bits < 60) {
		op->cipher.limited = true;
		op->cipher.left = counter_room(scheme->iv, scheme->counter_bits);
	}
	return cipher_begin(op, AES_CTR, scheme->iv);
}

static size_t stream_size(const struct soft_op *op UNUSED, size_t in_len, bool final UNUSED)
{
	return in_len;
}

/* libcrypto counts in all 128 bits: a carry out of the counter's own would spoil the nonce. */
static CK_RV ctr_run(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	size_t n = 0;

	if (op->cipher.limited && in.len > op->cipher.left)
		return length_code(op);
	TRY(run(op, in, out->ptr, &n));
	op->cipher.left -= op->cipher.limited ? in.len : 0;
	out->len = n;
	return CKR_OK;
}

const struct soft_op_class soft_aes_ctr = {
	.begin = ctr_begin, .size = stream_size, .update = ctr_run, .finish = ctr_run, .done = cipher_done,
};

/* ---- CFB128, OFB ---- */

static CK_RV feedback_begin(struct soft_op *op, const struct scheme *scheme)
{
	if (scheme->iv.len != AES_BLOCK)
		return CKR_MECHANISM_PARAM_INVALID;
	return cipher_begin(op, scheme->type == CKM_AES_OFB ? AES_OFB : AES_CFB, scheme->iv);
}

static CK_RV feedback_run(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	size_t n = 0;

	TRY(run(op, in, out->ptr, &n));
	out->len = n;
	return CKR_OK;
}

const struct soft_op_class soft_aes_feedback = {
	.begin = feedback_begin, .size = stream_size, .update = feedback_run, .finish = feedback_run,
	.done = cipher_done,
};

/* ---- KEY_WRAP (RFC 3394), KEY_WRAP_KWP (RFC 5649): one block, longer by eight bytes than what it wraps ---- */

#define WRAP_UNIT 8u

static CK_RV wrap_begin(struct soft_op *op, const struct scheme *scheme)
{
	bool kwp = scheme->type == CKM_AES_KEY_WRAP_KWP;

	if (scheme->iv.len != 0 && scheme->iv.len != (kwp ? 4 : WRAP_UNIT))
		return CKR_MECHANISM_PARAM_INVALID;
	op->cipher.pad = kwp;
	/* Without an IV libcrypto takes the standard's. */
	return cipher_begin(op, kwp ? AES_KWP : AES_KW, scheme->iv.len ? scheme->iv : NO_BYTES);
}

/* Of a padded one only the length of what libcrypto writes before it looks at the padding is known. */
static size_t wrap_size(const struct soft_op *op, size_t in_len, bool final)
{
	if (!final)
		return 0;
	if (encrypting(op))
		return (in_len / WRAP_UNIT + (in_len % WRAP_UNIT > 0) + 1) * WRAP_UNIT;
	return in_len > WRAP_UNIT ? in_len - WRAP_UNIT : 0;
}

/* RFC 3394 wraps two units and more, RFC 5649 any number of bytes but none. */
static bool wrap_length_fits(const struct soft_op *op, size_t len)
{
	size_t least = op->cipher.pad ? 1 : 2 * WRAP_UNIT;

	if (!encrypting(op))
		least = (op->cipher.pad ? 2 : 3) * WRAP_UNIT;
	return len >= least && len <= CHUNK && (len % WRAP_UNIT == 0 || (op->cipher.pad && encrypting(op)));
}

static CK_RV wrap_finish(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	int n = 0;

	if (!wrap_length_fits(op, in.len))
		return length_code(op);
	if (EVP_CipherUpdate(op->cipher.ctx, out->ptr, &n, in.ptr, (int)in.len) != 1)
		return crypto_refused("key wrapping", encrypting(op) ? CKR_FUNCTION_FAILED : CKR_ENCRYPTED_DATA_INVALID);
	out->len = (size_t)n;
	return CKR_OK;
}

const struct soft_op_class soft_aes_wrap = {
	.begin = wrap_begin, .size = wrap_size, .finish = wrap_finish, .done = cipher_done,
};

/* ---- GCM ---- */

static CK_RV gcm_begin(struct soft_op *op, const struct scheme *scheme)
{
	size_t n = 0;

	buffer_init(&op->cipher.collected, GCM_COLLECT_MAX);
	if (scheme->iv.len == 0 || scheme->iv.len > GCM_IV_MAX || scheme->tag_len == 0 || scheme->tag_len > AES_BLOCK)
		return CKR_MECHANISM_PARAM_INVALID;
	op->cipher.tag_len = scheme->tag_len;
	TRY(cipher_begin(op, AES_GCM, scheme->iv));
	return run(op, scheme->aad, NULL, &n);
}

static size_t gcm_encrypt_size(const struct soft_op *op, size_t in_len, bool final)
{
	return in_len + (final ? op->cipher.tag_len : 0);
}

static CK_RV gcm_encrypt_update(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	size_t n = 0;

	TRY(run(op, in, out->ptr, &n));
	out->len = n;
	return CKR_OK;
}

static CK_RV gcm_encrypt_finish(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	uint8_t none[AES_BLOCK];
	size_t n = 0;
	int rest;

	TRY(run(op, in, out->ptr, &n));
	if (EVP_CipherFinal_ex(op->cipher.ctx, none, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(op->cipher.ctx, EVP_CTRL_AEAD_GET_TAG, (int)op->cipher.tag_len, out->ptr + n) != 1)
		return crypto_failed("GCM tag", CKR_FUNCTION_FAILED);
	out->len = n + op->cipher.tag_len;
	return CKR_OK;
}

const struct soft_op_class soft_gcm_encrypt = {
	.begin = gcm_begin, .size = gcm_encrypt_size, .update = gcm_encrypt_update, .finish = gcm_encrypt_finish,
	.done = cipher_done,
};

static size_t gcm_decrypt_size(const struct soft_op *op, size_t in_len, bool final)
{
	size_t total = op->cipher.collected.len + in_len;

	return final && total > op->cipher.tag_len ? total - op->cipher.tag_len : 0;
}

static CK_RV gcm_decrypt_update(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	buffer_put(&op->cipher.collected, in);
	TRY(buffer_status(&op->cipher.collected));
	out->len = 0;
	return CKR_OK;
}

/* Decrypts in the collected buffer, and gives it away once the tag is right. */
static CK_RV gcm_decrypt_finish(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	struct buffer *all = &op->cipher.collected;
	size_t total = all->len + in.len, tag_len = op->cipher.tag_len, n = 0;
	uint8_t none[AES_BLOCK];
	int rest;

	if (total < tag_len)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	buffer_put(all, in);
	TRY(buffer_status(all));
	TRY(run(op, BYTES(all->ptr, total - tag_len), all->ptr, &n));
	if (EVP_CIPHER_CTX_ctrl(op->cipher.ctx, EVP_CTRL_AEAD_SET_TAG, (int)tag_len, all->ptr + n) != 1 ||
	    EVP_CipherFinal_ex(op->cipher.ctx, none, &rest) != 1)
		return crypto_refused("GCM tag", CKR_ENCRYPTED_DATA_INVALID);
	if (n > 0)
		memcpy(out->ptr, all->ptr, n);
	out->len = n;
	return CKR_OK;
}

const struct soft_op_class soft_gcm_decrypt = {
	.begin = gcm_begin, .size = gcm_decrypt_size, .update = gcm_decrypt_update, .finish = gcm_decrypt_finish,
	.done = cipher_done,
};

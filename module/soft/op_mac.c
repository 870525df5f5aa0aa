/* HMAC and CMAC.  The key holds a keyed context for each; an operation works on a copy. */
#include "soft_internal.h"

#define MAC_MAX 64u

/* tag_len 0: the whole MAC. */
static CK_RV mac_begin(struct soft_op *op, const struct hash *h, size_t full, size_t tag_len)
{
	if (tag_len > full)
		return CKR_MECHANISM_PARAM_INVALID;
	op->mac.len = tag_len ? tag_len : full;
	op->mac.ctx = soft_key_mac(op->key, h);
	return op->mac.ctx ? CKR_OK : crypto_failed("MAC", CKR_HOST_MEMORY);
}

static CK_RV hmac_begin(struct soft_op *op, const struct scheme *scheme)
{
	if (!scheme->hash)
		return CKR_MECHANISM_PARAM_INVALID;
	return mac_begin(op, scheme->hash, scheme->hash->size, scheme->tag_len);
}

static CK_RV cmac_begin(struct soft_op *op, const struct scheme *scheme)
{
	return mac_begin(op, NULL, AES_BLOCK, scheme->tag_len);
}

static size_t mac_size(const struct soft_op *op, size_t in_len UNUSED, bool final)
{
	return final ? op->mac.len : 0;
}

static CK_RV feed(struct soft_op *op, struct bytes in)
{
	if (in.len > 0 && EVP_MAC_update(op->mac.ctx, in.ptr, in.len) != 1)
		return crypto_failed("MAC", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

static CK_RV mac_update(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	TRY(feed(op, in));
	if (op->kind != OP_VERIFY)
		out->len = 0;
	return CKR_OK;
}

static CK_RV compare(const struct soft_op *op, const uint8_t *mac, const struct outbuf *given)
{
	if (given->len != op->mac.len)
		return CKR_SIGNATURE_LEN_RANGE;
	return secret_equal(BYTES(mac, op->mac.len), BYTES(given->ptr, given->len)) ? CKR_OK : CKR_SIGNATURE_INVALID;
}

static CK_RV mac_finish(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	uint8_t mac[MAC_MAX];
	CK_RV rv = CKR_OK;
	size_t n;

	TRY(feed(op, in));
	if (EVP_MAC_final(op->mac.ctx, mac, &n, sizeof mac) != 1)
		return crypto_failed("MAC", CKR_FUNCTION_FAILED);
	if (op->kind == OP_VERIFY) {
		rv = compare(op, mac, out);
	} else {
		memcpy(out->ptr, mac, op->mac.len);
		out->len = op->mac.len;
	}
	wipe(mac, sizeof mac);
	return rv;
}

static void mac_done(struct soft_op *op)
{
	EVP_MAC_CTX_free(op->mac.ctx);
}

const struct soft_op_class soft_hmac = {
	.begin = hmac_begin, .size = mac_size, .update = mac_update, .finish = mac_finish, .done = mac_done,
};
const struct soft_op_class soft_cmac = {
	.begin = cmac_begin, .size = mac_size, .update = mac_update, .finish = mac_finish, .done = mac_done,
};

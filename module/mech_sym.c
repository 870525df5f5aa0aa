/* AES mechanisms (PKCS#11 3.2, 6.13), the generators of secret keys, and the mechanism of our own. */
#include "mech_rows.h"

#define AES_BLOCK 16
/* What libcrypto takes as the nonce of GCM, in bytes. */
#define GCM_IV_MAX 128

static CK_RV param_iv(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	(void)m;
	if (!given->pParameter || given->ulParameterLen != AES_BLOCK)
		return CKR_MECHANISM_PARAM_INVALID;
	ret->iv = BYTES(given->pParameter, AES_BLOCK);
	return CKR_OK;
}

/* CK_AES_CTR_PARAMS.  The counter block is borrowed from the caller's struct, not from our copy. */
static CK_RV param_ctr(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	CK_AES_CTR_PARAMS p;

	(void)m;
	TRY(mech_param_read(given, &p, sizeof p));
	if (p.ulCounterBits < 1 || p.ulCounterBits > 8 * AES_BLOCK)
		return CKR_MECHANISM_PARAM_INVALID;
	ret->counter_bits = (unsigned)p.ulCounterBits;
	ret->iv = BYTES((const uint8_t *)given->pParameter + offsetof(CK_AES_CTR_PARAMS, cb), AES_BLOCK);
	return CKR_OK;
}

/* The tag lengths of NIST SP 800-38D, 5.2.1.2. */
static bool gcm_tag_ok(CK_ULONG bits)
{
	return bits == 32 || bits == 64 || (bits >= 96 && bits <= 128 && bits % 8 == 0);
}

/* CK_GCM_PARAMS.  ulIvBits is a later addition that many callers leave 0. */
static CK_RV param_gcm(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	CK_GCM_PARAMS p;

	(void)m;
	TRY(mech_param_read(given, &p, sizeof p));
	if (!p.pIv || p.ulIvLen < 1 || p.ulIvLen > GCM_IV_MAX)
		return CKR_MECHANISM_PARAM_INVALID;
	if (p.ulIvBits != 0 && p.ulIvBits != p.ulIvLen * 8)
		return CKR_MECHANISM_PARAM_INVALID;
	if (!slice_ok(p.pAAD, p.ulAADLen) || !gcm_tag_ok(p.ulTagBits))
		return CKR_MECHANISM_PARAM_INVALID;
	ret->iv = BYTES(p.pIv, p.ulIvLen);
	ret->aad = BYTES(p.pAAD, p.ulAADLen);
	ret->tag_len = p.ulTagBits / 8;
	return CKR_OK;
}

/* Without an IV, the standard's (RFC 3394, 2.2.3.1; RFC 5649, 3). */
static CK_RV param_wrap_iv(const CK_MECHANISM *given, size_t len, struct scheme *ret)
{
	if (given->ulParameterLen == 0)
		return CKR_OK;
	if (!given->pParameter || given->ulParameterLen != len)
		return CKR_MECHANISM_PARAM_INVALID;
	ret->iv = BYTES(given->pParameter, len);
	return CKR_OK;
}

static CK_RV param_key_wrap(const struct mech *m UNUSED, const CK_MECHANISM *given, struct scheme *ret)
{
	return param_wrap_iv(given, 8, ret);
}

static CK_RV param_kwp(const struct mech *m UNUSED, const CK_MECHANISM *given, struct scheme *ret)
{
	return param_wrap_iv(given, 4, ret);
}

#define CIPHER (CKF_ENCRYPT | CKF_DECRYPT)
/* Of the modes that PKCS#11 lets wrap keys, those that tell whether the result is one, or that everybody uses. */
#define WRAPPING (CIPHER | CKF_WRAP | CKF_UNWRAP)
#define SECRET(mech_, key_type_, flags_, ...)                                                                          \
	{.type = (mech_), .base = (mech_), .flags = (flags_), .class = CKO_SECRET_KEY, .key_type = (key_type_),        \
	 .input = INPUT_STREAM, __VA_ARGS__}
#define WHOLE(mech_, ...)                                                                                              \
	{.type = (mech_), .base = (mech_), .flags = WRAPPING, .class = CKO_SECRET_KEY, .key_type = CKK_AES,            \
	 .input = INPUT_WHOLE, __VA_ARGS__}

static const struct mech rows[] = {
	SECRET(CKM_AES_KEY_GEN, CKK_AES, CKF_GENERATE),
	SECRET(CKM_AES_ECB, CKK_AES, WRAPPING, .filling = FILL_BEHIND),
	SECRET(CKM_AES_CBC, CKK_AES, WRAPPING, .filling = FILL_BEHIND, .param = param_iv),
	SECRET(CKM_AES_CBC_PAD, CKK_AES, WRAPPING, .wraps_private = true, .open_padding = true, .param = param_iv),
	SECRET(CKM_AES_CTR, CKK_AES, CIPHER, .param = param_ctr),
	SECRET(CKM_AES_CFB128, CKK_AES, CIPHER, .param = param_iv),
	SECRET(CKM_AES_OFB, CKK_AES, CIPHER, .param = param_iv),
	SECRET(CKM_AES_GCM, CKK_AES, WRAPPING, .wraps_private = true, .param = param_gcm),
	WHOLE(CKM_AES_KEY_WRAP, .plain = {16, MECH_WHOLE_MAX, 8}, .sealed = {24, MECH_WHOLE_MAX, 8},
	      .param = param_key_wrap),
	WHOLE(CKM_AES_KEY_WRAP_KWP, .plain = {1, MECH_WHOLE_MAX, 1}, .sealed = {16, MECH_WHOLE_MAX, 8},
	      .wraps_private = true, .param = param_kwp),
	SECRET(CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, CKF_GENERATE),
};

const struct mech_rows mech_sym_rows = {.at = rows, .n = ARRAY_LEN(rows)};

/* Ours: a TPM's own form of its keys.  The parameter, the new authorization value, is api_wrap.c's to read. */
static const struct mech own_rows[] = {
	{.type = CKM_SIGNET_TSS2_KEY, .base = CKM_SIGNET_TSS2_KEY, .flags = CKF_WRAP,
	 .class = CK_UNAVAILABLE_INFORMATION, .key_type = CK_UNAVAILABLE_INFORMATION, .exports = true},
};

const struct mech_rows mech_own_rows = {.at = own_rows, .n = ARRAY_LEN(own_rows)};

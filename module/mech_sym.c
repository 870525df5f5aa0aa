/* AES mechanisms (PKCS#11 3.2, 6.13) and the generators of secret keys. */
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

#define CIPHER (CKF_ENCRYPT | CKF_DECRYPT)
#define SECRET(mech_, key_type_, flags_, ...)                                                                          \
	{.type = (mech_), .base = (mech_), .flags = (flags_), .class = CKO_SECRET_KEY, .key_type = (key_type_),        \
	 .input = INPUT_STREAM, __VA_ARGS__}

static const struct mech rows[] = {
	SECRET(CKM_AES_KEY_GEN, CKK_AES, CKF_GENERATE),
	SECRET(CKM_AES_ECB, CKK_AES, CIPHER),
	SECRET(CKM_AES_CBC, CKK_AES, CIPHER, .param = param_iv),
	SECRET(CKM_AES_CBC_PAD, CKK_AES, CIPHER, .param = param_iv),
	SECRET(CKM_AES_CTR, CKK_AES, CIPHER, .param = param_ctr),
	SECRET(CKM_AES_GCM, CKK_AES, CIPHER, .param = param_gcm),
	SECRET(CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, CKF_GENERATE),
};

const struct mech_rows mech_sym_rows = {.at = rows, .n = ARRAY_LEN(rows)};

/* Digests (PKCS#11 3.2, 6.18 to 6.24), HMACs over them and AES-CMAC (6.15). */
#include "mech_rows.h"

#define AES_BLOCK 16

static size_t mac_size(const struct mech *m)
{
	return m->hash ? m->hash->size : AES_BLOCK;
}

static CK_RV param_full(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	TRY(mech_param_none(given));
	ret->tag_len = mac_size(m);
	return CKR_OK;
}

/* CK_MAC_GENERAL_PARAMS: the length of the MAC in bytes.  A MAC of none proves nothing and is refused. */
static CK_RV param_general(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	CK_ULONG len;

	TRY(mech_param_read(given, &len, sizeof len));
	if (len < 1 || len > mac_size(m))
		return CKR_MECHANISM_PARAM_INVALID;
	ret->tag_len = len;
	return CKR_OK;
}

#define MAC(mech_, base_, key_type_, ...)                                                                              \
	{.type = (mech_), .base = (base_), .flags = CKF_SIGN | CKF_VERIFY, .class = CKO_SECRET_KEY,                    \
	 .key_type = (key_type_), .input = INPUT_STREAM, __VA_ARGS__}
#define DIGEST(mech_, id)                                                                                              \
	{.type = (mech_), .base = (mech_), .flags = CKF_DIGEST, .class = CK_UNAVAILABLE_INFORMATION,                   \
	 .key_type = CK_UNAVAILABLE_INFORMATION, .input = INPUT_HASHED, .hash = &crypto_hashes[id]}
#define DIGEST_AND_HMAC(mech_, id)                                                                                     \
	DIGEST(mech_, id),                                                                                             \
	MAC(mech_##_HMAC, mech_##_HMAC, CKK_GENERIC_SECRET, .hash = &crypto_hashes[id], .param = param_full),      \
	MAC(mech_##_HMAC_GENERAL, mech_##_HMAC, CKK_GENERIC_SECRET, .hash = &crypto_hashes[id],                    \
	    .param = param_general)

static const struct mech rows[] = {
	DIGEST_AND_HMAC(CKM_SHA_1, HASH_SHA1),
	DIGEST_AND_HMAC(CKM_SHA224, HASH_SHA224),
	DIGEST_AND_HMAC(CKM_SHA256, HASH_SHA256),
	DIGEST_AND_HMAC(CKM_SHA384, HASH_SHA384),
	DIGEST_AND_HMAC(CKM_SHA512, HASH_SHA512),
	MAC(CKM_AES_CMAC, CKM_AES_CMAC, CKK_AES, .param = param_full),
	MAC(CKM_AES_CMAC_GENERAL, CKM_AES_CMAC, CKK_AES, .param = param_general),
};

const struct mech_rows mech_mac_rows = {.at = rows, .n = ARRAY_LEN(rows)};

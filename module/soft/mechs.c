/* The base mechanisms: one row each.  The _GENERAL forms are these with a shorter tag_len. */
#include "soft_internal.h"

#define SIGNING (CKF_SIGN | CKF_VERIFY)
#define CRYPTING (CKF_ENCRYPT | CKF_DECRYPT)
#define RSA_ROW(mech, uses) {.type = (mech), .min = RSA_MIN_BITS, .max = RSA_MAX_BITS, .flags = (uses)}
#define HMAC_ROW(mech) {.type = (mech), .min = 1, .max = SECRET_MAX, .flags = SIGNING}
#define AES_ROW(mech, uses) {.type = (mech), .min = 16, .max = 32, .flags = (uses)}

/* Operations first, in the order of `rows`; then generation. */
const struct token_mech soft_mechs[] = {
	RSA_ROW(CKM_RSA_PKCS, SIGNING | CRYPTING),
	RSA_ROW(CKM_RSA_PKCS_PSS, SIGNING),
	RSA_ROW(CKM_RSA_PKCS_OAEP, CRYPTING),
	RSA_ROW(CKM_RSA_X_509, SIGNING | CRYPTING),
	{.type = CKM_ECDSA, .min = 256, .max = 521, .flags = SIGNING},
	{.type = CKM_EDDSA, .min = EDWARDS_BITS, .max = EDWARDS_BITS, .flags = SIGNING},
	{.type = CKM_ECDH1_DERIVE, .min = 256, .max = 521, .flags = CKF_DERIVE},
	AES_ROW(CKM_AES_ECB, CRYPTING),
	AES_ROW(CKM_AES_CBC, CRYPTING),
	AES_ROW(CKM_AES_CBC_PAD, CRYPTING),
	AES_ROW(CKM_AES_CTR, CRYPTING),
	AES_ROW(CKM_AES_CFB128, CRYPTING),
	AES_ROW(CKM_AES_OFB, CRYPTING),
	AES_ROW(CKM_AES_GCM, CRYPTING),
	AES_ROW(CKM_AES_KEY_WRAP, CRYPTING),
	AES_ROW(CKM_AES_KEY_WRAP_KWP, CRYPTING),
	AES_ROW(CKM_AES_CMAC, SIGNING),
	HMAC_ROW(CKM_SHA_1_HMAC),
	HMAC_ROW(CKM_SHA224_HMAC),
	HMAC_ROW(CKM_SHA256_HMAC),
	HMAC_ROW(CKM_SHA384_HMAC),
	HMAC_ROW(CKM_SHA512_HMAC),
	RSA_ROW(CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
	{.type = CKM_EC_KEY_PAIR_GEN, .min = 256, .max = 521, .flags = CKF_GENERATE_KEY_PAIR},
	{.type = CKM_EC_EDWARDS_KEY_PAIR_GEN, .min = EDWARDS_BITS, .max = EDWARDS_BITS, .flags = CKF_GENERATE_KEY_PAIR},
	AES_ROW(CKM_AES_KEY_GEN, CKF_GENERATE),
	{.type = CKM_GENERIC_SECRET_KEY_GEN, .min = 1, .max = SECRET_KEY_MAX, .flags = CKF_GENERATE},
};
const size_t soft_mechs_count = ARRAY_LEN(soft_mechs);

#define BOTH_CRYPT(c) {[OP_ENCRYPT] = &(c), [OP_DECRYPT] = &(c)}
#define BOTH_SIGN(c) {[OP_SIGN] = &(c), [OP_VERIFY] = &(c)}
#define HMAC_OP(mech) {.type = (mech), .family = SOFT_GENERIC, .class = BOTH_SIGN(soft_hmac)}

static const struct soft_mech rows[] = {
	{
		.type = CKM_RSA_PKCS,
		.family = SOFT_RSA,
		.class = {[OP_SIGN] = &soft_rsa_sign, [OP_VERIFY] = &soft_rsa_verify,
			  [OP_ENCRYPT] = &soft_rsa_encrypt, [OP_DECRYPT] = &soft_rsa_decrypt},
	},
	{
		.type = CKM_RSA_PKCS_PSS,
		.family = SOFT_RSA,
		.class = {[OP_SIGN] = &soft_rsa_sign, [OP_VERIFY] = &soft_pss_verify},
	},
	{
		.type = CKM_RSA_PKCS_OAEP,
		.family = SOFT_RSA,
		.class = {[OP_ENCRYPT] = &soft_rsa_encrypt, [OP_DECRYPT] = &soft_rsa_decrypt},
	},
	{
		.type = CKM_RSA_X_509,
		.family = SOFT_RSA,
		.class = {[OP_SIGN] = &soft_rsa_sign, [OP_VERIFY] = &soft_rsa_verify,
			  [OP_ENCRYPT] = &soft_rsa_encrypt, [OP_DECRYPT] = &soft_rsa_decrypt},
	},
	{
		.type = CKM_ECDSA,
		.family = SOFT_EC,
		.class = {[OP_SIGN] = &soft_ecdsa_sign, [OP_VERIFY] = &soft_ecdsa_verify},
	},
	{
		.type = CKM_EDDSA,
		.family = SOFT_EDWARDS,
		.class = {[OP_SIGN] = &soft_eddsa_sign, [OP_VERIFY] = &soft_eddsa_verify},
	},
	{.type = CKM_ECDH1_DERIVE, .family = SOFT_EC, .class = {[OP_DERIVE] = &soft_ecdh}},
	{.type = CKM_AES_ECB, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_block)},
	{.type = CKM_AES_CBC, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_block)},
	{.type = CKM_AES_CBC_PAD, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_block)},
	{.type = CKM_AES_CTR, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_ctr)},
	{.type = CKM_AES_CFB128, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_feedback)},
	{.type = CKM_AES_OFB, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_feedback)},
	{
		.type = CKM_AES_GCM,
		.family = SOFT_AES,
		.class = {[OP_ENCRYPT] = &soft_gcm_encrypt, [OP_DECRYPT] = &soft_gcm_decrypt},
	},
	{.type = CKM_AES_KEY_WRAP, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_wrap)},
	{.type = CKM_AES_KEY_WRAP_KWP, .family = SOFT_AES, .class = BOTH_CRYPT(soft_aes_wrap)},
	{.type = CKM_AES_CMAC, .family = SOFT_AES, .class = BOTH_SIGN(soft_cmac)},
	HMAC_OP(CKM_SHA_1_HMAC),
	HMAC_OP(CKM_SHA224_HMAC),
	HMAC_OP(CKM_SHA256_HMAC),
	HMAC_OP(CKM_SHA384_HMAC),
	HMAC_OP(CKM_SHA512_HMAC),
};
_Static_assert(ARRAY_LEN(rows) + 5 == ARRAY_LEN(soft_mechs), "five rows generate, every other one has a class");

const struct soft_mech *soft_mech_find(CK_MECHANISM_TYPE type, const struct token_mech **ret_sizes)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type) {
			*ret_sizes = &soft_mechs[i];
			return &rows[i];
		}
	return NULL;
}

/* Elliptic-curve mechanisms (PKCS#11 3.2, 6.3). */
#include "mech_rows.h"

#define SIGNATURE (CKF_SIGN | CKF_VERIFY)
/* Prime fields, curves named by their OID, uncompressed points. */
#define EC(mech_, base_, flags_, ...)                                                                                  \
	{.type = (mech_), .base = (base_), .flags = (flags_) | CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS,            \
	 .class = CKO_PRIVATE_KEY, .key_type = CKK_EC, __VA_ARGS__}
/* Edwards curves go by OID or by name; their points have one form, which is a compressed one. */
#define EDWARDS(mech_, flags_)                                                                                         \
	{.type = (mech_), .base = (mech_),                                                                             \
	 .flags = (flags_) | CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_COMPRESS, .class = CKO_PRIVATE_KEY,   \
	 .key_type = CKK_EC_EDWARDS}
#define ECDSA_HASHED(name)                                                                                             \
	EC(CKM_ECDSA_##name, CKM_ECDSA, SIGNATURE, .input = INPUT_HASHED, .hash = &crypto_hashes[HASH_##name])

/* CKD_… → the hash of the X9.63 function. */
static const struct {
	CK_ULONG kdf;
	const struct hash *hash;
} kdfs[] = {
	{CKD_NULL, NULL},
	{CKD_SHA1_KDF, &crypto_hashes[HASH_SHA1]},
	{CKD_SHA224_KDF, &crypto_hashes[HASH_SHA224]},
	{CKD_SHA256_KDF, &crypto_hashes[HASH_SHA256]},
	{CKD_SHA384_KDF, &crypto_hashes[HASH_SHA384]},
	{CKD_SHA512_KDF, &crypto_hashes[HASH_SHA512]},
};

CK_RV mech_ecdh(const CK_MECHANISM *given, struct mech_ecdh *ret)
{
	CK_ECDH1_DERIVE_PARAMS p;
	size_t i = 0;

	TRY(mech_param_read(given, &p, sizeof p));
	while (i < ARRAY_LEN(kdfs) && kdfs[i].kdf != p.kdf)
		i++;
	if (i == ARRAY_LEN(kdfs) || !slice_ok(p.pSharedData, p.ulSharedDataLen))
		return CKR_MECHANISM_PARAM_INVALID;
	/* 6.3.16: without a function there is nothing to share. */
	if (!kdfs[i].hash && p.ulSharedDataLen > 0)
		return CKR_MECHANISM_PARAM_INVALID;
	if (!p.pPublicData || p.ulPublicDataLen == 0 || !slice_ok(p.pPublicData, p.ulPublicDataLen))
		return CKR_MECHANISM_PARAM_INVALID;
	*ret = (struct mech_ecdh){.kdf = kdfs[i].hash, .shared = BYTES(p.pSharedData, p.ulSharedDataLen),
				  .point = BYTES(p.pPublicData, p.ulPublicDataLen)};
	return CKR_OK;
}

/* The function is the front's, and the point is the operation's input: the scheme names them only to tell this
 * derivation from another one, which a PIN that was given for this one doesn't allow (operation_once()). */
static CK_RV param_ecdh(const struct mech *m UNUSED, const CK_MECHANISM *given, struct scheme *ret)
{
	struct mech_ecdh p;

	TRY(mech_ecdh(given, &p));
	ret->hash = p.kdf;
	ret->label = p.point;
	ret->aad = p.shared;
	return CKR_OK;
}

static const struct mech rows[] = {
	EC(CKM_EC_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
	EC(CKM_ECDSA, CKM_ECDSA, SIGNATURE),
	ECDSA_HASHED(SHA1),
	ECDSA_HASHED(SHA224),
	ECDSA_HASHED(SHA256),
	ECDSA_HASHED(SHA384),
	ECDSA_HASHED(SHA512),
	EC(CKM_ECDH1_DERIVE, CKM_ECDH1_DERIVE, CKF_DERIVE, .param = param_ecdh),
	/* The cofactor of every curve here is 1. */
	EC(CKM_ECDH1_COFACTOR_DERIVE, CKM_ECDH1_DERIVE, CKF_DERIVE, .param = param_ecdh),
	EDWARDS(CKM_EC_EDWARDS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
	/* Pure Ed25519 only: a CK_EDDSA_PARAMS asks for Ed25519ctx or Ed25519ph, which libcrypto 3.0 lacks. */
	EDWARDS(CKM_EDDSA, SIGNATURE),
};

const struct mech_rows mech_ec_rows = {.at = rows, .n = ARRAY_LEN(rows)};

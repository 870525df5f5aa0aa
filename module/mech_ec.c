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

static const struct mech rows[] = {
	EC(CKM_EC_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
	EC(CKM_ECDSA, CKM_ECDSA, SIGNATURE),
	ECDSA_HASHED(SHA1),
	ECDSA_HASHED(SHA224),
	ECDSA_HASHED(SHA256),
	ECDSA_HASHED(SHA384),
	ECDSA_HASHED(SHA512),
	EDWARDS(CKM_EC_EDWARDS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
	/* Pure Ed25519 only: a CK_EDDSA_PARAMS asks for Ed25519ctx or Ed25519ph, which libcrypto 3.0 lacks. */
	EDWARDS(CKM_EDDSA, SIGNATURE),
};

const struct mech_rows mech_ec_rows = {.at = rows, .n = ARRAY_LEN(rows)};

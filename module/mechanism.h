/* Mechanisms: one row each, from the application's CK_MECHANISM to the scheme that a backend or libcrypto executes. */
#ifndef MODULE_MECHANISM_H
#define MODULE_MECHANISM_H

#include "session.h"

/* How data come in. */
enum mech_input {
	INPUT_WHOLE,   /* one block: CKM_RSA_PKCS, CKM_ECDSA; updates are collected where the function allows them */
	INPUT_HASHED,  /* the front hashes, then one block: CKM_SHA256_RSA_PKCS */
	INPUT_STREAM,  /* the cipher or MAC streams: CKM_AES_CBC, CKM_SHA256_HMAC */
};

struct mech {
	CK_MECHANISM_TYPE type, base;   /* base: what token_mech rows speak of */
	CK_FLAGS flags;                 /* CKF_SIGN … that the standard knows for it, CKF_EC_* */
	CK_OBJECT_CLASS class;          /* of the key that signs or decrypts: CKO_PRIVATE_KEY or CKO_SECRET_KEY; digests: none */
	CK_KEY_TYPE key_type;
	enum mech_input input;
	const struct hash *hash;        /* HASHED: what the front hashes with; else as in struct scheme */
	/* Checks and flattens the parameter; CKR_MECHANISM_PARAM_INVALID.  NULL: no parameter allowed. */
	CK_RV (*param)(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret);
};

/* The row, or NULL. */
const struct mech *mech_find(CK_MECHANISM_TYPE type);
/* What this slot's token does with it: rows × token_ops.mechs × public-key and digest work of the front.
 * CKR_MECHANISM_INVALID if it isn't offered. */
CK_RV mech_info(struct slot *slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret) MUST_CHECK;
/* All that mech_info() accepts; *ret_n of them at most, *ret_n set to the real count. ret NULL: only counts. */
CK_RV mech_list(struct slot *slot, CK_MECHANISM_TYPE *ret, CK_ULONG *ret_n) MUST_CHECK;
/* Row and parameter for a use (CKF_SIGN …) on this slot: CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID.
 * The scheme borrows from `given`. */
CK_RV mech_scheme(struct slot *slot, const CK_MECHANISM *given, CK_FLAGS use, const struct mech **ret_row,
		  struct scheme *ret) MUST_CHECK;

#endif

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

/* What surrounds a wrapped key's value, so that only CKA_VALUE_LEN tells how long it is. */
enum mech_filling {
	FILL_NONE,
	FILL_BEHIND, /* zeros up to whole blocks: CKM_AES_ECB, CKM_AES_CBC (PKCS#11 3.2, 6.13) */
	FILL_BEFORE, /* zeros up to the modulus: CKM_RSA_X_509 (6.1.8) */
};

/* How long the block of INPUT_WHOLE may be, in bytes, and of what it must be a multiple. */
struct mech_lengths {
	size_t min, max, unit;
};
#define MECH_WHOLE_MAX (1u << 20)

struct mech {
	CK_MECHANISM_TYPE type, base;   /* base: what token_mech rows speak of */
	CK_FLAGS flags;                 /* CKF_SIGN … that the standard knows for it, CKF_EC_* */
	CK_OBJECT_CLASS class;          /* of the signing, decrypting, deriving key: private or secret; else none */
	CK_KEY_TYPE key_type;
	enum mech_input input;
	const struct hash *hash;        /* HASHED: what the front hashes with; else as in struct scheme */
	bool wraps_private;             /* CKF_WRAP, CKF_UNWRAP: of private keys too, not only of secret ones */
	bool exports;                   /* CKF_WRAP is token_ops.export_key */
	enum mech_filling filling;
	bool open_padding;              /* decryption tells by its code whether the padding was good, and anybody can
	                                   alter a ciphertext: CKM_AES_CBC_PAD */
	struct mech_lengths plain, sealed; /* secret keys: of what is encrypted, decrypted; max 0: no bounds */
	/* Checks and flattens the parameter; CKR_MECHANISM_PARAM_INVALID.  NULL: no parameter allowed. */
	CK_RV (*param)(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret);
};

/* The row, or NULL. */
const struct mech *mech_find(CK_MECHANISM_TYPE type);
/* What this slot's token does with it: rows × token_ops.mechs × public-key and digest work of the front.  Who encrypts
 * also wraps, who decrypts also unwraps.
 * CKR_MECHANISM_INVALID if it isn't offered. */
CK_RV mech_info(struct slot *slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret) MUST_CHECK;
/* All that mech_info() accepts; *ret_n of them at most, *ret_n set to the real count. ret NULL: only counts. */
CK_RV mech_list(struct slot *slot, CK_MECHANISM_TYPE *ret, CK_ULONG *ret_n) MUST_CHECK;
/* Row and parameter for a use (CKF_SIGN …) on this slot: CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID.
 * The scheme borrows from `given`. */
CK_RV mech_scheme(struct slot *slot, const CK_MECHANISM *given, CK_FLAGS use, const struct mech **ret_row,
		  struct scheme *ret) MUST_CHECK;
/* The two halves of mech_scheme(), for who has a check of his own between them. */
CK_RV mech_for(struct slot *slot, CK_MECHANISM_TYPE type, CK_FLAGS use, const struct mech **ret) MUST_CHECK;
CK_RV mech_param(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret) MUST_CHECK;
/* In the units of CK_MECHANISM_INFO, from a key's attributes; 0: not known or without limits. */
size_t mech_key_size(const struct attrs *key);
/* Of INPUT_WHOLE: how long its one block may be with that key. */
struct mech_lengths mech_lengths(const struct mech *m, const struct scheme *scheme, CK_FLAGS use,
				 const struct attrs *key);
/* CK_ECDH1_DERIVE_PARAMS, of a mechanism that mech_param() has accepted; borrows from `given`.  The point is as it was
 * given: whether it is one depends on the curve. */
struct mech_ecdh {
	const struct hash *kdf;   /* of the X9.63 function; NULL: CKD_NULL */
	struct bytes shared, point;
};
CK_RV mech_ecdh(const CK_MECHANISM *given, struct mech_ecdh *ret) MUST_CHECK;
/* What tells one scheme from another: a digest of all that it consists of.  CKR_HOST_MEMORY, CKR_FUNCTION_FAILED. */
#define SCHEME_PRINT 32
CK_RV mech_print(const struct scheme *scheme, uint8_t ret[SCHEME_PRINT]) MUST_CHECK;
/* CKR_KEY_SIZE_RANGE if whoever does that work (the front with public keys, else the token) doesn't take keys of that
 * size, or if the scheme's hash and salt don't fit in it. */
CK_RV mech_key_fits(struct slot *slot, const struct mech *m, CK_FLAGS use, const struct scheme *scheme,
		    const struct attrs *key) MUST_CHECK;

#endif

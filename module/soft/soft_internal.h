/* What the files of module/soft share: the key, the running operation, and the rows that join them. */
#ifndef SOFT_INTERNAL_H
#define SOFT_INTERNAL_H

#include <stdatomic.h>

#include <openssl/bn.h>
#include <openssl/evp.h>

#include "soft.h"

/* RSA moduli that operations and generation take; EVP_PKEYs of others may exist, to be described. */
#define RSA_MIN_BITS 1024u
#define RSA_MAX_BITS 4096u
#define RSA_MAX_BYTES (RSA_MAX_BITS / 8)
/* Larger moduli aren't even parsed (libcrypto's own limit). */
#define RSA_PARSE_BYTES 2048u
#define EC_MAX_ORDER 66u
#define EDWARDS_BITS 255u /* of the field, as CK_MECHANISM_INFO counts (PKCS#11 3.2, 6.3) */
/* Bytes of a generic secret (what CK_MECHANISM_INFO says). */
#define SECRET_KEY_MAX 4096u
#define AES_BLOCK 16u

enum soft_family { SOFT_RSA, SOFT_EC, SOFT_EDWARDS, SOFT_AES, SOFT_GENERIC };
enum aes_mode { AES_ECB, AES_CBC, AES_CTR, AES_CFB, AES_OFB, AES_GCM, AES_KW, AES_KWP, AES_MODES };

/* Ready contexts that wait in the key for the next operation, one per thread that is likely to come. */
#define KEY_IDLE 4u

struct soft_key {
	atomic_uint refs;
	enum soft_family family;
	bool private;                  /* has the private half, or is a secret */
	EVP_PKEY *pkey;
	const struct curve *curve;     /* EC, Edwards */
	size_t size;                   /* soft_key_size() */
	size_t max_output;             /* soft_key_max_output() */
	uint8_t *secret;               /* secret_alloc(), size bytes */
	struct key256 kdk;             /* RSA private: SHA-256 of d, for rsa_unpad_pkcs1() */
	/* Caches: each filled by whoever comes first, emptied with the key. */
	_Atomic(EVP_PKEY_CTX *) idle[KEY_IDLE];
	_Atomic(EVP_CIPHER *) ciphers[AES_MODES];
	_Atomic(EVP_MAC_CTX *) macs[HASH_COUNT + 1]; /* HMAC by hash, then CMAC; keyed, to be copied */
};

/* key.c ------------------------------------------------------------------------------------------------------- */

static inline void pkey_cleanup(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}
static inline void pkey_ctx_cleanup(EVP_PKEY_CTX **p)
{
	EVP_PKEY_CTX_free(*p);
}
static inline void soft_key_cleanup(struct soft_key **k)
{
	soft_key_unref(*k);
}

/* A big integer of an attribute without leading zeros; empty if it is absent or zero. */
struct bytes soft_integer(const struct attrs *a, CK_ATTRIBUTE_TYPE type);
/* An EC key from its parts; point or value may be empty, not both.  CKR_ATTRIBUTE_VALUE_INVALID: not on the curve. */
CK_RV soft_ec_pkey(const struct curve *c, struct bytes point, struct bytes value, EVP_PKEY **ret) MUST_CHECK;
/* An RSA public key. */
CK_RV soft_rsa_public(struct bytes n, struct bytes e, EVP_PKEY **ret) MUST_CHECK;
/* An Edwards public key from its 32 bytes. */
CK_RV soft_edwards_public(const struct curve *c, struct bytes point, EVP_PKEY **ret) MUST_CHECK;
/* The row of CKA_EC_PARAMS that fits the family.  CKR_TEMPLATE_INCOMPLETE, CKR_DOMAIN_PARAMS_INVALID,
 * CKR_CURVE_NOT_SUPPORTED. */
CK_RV soft_curve(const struct attrs *a, bool edwards, const struct curve **ret) MUST_CHECK;
/* Which family a CKK_ belongs to.  CKR_TEMPLATE_INCOMPLETE without CKA_KEY_TYPE, CKR_KEY_TYPE_INCONSISTENT. */
CK_RV soft_family(const struct attrs *a, enum soft_family *ret) MUST_CHECK;

/* A context that is initialised for the key's plain operation: ECDSA signing or verification, the raw private or
 * public operation of RSA (EVP_PKEY_sign, EVP_PKEY_verify_recover).  NULL: failure, already logged.  Given back after
 * success; after a failure it is freed instead. */
EVP_PKEY_CTX *soft_ctx_take(struct soft_key *k);
void soft_ctx_give(struct soft_key *k, EVP_PKEY_CTX *c);
/* Borrowed; NULL on failure. */
EVP_CIPHER *soft_key_cipher(struct soft_key *k, enum aes_mode mode);
/* A keyed MAC of one's own: HMAC with h, or CMAC (h NULL).  NULL on failure. */
EVP_MAC_CTX *soft_key_mac(struct soft_key *k, const struct hash *h);

/* rsa.c ------------------------------------------------------------------------------------------------------- */

/* The members of an RSA key, in the order of PKCS#1. */
enum rsa_member { RSA_N, RSA_E, RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QINV, RSA_MEMBERS };
extern const CK_ATTRIBUTE_TYPE soft_rsa_attrs[RSA_MEMBERS];
extern const char *const soft_rsa_params[RSA_MEMBERS]; /* libcrypto's names */

/* From n, d and whatever of e, p, q is there, sets all eight, after checking that they fit together.
 * CKR_TEMPLATE_INCOMPLETE (n or d missing, or e not to be found), CKR_ATTRIBUTE_VALUE_INVALID. */
CK_RV soft_rsa_complete(struct attrs *a) MUST_CHECK;
/* Sets an attribute to a number, left-padded with zeros to pad_to bytes. */
CK_RV soft_set_number(struct attrs *a, CK_ATTRIBUTE_TYPE type, const BIGNUM *v, size_t pad_to) MUST_CHECK;

/* complete.c -------------------------------------------------------------------------------------------------- */

/* CKA_PUBLIC_KEY_INFO of a key into one or two (may be NULL) sets. */
CK_RV soft_set_public_info(EVP_PKEY *pkey, struct attrs *a, struct attrs *b) MUST_CHECK;

/* op.c -------------------------------------------------------------------------------------------------------- */

/* How one use of one mechanism runs: the state lies in the operation. */
struct soft_op_class {
	/* Takes what it needs of the scheme, which is borrowed. */
	CK_RV (*begin)(struct soft_op *op, const struct scheme *scheme) MUST_CHECK;
	size_t (*size)(const struct soft_op *op, size_t in_len, bool final);
	/* NULL: the input is one block. */
	CK_RV (*update)(struct soft_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
	CK_RV (*finish)(struct soft_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
	void (*done)(struct soft_op *op); /* NULL: nothing to release */
};

struct asym_state {
	EVP_PKEY_CTX *ctx;        /* public-key work: set up by begin */
	struct scheme scheme;     /* its label is `label` */
	uint8_t *label;
};

struct cipher_state {
	EVP_CIPHER_CTX *ctx;
	bool pad;
	size_t held;              /* bytes that libcrypto has taken and not given yet */
	bool limited;             /* CTR with a narrow counter: */
	uint64_t left;            /* bytes until the counter would repeat */
	size_t tag_len;           /* GCM */
	struct buffer collected;  /* GCM decryption: nothing is released before the tag is verified */
};

struct mac_state {
	EVP_MAC_CTX *ctx;
	size_t len;               /* bytes of the result */
};

struct soft_op {
	const struct soft_op_class *class;
	enum op_kind kind;
	struct soft_key *key;     /* a reference */
	union {
		struct asym_state asym;
		struct cipher_state cipher;
		struct mac_state mac;
	};
};

/* One base mechanism: what uses it has, with keys of which family (the same order as soft_mechs). */
struct soft_mech {
	CK_MECHANISM_TYPE type;
	enum soft_family family;
	const struct soft_op_class *class[OP_KINDS]; /* NULL: not possible */
};
/* The row of a mechanism and its sizes, or NULL. */
const struct soft_mech *soft_mech_find(CK_MECHANISM_TYPE type, const struct token_mech **ret_sizes);

extern const struct soft_op_class soft_rsa_sign, soft_rsa_verify, soft_pss_verify, soft_rsa_encrypt, soft_rsa_decrypt;
extern const struct soft_op_class soft_ecdsa_sign, soft_ecdsa_verify, soft_eddsa_sign, soft_eddsa_verify;
extern const struct soft_op_class soft_ecdh;
extern const struct soft_op_class soft_aes_block, soft_aes_ctr, soft_aes_feedback, soft_aes_wrap;
extern const struct soft_op_class soft_gcm_encrypt, soft_gcm_decrypt;
extern const struct soft_op_class soft_hmac, soft_cmac;

#endif

/* Working keys: keys that live wrapped by the storage key and are used only inside the TPM (design 4.1). */
#ifndef TPM_KEY_H
#define TPM_KEY_H

#include <stdatomic.h>

#include "attrs.h"
#include "parent.h"
#include "secret.h"

/* What is derived from one of the token's two secrets, a key for each use. */
enum token_secret { SECRET_PRIVATE, SECRET_PUBLIC };
struct keyset {
	enum token_secret kind;
	struct key256 secret;
	struct key256 aead;           /* sealed parts of records */
	struct key256 authorization;  /* authValues of working keys */
	struct key256 padding;        /* implicit rejection of PKCS#1 v1.5 */
};
/* In secret memory. */
CK_RV keyset_new(const struct key256 *secret, enum token_secret kind, struct keyset **ret) MUST_CHECK;
static inline void keyset_free(struct keyset *k)
{
	secret_free(k);
}

/* The stored form of a working key; the layout stands at the top of key.c. */
struct tpm_key {
	enum token_secret secret;     /* which one its authValue comes from */
	uint8_t auth_id[16];
	struct key_blob blob;
};
void tpm_key_emit(const struct tpm_key *k, struct buffer *out); /* the buffer's status tells */
/* id: the object's, for the cache of loaded keys.  CKR_DEVICE_ERROR: damaged. */
CK_RV tpm_key_parse(struct bytes in, const uint8_t id[16], struct tpm_key *ret) MUST_CHECK;

/* The authValue. */
CK_RV tpm_key_auth(const struct keyset *keys, const uint8_t auth_id[16], struct key256 *ret) MUST_CHECK;

/* Where a key's authValue comes from: the token's secret (keys of our own), nowhere (it is empty), or whoever is asked
 * for it before each operation (tpm_op_authorize()). */
enum key_auth { AUTH_DERIVED, AUTH_EMPTY, AUTH_GIVEN };

/* A key ready for use: its stored form taken apart, its authValue derived.  Counted, since the object keeps it for the
 * next operation and operations outlive the slot's lock.  Immutable once it has its secrets, but for `refused`. */
struct tpm_ready {
	atomic_uint refs;
	struct tpm_key key;           /* of a persistent key: secret, blob.id and blob.public */
	TPM2_HANDLE persistent;       /* where the key is in the TPM; 0: key.blob is loaded */
	struct parent *parent;        /* a reference: what the blob hangs below; NULL: the token's storage key */
	enum key_auth auth;
	atomic_bool refused;          /* AUTH_EMPTY is wrong, and each try counts against the whole TPM */
	struct tpm_ready_secrets {
		TPM2B_AUTH auth;      /* AUTH_GIVEN: empty, the operation has it */
		struct key256 padding;
	} *secrets;                   /* secret memory; NULL until tpm_ready_derive(), which keys of others need for
	                                 decryption only */
};
/* blob, id: as for tpm_key_parse(). */
CK_RV tpm_ready_new(struct bytes blob, const uint8_t id[16], struct tpm_ready **ret) MUST_CHECK;
/* Nothing to do the second time.  keys: those of key.secret. */
CK_RV tpm_ready_derive(struct tpm_ready *r, const struct keyset *keys) MUST_CHECK;
/* Inside a sequence: the key, loaded and with its authValue.  storage: what its blob hangs below unless it has a parent
 * of its own.  given: the authValue of an AUTH_GIVEN key, else ignored.
 * CKR_USER_NOT_LOGGED_IN: an AUTH_GIVEN key without `given`. */
CK_RV tpm_ready_use(struct conn *c, const struct tpm_ready *r, struct parent *storage, const TPM2B_AUTH *given,
		    struct entity *ret) MUST_CHECK;
struct tpm_ready *tpm_ready_ref(struct tpm_ready *r);
void tpm_ready_unref(struct tpm_ready *r); /* NULL is fine */
static inline void tpm_ready_cleanup(struct tpm_ready **r)
{
	tpm_ready_unref(*r);
}

/* Chooses how a new key is authorized: its secret and auth id, and the authValue that they give. */
CK_RV tpm_key_new_auth(struct tpm_key *k, const struct keyset *keys, TPM2B_AUTH *ret) MUST_CHECK;

/* Makes a key pair.  Two commands.  Reads CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT or CKA_EC_PARAMS of `pub` and sets what
 * the key's public part gives in both.  Takes the connection.
 * CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID, CKR_MECHANISM_INVALID. */
struct generate_req {
	struct parent *parent;
	const struct keyset *keys;
	CK_MECHANISM_TYPE mech;
	struct attrs *pub, *priv;
};
CK_RV tpm_key_generate(struct conn *c, const struct generate_req *req, struct buffer *ret_blob) MUST_CHECK;
/* Which CKK_ a mechanism makes pairs of.  CKR_MECHANISM_INVALID. */
CK_RV tpm_key_pair_type(CK_MECHANISM_TYPE mech, CK_KEY_TYPE *ret) MUST_CHECK;

#endif

/* Authorization sessions over the TSS's SYS layer (TPM 2.0 Part 1, 17 to 19): nonces, HMACs, parameter encryption.
 * The TSS marshals; the arithmetic is here because tss2-esys < 4.0 makes a library context of libcrypto for each of
 * its steps (R15a).  All sessions use SHA-256 and, where they encrypt, AES-128-CFB.  Names of keys and of NV indices
 * may have any nameAlg. */
#ifndef TPM_SESSION_H
#define TPM_SESSION_H

#include <tss2/tss2_sys.h>

#include "conn.h"
#include "secret.h"

/* What a handle of a command stands for: its name goes into cpHash, its authValue into the HMAC key. */
struct entity {
	TPM2_HANDLE handle;
	TPM2B_NAME name;
	TPM2B_AUTH auth;
};
/* A hierarchy, PCR or session: its name is its handle.  `auth` may be empty. */
void entity_permanent(struct entity *e, TPM2_HANDLE handle, struct bytes auth);
/* CKR_GENERAL_ERROR for an authValue that is too long for any TPM (64 bytes). */
CK_RV entity_set_auth(struct entity *e, struct bytes auth) MUST_CHECK;
static inline void entity_wipe(struct entity *e)
{
	wipe(e, sizeof *e);
}

/* A key that sessions are salted with: a storage key's public area, and where it is loaded. */
struct salt_key {
	TPM2_HANDLE handle;
	const TPM2B_PUBLIC *public;
};

enum session_kind { SESSION_HMAC, SESSION_POLICY };

struct session {
	struct conn *conn;          /* NULL: not started */
	uint64_t generation;        /* of the connection that it lives on */
	TPM2_HANDLE handle;         /* TPM2_RH_NULL when the TPM has ended it */
	TPMA_SESSION attributes;
	bool policy, with_auth;     /* with_auth: a policy session after PolicyAuthValue */
	TPM2B_NONCE caller, tpm;    /* nonceCaller, nonceTPM */
	uint8_t key[32];            /* sessionKey */
	size_t key_len;             /* 0: neither salted nor bound */
};

/* TPM2_StartAuthSession into an all-zero *s.  salt NULL: unsalted.  attributes: any of TPMA_SESSION_DECRYPT (the
 * first parameter of the command is encrypted), _ENCRYPT (of the answer), _AUDIT (for commands that authorize nothing),
 * _CONTINUESESSION; without the latter the session ends with the first command that succeeds.  The connection remembers
 * it and flushes it when the sequence ends, so a failure needs no clean-up but session_end()'s wiping. */
CK_RV session_start(struct conn *c, enum session_kind kind, const struct salt_key *salt, TPMA_SESSION attributes,
		    struct session *s) MUST_CHECK;
/* Flushes it if it is still open, wipes.  Made for CLEANUP(session_end). */
void session_end(struct session *s);

/* The entity that stands for the session in commands that name it (PolicySecret). */
void session_entity(const struct session *s, struct entity *ret);

/* ---- used by call.c ---- */

/* Puts the one authorization of the prepared command into it.  names: of all its handles, in order.  `auth`: the
 * entity that is authorized; NULL: the session only encrypts.  s NULL: password. */
TSS2_RC session_authorize(struct conn *c, const struct entity *const *names, size_t n, const struct entity *auth,
			  struct session *s) MUST_CHECK;
/* Checks the answer's HMAC and decrypts its first parameter.  A wrong HMAC is TSS2_ESYS_RC_RSP_AUTH_FAILED, and the
 * answer must not be used. */
TSS2_RC session_accept(struct conn *c, const struct entity *auth, struct session *s) MUST_CHECK;

/* ---- keys from outside ---- */

/* The outer wrapping of a duplicate (Part 1, 23.3.2.3): `sensitive` encrypted and authenticated under a seed that only
 * the holder of `parent` can open, for an object whose name `public` gives.  No inner wrapping: nobody but the TPM can
 * read it either way. */
CK_RV duplicate_make(struct conn *c, const TPM2B_PUBLIC *parent, const TPM2B_PUBLIC *public,
		     const TPMT_SENSITIVE *sensitive, TPM2B_PRIVATE *ret_duplicate,
		     TPM2B_ENCRYPTED_SECRET *ret_seed) MUST_CHECK;

/* ---- arithmetic, for vectors ---- */

struct session_math;
/* KDFa (Part 1, 11.4.10.2) with SHA-256, 256 bits; false: libcrypto failed. */
bool session_kdfa(struct session_math *m, struct bytes key, const char *label, struct bytes u, struct bytes v,
		  uint8_t out[32]) MUST_CHECK;

#endif

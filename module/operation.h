/* An operation of a session: from C_SignInit to C_Sign or C_SignFinal, and its kin.  Size queries, too-small buffers,
 * one-shot against multi-part, hashing and the end of an operation are decided here, once for all kinds. */
#ifndef MODULE_OPERATION_H
#define MODULE_OPERATION_H

#include "dispatch.h"
#include "mechanism.h"

struct operation;

/* Ends and wipes it; NULL is fine.  One that is at work on another thread ends when that thread comes back.
 * The slot's lock is held. */
void operation_free(struct operation *op);
/* The session's operation of that kind, or NULL.  One whose end couldn't be told, because the lock couldn't be taken again,
 * is ended. */
struct operation *operation_active(struct session *s, enum session_op which);
/* Whether it uses a private object (logout ends it), or this object (may be destroyed: the operation goes on). */
bool operation_uses_private(const struct operation *op);
/* CKA_ALWAYS_AUTHENTICATE: a context-specific login is due before the next step / has been made. */
bool operation_wants_auth(const struct operation *op);
void operation_authenticated(struct operation *op);

/* C_XxxInit: the checks in the order of PKCS#11 3.2, 5.1.7, then a new operation in its place of the session.
 * given NULL ends the one that is there; CKR_MECHANISM_INVALID if there is none (3.0 leaves that case open).
 * Digests: key is ignored. */
CK_RV operation_init(struct call *c, enum session_op which, const CK_MECHANISM *given, CK_OBJECT_HANDLE key) MUST_CHECK;
/* C_VerifySignatureInit: the signature comes first and is copied. */
CK_RV operation_init_signature(struct call *c, const CK_MECHANISM *given, CK_OBJECT_HANDLE key,
			       struct bytes signature) MUST_CHECK;
/* C_DigestKey.  entered: what call_session() said; a failure there ends the operation, too. */
CK_RV operation_digest_key(struct call *c, CK_RV entered, CK_OBJECT_HANDLE key) MUST_CHECK;

/* The one step of C_WrapKey, C_UnwrapKey and C_DeriveKey (which: SESSION_WRAP …): the checks of an Init, with its codes
 * (CKR_KEY_…; the caller has other names for some), and an operation that is the caller's to free.
 *
 * All three do their work under the slot's lock, operation_once_run() too: it is a part of a call that goes on with
 * objects of the slot, and none of them may change in between.
 *
 * A key with CKA_ALWAYS_AUTHENTICATE: CKR_USER_NOT_LOGGED_IN, as C_Decrypt says it.  The operation waits in the session
 * for its context-specific login; the same call again (key, mechanism and parameters) then finds it and goes on. */
CK_RV operation_once(struct session *s, enum session_op which, const CK_MECHANISM *given, CK_OBJECT_HANDLE key,
		     struct operation **ret) MUST_CHECK;
/* Most bytes that operation_once_run() gives for an input of that length: exact where nothing is unpadded. */
size_t operation_once_size(const struct operation *op, size_t in_len);
/* Input and result; out->cap is at least operation_once_size(). */
CK_RV operation_once_run(struct operation *op, struct bytes in, struct outbuf *out) MUST_CHECK;
static inline void operation_cleanup(struct operation **op)
{
	operation_free(*op);
}

enum op_step { STEP_ONESHOT, STEP_UPDATE, STEP_FINAL };

/* The arguments of one such call as the application gave them. */
struct op_request {
	enum session_op which;
	enum op_step step;
	CK_BYTE_PTR in;
	CK_ULONG in_len;
	CK_BYTE_PTR out;          /* where the function has an output buffer */
	CK_ULONG_PTR out_len;
	CK_BYTE_PTR signature;    /* C_Verify, C_VerifyFinal */
	CK_ULONG signature_len;
	bool signature_given;     /* the C_VerifySignature family: at its Init */
};

/* The whole C_ function, from the checks at entry to the code for the application.  By PKCS#11 3.2, 5.2:
 *   - a size query and CKR_BUFFER_TOO_SMALL consume nothing and leave the operation; so does CKR_USER_NOT_LOGGED_IN
 *     before a due context-specific login, and CKR_OPERATION_ACTIVE while another thread works on it;
 *   - an update that succeeds leaves it; everything else ends it, bad arguments and a one-shot call in the midst of a
 *     multi-part operation (CKR_OPERATION_ACTIVE) too.
 * Mechanisms that take one block (CKM_RSA_PKCS, CKM_ECDSA …) are single-part by the letter; no code says so, so their
 * updates are collected: as much as the padding leaves room for with RSA, else up to MECH_WHOLE_MAX bytes, beyond that
 * CKR_DATA_LEN_RANGE. */
CK_RV operation_call(enum function fn, CK_SESSION_HANDLE session, const struct op_request *r);

#endif

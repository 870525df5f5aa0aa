/* Sessions: handles with generations, state, the operations under way. */
#ifndef MODULE_SESSION_H
#define MODULE_SESSION_H

#include "slot.h"

struct operation; /* operation.h */
struct search;    /* object.h */

/* The operation slots of a session; dual-purpose functions are not offered, so each kind is independent.  The last
 * three are done within one call: in a slot is only what waits for a context-specific login (operation_once()). */
enum session_op {
	SESSION_ENCRYPT,
	SESSION_DECRYPT,
	SESSION_DIGEST,
	SESSION_SIGN,
	SESSION_VERIFY,
	SESSION_WRAP,
	SESSION_UNWRAP,
	SESSION_DERIVE,
	SESSION_OPS
};

struct session {
	CK_SESSION_HANDLE handle;
	struct slot *slot;
	CK_FLAGS flags;                       /* as opened */
	struct operation *op[SESSION_OPS];
	struct search *search;
	CK_ULONG device_error;                /* raw code of the last failure (R21) */
	bool closed;                          /* taken out of the table while a call runs without the slot's lock */
	unsigned busy;                        /* calls that run without the slot's lock; the last frees a closed one */
	struct session *next;                 /* in its slot */
};

/* How many sessions a slot can have at once. */
#define SESSION_MAX (sizeof(CK_ULONG) > 4 ? 1u << 16 : 1u << 10)

/* All functions below want the slot's lock held. */

/* Opens and numbers a session.  CKR_SESSION_COUNT, CKR_HOST_MEMORY. */
CK_RV session_open(struct slot *slot, CK_FLAGS flags, struct session **ret) MUST_CHECK;
/* Its handle is dead, the session objects it made are destroyed, and with the last one of the slot the login ends.
 * Its operations end now, or when the call that runs without the slot's lock comes back. */
void session_close(struct session *s);
void session_close_all(struct slot *slot);
/* CKS_RO_PUBLIC_SESSION … (PKCS#11 3.2, 5.6.4). */
CK_STATE session_state(const struct session *s);
static inline bool session_rw(const struct session *s)
{
	return (s->flags & CKF_RW_SESSION) != 0;
}

/* The slot that a handle speaks of (needs no lock), or SIZE_MAX: may be one that doesn't exist. */
size_t session_slot_index(CK_SESSION_HANDLE handle);
/* The session of that handle in this slot.  A handle is never used twice; a stale, foreign or made-up one gives
 * NULL. */
struct session *session_find(const struct slot *slot, CK_SESSION_HANDLE handle);

/* The session is in use by a call that gives up the slot's lock, and no longer is; session_leave() says whether it
 * is still open, and frees it if it isn't and no other call is in it. */
void session_enter(struct session *s);
bool session_leave(struct session *s) MUST_CHECK;

#endif

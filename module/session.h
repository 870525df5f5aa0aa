/* Sessions: handles with generations, state, the operations under way. */
#ifndef MODULE_SESSION_H
#define MODULE_SESSION_H

#include "slot.h"

struct operation; /* operation.h */
struct search;    /* object.h */

/* The operation slots of a session; dual-purpose functions are not offered, so each kind is independent. */
enum session_op { SESSION_ENCRYPT, SESSION_DECRYPT, SESSION_DIGEST, SESSION_SIGN, SESSION_VERIFY, SESSION_OPS };

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

/* Opens and numbers a session; the slot's lock is held.  CKR_SESSION_COUNT, CKR_HOST_MEMORY. */
CK_RV session_open(struct slot *slot, CK_FLAGS flags, struct session **ret) MUST_CHECK;
/* Ends its operations, destroys the session objects it made, logs out with the last one of the slot. */
void session_close(struct session *s);
void session_close_all(struct slot *slot);
CK_STATE session_state(const struct session *s);
static inline bool session_rw(const struct session *s)
{
	return (s->flags & CKF_RW_SESSION) != 0;
}

/* The table of handles, guarded by the library's lock.  A handle is never used twice; a stale, foreign or made-up
 * one gives NULL. */
CK_RV session_table_add(struct session *s) MUST_CHECK;
void session_table_remove(struct session *s);
struct session *session_table_find(CK_SESSION_HANDLE handle);

#endif

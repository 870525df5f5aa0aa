/* errno → CK_RV for every keyring call, by table (R18), and the log line that says what to do. */
#ifndef KEYRING_ERR_H
#define KEYRING_ERR_H

#include "base.h"

/* Where a call failed: the same errno means different things to an application. */
enum kr_context {
	KR_PROBE,   /* looking for the anchor and the token's ring */
	KR_RING,    /* reading the token's ring, its token record or its counter */
	KR_RECORD,  /* reading one object's record */
	KR_KEY,     /* another key of the ring, which itself is there */
	KR_CHANGE,  /* anything that writes */
	KR_LOCK,    /* the lock's sockets */
	KR_CONTEXTS
};

/* The code for `err` (an errno or KR_HOST_MEMORY, not 0).  Writes one log line with `what` (the call and what it was for), notes the
 * errno for CK_SESSION_INFO.ulDeviceError. */
CK_RV kr_error(enum kr_context context, int err, const char *what);

/* The code alone. */
CK_RV kr_code(enum kr_context context, int err);

/* Beside the errnos: an allocation of our own failed.  The kernel's ENOMEM says that the token's memory is short. */
#define KR_HOST_MEMORY 4096 /* above the largest errno of a system call */

/* errno if a call of the table returned -1, else 0. */
int kr_errno(long result);

/* Whether a key that was listed a moment ago may just have been displaced or unlinked. */
bool kr_gone(int err);

#endif

/* Mutexes of the kind that C_Initialize asked for: the system's, the application's four callbacks, or none.
 * Order: library, slot, token, connection, log; taking a lower rank while a higher is held is our bug and is
 * refused with CKR_GENERAL_ERROR.  An application's callback that fails is CKR_GENERAL_ERROR too (R11), or
 * CKR_HOST_MEMORY if it said so; CKR_MUTEX_* never leave the module. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base.h"

enum lock_rank { LOCK_LIBRARY = 1, LOCK_SLOT, LOCK_TOKEN, LOCK_CONNECTION };

struct lock;

/* Sets the kind of every lock made from now on: args as given to C_Initialize, already checked (NULL: none). */
void lock_configure(const CK_C_INITIALIZE_ARGS *args);
CK_RV lock_new(enum lock_rank rank, struct lock **ret) MUST_CHECK;
CK_RV lock_take(struct lock *l) MUST_CHECK;
/* A failure to unlock is logged and remembered: the next lock_take() says it. */
void lock_drop(struct lock *l);
void lock_free(struct lock *l); /* NULL is fine */
/* In a forked child: every lock is abandoned, held or not; the memory stays with the old library. */
void lock_forget_held(void);
bool lock_held(const struct lock *l); /* by this thread; for assertions */

#endif

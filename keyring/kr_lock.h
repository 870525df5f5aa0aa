/* The lock of a token across processes (R13a), for read-modify-write of its ring.
 *
 * An abstract AF_UNIX socket whose name has the ring's serial number: bind(2) takes it, the kernel frees it when the
 * holder closes it or dies.  Whoever finds it taken connects to it and is woken by the reset when the holder goes.
 * It holds within one network namespace, and between the threads of one process too. */
#ifndef KEYRING_KR_LOCK_H
#define KEYRING_KR_LOCK_H

#include "sys.h"

#define KR_LOCK_WAIT_MS 10000

struct kr_lock {
	int fd; /* -1: not held */
};
#define KR_LOCK_NONE ((struct kr_lock){.fd = -1})

/* Waits 10 s at most, then CKR_FUNCTION_FAILED.  CKR_HOST_MEMORY when there are no descriptors or no memory. */
CK_RV kr_lock_take(key_serial_t ring, struct kr_lock *ret) MUST_CHECK;
/* Gives it up; fine on one that isn't held. */
void kr_lock_drop(struct kr_lock *l);

#endif

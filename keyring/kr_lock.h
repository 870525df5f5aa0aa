/* The lock of a token across processes (R13a), for read-modify-write of its ring.
 *
 * An abstract AF_UNIX socket whose name has the ring's serial number: bind(2) takes it, the kernel frees it when the
 * holder closes it or dies.  Whoever finds it taken connects to it and is woken by the reset when the holder goes.
 * It holds within one network namespace, and between the threads of one process too.  Any process may bind the name:
 * who does so without being us makes changes fail, after the wait.
 *
 * A process that forks while it holds a lock passes the socket on, and the name stays taken as long as the child lives:
 * so a handler of pthread_atfork() closes it there, whether or not the child ever calls us. */
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
/* Gives it up; fine on one that isn't held, or that was another process's before a fork. */
void kr_lock_drop(struct kr_lock *l);

#endif

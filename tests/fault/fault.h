/* Faults on order: the Nth call of a kind fails, once or from then on.  Counting, deciding and remembering is the same
 * for the TPM's transport, the keyring's system calls, the store's and the allocator. */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* How it goes wrong. */
enum fault_how {
	FAULT_CODE,        /* `code` is the answer: a TPM's response code (the TPM isn't asked), what a TCTI's operation
			      gives, or an errno */
	/* Of TPM commands (`tcti_fault`): */
	FAULT_LOST_BEFORE, /* the connection breaks before the command arrives */
	FAULT_LOST_AFTER,  /* … after the TPM has executed it */
	FAULT_TRUNCATED,   /* only the first `where` bytes of the answer arrive; 0: its first half; negative: all but that
			      many.  At least its last byte is missing */
	FAULT_DAMAGED,     /* a bit of the answer's byte number `where` is another (counted from its end if negative) */
	FAULT_LATE,        /* the caller waits for the answer in vain `where` times, and finds it at the next one; 0: it
			      never comes, as long as that connection lives.  The TPM has acted */
	/* Of reads and writes: */
	FAULT_SHORT,       /* it does a part of the work, and says so: at least one byte, half at most */
};

struct fault {
	unsigned long calls;  /* since the test set it to 0 */
	unsigned long at;     /* the call that fails, from 1; 0: none */
	bool for_good;        /* and each after it */
	enum fault_how how;
	uint32_t code;
	int where;
	unsigned long struck; /* faults made */
	const char *last;     /* what the last one hit */
};

static inline bool fault_hits(struct fault *f, const char *what)
{
	unsigned long n = __atomic_add_fetch(&f->calls, 1, __ATOMIC_RELAXED);

	if (!f->at || n < f->at || (n > f->at && !f->for_good))
		return false;
	f->struck++;
	f->last = what;
	return true;
}

/* What the module of the fault tests has in one place (inject.c).  `calls` counts the calls that can fail so: reads and
 * writes where the order is FAULT_SHORT, else all.
 *
 * libcrypto's functions have a usual failure (code 0: NULL, 0, …), and some a negative one besides (code 1; the others
 * aren't counted then).  `where` is the reason in its error queue; 0: ERR_R_INTERNAL_ERROR. */
struct faults {
	struct fault memory;  /* what allocates */
	struct fault files;   /* system calls about files: the store's, the configuration's, the log's */
	struct fault keys;    /* the keyring's system calls, and its lock's */
	struct fault sockets; /* system calls on the way to the TPM, past its TCTI: codes are errnos */
	struct fault evp;
	long outstanding; /* blocks that the module has allocated and not freed, objects that it had libraries make and
			     hasn't let go; C_Finalize keeps libcrypto's context (base/crypto.h) */
	bool timeless;    /* who sleeps, or waits for what doesn't come, wakes at once, and the monotonic clock has gone
			     on; a peer on the network is still waited for */
	int64_t ahead_ns; /* how far */
};

/* What libtcti-fault.so has, besides `struct fault tcti_fault`, which counts commands: each call of a TCTI's functions
 * (init, transmit, receive, cancel, getPollHandles, setLocality), which fails with `code`. */
#define FAULT_TCTI_OPERATIONS "tcti_operations"

#endif

/* Faults on order: the Nth call of a kind fails, once or from then on.  Counting, deciding and remembering is the same
 * for the TPM's transport, the keyring's system calls, the store's and the allocator. */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* How an exchange with the TPM goes wrong. */
enum fault_how {
	FAULT_CODE,        /* the TPM isn't asked; `code` is its answer */
	FAULT_LOST_BEFORE, /* the connection breaks before the command arrives */
	FAULT_LOST_AFTER,  /* … after the TPM has executed it */
	FAULT_TRUNCATED,   /* the second half of the answer is missing */
	FAULT_DAMAGED,     /* the answer's header is damaged */
};

struct fault {
	unsigned long calls;  /* since the test set it to 0 */
	unsigned long at;     /* the call that fails, from 1; 0: none */
	bool for_good;        /* and each after it */
	enum fault_how how;   /* of the TPM's transport only */
	uint32_t code;        /* the errno, or the TPM's response code */
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

/* What the module of the fault tests has in one place (inject.c). */
struct faults {
	struct fault memory, files, keys;
	bool timeless;    /* who sleeps wakes at once, and the monotonic clock has gone on */
	int64_t ahead_ns; /* how far */
};

#endif

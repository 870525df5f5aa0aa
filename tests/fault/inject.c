/* In the module of the fault tests, beside the product's own libraries: orders, and time.  What only costs time is
 * cheap here: sleeping, scrypt, fsync. */
#include "inject.h"

#include <errno.h>
#include <time.h>

#include "crypto.h"

struct faults faults;
_Thread_local bool counted;

/* The tables are put in place and the plans returned: the one name that the test looks up in the module. */
__attribute__((visibility("default"))) struct faults *signet_test_faults(void);

/* libcrypto's context, which C_Finalize keeps (base/crypto.h), is whole before anybody counts what is held: its parts
 * are fetched at their first use. */
static void complete_context(void)
{
	struct key256 key = {.b = {0}};
	struct buffer out CLEANUP(buffer_done);

	buffer_init(&out, AEAD_OVERHEAD);
	(void)!aead_seal(&key, NO_BYTES, NO_BYTES, &out);
}

struct faults *signet_test_faults(void)
{
	inject_tables();
	complete_context();
	return &faults;
}

/* Nothing but reads and writes does a part of its work. */
bool fails(struct fault *f, const char *what)
{
	if (f->how == FAULT_SHORT || !fault_hits(f, what))
		return false;
	errno = (int)f->code;
	return true;
}

bool lacks_memory(const char *what)
{
	if (!fails(&faults.memory, what))
		return false;
	if (!errno)
		errno = ENOMEM;
	return true;
}

void hold(long n)
{
	__atomic_add_fetch(&faults.outstanding, n, __ATOMIC_RELAXED);
}

/* ---- time ---- */

WRAPS(int, nanosleep, (const struct timespec *t, struct timespec *left))
{
	if (!faults.timeless)
		return __real_nanosleep(t, left);
	faults.ahead_ns += t->tv_sec * 1000000000 + t->tv_nsec;
	return 0;
}

WRAPS(int, clock_gettime, (clockid_t clock, struct timespec *ret))
{
	int failed = __real_clock_gettime(clock, ret);

	if (failed || clock != CLOCK_MONOTONIC)
		return failed;
	ret->tv_sec += faults.ahead_ns / 1000000000;
	ret->tv_nsec += faults.ahead_ns % 1000000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000;
	}
	return 0;
}

/* The same function at the lowest cost. */
WRAPS(CK_RV, scrypt_256, (struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret))
{
	return __real_scrypt_256(pin, salt, MIN(n, (uint64_t)16), r, p, ret);
}

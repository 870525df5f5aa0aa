/* A C_ call in a process of its own, traced: told system call by system call, or killed at one of them. */
#ifndef TESTS_KILLER_H
#define TESTS_KILLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* prepare() brings the module there, then call() is watched.  Each returns 0, or a number that tells where it failed;
 * the process then ends with it. */
struct victim {
	int (*prepare)(void);
	int (*call)(void);
};

/* A system call of the victim's, as it is entered or left.  The last one is always exit_group, entered after call() has
 * returned: what was done until then has been acknowledged. */
struct system_call {
	pid_t pid;         /* whose memory is that of the arguments */
	long number;       /* SYS_… */
	uint64_t args[6];
	bool left;         /* it is over, with: */
	int64_t result;    /* as the kernel gives it: negative is an errno */
};
/* Gives true to have the process killed there: a call that is being entered is then never made. */
typedef bool watch_fn(const struct system_call *c, void *arg);

/* False: the process wasn't killed; *ret_status then is the exit status, what prepare() or call() returned. */
bool watch(const struct victim *v, watch_fn *fn, void *arg, int *ret_status);

/* Kills the process as it enters its nth system call (from 1) in call().  Gives false when call() ends before that, or
 * nth is 0; then *ret_status is what it returned.  *ret_calls (may be NULL): system calls made. */
bool kill_at(const struct victim *v, unsigned long nth, int *ret_status, unsigned long *ret_calls);

#endif

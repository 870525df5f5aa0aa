/* Two at once: a pair of calls that change one token, made by two processes.  One is held at its nth system call by
 * which the processes could meet, the other makes its call or waits for the lock, then the first goes on.  What both
 * answer, what both see next, what a third process finds and what is left outside must be what one of the two serial
 * orders gives.
 *
 *   pairs.c        the orders, the points, the judgement      pairs_deeds.c  the calls
 *   pairs_trace.c  processes that are held (ptrace)           pairs_view.c   the token as text, and made as it was
 *   pairs_tpm.c    one TPM for all of them, and what is left in it */
#ifndef TESTS_PAIRS_H
#define TESTS_PAIRS_H

#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "harness.h"

/* In a process of a pair no check of Criterion's may fail: what must succeed ends the process if it doesn't, which the
 * test takes for a violation. */
#define MUST(name, ...) must(#name, h.f->name(__VA_ARGS__))
void must(const char *what, CK_RV rv);

/* ---- the calls ---- */

/* Who makes the call. */
enum actor { AS_USER, AS_SO, WITHOUT_SESSION };

struct deed {
	const char *function, *variant;
	enum actor actor;
	CK_RV (*call)(void);
};
extern const struct deed deeds[];
extern const size_t n_deeds;

/* In a process that makes a call: 'A' or 'B', by which its PINs and labels are told from the other's; what it found. */
struct self {
	char name;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE kept, pub, priv, wrapper; /* of the objects that the token has before: see base_make() */
	CK_BYTE point[80];
	CK_ULONG point_len; /* of `pub` */
};
extern struct self self;

#define BASE_LABEL "Signet pairs                    "
/* Makes the objects that the calls work with, where they are missing; the user is logged in. */
void base_make(CK_SESSION_HANDLE s);
/* Finds them, in the process that makes the call. */
void base_find(void);

/* ---- what all processes share ---- */

#define TEXT_SIZE 8192
struct text {
	size_t n;
	char at[TEXT_SIZE];
};
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct board {
	struct seat {
		CK_RV rv;         /* what its call answered */
		struct text view; /* what it saw next */
	} seat[2];
	struct text witness;  /* what the third process found */
	CK_BYTE wrapped[512]; /* for C_UnwrapKey */
	CK_ULONG wrapped_len;
};
extern struct board *board;
extern struct faults *module_faults;

/* ---- the token as text ---- */

/* What the process that made a call sees at its next. */
void view_own(struct text *t);
/* In a new process: everything, which PINs are set included, goes to board->witness; afterwards the token is as the
 * calls want it.  0, or the process has ended. */
int witness(void);
/* Makes the token where none is yet. */
void witness_begin(void);
/* Until the kernel has collected keys that nobody has any more: they count as the user's quota. */
void wait_for_collector(void);
/* The keys or files that the token consists of, and whatever is left beside them; while no process of a pair is. */
void view_outside(struct text *t);

/* ---- processes that are held ---- */

enum halt {
	HALT_HELD = 1, /* before a system call of the table, as many as were asked for */
	HALT_WAITS, /* it has found the token's lock taken */
	HALT_LOCKS, /* it has taken the token's lock */
	HALT_OVER,  /* the call has returned; the process stands before its next one */
	HALT_ENDED, /* the process is gone */
};

struct actor_process {
	pid_t pid;
	unsigned long points; /* system calls of the table, since the call began */
	int status;           /* once HALT_ENDED: of waitpid() */
	size_t meeting;       /* which of them it makes, or has just made */
	bool within;          /* it stands before that one's end */
	bool asks;            /* it is connected to the TPM's control port … */
	uint64_t asking;      /* … by that descriptor */
};

/* Forks a process that goes where the call begins, and stands there. */
void actor_start(struct actor_process *p, const struct deed *d, size_t seat);
/* Goes on until something of that happens; at: HALT_HELD before that one (0: never); lock: HALT_WAITS or HALT_LOCKS,
 * which then counts (0: neither does). */
enum halt actor_go(struct actor_process *p, unsigned long at, enum halt lock);
/* From HALT_OVER: it looks at the token, finalizes and ends.  False: it failed. */
bool actor_end(struct actor_process *p);
/* However it stands. */
void actor_kill(struct actor_process *p);
/* Tells one that waits that more time has gone by than a lock is waited for. */
void actor_time_passes(struct actor_process *p);

/* ---- the TPM (pairs_tpm.c); on another kind of token these do nothing ---- */

/* Opens the connection that all processes use by turns, and configures it. */
void shared_tpm_up(void);
void shared_tpm_down(void);
/* What the TPM holds that outlives a call. */
void view_tpm(struct text *t);

#endif

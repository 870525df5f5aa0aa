/* Death: a process is killed as it enters its nth system call, for every n, and so before and behind every command to
 * the TPM, every call of keyutils and every change of a file.  A new process must then find the old state or the new
 * one (design 9.3).
 *
 *   death_calls.c  the calls, and the tokens that they begin with    death_sight.c  what a new process finds
 *   death_place.c  the token from outside, kept and put back         death.c        the sweep
 *   trace*.c       the same calls, recorded: is everything synced before something depends on it? */
#ifndef TESTS_DEATH_H
#define TESTS_DEATH_H

#include "engine.h"
#include "killer.h"

/* ---- the calls (death_calls.c) ---- */

/* The token that a call begins with. */
enum base {
	BASE_FULL,  /* both PINs, and objects of each kind */
	BASE_NO_PIN, /* the user has no PIN yet */
	BASE_NONE,  /* it isn't initialized */
	BASES
};

/* Limits of both PINs: what CK_TOKEN_INFO.flags then say tells how many tries are used. */
#define TRIES_LIMIT 3

struct mortal {
	const char *function, *variant;
	unsigned on;             /* ON_… */
	enum base base;
	enum stage stage;        /* STAGE_LIBRARY, _PUBLIC, _USER or _SO */
	int (*find)(void);       /* finds what the call works with; 0, or where it failed.  NULL: nothing to find */
	CK_RV (*call)(void);
	CK_RV answer;            /* what it gives when nobody kills it */
	const char *user, *so;   /* the PIN that it sets; NULL: none */
	unsigned tries;          /* PINs that it gives */
	unsigned dead;           /* so many have made the call and died before, and the TPM went on living */
	bool pins;               /* it is about PINs: afterwards the SO's is tried, too */
};
extern const struct mortal mortals[]; /* ended by a row without a function */

/* Makes the base, by the module in this process, where nothing is. */
void mortal_base(enum base base);
/* The call as a process that can be killed.  It returns 0 if the answer is the right one. */
struct victim mortal_victim(const struct mortal *m);
/* Shell pattern in SIGNET_FAULT_SCENARIO, kind of token. */
bool mortal_wanted(const struct mortal *m);

/* In a child, which may not use Criterion: where it failed is its exit status. */
#define GUARD(n, ...)                                                                                                  \
	do {                                                                                                           \
		if ((h.f->__VA_ARGS__) != CKR_OK)                                                                      \
			return (n);                                                                                    \
	} while (0)

/* ---- the token from outside (death_place.c); while the module has no connection ---- */

/* Keeps what the token is now; puts it back, as it was after a boot. */
void place_keep(enum base as);
void place_restore(enum base as);
/* The machine is switched off and on: of a TPM, what isn't permanent goes. */
void place_reboot(void);

/* What somebody finds who looks at the place of the token. */
struct outside {
	unsigned indices;           /* NV indices in our range */
	uint32_t persistent[4];     /* persistent handles */
	unsigned transient, sessions; /* of the TPM */
	uint32_t lockouts;          /* TPM2_PT_LOCKOUT_COUNTER */
	unsigned records;           /* files, or keys */
	char litter[128];           /* names of what should not be there; empty: none */
};
struct outside place_look(void);

/* ---- what a new process finds (death_sight.c) ---- */

/* The token in words: lines of fields. */
struct sight {
	char *text;
	char **lines;
	size_t n;
};
/* In a new process: opens the token, looks at all of it with each PIN, and makes a change, which cleans up.  Gives 0
 * and the sight (freed by sight_done()), or where it failed.  *ret_tries: how many tries of the PIN with the most were
 * used when it came. */
int sight_take(const struct mortal *m, struct sight *ret, unsigned *ret_tries);
void sight_done(struct sight *s);
/* What differs; NULL: nothing.  `other` is a second sight of the state of `want`, reached anew: what differs in the two
 * is random, and is compared by length only. */
const char *sight_differs(const struct sight *is, const struct sight *want, const struct sight *other);

#endif

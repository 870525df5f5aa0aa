/* The sweep: for every scenario - a C_ call and what it stands on - every operation below the call that can fail is made
 * to fail in every way, once and from then on, and the judge looks at what is left (design 9.3).
 *
 *   scenario_*.c  the scenarios            ways.c   how things fail, and what the answer must then be
 *   engine.c      the rounds               state.c  the token from outside, before and after
 *   rig.c         the place, the stages    result.c what was found, as lines of a table
 *   watcher.c     the second process       inject.c, tcti_fault.c  where faults are made
 *
 * One process sweeps the scenarios that the environment names (one Criterion test).  From the environment, besides the
 * harness's: SIGNET_FAULT_SCENARIO, a shell pattern for "C_Function/variant"; SIGNET_FAULT_KINDS, names of kinds with
 * commas between (default: all); SIGNET_FAULT_SAMPLE, n: each nth fault only (default: 1); SIGNET_FAULT_RESULTS, the file
 * that the lines are appended to (default: none); SIGNET_FAULT_AT, "way/n/once|on": that fault only, told in detail. */
#ifndef TESTS_ENGINE_H
#define TESTS_ENGINE_H

#include "fault.h"
#include "harness.h"

/* ---- scenarios ---- */

/* Where the library and h.session are when the call is made. */
enum stage {
	STAGE_NONE,    /* C_Initialize wasn't called */
	STAGE_LIBRARY, /* initialized; the token is there, and no session is open */
	STAGE_PUBLIC,  /* h.session is R/W, and nobody is logged in */
	STAGE_READ,    /* h.session is R/O, and nobody is logged in */
	STAGE_USER,    /* R/W, the user is logged in */
	STAGE_SO,      /* R/W, the SO is logged in */
};

enum { ON_TPM = 1, ON_KEYRING = 2, ON_BOTH = 3 };

/* Traits: */
enum {
	MUTATES = 1,       /* a success changes the token, and a second process must see that */
	MOVES_SESSION = 2, /* a success changes sessions or the login state: the engine then makes the stage anew */
	COUNTS_TRY = 4,    /* proves a PIN: a failure may have used up one try, and not more */
	ANSWERS = 8,       /* the call answers from memory alone: a kind that finds nothing to fail in it is no mistake */
	TELLS_EVENTS = 16, /* C_WaitForSlotEvent: a token that can't be seen is an event: CKR_OK is right */
};

/* Bits of `contexts`, the columns of tests/vectors/tss-rc.tsv that the scenario's TPM commands stand in. */
enum {
	CTX_PROBE = 1, CTX_LOGIN = 2, CTX_ADMIN = 4, CTX_GEN = 8, CTX_IMPORT = 16, CTX_UNWRAP = 32, CTX_DERIVE = 64,
	CTX_INIT = 128, CTX_SIGN = 256, CTX_DECRYPT = 512, CTX_ENCRYPT = 1024, CTX_VERIFY = 2048, CTX_RNG = 4096,
	CTX_OBJECT = 8192,
};

struct scenario {
	const char *function; /* "C_CreateObject" */
	const char *variant;  /* tells it from the function's others: "data, token, private" */
	unsigned on;          /* ON_… */
	enum stage stage;
	unsigned traits;
	unsigned contexts;    /* 0: it sends no command to a TPM */
	CK_RV answer;         /* the right one; CKR_OK unless a row says otherwise (a signature that isn't one) */
	const char *config;   /* further lines of [slot test], from harness_up() on, or NULL */
	/* Each of these may be NULL, but `call`; all but `call` run without faults, and assert (cr_assert) what they do. */
	void (*base)(void);   /* the stage is reached: makes, or finds again, the objects that the call works with.  Called
				 before each round, so that it is quick when nothing is lost */
	void (*begin)(void);  /* before each try: C_SignInit for C_Sign; out.length for a call that reads it */
	CK_RV (*call)(void);  /* exactly one C_ call; what it gives goes to `out` */
	void (*undo)(void);   /* after a success: the token is as before, as far as the call matters */
	/* After a success: true if the result is right (a signature that verifies, a value that comes back). */
	bool (*good)(void);
};

/* What calls give.  The engine fills it before begin(), and compares after a failure: a call that fails gives no
 * handle and no length. */
struct outputs {
	CK_OBJECT_HANDLE handle[2];
	CK_SESSION_HANDLE session;
	CK_ULONG length;
	CK_BYTE bytes[1024]; /* may have been written to after a failure */
};
extern struct outputs out;

/* Each file of scenarios gives one list, ended by a row without a function. */
extern const struct scenario admin_scenarios[], session_scenarios[], object_scenarios[], key_scenarios[],
	crypt_scenarios[], sign_scenarios[], stub_scenarios[];

/* ---- kinds of operations that fail ---- */

enum kind_of_fault {
	FAULT_COMMANDS,  /* TPM commands: the TPM answers with a code */
	FAULT_TRANSPORT, /* the operations of a TCTI: the way to the TPM breaks */
	FAULT_KEYS,      /* keyutils, and the ring lock's sockets */
	FAULT_FILES,     /* the store's system calls */
	FAULT_MEMORY,    /* allocations */
	FAULT_MUTEX,     /* the application's four mutex callbacks */
	FAULT_EVP,       /* libcrypto's functions */
	FAULT_KINDS
};
extern const char *const kind_names[FAULT_KINDS]; /* "commands", "transport", "keys", "files", … */

/* ---- results ---- */

/* One line of the report's table: a scenario and a kind, on one kind of token. */
struct result {
	const char *function, *variant, *token;
	const char *kind;          /* kind_names[], "death" or "pairs" */
	const char *told;          /* what is under way, for a violation's words; not written */
	unsigned long operations;  /* found below the call */
	unsigned long injected;    /* faults that struck; processes killed; pairs run */
	unsigned long violations;
	unsigned long general;     /* CKR_GENERAL_ERROR among the answers, where R11 allows it */
	struct { CK_RV rv; unsigned long n; } codes[24]; /* answers, each with its number; n 0: end */
};

/* Counts an answer. */
void result_code(struct result *r, CK_RV rv);
/* Counts a violation and tells it: one line on stderr, one in the results.  printf's rules. */
void result_violation(struct result *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends the line to SIGNET_FAULT_RESULTS: fields with tabs between them, in the order above, codes as
 * "CKR_OK=12 CKR_HOST_MEMORY=3"; a violation's line is "!", then function, variant, token, kind and the words. */
void result_write(const struct result *r);

#endif

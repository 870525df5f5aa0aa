/* The token from outside: before a call, and after one that failed. */
#ifndef TESTS_STATE_H
#define TESTS_STATE_H

#include "rig.h"

struct state {
	/* What must be byte for byte as before: */
	uint8_t records[32];      /* the store's records, or the ring's keys by serial with their payloads */
	uint8_t nv[32];           /* each NV index's public area, its contents where the owner can read them (the counters
				     aside), and persistent handles */
	struct sight sight;       /* what the second process sees */
	/* What mustn't grow: */
	uint32_t transient, sessions, files, staged, indices;
	/* What may be there only where the way to undo was cut, too: */
	bool intents;
	uint32_t tries[2];        /* counted by the PINs' counters, in ascending order: the user's and the SO's, either way */
};

/* Looks at the token with nothing of the module's; the library may be initialized. */
void state_take(struct state *ret);
/* The call failed: compares.  cut: the fault was for good, so that undoing may have been cut off, too; what the intents
 * announce may then wait for the next change.  tries: how many more may be counted. */
void state_compare(struct result *r, const struct state *before, const struct state *after, bool cut, uint32_t tries);
/* Nothing may be held by the process or in the TPM: after C_Finalize. */
struct holdings {
	long blocks;              /* the module's allocations */
	unsigned fds;
	uint32_t transient, sessions;
};
struct holdings holdings_now(void);

/* There is no token any more: its store and its NV indices, or all that the session keyring has, and what the kernel has
 * collected of it then: else the quota is full of what nobody has.  While the module isn't initialized. */
void state_clear(void);
/* Takes out of the TPM whatever is loaded, so that what one round has left isn't held against the next. */
void holdings_drop(void);

#endif

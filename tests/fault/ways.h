/* How things fail, and which answers are then right. */
#ifndef TESTS_WAYS_H
#define TESTS_WAYS_H

#include "rig.h"

struct way {
	char name[48];
	enum kind_of_fault kind;
	struct fault *plan;  /* where it is ordered */
	enum fault_how how;
	uint32_t code;       /* as fault.h's */
	int where;
	uint32_t row;        /* the code as tests/vectors/tss-rc.tsv has it, without a position; 0: none */
	bool absorbed;       /* once: the call must succeed all the same, since trying again is what the table says */
	bool example;        /* of several ways that are handled alike, one: it strikes everywhere, once and for good; each
				of the others at one place in each scenario */
};

/* All ways of a kind; *n may be 0 (no TPM in a keyring's sweep).  After rig_up(). */
const struct way *ways_of(enum kind_of_fault kind, size_t *n);

/* Whether the call may answer that: f has struck as that way says.  tests/vectors/tss-rc.tsv for the TPM's codes and the
 * TCTI's, keyrings(7) and errno(3) by the tables in ways.c for the others. */
bool ways_right(const struct scenario *s, const struct way *w, const struct fault *f, CK_RV rv);

/* Whether it was TPM2_TestParms that struck, with a code about its parameter: that is what it is asked for (Part 3, 30.3),
 * and says that the TPM hasn't such keys.  A template that wants one is CKR_TEMPLATE_INCONSISTENT; nothing has failed. */
bool ways_is_answer(const struct way *w, const struct fault *f);

#endif

/* The PIN counter: wrong PINs in a row, for the user and the SO.  A key of fixed size that is changed in place, so
 * that counting never meets the quota.  Each count names the PIN that it is for, so a token record with a new PIN
 * starts at no wrong ones by itself: setting a PIN is one commit.  A courtesy: who possesses the ring can read the
 * token record and guess without asking us (design, 1).  The format stands at the top of tries.c. */
#ifndef KEYRING_TRIES_H
#define KEYRING_TRIES_H

#include "store.h"
#include "trec.h"

struct tries {
	uint8_t wrong[2]; /* by enum token_user */
};

/* The counts for the PINs of that token record.  Wants no lock.  A counter that is missing or damaged reads as no wrong
 * PINs: it guards nothing that must be refused for its sake.  One that can't be read for want of memory is an error.
 * Codes of KR_RING. */
CK_RV tries_read(const struct store *st, const struct trec *trec, struct tries *ret) MUST_CHECK;
/* Under the token's lock.  CKR_TOKEN_WRITE_PROTECTED when it may not be written. */
CK_RV tries_write(const struct store *st, const struct trec *trec, const struct tries *t) MUST_CHECK;
/* For a ring that is being built. */
int tries_fill(const struct store *st) MUST_CHECK;

#endif

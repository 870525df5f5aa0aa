/* The PIN counter: wrong PINs in a row, for the user and the SO.  A key of fixed size that is changed in place, so
 * that counting never meets the quota.  A courtesy: who possesses the ring can read the token record and guess
 * without asking us (design, 1).  The format stands at the top of tries.c. */
#ifndef KEYRING_TRIES_H
#define KEYRING_TRIES_H

#include "store.h"

struct tries {
	uint8_t wrong[2]; /* by enum token_user */
};

/* Wants no lock.  A counter that is missing or damaged reads as no wrong PINs: it guards nothing that must be refused
 * for its sake.  Codes of KR_RING for a ring that is gone. */
CK_RV tries_read(const struct store *st, struct tries *ret) MUST_CHECK;
/* Under the token's lock.  CKR_TOKEN_WRITE_PROTECTED when it may not be written. */
CK_RV tries_write(const struct store *st, const struct tries *t) MUST_CHECK;
/* For a ring that is being built. */
int tries_fill(const struct store *st) MUST_CHECK;

#endif

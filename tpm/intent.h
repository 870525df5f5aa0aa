/* Intents: what a call is about to make or to give up, noted in the store before it happens, so that whoever takes
 * the token's lock next can clean up after a crash (R10). */
#ifndef TPM_INTENT_H
#define TPM_INTENT_H

#include <tss2/tss2_tpm2_types.h>

#include "store.h"
#include "tokenrec.h"

#define INTENT_MAX 16

struct intent_index {
	TPM2_HANDLE handle;
	uint8_t policy[32];
};

/* Each index that the committed token record doesn't name is to be undefined; each record of objects that belongs to
 * `replaced`, unless that is still the token's id, is to be removed. */
struct intents {
	size_t n;
	struct intent_index index[INTENT_MAX];
	bool replaces;
	uint8_t replaced[16];
};

/* Under the token's lock.  No file is no intents.  CKR_DEVICE_ERROR: the file is damaged. */
CK_RV intents_read(struct store *s, struct intents *ret) MUST_CHECK;
CK_RV intents_write(struct store *s, const struct intents *in) MUST_CHECK;
/* CKR_DEVICE_MEMORY: too many wait already. */
CK_RV intents_add(struct intents *in, TPM2_HANDLE handle, const uint8_t policy[32]) MUST_CHECK;

#endif

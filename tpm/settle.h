/* Cleaning up after a call that was cut off, or that has just passed or missed its commit point. */
#ifndef TPM_SETTLE_H
#define TPM_SETTLE_H

#include "conn.h"
#include "store.h"

struct settle {
	struct conn *conn;
	struct store *store;
};

/* Under the token's lock: compares the intents with the committed token record, undefines the NV indices that it
 * doesn't name, removes the records of the token that it replaced, then the intents.  Nothing that isn't named by
 * handle and policy digest, or by token id, is touched (R10).  The intents stay when anything fails.
 * Made for txn_undo() and txn_after(): arg is a struct settle. */
CK_RV settle_intents(void *arg) MUST_CHECK;

#endif

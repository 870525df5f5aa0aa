/* A transaction: how a call that fails leaves the token unchanged (R9).
 *
 *   struct txn t CLEANUP(txn_cleanup) = {0};
 *   TRY(txn_undo(&t, undefine, &index, "NV index 0x%08x", index.handle));   after the step has succeeded
 *   ...
 *   txn_commit(&t);                       the store's one atomic operation has succeeded
 *   return txn_end(&t, rv);
 *
 * Before the commit point each step that succeeds registers how to take itself back; a failure runs these in
 * reverse.  What is registered for after the commit only cleans up, and never fails the call. */
#ifndef TPM_TXN_H
#define TPM_TXN_H

#include "base.h"

#define TXN_MAX_STEPS 16

/* Takes one step back, or cleans up.  `arg` is borrowed until txn_end(). */
typedef CK_RV txn_fn(void *arg);

struct txn_step {
	txn_fn *run;
	void *arg;
	char what[80]; /* what is left behind if run() fails, for the log */
};

/* All zeros is an empty transaction. */
struct txn {
	struct txn_step undo[TXN_MAX_STEPS], after[TXN_MAX_STEPS];
	size_t n_undo, n_after;
	bool committed;
};

/* Registers an undo of a step just done.  When there is no room, which is our bug, the undo runs at once and the
 * result is CKR_GENERAL_ERROR. */
CK_RV txn_undo(struct txn *t, txn_fn *run, void *arg, const char *what, ...) MUST_CHECK PRINTF_LIKE(4, 5);
/* Registers a clean-up for after the commit.  CKR_GENERAL_ERROR when there is no room; nothing has run then. */
CK_RV txn_after(struct txn *t, txn_fn *run, void *arg, const char *what, ...) MUST_CHECK PRINTF_LIKE(4, 5);
/* The commit point has been passed: undo steps are forgotten. */
void txn_commit(struct txn *t);
/* Ends the transaction and returns what the call returns.  Committed: runs the clean-ups, in the order in which they
 * were registered, logs those that fail, and returns rv.  Not committed: runs the undo steps in reverse, all of them,
 * and returns rv, or CKR_GENERAL_ERROR if one failed (R11).  The transaction is then empty; a second call does
 * nothing. */
CK_RV txn_end(struct txn *t, CK_RV rv) MUST_CHECK;
/* For CLEANUP: ends a transaction that nobody ended, as failed. */
void txn_cleanup(struct txn *t);

#endif

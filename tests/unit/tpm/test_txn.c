/* Transactions: order, commit, failures. */
#include <criterion/criterion.h>

#include "txn.h"

/* What ran, one letter each; upper case: it failed. */
static char trace[64];
static size_t traced;

static CK_RV step(void *arg)
{
	char letter = *(const char *)arg;

	trace[traced++] = letter;
	return letter >= 'A' && letter <= 'Z' ? CKR_DEVICE_ERROR : CKR_OK;
}

static char letters[] = "abcdefghijklmnopqrstuvwxyzABC";
#define LETTER(c) (strchr(letters, (c)))

static void undo(struct txn *t, char letter)
{
	cr_assert_eq(txn_undo(t, step, LETTER(letter), "step %c", letter), CKR_OK);
}

static void after(struct txn *t, char letter)
{
	cr_assert_eq(txn_after(t, step, LETTER(letter), "clean-up %c", letter), CKR_OK);
}

Test(txn, a_failure_takes_back_in_reverse)
{
	struct txn t = {0};

	undo(&t, 'a');
	undo(&t, 'b');
	after(&t, 'x');
	cr_expect_eq(txn_end(&t, CKR_DEVICE_MEMORY), CKR_DEVICE_MEMORY);
	cr_expect_str_eq(trace, "ba");
	cr_expect_eq(txn_end(&t, CKR_OK), CKR_OK);
	cr_expect_str_eq(trace, "ba");
}

Test(txn, a_commit_only_cleans_up)
{
	struct txn t = {0};

	undo(&t, 'a');
	after(&t, 'x');
	txn_commit(&t);
	after(&t, 'C'); /* fails: logged, no more */
	after(&t, 'y');
	cr_expect_eq(txn_end(&t, CKR_OK), CKR_OK);
	cr_expect_str_eq(trace, "xCy");
}

Test(txn, an_undo_that_fails_says_so_and_the_others_run)
{
	struct txn t = {0};

	undo(&t, 'a');
	undo(&t, 'B');
	undo(&t, 'c');
	cr_expect_eq(txn_end(&t, CKR_DEVICE_MEMORY), CKR_GENERAL_ERROR);
	cr_expect_str_eq(trace, "cBa");
}

Test(txn, no_room_takes_back_at_once)
{
	struct txn t = {0};

	for (size_t i = 0; i < TXN_MAX_STEPS; i++)
		undo(&t, 'a');
	cr_expect_eq(txn_undo(&t, step, LETTER('z'), "step z"), CKR_GENERAL_ERROR);
	cr_expect_str_eq(trace, "z");
	for (size_t i = 0; i < TXN_MAX_STEPS; i++)
		after(&t, 'b');
	cr_expect_eq(txn_after(&t, step, LETTER('z'), "clean-up z"), CKR_GENERAL_ERROR);
	cr_expect_str_eq(trace, "z");
	txn_commit(&t);
	cr_expect_eq(txn_end(&t, CKR_OK), CKR_OK);
}

static void leave_early(void)
{
	struct txn t CLEANUP(txn_cleanup) = {0};

	undo(&t, 'a');
	undo(&t, 'b');
}

Test(txn, scope_end_takes_back)
{
	leave_early();
	cr_expect_str_eq(trace, "ba");
}

/* Transactions. */
#include "txn.h"

#include <stdarg.h>

#include "log.h"
#include "rv.h"

static PRINTF_LIKE(4, 0) void set_step(struct txn_step *s, txn_fn *run, void *arg, const char *what, va_list ap)
{
	s->run = run;
	s->arg = arg;
	vsnprintf(s->what, sizeof s->what, what, ap);
}

/* A step that can't be taken back: what it made is there for good, and somebody should know. */
static CK_RV undo(const struct txn_step *s)
{
	CK_RV rv = s->run(s->arg);

	if (rv != CKR_OK)
		log_error("could not take back what failed half-way (%s): left behind: %s", rv_name(rv), s->what);
	return rv;
}

CK_RV txn_undo(struct txn *t, txn_fn *run, void *arg, const char *what, ...)
{
	struct txn_step spare, *s = t->n_undo < TXN_MAX_STEPS ? &t->undo[t->n_undo] : &spare;
	va_list ap;

	va_start(ap, what);
	set_step(s, run, arg, what, ap);
	va_end(ap);
	if (s == &spare) {
		(void)!undo(s);
		return CKR_GENERAL_ERROR;
	}
	t->n_undo++;
	return CKR_OK;
}

CK_RV txn_after(struct txn *t, txn_fn *run, void *arg, const char *what, ...)
{
	va_list ap;

	if (t->n_after == TXN_MAX_STEPS)
		return CKR_GENERAL_ERROR;
	va_start(ap, what);
	set_step(&t->after[t->n_after++], run, arg, what, ap);
	va_end(ap);
	return CKR_OK;
}

void txn_commit(struct txn *t)
{
	t->committed = true;
	t->n_undo = 0;
}

static void clean_up(struct txn *t)
{
	for (size_t i = 0; i < t->n_after; i++) {
		CK_RV rv = t->after[i].run(t->after[i].arg);

		if (rv != CKR_OK)
			log_info("not cleaned up yet (%s): %s", rv_name(rv), t->after[i].what);
	}
}

CK_RV txn_end(struct txn *t, CK_RV rv)
{
	if (t->committed)
		clean_up(t);
	while (t->n_undo > 0)
		if (undo(&t->undo[--t->n_undo]) != CKR_OK)
			rv = CKR_GENERAL_ERROR;
	*t = (struct txn){0};
	return rv;
}

void txn_cleanup(struct txn *t)
{
	(void)!txn_end(t, CKR_OK);
}

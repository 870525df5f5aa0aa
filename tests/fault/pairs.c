/* The orders, the points and the judgement.
 *
 * What is right isn't written down: it is what the same two processes give one after the other, in one order or in the
 * other, as text.  What a call by itself does is the conformance suite's matter.
 *
 * From the environment: SIGNET_FAULT_SCENARIO, a shell pattern for the pair's name, "C_Function/variant &
 * C_Function/variant" in the order of pairs_deeds.c; SIGNET_FAULT_SAMPLE, n: each nth point only; SIGNET_FAULT_LIST,
 * names only; SIGNET_FAULT_RESULTS, see engine.h. */
#include "pairs.h"

#include <dlfcn.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "engine.h"

struct faults *module_faults;

/* ---- fixtures ---- */

static void in_new_process(int (*fn)(void))
{
	int status = in_child(fn);

	cr_assert(status == 0, "the token can't be looked at or made again: %d", status);
}

/* The shipped module has no faults on order: then no time can go by, and scrypt takes its own. */
static void find_faults(void)
{
	struct faults *(*get)(void) = (struct faults *(*)(void))dlsym(h.module, "signet_test_faults");

	module_faults = get ? get() : NULL;
}

static bool listing; /* names only */

static void up(void)
{
	listing = secure_getenv("SIGNET_FAULT_LIST");
	if (listing)
		return;
	harness_up();
	find_faults();
	shared_tpm_up();
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(board != MAP_FAILED);
	/* Here, and not in a process of its own: what libraries make once is then there in each that is forked. */
	witness_begin();
}

static void down(void)
{
	shared_tpm_down();
	harness_down();
}

TestSuite(pairs, .init = up, .fini = down, .timeout = 36000);

/* Whether that one is to be run; it is listed otherwise. */
static bool is_wanted(const char *name)
{
	const char *pattern = secure_getenv("SIGNET_FAULT_SCENARIO");
	bool wanted = !pattern || fnmatch(pattern, name, 0) == 0;

	if (wanted && listing)
		fprintf(stdout, "%s\n", name);
	return wanted && !listing;
}

/* ---- one run ---- */

/* What a run gave. */
struct outcome {
	CK_RV rv[2];
	bool broken; /* a process died, or waited for one that waits */
	struct text text;
};

struct run {
	const struct deed *deed[2];
	struct actor_process process[2];
};

static void run_begin(struct run *r, const struct deed *const deed[2])
{
	wait_for_collector();
	for (size_t i = 0; i < 2; i++) {
		r->deed[i] = deed[i];
		actor_start(&r->process[i], deed[i], i);
	}
}

/* To the end of its call. */
static bool finish(struct run *r, size_t who)
{
	return actor_go(&r->process[who], 0, 0) == HALT_OVER;
}

/* Both calls have returned, unless something broke: what both see then, what is left, what a third one finds. */
static void run_end(struct run *r, bool broken, struct outcome *ret)
{
	ret->broken = broken;
	ret->text.n = 0;
	for (size_t i = 0; i < 2; i++) {
		if (broken)
			actor_kill(&r->process[i]);
		else if (!actor_end(&r->process[i]))
			ret->broken = true;
		ret->rv[i] = board->seat[i].rv;
	}
	text_add(&ret->text, "outside\n");
	view_outside(&ret->text);
	in_new_process(witness);
	for (size_t i = 0; i < 2; i++)
		text_add(&ret->text, "%c: %s, then sees\n%.*s", 'A' + (int)i, rv_name(ret->rv[i]),
			 (int)board->seat[i].view.n, board->seat[i].view.at);
	text_add(&ret->text, "a third\n%.*s", (int)board->witness.n, board->witness.at);
}

static void run_serial(const struct deed *const deed[2], size_t first, struct outcome *ret)
{
	struct run r;

	run_begin(&r, deed);
	bool ok = finish(&r, first) && finish(&r, !first);
	run_end(&r, !ok, ret);
	cr_assert(!ret->broken, "%s: a process of a serial order died", deed[first]->function);
	cr_assert(ret->rv[first] == CKR_OK, "%s, %s, alone: %s\n%s", deed[first]->function, deed[first]->variant,
		  rv_name(ret->rv[first]), ret->text.at);
}

/* The other one, while the first is held: it comes to its end, or waits for the first, which then goes on. */
static bool meet(struct run *r, size_t held)
{
	enum halt other = actor_go(&r->process[!held], 0, HALT_WAITS);
	enum halt halt = actor_go(&r->process[held], 0, HALT_WAITS);

	/* The lock is free, or it is ours: who waits now waits for ever. */
	if (halt != HALT_OVER)
		return false;
	return other == HALT_OVER || (other == HALT_WAITS && finish(r, !held));
}

/* False: the call has fewer points. */
static bool run_held(const struct deed *const deed[2], size_t held, unsigned long at, struct outcome *ret)
{
	struct run r;

	run_begin(&r, deed);
	enum halt halt = actor_go(&r.process[held], at, 0);
	if (halt == HALT_OVER) {
		run_end(&r, !finish(&r, !held), ret);
		return false;
	}
	run_end(&r, halt != HALT_HELD || !meet(&r, held), ret);
	return true;
}

/* ---- the judgement ---- */

static unsigned long number_from(const char *name, unsigned long otherwise)
{
	const char *text = secure_getenv(name);
	unsigned long n = text ? strtoul(text, NULL, 0) : otherwise;

	return n ? n : otherwise;
}

/* The first line in which two texts differ. */
static const char *difference(char buf[400], const char *is, const char *want)
{
	size_t i = 0, line = 0;

	for (; is[i] && is[i] == want[i]; i++)
		if (is[i] == '\n')
			line = i + 1;
	snprintf(buf, 400, "\"%.*s\" for \"%.*s\"", (int)strcspn(is + line, "\n"), is + line,
		 (int)strcspn(want + line, "\n"), want + line);
	return buf;
}

static void judge(struct result *res, const struct deed *const deed[2], unsigned long at, const struct outcome *o,
		  const struct outcome order[2])
{
	char how[2][400];

	for (size_t i = 0; i < 2; i++) {
		result_code(res, o->rv[i]);
		if (!o->broken && !answer_listed(deed[i]->function, o->rv[i]))
			result_violation(res, "at %lu: %s answers %s", at, deed[i]->function, rv_name(o->rv[i]));
	}
	if (o->broken)
		result_violation(res, "at %lu: a process died, or waits for ever", at);
	else if (strcmp(o->text.at, order[0].text.at) != 0 && strcmp(o->text.at, order[1].text.at) != 0)
		result_violation(res, "at %lu: neither A, B (%s) nor B, A (%s)", at,
				 difference(how[0], o->text.at, order[0].text.at),
				 difference(how[1], o->text.at, order[1].text.at));
}

/* ---- the sweep ---- */

static void sweep(const struct deed *const deed[2], size_t held, unsigned long number, const struct outcome order[2])
{
	char variant[128];
	const struct deed *other = deed[!held];
	unsigned long every = number_from("SIGNET_FAULT_SAMPLE", 1);
	struct result res = {.function = deed[held]->function, .variant = variant, .token = h.kind->name,
			     .kind = "pairs"};
	struct outcome o;

	snprintf(variant, sizeof variant, "%s & %s, %s", deed[held]->variant, other->function, other->variant);
	unsigned long at = 1 + number % every;
	for (; run_held(deed, held, at, &o); at += every) {
		res.injected++;
		judge(&res, deed, at, &o, order);
	}
	res.operations = at - 1;
	result_write(&res);
	fprintf(stderr, "%s, %s: %lu points, %lu held, %lu violations\n", res.function, variant, res.operations,
		res.injected, res.violations);
	cr_expect(res.violations == 0, "%s, %s: %lu violations", res.function, variant, res.violations);
	cr_expect(res.injected > 0 || every > 1, "%s, %s: nothing to hold it at", res.function, variant);
}

static void sweep_pair(size_t i, size_t j)
{
	static struct outcome order[2];
	const struct deed *const deed[2] = {&deeds[i], &deeds[j]};
	char name[160];

	snprintf(name, sizeof name, "%s/%s & %s/%s", deed[0]->function, deed[0]->variant, deed[1]->function,
		 deed[1]->variant);
	if (!is_wanted(name))
		return;
	run_serial(deed, 0, &order[0]);
	run_serial(deed, 1, &order[1]);
	sweep(deed, 0, i + j, order);
	if (i != j)
		sweep(deed, 1, i + j + 1, order);
}

/* ---- a lock that is held for too long ---- */

static const struct deed *deed_named(const char *function, const char *variant)
{
	for (size_t i = 0; i < n_deeds; i++)
		if (strcmp(deeds[i].function, function) == 0 && strcmp(deeds[i].variant, variant) == 0)
			return &deeds[i];
	cr_assert(false, "%s, %s", function, variant);
	return NULL;
}

/* B gives up, and has changed nothing: what A then does is all that is to be seen. */
static void give_up(struct result *res, const struct deed *a, const struct deed *b)
{
	const struct deed *const deed[2] = {a, b};
	struct outcome o;
	struct run r;

	run_begin(&r, deed);
	bool met = actor_go(&r.process[0], 0, HALT_LOCKS) == HALT_LOCKS &&
		   actor_go(&r.process[1], 0, HALT_WAITS) == HALT_WAITS;
	if (met)
		actor_time_passes(&r.process[1]);
	run_end(&r, !met || !finish(&r, 1) || !finish(&r, 0), &o);
	res->injected++;
	result_code(res, o.rv[1]);
	if (o.broken || o.rv[0] != CKR_OK)
		result_violation(res, "%s, %s doesn't wait, or the other says %s", b->function, b->variant,
				 rv_name(o.rv[0]));
	else if (o.rv[1] != CKR_FUNCTION_FAILED)
		result_violation(res, "%s, %s says %s", b->function, b->variant, rv_name(o.rv[1]));
	else if (!strstr(board->witness.at, "\"half by A\"") || strstr(board->witness.at, " by B"))
		result_violation(res, "%s, %s has failed and changed something", b->function, b->variant);
}

static void held_too_long(void)
{
	const struct deed *a = deed_named("C_SetAttributeValue", "half of a pair");
	struct result res = {.function = a->function, .variant = "the lock held for too long", .token = h.kind->name,
			     .kind = "pairs", .operations = 1};

	for (size_t i = 0; i < n_deeds; i++)
		give_up(&res, a, &deeds[i]);
	result_write(&res);
	cr_expect(res.violations == 0, "%lu violations", res.violations);
}

Test(pairs, sweep)
{
	for (size_t i = 0; i < n_deeds; i++)
		for (size_t j = i; j < n_deeds; j++)
			sweep_pair(i, j);
	if (is_wanted("C_SetAttributeValue/the lock held for too long") && module_faults)
		held_too_long();
}

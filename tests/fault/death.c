/* The sweep: each of the calls is killed at each of its system calls, and a new process judges what is left.
 * The environment is engine.h's; here SIGNET_FAULT_AT is the number of a system call, "/living" behind it. */
#include "death.h"

#include <stdlib.h>
#include <sys/syscall.h>

#include "trace.h"

/* What the token may be afterwards. */
struct state {
	struct sight sight, other; /* other: of the new state, reached once more */
	struct outside outside;
};

struct sweep {
	const struct mortal *m;
	struct result result;
	const struct state *old;
	struct state new;
	unsigned long calls; /* that the call makes when nobody kills it */
};

/* ---- one life ---- */

struct life {
	unsigned long nth, calls; /* to be killed at (0: never); made until then */
	long number;              /* SYS_… of the last one */
	bool returned;            /* the call has: the application knows its answer */
	bool to_the_end;          /* it is killed once the call has returned */
	bool killed;
	bool living;              /* the TPM goes on */
	int status;
};

static bool is_last(const struct system_call *c, void *arg)
{
	struct life *l = arg;

	if (c->left)
		return false;
	l->calls++;
	l->number = c->number;
	l->returned = c->number == SYS_exit_group;
	return l->calls == l->nth || (l->to_the_end && l->returned);
}

/* The place as the call finds it. */
static void begin(const struct mortal *m)
{
	struct victim v = mortal_victim(m);

	place_restore(m->base);
	for (unsigned i = 0; i < m->dead; i++) {
		struct life l = {.to_the_end = true};
		bool died = watch(&v, is_last, &l, &l.status);
		cr_assert(died, "%s/%s: step %d failed", m->function, m->variant, l.status);
	}
}

static struct life live(const struct mortal *m, unsigned long nth)
{
	struct life l = {.nth = nth};
	struct victim v = mortal_victim(m);

	begin(m);
	l.killed = watch(&v, is_last, &l, &l.status);
	return l;
}

/* ---- the states ---- */

static void see(struct sweep *s, struct sight *sight)
{
	unsigned tries;
	int where = sight_take(s->m, sight, &tries);

	cr_assert(where == 0, "%s/%s: looking failed at step %d", s->m->function, s->m->variant, where);
}

/* The same for all calls that begin with the same token, and are looked at in the same way. */
static void take_old(struct sweep *s)
{
	static struct state known[BASES][2];
	struct state *old = &known[s->m->base][s->m->pins];

	if (!old->sight.text) {
		place_restore(s->m->base);
		see(s, &old->sight);
		old->outside = place_look();
	}
	s->old = old;
}

static void tell_breach(const char *rule, const struct event *e, void *arg)
{
	struct sweep *s = arg;

	result_violation(&s->result, "not synced: %s (%s)", rule, e->path);
}

/* What a power cut would leave: everything is synced before something depends on it. */
static void judge_trace(struct sweep *s, const struct trace *t)
{
	size_t commands = 0;

	for (size_t i = 0; i < t->n; i++)
		commands += t->at[i].deed == DEED_COMMAND;
	cr_assert(t->n && t->at[t->n - 1].deed == DEED_RETURN, "%s/%s: no trace", s->m->function, s->m->variant);
	cr_assert(commands || !(s->m->user || s->m->so), "%s/%s: the trace shows no command to the TPM", s->m->function,
		  s->m->variant);
	(void)trace_judge(t, tell_breach, s);
}

/* The new state, reached once more; the call is recorded, and judged where there are files. */
static void take_other(struct sweep *s)
{
	const struct victim v = mortal_victim(s->m);
	char store[TRACE_PATH];
	struct trace t = {0};
	int status;

	begin(s->m);
	snprintf(store, sizeof store, "%s/store", h.dir);
	cr_assert(trace_record(&v, store, &t, &status), "%s/%s: step %d failed", s->m->function, s->m->variant, status);
	if (is_kind(&kind_tpm))
		judge_trace(s, &t);
	trace_done(&t);
	see(s, &s->new.other);
}

/* The call, undisturbed. */
static void take_new(struct sweep *s)
{
	struct life l = live(s->m, 0);

	cr_assert(l.status == 0, "%s/%s: step %d failed", s->m->function, s->m->variant, l.status);
	s->calls = s->result.operations = l.calls;
	result_code(&s->result, s->m->answer);
	see(s, &s->new.sight);
	s->new.outside = place_look();
	cr_assert(!s->new.outside.litter[0], "%s/%s leaves%s", s->m->function, s->m->variant, s->new.outside.litter);
	if (is_kind(&kind_tpm))
		take_other(s);
}

/* NULL: it is the new state. */
static const char *differs_from_new(struct sweep *s, const struct sight *is)
{
	const char *differs = sight_differs(is, &s->new.sight, &s->new.sight);

	if (!differs)
		return NULL;
	if (!s->new.other.text) /* only now it matters what of it is random */
		take_other(s);
	return sight_differs(is, &s->new.sight, &s->new.other);
}

/* ---- what is left ---- */

#define VIOLATION(s, l, format, ...)                                                                                   \
	result_violation(&(s)->result, "killed at call %lu of %lu (number %ld)%s: " format, (l)->calls, (s)->calls,    \
			 (l)->number, (l)->living ? ", the TPM goes on living" : "", __VA_ARGS__)

static void judge_outside(struct sweep *s, const struct life *l, const struct outside *o, bool is_old)
{
	const struct outside *want = is_old ? &s->old->outside : &s->new.outside;

	if (o->litter[0])
		VIOLATION(s, l, "left behind:%s", o->litter);
	if (o->records != want->records)
		VIOLATION(s, l, "%u records instead of %u", o->records, want->records);
	if (o->indices != want->indices)
		VIOLATION(s, l, "%u NV indices instead of %u", o->indices, want->indices);
	if (memcmp(o->persistent, want->persistent, sizeof o->persistent) != 0)
		VIOLATION(s, l, "persistent objects: 0x%x instead of 0x%x", o->persistent[0], want->persistent[0]);
	if (o->lockouts)
		VIOLATION(s, l, "the TPM's lockout counter is %u", o->lockouts);
	/* A bare TPM keeps what the dead had loaded, until somebody needs the room or resets it (R14). */
	if (!l->living && (o->transient || o->sessions))
		VIOLATION(s, l, "%u transient objects and %u sessions are in the TPM", o->transient, o->sessions);
}

/* Nobody counts more than what was tried.  A TPM counts wrong PINs alone; a keyring counts first, and then looks. */
static unsigned most_tries(const struct sweep *s, const struct life *l)
{
	bool wrong = s->m->answer == CKR_PIN_INCORRECT;

	return wrong || (!is_kind(&kind_tpm) && !l->returned) ? s->m->tries : 0;
}

static void judge_tries(struct sweep *s, const struct life *l, unsigned tries)
{
	const unsigned least = l->returned && s->m->answer == CKR_PIN_INCORRECT ? s->m->tries : 0;

	if (tries < least || tries > most_tries(s, l))
		VIOLATION(s, l, "%u tries are used, expected %u to %u", tries, least, most_tries(s, l));
}

static void judge(struct sweep *s, const struct life *l)
{
	struct sight is;
	unsigned tries;
	int where = sight_take(s->m, &is, &tries);

	if (where) {
		VIOLATION(s, l, "the next process fails at step %d", where);
		sight_done(&is);
		return;
	}
	const struct outside o = place_look();
	const char *old = sight_differs(&is, &s->old->sight, &s->old->sight);
	char *not_old = strdup(old ? old : "");
	const char *new = old || l->returned ? differs_from_new(s, &is) : "not asked";
	if (l->returned && new)
		VIOLATION(s, l, "what the application was told isn't there: %s", new);
	else if (old && new)
		VIOLATION(s, l, "neither the old state (%s) nor the new one (%s)", not_old, new);
	judge_tries(s, l, tries);
	judge_outside(s, l, &o, !old && !l->returned);
	free(not_old);
	sight_done(&is);
}

/* ---- the sweep ---- */

static unsigned long sample(void)
{
	const char *text = secure_getenv("SIGNET_FAULT_SAMPLE");
	unsigned long n = text ? strtoul(text, NULL, 10) : 1;

	return n ? n : 1;
}

/* The point that a sample begins with: another one for each scenario. */
static unsigned long offset(const struct mortal *m, unsigned long every)
{
	unsigned long sum = 0;

	for (const char *p = m->function; *p; p++)
		sum = sum * 31 + (unsigned char)*p;
	for (const char *p = m->variant; *p; p++)
		sum = sum * 31 + (unsigned char)*p;
	return 1 + sum % every;
}

/* A bare TPM keeps what a dead process had loaded, until it is reset: both are tried at each point, or by turns where
 * only a sample is taken. */
static bool point(struct sweep *s, unsigned long nth, bool living)
{
	struct life l = live(s->m, nth);

	l.living = living;
	s->result.injected += l.killed;
	if (!l.killed && l.status != 0)
		VIOLATION(s, &l, "it fails at step %d, though nobody killed it", l.status);
	if (!living)
		place_reboot();
	judge(s, &l);
	return l.killed;
}

static void all_points(struct sweep *s)
{
	const unsigned long every = sample();
	bool living = false, killed = true;

	for (unsigned long nth = offset(s->m, every); killed; nth += every) {
		killed = point(s, nth, living);
		if (killed && every == 1 && is_kind(&kind_tpm))
			point(s, nth, true);
		else if (is_kind(&kind_tpm))
			living = !living;
	}
}

static void sweep(const struct mortal *m)
{
	const char *at = secure_getenv("SIGNET_FAULT_AT");
	struct sweep s = {.m = m, .result = {.function = m->function, .variant = m->variant, .token = h.kind->name,
					     .kind = "death"}};

	take_old(&s);
	take_new(&s);
	if (at)
		point(&s, strtoul(at, NULL, 10), strstr(at, "living"));
	else
		all_points(&s);
	result_write(&s.result);
	fprintf(stderr, "%s/%s: %lu system calls, %lu killed, %lu violations\n", m->function, m->variant,
		s.result.operations, s.result.injected, s.result.violations);
	cr_expect(s.result.violations == 0, "%s/%s: %lu violations", m->function, m->variant, s.result.violations);
	sight_done(&s.new.sight);
	sight_done(&s.new.other);
}

static void up(void)
{
	harness_up();
	h.extra = "pin-tries = 3\nso-pin-tries = 3\n";
	write_config();
	place_keep(BASE_NONE);
}

TestSuite(death, .init = up, .fini = harness_down, .timeout = 7200);

/* Puts the base in place; makes it first, if it's the first to ask for it. */
static void base_up(enum base base)
{
	static bool made[BASES] = {[BASE_NONE] = true};

	place_restore(made[base] ? base : BASE_NONE);
	if (made[base])
		return;
	mortal_base(base);
	place_keep(base);
	made[base] = true;
}

static void one(const struct mortal *m)
{
	if (secure_getenv("SIGNET_FAULT_LIST")) {
		fprintf(stdout, "%s/%s\n", m->function, m->variant);
		fflush(stdout);
		return;
	}
	base_up(m->base);
	sweep(m);
}

Test(death, sweep)
{
	unsigned n = 0;

	_Static_assert(TRIES_LIMIT == 3, "up() says so to the module");
	for (const struct mortal *m = mortals; m->function; m++) {
		if (!mortal_wanted(m))
			continue;
		one(m);
		n++;
	}
	cr_assert(n, "no scenario is called like that");
}

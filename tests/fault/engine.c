/* The rounds: a scenario's call, with one thing failing in it. */
#include "engine.h"

#include <fnmatch.h>
#include <signal.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "state.h"
#include "rig.h"
#include "ways.h"

static const struct scenario *const lists[] = {
	admin_scenarios, session_scenarios, object_scenarios, key_scenarios, crypt_scenarios, sign_scenarios,
	stub_scenarios,
};

/* ---- which ---- */

static const char *setting(const char *name, const char *otherwise)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : otherwise;
}

static const char *name_of_scenario(const struct scenario *s)
{
	static char name[160];

	snprintf(name, sizeof name, "%s/%s", s->function, s->variant);
	return name;
}

static bool is_here(const struct scenario *s)
{
	unsigned here = strcmp(setting("SIGNET_TEST_TOKEN", ""), "tpm") == 0 ? ON_TPM : ON_KEYRING;

	return s->on & here;
}

static bool is_chosen(const struct scenario *s)
{
	return is_here(s) && fnmatch(setting("SIGNET_FAULT_SCENARIO", "*"), name_of_scenario(s), FNM_EXTMATCH) == 0;
}

static bool is_wanted(enum kind_of_fault kind)
{
	char names[128], word[24];

	snprintf(names, sizeof names, ",%s,", setting("SIGNET_FAULT_KINDS", "all"));
	snprintf(word, sizeof word, ",%s,", kind_names[kind]);
	return strcmp(names, ",all,") == 0 || strstr(names, word);
}

static unsigned long hash_of(const struct scenario *s)
{
	unsigned long n = 5381;

	for (const char *p = name_of_scenario(s); *p; p++)
		n = n * 33 + (unsigned char)*p;
	return n;
}

/* Samples of different scenarios begin at different faults. */
static bool is_sampled(const struct scenario *s)
{
	static unsigned long n;
	unsigned long sample = strtoul(setting("SIGNET_FAULT_SAMPLE", "1"), NULL, 10);

	return (hash_of(s) + n++) % sample == 0;
}

/* ---- one round ---- */

struct order {
	const struct way *way;
	unsigned long at;
	bool for_good;
};

/* SIGNET_FAULT_AT. */
static bool is_ordered(const struct order *o)
{
	const char *only = setting("SIGNET_FAULT_AT", NULL);
	char name[96];

	snprintf(name, sizeof name, "%s/%lu/%s", o->way->name, o->at, o->for_good ? "on" : "once");
	return !only || strcmp(only, name) == 0;
}

static struct result result;
static char told[320] = "the set-up";

static const char *tell(const struct scenario *s, const struct order *o, const char *last)
{
	snprintf(told, sizeof told, "%s: %s at %lu%s (%s)", name_of_scenario(s), o->way->name, o->at,
		 o->for_good ? " for good" : "", last ? last : "-");
	return told;
}

static void ready(const struct scenario *s)
{
	rig_stage(s->stage);
	if (s->base)
		s->base();
}

static void begin(const struct scenario *s)
{
	memset(&out, 0x5a, sizeof out);
	if (s->begin)
		s->begin();
}

static struct fault *plan_of(const struct order *o)
{
	return o->way->plan;
}

/* The fault is on order for this one call, in which nobody waits; afterwards the time has gone on: longer than a TPM in
 * failure mode is left alone. */
static CK_RV call_with(const struct scenario *s, const struct order *o, struct fault *ret)
{
	struct fault *f = plan_of(o);

	*f = (struct fault){.how = o->way->how, .code = o->way->code, .where = o->way->where, .at = o->at,
			    .for_good = o->for_good};
	plans.module->timeless = true;
	alarm(60); /* a call that hangs ends the process by SIGALRM, which tests/fault/run counts */
	CK_RV rv = s->call();
	alarm(0);
	*ret = *f;
	f->at = 0;
	plans.module->timeless = false;
	plans.module->ahead_ns += 2000000000;
	return rv;
}

static void after_success(const struct scenario *s)
{
	if (s->good && !s->good())
		result_violation(&result, "%s: the call succeeded, and what it gave is wrong", told);
	if (s->undo)
		s->undo();
}

/* A mutex that wasn't given back isn't waited for: until C_Finalize everything is CKR_GENERAL_ERROR (R11). */
static void give_back(void)
{
	CK_RV rv = h.initialized ? h.f->C_Finalize(NULL) : CKR_OK;

	if (rv == CKR_GENERAL_ERROR)
		rv = h.f->C_Finalize(NULL);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_NOT_INITIALIZED)
		result_violation(&result, "%s: C_Finalize then says %s", told, rv_name(rv));
	h.initialized = false;
}

static bool is_kept(const struct order *o, const struct fault *f)
{
	/* For good: the last to fail needn't be the one that wasn't given back. */
	return o->way->kind == FAULT_MUTEX && f->struck && (o->for_good || strcmp(f->last, "UnlockMutex") == 0);
}

/* What couldn't be removed is removed by the next change. */
static void judge_files(const struct state *before)
{
	struct state after;

	state_take(&after);
	if (after.files > before->files || after.staged > before->staged || after.intents)
		result_violation(&result, "%s: %u temporary files, %u staged keys%s are left after the next change", told,
				 after.files, after.staged, after.intents ? " and intents" : "");
}

/* Whoever doesn't get the lock hasn't reached the session: what was begun there goes on, and is cancelled. */
static void cancel(const struct scenario *s)
{
	const CK_FLAGS all = CKF_ENCRYPT | CKF_DECRYPT | CKF_DIGEST | CKF_SIGN | CKF_VERIFY | CKF_FIND_OBJECTS;

	if (s->stage >= STAGE_PUBLIC)
		OK(C_SessionCancel, h.session, all);
}

/* The same call without the fault. */
static void again(const struct scenario *s, const struct order *o)
{
	rig_stage(s->stage);
	if (o->way->kind == FAULT_MUTEX)
		cancel(s);
	ready(s);
	begin(s);
	CK_RV rv = s->call();
	if (rv != s->answer)
		result_violation(&result, "%s: the same call then says %s", told, rv_name(rv));
	else
		after_success(s);
}

/* R11: where the way to undo was cut, too, or where the table's row says so. */
static bool right(const struct scenario *s, const struct order *o, const struct fault *f, CK_RV rv)
{
	if (ways_right(s, o->way, f, rv))
		return true;
	return rv == CKR_GENERAL_ERROR && o->for_good && (s->traits & MUTATES);
}

/* "Repeated failure to re-authenticate": a context-specific login that finds the PIN locked (PKCS#11 3.2, 4.10). */
static bool logs_out(const struct scenario *s, CK_RV rv)
{
	return strcmp(s->function, "C_Login") == 0 && s->stage == STAGE_USER && rv == CKR_PIN_LOCKED;
}

/* Only a token that is gone takes its sessions with it. */
static void judge_session(const struct scenario *s, CK_RV rv)
{
	static const CK_STATE states[] = {
		[STAGE_PUBLIC] = CKS_RW_PUBLIC_SESSION, [STAGE_READ] = CKS_RO_PUBLIC_SESSION,
		[STAGE_USER] = CKS_RW_USER_FUNCTIONS,   [STAGE_SO] = CKS_RW_SO_FUNCTIONS,
	};
	const CK_STATE due = logs_out(s, rv) ? CKS_RW_PUBLIC_SESSION : states[s->stage];
	CK_SESSION_INFO info;

	if (s->stage < STAGE_PUBLIC || strcmp(result.kind, kind_names[FAULT_MUTEX]) == 0)
		return; /* a mutex that wasn't given back mustn't be waited for: nothing is answered until C_Finalize */
	CK_RV now = h.f->C_GetSessionInfo(h.session, &info);
	if (now == CKR_SESSION_HANDLE_INVALID && (rv == CKR_DEVICE_REMOVED || rv == CKR_SESSION_HANDLE_INVALID))
		return;
	if (now != CKR_OK || info.state != due)
		result_violation(&result, "%s: %s, and the session is in state %lu (%s)", told, rv_name(rv), info.state,
				 name_of((char[24]){0}, now));
}

/* R21: the raw code of the last failure. */
static void judge_device_error(const struct scenario *s, const struct order *o, const struct fault *f, CK_RV rv)
{
	CK_SESSION_INFO info;

	if (s->stage < STAGE_PUBLIC || o->way->kind != FAULT_COMMANDS || o->for_good || rv == s->answer ||
	    ways_is_answer(o->way, f))
		return;
	/* It stands in the call's session, and a call that takes a slot has none. */
	if (!answer_listed(s->function, CKR_SESSION_HANDLE_INVALID))
		return;
	if (h.f->C_GetSessionInfo(h.session, &info) == CKR_OK && info.ulDeviceError != o->way->code)
		result_violation(&result, "%s: %s, and ulDeviceError is 0x%lx", told, rv_name(rv), info.ulDeviceError);
}

static void judge_outputs(const struct outputs *before)
{
	if (memcmp(before->handle, out.handle, sizeof out.handle) != 0 || before->session != out.session)
		result_violation(&result, "%s: the call failed and gave a handle", told);
	if (before->length != out.length)
		result_violation(&result, "%s: the call failed and gave a length", told);
}

static void judge_failure(const struct scenario *s, const struct order *o, const struct fault *f, CK_RV rv)
{
	if (!answer_listed(s->function, rv))
		result_violation(&result, "%s: %s isn't on the function's list", told, rv_name(rv));
	else if (!right(s, o, f, rv))
		result_violation(&result, "%s: %s", told, rv_name(rv));
	if (o->way->absorbed && !o->for_good)
		result_violation(&result, "%s: %s, though trying again would do", told, rv_name(rv));
	result.general += rv == CKR_GENERAL_ERROR;
	judge_session(s, rv);
	judge_device_error(s, o, f, rv);
}

/* Where there was no way to the TPM, or it refused everything, TPM2_FlushContext came to nothing, too; and where a mutex
 * wasn't given back, nothing more could be done at all. */
static bool is_cut(const struct order *o)
{
	return o->for_good || o->way->kind == FAULT_TRANSPORT || o->way->kind == FAULT_MUTEX;
}

static void judge_state(const struct scenario *s, const struct order *o, const struct state *before)
{
	struct state after;

	state_take(&after);
	state_compare(&result, before, &after, is_cut(o), s->traits & COUNTS_TRY ? 1 : 0);
}

/* A TPM that said of every handle that nothing is there was believed. */
static bool denies(const struct order *o)
{
	return o->for_good && o->way->kind == FAULT_COMMANDS &&
	       ((o->way->code & TPM2_RC_FMT1 && !(o->way->code & TPM2_RC_S)) ||
		(o->way->row >= TPM2_RC_REFERENCE_H0 && o->way->row <= TPM2_RC_REFERENCE_S6));
}

/* What the TPM still held then is gone at the latest after the next call and C_Finalize.  After a C_Finalize to which
 * it was refused for good there is nobody who could know of it. */
static void judge_flushed(const struct scenario *s, const struct order *o)
{
	const bool last = o->for_good && strcmp(s->function, "C_Finalize") == 0;

	if (!is_kind(&kind_tpm) || !is_cut(o) || o->way->kind > FAULT_TRANSPORT)
		return;
	rig_stop();
	const struct holdings now = holdings_now();
	if ((now.transient || now.sessions) && !denies(o) && !last)
		result_violation(&result, "%s: %u transient objects and %u sessions are still there after the next call "
				 "and C_Finalize", told, now.transient, now.sessions);
	holdings_drop();
}

static void round_with(const struct scenario *s, const struct order *o)
{
	struct outputs given;
	struct state before;
	struct fault f;

	tell(s, o, NULL);
	ready(s);
	begin(s);
	given = out;
	state_take(&before);
	CK_RV rv = call_with(s, o, &f);
	tell(s, o, f.last);
	result_code(&result, rv);
	result.injected += f.struck > 0;
	if (rv != s->answer) {
		judge_failure(s, o, &f, rv);
		judge_outputs(&given);
	}
	if (rv != CKR_OK || !(s->traits & MUTATES))
		judge_state(s, o, &before);
	if (is_kept(o, &f))
		give_back();
	if (rv != s->answer)
		again(s, o);
	else if (is_kept(o, &f)) /* what the call gave went with the library */
		rig_begin(s->config, true);
	else
		after_success(s);
	if (is_cut(o) && rv != s->answer && s->traits & MUTATES)
		judge_files(&before);
	judge_flushed(s, o);
}

/* ---- all rounds of a kind ---- */

/* The operations of a way's plan in the call when nothing fails. */
static unsigned long count(const struct scenario *s, const struct way *w)
{
	ready(s);
	begin(s);
	*w->plan = (struct fault){.how = w->how, .code = w->code, .where = w->where};
	plans.module->timeless = true;
	CK_RV rv = s->call();
	plans.module->timeless = false;
	cr_assert(rv == s->answer, "%s: %s without a fault", name_of_scenario(s), rv_name(rv));
	unsigned long n = w->plan->calls;
	snprintf(told, sizeof told, "%s: nothing failed", name_of_scenario(s));
	after_success(s);
	return n;
}

/* What is held after C_Finalize, which knows nobody who could still need it. */
static struct holdings at_rest(void)
{
	rig_stop();
	return holdings_now();
}

static bool is_more(const struct holdings *now, const struct holdings *rest)
{
	return now->blocks > rest->blocks || now->fds > rest->fds || now->transient > rest->transient ||
	       now->sessions > rest->sessions;
}

static void judge_rest(const struct holdings *rest)
{
	struct holdings now = at_rest();

	if (is_more(&now, rest))
		result_violation(&result, "%s: %ld blocks, %u descriptors, %u transient objects and %u sessions are kept "
				 "after C_Finalize; before: %ld, %u, %u and %u", told, now.blocks, now.fds, now.transient,
				 now.sessions, rest->blocks, rest->fds, rest->transient, rest->sessions);
}

/* With a look at what is kept after each: slow, and only to say which fault it was. */
static bool each_at_rest;
static const struct holdings *resting;

static void round_at(const struct scenario *s, const struct way *w, unsigned long at, bool for_good)
{
	const struct order o = {w, at, for_good};

	if (!is_sampled(s) || !is_ordered(&o))
		return;
	round_with(s, &o);
	if (each_at_rest)
		judge_rest(resting);
}

/* Where a call makes very many operations of a kind - it reads a token full of objects - the examples share them: each
 * operation fails in one of the ways. */
#define MANY 16

struct ordinal {
	unsigned long number, example, examples; /* of all ways of a kind, of its examples, and how many those are */
};

/* An example fails everywhere; the others of its class, which are handled alike, at one place: another one in each
 * scenario, and so over all scenarios everywhere. */
static void sweep_way(const struct scenario *s, const struct way *w, unsigned long n, const struct ordinal *o)
{
	if (n && !w->example) {
		round_at(s, w, 1 + (hash_of(s) + o->number) % n, false);
		return;
	}
	for (int for_good = 0; for_good < 2; for_good++)
		for (unsigned long at = 1; at <= n; at++)
			if (n <= MANY || (at + (unsigned long)for_good) % o->examples == o->example)
				round_at(s, w, at, for_good);
}

static unsigned long count_examples(const struct way *ways, size_t n)
{
	unsigned long examples = 0;

	for (size_t i = 0; i < n; i++)
		examples += ways[i].example;
	return examples;
}

/* What a plan counts may depend on the way: only reads and writes can be short. */
static bool is_counted_alike(const struct way *a, const struct way *b)
{
	return a->plan == b->plan && a->how == b->how && (a->kind != FAULT_EVP || a->code == b->code);
}

static void sweep_ways(const struct scenario *s, enum kind_of_fault kind)
{
	unsigned long operations = 0;
	size_t n;
	const struct way *ways = ways_of(kind, &n);
	struct ordinal o = {.examples = count_examples(ways, n)};

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !is_counted_alike(&ways[i], &ways[i - 1]))
			operations = count(s, &ways[i]);
		if ((i == 0 || ways[i].plan != ways[i - 1].plan) && !each_at_rest)
			result.operations += operations;
		o.number = i;
		sweep_way(s, &ways[i], operations, &o);
		o.example += ways[i].example;
	}
}

/* A leak shows when all is over; which fault left it, when the rounds are made again with a look after each. */
static void sweep_kind(const struct scenario *s, enum kind_of_fault kind)
{
	struct holdings rest, now;

	result = (struct result){.function = s->function, .variant = s->variant, .token = h.kind->name,
				 .kind = kind_names[kind], .told = told};
	rig_stage(STAGE_LIBRARY);
	ready(s);
	rest = at_rest();
	sweep_ways(s, kind);
	now = at_rest();
	snprintf(told, sizeof told, "%s: all faults of %s", name_of_scenario(s), kind_names[kind]);
	if (is_more(&now, &rest)) {
		judge_rest(&rest);
		each_at_rest = true;
		resting = &now;
		sweep_ways(s, kind);
		each_at_rest = false;
	}
	result_write(&result);
	fprintf(stderr, "%s: %s, %s: %lu operations, %lu faults, %lu violations\n", name_of_scenario(s), h.kind->name,
		kind_names[kind], result.operations, result.injected, result.violations);
	cr_expect(result.violations == 0, "%lu violations", result.violations);
}

/* The application's mutexes are another start of the library. */
static void sweep(const struct scenario *s)
{
	bool begun = false;

	for (enum kind_of_fault kind = 0; kind < FAULT_KINDS; kind++) {
		if (!is_wanted(kind))
			continue;
		if (!begun || kind == FAULT_MUTEX)
			rig_begin(s->config, kind == FAULT_MUTEX);
		begun = kind != FAULT_MUTEX;
		sweep_kind(s, kind);
	}
}

/* ---- the test ---- */

static bool listing, complete;

static void up(void)
{
	listing = secure_getenv("SIGNET_FAULT_LIST");
	if (!listing)
		rig_up();
}

/* A check that fails on the way ends the test: what was under way is told. */
static void down(void)
{
	if (listing)
		return;
	if (!complete && result.function) {
		result_violation(&result, "%s: and what followed failed", told);
		result_write(&result);
	}
	rig_down();
}

TestSuite(engine, .init = up, .fini = down, .timeout = 36000);

Test(engine, sweep)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (const struct scenario *s = lists[i]; s->function; s++) {
			if (!is_chosen(s))
				continue;
			n++;
			if (listing)
				fprintf(stdout, "%s\n", name_of_scenario(s));
			else
				sweep(s);
		}
	}
	complete = true;
	cr_assert(n, "no scenario is called %s", setting("SIGNET_FAULT_SCENARIO", "*"));
}

/* Each call that changes a token, with the Nth thing failing in it, for every N until none is left, once and for good
 * (design 9.3).  Judged: the answer is listed and right; a call that failed has changed nothing; nothing transient is
 * left; and the same call then succeeds. */
#include <dlfcn.h>
#include <errno.h>

#include "fault.h"
#include "snapshot.h"

static struct faults *module_faults;
static struct fault *tcti;
static char extra[256];

/* ---- the calls that are swept ---- */

struct swept {
	const char *name;
	CK_RV (*call)(void);
	void (*undo)(void); /* after a success: the token is as it was, as far as the call matters */
	bool no_session;    /* the call wants no open session */
};

static CK_UTF8CHAR label[33] = "Signet test                     ";
static struct pair made;
static CK_OBJECT_HANDLE object;

static CK_RV init_token(void)
{
	return CALL(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
}

static void keep_object(void)
{
	h.session = open_session(RW);
	cr_assert(login(h.session, CKU_USER, USER_PIN) == CKR_OK);
	object = data_object(h.session, true, true, "kept");
}

static void token_again(void)
{
	token_up();
	keep_object();
}

static CK_RV generate(void)
{
	return CALL(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
		    TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true)),
		    TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SIGN, true)), &made.pub, &made.priv);
}

static void destroy_pair(void)
{
	OK(C_DestroyObject, h.session, made.pub);
	OK(C_DestroyObject, h.session, made.priv);
}

static CK_RV change_pin(const char *from, const char *to)
{
	return CALL(C_SetPIN, h.session, (CK_UTF8CHAR *)from, strlen(from), (CK_UTF8CHAR *)to, strlen(to));
}

static CK_RV set_pin(void)
{
	return change_pin(USER_PIN, "another pin");
}

static void old_pin(void)
{
	cr_assert(change_pin("another pin", USER_PIN) == CKR_OK);
}

static CK_RV create(void)
{
	return CALL(C_CreateObject, h.session,
		    TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, true),
			     A_TEXT(CKA_VALUE, "new")), &made.pub);
}

static void destroy_created(void)
{
	OK(C_DestroyObject, h.session, made.pub);
}

static char last_told[160] = "no fault yet";

static void find_kept(void)
{
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_APPLICATION, ""), A_TEXT(CKA_VALUE, "content")), &object) == 1,
		  "after %s: the token's object isn't found again", last_told);
}

static CK_RV change(void)
{
	return CALL(C_SetAttributeValue, h.session, object, TEMPLATE(A_TEXT(CKA_LABEL, "changed")));
}

static void change_back(void)
{
	OK(C_SetAttributeValue, h.session, object, TEMPLATE(A_TEXT(CKA_LABEL, "kept")));
}

static CK_RV destroy(void)
{
	return CALL(C_DestroyObject, h.session, object);
}

static void create_kept(void)
{
	object = data_object(h.session, true, true, "kept");
}

/* ---- the ways to fail ---- */

enum injector { MEMORY, FILES, KEYS, TCTI };

static const struct way {
	const char *name;
	enum injector injector;
	enum fault_how how;
	uint32_t code;
	CK_RV right;    /* what the answer must be, if the call fails; 0: any that is on its list */
	bool absorbed;  /* once: the call must succeed all the same */
	bool lost;      /* the undoing may have to wait for the next call */
} ways[] = {
	{"no memory", MEMORY, FAULT_CODE, ENOMEM, CKR_HOST_MEMORY, false, false},
	{"EIO", FILES, FAULT_CODE, EIO, CKR_DEVICE_ERROR, false, false},
	{"ENOSPC", FILES, FAULT_CODE, ENOSPC, CKR_DEVICE_MEMORY, false, false},
	{"EDQUOT", KEYS, FAULT_CODE, EDQUOT, CKR_DEVICE_MEMORY, false, false},
	{"ENOMEM", KEYS, FAULT_CODE, ENOMEM, 0, false, false},
	{"EKEYREVOKED", KEYS, FAULT_CODE, EKEYREVOKED, 0, false, false},
	{"TPM_RC_MEMORY", TCTI, FAULT_CODE, 0x904, CKR_DEVICE_MEMORY, false, false},
	{"TPM_RC_RETRY", TCTI, FAULT_CODE, 0x922, 0, true, false},
	{"TPM_RC_NV_SPACE", TCTI, FAULT_CODE, 0x14b, 0, false, false},
	{"loss before", TCTI, FAULT_LOST_BEFORE, 0, 0, false, true},
	{"loss after", TCTI, FAULT_LOST_AFTER, 0, 0, false, true},
	{"truncated", TCTI, FAULT_TRUNCATED, 0, 0, false, true},
	{"damaged", TCTI, FAULT_DAMAGED, 0, 0, false, true},
};

static struct fault *plan_of(const struct way *w)
{
	switch (w->injector) {
	case MEMORY:
		return &module_faults->memory;
	case FILES:
		return &module_faults->files;
	case KEYS:
		return &module_faults->keys;
	default:
		return tcti;
	}
}

/* SIGNET_TEST_WAY: one way only. */
static bool applies(const struct way *w)
{
	const char *only = secure_getenv("SIGNET_TEST_WAY");

	if (only && strcmp(only, w->name) != 0)
		return false;
	if (w->injector == KEYS)
		return is_kind(&kind_keyring);
	return w->injector == MEMORY || is_kind(&kind_tpm);
}

/* ---- one round ---- */

static void no_library(void)
{
	OK(C_Finalize, NULL);
	h.initialized = false;
}

/* The session is there and logged in, or, for a call that wants none, closed. */
static void ready(const struct swept *s)
{
	CK_SESSION_INFO info;

	if (!h.initialized)
		library_up();
	if (s->no_session) {
		OK(C_CloseAllSessions, h.slot);
		return;
	}
	if (h.f->C_GetSessionInfo(h.session, &info) != CKR_OK)
		h.session = open_session(RW);
	if (state_of(h.session) != CKS_RW_USER_FUNCTIONS) {
		CK_RV rv = login(h.session, CKU_USER, USER_PIN);
		cr_assert(rv == CKR_OK, "after %s: C_Login says %s", last_told, rv_name(rv));
	}
	find_kept();
}

static struct snapshot look(void)
{
	if (is_kind(&kind_tpm) && h.initialized)
		no_library();
	return snapshot_take();
}

/* Whether that failure may be the answer to that fault. */
static bool right(const struct way *w, CK_RV rv, bool for_good)
{
	static const CK_RV never[] = {CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_INVALID, CKR_ARGUMENTS_BAD,
				      CKR_USER_NOT_LOGGED_IN, CKR_SESSION_HANDLE_INVALID, CKR_TEMPLATE_INCONSISTENT,
				      CKR_CRYPTOKI_NOT_INITIALIZED};

	if (answer_in(rv, never, ARRAY_LEN(never)))
		return false;
	/* R11: only where the undoing failed too. */
	if (rv == CKR_GENERAL_ERROR)
		return for_good || w->lost;
	return !w->right || rv == w->right;
}

/* A fault that struck, in words. */
static const char *told(const struct swept *s, const struct way *w, const struct fault *f)
{
	snprintf(last_told, sizeof last_told, "%s, %s at %lu%s (%s)", s->name, w->name, f->at,
		 f->for_good ? " for good" : "", f->last);
	return last_told;
}

static void judge_failure(const struct swept *s, const struct way *w, const struct fault *f, CK_RV rv,
			  const struct snapshot *before)
{
	struct snapshot after = look();

	cr_expect(right(w, rv, f->for_good), "%s: %s", told(s, w, f), rv_name(rv));
	cr_expect(f->for_good || !w->absorbed, "%s: %s, though trying again would do", told(s, w, f), rv_name(rv));
	cr_expect(memcmp(after.records, before->records, 32) == 0, "%s: %s, and %u records became %u others",
		  told(s, w, f), rv_name(rv), before->n_records, after.n_records);
	if (w->lost || f->for_good)
		return;
	cr_expect(after.indices == before->indices && !after.intents, "%s: %u NV indices became %u%s", told(s, w, f),
		  before->indices, after.indices, after.intents ? ", intents left" : "");
	cr_expect(after.staged == before->staged, "%s: %u keys are left staged", told(s, w, f), after.staged);
	cr_expect(after.persistent == before->persistent, "%s: a persistent object is left", told(s, w, f));
}

/* False once nothing is left to fail. */
static bool round_at(const struct swept *s, const struct way *w, unsigned long n, bool for_good)
{
	struct fault *f = plan_of(w);

	ready(s);
	struct snapshot before = look();
	ready(s);
	*f = (struct fault){.how = w->how, .code = w->code, .for_good = for_good, .at = n};
	CK_RV rv = s->call();
	const struct fault was = *f;
	f->at = 0;
	told(s, w, &was);
	if (rv != CKR_OK && was.struck) {
		judge_failure(s, w, &was, rv, &before);
		ready(s);
		rv = s->call();
	}
	cr_assert(rv == CKR_OK, "%s: the same call then says %s", told(s, w, &was), rv_name(rv));
	s->undo();
	return was.struck;
}

/* There are hundreds of allocations in a call: without SIGNET_TEST_FULL the steps grow. */
static unsigned long after(const struct way *w, unsigned long n)
{
	return w->injector == MEMORY && !secure_getenv("SIGNET_TEST_FULL") ? n + 1 + n / 8 : n + 1;
}

static void sweep(const struct swept *s)
{
	unsigned long rounds = 0;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		for (int for_good = 0; for_good < 2 && applies(&ways[i]); for_good++)
			for (unsigned long n = 1; round_at(s, &ways[i], n, for_good); n = after(&ways[i], n))
				rounds++;
	cr_assert(rounds > 0 || secure_getenv("SIGNET_TEST_WAY"), "nothing failed");
}

/* ---- the tests ---- */

static void up(void)
{
	harness_up();
	struct faults *(*get)(void) = (struct faults *(*)(void))dlsym(h.module, "signet_test_faults");
	cr_assert(get, "%s", dlerror());
	module_faults = get();
	if (is_kind(&kind_tpm)) {
		const char *path = secure_getenv("SIGNET_TEST_TCTI");
		void *lib = dlopen(path, RTLD_NOW);
		cr_assert(lib, "%s", dlerror());
		tcti = dlsym(lib, "tcti_fault");
		cr_assert(tcti);
		snprintf(extra, sizeof extra, "%s:", path);
		h.tcti_prefix = extra;
		write_config();
	}
	library_up();
	token_again();
}

TestSuite(sweep, .init = up, .fini = harness_down, .timeout = 600);

Test(sweep, C_InitToken)
{
	sweep(&(struct swept){"C_InitToken", init_token, token_again, true});
}

Test(sweep, C_GenerateKeyPair)
{
	sweep(&(struct swept){"C_GenerateKeyPair", generate, destroy_pair, false});
}

Test(sweep, C_SetPIN)
{
	sweep(&(struct swept){"C_SetPIN", set_pin, old_pin, false});
}

Test(sweep, C_CreateObject)
{
	sweep(&(struct swept){"C_CreateObject", create, destroy_created, false});
}

Test(sweep, C_SetAttributeValue)
{
	sweep(&(struct swept){"C_SetAttributeValue", change, change_back, false});
}

Test(sweep, C_DestroyObject)
{
	sweep(&(struct swept){"C_DestroyObject", destroy, create_kept, false});
}

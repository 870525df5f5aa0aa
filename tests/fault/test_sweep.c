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
	void (*base)(void); /* finds what the call works with, or makes it; NULL: nothing */
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
static struct snapshot base; /* before all faults */

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

/* ---- wrapping, unwrapping, derivation ---- */

static CK_OBJECT_HANDLE base_key;
static uint8_t sealed[512], point[80];
static CK_ULONG sealed_len, point_len;

static bool find_base(CK_OBJECT_CLASS class)
{
	return find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, class), A_TEXT(CKA_LABEL, "base")), &base_key) == 1;
}

/* A key that wraps, and a private key that it has wrapped. */
static void base_aes(void)
{
	uint8_t value[32] = "not a secret";
	struct pair p;

	if (find_base(CKO_SECRET_KEY))
		return;
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES), A_BYTES(CKA_VALUE, value, 32),
		    A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "base"), A_BOOL(CKA_WRAP, true), A_BOOL(CKA_UNWRAP, true),
		    A_BOOL(CKA_EXTRACTABLE, true)),
	   &base_key);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(A_BOOL(CKA_EXTRACTABLE, true)),
	   &p.pub, &p.priv);
	sealed_len = sizeof sealed;
	OK(C_WrapKey, h.session, MECH(CKM_AES_KEY_WRAP_KWP), base_key, p.priv, sealed, &sealed_len);
	OK(C_DestroyObject, h.session, p.pub);
	OK(C_DestroyObject, h.session, p.priv);
}

static CK_RV wrap(void)
{
	uint8_t out[64];
	CK_ULONG n = sizeof out;

	return CALL(C_WrapKey, h.session, MECH(CKM_AES_KEY_WRAP), base_key, base_key, out, &n);
}

static void nothing(void)
{
}

static CK_RV unwrap(void)
{
	return CALL(C_UnwrapKey, h.session, MECH(CKM_AES_KEY_WRAP_KWP), base_key, sealed, sealed_len,
		    TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC), A_BOOL(CKA_TOKEN, true)),
		    &made.pub);
}

/* A pair that agrees with itself. */
static void base_ec(void)
{
	CK_OBJECT_HANDLE pub;

	if (find_base(CKO_PRIVATE_KEY))
		return;
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)),
	   TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_DERIVE, true), A_TEXT(CKA_LABEL, "base")), &pub, &base_key);
	point_len = attribute(h.session, pub, CKA_EC_POINT, point, sizeof point);
	OK(C_DestroyObject, h.session, pub);
}

static CK_RV derive(void)
{
	CK_ECDH1_DERIVE_PARAMS p = {.kdf = CKD_SHA256_KDF, .ulPublicDataLen = point_len, .pPublicData = point};

	return CALL(C_DeriveKey, h.session, MECH_P(CKM_ECDH1_DERIVE, p), base_key,
		    TEMPLATE(A_ULONG(CKA_KEY_TYPE, CKK_AES), A_ULONG(CKA_VALUE_LEN, 32), A_BOOL(CKA_TOKEN, true)),
		    &made.pub);
}

/* ---- the ways to fail ---- */

enum injector { MEMORY, FILES, KEYS, CODES, LOSSES };

/* What the answer must be, when that was the call's one trouble and not repaired.  For codes of a TPM as in
 * tests/vectors/tss-rc.tsv, for errnos as in the tables of store.c and err.c. */
static const struct way {
	const char *name;
	enum injector injector;
	enum fault_how how;
	uint32_t code;
	CK_RV right[3];
	bool absorbed; /* once: the call must succeed all the same */
} ways[] = {
	{.name = "no memory", .injector = MEMORY, .code = ENOMEM, .right = {CKR_HOST_MEMORY}},
	{.name = "EIO", .injector = FILES, .code = EIO, .right = {CKR_DEVICE_ERROR}},
	{.name = "ENOSPC", .injector = FILES, .code = ENOSPC, .right = {CKR_DEVICE_MEMORY}},
	{.name = "EMFILE", .injector = FILES, .code = EMFILE, .right = {CKR_HOST_MEMORY}},
	{.name = "EDQUOT", .injector = KEYS, .code = EDQUOT, .right = {CKR_DEVICE_MEMORY}},
	{.name = "ENOMEM", .injector = KEYS, .code = ENOMEM, .right = {CKR_DEVICE_MEMORY}},
	{.name = "EKEYREVOKED", .injector = KEYS, .code = EKEYREVOKED, .right = {CKR_FUNCTION_FAILED}},
	{.name = "EACCES", .injector = KEYS, .code = EACCES,
	 .right = {CKR_TOKEN_WRITE_PROTECTED, CKR_FUNCTION_FAILED}},
	{.name = "TPM_RC_MEMORY", .injector = CODES, .code = 0x904, .right = {CKR_DEVICE_MEMORY}, .absorbed = true},
	{.name = "TPM_RC_RETRY", .injector = CODES, .code = 0x922, .right = {CKR_FUNCTION_FAILED}, .absorbed = true},
	{.name = "TPM_RC_NV_SPACE", .injector = CODES, .code = 0x14b, .right = {CKR_DEVICE_MEMORY}},
	{.name = "TPM_RC_FAILURE", .injector = CODES, .code = 0x101, .right = {CKR_DEVICE_ERROR}},
	{.name = "TPM_RC_INSUFFICIENT", .injector = CODES, .code = 0x09a,
	 .right = {CKR_GENERAL_ERROR, CKR_DEVICE_ERROR}},
	{.name = "loss before", .injector = LOSSES, .how = FAULT_LOST_BEFORE, .right = {CKR_DEVICE_REMOVED}},
	{.name = "loss after", .injector = LOSSES, .how = FAULT_LOST_AFTER, .right = {CKR_DEVICE_REMOVED}},
	{.name = "truncated", .injector = LOSSES, .how = FAULT_TRUNCATED, .right = {CKR_DEVICE_ERROR}},
	{.name = "damaged", .injector = LOSSES, .how = FAULT_DAMAGED, .right = {CKR_DEVICE_ERROR}},
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
static bool applies(const struct way *w, enum injector injector)
{
	const char *only = secure_getenv("SIGNET_TEST_WAY");

	return w->injector == injector && (!only || strcmp(only, w->name) == 0);
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
	if (s->base)
		s->base();
}

static struct snapshot look(void)
{
	if (is_kind(&kind_tpm) && h.initialized)
		no_library();
	return snapshot_take();
}

/* Codes that aren't only about the fault: a kernel that has no memory for a socket isn't the token's trouble, and a
 * slot whose anchor can't be searched has no token. */
static bool right_there(const struct swept *s, const struct fault *f, CK_RV rv)
{
	static const char *const lock[] = {"socket", "bind", "listen", "connect", "poll", "close"};

	if (rv == CKR_TOKEN_NOT_PRESENT)
		return s->no_session && (f->code == EKEYREVOKED || f->code == EACCES);
	for (size_t i = 0; i < ARRAY_LEN(lock); i++)
		if (strcmp(f->last, lock[i]) == 0)
			return rv == (f->code == ENOMEM ? CKR_HOST_MEMORY : CKR_FUNCTION_FAILED);
	return false;
}

/* Whether that failure may be the answer to that fault. */
static bool right(const struct swept *s, const struct way *w, const struct fault *f, CK_RV rv)
{
	/* R11: only where the undoing failed too. */
	if (rv == CKR_GENERAL_ERROR && f->for_good)
		return true;
	/* A ring that can't be read any more is gone, and a TPM whose answers stay garbled is out of reach. */
	if (rv == CKR_DEVICE_REMOVED && f->for_good && (f->code == EKEYREVOKED || w->injector == LOSSES))
		return true;
	return answer_in(rv, w->right, ARRAY_LEN(w->right)) || right_there(s, f, rv);
}

/* A fault that struck, in words. */
static const char *told(const struct swept *s, const struct way *w, const struct fault *f)
{
	snprintf(last_told, sizeof last_told, "%s, %s at %lu%s (%s)", s->name, w->name, f->at,
		 f->for_good ? " for good" : "", f->last);
	return last_told;
}

/* Nothing transient, whatever happened; what the intents announce may wait where the way to undo it was cut too. */
static void judge_leftovers(const struct snapshot *after, const struct snapshot *before, bool cut)
{
	cr_expect(after->transient == 0 && after->sessions == 0, "%s: %u transient objects and %u sessions are left",
		  last_told, after->transient, after->sessions);
	cr_expect(after->persistent == before->persistent, "%s: a persistent object is left", last_told);
	cr_expect(after->staged == before->staged || cut, "%s: %u keys are left staged", last_told, after->staged);
	if (cut && after->intents)
		return;
	cr_expect(after->indices == before->indices && !after->intents, "%s: %u NV indices became %u%s", last_told,
		  before->indices, after->indices, after->intents ? ", intents left" : "");
}

static void judge_failure(const struct swept *s, const struct way *w, const struct fault *f, CK_RV rv,
			  const struct snapshot *before)
{
	struct snapshot after = look();

	told(s, w, f);
	cr_expect(right(s, w, f, rv), "%s: %s", last_told, rv_name(rv));
	cr_expect(f->for_good || !w->absorbed, "%s: %s, though trying again would do", last_told, rv_name(rv));
	cr_expect(memcmp(after.records, before->records, 32) == 0, "%s: %s, and %u records became %u others", last_told,
		  rv_name(rv), before->n_records, after.n_records);
	judge_leftovers(&after, before, f->for_good);
}

/* The call with that fault on order; nobody waits in it, and afterwards the time has gone on. */
static CK_RV call_with(const struct swept *s, struct fault *f, struct fault order)
{
	*f = order;
	module_faults->timeless = true;
	CK_RV rv = s->call();
	f->at = 0;
	module_faults->timeless = false;
	module_faults->ahead_ns += 2000000000; /* longer than a TPM in failure mode is left alone */
	return rv;
}

/* False once nothing is left to fail. */
static bool round_at(const struct swept *s, const struct way *w, unsigned long n, bool for_good)
{
	struct fault *f = plan_of(w);

	ready(s);
	struct snapshot before = look();
	judge_leftovers(&before, &base, for_good); /* of the round before, which may have succeeded */
	ready(s);
	CK_RV rv = call_with(s, f, (struct fault){.how = w->how, .code = w->code, .for_good = for_good, .at = n});
	struct fault was = *f;
	was.at = n;
	told(s, w, &was);
	if (rv != CKR_OK && was.struck) {
		judge_failure(s, w, &was, rv, &before);
		ready(s);
		rv = s->call();
	}
	cr_assert(rv == CKR_OK, "%s: the same call then says %s", last_told, rv_name(rv));
	s->undo();
	return was.struck;
}

static void sweep(const struct swept *s, enum injector injector)
{
	ready(s);
	base = look();
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		unsigned long faults[2] = {0};

		if (!applies(&ways[i], injector))
			continue;
		for (int for_good = 0; for_good < 2; for_good++)
			while (round_at(s, &ways[i], faults[for_good] + 1, for_good))
				faults[for_good]++;
		cr_expect(faults[0] > 0, "%s: %s: nothing failed", s->name, ways[i].name);
		fprintf(stderr, "%s: %s: %lu faults once, %lu for good\n", s->name, ways[i].name, faults[0], faults[1]);
	}
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

/* Each call is a suite, each injector a test of it: meson runs them beside each other. */
#define SWEEP(name, ...)                                                                                               \
	static const struct swept swept_##name = {#name, __VA_ARGS__};                                                 \
	TestSuite(name, .init = up, .fini = harness_down, .timeout = 300);                                             \
	Test(name, memory)                                                                                             \
	{                                                                                                              \
		sweep(&swept_##name, MEMORY);                                                                          \
	}                                                                                                              \
	Test(name, files)                                                                                              \
	{                                                                                                              \
		sweep(&swept_##name, FILES);                                                                           \
	}                                                                                                              \
	Test(name, keys)                                                                                               \
	{                                                                                                              \
		sweep(&swept_##name, KEYS);                                                                            \
	}                                                                                                              \
	Test(name, codes)                                                                                              \
	{                                                                                                              \
		sweep(&swept_##name, CODES);                                                                           \
	}                                                                                                              \
	Test(name, losses)                                                                                             \
	{                                                                                                              \
		sweep(&swept_##name, LOSSES);                                                                          \
	}

SWEEP(C_InitToken, init_token, token_again, NULL, true)
SWEEP(C_GenerateKeyPair, generate, destroy_pair)
SWEEP(C_SetPIN, set_pin, old_pin)
SWEEP(C_CreateObject, create, destroy_created)
SWEEP(C_SetAttributeValue, change, change_back)
SWEEP(C_DestroyObject, destroy, create_kept)
SWEEP(C_WrapKey, wrap, nothing, base_aes)
SWEEP(C_UnwrapKey, unwrap, destroy_created, base_aes)
SWEEP(C_DeriveKey, derive, destroy_created, base_ec)

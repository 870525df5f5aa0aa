/* Many threads on one token, and forks while they work (design 7).  Build with -Db_sanitize=thread for the other half
 * of what this is for. */
#include <pthread.h>
#include <unistd.h>

#include "judge.h"

TestSuite(threads, .init = session_up, .fini = harness_down, .timeout = 300);

#define THREADS 4

static struct pair pair;
static unsigned failures;
static const char *volatile first_failure;
static bool stop;

static void failed(const char *what, CK_RV rv)
{
	(void)rv;
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED) == 1)
		first_failure = what;
}

#define NEED(name, ...)                                                                                                \
	do {                                                                                                           \
		CK_RV need_rv_ = h.f->name(__VA_ARGS__);                                                               \
		if (need_rv_ != CKR_OK) {                                                                              \
			failed(#name, need_rv_);                                                                       \
			return NULL;                                                                                   \
		}                                                                                                      \
	} while (0)

static void run(void *(*fn)(void *), size_t n)
{
	pthread_t thread[THREADS * 2];

	for (size_t i = 0; i < n; i++)
		cr_assert(pthread_create(&thread[i], NULL, fn, (void *)(uintptr_t)i) == 0);
	for (size_t i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	cr_assert(failures == 0, "%u threads failed, first at %s", failures, first_failure);
}

static void *sign_and_verify(void *arg)
{
	CK_SESSION_HANDLE s;
	uint8_t digest[32] = {(uint8_t)(uintptr_t)arg}, sig[64];

	NEED(C_OpenSession, h.slot, RO, NULL, NULL, &s);
	for (int i = 0; i < 60; i++) {
		CK_ULONG n = sizeof sig;
		digest[1] = (uint8_t)i;
		NEED(C_SignInit, s, MECH(CKM_ECDSA), pair.priv);
		NEED(C_Sign, s, digest, sizeof digest, sig, &n);
		NEED(C_VerifyInit, s, MECH(CKM_ECDSA), pair.pub);
		NEED(C_Verify, s, digest, sizeof digest, sig, n);
	}
	NEED(C_CloseSession, s);
	return NULL;
}

Test(threads, sign_with_one_key)
{
	pair = ec_pair(h.session, true, "shared");
	run(sign_and_verify, THREADS);
}

static void *make_find_destroy(void *arg)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE o, found[4];
	CK_ULONG n;
	char name[32];

	snprintf(name, sizeof name, "of thread %lu", (unsigned long)(uintptr_t)arg);
	CK_ATTRIBUTE label = {CKA_LABEL, name, strlen(name)};
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, (uintptr_t)arg & 1), label};
	NEED(C_OpenSession, h.slot, RW, NULL, NULL, &s);
	for (int i = 0; i < 25; i++) {
		NEED(C_CreateObject, s, t, ARRAY_LEN(t), &o);
		NEED(C_FindObjectsInit, s, &label, 1);
		NEED(C_FindObjects, s, found, ARRAY_LEN(found), &n);
		if (n != 1 || found[0] != o)
			failed("its own object", CKR_OK);
		NEED(C_FindObjectsFinal, s);
		NEED(C_SetAttributeValue, s, o, TEMPLATE(A_TEXT(CKA_VALUE, "new")));
		NEED(C_DestroyObject, s, o);
	}
	NEED(C_CloseSession, s);
	return NULL;
}

Test(threads, make_find_destroy)
{
	run(make_find_destroy, THREADS);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 0);
}

/* One session on two threads: whoever comes second is told so, and nothing breaks. */
static void *same_session(void *arg)
{
	uint8_t digest[32] = {0}, sig[64];

	(void)arg;
	for (int i = 0; i < 100; i++) {
		CK_ULONG n = sizeof sig;
		CK_RV rv = h.f->C_SignInit(h.session, MECH(CKM_ECDSA), pair.priv);
		if (rv != CKR_OK && rv != CKR_OPERATION_ACTIVE)
			failed("C_SignInit", rv);
		rv = h.f->C_Sign(h.session, digest, sizeof digest, sig, &n);
		if (rv != CKR_OK && rv != CKR_OPERATION_NOT_INITIALIZED && rv != CKR_OPERATION_ACTIVE)
			failed("C_Sign", rv);
	}
	return NULL;
}

Test(threads, one_session_for_all)
{
	pair = ec_pair(h.session, false, "shared");
	run(same_session, THREADS);
}

/* Logins, logouts and closed sessions under the feet of others: any listed answer, no crash. */
static void *come_and_go(void *arg)
{
	static const char *const names[] = {"C_SignInit", "C_Sign", "C_OpenSession", "C_CloseSession"};
	uint8_t digest[32] = {0}, sig[64];
	CK_SESSION_HANDLE s;

	for (int i = 0; i < 40; i++) {
		CK_ULONG n = sizeof sig;
		CK_RV rv[4] = {CKR_OK, CKR_OK, h.f->C_OpenSession(h.slot, RO, NULL, NULL, &s), CKR_OK};
		if ((uintptr_t)arg == 0 && i % 10 == 9) {
			h.f->C_Logout(s);
			h.f->C_Login(s, CKU_USER, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
		}
		rv[0] = h.f->C_SignInit(s, MECH(CKM_ECDSA), pair.priv);
		rv[1] = h.f->C_Sign(s, digest, sizeof digest, sig, &n);
		rv[3] = h.f->C_CloseSession(s);
		for (size_t k = 0; k < ARRAY_LEN(rv); k++)
			if (!answer_listed(names[k], rv[k]) || rv[k] == CKR_GENERAL_ERROR)
				failed(names[k], rv[k]);
	}
	return NULL;
}

Test(threads, come_and_go)
{
	pair = ec_pair(h.session, true, "shared");
	run(come_and_go, THREADS);
}

/* ---- forks among threads ---- */

static void *sign_until_told(void *arg)
{
	CK_SESSION_HANDLE s;
	uint8_t digest[32] = {0}, sig[64];

	(void)arg;
	NEED(C_OpenSession, h.slot, RO, NULL, NULL, &s);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		CK_ULONG n = sizeof sig;
		NEED(C_SignInit, s, MECH(CKM_ECDSA), pair.priv);
		NEED(C_Sign, s, digest, sizeof digest, sig, &n);
	}
	return NULL;
}

static int child(void)
{
	CK_ULONG n;

	if (h.f->C_GetSlotList(CK_FALSE, NULL, &n) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 1;
	if (h.f->C_Initialize(&(CK_C_INITIALIZE_ARGS){.flags = CKF_OS_LOCKING_OK}) != CKR_OK)
		return 2;
	if (h.f->C_GetSlotList(CK_FALSE, NULL, &n) != CKR_OK || n != 2)
		return 3;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 4;
}

Test(threads, forks_while_others_sign)
{
	pthread_t thread[2];

	pair = ec_pair(h.session, false, "shared");
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		cr_assert(pthread_create(&thread[i], NULL, sign_until_told, NULL) == 0);
	for (int i = 0; i < 10; i++) {
		int status = in_child(child);
		cr_expect(status == 0, "the child failed at step %d", status);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		pthread_join(thread[i], NULL);
	cr_assert(failures == 0, "%s failed in the parent", first_failure);
}

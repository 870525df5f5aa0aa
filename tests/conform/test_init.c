/* C_Initialize, C_Finalize, threads and fork (PKCS#11 3.2, 5.4; traps T001 to T017). */
#include "harness.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(init, .init = harness_up, .fini = harness_down, .timeout = 60);

static unsigned made, taken, dropped, destroyed;
static CK_RV create_answer = CKR_OK, lock_answer = CKR_OK;
static unsigned patience; /* that many locks are taken before lock_answer */

static CK_RV create_mutex(void **m)
{
	if (create_answer != CKR_OK)
		return create_answer;
	pthread_mutex_t *p = malloc(sizeof *p);
	if (!p)
		return CKR_HOST_MEMORY;
	pthread_mutex_init(p, NULL);
	*m = p;
	__atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
	return CKR_OK;
}

static CK_RV destroy_mutex(void *m)
{
	pthread_mutex_destroy(m);
	free(m);
	__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	return CKR_OK;
}

static CK_RV lock_mutex(void *m)
{
	if (lock_answer != CKR_OK && patience-- == 0) {
		patience = 0;
		return lock_answer;
	}
	__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
	return pthread_mutex_lock(m) == 0 ? CKR_OK : CKR_MUTEX_BAD;
}

static CK_RV unlock_mutex(void *m)
{
	__atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
	return pthread_mutex_unlock(m) == 0 ? CKR_OK : CKR_MUTEX_NOT_LOCKED;
}

static CK_C_INITIALIZE_ARGS with_callbacks(CK_FLAGS flags)
{
	return (CK_C_INITIALIZE_ARGS){.CreateMutex = create_mutex, .DestroyMutex = destroy_mutex,
				      .LockMutex = lock_mutex, .UnlockMutex = unlock_mutex, .flags = flags};
}

Test(init, T001_without_arguments)
{
	OK(C_Initialize, NULL);
	OK(C_Finalize, NULL);
}

Test(init, T002_twice)
{
	OK(C_Initialize, NULL);
	EXPECT(CKR_CRYPTOKI_ALREADY_INITIALIZED, C_Initialize, NULL);
	OK(C_Finalize, NULL);
}

Test(init, T003_reserved_pointer)
{
	CK_C_INITIALIZE_ARGS args = {.pReserved = &args};

	EXPECT(CKR_ARGUMENTS_BAD, C_Initialize, &args);
	OK(C_Initialize, NULL);
}

Test(init, T004_some_mutex_callbacks)
{
	for (unsigned some = 1; some < 15; some++)
		for (CK_FLAGS flags = 0; flags <= CKF_OS_LOCKING_OK; flags += CKF_OS_LOCKING_OK) {
			CK_C_INITIALIZE_ARGS args = with_callbacks(flags);
			args.CreateMutex = some & 1 ? create_mutex : NULL;
			args.DestroyMutex = some & 2 ? destroy_mutex : NULL;
			args.LockMutex = some & 4 ? lock_mutex : NULL;
			args.UnlockMutex = some & 8 ? unlock_mutex : NULL;
			EXPECT(CKR_ARGUMENTS_BAD, C_Initialize, &args);
		}
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize, NULL);
	cr_assert(made == destroyed);
}

/* A call that doesn't get the lock leaves the operation as it is; one that doesn't get it back has ended it (5.14.2). */
Test(init, T008_a_lock_in_an_operation)
{
	CK_C_INITIALIZE_ARGS args = with_callbacks(0);
	CK_BYTE digest[32];
	CK_ULONG n = sizeof digest;
	unsigned over = 0;
	CK_RV rv;

	OK(C_Initialize, &args);
	h.initialized = true;
	token_up();
	CK_SESSION_HANDLE s = open_session(RO);
	for (unsigned locks = 0;; locks++) {
		OK(C_DigestInit, s, MECH(CKM_SHA256));
		lock_answer = CKR_HOST_MEMORY;
		patience = locks;
		rv = CALL(C_Digest, s, (CK_BYTE *)"data", 4, digest, &n);
		lock_answer = CKR_OK;
		if (rv == CKR_OK)
			break;
		is(rv, CKR_HOST_MEMORY);
		rv = CALL(C_DigestInit, s, MECH(CKM_SHA256));
		over += rv == CKR_OK;
		cr_assert(rv == CKR_OK || rv == CKR_OPERATION_ACTIVE, "%s", rv_name(rv));
		OK(C_Digest, s, (CK_BYTE *)"data", 4, digest, &n);
	}
	cr_assert(over > 0);
	OK(C_Finalize, NULL);
	cr_assert(made == destroyed);
}

Test(init, T005_no_callbacks)
{
	CK_C_INITIALIZE_ARGS args = {.flags = 0};

	OK(C_Initialize, &args);
	OK(C_Finalize, NULL);
	args.flags = CKF_OS_LOCKING_OK;
	OK(C_Initialize, &args);
	OK(C_Finalize, NULL);
}

Test(init, T006_callbacks_only)
{
	CK_C_INITIALIZE_ARGS args = with_callbacks(0);
	CK_ULONG n;

	OK(C_Initialize, &args);
	OK(C_GetSlotList, CK_TRUE, NULL, &n);
	OK(C_Finalize, NULL);
	cr_assert(taken == dropped, "%u taken, %u given back", taken, dropped);
	cr_assert(made > 0 && made == destroyed, "%u made, %u destroyed", made, destroyed);
}

Test(init, T007_callbacks_or_system_locks)
{
	CK_C_INITIALIZE_ARGS args = with_callbacks(CKF_OS_LOCKING_OK);

	OK(C_Initialize, &args);
	OK(C_Finalize, NULL);
	cr_assert(made == destroyed && taken == dropped);
}

Test(init, T008_no_threads_of_the_library)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS};

	OK(C_Initialize, &args);
	OK(C_Finalize, NULL);
}

Test(init, T009_failed_initialize_leaves_nothing)
{
	CK_C_INITIALIZE_ARGS args = with_callbacks(0);
	CK_ULONG n;

	create_answer = CKR_HOST_MEMORY;
	EXPECT_IN((CKR_HOST_MEMORY, CKR_CANT_LOCK, CKR_GENERAL_ERROR), C_Initialize, &args);
	cr_assert(made == destroyed);
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetSlotList, CK_FALSE, NULL, &n);
	create_answer = CKR_OK;
	OK(C_Initialize, &args);
	OK(C_Finalize, NULL);
}

Test(init, T010_mutex_codes_stay_inside)
{
	CK_C_INITIALIZE_ARGS args = with_callbacks(0);
	CK_SLOT_INFO info;
	CK_SESSION_HANDLE s;

	OK(C_Initialize, &args);
	lock_answer = CKR_MUTEX_BAD;
	/* A function that takes no lock may succeed; the others must not pass the callback's code on. */
	EXPECT_IN((CKR_GENERAL_ERROR, CKR_HOST_MEMORY, CKR_OK), C_GetSlotInfo, h.slot, &info);
	EXPECT_IN((CKR_GENERAL_ERROR, CKR_HOST_MEMORY), C_OpenSession, h.slot, RO, NULL, NULL, &s);
	lock_answer = CKR_OK;
	OK(C_Finalize, NULL);
}

Test(init, T011_finalize_reserved_pointer)
{
	CK_ULONG n;

	OK(C_Initialize, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_Finalize, &n);
	OK(C_GetSlotList, CK_FALSE, NULL, &n);
}

Test(init, T012_finalize_without_initialize)
{
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize, NULL);
	OK(C_Initialize, NULL);
	OK(C_Finalize, NULL);
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize, NULL);
}

static void *wait_for_event(void *answer)
{
	CK_SLOT_ID slot;

	*(CK_RV *)answer = h.f->C_WaitForSlotEvent(0, &slot, NULL);
	return NULL;
}

Test(init, T013_finalize_wakes_a_waiter)
{
	pthread_t thread;
	CK_RV answer = CKR_OK;

	library_up();
	cr_assert(pthread_create(&thread, NULL, wait_for_event, &answer) == 0);
	/* Before or after the thread has begun to wait: both must end it. */
	sched_yield();
	OK(C_Finalize, NULL);
	pthread_join(thread, NULL);
	if (answer == CKR_FUNCTION_NOT_SUPPORTED)
		cr_skip_test("C_WaitForSlotEvent doesn't block here");
	cr_assert(answer == CKR_CRYPTOKI_NOT_INITIALIZED, "%s", rv_name(answer));
}

Test(init, again_and_again)
{
	for (int i = 0; i < 20; i++) {
		CK_ULONG n;
		OK(C_Initialize, NULL);
		OK(C_GetSlotList, CK_FALSE, NULL, &n);
		cr_assert(n == 2);
		OK(C_Finalize, NULL);
	}
}

/* ---- fork: the child is a new application (T015) ---- */

static int child_starts_anew(void)
{
	CK_ULONG n;
	CK_SESSION_INFO info;

	if (h.f->C_GetSlotList(CK_FALSE, NULL, &n) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 1;
	if (h.f->C_Initialize(NULL) != CKR_OK)
		return 2;
	if (h.f->C_GetSessionInfo(h.session, &info) != CKR_SESSION_HANDLE_INVALID)
		return 3;
	CK_SESSION_HANDLE s;
	/* A bare TPM serves one process at a time, and here the parent has it. */
	CK_RV rv = h.f->C_OpenSession(h.slot, RO, NULL, NULL, &s);
	if (rv == CKR_OK && (h.f->C_GetSessionInfo(s, &info) != CKR_OK || info.state != CKS_RO_PUBLIC_SESSION))
		return 4;
	if (rv != CKR_OK && !h.kind->hardware)
		return 5;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 6;
}

Test(init, T015_fork)
{
	uint8_t bytes[16];

	session_up();
	struct pair p = ec_pair(h.session, false, "forked");
	int status = in_child(child_starts_anew);
	cr_assert(status == 0, "the child failed at step %d", status);
	cr_assert(state_of(h.session) == CKS_RW_USER_FUNCTIONS, "the parent noticed");
	OK(C_GenerateRandom, h.session, bytes, sizeof bytes);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	uint8_t sig[128];
	CK_ULONG n = sizeof sig;
	OK(C_Sign, h.session, bytes, sizeof bytes, sig, &n);
}

static int child_exits_only(void)
{
	return 0;
}

static int child_finalizes(void)
{
	return h.f->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED ? 0 : 1;
}

Test(init, T015_fork_without_initialize)
{
	session_up();
	struct pair p = ec_pair(h.session, false, "forked");
	cr_assert(in_child(child_exits_only) == 0);
	cr_assert(in_child(child_finalizes) == 0);
	cr_assert(attribute_ulong(h.session, p.priv, CKA_KEY_TYPE) == CKK_EC);
	OK(C_Logout, h.session);
}

/* ---- threads ---- */

static unsigned failures;

static void *sessions_of_a_thread(void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++) {
		CK_SESSION_HANDLE s;
		CK_SESSION_INFO info;
		uint8_t random[8];
		if (h.f->C_OpenSession(h.slot, RO, NULL, NULL, &s) != CKR_OK ||
		    h.f->C_GetSessionInfo(s, &info) != CKR_OK ||
		    h.f->C_GenerateRandom(s, random, sizeof random) != CKR_OK ||
		    h.f->C_CloseSession(s) != CKR_OK)
			__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t thread[4];

	token_up();
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		cr_assert(pthread_create(&thread[i], NULL, sessions_of_a_thread, NULL) == 0);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		pthread_join(thread[i], NULL);
	cr_assert(failures == 0, "%u rounds failed", failures);
}

Test(init, threads_with_system_locks)
{
	run_threads();
}

Test(init, threads_with_callbacks)
{
	CK_C_INITIALIZE_ARGS args = with_callbacks(0);

	OK(C_Initialize, &args);
	h.initialized = true;
	run_threads();
	OK(C_Finalize, NULL);
	cr_assert(made == destroyed && taken == dropped);
}

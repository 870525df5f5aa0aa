/* module/library.c: initialize, finalize, threads, fork. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"

TestSuite(library, .init = front_up, .fini = front_down, .timeout = 20);

static CK_RV some_create(void **m)
{
	*m = &front_dir;
	return CKR_OK;
}

static CK_RV some_call(void *m UNUSED)
{
	return CKR_OK;
}

static CK_RV failing_create(void **m UNUSED)
{
	return CKR_MUTEX_BAD;
}

Test(library, mutex_arguments)
{
	for (unsigned given = 0; given < 16; given++)
		for (CK_FLAGS flags = 0; flags <= CKF_OS_LOCKING_OK; flags += CKF_OS_LOCKING_OK) {
			CK_C_INITIALIZE_ARGS args = {
				.CreateMutex = given & 1 ? some_create : NULL,
				.DestroyMutex = given & 2 ? some_call : NULL,
				.LockMutex = given & 4 ? some_call : NULL,
				.UnlockMutex = given & 8 ? some_call : NULL,
				.flags = flags,
			};
			bool fine = given == 0 || given == 15;

			EXPECT(fine ? CKR_OK : CKR_ARGUMENTS_BAD, C_Initialize(&args));
			EXPECT(fine ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(NULL));
		}
}

Test(library, reserved_arguments)
{
	CK_C_INITIALIZE_ARGS args = {.pReserved = front_dir};
	CK_INFO info;

	EXPECT(CKR_ARGUMENTS_BAD, C_Initialize(&args));
	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_CRYPTOKI_ALREADY_INITIALIZED, C_Initialize(NULL));
	EXPECT(CKR_ARGUMENTS_BAD, C_Finalize(front_dir));
	EXPECT(CKR_OK, C_GetInfo(&info));
}

Test(library, a_failed_start_leaves_nothing)
{
	CK_C_INITIALIZE_ARGS args = {.CreateMutex = failing_create, .DestroyMutex = some_call, .LockMutex = some_call,
				     .UnlockMutex = some_call};

	EXPECT(CKR_GENERAL_ERROR, C_Initialize(&args));
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(NULL));
	EXPECT(CKR_OK, C_Initialize(NULL));
}

Test(library, a_mistake_takes_away_one_slot)
{
	char path[80];
	CK_ULONG n = 0;
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/conf", front_dir);
	f = fopen(path, "we");
	(void)fputs("[slot a]\ntype = none\n[slot b]\nx = y\n[slot c]\ntype = mem\nx = y\n[slot d]\ntype = mem\n", f);
	(void)fclose(f);
	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_OK, C_GetSlotList(CK_FALSE, NULL, &n));
	cr_expect_eq(n, 1);
}

static void *initializer(void *arg)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_RV *rv = arg, usable;
	CK_INFO info;

	*rv = C_Initialize(&args);
	usable = C_GetInfo(&info);
	if (usable != CKR_OK)
		*rv = usable;
	return NULL;
}

Test(library, many_start_at_once)
{
	for (unsigned round = 0; round < 50; round++) {
		pthread_t t[4];
		CK_RV rv[4];
		unsigned ok = 0;

		for (size_t i = 0; i < 4; i++)
			cr_assert_eq(pthread_create(&t[i], NULL, initializer, &rv[i]), 0);
		for (size_t i = 0; i < 4; i++) {
			(void)pthread_join(t[i], NULL);
			ok += rv[i] == CKR_OK;
			cr_expect(rv[i] == CKR_OK || rv[i] == CKR_CRYPTOKI_ALREADY_INITIALIZED, "%s", rv_name(rv[i]));
		}
		cr_expect_eq(ok, 1);
		EXPECT(CKR_OK, C_Finalize(NULL));
	}
}

static _Atomic bool inside, may_go;

static void *caller(void *arg UNUSED)
{
	cr_assert(library_enter());
	inside = true;
	while (!may_go)
		(void)usleep(1000);
	library_leave();
	return NULL;
}

static void *finalizer(void *arg)
{
	*(CK_RV *)arg = C_Finalize(NULL);
	return NULL;
}

Test(library, finalize_waits_for_calls_in_flight)
{
	pthread_t in, end;
	CK_RV rv = CKR_VENDOR_DEFINED;

	EXPECT(CKR_OK, C_Initialize(NULL));
	cr_assert_eq(pthread_create(&in, NULL, caller, NULL), 0);
	while (!inside)
		(void)usleep(1000);
	cr_assert_eq(pthread_create(&end, NULL, finalizer, &rv), 0);
	(void)usleep(50000);
	cr_expect_eq(rv, CKR_VENDOR_DEFINED, "it didn't wait");
	cr_expect_null(library_enter(), "the gate is closed");
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(NULL));
	may_go = true;
	(void)pthread_join(in, NULL);
	(void)pthread_join(end, NULL);
	cr_expect_eq(rv, CKR_OK);
}

static void *waiter(void *arg)
{
	CK_SLOT_ID slot;

	*(CK_RV *)arg = C_WaitForSlotEvent(0, &slot, NULL);
	return NULL;
}

Test(library, finalize_wakes_who_waits_for_an_event)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_RV rv = CKR_VENDOR_DEFINED;
	pthread_t t;

	EXPECT(CKR_OK, C_Initialize(&args));
	cr_assert_eq(pthread_create(&t, NULL, waiter, &rv), 0);
	(void)usleep(50000);
	EXPECT(CKR_OK, C_Finalize(NULL));
	(void)pthread_join(t, NULL);
	cr_expect_eq(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void *inserter(void *arg UNUSED)
{
	(void)usleep(200000);
	front_insert();
	return NULL;
}

Test(library, an_event_ends_the_wait)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_SLOT_ID slot = 9;
	pthread_t t;

	EXPECT(CKR_OK, C_Initialize(&args));
	cr_assert_eq(pthread_create(&t, NULL, inserter, NULL), 0);
	EXPECT(CKR_OK, C_WaitForSlotEvent(0, &slot, NULL));
	cr_expect_eq(slot, 1);
	(void)pthread_join(t, NULL);
}

static void *random_user(void *arg)
{
	CK_BYTE out[16];

	EXPECT(CKR_OK, C_GenerateRandom(*(CK_SESSION_HANDLE *)arg, out, sizeof out));
	inside = true;
	while (!may_go)
		(void)usleep(1000);
	return NULL;
}

/* Its exit takes it back to libcrypto. */
Test(library, a_thread_that_outlives_finalize)
{
	CK_SESSION_HANDLE s;
	pthread_t t;

	front_token();
	s = front_session(RO);
	cr_assert_eq(pthread_create(&t, NULL, random_user, &s), 0);
	while (!inside)
		(void)usleep(1000);
	EXPECT(CKR_OK, C_Finalize(NULL));
	may_go = true;
	(void)pthread_join(t, NULL);
}

/* 0 if all is as it should be in a new application. */
static int child(CK_SESSION_HANDLE inherited)
{
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE s;

	if (C_GetSessionInfo(inherited, &info) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 1;
	if (C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 2;
	if (C_Initialize(NULL) != CKR_OK)
		return 3;
	if (C_GetSessionInfo(inherited, &info) != CKR_SESSION_HANDLE_INVALID)
		return 4;
	if (C_OpenSession(0, RO, NULL, NULL, &s) != CKR_OK)
		return 5;
	if (C_GetSessionInfo(s, &info) != CKR_OK || info.state != CKS_RO_PUBLIC_SESSION)
		return 6;
	return C_Finalize(NULL) == CKR_OK ? 0 : 7;
}

Test(library, a_forked_child_is_a_new_application)
{
	CK_SESSION_HANDLE s;
	CK_SESSION_INFO info;
	int status;
	pid_t pid;

	front_token();
	s = front_session(RW);
	EXPECT(CKR_OK, front_login(s, CKU_USER, "user-pin"));
	pid = fork();
	if (pid == 0)
		_exit(child(s));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "step %d", WEXITSTATUS(status));
	EXPECT(CKR_OK, C_GetSessionInfo(s, &info));
	cr_expect_eq(info.state, CKS_RW_USER_FUNCTIONS);
}

Test(library, a_child_of_a_call_in_flight)
{
	struct call c;
	int status;
	pid_t pid;

	front_token();
	cr_assert_eq(call_session(&c, FN_C_GenerateRandom, front_session(RO), true), CKR_OK);
	pid = fork();
	if (pid == 0)
		_exit(child(0x123));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "step %d", WEXITSTATUS(status));
	EXPECT(CKR_OK, call_leave(&c, CKR_OK));
}

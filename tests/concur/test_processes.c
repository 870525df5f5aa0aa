/* Two processes that change one token at the same time (design R13, R13a): no acknowledged change is lost, and no reader
 * meets an error.  SIGNET_TEST_ROUNDS says how many changes each makes (2000). */
#include "harness.h"

#include <sys/wait.h>
#include <unistd.h>

static void up(void)
{
	harness_up();
	if (h.kind->process_only)
		cr_skip_test("no second process shares this token");
	token_up();
}

TestSuite(processes, .init = up, .fini = harness_down, .timeout = 1200);

static unsigned rounds(void)
{
	const char *s = secure_getenv("SIGNET_TEST_ROUNDS");
	unsigned n = 2000;

	if (s)
		sscanf(s, "%u", &n);
	return n;
}

static CK_SESSION_HANDLE child_session(CK_FLAGS flags)
{
	CK_SESSION_HANDLE s = CK_INVALID_HANDLE;

	if (h.f->C_Initialize(NULL) != CKR_OK || h.f->C_OpenSession(h.slot, flags, NULL, NULL, &s) != CKR_OK)
		return CK_INVALID_HANDLE;
	return s;
}

static bool one(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *o)
{
	CK_ULONG n = 0;

	return h.f->C_FindObjectsInit(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA))) == CKR_OK &&
	       h.f->C_FindObjects(s, o, 1, &n) == CKR_OK && h.f->C_FindObjectsFinal(s) == CKR_OK && n == 1;
}

/* The attribute that this writer changes; the other writes another one of the same object. */
static CK_ATTRIBUTE_TYPE mine;

static int writer(void)
{
	CK_SESSION_HANDLE s = child_session(RW);
	CK_OBJECT_HANDLE o;
	char text[16], back[16];

	if (!s || !one(s, &o))
		return 1;
	for (unsigned i = 1; i <= rounds(); i++) {
		int n = snprintf(text, sizeof text, "%u", i);
		CK_ATTRIBUTE a = {mine, text, (CK_ULONG)n}, b = {mine, back, sizeof back};
		if (h.f->C_SetAttributeValue(s, o, &a, 1) != CKR_OK)
			return 2;
		if (h.f->C_GetAttributeValue(s, o, &b, 1) != CKR_OK)
			return 3;
		if (b.ulValueLen != (CK_ULONG)n || memcmp(text, back, (size_t)n) != 0)
			return 4; /* an acknowledged change was lost */
	}
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 5;
}

static int reader(void)
{
	CK_SESSION_HANDLE s = child_session(RO);
	CK_OBJECT_HANDLE o;
	char text[16];

	if (!s)
		return 1;
	do {
		CK_ATTRIBUTE a = {CKA_LABEL, text, sizeof text};
		if (!one(s, &o))
			return 2;
		if (h.f->C_GetAttributeValue(s, o, &a, 1) != CKR_OK)
			return 3;
	} while (access("working", F_OK) == 0);
	return 0;
}

static pid_t begin(int (*fn)(void))
{
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(fn());
	return pid;
}

static int end(pid_t pid)
{
	int status;

	cr_assert(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool has(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, const char *want)
{
	char text[16];

	CK_ULONG n = attribute(s, o, type, text, sizeof text);
	return n == strlen(want) && memcmp(text, want, n) == 0;
}

Test(processes, updates_of_one_object)
{
	char last[16];
	CK_OBJECT_HANDLE o;

	data_object(open_session(RW), true, false, "0");
	cr_assert(chdir(h.dir) == 0);
	FILE *f = fopen("working", "we");
	cr_assert(f && fclose(f) == 0);
	OK(C_Finalize, NULL);
	mine = CKA_LABEL;
	pid_t a = begin(writer);
	mine = CKA_VALUE;
	pid_t b = begin(writer), r = begin(reader);
	int got[3] = {end(a), end(b), 0};
	cr_assert(unlink("working") == 0);
	got[2] = end(r);
	cr_expect(got[0] == 0 && got[1] == 0, "the writers ended at steps %d and %d", got[0], got[1]);
	cr_expect(got[2] == 0, "the reader ended at step %d", got[2]);
	library_up();
	CK_SESSION_HANDLE s = open_session(RO);
	snprintf(last, sizeof last, "%u", rounds());
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), &o) == 1);
	cr_assert(has(s, o, CKA_LABEL, last) && has(s, o, CKA_VALUE, last));
	cr_assert(chdir("/") == 0);
}

static int maker(void)
{
	CK_SESSION_HANDLE s = child_session(RW);
	CK_OBJECT_HANDLE o[2];

	if (!s)
		return 1;
	for (unsigned i = 0; i < rounds() / 10; i++) {
		for (size_t k = 0; k < 2; k++)
			if (h.f->C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
							    A_BOOL(CKA_PRIVATE, false)), &o[k]) != CKR_OK)
				return 2;
		if (h.f->C_DestroyObject(s, o[0]) != CKR_OK || h.f->C_DestroyObject(s, o[1]) != CKR_OK)
			return 3;
	}
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 4;
}

Test(processes, makers_and_destroyers)
{
	CK_SESSION_HANDLE s = open_session(RW);

	data_object(s, true, false, "stays");
	OK(C_Finalize, NULL);
	pid_t a = begin(maker), b = begin(maker);
	int got[2] = {end(a), end(b)};
	cr_expect(got[0] == 0 && got[1] == 0, "the makers ended at steps %d and %d", got[0], got[1]);
	library_up();
	s = open_session(RO);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 1);
}

static int initializer(void)
{
	CK_UTF8CHAR text[32];

	memset(text, 'B', sizeof text);
	if (h.f->C_Initialize(NULL) != CKR_OK ||
	    h.f->C_InitToken(h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), text) != CKR_OK)
		return 1;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

/* A removal is told to who had a session then, and to nobody else.  (A bare TPM would serve one process at a time.) */
Test(processes, a_token_initialized_anew_while_nobody_has_a_session)
{
	only_kind(&kind_keyring);
	token_flags(); /* so that it is known here */
	cr_assert(in_child(initializer) == 0);
	token_flags();
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 0);
	cr_assert(in_child(initializer) == 0);
	EXPECT(CKR_DEVICE_REMOVED, C_FindObjectsInit, s, NULL, 0);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_FindObjectsInit, s, NULL, 0);
}

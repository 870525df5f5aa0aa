/* module/session.c: handles, and what closing does. */
#include "front.h"

static void up(void)
{
	front_up();
	front_token();
}

TestSuite(session, .init = up, .fini = front_down);

Test(session, a_handle_is_never_used_twice)
{
	CK_SESSION_HANDLE seen[200];
	CK_SESSION_INFO info;

	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		seen[i] = front_session(RO);
		cr_expect_neq(seen[i], CK_INVALID_HANDLE);
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(seen[i], seen[j]);
		EXPECT(CKR_OK, C_CloseSession(seen[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(seen[i], &info));
}

Test(session, not_even_after_finalize)
{
	CK_SESSION_HANDLE before = front_session(RO);
	CK_SESSION_INFO info;

	EXPECT(CKR_OK, C_Finalize(NULL));
	EXPECT(CKR_OK, C_Initialize(NULL));
	cr_expect_neq(front_session(RO), before);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(before, &info));
}

Test(session, foreign_handles)
{
	CK_SESSION_HANDLE good = front_session(RO);
	CK_SESSION_INFO info;

	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(0, &info));
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(CK_UNAVAILABLE_INFORMATION, &info));
	for (unsigned bit = 0; bit < 8 * sizeof good; bit++)
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(good ^ ((CK_ULONG)1 << bit), &info));
	EXPECT(CKR_OK, C_GetSessionInfo(good, &info));
}

Test(session, as_many_as_a_slot_can_have)
{
	struct library *lib = library_enter();
	struct session *first = NULL, *s;
	CK_SESSION_HANDLE handle;

	for (size_t i = 0; i < SESSION_MAX; i++) {
		cr_assert_eq(session_open(lib->slots[0], RO, &s), CKR_OK);
		first = first ? first : s;
	}
	library_leave();
	EXPECT(CKR_SESSION_COUNT, C_OpenSession(0, RO, NULL, NULL, &handle));
	EXPECT(CKR_OK, C_CloseSession(first->handle));
	EXPECT(CKR_OK, C_OpenSession(0, RO, NULL, NULL, &handle));
	EXPECT(CKR_OK, C_CloseAllSessions(0));
}

Test(session, closing_in_any_order_keeps_the_others)
{
	CK_SESSION_HANDLE h[40];
	CK_SESSION_INFO info;
	CK_TOKEN_INFO token;

	for (size_t i = 0; i < ARRAY_LEN(h); i++)
		h[i] = front_session(i % 2 ? RW : RO);
	for (size_t i = 0; i < ARRAY_LEN(h); i += 3)
		EXPECT(CKR_OK, C_CloseSession(h[i]));
	for (size_t i = 0; i < ARRAY_LEN(h); i++) {
		EXPECT(i % 3 ? CKR_OK : CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(h[i], &info));
		if (i % 3)
			cr_expect_eq(info.flags, i % 2 ? RW : RO);
	}
	EXPECT(CKR_OK, C_GetTokenInfo(0, &token));
	cr_expect_eq(token.ulSessionCount, 26);
	cr_expect_eq(token.ulRwSessionCount, 13);
}

Test(session, closed_while_a_call_is_away)
{
	CK_SESSION_HANDLE h = front_session(RO);
	struct call c;

	cr_assert_eq(call_session(&c, FN_C_GenerateRandom, h, true), CKR_OK);
	call_unlock(&c);
	EXPECT(CKR_OK, C_CloseSession(h));
	EXPECT(CKR_SESSION_CLOSED, call_lock(&c));
	cr_expect_null(c.session);
	EXPECT(CKR_SESSION_CLOSED, call_leave(&c, CKR_SESSION_CLOSED));
}

Test(session, a_call_that_does_not_come_back_by_itself)
{
	CK_SESSION_HANDLE h = front_session(RO);
	CK_SESSION_INFO info;
	struct call c;

	cr_assert_eq(call_session(&c, FN_C_GenerateRandom, h, true), CKR_OK);
	call_unlock(&c);
	fault_note(0x1234);
	EXPECT(CKR_DEVICE_ERROR, call_leave(&c, CKR_DEVICE_ERROR));
	EXPECT(CKR_OK, C_GetSessionInfo(h, &info));
	cr_expect_eq(info.ulDeviceError, 0x1234);
}

Test(session, the_last_one_logs_out)
{
	CK_SESSION_HANDLE a = front_session(RW), b = front_session(RO);
	CK_SESSION_INFO info;

	EXPECT(CKR_OK, front_login(a, CKU_USER, "user-pin"));
	EXPECT(CKR_OK, C_CloseSession(a));
	EXPECT(CKR_OK, C_GetSessionInfo(b, &info));
	cr_expect_eq(info.state, CKS_RO_USER_FUNCTIONS);
	EXPECT(CKR_OK, C_CloseSession(b));
	b = front_session(RO);
	EXPECT(CKR_OK, C_GetSessionInfo(b, &info));
	cr_expect_eq(info.state, CKS_RO_PUBLIC_SESSION);
}

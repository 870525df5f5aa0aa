/* module/dispatch.c and rules.c: what is said first when several things are wrong. */
#include <openssl/err.h>

#include "front.h"
#include "soft.h"

TestSuite(dispatch, .init = front_up, .fini = front_down);

Test(dispatch, not_initialized_comes_first)
{
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetInfo(NULL));
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetSlotInfo(99, NULL));
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetSessionInfo(99, NULL));
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_WrapKey(99, NULL, 0, 0, NULL, NULL));
	EXPECT(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(&front_dir));
}

Test(dispatch, slot_then_token_then_arguments)
{
	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_SLOT_ID_INVALID, C_GetTokenInfo(2, NULL));
	EXPECT(CKR_TOKEN_NOT_PRESENT, C_GetTokenInfo(1, NULL));
	EXPECT(CKR_ARGUMENTS_BAD, C_GetTokenInfo(0, NULL));
	EXPECT(CKR_ARGUMENTS_BAD, C_GetSlotInfo(1, NULL));
	EXPECT(CKR_TOKEN_NOT_PRESENT, C_OpenSession(1, 0, NULL, NULL, NULL));
}

Test(dispatch, handle_then_offered_then_arguments_then_state)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = front_session(RO);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_SignRecoverInit(s + 1, NULL, 0));
	EXPECT(CKR_FUNCTION_NOT_SUPPORTED, C_SignRecoverInit(s, NULL, 0));
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_WrapKey(s + 1, NULL, 0, 0, NULL, NULL));
	EXPECT(CKR_ARGUMENTS_BAD, C_WrapKey(s, NULL, 0, 0, NULL, NULL));
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_SetPIN(0, NULL, 1, NULL, 0));
	EXPECT(CKR_ARGUMENTS_BAD, C_SetPIN(s, NULL, 1, NULL, 0));
	EXPECT(CKR_SESSION_READ_ONLY, C_SetPIN(s, NULL, 0, NULL, 0));
	EXPECT(CKR_USER_NOT_LOGGED_IN, C_InitPIN(s, NULL, 0));
	EXPECT(CKR_USER_NOT_LOGGED_IN, C_Logout(s));
}

Test(dispatch, every_stub_checks_its_handle)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = front_session(RO);
	for (enum function fn = 0; fn < FN_COUNT; fn++) {
		if (!rules[fn].stub)
			continue;
		EXPECT(CKR_SESSION_HANDLE_INVALID, call_stub(fn, true, 0));
		EXPECT(CKR_FUNCTION_NOT_SUPPORTED, call_stub(fn, true, s));
	}
}

Test(dispatch, relics_of_parallel_sessions)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = front_session(RO);
	EXPECT(CKR_FUNCTION_NOT_PARALLEL, C_GetFunctionStatus(s));
	EXPECT(CKR_FUNCTION_NOT_PARALLEL, C_CancelFunction(s));
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_CancelFunction(0));
}

Test(dispatch, uninitialized_token)
{
	CK_SESSION_HANDLE s;

	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_ARGUMENTS_BAD, C_OpenSession(0, RO, NULL, NULL, NULL));
	EXPECT(CKR_TOKEN_NOT_RECOGNIZED, C_OpenSession(0, RO, NULL, NULL, &s));
}

Test(dispatch, a_removed_token_ends_its_sessions)
{
	CK_UTF8CHAR label[33] = "removable                       ";
	CK_ATTRIBUTE none[1];
	CK_SESSION_HANDLE s;
	CK_SLOT_ID slot = 9;

	front_insert();
	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_OK, C_InitToken(1, label, 6, label));
	EXPECT(CKR_OK, C_OpenSession(1, RO, NULL, NULL, &s));
	EXPECT(CKR_NO_EVENT, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	front_withdraw();
	EXPECT(CKR_DEVICE_REMOVED, C_FindObjectsInit(s, none, 0));
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_FindObjectsInit(s, none, 0));
	EXPECT(CKR_TOKEN_NOT_PRESENT, C_OpenSession(1, RO, NULL, NULL, &s));
	EXPECT(CKR_OK, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	cr_expect_eq(slot, 1);
	EXPECT(CKR_NO_EVENT, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	front_insert();
	EXPECT(CKR_OK, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	EXPECT(CKR_OK, C_OpenSession(1, RO, NULL, NULL, &s));
}

/* Another call may have seen already that the token is gone. */
Test(dispatch, a_removal_that_a_probe_has_seen)
{
	CK_UTF8CHAR label[33] = "removable                       ";
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE s;
	CK_SLOT_INFO slot;
	struct call c;

	front_insert();
	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_OK, C_InitToken(1, label, 6, label));
	EXPECT(CKR_OK, C_OpenSession(1, RO, NULL, NULL, &s));
	front_withdraw();
	EXPECT(CKR_OK, C_GetSlotInfo(1, &slot));
	cr_expect(!(slot.flags & CKF_TOKEN_PRESENT));
	cr_assert_eq(call_session(&c, FN_C_GenerateRandom, s, true), CKR_OK);
	EXPECT(CKR_DEVICE_REMOVED, call_leave(&c, CKR_DEVICE_REMOVED));
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(s, &info));
}

/* A call that comes back late, from a token that has been replaced meanwhile. */
Test(dispatch, a_removal_that_is_old_news)
{
	CK_UTF8CHAR label[33] = "removable                       ";
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE s, later;
	struct call c;

	front_insert();
	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_OK, C_InitToken(1, label, 6, label));
	EXPECT(CKR_OK, C_OpenSession(1, RO, NULL, NULL, &s));
	cr_assert_eq(call_session(&c, FN_C_GenerateRandom, s, true), CKR_OK);
	call_unlock(&c);
	EXPECT(CKR_OK, C_CloseAllSessions(1));
	EXPECT(CKR_OK, C_OpenSession(1, RO, NULL, NULL, &later));
	EXPECT(CKR_DEVICE_REMOVED, call_leave(&c, CKR_DEVICE_REMOVED));
	EXPECT(CKR_OK, C_GetSessionInfo(later, &info));
}

/* What lies in the thread's queue is the application's, and nothing of ours stays there. */
Test(dispatch, libcryptos_error_queue)
{
	CK_MECHANISM sha = {CKM_SHA256, NULL, 0};
	CK_SESSION_HANDLE s;
	struct call c;

	ERR_raise(ERR_LIB_USER, 77);
	front_token();
	s = front_session(RO);
	cr_assert_eq(call_session(&c, FN_C_DigestInit, s, true), CKR_OK);
	for (int i = 0; i < 40; i++) { /* more than the queue holds */
		ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
		EXPECT(CKR_FUNCTION_FAILED, crypto_failed("a test", CKR_FUNCTION_FAILED));
	}
	ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
	EXPECT(CKR_HOST_MEMORY, crypto_failed("a test", CKR_FUNCTION_FAILED));
	ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
	EXPECT(CKR_OK, call_leave(&c, CKR_OK));
	EXPECT(CKR_OK, C_DigestInit(s, &sha));
	EXPECT(CKR_OK, C_Finalize(NULL));
	cr_expect_eq(ERR_GET_REASON(ERR_get_error()), 77);
	cr_expect_eq(ERR_get_error(), 0);
}

/* Also where the application's queue is empty: then the first error tells what it was. */
Test(dispatch, libcryptos_error_queue_when_empty)
{
	struct call c;

	EXPECT(CKR_OK, C_Initialize(NULL));
	cr_assert_eq(call_library(&c, FN_C_GetInfo, true), CKR_OK);
	ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
	ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
	EXPECT(CKR_HOST_MEMORY, crypto_failed("a test", CKR_FUNCTION_FAILED));
	ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
	EXPECT(CKR_OK, call_leave(&c, CKR_OK));
	cr_expect_eq(ERR_get_error(), 0);
}

Test(dispatch, a_code_off_the_list_does_not_get_out)
{
	struct call c;

	EXPECT(CKR_OK, C_Initialize(NULL));
	cr_assert_eq(call_slot(&c, FN_C_GetSlotInfo, 0, true), CKR_OK);
	EXPECT(CKR_FUNCTION_FAILED, call_leave(&c, CKR_MUTEX_BAD));
}

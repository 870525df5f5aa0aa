/* Sessions and login (5.6; T050 to T071, and the login state machine of 5.6.8). */
#include "harness.h"

TestSuite(session, .init = token_up, .fini = harness_down, .timeout = 60);
TestSuite(login, .init = token_up, .fini = harness_down, .timeout = 60);

Test(session, T050_parallel_session)
{
	CK_SESSION_HANDLE s;

	EXPECT(CKR_SESSION_PARALLEL_NOT_SUPPORTED, C_OpenSession, h.slot, 0, NULL, NULL, &s);
	EXPECT(CKR_SESSION_PARALLEL_NOT_SUPPORTED, C_OpenSession, h.slot, CKF_RW_SESSION, NULL, NULL, &s);
	EXPECT(CKR_ARGUMENTS_BAD, C_OpenSession, h.slot, RO, NULL, NULL, NULL);
}

Test(session, T051_asynchronous_session)
{
	CK_SESSION_HANDLE s;

	EXPECT(CKR_SESSION_ASYNC_NOT_SUPPORTED, C_OpenSession, h.slot, RO | CKF_ASYNC_SESSION, NULL, NULL, &s);
}

Test(session, T063_session_objects_die_with_their_session)
{
	CK_SESSION_HANDLE a = open_session(RW), b = open_session(RO);
	uint8_t buf[16];
	CK_ATTRIBUTE value = {CKA_VALUE, buf, sizeof buf};

	CK_OBJECT_HANDLE o = data_object(a, false, false, "of a");
	cr_assert(attribute(b, o, CKA_VALUE, buf, sizeof buf) == 7);
	cr_assert(find(b, TEMPLATE(A_TEXT(CKA_LABEL, "of a")), NULL) == 1);
	OK(C_CloseSession, a);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, b, o, &value, 1);
	cr_assert(find(b, TEMPLATE(A_TEXT(CKA_LABEL, "of a")), NULL) == 0);
}

Test(session, T064_closed_and_made_up_handles)
{
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE s = open_session(RO), t = open_session(RO);

	cr_assert(s != t);
	OK(C_CloseSession, s);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_CloseSession, s);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, s, &info);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, 0, &info);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, ~0ul, &info);
	CK_SESSION_HANDLE again = open_session(RO);
	cr_assert(again != s, "a closed session's handle came back");
	OK(C_GetSessionInfo, t, &info);
	OK(C_CloseAllSessions, h.slot);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, t, &info);
	OK(C_CloseAllSessions, h.slot);
}

Test(session, T065_session_info)
{
	CK_SESSION_INFO info;

	CK_SESSION_HANDLE ro = open_session(RO), rw = open_session(RW);
	OK(C_GetSessionInfo, ro, &info);
	cr_assert(info.slotID == h.slot && info.flags == RO && info.state == CKS_RO_PUBLIC_SESSION);
	OK(C_GetSessionInfo, rw, &info);
	cr_assert(info.flags == RW && info.state == CKS_RW_PUBLIC_SESSION && info.ulDeviceError == 0);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetSessionInfo, rw, NULL);
}

Test(session, hundreds_of_sessions)
{
	CK_SESSION_HANDLE s[300];

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		s[i] = open_session(RO);
	for (size_t i = 0; i < ARRAY_LEN(s); i += 2)
		OK(C_CloseSession, s[i]);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		CK_SESSION_INFO info;
		EXPECT(i % 2 ? CKR_OK : CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, s[i], &info);
	}
	OK(C_CloseAllSessions, h.slot);
}

Test(session, sessions_of_slots_are_separate)
{
	CK_SESSION_HANDLE s = open_session(RW);
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	OK(C_InitToken, h.other, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
	CK_SESSION_HANDLE o = open_on(h.other, RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(state_of(o) == CKS_RW_PUBLIC_SESSION);
	is(login(o, CKU_SO, SO_PIN), CKR_OK);
	cr_assert(state_of(s) == CKS_RW_USER_FUNCTIONS && state_of(o) == CKS_RW_SO_FUNCTIONS);
	/* An object of one token isn't to be had through a session of the other. */
	CK_OBJECT_HANDLE data = data_object(s, false, false, "of slot 0");
	CK_ATTRIBUTE value = {CKA_VALUE, NULL, 0};
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, o, data, &value, 1);
	cr_assert(find(o, TEMPLATE(A_TEXT(CKA_LABEL, "of slot 0")), NULL) == 0);
	OK(C_CloseAllSessions, h.other);
	cr_assert(state_of(s) == CKS_RW_USER_FUNCTIONS);
}

Test(session, T068_cancel)
{
	CK_SESSION_HANDLE s = open_session(RW);
	CK_OBJECT_HANDLE o;
	CK_ULONG n;
	uint8_t out[32];

	OK(C_SessionCancel, s, 0);
	OK(C_SessionCancel, s, CKF_SIGN | CKF_ENCRYPT | CKF_FIND_OBJECTS);
	OK(C_DigestInit, s, MECH(CKM_SHA256));
	OK(C_FindObjectsInit, s, NULL, 0);
	OK(C_SessionCancel, s, CKF_SIGN);
	OK(C_FindObjects, s, &o, 1, &n);
	OK(C_SessionCancel, s, CKF_FIND_OBJECTS);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_FindObjects, s, &o, 1, &n);
	OK(C_DigestUpdate, s, out, 1);
	OK(C_SessionCancel, s, CKF_DIGEST);
	n = sizeof out;
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal, s, out, &n);
}

Test(session, T071_cancel_bad_handle)
{
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_SessionCancel, 4711, 0);
}

/* ---- login ---- */

Test(login, T053_read_only_session_beside_the_so)
{
	CK_SESSION_HANDLE s = open_session(RW), ro;

	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	EXPECT(CKR_SESSION_READ_WRITE_SO_EXISTS, C_OpenSession, h.slot, RO, NULL, NULL, &ro);
	cr_assert(state_of(open_session(RW)) == CKS_RW_SO_FUNCTIONS);
}

Test(login, T054_so_beside_a_read_only_session)
{
	CK_SESSION_HANDLE s = open_session(RW), ro = open_session(RO);

	is(login(s, CKU_SO, SO_PIN), CKR_SESSION_READ_ONLY_EXISTS);
	is(login(ro, CKU_SO, SO_PIN), CKR_SESSION_READ_ONLY_EXISTS);
	OK(C_CloseSession, ro);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
}

Test(login, T055_T056_already)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	is(login(s, CKU_USER, USER_PIN), CKR_USER_ALREADY_LOGGED_IN);
	is(login(s, CKU_USER, "wrong pin"), CKR_USER_ALREADY_LOGGED_IN);
	is(login(s, CKU_SO, SO_PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(login(s, CKU_SO, SO_PIN), CKR_USER_ALREADY_LOGGED_IN);
	is(login(s, CKU_USER, USER_PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_assert(!(token_flags() & (CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW)));
}

Test(login, T058_user_types)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, 3, USER_PIN), CKR_USER_TYPE_INVALID);
	is(login(s, ~0ul, USER_PIN), CKR_USER_TYPE_INVALID);
}

Test(login, T059_one_login_for_all_sessions)
{
	CK_SESSION_HANDLE rw = open_session(RW), ro = open_session(RO);

	is(login(ro, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(state_of(ro) == CKS_RO_USER_FUNCTIONS && state_of(rw) == CKS_RW_USER_FUNCTIONS);
	CK_SESSION_HANDLE later = open_session(RO);
	cr_assert(state_of(later) == CKS_RO_USER_FUNCTIONS);
	OK(C_Logout, rw);
	cr_assert(state_of(ro) == CKS_RO_PUBLIC_SESSION && state_of(rw) == CKS_RW_PUBLIC_SESSION);
	is(login(rw, CKU_USER, USER_PIN), CKR_OK);
	OK(C_CloseSession, rw);
	OK(C_CloseSession, ro);
	cr_assert(state_of(later) == CKS_RO_USER_FUNCTIONS);
	OK(C_CloseSession, later);
	cr_assert(state_of(open_session(RO)) == CKS_RO_PUBLIC_SESSION);
}

Test(login, T059_close_all_logs_out)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	OK(C_CloseAllSessions, h.slot);
	cr_assert(state_of(open_session(RW)) == CKS_RW_PUBLIC_SESSION);
}

Test(login, T060_context_without_operation)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
	is(login(s, CKU_CONTEXT_SPECIFIC, "wrong pin"), CKR_OPERATION_NOT_INITIALIZED);
}

Test(login, T061_logout_of_nobody)
{
	CK_SESSION_HANDLE s = open_session(RW);

	EXPECT(CKR_USER_NOT_LOGGED_IN, C_Logout, s);
}

Test(login, T062_logout_ends_private_handles)
{
	CK_SESSION_HANDLE s = open_session(RW);
	CK_ATTRIBUTE value = {CKA_VALUE, NULL, 0};
	CK_OBJECT_HANDLE again;

	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	CK_OBJECT_HANDLE token = data_object(s, true, true, "private token object");
	CK_OBJECT_HANDLE session = data_object(s, false, true, "private session object");
	CK_OBJECT_HANDLE public = data_object(s, true, false, "public token object");
	CK_OBJECT_HANDLE other = data_object(s, false, false, "public session object");
	OK(C_Logout, s);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, s, token, &value, 1);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, s, session, &value, 1);
	OK(C_GetAttributeValue, s, public, &value, 1);
	OK(C_GetAttributeValue, s, other, &value, 1);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, s, token, &value, 1);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "private token object")), &again) == 1 && again != token);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "private session object")), NULL) == 0);
}

Test(login, T067_login_user)
{
	CK_SESSION_HANDLE s = open_session(RW);
	CK_UTF8CHAR *pin = (CK_UTF8CHAR *)USER_PIN;

	EXPECT(CKR_PIN_INCORRECT, C_LoginUser, s, CKU_USER, (CK_UTF8CHAR *)"wrong pin", 9, NULL, 0);
	OK(C_LoginUser, s, CKU_USER, pin, strlen(USER_PIN), NULL, 0);
	cr_assert(state_of(s) == CKS_RW_USER_FUNCTIONS);
	EXPECT(CKR_USER_ALREADY_LOGGED_IN, C_LoginUser, s, CKU_USER, pin, strlen(USER_PIN), NULL, 0);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_LoginUser, 99999, CKU_USER, pin, strlen(USER_PIN), NULL, 0);
}

Test(login, wrong_pin_changes_nothing)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, CKU_USER, "wrong pin"), CKR_PIN_INCORRECT);
	cr_assert(state_of(s) == CKS_RW_PUBLIC_SESSION);
	is(login(s, CKU_SO, USER_PIN), CKR_PIN_INCORRECT);
	cr_assert(state_of(s) == CKS_RW_PUBLIC_SESSION);
	is(login(s, CKU_USER, ""), CKR_PIN_INCORRECT);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
}

/* ---- CKA_ALWAYS_AUTHENTICATE (T130, T131) ---- */

static CK_OBJECT_HANDLE always_authenticated(CK_SESSION_HANDLE s)
{
	CK_OBJECT_HANDLE pub, priv;

	OK(C_GenerateKeyPair, s, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true)),
	   TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, true), A_BOOL(CKA_SIGN, true),
		    A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)),
	   &pub, &priv);
	return priv;
}

static CK_RV sign_now(CK_SESSION_HANDLE s)
{
	uint8_t digest[32] = {7}, sig[64];
	CK_ULONG n = sizeof sig;

	return CALL(C_Sign, s, digest, sizeof digest, sig, &n);
}

Test(login, T130_always_authenticate)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	CK_OBJECT_HANDLE key = always_authenticated(s);
	OK(C_SignInit, s, MECH(CKM_ECDSA), key);
	is(sign_now(s), CKR_USER_NOT_LOGGED_IN);
	is(login(s, CKU_CONTEXT_SPECIFIC, "wrong pin"), CKR_PIN_INCORRECT);
	cr_assert(state_of(s) == CKS_RW_USER_FUNCTIONS);
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	is(sign_now(s), CKR_OK);
	/* Once per operation. */
	OK(C_SignInit, s, MECH(CKM_ECDSA), key);
	is(sign_now(s), CKR_USER_NOT_LOGGED_IN);
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	is(sign_now(s), CKR_OK);
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
}

Test(login, T131_context_login_disturbs_nothing)
{
	CK_SESSION_HANDLE s = open_session(RW);

	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	struct pair p = ec_pair(s, false, "plain");
	OK(C_SignInit, s, MECH(CKM_ECDSA), p.priv);
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
	is(sign_now(s), CKR_OK);
}

Test(login, T096_always_authenticate_needs_private)
{
	CK_SESSION_HANDLE s = open_session(RW);
	CK_OBJECT_HANDLE pub, priv;

	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	EXPECT_IN((CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_VALUE_INVALID), C_GenerateKeyPair, s,
		  MECH(CKM_EC_KEY_PAIR_GEN), TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)),
		  TEMPLATE(A_BOOL(CKA_PRIVATE, false), A_BOOL(CKA_SIGN, true), A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)),
		  &pub, &priv);
}

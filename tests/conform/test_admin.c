/* C_InitToken, C_InitPIN, C_SetPIN and the PIN flags (5.5.7 to 5.5.9; T032, T041 to T049). */
#include "harness.h"

TestSuite(admin, .init = library_up, .fini = harness_down, .timeout = 120);

static CK_UTF8CHAR label_text[32] = "A second name                   ";

static CK_RV init_token(const char *pin)
{
	return CALL(C_InitToken, h.slot, (CK_UTF8CHAR *)pin, strlen(pin), label_text);
}

static CK_RV set_pin(CK_SESSION_HANDLE s, const char *old, const char *pin)
{
	return CALL(C_SetPIN, s, (CK_UTF8CHAR *)old, strlen(old), (CK_UTF8CHAR *)pin, strlen(pin));
}

static CK_RV init_pin(CK_SESSION_HANDLE s, const char *pin)
{
	return CALL(C_InitPIN, s, (CK_UTF8CHAR *)pin, strlen(pin));
}

Test(admin, T049_factory_state)
{
	CK_SESSION_HANDLE s;
	CK_TOKEN_INFO info;

	OK(C_GetTokenInfo, h.slot, &info);
	cr_assert(!(info.flags & (CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED)));
	EXPECT_IN((CKR_TOKEN_NOT_RECOGNIZED, CKR_TOKEN_NOT_INITIALIZED), C_OpenSession, h.slot, RO, NULL, NULL, &s);
}

Test(admin, T042_first_so_pin_stays)
{
	is(init_token(SO_PIN), CKR_OK);
	is(init_token("so-somebody"), CKR_PIN_INCORRECT);
	is(init_token(SO_PIN), CKR_OK);
	cr_assert(token_flags() & CKF_TOKEN_INITIALIZED);
}

Test(admin, T041_session_exists)
{
	token_up();
	CK_SESSION_HANDLE s = open_session(RO);
	is(init_token(SO_PIN), CKR_SESSION_EXISTS);
	OK(C_CloseSession, s);
	is(init_token(SO_PIN), CKR_OK);
}

Test(admin, T043_everything_is_gone)
{
	session_up();
	data_object(h.session, true, false, "public");
	data_object(h.session, true, true, "private");
	ec_pair(h.session, true, "pair");
	OK(C_CloseAllSessions, h.slot);
	is(init_token(SO_PIN), CKR_OK);
	cr_assert(!(token_flags() & CKF_USER_PIN_INITIALIZED));
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(find(s, TEMPLATE(A_BOOL(CKA_TOKEN, true)), NULL) == 0);
	is(login(s, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(s, "another pin"), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_USER, "another pin"), CKR_OK);
	cr_assert(find(s, TEMPLATE(A_BOOL(CKA_TOKEN, true)), NULL) == 0);
}

Test(admin, T042_label)
{
	CK_TOKEN_INFO info;

	is(init_token(SO_PIN), CKR_OK);
	OK(C_GetTokenInfo, h.slot, &info);
	cr_assert_arr_eq(info.label, label_text, 32);
}

Test(admin, T044_init_pin_is_for_the_so)
{
	token_up();
	CK_SESSION_HANDLE ro = open_session(RO);
	is(init_pin(ro, "abcdefgh"), CKR_USER_NOT_LOGGED_IN);
	OK(C_CloseSession, ro);
	CK_SESSION_HANDLE s = open_session(RW);
	is(init_pin(s, "abcdefgh"), CKR_USER_NOT_LOGGED_IN);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	is(init_pin(s, "abcdefgh"), CKR_USER_NOT_LOGGED_IN);
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(s, "abcdefgh"), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
	is(login(s, CKU_USER, "abcdefgh"), CKR_OK);
}

Test(admin, T045_set_pin_read_only)
{
	token_up();
	CK_SESSION_HANDLE s = open_session(RO);
	is(set_pin(s, USER_PIN, "abcdefgh"), CKR_SESSION_READ_ONLY);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	is(set_pin(s, USER_PIN, "abcdefgh"), CKR_SESSION_READ_ONLY);
}

Test(admin, T046_set_pin_of_whom)
{
	token_up();
	CK_SESSION_HANDLE s = open_session(RW);
	is(set_pin(s, "wrong pin", "user two"), CKR_PIN_INCORRECT);
	is(set_pin(s, USER_PIN, "user two"), CKR_OK);
	is(login(s, CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
	is(login(s, CKU_USER, "user two"), CKR_OK);
	is(set_pin(s, "user two", "user three"), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(set_pin(s, "user three", "so two"), CKR_PIN_INCORRECT);
	is(set_pin(s, SO_PIN, "so two"), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_PIN_INCORRECT);
	is(login(s, CKU_SO, "so two"), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_USER, "user three"), CKR_OK);
}

Test(admin, objects_outlive_a_new_pin)
{
	session_up();
	data_object(h.session, true, true, "private");
	struct pair p = ec_pair(h.session, true, "pair");
	(void)p;
	is(set_pin(h.session, USER_PIN, "user two"), CKR_OK);
	OK(C_CloseAllSessions, h.slot);
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, "user two"), CKR_OK);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "private")), NULL) == 1);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "pair")), NULL) == 2);
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(s, "user three"), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_USER, "user three"), CKR_OK);
	CK_OBJECT_HANDLE priv;
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "pair"), A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &priv) == 1);
	OK(C_SignInit, s, MECH(CKM_ECDSA), priv);
	OK(C_Sign, s, digest, sizeof digest, sig, &n);
	cr_assert(n == 64);
}

Test(admin, T047_pin_lengths)
{
	CK_TOKEN_INFO info;
	char pin[512];

	token_up();
	OK(C_GetTokenInfo, h.slot, &info);
	cr_assert(info.ulMaxPinLen < sizeof pin - 1);
	memset(pin, 'x', sizeof pin);
	CK_SESSION_HANDLE s = open_session(RW);
	pin[info.ulMaxPinLen + 1] = '\0';
	is(set_pin(s, USER_PIN, pin), CKR_PIN_LEN_RANGE);
	is(login(s, CKU_USER, pin), CKR_PIN_INCORRECT);
	pin[info.ulMaxPinLen] = '\0';
	is(set_pin(s, USER_PIN, pin), CKR_OK);
	is(login(s, CKU_USER, pin), CKR_OK);
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(s, ""), CKR_PIN_LEN_RANGE);
	if (info.ulMinPinLen > 1)
		is(init_pin(s, "x"), CKR_PIN_LEN_RANGE);
	is(init_pin(s, pin + info.ulMaxPinLen - info.ulMinPinLen), CKR_OK);
}

Test(admin, T048_null_pins)
{
	EXPECT(CKR_ARGUMENTS_BAD, C_InitToken, h.slot, NULL, 8, label_text);
	EXPECT(CKR_ARGUMENTS_BAD, C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), NULL);
	token_up();
	CK_SESSION_HANDLE s = open_session(RW);
	EXPECT(CKR_ARGUMENTS_BAD, C_Login, s, CKU_USER, NULL, 8);
	EXPECT(CKR_ARGUMENTS_BAD, C_SetPIN, s, NULL, 8, (CK_UTF8CHAR *)"abcdefgh", 8);
	EXPECT(CKR_ARGUMENTS_BAD, C_SetPIN, s, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN), NULL, 8);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	EXPECT(CKR_ARGUMENTS_BAD, C_InitPIN, s, NULL, 8);
}

#define USER_FLAGS (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)

Test(admin, T032_count_low)
{
	token_up();
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(!(token_flags() & USER_FLAGS));
	is(login(s, CKU_USER, "wrong pin"), CKR_PIN_INCORRECT);
	cr_assert((token_flags() & USER_FLAGS) == CKF_USER_PIN_COUNT_LOW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(!(token_flags() & USER_FLAGS));
}

/* The limit locks the PIN, the right one too; the SO's C_InitPIN unlocks it. */
static void lock_user_pin(CK_SESSION_HANDLE s)
{
	is(login(s, CKU_USER, "wrong pin"), CKR_PIN_INCORRECT);
	is(login(s, CKU_USER, "wrong pin"), CKR_PIN_INCORRECT);
	cr_assert(token_flags() & CKF_USER_PIN_FINAL_TRY);
	CK_RV rv = login(s, CKU_USER, "wrong pin");
	cr_assert(rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED, "%s", rv_name(rv));
	cr_assert(token_flags() & CKF_USER_PIN_LOCKED);
	is(login(s, CKU_USER, "wrong pin"), CKR_PIN_LOCKED);
	is(login(s, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
}

static void with_three_tries(void)
{
	h.extra = "pin-tries = 3\nso-pin-tries = 3\n";
	OK(C_Finalize, NULL);
	write_config();
	library_up();
	token_up();
}

Test(admin, T032_limit_and_unlock)
{
	with_three_tries();
	CK_SESSION_HANDLE s = open_session(RW);
	lock_user_pin(s);
	is(set_pin(s, USER_PIN, "user two"), CKR_PIN_LOCKED);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(s, "user two"), CKR_OK);
	cr_assert(!(token_flags() & USER_FLAGS));
	OK(C_Logout, s);
	is(login(s, CKU_USER, "user two"), CKR_OK);
}

Test(admin, lock_is_remembered)
{
	with_three_tries();
	lock_user_pin(open_session(RW));
	OK(C_Finalize, NULL);
	library_up();
	cr_assert(token_flags() & CKF_USER_PIN_LOCKED);
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
}

Test(admin, so_limit)
{
	with_three_tries();
	CK_SESSION_HANDLE s = open_session(RW);
	for (int i = 0; i < 3; i++) {
		CK_RV rv = login(s, CKU_SO, "wrong pin");
		cr_assert(rv == CKR_PIN_INCORRECT || (i == 2 && rv == CKR_PIN_LOCKED), "%s", rv_name(rv));
	}
	cr_assert(token_flags() & CKF_SO_PIN_LOCKED);
	is(login(s, CKU_SO, SO_PIN), CKR_PIN_LOCKED);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	OK(C_CloseAllSessions, h.slot);
	is(init_token(SO_PIN), CKR_PIN_LOCKED);
}

Test(admin, PINs_are_bytes)
{
	static const char utf8[] = "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x94\x91";

	token_up();
	CK_SESSION_HANDLE s = open_session(RW);
	is(set_pin(s, USER_PIN, utf8), CKR_OK);
	is(login(s, CKU_USER, utf8), CKR_OK);
	OK(C_Logout, s);
	/* A PIN of the right beginning is a wrong PIN. */
	EXPECT(CKR_PIN_INCORRECT, C_Login, s, CKU_USER, (CK_UTF8CHAR *)utf8, strlen(utf8) - 1);
	EXPECT(CKR_PIN_INCORRECT, C_Login, s, CKU_USER, (CK_UTF8CHAR *)utf8, sizeof utf8);
	is(login(s, CKU_USER, utf8), CKR_OK);
}

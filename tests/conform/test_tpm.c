/* What is true of a TPM token only: where wrong PINs are counted, what a stranger can do, restarts (design 4.2, 4.3). */
#include "harness.h"
#include "tpm.h"

static void up(void)
{
	harness_up();
	only_kind(&kind_tpm);
	log_start();
	library_up();
}

TestSuite(tpm, .init = up, .fini = harness_down, .timeout = 120);

/* The module lets go of the TPM, somebody else has it, and the module starts again. */
static void meanwhile(void (*somebody)(void))
{
	OK(C_Finalize, NULL);
	somebody();
	library_up();
}

static uint32_t lockout_counter;
static TPML_HANDLE indices;

static void look(void)
{
	ESYS_CONTEXT *esys = tpm_connect();
	lockout_counter = tpm_property(esys, TPM2_PT_LOCKOUT_COUNTER);
	tpm_handles(esys, TPM2_NV_INDEX_FIRST, &indices);
	tpm_disconnect(&esys);
}

static CK_RV user_login(const char *pin)
{
	return login(open_session(RW), CKU_USER, pin);
}

Test(tpm, wrong_pins_never_reach_the_machines_counter)
{
	token_up();
	for (int i = 0; i < 5; i++)
		is(user_login("wrong pin"), CKR_PIN_INCORRECT);
	is(login(open_session(RW), CKU_SO, "wrong pin"), CKR_PIN_INCORRECT);
	cr_assert(token_flags() & CKF_USER_PIN_COUNT_LOW);
	cr_assert(token_flags() & CKF_SO_PIN_COUNT_LOW);
	meanwhile(look);
	cr_assert(lockout_counter == 0);
	cr_assert(token_flags() & CKF_USER_PIN_COUNT_LOW, "the count is the TPM's, not the process's");
	is(user_login(USER_PIN), CKR_OK);
	cr_assert(!(token_flags() & CKF_USER_PIN_COUNT_LOW));
}

Test(tpm, a_locked_out_machine_doesnt_lock_the_token)
{
	session_up();
	ec_pair(h.session, true, "ec");
	meanwhile(tpm_lock_out);
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	CK_OBJECT_HANDLE priv;
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &priv) == 1);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), priv);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
}

static void set_password(void)
{
	tpm_set_lockout_password("lockout password");
}

static void reset(void)
{
	tpm_lockout_reset("lockout password");
}

Test(tpm, with_a_lockout_password_the_machines_lock_holds_for_us_too)
{
	meanwhile(set_password);
	token_up();
	is(user_login("wrong pin"), CKR_PIN_INCORRECT);
	is(user_login(USER_PIN), CKR_OK);
	meanwhile(tpm_lock_out);
	is(user_login(USER_PIN), CKR_PIN_LOCKED);
	cr_assert(log_has("lockout") || log_has("dictionary"), "the log doesn't say which lock struck");
	meanwhile(reset);
	is(user_login(USER_PIN), CKR_OK);
}

Test(tpm, indices_dont_pile_up)
{
	token_up();
	meanwhile(look);
	uint32_t first = indices.count;
	for (int i = 0; i < 3; i++) {
		CK_SESSION_HANDLE s = open_session(RW);
		is(login(s, CKU_SO, SO_PIN), CKR_OK);
		OK(C_InitPIN, s, (CK_UTF8CHAR *)"another pin", 11);
		OK(C_SetPIN, s, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN));
		OK(C_CloseSession, s);
		token_up();
	}
	meanwhile(look);
	cr_assert(indices.count == first, "%u NV indices, %u before", indices.count, first);
}

static void stranger_has_an_index(void)
{
	tpm_define_index(0x01800000);
	tpm_define_index(0x01400001);
}

Test(tpm, other_users_indices_are_left_alone)
{
	meanwhile(stranger_has_an_index);
	token_up();
	token_up();
	meanwhile(look);
	uint32_t found = 0;
	for (uint32_t i = 0; i < indices.count; i++)
		found += indices.handle[i] == 0x01800000 || indices.handle[i] == 0x01400001;
	cr_assert(found == 2);
}

static uint32_t users_index;

static void remove_users_index(void)
{
	tpm_undefine_index(users_index);
}

/* C_InitPIN makes the user's index: the one that C_InitToken's list hasn't. */
static void find_users_index(void)
{
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	OK(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
	meanwhile(look);
	TPML_HANDLE before = indices;
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	OK(C_InitPIN, s, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
	meanwhile(look);
	for (uint32_t i = 0; i < indices.count; i++) {
		bool old = false;
		for (uint32_t k = 0; k < before.count; k++)
			old |= before.handle[k] == indices.handle[i];
		if (!old)
			users_index = indices.handle[i];
	}
	cr_assert(users_index, "the user's PIN has no index");
}

Test(tpm, a_missing_index_is_not_a_wrong_pin)
{
	find_users_index();
	meanwhile(remove_users_index);
	is(user_login(USER_PIN), CKR_DEVICE_ERROR);
	cr_assert(log_has("C_InitPIN"), "the log doesn't name the repair");
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	OK(C_InitPIN, s, (CK_UTF8CHAR *)"new user pin", 12);
	OK(C_Logout, s);
	is(login(s, CKU_USER, "new user pin"), CKR_OK);
}

static void replace_users_index(void)
{
	tpm_undefine_index(users_index);
	tpm_define_index(users_index);
}

Test(tpm, a_look_alike_index_is_not_a_wrong_pin)
{
	find_users_index();
	meanwhile(replace_users_index);
	is(user_login(USER_PIN), CKR_DEVICE_ERROR);
	is(user_login("wrong pin"), CKR_DEVICE_ERROR);
}

static void power_cut(void)
{
	tpm_power_off();
	tpm_power_on();
}

Test(tpm, the_token_outlives_a_power_cut)
{
	session_up();
	ec_pair(h.session, true, "ec");
	data_object(h.session, true, true, "private");
	meanwhile(power_cut);
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "private")), NULL) == 1);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "ec")), NULL) == 2);
}

Test(tpm, a_lost_connection_is_made_again)
{
	session_up();
	struct pair p = ec_pair(h.session, true, "ec");
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	power_cut();
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
	cr_assert(n == 64);
	cr_assert(state_of(h.session) == CKS_RW_USER_FUNCTIONS);
}

Test(tpm, without_a_tpm_there_is_a_slot_without_a_token)
{
	CK_SLOT_INFO info;
	CK_SESSION_HANDLE s;
	CK_ULONG all, present;

	OK(C_Finalize, NULL);
	tpm_power_off();
	library_up();
	OK(C_GetSlotList, CK_FALSE, NULL, &all);
	OK(C_GetSlotList, CK_TRUE, NULL, &present);
	cr_assert(all == 2 && present < all);
	OK(C_GetSlotInfo, h.slot, &info);
	cr_assert(!(info.flags & CKF_TOKEN_PRESENT));
	EXPECT_IN((CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED), C_OpenSession, h.slot, RW, NULL, NULL, &s);
	tpm_power_on();
}

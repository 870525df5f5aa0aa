/* PINs from day to day: counted, locked, unlocked; tokens without; keys that need none, and keys that need it each time. */
#include "pin.h"

static void up(void)
{
	harness_up();
	log_start();
}

TestSuite(pins, .init = up, .fini = harness_down, .timeout = 120);

#define USER_FLAGS (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)
#define SO_FLAGS (CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED)
#define WRONG "a wrong PIN"
#define NEW_PIN "another PIN"

/* Exactly these flags of both PINs are set. */
#define FLAGS(want)                                                                                                    \
	do {                                                                                                           \
		CK_FLAGS flags_ = token_flags() & (USER_FLAGS | SO_FLAGS);                                             \
		cr_assert(flags_ == (want), "flags 0x%lx, expected 0x%lx", flags_, (CK_FLAGS)(want));                  \
	} while (0)

static CK_SESSION_HANDLE s;

static void begin(const char *configuration)
{
	h.extra = configuration;
	write_config();
	token_up();
	s = open_session(RW);
}

static void restart(void)
{
	OK(C_Finalize, NULL);
	OK(C_Initialize, NULL);
	s = open_session(RW);
}

static CK_RV try(CK_USER_TYPE user, const char *pin)
{
	CK_RV rv = login(s, user, pin);

	if (rv == CKR_OK)
		OK(C_Logout, s);
	return rv;
}

static CK_RV init_pin(const char *pin)
{
	return CALL(C_InitPIN, s, (CK_UTF8CHAR *)pin, strlen(pin));
}

static CK_RV set_pin(const char *old, const char *pin)
{
	return CALL(C_SetPIN, s, (CK_UTF8CHAR *)old, strlen(old), (CK_UTF8CHAR *)pin, strlen(pin));
}

static CK_RV init_token(const char *so_pin)
{
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	return CALL(C_InitToken, h.slot, (CK_UTF8CHAR *)so_pin, strlen(so_pin), label);
}

/* ---- counting ---- */

/* The machine's own limit is below both of ours, and doesn't count. */
Test(pins, a_users_pin_locks_and_the_so_unlocks_it)
{
	tpm_tool("tpm2_dictionarylockout -s -n 2 -t 1000 -l 1000");
	begin("pin-tries = 4\nso-pin-tries = 3\n");
	FLAGS(0);
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW);
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW);
	is(try(CKU_USER, USER_PIN), CKR_OK);
	FLAGS(0);
	for (int i = 0; i < 3; i++)
		is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
	is(try(CKU_USER, USER_PIN), CKR_PIN_LOCKED);
	is(set_pin(USER_PIN, NEW_PIN), CKR_PIN_LOCKED);
	cr_assert(log_has("C_InitPIN"), "the log doesn't name the way out");
	restart();
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	FLAGS(0);
	is(try(CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2 && tpm_lockouts() == 0);
}

/* What a locked SO PIN leaves: the user logs in, works, and changes the PIN.  What it doesn't: C_InitPIN, C_InitToken. */
Test(pins, a_locked_so_pin)
{
	begin("pin-tries = 5\nso-pin-tries = 2\n");
	is(try(CKU_SO, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY);
	is(try(CKU_SO, SO_PIN), CKR_OK);
	FLAGS(0);
	is(try(CKU_SO, WRONG), CKR_PIN_INCORRECT);
	is(try(CKU_SO, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_LOCKED);
	is(try(CKU_SO, SO_PIN), CKR_PIN_LOCKED);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	ec_pair(s, true, "ec");
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	FLAGS(CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_LOCKED);
	OK(C_CloseSession, s);
	is(init_token(SO_PIN), CKR_PIN_LOCKED);
	s = open_session(RW);
	is(login(s, CKU_USER, NEW_PIN), CKR_OK);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "ec")), NULL) == 2, "the refused C_InitToken changed something");
}

Test(pins, one_try_is_the_final_one)
{
	begin("pin-tries = 1\n");
	FLAGS(CKF_USER_PIN_FINAL_TRY);
	is(try(CKU_USER, USER_PIN), CKR_OK);
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
	is(try(CKU_USER, USER_PIN), CKR_PIN_LOCKED);
}

/* A wrong old PIN is a try too, and a change begins a new count under the limit that is configured then. */
Test(pins, changing_a_pin_counts)
{
	begin("pin-tries = 3\n");
	is(set_pin(WRONG, NEW_PIN), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW);
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	FLAGS(0);
	h.extra = "pin-tries = 2\n";
	write_config();
	restart();
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW);
	is(set_pin(NEW_PIN, USER_PIN), CKR_OK);
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
}

/* ---- a new token in place of the old ---- */

Test(pins, initialized_anew_with_the_so_pin)
{
	begin(NULL);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	ec_pair(s, true, "old");
	OK(C_CloseSession, s);
	is(init_token(WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_SO_PIN_COUNT_LOW);
	cr_assert(token_flags() & CKF_USER_PIN_INITIALIZED);
	is(init_token(SO_PIN), CKR_OK);
	FLAGS(0);
	cr_assert(!(token_flags() & CKF_USER_PIN_INITIALIZED));
	s = open_session(RW);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "old")), NULL) == 0);
	is(login(s, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2);
}

/* ---- an index that isn't ours any more ---- */

static uint32_t users_index;

static void find_users_index(void)
{
	TPML_HANDLE ours;

	begin(NULL);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(&ours) == 2);
	users_index = ours.handle[1]; /* the SO's was made first, and takes the lower one */
}

/* No PIN is tried at an index that isn't the token's: its counter stays, and the SO's isn't touched. */
static void no_pin_is_tried(const char *why)
{
	OK(C_Initialize, NULL);
	s = open_session(RW);
	is(try(CKU_USER, USER_PIN), CKR_DEVICE_ERROR);
	is(try(CKU_USER, WRONG), CKR_DEVICE_ERROR);
	is(set_pin(USER_PIN, NEW_PIN), CKR_DEVICE_ERROR);
	cr_assert(log_has(why) && log_has("C_InitPIN"), "the log doesn't say what is wrong and how to repair it");
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	is(init_pin(NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	FLAGS(0);
	OK(C_Finalize, NULL);
}

Test(pins, a_missing_index)
{
	find_users_index();
	tpm_undefine_index(users_index);
	no_pin_is_tried("is missing");
	cr_assert(tpm_our_indices(NULL) == 2);
}

/* The stranger's index has the attributes of ours, and would take any PIN that its maker knows. */
Test(pins, a_replaced_index_is_left_alone)
{
	char commands[200];

	find_users_index();
	tpm_undefine_index(users_index);
	snprintf(commands, sizeof commands,
		 "tpm2_nvdefine -C o -s 8 -a 'nt=0x8|policywrite|authread|ownerread|no_da' -p look-alike 0x%08x", users_index);
	tpm_tool(commands);
	no_pin_is_tried("is another one");
	cr_assert(tpm_our_indices(NULL) == 3, "the stranger's index was removed");
}

/* ---- keys that need no PIN, and keys that need it each time ---- */

static struct pair pair_with(CK_ATTRIBUTE_TYPE type, bool value)
{
	CK_ATTRIBUTE pub[] = {A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true)};
	CK_ATTRIBUTE priv[] = {A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SIGN, true), A_BOOL(type, value),
			       A_TEXT(CKA_LABEL, "key")};
	struct pair p;

	OK(C_GenerateKeyPair, s, MECH(CKM_EC_KEY_PAIR_GEN), pub, ARRAY_LEN(pub), priv, ARRAY_LEN(priv), &p.pub, &p.priv);
	return p;
}

static CK_OBJECT_HANDLE private_key(void)
{
	CK_OBJECT_HANDLE o;

	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "key")), &o) == 1);
	return o;
}

static CK_RV sign(CK_OBJECT_HANDLE key)
{
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, s, MECH(CKM_ECDSA), key);
	return CALL(C_Sign, s, digest, sizeof digest, sig, &n);
}

Test(pins, a_public_key_pair_signs_before_login)
{
	begin("pin-tries = 2\n");
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	pair_with(CKA_PRIVATE, false);
	data_object(s, true, true, "secret");
	restart();
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "secret")), NULL) == 0);
	is(sign(private_key()), CKR_OK);
	/* Also when the PIN is locked. */
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	is(try(CKU_USER, WRONG), CKR_PIN_INCORRECT);
	is(try(CKU_USER, USER_PIN), CKR_PIN_LOCKED);
	is(sign(private_key()), CKR_OK);
}

Test(pins, a_lockout_stops_no_work_under_way)
{
	begin("pin-tries = 2\n");
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	struct pair p = pair_with(CKA_ALWAYS_AUTHENTICATE, false);
	is(set_pin(WRONG, NEW_PIN), CKR_PIN_INCORRECT);
	is(set_pin(WRONG, NEW_PIN), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
	is(sign(p.priv), CKR_OK);
}

Test(pins, always_authenticate)
{
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	begin("pin-tries = 3\n");
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	struct pair p = pair_with(CKA_ALWAYS_AUTHENTICATE, true);
	for (int i = 0; i < 2; i++) { /* once for each signature */
		is(sign(p.priv), CKR_USER_NOT_LOGGED_IN); /* and goes on waiting */
		is(login(s, CKU_CONTEXT_SPECIFIC, WRONG), CKR_PIN_INCORRECT);
		FLAGS(CKF_USER_PIN_COUNT_LOW);
		is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
		FLAGS(0);
		n = sizeof sig;
		OK(C_Sign, s, digest, sizeof digest, sig, &n);
	}
	OK(C_SignInit, s, MECH(CKM_ECDSA), p.priv);
	for (int i = 0; i < 3; i++)
		is(login(s, CKU_CONTEXT_SPECIFIC, WRONG), CKR_PIN_INCORRECT);
	FLAGS(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_PIN_LOCKED);
	cr_assert(state_of(s) == CKS_RW_PUBLIC_SESSION, "a PIN that locks ends the login");
	is(try(CKU_USER, USER_PIN), CKR_PIN_LOCKED);
}

static void remove_index(void)
{
	TPML_HANDLE ours;

	cr_assert(tpm_our_indices(&ours) == 2);
	tpm_undefine_index(ours.handle[1]);
}

Test(pins, always_authenticate_without_its_index)
{
	begin(NULL);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	struct pair p = pair_with(CKA_ALWAYS_AUTHENTICATE, true);
	OK(C_SignInit, s, MECH(CKM_ECDSA), p.priv);
	remove_index(); /* between two commands of ours */
	is(login(s, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_DEVICE_ERROR);
	cr_assert(log_has("is missing"));
}

/* ---- tokens without a user's PIN ---- */

Test(pins, a_token_without_a_pin)
{
	h.extra = "pin = none\nso-pin-tries = 2\n";
	write_config();
	library_up();
	is(init_token(SO_PIN), CKR_OK);
	cr_assert(!(token_flags() & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED)));
	s = open_session(RW);
	pair_with(CKA_PRIVATE, true);
	data_object(s, true, true, "mine");
	restart();
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "mine")), NULL) == 1);
	is(sign(private_key()), CKR_OK);
	is(try(CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	EXPECT(CKR_FUNCTION_FAILED, C_InitPIN, s, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
	cr_assert(log_has("pin = none"));
	is(set_pin(SO_PIN, NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_SO, SO_PIN), CKR_PIN_INCORRECT);
	FLAGS(CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY);
	is(try(CKU_SO, NEW_PIN), CKR_OK);
	is(sign(private_key()), CKR_OK);
	/* The configuration is of the next C_InitToken: a token stays what it was made. */
	h.extra = "pin = required\n";
	write_config();
	restart();
	cr_assert(!(token_flags() & CKF_LOGIN_REQUIRED));
	is(sign(private_key()), CKR_OK);
	OK(C_CloseSession, s);
	is(init_token(NEW_PIN), CKR_OK);
	cr_assert(token_flags() & CKF_LOGIN_REQUIRED);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 1);
}

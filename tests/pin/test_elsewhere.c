/* The TPM and the token's directory part, or one of them changes owners: what works goes on, what doesn't says why. */
#include "pin.h"

#include <sys/stat.h>
#include <unistd.h>

static void up(void)
{
	harness_up();
	log_start();
}

TestSuite(elsewhere, .init = up, .fini = harness_down, .timeout = 120);

#define NEW_PIN "another PIN"

static CK_SESSION_HANDLE s;

/* A token with a key, and nobody connected to the TPM. */
static void token_made(void)
{
	session_up();
	ec_pair(h.session, true, "key");
	OK(C_Finalize, NULL);
}

static void start(void)
{
	if (h.initialized)
		OK(C_Initialize, NULL);
	else
		library_up();
}

static CK_RV open_it(void)
{
	return CALL(C_OpenSession, h.slot, RW, NULL, NULL, &s);
}

static CK_RV try(CK_USER_TYPE user, const char *pin)
{
	CK_RV rv = login(s, user, pin);

	if (rv == CKR_OK)
		OK(C_Logout, s);
	return rv;
}

static CK_RV set_pin(const char *old, const char *pin)
{
	return CALL(C_SetPIN, s, (CK_UTF8CHAR *)old, strlen(old), (CK_UTF8CHAR *)pin, strlen(pin));
}

static CK_RV init_token(void)
{
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	return CALL(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
}

static void key_signs(void)
{
	CK_OBJECT_HANDLE key;
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "key"), A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &key) == 1);
	OK(C_SignInit, s, MECH(CKM_ECDSA), key);
	OK(C_Sign, s, digest, sizeof digest, sig, &n);
}

static void works_with(const char *pin)
{
	is(open_it(), CKR_OK);
	is(login(s, CKU_USER, pin), CKR_OK);
	key_signs();
}

/* ---- another TPM, a cleared one ---- */

static void is_foreign(void)
{
	CK_TOKEN_INFO info;
	CK_SLOT_INFO slot;

	start();
	is(open_it(), CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert(log_has("the TPM was cleared, or the token's directory belongs to another machine"));
	EXPECT(CKR_TOKEN_NOT_RECOGNIZED, C_GetTokenInfo, h.slot, &info);
	is(init_token(), CKR_TOKEN_NOT_RECOGNIZED);
	OK(C_GetSlotInfo, h.slot, &slot);
	cr_assert(slot.flags & CKF_TOKEN_PRESENT);
}

static void move_aside(char *back)
{
	char path[96];

	snprintf(path, sizeof path, "%s/store", h.dir);
	snprintf(back, 96, "%s/aside", h.dir);
	cr_assert(rename(path, back) == 0);
}

/* The way out that the log names: the directory moved away, and a new token. */
static void can_start_anew(void)
{
	char aside[96];

	OK(C_Finalize, NULL);
	move_aside(aside);
	start();
	token_up();
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2 && tpm_lockouts() == 0);
	remove_tree(aside);
}

Test(elsewhere, a_cleared_tpm)
{
	token_made();
	tpm_tool("tpm2_clear -c l");
	is_foreign();
	can_start_anew();
}

Test(elsewhere, a_store_on_another_tpm)
{
	token_made();
	tpm_swap();
	is_foreign();
	can_start_anew();
}

/* The other machine has a token of its own, whose indices stand at the same handles. */
Test(elsewhere, a_store_on_a_tpm_with_a_token_of_its_own)
{
	char aside[96], path[96];

	token_made();
	move_aside(aside);
	tpm_swap();
	start();
	token_up();
	OK(C_Finalize, NULL);
	snprintf(path, sizeof path, "%s/store", h.dir);
	remove_tree(path);
	cr_assert(rename(aside, path) == 0);
	is_foreign();
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2, "an index of the other token was removed");
}

/* ---- the storage key ---- */

#define PRIMARY "tpm2_createprimary -C o -G ecc256:null:aes128cfb -c primary -a 'restricted|decrypt|fixedtpm|"             \
	"fixedparent|sensitivedataorigin|userwithauth|noda'"

/* 0x81000001 is taken by something that isn't a storage key: the token's is made when it is needed. */
static void with_a_transient_key(void)
{
	tpm_tool("tpm2_createprimary -C o -G ecc -c other -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' && "
		 "tpm2_evictcontrol -C o -c other 0x81000001 && tpm2_flushcontext -t");
	token_made();
	tpm_tool("tpm2_evictcontrol -C o -c 0x81000001");
}

Test(elsewhere, a_storage_key_persisted_later_by_somebody_else)
{
	with_a_transient_key();
	start();
	works_with(USER_PIN);
	OK(C_Finalize, NULL);
	tpm_tool("tpm2_createprimary -C o -G rsa2048 -c other && tpm2_evictcontrol -C o -c other 0x81000001 && "
		 "tpm2_flushcontext -t");
	start();
	works_with(USER_PIN);
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
}

Test(elsewhere, the_same_storage_key_persisted_later)
{
	with_a_transient_key();
	tpm_tool(PRIMARY " && tpm2_evictcontrol -C o -c primary 0x81000001 && tpm2_flushcontext -t");
	start();
	works_with(USER_PIN);
}

/* The machine's storage key, that the token was made below, is gone: it is made again from its template. */
Test(elsewhere, the_persistent_storage_key_removed)
{
	token_made();
	tpm_tool("tpm2_evictcontrol -C o -c 0x81000001");
	start();
	works_with(USER_PIN);
}

/* ---- an owner's password ---- */

static CK_FLAGS pin_flags(void)
{
	return token_flags() & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED |
				CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED);
}

/* Before the token: no index can be had, and the TPM's own counter does; the machine's flags are ours. */
Test(elsewhere, an_owner_password_before_the_token)
{
	tpm_tool(PRIMARY " && tpm2_evictcontrol -C o -c primary 0x81000001 && tpm2_flushcontext -t && "
		 "tpm2_changeauth -c owner ownerpw && tpm2_dictionarylockout -s -n 5 -t 1000 -l 1000");
	token_made();
	cr_assert(tpm_our_indices(NULL) == 0);
	cr_assert(log_has("counted by the TPM for the whole machine"));
	start();
	works_with(USER_PIN);
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	is(try(CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
	cr_assert(pin_flags() & CKF_USER_PIN_COUNT_LOW);
	OK(C_CloseSession, s);
	is(init_token(), CKR_OK);
	OK(C_Finalize, NULL);
	tpm_tool("tpm2_dictionarylockout -c");
}

Test(elsewhere, an_owner_password_and_no_storage_key)
{
	tpm_tool("tpm2_changeauth -c owner ownerpw");
	library_up();
	is(init_token(), CKR_TOKEN_WRITE_PROTECTED);
	cr_assert(log_has("let the owner make the standard ECC storage key persistent"));
	OK(C_Finalize, NULL);
	/* What the log says helps. */
	tpm_tool(PRIMARY " -P ownerpw && tpm2_evictcontrol -C o -P ownerpw -c primary 0x81000001 && tpm2_flushcontext -t");
	start();
	token_made();
	start();
	works_with(USER_PIN);
}

/* Set later: login works, and is counted as before; a PIN's change would give the counter up, and is refused. */
Test(elsewhere, an_owner_password_after_the_token)
{
	token_made();
	tpm_tool("tpm2_changeauth -c owner ownerpw");
	start();
	works_with(USER_PIN);
	is(set_pin(USER_PIN, NEW_PIN), CKR_TOKEN_WRITE_PROTECTED);
	cr_assert(log_has("set a lockout password"));
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_PIN_INCORRECT);
	is(try(CKU_USER, USER_PIN), CKR_OK);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	EXPECT(CKR_TOKEN_WRITE_PROTECTED, C_InitPIN, s, (CK_UTF8CHAR *)NEW_PIN, strlen(NEW_PIN));
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2 && tpm_lockouts() == 0);
	/* The owner takes it away for a moment. */
	tpm_tool("tpm2_changeauth -c owner -p ownerpw");
	start();
	is(open_it(), CKR_OK);
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2);
}

/* With a lockout password the TPM's own counter binds as well: the PIN changes over to it.  The old index can't be
 * removed before the owner's password is taken away; then the next change does. */
Test(elsewhere, an_owner_password_and_a_lockout_password_after_the_token)
{
	token_made();
	tpm_tool("tpm2_changeauth -c owner ownerpw && tpm2_changeauth -c lockout lockpw");
	start();
	works_with(USER_PIN);
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	OK(C_Logout, s);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	is(try(CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
	cr_assert(pin_flags() & CKF_USER_PIN_COUNT_LOW);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
	is(login(s, CKU_USER, NEW_PIN), CKR_OK);
	key_signs();
	OK(C_Finalize, NULL);
	tpm_lockout_reset("lockpw");
	tpm_tool("tpm2_changeauth -c owner -p ownerpw");
	start();
	is(open_it(), CKR_OK);
	is(set_pin(NEW_PIN, USER_PIN), CKR_OK);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2, "an index is left over");
}

/* ---- no room ---- */

Test(elsewhere, nv_full_at_a_pins_change)
{
	h.extra = "pin-tries = 3\n";
	write_config();
	token_made();
	tpm_fill_nv();
	start();
	works_with(USER_PIN);
	is(set_pin(USER_PIN, NEW_PIN), CKR_DEVICE_MEMORY);
	cr_assert(log_has("no room for another NV index"));
	OK(C_Logout, s);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	EXPECT(CKR_DEVICE_MEMORY, C_InitPIN, s, (CK_UTF8CHAR *)NEW_PIN, strlen(NEW_PIN));
	is(set_pin(SO_PIN, NEW_PIN), CKR_DEVICE_MEMORY);
	OK(C_Logout, s);
	cr_assert(pin_flags() == 0);
	is(try(CKU_USER, NEW_PIN), CKR_PIN_INCORRECT);
	is(try(CKU_USER, NEW_PIN), CKR_PIN_INCORRECT);
	cr_assert(pin_flags() == (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY), "the index doesn't count any more");
	is(try(CKU_USER, USER_PIN), CKR_OK);
	OK(C_Finalize, NULL);
	cr_assert(tpm_our_indices(NULL) == 2 && tpm_lockouts() == 0);
	tpm_free_nv();
	start();
	is(open_it(), CKR_OK);
	is(set_pin(USER_PIN, NEW_PIN), CKR_OK);
	is(try(CKU_USER, NEW_PIN), CKR_OK);
}

/* A first token finds no room: it is made, and the TPM's own counter does; that is said. */
Test(elsewhere, nv_full_before_the_token)
{
	tpm_tool(PRIMARY " && tpm2_evictcontrol -C o -c primary 0x81000001 && tpm2_flushcontext -t");
	tpm_fill_nv();
	token_made();
	cr_assert(log_has("counted by the TPM for the whole machine"));
	cr_assert(tpm_our_indices(NULL) == 0);
	start();
	works_with(USER_PIN);
	OK(C_Finalize, NULL);
}

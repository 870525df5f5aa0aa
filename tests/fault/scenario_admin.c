/* Tokens that are initialized; PINs and logins. */
#include <arpa/inet.h>
#include <keyutils.h>
#include <tss2/tss2_tpm2_types.h>

#include "keys.h"
#include "rig.h"

/* ---- C_InitToken ---- */

static CK_RV init_token_with(const char *pin)
{
	static CK_UTF8CHAR label[33] = "Signet test                     ";

	return h.f->C_InitToken(h.slot, (CK_UTF8CHAR *)pin, strlen(pin), label);
}

static CK_RV init_token(void)
{
	return init_token_with(SO_PIN);
}

static CK_RV init_token_wrongly(void)
{
	return init_token_with("so-somebody");
}

/* Commands to the TPM that need the owner, whose password is empty (Part 3, 31.4 TPM2_NV_UndefineSpace, 28.5
 * TPM2_EvictControl). */
static uint32_t owner_removes(TPM2_CC command, uint32_t handle, uint32_t size)
{
	/* behind the password's handle: no nonce, no attributes, nothing in it; TPM2_EvictControl names it once more */
	const uint32_t body[] = {htonl(size), htonl(command), htonl(TPM2_RH_OWNER), htonl(handle), htonl(9),
				 htonl(TPM2_RS_PW)};
	uint8_t c[35] = {0x80, 0x02}, response[256];
	uint32_t rc;

	memcpy(c + 2, body, sizeof body);
	memcpy(c + 31, &body[3], 4);
	rig_tpm(c, size, response, sizeof response);
	memcpy(&rc, response + 6, sizeof rc);
	return ntohl(rc);
}

/* The first handle of that kind, or 0. */
static uint32_t first_handle(uint32_t from)
{
	const uint32_t body[] = {htonl(22), htonl(TPM2_CC_GetCapability), htonl(TPM2_CAP_HANDLES), htonl(from),
				 htonl(1)};
	uint8_t c[22] = {0x80, 0x01}, response[64];
	uint32_t handle = 0;

	memcpy(c + 2, body, sizeof body);
	if (rig_tpm(c, sizeof c, response, sizeof response) >= 23)
		memcpy(&handle, response + 19, sizeof handle);
	return ntohl(handle);
}

/* As if there had never been one. */
static void token_is_wiped(void)
{
	char store[96];

	rig_stop();
	if (is_kind(&kind_keyring)) {
		long ring = keyctl_search(KEY_SPEC_SESSION_KEYRING, "keyring", "signet:test", 0);
		if (ring > 0)
			cr_assert(keyctl_unlink((key_serial_t)ring, KEY_SPEC_SESSION_KEYRING) == 0, "%m");
	} else {
		snprintf(store, sizeof store, "%s/store", h.dir);
		remove_tree(store);
		for (uint32_t index; (index = first_handle(TPM2_NV_INDEX_FIRST));)
			cr_assert(owner_removes(TPM2_CC_NV_UndefineSpace, index, 31) == 0);
	}
	rig_stage(STAGE_LIBRARY);
}

static void slot_is_empty(void)
{
	if (token_flags() & CKF_TOKEN_INITIALIZED)
		token_is_wiped();
}

/* The machine's storage key isn't the token's, and isn't undone (design 4.1). */
static void tpm_is_new(void)
{
	slot_is_empty();
	for (uint32_t key; (key = first_handle((uint32_t)TPM2_HT_PERSISTENT << TPM2_HR_SHIFT));)
		cr_assert(owner_removes(TPM2_CC_EvictControl, key, 35) == 0);
}

/* As the user, in a session that is over then. */
static void as_user(void (*what)(void))
{
	rig_stage(STAGE_USER);
	what();
	rig_stage(STAGE_LIBRARY);
}

static void make_objects(void)
{
	const struct key_spec pair = {.type = CKK_EC};

	key_crowd(2);
	(void)key_stands(&pair, NULL);
}

static void make_crowd(void)
{
	key_crowd(KEY_FULL);
}

static void objects_stand(void)
{
	as_user(make_objects);
}

static void crowd_stands(void)
{
	as_user(make_crowd);
}

static bool token_is_empty(void)
{
	CK_SESSION_HANDLE s = open_session(RW);
	bool ret = login(s, CKU_SO, SO_PIN) == CKR_OK && find(s, TEMPLATE(A_BOOL(CKA_TOKEN, true)), NULL) == 0 &&
		   !(token_flags() & CKF_USER_PIN_INITIALIZED);

	OK(C_CloseSession, s);
	return ret;
}

/* Of the configuration only C_InitToken takes it: the token is one without a PIN from the first round on. */
static void token_has_no_pin(void)
{
	static char lines[256];

	if (!(token_flags() & CKF_LOGIN_REQUIRED))
		return;
	snprintf(lines, sizeof lines, "%spin = none\n", h.extra);
	h.extra = lines;
	rig_stop();
	write_config();
	rig_stage(STAGE_LIBRARY);
	is(init_token(), CKR_OK);
}

static bool token_needs_no_pin(void)
{
	return !(token_flags() & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED));
}

/* ---- tries: those that a PIN has lost are given back by the right one ---- */

static void users_tries_are_back(void)
{
	if (!(token_flags() & CKF_USER_PIN_COUNT_LOW))
		return;
	if (state_of(h.session) == CKS_RW_USER_FUNCTIONS)
		OK(C_Logout, h.session);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
}

static void nobodys_tries_are_back(void)
{
	users_tries_are_back();
	if (state_of(h.session) == CKS_RW_USER_FUNCTIONS)
		OK(C_Logout, h.session);
}

/* Whoever was in, and whatever session there is. */
static void sos_tries_are_back(void)
{
	CK_SESSION_HANDLE s;
	bool stays;

	if (!(token_flags() & CKF_SO_PIN_COUNT_LOW))
		return;
	stays = h.f->C_Logout(h.session) == CKR_OK;
	s = open_session(RW);
	is(login(s, CKU_SO, SO_PIN), CKR_OK);
	if (!stays)
		OK(C_Logout, s);
	OK(C_CloseSession, s);
}

/* ---- C_InitPIN, C_SetPIN ---- */

static CK_RV init_pin(void)
{
	return h.f->C_InitPIN(h.session, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
}

static bool user_logs_in(void)
{
	OK(C_Logout, h.session);
	bool ret = login(h.session, CKU_USER, USER_PIN) == CKR_OK;
	if (ret)
		OK(C_Logout, h.session);
	is(login(h.session, CKU_SO, SO_PIN), CKR_OK);
	return ret;
}

static void user_has_no_pin(void)
{
	if (!(token_flags() & CKF_USER_PIN_INITIALIZED))
		return;
	OK(C_CloseAllSessions, h.slot);
	is(init_token(), CKR_OK);
	rig_stage(STAGE_SO);
}

#define NEW_PIN "another pin"

static CK_RV set_pin(const char *old, const char *new)
{
	return h.f->C_SetPIN(h.session, (CK_UTF8CHAR *)old, strlen(old), (CK_UTF8CHAR *)new, strlen(new));
}

static CK_RV set_users_pin(void)
{
	return set_pin(USER_PIN, NEW_PIN);
}

static CK_RV set_sos_pin(void)
{
	return set_pin(SO_PIN, NEW_PIN);
}

static CK_RV set_pin_wrongly(void)
{
	return set_pin("a wrong one", NEW_PIN);
}

static void users_pin_back(void)
{
	is(set_pin(NEW_PIN, USER_PIN), CKR_OK);
}

static void sos_pin_back(void)
{
	is(set_pin(NEW_PIN, SO_PIN), CKR_OK);
}

/* ---- logins ---- */

static CK_RV login_as(CK_USER_TYPE user, const char *pin)
{
	return h.f->C_Login(h.session, user, (CK_UTF8CHAR *)pin, strlen(pin));
}

static CK_RV login_user(void)
{
	return login_as(CKU_USER, USER_PIN);
}

static CK_RV login_so(void)
{
	return login_as(CKU_SO, SO_PIN);
}

static CK_RV login_user_wrongly(void)
{
	return login_as(CKU_USER, "a wrong one");
}

static CK_RV login_so_wrongly(void)
{
	return login_as(CKU_SO, "a wrong one");
}

static CK_RV login_user_unnamed(void)
{
	return h.f->C_LoginUser(h.session, CKU_USER, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN), NULL, 0);
}

static CK_RV login_user_unnamed_wrongly(void)
{
	return h.f->C_LoginUser(h.session, CKU_USER, (CK_UTF8CHAR *)"a wrong one", 11, NULL, 0);
}

static CK_RV login_somebody(void)
{
	CK_UTF8CHAR *pin = (CK_UTF8CHAR *)USER_PIN;

	return h.f->C_LoginUser(h.session, CKU_USER, pin, strlen(USER_PIN), (CK_UTF8CHAR *)"joe", 3);
}

static CK_RV login_context(void)
{
	return login_as(CKU_CONTEXT_SPECIFIC, USER_PIN);
}

static CK_RV login_context_wrongly(void)
{
	return login_as(CKU_CONTEXT_SPECIFIC, "a wrong one");
}

static void log_out(void)
{
	OK(C_Logout, h.session);
}

static bool user_is_in(void)
{
	CK_STATE state = state_of(h.session);

	return state == CKS_RW_USER_FUNCTIONS || state == CKS_RO_USER_FUNCTIONS;
}

static bool so_is_in(void)
{
	return state_of(h.session) == CKS_RW_SO_FUNCTIONS;
}

static bool nobody_is_in(void)
{
	return state_of(h.session) == CKS_RW_PUBLIC_SESSION;
}

static void pin_is_locked(void)
{
	CK_RV rv;

	while ((rv = login_user_wrongly()) == CKR_PIN_INCORRECT)
		;
	is(rv, CKR_PIN_LOCKED);
}

/* A key whose every use wants the PIN. */
static CK_OBJECT_HANDLE wary;

static void wary_key_stands(void)
{
	users_tries_are_back();
	wary = key_stands(&(struct key_spec){.type = CKK_EC, .always = true}, NULL).priv;
}

static void signature_begins(void)
{
	OK(C_SessionCancel, h.session, CKF_SIGN);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), wary);
}

static bool signs(void)
{
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	return h.f->C_Sign(h.session, digest, sizeof digest, sig, &n) == CKR_OK && n == 64;
}

static bool signs_not(void)
{
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	return h.f->C_Sign(h.session, digest, sizeof digest, sig, &n) == CKR_USER_NOT_LOGGED_IN;
}

static CK_RV log_out_call(void)
{
	return h.f->C_Logout(h.session);
}

/* Private ones: the session's go, the token's are out of sight. */
static void private_objects_stand(void)
{
	const struct key_spec own = {.label = "own", .type = CKK_EC, .session = true};

	make_objects();
	(void)key_stands(&own, NULL);
}

/* ---- the rows ---- */

#define PROVES (CTX_INIT | CTX_LOGIN)
#define INIT_TOKEN(words, on_, contexts_, base_, undo_, good_)                                                         \
	{.function = "C_InitToken", .variant = words, .on = on_, .stage = STAGE_LIBRARY,                               \
	 .traits = MUTATES | COUNTS_TRY, .contexts = contexts_, .base = base_, .call = init_token, .undo = undo_,      \
	 .good = good_}
#define INIT_PIN(words, base_, undo_)                                                                                  \
	{.function = "C_InitPIN", .variant = words, .on = ON_BOTH, .stage = STAGE_SO, .traits = MUTATES,               \
	 .contexts = CTX_ADMIN, .base = base_, .call = init_pin, .undo = undo_, .good = user_logs_in}
#define SET_PIN(words, stage_, base_, call_, undo_)                                                                    \
	{.function = "C_SetPIN", .variant = words, .on = ON_BOTH, .stage = stage_, .traits = MUTATES | COUNTS_TRY,     \
	 .contexts = PROVES | CTX_ADMIN, .base = base_, .call = call_, .undo = undo_}
#define SET_PIN_WRONGLY(words, stage_, base_)                                                                          \
	{.function = "C_SetPIN", .variant = words, .on = ON_BOTH, .stage = stage_, .traits = COUNTS_TRY,               \
	 .contexts = PROVES, .answer = CKR_PIN_INCORRECT, .base = base_, .call = set_pin_wrongly}
#define LOGIN(name, words, stage_, base_, call_, good_)                                                                \
	{.function = name, .variant = words, .on = ON_BOTH, .stage = stage_, .traits = MOVES_SESSION | COUNTS_TRY,     \
	 .contexts = PROVES, .base = base_, .call = call_, .undo = log_out, .good = good_}
#define LOGIN_WRONGLY(name, words, base_, call_)                                                                       \
	{.function = name, .variant = words, .on = ON_BOTH, .stage = STAGE_PUBLIC, .traits = COUNTS_TRY,               \
	 .contexts = PROVES, .answer = CKR_PIN_INCORRECT, .base = base_, .call = call_, .good = nobody_is_in}
#define LOGOUT(words, stage_, base_)                                                                                   \
	{.function = "C_Logout", .variant = words, .on = ON_BOTH, .stage = stage_, .traits = MOVES_SESSION | ANSWERS,  \
	 .base = base_, .call = log_out_call, .good = nobody_is_in}

const struct scenario admin_scenarios[] = {
	INIT_TOKEN("empty slot", ON_BOTH, CTX_ADMIN, slot_is_empty, token_is_wiped, token_is_empty),
	INIT_TOKEN("empty slot of a new TPM", ON_TPM, CTX_ADMIN, tpm_is_new, tpm_is_new, token_is_empty),
	INIT_TOKEN("objects", ON_BOTH, PROVES | CTX_ADMIN, objects_stand, token_up, token_is_empty),
	INIT_TOKEN("full token", ON_BOTH, PROVES | CTX_ADMIN, crowd_stands, token_up, token_is_empty),
	INIT_TOKEN("pin = none", ON_BOTH, PROVES | CTX_ADMIN, token_has_no_pin, NULL, token_needs_no_pin),
	{.function = "C_InitToken", .variant = "wrong PIN", .on = ON_BOTH, .stage = STAGE_LIBRARY, .traits = COUNTS_TRY,
	 .contexts = PROVES, .answer = CKR_PIN_INCORRECT, .base = sos_tries_are_back, .call = init_token_wrongly},

	INIT_PIN("the first", user_has_no_pin, user_has_no_pin),
	INIT_PIN("again", NULL, NULL),
	SET_PIN("the user's", STAGE_USER, make_objects, set_users_pin, users_pin_back),
	SET_PIN("the user's, full token", STAGE_USER, make_crowd, set_users_pin, users_pin_back),
	SET_PIN("the user's, before login", STAGE_PUBLIC, NULL, set_users_pin, users_pin_back),
	SET_PIN("the SO's", STAGE_SO, NULL, set_sos_pin, sos_pin_back),
	SET_PIN_WRONGLY("the user's, wrong PIN", STAGE_USER, users_tries_are_back),
	SET_PIN_WRONGLY("the user's, before login, wrong PIN", STAGE_PUBLIC, nobodys_tries_are_back),
	SET_PIN_WRONGLY("the SO's, wrong PIN", STAGE_SO, sos_tries_are_back),

	LOGIN("C_Login", "user", STAGE_PUBLIC, NULL, login_user, user_is_in),
	LOGIN("C_Login", "user, R/O session", STAGE_READ, NULL, login_user, user_is_in),
	LOGIN("C_Login", "SO", STAGE_PUBLIC, NULL, login_so, so_is_in),
	LOGIN_WRONGLY("C_Login", "user, wrong PIN", nobodys_tries_are_back, login_user_wrongly),
	LOGIN_WRONGLY("C_Login", "SO, wrong PIN", sos_tries_are_back, login_so_wrongly),
	{.function = "C_Login", .variant = "user, locked PIN", .on = ON_BOTH, .stage = STAGE_PUBLIC, .contexts = PROVES,
	 .answer = CKR_PIN_LOCKED, .base = pin_is_locked, .call = login_user, .good = nobody_is_in},
	{.function = "C_Login", .variant = "context-specific", .on = ON_BOTH, .stage = STAGE_USER, .traits = COUNTS_TRY,
	 .contexts = PROVES, .base = wary_key_stands, .begin = signature_begins, .call = login_context, .good = signs},
	{.function = "C_Login", .variant = "context-specific, wrong PIN", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = COUNTS_TRY, .contexts = PROVES, .answer = CKR_PIN_INCORRECT, .base = wary_key_stands,
	 .begin = signature_begins, .call = login_context_wrongly, .good = signs_not},
	LOGIN("C_LoginUser", "user without a name", STAGE_PUBLIC, NULL, login_user_unnamed, user_is_in),
	LOGIN_WRONGLY("C_LoginUser", "user without a name, wrong PIN", nobodys_tries_are_back,
		      login_user_unnamed_wrongly),
	{.function = "C_LoginUser", .variant = "somebody unknown", .on = ON_BOTH, .stage = STAGE_PUBLIC,
	 .answer = CKR_USER_TYPE_INVALID, .call = login_somebody, .good = nobody_is_in},
	LOGOUT("the user", STAGE_USER, NULL),
	LOGOUT("the user, who has private objects", STAGE_USER, private_objects_stand),
	LOGOUT("the SO", STAGE_SO, NULL),
	{.function = NULL},
};

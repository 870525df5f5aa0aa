/* The calls that are killed, and the tokens that they begin with. */
#include "death.h"

#include <fnmatch.h>

static const struct mortal *m; /* whose process this is */
static CK_SESSION_HANDLE s;
static CK_OBJECT_HANDLE object, made[2];

/* ---- the tokens ---- */

static const uint8_t aes_value[16] = "sixteen bytes.";

static void make_objects(void)
{
	CK_OBJECT_HANDLE o;
	struct pair p;

	data_object(h.session, true, true, "a secret");
	data_object(h.session, true, false, "a notice");
	ec_pair(h.session, true, "pair");
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES), A_BOOL(CKA_TOKEN, true),
		    A_BYTES(CKA_VALUE, aes_value, 16), A_TEXT(CKA_LABEL, "wrapper"), A_BOOL(CKA_WRAP, true),
		    A_BOOL(CKA_UNWRAP, true), A_BOOL(CKA_ENCRYPT, true)),
	   &o);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true),
		    A_TEXT(CKA_LABEL, "traveller"), A_TEXT(CKA_ID, "2")),
	   TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SIGN, true), A_BOOL(CKA_DERIVE, true),
		    A_BOOL(CKA_EXTRACTABLE, true), A_TEXT(CKA_LABEL, "traveller"), A_TEXT(CKA_ID, "2")),
	   &p.pub, &p.priv);
}

void mortal_base(enum base base)
{
	static const CK_UTF8CHAR label[33] = "Signet test                     ";

	if (base == BASE_FULL) {
		session_up();
		make_objects();
	}
	if (base == BASE_NO_PIN) {
		library_up();
		OK(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), (CK_UTF8CHAR *)label);
	}
	if (h.initialized)
		OK(C_Finalize, NULL);
	h.initialized = false;
}

/* ---- a process of its own ---- */

/* The only object of that class and label. */
static CK_OBJECT_HANDLE only(CK_OBJECT_CLASS class, const char *label)
{
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, class), A_BYTES(CKA_LABEL, label, strlen(label))};
	CK_OBJECT_HANDLE o[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
	CK_ULONG n = 0;

	if (h.f->C_FindObjectsInit(s, t, ARRAY_LEN(t)) != CKR_OK)
		return CK_INVALID_HANDLE;
	if (h.f->C_FindObjects(s, o, 2, &n) != CKR_OK || h.f->C_FindObjectsFinal(s) != CKR_OK)
		return CK_INVALID_HANDLE;
	return n == 1 ? o[0] : CK_INVALID_HANDLE;
}

static int prepare(void)
{
	static const struct {
		CK_USER_TYPE user;
		const char *pin;
	} logins[] = {[STAGE_USER] = {CKU_USER, USER_PIN}, [STAGE_SO] = {CKU_SO, SO_PIN}};

	GUARD(101, C_Initialize(NULL));
	if (m->stage == STAGE_LIBRARY)
		return 0;
	GUARD(102, C_OpenSession(h.slot, RW, NULL, NULL, &s));
	if (m->stage == STAGE_USER || m->stage == STAGE_SO)
		GUARD(103, C_Login(s, logins[m->stage].user, (CK_UTF8CHAR *)logins[m->stage].pin,
				   strlen(logins[m->stage].pin)));
	return m->find ? m->find() : 0;
}

static int call(void)
{
	return m->call() == m->answer ? 0 : 104;
}

struct victim mortal_victim(const struct mortal *mortal)
{
	m = mortal;
	return (struct victim){prepare, call};
}

bool mortal_wanted(const struct mortal *mortal)
{
	const char *pattern = secure_getenv("SIGNET_FAULT_SCENARIO");
	char name[128];

	snprintf(name, sizeof name, "%s/%s", mortal->function, mortal->variant);
	return mortal->on & (is_kind(&kind_tpm) ? ON_TPM : ON_KEYRING) && (!pattern || fnmatch(pattern, name, 0) == 0);
}

/* ---- tokens and PINs ---- */

#define NEW_USER "another user's"
#define NEW_SO "another officer's"
#define PIN(text) (CK_UTF8CHAR *)(text), strlen(text)

static CK_RV init_token(void)
{
	static const CK_UTF8CHAR label[33] = "Signet test, made anew          ";

	return h.f->C_InitToken(h.slot, PIN(SO_PIN), (CK_UTF8CHAR *)label);
}

static CK_RV init_pin(void)
{
	return h.f->C_InitPIN(s, PIN(NEW_USER));
}

static CK_RV set_pin_of_user(void)
{
	return h.f->C_SetPIN(s, PIN(USER_PIN), PIN(NEW_USER));
}

static CK_RV set_pin_of_so(void)
{
	return h.f->C_SetPIN(s, PIN(SO_PIN), PIN(NEW_SO));
}

static CK_RV set_pin_from_wrong(void)
{
	return h.f->C_SetPIN(s, PIN("not the PIN"), PIN(NEW_USER));
}

static CK_RV login_right(void)
{
	return h.f->C_Login(s, CKU_USER, PIN(USER_PIN));
}

static CK_RV login_wrong(void)
{
	return h.f->C_Login(s, CKU_USER, PIN("not the PIN"));
}

/* ---- objects ---- */

static int find_secret(void)
{
	object = only(CKO_DATA, "a secret");
	return object ? 0 : 110;
}

static int find_notice(void)
{
	object = only(CKO_DATA, "a notice");
	return object ? 0 : 111;
}

static int find_wrapper(void)
{
	object = only(CKO_SECRET_KEY, "wrapper");
	return object ? 0 : 112;
}

static int find_public(void)
{
	object = only(CKO_PUBLIC_KEY, "pair");
	return object ? 0 : 113;
}

static int find_private(void)
{
	object = only(CKO_PRIVATE_KEY, "pair");
	return object ? 0 : 114;
}

static CK_RV generate_pair(void)
{
	return h.f->C_GenerateKeyPair(
		s, MECH(CKM_EC_KEY_PAIR_GEN),
		TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true),
			 A_TEXT(CKA_LABEL, "new"), A_TEXT(CKA_ID, "3")),
		TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SIGN, true), A_TEXT(CKA_LABEL, "new"),
			 A_TEXT(CKA_ID, "3")),
		&made[0], &made[1]);
}

/* Made in the process, and brought into a TPM. */
static CK_RV generate_extractable(void)
{
	return h.f->C_GenerateKeyPair(
		s, MECH(CKM_EC_KEY_PAIR_GEN),
		TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true),
			 A_TEXT(CKA_LABEL, "new"), A_TEXT(CKA_ID, "3")),
		TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_EXTRACTABLE, true), A_TEXT(CKA_LABEL, "new"),
			 A_TEXT(CKA_ID, "3")),
		&made[0], &made[1]);
}

/* Used before login, and so without the user's secret. */
static CK_RV generate_public(void)
{
	return h.f->C_GenerateKeyPair(
		s, MECH(CKM_EC_KEY_PAIR_GEN),
		TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true),
			 A_TEXT(CKA_LABEL, "new"), A_TEXT(CKA_ID, "3")),
		TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, false), A_TEXT(CKA_LABEL, "new"),
			 A_TEXT(CKA_ID, "3")),
		&made[0], &made[1]);
}

static CK_RV generate_key(void)
{
	return h.f->C_GenerateKey(s, MECH(CKM_AES_KEY_GEN),
				  TEMPLATE(A_ULONG(CKA_VALUE_LEN, 16), A_BOOL(CKA_TOKEN, true),
					   A_TEXT(CKA_LABEL, "new"), A_BOOL(CKA_ENCRYPT, true)),
				  &made[0]);
}

static CK_RV create_private(void)
{
	return h.f->C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
					       A_BOOL(CKA_PRIVATE, true), A_TEXT(CKA_LABEL, "new"),
					       A_TEXT(CKA_VALUE, "content")), &made[0]);
}

/* The first object of its token. */
static CK_RV create_public(void)
{
	return h.f->C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
					       A_TEXT(CKA_LABEL, "new"), A_TEXT(CKA_VALUE, "content")), &made[0]);
}

static CK_RV create_session(void)
{
	return h.f->C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_TEXT(CKA_LABEL, "new")), &made[0]);
}

static CK_RV create_key(void)
{
	static const uint8_t d[32] = {1, 2, 3, 4, 5, 6, 7, 8};

	return h.f->C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
					       A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "new"),
					       A_BYTES(CKA_VALUE, d, 32),
					       A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), &made[0]);
}

static CK_RV change_label(void)
{
	return h.f->C_SetAttributeValue(s, object, TEMPLATE(A_TEXT(CKA_LABEL, "changed")));
}

static CK_RV copy(void)
{
	return h.f->C_CopyObject(s, object, TEMPLATE(A_TEXT(CKA_LABEL, "copy")), &made[0]);
}

static CK_RV destroy(void)
{
	return h.f->C_DestroyObject(s, object);
}

/* ---- keys from keys ---- */

static uint8_t wrapped[512];
static CK_ULONG wrapped_len;

/* Wraps the extractable private key, so that it can come back. */
static int find_wrapped(void)
{
	CK_OBJECT_HANDLE traveller = only(CKO_PRIVATE_KEY, "traveller");

	if (!traveller)
		return 115;
	wrapped_len = sizeof wrapped;
	int where = find_wrapper();
	if (where)
		return where;
	GUARD(116, C_WrapKey(s, MECH(CKM_AES_KEY_WRAP_KWP), object, traveller, wrapped, &wrapped_len));
	return 0;
}

static CK_RV unwrap_private(void)
{
	return h.f->C_UnwrapKey(s, MECH(CKM_AES_KEY_WRAP_KWP), object, wrapped, wrapped_len,
				TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
					 A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "new")), &made[0]);
}

/* Bytes that RFC 3394 gives for some key under aes_value, made by the token itself. */
static int find_wrapped_secret(void)
{
	CK_OBJECT_HANDLE secret;
	int where = find_wrapper();

	if (where)
		return where;
	GUARD(117, C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
					      A_BYTES(CKA_VALUE, aes_value, 16), A_BOOL(CKA_EXTRACTABLE, true)),
		   &secret));
	wrapped_len = sizeof wrapped;
	GUARD(118, C_WrapKey(s, MECH(CKM_AES_KEY_WRAP), object, secret, wrapped, &wrapped_len));
	return 0;
}

static CK_RV unwrap_secret(void)
{
	return h.f->C_UnwrapKey(s, MECH(CKM_AES_KEY_WRAP), object, wrapped, wrapped_len,
				TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
					 A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "new"), A_BOOL(CKA_ENCRYPT, true)),
				&made[0]);
}

static uint8_t point[80];
static CK_ULONG point_len;

/* A key pair agrees with itself. */
static int find_agreement(void)
{
	CK_OBJECT_HANDLE public = only(CKO_PUBLIC_KEY, "traveller");
	CK_ATTRIBUTE a = {CKA_EC_POINT, point, sizeof point};

	GUARD(119, C_GetAttributeValue(s, public, &a, 1));
	point_len = a.ulValueLen;
	object = only(CKO_PRIVATE_KEY, "traveller");
	return object ? 0 : 120;
}

static CK_RV derive(void)
{
	CK_ECDH1_DERIVE_PARAMS p = {.kdf = CKD_SHA256_KDF, .ulPublicDataLen = point_len, .pPublicData = point};

	return h.f->C_DeriveKey(s, MECH_P(CKM_ECDH1_DERIVE, p), object,
				TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
					 A_ULONG(CKA_VALUE_LEN, 16), A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "new"),
					 A_BOOL(CKA_ENCRYPT, true)), &made[0]);
}

/* ---- keys at work ---- */

static CK_OBJECT_HANDLE other;

static int find_signers(void)
{
	object = only(CKO_PRIVATE_KEY, "pair");
	other = only(CKO_PRIVATE_KEY, "traveller");
	return object && other ? 0 : 121;
}

static CK_RV sign_by(CK_OBJECT_HANDLE key)
{
	uint8_t digest[32] = "what is signed", sig[64];
	CK_ULONG n = sizeof sig;
	CK_RV rv = h.f->C_SignInit(s, MECH(CKM_ECDSA), key);

	return rv != CKR_OK ? rv : h.f->C_Sign(s, digest, sizeof digest, sig, &n);
}

/* A TPM then has both loaded. */
static CK_RV sign_by_both(void)
{
	CK_RV rv = sign_by(object);

	return rv != CKR_OK ? rv : sign_by(other);
}

/* ---- the table ---- */


#define ROW(f, v, s, ...) {.function = f, .variant = v, .on = ON_BOTH, .stage = STAGE_##s, __VA_ARGS__}

const struct mortal mortals[] = {
	ROW("C_InitToken", "the first", LIBRARY, .call = init_token, .base = BASE_NONE, .pins = true),
	ROW("C_InitToken", "another", LIBRARY, .call = init_token, .tries = 1, .pins = true),
	ROW("C_InitPIN", "the first", SO, .call = init_pin, .base = BASE_NO_PIN, .user = NEW_USER, .pins = true),
	ROW("C_InitPIN", "another", SO, .call = init_pin, .user = NEW_USER, .pins = true),
	ROW("C_SetPIN", "user", USER, .call = set_pin_of_user, .user = NEW_USER, .tries = 1, .pins = true),
	ROW("C_SetPIN", "user, not logged in", PUBLIC, .call = set_pin_of_user, .user = NEW_USER, .tries = 1,
	    .pins = true),
	ROW("C_SetPIN", "SO", SO, .call = set_pin_of_so, .so = NEW_SO, .tries = 1, .pins = true),
	ROW("C_SetPIN", "a wrong PIN", USER, .call = set_pin_from_wrong, .answer = CKR_PIN_INCORRECT, .tries = 1,
	    .pins = true),
	ROW("C_Login", "user", PUBLIC, .call = login_right, .tries = 1, .pins = true),
	ROW("C_Login", "a wrong PIN", PUBLIC, .call = login_wrong, .answer = CKR_PIN_INCORRECT, .tries = 1,
	    .pins = true),
	ROW("C_GenerateKeyPair", "EC, token", USER, .call = generate_pair),
	ROW("C_GenerateKeyPair", "EC, token, extractable", USER, .call = generate_extractable),
	ROW("C_GenerateKeyPair", "EC, token, public", USER, .call = generate_public),
	ROW("C_GenerateKey", "AES, token", USER, .call = generate_key),
	ROW("C_CreateObject", "data, token, private", USER, .call = create_private),
	ROW("C_CreateObject", "data, token, the first", PUBLIC, .call = create_public, .base = BASE_NO_PIN),
	ROW("C_CreateObject", "data, session", USER, .call = create_session),
	ROW("C_CreateObject", "EC private key, token", USER, .call = create_key),
	ROW("C_SetAttributeValue", "data, private", USER, .call = change_label, .find = find_secret),
	ROW("C_SetAttributeValue", "data", PUBLIC, .call = change_label, .find = find_notice),
	ROW("C_SetAttributeValue", "half of a pair", USER, .call = change_label, .find = find_private),
	ROW("C_CopyObject", "data, private", USER, .call = copy, .find = find_secret),
	ROW("C_CopyObject", "private key", USER, .call = copy, .find = find_private),
	ROW("C_DestroyObject", "data", USER, .call = destroy, .find = find_secret),
	ROW("C_DestroyObject", "half of a pair", USER, .call = destroy, .find = find_public),
	ROW("C_DestroyObject", "private key", USER, .call = destroy, .find = find_private),
	ROW("C_UnwrapKey", "EC private key, token", USER, .call = unwrap_private, .find = find_wrapped),
	ROW("C_UnwrapKey", "AES, token", USER, .call = unwrap_secret, .find = find_wrapped_secret),
	ROW("C_DeriveKey", "ECDH, token", USER, .call = derive, .find = find_agreement),
	/* Two leave nothing free in a bare TPM. */
	{.function = "C_Sign", .variant = "two keys, after others have died", .on = ON_TPM, .stage = STAGE_USER,
	 .find = find_signers, .call = sign_by_both, .dead = 2},
	{.function = NULL},
};

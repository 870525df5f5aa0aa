/* The calls that change a token, and the objects that they work with.  On an object: the same one and another half of
 * the same record, the same attribute and another. */
#include "pairs.h"

#include <unistd.h>

struct self self;
struct board *board;

void must(const char *what, CK_RV rv)
{
	if (rv == CKR_OK)
		return;
	fprintf(stderr, "%s: %s, which must not be\n", what, rv_name(rv));
	_exit(77);
}

/* ---- the objects ---- */

/* The first object of that class and label, or of any label if that is NULL; 0: none. */
static CK_OBJECT_HANDLE first(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, const char *label)
{
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, class), A_BYTES(CKA_LABEL, label, label ? strlen(label) : 0)};
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;
	CK_ULONG n = 0;

	MUST(C_FindObjectsInit, s, t, label ? 2 : 1);
	MUST(C_FindObjects, s, &o, 1, &n);
	MUST(C_FindObjectsFinal, s);
	return n ? o : CK_INVALID_HANDLE;
}

void base_find(void)
{
	self.kept = first(self.session, CKO_DATA, "kept");
	self.pub = first(self.session, CKO_PUBLIC_KEY, "pair");
	self.priv = first(self.session, CKO_PRIVATE_KEY, "pair");
	self.wrapper = first(self.session, CKO_SECRET_KEY, "wrapper");
	if (!self.pub)
		return;
	CK_ATTRIBUTE a = {CKA_EC_POINT, self.point, sizeof self.point};
	MUST(C_GetAttributeValue, self.session, self.pub, &a, 1);
	self.point_len = a.ulValueLen;
}

static struct pair generate_pair(CK_SESSION_HANDLE s, bool token, const char *label)
{
	struct pair p = {0};

	MUST(C_GenerateKeyPair, s, MECH(CKM_EC_KEY_PAIR_GEN),
	     TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, token),
		      A_BYTES(CKA_LABEL, label, strlen(label)), A_TEXT(CKA_ID, "pair")),
	     TEMPLATE(A_BOOL(CKA_TOKEN, token), A_BOOL(CKA_SIGN, true), A_BOOL(CKA_DERIVE, true),
		      A_BOOL(CKA_EXTRACTABLE, !token),
		      A_BYTES(CKA_LABEL, label, strlen(label)), A_TEXT(CKA_ID, "pair")),
	     &p.pub, &p.priv);
	return p;
}

/* Of a fixed value, so that what it has wrapped can be unwrapped after it was made anew. */
static CK_OBJECT_HANDLE make_wrapper(CK_SESSION_HANDLE s)
{
	CK_OBJECT_HANDLE o;

	MUST(C_CreateObject, s,
	     TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
		      A_TEXT(CKA_VALUE, "a value that everybody may know."), A_BOOL(CKA_TOKEN, true),
		      A_TEXT(CKA_LABEL, "wrapper"), A_BOOL(CKA_WRAP, true), A_BOOL(CKA_UNWRAP, true)),
	     &o);
	return o;
}

static void wrap_something(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE wrapper)
{
	struct pair p = generate_pair(s, false, "wrapped");

	board->wrapped_len = sizeof board->wrapped;
	MUST(C_WrapKey, s, MECH(CKM_AES_KEY_WRAP_KWP), wrapper, p.priv, board->wrapped, &board->wrapped_len);
	MUST(C_DestroyObject, s, p.pub);
	MUST(C_DestroyObject, s, p.priv);
}

static bool has_text(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, const char *want)
{
	char buf[64];
	CK_ATTRIBUTE a = {type, buf, sizeof buf};

	MUST(C_GetAttributeValue, s, o, &a, 1);
	return a.ulValueLen == strlen(want) && memcmp(buf, want, strlen(want)) == 0;
}

/* Takes away what isn't as it was before the calls. */
static void drop_others(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, const char *label)
{
	CK_OBJECT_HANDLE o[32];
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, class)};
	CK_ULONG n;

	MUST(C_FindObjectsInit, s, t, 1);
	MUST(C_FindObjects, s, o, ARRAY_LEN(o), &n);
	MUST(C_FindObjectsFinal, s);
	for (CK_ULONG i = 0; i < n; i++)
		if (!has_text(s, o[i], CKA_LABEL, label) ||
		    (class == CKO_DATA && !has_text(s, o[i], CKA_VALUE, "content")))
			MUST(C_DestroyObject, s, o[i]);
}

void base_make(CK_SESSION_HANDLE s)
{
	CK_OBJECT_HANDLE o;
	CK_OBJECT_HANDLE pub, priv;

	drop_others(s, CKO_DATA, "kept");
	drop_others(s, CKO_PUBLIC_KEY, "pair");
	drop_others(s, CKO_PRIVATE_KEY, "pair");
	drop_others(s, CKO_SECRET_KEY, "wrapper");
	if (!first(s, CKO_DATA, "kept"))
		MUST(C_CreateObject, s,
		     TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, true),
			      A_TEXT(CKA_LABEL, "kept"), A_TEXT(CKA_VALUE, "content")), &o);
	pub = first(s, CKO_PUBLIC_KEY, "pair");
	priv = first(s, CKO_PRIVATE_KEY, "pair");
	if (!pub || !priv) {
		if (pub || priv)
			MUST(C_DestroyObject, s, pub ? pub : priv);
		generate_pair(s, true, "pair");
	}
	o = first(s, CKO_SECRET_KEY, "wrapper");
	if (!o)
		o = make_wrapper(s);
	if (!board->wrapped_len)
		wrap_something(s, o);
}

/* ---- the calls ---- */

/* "what by A": tells whose it is. */
struct words {
	CK_UTF8CHAR at[32];
	CK_ULONG n;
};

static struct words by_me(const char *what)
{
	struct words w;

	w.n = (CK_ULONG)snprintf((char *)w.at, sizeof w.at, "%s by %c", what, self.name);
	return w;
}

static CK_RV create(void)
{
	struct words w = by_me("created");
	CK_OBJECT_HANDLE o;

	return h.f->C_CreateObject(self.session,
				   TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
					    A_BOOL(CKA_PRIVATE, true), A_BYTES(CKA_LABEL, w.at, w.n)), &o);
}

static CK_RV set(CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, const char *what)
{
	struct words w = by_me(what);

	return h.f->C_SetAttributeValue(self.session, o, TEMPLATE(A_BYTES(type, w.at, w.n)));
}

static CK_RV set_label(void)
{
	return set(self.kept, CKA_LABEL, "label");
}

static CK_RV set_value(void)
{
	return set(self.kept, CKA_VALUE, "value");
}

static CK_RV set_half(void)
{
	return set(self.priv, CKA_LABEL, "half");
}

static CK_RV destroy(void)
{
	return h.f->C_DestroyObject(self.session, self.kept);
}

static CK_RV destroy_public(void)
{
	return h.f->C_DestroyObject(self.session, self.pub);
}

static CK_RV destroy_private(void)
{
	return h.f->C_DestroyObject(self.session, self.priv);
}

static CK_RV copy_of(CK_OBJECT_HANDLE o)
{
	struct words w = by_me("copied");
	CK_OBJECT_HANDLE copy;

	return h.f->C_CopyObject(self.session, o, TEMPLATE(A_BYTES(CKA_LABEL, w.at, w.n)), &copy);
}

static CK_RV copy(void)
{
	return copy_of(self.kept);
}

static CK_RV copy_key(void)
{
	return copy_of(self.priv);
}

static CK_RV generate(void)
{
	struct words w = by_me("generated");
	CK_OBJECT_HANDLE pub, priv;

	return h.f->C_GenerateKeyPair(
		self.session, MECH(CKM_EC_KEY_PAIR_GEN),
		TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, true),
			 A_BYTES(CKA_LABEL, w.at, w.n)),
		TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SIGN, true), A_BYTES(CKA_LABEL, w.at, w.n)), &pub, &priv);
}

static CK_RV unwrap(void)
{
	struct words w = by_me("unwrapped");
	CK_OBJECT_HANDLE o;

	return h.f->C_UnwrapKey(self.session, MECH(CKM_AES_KEY_WRAP_KWP), self.wrapper, board->wrapped,
				board->wrapped_len,
				TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
					 A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SIGN, true),
					 A_BYTES(CKA_LABEL, w.at, w.n)),
				&o);
}

static CK_RV generate_key(void)
{
	struct words w = by_me("generated");
	CK_OBJECT_HANDLE o;

	return h.f->C_GenerateKey(self.session, MECH(CKM_AES_KEY_GEN),
				  TEMPLATE(A_ULONG(CKA_VALUE_LEN, 16), A_BOOL(CKA_TOKEN, true),
					   A_BYTES(CKA_LABEL, w.at, w.n)), &o);
}

/* The pair agrees with itself. */
static CK_RV derive(void)
{
	struct words w = by_me("derived");
	CK_ECDH1_DERIVE_PARAMS p = {.kdf = CKD_SHA256_KDF, .pPublicData = self.point,
				    .ulPublicDataLen = self.point_len};
	CK_OBJECT_HANDLE o;

	return h.f->C_DeriveKey(self.session, MECH_P(CKM_ECDH1_DERIVE, p), self.priv,
				TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
					 A_ULONG(CKA_VALUE_LEN, 16), A_BOOL(CKA_TOKEN, true),
					 A_BYTES(CKA_LABEL, w.at, w.n)), &o);
}

static CK_RV set_pin(const char *old, const char *what)
{
	struct words w = by_me(what);

	return h.f->C_SetPIN(self.session, (CK_UTF8CHAR *)old, strlen(old), w.at, w.n);
}

static CK_RV set_user_pin(void)
{
	return set_pin(USER_PIN, "user PIN");
}

static CK_RV set_so_pin(void)
{
	return set_pin(SO_PIN, "SO PIN");
}

static CK_RV init_pin(void)
{
	struct words w = by_me("first PIN");

	return h.f->C_InitPIN(self.session, w.at, w.n);
}

static CK_RV init_token(void)
{
	CK_UTF8CHAR label[33];

	snprintf((char *)label, sizeof label, "initialized by %c%16s", self.name, "");
	return h.f->C_InitToken(h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
}

const struct deed deeds[] = {
	{"C_CreateObject", "data", AS_USER, create},
	{"C_SetAttributeValue", "label", AS_USER, set_label},
	{"C_SetAttributeValue", "value", AS_USER, set_value},
	{"C_SetAttributeValue", "half of a pair", AS_USER, set_half},
	{"C_DestroyObject", "data", AS_USER, destroy},
	{"C_DestroyObject", "public half", AS_USER, destroy_public},
	{"C_DestroyObject", "private half", AS_USER, destroy_private},
	{"C_CopyObject", "data", AS_USER, copy},
	{"C_CopyObject", "private half", AS_USER, copy_key},
	{"C_GenerateKeyPair", "EC", AS_USER, generate},
	{"C_GenerateKey", "AES", AS_USER, generate_key},
	{"C_DeriveKey", "AES", AS_USER, derive},
	{"C_UnwrapKey", "EC", AS_USER, unwrap},
	{"C_SetPIN", "user", AS_USER, set_user_pin},
	{"C_SetPIN", "SO", AS_SO, set_so_pin},
	{"C_InitPIN", "user", AS_SO, init_pin},
	{"C_InitToken", "again", WITHOUT_SESSION, init_token},
};
const size_t n_deeds = ARRAY_LEN(deeds);

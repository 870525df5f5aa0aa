/* Templates of keys to come, the place of a key, and copies (4.9 to 4.11, 5.7.2; T074 to T096, T106, T107). */
#include "harness.h"
#include "token.h"

TestSuite(templates, .init = session_up, .fini = harness_down, .timeout = 60);

static const uint8_t value[16] = "sixteen secrets";
#define SECRET                                                                                                         \
	A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET),                                 \
		A_BYTES(CKA_VALUE, value, sizeof value)
#define A_ARRAY(t, ...) {(t), (CK_ATTRIBUTE[]){__VA_ARGS__}, sizeof((CK_ATTRIBUTE[]){__VA_ARGS__})}

static CK_RV create(CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
	*ret = CK_INVALID_HANDLE;
	return CALL(C_CreateObject, h.session, t, n, ret);
}

static CK_RV refused(CK_ATTRIBUTE *t, CK_ULONG n)
{
	CK_OBJECT_HANDLE o;
	CK_ULONG before = find(h.session, NULL, 0, NULL);
	CK_RV rv = create(t, n, &o);

	cr_assert(find(h.session, NULL, 0, NULL) == before);
	return rv;
}

/* ---- attribute arrays ---- */

static void expect_array(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
	CK_OBJECT_CLASS class = 77;
	CK_BBOOL sign = 77;
	char label[8];
	CK_ATTRIBUTE in[3] = {{0, &class, sizeof class}, {0, label, sizeof label}, {0, &sign, sizeof sign}};
	CK_ATTRIBUTE a = {CKA_WRAP_TEMPLATE, in, sizeof in};

	OK(C_GetAttributeValue, s, o, &a, 1);
	cr_assert(a.ulValueLen == sizeof in);
	cr_assert(in[0].type == CKA_CLASS && in[0].ulValueLen == sizeof class && class == CKO_SECRET_KEY);
	cr_assert(in[1].type == CKA_LABEL && in[1].ulValueLen == 3 && memcmp(label, "any", 3) == 0);
	cr_assert(in[2].type == CKA_SIGN && in[2].ulValueLen == 1 && sign == CK_TRUE);
}

#define ANY                                                                                                            \
	A_ARRAY(CKA_WRAP_TEMPLATE, A_BOOL(CKA_SIGN, true), A_TEXT(CKA_LABEL, "any"),                                   \
		A_ULONG(CKA_CLASS, CKO_SECRET_KEY))

static void array_is_kept(bool token)
{
	CK_OBJECT_HANDLE o, copy;

	is(create(TEMPLATE(SECRET, A_BOOL(CKA_TOKEN, token), A_TEXT(CKA_ID, "one"), ANY), &o), CKR_OK);
	expect_array(h.session, o);
	OK(C_SetAttributeValue, h.session, o, TEMPLATE(A_TEXT(CKA_LABEL, "renamed")));
	expect_array(h.session, o);
	OK(C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_TOKEN, !token), A_TEXT(CKA_ID, "two")), &copy);
	expect_array(h.session, copy);
	cr_assert(find(h.session, TEMPLATE(ANY), NULL) == 2);
	cr_assert(find(h.session, TEMPLATE(A_ARRAY(CKA_WRAP_TEMPLATE, A_BOOL(CKA_SIGN, true))), NULL) == 0);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_SetAttributeValue, h.session, o,
	       TEMPLATE(A_ARRAY(CKA_WRAP_TEMPLATE, A_BOOL(CKA_SIGN, false))));
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(s, TEMPLATE(A_BOOL(CKA_TOKEN, true), A_ULONG(CKA_CLASS, CKO_SECRET_KEY)), &o) == 1);
	expect_array(s, o);
}

Test(templates, array_of_a_session_key)
{
	array_is_kept(false);
}

Test(templates, array_of_a_token_key)
{
	array_is_kept(true);
}

/* Both halves of a generated pair: the private one's is in the sealed part of a record. */
Test(templates, arrays_of_a_pair)
{
	struct pair p = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
	CK_BBOOL extractable = 77;
	CK_ATTRIBUTE in = {0, &extractable, 1}, a = {CKA_UNWRAP_TEMPLATE, &in, sizeof in};

	OK(C_GenerateKeyPair, h.session, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_BOOL(CKA_TOKEN, true), ANY),
	   TEMPLATE(A_BOOL(CKA_TOKEN, true), A_ARRAY(CKA_UNWRAP_TEMPLATE, A_BOOL(CKA_EXTRACTABLE, false))), &p.pub,
	   &p.priv);
	expect_array(h.session, p.pub);
	OK(C_GetAttributeValue, h.session, p.priv, &a, 1);
	cr_assert(in.type == CKA_EXTRACTABLE && in.ulValueLen == 1 && extractable == CK_FALSE);
}

Test(templates, T106_arrays_by_element)
{
	char label[2] = "?";
	CK_ATTRIBUTE in[3] = {{1, NULL, 4711}, {2, label, 2}, {3, NULL, 0}}, a = {CKA_WRAP_TEMPLATE, NULL, 1};
	CK_OBJECT_HANDLE o;

	is(create(TEMPLATE(SECRET, ANY), &o), CKR_OK);
	OK(C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == sizeof in);
	a = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, in, sizeof in - 1};
	EXPECT(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == CK_UNAVAILABLE_INFORMATION && in[0].type == 1);
	a.ulValueLen = sizeof in;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(in[0].type == CKA_CLASS && in[0].ulValueLen == sizeof(CK_ULONG));
	cr_assert(in[1].type == CKA_LABEL && in[1].ulValueLen == CK_UNAVAILABLE_INFORMATION && label[0] == '?');
	cr_assert(in[2].type == CKA_SIGN && in[2].ulValueLen == 1);
	in[1].pValue = NULL;
	OK(C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(in[1].ulValueLen == 3);
	/* A key without one. */
	is(create(TEMPLATE(SECRET), &o), CKR_OK);
	EXPECT(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == CK_UNAVAILABLE_INFORMATION);
	/* One that says nothing. */
	is(create(TEMPLATE(SECRET, A_NULL(CKA_WRAP_TEMPLATE)), &o), CKR_OK);
	a.ulValueLen = sizeof in;
	OK(C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == 0);
}

Test(templates, T107_bad_arrays)
{
	static char big[1 << 16];
	CK_ATTRIBUTE many[200];
	CK_ATTRIBUTE self = {CKA_WRAP_TEMPLATE, &self, sizeof self};

	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (CK_ATTRIBUTE)A_TEXT(CKA_LABEL, "x");
	is(refused(TEMPLATE(SECRET, A_BYTES(CKA_WRAP_TEMPLATE, many, sizeof *many - 1))), CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_BYTES(CKA_WRAP_TEMPLATE, many, sizeof many))), CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_BYTES(CKA_WRAP_TEMPLATE, many, CK_UNAVAILABLE_INFORMATION))),
	   CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_BYTES(CKA_WRAP_TEMPLATE, NULL, sizeof *many))), CKR_ARGUMENTS_BAD);
	is(refused(TEMPLATE(SECRET, self)), CKR_TEMPLATE_INCONSISTENT);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_WRAP_TEMPLATE, A_BYTES(CKA_LABEL, NULL, 3)))), CKR_ARGUMENTS_BAD);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_WRAP_TEMPLATE, A_BYTES(CKA_LABEL, big, CK_UNAVAILABLE_INFORMATION)))),
	   CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_WRAP_TEMPLATE, A_BYTES(CKA_LABEL, big, sizeof big)))),
	   CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_WRAP_TEMPLATE, A_TEXT(CKA_LABEL, "x"), A_TEXT(CKA_LABEL, "y")))),
	   CKR_TEMPLATE_INCONSISTENT);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_WRAP_TEMPLATE, A_TEXT(CKA_SIGN, "xy")))), CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_UNWRAP_TEMPLATE, A_BOOL(CKA_LOCAL, true)))), CKR_ATTRIBUTE_READ_ONLY);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_UNWRAP_TEMPLATE, A_TEXT(CKA_APPLICATION, "x")))),
	   CKR_TEMPLATE_INCONSISTENT);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_DERIVE_TEMPLATE, A_TEXT(CKA_VENDOR_DEFINED, "x")))),
	   CKR_ATTRIBUTE_TYPE_INVALID);
	is(refused(TEMPLATE(SECRET, A_ARRAY(CKA_WRAP_TEMPLATE, A_TEXT(CKA_VALUE, "guess")))),
	   CKR_TEMPLATE_INCONSISTENT);
	EXPECT(CKR_ATTRIBUTE_VALUE_INVALID, C_FindObjectsInit, h.session, &self, 1);
	EXPECT(CKR_ATTRIBUTE_VALUE_INVALID, C_FindObjectsInit, h.session,
	       TEMPLATE(A_BYTES(CKA_WRAP_TEMPLATE, many, sizeof *many - 1)));
}

/* The longest array that there is comes back from the store. */
Test(templates, longest_array)
{
	static char label[7000], back[sizeof label];
	CK_ATTRIBUTE in = {0, back, sizeof back}, a = {CKA_DERIVE_TEMPLATE, &in, sizeof in};
	CK_OBJECT_HANDLE o;

	memset(label, 'x', sizeof label);
	CK_RV rv = create(TEMPLATE(SECRET, A_BOOL(CKA_TOKEN, true),
				   A_ARRAY(CKA_DERIVE_TEMPLATE, A_BYTES(CKA_LABEL, label, sizeof label))), &o);
	if (rv == CKR_DEVICE_MEMORY)
		cr_skip_test("the token has no room for it");
	is(rv, CKR_OK);
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY)), &o) == 1);
	OK(C_GetAttributeValue, s, o, &a, 1);
	cr_assert(in.type == CKA_LABEL && in.ulValueLen == sizeof label && memcmp(label, back, sizeof label) == 0);
}

/* ---- CKA_SIGNET_PLACE ---- */

static bool is_place(CK_OBJECT_HANDLE o, const char *want)
{
	char place[16];
	CK_ULONG n = attribute(h.session, o, CKA_SIGNET_PLACE, place, sizeof place);

	return n == strlen(want) && memcmp(place, want, n) == 0;
}

#define PLACE(s) A_TEXT(CKA_SIGNET_PLACE, s)

/* A place is had, and then it is that place, or it isn't. */
static void ask_for(const char *place, bool had)
{
	CK_ATTRIBUTE asked = {CKA_SIGNET_PLACE, (void *)(uintptr_t)place, strlen(place)};
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;
	CK_RV rv = create(TEMPLATE(SECRET, asked), &o);

	is(rv, had ? CKR_OK : CKR_TEMPLATE_INCONSISTENT);
	cr_assert(!had || is_place(o, place));
	rv = CALL(C_GenerateKey, h.session, MECH(CKM_AES_KEY_GEN),
		  TEMPLATE(A_ULONG(CKA_VALUE_LEN, 16), A_BOOL(CKA_TOKEN, true), asked), &o);
	is(rv, had ? CKR_OK : CKR_TEMPLATE_INCONSISTENT);
	cr_assert(!had || is_place(o, place));
}

Test(templates, places_of_this_token)
{
	ask_for("process", true);
	ask_for("kernel", false);
	if (!is_kind(&kind_tpm))
		ask_for("tpm", false);
}

Test(templates, place_of_a_pair)
{
	struct pair p = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
	CK_ULONG before = find(h.session, NULL, 0, NULL);

	EXPECT(CKR_TEMPLATE_INCONSISTENT, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	       TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(PLACE("kernel")), &p.pub,
	       &p.priv);
	EXPECT(CKR_TEMPLATE_INCONSISTENT, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	       TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), PLACE("process")), NULL, 0, &p.pub,
	       &p.priv);
	cr_assert(find(h.session, NULL, 0, NULL) == before);
	p = ec_pair(h.session, false, "ec");
	cr_assert(is_place(p.priv, is_kind(&kind_tpm) ? "tpm" : "process"));
}

Test(templates, place_is_a_word_and_stays)
{
	CK_OBJECT_HANDLE o, copy;

	is(refused(TEMPLATE(SECRET, PLACE("moon"))), CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, PLACE(""))), CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(SECRET, A_BYTES(CKA_SIGNET_PLACE, "tpm", 4))), CKR_ATTRIBUTE_VALUE_INVALID);
	is(refused(TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), PLACE("process"))), CKR_TEMPLATE_INCONSISTENT);
	is(create(TEMPLATE(SECRET, PLACE("process")), &o), CKR_OK);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_SetAttributeValue, h.session, o, TEMPLATE(PLACE("kernel")));
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(PLACE("kernel")), &copy);
	OK(C_CopyObject, h.session, o, TEMPLATE(PLACE("process")), &copy);
	cr_assert(is_place(copy, "process"));
}

/* ---- copies ---- */

static const uint8_t digest[32] = "a digest of thirty-two bytes...";

static void expect_signs(CK_OBJECT_HANDLE priv, CK_OBJECT_HANDLE pub)
{
	uint8_t sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), priv);
	OK(C_Sign, h.session, (uint8_t *)(uintptr_t)digest, sizeof digest, sig, &n);
	OK(C_VerifyInit, h.session, MECH(CKM_ECDSA), pub);
	OK(C_Verify, h.session, (uint8_t *)(uintptr_t)digest, sizeof digest, sig, n);
}

/* The private key there and back; each copy works, also when the others are gone. */
static void copies_sign(bool token)
{
	struct pair p = ec_pair(h.session, token, "ec");
	CK_OBJECT_HANDLE there, back;

	OK(C_CopyObject, h.session, p.priv, TEMPLATE(A_BOOL(CKA_TOKEN, !token), A_TEXT(CKA_LABEL, "there")), &there);
	cr_assert(attribute_bool(h.session, there, CKA_TOKEN) == !token);
	expect_signs(there, p.pub);
	OK(C_CopyObject, h.session, there, TEMPLATE(A_BOOL(CKA_TOKEN, token), A_TEXT(CKA_LABEL, "back")), &back);
	cr_assert(attribute_bool(h.session, back, CKA_TOKEN) == token);
	OK(C_DestroyObject, h.session, p.priv);
	OK(C_DestroyObject, h.session, there);
	expect_signs(back, p.pub);
	cr_assert(attribute_bool(h.session, back, CKA_LOCAL) && attribute_bool(h.session, back, CKA_NEVER_EXTRACTABLE));
	cr_assert(attribute_ulong(h.session, back, CKA_KEY_GEN_MECHANISM) == CKM_EC_KEY_PAIR_GEN);
}

Test(templates, copies_of_a_session_key)
{
	copies_sign(false);
}

Test(templates, copies_of_a_token_key)
{
	copies_sign(true);
}

Test(templates, T077_what_a_copy_may_change)
{
	CK_OBJECT_HANDLE o = data_object(h.session, false, false, "one"), copy;

	OK(C_CopyObject, h.session, o,
	   TEMPLATE(A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, true), A_BOOL(CKA_MODIFIABLE, false),
		    A_BOOL(CKA_COPYABLE, false), A_BOOL(CKA_DESTROYABLE, true), A_TEXT(CKA_LABEL, "two")), &copy);
	cr_assert(attribute_bool(h.session, copy, CKA_TOKEN) && attribute_bool(h.session, copy, CKA_PRIVATE));
	EXPECT(CKR_ACTION_PROHIBITED, C_SetAttributeValue, h.session, copy, TEMPLATE(A_TEXT(CKA_LABEL, "three")));
	EXPECT(CKR_ACTION_PROHIBITED, C_CopyObject, h.session, copy, NULL, 0, &o);
	OK(C_DestroyObject, h.session, copy);
	o = data_object(h.session, false, true, "one");
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_PRIVATE, false)), &copy);
	EXPECT_IN((CKR_ATTRIBUTE_READ_ONLY, CKR_TEMPLATE_INCONSISTENT), C_CopyObject, h.session, o,
		  TEMPLATE(A_ULONG(CKA_CLASS, CKO_CERTIFICATE)), &copy);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(A_TEXT(CKA_UNIQUE_ID, "mine")), &copy);
}

/* What can't be destroyed has a copy that can be, and the other way round. */
Test(templates, T079_destroyable_is_each_ones_own)
{
	CK_OBJECT_HANDLE o, copy;

	is(create(TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_DESTROYABLE, false)), &o), CKR_OK);
	OK(C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_DESTROYABLE, true)), &copy);
	OK(C_DestroyObject, h.session, copy);
	EXPECT(CKR_ACTION_PROHIBITED, C_DestroyObject, h.session, o);
	OK(C_CopyObject, h.session, o, NULL, 0, &copy);
	EXPECT(CKR_ACTION_PROHIBITED, C_DestroyObject, h.session, copy);
}

Test(templates, T088_trust_of_copies)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE, copy;

	OK(C_Logout, h.session);
	is(login(h.session, CKU_SO, SO_PIN), CKR_OK);
	is(create(TEMPLATE(A_ULONG(CKA_CLASS, CKO_CERTIFICATE), A_ULONG(CKA_CERTIFICATE_TYPE, CKC_X_509),
			   A_TEXT(CKA_SUBJECT, "0\x00"), A_TEXT(CKA_VALUE, "0\x03\x02\x01\x01"),
			   A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_TRUSTED, true)), &o), CKR_OK);
	OK(C_Logout, h.session);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_BOOL(CKA_TRUSTED, true)), &o) == 1);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_SetAttributeValue, h.session, o, TEMPLATE(A_TEXT(CKA_ISSUER, "0\x00")));
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(A_TEXT(CKA_ISSUER, "0\x00")), &copy);
	OK(C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_TOKEN, false)), &copy);
	cr_assert(attribute_bool(h.session, copy, CKA_TRUSTED));
}

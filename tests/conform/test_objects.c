/* Objects and their attributes (4.1 to 4.11, 5.7; T072 to T108), except keys that are generated. */
#include "harness.h"

TestSuite(objects, .init = session_up, .fini = harness_down, .timeout = 60);

#define DATA A_ULONG(CKA_CLASS, CKO_DATA)
#define SECRET A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET)

static const uint8_t secret_value[16] = "sixteen secrets";

static CK_RV create(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
	*ret = CK_INVALID_HANDLE;
	CK_RV rv = CALL(C_CreateObject, s, t, n, ret);
	cr_assert(rv == CKR_OK || *ret == CK_INVALID_HANDLE, "an output was written by a call that failed");
	return rv;
}

static CK_RV set(CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
	return CALL(C_SetAttributeValue, h.session, o, t, n);
}

static CK_OBJECT_HANDLE secret(bool token, bool sensitive, bool extractable)
{
	CK_OBJECT_HANDLE o;

	is(create(h.session,
		  TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, sizeof secret_value), A_BOOL(CKA_TOKEN, token),
			   A_BOOL(CKA_SENSITIVE, sensitive), A_BOOL(CKA_EXTRACTABLE, extractable)),
		  &o), CKR_OK);
	return o;
}

/* ---- who may do what (T072 to T074) ---- */

Test(objects, T072_T073_read_only_session)
{
	CK_OBJECT_HANDLE o;
	CK_OBJECT_HANDLE token = data_object(h.session, true, false, "token");
	CK_OBJECT_HANDLE session = data_object(h.session, false, false, "session");
	CK_SESSION_HANDLE ro = open_session(RO);

	is(create(ro, TEMPLATE(DATA, A_BOOL(CKA_TOKEN, true)), &o), CKR_SESSION_READ_ONLY);
	is(create(ro, TEMPLATE(DATA, A_BOOL(CKA_TOKEN, false)), &o), CKR_OK);
	is(create(ro, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, true)), &o), CKR_OK);
	EXPECT(CKR_SESSION_READ_ONLY, C_SetAttributeValue, ro, token, TEMPLATE(A_TEXT(CKA_LABEL, "new")));
	EXPECT(CKR_SESSION_READ_ONLY, C_DestroyObject, ro, token);
	EXPECT(CKR_SESSION_READ_ONLY, C_CopyObject, ro, session, TEMPLATE(A_BOOL(CKA_TOKEN, true)), &o);
	OK(C_SetAttributeValue, ro, session, TEMPLATE(A_TEXT(CKA_LABEL, "new")));
	OK(C_CopyObject, ro, token, TEMPLATE(A_BOOL(CKA_TOKEN, false)), &o);
	OK(C_DestroyObject, ro, session);
}

Test(objects, T074_private_without_the_user)
{
	CK_OBJECT_HANDLE o;

	OK(C_Logout, h.session);
	is(create(h.session, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, true)), &o), CKR_USER_NOT_LOGGED_IN);
	is(create(h.session, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, true), A_BOOL(CKA_TOKEN, true)), &o),
	   CKR_USER_NOT_LOGGED_IN);
	is(create(h.session, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, false), A_BOOL(CKA_TOKEN, true)), &o), CKR_OK);
	is(login(h.session, CKU_SO, SO_PIN), CKR_OK);
	CK_RV rv = create(h.session, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, true)), &o);
	cr_assert(rv == CKR_USER_NOT_LOGGED_IN || rv == CKR_TEMPLATE_INCONSISTENT, "%s", rv_name(rv));
	is(create(h.session, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, false), A_BOOL(CKA_TOKEN, true)), &o), CKR_OK);
}

Test(objects, T074_private_in_a_read_only_public_session)
{
	CK_OBJECT_HANDLE o;

	OK(C_CloseAllSessions, h.slot);
	CK_SESSION_HANDLE ro = open_session(RO);
	is(create(ro, TEMPLATE(DATA, A_BOOL(CKA_PRIVATE, true)), &o), CKR_USER_NOT_LOGGED_IN);
}

/* ---- defaults and what changes (T076 to T080) ---- */

Test(objects, T076_T099_defaults_of_data)
{
	CK_OBJECT_HANDLE o;
	char buf[8];

	is(create(h.session, TEMPLATE(DATA), &o), CKR_OK);
	cr_assert(!attribute_bool(h.session, o, CKA_TOKEN));
	cr_assert(attribute_bool(h.session, o, CKA_MODIFIABLE));
	cr_assert(attribute_bool(h.session, o, CKA_COPYABLE));
	cr_assert(attribute_bool(h.session, o, CKA_DESTROYABLE));
	attribute_bool(h.session, o, CKA_PRIVATE);
	cr_assert(attribute(h.session, o, CKA_LABEL, buf, sizeof buf) == 0);
	cr_assert(attribute(h.session, o, CKA_APPLICATION, buf, sizeof buf) == 0);
	cr_assert(attribute(h.session, o, CKA_OBJECT_ID, buf, sizeof buf) == 0);
	cr_assert(attribute(h.session, o, CKA_VALUE, buf, sizeof buf) == 0);
}

Test(objects, T077_fixed_after_creation)
{
	CK_OBJECT_HANDLE o = data_object(h.session, true, false, "one");

	is(set(o, TEMPLATE(A_BOOL(CKA_TOKEN, false))), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_BOOL(CKA_PRIVATE, true))), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_BOOL(CKA_MODIFIABLE, false))), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_BOOL(CKA_DESTROYABLE, false))), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_ULONG(CKA_CLASS, CKO_CERTIFICATE))), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_TEXT(CKA_LABEL, "two"))), CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "two")), NULL) == 1);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")), NULL) == 0);
}

Test(objects, T078_T079_T080_prohibited)
{
	CK_OBJECT_HANDLE o, c;

	is(create(h.session, TEMPLATE(DATA, A_BOOL(CKA_COPYABLE, false), A_BOOL(CKA_DESTROYABLE, false),
				      A_BOOL(CKA_MODIFIABLE, false), A_TEXT(CKA_LABEL, "fixed")), &o), CKR_OK);
	EXPECT(CKR_ACTION_PROHIBITED, C_CopyObject, h.session, o, NULL, 0, &c);
	EXPECT(CKR_ACTION_PROHIBITED, C_DestroyObject, h.session, o);
	is(set(o, TEMPLATE(A_TEXT(CKA_LABEL, "new"))), CKR_ACTION_PROHIBITED);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "fixed")), NULL) == 1);
}

Test(objects, T077_copyable_never_comes_back)
{
	CK_OBJECT_HANDLE o = data_object(h.session, false, false, "one");

	/* Table 4.4 lets it be read as "at creation only" or as a latch. */
	CK_RV rv = set(o, TEMPLATE(A_BOOL(CKA_COPYABLE, false)));
	cr_assert(rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_OK, "%s", rv_name(rv));
	is(create(h.session, TEMPLATE(DATA, A_BOOL(CKA_COPYABLE, false)), &o), CKR_OK);
	is(set(o, TEMPLATE(A_BOOL(CKA_COPYABLE, true))), CKR_ATTRIBUTE_READ_ONLY);
}

/* ---- templates (T081 to T086, T102) ---- */

Test(objects, T081_unknown_attribute)
{
	CK_OBJECT_HANDLE o;

	is(create(h.session, TEMPLATE(DATA, A_ULONG(0x7ffffff0, 1)), &o), CKR_ATTRIBUTE_TYPE_INVALID);
	CK_RV rv = create(h.session, TEMPLATE(DATA, A_ULONG(CKA_MODULUS_BITS, 2048)), &o);
	cr_assert(rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_ATTRIBUTE_TYPE_INVALID, "%s", rv_name(rv));
	o = data_object(h.session, false, false, "one");
	rv = set(o, TEMPLATE(A_ULONG(0x7ffffff0, 1)));
	cr_assert(rv == CKR_ATTRIBUTE_TYPE_INVALID, "%s", rv_name(rv));
}

Test(objects, T082_illegal_values)
{
	uint8_t two[sizeof(CK_ULONG)] = {1, 0};
	CK_OBJECT_HANDLE o;
	CK_ATTRIBUTE bad[] = {
		{CKA_TOKEN, two, 2}, {CKA_TOKEN, two, 0}, {CKA_TOKEN, NULL, 0}, {CKA_TOKEN, two, ~0ul},
		{CKA_LABEL, two, ~0ul}, {CKA_PRIVATE, two, sizeof(CK_ULONG)},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CK_ATTRIBUTE t[] = {DATA, bad[i]};
		is(create(h.session, t, 2, &o), CKR_ATTRIBUTE_VALUE_INVALID);
	}
	CK_ATTRIBUTE class = {CKA_CLASS, two, 2};
	is(create(h.session, &class, 1, &o), CKR_ATTRIBUTE_VALUE_INVALID);
	CK_RV rv = create(h.session, TEMPLATE(A_ULONG(CKA_CLASS, 0x4711)), &o);
	cr_assert(rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_TEMPLATE_INCONSISTENT, "%s", rv_name(rv));
	o = data_object(h.session, false, false, "one");
	CK_RV rv2 = set(o, &(CK_ATTRIBUTE){CKA_LABEL, two, ~0ul}, 1);
	cr_assert(rv2 == CKR_ATTRIBUTE_VALUE_INVALID, "%s", rv_name(rv2));
}

Test(objects, T082_null_value_with_a_length)
{
	CK_OBJECT_HANDLE o;

	CK_RV rv = create(h.session, (CK_ATTRIBUTE[]){DATA, {CKA_LABEL, NULL, 5}}, 2, &o);
	cr_assert(rv == CKR_ARGUMENTS_BAD || rv == CKR_ATTRIBUTE_VALUE_INVALID, "%s", rv_name(rv));
}

Test(objects, T083_not_the_applications_to_set)
{
	static const CK_ATTRIBUTE_TYPE own[] = {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE};
	CK_OBJECT_HANDLE o;

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		is(create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16), A_BOOL(own[i], true)), &o),
		   CKR_ATTRIBUTE_READ_ONLY);
		o = secret(false, false, true);
		is(set(o, TEMPLATE(A_BOOL(own[i], true))), CKR_ATTRIBUTE_READ_ONLY);
	}
	is(create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16),
				      A_ULONG(CKA_KEY_GEN_MECHANISM, CKM_AES_KEY_GEN)), &o), CKR_ATTRIBUTE_READ_ONLY);
}

Test(objects, T084_missing)
{
	CK_OBJECT_HANDLE o;

	is(create(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "classless")), &o), CKR_TEMPLATE_INCOMPLETE);
	is(create(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY)), &o), CKR_TEMPLATE_INCOMPLETE);
	is(create(h.session, TEMPLATE(SECRET), &o), CKR_TEMPLATE_INCOMPLETE);
	is(create(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA)), &o),
	   CKR_TEMPLATE_INCOMPLETE);
	is(create(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_CERTIFICATE)), &o), CKR_TEMPLATE_INCOMPLETE);
}

Test(objects, T085_twice)
{
	CK_OBJECT_HANDLE o;

	is(create(h.session, TEMPLATE(DATA, A_TEXT(CKA_LABEL, "a"), A_TEXT(CKA_LABEL, "b")), &o),
	   CKR_TEMPLATE_INCONSISTENT);
	is(create(h.session, TEMPLATE(DATA, A_TEXT(CKA_LABEL, "a"), A_TEXT(CKA_LABEL, "a")), &o), CKR_OK);
}

Test(objects, T086_all_or_nothing)
{
	CK_OBJECT_HANDLE o = data_object(h.session, true, false, "one");

	is(set(o, TEMPLATE(A_TEXT(CKA_LABEL, "two"), A_BOOL(CKA_TOKEN, false))), CKR_ATTRIBUTE_READ_ONLY);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")), NULL) == 1);
	is(set(o, TEMPLATE(A_TEXT(CKA_LABEL, "two"), A_TEXT(CKA_LABEL, "three"))), CKR_TEMPLATE_INCONSISTENT);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")), NULL) == 1);
}

Test(objects, T099_value_of_data_changes)
{
	CK_OBJECT_HANDLE o = data_object(h.session, true, false, "one"), copy;
	char buf[16];

	is(set(o, TEMPLATE(A_TEXT(CKA_VALUE, "new"))), CKR_OK);
	cr_assert(attribute(h.session, o, CKA_VALUE, buf, sizeof buf) == 3);
	OK(C_CopyObject, h.session, o, TEMPLATE(A_TEXT(CKA_VALUE, "copied")), &copy);
	cr_assert(attribute(h.session, copy, CKA_VALUE, buf, sizeof buf) == 6);
	cr_assert(attribute(h.session, o, CKA_VALUE, buf, sizeof buf) == 3);
}

/* ---- sensitivity (T087 to T093) ---- */

Test(objects, T087_latches)
{
	CK_OBJECT_HANDLE copy, o = secret(true, false, true);

	is(set(o, TEMPLATE(A_BOOL(CKA_SENSITIVE, true))), CKR_OK);
	is(set(o, TEMPLATE(A_BOOL(CKA_SENSITIVE, false))), CKR_ATTRIBUTE_READ_ONLY);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_SENSITIVE, false)), &copy);
	is(set(o, TEMPLATE(A_BOOL(CKA_EXTRACTABLE, false))), CKR_OK);
	is(set(o, TEMPLATE(A_BOOL(CKA_EXTRACTABLE, true))), CKR_ATTRIBUTE_READ_ONLY);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_EXTRACTABLE, true)), &copy);
	is(set(o, TEMPLATE(A_BOOL(CKA_WRAP_WITH_TRUSTED, true))), CKR_OK);
	is(set(o, TEMPLATE(A_BOOL(CKA_WRAP_WITH_TRUSTED, false))), CKR_ATTRIBUTE_READ_ONLY);
}

Test(objects, T088_trusted_is_for_the_so)
{
	CK_OBJECT_HANDLE o;

	CK_RV rv = create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16), A_BOOL(CKA_TRUSTED, true)),
			  &o);
	cr_assert(rv == CKR_ATTRIBUTE_READ_ONLY, "%s", rv_name(rv));
	is(create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16), A_BOOL(CKA_TRUSTED, false)), &o),
	   CKR_OK);
}

Test(objects, T089_sensitive_values)
{
	uint8_t buf[32];

	for (int i = 1; i < 4; i++) {
		CK_OBJECT_HANDLE o = secret(false, i & 1, !(i & 2));
		CK_ATTRIBUTE value = {CKA_VALUE, NULL, 0};
		EXPECT(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue, h.session, o, &value, 1);
		cr_assert(value.ulValueLen == CK_UNAVAILABLE_INFORMATION);
		value = (CK_ATTRIBUTE){CKA_VALUE, buf, sizeof buf};
		memset(buf, 0x5a, sizeof buf);
		EXPECT(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue, h.session, o, &value, 1);
		cr_assert(value.ulValueLen == CK_UNAVAILABLE_INFORMATION);
		for (size_t b = 0; b < sizeof buf; b++)
			cr_assert(buf[b] == 0x5a);
	}
	CK_OBJECT_HANDLE open = secret(false, false, true);
	cr_assert(attribute(h.session, open, CKA_VALUE, buf, sizeof buf) == 16);
	cr_assert_arr_eq(buf, secret_value, 16);
}

Test(objects, T090_T092_T093_created_keys)
{
	CK_OBJECT_HANDLE o = secret(false, true, false);

	cr_assert(!attribute_bool(h.session, o, CKA_ALWAYS_SENSITIVE));
	cr_assert(!attribute_bool(h.session, o, CKA_NEVER_EXTRACTABLE));
	cr_assert(!attribute_bool(h.session, o, CKA_LOCAL));
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_GEN_MECHANISM) == CK_UNAVAILABLE_INFORMATION);
	cr_assert(attribute_ulong(h.session, o, CKA_VALUE_LEN) == 16);
}

Test(objects, T091_copies_keep_history)
{
	CK_OBJECT_HANDLE copy, o;

	OK(C_GenerateKey, h.session, MECH(CKM_GENERIC_SECRET_KEY_GEN),
	   TEMPLATE(A_ULONG(CKA_VALUE_LEN, 16), A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true)), &o);
	OK(C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_SENSITIVE, true), A_BOOL(CKA_EXTRACTABLE, false)), &copy);
	cr_assert(attribute_bool(h.session, copy, CKA_SENSITIVE) && !attribute_bool(h.session, copy, CKA_EXTRACTABLE));
	cr_assert(!attribute_bool(h.session, copy, CKA_ALWAYS_SENSITIVE));
	cr_assert(!attribute_bool(h.session, copy, CKA_NEVER_EXTRACTABLE));
	cr_assert(attribute_bool(h.session, copy, CKA_LOCAL));
	cr_assert(attribute_ulong(h.session, copy, CKA_KEY_GEN_MECHANISM) == CKM_GENERIC_SECRET_KEY_GEN);
}

/* ---- CKA_UNIQUE_ID (T097) ---- */

Test(objects, T097_unique_id)
{
	char id[2][64];
	CK_OBJECT_HANDLE o = data_object(h.session, true, false, "one"), copy, bad;

	CK_ULONG n = attribute(h.session, o, CKA_UNIQUE_ID, id[0], sizeof id[0]);
	cr_assert(n > 0);
	OK(C_CopyObject, h.session, o, NULL, 0, &copy);
	CK_ULONG m = attribute(h.session, copy, CKA_UNIQUE_ID, id[1], sizeof id[1]);
	cr_assert(n != m || memcmp(id[0], id[1], n) != 0);
	cr_assert(find(h.session, TEMPLATE(A_BYTES(CKA_UNIQUE_ID, id[0], n)), NULL) == 1);
	is(create(h.session, TEMPLATE(DATA, A_TEXT(CKA_UNIQUE_ID, "mine")), &bad), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_TEXT(CKA_UNIQUE_ID, "mine"))), CKR_ATTRIBUTE_READ_ONLY);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_CopyObject, h.session, o, TEMPLATE(A_TEXT(CKA_UNIQUE_ID, "mine")), &bad);
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RO);
	cr_assert(find(s, TEMPLATE(A_BYTES(CKA_UNIQUE_ID, id[0], n), A_TEXT(CKA_LABEL, "one")), NULL) == 1);
}

/* ---- certificates (T098, T104) ---- */

#define CERTIFICATE A_ULONG(CKA_CLASS, CKO_CERTIFICATE), A_ULONG(CKA_CERTIFICATE_TYPE, CKC_X_509)

Test(objects, T098_certificates)
{
	CK_OBJECT_HANDLE o;
	char buf[32];

	CK_RV rv = create(h.session, TEMPLATE(CERTIFICATE, A_TEXT(CKA_VALUE, "0\x03\x02\x01\x01")), &o);
	cr_assert(rv == CKR_TEMPLATE_INCOMPLETE, "%s", rv_name(rv));
	is(create(h.session, TEMPLATE(CERTIFICATE, A_TEXT(CKA_SUBJECT, "0\x00"), A_TEXT(CKA_VALUE, "0\x03\x02\x01\x01"),
				      A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_ID, "id")), &o), CKR_OK);
	cr_assert(!attribute_bool(h.session, o, CKA_PRIVATE));
	cr_assert(!attribute_bool(h.session, o, CKA_TRUSTED));
	cr_assert(attribute_ulong(h.session, o, CKA_CERTIFICATE_CATEGORY) == 0);
	cr_assert(attribute(h.session, o, CKA_START_DATE, buf, sizeof buf) == 0);
	is(set(o, TEMPLATE(A_TEXT(CKA_ID, "new id"))), CKR_OK);
	is(set(o, TEMPLATE(A_TEXT(CKA_ISSUER, "0\x00"))), CKR_OK);
	is(set(o, TEMPLATE(A_TEXT(CKA_SERIAL_NUMBER, "\x02\x01\x05"))), CKR_OK);
	is(set(o, TEMPLATE(A_TEXT(CKA_VALUE, "0\x03\x02\x01\x02"))), CKR_ATTRIBUTE_READ_ONLY);
	is(set(o, TEMPLATE(A_ULONG(CKA_CERTIFICATE_TYPE, CKC_X_509_ATTR_CERT))), CKR_ATTRIBUTE_READ_ONLY);
	/* Readable and findable without login (Profiles, public certificates token). */
	OK(C_Logout, h.session);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_CERTIFICATE), A_TEXT(CKA_ID, "new id")), &o) == 1);
	cr_assert(attribute(h.session, o, CKA_VALUE, buf, sizeof buf) == 5);
}

/* ---- C_GetAttributeValue (T105, T106) ---- */

Test(objects, T105_every_entry_is_processed)
{
	CK_OBJECT_HANDLE o = secret(false, true, true);
	uint8_t value[16], label[4];
	CK_ULONG class, type;
	CK_ATTRIBUTE t[] = {
		{CKA_CLASS, &class, sizeof class}, {CKA_VALUE, value, sizeof value}, {CKA_MODULUS, value, sizeof value},
		{CKA_LABEL, label, sizeof label}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_VALUE_LEN, label, 2},
	};

	OK(C_SetAttributeValue, h.session, o, TEMPLATE(A_TEXT(CKA_LABEL, "abc")));
	EXPECT_IN((CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL), C_GetAttributeValue,
		  h.session, o, t, ARRAY_LEN(t));
	cr_assert(t[0].ulValueLen == sizeof class && class == CKO_SECRET_KEY);
	cr_assert(t[1].ulValueLen == CK_UNAVAILABLE_INFORMATION);
	cr_assert(t[2].ulValueLen == CK_UNAVAILABLE_INFORMATION);
	cr_assert(t[3].ulValueLen == 3 && memcmp(label, "abc", 3) == 0);
	cr_assert(t[4].ulValueLen == sizeof type && type == CKK_GENERIC_SECRET);
	cr_assert(t[5].ulValueLen == CK_UNAVAILABLE_INFORMATION);
}

Test(objects, T105_one_reason)
{
	CK_OBJECT_HANDLE o = data_object(h.session, false, false, "label");
	char buf[4];
	CK_ATTRIBUTE a = {CKA_LABEL, buf, 4};

	EXPECT(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == CK_UNAVAILABLE_INFORMATION);
	a = (CK_ATTRIBUTE){CKA_LABEL, NULL, 4711};
	OK(C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == 5);
	a = (CK_ATTRIBUTE){CKA_MODULUS, buf, 4};
	EXPECT(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue, h.session, o, &a, 1);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetAttributeValue, h.session, o, NULL, 1);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, h.session, 0, &a, 1);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, h.session, o + 4711, &a, 1);
}

Test(objects, T105_usage_booleans_exist)
{
	static const CK_ATTRIBUTE_TYPE of_secret[] = {
		CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_EXTRACTABLE,
		CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_TRUSTED, CKA_DERIVE, CKA_LOCAL,
		CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE};
	CK_OBJECT_HANDLE o = secret(false, false, true);

	for (size_t i = 0; i < ARRAY_LEN(of_secret); i++)
		attribute_bool(h.session, o, of_secret[i]);
}

Test(objects, T108_object_size)
{
	CK_OBJECT_HANDLE o = data_object(h.session, true, false, "one");
	CK_ULONG n = 0;

	CK_RV rv = CALL(C_GetObjectSize, h.session, o, &n);
	cr_assert(rv == CKR_INFORMATION_SENSITIVE || (rv == CKR_OK && n > 0), "%s", rv_name(rv));
	EXPECT(CKR_ARGUMENTS_BAD, C_GetObjectSize, h.session, o, NULL);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetObjectSize, h.session, o + 4711, &n);
}

/* ---- check values (T100) ---- */

Test(objects, T100_check_value)
{
	/* SHA-1 of "sixteen secrets" and a NUL begins so. */
	static const uint8_t wrong[3] = {1, 2, 3};
	CK_OBJECT_HANDLE o = secret(false, false, true);
	uint8_t buf[8];
	CK_ATTRIBUTE a = {CKA_CHECK_VALUE, buf, sizeof buf};

	CK_RV rv = CALL(C_GetAttributeValue, h.session, o, &a, 1);
	if (rv == CKR_ATTRIBUTE_TYPE_INVALID)
		cr_skip_test("no CKA_CHECK_VALUE here");
	cr_assert(rv == CKR_OK && a.ulValueLen == 3);
	is(create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16), A_BYTES(CKA_CHECK_VALUE, buf, 3)),
		  &o), CKR_OK);
	is(create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16), A_BYTES(CKA_CHECK_VALUE, wrong, 3)),
		  &o), CKR_ATTRIBUTE_VALUE_INVALID);
	is(create(h.session, TEMPLATE(SECRET, A_BYTES(CKA_VALUE, secret_value, 16), A_NULL(CKA_CHECK_VALUE)), &o),
	   CKR_OK);
}

/* ---- token objects ---- */

Test(objects, token_objects_outlive_the_library)
{
	char buf[16];
	CK_OBJECT_HANDLE o;

	data_object(h.session, true, false, "public");
	data_object(h.session, true, true, "private");
	data_object(h.session, false, false, "session");
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 1);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 2);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "private")), &o) == 1);
	cr_assert(attribute(s, o, CKA_VALUE, buf, sizeof buf) == 7 && memcmp(buf, "content", 7) == 0);
	OK(C_DestroyObject, s, o);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "private")), NULL) == 0);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject, s, o);
}

Test(objects, copies_between_session_and_token)
{
	CK_OBJECT_HANDLE token, back, o = data_object(h.session, false, false, "one");

	OK(C_CopyObject, h.session, o, TEMPLATE(A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "kept")), &token);
	cr_assert(attribute_bool(h.session, token, CKA_TOKEN) && !attribute_bool(h.session, o, CKA_TOKEN));
	OK(C_CopyObject, h.session, token, TEMPLATE(A_BOOL(CKA_TOKEN, false), A_BOOL(CKA_PRIVATE, true)), &back);
	cr_assert(!attribute_bool(h.session, back, CKA_TOKEN) && attribute_bool(h.session, back, CKA_PRIVATE));
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "kept")), NULL) == 2);
}

Test(objects, public_keys_are_checked)
{
	static const uint8_t point[67] = {0x04, 0x41, 0x04, 1, 2, 3};
	static const uint8_t no_curve[] = {0x06, 0x01, 0x2a};
	CK_OBJECT_HANDLE o;

	CK_RV rv = create(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
					      A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params),
					      A_BYTES(CKA_EC_POINT, point, sizeof point)), &o);
	cr_assert(rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_TEMPLATE_INCONSISTENT, "%s", rv_name(rv));
	rv = create(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
					A_BYTES(CKA_EC_PARAMS, no_curve, sizeof no_curve),
					A_BYTES(CKA_EC_POINT, point, sizeof point)), &o);
	cr_assert(rv == CKR_CURVE_NOT_SUPPORTED || rv == CKR_DOMAIN_PARAMS_INVALID ||
		  rv == CKR_ATTRIBUTE_VALUE_INVALID, "%s", rv_name(rv));
}

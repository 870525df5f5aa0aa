/* module/object.c, search.c and the C_ functions over them: handles, visibility, snapshots, changes. */
#include "front.h"
#include "object.h"
#include "session.h"

TestSuite(object, .init = front_up, .fini = front_down);

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
#define BOOL(t, v)                                                                                                     \
	{                                                                                                              \
		(t), (v) ? &yes : &no, sizeof(CK_BBOOL)                                                                \
	}
#define NUMBER(t, v)                                                                                                   \
	{                                                                                                              \
		(t), &(CK_ULONG){(v)}, sizeof(CK_ULONG)                                                                \
	}
#define TEXT(t, s)                                                                                                     \
	{                                                                                                              \
		(t), (void *)("" s), sizeof(s) - 1                                                                     \
	}
#define LIST(...) (CK_ATTRIBUTE[]){__VA_ARGS__}, ARRAY_LEN(((CK_ATTRIBUTE[]){__VA_ARGS__}))
#define MECH(t)   (&(CK_MECHANISM){(t), NULL, 0})

static CK_SESSION_HANDLE user_session(void)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = front_session(RW);
	EXPECT(CKR_OK, front_login(s, CKU_USER, "user-pin"));
	return s;
}

static CK_OBJECT_HANDLE data(CK_SESSION_HANDLE s, bool token, bool private, const char *label)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	EXPECT(CKR_OK, C_CreateObject(s,
				      LIST(NUMBER(CKA_CLASS, CKO_DATA), BOOL(CKA_TOKEN, token),
					   BOOL(CKA_PRIVATE, private), {CKA_LABEL, (void *)label, strlen(label)}),
				      &o));
	return o;
}

static CK_OBJECT_HANDLE hmac(CK_SESSION_HANDLE s, bool token, bool sensitive)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	EXPECT(CKR_OK, C_CreateObject(s,
				      LIST(NUMBER(CKA_CLASS, CKO_SECRET_KEY), NUMBER(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
					   TEXT(CKA_VALUE, "a secret"), BOOL(CKA_TOKEN, token),
					   BOOL(CKA_SENSITIVE, sensitive), BOOL(CKA_EXTRACTABLE, !sensitive)),
				      &o));
	return o;
}

static CK_ULONG count(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n)
{
	CK_OBJECT_HANDLE o[8];
	CK_ULONG got = 0, total = 0;

	EXPECT(CKR_OK, C_FindObjectsInit(s, t, n));
	do {
		EXPECT(CKR_OK, C_FindObjects(s, o, ARRAY_LEN(o), &got));
		total += got;
	} while (got);
	EXPECT(CKR_OK, C_FindObjectsFinal(s));
	return total;
}

static bool is_label(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, const char *label)
{
	char buf[64];
	CK_ATTRIBUTE a = {CKA_LABEL, buf, sizeof buf};

	EXPECT(CKR_OK, C_GetAttributeValue(s, o, &a, 1));
	return bytes_equal(BYTES(buf, a.ulValueLen), BYTES(label, strlen(label)));
}

Test(object, profiles_are_found_without_login)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = front_session(RO);
	cr_expect_eq(count(s, LIST(NUMBER(CKA_CLASS, CKO_PROFILE))), 3);
	cr_expect_eq(count(s, LIST(NUMBER(CKA_CLASS, CKO_PROFILE), NUMBER(CKA_PROFILE_ID, CKP_BASELINE_PROVIDER))), 1);
	cr_expect_eq(count(s, LIST(BOOL(CKA_TOKEN, true))), 0);
}

Test(object, profiles_stay_as_they_are)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE o = 0, copy;
	CK_ATTRIBUTE id = TEXT(CKA_UNIQUE_ID, "");
	CK_ULONG n;

	EXPECT(CKR_OK, C_FindObjectsInit(s, LIST(NUMBER(CKA_CLASS, CKO_PROFILE))));
	EXPECT(CKR_OK, C_FindObjects(s, &o, 1, &n));
	EXPECT(CKR_OK, C_FindObjectsFinal(s));
	EXPECT(CKR_ACTION_PROHIBITED, C_SetAttributeValue(s, o, LIST(TEXT(CKA_LABEL, "x"))));
	EXPECT(CKR_ACTION_PROHIBITED, C_CopyObject(s, o, NULL, 0, &copy));
	EXPECT(CKR_ACTION_PROHIBITED, C_DestroyObject(s, o));
	EXPECT(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue(s, o, &id, 1));
	EXPECT(CKR_OK, C_GetObjectSize(s, o, &n));
}

Test(object, handles_are_never_given_twice)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE last = 0;

	for (size_t i = 0; i < 100; i++) {
		CK_OBJECT_HANDLE o = data(s, i % 2, i % 3, "x");

		cr_assert(o > last);
		last = o;
		if (i % 5)
			EXPECT(CKR_OK, C_DestroyObject(s, o));
	}
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject(s, last));
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject(s, 0));
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject(s, (CK_OBJECT_HANDLE)-1));
	cr_expect_eq(count(s, LIST(NUMBER(CKA_CLASS, CKO_DATA))), 20);
}

Test(object, logout_takes_private_objects)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE open = data(s, true, false, "x"), secret = data(s, true, true, "x"),
			 mine = data(s, false, true, "x");
	CK_ATTRIBUTE a = {CKA_LABEL, NULL, 0};

	EXPECT(CKR_OK, C_Logout(s));
	EXPECT(CKR_OK, C_GetAttributeValue(s, open, &a, 1));
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue(s, secret, &a, 1));
	cr_expect_eq(count(s, LIST(TEXT(CKA_LABEL, "x"))), 1);
	EXPECT(CKR_OK, front_login(s, CKU_USER, "user-pin"));
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue(s, secret, &a, 1));
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue(s, mine, &a, 1));
	cr_expect_eq(count(s, LIST(TEXT(CKA_LABEL, "x"))), 2);
}

Test(object, a_session_takes_its_objects_along)
{
	CK_SESSION_HANDLE s = user_session(), other = front_session(RO);
	CK_OBJECT_HANDLE o = data(other, false, true, "x");

	EXPECT(CKR_OK, C_SetAttributeValue(s, o, LIST(TEXT(CKA_LABEL, "y"))));
	cr_expect(is_label(s, o, "y"));
	EXPECT(CKR_OK, C_CloseSession(other));
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject(s, o));
}

Test(object, a_search_is_a_snapshot)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE a = data(s, false, true, "x"), b = data(s, true, true, "x"), c = data(s, false, false, "x"),
			 got[4];
	CK_ULONG n = 9;

	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_FindObjects(s, got, 4, &n));
	EXPECT(CKR_OK, C_FindObjectsInit(s, LIST(TEXT(CKA_LABEL, "x"))));
	EXPECT(CKR_OPERATION_ACTIVE, C_FindObjectsInit(s, NULL, 0));
	data(s, false, false, "x");
	EXPECT(CKR_OK, C_DestroyObject(s, b));
	EXPECT(CKR_OK, C_SetAttributeValue(s, c, LIST(TEXT(CKA_LABEL, "z"))));
	EXPECT(CKR_OK, C_FindObjects(s, NULL, 0, &n));
	cr_expect_eq(n, 0);
	EXPECT(CKR_OK, C_FindObjects(s, got, 4, &n));
	cr_assert_eq(n, 2);
	cr_expect(got[0] == a && got[1] == c);
	EXPECT(CKR_OK, C_FindObjects(s, got, 4, &n));
	cr_expect_eq(n, 0);
	EXPECT(CKR_OK, C_FindObjectsFinal(s));
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_FindObjectsFinal(s));
}

Test(object, a_search_is_no_oracle)
{
	CK_SESSION_HANDLE s = user_session();

	hmac(s, false, true);
	cr_expect_eq(count(s, LIST(TEXT(CKA_VALUE, "a secret"))), 0);
	hmac(s, false, false);
	cr_expect_eq(count(s, LIST(TEXT(CKA_VALUE, "a secret"))), 1);
	EXPECT(CKR_ARGUMENTS_BAD, C_FindObjectsInit(s, LIST({CKA_LABEL, NULL, 3})));
	EXPECT(CKR_ATTRIBUTE_VALUE_INVALID, C_FindObjectsInit(s, LIST({CKA_LABEL, NULL, CK_UNAVAILABLE_INFORMATION})));
	EXPECT(CKR_ARGUMENTS_BAD, C_FindObjectsInit(s, NULL, 1));
	cr_expect_eq(count(s, LIST(TEXT(CKA_VENDOR_DEFINED, "x"))), 0);
}

Test(object, what_a_class_lacks_is_no_secret)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE o = data(s, false, false, "x"), key = hmac(s, false, true);
	CK_ATTRIBUTE a = {CKA_PRIVATE_EXPONENT, NULL, 0};

	EXPECT(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue(s, o, &a, 1));
	EXPECT(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue(s, key, &a, 1));
	cr_expect_eq(a.ulValueLen, CK_UNAVAILABLE_INFORMATION);
}

Test(object, reading_goes_through_every_entry)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE o = hmac(s, false, true);
	char small[2], value[16], id[64];
	CK_ULONG class = 0;
	CK_ATTRIBUTE t[] = {
		{CKA_VALUE, NULL, 0},
		{CKA_MODULUS, value, sizeof value},
		{CKA_KEY_TYPE, small, sizeof small},
		{CKA_CLASS, &class, sizeof class},
		{CKA_UNIQUE_ID, id, sizeof id},
		{CKA_LABEL, NULL, 77},
	};

	EXPECT(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue(s, o, t, 6));
	cr_expect_eq(t[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(t[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(t[2].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(t[3].ulValueLen, sizeof class);
	cr_expect_eq(class, CKO_SECRET_KEY);
	cr_expect_eq(t[4].ulValueLen, 32);
	cr_expect_eq(t[5].ulValueLen, 0);
	EXPECT(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue(s, o, &t[1], 1));
	t[2].ulValueLen = sizeof small;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue(s, o, &t[2], 1));
	EXPECT(CKR_OK, C_GetAttributeValue(s, o, NULL, 0));
	EXPECT(CKR_ARGUMENTS_BAD, C_GetAttributeValue(s, o, NULL, 1));
	cr_expect_eq(count(s, LIST({CKA_UNIQUE_ID, id, 32})), 1);
}

static void changes(bool token)
{
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE o = hmac(s, token, false);
	char before[32], after[32], value[8];
	CK_ATTRIBUTE id[] = {{CKA_UNIQUE_ID, before, sizeof before}, {CKA_UNIQUE_ID, after, sizeof after}};
	CK_ATTRIBUTE v = {CKA_VALUE, value, sizeof value};

	EXPECT(CKR_OK, C_GetAttributeValue(s, o, &id[0], 1));
	for (size_t i = 0; i < 3; i++) {
		EXPECT(CKR_OK, C_SetAttributeValue(s, o, LIST(TEXT(CKA_LABEL, "x"), TEXT(CKA_ID, "1"))));
		EXPECT(CKR_OK, C_SetAttributeValue(s, o, LIST(TEXT(CKA_LABEL, "y"))));
	}
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_SetAttributeValue(s, o, LIST(TEXT(CKA_LABEL, "z"), TEXT(CKA_VALUE, "b"))));
	cr_expect(is_label(s, o, "y"));
	EXPECT(CKR_OK, C_GetAttributeValue(s, o, &id[1], 1));
	cr_expect_arr_eq(before, after, sizeof before);
	EXPECT(CKR_OK, C_GetAttributeValue(s, o, &v, 1));
	EXPECT(CKR_OK, C_SetAttributeValue(s, o, LIST(BOOL(CKA_SENSITIVE, true))));
	EXPECT(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue(s, o, &v, 1));
	EXPECT(CKR_OK, C_DestroyObject(s, o));
}

Test(object, session_objects_change)
{
	changes(false);
}

Test(object, token_objects_change)
{
	changes(true);
}

Test(object, forbidden_actions)
{
	CK_SESSION_HANDLE s = user_session(), ro = front_session(RO);
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE, copy, stored = data(s, true, false, "x");

	EXPECT(CKR_OK, C_CreateObject(s,
				      LIST(NUMBER(CKA_CLASS, CKO_DATA), BOOL(CKA_MODIFIABLE, false),
					   BOOL(CKA_COPYABLE, false), BOOL(CKA_DESTROYABLE, false)),
				      &o));
	EXPECT(CKR_ACTION_PROHIBITED, C_SetAttributeValue(s, o, LIST(TEXT(CKA_LABEL, "x"))));
	EXPECT(CKR_ACTION_PROHIBITED, C_CopyObject(s, o, NULL, 0, &copy));
	EXPECT(CKR_ACTION_PROHIBITED, C_DestroyObject(s, o));
	EXPECT(CKR_SESSION_READ_ONLY, C_SetAttributeValue(ro, stored, LIST(TEXT(CKA_LABEL, "y"))));
	EXPECT(CKR_SESSION_READ_ONLY, C_DestroyObject(ro, stored));
	EXPECT(CKR_SESSION_READ_ONLY, C_CopyObject(ro, stored, NULL, 0, &copy));
	EXPECT(CKR_OK, C_CopyObject(ro, stored, LIST(BOOL(CKA_TOKEN, false)), &copy));
	EXPECT(CKR_OK, C_SetAttributeValue(ro, copy, LIST(TEXT(CKA_LABEL, "y"))));
	EXPECT(CKR_OK, C_DestroyObject(ro, copy));
}

static bool is_token(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
	CK_BBOOL token = 9;
	CK_ATTRIBUTE a = {CKA_TOKEN, &token, sizeof token};

	EXPECT(CKR_OK, C_GetAttributeValue(s, o, &a, 1));
	return token == CK_TRUE;
}

static void pair(bool public_token, bool private_token)
{
	static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_SESSION_HANDLE s = user_session();
	CK_OBJECT_HANDLE public = 0, private = 0;

	EXPECT(CKR_OK,
	       C_GenerateKeyPair(s, MECH(CKM_EC_KEY_PAIR_GEN),
				 LIST({CKA_EC_PARAMS, (void *)p256, sizeof p256}, BOOL(CKA_TOKEN, public_token)),
				 LIST(BOOL(CKA_TOKEN, private_token)), &public, &private));
	cr_expect_eq(is_token(s, public), public_token);
	cr_expect_eq(is_token(s, private), private_token);
	cr_expect_eq(count(s, LIST(NUMBER(CKA_KEY_TYPE, CKK_EC))), 2);
	EXPECT(CKR_OK, C_CloseAllSessions(0));
	s = front_session(RW);
	EXPECT(CKR_OK, front_login(s, CKU_USER, "user-pin"));
	cr_expect_eq(count(s, LIST(NUMBER(CKA_KEY_TYPE, CKK_EC))), (CK_ULONG)public_token + private_token);
}

Test(object, pair_in_the_session)
{
	pair(false, false);
}

Test(object, pair_on_the_token)
{
	pair(true, true);
}

Test(object, pair_of_both_kinds)
{
	pair(false, true);
}

Test(object, pair_of_both_kinds_the_other_way)
{
	pair(true, false);
}

Test(object, generation_says_what_is_wrong)
{
	CK_SESSION_HANDLE s = user_session(), ro = front_session(RO);
	CK_OBJECT_HANDLE a, b;

	EXPECT(CKR_TEMPLATE_INCOMPLETE,
	       C_GenerateKeyPair(s, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN), NULL, 0, NULL, 0, &a, &b));
	EXPECT(CKR_ATTRIBUTE_VALUE_INVALID, C_GenerateKeyPair(s, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
							      LIST(NUMBER(CKA_MODULUS_BITS, 8)), NULL, 0, &a, &b));
	EXPECT(CKR_MECHANISM_INVALID, C_GenerateKeyPair(s, MECH(CKM_AES_KEY_GEN), NULL, 0, NULL, 0, &a, &b));
	EXPECT(CKR_MECHANISM_INVALID, C_GenerateKey(s, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN), NULL, 0, &a));
	EXPECT(CKR_ARGUMENTS_BAD, C_GenerateKey(s, NULL, NULL, 0, &a));
	EXPECT(CKR_SESSION_READ_ONLY,
	       C_GenerateKey(ro, MECH(CKM_AES_KEY_GEN), LIST(NUMBER(CKA_VALUE_LEN, 16), BOOL(CKA_TOKEN, true)), &a));
	EXPECT(CKR_OK, C_GenerateKey(ro, MECH(CKM_AES_KEY_GEN), LIST(NUMBER(CKA_VALUE_LEN, 16)), &a));
}

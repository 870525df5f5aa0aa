/* C_FindObjects and the built-in profile objects (5.7.7 to 5.7.9; T109 to T114). */
#include "harness.h"

TestSuite(search, .init = session_up, .fini = harness_down, .timeout = 60);

Test(search, T109_exact_match_on_all)
{
	data_object(h.session, false, false, "one");
	data_object(h.session, true, false, "two");
	data_object(h.session, true, true, "two");
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 3);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "two")), NULL) == 2);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "two"), A_BOOL(CKA_PRIVATE, true)), NULL) == 1);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "tw")), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "two ")), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "")), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_TEXT(CKA_VALUE, "content")), NULL) == 3);
	cr_assert(find(h.session, NULL, 0, NULL) >= 3);
}

Test(search, T109_second_init)
{
	CK_OBJECT_HANDLE o;
	CK_ULONG n;

	data_object(h.session, false, false, "one");
	OK(C_FindObjectsInit, h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")));
	EXPECT(CKR_OPERATION_ACTIVE, C_FindObjectsInit, h.session, NULL, 0);
	OK(C_FindObjects, h.session, &o, 1, &n);
	cr_assert(n == 1);
	OK(C_FindObjectsFinal, h.session);
}

Test(search, T109_unknown_attribute)
{
	CK_RV rv = CALL(C_FindObjectsInit, h.session, TEMPLATE(A_ULONG(0x7ffffff0, 1)));
	if (rv == CKR_ATTRIBUTE_TYPE_INVALID)
		return;
	cr_assert(rv == CKR_OK, "%s", rv_name(rv));
	OK(C_FindObjectsFinal, h.session);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(0x7ffffff0, 1)), NULL) == 0);
}

Test(search, T110_no_more)
{
	CK_OBJECT_HANDLE o[4];
	CK_ULONG n;

	data_object(h.session, false, false, "one");
	data_object(h.session, false, false, "one");
	data_object(h.session, false, false, "one");
	OK(C_FindObjectsInit, h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")));
	OK(C_FindObjects, h.session, o, 0, &n);
	cr_assert(n == 0);
	OK(C_FindObjects, h.session, o, 2, &n);
	cr_assert(n == 2);
	OK(C_FindObjects, h.session, o + 2, 2, &n);
	cr_assert(n == 1 && o[0] != o[1] && o[1] != o[2] && o[0] != o[2]);
	for (int i = 0; i < 3; i++) {
		OK(C_FindObjects, h.session, o, 4, &n);
		cr_assert(n == 0);
	}
	OK(C_FindObjectsFinal, h.session);
}

Test(search, T111_without_init)
{
	CK_OBJECT_HANDLE o;
	CK_ULONG n;

	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_FindObjects, h.session, &o, 1, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_FindObjectsFinal, h.session);
	OK(C_FindObjectsInit, h.session, NULL, 0);
	EXPECT(CKR_ARGUMENTS_BAD, C_FindObjects, h.session, &o, 1, NULL);
}

Test(search, T111_null_template)
{
	EXPECT(CKR_ARGUMENTS_BAD, C_FindObjectsInit, h.session, NULL, 1);
}

Test(search, T112_beside_other_operations)
{
	uint8_t out[32], buf[8];
	CK_ULONG n = sizeof out;
	CK_OBJECT_HANDLE o;

	data_object(h.session, false, false, "one");
	OK(C_FindObjectsInit, h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")));
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_Digest, h.session, (CK_BYTE *)"abc", 3, out, &n);
	OK(C_FindObjects, h.session, &o, 1, &n);
	cr_assert(n == 1);
	/* CERT-M-1-32 reads attributes while the search is active. */
	cr_assert(attribute(h.session, o, CKA_VALUE, buf, sizeof buf) == 7);
	OK(C_FindObjectsFinal, h.session);
}

Test(search, snapshot_survives_changes)
{
	CK_OBJECT_HANDLE o, found[4];
	CK_ULONG n, total = 0;

	o = data_object(h.session, false, false, "one");
	data_object(h.session, false, false, "one");
	OK(C_FindObjectsInit, h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")));
	OK(C_DestroyObject, h.session, o);
	data_object(h.session, false, false, "one");
	do {
		OK(C_FindObjects, h.session, found, ARRAY_LEN(found), &n);
		total += n;
	} while (n);
	cr_assert(total >= 1 && total <= 3);
	OK(C_FindObjectsFinal, h.session);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "one")), NULL) == 2);
}

Test(search, T113_no_guessing_oracle)
{
	static const uint8_t value[16] = {1, 2, 3, 4, 5, 6, 7, 8};
	CK_OBJECT_HANDLE o;

	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
		    A_BYTES(CKA_VALUE, value, sizeof value), A_BOOL(CKA_SENSITIVE, true), A_TEXT(CKA_LABEL, "hidden")),
	   &o);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "hidden")), NULL) == 1);
	cr_assert(find(h.session, TEMPLATE(A_BYTES(CKA_VALUE, value, sizeof value)), NULL) == 0);
}

Test(search, T114_profile_objects)
{
	static const CK_ULONG profiles[] = {CKP_BASELINE_PROVIDER, CKP_EXTENDED_PROVIDER, CKP_AUTHENTICATION_TOKEN};
	CK_OBJECT_HANDLE o;

	OK(C_Logout, h.session);
	CK_SESSION_HANDLE s = open_session(RO);
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PROFILE), A_ULONG(CKA_PROFILE_ID, profiles[i])),
			       &o) == 1, "profile %lu", profiles[i]);
		cr_assert(attribute_ulong(s, o, CKA_PROFILE_ID) == profiles[i]);
	}
	EXPECT_IN((CKR_ACTION_PROHIBITED, CKR_SESSION_READ_ONLY, CKR_ATTRIBUTE_READ_ONLY), C_SetAttributeValue, h.session, o,
		  TEMPLATE(A_ULONG(CKA_PROFILE_ID, 1)));
	EXPECT_IN((CKR_ACTION_PROHIBITED, CKR_SESSION_READ_ONLY, CKR_OBJECT_HANDLE_INVALID), C_DestroyObject, h.session,
		  o);
	EXPECT_IN((CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_READ_ONLY), C_CreateObject,
		  h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PROFILE), A_ULONG(CKA_PROFILE_ID, 1)), &o);
}

Test(search, T075_private_objects_are_invisible)
{
	data_object(h.session, true, true, "secret");
	data_object(h.session, true, false, "open");
	OK(C_Logout, h.session);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "secret")), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_BOOL(CKA_PRIVATE, true)), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "open")), NULL) == 1);
	cr_assert(login(h.session, CKU_SO, SO_PIN) == CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_BOOL(CKA_PRIVATE, true)), NULL) == 0);
}

Test(search, many_objects)
{
	char label[16];

	for (int i = 0; i < 40; i++) {
		snprintf(label, sizeof label, "object %d", i);
		data_object(h.session, true, i % 2, label);
	}
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 40);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "object 17")), NULL) == 1);
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RO);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 20);
	cr_assert(login(s, CKU_USER, USER_PIN) == CKR_OK);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 40);
}

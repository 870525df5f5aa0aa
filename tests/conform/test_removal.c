/* A token that is taken out of its slot (5.5.4, 5.1.2; T029), and what another process changes (design R13). */
#include "harness.h"

#include <pthread.h>

static void up(void)
{
	harness_up();
	if (!h.kind->remove)
		cr_skip_test("the token can't be taken out");
	library_up();
	session_up();
}

TestSuite(removal, .init = up, .fini = harness_down, .timeout = 60);

Test(removal, sessions_end)
{
	CK_SESSION_HANDLE other = open_session(RO), s;
	CK_SESSION_INFO info;
	CK_OBJECT_HANDLE o;
	CK_TOKEN_INFO token;

	data_object(h.session, true, false, "kept");
	h.kind->remove();
	EXPECT_IN((CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID), C_CreateObject, h.session,
		  TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true)), &o);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, h.session, &info);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, other, &info);
	EXPECT(CKR_TOKEN_NOT_PRESENT, C_OpenSession, h.slot, RO, NULL, NULL, &s);
	EXPECT(CKR_TOKEN_NOT_PRESENT, C_GetTokenInfo, h.slot, &token);
	h.kind->restore();
	s = open_session(RW);
	cr_assert(state_of(s) == CKS_RW_PUBLIC_SESSION);
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "kept")), NULL) == 1);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
}

Test(removal, slot_list_and_slot_info)
{
	CK_SLOT_INFO info;
	CK_ULONG with, without;

	OK(C_GetSlotInfo, h.slot, &info);
	bool removable = info.flags & CKF_REMOVABLE_DEVICE;
	cr_assert(removable, "T029: a token that can vanish is removable");
	OK(C_GetSlotList, CK_TRUE, NULL, &with);
	h.kind->remove();
	OK(C_GetSlotList, CK_TRUE, NULL, &without);
	cr_assert(without == with - 1);
	OK(C_GetSlotInfo, h.slot, &info);
	cr_assert(!(info.flags & CKF_TOKEN_PRESENT) && info.flags & CKF_REMOVABLE_DEVICE);
	h.kind->restore();
	OK(C_GetSlotInfo, h.slot, &info);
	cr_assert(info.flags & CKF_TOKEN_PRESENT);
}

Test(removal, events)
{
	CK_SLOT_ID slot = 4711;

	EXPECT(CKR_NO_EVENT, C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot, NULL);
	h.kind->remove();
	OK(C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot, NULL);
	cr_assert(slot == h.slot);
	EXPECT(CKR_NO_EVENT, C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot, NULL);
	h.kind->restore();
	OK(C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot, NULL);
	cr_assert(slot == h.slot);
}

/* ---- another process (R13) ---- */

static void shared_up(void)
{
	harness_up();
	if (h.kind->process_only || h.kind->hardware)
		cr_skip_test("no second process shares this token");
	session_up();
}

TestSuite(processes, .init = shared_up, .fini = harness_down, .timeout = 60);

static CK_SESSION_HANDLE child_session(void)
{
	CK_SESSION_HANDLE s = CK_INVALID_HANDLE;

	if (h.f->C_Initialize(NULL) != CKR_OK || h.f->C_OpenSession(h.slot, RW, NULL, NULL, &s) != CKR_OK ||
	    h.f->C_Login(s, CKU_USER, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN)) != CKR_OK)
		return CK_INVALID_HANDLE;
	return s;
}

static int child_creates(void)
{
	CK_SESSION_HANDLE s = child_session();

	if (!s)
		return 1;
	data_object(s, true, false, "by the child");
	data_object(s, true, true, "private, by the child");
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

static int child_changes(void)
{
	CK_SESSION_HANDLE s = child_session();
	CK_OBJECT_HANDLE o;

	if (!s || find(s, TEMPLATE(A_TEXT(CKA_LABEL, "one")), &o) != 1)
		return 1;
	OK(C_SetAttributeValue, s, o, TEMPLATE(A_TEXT(CKA_LABEL, "two")));
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

static int child_destroys(void)
{
	CK_SESSION_HANDLE s = child_session();
	CK_OBJECT_HANDLE o;

	if (!s || find(s, TEMPLATE(A_TEXT(CKA_LABEL, "two")), &o) != 1)
		return 1;
	OK(C_DestroyObject, s, o);
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

Test(processes, changes_are_seen_at_the_next_call)
{
	char label[8];

	is((CK_RV)in_child(child_creates), 0);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "by the child")), NULL) == 1);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "private, by the child")), NULL) == 1);
	CK_OBJECT_HANDLE o = data_object(h.session, true, false, "one");
	is((CK_RV)in_child(child_changes), 0);
	cr_assert(attribute(h.session, o, CKA_LABEL, label, sizeof label) == 3 && memcmp(label, "two", 3) == 0);
	is((CK_RV)in_child(child_destroys), 0);
	CK_ATTRIBUTE a = {CKA_LABEL, NULL, 0};
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, h.session, o, &a, 1);
}

static int child_reinitializes(void)
{
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	if (h.f->C_Initialize(NULL) != CKR_OK)
		return 1;
	OK(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

Test(processes, a_token_initialized_by_another_ends_our_sessions)
{
	CK_SESSION_INFO info;
	CK_OBJECT_HANDLE o;

	data_object(h.session, true, false, "one");
	is((CK_RV)in_child(child_reinitializes), 0);
	EXPECT_IN((CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID), C_CreateObject, h.session,
		  TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true)), &o);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, h.session, &info);
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 0);
	is(login(s, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
}

Test(processes, a_token_initialized_by_another_meanwhile_is_a_new_one)
{
	data_object(h.session, true, false, "one");
	OK(C_CloseAllSessions, h.slot);
	is((CK_RV)in_child(child_reinitializes), 0);
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(find(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 0, "nothing is told of a removal");
	is(login(s, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
}

static int child_locks_the_pin(void)
{
	CK_SESSION_HANDLE s;

	if (h.f->C_Initialize(NULL) != CKR_OK || h.f->C_OpenSession(h.slot, RW, NULL, NULL, &s) != CKR_OK)
		return 1;
	for (int i = 0; i < 2; i++)
		if (h.f->C_Login(s, CKU_USER, (CK_UTF8CHAR *)"wrong pin", 9) != CKR_PIN_INCORRECT)
			return 2;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 3;
}

Test(processes, wrong_pins_are_counted_together)
{
	is((CK_RV)in_child(child_locks_the_pin), 0);
	cr_assert(token_flags() & CKF_USER_PIN_COUNT_LOW);
	OK(C_Logout, h.session);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(!(token_flags() & CKF_USER_PIN_COUNT_LOW));
}

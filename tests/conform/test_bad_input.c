/* Every function of the 3.2 list before C_Initialize, with handles that are none, and with NULL where none may be (5.1;
 * T014, T025, T064).  One row per function; a row calls it with arguments that are harmless otherwise. */
#include "harness.h"

TestSuite(bad_input, .init = harness_up, .fini = harness_down, .timeout = 120);

static CK_BYTE buf[64];
static CK_ULONG len;
static CK_OBJECT_HANDLE object;
static CK_SLOT_ID slot_id;
static CK_MECHANISM mech = {CKM_SHA256, NULL, 0};
static CK_FLAGS validation;
static CK_ASYNC_DATA async;

/* Each row: the function and its arguments, with s for the session handle or slot id. */
#define S_ROWS(S)                                                                                                      \
	S(C_InitPIN, s, buf, 8)                                                                                        \
	S(C_SetPIN, s, buf, 8, buf, 8)                                                                                 \
	S(C_CloseSession, s)                                                                                           \
	S(C_GetSessionInfo, s, &(CK_SESSION_INFO){0})                                                                  \
	S(C_GetOperationState, s, buf, &len)                                                                           \
	S(C_SetOperationState, s, buf, 8, 0, 0)                                                                        \
	S(C_Login, s, CKU_USER, buf, 8)                                                                                \
	S(C_Logout, s)                                                                                                 \
	S(C_CreateObject, s, NULL, 0, &object)                                                                         \
	S(C_CopyObject, s, 1, NULL, 0, &object)                                                                        \
	S(C_DestroyObject, s, 1)                                                                                       \
	S(C_GetObjectSize, s, 1, &len)                                                                                 \
	S(C_GetAttributeValue, s, 1, &(CK_ATTRIBUTE){CKA_CLASS, NULL, 0}, 1)                                           \
	S(C_SetAttributeValue, s, 1, &(CK_ATTRIBUTE){CKA_LABEL, NULL, 0}, 1)                                           \
	S(C_FindObjectsInit, s, NULL, 0)                                                                               \
	S(C_FindObjects, s, &object, 1, &len)                                                                          \
	S(C_FindObjectsFinal, s)                                                                                       \
	S(C_EncryptInit, s, &mech, 1)                                                                                  \
	S(C_Encrypt, s, buf, 8, buf, &len)                                                                             \
	S(C_EncryptUpdate, s, buf, 8, buf, &len)                                                                       \
	S(C_EncryptFinal, s, buf, &len)                                                                                \
	S(C_DecryptInit, s, &mech, 1)                                                                                  \
	S(C_Decrypt, s, buf, 8, buf, &len)                                                                             \
	S(C_DecryptUpdate, s, buf, 8, buf, &len)                                                                       \
	S(C_DecryptFinal, s, buf, &len)                                                                                \
	S(C_DigestInit, s, &mech)                                                                                      \
	S(C_Digest, s, buf, 8, buf, &len)                                                                              \
	S(C_DigestUpdate, s, buf, 8)                                                                                   \
	S(C_DigestKey, s, 1)                                                                                           \
	S(C_DigestFinal, s, buf, &len)                                                                                 \
	S(C_SignInit, s, &mech, 1)                                                                                     \
	S(C_Sign, s, buf, 8, buf, &len)                                                                                \
	S(C_SignUpdate, s, buf, 8)                                                                                     \
	S(C_SignFinal, s, buf, &len)                                                                                   \
	S(C_SignRecoverInit, s, &mech, 1)                                                                              \
	S(C_SignRecover, s, buf, 8, buf, &len)                                                                         \
	S(C_VerifyInit, s, &mech, 1)                                                                                   \
	S(C_Verify, s, buf, 8, buf, 8)                                                                                 \
	S(C_VerifyUpdate, s, buf, 8)                                                                                   \
	S(C_VerifyFinal, s, buf, 8)                                                                                    \
	S(C_VerifyRecoverInit, s, &mech, 1)                                                                            \
	S(C_VerifyRecover, s, buf, 8, buf, &len)                                                                       \
	S(C_DigestEncryptUpdate, s, buf, 8, buf, &len)                                                                 \
	S(C_DecryptDigestUpdate, s, buf, 8, buf, &len)                                                                 \
	S(C_SignEncryptUpdate, s, buf, 8, buf, &len)                                                                   \
	S(C_DecryptVerifyUpdate, s, buf, 8, buf, &len)                                                                 \
	S(C_GenerateKey, s, &mech, NULL, 0, &object)                                                                   \
	S(C_GenerateKeyPair, s, &mech, NULL, 0, NULL, 0, &object, &object)                                             \
	S(C_WrapKey, s, &mech, 1, 1, buf, &len)                                                                        \
	S(C_UnwrapKey, s, &mech, 1, buf, 8, NULL, 0, &object)                                                          \
	S(C_DeriveKey, s, &mech, 1, NULL, 0, &object)                                                                  \
	S(C_SeedRandom, s, buf, 8)                                                                                     \
	S(C_GenerateRandom, s, buf, 8)                                                                                 \
	S(C_GetFunctionStatus, s)                                                                                      \
	S(C_CancelFunction, s)                                                                                         \
	S(C_LoginUser, s, CKU_USER, buf, 8, NULL, 0)                                                                   \
	S(C_SessionCancel, s, 0)                                                                                       \
	S(C_MessageEncryptInit, s, &mech, 1)                                                                           \
	S(C_EncryptMessage, s, buf, 8, buf, 8, buf, 8, buf, &len)                                                      \
	S(C_EncryptMessageBegin, s, buf, 8, buf, 8)                                                                    \
	S(C_EncryptMessageNext, s, buf, 8, buf, 8, buf, &len, 0)                                                       \
	S(C_MessageEncryptFinal, s)                                                                                    \
	S(C_MessageDecryptInit, s, &mech, 1)                                                                           \
	S(C_DecryptMessage, s, buf, 8, buf, 8, buf, 8, buf, &len)                                                      \
	S(C_DecryptMessageBegin, s, buf, 8, buf, 8)                                                                    \
	S(C_DecryptMessageNext, s, buf, 8, buf, 8, buf, &len, 0)                                                       \
	S(C_MessageDecryptFinal, s)                                                                                    \
	S(C_MessageSignInit, s, &mech, 1)                                                                              \
	S(C_SignMessage, s, buf, 8, buf, 8, buf, &len)                                                                 \
	S(C_SignMessageBegin, s, buf, 8)                                                                               \
	S(C_SignMessageNext, s, buf, 8, buf, 8, buf, &len)                                                             \
	S(C_MessageSignFinal, s)                                                                                       \
	S(C_MessageVerifyInit, s, &mech, 1)                                                                            \
	S(C_VerifyMessage, s, buf, 8, buf, 8, buf, 8)                                                                  \
	S(C_VerifyMessageBegin, s, buf, 8)                                                                             \
	S(C_VerifyMessageNext, s, buf, 8, buf, 8, buf, 8)                                                              \
	S(C_MessageVerifyFinal, s)                                                                                     \
	S(C_EncapsulateKey, s, &mech, 1, NULL, 0, buf, &len, &object)                                                  \
	S(C_DecapsulateKey, s, &mech, 1, NULL, 0, buf, 8, &object)                                                     \
	S(C_VerifySignatureInit, s, &mech, 1, buf, 8)                                                                  \
	S(C_VerifySignature, s, buf, 8)                                                                                \
	S(C_VerifySignatureUpdate, s, buf, 8)                                                                          \
	S(C_VerifySignatureFinal, s)                                                                                   \
	S(C_GetSessionValidationFlags, s, CKS_LAST_VALIDATION_OK, &validation)                                         \
	S(C_AsyncComplete, s, buf, &async)                                                                             \
	S(C_AsyncGetID, s, buf, &len)                                                                                  \
	S(C_AsyncJoin, s, buf, 1, buf, 8)                                                                              \
	S(C_WrapKeyAuthenticated, s, &mech, 1, 1, buf, 8, buf, &len)                                                   \
	S(C_UnwrapKeyAuthenticated, s, &mech, 1, buf, 8, NULL, 0, buf, 8, &object)

/* The functions without a session, as far as they need C_Initialize. */
#define FREE_ROWS(S)                                                                                                   \
	S(C_Finalize, NULL)                                                                                            \
	S(C_GetInfo, &(CK_INFO){{0, 0}, "", 0, "", {0, 0}})                                                            \
	S(C_GetSlotList, CK_TRUE, NULL, &len)                                                                          \
	S(C_GetSlotInfo, s, &(CK_SLOT_INFO){.flags = 0})                                                               \
	S(C_GetTokenInfo, s, &(CK_TOKEN_INFO){.flags = 0})                                                             \
	S(C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot_id, NULL)                                                          \
	S(C_GetMechanismList, s, NULL, &len)                                                                           \
	S(C_GetMechanismInfo, s, CKM_SHA256, &(CK_MECHANISM_INFO){0, 0, 0})                                            \
	S(C_InitToken, s, buf, 8, buf)                                                                                 \
	S(C_OpenSession, s, RW, NULL, NULL, &object)                                                                   \
	S(C_CloseAllSessions, s)

struct call_row {
	const char *name;
	CK_RV (*call)(CK_SESSION_HANDLE s);
};

#define DEFINE(name, ...)                                                                                              \
	static CK_RV call_##name(CK_SESSION_HANDLE s)                                                                  \
	{                                                                                                              \
		(void)s;                                                                                               \
		len = sizeof buf;                                                                                      \
		return h.f->name(__VA_ARGS__);                                                                         \
	}
#define ROW(name, ...) {#name, call_##name},

S_ROWS(DEFINE)
FREE_ROWS(DEFINE)

static const struct call_row with_session[] = {S_ROWS(ROW)};
static const struct call_row without_session[] = {FREE_ROWS(ROW)};

static void all_say(const struct call_row *rows, size_t n, CK_SESSION_HANDLE s, CK_RV want)
{
	for (size_t i = 0; i < n; i++) {
		CK_RV rv = rows[i].call(s);
		cr_expect(rv == want, "%s: %s, expected %s", rows[i].name, name_of((char[24]){0}, rv),
			  name_of((char[24]){0}, want));
	}
}

Test(bad_input, T014_everything_before_initialize)
{
	cr_assert(ARRAY_LEN(with_session) + ARRAY_LEN(without_session) + 4 == 104);
	all_say(with_session, ARRAY_LEN(with_session), 1, CKR_CRYPTOKI_NOT_INITIALIZED);
	all_say(with_session, ARRAY_LEN(with_session), ~0ul, CKR_CRYPTOKI_NOT_INITIALIZED);
	all_say(without_session, ARRAY_LEN(without_session), 0, CKR_CRYPTOKI_NOT_INITIALIZED);
	all_say(without_session, ARRAY_LEN(without_session), 4711, CKR_CRYPTOKI_NOT_INITIALIZED);
}

Test(bad_input, T014_everything_after_finalize)
{
	session_up();
	OK(C_Finalize, NULL);
	all_say(with_session, ARRAY_LEN(with_session), h.session, CKR_CRYPTOKI_NOT_INITIALIZED);
	all_say(without_session, ARRAY_LEN(without_session), h.slot, CKR_CRYPTOKI_NOT_INITIALIZED);
}

Test(bad_input, T064_handles_that_are_none)
{
	token_up();
	CK_SESSION_HANDLE s = open_session(RW), open = open_session(RW);
	OK(C_CloseSession, s);
	const CK_SESSION_HANDLE none[] = {0, s, open + 1, open ^ 0x100000000ul, ~0ul, 1ul << 63};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		all_say(with_session, ARRAY_LEN(with_session), none[i], CKR_SESSION_HANDLE_INVALID);
}

/* Whatever state the session is in, each answer is on its list and nothing crashes. */
Test(bad_input, every_call_in_every_state)
{
	static const CK_USER_TYPE users[] = {~0ul, CKU_USER, CKU_SO};

	token_up();
	for (size_t u = 0; u < ARRAY_LEN(users); u++)
		for (size_t i = 0; i < ARRAY_LEN(with_session); i++) {
			CK_SESSION_HANDLE s = open_session(RW);
			if (users[u] == CKU_USER)
				cr_assert(login(s, CKU_USER, USER_PIN) == CKR_OK);
			else if (users[u] == CKU_SO && strcmp(with_session[i].name, "C_InitPIN") != 0)
				cr_assert(login(s, CKU_SO, SO_PIN) == CKR_OK);
			CK_RV rv = with_session[i].call(s);
			cr_expect(answer_listed(with_session[i].name, rv) && rv != CKR_GENERAL_ERROR, "%s: %s",
				  with_session[i].name, rv_name(rv));
			OK(C_CloseAllSessions, h.slot);
			/* C_SetPIN and C_Login above were tries with a wrong PIN. */
			if (i % 8 == 7) {
				s = open_session(RW);
				cr_assert(login(s, CKU_USER, USER_PIN) == CKR_OK);
				OK(C_CloseSession, s);
			}
		}
}

/* ---- NULL where none may be ---- */

#define N_ROWS(S)                                                                                                      \
	S(C_GetSessionInfo, s, NULL)                                                                                   \
	S(C_CreateObject, s, NULL, 1, &object)                                                                         \
	S(C_CreateObject, s, (&(CK_ATTRIBUTE){CKA_CLASS, &(CK_ULONG){CKO_DATA}, sizeof(CK_ULONG)}), 1, NULL)           \
	S(C_GetObjectSize, s, object, NULL)                                                                            \
	S(C_GetAttributeValue, s, object, NULL, 1)                                                                     \
	S(C_SetAttributeValue, s, object, NULL, 1)                                                                     \
	S(C_CopyObject, s, object, NULL, 0, NULL)                                                                      \
	S(C_CopyObject, s, object, NULL, 1, &object)                                                                   \
	S(C_FindObjectsInit, s, NULL, 3)                                                                               \
	S(C_GenerateKey, s, (&(CK_MECHANISM){CKM_AES_KEY_GEN, NULL, 0}), NULL, 0, NULL)                                \
	S(C_GenerateKey, s, (&(CK_MECHANISM){CKM_AES_KEY_GEN, NULL, 0}), NULL, 2, &object)                             \
	S(C_GenerateKeyPair, s, (&(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}), NULL, 1, NULL, 0, &object, &object)   \
	S(C_GenerateKeyPair, s, (&(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}), NULL, 0, NULL, 1, &object, &object)   \
	S(C_GenerateKeyPair, s, (&(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}), NULL, 0, NULL, 0, &object, NULL)      \
	S(C_GenerateRandom, s, NULL, 8)                                                                                \
	S(C_SeedRandom, s, NULL, 8)                                                                                    \
	S(C_FindObjects, s, NULL, 1, &len)                                                                             \
	S(C_FindObjects, s, &object, 1, NULL)                                                                          \
	S(C_InitPIN, s, NULL, 8)                                                                                       \
	S(C_SetPIN, s, NULL, 8, buf, 8)                                                                                \
	S(C_SetPIN, s, buf, 8, NULL, 8)                                                                                \
	S(C_Login, s, CKU_USER, NULL, 8)                                                                               \
	S(C_LoginUser, s, CKU_USER, NULL, 8, NULL, 0)                                                                  \
	S(C_LoginUser, s, CKU_USER, buf, 8, NULL, 8)                                                                   \
	S(C_VerifySignatureInit, s, &mech, object, NULL, 8)                                                            \
	S(C_Encrypt, s, buf, 8, buf, NULL)                                                                             \
	S(C_Encrypt, s, NULL, 8, buf, &len)                                                                            \
	S(C_EncryptUpdate, s, NULL, 8, buf, &len)                                                                      \
	S(C_EncryptFinal, s, buf, NULL)                                                                                \
	S(C_Decrypt, s, buf, 8, buf, NULL)                                                                             \
	S(C_Decrypt, s, NULL, 8, buf, &len)                                                                            \
	S(C_DecryptUpdate, s, NULL, 8, buf, &len)                                                                      \
	S(C_DecryptFinal, s, buf, NULL)                                                                                \
	S(C_Digest, s, buf, 8, buf, NULL)                                                                              \
	S(C_Digest, s, NULL, 8, buf, &len)                                                                             \
	S(C_DigestUpdate, s, NULL, 8)                                                                                  \
	S(C_DigestFinal, s, buf, NULL)                                                                                 \
	S(C_Sign, s, buf, 8, buf, NULL)                                                                                \
	S(C_Sign, s, NULL, 8, buf, &len)                                                                               \
	S(C_SignUpdate, s, NULL, 8)                                                                                    \
	S(C_SignFinal, s, buf, NULL)                                                                                   \
	S(C_Verify, s, buf, 8, NULL, 8)                                                                                \
	S(C_Verify, s, NULL, 8, buf, 8)                                                                                \
	S(C_VerifyUpdate, s, NULL, 8)                                                                                  \
	S(C_VerifyFinal, s, NULL, 8)                                                                                   \
	S(C_VerifySignature, s, NULL, 8)                                                                               \
	S(C_VerifySignatureUpdate, s, NULL, 8)

Test(bad_input, null_where_none_may_be)
{
	session_up();
	CK_SESSION_HANDLE s = h.session;
	len = sizeof buf;
	object = data_object(s, false, false, "here");
#define ARGUMENTS_BAD(name, ...) EXPECT(CKR_ARGUMENTS_BAD, name, __VA_ARGS__);
	N_ROWS(ARGUMENTS_BAD)
	/* 5.1.7: a bad handle wins over a bad argument. */
	s = h.session + 1;
#define HANDLE_INVALID(name, ...) EXPECT(CKR_SESSION_HANDLE_INVALID, name, __VA_ARGS__);
	N_ROWS(HANDLE_INVALID)
}

/* The same of the functions on slots and on the library; the slot wins over the arguments. */
#define NS_ROWS(S)                                                                                                     \
	S(C_GetSlotInfo, s, NULL)                                                                                      \
	S(C_GetTokenInfo, s, NULL)                                                                                     \
	S(C_GetMechanismList, s, NULL, NULL)                                                                           \
	S(C_GetMechanismInfo, s, CKM_SHA256, NULL)                                                                     \
	S(C_InitToken, s, buf, 8, NULL)                                                                                \
	S(C_InitToken, s, NULL, 8, buf)                                                                                \
	S(C_OpenSession, s, RW, NULL, NULL, NULL)

Test(bad_input, null_without_a_session)
{
	token_up();
	CK_SLOT_ID s = h.slot;
	NS_ROWS(ARGUMENTS_BAD)
	EXPECT(CKR_ARGUMENTS_BAD, C_GetInfo, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetSlotList, CK_TRUE, NULL, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent, CKF_DONT_BLOCK, NULL, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot_id, buf);
	EXPECT(CKR_ARGUMENTS_BAD, C_Finalize, buf);
	s = 4711;
#define SLOT_INVALID(name, ...) EXPECT(CKR_SLOT_ID_INVALID, name, __VA_ARGS__);
	NS_ROWS(SLOT_INVALID)
}

Test(bad_input, handles_of_others)
{
	CK_ATTRIBUTE a = {CKA_CLASS, NULL, 0};
	const CK_OBJECT_HANDLE none[] = {0, 4711, ~0ul, 1ul << 32, 1ul << 63};
	CK_OBJECT_HANDLE o;
	CK_ULONG n;

	session_up();
	CK_OBJECT_HANDLE mine = data_object(h.session, false, false, "mine");
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, h.session, none[i], &a, 1);
		EXPECT(CKR_OBJECT_HANDLE_INVALID, C_SetAttributeValue, h.session, none[i],
		       TEMPLATE(A_TEXT(CKA_LABEL, "x")));
		EXPECT(CKR_OBJECT_HANDLE_INVALID, C_CopyObject, h.session, none[i], NULL, 0, &o);
		EXPECT(CKR_OBJECT_HANDLE_INVALID, C_DestroyObject, h.session, none[i]);
		EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetObjectSize, h.session, none[i], &n);
	}
	OK(C_DestroyObject, h.session, mine);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, h.session, mine, &a, 1);
	cr_assert(data_object(h.session, false, false, "new") != mine, "a handle came back");
}

/* Templates that no application should send: none crashes, none is obeyed in part. */
Test(bad_input, hostile_templates)
{
	static uint8_t big[70000];
	CK_ATTRIBUTE many[300];
	CK_OBJECT_HANDLE o;

	session_up();
	CK_ULONG before = find(h.session, NULL, 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (CK_ATTRIBUTE){0x40000000 + i, big, 4};
	cr_assert(CALL(C_CreateObject, h.session, many, ARRAY_LEN(many), &o) != CKR_OK);
	cr_assert(CALL(C_CreateObject, h.session, many, ~0ul, &o) != CKR_OK);
	EXPECT_IN((CKR_OK, CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_MEMORY, CKR_HOST_MEMORY), C_CreateObject, h.session,
		  TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BYTES(CKA_VALUE, big, sizeof big)), &o);
	EXPECT_IN((CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_MEMORY, CKR_HOST_MEMORY), C_CreateObject, h.session,
		  TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BYTES(CKA_VALUE, big, 1ul << 40)), &o);
	CK_ULONG after = find(h.session, NULL, 0, NULL);
	cr_assert(after <= before + 1);
}

/* Lengths that no memory has (CK_UNAVAILABLE_INFORMATION passed on, mostly): said to be wrong, never followed. */
#define L_ROWS(S)                                                                                                      \
	S(C_GetAttributeValue, s, object, one, ~0ul)                                                                   \
	S(C_FindObjectsInit, s, one, ~0ul)                                                                             \
	S(C_FindObjectsInit, s, one, 1ul << 40)                                                                        \
	S(C_GenerateRandom, s, buf, ~0ul)                                                                              \
	S(C_SeedRandom, s, buf, ~0ul)                                                                                  \
	S(C_Login, s, CKU_USER, buf, ~0ul)                                                                             \
	S(C_LoginUser, s, CKU_USER, buf, 8, buf, ~0ul)                                                                 \
	S(C_SetPIN, s, buf, ~0ul, buf, 8)                                                                              \
	S(C_SetPIN, s, buf, 8, buf, ~0ul)                                                                              \
	S(C_InitPIN, s, buf, ~0ul)

Test(bad_input, lengths_that_no_memory_has)
{
	CK_ATTRIBUTE one[] = {{CKA_LABEL, buf, sizeof buf}};
	const CK_ULONG lengths[] = {~0ul, 1ul << 63};
	CK_ULONG n;

	session_up();
	CK_SESSION_HANDLE s = h.session;
	object = data_object(s, false, false, "here");
	L_ROWS(ARGUMENTS_BAD)
	EXPECT(CKR_ARGUMENTS_BAD, C_InitToken, h.slot, buf, ~0ul, buf);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		OK(C_DigestInit, s, &mech);
		n = sizeof buf;
		EXPECT(CKR_ARGUMENTS_BAD, C_Digest, s, buf, lengths[i], buf, &n);
		OK(C_DigestInit, s, &mech); /* the bad call ended it */
		EXPECT(CKR_ARGUMENTS_BAD, C_DigestUpdate, s, buf, lengths[i]);
		OK(C_DigestInit, s, &mech);
		EXPECT(CKR_ARGUMENTS_BAD, C_Digest, s, NULL, lengths[i], NULL, &n);
	}
}

#define KEY_ROWS(S)                                                                                                    \
	S(Encrypt, C_EncryptUpdate, s, buf, length, buf, &n)                                                           \
	S(Encrypt, C_Encrypt, s, buf, length, buf, &n)                                                                 \
	S(Encrypt, C_Encrypt, s, buf, length, NULL, &n)                                                                \
	S(Decrypt, C_DecryptUpdate, s, buf, length, buf, &n)                                                           \
	S(Decrypt, C_Decrypt, s, buf, length, buf, &n)                                                                 \
	S(Decrypt, C_Decrypt, s, buf, length, NULL, &n)

/* A mode whose output is a bit longer than its input: the sum must not wrap to a short one. */
Test(bad_input, lengths_that_wrap)
{
	CK_GCM_PARAMS p = {.pIv = buf, .ulIvLen = 12, .ulTagBits = 128};
	CK_MECHANISM gcm = {CKM_AES_GCM, &p, sizeof p};
	const CK_ULONG lengths[] = {~0ul, ~0ul - 15, 1ul << 63};

	session_up();
	CK_SESSION_HANDLE s = h.session;
	if (!has_mechanism(CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT))
		cr_skip_test("no GCM here");
	CK_OBJECT_HANDLE key = aes_key(s, 16);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		CK_ULONG length = lengths[i], n = sizeof buf;
#define REFUSED(kind, name, ...)                                                                                       \
	OK(C_##kind##Init, s, &gcm, key);                                                                              \
	EXPECT(CKR_ARGUMENTS_BAD, name, __VA_ARGS__);
		KEY_ROWS(REFUSED)
	}
}

/* The same inside a mechanism's parameter. */
Test(bad_input, parameters_that_no_memory_has)
{
	CK_GCM_PARAMS gcm = {.pIv = buf, .ulIvLen = 12, .ulTagBits = 128, .pAAD = buf, .ulAADLen = ~0ul};
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, buf, ~0ul};

	session_up();
	if (has_mechanism(CKM_AES_GCM, CKF_ENCRYPT))
		EXPECT(CKR_MECHANISM_PARAM_INVALID, C_EncryptInit, h.session,
		       (&(CK_MECHANISM){CKM_AES_GCM, &gcm, sizeof gcm}), aes_key(h.session, 16));
	if (has_mechanism(CKM_RSA_PKCS_OAEP, CKF_DECRYPT))
		EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session,
		       (&(CK_MECHANISM){CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}), rsa_pair(h.session, false, "r").priv);
}

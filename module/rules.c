/* The rows.  Order of the checks: dispatch.c. */
#include "rules.h"

#define LIBRARY .scope = SCOPE_LIBRARY
#define SLOT .scope = SCOPE_SLOT
#define SESSION .scope = SCOPE_SESSION
/* Works on what is in memory or in the operation under way. */
#define PLAIN {SESSION}
/* Looks at objects, so it sees first what other processes have changed. */
#define OBJECTS {SESSION, .sync = true}
/* Not offered. */
#define STUB {SESSION, .stub = true}

const struct rule rules[FN_COUNT] = {
	/* C_GetFunctionList, C_GetInterfaceList, C_GetInterface, C_Initialize: SCOPE_NONE. */
	[FN_C_Finalize] = {LIBRARY},
	[FN_C_GetInfo] = {LIBRARY},
	[FN_C_GetSlotList] = {LIBRARY},
	[FN_C_WaitForSlotEvent] = {LIBRARY},

	[FN_C_GetSlotInfo] = {SLOT},
	[FN_C_CloseAllSessions] = {SLOT},
	[FN_C_GetTokenInfo] = {SLOT, .token = TOKEN_PRESENT},
	[FN_C_GetMechanismList] = {SLOT, .token = TOKEN_PRESENT},
	[FN_C_GetMechanismInfo] = {SLOT, .token = TOKEN_PRESENT},
	/* Also a token that isn't recognized may be initialized: the backend knows when not. */
	[FN_C_InitToken] = {SLOT, .token = TOKEN_PRESENT},
	[FN_C_OpenSession] = {SLOT, .token = TOKEN_RECOGNIZED},

	[FN_C_InitPIN] = {SESSION, .state = STATE_RW_SO, .sync = true},
	[FN_C_SetPIN] = {SESSION, .state = STATE_RW, .sync = true},
	[FN_C_CloseSession] = PLAIN,
	[FN_C_GetSessionInfo] = PLAIN,
	[FN_C_SessionCancel] = PLAIN,
	/* A login to a token that was re-initialized meanwhile must not cost a try of the new one's PIN. */
	[FN_C_Login] = OBJECTS,
	[FN_C_LoginUser] = OBJECTS,
	[FN_C_Logout] = {SESSION, .state = STATE_LOGGED_IN},
	[FN_C_GetFunctionStatus] = PLAIN,
	[FN_C_CancelFunction] = PLAIN,
	[FN_C_GetOperationState] = STUB,
	[FN_C_SetOperationState] = STUB,
	[FN_C_GetSessionValidationFlags] = STUB,
	[FN_C_AsyncComplete] = STUB,
	[FN_C_AsyncGetID] = STUB,
	[FN_C_AsyncJoin] = STUB,

	[FN_C_CreateObject] = OBJECTS,
	[FN_C_CopyObject] = OBJECTS,
	[FN_C_DestroyObject] = OBJECTS,
	[FN_C_GetObjectSize] = OBJECTS,
	[FN_C_GetAttributeValue] = OBJECTS,
	[FN_C_SetAttributeValue] = OBJECTS,
	[FN_C_FindObjectsInit] = OBJECTS,
	/* A search is a snapshot. */
	[FN_C_FindObjects] = PLAIN,
	[FN_C_FindObjectsFinal] = PLAIN,

	[FN_C_EncryptInit] = OBJECTS,
	[FN_C_Encrypt] = PLAIN,
	[FN_C_EncryptUpdate] = PLAIN,
	[FN_C_EncryptFinal] = PLAIN,
	[FN_C_DecryptInit] = OBJECTS,
	[FN_C_Decrypt] = PLAIN,
	[FN_C_DecryptUpdate] = PLAIN,
	[FN_C_DecryptFinal] = PLAIN,
	[FN_C_DigestInit] = PLAIN,
	[FN_C_Digest] = PLAIN,
	[FN_C_DigestUpdate] = PLAIN,
	[FN_C_DigestKey] = OBJECTS,
	[FN_C_DigestFinal] = PLAIN,
	[FN_C_SignInit] = OBJECTS,
	[FN_C_Sign] = PLAIN,
	[FN_C_SignUpdate] = PLAIN,
	[FN_C_SignFinal] = PLAIN,
	[FN_C_SignRecoverInit] = STUB,
	[FN_C_SignRecover] = STUB,
	[FN_C_VerifyInit] = OBJECTS,
	[FN_C_Verify] = PLAIN,
	[FN_C_VerifyUpdate] = PLAIN,
	[FN_C_VerifyFinal] = PLAIN,
	[FN_C_VerifyRecoverInit] = STUB,
	[FN_C_VerifyRecover] = STUB,
	[FN_C_VerifySignatureInit] = OBJECTS,
	[FN_C_VerifySignature] = PLAIN,
	[FN_C_VerifySignatureUpdate] = PLAIN,
	[FN_C_VerifySignatureFinal] = PLAIN,
	[FN_C_DigestEncryptUpdate] = STUB,
	[FN_C_DecryptDigestUpdate] = STUB,
	[FN_C_SignEncryptUpdate] = STUB,
	[FN_C_DecryptVerifyUpdate] = STUB,

	[FN_C_GenerateKey] = OBJECTS,
	[FN_C_GenerateKeyPair] = OBJECTS,
	[FN_C_WrapKey] = OBJECTS,
	[FN_C_UnwrapKey] = OBJECTS,
	[FN_C_DeriveKey] = OBJECTS,
	[FN_C_WrapKeyAuthenticated] = STUB,
	[FN_C_UnwrapKeyAuthenticated] = STUB,
	[FN_C_EncapsulateKey] = STUB,
	[FN_C_DecapsulateKey] = STUB,
	[FN_C_SeedRandom] = PLAIN,
	[FN_C_GenerateRandom] = PLAIN,

	[FN_C_MessageEncryptInit] = STUB,
	[FN_C_EncryptMessage] = STUB,
	[FN_C_EncryptMessageBegin] = STUB,
	[FN_C_EncryptMessageNext] = STUB,
	[FN_C_MessageEncryptFinal] = STUB,
	[FN_C_MessageDecryptInit] = STUB,
	[FN_C_DecryptMessage] = STUB,
	[FN_C_DecryptMessageBegin] = STUB,
	[FN_C_DecryptMessageNext] = STUB,
	[FN_C_MessageDecryptFinal] = STUB,
	[FN_C_MessageSignInit] = STUB,
	[FN_C_SignMessage] = STUB,
	[FN_C_SignMessageBegin] = STUB,
	[FN_C_SignMessageNext] = STUB,
	[FN_C_MessageSignFinal] = STUB,
	[FN_C_MessageVerifyInit] = STUB,
	[FN_C_VerifyMessage] = STUB,
	[FN_C_VerifyMessageBegin] = STUB,
	[FN_C_VerifyMessageNext] = STUB,
	[FN_C_MessageVerifyFinal] = STUB,
};

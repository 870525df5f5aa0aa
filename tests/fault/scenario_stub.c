/* Functions that aren't offered.  They say so whatever fails below them, and touch nothing. */
#include "engine.h"

#define TEXT ((CK_UTF8CHAR *)"C_Sign")
#define IN out.bytes, sizeof out.bytes
#define OUT out.bytes, &out.length
#define NEW_KEY &out.handle[0]
#define MECHANISM MECH(CKM_AES_GCM)

/* Each with the arguments behind the session's handle.  */
#define STUBS(X)                                                                                                       \
	X(C_GetOperationState, OUT)                                                                                    \
	X(C_SetOperationState, IN, 0, 0)                                                                               \
	X(C_SignRecoverInit, MECHANISM, 0)                                                                             \
	X(C_SignRecover, IN, OUT)                                                                                      \
	X(C_VerifyRecoverInit, MECHANISM, 0)                                                                           \
	X(C_VerifyRecover, IN, OUT)                                                                                    \
	X(C_DigestEncryptUpdate, IN, OUT)                                                                              \
	X(C_DecryptDigestUpdate, IN, OUT)                                                                              \
	X(C_SignEncryptUpdate, IN, OUT)                                                                                \
	X(C_DecryptVerifyUpdate, IN, OUT)                                                                              \
	X(C_MessageEncryptInit, MECHANISM, 0)                                                                          \
	X(C_EncryptMessage, IN, IN, IN, OUT)                                                                           \
	X(C_EncryptMessageBegin, IN, IN)                                                                               \
	X(C_EncryptMessageNext, IN, IN, OUT, CKF_END_OF_MESSAGE)                                                       \
	X(C_MessageDecryptInit, MECHANISM, 0)                                                                          \
	X(C_DecryptMessage, IN, IN, IN, OUT)                                                                           \
	X(C_DecryptMessageBegin, IN, IN)                                                                               \
	X(C_DecryptMessageNext, IN, IN, OUT, CKF_END_OF_MESSAGE)                                                       \
	X(C_MessageSignInit, MECHANISM, 0)                                                                             \
	X(C_SignMessage, IN, IN, OUT)                                                                                  \
	X(C_SignMessageBegin, IN)                                                                                      \
	X(C_SignMessageNext, IN, IN, OUT)                                                                              \
	X(C_MessageVerifyInit, MECHANISM, 0)                                                                           \
	X(C_VerifyMessage, IN, IN, IN)                                                                                 \
	X(C_VerifyMessageBegin, IN)                                                                                    \
	X(C_VerifyMessageNext, IN, IN, IN)                                                                             \
	X(C_EncapsulateKey, MECHANISM, 0, NULL, 0, OUT, NEW_KEY)                                                       \
	X(C_DecapsulateKey, MECHANISM, 0, NULL, 0, IN, NEW_KEY)                                                        \
	X(C_GetSessionValidationFlags, CKS_LAST_VALIDATION_OK, &out.length)                                            \
	X(C_AsyncComplete, TEXT, NULL)                                                                                 \
	X(C_AsyncGetID, TEXT, &out.length)                                                                             \
	X(C_AsyncJoin, TEXT, 0, IN)                                                                                    \
	X(C_WrapKeyAuthenticated, MECHANISM, 0, 0, IN, OUT)                                                            \
	X(C_UnwrapKeyAuthenticated, MECHANISM, 0, IN, NULL, 0, IN, NEW_KEY)

/* With nothing behind it. */
#define BARE_STUBS(X)                                                                                                  \
	X(C_MessageEncryptFinal)                                                                                       \
	X(C_MessageDecryptFinal)                                                                                       \
	X(C_MessageSignFinal)                                                                                          \
	X(C_MessageVerifyFinal)

#define CALL_STUB(name, ...)                                                                                           \
	static CK_RV call_##name(void)                                                                                 \
	{                                                                                                              \
		return h.f->name(h.session, __VA_ARGS__);                                                              \
	}
#define CALL_BARE(name)                                                                                                \
	static CK_RV call_##name(void)                                                                                 \
	{                                                                                                              \
		return h.f->name(h.session);                                                                           \
	}
STUBS(CALL_STUB)
BARE_STUBS(CALL_BARE)

#define ROW(name, ...)                                                                                                 \
	{.function = #name, .variant = "not offered", .on = ON_BOTH, .stage = STAGE_USER, .traits = ANSWERS,           \
	 .answer = CKR_FUNCTION_NOT_SUPPORTED, .call = call_##name},

const struct scenario stub_scenarios[] = {STUBS(ROW) BARE_STUBS(ROW) {.function = NULL}};

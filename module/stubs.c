/* The functions that aren't offered.  Each checks what its class demands (initialized, the session's handle), then says
 * so: no list has a NULL in it (PKCS#11 3.2, chapter 5).
 *
 * Not offered are: saved operation state (keys in a TPM have none that could leave it), recovery, dual-purpose
 * functions, authenticated wrapping, encapsulation, message-based functions, asynchronous calls and validation flags. */
#include "dispatch.h"

CK_RV C_GetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR operation_state UNUSED,
	CK_ULONG_PTR operation_state_len UNUSED)
{
	return call_stub(FN_C_GetOperationState, true, session);
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR operation_state UNUSED,
	CK_ULONG operation_state_len UNUSED, CK_OBJECT_HANDLE encryption_key UNUSED,
	CK_OBJECT_HANDLE authentiation_key UNUSED)
{
	return call_stub(FN_C_SetOperationState, true, session);
}

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE key UNUSED)
{
	return call_stub(FN_C_SignRecoverInit, true, session);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR data UNUSED, CK_ULONG data_len UNUSED,
	CK_BYTE_PTR signature UNUSED, CK_ULONG_PTR signature_len UNUSED)
{
	return call_stub(FN_C_SignRecover, true, session);
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE key UNUSED)
{
	return call_stub(FN_C_VerifyRecoverInit, true, session);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR signature UNUSED,
	CK_ULONG signature_len UNUSED, CK_BYTE_PTR data UNUSED, CK_ULONG_PTR data_len UNUSED)
{
	return call_stub(FN_C_VerifyRecover, true, session);
}

CK_RV C_DigestEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part UNUSED, CK_ULONG part_len UNUSED,
	CK_BYTE_PTR encrypted_part UNUSED, CK_ULONG_PTR encrypted_part_len UNUSED)
{
	return call_stub(FN_C_DigestEncryptUpdate, true, session);
}

CK_RV C_DecryptDigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR encrypted_part UNUSED,
	CK_ULONG encrypted_part_len UNUSED, CK_BYTE_PTR part UNUSED, CK_ULONG_PTR part_len UNUSED)
{
	return call_stub(FN_C_DecryptDigestUpdate, true, session);
}

CK_RV C_SignEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part UNUSED, CK_ULONG part_len UNUSED,
	CK_BYTE_PTR encrypted_part UNUSED, CK_ULONG_PTR encrypted_part_len UNUSED)
{
	return call_stub(FN_C_SignEncryptUpdate, true, session);
}

CK_RV C_DecryptVerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR encrypted_part UNUSED,
	CK_ULONG encrypted_part_len UNUSED, CK_BYTE_PTR part UNUSED, CK_ULONG_PTR part_len UNUSED)
{
	return call_stub(FN_C_DecryptVerifyUpdate, true, session);
}

CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE key UNUSED)
{
	return call_stub(FN_C_MessageEncryptInit, true, session);
}

CK_RV C_EncryptMessage(CK_SESSION_HANDLE session, void *parameter UNUSED, CK_ULONG parameter_len UNUSED,
	CK_BYTE_PTR aad UNUSED, CK_ULONG aad_len UNUSED, CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED,
	CK_BYTE_PTR out UNUSED, CK_ULONG_PTR out_len UNUSED)
{
	return call_stub(FN_C_EncryptMessage, true, session);
}

CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE session, void *parameter UNUSED,
	CK_ULONG parameter_len UNUSED, CK_BYTE_PTR aad UNUSED, CK_ULONG aad_len UNUSED)
{
	return call_stub(FN_C_EncryptMessageBegin, true, session);
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE session, void *parameter UNUSED,
	CK_ULONG parameter_len UNUSED, CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED, CK_BYTE_PTR out UNUSED,
	CK_ULONG_PTR out_len UNUSED, CK_FLAGS flags UNUSED)
{
	return call_stub(FN_C_EncryptMessageNext, true, session);
}

CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE session)
{
	return call_stub(FN_C_MessageEncryptFinal, true, session);
}

CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE key UNUSED)
{
	return call_stub(FN_C_MessageDecryptInit, true, session);
}

CK_RV C_DecryptMessage(CK_SESSION_HANDLE session, void *parameter UNUSED, CK_ULONG parameter_len UNUSED,
	CK_BYTE_PTR aad UNUSED, CK_ULONG aad_len UNUSED, CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED,
	CK_BYTE_PTR out UNUSED, CK_ULONG_PTR out_len UNUSED)
{
	return call_stub(FN_C_DecryptMessage, true, session);
}

CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE session, void *parameter UNUSED,
	CK_ULONG parameter_len UNUSED, CK_BYTE_PTR aad UNUSED, CK_ULONG aad_len UNUSED)
{
	return call_stub(FN_C_DecryptMessageBegin, true, session);
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE session, void *parameter UNUSED,
	CK_ULONG parameter_len UNUSED, CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED, CK_BYTE_PTR out UNUSED,
	CK_ULONG_PTR out_len UNUSED, CK_FLAGS flags UNUSED)
{
	return call_stub(FN_C_DecryptMessageNext, true, session);
}

CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE session)
{
	return call_stub(FN_C_MessageDecryptFinal, true, session);
}

CK_RV C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE key UNUSED)
{
	return call_stub(FN_C_MessageSignInit, true, session);
}

CK_RV C_SignMessage(CK_SESSION_HANDLE session, void *parameter UNUSED, CK_ULONG parameter_len UNUSED,
	CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED, CK_BYTE_PTR signature UNUSED,
	CK_ULONG_PTR signature_len UNUSED)
{
	return call_stub(FN_C_SignMessage, true, session);
}

CK_RV C_SignMessageBegin(CK_SESSION_HANDLE session, void *parameter UNUSED, CK_ULONG parameter_len UNUSED)
{
	return call_stub(FN_C_SignMessageBegin, true, session);
}

CK_RV C_SignMessageNext(CK_SESSION_HANDLE session, void *parameter UNUSED, CK_ULONG parameter_len UNUSED,
	CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED, CK_BYTE_PTR signature UNUSED,
	CK_ULONG_PTR signature_len UNUSED)
{
	return call_stub(FN_C_SignMessageNext, true, session);
}

CK_RV C_MessageSignFinal(CK_SESSION_HANDLE session)
{
	return call_stub(FN_C_MessageSignFinal, true, session);
}

CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE key UNUSED)
{
	return call_stub(FN_C_MessageVerifyInit, true, session);
}

CK_RV C_VerifyMessage(CK_SESSION_HANDLE session, void *parameter UNUSED, CK_ULONG parameter_len UNUSED,
	CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED, CK_BYTE_PTR signature UNUSED,
	CK_ULONG signature_len UNUSED)
{
	return call_stub(FN_C_VerifyMessage, true, session);
}

CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE session, void *parameter UNUSED,
	CK_ULONG parameter_len UNUSED)
{
	return call_stub(FN_C_VerifyMessageBegin, true, session);
}

CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE session, void *parameter UNUSED,
	CK_ULONG parameter_len UNUSED, CK_BYTE_PTR in UNUSED, CK_ULONG in_len UNUSED,
	CK_BYTE_PTR signature UNUSED, CK_ULONG signature_len UNUSED)
{
	return call_stub(FN_C_VerifyMessageNext, true, session);
}

CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE session)
{
	return call_stub(FN_C_MessageVerifyFinal, true, session);
}

CK_RV C_EncapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE public_key UNUSED, CK_ATTRIBUTE_PTR templ UNUSED, CK_ULONG count UNUSED,
	CK_BYTE_PTR ciphertext UNUSED, CK_ULONG_PTR ciphertext_len UNUSED, CK_OBJECT_HANDLE_PTR key UNUSED)
{
	return call_stub(FN_C_EncapsulateKey, true, session);
}

CK_RV C_DecapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE private_key UNUSED, CK_ATTRIBUTE_PTR templ UNUSED, CK_ULONG count UNUSED,
	CK_BYTE_PTR ciphertext UNUSED, CK_ULONG ciphertext_len UNUSED, CK_OBJECT_HANDLE_PTR key UNUSED)
{
	return call_stub(FN_C_DecapsulateKey, true, session);
}

CK_RV C_GetSessionValidationFlags(CK_SESSION_HANDLE session, CK_SESSION_VALIDATION_FLAGS_TYPE type UNUSED,
	CK_FLAGS_PTR flags UNUSED)
{
	return call_stub(FN_C_GetSessionValidationFlags, true, session);
}

CK_RV C_AsyncComplete(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function UNUSED,
	CK_ASYNC_DATA_PTR result UNUSED)
{
	return call_stub(FN_C_AsyncComplete, true, session);
}

CK_RV C_AsyncGetID(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function UNUSED, CK_ULONG_PTR id UNUSED)
{
	return call_stub(FN_C_AsyncGetID, true, session);
}

CK_RV C_AsyncJoin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function UNUSED, CK_ULONG id UNUSED,
	CK_BYTE_PTR data UNUSED, CK_ULONG data_len UNUSED)
{
	return call_stub(FN_C_AsyncJoin, true, session);
}

CK_RV C_WrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE wrapping_key UNUSED, CK_OBJECT_HANDLE key UNUSED, CK_BYTE_PTR aad UNUSED,
	CK_ULONG aad_len UNUSED, CK_BYTE_PTR wrapped UNUSED, CK_ULONG_PTR wrapped_len UNUSED)
{
	return call_stub(FN_C_WrapKeyAuthenticated, true, session);
}

CK_RV C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism UNUSED,
	CK_OBJECT_HANDLE unwrapping_key UNUSED, CK_BYTE_PTR wrapped UNUSED, CK_ULONG wrapped_len UNUSED,
	CK_ATTRIBUTE_PTR templ UNUSED, CK_ULONG count UNUSED, CK_BYTE_PTR aad UNUSED, CK_ULONG aad_len UNUSED,
	CK_OBJECT_HANDLE_PTR key UNUSED)
{
	return call_stub(FN_C_UnwrapKeyAuthenticated, true, session);
}

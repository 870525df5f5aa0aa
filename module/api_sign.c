/* C_Sign*, C_Verify* and C_VerifySignature* (PKCS#11 3.2, 5.13 and 5.15). */
#include "operation.h"

static CK_RV init(enum function fn, CK_SESSION_HANDLE session, enum session_op which, CK_MECHANISM_PTR mechanism,
		  CK_OBJECT_HANDLE key)
{
	struct call c;
	CK_RV rv = call_session(&c, fn, session, true);

	if (rv == CKR_OK)
		rv = operation_init(&c, which, mechanism, key);
	return call_leave(&c, rv);
}

CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return init(FN_C_SignInit, session, SESSION_SIGN, mechanism, key);
}

CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR signature,
	     CK_ULONG_PTR signature_len)
{
	return operation_call(FN_C_Sign, session,
			      &(struct op_request){.which = SESSION_SIGN, .step = STEP_ONESHOT, .in = data,
						   .in_len = data_len, .out = signature, .out_len = signature_len});
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len)
{
	return operation_call(FN_C_SignUpdate, session,
			      &(struct op_request){.which = SESSION_SIGN, .step = STEP_UPDATE, .in = part,
						   .in_len = part_len});
}

CK_RV C_SignFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len)
{
	return operation_call(FN_C_SignFinal, session,
			      &(struct op_request){.which = SESSION_SIGN, .step = STEP_FINAL, .out = signature,
						   .out_len = signature_len});
}

CK_RV C_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return init(FN_C_VerifyInit, session, SESSION_VERIFY, mechanism, key);
}

CK_RV C_Verify(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR signature,
	       CK_ULONG signature_len)
{
	return operation_call(FN_C_Verify, session,
			      &(struct op_request){.which = SESSION_VERIFY, .step = STEP_ONESHOT, .in = data,
						   .in_len = data_len, .signature = signature,
						   .signature_len = signature_len});
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len)
{
	return operation_call(FN_C_VerifyUpdate, session,
			      &(struct op_request){.which = SESSION_VERIFY, .step = STEP_UPDATE, .in = part,
						   .in_len = part_len});
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
	return operation_call(FN_C_VerifyFinal, session,
			      &(struct op_request){.which = SESSION_VERIFY, .step = STEP_FINAL, .signature = signature,
						   .signature_len = signature_len});
}

CK_RV C_VerifySignatureInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key,
			    CK_BYTE_PTR signature, CK_ULONG signature_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_VerifySignatureInit, session, !mechanism || signature);

	if (rv == CKR_OK)
		rv = operation_init_signature(&c, mechanism, key, BYTES(signature, signature_len));
	return call_leave(&c, rv);
}

CK_RV C_VerifySignature(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len)
{
	return operation_call(FN_C_VerifySignature, session,
			      &(struct op_request){.which = SESSION_VERIFY, .step = STEP_ONESHOT, .in = data,
						   .in_len = data_len, .signature_given = true});
}

CK_RV C_VerifySignatureUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len)
{
	return operation_call(FN_C_VerifySignatureUpdate, session,
			      &(struct op_request){.which = SESSION_VERIFY, .step = STEP_UPDATE, .in = part,
						   .in_len = part_len, .signature_given = true});
}

CK_RV C_VerifySignatureFinal(CK_SESSION_HANDLE session)
{
	return operation_call(FN_C_VerifySignatureFinal, session,
			      &(struct op_request){.which = SESSION_VERIFY, .step = STEP_FINAL,
						   .signature_given = true});
}

/* C_Encrypt* and C_Decrypt* (PKCS#11 3.2, 5.8 and 5.10). */
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

CK_RV C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return init(FN_C_EncryptInit, session, SESSION_ENCRYPT, mechanism, key);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR encrypted,
		CK_ULONG_PTR encrypted_len)
{
	return operation_call(FN_C_Encrypt, session,
			      &(struct op_request){.which = SESSION_ENCRYPT, .step = STEP_ONESHOT, .in = data,
						   .in_len = data_len, .out = encrypted, .out_len = encrypted_len});
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len, CK_BYTE_PTR encrypted,
		      CK_ULONG_PTR encrypted_len)
{
	return operation_call(FN_C_EncryptUpdate, session,
			      &(struct op_request){.which = SESSION_ENCRYPT, .step = STEP_UPDATE, .in = part,
						   .in_len = part_len, .out = encrypted, .out_len = encrypted_len});
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR encrypted, CK_ULONG_PTR encrypted_len)
{
	return operation_call(FN_C_EncryptFinal, session,
			      &(struct op_request){.which = SESSION_ENCRYPT, .step = STEP_FINAL, .out = encrypted,
						   .out_len = encrypted_len});
}

CK_RV C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return init(FN_C_DecryptInit, session, SESSION_DECRYPT, mechanism, key);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR encrypted, CK_ULONG encrypted_len, CK_BYTE_PTR data,
		CK_ULONG_PTR data_len)
{
	return operation_call(FN_C_Decrypt, session,
			      &(struct op_request){.which = SESSION_DECRYPT, .step = STEP_ONESHOT, .in = encrypted,
						   .in_len = encrypted_len, .out = data, .out_len = data_len});
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR encrypted, CK_ULONG encrypted_len, CK_BYTE_PTR part,
		      CK_ULONG_PTR part_len)
{
	return operation_call(FN_C_DecryptUpdate, session,
			      &(struct op_request){.which = SESSION_DECRYPT, .step = STEP_UPDATE, .in = encrypted,
						   .in_len = encrypted_len, .out = part, .out_len = part_len});
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR last, CK_ULONG_PTR last_len)
{
	return operation_call(FN_C_DecryptFinal, session,
			      &(struct op_request){.which = SESSION_DECRYPT, .step = STEP_FINAL, .out = last,
						   .out_len = last_len});
}

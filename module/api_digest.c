/* C_Digest* (PKCS#11 3.2, 5.12): libcrypto's work, for every token the same (R4). */
#include "operation.h"

CK_RV C_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_DigestInit, session, true);

	if (rv == CKR_OK)
		rv = operation_init(&c, SESSION_DIGEST, mechanism, CK_INVALID_HANDLE);
	return call_leave(&c, rv);
}

CK_RV C_Digest(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR digest,
	       CK_ULONG_PTR digest_len)
{
	return operation_call(FN_C_Digest, session,
			      &(struct op_request){.which = SESSION_DIGEST, .step = STEP_ONESHOT, .in = data,
						   .in_len = data_len, .out = digest, .out_len = digest_len});
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len)
{
	return operation_call(FN_C_DigestUpdate, session,
			      &(struct op_request){.which = SESSION_DIGEST, .step = STEP_UPDATE, .in = part,
						   .in_len = part_len});
}

CK_RV C_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_DigestKey, session, true);

	return call_leave(&c, operation_digest_key(&c, rv, key));
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR digest, CK_ULONG_PTR digest_len)
{
	return operation_call(FN_C_DigestFinal, session,
			      &(struct op_request){.which = SESSION_DIGEST, .step = STEP_FINAL, .out = digest,
						   .out_len = digest_len});
}

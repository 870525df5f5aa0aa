/* General-purpose functions (PKCS#11 3.2, 5.4) and the relics of parallel sessions (5.20). */
#include <openssl/err.h>

#include "dispatch.h"
#include "log.h"
#include "pad.h"

CK_RV C_Initialize(void *args)
{
	CK_RV rv;

	(void)ERR_set_mark();
	log_context(function_name(FN_C_Initialize));
	rv = library_initialize(args);
	log_context(NULL);
	(void)ERR_pop_to_mark();
	return rv;
}

CK_RV C_Finalize(void *reserved)
{
	CK_RV rv;

	if (reserved) {
		if (!library_enter())
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		library_leave();
		return CKR_ARGUMENTS_BAD;
	}
	(void)ERR_set_mark();
	rv = library_finalize();
	(void)ERR_pop_to_mark();
	return rv;
}

CK_RV C_GetInfo(CK_INFO_PTR info)
{
	struct call c;
	CK_RV rv = call_library(&c, FN_C_GetInfo, info != NULL);

	if (rv != CKR_OK)
		return call_leave(&c, rv);
	memset(info, 0, sizeof *info);
	info->cryptokiVersion = (CK_VERSION){3, 2};
	info->libraryVersion = (CK_VERSION){SIGNET_VERSION_MAJOR, SIGNET_VERSION_MINOR};
	pad_string(info->manufacturerID, sizeof info->manufacturerID, "Signet");
	pad_string(info->libraryDescription, sizeof info->libraryDescription, "TPM 2.0 and kernel keyrings");
	return call_leave(&c, CKR_OK);
}

/* There are no parallel functions since 2.0: handle and state are checked, then that is said. */
static CK_RV not_parallel(enum function fn, CK_SESSION_HANDLE session)
{
	struct call c;
	CK_RV rv = call_session(&c, fn, session, true);

	return call_leave(&c, rv == CKR_OK ? CKR_FUNCTION_NOT_PARALLEL : rv);
}

CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE session)
{
	return not_parallel(FN_C_GetFunctionStatus, session);
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE session)
{
	return not_parallel(FN_C_CancelFunction, session);
}

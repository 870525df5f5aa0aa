/* The function lists and the interfaces (PKCS#11 3.2, 3.6, 5.4.4 to 5.4.6).  Callable before C_Initialize. */
#include "dispatch.h"

#define FUNCTION(name) .name = name,

/* Always {2,40} with exactly its 68 functions, whatever the module can besides. */
static CK_FUNCTION_LIST functions_2_40 = {
	.version = {2, 40},
#define FUNCTIONS_2_40
#include "functions.inc"
#undef FUNCTIONS_2_40
};

static CK_FUNCTION_LIST_3_0 functions_3_0 = {
	.version = {3, 0},
#define FUNCTIONS_3_0
#include "functions.inc"
#undef FUNCTIONS_3_0
};

static CK_FUNCTION_LIST_3_2 functions_3_2 = {
	.version = {3, 2},
#include "functions.inc"
};

#undef FUNCTION

static CK_UTF8CHAR interface_name[] = "PKCS 11";

/* Newest first: the first that fits is the answer.  Not CKF_INTERFACE_FORK_SAFE: a child doesn't inherit sessions. */
static CK_INTERFACE interfaces[] = {
	{.pInterfaceName = (void *)interface_name, .pFunctionList = &functions_3_2},
	{.pInterfaceName = (void *)interface_name, .pFunctionList = &functions_3_0},
	{.pInterfaceName = (void *)interface_name, .pFunctionList = &functions_2_40},
};

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!list)
		return CKR_ARGUMENTS_BAD;
	*list = &functions_2_40;
	return CKR_OK;
}

CK_RV C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG room;

	if (!count)
		return CKR_ARGUMENTS_BAD;
	room = *count;
	*count = ARRAY_LEN(interfaces);
	if (!list)
		return CKR_OK;
	if (room < ARRAY_LEN(interfaces))
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, interfaces, sizeof interfaces);
	return CKR_OK;
}

/* NULL and 0 are wildcards. */
static bool interface_fits(const CK_INTERFACE *i, const CK_UTF8CHAR *name, const CK_VERSION *version, CK_FLAGS flags)
{
	const CK_VERSION *own = i->pFunctionList; /* every list begins with its version */

	if (name && strcmp((const char *)name, (const char *)i->pInterfaceName) != 0)
		return false;
	if (version && (version->major != own->major || version->minor != own->minor))
		return false;
	return (i->flags & flags) == flags;
}

/* The standard names no code for "there is none"; of those on its list ARGUMENTS_BAD is what callers know. */
CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags)
{
	if (!interface)
		return CKR_ARGUMENTS_BAD;
	for (size_t i = 0; i < ARRAY_LEN(interfaces); i++)
		if (interface_fits(&interfaces[i], name, version, flags)) {
			*interface = &interfaces[i];
			return CKR_OK;
		}
	return CKR_ARGUMENTS_BAD;
}

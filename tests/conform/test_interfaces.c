/* Function lists, interfaces, information about library, slots, tokens and mechanisms (3.6, 5.4, 5.5; T016 to T040). */
#include "harness.h"

#include <dlfcn.h>

TestSuite(interfaces, .init = harness_up, .fini = harness_down, .timeout = 60);
TestSuite(slots, .init = library_up, .fini = harness_down, .timeout = 60);

static CK_C_GetInterface get_interface(void)
{
	return (CK_C_GetInterface)dlsym(h.module, "C_GetInterface");
}

static CK_RV ask(const char *name, const CK_VERSION *version, CK_FLAGS flags, CK_INTERFACE **ret)
{
	CK_VERSION v = version ? *version : (CK_VERSION){0, 0};

	*ret = NULL;
	return get_interface()((CK_UTF8CHAR *)name, version ? &v : NULL, ret, flags);
}

Test(interfaces, T016_fork_safe_is_not_claimed)
{
	CK_INTERFACE *i;

	CK_RV rv = ask(NULL, NULL, CKF_INTERFACE_FORK_SAFE, &i);
	cr_assert(rv == CKR_ARGUMENTS_BAD || rv == CKR_FUNCTION_FAILED, "%s", rv_name(rv));
}

Test(interfaces, T018_T019_T025_legacy_list)
{
	CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(h.module, "C_GetFunctionList");
	CK_FUNCTION_LIST *list = NULL;

	cr_assert(get && get(&list) == CKR_OK && list);
	cr_assert(list->version.major == 2 && list->version.minor == 40, "%d.%d", list->version.major,
		  list->version.minor);
	void *const *slot = (void *const *)&list->C_Initialize;
	for (size_t i = 0; i < 68; i++)
		cr_assert(slot[i], "function %zu is NULL", i + 1);
	cr_assert(get(NULL) == CKR_ARGUMENTS_BAD);
}

Test(interfaces, T020_T021_T025_new_lists)
{
	static const struct {
		CK_VERSION version;
		size_t functions;
	} lists[] = {{{2, 40}, 68}, {{3, 0}, 92}, {{3, 2}, 104}};

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		CK_INTERFACE *i;
		cr_assert(ask("PKCS 11", &lists[l].version, 0, &i) == CKR_OK && i);
		const CK_FUNCTION_LIST_3_2 *f = i->pFunctionList;
		cr_assert(f->version.major == lists[l].version.major && f->version.minor == lists[l].version.minor);
		void *const *slot = (void *const *)&f->C_Initialize;
		for (size_t n = 0; n < lists[l].functions; n++)
			cr_assert(slot[n], "function %zu is NULL", n + 1);
	}
}

Test(interfaces, T022_interface_list)
{
	CK_INTERFACE list[8];
	CK_ULONG n = 1234, all;

	OK(C_GetInterfaceList, NULL, &n);
	all = n;
	cr_assert(all >= 3 && all <= ARRAY_LEN(list));
	for (CK_ULONG i = 0; i < all; i++) {
		n = i;
		EXPECT(CKR_BUFFER_TOO_SMALL, C_GetInterfaceList, list, &n);
		cr_assert(n == all);
	}
	OK(C_GetInterfaceList, list, &n);
	cr_assert(n == all);
	for (CK_ULONG i = 0; i < n; i++)
		cr_assert_str_eq((const char *)list[i].pInterfaceName, "PKCS 11");
	EXPECT(CKR_ARGUMENTS_BAD, C_GetInterfaceList, list, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetInterfaceList, NULL, NULL);
}

Test(interfaces, T023_what_matches)
{
	CK_INTERFACE *i;

	cr_assert(ask("PKCS 11", NULL, 0, &i) == CKR_OK && i);
	cr_assert(ask(NULL, &(CK_VERSION){3, 0}, 0, &i) == CKR_OK && i);
	cr_assert(ask("PKCS 11", &(CK_VERSION){3, 1}, 0, &i) != CKR_OK);
	cr_assert(ask("PKCS 11", &(CK_VERSION){2, 41}, 0, &i) != CKR_OK);
	CK_RV rv = ask("pkcs 11", NULL, 0, &i);
	cr_assert(rv == CKR_ARGUMENTS_BAD || rv == CKR_FUNCTION_FAILED, "%s", rv_name(rv));
	cr_assert(ask("PKCS 11", NULL, 0x8000, &i) != CKR_OK);
	cr_assert(get_interface()(NULL, NULL, NULL, 0) == CKR_ARGUMENTS_BAD);
}

Test(interfaces, T024_newest_without_wishes)
{
	CK_INTERFACE *i;

	cr_assert(ask(NULL, NULL, 0, &i) == CKR_OK && i);
	cr_assert(((const CK_VERSION *)i->pFunctionList)->major == 3);
	cr_assert(((const CK_VERSION *)i->pFunctionList)->minor == 2);
	cr_assert_str_eq((const char *)i->pInterfaceName, "PKCS 11");
}

/* ---- information ---- */

static void check_padded(const CK_UTF8CHAR *text, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		cr_expect(text[i] != 0, "%s has a NUL at %zu", what, i);
}

Test(slots, T027_library_info)
{
	CK_INFO info;

	OK(C_GetInfo, &info);
	cr_assert(info.cryptokiVersion.major == 3 && info.cryptokiVersion.minor == 2);
	cr_assert(info.flags == 0);
	check_padded(info.manufacturerID, sizeof info.manufacturerID, "manufacturerID");
	check_padded(info.libraryDescription, sizeof info.libraryDescription, "libraryDescription");
	EXPECT(CKR_ARGUMENTS_BAD, C_GetInfo, NULL);
}

Test(slots, T028_T029_slot_info)
{
	CK_SLOT_INFO info;

	OK(C_GetSlotInfo, h.slot, &info);
	check_padded(info.slotDescription, sizeof info.slotDescription, "slotDescription");
	check_padded(info.manufacturerID, sizeof info.manufacturerID, "manufacturerID");
	cr_assert(!!(info.flags & CKF_HW_SLOT) == h.kind->hardware);
	cr_assert(info.flags & CKF_TOKEN_PRESENT);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetSlotInfo, h.slot, NULL);
}

Test(slots, T028_T030_T031_token_info)
{
	CK_TOKEN_INFO info;

	token_up();
	OK(C_GetTokenInfo, h.slot, &info);
	check_padded(info.label, sizeof info.label, "label");
	cr_assert_arr_eq(info.label, "Signet test                     ", 32);
	check_padded(info.manufacturerID, sizeof info.manufacturerID, "manufacturerID");
	check_padded(info.model, sizeof info.model, "model");
	check_padded(info.serialNumber, sizeof info.serialNumber, "serialNumber");
	cr_assert(info.ulMaxSessionCount == CK_EFFECTIVELY_INFINITE || info.ulMaxSessionCount > 8);
	cr_assert(info.ulSessionCount == 0 && info.ulRwSessionCount == 0);
	cr_assert(info.ulTotalPublicMemory == CK_UNAVAILABLE_INFORMATION);
	cr_assert(info.ulMinPinLen >= 1 && info.ulMaxPinLen >= 32 && info.ulMinPinLen <= 8);
	cr_assert(!(info.flags & (CKF_SECONDARY_AUTHENTICATION | CKF_CLOCK_ON_TOKEN)));
	cr_assert((info.flags & (CKF_RNG | CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED)) ==
		  (CKF_RNG | CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED), "0x%lx", info.flags);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetTokenInfo, h.slot, NULL);
}

Test(slots, T030_session_counts)
{
	CK_TOKEN_INFO info;

	token_up();
	CK_SESSION_HANDLE ro = open_session(RO), rw = open_session(RW);
	OK(C_GetTokenInfo, h.slot, &info);
	cr_assert(info.ulSessionCount == 2 && info.ulRwSessionCount == 1);
	OK(C_CloseSession, ro);
	OK(C_CloseSession, rw);
	OK(C_GetTokenInfo, h.slot, &info);
	cr_assert(info.ulSessionCount == 0 && info.ulRwSessionCount == 0);
}

Test(slots, T034_T035_slot_list)
{
	CK_SLOT_ID list[4];
	CK_SLOT_INFO info;
	CK_ULONG n = 77;

	OK(C_GetSlotList, CK_FALSE, NULL, &n);
	cr_assert(n == 2);
	n = 1;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_GetSlotList, CK_FALSE, list, &n);
	cr_assert(n == 2);
	OK(C_GetSlotList, CK_FALSE, list, &n);
	cr_assert(n == 2);
	for (CK_ULONG i = 0; i < n; i++)
		OK(C_GetSlotInfo, list[i], &info);
	n = ARRAY_LEN(list);
	OK(C_GetSlotList, 0x80, list, &n);
	cr_assert(n >= 1 && n <= 2);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetSlotList, CK_FALSE, list, NULL);
}

Test(slots, T036_unknown_slot)
{
	const CK_SLOT_ID bad[] = {2, 77, ~0ul, 0x100000000ul};
	CK_SLOT_INFO slot;
	CK_TOKEN_INFO token;
	CK_ULONG n;
	CK_MECHANISM_INFO mech;
	CK_SESSION_HANDLE s;
	CK_UTF8CHAR label[32] = "                               ";

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT(CKR_SLOT_ID_INVALID, C_GetSlotInfo, bad[i], &slot);
		EXPECT(CKR_SLOT_ID_INVALID, C_GetTokenInfo, bad[i], &token);
		EXPECT(CKR_SLOT_ID_INVALID, C_GetMechanismList, bad[i], NULL, &n);
		EXPECT(CKR_SLOT_ID_INVALID, C_GetMechanismInfo, bad[i], CKM_SHA256, &mech);
		EXPECT(CKR_SLOT_ID_INVALID, C_InitToken, bad[i], (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
		EXPECT(CKR_SLOT_ID_INVALID, C_OpenSession, bad[i], RO, NULL, NULL, &s);
		EXPECT(CKR_SLOT_ID_INVALID, C_CloseAllSessions, bad[i]);
	}
}

Test(slots, T037_T038_no_event)
{
	CK_SLOT_ID slot;

	EXPECT(CKR_NO_EVENT, C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent, CKF_DONT_BLOCK, NULL, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent, CKF_DONT_BLOCK, &slot, &slot);
}

Test(slots, T039_T040_mechanisms)
{
	CK_MECHANISM_TYPE list[256];
	CK_MECHANISM_INFO info;
	CK_ULONG n = 0, all;

	OK(C_GetMechanismList, h.slot, NULL, &all);
	cr_assert(all > 10 && all <= ARRAY_LEN(list));
	n = all - 1;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_GetMechanismList, h.slot, list, &n);
	cr_assert(n == all);
	OK(C_GetMechanismList, h.slot, list, &n);
	cr_assert(n == all);
	for (CK_ULONG i = 0; i < n; i++) {
		OK(C_GetMechanismInfo, h.slot, list[i], &info);
		cr_expect(info.flags & ~(CK_FLAGS)CKF_HW, "mechanism 0x%lx does nothing", list[i]);
		cr_expect(info.ulMinKeySize <= info.ulMaxKeySize, "mechanism 0x%lx", list[i]);
		for (CK_ULONG j = 0; j < i; j++)
			cr_expect(list[i] != list[j], "mechanism 0x%lx is listed twice", list[i]);
	}
	EXPECT(CKR_MECHANISM_INVALID, C_GetMechanismInfo, h.slot, CKM_KEA_KEY_PAIR_GEN, &info);
	EXPECT(CKR_MECHANISM_INVALID, C_GetMechanismInfo, h.slot, ~0ul, &info);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetMechanismInfo, h.slot, CKM_SHA256, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_GetMechanismList, h.slot, list, NULL);
}

Test(slots, T040_what_everyone_needs)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_FLAGS flags;
		CK_ULONG size; /* one that must be within the limits */
	} want[] = {
		{CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR, 2048},
		{CKM_RSA_PKCS, CKF_SIGN | CKF_VERIFY | CKF_ENCRYPT | CKF_DECRYPT, 2048},
		{CKM_SHA256_RSA_PKCS, CKF_SIGN | CKF_VERIFY, 2048},
		{CKM_RSA_PKCS_PSS, CKF_SIGN | CKF_VERIFY, 2048},
		{CKM_SHA256_RSA_PKCS_PSS, CKF_SIGN | CKF_VERIFY, 2048},
		{CKM_RSA_PKCS_OAEP, CKF_ENCRYPT | CKF_DECRYPT, 2048},
		{CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR | CKF_EC_F_P | CKF_EC_UNCOMPRESS, 256},
		{CKM_ECDSA, CKF_SIGN | CKF_VERIFY | CKF_EC_F_P | CKF_EC_UNCOMPRESS, 256},
		{CKM_ECDSA_SHA256, CKF_SIGN | CKF_VERIFY, 256},
		{CKM_SHA256, CKF_DIGEST, 0},
		{CKM_SHA512, CKF_DIGEST, 0},
		{CKM_AES_KEY_GEN, CKF_GENERATE, 32},
		{CKM_SHA256_HMAC, CKF_SIGN | CKF_VERIFY, 32},
	};
	CK_MECHANISM_INFO info;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		OK(C_GetMechanismInfo, h.slot, want[i].type, &info);
		cr_expect((info.flags & want[i].flags) == want[i].flags, "mechanism 0x%lx has flags 0x%lx", want[i].type,
			  info.flags);
		cr_expect(!want[i].size || (info.ulMinKeySize <= want[i].size && want[i].size <= info.ulMaxKeySize),
			  "mechanism 0x%lx: %lu to %lu", want[i].type, info.ulMinKeySize, info.ulMaxKeySize);
	}
}

Test(slots, T026_parallel_functions)
{
	token_up();
	CK_SESSION_HANDLE s = open_session(RO);
	EXPECT(CKR_FUNCTION_NOT_PARALLEL, C_GetFunctionStatus, s);
	EXPECT(CKR_FUNCTION_NOT_PARALLEL, C_CancelFunction, s);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetFunctionStatus, s + 1);
	EXPECT(CKR_SESSION_HANDLE_INVALID, C_CancelFunction, 0);
}

/* The library, slots and tokens as they describe themselves; sessions and what goes on in them; random numbers. */
#include <errno.h>
#include <unistd.h>

#include "keys.h"
#include "rig.h"

/* ---- the library ---- */

static CK_RV initialize(void)
{
	CK_RV rv = h.f->C_Initialize(rig_initialize_args());

	h.initialized |= rv == CKR_OK;
	return rv;
}

static CK_RV finalize(void)
{
	CK_RV rv = h.f->C_Finalize(NULL);

	h.initialized &= rv != CKR_OK;
	return rv;
}

static bool library_is_there(void)
{
	return h.f->C_GetInfo((CK_INFO *)out.bytes) == CKR_OK;
}

static bool library_is_gone(void)
{
	return h.f->C_GetInfo((CK_INFO *)out.bytes) == CKR_CRYPTOKI_NOT_INITIALIZED;
}

static CK_RV get_info(void)
{
	return h.f->C_GetInfo((CK_INFO *)out.bytes);
}

static CK_RV get_function_list(void)
{
	return h.f->C_GetFunctionList((CK_FUNCTION_LIST **)out.bytes);
}

static CK_RV get_interface(void)
{
	return h.f->C_GetInterface(NULL, NULL, (CK_INTERFACE **)out.bytes, 0);
}

static void room_for_interfaces(void)
{
	out.length = sizeof out.bytes / sizeof(CK_INTERFACE);
}

static CK_RV get_interface_list(void)
{
	return h.f->C_GetInterfaceList((CK_INTERFACE *)out.bytes, &out.length);
}

/* A key is loaded in the TPM, and an operation under way. */
static void library_is_busy(void)
{
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;
	CK_OBJECT_HANDLE key = key_stands(&(struct key_spec){.type = CKK_EC}, NULL).priv;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), key);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), key);
}

/* A process that hasn't used the token yet. */
static void library_is_fresh(void)
{
	rig_stop();
	rig_stage(STAGE_LIBRARY);
}

/* ---- slots, tokens, mechanisms ---- */

static void room_for_slots(void)
{
	out.length = 8;
}

static CK_RV list_slots(bool present)
{
	return h.f->C_GetSlotList(present, (CK_SLOT_ID *)out.bytes, &out.length);
}

static CK_RV get_slots(void)
{
	return list_slots(false);
}

static CK_RV get_tokens(void)
{
	return list_slots(true);
}

static bool slots_are_two(void)
{
	return out.length == 2;
}

/* A token that can't be reached isn't listed. */
static bool slots_are_some(void)
{
	return out.length <= 2;
}

static CK_RV get_slot_info(void)
{
	return h.f->C_GetSlotInfo(h.slot, (CK_SLOT_INFO *)out.bytes);
}

static bool slot_is_described(void)
{
	CK_SLOT_INFO info;

	memcpy(&info, out.bytes, sizeof info);
	return !!(info.flags & CKF_HW_SLOT) == h.kind->hardware && info.slotDescription[0] > ' ';
}

static CK_RV get_token_info(void)
{
	return h.f->C_GetTokenInfo(h.slot, (CK_TOKEN_INFO *)out.bytes);
}

static bool token_is_described(void)
{
	const CK_FLAGS flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_LOGIN_REQUIRED;
	CK_TOKEN_INFO info;

	memcpy(&info, out.bytes, sizeof info);
	return (info.flags & flags) == flags && memcmp(info.label, "Signet test", 11) == 0;
}

/* Nor did any other process before: what a TPM can do isn't remembered. */
static void nothing_is_known(void)
{
	char path[96];

	rig_stop();
	snprintf(path, sizeof path, "%s/store/caps", h.dir);
	cr_assert(unlink(path) == 0 || errno == ENOENT, "%s: %m", path);
	rig_stage(STAGE_LIBRARY);
}

static void room_for_mechanisms(void)
{
	out.length = sizeof out.bytes / sizeof(CK_MECHANISM_TYPE);
}

static CK_RV get_mechanisms(void)
{
	return h.f->C_GetMechanismList(h.slot, (CK_MECHANISM_TYPE *)out.bytes, &out.length);
}

static CK_RV count_mechanisms(void)
{
	return h.f->C_GetMechanismList(h.slot, NULL, &out.length);
}

static bool mechanisms_are_many(void)
{
	return out.length > 10 && out.length < 200;
}

static CK_RV get_mechanism(void)
{
	return h.f->C_GetMechanismInfo(h.slot, CKM_ECDSA, (CK_MECHANISM_INFO *)out.bytes);
}

static bool mechanism_signs(void)
{
	CK_MECHANISM_INFO info;

	memcpy(&info, out.bytes, sizeof info);
	return info.flags & CKF_SIGN && info.ulMaxKeySize >= 256;
}

/* What happened meanwhile is told. */
static void events_are_told(void)
{
	CK_SLOT_ID slot;

	while (h.f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL) == CKR_OK)
		;
}

static CK_RV wait_for_event(void)
{
	return h.f->C_WaitForSlotEvent(CKF_DONT_BLOCK, (CK_SLOT_ID *)out.bytes, NULL);
}

/* ---- random numbers ---- */

static CK_RV generate_some(void)
{
	return h.f->C_GenerateRandom(h.session, out.bytes, 16);
}

static CK_RV generate_many(void)
{
	return h.f->C_GenerateRandom(h.session, out.bytes, sizeof out.bytes);
}

static bool numbers_are_random(void)
{
	return memcmp(out.bytes, out.bytes + 8, 8) != 0;
}

static CK_RV seed(void)
{
	return h.f->C_SeedRandom(h.session, (CK_BYTE *)"not very random", 15);
}

/* ---- a second session ---- */

static CK_SESSION_HANDLE second;

static bool is_open(CK_SESSION_HANDLE s)
{
	CK_SESSION_INFO info;

	return h.f->C_GetSessionInfo(s, &info) == CKR_OK;
}

static void second_stands(void)
{
	if (!second || !is_open(second))
		second = open_session(RW);
}

/* With a key of its own, which is in use: in a TPM it is loaded, and its place is free for another afterwards. */
static void busy_second_stands(void)
{
	if (second && is_open(second))
		return;
	second_stands();
	struct pair p = ec_pair(second, false, "the second's");
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;
	OK(C_SignInit, second, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, second, digest, sizeof digest, sig, &n);
	OK(C_SignInit, second, MECH(CKM_ECDSA), p.priv);
	OK(C_FindObjectsInit, second, NULL, 0);
}

/* ---- C_OpenSession ---- */

static CK_RV open_rw(void)
{
	return h.f->C_OpenSession(h.slot, RW, NULL, NULL, &out.session);
}

static CK_RV open_ro(void)
{
	return h.f->C_OpenSession(h.slot, RO, NULL, NULL, &out.session);
}

static void close_opened(void)
{
	OK(C_CloseSession, out.session);
}

static bool opened(void)
{
	return is_open(out.session) && out.session != h.session;
}

/* ---- C_CloseSession, C_CloseAllSessions ---- */

static CK_RV close_last(void)
{
	return h.f->C_CloseSession(h.session);
}

static CK_RV close_second(void)
{
	return h.f->C_CloseSession(second);
}

static CK_RV close_all(void)
{
	return h.f->C_CloseAllSessions(h.slot);
}

static bool last_is_closed(void)
{
	return !is_open(h.session);
}

static bool second_is_closed(void)
{
	return !is_open(second) && is_open(h.session);
}

static bool both_are_closed(void)
{
	return !is_open(second) && !is_open(h.session);
}

/* ---- what a session says ---- */

static CK_RV get_session_info(void)
{
	return h.f->C_GetSessionInfo(h.session, (CK_SESSION_INFO *)out.bytes);
}

static bool info_is_right(void)
{
	CK_SESSION_INFO info;

	memcpy(&info, out.bytes, sizeof info);
	return info.slotID == h.slot && info.state == CKS_RW_USER_FUNCTIONS && info.flags == RW;
}

static CK_RV get_function_status(void)
{
	return h.f->C_GetFunctionStatus(h.session);
}

static CK_RV cancel_function(void)
{
	return h.f->C_CancelFunction(h.session);
}

/* ---- C_SessionCancel ---- */

static CK_OBJECT_HANDLE key;

static void key_is_there(void)
{
	key = key_stands(&(struct key_spec){.type = CKK_EC}, NULL).priv;
}

static void nothing_goes_on(void)
{
	OK(C_SessionCancel, h.session, CKF_FIND_OBJECTS | CKF_SIGN | CKF_DIGEST);
}

static void operations_begin(void)
{
	nothing_goes_on();
	OK(C_FindObjectsInit, h.session, NULL, 0);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA_SHA256), key);
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_DigestUpdate, h.session, (CK_BYTE *)"begun", 5);
}

static CK_RV cancel(void)
{
	return h.f->C_SessionCancel(h.session, CKF_FIND_OBJECTS | CKF_SIGN);
}

/* The other one goes on. */
static bool canceled(void)
{
	uint8_t digest[32];
	CK_ULONG n = sizeof digest;

	return h.f->C_FindObjectsFinal(h.session) == CKR_OPERATION_NOT_INITIALIZED &&
	       h.f->C_SignUpdate(h.session, digest, 1) == CKR_OPERATION_NOT_INITIALIZED &&
	       h.f->C_DigestFinal(h.session, digest, &n) == CKR_OK;
}

/* ---- searches ---- */

static void crowd_stands(void)
{
	key_crowd(KEY_FULL);
}

static void crowd_and_key_stand(void)
{
	crowd_stands();
	key_is_there();
}

static CK_RV search_all(void)
{
	return h.f->C_FindObjectsInit(h.session, NULL, 0);
}

static CK_RV search_keys(void)
{
	return h.f->C_FindObjectsInit(h.session,
				      TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_TEXT(CKA_LABEL, "key")));
}

static CK_ULONG count_found(void)
{
	CK_OBJECT_HANDLE o[2 * KEY_FULL];
	CK_ULONG n = 0;

	OK(C_FindObjects, h.session, o, ARRAY_LEN(o), &n);
	return n;
}

static bool all_are_found(void)
{
	return count_found() >= KEY_FULL;
}

/* Built-in ones: what tells of the token's profile. */
static bool some_are_found(void)
{
	return count_found() > 0;
}

static bool one_is_found(void)
{
	return count_found() == 1;
}

static void end_search(void)
{
	OK(C_FindObjectsFinal, h.session);
}

static void search_begins(void)
{
	nothing_goes_on();
	OK(C_FindObjectsInit, h.session, NULL, 0);
}

static CK_RV find_two(void)
{
	return h.f->C_FindObjects(h.session, out.handle, ARRAY_LEN(out.handle), &out.length);
}

static bool two_are_found(void)
{
	CK_ULONG size;

	return out.length == 2 && h.f->C_GetObjectSize(h.session, out.handle[1], &size) == CKR_OK;
}

static CK_RV final(void)
{
	return h.f->C_FindObjectsFinal(h.session);
}

static bool search_is_over(void)
{
	return h.f->C_FindObjectsFinal(h.session) == CKR_OPERATION_NOT_INITIALIZED;
}

/* ---- the rows ---- */

#define GENERAL(name, words, stage_, begin_, call_, good_)                                                             \
	{.function = name, .variant = words, .on = ON_BOTH, .stage = stage_, .traits = ANSWERS, .begin = begin_,       \
	 .call = call_, .good = good_}
/* Twice: of a process that has yet to connect, and of one that has a session. */
#define TOKEN(name, begin_, call_, good_)                                                                              \
	{.function = name, .variant = "the first of the process", .on = ON_BOTH, .stage = STAGE_LIBRARY,               \
	 .contexts = CTX_PROBE, .base = library_is_fresh, .begin = begin_, .call = call_, .good = good_},              \
	{.function = name, .variant = "the user is logged in", .on = ON_BOTH, .stage = STAGE_USER,                     \
	 .traits = ANSWERS, .contexts = CTX_PROBE, .begin = begin_, .call = call_, .good = good_}

#define OPEN(words, base_, contexts_, call_)                                                                           \
	{.function = "C_OpenSession", .variant = words, .on = ON_BOTH, .stage = STAGE_LIBRARY,                         \
	 .traits = MOVES_SESSION, .contexts = contexts_, .base = base_, .call = call_, .undo = close_opened,           \
	 .good = opened}
/* Nothing is asked: the token stands while a session is open. */
#define OPEN_ANOTHER(words, stage_, call_)                                                                             \
	{.function = "C_OpenSession", .variant = words, .on = ON_BOTH, .stage = stage_,                                \
	 .traits = MOVES_SESSION | ANSWERS, .call = call_, .undo = close_opened, .good = opened}
#define SEARCH(words, stage_, base_, call_, good_)                                                                     \
	{.function = "C_FindObjectsInit", .variant = words, .on = ON_BOTH, .stage = stage_, .base = base_,             \
	 .begin = nothing_goes_on, .call = call_, .undo = end_search, .good = good_}

const struct scenario session_scenarios[] = {
	{.function = "C_Initialize", .variant = "as ever", .on = ON_BOTH, .stage = STAGE_NONE,
	 .traits = MOVES_SESSION | ANSWERS, .call = initialize, .undo = rig_stop, .good = library_is_there},
	{.function = "C_Finalize", .variant = "no session", .on = ON_BOTH, .stage = STAGE_LIBRARY,
	 .traits = MOVES_SESSION | ANSWERS, .call = finalize, .good = library_is_gone},
	{.function = "C_Finalize", .variant = "a loaded key and an operation", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = MOVES_SESSION | ANSWERS, .contexts = CTX_OBJECT, .base = library_is_busy, .call = finalize,
	 .good = library_is_gone},
	GENERAL("C_GetInfo", "as ever", STAGE_LIBRARY, NULL, get_info, NULL),
	GENERAL("C_GetFunctionList", "as ever", STAGE_NONE, NULL, get_function_list, NULL),
	GENERAL("C_GetInterface", "as ever", STAGE_NONE, NULL, get_interface, NULL),
	GENERAL("C_GetInterfaceList", "as ever", STAGE_NONE, room_for_interfaces, get_interface_list, NULL),
	GENERAL("C_GetSlotList", "all slots", STAGE_LIBRARY, room_for_slots, get_slots, slots_are_two),
	TOKEN("C_GetSlotList", room_for_slots, get_tokens, slots_are_some),
	TOKEN("C_GetSlotInfo", NULL, get_slot_info, slot_is_described),
	TOKEN("C_GetTokenInfo", NULL, get_token_info, token_is_described),
	TOKEN("C_GetMechanismList", room_for_mechanisms, get_mechanisms, mechanisms_are_many),
	{.function = "C_GetMechanismList", .variant = "the first on this machine", .on = ON_TPM, .stage = STAGE_LIBRARY,
	 .contexts = CTX_PROBE, .base = nothing_is_known, .begin = room_for_mechanisms, .call = get_mechanisms,
	 .good = mechanisms_are_many},
	GENERAL("C_GetMechanismList", "their number", STAGE_USER, NULL, count_mechanisms, mechanisms_are_many),
	TOKEN("C_GetMechanismInfo", NULL, get_mechanism, mechanism_signs),
	{.function = "C_WaitForSlotEvent", .variant = "nothing happened", .on = ON_BOTH, .stage = STAGE_LIBRARY,
	 .traits = ANSWERS | TELLS_EVENTS, .contexts = CTX_PROBE, .answer = CKR_NO_EVENT, .begin = events_are_told,
	 .call = wait_for_event},

	OPEN("R/W, the first of the process", library_is_fresh, CTX_PROBE, open_rw),
	OPEN("R/O, the first of the process", library_is_fresh, CTX_PROBE, open_ro),
	OPEN("R/W, after others", NULL, CTX_PROBE, open_rw),
	OPEN("R/O, after others", NULL, CTX_PROBE, open_ro),
	OPEN_ANOTHER("R/W, another, nobody is logged in", STAGE_READ, open_rw),
	OPEN_ANOTHER("R/W, another, the user is logged in", STAGE_USER, open_rw),
	OPEN_ANOTHER("R/O, another, the user is logged in", STAGE_USER, open_ro),
	OPEN_ANOTHER("R/W, another, the SO is logged in", STAGE_SO, open_rw),
	{.function = "C_OpenSession", .variant = "R/O, the SO is logged in", .on = ON_BOTH, .stage = STAGE_SO,
	 .traits = ANSWERS, .answer = CKR_SESSION_READ_WRITE_SO_EXISTS, .call = open_ro},

	{.function = "C_CloseSession", .variant = "the last, of nobody", .on = ON_BOTH, .stage = STAGE_PUBLIC,
	 .traits = MOVES_SESSION | ANSWERS, .call = close_last, .good = last_is_closed},
	{.function = "C_CloseSession", .variant = "the last, of the user", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = MOVES_SESSION | ANSWERS, .call = close_last, .good = last_is_closed},
	{.function = "C_CloseSession", .variant = "one of two", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = MOVES_SESSION | ANSWERS, .base = second_stands, .call = close_second, .undo = second_stands,
	 .good = second_is_closed},
	{.function = "C_CloseSession", .variant = "one of two, with a key and operations", .on = ON_BOTH,
	 .stage = STAGE_USER, .traits = MOVES_SESSION | ANSWERS, .base = busy_second_stands,
	 .call = close_second, .undo = busy_second_stands, .good = second_is_closed},
	{.function = "C_CloseAllSessions", .variant = "one", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = MOVES_SESSION | ANSWERS, .call = close_all, .good = last_is_closed},
	{.function = "C_CloseAllSessions", .variant = "two, one with a key and operations", .on = ON_BOTH,
	 .stage = STAGE_USER, .traits = MOVES_SESSION | ANSWERS, .base = busy_second_stands,
	 .call = close_all, .good = both_are_closed},

	{.function = "C_GetSessionInfo", .variant = "of the user", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = ANSWERS, .call = get_session_info, .good = info_is_right},
	{.function = "C_GetFunctionStatus", .variant = "as ever", .on = ON_BOTH, .stage = STAGE_USER, .traits = ANSWERS,
	 .answer = CKR_FUNCTION_NOT_PARALLEL, .call = get_function_status},
	{.function = "C_CancelFunction", .variant = "as ever", .on = ON_BOTH, .stage = STAGE_USER, .traits = ANSWERS,
	 .answer = CKR_FUNCTION_NOT_PARALLEL, .call = cancel_function},
	{.function = "C_SessionCancel", .variant = "a search and a signature", .on = ON_BOTH, .stage = STAGE_USER,
	 .traits = ANSWERS, .base = key_is_there, .begin = operations_begin, .call = cancel, .good = canceled},

	SEARCH("all of many", STAGE_USER, crowd_and_key_stand, search_all, all_are_found),
	SEARCH("one of many", STAGE_USER, crowd_and_key_stand, search_keys, one_is_found),
	SEARCH("one", STAGE_USER, key_is_there, search_keys, one_is_found),
	SEARCH("all, before login", STAGE_PUBLIC, NULL, search_all, some_are_found),
	{.function = "C_FindObjects", .variant = "two of many", .on = ON_BOTH, .stage = STAGE_USER, .traits = ANSWERS,
	 .base = crowd_stands, .begin = search_begins, .call = find_two, .undo = end_search, .good = two_are_found},
	{.function = "C_FindObjectsFinal", .variant = "of many", .on = ON_BOTH, .stage = STAGE_USER, .traits = ANSWERS,
	 .base = crowd_stands, .begin = search_begins, .call = final, .good = search_is_over},

	{.function = "C_GenerateRandom", .variant = "16 bytes", .on = ON_BOTH, .stage = STAGE_PUBLIC, .traits = ANSWERS,
	 .contexts = CTX_RNG, .call = generate_some, .good = numbers_are_random},
	{.function = "C_GenerateRandom", .variant = "1024 bytes", .on = ON_BOTH, .stage = STAGE_USER, .traits = ANSWERS,
	 .contexts = CTX_RNG, .call = generate_many, .good = numbers_are_random},
	{.function = "C_SeedRandom", .variant = "the TPM's", .on = ON_TPM, .stage = STAGE_USER, .traits = ANSWERS,
	 .contexts = CTX_RNG, .call = seed},
	{.function = "C_SeedRandom", .variant = "libcrypto's", .on = ON_KEYRING, .stage = STAGE_USER, .traits = ANSWERS,
	 .answer = CKR_RANDOM_SEED_NOT_SUPPORTED, .call = seed},
	{.function = NULL},
};

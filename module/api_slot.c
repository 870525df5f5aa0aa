/* Slots and tokens (PKCS#11 3.2, 5.5). */
#include "dispatch.h"
#include "login.h"
#include "mechanism.h"
#include "pad.h"

static CK_RV slot_has_token(struct slot *s, bool *ret)
{
	CK_RV rv;

	TRY(lock_take(s->lock));
	rv = slot_probe(s);
	lock_drop(s->lock);
	*ret = rv != CKR_TOKEN_NOT_PRESENT;
	return rv == CKR_HOST_MEMORY ? rv : CKR_OK;
}

/* The ids that are asked for.  `ids` has room for all. */
static CK_RV collect(const struct library *lib, bool present_only, CK_SLOT_ID *ids, CK_ULONG *n)
{
	*n = 0;
	for (size_t i = 0; i < lib->n_slots; i++) {
		bool listed = true;

		if (present_only)
			TRY(slot_has_token(lib->slots[i], &listed));
		if (listed)
			ids[(*n)++] = i;
	}
	return CKR_OK;
}

static CK_RV slot_list(const struct library *lib, bool present_only, CK_SLOT_ID *list, CK_ULONG *count)
{
	CK_SLOT_ID *ids CLEANUP(free_cleanup) = calloc(lib->n_slots + 1, sizeof *ids);
	CK_ULONG n, room = *count;

	if (!ids)
		return CKR_HOST_MEMORY;
	TRY(collect(lib, present_only, ids, &n));
	*count = n;
	if (!list)
		return CKR_OK;
	if (room < n)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, ids, n * sizeof *ids);
	return CKR_OK;
}

/* The set of slots is fixed from C_Initialize to C_Finalize; which of them have a token is asked at every call. */
CK_RV C_GetSlotList(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	struct call c;
	CK_RV rv = call_library(&c, FN_C_GetSlotList, count != NULL);

	if (rv == CKR_OK)
		rv = slot_list(c.lib, token_present != CK_FALSE, list, count);
	return call_leave(&c, rv);
}

CK_RV C_GetSlotInfo(CK_SLOT_ID id, CK_SLOT_INFO_PTR info)
{
	struct token_info token;
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_GetSlotInfo, id, info != NULL);

	if (rv != CKR_OK)
		return call_leave(&c, rv);
	memset(info, 0, sizeof *info);
	if (slot_probe(c.slot) != CKR_TOKEN_NOT_PRESENT)
		info->flags |= CKF_TOKEN_PRESENT;
	/* The slot's own strings are there whatever the code. */
	if (slot_info(c.slot, false, &token) == CKR_HOST_MEMORY)
		return call_leave(&c, CKR_HOST_MEMORY);
	info->flags |= token.removable ? CKF_REMOVABLE_DEVICE : 0;
	info->flags |= token.hardware_slot ? CKF_HW_SLOT : 0;
	pad_string(info->slotDescription, sizeof info->slotDescription, token.description);
	pad_string(info->manufacturerID, sizeof info->manufacturerID, token.manufacturer);
	info->hardwareVersion = token.hardware;
	info->firmwareVersion = token.firmware;
	return call_leave(&c, CKR_OK);
}

static void fill_token_info(const struct slot *s, const struct token_info *token, CK_TOKEN_INFO *info)
{
	memset(info, 0, sizeof *info);
	pad_string(info->label, sizeof info->label, token->label);
	pad_string(info->manufacturerID, sizeof info->manufacturerID, token->manufacturer);
	pad_string(info->model, sizeof info->model, token->model);
	pad_string(info->serialNumber, sizeof info->serialNumber, token->serial);
	pad_string(info->utcTime, sizeof info->utcTime, "");
	info->flags = token->flags;
	info->ulMaxSessionCount = SESSION_MAX;
	info->ulMaxRwSessionCount = SESSION_MAX;
	info->ulSessionCount = s->n_sessions;
	info->ulRwSessionCount = s->n_rw;
	info->ulMinPinLen = token->pin_min;
	info->ulMaxPinLen = token->pin_max;
	info->ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION;
	info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
	info->ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION;
	info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
	info->hardwareVersion = token->hardware;
	info->firmwareVersion = token->firmware;
}

CK_RV C_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO_PTR info)
{
	struct token_info token;
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_GetTokenInfo, id, info != NULL);

	if (rv == CKR_OK)
		rv = slot_info(c.slot, false, &token);
	if (rv == CKR_OK)
		fill_token_info(c.slot, &token, info);
	return call_leave(&c, rv);
}

CK_RV C_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count)
{
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_GetMechanismList, id, count != NULL);
	CK_ULONG room;

	if (rv != CKR_OK)
		return call_leave(&c, rv);
	room = *count;
	rv = mech_list(c.slot, list, count);
	if (rv == CKR_OK && list && *count > room)
		rv = CKR_BUFFER_TOO_SMALL;
	return call_leave(&c, rv);
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_GetMechanismInfo, id, info != NULL);

	if (rv == CKR_OK)
		rv = mech_info(c.slot, type, info);
	return call_leave(&c, rv);
}

CK_RV C_InitToken(CK_SLOT_ID id, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len, CK_UTF8CHAR_PTR label)
{
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_InitToken, id, slice_ok(pin, pin_len) && label);

	if (rv == CKR_OK)
		rv = login_init_token(c.slot, BYTES(pin, pin_len), label);
	return call_leave(&c, rv);
}

/* A slot whose token came or went since the last call; what is found is told once. */
static CK_RV next_event(const struct library *lib, CK_SLOT_ID *ret)
{
	CK_RV rv = CKR_NO_EVENT;

	for (size_t i = 0; i < lib->n_slots && rv == CKR_NO_EVENT; i++) {
		struct slot *s = lib->slots[i];

		TRY(lock_take(s->lock));
		/* The outcome stands in s->event. */
		if (!s->event && slot_probe(s) == CKR_HOST_MEMORY)
			rv = CKR_HOST_MEMORY;
		if (s->event) {
			s->event = false;
			*ret = s->id;
			rv = CKR_OK;
		}
		lock_drop(s->lock);
	}
	return rv;
}

/* How often a blocking C_WaitForSlotEvent looks, in milliseconds: tokens are added by people. */
#define EVENT_INTERVAL 1000

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR id, void *reserved)
{
	struct call c;
	CK_RV rv = call_library(&c, FN_C_WaitForSlotEvent, id && !reserved);

	if (rv != CKR_OK)
		return call_leave(&c, rv);
	rv = next_event(c.lib, id);
	while (rv == CKR_NO_EVENT && !(flags & CKF_DONT_BLOCK)) {
		if (library_wait_finalizing(EVENT_INTERVAL))
			rv = CKR_CRYPTOKI_NOT_INITIALIZED;
		else
			rv = next_event(c.lib, id);
	}
	return call_leave(&c, rv);
}

/* Decoding and mapping of response codes; the rows are in rc_table.c. */
#include "rc.h"

#include <tss2/tss2_rc.h>

#include "log.h"
#include "rc_table.h"
#include "rv.h"

#define LAYER(rc) ((rc) >> TSS2_RC_LAYER_SHIFT & 0xff)
#define LAYER_OF(constant) ((constant) >> TSS2_RC_LAYER_SHIFT)
#define FORMAT_1 0x080u
#define PARAMETER 0x040u
#define SESSION 0x800u
#define NOT_TPM 0xffffu

/* Layers 11 and 12 relay the TPM's codes, but a resource manager puts its own between them: the base codes of every
 * layer, and three implementation-specific ones (tpm2-abrmd: internal error, no SYS context, out of memory). */
#define RESMGR_BASE_MAX 0x7f
#define RESMGR_INTERNAL 0x0800
#define RESMGR_SAPI_INIT 0x1000
#define RESMGR_OUT_OF_MEMORY 0x1800

static bool resmgr_own(unsigned layer, uint16_t code)
{
	if (layer != LAYER_OF(TSS2_RESMGR_RC_LAYER) && layer != LAYER_OF(TSS2_RESMGR_TPM_RC_LAYER))
		return false;
	return code <= RESMGR_BASE_MAX || code == RESMGR_INTERNAL || code == RESMGR_SAPI_INIT ||
	       code == RESMGR_OUT_OF_MEMORY;
}

static bool tpm_layer(unsigned layer)
{
	return layer == LAYER_OF(TSS2_TPM_RC_LAYER) || layer == LAYER_OF(TSS2_RESMGR_RC_LAYER) ||
	       layer == LAYER_OF(TSS2_RESMGR_TPM_RC_LAYER);
}

struct rc_parts rc_decode(TSS2_RC rc)
{
	uint16_t code = (uint16_t)rc;
	struct rc_parts p = {.layer = LAYER(rc), .base = code};

	p.tpm = tpm_layer(p.layer) && !resmgr_own(p.layer, code) && rc >> 24 == 0;
	if (!p.tpm || !(code & FORMAT_1))
		return p;
	p.base = (code & 0x3f) | FORMAT_1;
	p.number = code >> 8 & (code & PARAMETER ? 0xf : 0x7);
	if (code & PARAMETER)
		p.place = RC_PLACE_PARAMETER;
	else if (code & SESSION)
		p.place = RC_PLACE_SESSION;
	else if (p.number)
		p.place = RC_PLACE_HANDLE;
	return p;
}

uint16_t rc_base(TSS2_RC rc)
{
	struct rc_parts p = rc_decode(rc);

	return p.tpm ? p.base : NOT_TPM;
}

static const struct rc_row *find_row(TSS2_RC code)
{
	for (size_t i = 0; i < rc_rows_count; i++)
		if (rc_rows[i].code == code)
			return &rc_rows[i];
	return NULL;
}

/* These mean at a session's place what they mean elsewhere; any other says that our session is broken. */
static bool session_keeps_row(uint16_t base)
{
	static const uint16_t keep[] = {TPM2_RC_AUTH_FAIL, TPM2_RC_BAD_AUTH,  TPM2_RC_POLICY_FAIL,
					TPM2_RC_EXPIRED,   TPM2_RC_POLICY_CC, TPM2_RC_PP};

	for (size_t i = 0; i < ARRAY_LEN(keep); i++)
		if (keep[i] == base)
			return true;
	return false;
}

/* Where the position says more than the name.  True: *ret is the answer. */
static bool by_position(const struct rc_parts *p, struct rc_answer *ret)
{
	if (p->place == RC_PLACE_SESSION && !session_keeps_row(p->base))
		*ret = (struct rc_answer){.rv = CKR_DEVICE_ERROR, .action = RC_RESESSION};
	else if (p->place == RC_PLACE_HANDLE && (p->base == TPM2_RC_HANDLE || p->base == TPM2_RC_VALUE))
		*ret = (struct rc_answer){.rv = CKR_DEVICE_ERROR, .action = RC_RELOAD};
	else
		return false;
	return true;
}

static struct rc_answer by_resmgr(uint16_t code, enum rc_context context)
{
	struct rc_answer a = {.rv = CKR_DEVICE_ERROR, .action = RC_NOTHING};

	if (code == RESMGR_OUT_OF_MEMORY)
		a.rv = CKR_DEVICE_MEMORY;
	if (context == RC_PROBE)
		a.rv = CKR_TOKEN_NOT_PRESENT;
	return a;
}

/* For codes that no header of ours knows. */
static struct rc_answer by_layer(unsigned layer, enum rc_context context)
{
	switch (layer) {
	case LAYER_OF(TSS2_ESAPI_RC_LAYER):
	case LAYER_OF(TSS2_SYS_RC_LAYER):
	case LAYER_OF(TSS2_MU_RC_LAYER):
		return (struct rc_answer){.rv = CKR_GENERAL_ERROR, .action = RC_ASSERT};
	case LAYER_OF(TSS2_TCTI_RC_LAYER):
		return (struct rc_answer){.rv = context == RC_PROBE ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_REMOVED,
					  .action = RC_RECONNECT};
	default:
		return (struct rc_answer){.rv = CKR_DEVICE_ERROR, .action = RC_NOTHING};
	}
}

struct rc_answer rc_map(TSS2_RC rc, enum rc_context context)
{
	struct rc_parts p = rc_decode(rc);
	struct rc_answer a;
	const struct rc_row *row;

	if (!p.tpm && tpm_layer(p.layer))
		return by_resmgr(p.base, context);
	if (p.tpm && by_position(&p, &a))
		return a;
	row = find_row(p.tpm ? p.base : rc);
	if (!row)
		return by_layer(p.layer, context);
	a = (struct rc_answer){.rv = row->rv, .action = row->action};
	for (const struct rc_except *e = row->except; e->contexts; e++)
		if (e->contexts & 1u << context)
			a.rv = e->rv;
	return a;
}

/* ---- the log line ---- */

static const struct {
	const char *name;
	enum log_level level;
	const char *advice;
} action_rows[] = {
	[RC_NOTHING] = {.name = "none", .level = LEVEL_ERROR, .advice = "not done, nothing was changed"},
	[RC_NEVER_RETRY] = {.name = "never retry", .level = LEVEL_INFO, .advice = "an authorization was refused"},
	[RC_RETRY_SHORT] = {.name = "retry-short", .level = LEVEL_ERROR, .advice = "the TPM is busy; try again later"},
	[RC_RETRY_LONG] = {.name = "retry-long", .level = LEVEL_ERROR, .advice = "the TPM is busy; try again later"},
	[RC_FINISH_AGAIN] = {.name = "finish again", .level = LEVEL_ERROR,
			     .advice = "no answer in time; try again later, or see the kernel log"},
	[RC_EVICT] = {.name = "evict", .level = LEVEL_ERROR,
		      .advice = "the TPM is full; let programs share it through /dev/tpmrm0 or tpm2-abrmd"},
	[RC_EVICT_RESESSION] = {.name = "evict, resession", .level = LEVEL_ERROR,
				.advice = "the TPM is full; flush saved contexts (tpm2_flushcontext -l -s)"},
	[RC_DROP_SESSIONS] = {.name = "drop idle sessions", .level = LEVEL_ERROR,
			      .advice = "other programs hold the TPM's sessions; end them, or tpm2_flushcontext -l -s"},
	[RC_RESESSION] = {.name = "resession", .level = LEVEL_ERROR, .advice = "the TPM lost our session"},
	[RC_RELOAD] = {.name = "reload", .level = LEVEL_ERROR, .advice = "the TPM no longer has what was loaded"},
	[RC_REBUILD_PARENT] = {.name = "rebuild parent", .level = LEVEL_ERROR,
			       .advice = "the storage key was replaced; was the TPM cleared?"},
	[RC_SELFTEST] = {.name = "selftest", .level = LEVEL_ERROR, .advice = "the TPM didn't pass its self test"},
	[RC_STARTUP] = {.name = "startup", .level = LEVEL_ERROR, .advice = "the TPM was reset and isn't started"},
	[RC_RECONNECT] = {.name = "reconnect", .level = LEVEL_ERROR, .advice = "the connection to the TPM was lost"},
	[RC_RECONNECT_LOUD] = {.name = "reconnect, loud", .level = LEVEL_ERROR,
			       .advice = "THE ANSWER WAS ALTERED on its way, or another TPM gave it; it was not used"},
	[RC_POISON] = {.name = "poison", .level = LEVEL_ERROR,
		       .advice = "the TPM is in failure mode; restart the machine, look for a firmware update"},
	[RC_NEXT_HANDLE] = {.name = "next handle", .level = LEVEL_DEBUG, .advice = "taken; another is tried"},
	[RC_HIDE_MECHANISM] = {.name = "hide mechanism", .level = LEVEL_ERROR, .advice = "this TPM can't do that"},
	[RC_END_OPERATION] = {.name = "end operation", .level = LEVEL_ERROR, .advice = "start the operation again"},
	[RC_IGNORE_OPTIONAL] = {.name = "ignore if optional", .level = LEVEL_ERROR,
				.advice = "the transport can't do that"},
	[RC_NOT_LINKED] = {.name = "not linked", .level = LEVEL_ERROR, .advice = "unexpected; please report this line"},
	[RC_ASSERT] = {.name = "assert", .level = LEVEL_ERROR, .advice = "a bug in Signet; please report this line"},
};

const char *rc_action_name(enum rc_action action)
{
	return action_rows[action].name;
}

/* Codes about which there is more to say than about their action. */
static const struct {
	uint16_t base;
	const char *advice;
} code_advice[] = {
	{.base = TPM2_RC_LOCKOUT,
	 .advice = "the TPM itself is locked after wrong authorizations (of any program); wait for its recovery "
		   "time, or reset it with the lockout password (tpm2_dictionarylockout -c)"},
	{.base = TPM2_RC_AUTH_UNAVAILABLE,
	 .advice = "locked after too many wrong PINs, or not usable with an authValue"},
	{.base = TPM2_RC_NV_SPACE, .advice = "the TPM's NV memory is full; see tpm2_getcap handles-nv-index"},
	{.base = TPM2_RC_INTEGRITY, .advice = "this TPM didn't make that object: cleared TPM, moved disk, or damage"},
	{.base = TPM2_RC_HIERARCHY, .advice = "the hierarchy is disabled in the firmware"},
	{.base = TPM2_RC_PCR, .advice = "the platform's state isn't the one that the key is bound to"},
};

static const char *advice(TSS2_RC rc, enum rc_action action)
{
	uint16_t base = rc_base(rc);

	for (size_t i = 0; i < ARRAY_LEN(code_advice); i++)
		if (code_advice[i].base == base)
			return code_advice[i].advice;
	return action_rows[action].advice;
}

CK_RV rc_failed(TSS2_RC rc, enum rc_context context, const char *command)
{
	struct rc_answer a = rc_map(rc, context);

	if (rc == TPM2_RC_SUCCESS)
		return CKR_OK;
	fault_note(rc);
	if (log_wants(action_rows[a.action].level))
		log_write(action_rows[a.action].level, "%s: 0x%x, %s: %s (%s)", command, rc, Tss2_RC_Decode(rc),
			  advice(rc, a.action), rv_name(a.rv));
	return a.rv;
}

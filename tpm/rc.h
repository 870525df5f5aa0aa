/* What a TSS2_RC means: the CKR to return and what to do before giving up (R18).
 *
 * One response code means different things depending on which TPM command failed, and for which purpose: the caller
 * names the context of the *command*, not of the C_ function.  A TPM2_Load inside C_Login is RC_INIT; RC_LOGIN is the
 * command that proves the PIN, and nothing else (R22).  RC_ADMIN is what needs a hierarchy's authorization or writes
 * the token's structure. */
#ifndef TPM_RC_H
#define TPM_RC_H

#include <tss2/tss2_common.h>
#include <tss2/tss2_tpm2_types.h>

#include "base.h"

enum rc_context {
	RC_PROBE,
	RC_LOGIN,
	RC_ADMIN,
	RC_GEN,
	RC_IMPORT,
	RC_UNWRAP,
	RC_DERIVE,
	RC_INIT,
	RC_SIGN,
	RC_DECRYPT,
	RC_ENCRYPT,
	RC_VERIFY,
	RC_RNG,
	RC_OBJECT,
	RC_CONTEXTS
};

/* What is done before the code is returned.  struct conn does all of it but RC_NEXT_HANDLE, RC_HIDE_MECHANISM and
 * RC_END_OPERATION, which are its caller's. */
enum rc_action {
	RC_NOTHING,
	RC_NEVER_RETRY,     /* a repetition could cost a try of an authorization */
	RC_RETRY_SHORT,     /* 10, 20, 40, 80, 160 ms */
	RC_RETRY_LONG,      /* 50 ms, doubled up to 1 s, until the call's deadline */
	RC_FINISH_AGAIN,    /* no answer yet: wait until the deadline */
	RC_EVICT,           /* flush an object of ours, retry */
	RC_EVICT_RESESSION, /* flush objects and sessions of ours, retry */
	RC_DROP_SESSIONS,   /* flush sessions of ours that no one uses now, retry */
	RC_RESESSION,       /* start the authorization session again, retry once */
	RC_RELOAD,          /* forget the handle, load again from the blob, retry once */
	RC_REBUILD_PARENT,  /* find the storage key again, retry once */
	RC_SELFTEST,        /* TPM2_SelfTest, retry once */
	RC_STARTUP,         /* TPM2_Startup(CLEAR) on a bare device, then as RC_RECONNECT */
	RC_RECONNECT,       /* connect again, rebuild what was loaded, repeat what may be repeated */
	RC_RECONNECT_LOUD,  /* the same, and the answer may have been forged: say so */
	RC_POISON,          /* drop everything; look again at most once a second */
	RC_NEXT_HANDLE,     /* another index or persistent handle may be free */
	RC_HIDE_MECHANISM,  /* this TPM can't: refuse earlier next time */
	RC_END_OPERATION,   /* state in the TPM is lost: the multi-part operation is over */
	RC_IGNORE_OPTIONAL, /* an optional function of a TCTI */
	RC_NOT_LINKED,      /* a layer that we don't use */
	RC_ASSERT           /* our bug: a correct module never provokes it */
};

struct rc_answer {
	CK_RV rv;
	enum rc_action action;
};

/* A TPM response code taken apart (TPM 2.0 Part 2, 6.6). */
enum rc_place { RC_PLACE_NONE, RC_PLACE_HANDLE, RC_PLACE_PARAMETER, RC_PLACE_SESSION };
struct rc_parts {
	unsigned layer;      /* TSS2_RC bits 16 to 23 */
	bool tpm;            /* a TPM's response code, on layer 0, 11 or 12 */
	uint16_t base;       /* without layer and position: TPM2_RC_AUTH_FAIL, TPM2_RC_OBJECT_MEMORY …, or the layer's
	                        own number */
	enum rc_place place; /* format 1 only */
	unsigned number;     /* of the parameter, handle or session, from 1; 0: unknown */
};
struct rc_parts rc_decode(TSS2_RC rc);
/* The base of a TPM's response code (TPM2_RC_BAD_AUTH …), 0 for success, 0xffff for a code of another layer. */
uint16_t rc_base(TSS2_RC rc);

/* TPM2_RC_SUCCESS → CKR_OK.  Any other value of any layer has an answer. */
struct rc_answer rc_map(TSS2_RC rc, enum rc_context context);

/* Maps, notes the code for CK_SESSION_INFO.ulDeviceError, and writes the one log line (R21): command, code, decoded
 * text, what to do.  Expected outcomes (a wrong PIN, a handle that is taken) are logged as info or debug. */
CK_RV rc_failed(TSS2_RC rc, enum rc_context context, const char *command);

/* The action's name as in the log and in tests/vectors/tss-rc.tsv. */
const char *rc_action_name(enum rc_action action);

#endif

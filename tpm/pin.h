/* PINs: counted by an NV index of the TPM, and each the way to the private secret (design 4.2).  A PIN's two
 * authValues, the index's and the seal's, are HMACs of it under the record's salt. */
#ifndef TPM_PIN_H
#define TPM_PIN_H

#include "intent.h"
#include "seal.h"
#include "txn.h"

/* Bytes. */
#define PIN_MIN 4
#define PIN_MAX 128

/* NV indices of ours, in the range that the TCG leaves to the owner (Registry of Reserved TPM 2.0 Handles, 2.2.2). */
#define PIN_FIRST_INDEX 0x01815300u
#define PIN_LAST_INDEX 0x018153ffu

/* ---- using one ---- */

/* From the PIN to the secret.  Takes the connection.  CKR_PIN_INCORRECT, CKR_PIN_LOCKED; CKR_DEVICE_ERROR: the PIN's
 * index is missing or was replaced (logged with the repair). */
CK_RV pin_login(struct conn *c, struct parent *p, const struct pin_rec *rec, struct bytes pin,
		struct key256 *ret) MUST_CHECK;
/* Proves the PIN again, without opening the seal where there is an index.  It counts. */
CK_RV pin_prove(struct conn *c, struct parent *p, const struct pin_rec *rec, struct bytes pin) MUST_CHECK;

/* How many wrong tries there were, and how many there may be.  In a sequence; one command.  *ret_known false and
 * CKR_OK: the TPM doesn't tell (no index, or owner authorization is set). */
CK_RV pin_count(struct conn *c, const struct pin_rec *rec, uint32_t *ret_count, uint32_t *ret_limit,
		bool *ret_known) MUST_CHECK;

/* ---- making one (pin_make.c) ---- */

/* Where a new PIN is made, under the token's lock. */
struct pin_maker {
	struct conn *conn;
	struct store *store;
	struct parent *parent;
	struct intents *intents;  /* what to announce besides the new index; grows by it */
	const struct pin_rec *replaces; /* the PIN whose place it takes; NULL: it is the first one of a token */
};
/* Makes index and seal of a new PIN.  What it leaves in the TPM is announced in the store before it is made, so the
 * caller's transaction has intents_settle() as its undo, registered before this call.
 * Without an index (owner authorization set, no NV space) the seal is under the TPM's own protection alone.  A PIN that
 * has an index keeps one, unless the TPM's own protection binds as well: CKR_DEVICE_MEMORY where there is no NV space,
 * CKR_TOKEN_WRITE_PROTECTED where owner authorization is set and no lockout password (both logged). */
CK_RV pin_make(const struct pin_maker *m, struct bytes pin, const struct key256 *secret, uint32_t tries,
	       struct pin_rec *ret) MUST_CHECK;

/* ---- both ---- */

enum pin_use { PIN_FOR_INDEX, PIN_FOR_SEAL };
CK_RV pin_auth(const struct pin_rec *rec, struct bytes pin, enum pin_use use, struct key256 *ret) MUST_CHECK;

#endif

/* Keys that others made, shown beside the token's own and read only: TSS2 files and persistent handles that the slot's
 * section names (`keys`, `persistent`).  They are shown in an initialized token; what the files say is believed without
 * asking the TPM, until a key is used. */
#ifndef TPM_ADOPT_H
#define TPM_ADOPT_H

#include "state.h"

struct adopted;

/* Reads the section's settings; touches no file and no TPM.  *ret may be NULL: there are none. */
CK_RV adopted_new(const struct conf_section *conf, struct adopted **ret) MUST_CHECK;
void adopted_free(struct adopted *a); /* NULL is fine */

/* Inside a sequence: reads the public areas at the persistent handles, one command each, once per connection. */
CK_RV adopted_look(struct conn *c, struct adopted *a) MUST_CHECK;
/* Tells the view what changed: files that were replaced, private objects that may be seen by now.  A file or handle that
 * isn't usable is logged once, and skipped.  No command if adopted_look() ran on this connection. */
CK_RV adopted_sync(struct tpm_token *t, const struct token_view *view) MUST_CHECK;
/* The front has forgotten the private objects, or all. */
void adopted_forget(struct adopted *a, bool all);

/* A context-specific login for an AUTH_GIVEN key: proves its authValue, and gives it to the operation.
 * CKR_PIN_INCORRECT; CKR_PIN_LOCKED: by the TPM's dictionary-attack protection. */
CK_RV adopted_authorize(struct tpm_token *t, struct token_op *op, struct bytes auth) MUST_CHECK;

/* ---- adopt_key.c ---- */

/* What there is to show of one key.  Counted references are inside: `ready` outlives the file. */
struct adopted_key {
	uint8_t id[16];            /* of the public object; that of the private one differs in the last bit */
	bool private;              /* CKA_PRIVATE of the private half */
	struct attrs *attrs[2];    /* public, private */
	struct tpm_ready *ready;
};

/* Where a key comes from. */
struct adopted_source {
	struct bytes place;        /* the path, or the handle in words: keys are told apart by it, too */
	struct bytes label;
	TPM2_HANDLE persistent;    /* 0: a file's */
	struct parent *parent;     /* of a file's key */
	enum key_auth auth;
	const TPM2B_PUBLIC *public;
	const TPM2B_PRIVATE *private; /* of a file's key */
};
/* CKR_DATA_INVALID, and *why a phrase for the log, for keys that can't be used by this module. */
CK_RV adopted_key_new(const struct adopted_source *s, struct adopted_key **ret, const char **why) MUST_CHECK;
void adopted_key_free(struct adopted_key *k); /* NULL is fine */
static inline void adopted_key_cleanup(struct adopted_key **k)
{
	adopted_key_free(*k);
}

#endif

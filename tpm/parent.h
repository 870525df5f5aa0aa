/* The storage key that a token's keys and seals hang below (design 4.1): found by the name in the token record, or
 * made by C_InitToken.  Reference-counted, since operations use it while a token may be replaced. */
#ifndef TPM_PARENT_H
#define TPM_PARENT_H

#include "handles.h"
#include "tokenrec.h"

struct parent;

/* One that will be looked for when it is first used. */
CK_RV parent_new(const struct parent_rec *rec, struct parent **ret) MUST_CHECK;
/* What another program's key hangs below: a persistent handle, or TPM2_RH_OWNER for the primary that a TSS2 file means
 * by it: of RSA-2048 if `rsa`, else of ECC P-256.  No name is known, so whatever is there is taken; the wrong one shows
 * as TPM2_RC_INTEGRITY when a key is loaded. */
CK_RV parent_given(TPM2_HANDLE handle, bool rsa, struct parent **ret) MUST_CHECK;
struct parent *parent_ref(struct parent *p);
void parent_unref(struct parent *p); /* NULL is fine */
static inline void parent_cleanup(struct parent **p)
{
	parent_unref(*p);
}

/* ---- inside a sequence ---- */

/* For C_InitToken: the persistent storage key of this machine; made and made persistent if there is none; a transient
 * primary where neither is possible.  What it provisions stays whatever becomes of the call. */
CK_RV parent_make(struct conn *c, struct parent_rec *ret) MUST_CHECK;
/* Where the key is, looked for once per connection: one command for a persistent key.  *ret stays the parent's.
 * CKR_TOKEN_NOT_RECOGNIZED: this TPM has no key of that name (another TPM, or it was cleared); logged once. */
CK_RV parent_storage(struct conn *c, struct parent *p, struct storage **ret) MUST_CHECK;
/* The same, ready for use as a command's parent, with the key that salts sessions. */
CK_RV parent_use(struct conn *c, struct parent *p, struct entity *ret, struct salt_key *salt) MUST_CHECK;

/* Whether it was looked for and not found, on the present connection. */
bool parent_foreign(const struct parent *p, const struct conn *c);

#endif

/* One keyring token as this process sees it: which ring it is, its token record, its secrets while there is a login. */
#ifndef KEYRING_STATE_H
#define KEYRING_STATE_H

#include "anchor.h"
#include "err.h"
#include "known.h"
#include "kr_lock.h"
#include "record.h"
#include "store.h"
#include "token.h"
#include "trec.h"

/* In secret memory. */
struct kr_secrets {
	struct trec trec;            /* of the ring that we are attached to */
	struct key256 secret;        /* the token's private secret, while `has_secret` */
	struct key256 private_key;   /* seals private objects; derived from it */
	struct key256 public_key;    /* seals sensitive attributes of public objects */
};

struct kr_token {
	struct token base;
	const struct conf_section *conf;
	struct anchor anchor;
	bool pin_none;               /* what the next C_InitToken makes */
	uint8_t limit[2];            /* by enum token_user; likewise */

	struct store store;          /* store.ring 0: not attached */
	key_serial_t anchor_ring;    /* what the anchor was when we attached: another thread may have another session */
	key_serial_t trec_key;       /* the key that secrets->trec was read from */
	bool writable;
	bool lost;                   /* there was a ring, and it went: the token counts as pulled out */
	bool was_removed;            /* a call that can't say so found the ring gone: sync() has yet to */
	int64_t refreshed;           /* when the persistent keyring's timer was last restarted, seconds */

	struct kr_secrets *secrets;
	bool has_secret;             /* logged in, as the user or the SO, or `pin = none` */
	bool login;                  /* has_secret came from a PIN */
	bool user;                   /* private objects may be told */

	struct known_set known;
	struct serials seen;         /* the listing that `known` reflects */
	bool retell;                 /* look again even if the listing is the same */

	struct kr_lock lock;         /* here, so that a forked child can close it */
};

static inline struct kr_token *kr_of(struct token *tok)
{
	return (struct kr_token *)tok;
}

/* Finds the ring and reads the token record, unless both are known.  CKR_TOKEN_NOT_PRESENT: no anchor, or the ring has
 * gone; CKR_TOKEN_NOT_RECOGNIZED: a ring without a readable token record.  CKR_OK with store.ring 0: there is no ring
 * yet, the token is uninitialized. */
CK_RV state_attach(struct kr_token *t) MUST_CHECK;
/* As state_attach(), and CKR_TOKEN_NOT_RECOGNIZED for an uninitialized token. */
CK_RV state_need(struct kr_token *t) MUST_CHECK;
/* Reads the token record again if its key has changed (a PIN was changed by another process).  A record that is gone, or
 * of another token, or that asks for a PIN where none was asked before: the token counts as removed. */
CK_RV state_refresh(struct kr_token *t) MUST_CHECK;
/* Becomes a view of that ring, which a C_InitToken of ours has just put in place: after the commit, so it can't fail. */
void state_settle(struct kr_token *t, key_serial_t ring);
/* As state_attach(), and looks whether the ring is still there: another one in its place counts as attached anew. */
CK_RV state_check(struct kr_token *t) MUST_CHECK;
/* Forgets the ring and all that came from it, as the front does when it gets CKR_DEVICE_REMOVED. */
void state_detach(struct kr_token *t);
/* Whether the ring is gone, given the errno (or 0) of a call that read it: revoked, collected, or no longer linked in
 * its anchor.  A thread that merely doesn't possess it gets false. */
bool state_gone(const struct kr_token *t, int err);
/* Detaches and returns CKR_DEVICE_REMOVED. */
CK_RV state_removed(struct kr_token *t, int err) MUST_CHECK;
/* What a failed call on the ring means: detaches if the ring has gone.  If it has not, then a key in it has (KR_KEY). */
CK_RV state_failed(struct kr_token *t, enum kr_context context, int err, const char *what);

/* Keeps the secret that a PIN yielded, and derives the keys. */
CK_RV state_login(struct kr_token *t, const struct key256 *secret, enum token_user who) MUST_CHECK;
/* Wipes it; with `pin = none` it stays. */
void state_relock(struct kr_token *t);
/* The keys that are at hand, for record_parse() and record_emit(). */
struct record_keys state_keys(const struct kr_token *t);

/* Takes the token's lock, after which the token record is the one in force.  Dropped by kr_unlock(). */
CK_RV state_lock(struct kr_token *t) MUST_CHECK;
static inline void kr_unlock(struct kr_lock **l)
{
	if (*l)
		kr_lock_drop(*l);
}

#endif

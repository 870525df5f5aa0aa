/* What a TPM token is in this process: its record as last read, its secrets while they may be used, and what the
 * front was told.  Under the slot's lock, but for `conn` and `parent`, which guard themselves. */
#ifndef TPM_STATE_H
#define TPM_STATE_H

#include <stdatomic.h>

#include "key.h"
#include "memory.h"
#include "store.h"
#include "token.h"
#include "tokenrec.h"

/* A record of the store and what the front knows of it. */
struct known {
	uint8_t id[16];
	struct store_stamp stamp;  /* of the version that was told */
	bool read;                 /* the stamp is valid */
	bool closed;               /* has private objects that weren't told since nobody may see them */
	uint8_t told, private;     /* bit i: the object with index i is known to the front; is private */
};

/* In ascending order of id. */
struct known_set {
	struct known *at;
	size_t n, cap;
};

struct tpm_token {
	struct token base;
	const struct conf_section *conf;
	struct conn *conn;
	struct store *store;
	bool pin_none;                    /* for the next C_InitToken */
	uint32_t user_tries, so_tries;
	bool secret_keys_tpm;             /* where a template says nothing: not in this process */

	bool initialized;                 /* rec is valid */
	struct token_rec rec;
	struct store_stamp rec_stamp;
	const struct store_listing *listing; /* the store's, after tpm_state_refresh() */
	bool replaced;                    /* the token that the front knows is gone; sync() says so once */
	struct parent *parent;            /* of rec; NULL if not initialized */

	enum { NOBODY, USER, SO } who;
	struct keyset *private_keys;      /* after a login, or with rec.pin_none once public_keys are open */
	struct keyset *public_keys;       /* once wanted */

	struct known_set known;
	uint64_t told;                    /* serial of the listing that the front knows */
	bool reopen;                      /* look at closed records again */
	atomic_bool retell;               /* the front forgot everything: tell all of it */
	struct adopted *adopted;          /* keys of others; NULL: none */

	struct token_mech *mechs;
	size_t n_mechs;
	uint64_t mechs_learnt;            /* conn_learnt() that they are made of */
	struct memory memory;
};

static inline struct tpm_token *tpm_token_of(struct token *t)
{
	return (struct tpm_token *)t;
}

/* Looks at the store and takes over a token record that changed.  One fstatat when nothing did.
 * Sets `replaced` when the token is gone or another one.  CKR_DEVICE_ERROR: the token record is damaged. */
CK_RV tpm_state_refresh(struct tpm_token *t) MUST_CHECK;
/* The same, and: CKR_DEVICE_REMOVED for a replaced token, CKR_TOKEN_NOT_INITIALIZED where there is none. */
CK_RV tpm_state_need_token(struct tpm_token *t) MUST_CHECK;
/* Takes the store's lock, cleans up what a crash left, refreshes.  Released by tpm_state_unlock_cleanup(). */
CK_RV tpm_state_lock(struct tpm_token *t, bool create) MUST_CHECK;
static inline void tpm_state_unlock_cleanup(struct tpm_token **t)
{
	if (*t)
		store_unlock((*t)->store);
}
/* Takes over a record that this process has just committed. */
void tpm_state_adopt(struct tpm_token *t, const struct token_rec *rec, const struct store_stamp *stamp,
		 struct parent *parent);
/* Forgets who logged in and wipes what that gave. */
void tpm_state_close(struct tpm_token *t);
/* Forgets and wipes everything about the token. */
void tpm_state_forget(struct tpm_token *t);
/* Opens the public secret if that wasn't done: four commands. */
CK_RV tpm_state_open_public(struct tpm_token *t) MUST_CHECK;

/* Whether private objects may be seen. */
bool tpm_state_private_ok(const struct tpm_token *t);
/* The keys for new or stored objects.  CKR_USER_NOT_LOGGED_IN. */
CK_RV tpm_state_keyset(struct tpm_token *t, enum token_secret kind, const struct keyset **ret) MUST_CHECK;

/* What the application's call says: CKR_TOKEN_NOT_RECOGNIZED is for slots; calls with a session say
 * CKR_DEVICE_ERROR.  After CKR_DEVICE_REMOVED the front knows no object any more. */
CK_RV tpm_state_answer(struct tpm_token *t, CK_RV rv) MUST_CHECK;

#endif

/* Slots: one per configuration section; what is true of its token, and who is logged in to it. */
#ifndef MODULE_SLOT_H
#define MODULE_SLOT_H

#include "lock.h"
#include "object.h"
#include "token.h"

enum login { LOGIN_NONE, LOGIN_USER, LOGIN_SO };

struct session;

struct slot {
	CK_SLOT_ID id;
	struct lock *lock;              /* guards everything below and the sessions of this slot */
	struct token *token;            /* the backend's; never NULL */
	const struct conf_section *conf;
	enum login login;
	bool login_required;            /* from the last info: CKF_LOGIN_REQUIRED */
	CK_FLAGS flags;                 /* of the token, as the last info had them */
	struct session *sessions;       /* list of this slot's sessions */
	size_t n_sessions, n_rw;
	struct session **table;         /* index in the handle → session or NULL (session.c) */
	size_t table_cap;
	struct object_table objects;
	bool synced;                    /* sync() has reported at least once */
	bool builtin;                   /* the built-in objects are in the table */
	bool probed;                    /* present means something: nothing is asked before the first call needs it */
	bool present;                   /* as last seen, for C_WaitForSlotEvent */
	bool event;                     /* a change not yet reported by C_WaitForSlotEvent */
};

struct config;

/* Makes a slot of every section; one with a mistake is left out (its log line is written).  CKR_HOST_MEMORY, or
 * what an application's mutex callback brought about. */
CK_RV slots_open(const struct config *config, struct slot ***ret, size_t *ret_n) MUST_CHECK;
void slots_close(struct slot **slots, size_t n);
/* In a forked child: the backends give up what they inherited; the memory is abandoned, since another thread may have
 * been in the midst of changing it. */
void slots_forked(struct slot **slots, size_t n);

/* Is a token there?  Notes a slot event when that has changed.  CKR_OK, CKR_TOKEN_NOT_PRESENT,
 * CKR_TOKEN_NOT_RECOGNIZED. */
CK_RV slot_probe(struct slot *s) MUST_CHECK;
/* Asks the backend, for a session only what that needs (`brief`), and keeps the flags.  *ret always has the slot's
 * strings. */
CK_RV slot_info(struct slot *s, bool brief, struct token_info *ret) MUST_CHECK;
/* Whether private objects may be used and seen now: the user is logged in, or the token needs no login. */
bool slot_private_ok(const struct slot *s);
/* Brings objects up to date (token_ops.sync).  On CKR_DEVICE_REMOVED the slot's sessions have been closed. */
CK_RV slot_sync(struct slot *s) MUST_CHECK;
/* After C_InitToken: nothing that was known of the token holds. */
void slot_reset(struct slot *s);
/* The token is gone: closes all sessions, forgets login and objects, notes a slot event. */
void slot_removed(struct slot *s);
/* Back to public: private session objects, handles and operations are gone; the backend forgets its secret. */
void slot_logout(struct slot *s);

#endif

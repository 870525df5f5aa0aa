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
	struct session *sessions;       /* list of this slot's sessions */
	size_t n_sessions, n_rw;
	struct object_table objects;
	bool synced;                    /* sync() has reported at least once */
	bool present;                   /* as last seen, for C_WaitForSlotEvent */
	bool event;                     /* a change not yet reported by C_WaitForSlotEvent */
};

/* Registers every slot of the configuration; a section with a mistake is left out (its log line is written). */
CK_RV slots_open(struct slot ***ret, size_t *ret_n) MUST_CHECK;
void slots_close(struct slot **slots, size_t n);
/* In a forked child. */
void slots_forked(struct slot **slots, size_t n);

/* Whether private objects may be used and seen now: the user is logged in, or the token needs no login. */
bool slot_private_ok(const struct slot *s);
/* Brings objects up to date (token_ops.sync).  On CKR_DEVICE_REMOVED the slot's sessions have been closed. */
CK_RV slot_sync(struct slot *s) MUST_CHECK;
/* The token is gone: closes all sessions, forgets login and objects, notes a slot event. */
void slot_removed(struct slot *s);
/* Back to public: private session objects, handles and operations are gone; the backend forgets its secret. */
void slot_logout(struct slot *s);

#endif

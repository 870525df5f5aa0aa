/* Objects: handle ↔ token_obj, visibility, search. */
#ifndef MODULE_OBJECT_H
#define MODULE_OBJECT_H

#include "token.h"

struct slot;
struct session;

/* One object that has a handle.  Reference-counted: the table holds one, each operation that uses it as a key
 * another, so that it may be destroyed while a signature with it is being made. */
struct object {
	CK_OBJECT_HANDLE handle;
	struct slot *slot;
	struct token_obj *obj;          /* owned; replaced, never changed, when attributes change */
	struct session *owner;          /* session objects: who made it; NULL for token objects */
	bool token, private;            /* CKA_TOKEN, CKA_PRIVATE */
	bool builtin;                   /* CKO_PROFILE and the like: ours, not the backend's */
	struct soft_key *soft;          /* public keys: made at first use */
	unsigned refs;                  /* atomic */
};

struct object_table {
	struct object **at;             /* index → object or NULL */
	size_t n, cap;
};

struct object *object_ref(struct object *o);
void object_unref(struct object *o);
/* Adds obj (ownership passes, on failure too) and numbers it. */
CK_RV object_add(struct slot *slot, struct token_obj *obj, struct session *owner, struct object **ret) MUST_CHECK;
/* Takes it out of the table: its handle is dead from now on. */
void object_remove(struct object *o);
/* Of this slot and visible to this session, or NULL.  Borrowed under the slot's lock. */
struct object *object_find(struct session *s, CK_OBJECT_HANDLE handle);
void objects_clear(struct slot *slot);                     /* all */
void objects_drop_private(struct slot *slot);              /* logout */
void objects_drop_of(struct session *s);                   /* session objects of a closing session */
/* The callbacks that slot_sync() hands to the backend; ctx is the slot. */
CK_RV object_view_put(void *ctx, struct token_obj *obj) MUST_CHECK;
void object_view_drop(void *ctx, const uint8_t id[16]);
/* The built-in profile objects of a slot (PKCS#11 Profiles 3.2). */
CK_RV objects_add_builtin(struct slot *slot) MUST_CHECK;

/* A search is a snapshot of handles (C_FindObjects). */
struct search;
void search_free(struct search *s);

#endif

/* Objects: handle ↔ token_obj, visibility, search. */
#ifndef MODULE_OBJECT_H
#define MODULE_OBJECT_H

#include "index.h"
#include "token.h"

struct slot;
struct session;

/* One object that has a handle.  Reference-counted: the table holds one, each operation that uses it as a key
 * another, so that it may be destroyed while a signature with it is being made. */
struct object {
	CK_OBJECT_HANDLE handle;
	struct slot *slot;
	struct token_obj *obj;          /* owned, never changed: new attributes, new struct object (object_replace) */
	struct object *base;            /* NULL, or a reference to the one that owns obj->priv */
	char unique_id[33];             /* CKA_UNIQUE_ID: obj->id in hex */
	struct session *owner;          /* session objects: who made it; NULL for token objects */
	bool token, private;            /* CKA_TOKEN, CKA_PRIVATE */
	bool builtin;                   /* CKO_PROFILE and the like: ours, not the backend's */
	struct soft_key *soft;          /* public keys: made at first use */
	unsigned refs;                  /* atomic */
};

struct object_table {
	struct object **at;             /* in order of handle */
	size_t n, cap;
	struct object_index stored;     /* token objects by id */
	CK_ULONG last;                  /* objects numbered so far */
};

struct object *object_ref(struct object *o);
void object_unref(struct object *o);
/* Adding an object in two steps, so that nothing can fail once the token has it: object_prepare() makes an empty one
 * and the room for two, object_publish() puts obj into it, numbers it and passes the one reference to the table.
 * object_unref() gives an unused one back. */
CK_RV object_prepare(struct slot *slot, struct object **ret) MUST_CHECK;
void object_publish(struct object *prepared, struct token_obj *obj, struct session *owner);
/* Puts `prepared` with obj into the place of `old`, under its handle.  Who still works with `old` keeps it by its
 * reference.  share_priv: obj->priv is old's, borrowed (session objects, whose attributes the front changes itself). */
void object_replace(struct object *old, struct object *prepared, struct token_obj *obj, bool share_priv);
static inline void object_cleanup(struct object **o)
{
	object_unref(*o);
}
/* Adds obj (ownership passes, on failure too) and numbers it. */
CK_RV object_add(struct slot *slot, struct token_obj *obj, struct session *owner, struct object **ret) MUST_CHECK;
/* Takes it out of the table: its handle is dead from now on. */
void object_remove(struct object *o);
/* Of this slot and visible to this session, or NULL.  Borrowed under the slot's lock. */
struct object *object_find(struct session *s, CK_OBJECT_HANDLE handle);
/* Whether this session may change or destroy token or session objects: CKR_TOKEN_WRITE_PROTECTED,
 * CKR_SESSION_READ_ONLY. */
CK_RV object_may_write(const struct session *s, bool token) MUST_CHECK;
/* What an application reads of an attribute: CKR_OK and *value (borrowed), CKR_ATTRIBUTE_SENSITIVE,
 * CKR_ATTRIBUTE_TYPE_INVALID. */
CK_RV object_attribute(const struct object *o, CK_ATTRIBUTE_TYPE type, struct bytes *value) MUST_CHECK;
/* Whether the session sees it: private objects are there for the user only. */
bool object_visible(const struct session *s, const struct object *o);
/* A boolean attribute of it, or what it is by default. */
bool object_flag(const struct object *o, CK_ATTRIBUTE_TYPE type);
void objects_clear(struct slot *slot);                     /* all */
void objects_drop_private(struct slot *slot);              /* logout */
void objects_drop_of(struct session *s);                   /* session objects of a closing session */
/* The callbacks that slot_sync() hands to the backend; ctx is the slot. */
CK_RV object_view_put(void *ctx, struct token_obj *obj) MUST_CHECK;
void object_view_drop(void *ctx, const uint8_t id[16]);
/* The built-in profile objects of a slot (PKCS#11 Profiles 3.2). */
CK_RV objects_add_builtin(struct slot *slot) MUST_CHECK;

/* Entries of a template that is only read: none that is meant is longer, and a count beyond is no count. */
#define TEMPLATE_MAX 4096

/* A search is a snapshot of handles (C_FindObjects). */
struct search;
/* All objects that are visible to the session and have these very values (none: all).  A value that the application
 * may not read matches nothing.  CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID. */
CK_RV search_new(struct session *s, const CK_ATTRIBUTE *templ, CK_ULONG count, struct search **ret) MUST_CHECK;
/* The next handles, `max` at most, of objects that are still there; returns how many. */
CK_ULONG search_next(struct search *search, struct session *s, CK_OBJECT_HANDLE *ret, CK_ULONG max);
void search_free(struct search *s); /* NULL is fine */

#endif

/* The objects of a slot.
 *
 * A handle is a count of the slot's objects, then the slot's number in its low bits, so that the handle of one slot is
 * no handle in the next.  Handles grow and are never given twice; the table is in their order.  Token objects are found
 * by id, too. */
#include "object.h"

#include "policy.h"
#include "session.h"
#include "soft.h"
#include "template.h"

#define SLOT_BITS 8
#define LAST_MAX  ((CK_ULONG)-1 >> SLOT_BITS)

/* ---- one object ---- */

struct object *object_ref(struct object *o)
{
	__atomic_add_fetch(&o->refs, 1, __ATOMIC_RELAXED);
	return o;
}

static void obj_release(struct slot *slot, struct token_obj *obj)
{
	if (obj)
		slot->token->ops->obj_free(slot->token, obj);
}

/* An object of the front's own making: no backend knows its memory. */
static void obj_release_own(struct token_obj *obj)
{
	if (!obj)
		return;
	attrs_free(obj->attrs);
	free(obj);
}

void object_unref(struct object *o)
{
	if (!o || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	soft_key_unref(o->soft);
	if (o->builtin || o->base)
		obj_release_own(o->obj);
	else
		obj_release(o->slot, o->obj);
	object_unref(o->base);
	free(o);
}

static bool attribute_default(const struct policy *p, CK_ATTRIBUTE_TYPE type, struct bytes *value)
{
	const struct policy_row *row = p ? policy_row(p, type) : NULL;

	return row && row->dflt != DEFAULT_F4 && policy_default(row, value);
}

CK_RV object_attribute(const struct object *o, CK_ATTRIBUTE_TYPE type, struct bytes *value)
{
	if (!template_readable(o->obj->attrs, type))
		return CKR_ATTRIBUTE_SENSITIVE;
	if (type == CKA_UNIQUE_ID && !o->builtin) {
		*value = BYTES(o->unique_id, sizeof o->unique_id - 1);
		return CKR_OK;
	}
	/* What a backend found without attributes (a key that an administrator put into a ring) has the defaults. */
	if (!attrs_get(o->obj->attrs, type, value) && !attribute_default(policy_of(o->obj->attrs), type, value))
		return CKR_ATTRIBUTE_TYPE_INVALID;
	return CKR_OK;
}

bool object_flag(const struct object *o, CK_ATTRIBUTE_TYPE type)
{
	struct bytes value;

	if (object_attribute(o, type, &value) != CKR_OK || value.len != sizeof(CK_BBOOL))
		return false;
	return *value.ptr != CK_FALSE;
}

CK_RV object_may_write(const struct session *s, bool token)
{
	if (!token || session_rw(s))
		return CKR_OK;
	return s->slot->flags & CKF_WRITE_PROTECTED ? CKR_TOKEN_WRITE_PROTECTED : CKR_SESSION_READ_ONLY;
}

/* ---- the table ---- */

static CK_RV table_reserve(struct object_table *t, size_t more)
{
	size_t cap = MAX(t->cap * 2, t->n + more);
	struct object **bigger;

	if (t->n + more <= t->cap)
		return CKR_OK;
	bigger = realloc(t->at, cap * sizeof *bigger);
	if (!bigger)
		return CKR_HOST_MEMORY;
	t->at = bigger;
	t->cap = cap;
	return CKR_OK;
}

/* The index of that handle, or of the place where it would be. */
static size_t table_place(const struct object_table *t, CK_OBJECT_HANDLE handle)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->at[mid]->handle < handle)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct object *table_find(const struct object_table *t, CK_OBJECT_HANDLE handle)
{
	size_t i = table_place(t, handle);

	return i < t->n && t->at[i]->handle == handle ? t->at[i] : NULL;
}

CK_RV object_prepare(struct slot *slot, struct object **ret)
{
	struct object *o;

	/* Two, since a pair is prepared before either half is published. */
	TRY(table_reserve(&slot->objects, 2));
	TRY(index_reserve(&slot->objects.stored, 2));
	if (slot->objects.last > LAST_MAX - 2)
		return CKR_HOST_MEMORY;
	o = calloc(1, sizeof *o);
	if (!o)
		return CKR_HOST_MEMORY;
	o->slot = slot;
	o->refs = 1;
	*ret = o;
	return CKR_OK;
}

static void object_fill(struct object *o, struct token_obj *obj)
{
	o->obj = obj;
	hex_encode(BYTES_OF(obj->id), o->unique_id);
	o->token = object_flag(o, CKA_TOKEN);
	o->private = object_flag(o, CKA_PRIVATE);
}

void object_publish(struct object *o, struct token_obj *obj, struct session *owner)
{
	struct object_table *t = &o->slot->objects;

	object_fill(o, obj);
	o->owner = o->token ? NULL : owner;
	o->handle = ++t->last << SLOT_BITS | (o->slot->id & ((1u << SLOT_BITS) - 1));
	t->at[t->n++] = o;
	if (o->token)
		index_put(&t->stored, o);
}

void object_replace(struct object *old, struct object *o, struct token_obj *obj, bool share_priv)
{
	struct object_table *t = &old->slot->objects;

	if (share_priv)
		o->base = object_ref(old->base ? old->base : old);
	o->owner = old->owner;
	o->handle = old->handle;
	object_fill(o, obj);
	t->at[table_place(t, old->handle)] = o;
	index_remove(&t->stored, old);
	if (o->token)
		index_put(&t->stored, o);
	object_unref(old);
}

CK_RV object_add(struct slot *slot, struct token_obj *obj, struct session *owner, struct object **ret)
{
	struct object *o;
	CK_RV rv = object_prepare(slot, &o);

	if (rv != CKR_OK) {
		obj_release(slot, obj);
		return rv;
	}
	object_publish(o, obj, owner);
	*ret = o;
	return CKR_OK;
}

void object_remove(struct object *o)
{
	struct object_table *t = &o->slot->objects;
	size_t i = table_place(t, o->handle);

	if (i == t->n || t->at[i] != o)
		return;
	t->n--;
	memmove(&t->at[i], &t->at[i + 1], (t->n - i) * sizeof *t->at);
	index_remove(&t->stored, o);
	object_unref(o);
}

bool object_visible(const struct session *s, const struct object *o)
{
	return !o->private || slot_private_ok(s->slot);
}

struct object *object_find(struct session *s, CK_OBJECT_HANDLE handle)
{
	struct object *o = table_find(&s->slot->objects, handle);

	return o && object_visible(s, o) ? o : NULL;
}

/* ---- many at once ---- */

typedef bool leaves_fn(const struct object *o, const void *ctx);

/* Takes out all for which `leaves` says so, in one pass. */
static void table_sweep(struct object_table *t, leaves_fn *leaves, const void *ctx)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct object *o = t->at[i];

		if (!leaves(o, ctx)) {
			t->at[kept++] = o;
			continue;
		}
		index_remove(&t->stored, o);
		object_unref(o);
	}
	t->n = kept;
}

static bool leaves_always(const struct object *o UNUSED, const void *ctx UNUSED)
{
	return true;
}

static bool leaves_private(const struct object *o, const void *ctx UNUSED)
{
	return o->private;
}

static bool leaves_with(const struct object *o, const void *session)
{
	return o->owner == session;
}

void objects_clear(struct slot *slot)
{
	table_sweep(&slot->objects, leaves_always, NULL);
	index_done(&slot->objects.stored);
	free(slot->objects.at);
	slot->objects.at = NULL;
	slot->objects.cap = 0;
}

void objects_drop_private(struct slot *slot)
{
	table_sweep(&slot->objects, leaves_private, NULL);
}

void objects_drop_of(struct session *s)
{
	table_sweep(&s->slot->objects, leaves_with, s);
}

/* ---- what the backend reports ---- */

CK_RV object_view_put(void *ctx, struct token_obj *obj)
{
	struct slot *slot = ctx;
	struct object *old = index_find(&slot->objects.stored, obj->id), *o;
	CK_RV rv;

	if (!old)
		return object_add(slot, obj, NULL, &o);
	rv = object_prepare(slot, &o);
	if (rv != CKR_OK) {
		obj_release(slot, obj);
		return rv;
	}
	object_replace(old, o, obj, false);
	return CKR_OK;
}

void object_view_drop(void *ctx, const uint8_t id[16])
{
	struct slot *slot = ctx;
	struct object *o = index_find(&slot->objects.stored, id);

	if (o)
		object_remove(o);
}

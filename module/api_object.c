/* C_ functions on objects (PKCS#11 3.2, 5.7). */
#include "dispatch.h"
#include "make.h"
#include "policy.h"
#include "soft.h"
#include "template.h"

/* ---- making ---- */

static CK_RV create_object(struct session *s, const CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *ret)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL, *new CLEANUP(attrs_cleanup) = NULL;
	struct make_req req = {.kind = MAKE_CREATE, .mech = CK_UNAVAILABLE_INFORMATION};

	TRY(template_import(templ, count, &given));
	TRY(template_new_object(s, &(struct template_req){.stage = STAGE_CREATE, .class = CK_UNAVAILABLE_INFORMATION,
							  .key_type = CK_UNAVAILABLE_INFORMATION, .given = given},
				&new));
	if (policy_class_is_key(attrs_get_ulong(new, CKA_CLASS, CK_UNAVAILABLE_INFORMATION)))
		TRY(soft_complete(new));
	req.tmpl = new;
	return make_one(s, &req, ret);
}

CK_RV C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_CreateObject, session, templ && object);

	if (rv == CKR_OK)
		rv = create_object(c.session, templ, count, object);
	return call_leave(&c, rv);
}

static CK_RV find_object(struct session *s, CK_OBJECT_HANDLE handle, struct object **ret)
{
	*ret = object_find(s, handle);
	return *ret ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

static CK_RV copy_object(struct session *s, CK_OBJECT_HANDLE handle, const struct attrs *given, CK_OBJECT_HANDLE *ret)
{
	struct attrs *new CLEANUP(attrs_cleanup) = NULL;
	struct make_req req = {.kind = MAKE_COPY, .mech = CK_UNAVAILABLE_INFORMATION};
	struct template_req as = {.stage = STAGE_COPY, .given = given};
	struct object *o;

	TRY(find_object(s, handle, &o));
	/* What is built in, or of a class that we only show, has no CKA_COPYABLE. */
	if (!object_flag(o, CKA_COPYABLE))
		return CKR_ACTION_PROHIBITED;
	as.from = o->obj->attrs;
	as.class = attrs_get_ulong(as.from, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	as.key_type = attrs_get_ulong(as.from, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
	TRY(template_new_object(s, &as, &new));
	req.base = o->obj;
	req.tmpl = new;
	return make_one(s, &req, ret);
}

CK_RV C_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ, CK_ULONG count,
		   CK_OBJECT_HANDLE *copy)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL;
	struct call c;
	CK_RV rv = call_session(&c, FN_C_CopyObject, session, (templ || !count) && copy);

	if (rv == CKR_OK)
		rv = template_import(templ, count, &given);
	if (rv == CKR_OK)
		rv = copy_object(c.session, object, given, copy);
	return call_leave(&c, rv);
}

/* ---- removing ---- */

static CK_RV destroy_object(struct session *s, CK_OBJECT_HANDLE handle)
{
	struct token *tok = s->slot->token;
	struct object *o;
	CK_RV rv = CKR_OK;

	TRY(find_object(s, handle, &o));
	TRY(object_may_write(s, o->token));
	if (!object_flag(o, CKA_DESTROYABLE))
		return CKR_ACTION_PROHIBITED;
	if (o->token)
		rv = tok->ops->destroy(tok, o->obj);
	/* Another process was faster: the handle is as dead as after our own success. */
	if (rv == CKR_OK || rv == CKR_OBJECT_HANDLE_INVALID)
		object_remove(o);
	return rv;
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_DestroyObject, session, true);

	if (rv == CKR_OK)
		rv = destroy_object(c.session, object);
	return call_leave(&c, rv);
}

/* ---- reading ---- */

/* Nothing is stored of a session object: its values are what it takes. */
static size_t size_in_memory(const struct attrs *a)
{
	size_t size = 0;

	for (size_t i = 0; i < attrs_count(a); i++) {
		struct bytes value;

		(void)attrs_at(a, i, &value);
		size += sizeof(CK_ATTRIBUTE_TYPE) + value.len;
	}
	return size;
}

static CK_RV object_size(struct session *s, CK_OBJECT_HANDLE handle, CK_ULONG *ret)
{
	struct token *tok = s->slot->token;
	struct object *o;
	size_t size;

	TRY(find_object(s, handle, &o));
	if (o->token)
		TRY(tok->ops->obj_size(tok, o->obj, &size));
	else
		size = size_in_memory(o->obj->attrs);
	*ret = size;
	return CKR_OK;
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *size)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_GetObjectSize, session, size != NULL);

	if (rv == CKR_OK)
		rv = object_size(c.session, object, size);
	return call_leave(&c, rv);
}

/* One entry by the five cases of 5.7.5. */
static CK_RV read_attribute(const struct object *o, CK_ATTRIBUTE *a)
{
	CK_ULONG room = a->ulValueLen;
	struct bytes value;
	CK_RV rv = object_attribute(o, a->type, &value);

	if (rv == CKR_OK && policy_attribute_nested(a->type))
		return nested_read(value, a);
	a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
	if (rv != CKR_OK)
		return rv;
	if (a->pValue && value.len > room)
		return CKR_BUFFER_TOO_SMALL;
	if (a->pValue && value.len)
		memcpy(a->pValue, value.ptr, value.len);
	a->ulValueLen = value.len;
	return CKR_OK;
}

/* Every entry is processed; of several answers the one that a bigger buffer can't change comes first. */
static CK_RV read_attributes(const struct object *o, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	static const CK_RV order[] = {CKR_DEVICE_ERROR, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID,
				      CKR_BUFFER_TOO_SMALL};
	bool seen[ARRAY_LEN(order)] = {false};

	for (CK_ULONG i = 0; i < count; i++) {
		CK_RV rv = read_attribute(o, &templ[i]);

		for (size_t k = 0; k < ARRAY_LEN(order); k++)
			seen[k] |= rv == order[k];
	}
	for (size_t k = 0; k < ARRAY_LEN(order); k++)
		if (seen[k])
			return order[k];
	return CKR_OK;
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	struct call c;
	struct object *o;
	CK_RV rv = call_session(&c, FN_C_GetAttributeValue, session, (templ || !count) && count <= TEMPLATE_MAX);

	if (rv == CKR_OK)
		rv = find_object(c.session, object, &o);
	if (rv == CKR_OK)
		rv = read_attributes(o, templ, count);
	return call_leave(&c, rv);
}

/* ---- changing ---- */

static void session_obj_free(struct token_obj **obj)
{
	if (!*obj)
		return;
	attrs_free((*obj)->attrs);
	free(*obj);
}

/* New attributes for a session object.  No store has to know, and the key itself stays what it is: so the front makes
 * a second token_obj around the same priv.  MAKE_COPY would give it another id (CKA_UNIQUE_ID must stay) and load the
 * key anew.  The first token_obj, which owns priv, lives on behind object.base. */
static CK_RV change_session_object(struct object *o, const struct attrs *changes, struct object **prepared)
{
	struct token_obj *obj CLEANUP(session_obj_free) = calloc(1, sizeof *obj);

	if (!obj)
		return CKR_HOST_MEMORY;
	TRY(attrs_copy(o->obj->attrs, &obj->attrs));
	TRY(attrs_merge(obj->attrs, changes));
	memcpy(obj->id, o->obj->id, sizeof obj->id);
	obj->priv = o->obj->priv;
	object_replace(o, TAKE(*prepared), TAKE(obj), true);
	return CKR_OK;
}

static CK_RV change_token_object(struct object *o, const struct attrs *changes, struct object **prepared)
{
	struct token *tok = o->slot->token;
	struct token_obj *obj;
	CK_RV rv = tok->ops->update(tok, o->obj, changes, &obj);

	if (rv == CKR_OBJECT_HANDLE_INVALID)
		object_remove(o);
	if (rv != CKR_OK)
		return rv;
	object_replace(o, TAKE(*prepared), obj, false);
	return CKR_OK;
}

static CK_RV change_object(struct session *s, CK_OBJECT_HANDLE handle, const struct attrs *given)
{
	struct attrs *changes CLEANUP(attrs_cleanup) = NULL;
	struct object *prepared CLEANUP(object_cleanup) = NULL, *o;

	TRY(find_object(s, handle, &o));
	TRY(object_may_write(s, o->token));
	if (!object_flag(o, CKA_MODIFIABLE))
		return CKR_ACTION_PROHIBITED;
	TRY(template_changes(s, o, given, &changes));
	if (attrs_count(changes) == 0)
		return CKR_OK;
	TRY(object_prepare(s->slot, &prepared));
	return o->token ? change_token_object(o, changes, &prepared) : change_session_object(o, changes, &prepared);
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL;
	struct call c;
	CK_RV rv = call_session(&c, FN_C_SetAttributeValue, session, templ || !count);

	if (rv == CKR_OK)
		rv = template_import(templ, count, &given);
	if (rv == CKR_OK)
		rv = change_object(c.session, object, given);
	return call_leave(&c, rv);
}

/* ---- searching ---- */

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_FindObjectsInit, session, (templ || !count) && count <= TEMPLATE_MAX);

	if (rv == CKR_OK && c.session->search)
		rv = CKR_OPERATION_ACTIVE;
	if (rv == CKR_OK)
		rv = search_new(c.session, templ, count, &c.session->search);
	return call_leave(&c, rv);
}

CK_RV C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_FindObjects, session, (objects || !max) && count);

	if (rv == CKR_OK && !c.session->search)
		rv = CKR_OPERATION_NOT_INITIALIZED;
	if (rv == CKR_OK)
		*count = search_next(c.session->search, c.session, objects, max);
	return call_leave(&c, rv);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_FindObjectsFinal, session, true);

	if (rv == CKR_OK && !c.session->search)
		rv = CKR_OPERATION_NOT_INITIALIZED;
	if (rv == CKR_OK) {
		search_free(c.session->search);
		c.session->search = NULL;
	}
	return call_leave(&c, rv);
}

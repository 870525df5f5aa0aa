/* Making objects: room for them first, then the backend's work, then handles. */
#include "make.h"

static CK_RV ask_backend(struct slot *slot, const struct make_req *req, struct token_obj *ret[2])
{
	return slot->token->ops->make(slot->token, req, ret);
}

static CK_OBJECT_HANDLE publish(struct object *o, struct token_obj *obj, struct session *s)
{
	object_publish(o, obj, s);
	return o->handle;
}

CK_RV make_one(struct session *s, struct make_req *req, CK_OBJECT_HANDLE *ret)
{
	struct object *o CLEANUP(object_cleanup) = NULL;
	struct token_obj *made[2] = {NULL, NULL};

	req->persist = attrs_get_bool(req->tmpl, CKA_TOKEN, false);
	TRY(object_prepare(s->slot, &o));
	TRY(ask_backend(s->slot, req, made));
	*ret = publish(TAKE(o), made[0], s);
	return CKR_OK;
}

static void give_back(struct slot *slot, struct token_obj *made[2])
{
	for (size_t i = 0; i < 2; i++)
		slot->token->ops->obj_free(slot->token, made[i]);
}

/* One half is a token object, the other a session object.  A request has one commit point, so both are made as session
 * objects, and then the stored half is a copy of its own: the copy is the commit. */
static CK_RV make_mixed(struct slot *slot, struct make_req *req, size_t stored, struct token_obj *ret[2])
{
	struct token_obj *made[2] = {NULL, NULL}, *copy[2] = {NULL, NULL};
	struct make_req keep = {.kind = MAKE_COPY, .persist = true};
	CK_RV rv;

	req->persist = false;
	TRY(ask_backend(slot, req, made));
	keep.base = made[stored];
	keep.tmpl = made[stored]->attrs;
	rv = ask_backend(slot, &keep, copy);
	if (rv != CKR_OK) {
		give_back(slot, made);
		return rv;
	}
	slot->token->ops->obj_free(slot->token, made[stored]);
	made[stored] = copy[0];
	ret[0] = made[0];
	ret[1] = made[1];
	return CKR_OK;
}

static CK_RV make_halves(struct slot *slot, struct make_req *req, struct token_obj *ret[2])
{
	bool public = attrs_get_bool(req->tmpl, CKA_TOKEN, false);
	bool private = attrs_get_bool(req->tmpl_priv, CKA_TOKEN, false);

	if (public != private)
		return make_mixed(slot, req, private ? 1 : 0, ret);
	req->persist = public;
	return ask_backend(slot, req, ret);
}

CK_RV make_pair(struct session *s, struct make_req *req, CK_OBJECT_HANDLE ret[2])
{
	struct object *public CLEANUP(object_cleanup) = NULL, *private CLEANUP(object_cleanup) = NULL;
	struct token_obj *made[2] = {NULL, NULL};

	TRY(object_prepare(s->slot, &public));
	TRY(object_prepare(s->slot, &private));
	TRY(make_halves(s->slot, req, made));
	ret[0] = publish(TAKE(public), made[0], s);
	ret[1] = publish(TAKE(private), made[1], s);
	return CKR_OK;
}

/* Objects. */
#include "obj.h"

CK_RV obj_new(const uint8_t record_id[16], uint8_t index, bool stored, struct attrs **attrs, struct token_obj **ret)
{
	struct token_obj *o CLEANUP(free_cleanup) = calloc(1, sizeof *o);
	struct kr_obj *priv CLEANUP(free_cleanup) = calloc(1, sizeof *priv);

	if (!o || !priv)
		return CKR_HOST_MEMORY;
	memcpy(priv->record_id, record_id, sizeof priv->record_id);
	priv->index = index;
	priv->stored = stored;
	memcpy(o->id, record_id, sizeof o->id);
	o->id[15] ^= index;
	o->attrs = TAKE(*attrs);
	o->priv = TAKE(priv);
	*ret = TAKE(o);
	return CKR_OK;
}

void obj_free(struct token *tok, struct token_obj *obj)
{
	struct kr_obj *priv;

	(void)tok;
	if (!obj)
		return;
	priv = obj->priv;
	soft_key_unref(priv->key);
	free(priv);
	attrs_free(obj->attrs);
	free(obj);
}

size_t obj_weight(const struct token_obj *obj)
{
	size_t sum = 0;

	for (size_t i = 0; i < attrs_count(obj->attrs); i++) {
		struct bytes value;

		(void)attrs_at(obj->attrs, i, &value);
		sum += sizeof(CK_ATTRIBUTE_TYPE) + value.len;
	}
	return sum;
}

/* ---- making ---- */

static bool is_key(const struct attrs *a)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(a, CKA_CLASS, CKO_DATA);

	return class == CKO_PUBLIC_KEY || class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
}

static CK_RV make_created(const struct make_req *req, struct attrs *a[2])
{
	TRY(attrs_copy(req->tmpl, &a[0]));
	return is_key(a[0]) ? soft_complete(a[0]) : CKR_OK;
}

static CK_RV make_generated(const struct make_req *req, struct attrs *a[2])
{
	TRY(attrs_copy(req->tmpl, &a[0]));
	if (!req->tmpl_priv)
		return soft_generate(req->mech, NULL, a[0]);
	TRY(attrs_copy(req->tmpl_priv, &a[1]));
	return soft_generate(req->mech, a[0], a[1]);
}

static CK_RV make_copied(const struct make_req *req, struct attrs *a[2])
{
	TRY(attrs_copy(req->base->attrs, &a[0]));
	return attrs_merge(a[0], req->tmpl);
}

static CK_RV (*const makers[])(const struct make_req *req, struct attrs *a[2]) = {
	[MAKE_CREATE] = make_created, [MAKE_GENERATE] = make_generated, [MAKE_UNWRAP] = make_created,
	[MAKE_DERIVE] = make_created, [MAKE_COPY] = make_copied,
};

/* Where the key is used, which is what the template asked for or didn't say.  Kernel-resident
 * keys will say "kernel". */
static CK_RV set_place(struct attrs *a)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(a, CKA_CLASS, CKO_DATA);
	struct bytes asked, here = BYTES("process", 7);

	if (class != CKO_PRIVATE_KEY && class != CKO_SECRET_KEY)
		return CKR_OK;
	if (attrs_get(a, CKA_SIGNET_PLACE, &asked))
		return bytes_equal(asked, here) ? CKR_OK : CKR_TEMPLATE_INCONSISTENT;
	return attrs_set(a, CKA_SIGNET_PLACE, here);
}

CK_RV obj_attrs(const struct make_req *req, struct attrs *ret[2])
{
	struct attrs *a[2] = {NULL, NULL};
	CK_RV rv = makers[req->kind](req, a);

	if (rv == CKR_OK)
		rv = set_place(a[0]);
	if (rv == CKR_OK && a[1])
		rv = set_place(a[1]);
	if (rv != CKR_OK) {
		attrs_free(a[0]);
		attrs_free(a[1]);
		return rv;
	}
	ret[0] = a[0];
	ret[1] = a[1];
	return CKR_OK;
}

/* Stored objects: reading, writing, changing, destroying. */
#include "object.h"

#include "handles.h"
#include "log.h"

/* ---- in memory ---- */

CK_RV tpm_object_new(const uint8_t id[16], struct attrs **attrs, struct buffer *blob, struct token_obj **ret)
{
	struct token_obj *o = calloc(1, sizeof *o);
	struct tpm_obj *p = calloc(1, sizeof *p);

	if (!o || !p) {
		free(o);
		free(p);
		return CKR_HOST_MEMORY;
	}
	memcpy(o->id, id, sizeof o->id);
	o->attrs = TAKE(*attrs);
	p->blob = *blob;
	buffer_init(blob, 0);
	o->priv = p;
	*ret = o;
	return CKR_OK;
}

void tpm_object_strip(struct attrs *a, bool in_tpm)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(a, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	struct bytes value;

	if (!in_tpm || attrs_get_bool(a, CKA_EXTRACTABLE, false))
		return;
	for (size_t i = attrs_count(a); i-- > 0;) {
		CK_ATTRIBUTE_TYPE type = attrs_at(a, i, &value);

		if (record_seals(class, type))
			attrs_remove(a, type);
	}
}

void tpm_object_free(struct token_obj *o)
{
	struct tpm_obj *p;

	if (!o)
		return;
	p = tpm_object_priv(o);
	buffer_done(&p->blob);
	soft_key_unref(p->soft);
	tpm_ready_unref(p->ready);
	free(p);
	attrs_free(o->attrs);
	free(o);
}

void tpm_obj_free(struct token *tok, struct token_obj *obj)
{
	if (!obj)
		return;
	/* A stored key may stay loaded for whoever looks at the object next; a session object's ends here. */
	if (!tpm_object_priv(obj)->stored && tpm_object_priv(obj)->blob.len)
		handles_drop(tpm_token_of(tok)->conn, obj->id);
	tpm_object_free(obj);
}

CK_RV tpm_obj_size(struct token *tok UNUSED, const struct token_obj *obj, size_t *ret)
{
	const struct tpm_obj *p = tpm_object_priv(obj);
	size_t n = p->blob.len;
	struct bytes value;

	for (size_t i = 0; i < attrs_count(obj->attrs); i++) {
		(void)attrs_at(obj->attrs, i, &value);
		n += sizeof(CK_ATTRIBUTE_TYPE) + value.len;
	}
	*ret = p->stored ? p->size : n;
	return CKR_OK;
}

/* ---- stored ---- */

static struct record_keys keys_of(const struct tpm_token *t)
{
	return (struct record_keys){
		.private_key = tpm_state_private_ok(t) && t->private_keys ? &t->private_keys->aead : NULL,
		.public_key = t->public_keys ? &t->public_keys->aead : NULL,
	};
}

/* Something is sealed that the public secret would open. */
static bool wants_public(const struct tpm_token *t, const struct record *r)
{
	if (t->public_keys)
		return false;
	for (size_t i = 0; i < r->n; i++)
		if (r->object[i].sealed && (!r->object[i].private || t->rec.pin_none))
			return true;
	return false;
}

static CK_RV parse(struct tpm_token *t, struct bytes in, struct record *ret)
{
	struct record_keys keys = keys_of(t);

	return record_parse(in, t->rec.id, &keys, ret);
}

CK_RV stored_read(struct tpm_token *t, const uint8_t id[16], struct stored *ret)
{
	struct record r CLEANUP(record_done) = {0};
	struct buffer b CLEANUP(buffer_done);
	struct store_stamp stamp;

	buffer_init(&b, RECORD_MAX_SIZE);
	TRY(store_read(t->store, id, &b, &stamp));
	TRY(parse(t, buffer_bytes(&b), &r));
	if (wants_public(t, &r)) {
		TRY(tpm_state_answer(t, tpm_state_open_public(t)));
		record_done(&r);
		TRY(parse(t, buffer_bytes(&b), &r));
	}
	if (memcmp(r.id, id, sizeof r.id) != 0)
		return CKR_DEVICE_ERROR;
	*ret = (struct stored){.record = r, .stamp = stamp, .size = b.len};
	r = (struct record){0};
	return CKR_OK;
}

static bool has_sealed_attribute(const struct record_object *o)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(o->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	struct bytes value;

	for (size_t i = 0; i < attrs_count(o->attrs); i++)
		if (record_seals(class, attrs_at(o->attrs, i, &value)))
			return true;
	return false;
}

/* Whether sealing this object takes the public secret. */
static bool seals_public(const struct tpm_token *t, const struct record_object *o)
{
	if (o->sealed)
		return false;
	return o->private ? t->rec.pin_none : has_sealed_attribute(o);
}

/* Opens what sealing the record takes. */
static CK_RV need_keys(struct tpm_token *t, const struct record *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (seals_public(t, &r->object[i]))
			TRY(tpm_state_open_public(t));
	return CKR_OK;
}

CK_RV stored_write(struct tpm_token *t, struct stored *s)
{
	struct buffer b CLEANUP(buffer_done);
	struct record_keys keys;

	buffer_init(&b, RECORD_MAX_SIZE);
	TRY(need_keys(t, &s->record));
	keys = keys_of(t);
	TRY(record_emit(&s->record, &keys, &b));
	TRY(store_write(t->store, s->record.id, buffer_bytes(&b), &s->stamp));
	s->size = b.len;
	return CKR_OK;
}

static struct record_object *half(struct record *r, uint8_t index)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->object[i].index == index)
			return &r->object[i];
	return NULL;
}

/* The record of a stored object, read again under the lock; *before tells whether the front knows just this version. */
static CK_RV find_again(struct tpm_token *t, const struct tpm_obj *p, struct stored *ret, bool *before)
{
	const struct known *k;
	CK_RV rv = stored_read(t, p->record, ret);

	if (rv == CKR_TOKEN_NOT_RECOGNIZED)
		return CKR_OBJECT_HANDLE_INVALID;
	TRY(rv);
	if (!half(&ret->record, p->index))
		return CKR_OBJECT_HANDLE_INVALID;
	k = tpm_known_find(&t->known, p->record);
	*before = k && k->read && store_stamp_equal(&k->stamp, &ret->stamp);
	return CKR_OK;
}

/* The other half may have been changed by another process just before: then sync() must look at the record. */
static void note_written(struct tpm_token *t, const struct stored *s, bool before)
{
	struct known *k = tpm_known_find(&t->known, s->record.id);

	if (k && before)
		k->stamp = s->stamp;
	else if (k)
		k->read = false;
}

/* ---- changing ---- */

static CK_RV copy_blob(const struct buffer *from, struct buffer *to)
{
	buffer_put(to, buffer_bytes(from));
	return buffer_status(to);
}

/* A changed copy of an object, in memory. */
static CK_RV changed_copy(const struct token_obj *obj, const struct attrs *from, const struct attrs *changes,
			  struct token_obj **ret)
{
	struct attrs *attrs CLEANUP(attrs_cleanup) = NULL;
	struct buffer blob CLEANUP(buffer_done);
	const struct tpm_obj *p = tpm_object_priv(obj);
	struct tpm_obj *q;

	buffer_init(&blob, RECORD_MAX_SIZE);
	TRY(attrs_copy(from, &attrs));
	TRY(attrs_merge(attrs, changes));
	tpm_object_strip(attrs, p->blob.len > 0);
	TRY(copy_blob(&p->blob, &blob));
	TRY(tpm_object_new(obj->id, &attrs, &blob, ret));
	q = tpm_object_priv(*ret);
	q->stored = p->stored;
	q->index = p->index;
	q->size = p->size;
	memcpy(q->record, p->record, sizeof q->record);
	return CKR_OK;
}

static CK_RV update_stored(struct tpm_token *t, const struct token_obj *obj, const struct attrs *changes,
			   struct token_obj **ret)
{
	struct tpm_token *locked CLEANUP(tpm_state_unlock_cleanup) = NULL;
	struct stored s CLEANUP(stored_done) = {0};
	struct token_obj *made CLEANUP(tpm_object_cleanup) = NULL;
	struct record_object *o;
	bool before;

	TRY(tpm_state_lock(t, false));
	locked = t;
	TRY(tpm_state_need_token(t));
	TRY(find_again(t, tpm_object_priv(obj), &s, &before));
	o = half(&s.record, tpm_object_priv(obj)->index);
	if (o->sealed)
		return CKR_USER_NOT_LOGGED_IN;
	TRY(attrs_merge(o->attrs, changes));
	tpm_object_strip(o->attrs, o->blob.len > 0);
	s.record.version++;
	TRY(changed_copy(obj, o->attrs, changes, &made));
	TRY(stored_write(t, &s));
	tpm_object_priv(made)->size = s.size;
	note_written(t, &s, before);
	*ret = TAKE(made);
	return CKR_OK;
}

/* The front forgets the destroyed object by itself.  Of a record that is gone it may know the other half all the same, if
 * another process destroyed that just before: then sync() finds the entry unlisted, and tells it. */
static void forget_half(struct tpm_token *t, const struct tpm_obj *p, bool all)
{
	struct known *k = tpm_known_find(&t->known, p->record);

	if (!k)
		return;
	k->told &= (uint8_t)~(1u << p->index);
	if (all && !k->told)
		tpm_known_remove(&t->known, k);
}

/* An object that is said to be gone the front forgets, too.  Should it be there all the same - a file that couldn't be
 * reached for a moment -, the next look tells it again. */
static CK_RV forgotten_if_gone(struct tpm_token *t, const struct tpm_obj *p, CK_RV rv)
{
	struct known *k = rv == CKR_OBJECT_HANDLE_INVALID ? tpm_known_find(&t->known, p->record) : NULL;

	if (k) {
		forget_half(t, p, false);
		k->read = false;
		t->reopen = true;
	}
	return rv;
}

CK_RV tpm_update(struct token *tok, const struct token_obj *obj, const struct attrs *changes, struct token_obj **ret)
{
	struct tpm_token *t = tpm_token_of(tok);

	if (!tpm_object_priv(obj)->stored)
		return changed_copy(obj, obj->attrs, changes, ret);
	return tpm_state_answer(t, forgotten_if_gone(t, tpm_object_priv(obj), update_stored(t, obj, changes, ret)));
}

/* ---- destroying ---- */

static void drop_half(struct record *r, uint8_t index)
{
	struct record_object *o = half(r, index);

	attrs_free(o->attrs);
	buffer_done(&o->blob);
	buffer_done(&o->sealed_part);
	if (o == &r->object[0])
		r->object[0] = r->object[1];
	r->object[1] = (struct record_object){0};
	r->n--;
}

static CK_RV destroy_stored(struct tpm_token *t, const struct tpm_obj *p)
{
	struct tpm_token *locked CLEANUP(tpm_state_unlock_cleanup) = NULL;
	struct stored s CLEANUP(stored_done) = {0};
	bool before, last;

	TRY(tpm_state_lock(t, false));
	locked = t;
	TRY(tpm_state_need_token(t));
	TRY(find_again(t, p, &s, &before));
	last = s.record.n == 1;
	if (last) {
		TRY(store_erase(t->store, p->record));
	} else {
		drop_half(&s.record, p->index);
		s.record.version++;
		TRY(stored_write(t, &s));
		note_written(t, &s, before);
	}
	forget_half(t, p, last);
	return CKR_OK;
}

CK_RV tpm_destroy(struct token *tok, const struct token_obj *obj)
{
	struct tpm_token *t = tpm_token_of(tok);
	const struct tpm_obj *p = tpm_object_priv(obj);

	TRY(tpm_state_answer(t, forgotten_if_gone(t, p, destroy_stored(t, p))));
	if (p->blob.len)
		handles_drop(t->conn, obj->id);
	return CKR_OK;
}

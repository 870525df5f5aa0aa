/* Creating, changing and destroying objects. */
#include "change.h"

#include <errno.h>

#include "log.h"
#include "obj.h"
#include "rv.h"

/* ---- make ---- */

/* A record of what was made; it borrows nothing: the attributes are copies. */
static CK_RV record_of(const struct kr_token *t, const uint8_t id[16], struct attrs *const a[2], struct record *ret)
{
	struct record r CLEANUP(record_done) = {.version = 1};

	memcpy(r.token_id, t->secrets->trec.id, sizeof r.token_id);
	memcpy(r.id, id, sizeof r.id);
	for (uint8_t i = 0; i < 2 && a[i]; i++) {
		struct record_object *o = &r.object[r.n++];

		o->index = i;
		o->private = attrs_get_bool(a[i], CKA_PRIVATE, false);
		buffer_init(&o->blob, RECORD_MAX_SIZE);
		buffer_init(&o->sealed_part, RECORD_MAX_SIZE);
		TRY(attrs_copy(a[i], &o->attrs));
	}
	*ret = r;
	r = (struct record){0};
	return CKR_OK;
}

/* The entry by which sync() knows that the front has these objects. */
static struct known known_of(const struct record *r, key_serial_t key)
{
	struct known k = {.key = key, .record = true};

	memcpy(k.id, r->id, sizeof k.id);
	for (size_t i = 0; i < r->n; i++) {
		uint8_t bit = (uint8_t)(1u << r->object[i].index);

		k.told |= bit;
		if (r->object[i].private)
			k.private |= bit;
	}
	return k;
}

static CK_RV commit_new(struct kr_token *t, const uint8_t id[16], struct attrs *const a[2])
{
	struct record r CLEANUP(record_done) = {0};
	struct buffer b CLEANUP(buffer_done) = {0};
	struct kr_lock *held CLEANUP(kr_unlock) = NULL;
	struct record_keys keys;
	struct known k;
	key_serial_t key;
	int err;

	buffer_init(&b, RECORD_MAX_SIZE);
	TRY(state_lock(t));
	held = &t->lock;
	keys = state_keys(t);
	TRY(record_of(t, id, a, &r));
	TRY(record_emit(&r, &keys, &b));
	TRY(known_reserve(&t->known));
	err = store_add_record(&t->store, id, buffer_bytes(&b), &key);
	if (err != 0)
		return state_failed(t, KR_CHANGE, err, "adding an object to the token's keyring");
	k = known_of(&r, key);
	return known_put(&t->known, &k);
}

static void drop_made(struct token *tok, struct token_obj *o[2])
{
	obj_free(tok, o[0]);
	obj_free(tok, o[1]);
}

/* Both objects from their attributes, which it takes over. */
static CK_RV wrap_made(const uint8_t id[16], bool stored, struct attrs *a[2], struct token_obj *o[2])
{
	TRY(obj_new(id, 0, stored, &a[0], &o[0]));
	return a[1] ? obj_new(id, 1, stored, &a[1], &o[1]) : CKR_OK;
}

CK_RV kr_make(struct token *tok, const struct make_req *req, struct token_obj *ret[2])
{
	struct attrs *a[2] = {NULL, NULL};
	struct token_obj *o[2] = {NULL, NULL};
	uint8_t id[16];
	CK_RV rv;

	TRY(random_bytes(id, sizeof id));
	TRY(obj_attrs(req, a));
	rv = wrap_made(id, req->persist, a, o);
	if (rv == CKR_OK && req->persist)
		rv = commit_new(kr_of(tok), id, (struct attrs *[2]){o[0]->attrs, o[1] ? o[1]->attrs : NULL});
	attrs_free(a[0]);
	attrs_free(a[1]);
	if (rv != CKR_OK) {
		drop_made(tok, o);
		return rv;
	}
	ret[0] = o[0];
	if (o[1])
		ret[1] = o[1];
	return CKR_OK;
}

/* ---- a stored record, under the lock ---- */

struct current {
	struct record record;
	key_serial_t key;
	const char *type;
};

static void current_done(struct current *c)
{
	record_done(&c->record);
}

/* The record as it is now, whoever changed it last. */
static CK_RV read_current(struct kr_token *t, const uint8_t id[16], struct current *ret)
{
	struct record_keys keys = state_keys(t);
	struct buffer b CLEANUP(buffer_done) = {0};
	int err = ENOKEY;
	CK_RV rv;

	buffer_init(&b, RECORD_MAX_SIZE);
	for (unsigned i = 0; i < 2 && kr_gone(err); i++) { /* asked again before it is believed (R13) */
		err = store_find_record(&t->store, id, &ret->key, &ret->type);
		if (err == 0)
			err = key_read(ret->key, &b);
	}
	if (err != 0)
		return state_failed(t, KR_RECORD, err, "reading an object's record");
	rv = record_parse(buffer_bytes(&b), t->secrets->trec.id, &keys, &ret->record);
	if (rv == CKR_OK && memcmp(ret->record.id, id, 16) == 0)
		return CKR_OK;
	if (record_untried(rv))
		return rv;
	log_error("key %d is no readable record of this token (%s)", (int)ret->key, rv_name(rv));
	return CKR_DEVICE_ERROR;
}

static struct record_object *object_at(struct record *r, uint8_t index)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->object[i].index == index)
			return &r->object[i];
	return NULL;
}

/* Displaces the record's key by the changed record's. */
static CK_RV commit_change(struct kr_token *t, struct current *c, key_serial_t *ret)
{
	struct record_keys keys = state_keys(t);
	struct buffer b CLEANUP(buffer_done) = {0};
	char name[STORE_RECORD_NAME];
	int err;

	buffer_init(&b, RECORD_MAX_SIZE);
	c->record.version++;
	TRY(record_emit(&c->record, &keys, &b));
	TRY(known_reserve(&t->known));
	store_record_name(c->record.id, name);
	err = store_replace(&t->store, c->type, name, buffer_bytes(&b), ret);
	return err == 0 ? CKR_OK : state_failed(t, KR_CHANGE, err, "changing an object in the token's keyring");
}

/* The front has the new state of what was changed.  If another process had changed the record before, it hasn't
 * heard of that yet: then the old entry stays, and sync() tells the whole record. */
static CK_RV note_change(struct kr_token *t, const struct current *c, key_serial_t key, uint8_t told)
{
	struct known *old = known_by_key(&t->known, c->key), k;

	if (!old)
		return CKR_OK;
	k = *old;
	known_remove(&t->known, old);
	k.key = key;
	k.told = told & k.told;
	return known_put(&t->known, &k);
}

/* ---- update, destroy ---- */

/* The front forgets an object that is said to be gone.  Should it be there all the same - a key that couldn't be reached
 * for a moment -, the next look tells it again. */
static CK_RV forgotten_if_gone(struct kr_token *t, const struct kr_obj *p, CK_RV rv)
{
	struct known *k = rv == CKR_OBJECT_HANDLE_INVALID ? known_by_id(&t->known, p->record_id) : NULL;

	if (k) {
		k->told &= (uint8_t)~(1u << p->index);
		k->partial = t->retell = true;
	}
	return rv;
}

static CK_RV update(struct token *tok, const struct token_obj *obj, const struct attrs *changes, struct token_obj **ret)
{
	struct kr_token *t = kr_of(tok);
	const struct kr_obj *priv = obj_priv(obj);
	struct current c CLEANUP(current_done) = {0};
	struct attrs *attrs CLEANUP(attrs_cleanup) = NULL;
	struct kr_lock *held CLEANUP(kr_unlock) = NULL;
	struct token_obj *changed;
	struct record_object *o;
	key_serial_t key;
	CK_RV rv;

	TRY(state_lock(t));
	held = &t->lock;
	TRY(read_current(t, priv->record_id, &c));
	o = object_at(&c.record, priv->index);
	if (!o)
		return CKR_OBJECT_HANDLE_INVALID;
	if (o->sealed)
		return CKR_USER_NOT_LOGGED_IN;
	TRY(attrs_merge(o->attrs, changes));
	TRY(attrs_copy(o->attrs, &attrs));
	TRY(obj_new(priv->record_id, priv->index, true, &attrs, &changed));
	rv = commit_change(t, &c, &key);
	if (rv == CKR_OK)
		rv = note_change(t, &c, key, 0xff);
	if (rv != CKR_OK) {
		obj_free(tok, changed);
		return rv;
	}
	*ret = changed;
	return CKR_OK;
}

CK_RV kr_update(struct token *tok, const struct token_obj *obj, const struct attrs *changes, struct token_obj **ret)
{
	return forgotten_if_gone(kr_of(tok), obj_priv(obj), update(tok, obj, changes, ret));
}

/* Takes the object out of its record and closes the gap. */
static void remove_object(struct record *r, struct record_object *o)
{
	struct record gone = {.n = 1, .object[0] = *o};

	record_done(&gone);
	if (o == &r->object[0])
		r->object[0] = r->object[1];
	r->object[1] = (struct record_object){0};
	r->n--;
}

static CK_RV destroy_record(struct kr_token *t, const struct current *c)
{
	int err = store_remove(&t->store, c->key);
	struct known *k = known_by_key(&t->known, c->key);

	if (err == 0 && k)
		known_remove(&t->known, k);
	if (err == 0)
		return CKR_OK;
	if (err == ENOENT)
		err = ENOKEY; /* no longer linked there */
	return state_failed(t, err == ENOKEY ? KR_RECORD : KR_CHANGE, err, "taking an object out of the token's keyring");
}

static CK_RV destroy(struct kr_token *t, const struct kr_obj *priv)
{
	struct current c CLEANUP(current_done) = {0};
	struct kr_lock *held CLEANUP(kr_unlock) = NULL;
	struct record_object *o;
	key_serial_t key;

	TRY(state_lock(t));
	held = &t->lock;
	TRY(read_current(t, priv->record_id, &c));
	o = object_at(&c.record, priv->index);
	if (!o)
		return CKR_OBJECT_HANDLE_INVALID;
	if (c.record.n == 1)
		return destroy_record(t, &c);
	remove_object(&c.record, o);
	TRY(commit_change(t, &c, &key));
	return note_change(t, &c, key, (uint8_t)~(1u << priv->index));
}

CK_RV kr_destroy(struct token *tok, const struct token_obj *obj)
{
	struct kr_token *t = kr_of(tok);

	return forgotten_if_gone(t, obj_priv(obj), destroy(t, obj_priv(obj)));
}

/* Without the lock: a key that was displaced after it was found is found again. */
static int measure(const struct kr_token *t, const uint8_t id[16], size_t *ret)
{
	key_serial_t key = 0, last;
	const char *type;
	int err;

	do {
		last = key;
		err = store_find_record(&t->store, id, &key, &type);
		if (err != 0)
			return err;
		err = key_length(key, ret);
	} while (kr_gone(err) && key != last);
	return err;
}

CK_RV kr_obj_size(struct token *tok, const struct token_obj *obj, size_t *ret)
{
	struct kr_token *t = kr_of(tok);
	const struct kr_obj *priv = obj_priv(obj);
	int err;

	if (!priv->stored) {
		*ret = obj_weight(obj);
		return CKR_OK;
	}
	TRY(state_need(t));
	err = measure(t, priv->record_id, ret);
	return err == 0 ? CKR_OK : state_failed(t, KR_RECORD, err, "measuring an object's record");
}

/* One listing of the anchor says whether the ring is still there, one of the ring whether anything changed: every change
 * is a new key with a new serial number (R7, R13).  What is new is read; what is no longer listed is dropped.  A key
 * that can't be read although it was listed may have been displaced in between, so the ring is listed again before
 * that is believed. */
#include "sync.h"

#include <errno.h>

#include "log.h"
#include "obj.h"
#include "rv.h"

#define ROUNDS 1000 /* listings in one call, against a writer that never stops */

/* ---- one record ---- */

static CK_RV tell_object(struct record *r, struct record_object *o, const struct token_view *view)
{
	struct token_obj *obj;

	TRY(obj_new(r->id, o->index, true, &o->attrs, &obj));
	return view->put(view->ctx, obj);
}

static void drop_object(const struct known *k, uint8_t index, const struct token_view *view)
{
	uint8_t id[16];

	memcpy(id, k->id, sizeof id);
	id[15] ^= index;
	view->drop(view->ctx, id);
}

static void drop_told(struct known *k, uint8_t which, const struct token_view *view)
{
	for (uint8_t i = 0; i < RECORD_MAX_OBJECTS; i++)
		if (k->told & which & (1u << i))
			drop_object(k, i, view);
	k->told &= (uint8_t)~which;
}

/* Tells what of a record may be told; *k has what the front knew of the record before. */
static CK_RV tell_record(struct kr_token *t, struct record *r, struct known *k, const struct token_view *view)
{
	uint8_t there = 0;

	k->closed = false;
	k->private = 0;
	for (size_t i = 0; i < r->n; i++) {
		struct record_object *o = &r->object[i];
		uint8_t bit = (uint8_t)(1u << o->index);

		there |= bit;
		if (o->private)
			k->private |= bit;
		if (o->private && !t->user) {
			k->closed = true;
			continue;
		}
		TRY(tell_object(r, o, view));
		k->told |= bit;
	}
	drop_told(k, (uint8_t)~there, view);
	return CKR_OK;
}

/* Our names on keys of other types, a ring for instance, are somebody else's doing. */
static bool is_record(const struct key_info *info, uint8_t ret_id[16])
{
	return (strcmp(info->type, "user") == 0 || strcmp(info->type, "big_key") == 0) &&
	       store_record_id(info->name, ret_id);
}

/* Reads and parses; a key that isn't a record of this token leaves ret->n 0.  Returns an errno of the reading. */
static int read_record(struct kr_token *t, key_serial_t key, const struct key_info *info, CK_RV *rv, struct record *ret)
{
	struct record_keys keys = state_keys(t);
	struct buffer b CLEANUP(buffer_done) = {0};
	uint8_t id[16];
	int err;

	*rv = CKR_OK;
	if (!is_record(info, id))
		return 0;
	buffer_init(&b, RECORD_MAX_SIZE);
	err = key_read(key, &b);
	if (err != 0)
		return err;
	*rv = record_parse(buffer_bytes(&b), t->secrets->trec.id, &keys, ret);
	if (*rv == CKR_OK && memcmp(ret->id, id, sizeof id) != 0)
		*rv = CKR_DEVICE_ERROR;
	if (*rv == CKR_OK || record_untried(*rv))
		return 0;
	log_error("key %d (%s) is no readable record of this token (%s); it is skipped", (int)key, info->name, rv_name(*rv));
	*rv = CKR_OK;
	record_done(ret);
	return 0;
}

/* Moves what was known of the record under its old key to the new one. */
static void inherit(struct kr_token *t, struct known *k)
{
	struct known *old = known_by_id(&t->known, k->id);

	if (!old || old->key == k->key)
		return;
	k->told = old->told;
	k->private = old->private;
	known_remove(&t->known, old);
}

static CK_RV learn_record(struct kr_token *t, struct record *r, struct known *k, const struct token_view *view)
{
	CK_RV rv, put_rv;

	TRY(known_reserve(&t->known));
	k->record = true;
	memcpy(k->id, r->id, sizeof k->id);
	inherit(t, k);
	rv = tell_record(t, r, k, view);
	k->partial = rv != CKR_OK;
	put_rv = known_put(&t->known, k); /* there is room */
	return rv != CKR_OK ? rv : put_rv;
}

/* A key that is new, or whose private objects can be opened now.  *suspect is set if it couldn't be read. */
static CK_RV learn(struct kr_token *t, key_serial_t key, bool believe, bool *suspect, const struct token_view *view)
{
	struct record r CLEANUP(record_done) = {0};
	struct known *old = known_by_key(&t->known, key), k = {.key = key};
	struct key_info info;
	CK_RV rv = CKR_OK;
	int err = key_describe(key, &info);

	if (err == 0)
		err = read_record(t, key, &info, &rv, &r);
	TRY(rv);
	if (err == ENOMEM || err == KR_HOST_MEMORY)
		return kr_error(KR_RING, err, "reading a record");
	if (err != 0 && !believe) {
		*suspect = true;
		return CKR_OK;
	}
	if (err != 0)
		log_error("key %d of ring %d can't be read (errno %d); it is skipped", (int)key, (int)t->store.ring, err);
	if (old)
		k = *old;
	k.marked = true;
	if (r.n > 0)
		return learn_record(t, &r, &k, view);
	drop_told(&k, 0xff, view);
	k.record = k.closed = k.partial = false;
	return known_put(&t->known, &k);
}

/* ---- the ring ---- */

static bool wants_look(const struct kr_token *t, const struct known *k)
{
	return !k || k->partial || (k->closed && t->user);
}

/* Goes through a listing.  Keys in `doubted` were listed before and couldn't be read then: now it is believed. */
static CK_RV walk(struct kr_token *t, const struct serials *now, const struct serials *doubted, bool *suspect,
		  const struct token_view *view)
{
	for (size_t i = 0; i < now->n; i++) {
		struct known *k = known_by_key(&t->known, now->at[i]);

		if (k)
			k->marked = true;
		if (wants_look(t, k))
			TRY(learn(t, now->at[i], serials_have(doubted, now->at[i]), suspect, view));
	}
	return CKR_OK;
}

static void sweep(struct kr_token *t, const struct token_view *view)
{
	for (size_t i = t->known.n; i-- > 0;) {
		struct known *k = &t->known.at[i];

		if (!k->marked) {
			drop_told(k, 0xff, view);
			known_remove(&t->known, k);
			continue;
		}
		k->marked = false;
	}
}

static void keep_listing(struct serials *to, struct serials *now)
{
	serials_done(to);
	*to = *now;
	*now = (struct serials){0};
}

/* One listing and what follows from it.  *again: some key was gone before it was read. */
static CK_RV round_of(struct kr_token *t, struct serials *last, bool *again, const struct token_view *view)
{
	struct serials now CLEANUP(serials_done) = {0};
	int err = ring_list(t->store.ring, &now);
	CK_RV rv;

	*again = false;
	if ((err == 0 || kr_gone(err) || err == ENOTDIR) && state_gone(t, err))
		return state_removed(t, err);
	if (err == EACCES) {
		log_debug("%s: this thread doesn't possess ring %d: it sees what was known", t->anchor.name,
			  (int)t->store.ring);
		return CKR_OK;
	}
	if (err != 0)
		return kr_error(KR_RING, err, "listing the token's keyring");
	if (serials_equal(&now, &t->seen) && !t->retell)
		return CKR_OK;
	if (!serials_have(&now, t->trec_key))
		TRY(state_refresh(t));
	for (size_t i = 0; i < t->known.n; i++)
		t->known.at[i].marked = false;
	rv = walk(t, &now, last, again, view);
	t->retell = rv != CKR_OK || *again;
	if (rv != CKR_OK)
		return rv;
	if (!*again)
		sweep(t, view);
	keep_listing(*again ? last : &t->seen, &now);
	return CKR_OK;
}

CK_RV kr_sync(struct token *tok, const struct token_view *view)
{
	struct kr_token *t = kr_of(tok);
	struct serials last CLEANUP(serials_done) = {0};
	bool again = true;

	if (t->was_removed) {
		t->was_removed = false;
		return CKR_DEVICE_REMOVED;
	}
	TRY(state_attach(t));
	if (t->store.ring == 0)
		return CKR_OK; /* not initialized: nothing there to tell */
	for (unsigned i = 0; again && i < ROUNDS; i++)
		TRY(round_of(t, &last, &again, view));
	return CKR_OK;
}

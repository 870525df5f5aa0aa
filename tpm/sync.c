/* Telling the front what changed in the store (R13). */
#include "adopt.h"
#include "log.h"
#include "object.h"

static void tell_gone(const struct known *k, uint8_t which, const struct token_view *view)
{
	uint8_t id[16];

	for (uint8_t i = 0; i < RECORD_MAX_OBJECTS; i++) {
		if (!(which & k->told & 1u << i))
			continue;
		memcpy(id, k->id, sizeof id);
		id[15] ^= i;
		view->drop(view->ctx, id);
	}
}

/* Makes the two sets of records the same: what is listed is known, what isn't was removed. */
static CK_RV match(struct tpm_token *t, const struct token_view *view)
{
	const struct store_listing *l = t->listing;
	size_t i = 0;

	for (size_t j = 0; j < l->n; j++) {
		const uint8_t *id = l->at[j].id;

		while (i < t->known.n && memcmp(t->known.at[i].id, id, 16) < 0) {
			tell_gone(&t->known.at[i], 0xff, view);
			tpm_known_remove(&t->known, &t->known.at[i]);
		}
		if (i == t->known.n || memcmp(t->known.at[i].id, id, 16) != 0) {
			TRY(tpm_known_reserve(&t->known));
			(void)tpm_known_add(&t->known, id);
		}
		i++;
	}
	while (i < t->known.n) {
		tell_gone(&t->known.at[i], 0xff, view);
		tpm_known_remove(&t->known, &t->known.at[i]);
	}
	return CKR_OK;
}

static CK_RV tell(struct record *r, struct record_object *o, size_t size, const struct token_view *view)
{
	struct token_obj *obj;
	struct tpm_obj *p;
	uint8_t id[16];

	record_object_id(r, o, id);
	TRY(tpm_object_new(id, &o->attrs, &o->blob, &obj));
	p = tpm_object_priv(obj);
	p->stored = true;
	p->index = o->index;
	p->size = size;
	memcpy(p->record, r->id, sizeof p->record);
	return view->put(view->ctx, obj);
}

static CK_RV tell_record(struct tpm_token *t, struct known *k, struct stored *s, const struct token_view *view)
{
	struct record *r = &s->record;
	uint8_t there = 0;

	k->closed = false;
	k->private = 0;
	for (size_t i = 0; i < r->n; i++) {
		struct record_object *o = &r->object[i];
		uint8_t bit = (uint8_t)(1u << o->index);

		if (o->private)
			k->private |= bit;
		if (o->private && (o->sealed || !tpm_state_private_ok(t))) {
			k->closed = true;
			continue;
		}
		there |= bit;
		TRY(tell(r, o, s->size, view));
		k->told |= bit;
	}
	tell_gone(k, (uint8_t)~there, view);
	k->told = there;
	k->stamp = s->stamp;
	k->read = true;
	return CKR_OK;
}

/* One record that is new, changed, or can now be opened.  A damaged one is skipped until it changes. */
static CK_RV look_at(struct tpm_token *t, struct known *k, const struct store_stamp *listed,
		     const struct token_view *view)
{
	struct stored s CLEANUP(stored_done) = {0};
	CK_RV rv = stored_read(t, k->id, &s);
	char name[33];

	if (rv == CKR_OK)
		return tell_record(t, k, &s, view);
	if (rv == CKR_OBJECT_HANDLE_INVALID) { /* removed just now: the next listing says so, or it is looked at again */
		t->reopen = true;
		return CKR_OK;
	}
	if (rv != CKR_DEVICE_ERROR && rv != CKR_TOKEN_NOT_RECOGNIZED)
		return rv;
	hex_encode(BYTES_OF(k->id), name);
	if (rv == CKR_DEVICE_ERROR)
		log_error("store %s: record %s is damaged; it is skipped and kept", store_path(t->store), name);
	else
		log_debug("store %s: record %s belongs to a token that was replaced", store_path(t->store), name);
	tell_gone(k, 0xff, view);
	k->told = 0;
	k->closed = false;
	k->stamp = *listed;
	k->read = true;
	return CKR_OK;
}

static CK_RV tell_changes(struct tpm_token *t, const struct token_view *view)
{
	bool open = tpm_state_private_ok(t);

	for (size_t i = 0; i < t->known.n; i++) {
		struct known *k = &t->known.at[i];
		const struct store_stamp *listed = &t->listing->at[i].stamp;

		if (!k->read || (k->closed && open) || !store_stamp_equal(&k->stamp, listed))
			TRY(look_at(t, k, listed, view));
	}
	return CKR_OK;
}

static CK_RV sync_records(struct tpm_token *t, const struct token_view *view)
{
	CK_RV rv;

	if (t->told == t->listing->serial && !t->reopen)
		return CKR_OK;
	t->reopen = false;
	rv = match(t, view);
	store_begin_reading(t->store);
	if (rv == CKR_OK)
		rv = tell_changes(t, view);
	store_end_reading(t->store);
	t->reopen |= rv != CKR_OK;
	if (rv == CKR_OK)
		t->told = t->listing->serial;
	return rv;
}

static CK_RV sync(struct tpm_token *t, const struct token_view *view)
{
	TRY(tpm_state_refresh(t));
	if (t->replaced) {
		t->replaced = false;
		return CKR_DEVICE_REMOVED;
	}
	if (!t->initialized)
		return CKR_OK;
	if (atomic_exchange(&t->retell, false)) {
		t->known.n = 0;
		t->told = 0;
		adopted_forget(t->adopted, true);
	}
	TRY(sync_records(t, view));
	return adopted_sync(t, view);
}

CK_RV tpm_sync(struct token *tok, const struct token_view *view)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, sync(t, view));
}

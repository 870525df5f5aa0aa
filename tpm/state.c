/* The token record as other processes left it, and the secrets behind it. */
#include "state.h"

#include "adopt.h"
#include "frame.h"
#include "log.h"
#include "seal.h"
#include "settle.h"

void tpm_state_close(struct tpm_token *t)
{
	t->who = NOBODY;
	/* Without a PIN nothing is ever closed. */
	if (t->initialized && t->rec.pin_none)
		return;
	keyset_free(t->private_keys);
	t->private_keys = NULL;
}

void tpm_state_forget(struct tpm_token *t)
{
	t->who = NOBODY;
	keyset_free(t->private_keys);
	keyset_free(t->public_keys);
	t->private_keys = t->public_keys = NULL;
	parent_unref(t->parent);
	t->parent = NULL;
	t->known.n = 0;
	t->told = 0;
	adopted_forget(t->adopted, true);
	wipe(&t->rec, sizeof t->rec);
	t->initialized = false;
}

void tpm_state_adopt(struct tpm_token *t, const struct token_rec *rec, const struct store_stamp *stamp,
		 struct parent *parent)
{
	bool same = t->initialized && !memcmp(t->rec.id, rec->id, sizeof rec->id);

	if (t->initialized && !same)
		tpm_state_forget(t);
	if (same)
		parent_unref(t->parent);
	t->parent = parent;
	t->rec = *rec;
	t->rec_stamp = *stamp;
	t->initialized = true;
}

static CK_RV read_token(struct tpm_token *t)
{
	struct buffer b CLEANUP(buffer_done);
	struct parent *parent = NULL;
	struct store_stamp stamp;
	struct token_rec rec;
	CK_RV rv;

	buffer_init(&b, FRAME_MAX);
	TRY(store_read_token(t->store, &b, &stamp));
	rv = token_rec_parse(buffer_bytes(&b), &rec);
	if (rv == CKR_DEVICE_ERROR)
		log_error("store %s: the token record is damaged or of a newer version; restore it from a backup, or "
			  "move the directory away to start anew", store_path(t->store));
	TRY(rv);
	TRY(parent_new(&rec.parent, &parent));
	if (t->initialized && memcmp(t->rec.id, rec.id, sizeof rec.id) != 0) {
		log_info("store %s: the token was initialized anew by another process", store_path(t->store));
		t->replaced = true;
	}
	tpm_state_adopt(t, &rec, &stamp, parent);
	memory_recall(t);
	return CKR_OK;
}

CK_RV tpm_state_refresh(struct tpm_token *t)
{
	bool changed;
	CK_RV rv;

	TRY(store_list(t->store, &t->listing, &changed));
	if (!changed)
		return CKR_OK;
	if (!t->listing->has_token) {
		t->replaced |= t->initialized;
		if (t->initialized)
			tpm_state_forget(t);
		return CKR_OK;
	}
	if (t->initialized && store_stamp_equal(&t->rec_stamp, &t->listing->token))
		return CKR_OK;
	rv = read_token(t);
	if (rv != CKR_OK)
		store_forget(t->store);
	return rv;
}

CK_RV tpm_state_need_token(struct tpm_token *t)
{
	TRY(tpm_state_refresh(t));
	if (t->replaced)
		return CKR_DEVICE_REMOVED;
	return t->initialized ? CKR_OK : CKR_TOKEN_NOT_INITIALIZED;
}

CK_RV tpm_state_lock(struct tpm_token *t, bool create)
{
	struct settle s = {.conn = t->conn, .store = t->store};
	CK_RV rv;

	TRY(store_lock(t->store, create));
	/* What can't be cleaned up now stays announced for the next call; this one needs none of it. */
	if (settle_intents(&s) != CKR_OK)
		log_info("store %s: leftovers of an interrupted call stay for now", store_path(t->store));
	rv = tpm_state_refresh(t);
	if (rv != CKR_OK)
		store_unlock(t->store);
	return rv;
}

/* ---- secrets ---- */

struct opening {
	struct tpm_token *t;
	struct key256 secret;
};

static void opening_wipe(struct opening *o)
{
	wipe(&o->secret, sizeof o->secret);
}

static CK_RV open_body(struct conn *c, void *arg)
{
	struct opening *o = arg;

	return seal_open(c, o->t->parent, &o->t->rec.public_seal, NO_BYTES, false, &o->secret);
}

CK_RV tpm_state_open_public(struct tpm_token *t)
{
	struct opening o CLEANUP(opening_wipe) = {.t = t};
	struct keyset *public CLEANUP(secret_cleanup) = NULL, *private CLEANUP(secret_cleanup) = NULL;

	if (!t->initialized)
		return CKR_TOKEN_NOT_INITIALIZED;
	if (t->public_keys)
		return CKR_OK;
	TRY(conn_run(t->conn, RC_INIT, open_body, &o));
	TRY(keyset_new(&o.secret, SECRET_PUBLIC, &public));
	if (t->rec.pin_none && !t->private_keys)
		TRY(keyset_new(&o.secret, SECRET_PRIVATE, &private));
	t->public_keys = TAKE(public);
	if (private)
		t->private_keys = TAKE(private);
	return CKR_OK;
}

bool tpm_state_private_ok(const struct tpm_token *t)
{
	return t->initialized && (t->who == USER || (t->rec.pin_none && t->who != SO));
}

CK_RV tpm_state_keyset(struct tpm_token *t, enum token_secret kind, const struct keyset **ret)
{
	if (kind == SECRET_PUBLIC || (t->initialized && t->rec.pin_none))
		TRY(tpm_state_open_public(t));
	if (kind == SECRET_PRIVATE && (!tpm_state_private_ok(t) || !t->private_keys))
		return CKR_USER_NOT_LOGGED_IN;
	*ret = kind == SECRET_PRIVATE ? t->private_keys : t->public_keys;
	return CKR_OK;
}

CK_RV tpm_state_answer(struct tpm_token *t, CK_RV rv)
{
	if (rv == CKR_DEVICE_REMOVED)
		atomic_store(&t->retell, true);
	return rv == CKR_TOKEN_NOT_RECOGNIZED ? CKR_DEVICE_ERROR : rv;
}

/* Attaching to a ring, and noticing that it has gone. */
#include "state.h"

#include <errno.h>

#include "log.h"
#include "rv.h"

static const char label_public[] = "signet keyring: sensitive attributes of public objects";
static const char label_private[] = "signet keyring: private objects";

/* ---- secrets ---- */

static CK_RV keep_secret(struct kr_token *t, const struct key256 *secret)
{
	struct key256 key CLEANUP(key256_wipe) = {0};

	TRY(hkdf_sha256(secret, label_private, BYTES_OF(t->secrets->trec.id), &key));
	t->secrets->private_key = key;
	t->secrets->secret = *secret;
	t->has_secret = true;
	t->retell = true;
	return CKR_OK;
}

CK_RV state_login(struct kr_token *t, const struct key256 *secret, enum token_user who)
{
	TRY(keep_secret(t, secret));
	t->login = true;
	t->user = who == TOKEN_USER;
	return CKR_OK;
}

static bool is_bare(const struct kr_token *t)
{
	return t->secrets->trec.pin[TOKEN_USER].kind == TREC_CLEAR;
}

static void forget_secret(struct kr_token *t)
{
	wipe(&t->secrets->secret, sizeof t->secrets->secret);
	wipe(&t->secrets->private_key, sizeof t->secrets->private_key);
	t->has_secret = t->login = t->user = false;
}

void state_relock(struct kr_token *t)
{
	bool bare = t->store.ring != 0 && is_bare(t);

	if (!bare)
		forget_secret(t);
	t->login = false;
	t->user = bare; /* it wasn't while the SO was logged in */
	for (size_t i = 0; i < t->known.n; i++) {
		struct known *k = &t->known.at[i];

		if (k->private == 0)
			continue;
		k->told &= (uint8_t)~k->private;
		k->closed = true;
	}
	t->retell |= bare; /* then the front hears of them again at once */
}

struct record_keys state_keys(const struct kr_token *t)
{
	return (struct record_keys){
		.private_key = t->has_secret ? &t->secrets->private_key : NULL,
		.public_key = &t->secrets->public_key,
	};
}

/* ---- the token record ---- */

/* Whether an errno of a key says that it isn't what it should be, rather than that the kernel couldn't say. */
static bool unusable(int err)
{
	return kr_gone(err) || err == EMSGSIZE || err == EOPNOTSUPP || err == EKEYREJECTED;
}

static CK_RV read_trec(const struct kr_token *t, key_serial_t ring, key_serial_t *ret_key, struct trec *ret)
{
	struct buffer b CLEANUP(buffer_done) = {0};
	key_serial_t key;
	int err;
	CK_RV rv;

	buffer_init(&b, 2 * TREC_SIZE);
	err = ring_read(ring, "user", STORE_TOKEN, &key, &b);
	if (err != 0 && !unusable(err))
		return kr_error(KR_RING, err, "reading the token record");
	rv = err != 0 ? CKR_TOKEN_NOT_RECOGNIZED : trec_parse(buffer_bytes(&b), ret);
	if (rv == CKR_OK)
		*ret_key = key;
	else
		log_error("%s: ring %d has no readable token record (%s, errno %d); to start anew: keyctl unlink %d, its "
			  "objects are lost then",
			  t->anchor.name, (int)ring, rv_name(rv), err, (int)ring);
	return rv;
}

static bool ring_writable(key_serial_t ring)
{
	struct key_info info;

	return key_describe(ring, &info) != 0 || (info.perm & (KEY_POS_WRITE | KEY_USR_WRITE)) != 0;
}

static CK_RV use_trec(struct kr_token *t, key_serial_t ring, key_serial_t key, const struct trec *trec)
{
	struct key256 public_key CLEANUP(key256_wipe) = {0};
	struct key256 secret CLEANUP(key256_wipe) = {0};

	TRY(hkdf_sha256(&trec->public_secret, label_public, BYTES_OF(trec->id), &public_key));
	t->secrets->public_key = public_key;
	t->secrets->trec = *trec;
	if (is_bare(t)) {
		memcpy(secret.b, trec->pin[TOKEN_USER].wrapped, sizeof secret.b);
		TRY(keep_secret(t, &secret));
		t->user |= !t->login;
	}
	t->trec_key = key;
	t->store.ring = ring;
	return CKR_OK;
}

static CK_RV adopt(struct kr_token *t, key_serial_t ring)
{
	struct trec trec CLEANUP(trec_wipe) = {0};
	key_serial_t key;

	TRY(read_trec(t, ring, &key, &trec));
	state_detach(t);
	TRY(use_trec(t, ring, key, &trec));
	t->store.perm = anchor_perm(&t->anchor);
	if (ring_find(ring, "keyring", STORE_STAGE, &t->store.stage) != 0)
		t->store.stage = 0;
	t->writable = ring_writable(ring);
	t->lost = false;
	t->retell = true;
	return CKR_OK;
}

void state_settle(struct kr_token *t, key_serial_t ring)
{
	CK_RV rv = adopt(t, ring);

	t->was_removed = t->lost = false;
	if (rv == CKR_OK)
		return;
	log_info("%s: the new ring %d couldn't be read back (%s); the next call tries again", t->anchor.name, (int)ring,
		 rv_name(rv));
	state_detach(t);
	t->lost = false;
}

/* The token record couldn't be found. */
static CK_RV trec_lost(struct kr_token *t, int err)
{
	struct serials s CLEANUP(serials_done) = {0};
	CK_RV rv = state_failed(t, KR_RING, err, "finding the token record");

	if (t->store.ring == 0 || err == EACCES || !unusable(err) || ring_list(t->store.ring, &s) != 0)
		return rv;
	return state_removed(t, err);
}

/* Whether this is no longer the token that this process's sessions were opened with. */
static bool another_token(const struct kr_token *t, const struct trec *now)
{
	return memcmp(now->id, t->secrets->trec.id, sizeof now->id) != 0 ||
	       (is_bare(t) && now->pin[TOKEN_USER].kind != TREC_CLEAR && !t->login);
}

CK_RV state_refresh(struct kr_token *t)
{
	struct trec trec CLEANUP(trec_wipe) = {0};
	key_serial_t key;
	int err = ring_find(t->store.ring, "user", STORE_TOKEN, &key);
	CK_RV rv;

	if (kr_gone(err)) /* asked again before it is believed (R13) */
		err = ring_find(t->store.ring, "user", STORE_TOKEN, &key);
	if (err != 0)
		return trec_lost(t, err);
	if (key == t->trec_key)
		return CKR_OK;
	rv = read_trec(t, t->store.ring, &key, &trec);
	if (rv == CKR_TOKEN_NOT_RECOGNIZED || (rv == CKR_OK && another_token(t, &trec)))
		return state_removed(t, ENOKEY);
	return rv != CKR_OK ? rv : use_trec(t, t->store.ring, key, &trec);
}

/* ---- attaching ---- */

/* Whether the ring is no longer linked in its anchor.  A thread with another session keyring can't tell. */
static bool unanchored(const struct kr_token *t)
{
	struct serials s CLEANUP(serials_done) = {0};
	int err = ring_list(t->anchor_ring, &s);

	if (err == EKEYEXPIRED && t->anchor.kind == ANCHOR_PERSISTENT) {
		anchor_refresh(&t->anchor); /* asking for it revives it, keys and all */
		err = ring_list(t->anchor_ring, &s);
	}
	return err == 0 ? !serials_have(&s, t->store.ring) : err != EACCES && kr_gone(err);
}

/* EACCES is what a thread gets that doesn't possess the ring; but also what everybody gets who did, from its unlinking
 * until it is collected.  And a ring may be kept alive by a link elsewhere. */
bool state_gone(const struct kr_token *t, int err)
{
	return err == 0 || err == EACCES ? unanchored(t) : kr_gone(err) || err == ENOTDIR;
}

CK_RV state_attach(struct kr_token *t)
{
	struct anchor_view v;

	if (t->store.ring != 0)
		return CKR_OK;
	v = anchor_look(&t->anchor);
	t->anchor_ring = v.anchor;
	if (v.anchor != 0 && v.err == ENOKEY)
		return t->lost ? CKR_TOKEN_NOT_PRESENT : CKR_OK;
	if (v.err != 0)
		return kr_error(KR_PROBE, v.err, t->anchor.name);
	return adopt(t, v.ring);
}

void state_detach(struct kr_token *t)
{
	forget_secret(t);
	wipe(t->secrets, sizeof *t->secrets);
	t->store.ring = t->trec_key = 0;
	t->lost = true;
	known_done(&t->known);
	serials_done(&t->seen);
}

CK_RV state_removed(struct kr_token *t, int err)
{
	log_info("%s: ring %d, or its token record, has gone: the token counts as removed", t->anchor.name, (int)t->store.ring);
	fault_note(err == 0 ? ENOKEY : (uint32_t)err);
	state_detach(t);
	return CKR_DEVICE_REMOVED;
}

CK_RV state_check(struct kr_token *t)
{
	size_t n;
	int err = t->store.ring == 0 ? 0 : key_length(t->store.ring, &n);

	if (t->store.ring != 0 && state_gone(t, err))
		t->was_removed = state_removed(t, err) == CKR_DEVICE_REMOVED;
	return state_attach(t);
}

CK_RV state_need(struct kr_token *t)
{
	TRY(state_attach(t));
	return t->store.ring == 0 ? CKR_TOKEN_NOT_RECOGNIZED : CKR_OK;
}

CK_RV state_failed(struct kr_token *t, enum kr_context context, int err, const char *what)
{
	struct serials s CLEANUP(serials_done) = {0};
	int ring_err;

	if (!kr_gone(err) && err != ENOTDIR)
		return kr_error(context, err, what);
	ring_err = ring_list(t->store.ring, &s);
	if (state_gone(t, ring_err))
		return state_removed(t, ring_err);
	if (ring_err != 0)
		return kr_error(KR_RING, ring_err, what);
	return kr_error(context != KR_RECORD && err != EACCES ? KR_KEY : context, err, what);
}

CK_RV state_lock(struct kr_token *t)
{
	CK_RV rv;

	TRY(state_need(t));
	TRY(kr_lock_take(t->store.ring, &t->lock));
	rv = state_refresh(t);
	if (rv != CKR_OK)
		kr_lock_drop(&t->lock);
	return rv;
}

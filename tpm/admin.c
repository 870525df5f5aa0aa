/* Changes of the token record.  Each makes what is new in the TPM, commits the record that names it, and then lets go
 * of what the old record named (R8): settle_intents() is the undo before the commit and the clean-up after it. */
#include "admin.h"

#include "frame.h"
#include "log.h"
#include "pin.h"
#include "settle.h"
#include "txn.h"

/* One change under way. */
struct change {
	struct tpm_token *t;
	struct token_rec next;
	struct parent *parent;        /* of `next` */
	struct intents intents;
	struct settle settle;
	struct store_stamp stamp;     /* of the committed file */
};

static void change_done(struct change *c)
{
	wipe(&c->next, sizeof c->next);
	parent_unref(c->parent);
}

static bool length_ok(struct bytes pin)
{
	return pin.len >= PIN_MIN && pin.len <= PIN_MAX;
}

/* Starts from what is announced already: an interrupted call's leftovers must not be forgotten. */
static CK_RV change_begin(struct change *c, struct txn *txn)
{
	CK_RV rv = intents_read(c->t->store, &c->intents);

	if (rv != CKR_OK && rv != CKR_DEVICE_ERROR)
		return rv;
	c->settle = (struct settle){.conn = c->t->conn, .store = c->t->store};
	TRY(txn_undo(txn, settle_intents, &c->settle, "NV indices named in %s/intents", store_path(c->t->store)));
	return txn_after(txn, settle_intents, &c->settle, "NV indices named in %s/intents", store_path(c->t->store));
}

static CK_RV gives_up(struct change *c, const struct pin_rec *old)
{
	return old->present ? intents_add(&c->intents, old->index.handle, old->index.policy) : CKR_OK;
}

static struct pin_maker maker(struct change *c)
{
	return (struct pin_maker){
		.conn = c->t->conn, .store = c->t->store, .parent = c->parent, .intents = &c->intents,
	};
}

/* The commit point. */
static CK_RV change_commit(struct change *c, struct txn *txn)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, FRAME_MAX);
	TRY(token_rec_emit(&c->next, &b));
	TRY(store_write_token(c->t->store, buffer_bytes(&b), &c->stamp));
	txn_commit(txn);
	return CKR_OK;
}

static void adopt(struct change *c)
{
	tpm_state_adopt(c->t, &c->next, &c->stamp, TAKE(c->parent));
}

/* ---- C_InitToken ---- */

static CK_RV parent_body(struct conn *c, void *arg)
{
	return parent_make(c, arg);
}

struct sealing {
	struct change *change;
	const struct key256 *secret;
};

static CK_RV seal_public_body(struct conn *c, void *arg)
{
	struct sealing *s = arg;
	struct seal_req req = {.secret = s->secret};

	return seal_create(c, s->change->parent, &req, &s->change->next.public_seal);
}

/* A token that nothing connects with the one before. */
static CK_RV make_token(struct change *c, struct bytes so_pin, const uint8_t label[32])
{
	struct key256 private CLEANUP(key256_wipe), public CLEANUP(key256_wipe);
	struct sealing sealing = {.change = c, .secret = &public};
	struct token_rec *next = &c->next;
	struct pin_maker m;

	memcpy(next->label, label, sizeof next->label);
	next->pin_none = c->t->pin_none;
	TRY(random_bytes(next->id, sizeof next->id));
	TRY(random_bytes(private.b, sizeof private.b));
	TRY(random_bytes(public.b, sizeof public.b));
	TRY(conn_run(c->t->conn, RC_ADMIN, parent_body, &next->parent));
	TRY(parent_new(&next->parent, &c->parent));
	TRY(conn_run(c->t->conn, RC_ADMIN, seal_public_body, &sealing));
	m = maker(c);
	return pin_make(&m, so_pin, next->pin_none ? &public : &private, c->t->so_tries, &next->so);
}

static CK_RV replace_token(struct change *c, struct bytes so_pin, const uint8_t label[32], struct txn *txn)
{
	const struct token_rec *old = &c->t->rec;

	TRY(change_begin(c, txn));
	if (c->t->initialized) {
		TRY(gives_up(c, &old->so));
		TRY(gives_up(c, &old->user));
		c->intents.replaces = true;
		memcpy(c->intents.replaced, old->id, sizeof old->id);
		TRY(intents_write(c->t->store, &c->intents));
	}
	TRY(make_token(c, so_pin, label));
	return change_commit(c, txn);
}

static CK_RV prove_so(struct tpm_token *t, struct bytes so_pin)
{
	struct key256 secret CLEANUP(key256_wipe);

	if (!t->initialized)
		return CKR_OK;
	return pin_login(t->conn, t->parent, &t->rec.so, so_pin, &secret);
}

static CK_RV init_token(struct tpm_token *t, struct bytes so_pin, const uint8_t label[32])
{
	struct tpm_token *locked CLEANUP(tpm_state_unlock_cleanup) = NULL;
	struct change c CLEANUP(change_done) = {.t = t};
	struct txn txn CLEANUP(txn_cleanup) = {0};
	CK_RV rv;

	if (!length_ok(so_pin)) {
		log_error("a PIN has %d to %d bytes", PIN_MIN, PIN_MAX);
		return CKR_PIN_INCORRECT; /* C_InitToken may not say CKR_PIN_LEN_RANGE */
	}
	TRY(tpm_state_lock(t, true));
	locked = t;
	TRY(prove_so(t, so_pin));
	rv = txn_end(&txn, replace_token(&c, so_pin, label, &txn));
	if (rv != CKR_OK)
		return rv;
	tpm_state_forget(t);
	t->replaced = false;
	adopt(&c);
	return CKR_OK;
}

CK_RV tpm_init_token(struct token *tok, struct bytes so_pin, const uint8_t label[32])
{
	struct tpm_token *t = tpm_token_of(tok);
	CK_RV rv = init_token(t, so_pin, label);

	if (rv == CKR_OK)
		memory_keep(t);
	/* Without a session CKR_TOKEN_NOT_RECOGNIZED may be said. */
	return rv == CKR_TOKEN_NOT_RECOGNIZED ? rv : tpm_state_answer(t, rv);
}

/* ---- C_InitPIN, C_SetPIN ---- */

struct new_pin_req {
	enum token_user who;
	struct bytes pin;
	const struct key256 *secret;
};

static CK_RV replace_pin(struct change *c, const struct new_pin_req *req, struct txn *txn)
{
	struct pin_rec *slot = req->who == TOKEN_SO ? &c->next.so : &c->next.user;
	uint32_t tries = req->who == TOKEN_SO ? c->t->so_tries : c->t->user_tries;
	struct pin_maker m = maker(c);

	m.replaces = slot;
	TRY(change_begin(c, txn));
	TRY(gives_up(c, slot));
	TRY(pin_make(&m, req->pin, req->secret, tries, slot));
	return change_commit(c, txn);
}

/* Under the lock, with the record as it is now. */
static CK_RV change_pin(struct tpm_token *t, const struct new_pin_req *req)
{
	struct change c CLEANUP(change_done) = {.t = t, .next = t->rec, .parent = parent_ref(t->parent)};
	struct txn txn CLEANUP(txn_cleanup) = {0};

	TRY(txn_end(&txn, replace_pin(&c, req, &txn)));
	adopt(&c);
	return CKR_OK;
}

static CK_RV init_pin(struct tpm_token *t, struct bytes pin)
{
	struct tpm_token *locked CLEANUP(tpm_state_unlock_cleanup) = NULL;
	struct new_pin_req req = {.who = TOKEN_USER, .pin = pin};

	if (!length_ok(pin))
		return CKR_PIN_LEN_RANGE;
	TRY(tpm_state_lock(t, false));
	locked = t;
	TRY(tpm_state_need_token(t));
	if (t->who != SO || !t->private_keys)
		return CKR_USER_NOT_LOGGED_IN;
	if (t->rec.pin_none) {
		log_error("this token was initialized with `pin = none`: its user has no PIN");
		return CKR_FUNCTION_FAILED;
	}
	req.secret = &t->private_keys->secret;
	return change_pin(t, &req);
}

CK_RV tpm_init_pin(struct token *tok, struct bytes pin)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, init_pin(t, pin));
}

static CK_RV set_pin(struct tpm_token *t, enum token_user who, struct bytes old, struct bytes pin)
{
	struct tpm_token *locked CLEANUP(tpm_state_unlock_cleanup) = NULL;
	struct key256 secret CLEANUP(key256_wipe);
	struct new_pin_req req = {.who = who, .pin = pin, .secret = &secret};
	const struct pin_rec *slot = who == TOKEN_SO ? &t->rec.so : &t->rec.user;

	if (!length_ok(pin))
		return CKR_PIN_LEN_RANGE;
	TRY(tpm_state_lock(t, false));
	locked = t;
	TRY(tpm_state_need_token(t));
	if (!slot->present) {
		log_error("the user has no PIN yet: the security officer sets the first one (C_InitPIN)");
		return CKR_PIN_INCORRECT; /* C_SetPIN may not say CKR_USER_PIN_NOT_INITIALIZED */
	}
	TRY(pin_login(t->conn, t->parent, slot, old, &secret));
	return change_pin(t, &req);
}

CK_RV tpm_set_pin(struct token *tok, enum token_user who, struct bytes old, struct bytes pin)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, set_pin(t, who, old, pin));
}

/* A PIN is proven so: the wrong ones are counted first, then the token's secret is unsealed, then the counter goes back
 * to 0.  These three happen under the token's lock, so that two who guess at once are both counted; the scrypt before
 * them, which takes 60 ms, doesn't.  If the token record was replaced meanwhile, it all starts over. */
#include "auth.h"

#include <errno.h>

#include "log.h"
#include "tries.h"

#define RESTARTS 5 /* by PIN changes of other processes while we were at scrypt */

static bool length_ok(struct bytes pin)
{
	return pin.len >= PIN_MIN && pin.len <= PIN_MAX;
}

/* ---- the counter ---- */

static CK_RV check_tries(struct kr_token *t, enum token_user who, struct tries *ret)
{
	TRY(tries_read(&t->store, &t->secrets->trec, ret));
	if (ret->wrong[who] < t->secrets->trec.pin[who].limit)
		return CKR_OK;
	log_error("%s: the %s PIN is locked after %u wrong ones; %s", t->anchor.name, who == TOKEN_SO ? "SO" : "user",
		  (unsigned)ret->wrong[who],
		  who == TOKEN_SO ? "only a new token (keyctl unlink the ring) helps" : "the SO can set a new one (C_InitPIN)");
	return CKR_PIN_LOCKED;
}

/* A token that may only be read can't count, and still lets its users in: the counter is a courtesy. */
static CK_RV write_tries(struct kr_token *t, const struct tries *tries)
{
	CK_RV rv = tries_write(&t->store, &t->secrets->trec, tries);

	return rv == CKR_TOKEN_WRITE_PROTECTED ? CKR_OK : rv;
}

/* A failure that isn't the PIN's doesn't count, so that it leaves the token as it was. */
static CK_RV count_and_open(struct kr_token *t, enum token_user who, const struct key256 *kek,
			    struct key256 *ret_secret)
{
	struct tries tries;
	uint8_t before;
	CK_RV rv;

	TRY(check_tries(t, who, &tries));
	before = tries.wrong[who]++;
	TRY(write_tries(t, &tries));
	rv = trec_unwrap(&t->secrets->trec, who, kek, ret_secret);
	if (rv == CKR_PIN_INCORRECT)
		return rv;
	tries.wrong[who] = rv == CKR_OK ? 0 : before;
	if (write_tries(t, &tries) != CKR_OK)
		log_error("%s: %u PINs stay counted as wrong until the next right one", t->anchor.name, before + 1u);
	return rv;
}

/* ---- proving ---- */

static CK_RV may_try(struct kr_token *t, enum token_user who)
{
	struct tries tries;

	TRY(state_need(t));
	TRY(state_refresh(t));
	if (t->secrets->trec.pin[who].kind != TREC_SCRYPT)
		return CKR_USER_PIN_NOT_INITIALIZED;
	return check_tries(t, who, &tries);
}

static CK_RV locked_try(struct kr_token *t, enum token_user who, key_serial_t trec_key, const struct key256 *kek,
			struct key256 *ret_secret, bool *ret_moved)
{
	struct kr_lock *held CLEANUP(kr_unlock) = NULL;

	TRY(state_lock(t));
	held = &t->lock;
	*ret_moved = t->trec_key != trec_key;
	return *ret_moved ? CKR_OK : count_and_open(t, who, kek, ret_secret);
}

/* Counts.  After CKR_OK the token record that the PIN fits is secrets->trec. */
static CK_RV prove(struct kr_token *t, enum token_user who, struct bytes pin, struct key256 *ret_secret)
{
	for (unsigned i = 0; i < RESTARTS; i++) {
		struct key256 kek CLEANUP(key256_wipe) = {0};
		key_serial_t trec_key;
		bool moved;

		TRY(may_try(t, who));
		trec_key = t->trec_key;
		TRY(trec_kek(&t->secrets->trec.pin[who], pin, &kek));
		TRY(locked_try(t, who, trec_key, &kek, ret_secret, &moved));
		if (!moved)
			return CKR_OK;
	}
	return CKR_FUNCTION_FAILED;
}

CK_RV kr_login(struct token *tok, enum token_user who, struct bytes pin)
{
	struct key256 secret CLEANUP(key256_wipe) = {0};

	TRY(prove(kr_of(tok), who, pin, &secret));
	return state_login(kr_of(tok), &secret, who);
}

CK_RV kr_reauth(struct token *tok, struct token_op *op UNUSED, struct bytes pin)
{
	struct key256 secret CLEANUP(key256_wipe) = {0};

	return prove(kr_of(tok), TOKEN_USER, pin, &secret);
}

void kr_logout(struct token *tok)
{
	state_relock(kr_of(tok));
}

/* ---- setting ---- */

/* Replaces the token record, if it still is the one that `trec` was made from; *ret_moved says that it isn't. */
static CK_RV commit_trec(struct kr_token *t, const struct trec *trec, key_serial_t from, bool *ret_moved)
{
	struct kr_lock *held CLEANUP(kr_unlock) = NULL;
	struct buffer b CLEANUP(buffer_done) = {0};
	key_serial_t key;
	int err;

	buffer_init(&b, TREC_SIZE);
	TRY(trec_emit(trec, &b));
	TRY(state_lock(t));
	held = &t->lock;
	*ret_moved = t->trec_key != from;
	if (*ret_moved)
		return CKR_OK;
	err = store_replace(&t->store, "user", STORE_TOKEN, buffer_bytes(&b), &key);
	if (err != 0)
		return state_failed(t, KR_CHANGE, err, "writing the token record");
	t->secrets->trec = *trec;
	t->trec_key = key;
	return CKR_OK;
}

static CK_RV new_pin(struct kr_token *t, enum token_user who, uint8_t limit, struct bytes pin,
		     const struct key256 *secret, bool *ret_moved)
{
	struct trec trec CLEANUP(trec_wipe) = t->secrets->trec;
	key_serial_t from = t->trec_key;

	TRY(trec_wrap(trec.id, who, limit, pin, secret, &trec.pin[who]));
	return commit_trec(t, &trec, from, ret_moved);
}

CK_RV kr_set_pin(struct token *tok, enum token_user who, struct bytes old, struct bytes pin)
{
	struct kr_token *t = kr_of(tok);
	bool moved = true;

	if (!length_ok(pin))
		return CKR_PIN_LEN_RANGE;
	for (unsigned i = 0; moved && i < RESTARTS; i++) {
		struct key256 secret CLEANUP(key256_wipe) = {0};

		TRY(prove(t, who, old, &secret));
		TRY(new_pin(t, who, t->secrets->trec.pin[who].limit, pin, &secret, &moved));
	}
	return moved ? CKR_FUNCTION_FAILED : CKR_OK;
}

CK_RV kr_init_pin(struct token *tok, struct bytes pin)
{
	struct kr_token *t = kr_of(tok);
	bool moved = true;

	if (!length_ok(pin))
		return CKR_PIN_LEN_RANGE;
	for (unsigned i = 0; moved && i < RESTARTS; i++) {
		TRY(state_need(t));
		TRY(state_refresh(t));
		if (!t->has_secret)
			return CKR_USER_NOT_LOGGED_IN;
		TRY(new_pin(t, TOKEN_USER, t->limit[TOKEN_USER], pin, &t->secrets->secret, &moved));
	}
	return moved ? CKR_FUNCTION_FAILED : CKR_OK;
}

/* ---- a new token ---- */

static CK_RV new_trec(const struct kr_token *t, struct bytes so_pin, const uint8_t label[32], struct trec *ret)
{
	struct trec trec CLEANUP(trec_wipe) = {0};
	struct key256 secret CLEANUP(key256_wipe) = {0};

	TRY(random_bytes(trec.id, sizeof trec.id));
	TRY(random_bytes(trec.public_secret.b, sizeof trec.public_secret.b));
	TRY(random_bytes(secret.b, sizeof secret.b));
	memcpy(trec.label, label, 32);
	TRY(trec_wrap(trec.id, TOKEN_SO, t->limit[TOKEN_SO], so_pin, &secret, &trec.pin[TOKEN_SO]));
	if (t->pin_none)
		trec_bare(&secret, &trec.pin[TOKEN_USER]);
	*ret = trec;
	return CKR_OK;
}

/* The whole ring, outside: in this thread's keyring, from which the kernel takes it should we die. */
static int build_ring(const struct kr_token *t, struct bytes trec, struct stage *ret)
{
	struct store st = {.perm = anchor_perm(&t->anchor)};
	int err = stage_key(KEY_SPEC_THREAD_KEYRING, "keyring", t->anchor.name, NO_BYTES, st.perm, ret);

	st.ring = ret->key;
	if (err == 0)
		err = store_fill(&st, STORE_TOKEN, trec);
	if (err == 0)
		err = tries_fill(&st);
	if (err == 0)
		err = store_fill_stage(&st);
	return err == 0 ? store_fill_reserve(&st) : err;
}

/* The first ring of that name: EEXIST if somebody was faster. */
static int place_first(struct kr_token *t, struct bytes trec, key_serial_t *ret)
{
	struct stage s CLEANUP(stage_done) = {0};
	int err = build_ring(t, trec, &s);
	key_serial_t ring = s.key;

	if (err == 0)
		err = anchor_place(&t->anchor, &s);
	if (err == 0)
		*ret = ring;
	return err;
}

/* Displaces the old ring, whose lock is held, and invalidates it: whoever still looks at it learns that it is gone. */
static int place_over(struct kr_token *t, struct bytes trec, key_serial_t *ret)
{
	struct stage s CLEANUP(stage_done) = {0};
	int err = build_ring(t, trec, &s);

	if (err == 0)
		err = anchor_replace(&t->anchor, &s);
	if (err != 0)
		return err;
	*ret = s.key;
	(void)kr_sys->invalidate(t->store.ring);
	return 0;
}

static CK_RV init_first(struct kr_token *t, struct bytes so_pin, const uint8_t label[32], bool *ret_again)
{
	struct trec trec CLEANUP(trec_wipe) = {0};
	struct buffer b CLEANUP(buffer_done) = {0};
	key_serial_t ring;
	int err;

	buffer_init(&b, TREC_SIZE);
	*ret_again = false;
	if (!length_ok(so_pin))
		return CKR_PIN_INCORRECT;
	TRY(new_trec(t, so_pin, label, &trec));
	TRY(trec_emit(&trec, &b));
	err = place_first(t, buffer_bytes(&b), &ring);
	if (err == EEXIST) {
		*ret_again = true;
		return CKR_OK;
	}
	if (err != 0)
		return kr_error(KR_CHANGE, err, "making the token's keyring");
	state_settle(t, ring);
	return CKR_OK;
}

static CK_RV init_over(struct kr_token *t, struct bytes so_pin, const uint8_t label[32], bool *ret_again)
{
	struct trec trec CLEANUP(trec_wipe) = {0};
	struct key256 secret CLEANUP(key256_wipe) = {0};
	struct buffer b CLEANUP(buffer_done) = {0};
	struct kr_lock *held CLEANUP(kr_unlock) = NULL;
	key_serial_t from, ring;
	int err;

	buffer_init(&b, TREC_SIZE);
	TRY(prove(t, TOKEN_SO, so_pin, &secret));
	from = t->trec_key;
	TRY(new_trec(t, so_pin, label, &trec));
	TRY(trec_emit(&trec, &b));
	TRY(state_lock(t));
	held = &t->lock;
	*ret_again = t->trec_key != from;
	if (*ret_again)
		return CKR_OK;
	err = place_over(t, buffer_bytes(&b), &ring);
	if (err != 0)
		return state_failed(t, KR_CHANGE, err, "making the token's keyring anew");
	state_settle(t, ring);
	return CKR_OK;
}

static CK_RV init_some(struct kr_token *t, struct bytes so_pin, const uint8_t label[32], bool *ret_again)
{
	CK_RV rv;

	TRY(state_check(t));
	rv = t->store.ring == 0 ? init_first(t, so_pin, label, ret_again) : init_over(t, so_pin, label, ret_again);
	*ret_again = *ret_again || rv == CKR_DEVICE_REMOVED; /* somebody else made the token anew, or took it away */
	return rv == CKR_DEVICE_REMOVED ? CKR_OK : rv;
}

CK_RV kr_init_token(struct token *tok, struct bytes so_pin, const uint8_t label[32])
{
	struct kr_token *t = kr_of(tok);
	bool again = true, was_lost = false;
	CK_RV rv = CKR_OK;

	for (unsigned i = 0; rv == CKR_OK && again && i < RESTARTS; i++) {
		was_lost |= t->lost;
		t->lost = again = false; /* a ring that has gone leaves room for a new one */
		rv = init_some(t, so_pin, label, &again);
	}
	if (rv == CKR_OK && !again)
		return CKR_OK;
	t->lost = t->store.ring == 0 && (was_lost || t->lost);
	return rv != CKR_OK ? rv : CKR_FUNCTION_FAILED;
}

/* ---- flags ---- */

CK_FLAGS auth_flags(struct kr_token *t)
{
	static const CK_FLAGS low[] = {[TOKEN_USER] = CKF_USER_PIN_COUNT_LOW, [TOKEN_SO] = CKF_SO_PIN_COUNT_LOW};
	static const CK_FLAGS final[] = {[TOKEN_USER] = CKF_USER_PIN_FINAL_TRY, [TOKEN_SO] = CKF_SO_PIN_FINAL_TRY};
	static const CK_FLAGS locked[] = {[TOKEN_USER] = CKF_USER_PIN_LOCKED, [TOKEN_SO] = CKF_SO_PIN_LOCKED};
	CK_FLAGS flags = 0;
	struct tries tries;

	if (tries_read(&t->store, &t->secrets->trec, &tries) != CKR_OK)
		return 0;
	for (size_t who = 0; who < 2; who++) {
		const struct trec_pin *p = &t->secrets->trec.pin[who];

		if (p->kind != TREC_SCRYPT)
			continue;
		if (tries.wrong[who] > 0)
			flags |= low[who];
		if (tries.wrong[who] >= p->limit)
			flags |= locked[who];
		else if (tries.wrong[who] + 1 == p->limit)
			flags |= final[who];
	}
	return flags;
}

/* One clean-up for three occasions: undoing a failed call, tidying after a committed one, and whoever comes next
 * after a crash.  The committed token record decides which of the announced things are garbage. */
#include "settle.h"

#include "command.h"
#include "frame.h"
#include "intent.h"
#include "log.h"
#include "pin.h"
#include "record.h"

/* The committed record; *ret_there false: there is none, so nothing is named. */
static CK_RV committed(struct store *s, struct token_rec *ret, bool *ret_there)
{
	struct buffer b CLEANUP(buffer_done);
	CK_RV rv;

	buffer_init(&b, FRAME_MAX);
	rv = store_read_token(s, &b, NULL);
	*ret_there = rv != CKR_OBJECT_HANDLE_INVALID;
	if (!*ret_there)
		return CKR_OK;
	TRY(rv);
	return token_rec_parse(buffer_bytes(&b), ret);
}

struct undefine {
	const struct intent_index *index;
};

static CK_RV undefine_body(struct conn *c, void *arg)
{
	const struct intent_index *in = ((struct undefine *)arg)->index;
	struct entity owner, index = {.handle = in->handle};
	TPM2B_NV_PUBLIC public = {0};
	const TPM2B_DIGEST *policy = &public.nvPublic.authPolicy;
	bool found;

	if (in->handle < PIN_FIRST_INDEX || in->handle > PIN_LAST_INDEX)
		return CKR_OK; /* no intent of ours says that */
	TRY(tpm2_nv_read_public(c, in->handle, &public, &index.name, &found));
	if (!found || !bytes_equal(BYTES(policy->buffer, policy->size), BYTES_OF(in->policy)))
		return CKR_OK; /* never made, gone already, or somebody else's */
	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	return tpm2_nv_undefine(c, &owner, NULL, &index);
}

static bool names(const struct pin_rec *pin, const struct intent_index *in)
{
	return pin->present && pin->index.handle == in->handle && !memcmp(pin->index.policy, in->policy, 32);
}

static CK_RV settle_indices(struct conn *c, const struct intents *in, const struct token_rec *rec)
{
	CK_RV rv = CKR_OK;

	for (size_t i = 0; i < in->n; i++) {
		struct undefine u = {.index = &in->index[i]};
		CK_RV one;

		if (names(&rec->so, u.index) || names(&rec->user, u.index))
			continue;
		one = conn_run(c, RC_ADMIN, undefine_body, &u);
		if (one != CKR_OK) {
			log_error("NV index 0x%08x, no longer in use, may be left in the TPM; the next change of the "
				  "token tries again to remove it", u.index->handle);
			rv = one;
		}
	}
	return rv;
}

/* Removes a record if it is whole and of the replaced token. */
static CK_RV sweep_one(struct store *s, const uint8_t id[16], const uint8_t replaced[16])
{
	static const struct record_keys no_keys;
	struct record r CLEANUP(record_done) = {0};
	struct buffer b CLEANUP(buffer_done);
	CK_RV rv;

	buffer_init(&b, RECORD_MAX_SIZE);
	rv = store_read(s, id, &b, NULL);
	if (rv == CKR_OBJECT_HANDLE_INVALID)
		return CKR_OK;
	TRY(rv);
	rv = record_parse(buffer_bytes(&b), replaced, &no_keys, &r);
	if (record_untried(rv))
		return rv;
	return rv == CKR_OK ? store_erase(s, id) : CKR_OK; /* damaged ones and others' stay */
}

static CK_RV sweep(struct store *s, const uint8_t replaced[16])
{
	const struct store_listing *l;
	bool changed;
	CK_RV rv = CKR_OK;

	TRY(store_list(s, &l, &changed));
	for (size_t i = 0; i < l->n; i++) {
		CK_RV one = sweep_one(s, l->at[i].id, replaced);

		if (one != CKR_OK)
			rv = one;
	}
	store_forget(s);
	return rv;
}

CK_RV settle_intents(void *arg)
{
	struct settle *s = arg;
	struct token_rec rec = {0};
	struct intents in;
	bool there;
	CK_RV rv;

	TRY(intents_read(s->store, &in));
	if (!in.n && !in.replaces)
		return store_remove_intents(s->store);
	TRY(committed(s->store, &rec, &there));
	rv = settle_indices(s->conn, &in, &rec);
	if (rv == CKR_OK && in.replaces && there && memcmp(rec.id, in.replaced, sizeof rec.id) != 0)
		rv = sweep(s->store, in.replaced);
	TRY(rv);
	return store_remove_intents(s->store);
}

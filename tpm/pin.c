/* Using a PIN: login, proof, counters. */
#include "pin.h"

#include "crypto.h"
#include "log.h"

static const char *const use_labels[] = {
	[PIN_FOR_INDEX] = "signet pin index",
	[PIN_FOR_SEAL] = "signet pin seal",
};

CK_RV pin_auth(const struct pin_rec *rec, struct bytes pin, enum pin_use use, struct key256 *ret)
{
	const struct bytes pieces[] = {BYTES(use_labels[use], strlen(use_labels[use]) + 1), pin};

	return hmac_sha256(BYTES_OF(rec->salt), pieces, ARRAY_LEN(pieces), ret->b);
}

/* What a proof needs; the two authValues are made before any command is sent. */
struct proof {
	struct parent *parent;
	const struct pin_rec *rec;
	struct key256 index_auth, seal_auth;
	struct key256 secret;
	bool by_tpm;              /* CKR_PIN_LOCKED is the TPM's own lockout */
};

static void proof_wipe(struct proof *p)
{
	wipe(p, sizeof *p);
}

static CK_RV proof_begin(struct proof *p, struct bytes pin)
{
	TRY(pin_auth(p->rec, pin, PIN_FOR_INDEX, &p->index_auth));
	return pin_auth(p->rec, pin, PIN_FOR_SEAL, &p->seal_auth);
}

/* The PIN's index, if it is the one that this PIN was made with.  Otherwise no PIN is tried: another index would call
 * every PIN wrong, or learn it. */
static CK_RV open_index(struct conn *c, const struct proof *p, struct entity *ret)
{
	const struct pin_index *index = &p->rec->index;
	TPM2B_NV_PUBLIC public = {0};
	TPM2B_NAME name = {0};
	bool found;

	TRY(tpm2_nv_read_public(c, index->handle, &public, &name, &found));
	if (!found || !bytes_equal(BYTES(name.name, name.size), BYTES(index->name.name, index->name.size))) {
		log_error("the PIN's NV index 0x%08x %s; the PIN was not tried: let the security officer set the "
			  "user's PIN again (C_InitPIN), or restore a backup", index->handle,
			  found ? "is another one" : "is missing");
		return CKR_DEVICE_ERROR;
	}
	*ret = (struct entity){.handle = index->handle, .name = name};
	return entity_set_auth(ret, BYTES_OF(p->index_auth.b));
}

/* The one command that proves the PIN: what it answers is about the PIN (R22). */
static CK_RV prove_to(struct conn *c, const struct entity *index, struct session *hmac, struct session *policy)
{
	enum rc_context before = conn_context(c, RC_LOGIN);
	CK_RV rv = tpm2_policy_secret(c, index, hmac, policy);

	(void)conn_context(c, before);
	return rv;
}

static CK_RV login_indexed(struct conn *c, struct proof *p)
{
	struct session hmac CLEANUP(session_end) = {0}, policy CLEANUP(session_end) = {0};
	struct entity parent, index CLEANUP(entity_wipe) = {0};
	struct salt_key salt;
	CK_RV rv;

	TRY(parent_use(c, p->parent, &parent, &salt));
	TRY(open_index(c, p, &index));
	TRY(session_start(c, SESSION_HMAC, &salt, 0, &hmac));
	TRY(session_start(c, SESSION_POLICY, &salt, TPMA_SESSION_ENCRYPT, &policy));
	TRY(prove_to(c, &index, &hmac, &policy));
	TRY(tpm2_policy_auth_value(c, &policy));
	rv = seal_open_policy(c, &parent, &p->rec->seal, BYTES_OF(p->seal_auth.b), &policy, &p->secret);
	/* The PIN has passed its own counter, but this seal is under the machine's protection, too. */
	p->by_tpm = rv != CKR_OK && conn_rc_base(c) == TPM2_RC_LOCKOUT;
	if (rv != CKR_OK && (conn_rc_base(c) == TPM2_RC_AUTH_FAIL || conn_rc_base(c) == TPM2_RC_BAD_AUTH))
		log_error("NV index 0x%08x took this PIN, but what it guards did not: the index was replaced by somebody "
			  "with the TPM's owner authorization", p->rec->index.handle);
	return p->by_tpm ? CKR_PIN_LOCKED : rv;
}

static CK_RV login_body(struct conn *c, void *arg)
{
	struct proof *p = arg;

	if (p->rec->index.handle)
		return login_indexed(c, p);
	return seal_open(c, p->parent, &p->rec->seal, BYTES_OF(p->seal_auth.b), true, &p->secret);
}

static CK_RV recovery_body(struct conn *c, void *arg)
{
	const struct conn_properties *p;

	TRY(conn_refresh(c, &p));
	*(uint32_t *)arg = p->lockout_interval;
	return CKR_OK;
}

/* Which counter says so, and what ends it. */
static void explain_lock(struct conn *c, const struct proof *p)
{
	const struct pin_rec *rec = p->rec;
	uint32_t seconds = 0;

	if (rec->index.handle && !p->by_tpm) {
		log_error("this PIN is locked by its own counter (NV index 0x%08x): a user's PIN is set again by the "
			  "security officer (C_InitPIN)", rec->index.handle);
		return;
	}
	if (conn_run(c, RC_PROBE, recovery_body, &seconds) == CKR_OK)
		log_error("the TPM itself is in lockout (dictionary-attack protection), for every program on this "
			  "machine: it allows another try in at most %u s", seconds);
}

static CK_RV run_proof(struct conn *c, conn_body *body, struct proof *p, struct bytes pin)
{
	CK_RV rv;

	TRY(proof_begin(p, pin));
	rv = conn_run(c, RC_INIT, body, p);
	if (rv == CKR_PIN_LOCKED)
		explain_lock(c, p);
	return rv;
}

CK_RV pin_login(struct conn *c, struct parent *p, const struct pin_rec *rec, struct bytes pin, struct key256 *ret)
{
	struct proof proof CLEANUP(proof_wipe) = {.parent = p, .rec = rec};

	TRY(run_proof(c, login_body, &proof, pin));
	*ret = proof.secret;
	return CKR_OK;
}

/* An authorized read of the counter is the cheapest thing that needs the PIN. */
static CK_RV prove_body(struct conn *c, void *arg)
{
	struct proof *p = arg;
	struct session s CLEANUP(session_end) = {0};
	struct entity parent, index CLEANUP(entity_wipe) = {0};
	struct salt_key salt;
	uint8_t data[8];
	struct outbuf out = {.ptr = data, .cap = sizeof data};
	enum rc_context before;
	CK_RV rv;

	if (!p->rec->index.handle)
		return login_body(c, arg);
	TRY(parent_use(c, p->parent, &parent, &salt));
	TRY(open_index(c, p, &index));
	TRY(session_start(c, SESSION_HMAC, &salt, 0, &s));
	before = conn_context(c, RC_LOGIN);
	rv = tpm2_nv_read(c, &index, &s, &index, &out);
	(void)conn_context(c, before);
	return rv;
}

CK_RV pin_prove(struct conn *c, struct parent *p, const struct pin_rec *rec, struct bytes pin)
{
	struct proof proof CLEANUP(proof_wipe) = {.parent = p, .rec = rec};

	return run_proof(c, prove_body, &proof, pin);
}

CK_RV pin_count(struct conn *c, const struct pin_rec *rec, uint32_t *ret_count, uint32_t *ret_limit, bool *ret_known)
{
	struct entity owner, index = {.handle = rec->index.handle, .name = rec->index.name};
	const struct conn_properties *props;
	uint8_t data[8];
	struct outbuf out = {.ptr = data, .cap = sizeof data};
	struct reader r;

	TRY(conn_properties(c, &props));
	*ret_known = rec->index.handle && !props->owner_auth_set;
	if (!*ret_known)
		return CKR_OK;
	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	TRY(tpm2_nv_read(c, &owner, NULL, &index, &out));
	r = reader_of(BYTES(data, out.len));
	*ret_count = read_be32(&r);
	*ret_limit = read_be32(&r);
	return reader_done(&r) ? CKR_OK : CKR_DEVICE_ERROR;
}

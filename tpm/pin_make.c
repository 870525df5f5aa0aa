/* Making a PIN: its NV index, whose limit is written once and never again, and its seal. */
#include "pin.h"

#include "crypto.h"
#include "log.h"
#include "name.h"

/* Another process may take the handle that we chose. */
#define HANDLE_TRIES 4

#define INDEX_ATTRIBUTES                                                                                               \
	(((TPMA_NV)TPM2_NT_PIN_FAIL << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_POLICYWRITE | TPMA_NV_AUTHREAD |               \
	 TPMA_NV_OWNERREAD | TPMA_NV_NO_DA)

/* ---- policies (TPM 2.0 Part 3, 23) ---- */

/* policyDigest := H(policyDigest || commandCode || argument). */
static CK_RV extend(uint8_t digest[32], TPM2_CC command, struct bytes argument)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, 1024);
	buffer_put(&b, BYTES(digest, 32));
	buffer_put_be32(&b, command);
	buffer_put(&b, argument);
	TRY(buffer_status(&b));
	return hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&b), digest);
}

/* The two branches of an index's policy: PolicyNvWritten(NO), which allows the first write and no later one, and a
 * random digest that nothing satisfies and that makes the index's name unlike any other's. */
static CK_RV index_branches(const uint8_t unique[32], TPML_DIGEST *ret)
{
	static const uint8_t no[1] = {0};

	*ret = (TPML_DIGEST){.count = 2, .digests = {{.size = 32}, {.size = 32}}};
	TRY(extend(ret->digests[0].buffer, TPM2_CC_PolicyNvWritten, BYTES_OF(no)));
	memcpy(ret->digests[1].buffer, unique, 32);
	return CKR_OK;
}

static CK_RV index_policy(const TPML_DIGEST *branches, uint8_t ret[32])
{
	uint8_t both[64], digest[32] = {0};

	memcpy(both, branches->digests[0].buffer, 32);
	memcpy(both + 32, branches->digests[1].buffer, 32);
	TRY(extend(digest, TPM2_CC_PolicyOR, BYTES_OF(both)));
	memcpy(ret, digest, sizeof digest);
	return CKR_OK;
}

/* PolicySecret(index) and PolicyAuthValue.  PolicySecret extends twice: the second time by its empty policyRef. */
static CK_RV seal_policy(const struct pin_index *index, TPM2B_DIGEST *ret)
{
	uint8_t digest[32] = {0};

	TRY(extend(digest, TPM2_CC_PolicySecret, BYTES(index->name.name, index->name.size)));
	TRY(hash_once(&crypto_hashes[HASH_SHA256], BYTES_OF(digest), digest));
	TRY(extend(digest, TPM2_CC_PolicyAuthValue, NO_BYTES));
	ret->size = sizeof digest;
	memcpy(ret->buffer, digest, sizeof digest);
	return CKR_OK;
}

/* ---- one PIN being made ---- */

enum no_index {
	INDEX_POSSIBLE,
	INDEX_NO_SPACE,
	INDEX_NO_OWNER, /* the owner's authorization isn't ours, or its hierarchy is off */
	INDEX_UNABLE    /* this TPM hasn't got such indices */
};

struct making {
	const struct pin_maker *m;
	const struct key256 *secret;
	struct key256 index_auth, seal_auth;
	TPML_DIGEST branches;
	struct pin_rec rec;
	enum no_index why;  /* no index can be had */
	bool da;            /* the seal is to be under the TPM's own protection */
	TPM2_HANDLE above;  /* handles up to this one are known to be taken */
	uint16_t failure;   /* base code of the last define */
};

static void making_wipe(struct making *k)
{
	wipe(k, sizeof *k);
}

/* Asks what this TPM allows, and chooses the lowest free handle. */
static CK_RV plan_body(struct conn *c, void *arg)
{
	struct making *k = arg;
	const struct conn_properties *props;
	TPM2_HANDLE taken[PIN_LAST_INDEX - PIN_FIRST_INDEX + 1], h = MAX(PIN_FIRST_INDEX, k->above + 1);
	size_t n;

	TRY(conn_refresh(c, &props));
	k->da = props->lockout_auth_set;
	if (props->owner_auth_set) {
		k->why = INDEX_NO_OWNER;
		return CKR_OK;
	}
	if (!k->da)
		log_info("this TPM has no lockout password: whoever has owner authorization can go around the PIN's "
			 "counter; set a lockout password, or choose a long PIN");
	TRY(tpm2_get_handles(c, h, taken, ARRAY_LEN(taken), &n));
	for (size_t i = 0; i < n && taken[i] == h; i++)
		h++;
	if (h > PIN_LAST_INDEX)
		k->why = INDEX_NO_SPACE;
	k->rec.index.handle = h;
	return CKR_OK;
}

/* The index's public area, before it is written or after. */
static TPMS_NV_PUBLIC index_public(const struct pin_index *index, bool written)
{
	TPMS_NV_PUBLIC public = {
		.nvIndex = index->handle,
		.nameAlg = TPM2_ALG_SHA256,
		.attributes = INDEX_ATTRIBUTES | (written ? TPMA_NV_WRITTEN : 0),
		.authPolicy.size = 32,
		.dataSize = 8,
	};

	memcpy(public.authPolicy.buffer, index->policy, 32);
	return public;
}

static void auth_wipe(TPM2B_AUTH *a)
{
	wipe(a, sizeof *a);
}

static CK_RV define_body(struct conn *c, void *arg)
{
	struct making *k = arg;
	struct session s CLEANUP(session_end) = {0};
	struct entity parent, owner;
	struct salt_key salt;
	TPM2B_AUTH auth CLEANUP(auth_wipe) = {.size = sizeof k->index_auth.b};
	TPM2B_NV_PUBLIC public = {.nvPublic = index_public(&k->rec.index, false)};
	CK_RV rv;

	memcpy(auth.buffer, k->index_auth.b, sizeof k->index_auth.b);
	TRY(parent_use(c, k->m->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	rv = tpm2_nv_define(c, &owner, &s, &auth, &public);
	k->failure = rv == CKR_OK ? 0 : conn_rc_base(c);
	return rv;
}

/* pinCount 0 and pinLimit, under the branch that allows this write alone.  There is no secret in it, but the session is
 * salted: whoever sits on the bus would else write a limit of his own. */
static CK_RV write_limit(struct conn *c, struct making *k, struct entity *index)
{
	struct session s CLEANUP(session_end) = {0};
	struct buffer counter CLEANUP(buffer_done);
	struct entity parent;
	struct salt_key salt;

	buffer_init(&counter, 8);
	buffer_put_be32(&counter, 0);
	buffer_put_be32(&counter, k->rec.tries);
	TRY(buffer_status(&counter));
	TRY(parent_use(c, k->m->parent, &parent, &salt));
	TRY(session_start(c, SESSION_POLICY, &salt, 0, &s));
	TRY(tpm2_policy_nv_written(c, &s, false));
	TRY(tpm2_policy_or(c, &s, &k->branches));
	return tpm2_nv_write(c, index, &s, index, buffer_bytes(&counter));
}

/* The names are what our own definition makes them; the TPM must agree. */
static CK_RV finish_body(struct conn *c, void *arg)
{
	struct making *k = arg;
	struct pin_index *rec = &k->rec.index;
	const TPMS_NV_PUBLIC before = index_public(rec, false), after = index_public(rec, true);
	struct entity index = {.handle = rec->handle};
	TPM2B_NV_PUBLIC public = {0};
	TPM2B_NAME name = {0};
	bool found;

	TRY(name_of_index(&before, &index.name));
	TRY(name_of_index(&after, &rec->name));
	TRY(write_limit(c, k, &index));
	TRY(tpm2_nv_read_public(c, rec->handle, &public, &name, &found));
	if (found && name_equal(&name, &rec->name))
		return CKR_OK;
	log_error("the TPM's NV index 0x%08x isn't as it was defined", rec->handle);
	return CKR_DEVICE_ERROR;
}

static CK_RV seal_body(struct conn *c, void *arg)
{
	struct making *k = arg;
	struct seal_req req = {.secret = k->secret, .auth = BYTES_OF(k->seal_auth.b), .da = k->da || k->why};
	TPM2B_DIGEST policy = {0};

	if (!k->why) {
		TRY(seal_policy(&k->rec.index, &policy));
		req.policy = &policy;
	}
	return seal_create(c, k->m->parent, &req, &k->rec.seal);
}

/* What a TPM says that has no index for us: then its own protection must do. */
static const struct no_index_row {
	uint16_t base;
	enum no_index why;
} no_index_rows[] = {
	{TPM2_RC_NV_SPACE, INDEX_NO_SPACE},  {TPM2_RC_NV_SIZE, INDEX_NO_SPACE},
	{TPM2_RC_BAD_AUTH, INDEX_NO_OWNER},  {TPM2_RC_AUTH_FAIL, INDEX_NO_OWNER},
	{TPM2_RC_AUTH_UNAVAILABLE, INDEX_NO_OWNER}, {TPM2_RC_HIERARCHY, INDEX_NO_OWNER},
	{TPM2_RC_ATTRIBUTES, INDEX_UNABLE},  {TPM2_RC_COMMAND_CODE, INDEX_UNABLE},
	{TPM2_RC_DISABLED, INDEX_UNABLE},
};

static enum no_index why_none(uint16_t base)
{
	for (size_t i = 0; i < ARRAY_LEN(no_index_rows); i++)
		if (no_index_rows[i].base == base)
			return no_index_rows[i].why;
	return INDEX_POSSIBLE;
}

/* Whether the PIN may do without an index.  One that has an index isn't made weaker than it is: the TPM's own counter
 * binds nobody while anyone may reset it, which takes a lockout password to prevent.  defined: what came of the try. */
static CK_RV allow_none(const struct making *k, CK_RV defined)
{
	const struct pin_rec *old = k->m->replaces;

	if (!old || !old->present || !old->index.handle)
		return CKR_OK;
	if (k->why == INDEX_NO_SPACE) {
		log_error("the TPM has no room for another NV index, so the PIN stays as it is: remove an index that nobody "
			  "needs (tpm2_nvundefine), and try again");
		return CKR_DEVICE_MEMORY;
	}
	if (k->da)
		return CKR_OK;
	if (k->why == INDEX_UNABLE)
		return defined;
	log_error("the TPM's owner authorization is set, so there can be no new counter for wrong PINs, and without a "
		  "lockout password the TPM's own could be reset by anyone: the PIN stays as it is; set a lockout password "
		  "(tpm2_changeauth -c lockout), or take the owner's away for the change");
	return CKR_TOKEN_WRITE_PROTECTED;
}

/* Announces the index, then defines it. */
static CK_RV define(struct making *k)
{
	uint8_t unique[32];

	TRY(random_bytes(unique, sizeof unique));
	TRY(index_branches(unique, &k->branches));
	TRY(index_policy(&k->branches, k->rec.index.policy));
	TRY(intents_add(k->m->intents, k->rec.index.handle, k->rec.index.policy));
	TRY(intents_write(k->m->store, k->m->intents));
	return conn_run(k->m->conn, RC_ADMIN, define_body, k);
}

static CK_RV make_index(struct making *k)
{
	CK_RV rv = CKR_DEVICE_MEMORY;

	for (int i = 0; i < HANDLE_TRIES; i++) {
		TRY(conn_run(k->m->conn, RC_ADMIN, plan_body, k));
		if (k->why)
			break;
		rv = define(k);
		if (rv == CKR_OK)
			return conn_run(k->m->conn, RC_ADMIN, finish_body, k);
		k->above = k->rec.index.handle;
		if (k->failure != TPM2_RC_NV_DEFINED)
			break;
	}
	if (!k->why)
		k->why = why_none(k->failure);
	if (!k->why)
		return rv;
	TRY(allow_none(k, rv));
	k->rec.index = (struct pin_index){0};
	if (k->m->intents->n) /* the index that is given up */
		TRY(intents_write(k->m->store, k->m->intents));
	log_info("no NV index can be had for the PIN (owner authorization is set, no space, or this TPM hasn't got such "
		 "indices): wrong PINs are counted by the TPM for the whole machine");
	return CKR_OK;
}

CK_RV pin_make(const struct pin_maker *m, struct bytes pin, const struct key256 *secret, uint32_t tries,
	       struct pin_rec *ret)
{
	struct making k CLEANUP(making_wipe) = {.m = m, .secret = secret, .rec = {.present = true, .tries = tries}};

	TRY(random_bytes(k.rec.salt, sizeof k.rec.salt));
	TRY(pin_auth(&k.rec, pin, PIN_FOR_INDEX, &k.index_auth));
	TRY(pin_auth(&k.rec, pin, PIN_FOR_SEAL, &k.seal_auth));
	TRY(make_index(&k));
	TRY(conn_run(m->conn, RC_ADMIN, seal_body, &k));
	*ret = k.rec;
	return CKR_OK;
}

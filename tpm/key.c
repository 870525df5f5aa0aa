/* The blob of a working key, beside its attributes in a record:
 *
 *   version   1   1
 *   secret    1   0: the authValue comes from the private secret, 1: from the public one
 *   auth id  16   random; the authValue is HMAC-SHA-256(authorization key, auth id)
 *   public        sized TPM2B_PUBLIC
 *   private       sized TPM2B_PRIVATE, wrapped by the storage key */
#include "key.h"

#include "crypto.h"
#include "log.h"
#include "name.h"
#include "public.h"
#include "tokenrec.h"

#define BLOB_VERSION 1
/* ---- what the secrets give ---- */

static const char *const private_labels[] = {"signet private records", "signet private keys", "signet private padding"};
static const char *const public_labels[] = {"signet public records", "signet public keys", "signet public padding"};

CK_RV keyset_new(const struct key256 *secret, enum token_secret kind, struct keyset **ret)
{
	const char *const *labels = kind == SECRET_PRIVATE ? private_labels : public_labels;
	struct keyset *k CLEANUP(secret_cleanup) = secret_alloc(sizeof *k);

	if (!k)
		return CKR_HOST_MEMORY;
	k->kind = kind;
	k->secret = *secret;
	TRY(hkdf_sha256(secret, labels[0], NO_BYTES, &k->aead));
	TRY(hkdf_sha256(secret, labels[1], NO_BYTES, &k->authorization));
	TRY(hkdf_sha256(secret, labels[2], NO_BYTES, &k->padding));
	*ret = TAKE(k);
	return CKR_OK;
}

CK_RV tpm_key_auth(const struct keyset *keys, const uint8_t auth_id[16], struct key256 *ret)
{
	const struct bytes id = BYTES(auth_id, 16);

	return hmac_sha256(BYTES_OF(keys->authorization.b), &id, 1, ret->b);
}

/* ---- the blob ---- */

void tpm_key_emit(const struct tpm_key *k, struct buffer *out)
{
	buffer_put_u8(out, BLOB_VERSION);
	buffer_put_u8(out, (uint8_t)k->secret);
	buffer_put(out, BYTES_OF(k->auth_id));
	put_public(out, &k->blob.public);
	put_private(out, &k->blob.private);
}

CK_RV tpm_key_parse(struct bytes in, const uint8_t id[16], struct tpm_key *ret)
{
	struct reader r = reader_of(in);
	uint8_t version = read_u8(&r), secret = read_u8(&r);
	struct bytes auth_id = read_bytes(&r, sizeof ret->auth_id);
	struct tpm_key k = {.secret = secret ? SECRET_PUBLIC : SECRET_PRIVATE};

	read_public(&r, &k.blob.public);
	read_private(&r, &k.blob.private);
	if (!reader_done(&r) || version != BLOB_VERSION || secret > 1)
		return CKR_DEVICE_ERROR;
	memcpy(k.auth_id, auth_id.ptr, sizeof k.auth_id);
	memcpy(k.blob.id, id, sizeof k.blob.id);
	*ret = k;
	return CKR_OK;
}

/* ---- ready for use ---- */

CK_RV tpm_ready_new(struct bytes blob, const uint8_t id[16], struct tpm_ready **ret)
{
	struct tpm_ready *r CLEANUP(tpm_ready_cleanup) = calloc(1, sizeof *r);

	if (!r)
		return CKR_HOST_MEMORY;
	atomic_init(&r->refs, 1);
	TRY(tpm_key_parse(blob, id, &r->key));
	*ret = TAKE(r);
	return CKR_OK;
}

static CK_RV set_auth(const struct keyset *keys, const uint8_t auth_id[16], TPM2B_AUTH *ret)
{
	struct key256 auth CLEANUP(key256_wipe);

	TRY(tpm_key_auth(keys, auth_id, &auth));
	ret->size = sizeof auth.b;
	memcpy(ret->buffer, auth.b, sizeof auth.b);
	return CKR_OK;
}

CK_RV tpm_key_new_auth(struct tpm_key *k, const struct keyset *keys, TPM2B_AUTH *ret)
{
	k->secret = keys->kind;
	TRY(random_bytes(k->auth_id, sizeof k->auth_id));
	return set_auth(keys, k->auth_id, ret);
}

CK_RV tpm_ready_derive(struct tpm_ready *r, const struct keyset *keys)
{
	struct tpm_ready_secrets *s CLEANUP(secret_cleanup) = NULL;

	if (r->secrets)
		return CKR_OK;
	s = secret_alloc(sizeof *s);
	if (!s)
		return CKR_HOST_MEMORY;
	if (r->auth == AUTH_DERIVED)
		TRY(set_auth(keys, r->key.auth_id, &s->auth));
	s->padding = keys->padding;
	r->secrets = TAKE(s);
	return CKR_OK;
}

static CK_RV load_ready(struct conn *c, const struct tpm_ready *r, struct parent *storage, struct entity *ret)
{
	struct storage *below;
	CK_RV rv;

	if (r->persistent) {
		ret->handle = r->persistent;
		return name_of_object(&r->key.blob.public.publicArea, &ret->name);
	}
	TRY(parent_storage(c, r->parent ? r->parent : storage, &below));
	rv = handles_key(c, below, &r->key.blob, ret);
	if (rv != CKR_OK && r->parent && conn_rc_base(c) == TPM2_RC_INTEGRITY)
		log_error("the key was not made below the storage key that its file names: it belongs to another TPM, or "
			  "this one was cleared since");
	return rv;
}

CK_RV tpm_ready_use(struct conn *c, const struct tpm_ready *r, struct parent *storage, const TPM2B_AUTH *given,
		    struct entity *ret)
{
	static const TPM2B_AUTH empty;
	const TPM2B_AUTH *auth = r->auth == AUTH_EMPTY ? &empty : given;
	enum rc_context before;

	if (r->auth == AUTH_DERIVED)
		auth = &r->secrets->auth;
	if (!auth)
		return CKR_USER_NOT_LOGGED_IN;
	/* What the TPM says of a stored form is nothing about the caller's data. */
	before = conn_context(c, RC_INIT);
	TRY(load_ready(c, r, storage, ret));
	(void)conn_context(c, before);
	return entity_set_auth(ret, BYTES(auth->buffer, auth->size));
}

struct tpm_ready *tpm_ready_ref(struct tpm_ready *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void tpm_ready_unref(struct tpm_ready *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	parent_unref(r->parent);
	secret_free(r->secrets);
	free(r);
}

/* ---- generating ---- */

struct generation {
	const struct generate_req *req;
	TPM2B_PUBLIC tmpl;
	struct tpm_key key;
	TPM2B_SENSITIVE_CREATE sensitive;
};

static void generation_wipe(struct generation *g)
{
	wipe(g, sizeof *g);
}

static CK_RV create_body(struct conn *c, void *arg)
{
	struct generation *g = arg;
	struct session s CLEANUP(session_end) = {0};
	struct create_req create = {.sensitive = &g->sensitive, .tmpl = &g->tmpl};
	const enum rc_context making = conn_context(c, RC_INIT);
	struct entity parent;
	struct salt_key salt;

	TRY(parent_use(c, g->req->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	(void)conn_context(c, making);
	g->key.blob.public = (TPM2B_PUBLIC){0};
	TRY(tpm2_create(c, &parent, &s, &create, &g->key.blob.public, &g->key.blob.private));
	return public_as_asked(&g->key.blob.public.publicArea, &g->tmpl.publicArea) ? CKR_OK : CKR_DEVICE_ERROR;
}

/* The key type that a mechanism makes. */
static const struct generator {
	CK_MECHANISM_TYPE mech;
	CK_KEY_TYPE type;
} generators[] = {
	{CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA},
	{CKM_EC_KEY_PAIR_GEN, CKK_EC},
};

CK_RV tpm_key_pair_type(CK_MECHANISM_TYPE mech, CK_KEY_TYPE *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(generators); i++)
		if (generators[i].mech == mech) {
			*ret = generators[i].type;
			return CKR_OK;
		}
	return CKR_MECHANISM_INVALID;
}

CK_RV tpm_key_generate(struct conn *c, const struct generate_req *req, struct buffer *ret_blob)
{
	struct generation g CLEANUP(generation_wipe) = {.req = req};
	TPMT_PUBLIC *t = &g.tmpl.publicArea;
	CK_KEY_TYPE type;

	TRY(tpm_key_pair_type(req->mech, &type));
	TRY(public_template(type, req->pub, t));
	t->objectAttributes = BOTH_WAYS_ATTRIBUTES | BORN_ATTRIBUTES;
	TRY(tpm_key_new_auth(&g.key, req->keys, &g.sensitive.sensitive.userAuth));
	TRY(conn_run(c, RC_GEN, create_body, &g));
	TRY(public_describe(&g.key.blob.public.publicArea, req->pub, req->priv));
	tpm_key_emit(&g.key, ret_blob);
	return buffer_status(ret_blob);
}

/* One key that another program made, from its public area to objects. */
#include "adopt.h"

#include <openssl/x509.h>
#include <tss2/tss2_mu.h>

#include "crypto.h"
#include "der.h"
#include "log.h"
#include "name.h"
#include "op.h"
#include "public.h"

void adopted_key_free(struct adopted_key *k)
{
	if (!k)
		return;
	attrs_free(k->attrs[0]);
	attrs_free(k->attrs[1]);
	tpm_ready_unref(k->ready);
	free(k);
}

/* ---- what it may do ---- */

struct uses {
	bool sign, decrypt, derive;
	const struct hash *only;       /* the one hash that its scheme allows */
	bool only_pkcs1;               /* RSA that signs by TPM2_Sign alone, so nothing is padded here */
};

static struct uses uses_rsa(const TPMT_PUBLIC *p)
{
	const TPMT_RSA_SCHEME *s = &p->parameters.rsaDetail.scheme;
	struct uses u = {.decrypt = p->objectAttributes & TPMA_OBJECT_DECRYPT && s->scheme == TPM2_ALG_NULL};

	u.sign = p->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT &&
		 (s->scheme == TPM2_ALG_NULL || s->scheme == TPM2_ALG_RSASSA);
	u.only_pkcs1 = !u.decrypt;
	if (s->scheme == TPM2_ALG_RSASSA) {
		u.only = name_hash(s->details.rsassa.hashAlg);
		u.sign &= u.only != NULL;
	}
	return u;
}

static struct uses uses_ecc(const TPMT_PUBLIC *p)
{
	const TPMT_ECC_SCHEME *s = &p->parameters.eccDetail.scheme;
	struct uses u = {.derive = p->objectAttributes & TPMA_OBJECT_DECRYPT &&
				   (s->scheme == TPM2_ALG_NULL || s->scheme == TPM2_ALG_ECDH)};

	u.sign = p->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT &&
		 (s->scheme == TPM2_ALG_NULL || s->scheme == TPM2_ALG_ECDSA);
	if (s->scheme == TPM2_ALG_ECDSA) {
		u.only = name_hash(s->details.ecdsa.hashAlg);
		u.sign &= u.only != NULL;
	}
	return u;
}

/* NULL, or why it can't be used. */
static const char *find_uses(const TPMT_PUBLIC *p, struct uses *ret)
{
	if (p->type != TPM2_ALG_RSA && (p->type != TPM2_ALG_ECC || !public_curve(p->parameters.eccDetail.curveID)))
		return "it is neither an RSA key nor one on a NIST curve that is known here";
	if (!name_hash(p->nameAlg))
		return "its name algorithm is unknown here";
	if (p->objectAttributes & TPMA_OBJECT_RESTRICTED)
		return "it is a restricted key, which signs or decrypts only what its TPM made";
	if (!(p->objectAttributes & TPMA_OBJECT_USERWITHAUTH))
		return "its use takes a policy, which isn't supported";
	*ret = p->type == TPM2_ALG_RSA ? uses_rsa(p) : uses_ecc(p);
	return ret->sign || ret->decrypt || ret->derive ? NULL : "its scheme isn't supported";
}

/* The mechanisms of a key that the TPM keeps to some. */
static const struct {
	enum hash_id hash;
	CK_MECHANISM_TYPE rsa, ecdsa;
} hashing[] = {
	{HASH_SHA1, CKM_SHA1_RSA_PKCS, CKM_ECDSA_SHA1},
	{HASH_SHA224, CKM_SHA224_RSA_PKCS, CKM_ECDSA_SHA224},
	{HASH_SHA256, CKM_SHA256_RSA_PKCS, CKM_ECDSA_SHA256},
	{HASH_SHA384, CKM_SHA384_RSA_PKCS, CKM_ECDSA_SHA384},
	{HASH_SHA512, CKM_SHA512_RSA_PKCS, CKM_ECDSA_SHA512},
};

static CK_RV set_mechanisms(struct attrs *a, bool rsa, const struct uses *u)
{
	CK_MECHANISM_TYPE list[1 + ARRAY_LEN(hashing)] = {rsa ? CKM_RSA_PKCS : CKM_ECDSA};
	size_t n = 1;

	if (!u->only && !u->only_pkcs1)
		return CKR_OK;
	for (size_t i = 0; i < ARRAY_LEN(hashing); i++)
		if (!u->only || u->only->id == hashing[i].hash)
			list[n++] = rsa ? hashing[i].rsa : hashing[i].ecdsa;
	return attrs_set(a, CKA_ALLOWED_MECHANISMS, BYTES(list, n * sizeof *list));
}

/* ---- its objects ---- */

static void x509_pubkey_cleanup(X509_PUBKEY **k)
{
	X509_PUBKEY_free(*k);
}

/* CKA_ID: what a certificate of the key has as its subject key identifier (RFC 5280, 4.2.1.2, method 1). */
static CK_RV set_id(struct attrs *pub, struct attrs *priv)
{
	X509_PUBKEY *key CLEANUP(x509_pubkey_cleanup) = NULL;
	const struct hash *sha1 = &crypto_hashes[HASH_SHA1];
	const unsigned char *bits;
	uint8_t id[20];
	struct bytes info;
	int n;

	if (!attrs_get(pub, CKA_PUBLIC_KEY_INFO, &info))
		return CKR_GENERAL_ERROR;
	bits = info.ptr;
	key = d2i_X509_PUBKEY(NULL, &bits, (long)info.len);
	if (!key || !X509_PUBKEY_get0_param(NULL, &bits, &n, NULL, key))
		return crypto_failed("SubjectPublicKeyInfo", CKR_FUNCTION_FAILED);
	TRY(hash_once(sha1, BYTES(bits, (size_t)n), id));
	TRY(attrs_set(pub, CKA_ID, BYTES_OF(id)));
	return attrs_set(priv, CKA_ID, BYTES_OF(id));
}

struct flag {
	CK_ATTRIBUTE_TYPE type;
	bool value;
};

static CK_RV set_flags(struct attrs *a, const struct flag *flags, size_t n)
{
	for (size_t i = 0; i < n; i++)
		TRY(attrs_set_bool(a, flags[i].type, flags[i].value));
	return CKR_OK;
}

/* What both halves have. */
static CK_RV set_common(struct attrs *a, CK_OBJECT_CLASS class, const struct adopted_source *s)
{
	static const struct flag read_only[] = {
		{CKA_TOKEN, true}, {CKA_MODIFIABLE, false}, {CKA_COPYABLE, false}, {CKA_DESTROYABLE, false},
		{CKA_LOCAL, false},
	};
	bool rsa = s->public->publicArea.type == TPM2_ALG_RSA;

	TRY(attrs_set_ulong(a, CKA_CLASS, class));
	TRY(attrs_set_ulong(a, CKA_KEY_TYPE, rsa ? CKK_RSA : CKK_EC));
	TRY(attrs_set(a, CKA_LABEL, s->label));
	return set_flags(a, read_only, ARRAY_LEN(read_only));
}

static CK_RV set_public(struct attrs *a, const struct adopted_source *s, const struct uses *u)
{
	const struct flag flags[] = {
		{CKA_PRIVATE, false}, {CKA_VERIFY, u->sign}, {CKA_ENCRYPT, u->decrypt}, {CKA_WRAP, false},
		{CKA_DERIVE, false},
	};

	TRY(set_common(a, CKO_PUBLIC_KEY, s));
	return set_flags(a, flags, ARRAY_LEN(flags));
}

static CK_RV set_private(struct attrs *a, const struct adopted_source *s, const struct uses *u)
{
	const TPMT_PUBLIC *p = &s->public->publicArea;
	/* A fixedTPM key was made in its TPM and can't be duplicated. */
	bool fixed = (p->objectAttributes & TPMA_OBJECT_FIXEDTPM) != 0, given = s->auth == AUTH_GIVEN;
	const struct flag flags[] = {
		{CKA_PRIVATE, given}, {CKA_ALWAYS_AUTHENTICATE, given},
		{CKA_SIGN, u->sign}, {CKA_DECRYPT, u->decrypt}, {CKA_DERIVE, u->derive}, {CKA_UNWRAP, false},
		{CKA_SENSITIVE, true}, {CKA_EXTRACTABLE, false},
		{CKA_ALWAYS_SENSITIVE, fixed}, {CKA_NEVER_EXTRACTABLE, fixed},
	};

	TRY(set_common(a, CKO_PRIVATE_KEY, s));
	TRY(set_flags(a, flags, ARRAY_LEN(flags)));
	TRY(set_mechanisms(a, p->type == TPM2_ALG_RSA, u));
	return attrs_set(a, CKA_SIGNET_PLACE, BYTES("tpm", 3));
}

static CK_RV set_attrs(struct adopted_key *k, const struct adopted_source *s, const struct uses *u)
{
	k->attrs[0] = attrs_new();
	k->attrs[1] = attrs_new();
	if (!k->attrs[0] || !k->attrs[1])
		return CKR_HOST_MEMORY;
	TRY(set_public(k->attrs[0], s, u));
	TRY(set_private(k->attrs[1], s, u));
	TRY(public_describe(&s->public->publicArea, k->attrs[0], k->attrs[1]));
	return set_id(k->attrs[0], k->attrs[1]);
}

/* ---- its use ---- */

/* Two identities: of the objects, from place and public area; of what is loaded, from the wrapped key too, since that
 * changes with the authValue. */
static CK_RV set_ids(const struct adopted_source *s, uint8_t object[16], uint8_t loaded[16])
{
	uint8_t m[sizeof *s->public + sizeof *s->private], hash[32];
	struct buffer b CLEANUP(buffer_done);
	size_t n = 0;

	buffer_init(&b, sizeof m + s->place.len + 16);
	buffer_put_sized(&b, s->place);
	if (Tss2_MU_TPM2B_PUBLIC_Marshal(s->public, m, sizeof m, &n) != TSS2_RC_SUCCESS)
		return CKR_DATA_INVALID;
	buffer_put(&b, BYTES(m, n));
	TRY(buffer_status(&b));
	TRY(hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&b), hash));
	memcpy(object, hash, 16);
	object[15] &= 0xfe;
	if (s->private)
		buffer_put(&b, BYTES(s->private->buffer, s->private->size));
	TRY(buffer_status(&b));
	TRY(hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&b), hash));
	memcpy(loaded, hash + 16, 16);
	return CKR_OK;
}

static CK_RV set_ready(struct adopted_key *k, const struct adopted_source *s)
{
	struct tpm_ready *r = calloc(1, sizeof *r);

	if (!r)
		return CKR_HOST_MEMORY;
	atomic_init(&r->refs, 1);
	k->ready = r;
	r->key.secret = SECRET_PUBLIC; /* for padding only */
	r->key.blob.public = *s->public;
	if (s->private)
		r->key.blob.private = *s->private;
	r->persistent = s->persistent;
	r->parent = s->parent ? parent_ref(s->parent) : NULL;
	r->auth = s->auth;
	return set_ids(s, k->id, r->key.blob.id);
}

CK_RV adopted_key_new(const struct adopted_source *s, struct adopted_key **ret, const char **why)
{
	struct adopted_key *k CLEANUP(adopted_key_cleanup) = NULL;
	struct uses u;
	CK_RV rv;

	*why = find_uses(&s->public->publicArea, &u);
	if (*why)
		return CKR_DATA_INVALID;
	k = calloc(1, sizeof *k);
	if (!k)
		return CKR_HOST_MEMORY;
	k->private = s->auth == AUTH_GIVEN;
	rv = set_ready(k, s);
	if (rv == CKR_OK)
		rv = set_attrs(k, s, &u);
	if (rv != CKR_OK) {
		*why = "its public area makes no sense";
		return rv == CKR_HOST_MEMORY ? rv : CKR_DATA_INVALID;
	}
	*ret = TAKE(k);
	return CKR_OK;
}

/* ---- its authorization ---- */

struct proof {
	struct parent *storage;        /* the token's, which salts: its name is known */
	const struct tpm_ready *key;
	TPM2B_AUTH auth;
};

static void proof_wipe(struct proof *p)
{
	wipe(p, sizeof *p);
}

/* Like a PIN: in a salted session, once, by a command that does nothing else. */
static CK_RV prove_body(struct conn *c, void *arg)
{
	struct session hmac CLEANUP(session_end) = {0}, policy CLEANUP(session_end) = {0};
	struct entity parent, key CLEANUP(entity_wipe) = {0};
	const struct proof *p = arg;
	enum rc_context before;
	struct salt_key salt;
	CK_RV rv;

	TRY(tpm_ready_use(c, p->key, p->storage, &p->auth, &key));
	TRY(parent_use(c, p->storage, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, 0, &hmac));
	TRY(session_start(c, SESSION_POLICY, NULL, 0, &policy));
	before = conn_context(c, RC_LOGIN);
	rv = tpm2_policy_secret(c, &key, &hmac, &policy);
	(void)conn_context(c, before);
	return rv;
}

CK_RV adopted_authorize(struct tpm_token *t, struct token_op *op, struct bytes auth)
{
	struct proof p CLEANUP(proof_wipe) = {.storage = t->parent, .key = tpm_op_key(op)};
	CK_RV rv;

	/* Nothing that a key could have. */
	if (auth.len > sizeof p.auth.buffer)
		return CKR_PIN_INCORRECT;
	p.auth.size = (uint16_t)auth.len;
	if (auth.len)
		memcpy(p.auth.buffer, auth.ptr, auth.len);
	rv = conn_run(t->conn, RC_INIT, prove_body, &p);
	if (rv == CKR_PIN_LOCKED)
		log_error("the TPM is in lockout (dictionary-attack protection), which this key is under: wait, or let "
			  "the owner reset it (tpm2_dictionarylockout --clear-lockout)");
	TRY(rv);
	return tpm_op_authorize(op, auth);
}

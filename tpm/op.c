/* One signature or decryption: begun under the slot's lock with everything that it needs copied, finished without it.
 * The TPM signs with the key's own authorization: as a password where nobody can listen on the bus, else in a session
 * of its own (R15), which is keyed by the key's 256-bit authValue and needs no salt. */
#include "op.h"

#include "der.h"
#include "handles.h"
#include "log.h"
#include "object.h"

#define MAX_RSA_BYTES TPM2_MAX_RSA_KEY_BYTES

struct token_op;

/* How a base mechanism is done with a key in the TPM. */
struct op_row {
	CK_MECHANISM_TYPE mech;
	enum op_kind kind;
	CK_KEY_TYPE key_type;
	enum rc_context context;
	CK_RV (*run)(struct token_op *op, struct bytes in, struct outbuf *out);
};

struct token_op {
	struct tpm_token *token;       /* for its connection and tpm_state_answer() only: no lock is held */
	struct soft_op *soft;          /* a secret key: all the rest is unused */
	const struct op_row *row;
	struct parent *parent;
	struct tpm_ready *key;
	TPM2B_AUTH *given;             /* tpm_op_authorize(); secret memory */
	struct scheme scheme;
	uint8_t *label;                /* of OAEP; owned */
	size_t bits;                   /* of the modulus */
	const struct curve *curve;     /* of an EC key */
	size_t max;                    /* bytes of the result */
};

/* ---- sequences ---- */

/* A command with the key: what goes in and what comes out. */
struct command {
	struct token_op *op;
	CK_RV (*send)(struct conn *c, struct command *cmd, const struct entity *key, struct session *s);
	TPMA_SESSION session;          /* what a session must do besides authorizing */
	TPM2B_DIGEST digest;
	TPMT_SIG_SCHEME scheme;
	TPMT_SIGNATURE signature;
	TPM2B_PUBLIC_KEY_RSA block, result;
};

static void command_wipe(struct command *c)
{
	wipe(&c->block, sizeof c->block);
	wipe(&c->result, sizeof c->result);
}

static CK_RV choose_bus(struct conn *c, struct parent *p, bool *ret)
{
	struct entity parent;
	struct salt_key salt;
	bool sure;

	TRY(conn_protected(c, ret, &sure));
	if (sure)
		return CKR_OK;
	TRY(parent_use(c, p, &parent, &salt));
	return conn_prove_bus(c, &salt, ret);
}

static CK_RV command_body(struct conn *c, void *arg)
{
	struct command *cmd = arg;
	struct session s CLEANUP(session_end) = {0};
	struct entity parent, key CLEANUP(entity_wipe) = {0};
	const struct token_op *op = cmd->op;
	struct salt_key salt;
	bool protected;

	TRY(tpm_ready_use(c, op->key, op->parent, op->given, &key));
	TRY(choose_bus(c, op->parent, &protected));
	/* What somebody chose as a password never crosses the bus in clear. */
	if (!protected && op->key->auth != AUTH_GIVEN)
		return cmd->send(c, cmd, &key, NULL);
	/* An authValue that isn't as good as random keys no HMAC. */
	if (op->key->auth != AUTH_DERIVED)
		TRY(parent_use(c, op->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, op->key->auth == AUTH_DERIVED ? NULL : &salt, cmd->session, &s));
	return cmd->send(c, cmd, &key, &s);
}

static CK_RV command_run(struct command *cmd)
{
	return conn_run(cmd->op->token->conn, cmd->op->row->context, command_body, cmd);
}

static CK_RV send_sign(struct conn *c, struct command *cmd, const struct entity *key, struct session *s)
{
	cmd->signature = (TPMT_SIGNATURE){0};
	return tpm2_sign(c, key, s, &cmd->digest, &cmd->scheme, &cmd->signature);
}

static CK_RV send_raw(struct conn *c, struct command *cmd, const struct entity *key, struct session *s)
{
	static const TPMT_RSA_DECRYPT raw = {.scheme = TPM2_ALG_NULL};

	cmd->result = (TPM2B_PUBLIC_KEY_RSA){0};
	return tpm2_rsa_decrypt(c, key, s, &cmd->block, &raw, &cmd->result);
}

/* ---- RSA ---- */

static size_t rsa_bytes(const struct token_op *op)
{
	return (op->bits + 7) / 8;
}

/* Whether the block is a number below the modulus.  Both are as long; a TPM's answer to others says less. */
static bool below_modulus(const struct command *cmd)
{
	const TPM2B_PUBLIC_KEY_RSA *n = &cmd->op->key->key.blob.public.publicArea.unique.rsa;

	return cmd->block.size == n->size && memcmp(cmd->block.buffer, n->buffer, n->size) < 0;
}

/* The private operation on cmd->block; em gets as many bytes as the modulus. */
static CK_RV raw_operation(struct command *cmd, uint8_t *em)
{
	size_t k = rsa_bytes(cmd->op);

	if (!below_modulus(cmd))
		return cmd->op->row->kind == OP_SIGN ? CKR_DATA_INVALID : CKR_ENCRYPTED_DATA_INVALID;
	cmd->send = send_raw;
	TRY(command_run(cmd));
	if (cmd->result.size > k)
		return CKR_DEVICE_ERROR;
	memset(em, 0, k - cmd->result.size);
	memcpy(em + k - cmd->result.size, cmd->result.buffer, cmd->result.size);
	return CKR_OK;
}

static CK_RV sign_raw(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct command cmd CLEANUP(command_wipe) = {.op = op};
	uint8_t signature[MAX_RSA_BYTES];

	cmd.block.size = (uint16_t)rsa_bytes(op);
	TRY(rsa_pad_sign(&op->scheme, op->bits, in, cmd.block.buffer));
	TRY(raw_operation(&cmd, signature));
	return outbuf_put(out, BYTES(signature, rsa_bytes(op)));
}

/* A key that the TPM lets do the raw private operation, on which every padding is built. */
static bool does_raw(const TPMT_PUBLIC *t)
{
	return t->objectAttributes & TPMA_OBJECT_DECRYPT && t->parameters.rsaDetail.scheme.scheme == TPM2_ALG_NULL;
}

/* Whether TPM2_Sign is to pad for that hash.  The hash that our keys are named with is in every TPM; for others the
 * raw operation asks nothing of the TPM's hash functions. */
static bool signs_with(const TPMT_PUBLIC *t, const struct hash *hash)
{
	const TPMT_RSA_SCHEME *s = &t->parameters.rsaDetail.scheme;

	if (s->scheme != TPM2_ALG_NULL)
		return s->scheme == TPM2_ALG_RSASSA && s->details.rsassa.hashAlg == hash->tpm_alg;
	return hash->id == HASH_SHA256 || !does_raw(t);
}

/* The digest that CKM_RSA_PKCS would pad: given as such, or inside a DigestInfo of the caller's making, as ssh and many
 * others send it.  NULL: none that TPM2_Sign is to pad. */
static const struct hash *find_digest(const struct token_op *op, struct bytes in, struct bytes *ret)
{
	*ret = in;
	if (op->scheme.hash)
		return signs_with(&op->key->key.blob.public.publicArea, op->scheme.hash) ? op->scheme.hash : NULL;
	for (size_t i = 0; i < HASH_COUNT; i++) {
		const struct hash *h = &crypto_hashes[i];
		struct bytes info = h->digest_info;

		if (in.len != info.len + h->size || !bytes_equal(BYTES(in.ptr, info.len), info))
			continue;
		*ret = BYTES(in.ptr + info.len, h->size);
		return signs_with(&op->key->key.blob.public.publicArea, h) ? h : NULL;
	}
	return NULL;
}

static CK_RV sign_rsassa(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct command cmd CLEANUP(command_wipe) = {.op = op, .send = send_sign};
	const TPM2B_PUBLIC_KEY_RSA *sig = &cmd.signature.signature.rsassa.sig;
	const struct hash *hash;
	struct bytes digest;

	hash = find_digest(op, in, &digest);
	if (!hash)
		return does_raw(&op->key->key.blob.public.publicArea) ? sign_raw(op, in, out) : CKR_DATA_INVALID;
	if (digest.len != hash->size)
		return CKR_DATA_LEN_RANGE;
	cmd.digest.size = (uint16_t)digest.len;
	memcpy(cmd.digest.buffer, digest.ptr, digest.len);
	cmd.scheme.scheme = TPM2_ALG_RSASSA;
	cmd.scheme.details.rsassa.hashAlg = hash->tpm_alg;
	TRY(command_run(&cmd));
	if (cmd.signature.sigAlg != TPM2_ALG_RSASSA || sig->size != rsa_bytes(op))
		return CKR_DEVICE_ERROR;
	return outbuf_put(out, BYTES(sig->buffer, sig->size));
}

/* The block that a ciphertext stands for. */
static CK_RV decrypt_block(struct token_op *op, struct bytes in, uint8_t *em)
{
	struct command cmd CLEANUP(command_wipe) = {.op = op, .session = TPMA_SESSION_ENCRYPT};

	if (in.len != rsa_bytes(op))
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	cmd.block.size = (uint16_t)in.len;
	memcpy(cmd.block.buffer, in.ptr, in.len);
	return raw_operation(&cmd, em);
}

static CK_RV decrypt_padded(struct token_op *op, struct bytes in, struct outbuf *out)
{
	uint8_t em[MAX_RSA_BYTES];
	CK_RV rv = decrypt_block(op, in, em);

	if (rv == CKR_OK)
		rv = rsa_unpad_decrypt(&op->scheme, BYTES(em, rsa_bytes(op)), out);
	wipe(em, sizeof em);
	return rv;
}

static CK_RV decrypt_pkcs1(struct token_op *op, struct bytes in, struct outbuf *out)
{
	uint8_t em[MAX_RSA_BYTES];
	CK_RV rv = decrypt_block(op, in, em);

	if (rv == CKR_OK)
		rv = rsa_unpad_pkcs1(&op->key->secrets->padding, in, BYTES(em, rsa_bytes(op)), out);
	wipe(em, sizeof em);
	return rv;
}

/* ---- ECDSA ---- */

/* The TPM wants a digest of the size of its scheme's hash; what counts is the number that it stands for.  The hash
 * is the shortest that is as long as the order, or for P-521 the longest. */
static const struct {
	TPM2_ALG_ID alg;
	size_t size;
} digest_sizes[] = {
	{TPM2_ALG_SHA256, 32},
	{TPM2_ALG_SHA384, 48},
	{TPM2_ALG_SHA512, 64},
};

/* The row of digest_sizes[] for a key: of the hash that its scheme fixes, else by the curve. */
static CK_RV digest_row(const struct token_op *op, size_t *ret)
{
	const TPMT_ECC_SCHEME *s = &op->key->key.blob.public.publicArea.parameters.eccDetail.scheme;
	size_t i = 0;

	if (s->scheme != TPM2_ALG_ECDSA) {
		while (i < ARRAY_LEN(digest_sizes) - 1 && digest_sizes[i].size < MIN(op->curve->order, 64))
			i++;
	} else {
		while (i < ARRAY_LEN(digest_sizes) && digest_sizes[i].alg != s->details.ecdsa.hashAlg)
			i++;
	}
	*ret = i;
	return i < ARRAY_LEN(digest_sizes) ? CKR_OK : CKR_FUNCTION_FAILED;
}

/* The leftmost bits of the digest, as many as the order has (X9.62, 7.3), with zeros in front up to a hash's size. */
static CK_RV fit_digest(const struct token_op *op, struct bytes in, struct command *cmd)
{
	size_t n = MIN(in.len, op->curve->order), i;

	TRY(digest_row(op, &i));
	if (in.len == 0 || n > digest_sizes[i].size)
		return CKR_DATA_LEN_RANGE;
	cmd->digest.size = (uint16_t)digest_sizes[i].size;
	memset(cmd->digest.buffer, 0, digest_sizes[i].size - n);
	memcpy(cmd->digest.buffer + digest_sizes[i].size - n, in.ptr, n);
	cmd->scheme.scheme = TPM2_ALG_ECDSA;
	cmd->scheme.details.ecdsa.hashAlg = digest_sizes[i].alg;
	return CKR_OK;
}

static CK_RV put_integer(const TPM2B_ECC_PARAMETER *v, size_t order, uint8_t *out)
{
	if (v->size > order)
		return CKR_DEVICE_ERROR;
	memset(out, 0, order - v->size);
	memcpy(out + order - v->size, v->buffer, v->size);
	return CKR_OK;
}

static CK_RV sign_ecdsa(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct command cmd CLEANUP(command_wipe) = {.op = op, .send = send_sign};
	const TPMS_SIGNATURE_ECDSA *sig = &cmd.signature.signature.ecdsa;
	uint8_t rs[2 * 66];

	TRY(fit_digest(op, in, &cmd));
	TRY(command_run(&cmd));
	if (cmd.signature.sigAlg != TPM2_ALG_ECDSA)
		return CKR_DEVICE_ERROR;
	TRY(put_integer(&sig->signatureR, op->curve->order, rs));
	TRY(put_integer(&sig->signatureS, op->curve->order, rs + op->curve->order));
	return outbuf_put(out, BYTES(rs, 2 * op->curve->order));
}

static const struct op_row op_rows[] = {
	{CKM_RSA_PKCS, OP_SIGN, CKK_RSA, RC_SIGN, sign_rsassa},
	{CKM_RSA_PKCS_PSS, OP_SIGN, CKK_RSA, RC_SIGN, sign_raw},
	{CKM_RSA_X_509, OP_SIGN, CKK_RSA, RC_SIGN, sign_raw},
	{CKM_RSA_PKCS, OP_DECRYPT, CKK_RSA, RC_DECRYPT, decrypt_pkcs1},
	{CKM_RSA_PKCS_OAEP, OP_DECRYPT, CKK_RSA, RC_DECRYPT, decrypt_padded},
	{CKM_RSA_X_509, OP_DECRYPT, CKK_RSA, RC_DECRYPT, decrypt_padded},
	{CKM_ECDSA, OP_SIGN, CKK_EC, RC_SIGN, sign_ecdsa},
};

/* ---- beginning ---- */

static const struct op_row *row_of(CK_MECHANISM_TYPE mech, enum op_kind kind, CK_KEY_TYPE type, bool *wrong_type)
{
	*wrong_type = false;
	for (size_t i = 0; i < ARRAY_LEN(op_rows); i++) {
		if (op_rows[i].mech != mech || op_rows[i].kind != kind)
			continue;
		if (op_rows[i].key_type == type)
			return &op_rows[i];
		*wrong_type = true;
	}
	return NULL;
}

static void op_cleanup(struct token_op **op)
{
	tpm_op_free(*op);
}

static CK_RV begin_soft(struct token_op *op, enum op_kind kind, const struct token_obj *key, size_t *ret_max)
{
	struct tpm_obj *p = tpm_object_priv(key);

	if (!p->soft)
		TRY(soft_key_new(key->attrs, &p->soft));
	return soft_op_begin(kind, &op->scheme, p->soft, &op->soft, ret_max);
}

static CK_RV copy_label(struct token_op *op)
{
	struct bytes label = op->scheme.label;

	op->scheme.iv = op->scheme.aad = NO_BYTES;
	if (!label.len)
		return CKR_OK;
	op->label = malloc(label.len);
	if (!op->label)
		return CKR_HOST_MEMORY;
	memcpy(op->label, label.ptr, label.len);
	op->scheme.label = BYTES(op->label, label.len);
	return CKR_OK;
}

/* The key's sizes, from its public area: an attribute could be anything. */
static CK_RV measure(struct token_op *op)
{
	const TPMT_PUBLIC *t = &op->key->key.blob.public.publicArea;

	if (t->type == TPM2_ALG_RSA && op->row->key_type == CKK_RSA) {
		op->bits = t->parameters.rsaDetail.keyBits;
		op->max = rsa_bytes(op);
		return op->max <= MAX_RSA_BYTES ? CKR_OK : CKR_DEVICE_ERROR;
	}
	if (t->type != TPM2_ALG_ECC || op->row->key_type != CKK_EC)
		return CKR_DEVICE_ERROR;
	for (size_t i = 0; i < CURVE_COUNT; i++)
		if (der_curves[i].tpm_id && der_curves[i].tpm_id == t->parameters.eccDetail.curveID)
			op->curve = &der_curves[i];
	op->max = op->curve ? 2 * op->curve->order : 0;
	return op->curve ? CKR_OK : CKR_DEVICE_ERROR;
}

/* The key with its authValue, from the object if it was used before.  An object keeps nothing that a logout would have
 * to take away: the front drops private objects then, and others only keep what the public secret gives. */
static CK_RV get_ready(struct tpm_token *t, const struct token_obj *key, struct tpm_ready **ret)
{
	struct tpm_ready *r CLEANUP(tpm_ready_cleanup) = NULL;
	struct tpm_obj *p = tpm_object_priv(key);
	const struct keyset *keys;

	if (p->ready)
		r = tpm_ready_ref(p->ready);
	else
		TRY(tpm_ready_new(buffer_bytes(&p->blob), key->id, &r));
	TRY(tpm_state_keyset(t, r->key.secret, &keys));
	TRY(tpm_ready_derive(r, keys));
	if (!p->ready && (r->key.secret == SECRET_PUBLIC || attrs_get_bool(key->attrs, CKA_PRIVATE, true)))
		p->ready = tpm_ready_ref(r);
	*ret = TAKE(r);
	return CKR_OK;
}

/* Whether a scheme that the key's maker has fixed, or attributes that he left out, allow it: only keys of others have
 * such. */
static CK_RV check_permitted(const struct token_op *op)
{
	const TPMT_PUBLIC *t = &op->key->key.blob.public.publicArea;
	const struct hash *hash = op->scheme.hash;

	if (t->type == TPM2_ALG_RSA && op->row->run == sign_rsassa && hash)
		return does_raw(t) || signs_with(t, hash) ? CKR_OK : CKR_KEY_FUNCTION_NOT_PERMITTED;
	if (t->type == TPM2_ALG_RSA && op->row->run != sign_rsassa)
		return does_raw(t) ? CKR_OK : CKR_KEY_FUNCTION_NOT_PERMITTED;
	return CKR_OK;
}

static CK_RV begin_tpm(struct tpm_token *t, struct token_op *op, enum op_kind kind, const struct token_obj *key)
{
	bool wrong_type;

	op->row = row_of(op->scheme.type, kind, attrs_get_ulong(key->attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION),
			 &wrong_type);
	if (!op->row)
		return wrong_type ? CKR_KEY_TYPE_INCONSISTENT : CKR_MECHANISM_INVALID;
	TRY(get_ready(t, key, &op->key));
	TRY(measure(op));
	TRY(check_permitted(op));
	op->parent = parent_ref(t->parent);
	return copy_label(op);
}

static CK_RV begin(struct tpm_token *t, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
		   struct token_op **ret, size_t *ret_max)
{
	struct token_op *op CLEANUP(op_cleanup) = calloc(1, sizeof *op);
	CK_OBJECT_CLASS class = attrs_get_ulong(key->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	size_t max;

	if (!op)
		return CKR_HOST_MEMORY;
	op->token = t;
	op->scheme = *scheme;
	if (class == CKO_SECRET_KEY) {
		TRY(begin_soft(op, kind, key, &max));
	} else if (class == CKO_PRIVATE_KEY && tpm_object_in_tpm(key)) {
		TRY(begin_tpm(t, op, kind, key));
		max = op->max;
	} else {
		return CKR_KEY_TYPE_INCONSISTENT;
	}
	*ret_max = max;
	*ret = TAKE(op);
	return CKR_OK;
}

CK_RV tpm_op_begin(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
		   struct token_op **ret, size_t *ret_max)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, begin(t, kind, scheme, key, ret, ret_max));
}

CK_RV tpm_op_authorize(struct token_op *op, struct bytes auth)
{
	TPM2B_AUTH *given CLEANUP(secret_cleanup) = NULL;

	if (auth.len > sizeof given->buffer)
		return CKR_PIN_LEN_RANGE;
	given = secret_alloc(sizeof *given);
	if (!given)
		return CKR_HOST_MEMORY;
	given->size = (uint16_t)auth.len;
	if (auth.len)
		memcpy(given->buffer, auth.ptr, auth.len);
	secret_free(op->given);
	op->given = TAKE(given);
	return CKR_OK;
}

const struct tpm_ready *tpm_op_key(const struct token_op *op)
{
	return op->key;
}

/* ---- going on ---- */

size_t tpm_op_size(const struct token_op *op, size_t in_len, bool final)
{
	if (op->soft)
		return soft_op_size(op->soft, in_len, final);
	return final ? op->max : 0;
}

CK_RV tpm_op_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	/* No mechanism of the TPM streams, and the front knows. */
	return op->soft ? soft_op_update(op->soft, in, out) : CKR_GENERAL_ERROR;
}

CK_RV tpm_op_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	if (op->soft)
		return soft_op_finish(op->soft, in, out);
	return tpm_state_answer(op->token, op->row->run(op, in, out));
}

void tpm_op_free(struct token_op *op)
{
	if (!op)
		return;
	soft_op_free(op->soft);
	parent_unref(op->parent);
	tpm_ready_unref(op->key);
	secret_free(op->given);
	free(op->label);
	free(op);
}

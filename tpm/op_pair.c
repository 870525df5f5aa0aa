/* Signatures, decryption and key agreement with RSA and EC keys: one command each. */
#include "op_private.h"

#include "public.h"

#define MAX_RSA_BYTES TPM2_MAX_RSA_KEY_BYTES

/* A command with the key: what goes in and what comes out. */
struct command {
	struct token_op *op;
	CK_RV (*send)(struct conn *c, struct command *cmd, const struct entity *key, struct session *s);
	TPMA_SESSION session;          /* what a session must do besides authorizing */
	TPM2B_DIGEST digest;
	TPMT_SIG_SCHEME scheme;
	TPMT_SIGNATURE signature;
	TPM2B_PUBLIC_KEY_RSA block, result;
	TPM2B_ECC_POINT point, shared;
};

static void command_wipe(struct command *c)
{
	wipe(&c->block, sizeof c->block);
	wipe(&c->result, sizeof c->result);
	wipe(&c->shared, sizeof c->shared);
}

static CK_RV command_body(struct conn *c, void *arg)
{
	struct command *cmd = arg;
	struct session s CLEANUP(session_end) = {0}, *with;
	struct entity key CLEANUP(entity_wipe) = {0};

	TRY(op_use_key(c, cmd->op, cmd->session, &key, &s, &with));
	return op_used_key(c, cmd->op, cmd->send(c, cmd, &key, with));
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

/* The key's sizes come from its public area: an attribute could be anything. */
static CK_RV begin_raw(struct token_op *op)
{
	const TPMT_PUBLIC *t = &op->key->key.blob.public.publicArea;

	op->bits = t->parameters.rsaDetail.keyBits;
	op->max = rsa_bytes(op);
	if (op->max > MAX_RSA_BYTES)
		return CKR_DEVICE_ERROR;
	/* A scheme that the key's maker has fixed, or an attribute that he left out: only keys of others have such. */
	return does_raw(t) ? CKR_OK : CKR_KEY_FUNCTION_NOT_PERMITTED;
}

static CK_RV begin_rsassa(struct token_op *op)
{
	CK_RV rv = begin_raw(op);

	if (rv != CKR_KEY_FUNCTION_NOT_PERMITTED || !op->scheme.hash)
		return rv == CKR_KEY_FUNCTION_NOT_PERMITTED ? CKR_OK : rv;
	return signs_with(&op->key->key.blob.public.publicArea, op->scheme.hash) ? CKR_OK : rv;
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

static CK_RV begin_ec(struct token_op *op)
{
	op->curve = public_curve(op->key->key.blob.public.publicArea.parameters.eccDetail.curveID);
	if (!op->curve)
		return CKR_DEVICE_ERROR;
	op->max = op->row->kind == OP_DERIVE ? op->curve->field : 2 * op->curve->order;
	return CKR_OK;
}

/* ---- ECDH ---- */

/* A point that isn't on the curve would tell its sender about the key where a TPM doesn't look; ours is the error. */
static CK_RV check_point(const struct curve *curve, struct bytes point)
{
	struct attrs *a CLEANUP(attrs_cleanup) = attrs_new();
	struct buffer wrapped CLEANUP(buffer_done);
	struct soft_key *k = NULL;
	CK_RV rv;

	buffer_init(&wrapped, 256);
	if (!a)
		return CKR_HOST_MEMORY;
	if (point.len != 1 + 2 * curve->field || *point.ptr != 4)
		return CKR_MECHANISM_PARAM_INVALID;
	ec_point_wrap(point, curve, &wrapped);
	TRY(buffer_status(&wrapped));
	TRY(attrs_set_ulong(a, CKA_CLASS, CKO_PUBLIC_KEY));
	TRY(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_EC));
	TRY(attrs_set(a, CKA_EC_PARAMS, curve->oid));
	TRY(attrs_set(a, CKA_EC_POINT, buffer_bytes(&wrapped)));
	rv = soft_key_new(a, &k);
	soft_key_unref(k);
	return rv == CKR_OK || rv == CKR_HOST_MEMORY || rv == CKR_FUNCTION_FAILED ? rv : CKR_MECHANISM_PARAM_INVALID;
}

static void set_coordinate(TPM2B_ECC_PARAMETER *to, const uint8_t *from, size_t field)
{
	to->size = (uint16_t)field;
	memcpy(to->buffer, from, field);
}

static CK_RV send_zgen(struct conn *c, struct command *cmd, const struct entity *key, struct session *s)
{
	cmd->shared = (TPM2B_ECC_POINT){0};
	return tpm2_ecdh_zgen(c, key, s, &cmd->point, &cmd->shared);
}

static CK_RV derive_ecdh(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct command cmd CLEANUP(command_wipe) = {.op = op, .send = send_zgen, .session = TPMA_SESSION_ENCRYPT};
	const size_t field = op->curve->field;
	uint8_t x[66];
	CK_RV rv;

	TRY(check_point(op->curve, in));
	set_coordinate(&cmd.point.point.x, in.ptr + 1, field);
	set_coordinate(&cmd.point.point.y, in.ptr + 1 + field, field);
	TRY(command_run(&cmd));
	rv = put_integer(&cmd.shared.point.x, field, x);
	if (rv == CKR_OK)
		rv = outbuf_put(out, BYTES(x, field));
	wipe(x, sizeof x);
	return rv;
}

#define RSA(mech_, kind_, context_, finish_, begin_)                                                                   \
	{.mech = (mech_), .kind = (kind_), .type = TPM2_ALG_RSA, .context = (context_), .finish = (finish_),           \
	 .begin = (begin_)}
#define EC(mech_, kind_, context_, finish_)                                                                            \
	{.mech = (mech_), .kind = (kind_), .type = TPM2_ALG_ECC, .context = (context_), .finish = (finish_),           \
	 .begin = begin_ec}

static const struct op_row rows[] = {
	RSA(CKM_RSA_PKCS, OP_SIGN, RC_SIGN, sign_rsassa, begin_rsassa),
	RSA(CKM_RSA_PKCS_PSS, OP_SIGN, RC_SIGN, sign_raw, begin_raw),
	RSA(CKM_RSA_X_509, OP_SIGN, RC_SIGN, sign_raw, begin_raw),
	RSA(CKM_RSA_PKCS, OP_DECRYPT, RC_DECRYPT, decrypt_pkcs1, begin_raw),
	RSA(CKM_RSA_PKCS_OAEP, OP_DECRYPT, RC_DECRYPT, decrypt_padded, begin_raw),
	RSA(CKM_RSA_X_509, OP_DECRYPT, RC_DECRYPT, decrypt_padded, begin_raw),
	EC(CKM_ECDSA, OP_SIGN, RC_SIGN, sign_ecdsa),
	EC(CKM_ECDH1_DERIVE, OP_DERIVE, RC_DERIVE, derive_ecdh),
};
const struct op_rows op_pair_rows = {.at = rows, .n = ARRAY_LEN(rows)};

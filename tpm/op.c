/* One use of a key: begun under the slot's lock with everything that it needs copied, finished without it.
 * The TPM works with the key's own authorization: as a password where nobody can listen on the bus, else in a session
 * of its own (R15), which is keyed by the key's 256-bit authValue and needs no salt. */
#include "op_private.h"

#include "log.h"
#include "rv.h"

/* ---- inside a sequence ---- */

CK_RV op_bus(struct conn *c, const struct token_op *op, bool *ret)
{
	struct entity parent;
	struct salt_key salt;
	bool sure;

	TRY(conn_protected(c, ret, &sure));
	if (sure)
		return CKR_OK;
	TRY(parent_use(c, op->parent, &parent, &salt));
	return conn_prove_bus(c, &salt, ret);
}

/* The session that op_use_key() promises. */
static CK_RV authorize(struct conn *c, const struct token_op *op, TPMA_SESSION attributes, struct session *s,
		       struct session **ret)
{
	struct entity parent;
	struct salt_key salt;
	bool protected;

	TRY(op_bus(c, op, &protected));
	*ret = NULL;
	/* What somebody chose as a password never crosses the bus in clear. */
	if (!protected && op->key->auth != AUTH_GIVEN)
		return CKR_OK;
	/* An authValue that isn't as good as random keys no HMAC. */
	if (op->key->auth != AUTH_DERIVED)
		TRY(parent_use(c, op->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, op->key->auth == AUTH_DERIVED ? NULL : &salt, attributes, s));
	*ret = s;
	return CKR_OK;
}

CK_RV op_use_key(struct conn *c, const struct token_op *op, TPMA_SESSION attributes, struct entity *ret_key,
		 struct session *s, struct session **ret_session)
{
	/* What fails before the command itself is nothing about the caller's data. */
	const enum rc_context before = conn_context(c, RC_INIT);

	if (atomic_load(&op->key->refused)) {
		fault_note(TPM2_RC_AUTH_FAIL);
		return CKR_DEVICE_ERROR;
	}
	TRY(tpm_ready_use(c, op->key, op->parent, op->given, ret_key));
	TRY(authorize(c, op, attributes, s, ret_session));
	(void)conn_context(c, before);
	return CKR_OK;
}

CK_RV op_used_key(struct conn *c, const struct token_op *op, CK_RV rv)
{
	const uint16_t base = rv == CKR_OK ? TPM2_RC_SUCCESS : conn_rc_base(c);

	if (op->key->auth != AUTH_EMPTY || (base != TPM2_RC_AUTH_FAIL && base != TPM2_RC_BAD_AUTH))
		return rv;
	log_error("a key of another program needs an authorization value, though its file, or `persistent-auth`, says "
		  "that it needs none: mend that");
	if (base == TPM2_RC_AUTH_FAIL)
		atomic_store(&op->key->refused, true);
	return rv;
}

CK_RV op_input_max(struct conn *c, size_t *ret)
{
	size_t max;

	TRY(conn_input_max(c, &max));
	*ret = MIN(max, TPM2_MAX_DIGEST_BUFFER);
	return *ret >= 256 ? CKR_OK : CKR_DEVICE_ERROR; /* 1024 says the PC Client profile */
}

/* ---- beginning ---- */

static const struct op_rows *const families[] = {&op_pair_rows, &op_cipher_rows, &op_mac_rows};

/* The row of a mechanism with a key of that type.  *wrong_type: there are rows for other types only. */
static const struct op_row *row_of(CK_MECHANISM_TYPE mech, enum op_kind kind, TPMI_ALG_PUBLIC type, bool *wrong_type)
{
	*wrong_type = false;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (size_t i = 0; i < families[f]->n; i++) {
			const struct op_row *row = &families[f]->at[i];

			if (row->mech != mech || row->kind != kind)
				continue;
			if (row->type == type)
				return row;
			*wrong_type = true;
		}
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

/* The key with its authValue, from the object if it was used before.  An object keeps nothing that a logout would have
 * to take away: the front drops private objects then, and others only keep what the public secret gives. */
static CK_RV get_ready(struct tpm_token *t, enum op_kind kind, const struct token_obj *key, struct tpm_ready **ret)
{
	struct tpm_ready *r CLEANUP(tpm_ready_cleanup) = NULL;
	struct tpm_obj *p = tpm_object_priv(key);
	const struct keyset *keys;

	if (p->ready)
		r = tpm_ready_ref(p->ready);
	else
		TRY(tpm_ready_new(buffer_bytes(&p->blob), key->id, &r));
	/* A key of others' needs the token's secret for implicit rejection only. */
	if (r->auth == AUTH_DERIVED || kind == OP_DECRYPT) {
		TRY(tpm_state_keyset(t, r->key.secret, &keys));
		TRY(tpm_ready_derive(r, keys));
	}
	if (!p->ready && (r->key.secret == SECRET_PUBLIC || attrs_get_bool(key->attrs, CKA_PRIVATE, true)))
		p->ready = tpm_ready_ref(r);
	*ret = TAKE(r);
	return CKR_OK;
}

/* What this TPM's key can't do while a key in the process could isn't the mechanism's fault. */
static CK_RV no_row(CK_OBJECT_CLASS class, bool wrong_type)
{
	if (wrong_type)
		return CKR_KEY_TYPE_INCONSISTENT;
	return class == CKO_SECRET_KEY ? CKR_KEY_FUNCTION_NOT_PERMITTED : CKR_MECHANISM_INVALID;
}

static CK_RV begin_tpm(struct tpm_token *t, struct token_op *op, enum op_kind kind, const struct token_obj *key)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(key->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	bool wrong_type;

	TRY(get_ready(t, kind, key, &op->key));
	op->row = row_of(op->scheme.type, kind, op->key->key.blob.public.publicArea.type, &wrong_type);
	if (!op->row)
		return no_row(class, wrong_type);
	op->parent = parent_ref(t->parent);
	TRY(op->row->begin(op));
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
	if (tpm_object_in_tpm(key)) {
		TRY(begin_tpm(t, op, kind, key));
		max = op->max;
	} else if (class == CKO_SECRET_KEY) {
		TRY(begin_soft(op, kind, key, &max));
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
	if (op->row->size)
		return op->row->size(op, in_len, final);
	return final ? op->max : 0;
}

CK_RV tpm_op_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	if (op->soft)
		return soft_op_update(op->soft, in, out);
	/* Others take one block, and the front knows. */
	return op->row->update ? tpm_state_answer(op->token, op->row->update(op, in, out)) : CKR_GENERAL_ERROR;
}

CK_RV tpm_op_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	if (op->soft)
		return soft_op_finish(op->soft, in, out);
	return tpm_state_answer(op->token, op->row->finish(op, in, out));
}

void tpm_op_free(struct token_op *op)
{
	if (!op)
		return;
	soft_op_free(op->soft);
	parent_unref(op->parent);
	tpm_ready_unref(op->key);
	secret_free(op->given);
	secret_free(op->cipher);
	secret_free(op->mac);
	free(op->label);
	free(op);
}

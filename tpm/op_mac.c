/* HMACs with a key in the TPM.  What fits into one command is collected and sent as one.  More goes through a sequence
 * object of the TPM, which between two calls lies outside it as a saved context (R14): nobody's place is held while an
 * application thinks, and what a forgotten operation leaves is a few bytes of ours. */
#include "op_private.h"

#include "handles.h"
#include "log.h"

/* Bytes that one sequence of commands does, so that other threads get their turn. */
#define RUN_MAX 16384

struct mac_state {
	uint8_t held[TPM2_MAX_DIGEST_BUFFER];
	size_t n_held;
	bool begun;                /* there is a sequence object, in `context` */
	TPMS_CONTEXT context;
};

static CK_RV begin_mac(struct token_op *op)
{
	const struct hash *h = op->scheme.hash;

	if (!h || h->tpm_alg != op->row->mode)
		return CKR_GENERAL_ERROR;
	if (op->scheme.tag_len > h->size)
		return CKR_MECHANISM_PARAM_INVALID;
	op->max = op->scheme.tag_len ? op->scheme.tag_len : h->size;
	op->mac = secret_alloc(sizeof *op->mac);
	return op->mac ? CKR_OK : CKR_HOST_MEMORY;
}

static size_t mac_size(const struct token_op *op, size_t in_len UNUSED, bool final)
{
	return final ? op->max : 0;
}

/* ---- one sequence of commands ---- */

struct feed {
	const struct token_op *op;
	struct bytes in;           /* the data after what is held */
	bool last;                 /* the result is wanted */
	TPMS_CONTEXT context;      /* afterwards, unless `last` */
	TPM2B_DIGEST digest;       /* if `last` */
	bool stale;                /* the TPM was restarted: its key for saved contexts is another one since */
};

/* The next piece of what is held and of the data; false: there is no more. */
static bool next_piece(const struct feed *f, size_t *at, size_t most, TPM2B_MAX_BUFFER *ret)
{
	const struct mac_state *m = f->op->mac;
	size_t total = m->n_held + f->in.len, n = MIN(most, total - *at);

	ret->size = (uint16_t)n;
	for (size_t i = 0; i < n; i++, ++*at)
		ret->buffer[i] = *at < m->n_held ? m->held[*at] : f->in.ptr[*at - m->n_held];
	return n > 0;
}

/* The sequence object's own authValue is empty.  Where the bus isn't trusted, the session is salted: it vouches for
 * the data and the result. */
static CK_RV start_session(struct conn *c, const struct token_op *op, struct session *s, struct session **ret)
{
	struct entity parent;
	struct salt_key salt;
	bool protected;

	*ret = NULL;
	TRY(op_bus(c, op, &protected));
	if (!protected)
		return CKR_OK;
	TRY(parent_use(c, op->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT | TPMA_SESSION_CONTINUESESSION, s));
	*ret = s;
	return CKR_OK;
}

static CK_RV open_sequence(struct conn *c, struct feed *f, struct session *s, struct entity *ret)
{
	const struct token_op *op = f->op;
	struct entity key CLEANUP(entity_wipe) = {0};
	CK_RV rv;

	if (op->mac->begun) {
		rv = handles_context(c, &op->mac->context, ret);
		f->stale = rv != CKR_OK && conn_rc_base(c) == TPM2_RC_INTEGRITY;
		return rv;
	}
	TRY(tpm_ready_use(c, op->key, op->parent, op->given, &key));
	return tpm2_hmac_start(c, &key, s, op->row->mode, ret);
}

/* Who hears the result may hear a key: HMACs derive keys, too. */
static CK_RV complete(struct conn *c, struct feed *f, const struct entity *sequence, struct session *s,
		      const TPM2B_MAX_BUFFER *last)
{
	if (s)
		s->attributes |= TPMA_SESSION_ENCRYPT;
	return tpm2_sequence_complete(c, sequence, s, last, &f->digest);
}

/* From the state, which stays as it is: it may run twice. */
static CK_RV feed_body(struct conn *c, void *arg)
{
	struct feed *f = arg;
	struct session s CLEANUP(session_end) = {0}, *with;
	struct entity sequence = {0};
	/* What fails before the data go is nothing about them. */
	const enum rc_context before = conn_context(c, RC_INIT);
	TPM2B_MAX_BUFFER piece;
	size_t at = 0, total = f->op->mac->n_held + f->in.len, most;

	TRY(op_input_max(c, &most));
	TRY(start_session(c, f->op, &s, &with));
	TRY(open_sequence(c, f, with, &sequence));
	(void)conn_context(c, before);
	while (next_piece(f, &at, most, &piece)) {
		if (f->last && at == total)
			return complete(c, f, &sequence, with, &piece);
		TRY(tpm2_sequence_update(c, &sequence, with, &piece));
	}
	if (f->last)
		return complete(c, f, &sequence, with, &piece);
	/* The loaded one is flushed when the sequence of commands ends. */
	return tpm2_context_save(c, sequence.handle, &f->context);
}

/* All in one command. */
static CK_RV whole_body(struct conn *c, void *arg)
{
	struct feed *f = arg;
	struct session s CLEANUP(session_end) = {0}, *with;
	struct entity key CLEANUP(entity_wipe) = {0};
	TPM2B_MAX_BUFFER piece;
	size_t at = 0;

	(void)next_piece(f, &at, sizeof piece.buffer, &piece);
	TRY(op_use_key(c, f->op, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, &key, &s, &with));
	return tpm2_hmac(c, &key, with, &piece, f->op->row->mode, &f->digest);
}

/* ---- steps ---- */

static CK_RV run_feed(struct token_op *op, conn_body *body, struct feed *f)
{
	CK_RV rv = conn_run(op->token->conn, op->row->context, body, f);

	if (rv == CKR_OK || !f->stale)
		return rv;
	log_info("the TPM was restarted in the midst of an HMAC; what it knew of it is gone");
	return CKR_DEVICE_REMOVED;
}

static CK_RV feed_part(struct token_op *op, struct bytes in)
{
	struct mac_state *m = op->mac;
	struct feed f = {.op = op, .in = in};

	TRY(run_feed(op, feed_body, &f));
	m->context = f.context;
	m->begun = true;
	m->n_held = 0;
	return CKR_OK;
}

static CK_RV feed_all(struct token_op *op, struct bytes in)
{
	struct mac_state *m = op->mac;

	/* What is held always leaves something for the end, so that the last command carries data. */
	while (in.len > sizeof m->held - m->n_held) {
		size_t n = MIN(in.len, (size_t)RUN_MAX);

		TRY(feed_part(op, BYTES(in.ptr, n)));
		in = BYTES(in.ptr + n, in.len - n);
	}
	if (in.len)
		memcpy(m->held + m->n_held, in.ptr, in.len);
	m->n_held += in.len;
	return CKR_OK;
}

static CK_RV mac_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	TRY(feed_all(op, in));
	if (op->row->kind == OP_SIGN)
		out->len = 0;
	return CKR_OK;
}

static CK_RV give(const struct token_op *op, const TPM2B_DIGEST *digest, struct outbuf *out)
{
	const struct bytes mac = BYTES(digest->buffer, op->max);

	if (digest->size != op->scheme.hash->size)
		return CKR_DEVICE_ERROR;
	if (op->row->kind == OP_SIGN)
		return outbuf_put(out, mac);
	if (out->len != op->max)
		return CKR_SIGNATURE_LEN_RANGE;
	return secret_equal(mac, BYTES(out->ptr, out->len)) ? CKR_OK : CKR_SIGNATURE_INVALID;
}

/* Whether all of it goes with one TPM2_HMAC; TPM2_PT_INPUT_BUFFER is at least 1024 (PC Client profile), which is also
 * all that the TSS takes. */
static CK_RV mac_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct feed f = {.op = op, .last = true};
	bool whole;
	CK_RV rv;

	TRY(feed_all(op, in));
	whole = !op->mac->begun;
	rv = run_feed(op, whole ? whole_body : feed_body, &f);
	if (rv == CKR_OK)
		rv = give(op, &f.digest, out);
	wipe(&f.digest, sizeof f.digest);
	return rv;
}

/* To the TPM verifying is signing, too: what it says against the data is no verdict on a signature. */
#define ROW(hash_, kind_, alg_)                                                                                        \
	{.mech = (hash_), .kind = (kind_), .type = TPM2_ALG_KEYEDHASH, .context = RC_SIGN, .mode = (alg_),             \
	 .begin = begin_mac, .size = mac_size, .update = mac_update, .finish = mac_finish}
#define BOTH(hmac, alg) ROW(hmac, OP_SIGN, alg), ROW(hmac, OP_VERIFY, alg)

static const struct op_row rows[] = {
	BOTH(CKM_SHA_1_HMAC, TPM2_ALG_SHA1),
	BOTH(CKM_SHA256_HMAC, TPM2_ALG_SHA256),
	BOTH(CKM_SHA384_HMAC, TPM2_ALG_SHA384),
	BOTH(CKM_SHA512_HMAC, TPM2_ALG_SHA512),
};
const struct op_rows op_mac_rows = {.at = rows, .n = ARRAY_LEN(rows)};

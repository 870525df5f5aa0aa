/* AES with a key in the TPM, streamed.  The TPM gets whole blocks only: what it makes of a part of a block, and of the
 * IV behind it, differs from one to the next.  A part is held back until the rest comes or the data end; then it is
 * filled up and the surplus cut off, which for CTR, OFB and CFB changes nothing of what stays. */
#include "op_private.h"

#define BLOCK 16
/* Bytes that one sequence of commands does, so that other threads get their turn. */
#define RUN_MAX 8192

struct cipher_state {
	TPM2B_IV iv;
	uint8_t held[BLOCK];
	size_t n_held;
	uint64_t blocks_left;       /* until the counter would be used again */
	uint8_t last[BLOCK];        /* output behind what process() was asked to give */
	uint8_t in[RUN_MAX], out[RUN_MAX];
};

/* How a mechanism uses its mode: the row's `shape`. */
enum { SHAPE_BLOCKS, SHAPE_PADDED, SHAPE_STREAM };

static bool encrypting(const struct token_op *op)
{
	return op->row->kind == OP_ENCRYPT;
}

static CK_RV length_code(const struct token_op *op)
{
	return encrypting(op) ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
}

/* ---- beginning ---- */

/* Blocks until the low `bits` of the counter block have been through all their values; at most UINT64_MAX. */
static uint64_t counter_room(const uint8_t block[BLOCK], unsigned bits)
{
	uint64_t low = 0;

	for (unsigned i = 0; i < BLOCK; i++) {
		unsigned place = 8 * (BLOCK - 1 - i); /* of this byte's lowest bit */
		unsigned wide = bits > place ? MIN(bits - place, 8u) : 0;
		uint8_t mask = (uint8_t)((1u << wide) - 1), unused = (uint8_t)(~block[i] & mask);

		if (unused && place >= 64)
			return UINT64_MAX;
		if (place < 64)
			low |= (uint64_t)unused << place;
	}
	return low == UINT64_MAX ? low : low + 1;
}

static CK_RV begin_cipher(struct token_op *op)
{
	const struct scheme *s = &op->scheme;
	struct cipher_state *c;

	if (s->iv.len != (op->row->mode == TPM2_ALG_ECB ? 0 : BLOCK))
		return CKR_MECHANISM_PARAM_INVALID;
	if (op->row->mode == TPM2_ALG_CTR && (s->counter_bits == 0 || s->counter_bits > 8 * BLOCK))
		return CKR_MECHANISM_PARAM_INVALID;
	c = secret_alloc(sizeof *c);
	if (!c)
		return CKR_HOST_MEMORY;
	op->cipher = c;
	c->iv.size = (uint16_t)s->iv.len;
	if (s->iv.len)
		memcpy(c->iv.buffer, s->iv.ptr, s->iv.len);
	c->blocks_left = op->row->mode == TPM2_ALG_CTR ? counter_room(c->iv.buffer, s->counter_bits) : UINT64_MAX;
	op->max = BLOCK;
	return CKR_OK;
}

/* ---- one run ---- */

struct run {
	const struct token_op *op;
	size_t n;                   /* bytes of op->cipher->in, whole blocks */
	TPM2B_IV iv;                /* afterwards */
};

static CK_RV send_piece(struct conn *c, struct run *r, const struct entity *key, struct session *s, struct bytes part)
{
	struct cipher_state *state = r->op->cipher;
	TPM2B_MAX_BUFFER in = {.size = (uint16_t)part.len}, out = {0};
	struct cipher_req req = {.decrypt = !encrypting(r->op), .mode = r->op->row->mode, .iv = &r->iv, .in = &in};
	CK_RV rv;

	memcpy(in.buffer, part.ptr, part.len);
	rv = tpm2_encrypt_decrypt(c, key, s, &req, &out);
	if (rv == CKR_OK)
		memcpy(state->out + (part.ptr - state->in), out.buffer, part.len);
	wipe(&in, sizeof in);
	wipe(&out, sizeof out);
	return rv;
}

/* From the state's input and IV, which stay as they are: it may run twice. */
static CK_RV run_body(struct conn *c, void *arg)
{
	struct run *r = arg;
	const TPMA_SESSION both_ways = TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION;
	struct session s CLEANUP(session_end) = {0}, *with;
	struct entity key CLEANUP(entity_wipe) = {0};
	size_t most;

	TRY(op_input_max(c, &most));
	most = most / BLOCK * BLOCK;
	TRY(op_use_key(c, r->op, both_ways, &key, &s, &with));
	r->iv = r->op->cipher->iv;
	for (size_t at = 0; at < r->n; at += most)
		TRY(send_piece(c, r, &key, with, BYTES(r->op->cipher->in + at, MIN(most, r->n - at))));
	return CKR_OK;
}

/* The counter of CTR is as wide as the mechanism says, whatever the TPM makes of its carry; beyond blocks_left nothing
 * is ever done, so there is none. */
static CK_RV run(struct token_op *op, size_t n)
{
	struct run r = {.op = op, .n = n};

	if (n / BLOCK > op->cipher->blocks_left)
		return length_code(op);
	TRY(conn_run(op->token->conn, op->row->context, run_body, &r));
	if (r.iv.size != op->cipher->iv.size)
		return CKR_DEVICE_ERROR;
	op->cipher->iv = r.iv;
	if (op->cipher->blocks_left != UINT64_MAX)
		op->cipher->blocks_left -= n / BLOCK;
	return CKR_OK;
}

/* ---- many ---- */

/* What is to be done: what was held, the call's data, and what fills up the last block. */
struct source {
	struct bytes part[3];
};

static void take(struct source *s, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(s->part); i++) {
		struct bytes *p = &s->part[i];
		size_t m = MIN(n, p->len);

		if (m)
			memcpy(to, p->ptr, m);
		*p = BYTES(p->ptr + m, p->len - m);
		to += m;
		n -= m;
	}
}

/* Does n bytes of the source, whole blocks; `give` of them go out, the rest, less than two blocks, into `last`. */
static CK_RV process(struct token_op *op, struct source *s, size_t n, size_t give, struct outbuf *out)
{
	struct cipher_state *c = op->cipher;

	for (size_t done = 0; done < n;) {
		size_t now = MIN(n - done, (size_t)RUN_MAX), given = give > done ? MIN(now, give - done) : 0;

		take(s, c->in, now);
		TRY(run(op, now));
		TRY(outbuf_put(out, BYTES(c->out, given)));
		if (given < now)
			memcpy(c->last, c->out + given, MIN(now - given, (size_t)BLOCK));
		done += now;
	}
	return CKR_OK;
}

/* Where bytes are held, output runs ahead of input, and in place would overwrite what is still to be read. */
static CK_RV guard(const struct token_op *op, const struct outbuf *out, struct bytes *in, struct buffer *copy)
{
	buffer_init(copy, in->len);
	if (!op->cipher->n_held || in->ptr != out->ptr)
		return CKR_OK;
	buffer_put(copy, *in);
	*in = buffer_bytes(copy);
	return buffer_status(copy);
}

/* Whole blocks that come out of `total` bytes before the end: of padded data the last one waits. */
static size_t blocks_of(const struct token_op *op, size_t total)
{
	bool hold_last = op->row->shape == SHAPE_PADDED && !encrypting(op) && total > 0;

	return (total - hold_last) / BLOCK * BLOCK;
}

static size_t cipher_size(const struct token_op *op, size_t in_len, bool final)
{
	size_t total = op->cipher->n_held + in_len;

	if (!final)
		return blocks_of(op, total);
	if (op->row->shape != SHAPE_PADDED)
		return op->row->shape == SHAPE_STREAM ? total : total / BLOCK * BLOCK;
	if (encrypting(op))
		return total / BLOCK * BLOCK + BLOCK;
	return total ? total - 1 : 0; /* at least a byte of padding goes */
}

static CK_RV cipher_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct cipher_state *c = op->cipher;
	size_t total = c->n_held + in.len, n = blocks_of(op, total);
	struct buffer copy CLEANUP(buffer_done) = {0};
	struct source s;

	TRY(guard(op, out, &in, &copy));
	s = (struct source){.part = {BYTES(c->held, c->n_held), in}};
	out->len = 0;
	TRY(process(op, &s, n, n, out));
	/* What was held before has gone, or it stays where it is. */
	if (n)
		take(&s, c->held, total - n);
	else if (in.len)
		memcpy(c->held + c->n_held, in.ptr, in.len);
	c->n_held = total - n;
	return CKR_OK;
}

/* ---- the end ---- */

/* PKCS#7 padding off the last block. */
static CK_RV unpad(const uint8_t last[BLOCK], struct outbuf *out)
{
	uint8_t n = last[BLOCK - 1], wrong = n == 0 || n > BLOCK;

	for (size_t i = 0; i < BLOCK; i++)
		wrong |= i >= (size_t)BLOCK - n && last[i] != n;
	return wrong ? CKR_ENCRYPTED_DATA_INVALID : outbuf_put(out, BYTES(last, (size_t)BLOCK - n));
}

static CK_RV cipher_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	struct cipher_state *c = op->cipher;
	const int shape = op->row->shape;
	size_t total = c->n_held + in.len, rest = total % BLOCK, give = total, fill = 0;
	struct buffer copy CLEANUP(buffer_done) = {0};
	uint8_t tail[BLOCK] = {0};
	bool removing = shape == SHAPE_PADDED && !encrypting(op);
	struct source s;

	if ((shape == SHAPE_BLOCKS || removing) && (rest || (removing && !total)))
		return length_code(op);
	TRY(guard(op, out, &in, &copy));
	if (shape == SHAPE_STREAM && rest)
		fill = BLOCK - rest;
	if (shape == SHAPE_PADDED && encrypting(op)) {
		fill = BLOCK - rest;
		memset(tail, (int)fill, sizeof tail);
		give = total + fill;
	}
	if (removing)
		give = total - BLOCK;
	s = (struct source){.part = {BYTES(c->held, c->n_held), in, BYTES(tail, fill)}};
	out->len = 0;
	TRY(process(op, &s, total + fill, give, out));
	return removing ? unpad(c->last, out) : CKR_OK;
}

#define ROW(mech_, kind_, mode_, shape_)                                                                               \
	{.mech = (mech_), .kind = (kind_), .type = TPM2_ALG_SYMCIPHER,                                                 \
	 .context = (kind_) == OP_ENCRYPT ? RC_ENCRYPT : RC_DECRYPT, .mode = (mode_), .shape = (shape_),               \
	 .begin = begin_cipher, .size = cipher_size, .update = cipher_update, .finish = cipher_finish}
#define BOTH(mech, mode, shape) ROW(mech, OP_ENCRYPT, mode, shape), ROW(mech, OP_DECRYPT, mode, shape)

static const struct op_row rows[] = {
	BOTH(CKM_AES_ECB, TPM2_ALG_ECB, SHAPE_BLOCKS),
	BOTH(CKM_AES_CBC, TPM2_ALG_CBC, SHAPE_BLOCKS),
	BOTH(CKM_AES_CBC_PAD, TPM2_ALG_CBC, SHAPE_PADDED),
	BOTH(CKM_AES_CTR, TPM2_ALG_CTR, SHAPE_STREAM),
	BOTH(CKM_AES_CFB128, TPM2_ALG_CFB, SHAPE_STREAM),
	BOTH(CKM_AES_OFB, TPM2_ALG_OFB, SHAPE_STREAM),
};
const struct op_rows op_cipher_rows = {.at = rows, .n = ARRAY_LEN(rows)};

/* The file `caps`, in the envelope of frame.c, numbers big-endian:
 *
 *   identity    14 × 4   the TPM's fixed properties from TPM2_PT_FAMILY_INDICATOR to TPM2_PT_INPUT_BUFFER
 *   algorithms      32   a bit for each TPM_ALG_ID below 256, the lowest first
 *   commands        32   a bit for each TPM_CC from 0x100 to 0x1ff
 *   curves           1   count, at most 16; each 2: TPM_ECC_CURVE
 *   RSA sizes        1   count, at most 4; each 2: bits, ascending
 *
 * It is no part of the token's state: one that is damaged, or of another version, is as good as none, and is replaced.
 * Nothing that guards a secret depends on it: whether a bus can be tapped, what a policy needs, and how much a counter
 * has left are asked of the TPM each time. */
#include "memory.h"

#include "frame.h"
#include "log.h"
#include "state.h"

#define CAPS_NAME "caps"

static const struct frame caps_frame = {.magic = "SIGNETCP", .version = 1};

/* ---- the file ---- */

static void put_list(struct buffer *b, const uint16_t *list, size_t n)
{
	buffer_put_u8(b, (uint8_t)n);
	for (size_t i = 0; i < n; i++)
		buffer_put_be16(b, list[i]);
}

static CK_RV emit(const struct conn_memory *m, struct buffer *b)
{
	frame_begin(&caps_frame, b);
	for (size_t i = 0; i < CONN_IDENTITY; i++)
		buffer_put_be32(b, m->identity[i]);
	buffer_put(b, BYTES_OF(m->algs));
	buffer_put(b, BYTES_OF(m->commands));
	put_list(b, m->curves, m->n_curves);
	put_list(b, m->rsa, m->n_rsa);
	return frame_end(b);
}

static void read_bits(struct reader *r, uint8_t bits[32])
{
	struct bytes in = read_bytes(r, 32);

	if (r->ok)
		memcpy(bits, in.ptr, 32);
}

static void read_list(struct reader *r, uint16_t *list, size_t cap, size_t *ret_n)
{
	size_t n = read_u8(r);

	r->ok &= n <= cap;
	for (size_t i = 0; r->ok && i < n; i++)
		list[i] = read_be16(r);
	*ret_n = r->ok ? n : 0;
}

static CK_RV parse(struct bytes in, struct conn_memory *ret)
{
	struct conn_memory m = {0};
	struct reader r;

	TRY(frame_open(&caps_frame, in, &r));
	for (size_t i = 0; i < CONN_IDENTITY; i++)
		m.identity[i] = read_be32(&r);
	read_bits(&r, m.algs);
	read_bits(&r, m.commands);
	read_list(&r, m.curves, ARRAY_LEN(m.curves), &m.n_curves);
	read_list(&r, m.rsa, ARRAY_LEN(m.rsa), &m.n_rsa);
	if (!reader_done(&r))
		return CKR_DEVICE_ERROR;
	*ret = m;
	return CKR_OK;
}

/* ---- recalling ---- */

static CK_RV recall(struct tpm_token *t)
{
	struct buffer b CLEANUP(buffer_done);
	struct conn_memory m;

	buffer_init(&b, FRAME_MAX);
	TRY(store_read_aside(t->store, CAPS_NAME, &b));
	TRY(parse(buffer_bytes(&b), &m));
	conn_recall(t->conn, &m);
	return CKR_OK;
}

void memory_recall(struct tpm_token *t)
{
	if (t->memory.recalled)
		return;
	t->memory.recalled = true;
	t->memory.learnt = conn_learnt(t->conn);
	t->memory.kept = recall(t) == CKR_OK;
	log_debug("store %s: what the TPM can do is %s", store_path(t->store), t->memory.kept ? "remembered" : "asked for");
}

/* ---- keeping ---- */

static CK_RV learn_body(struct conn *c, void *arg)
{
	return conn_learn(c, arg);
}

static CK_RV keep(struct tpm_token *t)
{
	struct buffer b CLEANUP(buffer_done);
	struct conn_memory m;

	TRY(store_writable(t->store));
	TRY(conn_run(t->conn, RC_PROBE, learn_body, &m));
	buffer_init(&b, FRAME_MAX);
	TRY(emit(&m, &b));
	return store_write_aside(t->store, CAPS_NAME, buffer_bytes(&b));
}

void memory_keep(struct tpm_token *t)
{
	uint64_t learnt = conn_learnt(t->conn);

	if (!t->initialized || (t->memory.kept && t->memory.learnt == learnt))
		return;
	/* Tried once: the next process may have more luck. */
	t->memory.learnt = learnt;
	t->memory.kept = true;
	if (keep(t) != CKR_OK)
		log_debug("store %s: what the TPM can do is not remembered", store_path(t->store));
}

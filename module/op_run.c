/* The work of one step of an operation: hashing in front, collecting, streaming, results kept for a retry. */
#include "op_state.h"

#define DIGEST_MAX 64

static size_t engine_size(const struct operation *op, size_t in_len, bool final)
{
	return op->soft ? soft_op_size(op->soft, in_len, final) : op->ops->op_size(op->token, in_len, final);
}

static CK_RV engine_update(struct operation *op, struct bytes in, struct outbuf *out)
{
	return op->soft ? soft_op_update(op->soft, in, out) : op->ops->op_update(op->token, in, out);
}

static CK_RV engine_finish(struct operation *op, struct bytes in, struct outbuf *out)
{
	return op->soft ? soft_op_finish(op->soft, in, out) : op->ops->op_finish(op->token, in, out);
}

static bool is_cipher(const struct operation *op)
{
	return op->which == SESSION_ENCRYPT || op->which == SESSION_DECRYPT;
}

/* What the engine gets in the last call. */
static size_t last_len(const struct operation *op, enum op_step step, size_t in_len)
{
	return op->mech->input == INPUT_WHOLE && step == STEP_FINAL ? op->collected.len : in_len;
}

size_t op_bound(const struct operation *op, enum op_step step, size_t in_len)
{
	bool whole = op->mech->input == INPUT_WHOLE;

	if (op->held.ptr)
		return op->held.len;
	if (op->which == SESSION_DIGEST)
		return op->mech->hash->size;
	if (step == STEP_UPDATE && (whole || !is_cipher(op)))
		return 0;
	/* One block of a key pair's mechanism has the key's size. */
	if (!is_cipher(op) || (whole && op->mech->class == CKO_PRIVATE_KEY))
		return op->max;
	return engine_size(op, last_len(op, step, in_len), step != STEP_UPDATE);
}

bool op_may_shrink(const struct operation *op, enum op_step step)
{
	return op->which == SESSION_DECRYPT && step != STEP_UPDATE;
}

static CK_RV length_error(const struct operation *op)
{
	return op->which == SESSION_DECRYPT ? CKR_ENCRYPTED_DATA_LEN_RANGE : CKR_DATA_LEN_RANGE;
}

bool op_length_fits(const struct operation *op, size_t len)
{
	const struct mech_lengths *l = &op->lengths;

	return len >= l->min && len <= l->max && len % l->unit == 0;
}

CK_RV op_check_length(const struct operation *op, enum op_step step, size_t in_len)
{
	if (op->mech->input != INPUT_WHOLE || op->which == SESSION_VERIFY || step == STEP_UPDATE)
		return CKR_OK;
	return op_length_fits(op, last_len(op, step, in_len)) ? CKR_OK : length_error(op);
}

/* ---- hashing ---- */

static CK_RV hash_begin(struct operation *op)
{
	const EVP_MD *md = hash_md(op->mech->hash);

	op->md = EVP_MD_CTX_new();
	if (op->md && md && EVP_DigestInit_ex2(op->md, md, NULL) == 1)
		return CKR_OK;
	/* Nothing but memory is asked for. */
	return crypto_failed("beginning a digest", CKR_HOST_MEMORY);
}

CK_RV op_hash_update(struct operation *op, struct bytes in)
{
	if (!op->md)
		TRY(hash_begin(op));
	if (EVP_DigestUpdate(op->md, in.ptr, in.len) != 1)
		return crypto_failed("digesting", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

static CK_RV hash_finish(struct operation *op, uint8_t digest[DIGEST_MAX])
{
	if (!op->md)
		return hash_once(op->mech->hash, NO_BYTES, digest);
	if (EVP_DigestFinal_ex(op->md, digest, NULL) != 1)
		return crypto_failed("finishing a digest", CKR_FUNCTION_FAILED);
	return CKR_OK;
}

/* ---- collecting ---- */

static CK_RV collect(struct operation *op, struct bytes in)
{
	if (in.len > op->lengths.max - op->collected.len)
		return length_error(op);
	if (op->collected.ceiling == 0)
		buffer_init(&op->collected, op->lengths.max);
	buffer_put(&op->collected, in);
	return buffer_status(&op->collected);
}

/* ---- steps ---- */

/* What the last call hands to the engine: its own data, their digest, or what the updates left. */
static CK_RV last_input(struct operation *op, enum op_step step, struct bytes in, uint8_t digest[DIGEST_MAX],
			struct bytes *ret)
{
	if (op->mech->input == INPUT_HASHED) {
		TRY(step == STEP_ONESHOT ? hash_once(op->mech->hash, in, digest) : hash_finish(op, digest));
		*ret = BYTES(digest, op->mech->hash->size);
	} else if (step == STEP_ONESHOT) {
		*ret = in;
	} else {
		*ret = op->mech->input == INPUT_WHOLE ? buffer_bytes(&op->collected) : NO_BYTES;
	}
	return CKR_OK;
}

static CK_RV run_update(struct operation *op, struct bytes in, struct outbuf *out)
{
	if (op->mech->input == INPUT_HASHED)
		return op_hash_update(op, in);
	if (op->mech->input == INPUT_WHOLE)
		return collect(op, in);
	return engine_update(op, in, out);
}

CK_RV op_give_held(const struct operation *op, struct outbuf *out)
{
	if (out->cap < op->held.len) {
		out->len = op->held.len;
		return CKR_BUFFER_TOO_SMALL;
	}
	if (op->held.len > 0)
		memcpy(out->ptr, op->held.ptr, op->held.len);
	out->len = op->held.len;
	return CKR_OK;
}

/* Locked memory while it is small enough for that; op_destroy() wipes either kind. */
static uint8_t *held_alloc(size_t cap)
{
	return cap <= SECRET_MAX ? secret_alloc(cap) : malloc(cap);
}

/* Does the work with room of our own, since the caller's may not do, and keeps the result. */
static CK_RV finish_held(struct operation *op, struct bytes in, size_t bound, struct outbuf *out)
{
	struct outbuf room = {.cap = MAX(bound, 1)};

	room.ptr = held_alloc(room.cap);
	if (!room.ptr)
		return CKR_HOST_MEMORY;
	op->held = (struct held){.ptr = room.ptr, .cap = room.cap};
	TRY(engine_finish(op, in, &room));
	op->held.len = room.len;
	return op_give_held(op, out);
}

static CK_RV run_last(struct operation *op, enum op_step step, struct bytes in, struct outbuf *out)
{
	uint8_t digest[DIGEST_MAX];
	struct bytes last;
	size_t bound;

	TRY(last_input(op, step, in, digest, &last));
	if (op->which == SESSION_DIGEST)
		return outbuf_put(out, last);
	if (!op_may_shrink(op, step))
		return engine_finish(op, last, out);
	bound = op_bound(op, step, in.len);
	return out->cap < bound ? finish_held(op, last, bound, out) : engine_finish(op, last, out);
}

/* In-place work is the caller's right (T125), but with a block carried over from the last update the output runs
 * ahead of the input; and no engine takes buffers that overlap askew. */
static bool needs_copy(const struct operation *op, enum op_step step, struct bytes in, const struct outbuf *out)
{
	const uintptr_t i = (uintptr_t)in.ptr, o = (uintptr_t)out->ptr;
	/* By differences: a capacity may be "any", and then a sum would wrap. */
	const bool apart = i < o ? o - i >= in.len : i - o >= out->cap;

	if (!is_cipher(op) || in.len == 0 || !out->ptr || apart)
		return false;
	return step == STEP_UPDATE ? op->mech->input == INPUT_STREAM : i != o;
}

CK_RV op_run(struct operation *op, enum op_step step, struct bytes in, struct outbuf *out)
{
	struct buffer copy CLEANUP(buffer_done) = {0};

	if (needs_copy(op, step, in, out)) {
		buffer_init(&copy, in.len);
		buffer_put(&copy, in);
		TRY(buffer_status(&copy));
		in = buffer_bytes(&copy);
	}
	return step == STEP_UPDATE ? run_update(op, in, out) : run_last(op, step, in, out);
}

size_t operation_once_size(const struct operation *op, size_t in_len)
{
	return engine_size(op, in_len, true);
}

CK_RV operation_once_run(struct operation *op, struct bytes in, struct outbuf *out)
{
	return engine_finish(op, in, out);
}

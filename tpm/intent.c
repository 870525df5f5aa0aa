/* The file of intents, in the envelope of frame.c:
 *
 *   count      1
 *   each       4   NV index
 *             32   its authPolicy
 *   replaced   1   0 or 1: whether a token id follows
 *             16   token id whose records are garbage once another one is committed */
#include "intent.h"

#include "frame.h"
#include "log.h"

static const struct frame intent_frame = {.magic = "SIGNETIN", .version = 1};

static CK_RV parse(struct bytes in, struct intents *ret)
{
	struct intents t = {0};
	struct bytes id;
	struct reader r;
	uint8_t replaces;

	TRY(frame_open(&intent_frame, in, &r));
	t.n = read_u8(&r);
	if (t.n > INTENT_MAX)
		return CKR_DEVICE_ERROR;
	for (size_t i = 0; i < t.n; i++) {
		struct bytes policy;

		t.index[i].handle = read_be32(&r);
		policy = read_bytes(&r, sizeof t.index[i].policy);
		if (r.ok)
			memcpy(t.index[i].policy, policy.ptr, policy.len);
	}
	replaces = read_u8(&r);
	t.replaces = replaces == 1;
	id = t.replaces ? read_bytes(&r, sizeof t.replaced) : NO_BYTES;
	if (!reader_done(&r) || replaces > 1)
		return CKR_DEVICE_ERROR;
	if (t.replaces)
		memcpy(t.replaced, id.ptr, id.len);
	*ret = t;
	return CKR_OK;
}

CK_RV intents_read(struct store *s, struct intents *ret)
{
	struct buffer b CLEANUP(buffer_done);
	CK_RV rv;

	buffer_init(&b, FRAME_MAX);
	rv = store_read_intents(s, &b);
	if (rv == CKR_OBJECT_HANDLE_INVALID) {
		*ret = (struct intents){0};
		return CKR_OK;
	}
	TRY(rv);
	rv = parse(buffer_bytes(&b), ret);
	if (rv == CKR_DEVICE_ERROR)
		log_error("store %s: the file of intents is damaged; left alone", store_path(s));
	return rv;
}

CK_RV intents_write(struct store *s, const struct intents *in)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, FRAME_MAX);
	frame_begin(&intent_frame, &b);
	buffer_put_u8(&b, (uint8_t)in->n);
	for (size_t i = 0; i < in->n; i++) {
		buffer_put_be32(&b, in->index[i].handle);
		buffer_put(&b, BYTES_OF(in->index[i].policy));
	}
	buffer_put_u8(&b, in->replaces);
	if (in->replaces)
		buffer_put(&b, BYTES_OF(in->replaced));
	TRY(frame_end(&b));
	return store_write_intents(s, buffer_bytes(&b));
}

CK_RV intents_add(struct intents *in, TPM2_HANDLE handle, const uint8_t policy[32])
{
	if (!handle)
		return CKR_OK;
	if (in->n == INTENT_MAX)
		return CKR_DEVICE_MEMORY;
	in->index[in->n].handle = handle;
	memcpy(in->index[in->n++].policy, policy, 32);
	return CKR_OK;
}

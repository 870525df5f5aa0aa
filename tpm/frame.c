/* The envelope, numbers big-endian:
 *
 *   magic     8
 *   version   2   another one is refused
 *   length    4   of the whole file
 *   body
 *   checksum 32   SHA-256 of everything before */
#include "frame.h"

#include "crypto.h"

#define HEAD (8 + 2 + 4)
#define CHECKSUM 32

void frame_begin(const struct frame *f, struct buffer *out)
{
	buffer_put(out, BYTES(f->magic, 8));
	buffer_put_be16(out, f->version);
	buffer_put_be32(out, 0);
}

CK_RV frame_end(struct buffer *out)
{
	uint8_t digest[CHECKSUM];
	size_t total;

	TRY(buffer_status(out));
	total = out->len + CHECKSUM;
	for (size_t i = 0; i < 4; i++)
		out->ptr[10 + i] = (uint8_t)(total >> (24 - 8 * i));
	TRY(hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(out), digest));
	buffer_put(out, BYTES_OF(digest));
	return buffer_status(out);
}

CK_RV frame_open(const struct frame *f, struct bytes in, struct reader *body)
{
	struct reader r = reader_of(in);
	uint8_t digest[CHECKSUM];

	if (in.len < HEAD + CHECKSUM || in.len > FRAME_MAX)
		return CKR_DEVICE_ERROR;
	if (!bytes_equal(read_bytes(&r, 8), BYTES(f->magic, 8)) || read_be16(&r) != f->version ||
	    read_be32(&r) != in.len)
		return CKR_DEVICE_ERROR;
	TRY(hash_once(&crypto_hashes[HASH_SHA256], BYTES(in.ptr, in.len - CHECKSUM), digest));
	if (!bytes_equal(BYTES_OF(digest), BYTES(in.ptr + in.len - CHECKSUM, CHECKSUM)))
		return CKR_DEVICE_ERROR;
	*body = reader_of(BYTES(in.ptr + HEAD, in.len - HEAD - CHECKSUM));
	return CKR_OK;
}

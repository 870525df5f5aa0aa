/* Slices of memory, a growable buffer that wipes itself, and bounded readers and writers for stored formats. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base.h"

/* Borrowed, read-only.  ptr may be NULL when len is 0. */
struct bytes {
	const uint8_t *ptr;
	size_t len;
};

/* A caller's buffer: the callee writes at most cap bytes and sets len <= cap. */
struct outbuf {
	uint8_t *ptr;
	size_t cap;
	size_t len;
};

#define BYTES(p, n) ((struct bytes){.ptr = (const uint8_t *)(p), .len = (n)})
#define BYTES_OF(array) BYTES(array, sizeof(array))
#define NO_BYTES ((struct bytes){.ptr = NULL, .len = 0})

/* Same length and content; not constant-time (secret_equal() is). */
bool bytes_equal(struct bytes a, struct bytes b);

/* Appends `in` to *out; CKR_BUFFER_TOO_SMALL and *out unchanged if it doesn't fit. */
CK_RV outbuf_put(struct outbuf *out, struct bytes in) MUST_CHECK;

/* A growable buffer with a ceiling given at birth; every byte it gives up is wiped.  Errors stick: after a
 * failed put, later puts do nothing and buffer_status() says why, so that a record can be written straight down. */
struct buffer {
	uint8_t *ptr;
	size_t len, cap, ceiling;
	CK_RV rv;
};

void buffer_init(struct buffer *b, size_t ceiling);
void buffer_done(struct buffer *b); /* wipes and frees; the buffer is then as after buffer_init() with ceiling 0 */
void buffer_put(struct buffer *b, struct bytes in);
void buffer_put_u8(struct buffer *b, uint8_t v);
void buffer_put_be16(struct buffer *b, uint16_t v);
void buffer_put_be32(struct buffer *b, uint32_t v);
void buffer_put_be64(struct buffer *b, uint64_t v);
void buffer_put_varint(struct buffer *b, uint64_t v);    /* LEB128, shortest form */
void buffer_put_sized(struct buffer *b, struct bytes in); /* varint length, then the bytes */
/* CKR_OK, CKR_HOST_MEMORY, or CKR_DEVICE_MEMORY when the ceiling was passed. */
CK_RV buffer_status(const struct buffer *b) MUST_CHECK;
struct bytes buffer_bytes(const struct buffer *b);

/* A bounded reader.  Errors stick: after a short read everything reads as 0 or empty and ok stays false. */
struct reader {
	const uint8_t *ptr;
	size_t left;
	bool ok;
};

struct reader reader_of(struct bytes in);
uint8_t read_u8(struct reader *r);
uint16_t read_be16(struct reader *r);
uint32_t read_be32(struct reader *r);
uint64_t read_be64(struct reader *r);
uint64_t read_varint(struct reader *r);          /* refuses forms longer than needed or over 64 bits */
struct bytes read_bytes(struct reader *r, size_t n); /* borrowed from the input */
struct bytes read_sized(struct reader *r);
bool reader_done(const struct reader *r); /* ok and nothing left */

/* Lower-case hex, NUL-terminated; out has room for 2 * in.len + 1. */
void hex_encode(struct bytes in, char *out);
/* Exactly 2 * n hex digits into n bytes; false for anything else. */
bool hex_decode(const char *hex, uint8_t *out, size_t n);

#endif

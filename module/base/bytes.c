/* Slices, the self-wiping growable buffer, bounded readers and writers. */
#include "bytes.h"
#include "secret.h"

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

CK_RV outbuf_put(struct outbuf *out, struct bytes in)
{
	if (in.len > out->cap - out->len)
		return CKR_BUFFER_TOO_SMALL;
	if (in.len > 0)
		memmove(out->ptr + out->len, in.ptr, in.len);
	out->len += in.len;
	return CKR_OK;
}

void buffer_init(struct buffer *b, size_t ceiling)
{
	*b = (struct buffer){.ceiling = ceiling, .rv = CKR_OK};
}

void buffer_done(struct buffer *b)
{
	if (b->ptr)
		wipe(b->ptr, b->cap);
	free(b->ptr);
	buffer_init(b, 0);
}

/* realloc() would leave the old bytes behind unwiped, so the move is made here. */
static bool buffer_grow(struct buffer *b, size_t need)
{
	size_t cap = MAX(b->cap * 2, (size_t)64);
	uint8_t *bigger;

	cap = MIN(MAX(cap, need), b->ceiling);
	bigger = malloc(cap);
	if (!bigger) {
		b->rv = CKR_HOST_MEMORY;
		return false;
	}
	if (b->ptr) {
		memcpy(bigger, b->ptr, b->len);
		wipe(b->ptr, b->cap);
		free(b->ptr);
	}
	b->ptr = bigger;
	b->cap = cap;
	return true;
}

void buffer_put(struct buffer *b, struct bytes in)
{
	if (b->rv != CKR_OK || in.len == 0)
		return;
	if (in.len > b->ceiling - b->len) {
		b->rv = CKR_DEVICE_MEMORY;
		return;
	}
	if (b->len + in.len > b->cap && !buffer_grow(b, b->len + in.len))
		return;
	memcpy(b->ptr + b->len, in.ptr, in.len);
	b->len += in.len;
}

static void buffer_put_be(struct buffer *b, uint64_t v, size_t n)
{
	uint8_t out[8];

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	buffer_put(b, BYTES(out, n));
}

void buffer_put_u8(struct buffer *b, uint8_t v)
{
	buffer_put_be(b, v, 1);
}

void buffer_put_be16(struct buffer *b, uint16_t v)
{
	buffer_put_be(b, v, 2);
}

void buffer_put_be32(struct buffer *b, uint32_t v)
{
	buffer_put_be(b, v, 4);
}

void buffer_put_be64(struct buffer *b, uint64_t v)
{
	buffer_put_be(b, v, 8);
}

void buffer_put_varint(struct buffer *b, uint64_t v)
{
	while (v > 0x7f) {
		buffer_put_u8(b, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	buffer_put_u8(b, (uint8_t)v);
}

void buffer_put_sized(struct buffer *b, struct bytes in)
{
	buffer_put_varint(b, in.len);
	buffer_put(b, in);
}

CK_RV buffer_status(const struct buffer *b)
{
	return b->rv;
}

struct bytes buffer_bytes(const struct buffer *b)
{
	return BYTES(b->ptr, b->len);
}

struct reader reader_of(struct bytes in)
{
	return (struct reader){.ptr = in.ptr, .left = in.len, .ok = true};
}

struct bytes read_bytes(struct reader *r, size_t n)
{
	struct bytes out = {.ptr = r->ptr, .len = n};

	if (!r->ok || n > r->left) {
		r->ok = false;
		return NO_BYTES;
	}
	if (n > 0)
		r->ptr += n;
	r->left -= n;
	return out;
}

static uint64_t read_be(struct reader *r, size_t n)
{
	struct bytes in = read_bytes(r, n);
	uint64_t v = 0;

	for (size_t i = 0; i < in.len; i++)
		v = v << 8 | in.ptr[i];
	return v;
}

uint8_t read_u8(struct reader *r)
{
	return (uint8_t)read_be(r, 1);
}

uint16_t read_be16(struct reader *r)
{
	return (uint16_t)read_be(r, 2);
}

uint32_t read_be32(struct reader *r)
{
	return (uint32_t)read_be(r, 4);
}

uint64_t read_be64(struct reader *r)
{
	return read_be(r, 8);
}

uint64_t read_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = read_u8(r);

		if (!r->ok || (shift == 63 && b > 1) || (shift > 0 && b == 0))
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->ok = false;
	return 0;
}

struct bytes read_sized(struct reader *r)
{
	uint64_t n = read_varint(r);

	if (n > r->left) {
		r->ok = false;
		return NO_BYTES;
	}
	return read_bytes(r, (size_t)n);
}

bool reader_done(const struct reader *r)
{
	return r->ok && r->left == 0;
}

void hex_encode(struct bytes in, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < in.len; i++) {
		*out++ = digits[in.ptr[i] >> 4];
		*out++ = digits[in.ptr[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_decode(const char *hex, uint8_t *out, size_t n)
{
	if (strlen(hex) != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

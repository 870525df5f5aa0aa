/* Elements, curves, points and ECDSA signatures in DER. */
#include "der.h"

#define DER(...) {.ptr = (const uint8_t[]){__VA_ARGS__}, .len = sizeof((const uint8_t[]){__VA_ARGS__})}

const struct curve der_curves[CURVE_COUNT] = {
	[CURVE_P256] = {CURVE_P256, "P-256", 0x0003, 256, 32, 32, false,
			DER(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07), "secp256r1"},
	[CURVE_P384] = {CURVE_P384, "P-384", 0x0004, 384, 48, 48, false, DER(0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22),
			"secp384r1"},
	[CURVE_P521] = {CURVE_P521, "P-521", 0x0005, 521, 66, 66, false, DER(0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23),
			"secp521r1"},
	[CURVE_ED25519] = {CURVE_ED25519, "ED25519", 0, 256, 32, 32, true, DER(0x06, 0x03, 0x2b, 0x65, 0x70),
			   "edwards25519"},
};

struct bytes der_read(struct reader *r, uint8_t tag)
{
	size_t n;

	if (read_u8(r) != tag)
		r->ok = false;
	n = read_u8(r);
	if (n == 0x81) {
		n = read_u8(r);
		r->ok = r->ok && n >= 0x80;
	} else if (n == 0x82) {
		n = read_be16(r);
		r->ok = r->ok && n >= 0x100;
	} else if (n >= 0x80) {
		r->ok = false;
	}
	return read_bytes(r, n);
}

bool der_next_is(const struct reader *r, uint8_t tag)
{
	return r->ok && r->left > 0 && *r->ptr == tag;
}

static struct bytes strip(struct bytes v)
{
	while (v.len > 0 && v.ptr[0] == 0) {
		v.ptr++;
		v.len--;
	}
	return v;
}

struct bytes der_read_number(struct reader *r)
{
	struct bytes v = der_read(r, DER_INTEGER);
	bool longer = v.len > 1 && v.ptr[0] == 0 && !(v.ptr[1] & 0x80);

	if (v.len == 0 || v.ptr[0] & 0x80 || longer) {
		r->ok = false;
		return NO_BYTES;
	}
	return strip(v);
}

struct bytes der_read_bits(struct reader *r, uint8_t tag)
{
	struct bytes v = der_read(r, tag);

	if (v.len == 0 || v.ptr[0] != 0) {
		r->ok = false;
		return NO_BYTES;
	}
	return BYTES(v.ptr + 1, v.len - 1);
}

static void put_head(struct buffer *out, uint8_t tag, size_t len)
{
	if (len > 0xffff) {
		out->rv = out->rv == CKR_OK ? CKR_DATA_LEN_RANGE : out->rv;
		return;
	}
	buffer_put_u8(out, tag);
	if (len >= 0x100) {
		buffer_put_u8(out, 0x82);
		buffer_put_be16(out, (uint16_t)len);
		return;
	}
	if (len >= 0x80)
		buffer_put_u8(out, 0x81);
	buffer_put_u8(out, (uint8_t)len);
}

void der_put(struct buffer *out, uint8_t tag, struct bytes content)
{
	put_head(out, tag, content.len);
	buffer_put(out, content);
}

void der_put_buffer(struct buffer *out, uint8_t tag, const struct buffer *content)
{
	if (content->rv != CKR_OK && out->rv == CKR_OK)
		out->rv = content->rv;
	der_put(out, tag, buffer_bytes(content));
}

void der_put_number(struct buffer *out, struct bytes magnitude)
{
	struct bytes v = strip(magnitude);
	bool zero_first = v.len == 0 || v.ptr[0] & 0x80;

	put_head(out, DER_INTEGER, v.len + zero_first);
	if (zero_first)
		buffer_put_u8(out, 0);
	buffer_put(out, v);
}

void der_put_bits(struct buffer *out, struct bytes content)
{
	put_head(out, DER_BITS, content.len + 1);
	buffer_put_u8(out, 0); /* unused bits */
	buffer_put(out, content);
}

static bool names_curve(const struct curve *c, struct bytes params, struct bytes printable)
{
	if (bytes_equal(params, c->oid))
		return true;
	return printable.len > 0 && bytes_equal(printable, BYTES(c->printable, strlen(c->printable)));
}

const struct curve *curve_by_params(struct bytes params, bool *malformed)
{
	struct reader as_name = reader_of(params), as_oid = as_name, as_explicit = as_name;
	struct bytes printable = der_read(&as_name, DER_PRINTABLE);

	(void)der_read(&as_oid, DER_OID);
	(void)der_read(&as_explicit, DER_SEQUENCE);
	*malformed = !reader_done(&as_name) && !reader_done(&as_oid) && !reader_done(&as_explicit);
	if (!reader_done(&as_name))
		printable = NO_BYTES;
	for (size_t i = 0; i < CURVE_COUNT; i++)
		if (names_curve(&der_curves[i], params, printable))
			return &der_curves[i];
	return NULL;
}

/* Uncompressed, or for Edwards curves the 32 bytes. */
static bool is_point(struct bytes p, const struct curve *c)
{
	if (c->edwards)
		return p.len == c->field;
	return p.len == 1 + 2 * c->field && p.ptr[0] == 0x04;
}

bool ec_point_unwrap(struct bytes attribute, const struct curve *c, struct bytes *point)
{
	struct reader r = reader_of(attribute);
	struct bytes inner = der_read(&r, DER_OCTETS);

	if (reader_done(&r) && is_point(inner, c)) {
		*point = inner;
		return true;
	}
	if (!is_point(attribute, c))
		return false;
	*point = attribute;
	return true;
}

void ec_point_wrap(struct bytes point, const struct curve *c, struct buffer *out)
{
	if (c->edwards)
		buffer_put(out, point);
	else
		der_put(out, DER_OCTETS, point);
}

/* A positive INTEGER into exactly n bytes. */
static bool read_integer(struct reader *r, size_t n, uint8_t *out)
{
	struct bytes v = der_read(r, DER_INTEGER);

	if (!r->ok || v.len == 0 || v.ptr[0] & 0x80)
		return false;
	v = strip(v);
	if (v.len > n)
		return false;
	memset(out, 0, n - v.len);
	if (v.len > 0)
		memcpy(out + n - v.len, v.ptr, v.len);
	return true;
}

bool ecdsa_der_to_raw(struct bytes der, size_t order, uint8_t *rs)
{
	struct reader outer = reader_of(der), r = reader_of(der_read(&outer, DER_SEQUENCE));

	return reader_done(&outer) && read_integer(&r, order, rs) && read_integer(&r, order, rs + order) &&
	       reader_done(&r);
}

bool ecdsa_raw_to_der(struct bytes rs, struct buffer *out)
{
	struct buffer inner CLEANUP(buffer_done);
	size_t half = rs.len / 2;

	buffer_init(&inner, 512);
	if (rs.len == 0 || rs.len % 2 || half > 128)
		return false;
	der_put_number(&inner, BYTES(rs.ptr, half));
	der_put_number(&inner, BYTES(rs.ptr + half, half));
	der_put_buffer(out, DER_SEQUENCE, &inner);
	return out->rv == CKR_OK;
}

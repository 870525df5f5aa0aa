/* module/base/der.c */
#include <criterion/criterion.h>

#include "der.h"

Test(der, curves_are_found_by_oid_and_by_name)
{
	static const uint8_t named[] = {0x13, 9, 's', 'e', 'c', 'p', '2', '5', '6', 'r', '1'};
	static const uint8_t other[] = {0x06, 5, 0x2b, 0x81, 0x04, 0x00, 0x0a};
	bool malformed;

	for (size_t i = 0; i < CURVE_COUNT; i++)
		cr_assert_eq(curve_by_params(der_curves[i].oid, &malformed), &der_curves[i]);
	cr_assert_eq(curve_by_params(BYTES_OF(named), &malformed), &der_curves[CURVE_P256]);
	cr_assert_null(curve_by_params(BYTES_OF(other), &malformed));
	cr_assert_not(malformed);
	cr_assert_null(curve_by_params(BYTES("nonsense", 8), &malformed));
	cr_assert(malformed);
	cr_assert_null(curve_by_params(NO_BYTES, &malformed));
	cr_assert(malformed);
}

Test(der, points_are_wrapped_with_lengths_that_der_wants)
{
	for (size_t i = 0; i < CURVE_COUNT; i++) {
		const struct curve *c = &der_curves[i];
		struct buffer b CLEANUP(buffer_done);
		uint8_t point[133] = {4};
		size_t n = c->edwards ? 32 : 1 + 2 * c->field;
		struct bytes back;

		buffer_init(&b, 200);
		ec_point_wrap(BYTES(point, n), c, &b);
		cr_assert(ec_point_unwrap(buffer_bytes(&b), c, &back));
		cr_assert(bytes_equal(back, BYTES(point, n)));
		cr_assert(ec_point_unwrap(BYTES(point, n), c, &back), "the bare point, too");
		cr_assert_not(ec_point_unwrap(BYTES(b.ptr, b.len - 1), c, &back));
	}
}

Test(der, signatures_are_padded_and_back)
{
	uint8_t rs[64] = {0}, back[64];
	struct buffer b CLEANUP(buffer_done);

	rs[31] = 0x01;
	rs[32] = 0x80;
	buffer_init(&b, 100);
	cr_assert(ecdsa_raw_to_der(BYTES_OF(rs), &b));
	cr_assert_eq(b.len, 2u + 3 + 2 + 33);
	cr_assert(ecdsa_der_to_raw(buffer_bytes(&b), 32, back));
	cr_assert_arr_eq(rs, back, 64);
	cr_assert_not(ecdsa_der_to_raw(buffer_bytes(&b), 31, back), "s doesn't fit the order");
	cr_assert_not(ecdsa_raw_to_der(BYTES(rs, 63), &b));
}

static bool number_is(const uint8_t *der, size_t len, const uint8_t *want, size_t want_len)
{
	struct reader r = reader_of(BYTES(der, len));
	struct bytes v = der_read_number(&r);

	return reader_done(&r) && bytes_equal(v, BYTES(want, want_len));
}
#define NUMBER(der, want) number_is((const uint8_t *)(der), sizeof(der) - 1, (const uint8_t *)(want), sizeof(want) - 1)

Test(der, numbers_in_their_shortest_form)
{
	cr_assert(NUMBER("\x02\x01\x00", ""));
	cr_assert(NUMBER("\x02\x01\x7f", "\x7f"));
	cr_assert(NUMBER("\x02\x02\x00\x80", "\x80"));
	cr_assert_not(NUMBER("\x02\x01\x80", "\x80"), "negative");
	cr_assert_not(NUMBER("\x02\x02\x00\x7f", "\x7f"), "longer than needed");
	cr_assert_not(NUMBER("\x02\x02\x00\x00", ""), "longer than needed");
	cr_assert_not(NUMBER("\x02\x00", ""), "no byte at all");
	cr_assert_not(NUMBER("\x02\x02\x01", "\x01"), "cut off");
	cr_assert_not(NUMBER("\x02\x81\x01\x05", "\x05"), "a longer length than needed");
	cr_assert_not(NUMBER("\x04\x01\x05", "\x05"), "another tag");
}

/* Every length around those where the form changes, there and back. */
Test(der, elements_are_read_as_they_were_put)
{
	static const size_t lengths[] = {0, 1, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x101, 0xffff};
	static uint8_t content[0x10000];

	memset(content, 0xa5, sizeof content);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buffer b CLEANUP(buffer_done);
		struct reader r;

		buffer_init(&b, 4 * sizeof content);
		der_put(&b, DER_OCTETS, BYTES(content, lengths[i]));
		if (lengths[i] < 0xffff) { /* both have a byte in front */
			der_put_number(&b, BYTES(content, lengths[i]));
			der_put_bits(&b, BYTES(content, lengths[i]));
		}
		cr_assert_eq(buffer_status(&b), CKR_OK);
		r = reader_of(buffer_bytes(&b));
		cr_assert(der_next_is(&r, DER_OCTETS));
		cr_assert_not(der_next_is(&r, DER_BITS));
		cr_assert(bytes_equal(der_read(&r, DER_OCTETS), BYTES(content, lengths[i])));
		if (lengths[i] < 0xffff) {
			cr_assert(bytes_equal(der_read_number(&r), BYTES(content, lengths[i])));
			cr_assert(bytes_equal(der_read_bits(&r, DER_BITS), BYTES(content, lengths[i])));
		}
		cr_assert(reader_done(&r));
		cr_assert_not(der_next_is(&r, DER_OCTETS));
	}
}

Test(der, nothing_longer_is_put)
{
	static uint8_t content[0x10000];
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, 4 * sizeof content);
	der_put(&b, DER_OCTETS, BYTES_OF(content));
	cr_assert_eq(buffer_status(&b), CKR_DATA_LEN_RANGE);
	cr_assert_eq(b.len, 0);
}

/* An element of which a part couldn't be written isn't written without it. */
Test(der, content_that_failed)
{
	struct buffer inner CLEANUP(buffer_done), b CLEANUP(buffer_done);

	buffer_init(&inner, 3);
	buffer_init(&b, 64);
	der_put(&inner, DER_OCTETS, BYTES("abcd", 4));
	der_put_buffer(&b, DER_SEQUENCE, &inner);
	cr_assert_eq(buffer_status(&b), CKR_DEVICE_MEMORY);
	cr_assert_eq(b.len, 0);
}

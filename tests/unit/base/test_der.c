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

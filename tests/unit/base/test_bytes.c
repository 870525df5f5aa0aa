/* module/base/bytes.c */
#include <criterion/criterion.h>

#include "bytes.h"

Test(bytes, buffer_refuses_more_than_its_ceiling_and_stays_refused)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, 4);
	buffer_put_be32(&b, 1);
	cr_assert_eq(buffer_status(&b), CKR_OK);
	buffer_put_u8(&b, 1);
	cr_assert_eq(buffer_status(&b), CKR_DEVICE_MEMORY);
	cr_assert_eq(b.len, 4u);
	buffer_put(&b, NO_BYTES);
	cr_assert_eq(buffer_status(&b), CKR_DEVICE_MEMORY);
}

Test(bytes, varints_come_back_and_only_in_their_shortest_form)
{
	static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
	static const uint8_t padded[] = {0x80, 0x00};
	static const uint8_t too_long[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	struct reader r;

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct buffer b CLEANUP(buffer_done);

		buffer_init(&b, 64);
		buffer_put_varint(&b, values[i]);
		r = reader_of(buffer_bytes(&b));
		cr_assert_eq(read_varint(&r), values[i]);
		cr_assert(reader_done(&r));
	}
	r = reader_of(BYTES_OF(padded));
	(void)read_varint(&r);
	cr_assert_not(r.ok);
	r = reader_of(BYTES_OF(too_long));
	(void)read_varint(&r);
	cr_assert_not(r.ok);
}

Test(bytes, a_short_read_gives_nothing_and_sticks)
{
	static const uint8_t in[] = {1, 2, 3};
	struct reader r = reader_of(BYTES_OF(in));

	cr_assert_eq(read_be32(&r), 0u);
	cr_assert_not(r.ok);
	cr_assert_eq(read_u8(&r), 0);
	cr_assert_not(reader_done(&r));
}

Test(bytes, sized_reads_stay_inside)
{
	static const uint8_t in[] = {5, 'a', 'b'};
	struct reader r = reader_of(BYTES_OF(in));

	cr_assert_eq(read_sized(&r).len, 0u);
	cr_assert_not(r.ok);
}

Test(bytes, outbuf_is_unchanged_when_it_is_too_small)
{
	uint8_t room[3] = {9, 9, 9};
	struct outbuf out = {.ptr = room, .cap = 3};

	cr_assert_eq(outbuf_put(&out, BYTES("abcd", 4)), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(out.len, 0u);
	cr_assert_eq(room[0], 9);
	cr_assert_eq(outbuf_put(&out, BYTES("abc", 3)), CKR_OK);
	cr_assert_eq(out.len, 3u);
}

Test(bytes, hex_is_exact)
{
	uint8_t b[2];
	char text[5];

	hex_encode(BYTES("\x0f\xa0", 2), text);
	cr_assert_str_eq(text, "0fa0");
	cr_assert(hex_decode("0FA0", b, 2));
	cr_assert(b[0] == 0x0f && b[1] == 0xa0);
	cr_assert_not(hex_decode("0fa", b, 2));
	cr_assert_not(hex_decode("0fag", b, 2));
	cr_assert_not(hex_decode("0fa000", b, 2));
}

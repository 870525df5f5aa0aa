/* module/base/record.c */
#include <criterion/criterion.h>

#include "record.h"

static const uint8_t token_id[16] = "the token's id..";
static struct key256 private_key = {.b = {1}}, public_key = {.b = {2}};
static const struct record_keys both = {&private_key, &public_key}, none;

/* A pair: a public key in clear, a private key all sealed. */
static void make_pair(struct record *r)
{
	*r = (struct record){.n = 2, .version = 7};
	memcpy(r->token_id, token_id, 16);
	memset(r->id, 0x42, 16);
	for (uint8_t i = 0; i < 2; i++) {
		struct record_object *o = &r->object[i];

		o->index = i;
		o->private = i == 1;
		o->attrs = attrs_new();
		buffer_init(&o->blob, 100);
		buffer_init(&o->sealed_part, 100);
		cr_assert_eq(attrs_set_ulong(o->attrs, CKA_CLASS, i ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY), CKR_OK);
		cr_assert_eq(attrs_set_ulong(o->attrs, CKA_KEY_GEN_MECHANISM, CK_UNAVAILABLE_INFORMATION), CKR_OK);
		cr_assert_eq(attrs_set(o->attrs, CKA_LABEL, BYTES("pair", 4)), CKR_OK);
	}
	buffer_put(&r->object[1].blob, BYTES("wrapped by the TPM", 18));
}

static void emit_pair(struct buffer *out)
{
	struct record r CLEANUP(record_done);

	make_pair(&r);
	buffer_init(out, RECORD_MAX_SIZE);
	cr_assert_eq(record_emit(&r, &both, out), CKR_OK);
}

Test(record, a_pair_comes_back)
{
	struct buffer b CLEANUP(buffer_done);
	struct record r CLEANUP(record_done);
	uint8_t id[16];

	emit_pair(&b);
	cr_assert_eq(record_parse(buffer_bytes(&b), token_id, &both, &r), CKR_OK);
	cr_assert_eq(r.n, 2u);
	cr_assert_eq(r.version, 7u);
	cr_assert_eq(attrs_get_ulong(r.object[1].attrs, CKA_CLASS, 0), CKO_PRIVATE_KEY);
	cr_assert_eq(attrs_get_ulong(r.object[1].attrs, CKA_KEY_GEN_MECHANISM, 0), CK_UNAVAILABLE_INFORMATION);
	cr_assert(bytes_equal(buffer_bytes(&r.object[1].blob), BYTES("wrapped by the TPM", 18)));
	record_object_id(&r, &r.object[1], id);
	cr_assert_eq(id[15], 0x43);
}

Test(record, without_its_key_a_private_half_stays_sealed_and_survives_a_rewrite)
{
	struct buffer b CLEANUP(buffer_done), again CLEANUP(buffer_done);
	struct record r CLEANUP(record_done), s CLEANUP(record_done);

	emit_pair(&b);
	cr_assert_eq(record_parse(buffer_bytes(&b), token_id, &none, &r), CKR_OK);
	cr_assert(r.object[1].sealed && r.object[1].private);
	cr_assert_eq(attrs_count(r.object[1].attrs), 0u);
	cr_assert_eq(attrs_set(r.object[0].attrs, CKA_LABEL, BYTES("renamed", 7)), CKR_OK);
	r.version++;
	buffer_init(&again, RECORD_MAX_SIZE);
	cr_assert_eq(record_emit(&r, &none, &again), CKR_OK);
	cr_assert_eq(record_parse(buffer_bytes(&again), token_id, &both, &s), CKR_OK);
	cr_assert_not(s.object[1].sealed);
	cr_assert_eq(attrs_count(s.object[1].attrs), 3u);
}

Test(record, sealing_anew_needs_the_key)
{
	struct buffer b CLEANUP(buffer_done);
	struct record r CLEANUP(record_done);

	make_pair(&r);
	buffer_init(&b, RECORD_MAX_SIZE);
	cr_assert_eq(record_emit(&r, &none, &b), CKR_USER_NOT_LOGGED_IN);
	cr_assert_eq(b.len, 0u);
}

Test(record, every_truncation_and_every_flipped_bit_is_refused)
{
	struct buffer b CLEANUP(buffer_done);
	struct record r;

	emit_pair(&b);
	for (size_t n = 0; n < b.len; n++)
		cr_assert_neq(record_parse(BYTES(b.ptr, n), token_id, &both, &r), CKR_OK, "cut to %zu", n);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_neq(record_parse(buffer_bytes(&b), token_id, &both, &r), CKR_OK, "bit %zu", bit);
		b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

Test(record, another_tokens_record_is_told_apart)
{
	struct buffer b CLEANUP(buffer_done);
	struct record r;

	emit_pair(&b);
	cr_assert_eq(record_parse(buffer_bytes(&b), (const uint8_t *)"another token id", &both, &r),
		     CKR_TOKEN_NOT_RECOGNIZED);
}

Test(record, a_sensitive_value_never_stands_in_clear)
{
	struct buffer b CLEANUP(buffer_done);
	struct record r CLEANUP(record_done) = {.n = 1};

	memcpy(r.token_id, token_id, 16);
	r.object[0].attrs = attrs_new();
	buffer_init(&r.object[0].blob, 0);
	buffer_init(&r.object[0].sealed_part, 0);
	cr_assert_eq(attrs_set_ulong(r.object[0].attrs, CKA_CLASS, CKO_SECRET_KEY), CKR_OK);
	cr_assert_eq(attrs_set(r.object[0].attrs, CKA_VALUE, BYTES("very secret bytes", 17)), CKR_OK);
	buffer_init(&b, RECORD_MAX_SIZE);
	cr_assert_eq(record_emit(&r, &both, &b), CKR_OK);
	cr_assert_null(memmem(b.ptr, b.len, "very secret", 11));
}

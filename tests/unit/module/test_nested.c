/* module/nested.c: attribute arrays on their way in, out, and at work. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "policy.h"
#include "template.h"

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
#define BOOL(t, v)                                                                                                     \
	{                                                                                                              \
		(t), (v) ? &yes : &no, sizeof(CK_BBOOL)                                                                \
	}
#define NUMBER(t, v)                                                                                                   \
	{                                                                                                              \
		(t), &(CK_ULONG){(v)}, sizeof(CK_ULONG)                                                                \
	}
#define TEXT(t, s)                                                                                                     \
	{                                                                                                              \
		(t), (void *)("" s), sizeof(s) - 1                                                                     \
	}
#define ARRAY(t, ...)                                                                                                  \
	{                                                                                                              \
		(t), (CK_ATTRIBUTE[]){__VA_ARGS__}, sizeof((CK_ATTRIBUTE[]){__VA_ARGS__})                              \
	}
#define expect_eq(rv, want) cr_expect_eq((rv), (want), "%s: 0x%lx", #rv, (rv))

/* ---- in ---- */

static CK_RV import(const CK_ATTRIBUTE *a, struct buffer *out)
{
	buffer_init(out, NESTED_MAX_SIZE);
	return nested_import(a, out);
}

static CK_RV import_code(CK_ATTRIBUTE a)
{
	struct buffer b CLEANUP(buffer_done);

	return import(&a, &b);
}

Test(nested, one_form_for_what_is_the_same)
{
	CK_ATTRIBUTE a = ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_LABEL, "x"), NUMBER(CKA_CLASS, CKO_SECRET_KEY));
	CK_ATTRIBUTE b = ARRAY(CKA_WRAP_TEMPLATE, NUMBER(CKA_CLASS, CKO_SECRET_KEY), TEXT(CKA_LABEL, "x"),
			       TEXT(CKA_LABEL, "x"));
	struct buffer one CLEANUP(buffer_done), two CLEANUP(buffer_done);

	expect_eq(import(&a, &one), CKR_OK);
	expect_eq(import(&b, &two), CKR_OK);
	cr_assert_gt(one.len, 0);
	cr_assert(bytes_equal(buffer_bytes(&one), buffer_bytes(&two)));
}

/* What the bytes are: a store that was written yesterday has them. */
Test(nested, the_stored_form)
{
	static const uint8_t want[] = {0x01, 0x05, 0x06, 0x01, 'x', 0xc6, 0x05, 0x01, 0x01};
	CK_ATTRIBUTE a = ARRAY(CKA_UNWRAP_TEMPLATE, BOOL(CKA_LOCAL, true), TEXT(CKA_LABEL, "x"),
			       NUMBER(CKA_CLASS, CKO_SECRET_KEY));
	struct buffer b CLEANUP(buffer_done);

	expect_eq(import(&a, &b), CKR_OK);
	cr_assert(bytes_equal(buffer_bytes(&b), BYTES_OF(want)));
}

Test(nested, hostile_arrays)
{
	CK_ATTRIBUTE many[NESTED_MAX_COUNT + 1], label = TEXT(CKA_LABEL, "x");
	static char big[NESTED_MAX_SIZE + 1];

	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = label;
	expect_eq(import_code((CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, many, NESTED_MAX_COUNT * sizeof label}), CKR_OK);
	expect_eq(import_code((CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, many, sizeof many}), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, many, sizeof label - 1}), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, many, sizeof label + 1}), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, NULL, 0}), CKR_OK);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, {CKA_LABEL, NULL, 1})), CKR_ARGUMENTS_BAD);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, {CKA_LABEL, big, CK_UNAVAILABLE_INFORMATION})),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, {CKA_LABEL, big, 1ul << 40})),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, {CKA_LABEL, big, sizeof big})),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, {CKA_LABEL, big, sizeof big - 16})), CKR_OK);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_LABEL, "x"), TEXT(CKA_LABEL, "y"))),
		  CKR_TEMPLATE_INCONSISTENT);
}

/* The stored form has 63 bits for a type.  One that came back as CKA_EXTRACTABLE would be a rule that nobody made. */
Test(nested, no_type_becomes_another)
{
	const CK_ATTRIBUTE_TYPE high = ~(CK_UNAVAILABLE_INFORMATION >> 1);

	if (sizeof high < 8)
		return;
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_UNWRAP_TEMPLATE, BOOL(high | CKA_EXTRACTABLE, false))),
		  CKR_ATTRIBUTE_TYPE_INVALID);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_UNWRAP_TEMPLATE, TEXT(high - 1, "x"))), CKR_OK);
}

Test(nested, no_array_in_an_array)
{
	CK_ATTRIBUTE self = {CKA_DERIVE_TEMPLATE, &self, sizeof self};
	CK_ATTRIBUTE garbage = {CKA_UNWRAP_TEMPLATE, (void *)1, sizeof garbage};

	expect_eq(import_code(self), CKR_TEMPLATE_INCONSISTENT);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, garbage)), CKR_TEMPLATE_INCONSISTENT);
	expect_eq(import_code((CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_WRAP_TEMPLATE, ""))),
		  CKR_TEMPLATE_INCONSISTENT);
}

Test(nested, an_array_anywhere_in_memory)
{
	CK_ATTRIBUTE one[] = {TEXT(CKA_LABEL, "x"), BOOL(CKA_SIGN, true)};
	CK_ATTRIBUTE out[] = {{0, NULL, 0}, {0, NULL, 0}};
	uint8_t odd[sizeof one + 1];
	CK_ATTRIBUTE a = {CKA_WRAP_TEMPLATE, odd + 1, sizeof one};
	struct buffer b CLEANUP(buffer_done);

	memcpy(odd + 1, one, sizeof one);
	expect_eq(import(&a, &b), CKR_OK);
	memcpy(odd + 1, out, sizeof out);
	expect_eq(nested_read(buffer_bytes(&b), &a), CKR_OK);
	memcpy(out, odd + 1, sizeof out);
	cr_expect(out[0].type == CKA_LABEL && out[0].ulValueLen == 1);
	cr_expect(out[1].type == CKA_SIGN && out[1].ulValueLen == 1);
}

/* ---- what may stand in one ---- */

struct allowed {
	CK_ATTRIBUTE_TYPE outer;
	CK_RV rv;
	CK_ATTRIBUTE a[3];
};

static void expect_check(const struct allowed *row)
{
	const struct policy_row *outer =
		policy_row(policy_find(CKO_SECRET_KEY, CKK_AES), row->outer);
	CK_ATTRIBUTE given = {row->outer, (void *)(uintptr_t)row->a, 0};
	struct buffer b CLEANUP(buffer_done);

	while (given.ulValueLen < sizeof row->a && row->a[given.ulValueLen / sizeof *row->a].pValue)
		given.ulValueLen += sizeof *row->a;
	cr_assert(outer);
	expect_eq(import(&given, &b), CKR_OK);
	expect_eq(nested_check(outer, buffer_bytes(&b)), row->rv);
}

Test(nested, what_an_array_may_say)
{
	const struct allowed rows[] = {
		{CKA_WRAP_TEMPLATE, CKR_OK, {BOOL(CKA_SIGN, true), TEXT(CKA_LABEL, "x")}},
		{CKA_WRAP_TEMPLATE, CKR_OK, {BOOL(CKA_LOCAL, true), BOOL(CKA_ALWAYS_SENSITIVE, true)}},
		{CKA_WRAP_TEMPLATE, CKR_OK, {NUMBER(CKA_KEY_TYPE, CKK_RSA), TEXT(CKA_MODULUS, "m")}},
		{CKA_WRAP_TEMPLATE, CKR_TEMPLATE_INCONSISTENT, {NUMBER(CKA_KEY_TYPE, CKK_AES), TEXT(CKA_MODULUS, "m")}},
		{CKA_WRAP_TEMPLATE, CKR_TEMPLATE_INCONSISTENT, {TEXT(CKA_VALUE, "0123456789abcdef")}},
		{CKA_WRAP_TEMPLATE, CKR_TEMPLATE_INCONSISTENT, {TEXT(CKA_PRIVATE_EXPONENT, "d")}},
		{CKA_WRAP_TEMPLATE, CKR_TEMPLATE_INCONSISTENT, {NUMBER(CKA_CLASS, CKO_DATA)}},
		{CKA_WRAP_TEMPLATE, CKR_TEMPLATE_INCONSISTENT, {TEXT(CKA_APPLICATION, "x")}},
		{CKA_WRAP_TEMPLATE, CKR_TEMPLATE_INCONSISTENT, {TEXT(CKA_OTP_COUNTER, "x")}},
		{CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_TYPE_INVALID, {TEXT(0x7fffffff, "x")}},
		{CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_VALUE_INVALID, {TEXT(CKA_SIGN, "xy")}},
		{CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_VALUE_INVALID, {TEXT(CKA_SIGN, "x")}},
		{CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_VALUE_INVALID, {TEXT(CKA_CLASS, "x")}},
		{CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_VALUE_INVALID, {TEXT(CKA_START_DATE, "2026")}},
		{CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_VALUE_INVALID, {TEXT(CKA_SIGNET_PLACE, "moon")}},
		{CKA_UNWRAP_TEMPLATE, CKR_OK, {BOOL(CKA_EXTRACTABLE, false), BOOL(CKA_TOKEN, true)}},
		{CKA_UNWRAP_TEMPLATE, CKR_OK, {TEXT(CKA_SIGNET_PLACE, "tpm"), NUMBER(CKA_VALUE_LEN, 16)}},
		{CKA_UNWRAP_TEMPLATE, CKR_ATTRIBUTE_READ_ONLY, {BOOL(CKA_LOCAL, true)}},
		{CKA_UNWRAP_TEMPLATE, CKR_ATTRIBUTE_READ_ONLY, {TEXT(CKA_VALUE, "0123456789abcdef")}},
		{CKA_UNWRAP_TEMPLATE, CKR_ATTRIBUTE_READ_ONLY, {TEXT(CKA_UNIQUE_ID, "x")}},
		{CKA_UNWRAP_TEMPLATE, CKR_ATTRIBUTE_READ_ONLY, {BOOL(CKA_TRUSTED, true)}},
		{CKA_DERIVE_TEMPLATE, CKR_ATTRIBUTE_READ_ONLY, {BOOL(CKA_TRUSTED, true)}},
		{CKA_UNWRAP_TEMPLATE, CKR_OK, {BOOL(CKA_TRUSTED, false)}},
		{CKA_WRAP_TEMPLATE, CKR_OK, {BOOL(CKA_TRUSTED, true)}},
		{CKA_DERIVE_TEMPLATE, CKR_OK, {NUMBER(CKA_CLASS, CKO_SECRET_KEY), BOOL(CKA_SENSITIVE, true)}},
		{CKA_DERIVE_TEMPLATE, CKR_ATTRIBUTE_READ_ONLY, {BOOL(CKA_NEVER_EXTRACTABLE, true)}},
		{CKA_DERIVE_TEMPLATE, CKR_ATTRIBUTE_VALUE_INVALID, {TEXT(CKA_VALUE_LEN, "x")}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_check(&rows[i]);
}

Test(nested, damaged_bytes)
{
	static const uint8_t cut[] = {0x06, 0x05, 'x'}, endless[] = {0x80};
	const struct policy_row *row = policy_row(policy_find(CKO_SECRET_KEY, CKK_AES), CKA_WRAP_TEMPLATE);
	struct attrs *a CLEANUP(attrs_cleanup) = attrs_new();
	CK_ATTRIBUTE entries[2] = {{0}}, out = {CKA_WRAP_TEMPLATE, entries, sizeof entries};

	expect_eq(nested_check(row, BYTES_OF(cut)), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(nested_check(row, BYTES_OF(endless)), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(nested_read(BYTES_OF(cut), &out), CKR_DEVICE_ERROR);
	cr_expect_not(template_matches(a, BYTES_OF(cut)));
	expect_eq(template_add_nested(a, BYTES_OF(cut)), CKR_DEVICE_ERROR);
	cr_expect_eq(attrs_count(a), 0);
}

/* ---- out (5.7.5) ---- */

static struct bytes sample(struct buffer *b)
{
	CK_ATTRIBUTE a = ARRAY(CKA_WRAP_TEMPLATE, NUMBER(CKA_CLASS, CKO_SECRET_KEY), TEXT(CKA_LABEL, "label"),
			       BOOL(CKA_SIGN, true));

	cr_assert_eq(import(&a, b), CKR_OK);
	return buffer_bytes(b);
}

Test(nested, T106_reading_in_three_steps)
{
	struct buffer b CLEANUP(buffer_done);
	struct bytes form = sample(&b);
	CK_ATTRIBUTE in[3] = {{77, NULL, 5}, {78, NULL, 6}, {79, NULL, CK_UNAVAILABLE_INFORMATION}};
	CK_ATTRIBUTE a = {CKA_WRAP_TEMPLATE, NULL, 4711};
	CK_OBJECT_CLASS class;
	char label[5];
	CK_BBOOL sign;

	expect_eq(nested_read(form, &a), CKR_OK);
	cr_assert_eq(a.ulValueLen, sizeof in);
	a.pValue = in;
	expect_eq(nested_read(form, &a), CKR_OK);
	cr_assert_eq(a.ulValueLen, sizeof in);
	cr_expect(in[0].type == CKA_CLASS && in[0].ulValueLen == sizeof class);
	cr_expect(in[1].type == CKA_LABEL && in[1].ulValueLen == sizeof label);
	cr_expect(in[2].type == CKA_SIGN && in[2].ulValueLen == sizeof sign);
	in[0].pValue = &class;
	in[1].pValue = label;
	in[2].pValue = &sign;
	expect_eq(nested_read(form, &a), CKR_OK);
	cr_expect_eq(class, CKO_SECRET_KEY);
	cr_expect_arr_eq(label, "label", 5);
	cr_expect_eq(sign, CK_TRUE);
}

Test(nested, T106_too_little_room)
{
	struct buffer b CLEANUP(buffer_done);
	struct bytes form = sample(&b);
	CK_OBJECT_CLASS class = 77;
	char label[5] = "abcd";
	CK_ATTRIBUTE in[3] = {{0, &class, sizeof class}, {0, label, 4}, {0, NULL, 0}};
	CK_ATTRIBUTE a = {CKA_WRAP_TEMPLATE, in, sizeof in - 1};

	expect_eq(nested_read(form, &a), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(a.ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(class, 77);
	a.ulValueLen = sizeof in;
	expect_eq(nested_read(form, &a), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(a.ulValueLen, sizeof in);
	cr_expect_eq(class, CKO_SECRET_KEY);
	cr_expect(in[1].type == CKA_LABEL && in[1].ulValueLen == CK_UNAVAILABLE_INFORMATION);
	cr_expect_str_eq(label, "abcd");
	cr_expect(in[2].type == CKA_SIGN && in[2].ulValueLen == 1);
}

/* ---- at work ---- */

static bool matches(const struct attrs *o, CK_ATTRIBUTE array)
{
	struct buffer b CLEANUP(buffer_done);

	cr_assert_eq(import(&array, &b), CKR_OK);
	return template_matches(o, buffer_bytes(&b));
}

static struct attrs *a_key(void)
{
	struct attrs *a = attrs_new();

	cr_assert(a);
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, CKO_SECRET_KEY), CKR_OK);
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_AES), CKR_OK);
	cr_assert_eq(attrs_set(a, CKA_LABEL, BYTES("x", 1)), CKR_OK);
	cr_assert_eq(attrs_set_bool(a, CKA_SIGN, true), CKR_OK);
	return a;
}

Test(nested, T150_matching)
{
	struct attrs *key CLEANUP(attrs_cleanup) = a_key();

	cr_expect(matches(key, (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, NULL, 0}));
	cr_expect(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_LABEL, "x"), BOOL(CKA_SIGN, true),
						   NUMBER(CKA_KEY_TYPE, CKK_AES))));
	cr_expect_not(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_LABEL, "x"),
						       BOOL(CKA_SIGN, false))));
	cr_expect_not(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_LABEL, "xy"))));
	cr_expect_not(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, NUMBER(CKA_KEY_TYPE, CKK_RSA))));
	/* What the key doesn't say has its default; what has none doesn't match. */
	cr_expect(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_WRAP_WITH_TRUSTED, false))));
	cr_expect_not(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_WRAP_WITH_TRUSTED, true))));
	cr_expect_not(matches(key, (CK_ATTRIBUTE)ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_MODULUS, "m"))));
}

static CK_RV add(struct attrs *given, CK_ATTRIBUTE array)
{
	struct buffer b CLEANUP(buffer_done);

	cr_assert_eq(import(&array, &b), CKR_OK);
	return template_add_nested(given, buffer_bytes(&b));
}

Test(nested, T151_adding)
{
	struct attrs *given CLEANUP(attrs_cleanup) = a_key();
	size_t n = attrs_count(given);

	expect_eq(add(given, (CK_ATTRIBUTE)ARRAY(CKA_UNWRAP_TEMPLATE, TEXT(CKA_ID, "1"), BOOL(CKA_SIGN, false))),
		  CKR_TEMPLATE_INCONSISTENT);
	cr_expect_eq(attrs_count(given), n);
	expect_eq(add(given, (CK_ATTRIBUTE)ARRAY(CKA_UNWRAP_TEMPLATE, TEXT(CKA_ID, "1"), BOOL(CKA_SIGN, true),
						 BOOL(CKA_EXTRACTABLE, false), NUMBER(CKA_VALUE_LEN, 16))),
		  CKR_OK);
	cr_expect_eq(attrs_count(given), n + 3);
	cr_expect_not(attrs_get_bool(given, CKA_EXTRACTABLE, true));
	cr_expect_eq(attrs_get_ulong(given, CKA_VALUE_LEN, 0), 16);
	expect_eq(add(given, (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, NULL, 0}), CKR_OK);
	cr_expect_eq(attrs_count(given), n + 3);
}

/* module/base/attrs.c */
#include <criterion/criterion.h>

#include "attrs.h"

Test(attrs, sets_replaces_and_keeps_the_order_of_types)
{
	struct attrs *a CLEANUP(attrs_cleanup) = attrs_new();
	struct bytes v;

	cr_assert_eq(attrs_set_bool(a, CKA_TOKEN, true), CKR_OK);
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, CKO_DATA), CKR_OK);
	cr_assert_eq(attrs_set(a, CKA_LABEL, BYTES("x", 1)), CKR_OK);
	cr_assert_eq(attrs_set(a, CKA_LABEL, BYTES("yy", 2)), CKR_OK);
	cr_assert_eq(attrs_count(a), 3u);
	cr_assert_eq(attrs_at(a, 0, &v), CKA_CLASS);
	cr_assert_eq(attrs_at(a, 2, &v), CKA_LABEL);
	cr_assert(bytes_equal(v, BYTES("yy", 2)));
	attrs_remove(a, CKA_TOKEN);
	cr_assert_not(attrs_has(a, CKA_TOKEN));
	cr_assert_eq(attrs_get_ulong(a, CKA_CLASS, 9), CKO_DATA);
	cr_assert_eq(attrs_get_ulong(a, CKA_LABEL, 9), 9u, "a value of another size is none");
}

Test(attrs, merging_is_all_or_nothing)
{
	struct attrs *a CLEANUP(attrs_cleanup) = attrs_new(), *b CLEANUP(attrs_cleanup) = attrs_new();

	for (CK_ATTRIBUTE_TYPE t = 0; t < ATTRS_MAX_COUNT; t++)
		cr_assert_eq(attrs_set(a, t, NO_BYTES), CKR_OK);
	cr_assert_eq(attrs_set(b, 0, BYTES("new", 3)), CKR_OK);
	cr_assert_eq(attrs_set(b, 5000, BYTES("one too many", 12)), CKR_OK);
	cr_assert_eq(attrs_merge(a, b), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(attrs_count(a), ATTRS_MAX_COUNT);
	struct bytes v;
	cr_assert(attrs_get(a, 0, &v) && v.len == 0);
}

Test(attrs, a_value_over_the_ceiling_is_refused)
{
	struct attrs *a CLEANUP(attrs_cleanup) = attrs_new();

	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES("", ATTRS_MAX_VALUE + 1)), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(attrs_count(a), 0u);
}

/* module/base/rv.c */
#include <criterion/criterion.h>

#include "rv.h"

Test(rv, classes_come_in_order)
{
	static const CK_RV order[] = {CKR_FIPS_SELF_TEST_FAILED, CKR_GENERAL_ERROR, CKR_HOST_MEMORY, CKR_FUNCTION_FAILED,
				      CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_REMOVED, CKR_SESSION_CLOSED,
				      CKR_DEVICE_MEMORY, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT,
				      CKR_TOKEN_NOT_INITIALIZED, CKR_PIN_INCORRECT, CKR_OK};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t j = i + 1; j < ARRAY_LEN(order); j++) {
			cr_assert_eq(rv_prefer(order[i], order[j]), order[i]);
			cr_assert_eq(rv_prefer(order[j], order[i]), order[i]);
		}
}

Test(rv, pairs_inside_the_last_class)
{
	cr_assert_eq(rv_prefer(CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE), CKR_SIGNATURE_LEN_RANGE);
	cr_assert_eq(rv_prefer(CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID), CKR_SIGNATURE_LEN_RANGE);
	cr_assert_eq(rv_prefer(CKR_SESSION_READ_ONLY, CKR_TOKEN_WRITE_PROTECTED), CKR_TOKEN_WRITE_PROTECTED);
	cr_assert_eq(rv_prefer(CKR_PIN_INVALID, CKR_PIN_INCORRECT), CKR_PIN_INVALID, "free: the first");
}

Test(rv, names)
{
	cr_assert_str_eq(rv_name(CKR_OK), "CKR_OK");
	cr_assert_str_eq(rv_name(CKR_TOKEN_NOT_INITIALIZED), "CKR_TOKEN_NOT_INITIALIZED");
	cr_assert_str_eq(rv_name(0x7ffff), "CKR_0x0007ffff");
}

Test(rv, a_fault_is_taken_once)
{
	fault_note(0x9a2);
	cr_assert_eq(fault_take(), 0x9a2u);
	cr_assert_eq(fault_take(), 0u);
}

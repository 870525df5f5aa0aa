/* module/returns.c against the lists of the standard (tests/vectors/returns.tsv). */
#include <criterion/criterion.h>
#include <stdio.h>

#include "dispatch.h"
#include "rv.h"

#define MAX_ROWS 2500

static struct row {
	char function[40], code[48];
} rows[MAX_ROWS];
static size_t n_rows;

static void read_rows(void)
{
	char line[256];
	FILE *f = fopen(VECTORS "/returns.tsv", "re");

	cr_assert(f);
	while (fgets(line, sizeof line, f))
		if (line[0] != '#') {
			cr_assert_lt(n_rows, MAX_ROWS);
			n_rows += sscanf(line, "%39s %*s %47s", rows[n_rows].function, rows[n_rows].code) == 2;
		}
	(void)fclose(f);
	cr_assert_gt(n_rows, 1700);
}

TestSuite(returns, .init = read_rows);

static bool listed(const char *function, const char *code)
{
	for (size_t i = 0; i < n_rows; i++)
		if (strcmp(rows[i].function, function) == 0 && strcmp(rows[i].code, code) == 0)
			return true;
	return false;
}

static bool among(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

/* 5.1.2 and 5.1.3 name the functions that their classes don't go for. */
static const char *const no_session[] = {"C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList",
	"C_GetSlotInfo", "C_GetTokenInfo", "C_WaitForSlotEvent", "C_GetMechanismList", "C_GetMechanismInfo", "C_InitToken",
	"C_OpenSession", "C_CloseAllSessions", "C_GetInterfaceList", "C_GetInterface", NULL};
static const char *const no_token[] = {"C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList",
	"C_GetSlotInfo", "C_WaitForSlotEvent", "C_GetInterfaceList", "C_GetInterface", NULL};
static const char *const of_any[] = {"CKR_OK", "CKR_GENERAL_ERROR", "CKR_HOST_MEMORY", "CKR_FUNCTION_FAILED",
	"CKR_OPERATION_NOT_VALIDATED", "CKR_FUNCTION_NOT_SUPPORTED", NULL};
static const char *const of_session[] = {"CKR_SESSION_HANDLE_INVALID", "CKR_DEVICE_REMOVED", "CKR_SESSION_CLOSED", NULL};
static const char *const of_token[] = {"CKR_DEVICE_MEMORY", "CKR_DEVICE_ERROR", "CKR_DEVICE_REMOVED",
	"CKR_TOKEN_NOT_INITIALIZED", NULL};

static bool expected(const char *function, const char *code)
{
	bool session = !among(function, no_session);

	if (strcmp(code, "CKR_PENDING") == 0)
		return false; /* no session is asynchronous */
	if (session && strcmp(code, "CKR_TOKEN_NOT_PRESENT") == 0)
		return false; /* 5.1.7, though three lists print it */
	/* C_AsyncComplete returns what the function returns that it is called for. */
	if (strcmp(function, "C_AsyncComplete") == 0 && strcmp(code, "CKR_CRYPTOKI_NOT_INITIALIZED") == 0)
		return true;
	return listed(function, code) || among(code, of_any) || (session && among(code, of_session)) ||
	       (!among(function, no_token) && among(code, of_token));
}

static void check(enum function fn, CK_RV rv)
{
	const char *code = rv_name(rv);

	if (strncmp(code, "CKR_0x", 6) == 0)
		return;
	cr_expect_eq(function_returns(fn, rv), expected(function_name(fn), code), "%s: %s", function_name(fn), code);
}

Test(returns, each_code_of_each_function)
{
	for (enum function fn = 0; fn < FN_COUNT; fn++)
		for (CK_RV rv = 0; rv < 0x300; rv++)
			check(fn, rv);
}

Test(returns, every_listed_code_has_a_name)
{
	for (size_t i = 0; i < n_rows; i++) {
		bool known = rows[i].code[0] == '@';

		for (CK_RV rv = 0; rv < 0x300 && !known; rv++)
			known = strcmp(rv_name(rv), rows[i].code) == 0;
		cr_expect(known, "%s", rows[i].code);
	}
}

Test(returns, what_is_not_listed_is_replaced)
{
	cr_expect_eq(function_result(FN_C_Sign, CKR_DEVICE_ERROR), CKR_DEVICE_ERROR);
	cr_expect_eq(function_result(FN_C_Sign, CKR_TOKEN_NOT_PRESENT), CKR_DEVICE_REMOVED);
	cr_expect_eq(function_result(FN_C_Login, CKR_PIN_LEN_RANGE), CKR_PIN_INCORRECT);
	cr_expect_eq(function_result(FN_C_InitPIN, CKR_PIN_LEN_RANGE), CKR_PIN_LEN_RANGE);
	cr_expect_eq(function_result(FN_C_InitToken, CKR_PIN_INVALID), CKR_PIN_INCORRECT);
	cr_expect_eq(function_result(FN_C_SignInit, CKR_OBJECT_HANDLE_INVALID), CKR_KEY_HANDLE_INVALID);
	cr_expect_eq(function_result(FN_C_Sign, CKR_MUTEX_BAD), CKR_FUNCTION_FAILED);
	cr_expect_eq(function_result(FN_C_GetSlotList, 0x12345), CKR_FUNCTION_FAILED);
}

Test(returns, every_function_has_a_row_and_a_name)
{
	for (enum function fn = 0; fn < FN_COUNT; fn++) {
		bool none = fn == FN_C_Initialize || fn == FN_C_GetFunctionList || fn == FN_C_GetInterfaceList ||
			    fn == FN_C_GetInterface;

		cr_expect_eq(rules[fn].scope == SCOPE_NONE, none, "%s", function_name(fn));
		cr_expect_eq(rules[fn].scope != SCOPE_SESSION, among(function_name(fn), no_session), "%s",
			     function_name(fn));
	}
}

/* The lists of PKCS#11 3.2 that every answer is held against: tests/vectors/returns.tsv (function, interface, code). */
#include "harness.h"

#include <unistd.h>

struct row {
	char function[32], code[40];
};

static struct row *rows;
static size_t n_rows;

/* 5.1.1, and the stub of a function that isn't offered. */
static const char *const any_class[] = {
	"CKR_OK", "CKR_HOST_MEMORY", "CKR_FUNCTION_FAILED", "CKR_OPERATION_NOT_VALIDATED", "CKR_FUNCTION_NOT_SUPPORTED",
	"CKR_GENERAL_ERROR", NULL};
/* 5.1.2 and, for functions with a session, 5.1.3 as far as it isn't outranked by 5.1.2. */
static const char *const session_class[] = {
	"CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED", "CKR_DEVICE_REMOVED", "CKR_DEVICE_MEMORY",
	"CKR_DEVICE_ERROR", "CKR_TOKEN_NOT_INITIALIZED", NULL};
/* 5.1.3 of the functions that take a slot id. */
static const char *const slot_class[] = {
	"CKR_DEVICE_MEMORY", "CKR_DEVICE_ERROR", "CKR_TOKEN_NOT_PRESENT", "CKR_DEVICE_REMOVED",
	"CKR_TOKEN_NOT_INITIALIZED", NULL};

static const char *const slot_functions[] = {
	"C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo", "C_InitToken", "C_OpenSession",
	"C_CloseAllSessions", NULL};
static const char *const free_functions[] = {
	"C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList", "C_GetSlotInfo",
	"C_WaitForSlotEvent", "C_GetInterfaceList", "C_GetInterface", NULL};

static bool has_word(const char *const *words, const char *word)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words;
}

static void add_row(const char *line)
{
	struct row r;

	if (line[0] == '#' || sscanf(line, "%31s %*s %39s", r.function, r.code) != 2)
		return;
	struct row *more = realloc(rows, (n_rows + 1) * sizeof *rows);
	cr_assert(more);
	rows = more;
	rows[n_rows++] = r;
}

static void read_lists(void)
{
	char path[PATH_MAX], line[256];
	const char *dir = secure_getenv("SIGNET_TEST_VECTORS");

	snprintf(path, sizeof path, "%s/returns.tsv", dir ? dir : ".");
	FILE *f = fopen(path, "re");
	cr_assert(f, "%s can't be read", path);
	while (fgets(line, sizeof line, f))
		add_row(line);
	fclose(f);
	cr_assert(n_rows > 1800, "%s is short", path);
}

static bool in_class(const char *function, const char *code)
{
	if (has_word(any_class, code))
		return true;
	if (has_word(free_functions, function))
		return false;
	return has_word(has_word(slot_functions, function) ? slot_class : session_class, code);
}

bool answer_listed(const char *function, CK_RV rv)
{
	const char *code = rv_name(rv);

	if (!rows)
		read_lists();
	/* A correct module has no cause for it but a mutex callback that fails (R11), and nothing here is
	 * asynchronous. */
	if (rv == CKR_PENDING)
		return false;
	if (in_class(function, code))
		return true;
	/* 5.1.7: a session function says CKR_SESSION_HANDLE_INVALID, whatever its printed list has. */
	if (rv == CKR_TOKEN_NOT_PRESENT && !has_word(slot_functions, function) && !has_word(free_functions, function))
		return false;
	for (size_t i = 0; i < n_rows; i++)
		if (strcmp(rows[i].function, function) == 0 && strcmp(rows[i].code, code) == 0)
			return true;
	return false;
}

bool answer_in(CK_RV rv, const CK_RV *set, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (set[i] == rv)
			return true;
	return false;
}

const char *name_of(char buf[24], CK_RV rv)
{
	const char *name = rv_name(rv);

	if (strncmp(name, "CKR_0x", 6) != 0)
		return name;
	snprintf(buf, 24, "%s", name);
	return buf;
}

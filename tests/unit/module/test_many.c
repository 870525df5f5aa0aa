/* Many objects: the work must grow with their number, not with its square.  The files about objects are compiled a
 * second time for this test, so that every basic block of theirs that runs is counted: a count, unlike a time, is the
 * same on a busy machine. */
#include <stdio.h>

#include "front.h"

TestSuite(many, .init = front_up, .fini = front_down, .timeout = 60);

#define LIST(...) (CK_ATTRIBUTE[]){__VA_ARGS__}, ARRAY_LEN(((CK_ATTRIBUTE[]){__VA_ARGS__}))
#define FEW  250
#define LOTS (8 * FEW)
/* Eight times the objects are eight times the work; a square would be sixty-four, and shows although most of a call's
 * work has nothing to do with the others. */
#define BOUND 10

static unsigned long blocks;

void __sanitizer_cov_trace_pc(void); /* the compiler's name */
void __sanitizer_cov_trace_pc(void)
{
	blocks++;
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS data = CKO_DATA;

static CK_SESSION_HANDLE user_session(void)
{
	CK_SESSION_HANDLE s = front_session(RW);

	EXPECT(CKR_OK, front_login(s, CKU_USER, "user-pin"));
	return s;
}

static void create(CK_SESSION_HANDLE s, size_t n, bool token)
{
	for (size_t i = 0; i < n; i++) {
		CK_OBJECT_HANDLE o;
		char label[16];
		int len = snprintf(label, sizeof label, "object %zu", i);

		EXPECT(CKR_OK, C_CreateObject(s,
					      LIST({CKA_CLASS, &data, sizeof data}, {CKA_TOKEN, token ? &yes : &no, 1},
						   {CKA_PRIVATE, i % 2 ? &yes : &no, 1},
						   {CKA_LABEL, label, (CK_ULONG)len}),
					      &o));
	}
}

static CK_ULONG find(CK_SESSION_HANDLE s, const char *label, CK_OBJECT_HANDLE *o, CK_ULONG max)
{
	CK_ULONG n;

	if (label)
		EXPECT(CKR_OK, C_FindObjectsInit(s, LIST({CKA_LABEL, (void *)(uintptr_t)label, strlen(label)})));
	else
		EXPECT(CKR_OK, C_FindObjectsInit(s, LIST({CKA_CLASS, &data, sizeof data})));
	EXPECT(CKR_OK, C_FindObjects(s, o, max, &n));
	EXPECT(CKR_OK, C_FindObjectsFinal(s));
	return n;
}

static CK_OBJECT_HANDLE found[LOTS + 1];

/* Each of these gives the blocks that its part takes with n objects. */

static unsigned long first_search(size_t n)
{
	front_token();
	create(user_session(), n, true);
	EXPECT(CKR_OK, C_Finalize(NULL));
	EXPECT(CKR_OK, C_Initialize(NULL));
	blocks = 0;
	cr_assert_eq(find(user_session(), NULL, found, LOTS), n);
	return blocks;
}

static unsigned long search_by_label(size_t n)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = user_session();
	create(s, n, true);
	blocks = 0;
	cr_assert_eq(find(s, "object 77", found, LOTS), 1);
	return blocks;
}

static unsigned long creation(size_t n)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = user_session();
	blocks = 0;
	create(s, n, true);
	return blocks;
}

static unsigned long removal(size_t n)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = user_session();
	create(s, n, true);
	cr_assert_eq(find(s, NULL, found, LOTS), n);
	blocks = 0;
	for (size_t i = 0; i < n; i++)
		EXPECT(CKR_OK, C_DestroyObject(s, found[i]));
	return blocks;
}

static unsigned long reading(size_t n)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = user_session();
	create(s, n, true);
	cr_assert_eq(find(s, NULL, found, LOTS), n);
	blocks = 0;
	for (size_t i = 0; i < n; i++)
		EXPECT(CKR_OK, C_GetAttributeValue(s, found[i], LIST({CKA_LABEL, NULL, 0}, {CKA_TOKEN, NULL, 0})));
	return blocks;
}

static unsigned long session_end(size_t n)
{
	CK_SESSION_HANDLE s;

	front_token();
	s = user_session();
	create(s, n, false);
	blocks = 0;
	EXPECT(CKR_OK, C_CloseSession(s));
	return blocks;
}

static void grows_evenly(unsigned long (*work)(size_t n))
{
	unsigned long few, lots;

	few = work(FEW);
	EXPECT(CKR_OK, C_Finalize(NULL));
	lots = work(LOTS);
	cr_log_info("%d: %lu, %d: %lu", FEW, few, LOTS, lots);
	cr_assert_gt(few, FEW, "nothing is counted");
	cr_assert_lt(lots, BOUND * few, "%lu blocks for %d objects, %lu for %d", few, FEW, lots, LOTS);
}

Test(many, first_search)
{
	grows_evenly(first_search);
}

Test(many, search_by_label)
{
	grows_evenly(search_by_label);
}

Test(many, creation)
{
	grows_evenly(creation);
}

Test(many, reading)
{
	grows_evenly(reading);
}

Test(many, removal)
{
	grows_evenly(removal);
}

Test(many, session_end)
{
	grows_evenly(session_end);
}

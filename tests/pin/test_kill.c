/* A PIN's change, killed at every system call (and so before and behind every TPM command): afterwards exactly one PIN
 * works, the counters are right, no NV index is left over, and the machine's lockout counter is what it was (R8 to R10).
 * Each kill finds what the one before has left. */
#include "pin.h"

#include <stdlib.h>
#include <unistd.h>

#define GUARD(n, ...)                                                                                                  \
	do {                                                                                                           \
		if ((h.f->__VA_ARGS__) != CKR_OK)                                                                      \
			return (n);                                                                                    \
	} while (0)

static const char *const pins[] = {"the first pin", "the second one"};
static size_t now, next; /* index of the PIN that is set, and of the one that the call sets */
static CK_USER_TYPE whose;
static CK_SESSION_HANDLE s;

static CK_RV try_login(CK_USER_TYPE user, const char *pin)
{
	return h.f->C_Login(s, user, (CK_UTF8CHAR *)pin, strlen(pin));
}

static const char *so_pin(void)
{
	return whose == CKU_SO ? pins[now] : SO_PIN;
}

/* ---- the calls ---- */

static int start(void)
{
	GUARD(101, C_Initialize(NULL));
	GUARD(102, C_OpenSession(h.slot, RW, NULL, NULL, &s));
	return 0;
}

static int start_as_so(void)
{
	int where = start();

	if (where)
		return where;
	return try_login(CKU_SO, so_pin()) == CKR_OK ? 0 : 103;
}

static int set_pin(void)
{
	GUARD(111, C_SetPIN(s, (CK_UTF8CHAR *)pins[now], strlen(pins[now]), (CK_UTF8CHAR *)pins[next],
			    strlen(pins[next])));
	return 0;
}

static int init_pin(void)
{
	GUARD(112, C_InitPIN(s, (CK_UTF8CHAR *)pins[next], strlen(pins[next])));
	return 0;
}

/* ---- what must hold afterwards, seen by a new process ---- */

enum { WORKS_FIRST = 1, WORKS_SECOND = 2, WORKS_BOTH = 3 };

#define PIN_FLAGS                                                                                                      \
	(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED | CKF_SO_PIN_COUNT_LOW |                \
	 CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED)

/* A change of the token, as small as can be: whoever makes one cleans up first. */
static int touch(void)
{
	CK_OBJECT_HANDLE o;

	GUARD(131, C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
					      A_BOOL(CKA_PRIVATE, false)), &o));
	GUARD(132, C_DestroyObject(s, o));
	return 0;
}

static int count_mine(CK_ULONG *n)
{
	CK_OBJECT_HANDLE o[2];

	GUARD(133, C_FindObjectsInit(s, TEMPLATE(A_TEXT(CKA_LABEL, "mine"))));
	GUARD(134, C_FindObjects(s, o, 2, n));
	GUARD(135, C_FindObjectsFinal(s));
	return 0;
}

/* Which of the two PINs works; a wrong one first, a right one last, so that no try stays counted. */
static int which_works(void)
{
	int works = 0;

	for (size_t i = 0; i < 3; i++) {
		size_t k = i % 2;
		CK_RV rv = i == 2 && !(works & WORKS_FIRST) ? CKR_PIN_INCORRECT : try_login(whose, pins[k]);

		if (rv != CKR_OK && rv != CKR_PIN_INCORRECT)
			return 120;
		if (rv != CKR_OK)
			continue;
		works |= 1 << k;
		GUARD(121, C_Logout(s));
	}
	return works;
}

static int look(void)
{
	CK_TOKEN_INFO info;
	CK_ULONG mine = 0;
	int where = start(), works;

	if (where)
		return where;
	GUARD(122, C_GetTokenInfo(h.slot, &info));
	if (info.flags & PIN_FLAGS)
		return 123; /* the right PIN has always been given: nothing is counted */
	works = which_works();
	if (works != WORKS_FIRST && works != WORKS_SECOND)
		return works == WORKS_BOTH ? 124 : works ? works : 125;
	if (try_login(whose, pins[works - 1]) != CKR_OK)
		return 126;
	where = touch();
	if (!where && whose == CKU_USER)
		where = count_mine(&mine);
	if (where || (whose == CKU_USER && mine != 1))
		return where ? where : 127; /* what the PIN guards is there */
	GUARD(128, C_Finalize(NULL));
	return works;
}

static void check_tpm(unsigned long nth)
{
	char path[96];

	cr_assert(tpm_our_indices(NULL) == 2, "%u NV indices of ours after call %lu", tpm_our_indices(NULL), nth);
	cr_assert(tpm_lockouts() == 0, "the machine's lockout counter was raised at call %lu", nth);
	snprintf(path, sizeof path, "%s/store/intents", h.dir);
	cr_assert(access(path, F_OK) != 0, "intents are left after call %lu", nth);
}

/* One more kill.  False: the call ended before it. */
static bool one(const struct victim *v, unsigned long nth)
{
	int status, works;
	unsigned long calls;

	next = !now;
	bool killed = kill_at(v, nth, &status, &calls);
	if (killed)
		tpm_reboot(); /* a bare TPM keeps what the dead had loaded */
	else
		cr_assert(status == 0, "at call %lu of %lu: step %d failed", nth, calls, status);
	works = in_child(look);
	cr_assert(works == WORKS_FIRST || works == WORKS_SECOND, "killed at call %lu: step %d", nth, works);
	if (!killed)
		cr_assert(works - 1 == (int)next, "the change was acknowledged and isn't there");
	now = (size_t)works - 1;
	check_tpm(nth);
	return killed;
}

static void sweep(CK_USER_TYPE user, const struct victim *v)
{
	whose = user;
	session_up();
	data_object(h.session, true, true, "mine");
	if (user == CKU_SO) {
		OK(C_Logout, h.session);
		is(login(h.session, CKU_SO, SO_PIN), CKR_OK);
	}
	const char *old = user == CKU_SO ? SO_PIN : USER_PIN;
	OK(C_SetPIN, h.session, (CK_UTF8CHAR *)old, strlen(old), (CK_UTF8CHAR *)pins[0], strlen(pins[0]));
	OK(C_Finalize, NULL);
	h.initialized = false;
	unsigned long nth = 1;
	while (one(v, nth))
		nth++;
	cr_assert(nth > 100, "a change of a PIN makes more than %lu system calls", nth);
}

TestSuite(kill, .fini = harness_down, .timeout = 900);

Test(kill, set_pin_of_the_user)
{
	sweep(CKU_USER, &(struct victim){start, set_pin});
}

Test(kill, set_pin_of_the_so)
{
	sweep(CKU_SO, &(struct victim){start_as_so, set_pin});
}

Test(kill, init_pin)
{
	sweep(CKU_USER, &(struct victim){start_as_so, init_pin});
}

/* Two users' tokens on one TPM: initialized, initialized anew, their PINs changed, and killed meanwhile at random.
 * Neither ever loses an NV index to the other, and none is left over.  A bare TPM serves one at a time: they take turns.
 * SIGNET_TEST_SEED repeats a run; SIGNET_TEST_ROUNDS says how long it is (500). */
#include "pin.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define N_USERS 2
/* About as many system calls as these make: some live. */
#define MOST_CALLS 450
#define NO_PIN 0

struct user {
	char conf[96];
	bool initialized;
	unsigned so, pin;  /* numbers in the PINs' text; NO_PIN: the user has none */
};
static struct user users[N_USERS];

/* What a round does, and to whom: the child finds it here. */
static struct user *u;
static unsigned fresh;   /* the number of a PIN that nobody has yet */
static CK_SESSION_HANDLE s;

/* ---- numbers ---- */

static uint64_t dice;

static unsigned long roll(unsigned long n)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned long)(dice >> 33) % n;
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
	const char *text = secure_getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

/* ---- in a child ---- */

struct text {
	CK_UTF8CHAR b[32];
	CK_ULONG n;
};

static struct text pin_text(unsigned number)
{
	struct text t;

	t.n = (CK_ULONG)snprintf((char *)t.b, sizeof t.b, "PIN number %u", number);
	return t;
}

static CK_RV try_login(CK_USER_TYPE user, unsigned number)
{
	struct text t = pin_text(number);

	return h.f->C_Login(s, user, t.b, t.n);
}

static int start(void)
{
	setenv("SIGNET_CONF", u->conf, 1);
	return h.f->C_Initialize(NULL) == CKR_OK ? 0 : 101;
}

static int open_it(void)
{
	int where = start();

	if (where)
		return where;
	return h.f->C_OpenSession(0, RW, NULL, NULL, &s) == CKR_OK ? 0 : 102;
}

static int open_as_so(void)
{
	int where = open_it();

	if (where)
		return where;
	return try_login(CKU_SO, u->so) == CKR_OK ? 0 : 103;
}

static int init_token(void)
{
	CK_UTF8CHAR label[32];
	struct text t = pin_text(u->initialized ? u->so : fresh);

	memset(label, ' ', sizeof label);
	return h.f->C_InitToken(0, t.b, t.n, label) == CKR_OK ? 0 : 104;
}

static int init_pin(void)
{
	struct text t = pin_text(fresh);

	return h.f->C_InitPIN(s, t.b, t.n) == CKR_OK ? 0 : 105;
}

static int set_pin_from(unsigned old)
{
	struct text from = pin_text(old), to = pin_text(fresh);

	return h.f->C_SetPIN(s, from.b, from.n, to.b, to.n) == CKR_OK ? 0 : 106;
}

static int set_user_pin(void)
{
	return set_pin_from(u->pin);
}

static int set_so_pin(void)
{
	return set_pin_from(u->so);
}

/* ---- what became of it ---- */

/* A token as a new process finds it, in an exit code: bits of these. */
enum { INITIALIZED = 1, SO_FRESH = 2, USER_HAS = 4, USER_FRESH = 8, TROUBLE = 64 };

/* Which of two PINs it is: the fresh one is tried first, so that no wrong try stays counted. */
static int which(CK_USER_TYPE user, unsigned old, int bit, int *found)
{
	CK_RV rv = try_login(user, fresh);

	if (rv == CKR_OK)
		*found |= bit;
	else if (rv != CKR_PIN_INCORRECT || try_login(user, old) != CKR_OK)
		return TROUBLE | (user == CKU_SO ? 1 : 2);
	return 0;
}

/* A change, as small as can be: whoever makes one cleans up first. */
static int touch(void)
{
	CK_OBJECT_HANDLE o;

	if (h.f->C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
					    A_BOOL(CKA_PRIVATE, false)), &o) != CKR_OK)
		return TROUBLE | 3;
	return h.f->C_DestroyObject(s, o) == CKR_OK ? 0 : TROUBLE | 4;
}

static int look_into(const CK_TOKEN_INFO *info, int *found)
{
	int trouble;

	if (info->flags & (CKF_USER_PIN_LOCKED | CKF_SO_PIN_LOCKED | CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW))
		return TROUBLE | 5;
	if (h.f->C_OpenSession(0, RW, NULL, NULL, &s) != CKR_OK)
		return TROUBLE | 6;
	trouble = which(CKU_SO, u->so, SO_FRESH, found);
	if (!trouble)
		trouble = touch();
	if (trouble || !(info->flags & CKF_USER_PIN_INITIALIZED))
		return trouble;
	*found |= USER_HAS;
	if (h.f->C_Logout(s) != CKR_OK)
		return TROUBLE | 7;
	return which(CKU_USER, u->pin, USER_FRESH, found);
}

static int look(void)
{
	CK_TOKEN_INFO info;
	int found = 0, trouble = 0;

	if (start() || h.f->C_GetTokenInfo(0, &info) != CKR_OK)
		return TROUBLE | 8;
	if (info.flags & CKF_TOKEN_INITIALIZED) {
		found |= INITIALIZED;
		trouble = look_into(&info, &found);
	}
	if (h.f->C_Finalize(NULL) != CKR_OK)
		return TROUBLE | 9;
	return trouble ? trouble : found;
}

/* ---- rounds ---- */

static const struct deed {
	const char *name;
	struct victim how;
	bool needs_token, needs_pin; /* the user's */
	int never;                   /* what can't be found afterwards */
} deeds[] = {
	{"C_InitToken", {start, init_token}, .never = USER_FRESH},
	{"C_InitPIN", {open_as_so, init_pin}, .needs_token = true, .never = SO_FRESH},
	{"C_SetPIN of the user", {open_it, set_user_pin}, .needs_token = true, .needs_pin = true, .never = SO_FRESH},
	{"C_SetPIN of the SO", {open_as_so, set_so_pin}, .needs_token = true, .never = USER_FRESH},
};

static const struct deed *choose(void)
{
	const struct deed *d;

	do
		d = &deeds[roll(ARRAY_LEN(deeds))];
	while ((d->needs_token && !u->initialized) || (d->needs_pin && !u->pin));
	return d;
}

static unsigned expected_indices(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < N_USERS; i++) {
		n += users[i].initialized;
		n += users[i].pin != NO_PIN;
	}
	return n;
}

/* The user's token as it must be by what was found. */
static void learn(int found)
{
	u->initialized = (found & INITIALIZED) != 0;
	if (found & SO_FRESH)
		u->so = fresh;
	if (found & USER_FRESH)
		u->pin = fresh;
	if (!(found & USER_HAS))
		u->pin = NO_PIN;
}

/* A first token that was never made needs its maker's next try to clean up; so does the other user's. */
static bool pending(void)
{
	for (size_t i = 0; i < N_USERS; i++)
		if (!users[i].initialized)
			return true;
	return false;
}

static void check_the_other(unsigned round)
{
	struct user *mine = u;

	u = &users[mine == &users[0] ? 1 : 0];
	int found = in_child(look);
	int want = (u->initialized ? INITIALIZED : 0) | (u->pin ? USER_HAS : 0);
	cr_assert(found == want, "round %u: the other token: %d, expected %d", round, found, want);
	u = mine;
}

static void one_round(unsigned round)
{
	int status;

	u = &users[roll(N_USERS)];
	fresh = round + 1;
	bool was = u->initialized, had_pin = u->pin != NO_PIN;
	const struct deed *d = choose();
	bool killed = kill_at(&d->how, roll(4) ? 1 + roll(MOST_CALLS) : 0, &status, NULL);
	if (killed)
		tpm_reboot();
	else
		cr_assert(status == 0, "round %u: %s failed at step %d", round, d->name, status);
	int found = in_child(look);
	cr_assert(!(found & TROUBLE) && !(found & d->never), "round %u: %s: %d", round, d->name, found);
	cr_assert(!was || found & INITIALIZED, "round %u: %s: the token is gone", round, d->name);
	cr_assert(d->how.call == init_token || !had_pin || found & USER_HAS, "round %u: %s: no user PIN", round, d->name);
	learn(found);
	check_the_other(round);
	cr_assert(pending() || tpm_our_indices(NULL) == expected_indices(), "round %u: %s: %u indices, expected %u", round,
		  d->name, tpm_our_indices(NULL), expected_indices());
}

static void configure(struct user *user, int number)
{
	snprintf(user->conf, sizeof user->conf, "%s/user%d.conf", h.dir, number);
	FILE *f = fopen(user->conf, "we");
	cr_assert(f);
	fprintf(f, "[slot mine]\ntype = tpm\ntcti = swtpm:host=127.0.0.1,port=%u\nstore = %s/store%d\n", h.port, h.dir,
		number);
	cr_assert(fclose(f) == 0);
}

TestSuite(two, .init = harness_up, .fini = harness_down, .timeout = 900);

Test(two, users_of_one_tpm)
{
	unsigned rounds = (unsigned)number_from("SIGNET_TEST_ROUNDS", 500);
	unsigned long seed = number_from("SIGNET_TEST_SEED", (unsigned long)time(NULL) ^ (unsigned long)getpid() << 16);

	fprintf(stderr, "SIGNET_TEST_SEED=%lu\n", seed);
	dice = seed;
	for (int i = 0; i < N_USERS; i++)
		configure(&users[i], i);
	for (unsigned round = 1; round <= rounds; round++)
		one_round(round);
	/* The last clean-up: whoever wasn't initialized is now, and so has cleaned up. */
	for (u = users; u < users + N_USERS; u++) {
		fresh = rounds + 2;
		if (!u->initialized)
			cr_assert(!kill_at(&deeds[0].how, 0, &(int){0}, NULL));
		learn(in_child(look));
	}
	cr_assert(tpm_our_indices(NULL) == expected_indices(), "%u indices, expected %u", tpm_our_indices(NULL),
		  expected_indices());
	cr_assert(expected_indices() >= N_USERS && tpm_lockouts() == 0);
}

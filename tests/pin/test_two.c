/* Two users' tokens on one TPM: initialized, initialized anew, their PINs changed, and killed meanwhile at random.
 * Neither ever loses an NV index to the other, and none is left over.  A bare TPM serves one at a time: they take turns;
 * behind a resource manager both go on at once.
 * SIGNET_TEST_SEED repeats a run; SIGNET_TEST_ROUNDS says how long it is (500, of both together). */
#include "daemons.h"
#include "pin.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
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
	if (rv == CKR_PIN_INCORRECT)
		rv = try_login(user, old);
	if (rv == CKR_OK)
		return 0;
	fprintf(stderr, "C_Login: %s\n", rv_name(rv));
	return TROUBLE | (user == CKU_SO ? 1 : 2);
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

/* A worker can't end the test: it says what is wrong, and stops. */
static PRINTF_LIKE(3, 4) bool wrong(unsigned round, const struct deed *d, const char *what, ...)
{
	va_list ap;

	fprintf(stderr, "round %u, user %d, %s: ", round, (int)(u - users), d->name);
	va_start(ap, what);
	vfprintf(stderr, what, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return false;
}

/* What a new process finds of the token that a deed was done to.  Everything else about it is as it was. */
static bool settle(unsigned round, const struct deed *d)
{
	bool was = u->initialized, had_pin = u->pin != NO_PIN;
	int found = in_child(look);

	if (found & TROUBLE || found & d->never)
		return wrong(round, d, "found %d", found);
	if (was && !(found & INITIALIZED))
		return wrong(round, d, "the token is gone");
	if (had_pin && !(found & USER_HAS) && d->how.call != init_token)
		return wrong(round, d, "the user's PIN is gone");
	learn(found);
	return true;
}

static bool one_round(unsigned round)
{
	const struct deed *d = choose();
	int status;

	fresh = round + 1;
	if (!kill_at(&d->how, roll(4) ? 1 + roll(MOST_CALLS) : 0, &status, NULL) && status != 0)
		return wrong(round, d, "step %d failed", status);
	if (!tpm_way()->managed)
		tpm_reboot(); /* a bare TPM keeps what the dead had loaded */
	return settle(round, d);
}

/* The other user's token is as it was before this round. */
static bool other_is_well(void)
{
	int found, want;

	u = u == &users[0] ? &users[1] : &users[0];
	want = (u->initialized ? INITIALIZED : 0) | (u->pin ? USER_HAS : 0);
	found = in_child(look);
	if (found != want)
		fprintf(stderr, "user %d, whose token nobody touched: found %d, expected %d\n", (int)(u - users), found, want);
	return found == want;
}

static void configure(struct user *user, int number)
{
	snprintf(user->conf, sizeof user->conf, "%s/user%d.conf", h.dir, number);
	FILE *f = fopen(user->conf, "we");
	cr_assert(f);
	fprintf(f, "[slot mine]\ntype = tpm\nstore = %s/store%d\ntcti = ", h.dir, number);
	tpm_way()->tcti(f);
	fprintf(f, "\n");
	cr_assert(fclose(f) == 0);
}

static unsigned rounds;

static void up(void)
{
	unsigned long seed = number_from("SIGNET_TEST_SEED", (unsigned long)time(NULL) ^ (unsigned long)getpid() << 16);

	harness_up();
	rounds = (unsigned)number_from("SIGNET_TEST_ROUNDS", 500);
	fprintf(stderr, "SIGNET_TEST_SEED=%lu\n", seed);
	dice = seed;
	for (int i = 0; i < N_USERS; i++)
		configure(&users[i], i);
}

TestSuite(two, .init = up, .fini = harness_down, .timeout = 900);

/* Whoever isn't initialized yet is now, and so has cleaned up; then nothing is in the TPM but what the records name. */
static bool last_clean_up(void)
{
	int status = 0;

	fresh = rounds + 2;
	if (!u->initialized && (kill_at(&deeds[0].how, 0, &status, NULL) || status != 0))
		return wrong(rounds, &deeds[0], "step %d failed", status);
	return settle(rounds, &deeds[0]);
}

static void check_indices(void)
{
	unsigned n = tpm_our_indices(NULL);

	cr_assert(n == expected_indices(), "%u NV indices of ours, expected %u", n, expected_indices());
	cr_assert(n >= N_USERS && tpm_lockouts() == 0);
}

Test(two, users_take_turns)
{
	for (unsigned round = 1; round <= rounds; round++) {
		u = &users[roll(N_USERS)];
		cr_assert(one_round(round));
		cr_assert(other_is_well());
		/* A first C_InitToken that was killed is cleaned up by the next one. */
		if (users[0].initialized && users[1].initialized)
			check_indices();
	}
	for (u = users; u < users + N_USERS; u++)
		cr_assert(last_clean_up());
	check_indices();
}

/* One user's rounds; the number of indices of the token that remains, 0: something went wrong. */
static int work(void)
{
	for (unsigned round = 1; round <= rounds / N_USERS; round++)
		if (!one_round(round))
			return 0;
	return last_clean_up() ? 1 + (u->pin != NO_PIN) : 0;
}

Test(two, users_at_once)
{
	pid_t pids[N_USERS];
	unsigned expected = 0;
	int status;

	for (int i = 0; i < N_USERS; i++) {
		u = &users[i];
		dice += 1;
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(work());
	}
	for (int i = 0; i < N_USERS; i++) {
		cr_assert(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status));
		cr_expect(WEXITSTATUS(status) > 0, "user %d failed", i);
		expected += (unsigned)WEXITSTATUS(status);
	}
	tpm_way()->leave();
	unsigned n = tpm_our_indices(NULL);
	tpm_reboot(); /* tpm2-abrmd may leave a session of one who was killed */
	abrmd_begin();
	cr_assert(n == expected, "%u NV indices of ours, expected %u", n, expected);
}

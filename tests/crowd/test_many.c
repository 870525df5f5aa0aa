/* Many keys, threads, processes and objects: none of them makes a call fail. */
#include "crowd.h"

#include <pthread.h>
#include <time.h>

#include "tpm.h"

static void up(void)
{
	harness_up();
	only_kind(&kind_tpm);
	session_up();
}

TestSuite(many, .init = up, .fini = harness_down, .timeout = 300);

#define KEYS 64
#define TURNS 10
#define CROWD 8
#define TIMES 20

static char *numbered(char text[32], const char *what, unsigned n)
{
	snprintf(text, 32, "%s %u", what, n);
	return text;
}

/* ---- keys ---- */

Test(many, keys_by_turns)
{
	struct pair pair[KEYS];
	EVP_PKEY *judge[KEYS];
	uint8_t sig[SIGNATURE];
	unsigned good = 0;
	char label[32];

	for (unsigned i = 0; i < KEYS; i++) {
		pair[i] = ec_pair(h.session, true, numbered(label, "key", i));
		judge[i] = judge_key(h.session, pair[i].pub);
	}
	for (unsigned turn = 0; turn < TURNS; turn++)
		for (unsigned i = 0; i < KEYS; i++) {
			is(crowd_sign(h.session, pair[i].priv, turn, sig), CKR_OK);
			good += crowd_verify(judge[i], turn, sig);
		}
	cr_assert(good == KEYS * TURNS, "%u of %u signatures", good, KEYS * TURNS);
	for (unsigned i = 0; i < KEYS; i++)
		EVP_PKEY_free(judge[i]);
}

Test(many, pairs_made_and_destroyed)
{
	for (unsigned i = 0; i < 200; i++) {
		struct pair p = ec_pair(h.session, i % 2, "short life");
		OK(C_DestroyObject, h.session, p.priv);
		OK(C_DestroyObject, h.session, p.pub);
	}
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_KEY_TYPE, CKK_EC)), NULL) == 0);
}

/* ---- objects ---- */

Test(many, objects_found_by_label)
{
	char label[32];

	for (unsigned i = 0; i < 1000; i++)
		data_object(h.session, true, i % 2, numbered(label, "object", i));
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 1000);
	for (unsigned i = 0; i < 1000; i += 37)
		crowd_find(h.session, CKO_DATA, numbered(label, "object", i));
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RO);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	crowd_find(s, CKO_DATA, "object 999");
	cr_assert(find(s, TEMPLATE(A_TEXT(CKA_LABEL, "object 1000")), NULL) == 0);
}

/* ---- threads ---- */

static struct pair shared;
static EVP_PKEY *shared_judge;
static unsigned made, refused;
static CK_RV first_refusal;

static void count(CK_RV rv)
{
	if (rv == CKR_OK)
		__atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
	else if (__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED) == 1)
		first_refusal = rv;
}

/* One good signature, or why not. */
static CK_RV sign_well(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv, EVP_PKEY *judge, unsigned n)
{
	uint8_t sig[SIGNATURE];
	CK_RV rv = crowd_sign(s, priv, n, sig);

	return rv != CKR_OK || crowd_verify(judge, n, sig) ? rv : CKR_SIGNATURE_INVALID;
}

static void *sign_times(void *arg)
{
	CK_SESSION_HANDLE s = open_session(RO);
	const struct pair *own = arg;
	EVP_PKEY *judge = judge_key(s, own->pub);

	for (unsigned i = 0; i < TIMES; i++)
		count(sign_well(s, own->priv, judge, i));
	EVP_PKEY_free(judge);
	return NULL;
}

static void run_threads(void *(*fn)(void *), struct pair *pair, unsigned n_pairs)
{
	pthread_t thread[CROWD];

	for (unsigned i = 0; i < CROWD; i++)
		cr_assert(pthread_create(&thread[i], NULL, fn, &pair[i % n_pairs]) == 0);
	for (unsigned i = 0; i < CROWD; i++)
		pthread_join(thread[i], NULL);
	cr_assert(made == CROWD * TIMES, "%u of %u signatures; first refusal: %s", made, CROWD * TIMES,
		  rv_name(first_refusal));
}

Test(many, threads_with_one_key)
{
	shared = ec_pair(h.session, true, "shared");
	run_threads(sign_times, &shared, 1);
}

Test(many, threads_with_keys_of_their_own)
{
	struct pair pair[CROWD];
	char label[32];

	for (unsigned i = 0; i < CROWD; i++)
		pair[i] = ec_pair(h.session, i % 2, numbered(label, "of thread", i));
	run_threads(sign_times, pair, CROWD);
}

/* ---- others change the token meanwhile ---- */

static void key_for_others(void)
{
	shared = ec_pair(h.session, true, "shared");
	shared_judge = judge_key(h.session, shared.pub);
}

static bool stop;

static void *sign_until_told(void *arg)
{
	CK_SESSION_HANDLE s = open_session(RO);
	const struct pair *own = arg;

	for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i = (i + 1) % 1000)
		count(sign_well(s, own->priv, shared_judge, i));
	return NULL;
}

/* Both change at the same time; at the next call their objects are there, and nothing else. */
static void both_change(struct changer *c, unsigned round)
{
	char a[32], b[32];

	changer_tell(&c[0], numbered(a, "first", round));
	changer_tell(&c[1], numbered(b, "second", round));
	cr_assert(changer_done(&c[0]) && changer_done(&c[1]), "a changer failed in round %u", round);
	crowd_find(h.session, CKO_DATA, a);
	crowd_find(h.session, CKO_DATA, b);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA)), NULL) == 2);
}

Test(many, two_processes_change_it_while_threads_sign)
{
	pthread_t thread[CROWD];
	struct changer c[2];

	key_for_others();
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		changer_begin(&c[i]);
	both_change(c, 0); /* afterwards they need the TPM no more, which may be a bare one */
	for (unsigned i = 0; i < CROWD; i++)
		cr_assert(pthread_create(&thread[i], NULL, sign_until_told, &shared) == 0);
	for (unsigned round = 1; round <= 50; round++)
		both_change(c, round);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < CROWD; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < ARRAY_LEN(c); i++)
		cr_expect(changer_end(&c[i]) == 0);
	cr_assert(made > 0 && refused == 0, "%u of %u signatures were refused, first: %s", refused, made + refused,
		  rv_name(first_refusal));
	EVP_PKEY_free(shared_judge);
}

/* ---- processes ---- */

static char *out_file(char path[96], unsigned n)
{
	snprintf(path, 96, "%s/signatures-%u", h.dir, n);
	return path;
}

static void expect_signatures(unsigned n)
{
	char path[96];

	for (unsigned i = 0; i < n; i++) {
		unsigned good = crowd_count(shared_judge, out_file(path, i));
		cr_expect(good == TIMES, "process %u: %u of %u signatures", i, good, TIMES);
	}
	EVP_PKEY_free(shared_judge);
}

static void sign_in_a_crowd(void)
{
	pid_t pid[CROWD];
	char path[96];

	key_for_others();
	for (unsigned i = 0; i < CROWD; i++)
		pid[i] = crowd_begin("shared", TIMES, out_file(path, i));
	for (unsigned i = 0; i < CROWD; i++) {
		int status = crowd_end(pid[i]);
		cr_expect(status == 0, "process %u ended with %d", i, status);
	}
	is(sign_well(h.session, shared.priv, shared_judge, 0), CKR_OK);
	expect_signatures(CROWD);
}

static void need_manager(void)
{
	if (!tpm_way()->managed)
		cr_skip_test("a bare TPM is for one process at a time");
}

Test(many, processes_at_once)
{
	need_manager();
	sign_in_a_crowd();
}

/* Programs that hold all that they may leave as much room for others. */
Test(many, processes_beside_hoarders)
{
	ESYS_CONTEXT *hoarder[3];

	need_manager();
	for (size_t i = 0; i < ARRAY_LEN(hoarder); i++)
		hoarder[i] = tpm_hoarder();
	sign_in_a_crowd();
	for (size_t i = 0; i < ARRAY_LEN(hoarder); i++)
		tpm_disconnect(&hoarder[i]);
}

Test(many, processes_one_after_another)
{
	char path[96];

	key_for_others();
	OK(C_Finalize, NULL);
	h.initialized = false;
	for (unsigned i = 0; i < CROWD; i++) {
		int status = crowd_end(crowd_begin("shared", TIMES, out_file(path, i)));
		cr_expect(status == 0, "process %u ended with %d", i, status);
	}
	expect_signatures(CROWD);
}

/* ---- forks ---- */

static int open_session_in_child(void)
{
	CK_SESSION_HANDLE s;
	CK_RV want = strcmp(tpm_way()->name, "abrmd") == 0 ? CKR_TOKEN_NOT_PRESENT : CKR_OK;

	if (h.f->C_Initialize(NULL) != CKR_OK)
		return 1;
	if (h.f->C_OpenSession(h.slot, RO, NULL, NULL, &s) != want)
		return 2;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 3;
}

/* Through tpm2-abrmd a child can't, since GLib doesn't survive a fork; it is told so at once. */
Test(many, forked_children)
{
	time_t start = time(NULL);

	key_for_others();
	for (unsigned i = 0; i < 3; i++) {
		int status = in_child(open_session_in_child);
		cr_expect(status == 0, "the child failed at step %d", status);
		is(sign_well(h.session, shared.priv, shared_judge, i), CKR_OK);
	}
	cr_assert(time(NULL) - start < 15, "the children waited for something");
	EVP_PKEY_free(shared_judge);
}

/* The connection on a real software TPM: budgets, evictions, restarts, lost answers, forks. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conn_private.h"
#include "log.h"
#include "rv.h"
#include "swtpm.h"
#include "tcti_wrap.h"

static struct swtpm tpm;
static struct conn *conn;
static struct storage storage;

static struct wrap *wrap;

static void start(void)
{
	log_configure(secure_getenv("SIGNET_LOG"));
	swtpm_start(&tpm);
	wrap = wrap_hooks();
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tpm.wrapped}, &conn), CKR_OK);
}

static void stop(void)
{
	conn_free(conn);
	swtpm_stop(&tpm);
}

TestSuite(conn, .init = start, .fini = stop, .timeout = 60);

struct key {
	struct key_blob blob;
	struct entity auth;
};

struct signing {
	struct key *key;
	bool protected;
	TPMT_SIGNATURE signature;
};

static CK_RV sign_body(struct conn *c, void *arg)
{
	static const TPM2B_DIGEST digest = {.size = 32};
	struct signing *a = arg;
	bool ecc = a->key->blob.public.publicArea.type == TPM2_ALG_ECC;
	TPMT_SIG_SCHEME scheme = {.scheme = ecc ? TPM2_ALG_ECDSA : TPM2_ALG_RSASSA,
				  .details.any.hashAlg = TPM2_ALG_SHA256};
	struct session s CLEANUP(session_end) = {0};
	struct entity key;

	TRY(handles_key(c, &storage, &a->key->blob, &key));
	key.auth = a->key->auth.auth;
	if (a->protected)
		TRY(session_start(c, SESSION_HMAC, NULL, 0, &s));
	return tpm2_sign(c, &key, a->protected ? &s : NULL, &digest, &scheme, &a->signature);
}

static CK_RV sign(struct key *k, bool protected)
{
	struct signing a = {.key = k, .protected = protected};

	return conn_run(conn, RC_SIGN, sign_body, &a);
}

/* Signs, and gives the number of commands that this took. */
static uint64_t sign_commands(struct key *k, bool protected)
{
	uint64_t before = conn_commands(conn);

	cr_assert_eq(sign(k, protected), CKR_OK);
	return conn_commands(conn) - before;
}

static struct key make(TPM2_ALG_ID type)
{
	struct key k;

	swtpm_key(conn, &storage, type, &k.blob, &k.auth);
	return k;
}

Test(conn, signs_within_its_budget)
{
	struct key k;

	swtpm_storage(conn, false, &storage);
	k = make(TPM2_ALG_ECC);
	cr_expect_eq(sign_commands(&k, false), 2); /* Load, Sign */
	cr_expect_eq(sign_commands(&k, false), 1);
	cr_expect_eq(sign_commands(&k, true), 2);
	k = make(TPM2_ALG_RSA);
	cr_expect_eq(sign_commands(&k, true), 3);
	cr_expect_eq(sign_commands(&k, true), 2);
	conn_free(conn);
	conn = NULL;
	cr_expect_eq(swtpm_census(&tpm).objects, 0);
	cr_expect_eq(swtpm_census(&tpm).sessions, 0);
}

/* Nothing of ours is left when the connection has ended. */
static void expect_clean(void)
{
	struct swtpm_census census;

	wrap->transmit = NULL;
	wrap->receive = NULL;
	conn_free(conn);
	conn = NULL;
	census = swtpm_census(&tpm);
	cr_expect_eq(census.objects, 0, "%zu objects left", census.objects);
	cr_expect_eq(census.sessions, 0, "%zu sessions left", census.sessions);
}

Test(conn, evicts_its_own_keys)
{
	struct key k[4];

	swtpm_storage(conn, false, &storage);
	for (size_t i = 0; i < ARRAY_LEN(k); i++)
		k[i] = make(TPM2_ALG_ECC);
	for (size_t i = 0; i < 3 * ARRAY_LEN(k); i++)
		cr_expect_eq(sign(&k[i * 3 % ARRAY_LEN(k)], i % 2), CKR_OK);
	cr_expect_leq(swtpm_census(&tpm).objects, 2);
	expect_clean();
}

Test(conn, storage_key_from_its_context)
{
	struct key k, other;

	swtpm_storage(conn, true, &storage);
	k = make(TPM2_ALG_ECC);
	other = make(TPM2_ALG_ECC);
	cr_expect_eq(sign(&k, true), CKR_OK);
	cr_expect_eq(sign(&other, true), CKR_OK);
	cr_expect_eq(swtpm_census(&tpm).objects, 2); /* the two keys, not the storage key */
	swtpm_restart(&tpm);                         /* the saved context is void */
	cr_expect_eq(sign(&k, true), CKR_OK);
	cr_expect_eq(sign(&other, false), CKR_OK);
	expect_clean();
}

static CK_RV crowd_body(struct conn *c, void *arg UNUSED)
{
	struct entity owner, made[CONN_MAX_OBJECTS];
	TPM2B_PUBLIC public;

	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		public = (TPM2B_PUBLIC){0};
		TRY(tpm2_create_primary(c, &owner, NULL, &storage.tmpl, &public, &made[i]));
	}
	return CKR_OK;
}

Test(conn, storage_key_that_stays)
{
	struct key k, other;

	swtpm_storage(conn, true, &storage);
	k = make(TPM2_ALG_ECC);
	other = make(TPM2_ALG_ECC);
	storage.saved = false;
	storage.stays = true;
	cr_expect_eq(sign_commands(&k, false), 3); /* CreatePrimary, Load, Sign */
	cr_expect_eq(sign_commands(&k, true), 2);
	cr_expect_eq(sign_commands(&other, false), 3); /* FlushContext, Load, Sign */
	cr_expect_eq(swtpm_census(&tpm).objects, 2, "the storage key, and one key");
	cr_expect_eq(conn_run(conn, RC_ADMIN, crowd_body, NULL), CKR_OK);
	cr_expect_eq(swtpm_census(&tpm).objects, 0, "where all places are wanted it goes, too");
	cr_expect_eq(sign_commands(&k, false), 3);
	swtpm_restart(&tpm);
	cr_expect_eq(sign(&other, true), CKR_OK);
	cr_expect_eq(swtpm_census(&tpm).objects, 2);
	expect_clean();
}

Test(conn, another_tpm_is_not_recognized)
{
	struct key k;

	swtpm_storage(conn, true, &storage);
	k = make(TPM2_ALG_ECC);
	storage.saved = false;
	storage.entity.name.name[10] ^= 1;
	cr_expect_eq(sign(&k, false), CKR_TOKEN_NOT_RECOGNIZED);
	expect_clean();
}

Test(conn, survives_a_restart)
{
	struct key k;

	swtpm_storage(conn, false, &storage);
	k = make(TPM2_ALG_ECC);
	cr_expect_eq(sign(&k, true), CKR_OK);
	swtpm_restart(&tpm);
	cr_expect_eq(sign(&k, true), CKR_OK);
	swtpm_reset(&tpm); /* TPM2_RC_INITIALIZE until somebody starts it */
	cr_expect_eq(sign(&k, true), CKR_OK);
	expect_clean();
}

Test(conn, gone_and_back)
{
	struct key k;

	swtpm_storage(conn, false, &storage);
	k = make(TPM2_ALG_ECC);
	swtpm_kill(&tpm);
	cr_expect_eq(sign(&k, true), CKR_DEVICE_REMOVED);
	cr_expect_eq(conn_probe(conn), CKR_TOKEN_NOT_PRESENT);
	swtpm_restart(&tpm);
	cr_expect_eq(conn_probe(conn), CKR_OK);
	cr_expect_eq(sign(&k, true), CKR_OK);
	expect_clean();
}

/* ---- faults ---- */

static unsigned fault_at;     /* the command that goes wrong, counted from now */
static unsigned fault_times;
static TSS2_RC fault;

static void arm(unsigned at, unsigned times, TSS2_RC rc)
{
	fault_at = wrap->sent + at;
	fault_times = times;
	fault = rc;
}

static bool hit(unsigned n)
{
	return n >= fault_at && n < fault_at + fault_times;
}

static TSS2_RC lose_command(uint32_t cc UNUSED, unsigned n, TSS2_RC *answer UNUSED)
{
	return hit(n) ? fault : TSS2_RC_SUCCESS;
}

static TSS2_RC lose_answer(uint32_t cc UNUSED, unsigned n, uint8_t *answer UNUSED, size_t *size UNUSED)
{
	return hit(n) ? fault : TSS2_RC_SUCCESS;
}

static TSS2_RC answer_instead(uint32_t cc UNUSED, unsigned n, TSS2_RC *answer)
{
	if (hit(n))
		*answer = fault;
	return TSS2_RC_SUCCESS;
}

/* A key that isn't loaded, with a protected signature below a transient storage key: every kind of command. */
static struct key cold_key(void)
{
	struct key k;

	swtpm_storage(conn, true, &storage);
	k = make(TPM2_ALG_ECC);
	return k;
}

Test(conn, every_lost_answer_is_repeated_and_leaves_nothing)
{
	struct key k = cold_key();

	for (unsigned n = 1; n <= 8; n++) {
		handles_drop(conn, k.blob.id);
		wrap->receive = lose_answer;
		arm(n, 1, TSS2_TCTI_RC_IO_ERROR);
		cr_expect_eq(sign(&k, true), CKR_OK, "answer %u", n);
		wrap->receive = NULL;
		cr_expect_eq(sign(&k, true), CKR_OK);
		cr_expect_leq(swtpm_census(&tpm).objects, 2, "answer %u", n);
		cr_expect_eq(swtpm_census(&tpm).sessions, 0, "answer %u", n);
	}
	expect_clean();
}

/* What SYS's buffer holds beyond the answer was there before. */
static TSS2_RC cut_answer(uint32_t cc UNUSED, unsigned n, uint8_t *answer, size_t *size)
{
	if (hit(n)) {
		*size -= fault;
		memset(answer + *size, 0xa5, fault);
	}
	return TSS2_RC_SUCCESS;
}

Test(conn, a_part_of_an_answer_is_none)
{
	struct key k = cold_key();

	for (unsigned cut = 1; cut <= 10; cut += 9)
		for (unsigned n = 1; n <= 8; n++) {
			handles_drop(conn, k.blob.id);
			wrap->receive = cut_answer;
			arm(n, 1, cut);
			cr_expect_eq(sign(&k, true), CKR_OK, "answer %u", n);
			wrap->receive = NULL;
			cr_expect_eq(sign(&k, true), CKR_OK);
			cr_expect_eq(swtpm_census(&tpm).sessions, 0, "answer %u", n);
		}
	expect_clean();
}

Test(conn, every_lost_command_is_repeated)
{
	struct key k = cold_key();

	wrap->transmit = lose_command;
	for (unsigned n = 1; n <= 8; n++) {
		handles_drop(conn, k.blob.id);
		arm(n, 1, TSS2_TCTI_RC_NO_CONNECTION);
		cr_expect_eq(sign(&k, true), CKR_OK, "command %u", n);
	}
	expect_clean();
}

Test(conn, a_connection_that_stays_lost_is_a_removed_device)
{
	struct key k = cold_key();

	wrap->transmit = lose_command;
	for (unsigned n = 1; n <= 5; n++) {
		handles_drop(conn, k.blob.id);
		arm(n, 1000, TSS2_TCTI_RC_IO_ERROR);
		cr_expect_eq(sign(&k, true), CKR_DEVICE_REMOVED, "from command %u", n);
		fault_times = 0;
		cr_expect_eq(sign(&k, true), CKR_OK);
	}
	expect_clean();
}

Test(conn, a_busy_tpm_is_waited_for)
{
	static const TSS2_RC busy[] = {TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING, TPM2_RC_NV_RATE,
				       TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_RETRY};
	struct key k = cold_key();

	cr_expect_eq(sign(&k, true), CKR_OK);
	wrap->transmit = answer_instead;
	for (size_t i = 0; i < ARRAY_LEN(busy); i++)
		for (unsigned times = 1; times <= 5; times += 2) {
			arm(2, times, busy[i]);
			cr_expect_eq(sign(&k, true), CKR_OK, "0x%x, %u times", busy[i], times);
		}
	arm(2, 1000, TPM2_RC_RETRY);
	cr_expect_eq(sign(&k, true), CKR_FUNCTION_FAILED);
	cr_expect_eq(conn_rc(conn), TPM2_RC_RETRY);
	expect_clean();
}

Test(conn, codes_that_are_mended_by_a_second_run)
{
	static const TSS2_RC mended[] = {TPM2_RC_NONCE | TPM2_RC_S | TPM2_RC_1, TPM2_RC_REFERENCE_S0,
					 TPM2_RC_REFERENCE_H0,
					 TPM2_RC_HANDLE | TPM2_RC_1, TPM2_RC_CONTEXT_GAP, TPM2_RC_TOO_MANY_CONTEXTS,
					 TPM2_RC_OBJECT_MEMORY, TPM2_RC_SESSION_MEMORY, TPM2_RC_NEEDS_TEST,
					 TPM2_RC_PARENT};
	struct key k = cold_key();

	wrap->transmit = answer_instead;
	for (size_t i = 0; i < ARRAY_LEN(mended); i++)
		for (unsigned n = 1; n <= 4; n++) {
			handles_drop(conn, k.blob.id);
			arm(n, 1, mended[i]);
			cr_expect_eq(sign(&k, true), CKR_OK, "0x%x at command %u", mended[i], n);
		}
	expect_clean();
}

/* A session that has to be started anew, and behind it a key that isn't loaded any more. */
static TSS2_RC two_answers_instead(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	if (n == fault_at)
		*answer = TPM2_RC_PCR_CHANGED;
	if (cc == TPM2_CC_Sign && fault_times > 0) {
		fault_times--;
		*answer = TPM2_RC_REFERENCE_H0;
	}
	return TSS2_RC_SUCCESS;
}

Test(conn, each_of_two_faults_has_its_cure)
{
	struct key k;

	swtpm_storage(conn, false, &storage);
	k = make(TPM2_ALG_ECC);
	cr_expect_eq(sign(&k, true), CKR_OK);
	wrap->transmit = two_answers_instead;
	arm(1, 1, 0);
	cr_expect_eq(sign(&k, true), CKR_OK);
	arm(1, 2, 0); /* but each cure once */
	cr_expect_eq(sign(&k, true), CKR_DEVICE_ERROR);
	cr_expect_eq(conn_rc(conn), TPM2_RC_REFERENCE_H0);
	expect_clean();
}

static CK_RV flush_others_body(struct conn *c, void *arg UNUSED)
{
	TPM2_HANDLE handles[8];
	size_t n;

	TRY(tpm2_get_handles(c, TPM2_HR_TRANSIENT, handles, ARRAY_LEN(handles), &n));
	for (size_t i = 0; i < n; i++)
		cr_assert(call_flush(c, handles[i]));
	return CKR_OK;
}

/* Another program takes away what is loaded on a bare TPM. */
static void flush_by_another(void)
{
	struct conn *other;

	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "other", .tcti = tpm.tcti}, &other), CKR_OK);
	cr_expect_eq(conn_run(other, RC_OBJECT, flush_others_body, NULL), CKR_OK);
	conn_free(other);
}

static TSS2_RC refuse_first_look(uint32_t cc, unsigned n UNUSED, TSS2_RC *answer)
{
	if (cc == TPM2_CC_ReadPublic && fault_times-- == 1)
		*answer = TPM2_RC_DISABLED;
	return TSS2_RC_SUCCESS;
}

Test(conn, a_key_that_cannot_be_looked_at_is_not_used)
{
	struct key k[2];

	swtpm_storage(conn, false, &storage);
	for (size_t i = 0; i < ARRAY_LEN(k); i++) {
		k[i] = make(TPM2_ALG_ECC);
		cr_expect_eq(sign(&k[i], true), CKR_OK);
	}
	flush_by_another();
	fault_times = 1;
	wrap->transmit = refuse_first_look;
	for (size_t i = 0; i < 2 * ARRAY_LEN(k); i++)
		cr_expect_eq(sign(&k[i % 2], true), CKR_OK, "at %zu", i);
	expect_clean();
}

Test(conn, a_refusal_is_final)
{
	struct key k = cold_key();
	unsigned before;

	cr_expect_eq(sign(&k, true), CKR_OK);
	wrap->transmit = answer_instead;
	before = wrap->sent;
	arm(2, 1, TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1);
	cr_expect_eq(sign(&k, true), CKR_DEVICE_ERROR);
	cr_expect_eq(wrap->sent - before, 3); /* StartAuthSession, Sign, FlushContext */
	expect_clean();
}

Test(conn, failure_mode)
{
	struct key k = cold_key();
	unsigned before;

	cr_expect_eq(sign(&k, true), CKR_OK);
	wrap->transmit = answer_instead;
	arm(1, 1000, TPM2_RC_FAILURE);
	cr_expect_eq(sign(&k, true), CKR_DEVICE_ERROR);
	cr_expect(conn_poisoned(conn));
	before = wrap->sent;
	cr_expect_eq(sign(&k, true), CKR_DEVICE_ERROR); /* not asked again within a second */
	cr_expect_eq(wrap->sent, before);
	fault_times = 0;
	usleep(1100000);
	cr_expect_eq(sign(&k, true), CKR_OK);
	cr_expect_not(conn_poisoned(conn));
	expect_clean();
}

Test(conn, no_answer_within_the_deadline)
{
	struct key k = cold_key();

	cr_expect_eq(sign(&k, true), CKR_OK);
	kill(tpm.pid, SIGSTOP);
	cr_expect_eq(sign(&k, true), CKR_FUNCTION_FAILED);
	cr_expect_eq(sign(&k, true), CKR_FUNCTION_FAILED); /* still nothing */
	kill(tpm.pid, SIGCONT);
	cr_expect_eq(sign(&k, true), CKR_OK);
	expect_clean();
}

static TSS2_RC lose_sessions(uint32_t cc, unsigned n UNUSED, uint8_t *answer UNUSED, size_t *size UNUSED)
{
	return cc == TPM2_CC_StartAuthSession ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

/* From now on as behind the kernel's resource manager, which is recognized by its path. */
static void connect_managed(void)
{
	char link[128], tcti[300];

	conn_free(conn);
	snprintf(link, sizeof link, "%s/tpmrm.so", tpm.dir);
	cr_assert_eq(symlink(wrap_path(), link), 0);
	snprintf(tcti, sizeof tcti, "%s:%s", link, tpm.tcti);
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tcti}, &conn), CKR_OK);
}

/* It fails the system call when it has no room. */
Test(conn, no_room_behind_a_resource_manager)
{
	struct key k = cold_key();

	connect_managed();
	cr_expect_eq(sign(&k, true), CKR_OK);
	cr_expect(conn_managed(conn));
	wrap->receive = lose_sessions;
	cr_expect_eq(sign(&k, true), CKR_DEVICE_MEMORY);
	wrap->receive = NULL;
	cr_expect_eq(conn_probe(conn), CKR_OK);
	conn_free(conn);
	conn = NULL;
}

static unsigned sessions_asked;

static TSS2_RC refuse_first_session(uint32_t cc, unsigned n UNUSED, TSS2_RC *answer)
{
	if (cc == TPM2_CC_StartAuthSession && ++sessions_asked == 1)
		*answer = TPM2_RC_CONTEXT_GAP;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC lose_second_session(uint32_t cc, unsigned n UNUSED, uint8_t *answer UNUSED, size_t *size UNUSED)
{
	return cc == TPM2_CC_StartAuthSession && sessions_asked == 2 ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

/* The same command failed before, but not with the connection: that is no reason not to connect again. */
Test(conn, one_loss_is_not_two)
{
	struct key k = cold_key();

	connect_managed();
	wrap->receive = lose_second_session;
	wrap->transmit = refuse_first_session;
	cr_expect_eq(sign(&k, true), CKR_OK);
	wrap->receive = NULL;
	wrap->transmit = NULL;
	conn_free(conn);
	conn = NULL;
}

/* ---- processes ---- */

Test(conn, a_forked_child_sends_nothing)
{
	struct key k = cold_key();
	unsigned sent;
	int status;
	pid_t child;

	cr_expect_eq(sign(&k, true), CKR_OK);
	sent = wrap->sent;
	child = fork();
	if (child == 0) {
		conn_forked(conn);
		conn_free(conn);
		_exit(wrap->sent == sent ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_expect_eq(sign_commands(&k, false), 1); /* still loaded */
	expect_clean();
}

Test(conn, two_share_a_bare_tpm)
{
	struct conn *other, *mine = conn;
	struct key a, b, c, d;

	swtpm_storage(conn, false, &storage);
	a = make(TPM2_ALG_ECC);
	b = make(TPM2_ALG_ECC);
	c = make(TPM2_ALG_ECC);
	d = make(TPM2_ALG_ECC);
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "other", .tcti = tpm.tcti}, &other), CKR_OK);
	conn = other;
	cr_expect_eq(sign(&a, true), CKR_OK);
	conn = mine; /* two places are left: for the storage key, which takes one while it is used, and a key */
	cr_expect_eq(sign(&c, true), CKR_OK);
	cr_expect_eq(sign(&d, true), CKR_OK);
	cr_expect_eq(sign(&c, true), CKR_OK);
	cr_expect_eq(sign(&d, true), CKR_OK);
	conn = other;
	cr_expect_eq(sign(&b, true), CKR_OK);
	cr_expect_eq(sign(&a, true), CKR_OK);
	conn = mine;
	cr_expect_eq(sign(&c, true), CKR_OK);
	conn_free(other);
	expect_clean();
}

/* ---- what the TPM can do ---- */

static CK_RV caps_body(struct conn *c, void *arg UNUSED)
{
	const struct conn_properties *p;
	const uint16_t *sizes;
	bool yes, no, protected, sure;
	size_t n;

	TRY(conn_properties(c, &p));
	cr_expect_str_eq(p->manufacturer_text, "IBM");
	cr_expect_gt(p->max_auth_fail, 0);
	cr_expect_not(p->lockout_auth_set || p->owner_auth_set || p->in_lockout);
	TRY(conn_has_alg(c, TPM2_ALG_RSA, &yes));
	TRY(conn_has_alg(c, TPM2_ALG_SM4, &no));
	cr_expect(yes && !no);
	TRY(conn_has_curve(c, TPM2_ECC_NIST_P384, &yes));
	cr_expect(yes);
	TRY(conn_rsa_sizes(c, &sizes, &n));
	cr_expect(n >= 2 && sizes[n - 1] >= 2048);
	TRY(conn_protected(c, &protected, &sure));
	cr_expect(!protected && !sure);
	return CKR_OK;
}

Test(conn, asks_once_what_the_tpm_can_do)
{
	uint64_t before;

	cr_expect_eq(conn_commands(conn), 0);
	cr_expect_eq(conn_probe(conn), CKR_OK);
	cr_expect_eq(conn_commands(conn), 0);
	cr_expect_eq(conn_run(conn, RC_PROBE, caps_body, NULL), CKR_OK);
	before = conn_commands(conn);
	cr_expect_leq(before, 8);
	cr_expect_eq(conn_run(conn, RC_PROBE, caps_body, NULL), CKR_OK);
	cr_expect_eq(conn_commands(conn), before);
	expect_clean();
}

/* ---- somebody on the bus ---- */

static CK_RV prove_body(struct conn *c, void *arg)
{
	struct salt_key salt = {.public = &storage.public};
	struct entity parent;
	bool sure;

	TRY(conn_protected(c, arg, &sure));
	cr_expect(!*(bool *)arg && !sure);
	TRY(handles_storage(c, &storage, &parent));
	salt.handle = parent.handle;
	TRY(conn_prove_bus(c, &salt, arg));
	TRY(conn_protected(c, arg, &sure));
	cr_expect(sure);
	return CKR_OK;
}

/* Finds `what` in an answer and overwrites it. */
static struct {
	uint32_t cc;
	const char *what, *with;
	size_t n;
} alteration;

static TSS2_RC alter(uint32_t cc, unsigned n UNUSED, uint8_t *answer, size_t *size)
{
	uint8_t *at = cc == alteration.cc ? memmem(answer, *size, alteration.what, alteration.n) : NULL;

	if (at)
		memcpy(at, alteration.with, alteration.n);
	return TSS2_RC_SUCCESS;
}

Test(conn, a_trusted_bus_is_proven)
{
	bool protected = true;

	swtpm_storage(conn, false, &storage);
	cr_expect_eq(conn_run(conn, RC_SIGN, prove_body, &protected), CKR_OK);
	cr_expect_not(protected);
	conn_free(conn);
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tpm.wrapped}, &conn), CKR_OK);
	alteration.cc = TPM2_CC_GetCapability;
	alteration.what = "IBM";
	alteration.with = "AMD";
	alteration.n = 3;
	wrap->receive = alter;
	cr_expect_eq(conn_run(conn, RC_SIGN, prove_body, &protected), CKR_DEVICE_ERROR);
	cr_expect_eq(conn_rc(conn), TSS2_ESYS_RC_RSP_AUTH_FAILED);
	expect_clean();
}

static CK_RV read_body(struct conn *c, void *arg UNUSED)
{
	TPM2B_PUBLIC public;
	TPM2B_NAME name;
	bool found;

	return tpm2_read_public(c, storage.entity.handle, &public, &name, &found);
}

/* The right name with another key: a session salted with that one would be open to whoever put it there. */
Test(conn, another_key_under_a_known_name_is_refused)
{
	static const char other[] = "another point of the same curve";

	swtpm_storage(conn, false, &storage);
	cr_expect_eq(conn_run(conn, RC_INIT, read_body, NULL), CKR_OK);
	alteration.cc = TPM2_CC_ReadPublic;
	alteration.what = (const char *)storage.public.publicArea.unique.ecc.x.buffer;
	alteration.with = other;
	alteration.n = sizeof other;
	wrap->receive = alter;
	cr_expect_eq(conn_run(conn, RC_INIT, read_body, NULL), CKR_DEVICE_ERROR);
	cr_expect_eq(conn_rc(conn), TSS2_ESYS_RC_RSP_AUTH_FAILED);
	expect_clean();
}

/* ---- a TPM that stops ---- */

static int listen_at(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	cr_assert_eq(bind(s, (struct sockaddr *)&a, sizeof a), 0);
	cr_assert_eq(listen(s, 8), 0);
	return s;
}

static const uint8_t half_answer[] = {0x80, 0x01, 0, 0, 0, 40, 0, 0, 0, 0, 0x02};
static const uint8_t huge_answer[] = {0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x02};
static const uint8_t tiny_answer[] = {0x80, 0x01, 0, 0, 0, 4, 0, 0, 0, 0, 0x02};

/* Takes connections on both ports, answers the control channel, and gives those bytes to every command. */
static void play_tpm(const int listening[2], struct bytes answer)
{
	static const uint8_t fine[12];
	struct pollfd p[2] = {{.fd = listening[0], .events = POLLIN}, {.fd = listening[1], .events = POLLIN}};

	while (poll(p, 2, -1) > 0)
		for (int i = 0; i < 2; i++) {
			uint8_t command[4096];
			int s = p[i].revents ? accept(p[i].fd, NULL, NULL) : -1;

			if (s < 0 || read(s, command, sizeof command) <= 0)
				continue;
			if (i == 1)
				(void)!write(s, fine, sizeof fine);
			else
				(void)!write(s, answer.ptr, answer.len);
		} /* the connections stay open */
}

static void against(struct bytes answer)
{
	int listening[2];
	pid_t pid;

	swtpm_kill(&tpm); /* its ports are free */
	for (unsigned i = 0; i < 2; i++)
		listening[i] = listen_at(tpm.port + i);
	pid = fork();
	if (pid == 0) {
		play_tpm(listening, answer);
		_exit(0);
	}
	close(listening[0]);
	close(listening[1]);
	cr_expect_neq(conn_run(conn, RC_PROBE, caps_body, NULL), CKR_OK);
	conn_free(conn);
	conn = NULL;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

Test(conn, half_an_answer_holds_nobody)
{
	against(BYTES_OF(half_answer));
}

Test(conn, impossible_sizes_of_answers)
{
	against(BYTES_OF(huge_answer));
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tpm.wrapped}, &conn), CKR_OK);
	against(BYTES_OF(tiny_answer));
}

Test(conn, a_stopped_tpm_is_not_there)
{
	kill(tpm.pid, SIGSTOP);
	cr_expect_eq(conn_probe(conn), CKR_TOKEN_NOT_PRESENT);
	kill(tpm.pid, SIGCONT);
	cr_expect_eq(conn_probe(conn), CKR_OK);
	expect_clean();
}

/* Nobody takes the connections that the kernel accepts. */
Test(conn, a_simulator_that_says_nothing)
{
	char tcti[64];

	swtpm_kill(&tpm);
	int commands = listen_at(tpm.port), control = listen_at(tpm.port + 1);
	conn_free(conn);
	snprintf(tcti, sizeof tcti, "mssim:host=127.0.0.1,port=%u", tpm.port);
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tcti}, &conn), CKR_OK);
	cr_expect_eq(conn_probe(conn), CKR_TOKEN_NOT_PRESENT);
	close(commands);
	close(control);
}

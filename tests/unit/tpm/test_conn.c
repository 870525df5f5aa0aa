/* The connection on a real software TPM: budgets, evictions, restarts, lost answers, forks. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "swtpm.h"

static struct swtpm tpm;
static struct conn *conn;
static struct storage storage;

static void start(void)
{
	log_configure(secure_getenv("SIGNET_LOG"));
	swtpm_start(&tpm);
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tpm.tcti}, &conn), CKR_OK);
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
	TPMT_SIG_SCHEME scheme = {.scheme = ecc ? TPM2_ALG_ECDSA : TPM2_ALG_RSASSA, .details.any.hashAlg = TPM2_ALG_SHA256};
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

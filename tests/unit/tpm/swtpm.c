#include "swtpm.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto.h"
#include "tcti_wrap.h"

static bool can_bind(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	bool ok;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	ok = bind(s, (struct sockaddr *)&a, sizeof a) == 0;
	close(s);
	return ok;
}

/* Below the range that connections take theirs from: the TCTI makes one for each command, and many tests at once
 * leave thousands of them waiting for their end there. */
static unsigned free_ports(void)
{
	uint16_t r;

	for (int i = 0; i < 100; i++) {
		unsigned port;

		cr_assert_eq(random_bytes(&r, sizeof r), CKR_OK);
		port = 10000u + 2u * (r % 11000u);
		if (can_bind(port) && can_bind(port + 1))
			return port;
	}
	cr_assert_fail("no two free ports");
	return 0;
}

static bool answers(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = connect(s, (struct sockaddr *)&a, sizeof a) == 0;

	close(s);
	return ok;
}

static void run_swtpm(const struct swtpm *t)
{
	char state[96], server[64], ctrl[64];
	int null = open("/dev/null", O_RDWR);

	snprintf(state, sizeof state, "dir=%s", t->dir);
	snprintf(server, sizeof server, "type=tcp,port=%u,bindaddr=127.0.0.1", t->port);
	snprintf(ctrl, sizeof ctrl, "type=tcp,port=%u,bindaddr=127.0.0.1", t->port + 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, 1);
	dup2(null, 2);
	execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl", ctrl, "--flags",
	       "not-need-init,startup-clear", NULL);
	_exit(127);
}

/* False: it ended at once, since somebody has one of its ports. */
static bool launch(struct swtpm *t)
{
	t->pid = fork();
	if (t->pid == 0)
		run_swtpm(t);
	for (int i = 0; i < 1000; i++) {
		bool up = answers(t->port + 1) && answers(t->port); /* by it or by another one */

		if (waitpid(t->pid, NULL, WNOHANG) == t->pid) {
			t->pid = 0;
			return false;
		}
		if (up)
			return true;
		usleep(10000);
	}
	cr_assert_fail("swtpm doesn't start");
	return false;
}

#define TRIES 50

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void remove_dir(const char *dir)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Waits for the end of the test, and removes what a crash left.  Its TPM is being killed meanwhile, and may still
 * write: hence more than one look. */
static void janitor_wait(const char *dir, int fd)
{
	char byte;

	setsid();
	for (int other = 0; other < 1024; other++)
		if (other != fd)
			close(other);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	for (int i = 0; i < 50 && access(dir, F_OK) == 0; i++) {
		remove_dir(dir);
		usleep(20000);
	}
	_exit(0);
}

static void janitor_start(struct swtpm *t)
{
	int end[2];

	cr_assert_eq(pipe2(end, O_CLOEXEC), 0); /* swtpm must not hold it open */
	t->janitor_pid = fork();
	cr_assert(t->janitor_pid >= 0);
	if (t->janitor_pid == 0)
		janitor_wait(t->dir, end[0]);
	close(end[0]);
	t->janitor = end[1];
}

void swtpm_start(struct swtpm *t)
{
	t->pid = 0;
	snprintf(t->dir, sizeof t->dir, "/tmp/signet-swtpm-XXXXXX");
	cr_assert_not_null(mkdtemp(t->dir));
	janitor_start(t);
	for (int i = 0; i < TRIES && t->pid == 0; i++) {
		t->port = free_ports();
		(void)launch(t);
	}
	cr_assert_neq(t->pid, 0, "no ports for swtpm");
	snprintf(t->tcti, sizeof t->tcti, "swtpm:host=127.0.0.1,port=%u", t->port);
	snprintf(t->wrapped, sizeof t->wrapped, "%s:%s", TCTI_WRAP, t->tcti);
}

void swtpm_kill(struct swtpm *t)
{
	if (t->pid <= 0)
		return;
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
}

void swtpm_restart(struct swtpm *t)
{
	swtpm_kill(t);
	for (int i = 0; i < TRIES && !launch(t); i++)
		usleep(100000); /* connections to the one before may still hold its ports */
	cr_assert_neq(t->pid, 0, "swtpm doesn't start again");
}

/* swtpm's control channel: CMD_INIT without flags, its answer 4 bytes. */
void swtpm_reset(const struct swtpm *t)
{
	static const uint8_t init[8] = {0, 0, 0, 2};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(t->port + 1)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t answer[4];
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(s, (struct sockaddr *)&a, sizeof a), 0);
	cr_assert_eq(write(s, init, sizeof init), (ssize_t)sizeof init);
	cr_assert_eq(read(s, answer, sizeof answer), (ssize_t)sizeof answer);
	close(s);
}

const char *wrap_path(void)
{
	return TCTI_WRAP;
}

struct wrap *wrap_hooks(void)
{
	void *so = dlopen(TCTI_WRAP, RTLD_NOW);

	cr_assert_not_null(so, "%s", dlerror());
	return dlsym(so, "wrap");
}

void swtpm_stop(struct swtpm *t)
{
	swtpm_kill(t);
	remove_dir(t->dir);
	if (t->janitor_pid <= 0)
		return;
	close(t->janitor);
	waitpid(t->janitor_pid, NULL, 0);
	t->janitor_pid = 0;
}

/* ---- what is in it ---- */

static CK_RV count(struct conn *c, TPM2_HANDLE first, size_t *ret)
{
	TPM2_HANDLE handles[64];

	return tpm2_get_handles(c, first, handles, ARRAY_LEN(handles), ret);
}

static CK_RV census_body(struct conn *c, void *arg)
{
	struct swtpm_census *census = arg;

	TRY(count(c, TPM2_HR_TRANSIENT, &census->objects));
	TRY(count(c, TPM2_HR_HMAC_SESSION, &census->sessions));
	TRY(count(c, TPM2_HR_NV_INDEX, &census->indices));
	return count(c, TPM2_HR_PERSISTENT, &census->persistent);
}

struct swtpm_census swtpm_census(const struct swtpm *t)
{
	const struct conn_conf conf = {.slot = "census", .tcti = t->tcti};
	struct swtpm_census census = {0};
	struct conn *c;

	cr_assert_eq(conn_new(&conf, &c), CKR_OK);
	cr_assert_eq(conn_run(c, RC_PROBE, census_body, &census), CKR_OK);
	conn_free(c);
	return census;
}

void swtpm_expect_clean(const struct swtpm *t)
{
	struct swtpm_census census;

	if (t->pid <= 0 || kill(t->pid, 0) != 0)
		return;
	census = swtpm_census(t);
	if (census.objects == 0 && census.sessions == 0)
		return;
	fprintf(stderr, "left in the TPM: %zu objects, %zu sessions\n", census.objects, census.sessions);
	raise(SIGABRT);
}

/* ---- keys ---- */

static const TPM2B_PUBLIC storage_template = {
	.publicArea = {.type = TPM2_ALG_ECC,
		       .nameAlg = TPM2_ALG_SHA256,
		       .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
					   TPMA_OBJECT_NODA | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					   TPMA_OBJECT_SENSITIVEDATAORIGIN,
		       .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
							      .keyBits.aes = 128,
							      .mode.aes = TPM2_ALG_CFB},
						.scheme.scheme = TPM2_ALG_NULL,
						.curveID = TPM2_ECC_NIST_P256,
						.kdf.scheme = TPM2_ALG_NULL},
		       .unique.ecc = {.x.size = 32, .y.size = 32}}};

struct storage_args {
	struct storage *storage;
	bool saved;
};

static CK_RV storage_body(struct conn *c, void *arg)
{
	struct storage_args *a = arg;
	struct storage *s = a->storage;
	struct entity owner, made = {0};

	*s = (struct storage){.hierarchy = TPM2_RH_OWNER, .tmpl = storage_template};
	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	TRY(tpm2_create_primary(c, &owner, NULL, &s->tmpl, &s->public, &made));
	s->entity = made;
	s->entity.handle = a->saved ? TPM2_RH_NULL : 0x81000001;
	if (!a->saved)
		return tpm2_evict_control(c, &owner, NULL, &made, s->entity.handle);
	TRY(tpm2_context_save(c, made.handle, &s->context));
	s->saved = true;
	return CKR_OK;
}

void swtpm_storage(struct conn *c, bool saved, struct storage *ret)
{
	struct storage_args args = {.storage = ret, .saved = saved};

	cr_assert_eq(conn_run(c, RC_ADMIN, storage_body, &args), CKR_OK);
}

struct key_args {
	struct storage *storage;
	struct key_blob *key;
	struct entity *auth;
	TPM2B_PUBLIC tmpl;
};

/* With a session that encrypts both ways: the authValue in, the private part out. */
static CK_RV key_body(struct conn *c, void *arg)
{
	struct key_args *a = arg;
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth = a->auth->auth};
	struct create_req req = {.sensitive = &sensitive, .tmpl = &a->tmpl};
	struct session s CLEANUP(session_end) = {0};
	struct entity parent;
	struct salt_key salt;

	TRY(handles_storage(c, a->storage, &parent));
	salt = (struct salt_key){.handle = parent.handle, .public = &a->storage->public};
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, &s));
	return tpm2_create(c, &parent, &s, &req, &a->key->public, &a->key->private);
}

void swtpm_key(struct conn *c, struct storage *storage, TPM2_ALG_ID type, struct key_blob *ret, struct entity *ret_auth)
{
	struct key_args args = {.storage = storage, .key = ret, .auth = ret_auth};
	TPMT_PUBLIC *p = &args.tmpl.publicArea;
	uint8_t auth[32];

	*p = (TPMT_PUBLIC){.type = type, .nameAlg = TPM2_ALG_SHA256,
			   .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_FIXEDTPM |
					       TPMA_OBJECT_FIXEDPARENT |
					       TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_DECRYPT |
					       TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA};
	if (type == TPM2_ALG_ECC)
		p->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
							   .scheme.scheme = TPM2_ALG_NULL,
							   .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL};
	else
		p->parameters.rsaDetail = (TPMS_RSA_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
							   .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048};
	cr_assert_eq(random_bytes(auth, sizeof auth), CKR_OK);
	cr_assert_eq(random_bytes(ret->id, sizeof ret->id), CKR_OK);
	*ret_auth = (struct entity){0};
	cr_assert_eq(entity_set_auth(ret_auth, BYTES_OF(auth)), CKR_OK);
	cr_assert_eq(conn_run(c, RC_GEN, key_body, &args), CKR_OK);
}

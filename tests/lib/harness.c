/* The fixtures: the test's own place, the configuration and the module. */
#include "harness.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons.h"

struct harness h = {.janitor = -1};
CK_BBOOL ck_true = CK_TRUE, ck_false = CK_FALSE;

static const struct kind *const kinds[] = {&kind_mem, &kind_keyring, &kind_tpm};

bool is_kind(const struct kind *k)
{
	return h.kind == k;
}

void only_kind(const struct kind *k)
{
	if (h.kind != k)
		cr_skip_test("of the %s token only", k->name);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	remove(path); /* a daemon that ends may have been faster */
	return 0;
}

void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void clear_place(void)
{
	daemons_end();
	remove_tree(h.dir);
}

/* Waits for the end of the test, and tidies up if it crashed. */
static void janitor_wait(int fd)
{
	char byte;

	setsid();
	for (int other = 0; other < 1024; other++)
		if (other != fd)
			close(other);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	if (access(h.dir, F_OK) == 0)
		clear_place();
	_exit(0);
}

/* A process that outlives a test that crashes, and then ends its TPM and removes its directory.  Daemons that the test
 * starts become its children, so that it can wait for them. */
static void janitor_start(void)
{
	int end[2];

	cr_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	cr_assert(pipe2(end, O_CLOEXEC) == 0); /* or swtpm would hold it open */
	h.janitor_pid = fork();
	cr_assert(h.janitor_pid >= 0);
	if (h.janitor_pid == 0)
		janitor_wait(end[0]);
	close(end[0]);
	h.janitor = end[1];
}

static const char *from_environment(const char *name)
{
	const char *value = secure_getenv(name);

	cr_assert(value, "%s is not set: run the tests through meson", name);
	return value;
}

void write_config(void)
{
	char path[96];

	snprintf(path, sizeof path, "%s/signet.conf", h.dir);
	FILE *f = fopen(path, "we");
	cr_assert(f);
	fprintf(f, "[slot test]\n");
	h.kind->config(f);
	if (h.extra)
		fprintf(f, "%s", h.extra);
	if (h.kind == &kind_mem)
		fprintf(f, "[slot other]\ntype = mem\n");
	else
		fprintf(f, "[slot other]\ntype = keyring\nkeyring = session\n");
	cr_assert(fclose(f) == 0);
	chmod(path, 0644);
	setenv("SIGNET_CONF", path, 1);
}

/* The module's newest function list, the usual way: C_GetInterface without wishes. */
static void load_module(void)
{
	CK_INTERFACE *interface = NULL;

	h.module = dlopen(from_environment("SIGNET_TEST_MODULE"), RTLD_NOW | RTLD_LOCAL);
	cr_assert(h.module, "%s", dlerror());
	CK_C_GetInterface get = (CK_C_GetInterface)dlsym(h.module, "C_GetInterface");
	cr_assert(get, "%s", dlerror());
	CK_RV rv = get(NULL, NULL, &interface, 0);
	cr_assert(rv == CKR_OK && interface, "C_GetInterface: %s", rv_name(rv));
	h.f = interface->pFunctionList;
}

void harness_up(void)
{
	const char *name = from_environment("SIGNET_TEST_TOKEN");

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			h.kind = kinds[i];
	cr_assert(h.kind, "SIGNET_TEST_TOKEN=%s is no kind of token", name);
	const char *place = secure_getenv("SIGNET_TEST_PLACE");
	snprintf(h.dir, sizeof h.dir, "%.32s/signet-test-XXXXXX", place ? place : "/tmp");
	cr_assert(mkdtemp(h.dir));
	janitor_start();
	answer_listed("C_Initialize", CKR_OK); /* reads the lists while this process may */
	load_module();
	setenv("XDG_CONFIG_HOME", h.dir, 1);
	setenv("XDG_DATA_HOME", h.dir, 1);
	h.kind->setup();
	write_config();
	h.slot = 0;
	h.other = 1;
}

void library_up(void)
{
	if (!h.f)
		harness_up();
	OK(C_Initialize, &(CK_C_INITIALIZE_ARGS){.flags = CKF_OS_LOCKING_OK});
	h.initialized = true;
}

void token_up(void)
{
	CK_UTF8CHAR label[32];

	if (!h.initialized)
		library_up();
	memset(label, ' ', sizeof label);
	memcpy(label, "Signet test", 11);
	OK(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
	CK_SESSION_HANDLE s = open_session(RW);
	cr_assert(login(s, CKU_SO, SO_PIN) == CKR_OK, "login of the SO");
	OK(C_InitPIN, s, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
	OK(C_CloseSession, s);
}

void session_up(void)
{
	token_up();
	h.session = open_session(RW);
	CK_RV rv = login(h.session, CKU_USER, USER_PIN);
	cr_assert(rv == CKR_OK, "login of the user: %s", rv_name(rv));
}

/* Of harness_down(). */
static bool ending;

static void die_untidy(void)
{
	if (h.untidy || ending)
		raise(SIGABRT);
}

void harness_down(void)
{
	if (!h.f)
		return;
	ending = true;
	atexit(die_untidy); /* a cr_assert() below leaves at once */
	CK_RV rv = CALL(C_Finalize, NULL);
	expect_tidy(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED, "C_Finalize: %s", rv_name(rv));
	h.kind->check();
	h.kind->teardown();
	clear_place();
	close(h.janitor);
	waitpid(h.janitor_pid, NULL, 0);
	ending = false;
}

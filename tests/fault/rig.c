/* The place. */
#include "rig.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "state.h"

struct plans plans;
struct outputs out;

static int tpm = -1;
static bool with_mutexes;

/* ---- the TPM ---- */

static void read_all(uint8_t *p, size_t n)
{
	while (n) {
		ssize_t got = read(tpm, p, n);
		cr_assert(got > 0, "the TPM has closed the connection");
		p += got;
		n -= (size_t)got;
	}
}

size_t rig_tpm(const uint8_t *command, size_t n, uint8_t *response, size_t cap)
{
	uint32_t size;

	cr_assert(write(tpm, command, n) == (ssize_t)n);
	read_all(response, 10);
	memcpy(&size, response + 2, sizeof size);
	size = ntohl(size);
	cr_assert(size >= 10 && size <= cap, "a response of %u bytes", size);
	read_all(response + 10, size - 10);
	return size;
}

static void tpm_open(void)
{
	static char prefix[256];
	const char *path = secure_getenv("SIGNET_TEST_TCTI");
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(h.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	cr_assert(path, "SIGNET_TEST_TCTI isn't set");
	tpm = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(tpm >= 0 && connect(tpm, (struct sockaddr *)&to, sizeof to) == 0, "the TPM: %m");
	void *lib = dlopen(path, RTLD_NOW);
	cr_assert(lib, "%s", dlerror());
	plans.commands = dlsym(lib, "tcti_fault");
	plans.operations = dlsym(lib, FAULT_TCTI_OPERATIONS);
	cr_assert(plans.commands && plans.operations);
	snprintf(prefix, sizeof prefix, "%s:fd=%d,", path, tpm);
	h.tcti_prefix = prefix;
}

/* ---- the application's mutexes ---- */

static CK_RV mutex_fails(const char *what)
{
	return fault_hits(&plans.mutexes, what) ? plans.mutexes.code : CKR_OK;
}

static CK_RV create_mutex(void **mutex)
{
	CK_RV rv = mutex_fails("CreateMutex");

	if (rv != CKR_OK)
		return rv;
	pthread_mutex_t *m = malloc(sizeof *m);
	cr_assert(m && pthread_mutex_init(m, NULL) == 0);
	*mutex = m;
	return CKR_OK;
}

/* It goes even where it says that it doesn't: nobody asks twice. */
static CK_RV destroy_mutex(void *mutex)
{
	CK_RV rv = mutex_fails("DestroyMutex");

	pthread_mutex_destroy(mutex);
	free(mutex);
	return rv;
}

static CK_RV lock_mutex(void *mutex)
{
	CK_RV rv = mutex_fails("LockMutex");

	if (rv == CKR_OK)
		cr_assert(pthread_mutex_lock(mutex) == 0);
	return rv;
}

/* It is open even where it says that it isn't: else the next call would wait forever, as is the application's right. */
static CK_RV unlock_mutex(void *mutex)
{
	CK_RV rv = mutex_fails("UnlockMutex");

	cr_assert(pthread_mutex_unlock(mutex) == 0);
	return rv;
}

CK_C_INITIALIZE_ARGS *rig_initialize_args(void)
{
	static CK_C_INITIALIZE_ARGS systems = {.flags = CKF_OS_LOCKING_OK};
	static CK_C_INITIALIZE_ARGS applications = {.CreateMutex = create_mutex, .DestroyMutex = destroy_mutex,
						    .LockMutex = lock_mutex, .UnlockMutex = unlock_mutex};

	return with_mutexes ? &applications : &systems;
}

/* ---- the stages ---- */

void rig_stop(void)
{
	if (!h.initialized)
		return;
	OK(C_Finalize, NULL);
	h.initialized = false;
}

static void start(void)
{
	CK_RV rv;

	if (h.initialized)
		return;
	rv = CALL(C_Initialize, rig_initialize_args());
	cr_assert(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize: %s", rv_name(rv));
	h.initialized = true;
}

static const struct {
	CK_FLAGS flags;
	CK_STATE state;
	CK_USER_TYPE user; /* CK_UNAVAILABLE_INFORMATION: nobody */
	const char *pin;
} stages[] = {
	[STAGE_PUBLIC] = {RW, CKS_RW_PUBLIC_SESSION, CK_UNAVAILABLE_INFORMATION, NULL},
	[STAGE_READ] = {RO, CKS_RO_PUBLIC_SESSION, CK_UNAVAILABLE_INFORMATION, NULL},
	[STAGE_USER] = {RW, CKS_RW_USER_FUNCTIONS, CKU_USER, USER_PIN},
	[STAGE_SO] = {RW, CKS_RW_SO_FUNCTIONS, CKU_SO, SO_PIN},
};

static void session_for(enum stage stage)
{
	CK_SESSION_INFO info;
	CK_RV rv = h.f->C_GetSessionInfo(h.session, &info);

	if (rv == CKR_OK && info.state == stages[stage].state && info.slotID == h.slot)
		return;
	OK(C_CloseAllSessions, h.slot);
	h.session = open_session(stages[stage].flags);
	if (stages[stage].pin)
		is(login(h.session, stages[stage].user, stages[stage].pin), CKR_OK);
}

void rig_stage(enum stage stage)
{
	if (stage == STAGE_NONE) {
		rig_stop();
		return;
	}
	start();
	if (stage == STAGE_LIBRARY)
		OK(C_CloseAllSessions, h.slot);
	else
		session_for(stage);
}

/* ---- the whole ---- */

void rig_up(void)
{
	harness_up();
	struct faults *(*get)(void) = (struct faults *(*)(void))dlsym(h.module, "signet_test_faults");
	cr_assert(get, "%s", dlerror());
	plans.module = get();
	if (is_kind(&kind_tpm))
		tpm_open();
}

void rig_begin(const char *config, bool mutexes)
{
	static char lines[256];

	rig_stop();
	watcher_stop();
	with_mutexes = mutexes;
	/* Where a bus can be tapped nothing is believed that isn't authenticated, so that damage shows. */
	snprintf(lines, sizeof lines, "%s%s", is_kind(&kind_tpm) ? "bus = protected\n" : "", config ? config : "");
	h.extra = lines;
	write_config();
	state_clear();
	watcher_start();
	start();
	OK(C_CloseAllSessions, h.slot);
	token_up();
}

void rig_down(void)
{
	if (!h.f)
		return;
	rig_stop();
	watcher_stop();
	if (tpm >= 0)
		close(tpm);
	tpm = -1;
	harness_down();
}

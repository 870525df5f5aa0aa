/* The TPM token, on a swtpm of the test's own. */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <keyutils.h>
#include <signal.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "tpm.h"

static bool can_bind(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int yes = 1;

	cr_assert(fd >= 0, "socket: %m");
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	bool free_port = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
	close(fd);
	return free_port;
}

/* Two free ports in a row, as the TSS's swtpm TCTI wants them; 0 if this try found none.  Below the range from which
 * the kernel takes ports for clients: thousands of those rest in TIME_WAIT while tests run, since the TCTI connects to
 * the control port for each command. */
static uint16_t free_ports(void)
{
	uint16_t port;

	cr_assert(getrandom(&port, sizeof port, 0) == sizeof port);
	port = (uint16_t)(10000 + port % 11000 * 2);
	return can_bind(port) && can_bind((uint16_t)(port + 1)) ? port : 0;
}

/* swtpm says that it listens by going into the background; a port that was taken meanwhile is an exit code. */
static bool start(uint16_t port)
{
	char state[96], server[64], ctrl[64], pid_file[96], log[96];
	pid_t pid;
	int status;

	snprintf(state, sizeof state, "dir=%s/tpm", h.dir);
	snprintf(server, sizeof server, "type=tcp,port=%u", port);
	snprintf(ctrl, sizeof ctrl, "type=tcp,port=%u", port + 1u);
	snprintf(pid_file, sizeof pid_file, "file=%s/pid", h.dir);
	snprintf(log, sizeof log, "%s/swtpm.log", h.dir);
	const char *const argv[] = {"swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl",
				    ctrl, "--flags", "not-need-init,startup-clear", "--pid", pid_file, "--daemon",
				    NULL};
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int failed = posix_spawnp(&pid, "swtpm", &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	cr_assert(failed == 0, "swtpm: %s", strerror(failed));
	cr_assert(waitpid(pid, &status, 0) == pid);
	return status == 0;
}

/* The end of what swtpm said of a failure. */
static const char *last_words(void)
{
	static char line[256];
	char path[96];

	snprintf(path, sizeof path, "%s/swtpm.log", h.dir);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		;
	if (f)
		fclose(f);
	return line;
}

static void setup(void)
{
	char path[96];

	snprintf(path, sizeof path, "%s/tpm", h.dir);
	cr_assert(mkdir(path, 0700) == 0);
	cr_assert(keyctl_join_session_keyring(NULL) > 0); /* where [slot other] lives */
	for (int i = 0; i < 50 && !h.port; i++) {
		uint16_t port = free_ports();
		if (port && start(port))
			h.port = port;
	}
	cr_assert(h.port, "swtpm doesn't start (%s)", last_words());
}

void tpm_power_off(void)
{
	pid_t pid = daemon_pid();

	cr_assert(pid > 1 && kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

void tpm_power_on(void)
{
	cr_assert(start(h.port), "swtpm doesn't start again");
}

static void config(FILE *conf)
{
	fprintf(conf, "type = tpm\ntcti = %sswtpm:host=127.0.0.1,port=%u\nstore = %s/store\n",
		h.tcti_prefix ? h.tcti_prefix : "", h.port, h.dir);
}

ESYS_CONTEXT *tpm_connect(void)
{
	char conf[64];
	TSS2_TCTI_CONTEXT *tcti = NULL;
	ESYS_CONTEXT *esys = NULL;

	snprintf(conf, sizeof conf, "swtpm:host=127.0.0.1,port=%u", h.port);
	TSS2_RC rc = Tss2_TctiLdr_Initialize(conf, &tcti);
	cr_assert(rc == 0, "connection to swtpm: 0x%x", rc);
	rc = Esys_Initialize(&esys, tcti, NULL);
	cr_assert(rc == 0, "Esys_Initialize: 0x%x", rc);
	return esys;
}

void tpm_disconnect(ESYS_CONTEXT **esys)
{
	TSS2_TCTI_CONTEXT *tcti = NULL;

	Esys_GetTcti(*esys, &tcti);
	Esys_Finalize(esys);
	Tss2_TctiLdr_Finalize(&tcti);
}

uint32_t tpm_handles(ESYS_CONTEXT *esys, uint32_t first, TPML_HANDLE *ret)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;

	TSS2_RC rc = Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
					TPM2_MAX_CAP_HANDLES, &more, &data);
	cr_assert(rc == 0, "TPM2_GetCapability(handles 0x%x): 0x%x", first, rc);
	uint32_t n = data->data.handles.count;
	if (ret)
		*ret = data->data.handles;
	Esys_Free(data);
	return n;
}

uint32_t tpm_property(ESYS_CONTEXT *esys, uint32_t property)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;

	TSS2_RC rc = Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
					property, 1, &more, &data);
	cr_assert(rc == 0, "TPM2_GetCapability(0x%x): 0x%x", property, rc);
	const TPML_TAGGED_TPM_PROPERTY *p = &data->data.tpmProperties;
	cr_assert(p->count == 1 && p->tpmProperty[0].property == property);
	uint32_t value = p->tpmProperty[0].value;
	Esys_Free(data);
	return value;
}

/* R14, R15, 4.2: nothing transient is left, and no wrong PIN touched the machine's counter. */
static void check(void)
{
	if (!h.port)
		return;
	ESYS_CONTEXT *esys = tpm_connect();
	cr_expect(tpm_handles(esys, TPM2_TRANSIENT_FIRST, NULL) == 0, "transient objects are left in the TPM");
	cr_expect(tpm_handles(esys, TPM2_LOADED_SESSION_FIRST, NULL) == 0, "loaded sessions are left in the TPM");
	cr_expect(tpm_handles(esys, TPM2_ACTIVE_SESSION_FIRST, NULL) == 0, "saved sessions are left in the TPM");
	uint32_t lockouts = tpm_property(esys, TPM2_PT_LOCKOUT_COUNTER);
	cr_expect(lockouts == h.lockouts, "TPM2_PT_LOCKOUT_COUNTER is %u, expected %lu", lockouts, h.lockouts);
	tpm_disconnect(&esys);
}

static void teardown(void)
{
	if (!h.port)
		return;
	ESYS_CONTEXT *esys = tpm_connect();
	Esys_Shutdown(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_SU_CLEAR);
	tpm_disconnect(&esys);
}

const struct kind kind_tpm = {
	.name = "tpm",
	.setup = setup,
	.config = config,
	.check = check,
	.teardown = teardown,
	.hardware = true,
};

/* Starting and ending daemons. */
#include "daemons.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define PATH_SIZE 96

static const char *in_dir(char path[PATH_SIZE], const char *name)
{
	snprintf(path, PATH_SIZE, "%s/%s", h.dir, name);
	return path;
}

static pid_t pid_in(const char *name)
{
	char path[PATH_SIZE];
	int pid = 0;

	FILE *f = fopen(in_dir(path, name), "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

/* Whether it has ended, waited for a moment; of somebody else's child nothing is known. */
static bool has_ended(pid_t pid)
{
	const struct timespec pause = {0, 10000000};

	for (int i = 0; i < 20; i++) {
		pid_t ended = waitpid(pid, NULL, WNOHANG);
		if (ended != 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* Ours, or adopted: see janitor_start() in harness.c.  tpm2-abrmd misses a SIGTERM that comes before its main loop runs:
 * it is told again, and at last killed. */
static bool end(const char *name, int signal)
{
	char path[PATH_SIZE];
	pid_t pid = pid_in(name);

	if (pid <= 1 || kill(pid, signal) != 0)
		return false;
	for (int i = 0; !has_ended(pid); i++)
		kill(pid, i < 25 ? signal : SIGKILL);
	unlink(in_dir(path, name));
	return true;
}

void daemons_end(void)
{
	end("abrmd.pid", SIGKILL);
	end("bus.pid", SIGKILL);
	end("swtpm.pid", SIGKILL);
}

/* Its output goes to NAME.log in the test's directory. */
static pid_t spawn(const char *name, const char *const *argv)
{
	char log[PATH_SIZE];
	posix_spawn_file_actions_t actions;
	pid_t pid;

	snprintf(log, sizeof log, "%s/%s.log", h.dir, name);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	int failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	cr_assert(failed == 0, "%s: %s", argv[0], strerror(failed));
	return pid;
}

static int status_of(pid_t pid)
{
	int status;

	cr_assert(waitpid(pid, &status, 0) == pid);
	return status;
}

/* The end of what a daemon said. */
static const char *last_words(const char *name)
{
	static char line[256];
	char log[PATH_SIZE];

	snprintf(log, sizeof log, "%s/%s.log", h.dir, name);
	FILE *f = fopen(log, "re");
	while (f && fgets(line, sizeof line, f))
		;
	if (f)
		fclose(f);
	return line;
}

/* ---- swtpm ---- */

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
static bool try_swtpm(uint16_t port, bool started)
{
	char state[PATH_SIZE], server[64], ctrl[64], pid_file[PATH_SIZE];

	snprintf(state, sizeof state, "dir=%s/tpm", h.dir);
	snprintf(server, sizeof server, "type=tcp,port=%u", port);
	snprintf(ctrl, sizeof ctrl, "type=tcp,port=%u", port + 1u);
	snprintf(pid_file, sizeof pid_file, "file=%s/swtpm.pid", h.dir);
	const char *const argv[] = {"swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl",
				    ctrl, "--flags", started ? "not-need-init,startup-clear" : "not-need-init",
				    "--pid", pid_file, "--daemon", NULL};
	return status_of(spawn("swtpm", argv)) == 0;
}

void swtpm_begin(bool started)
{
	uint16_t port;

	if (h.port)
		cr_assert(try_swtpm(h.port, started), "swtpm doesn't start again (%s)", last_words("swtpm"));
	for (int i = 0; i < 50 && !h.port; i++)
		if ((port = free_ports()) && try_swtpm(port, started))
			h.port = port;
	cr_assert(h.port, "swtpm doesn't start (%s)", last_words("swtpm"));
}

void swtpm_end(int signal)
{
	cr_assert(end("swtpm.pid", signal), "swtpm isn't running");
}

void swtpm_init(void)
{
	char address[32];

	snprintf(address, sizeof address, "127.0.0.1:%u", h.port + 1u);
	const char *const argv[] = {"swtpm_ioctl", "-i", "--tcp", address, NULL};
	cr_assert(status_of(spawn("swtpm_ioctl", argv)) == 0, "%s", last_words("swtpm_ioctl"));
}

/* ---- the bus ---- */

static const char bus_config[] =
	"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
	" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
	"<busconfig><type>session</type><listen>unix:path=%s/bus</listen><pidfile>%s/bus.pid</pidfile><fork/>\n"
	"<auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\n"
	"<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n";

void bus_begin(void)
{
	char path[PATH_SIZE], option[128], address[128];

	FILE *f = fopen(in_dir(path, "bus.conf"), "we");
	cr_assert(f);
	fprintf(f, bus_config, h.dir, h.dir);
	cr_assert(fclose(f) == 0);
	snprintf(option, sizeof option, "--config-file=%s", path);
	const char *const argv[] = {"dbus-daemon", option, NULL};
	/* It listens when it goes into the background. */
	cr_assert(status_of(spawn("bus", argv)) == 0, "dbus-daemon doesn't start (%s)", last_words("bus"));
	snprintf(address, sizeof address, "unix:path=%s/bus", h.dir);
	setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
}

/* ---- tpm2-abrmd ---- */

/* Whether somebody owns its name: asked by a process of its own, since GLib in this one couldn't be forked. */
static bool abrmd_is_there(void)
{
	static const char *const argv[] = {"dbus-send", "--session", "--print-reply", "--reply-timeout=2000",
					   "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetNameOwner",
					   "string:" ABRMD_NAME, NULL};

	return status_of(spawn("dbus-send", argv)) == 0;
}

void abrmd_begin(void)
{
	const struct timespec pause = {0, 10000000};
	char path[PATH_SIZE], tcti[64];

	snprintf(tcti, sizeof tcti, "--tcti=swtpm:host=127.0.0.1,port=%u", h.port);
	/* --flush-all: one that was killed may have left what it had loaded for a command. */
	const char *const argv[] = {"tpm2-abrmd", "--session", "--allow-root", "--flush-all",
				    "--dbus-name=" ABRMD_NAME, tcti, NULL};
	pid_t pid = spawn("abrmd", argv);
	FILE *f = fopen(in_dir(path, "abrmd.pid"), "we");
	cr_assert(f);
	fprintf(f, "%d\n", pid);
	cr_assert(fclose(f) == 0);
	while (!abrmd_is_there()) {
		cr_assert(waitpid(pid, NULL, WNOHANG) == 0, "tpm2-abrmd ended (%s)", last_words("abrmd"));
		nanosleep(&pause, NULL);
	}
}

void abrmd_end(int signal)
{
	const struct timespec pause = {0, 10000000};

	cr_assert(end("abrmd.pid", signal), "tpm2-abrmd isn't running");
	while (abrmd_is_there()) /* the bus hasn't noticed yet */
		nanosleep(&pause, NULL);
}

/* The way to the TPM: TctiLdr and SYS contexts, deadlines, and why there is none.
 *
 * What the TCTIs of tpm2-tss 3.2.1 do (tried): device and tabrmd give a poll handle and honour the receive timeout;
 * mssim and swtpm ignore the timeout, and swtpm has no poll handle either: stream.c finds its socket.  None of them
 * can cancel a command without a round trip of its own, so nothing is ever cancelled: a late answer is waited for again
 * by the next sequence. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "conn_private.h"
#include "log.h"

#define MAX_POLL_HANDLES 4
#define SYS_SLACK 64
#define CONNECT_MS 10000 /* the TPM may be busy for another program */

int64_t transport_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void transport_sleep(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* ---- why there is no connection ---- */

/* A device node: what open(2) says and the TCTI doesn't.  errno, or 0 if it can be opened. */
static int device_errno(const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC), e = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return e;
}

static const struct {
	int error;
	const char *advice;
} device_rows[] = {
	{.error = ENOENT, .advice = "no TPM: is it enabled in the firmware, and the kernel's driver loaded?"},
	{.error = ENODEV, .advice = "no TPM behind that node"},
	{.error = ENXIO, .advice = "no TPM behind that node"},
	{.error = EACCES, .advice = "add the user to the group that owns it (usually tss: usermod -a -G tss USER)"},
	{.error = EPERM, .advice = "a sandbox or a security module forbids it"},
	{.error = EBUSY, .advice = "another program holds the TPM: use /dev/tpmrm0, which can be shared"},
	{.error = EMFILE, .advice = "this process has too many open files"},
	{.error = ENFILE, .advice = "the system has too many open files"},
};

static CK_RV explain_device(const char *slot, const char *path)
{
	int e = device_errno(path);
	const char *advice = "see the kernel log";

	for (size_t i = 0; i < ARRAY_LEN(device_rows); i++)
		if (device_rows[i].error == e)
			advice = device_rows[i].advice;
	log_error("slot %s: cannot open %s as uid %u: %s; %s", slot, path, (unsigned)geteuid(),
		  e ? strerrordesc_np(e) : "it opens, but doesn't answer", advice);
	return e == EMFILE || e == ENFILE || e == ENOMEM ? CKR_HOST_MEMORY : CKR_DEVICE_REMOVED;
}

/* The TCTI's name is the text up to the first colon. */
static bool tcti_is(const char *tcti, const char *name)
{
	size_t n = strlen(name);

	return strncmp(tcti, name, n) == 0 && (tcti[n] == ':' || tcti[n] == 0);
}

static const char *device_path(const char *tcti)
{
	const char *colon = strchr(tcti, ':');

	if (colon && colon[1])
		return colon + 1;
	return access("/dev/tpmrm0", F_OK) == 0 ? "/dev/tpmrm0" : "/dev/tpm0";
}

static CK_RV explain(const char *slot, const char *tcti, TSS2_RC rc)
{
	const char *advice = "check the slot's `tcti`";

	if (tcti_is(tcti, "device"))
		return explain_device(slot, device_path(tcti));
	if (rc == TSS2_TCTI_RC_NOT_SUPPORTED)
		advice = "the TCTI's library isn't installed";
	else if (rc == TSS2_TCTI_RC_NOT_PERMITTED && strstr(tcti, "tabrmd"))
		advice = "a child forked from a process that has used tpm2-abrmd can't reach it: let it exec, or use "
			 "/dev/tpmrm0";
	else if (tcti_is(tcti, "tabrmd"))
		advice = "is tpm2-abrmd running? (systemctl status tpm2-abrmd)";
	else if (tcti_is(tcti, "swtpm") || tcti_is(tcti, "mssim"))
		advice = "is the software TPM running at that address?";
	log_error("slot %s: no connection to the TPM by \"%s\": 0x%x, %s; %s", slot, tcti, rc, Tss2_RC_Decode(rc),
		  advice);
	return rc == TSS2_TCTI_RC_MEMORY ? CKR_HOST_MEMORY : CKR_DEVICE_REMOVED;
}

/* ---- opening and closing ---- */

/* Whether a resource manager is in between: by the way's name, since neither of them says so itself. */
static bool behind_manager(const char *tcti)
{
	if (tcti_is(tcti, "device"))
		return strstr(device_path(tcti), "tpmrm") != NULL;
	return strstr(tcti, "tabrmd") || strstr(tcti, "tpmrm");
}

/* SYS's own memory, for the largest command.  Some of its readers look at a size field that begins where the answer
 * ends, hence the few bytes behind it. */
static TSS2_RC sys_open(TSS2_TCTI_CONTEXT *tcti, TSS2_SYS_CONTEXT **ret)
{
	size_t size = Tss2_Sys_GetContextSize(0);
	TSS2_SYS_CONTEXT *sys = calloc(1, size + SYS_SLACK);
	TSS2_RC rc;

	if (!sys)
		return TSS2_TCTI_RC_MEMORY;
	rc = Tss2_Sys_Initialize(sys, size, tcti, NULL);
	if (rc != TSS2_RC_SUCCESS) {
		free(sys);
		return rc;
	}
	*ret = sys;
	return TSS2_RC_SUCCESS;
}

/* The tabrmd TCTI speaks through a thread of GLib's, which a forked child hasn't: there it would wait 25 s for nothing,
 * or crash (tried).  A TCTI in a process of its own (cmd:) has no such trouble. */
static bool needs_lost_thread(const char *tcti)
{
	static _Atomic pid_t first;
	pid_t before = 0;

	if (!strstr(tcti, "tabrmd") || tcti_is(tcti, "cmd"))
		return false;
	return !atomic_compare_exchange_strong(&first, &before, getpid()) && before != getpid();
}

static TSS2_RC tcti_open(const char *tcti, TSS2_TCTI_CONTEXT **ret)
{
	if (needs_lost_thread(tcti))
		return TSS2_TCTI_RC_NOT_PERMITTED;
	if (!stream_answers(tcti, CONNECT_MS))
		return TSS2_TCTI_RC_TRY_AGAIN;
	return Tss2_TctiLdr_Initialize(tcti, ret);
}

CK_RV transport_open(struct transport *t, const char *slot, const char *tcti, TSS2_RC *ret_rc)
{
	TSS2_TCTI_POLL_HANDLE handles[MAX_POLL_HANDLES];
	size_t n = MAX_POLL_HANDLES;
	TSS2_RC rc;

	stream_init(&t->stream, tcti);
	rc = tcti_open(tcti, &t->tcti);
	if (rc == TSS2_RC_SUCCESS) {
		rc = sys_open(whole_init(&t->whole, t->tcti), &t->sys);
		if (rc != TSS2_RC_SUCCESS)
			Tss2_TctiLdr_Finalize(&t->tcti);
	}
	if (rc != TSS2_RC_SUCCESS) {
		bool first = !t->complained;

		t->tcti = NULL;
		t->complained = true;
		*ret_rc = rc;
		return first ? explain(slot, tcti, rc) :
		       rc == TSS2_TCTI_RC_MEMORY ? CKR_HOST_MEMORY : CKR_DEVICE_REMOVED;
	}
	t->complained = false;
	t->managed = behind_manager(tcti);
	t->device = tcti_is(tcti, "device");
	t->pollable = Tss2_Tcti_GetPollHandles(t->tcti, handles, &n) == TSS2_RC_SUCCESS && n > 0;
	if (t->pollable)
		t->stream.port = 0;
	for (size_t i = 0; t->pollable && !t->device && i < n; i++)
		stream_limit(handles[i].fd);
	return CKR_OK;
}

void transport_close(struct transport *t)
{
	if (t->sys) {
		Tss2_Sys_Finalize(t->sys);
		wipe(t->sys, Tss2_Sys_GetContextSize(0)); /* the last command may have carried a secret */
		free(t->sys);
	}
	if (t->tcti)
		Tss2_TctiLdr_Finalize(&t->tcti);
	t->sys = NULL;
	t->tcti = NULL;
}

void transport_abandon(struct transport *t)
{
	TSS2_TCTI_POLL_HANDLE handles[MAX_POLL_HANDLES];
	size_t n = MAX_POLL_HANDLES;

	/* The TCTI's own destructor could speak to a daemon, so its memory stays; the descriptors are the parent's
	 * connection, and must not be held open by its children. */
	if (t->tcti && Tss2_Tcti_GetPollHandles(t->tcti, handles, &n) == TSS2_RC_SUCCESS)
		for (size_t i = 0; i < n; i++)
			close(handles[i].fd);
	if (t->sys) {
		wipe(t->sys, Tss2_Sys_GetContextSize(0)); /* the copy of the parent's last command */
		free(t->sys);
	}
	t->sys = NULL;
	t->tcti = NULL;
}

bool transport_within(const struct transport *t, const uint8_t *p, size_t n)
{
	const uint8_t *start = (const uint8_t *)t->sys;
	size_t size = Tss2_Sys_GetContextSize(0);

	return p >= start && p <= start + size && n <= (size_t)(start + size - p);
}

/* ---- one exchange ---- */

/* Waits until an answer can be read; false: not within wait_ms.  Where nothing can be polled, true. */
static bool wait_readable(struct transport *t, int wait_ms)
{
	TSS2_TCTI_POLL_HANDLE handles[MAX_POLL_HANDLES];
	struct pollfd p[MAX_POLL_HANDLES];
	int64_t end = transport_now() + wait_ms, left = wait_ms;
	size_t n = MAX_POLL_HANDLES;
	int r;

	if (t->pollable && Tss2_Tcti_GetPollHandles(t->tcti, handles, &n) != TSS2_RC_SUCCESS)
		return true;
	if (!t->pollable) {
		handles[0].fd = stream_socket(&t->stream);
		n = handles[0].fd < 0 ? 0 : 1;
	}
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){.fd = handles[i].fd, .events = POLLIN};
	if (n == 0)
		return true;
	while ((r = poll(p, n, (int)left)) < 0 && errno == EINTR)
		left = MAX(end - transport_now(), 0);
	return r != 0;
}

/* The socket TCTIs use write(2): a software TPM that has just died would kill the application with SIGPIPE. */
struct pipe_guard {
	sigset_t before;
	bool pending; /* somebody else's: only a signal that was blocked before can be */
};

static void pipe_block(struct pipe_guard *g)
{
	sigset_t set, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, &g->before);
	g->pending = sigismember(&g->before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
		     sigismember(&pending, SIGPIPE) == 1;
}

static void pipe_restore(const struct pipe_guard *g, TSS2_RC rc)
{
	static const struct timespec now;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	if (rc != TSS2_RC_SUCCESS && !g->pending)
		while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &g->before, NULL);
}

static TSS2_RC transmit(struct transport *t)
{
	struct pipe_guard guard;
	TSS2_RC rc;

	if (t->device)
		return Tss2_Sys_ExecuteAsync(t->sys);
	pipe_block(&guard);
	rc = Tss2_Sys_ExecuteAsync(t->sys);
	pipe_restore(&guard, rc);
	return rc;
}

TSS2_RC transport_exchange(struct transport *t, int wait_ms)
{
	TSS2_RC rc;

	stream_expect(&t->stream);
	rc = transmit(t);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	if (!wait_readable(t, wait_ms))
		return TSS2_TCTI_RC_TRY_AGAIN;
	return Tss2_Sys_ExecuteFinish(t->sys, wait_ms);
}

TSS2_RC transport_late(struct transport *t, int wait_ms)
{
	if (!wait_readable(t, wait_ms))
		return TSS2_TCTI_RC_TRY_AGAIN;
	return Tss2_Sys_ExecuteFinish(t->sys, wait_ms);
}

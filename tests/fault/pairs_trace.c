/* Processes that are held.  Of all system calls only those count by which the two processes could meet: between any two
 * others it makes no difference where one stands.  A command to the TPM and its answer are one such step, since a
 * process is held only before a call of the table, and none is made while an answer is awaited.  A filter of seccomp(2)
 * has the process stop at these calls only. */
#include "pairs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than a lock is waited for (R13a). */
#define TIME_PASSED_NS 11000000000

/* ---- the system calls ---- */

static const struct {
	uint32_t nr;
	int taken;     /* the errno that says that somebody has the lock; 0: it isn't about the lock */
} meetings[] = {
	/* the ring: its keys, and the socket that is its lock */
	{SYS_add_key, 0}, {SYS_keyctl, 0}, {SYS_bind, EADDRINUSE}, {SYS_listen, 0}, {SYS_connect, 0},
	/* the store's files and lock, and the way to the TPM */
	{SYS_openat, 0}, {SYS_mkdir, 0}, {SYS_flock, EWOULDBLOCK}, {SYS_write, 0}, {SYS_sendto, 0}, {SYS_newfstatat, 0},
	{SYS_getdents64, 0}, {SYS_renameat, 0}, {SYS_unlinkat, 0}, {SYS_faccessat2, 0},
	/* of a socket it ends the lock */
	{SYS_close, 0},
};

static size_t meeting_of(uint64_t nr)
{
	size_t i = 0;

	while (i < ARRAY_LEN(meetings) && meetings[i].nr != nr)
		i++;
	cr_assert(i < ARRAY_LEN(meetings), "system call %lu", (unsigned long)nr);
	return i;
}

/* ---- in the process ---- */

static void time_has_passed(int signal UNUSED)
{
	module_faults->ahead_ns += TIME_PASSED_NS;
}

static void prepare(const struct deed *d)
{
	const char *pin = d->actor == AS_SO ? SO_PIN : USER_PIN;

	MUST(C_Initialize, NULL);
	if (d->actor == WITHOUT_SESSION)
		return;
	MUST(C_OpenSession, h.slot, RW, NULL, NULL, &self.session);
	MUST(C_Login, self.session, d->actor == AS_SO ? CKU_SO : CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
	base_find();
}

/* From now on each call of the table stops this process, if it is traced. */
static void stop_at_meetings(void)
{
	struct sock_filter f[2 * ARRAY_LEN(meetings) + 2];
	struct sock_fprog program = {.len = ARRAY_LEN(f), .filter = f};
	size_t n = 0;

	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_LEN(meetings); i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, meetings[i].nr, 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(79);
}

static void be_actor(const struct deed *d, size_t seat)
{
	self = (struct self){.name = (char)('A' + seat)};
	signal(SIGUSR1, time_has_passed);
	prepare(d);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(78);
	raise(SIGSTOP);
	stop_at_meetings();
	board->seat[seat].rv = d->call();
	raise(SIGSTOP);
	view_own(&board->seat[seat].view);
	must("C_Finalize", h.f->C_Finalize(NULL));
	_exit(0);
}

/* ---- from outside ---- */

static void wait_for(struct actor_process *p)
{
	cr_assert(waitpid(p->pid, &p->status, 0) == p->pid, "waitpid: %m");
}

void actor_start(struct actor_process *p, const struct deed *d, size_t seat)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP;

	*p = (struct actor_process){.pid = fork()};
	board->seat[seat] = (struct seat){.rv = CK_UNAVAILABLE_INFORMATION};
	cr_assert(p->pid >= 0, "fork: %m");
	if (p->pid == 0)
		be_actor(d, seat);
	wait_for(p);
	cr_assert(WIFSTOPPED(p->status), "%s, %s: it can't be prepared (%x)", d->function, d->variant, p->status);
	cr_assert(ptrace(PTRACE_SETOPTIONS, p->pid, NULL, options) == 0, "PTRACE_SETOPTIONS: %m");
}

/* What a system call that has returned says about the lock; 0: nothing. */
static enum halt about_lock(const struct actor_process *p, int64_t result)
{
	int taken = meetings[p->meeting].taken;

	if (!taken)
		return 0;
	if (result == 0)
		return HALT_LOCKS;
	return result == -taken ? HALT_WAITS : 0;
}

/* Of the socket address in another process. */
static bool is_control_port(pid_t pid, uint64_t address)
{
	errno = 0;
	long word = ptrace(PTRACE_PEEKDATA, pid, address, NULL);
	struct {
		uint16_t family, port;
	} start;

	memcpy(&start, &word, sizeof start);
	return errno == 0 && start.family == AF_INET && ntohs(start.port) == h.port + 1;
}

/* The TPM's control port serves one at a time: who is held while connected to it has something like a lock, for which
 * another one would be seen to wait only when its patience is over.  So nobody is held there. */
static bool asks_control(struct actor_process *p, const struct __ptrace_syscall_info *i)
{
	uint64_t fd = i->seccomp.args[0];
	bool asks = p->asks;

	if (i->seccomp.nr == SYS_connect && is_control_port(p->pid, i->seccomp.args[1])) {
		p->asks = true;
		p->asking = fd;
	} else if (i->seccomp.nr == SYS_close && asks && p->asking == fd) {
		p->asks = false;
	}
	return asks;
}

/* Another stop at a system call: what it means, of what is asked for; 0: nothing. */
static enum halt at_call(struct actor_process *p, unsigned long at, enum halt lock)
{
	struct __ptrace_syscall_info i = {0};

	cr_assert(ptrace(PTRACE_GET_SYSCALL_INFO, p->pid, sizeof i, &i) > 0, "PTRACE_GET_SYSCALL_INFO: %m");
	p->within = i.op == PTRACE_SYSCALL_INFO_SECCOMP;
	if (p->within) {
		p->meeting = meeting_of(i.seccomp.nr);
		return !asks_control(p, &i) && ++p->points == at ? HALT_HELD : 0;
	}
	return lock && about_lock(p, i.exit.rval) == lock ? lock : 0;
}

/* Whether a stop is at a system call, else *ret_signal is the signal that it is for. */
static bool is_call(int status, long *ret_signal)
{
	bool call = status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8) || WSTOPSIG(status) == (SIGTRAP | 0x80);

	*ret_signal = call ? 0 : WSTOPSIG(status);
	return call;
}

/* Its end is of interest only of a call that takes the lock. */
static void go_on(struct actor_process *p, long signal)
{
	bool to_its_end = p->within && meetings[p->meeting].taken;

	cr_assert(ptrace(to_its_end ? PTRACE_SYSCALL : PTRACE_CONT, p->pid, NULL, signal) == 0 || errno == ESRCH,
		  "ptrace: %m");
	wait_for(p);
}

enum halt actor_go(struct actor_process *p, unsigned long at, enum halt lock)
{
	long signal = 0;
	enum halt halt = 0;

	while (!halt) {
		go_on(p, signal);
		if (!WIFSTOPPED(p->status))
			return HALT_ENDED;
		if (is_call(p->status, &signal))
			halt = at_call(p, at, lock);
		else if (signal == SIGSTOP)
			return HALT_OVER;
	}
	return halt;
}

bool actor_end(struct actor_process *p)
{
	long signal = 0;

	p->within = false;
	do {
		go_on(p, signal);
	} while (WIFSTOPPED(p->status) && (is_call(p->status, &signal) || signal));
	return WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0;
}

void actor_kill(struct actor_process *p)
{
	if (WIFSTOPPED(p->status)) {
		kill(p->pid, SIGKILL);
		wait_for(p);
	}
}

void actor_time_passes(struct actor_process *p)
{
	cr_assert(kill(p->pid, SIGUSR1) == 0);
}

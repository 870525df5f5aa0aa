/* Killing a process at its nth system call: it is traced, and SIGKILL comes as it enters the call, which is then never
 * made. */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pin.h"

static void be_victim(const struct victim *v)
{
	int where = v->prepare();

	if (where)
		_exit(where);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(200);
	raise(SIGSTOP);
	_exit(v->call());
}

/* Goes on to the next stop.  False: the process has ended. */
static bool go_on(pid_t pid, int signal, int *status)
{
	long sent = signal;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, sent) != 0)
		cr_assert(errno == ESRCH, "PTRACE_SYSCALL: %m");
	cr_assert(waitpid(pid, status, 0) == pid);
	return WIFSTOPPED(*status);
}

/* Whether the process stands before a system call. */
static bool enters(pid_t pid, int status)
{
	struct __ptrace_syscall_info i = {0};

	if (WSTOPSIG(status) != (SIGTRAP | 0x80))
		return false;
	cr_assert(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof i, &i) > 0, "PTRACE_GET_SYSCALL_INFO: %m");
	return i.op == PTRACE_SYSCALL_INFO_ENTRY;
}

static int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool follow(pid_t pid, unsigned long nth, int *status, unsigned long *calls)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
	int signal = 0;

	cr_assert(ptrace(PTRACE_SETOPTIONS, pid, NULL, options) == 0, "PTRACE_SETOPTIONS: %m");
	while (go_on(pid, signal, status)) {
		bool is_call = WSTOPSIG(*status) == (SIGTRAP | 0x80);

		signal = is_call ? 0 : WSTOPSIG(*status);
		if (!enters(pid, *status) || ++*calls != nth)
			continue;
		cr_assert(kill(pid, SIGKILL) == 0);
		cr_assert(waitpid(pid, status, 0) == pid && WIFSIGNALED(*status));
		return true;
	}
	return false;
}

bool kill_at(const struct victim *v, unsigned long nth, int *ret_status, unsigned long *ret_calls)
{
	unsigned long calls = 0;
	bool killed = false;
	int status;
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0)
		be_victim(v);
	cr_assert(waitpid(pid, &status, WUNTRACED) == pid);
	if (WIFSTOPPED(status))
		killed = follow(pid, nth, &status, &calls);
	*ret_status = exit_code(status);
	if (ret_calls)
		*ret_calls = calls;
	return killed;
}

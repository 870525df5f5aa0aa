/* Watching a process's system calls by ptrace.  It is stopped as it enters each, and as it leaves it. */
#include "killer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static void be_victim(const struct victim *v)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* stopped, and with nobody to trace it, it would stay for ever */
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

/* What the process stands at, from the stop before and this one; false: at no system call. */
static bool look_at(pid_t pid, struct system_call *c)
{
	struct __ptrace_syscall_info i = {0};

	cr_assert(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof i, &i) > 0, "PTRACE_GET_SYSCALL_INFO: %m");
	if (i.op == PTRACE_SYSCALL_INFO_ENTRY) {
		*c = (struct system_call){.pid = pid, .number = (long)i.entry.nr};
		memcpy(c->args, i.entry.args, sizeof c->args);
		return true;
	}
	c->left = i.op == PTRACE_SYSCALL_INFO_EXIT;
	c->result = c->left ? i.exit.rval : 0;
	return c->left;
}

static int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool follow(pid_t pid, watch_fn *fn, void *arg, int *status)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
	struct system_call c = {0};
	int signal = 0;

	cr_assert(ptrace(PTRACE_SETOPTIONS, pid, NULL, options) == 0, "PTRACE_SETOPTIONS: %m");
	while (go_on(pid, signal, status)) {
		bool is_call = WSTOPSIG(*status) == (SIGTRAP | 0x80);

		signal = is_call ? 0 : WSTOPSIG(*status);
		if (!is_call || !look_at(pid, &c) || !fn(&c, arg))
			continue;
		cr_assert(kill(pid, SIGKILL) == 0);
		cr_assert(waitpid(pid, status, 0) == pid && WIFSIGNALED(*status));
		return true;
	}
	return false;
}

bool watch(const struct victim *v, watch_fn *fn, void *arg, int *ret_status)
{
	bool killed = false;
	int status;
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0)
		be_victim(v);
	cr_assert(waitpid(pid, &status, WUNTRACED) == pid);
	if (WIFSTOPPED(status))
		killed = follow(pid, fn, arg, &status);
	*ret_status = exit_code(status);
	return killed;
}

struct countdown {
	unsigned long nth, calls;
};

static bool is_nth(const struct system_call *c, void *arg)
{
	struct countdown *d = arg;

	return !c->left && ++d->calls == d->nth;
}

bool kill_at(const struct victim *v, unsigned long nth, int *ret_status, unsigned long *ret_calls)
{
	struct countdown d = {.nth = nth};
	bool killed = watch(v, is_nth, &d, ret_status);

	if (ret_calls)
		*ret_calls = d.calls;
	return killed;
}

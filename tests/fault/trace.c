/* Recording: system calls become events as they end. */
#include "trace.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "harness.h"

struct recorder {
	struct trace *trace;
	char intents[TRACE_PATH];
	struct event next;  /* of the call that is being made */
	bool is_event;      /* if it succeeds */
};

void trace_add(struct trace *t, const struct event *e)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->at = realloc(t->at, t->cap * sizeof *t->at);
		cr_assert(t->at);
	}
	t->at[t->n++] = *e;
}

void trace_done(struct trace *t)
{
	free(t->at);
	*t = (struct trace){0};
}

/* ---- what the process means ---- */

/* Up to `cap` bytes of its memory. */
static size_t peek(pid_t pid, uint64_t at, void *buf, size_t cap)
{
	struct iovec local = {buf, cap}, remote = {(void *)(uintptr_t)at, cap};
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

/* A text may end just before memory that isn't there. */
static void peek_text(pid_t pid, uint64_t at, char text[TRACE_PATH])
{
	size_t n = 0;

	while (n < TRACE_PATH - 1 && peek(pid, at + n, text + n, 1) == 1 && text[n])
		n++;
	text[n] = '\0';
}

/* What a descriptor is; "" if nothing. */
static void name_of_fd(pid_t pid, int fd, char path[TRACE_PATH])
{
	char link[64];

	snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", pid, fd);
	ssize_t n = readlink(link, path, TRACE_PATH - 1);
	path[n < 0 ? 0 : n] = '\0';
}

/* A name relative to a directory. */
static void name_at(pid_t pid, uint64_t dir, uint64_t at, char path[TRACE_PATH])
{
	char name[TRACE_PATH], place[TRACE_PATH];

	peek_text(pid, at, name);
	name_of_fd(pid, (int)dir, place);
	if (name[0] == '/')
		snprintf(path, TRACE_PATH, "%s", name);
	else
		cr_assert(snprintf(path, TRACE_PATH, "%s/%s", place, name) < TRACE_PATH, "a long path: %s", name);
}

/* ---- commands ---- */

/* TPM2B_NV_PUBLIC of an index such as ours is the last of the command: handle, nameAlg, attributes, policy, size. */
#define NV_PUBLIC_SIZE 46
#define NV_POLICY_AT 12
#define ANNOUNCED_SIZE 36

/* Whether the file of intents has that handle and policy, side by side (tpm/intent.c). */
static bool is_announced(const struct recorder *r, const uint8_t *command, size_t n)
{
	uint8_t wanted[ANNOUNCED_SIZE], file[4096];
	size_t size = 0;

	if (n < NV_PUBLIC_SIZE)
		return false;
	memcpy(wanted, command + n - NV_PUBLIC_SIZE, 4);
	memcpy(wanted + 4, command + n - NV_PUBLIC_SIZE + NV_POLICY_AT, 32);
	FILE *f = fopen(r->intents, "re");
	if (f) {
		size = fread(file, 1, sizeof file, f);
		fclose(f);
	}
	return memmem(file, size, wanted, sizeof wanted);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What goes to a socket: a command if it looks like one. */
static bool note_command(struct recorder *r, pid_t pid, uint64_t at, uint64_t n)
{
	static const uint32_t permanent[] = {TPM2_CC_NV_DefineSpace, TPM2_CC_NV_UndefineSpace};
	uint8_t command[4096];
	size_t size = peek(pid, at, command, MIN(n, sizeof command));

	if (size < 10 || command[0] != 0x80 || be32(command + 2) != size)
		return false;
	r->next.deed = DEED_COMMAND;
	r->next.command = be32(command + 6);
	r->next.announced = is_announced(r, command, size);
	for (size_t i = 0; i < ARRAY_LEN(permanent); i++)
		if (r->next.command == permanent[i])
			return true;
	return false;
}

/* ---- system calls: each notes the event that it is, or gives false ---- */

static bool note_write(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_WRITE;
	name_of_fd(c->pid, (int)c->args[0], r->next.path);
	if (strncmp(r->next.path, "socket:", 7) == 0)
		return note_command(r, c->pid, c->args[1], c->args[2]);
	return true;
}

static bool note_sync(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_SYNC;
	name_of_fd(c->pid, (int)c->args[0], r->next.path);
	return true;
}

static bool note_openat(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_OPEN;
	name_at(c->pid, c->args[0], c->args[1], r->next.path);
	return (c->args[2] & O_ACCMODE) != O_RDONLY || c->args[2] & O_TRUNC;
}

static bool note_open(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_OPEN;
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[0], r->next.path);
	return (c->args[1] & O_ACCMODE) != O_RDONLY || c->args[1] & O_TRUNC;
}

static bool note_creat(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_OPEN;
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[0], r->next.path);
	return true;
}

static bool note_truncate(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_WRITE;
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[0], r->next.path);
	return true;
}

static bool note_rename(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_RENAME;
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[0], r->next.from);
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[1], r->next.path);
	return true;
}

static bool note_renameat(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_RENAME;
	name_at(c->pid, c->args[0], c->args[1], r->next.from);
	name_at(c->pid, c->args[2], c->args[3], r->next.path);
	return true;
}

static bool note_unlink(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_REMOVE;
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[0], r->next.path);
	return true;
}

static bool note_unlinkat(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_REMOVE;
	name_at(c->pid, c->args[0], c->args[1], r->next.path);
	return true;
}

static bool note_mkdir(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_MKDIR;
	name_at(c->pid, (uint64_t)AT_FDCWD, c->args[0], r->next.path);
	return true;
}

static bool note_mkdirat(struct recorder *r, const struct system_call *c)
{
	r->next.deed = DEED_MKDIR;
	name_at(c->pid, c->args[0], c->args[1], r->next.path);
	return true;
}

static const struct {
	long number;
	bool (*note)(struct recorder *r, const struct system_call *c);
} noted[] = {
	{SYS_write, note_write},         {SYS_pwrite64, note_write},     {SYS_writev, note_write},
	{SYS_sendto, note_write},        {SYS_ftruncate, note_write},    {SYS_fallocate, note_write},
	{SYS_fsync, note_sync},          {SYS_fdatasync, note_sync},     {SYS_openat, note_openat},
	{SYS_open, note_open},           {SYS_creat, note_creat},        {SYS_truncate, note_truncate},
	{SYS_rename, note_rename},       {SYS_renameat, note_renameat},  {SYS_renameat2, note_renameat},
	{SYS_unlink, note_unlink},       {SYS_unlinkat, note_unlinkat},  {SYS_mkdir, note_mkdir},
	{SYS_mkdirat, note_mkdirat},
};

static void enter(struct recorder *r, const struct system_call *c)
{
	r->next = (struct event){.deed = DEED_RETURN};
	r->is_event = false;
	if (c->number == SYS_exit_group)
		trace_add(r->trace, &r->next);
	for (size_t i = 0; i < ARRAY_LEN(noted); i++)
		if (noted[i].number == c->number)
			r->is_event = noted[i].note(r, c);
}

static bool see(const struct system_call *c, void *arg)
{
	struct recorder *r = arg;

	if (!c->left)
		enter(r, c);
	else if (r->is_event && c->result >= 0)
		trace_add(r->trace, &r->next);
	return false;
}

bool trace_record(const struct victim *v, const char *store, struct trace *ret, int *ret_status)
{
	struct recorder r = {.trace = ret};

	*ret = (struct trace){0};
	cr_assert(snprintf(r.intents, sizeof r.intents, "%s/intents", store) < TRACE_PATH);
	(void)watch(v, see, &r, ret_status);
	return *ret_status == 0;
}

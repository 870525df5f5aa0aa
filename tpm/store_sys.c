/* The system calls of the store as they are outside of tests. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "store.h"

static int sys_open(int dir, const char *name, int flags, mode_t mode)
{
	return openat(dir, name, flags, mode);
}

static int sys_rename(int dir, const char *from, const char *to)
{
	return renameat(dir, from, dir, to);
}

static int sys_unlink(int dir, const char *name)
{
	return unlinkat(dir, name, 0);
}

static int sys_access(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

static int64_t sys_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sys_nap_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&t, NULL);
}

struct store_sys store_sys = {
	.mkdir = mkdir,
	.open = sys_open,
	.close = close,
	.read = read,
	.write = write,
	.fsync = fsync,
	.fchmod = fchmod,
	.fstat = fstat,
	.fstatat = fstatat,
	.rename = sys_rename,
	.unlink = sys_unlink,
	.fdopendir = fdopendir,
	.readdir = readdir,
	.access = sys_access,
	.flock = flock,
	.now_ms = sys_now_ms,
	.nap_ms = sys_nap_ms,
};

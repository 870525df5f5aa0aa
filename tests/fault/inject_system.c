/* System calls.  Those of the store, of the configuration and of the log are `files`; those on the way to the TPM, past
 * its TCTI, are `sockets`; those of the keyring and its lock go through the backend's own table, and are `keys`. */
#include "inject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

/* ---- files ---- */

static bool file_fails(const char *what)
{
	return !counted && fails(&faults.files, what);
}

/* name of the symbol, what it is called, result, result when it fails, parameters, arguments */
#define FILE_CALLS(X)                                                                                                  \
	X(mkdir, mkdir, int, -1, (const char *path, mode_t mode), (path, mode))                                        \
	X(fchmod, fchmod, int, -1, (int fd, mode_t mode), (fd, mode))                                                  \
	X(fstat64, fstat, int, -1, (int fd, struct stat *ret), (fd, ret))                                              \
	X(fstatat64, fstatat, int, -1, (int dir, const char *name, struct stat *ret, int flags),                       \
	  (dir, name, ret, flags))                                                                                     \
	X(renameat, rename, int, -1, (int from, const char *old, int to, const char *new), (from, old, to, new))       \
	X(unlinkat, unlink, int, -1, (int dir, const char *name, int flags), (dir, name, flags))                       \
	X(readdir64, readdir, struct dirent *, NULL, (DIR *d), (d))                                                    \
	X(access, access, int, -1, (const char *path, int mode), (path, mode))                                         \
	X(faccessat, access, int, -1, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags))      \
	X(flock, flock, int, -1, (int fd, int operation), (fd, operation))

#define FILE_CALL(name, what, type, failed, parameters, arguments)                                                     \
	WRAPS(type, name, parameters)                                                                                  \
	{                                                                                                              \
		return file_fails(#what) ? failed : __real_##name arguments;                                           \
	}
FILE_CALLS(FILE_CALL)

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

WRAPS(int, open64, (const char *path, int flags, ...))
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return file_fails("open") ? -1 : __real_open64(path, flags, mode);
}

WRAPS(int, openat64, (int dir, const char *path, int flags, ...))
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return file_fails("open") ? -1 : __real_openat64(dir, path, flags, mode);
}

WRAPS(DIR *, fdopendir, (int fd))
{
	DIR *d = file_fails("fdopendir") ? NULL : __real_fdopendir(fd);

	if (d)
		hold(1);
	return d;
}

static bool cut_short(const char *what)
{
	return faults.files.how == FAULT_SHORT && fault_hits(&faults.files, what);
}

/* Half of what was there: the rest comes with the next one. */
WRAPS(ssize_t, read, (int fd, void *buf, size_t n))
{
	ssize_t got = file_fails("read") ? -1 : __real_read(fd, buf, n);

	if (got < 2 || lseek(fd, 0, SEEK_CUR) < 0 || !cut_short("read"))
		return got;
	(void)lseek(fd, got / 2 - got, SEEK_CUR);
	return got / 2;
}

WRAPS(ssize_t, write, (int fd, const void *buf, size_t n))
{
	if (file_fails("write"))
		return -1;
	return __real_write(fd, buf, n > 1 && cut_short("write") ? n / 2 : n);
}

/* close(2): whatever it says, the descriptor is gone. */
static int closed_but(struct fault *f, int (*real)(int), int fd)
{
	int failed = real(fd);

	return fails(f, "close") ? -1 : failed;
}

WRAPS(int, close, (int fd))
{
	return counted ? __real_close(fd) : closed_but(&faults.files, __real_close, fd);
}

WRAPS(int, fsync, (int fd))
{
	(void)fd;
	return file_fails("fsync") ? -1 : 0;
}

/* It reads /etc/passwd, or asks whoever else knows. */
WRAPS(int, getpwuid_r, (uid_t uid, struct passwd *pw, char *buf, size_t n, struct passwd **ret))
{
	if (!file_fails("getpwuid_r"))
		return __real_getpwuid_r(uid, pw, buf, n, ret);
	*ret = NULL;
	return errno;
}

/* ---- sockets ---- */

static bool socket_fails(const char *what)
{
	return !counted && fails(&faults.sockets, what);
}

#define SOCKET_CALLS(X)                                                                                                \
	X(socket, int, (int domain, int type, int protocol), (domain, type, protocol))                                 \
	X(connect, int, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))                         \
	X(send, ssize_t, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))                          \
	X(getpeername, int, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))                          \
	X(setsockopt, int, (int fd, int level, int option, const void *value, socklen_t len),                          \
	  (fd, level, option, value, len))

#define SOCKET_CALL(name, type, parameters, arguments)                                                                 \
	WRAPS(type, name, parameters)                                                                                  \
	{                                                                                                              \
		return socket_fails(#name) ? -1 : __real_##name arguments;                                             \
	}
SOCKET_CALLS(SOCKET_CALL)

WRAPS(int, getaddrinfo, (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret))
{
	int failed;

	if (socket_fails("getaddrinfo"))
		return errno == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
	failed = __real_getaddrinfo(host, port, hints, ret);
	if (!failed && *ret)
		hold(1);
	return failed;
}

/* A peer that has its own time: a TPM at the other end of a network connection. */
static bool has_own_time(int fd)
{
	int domain = 0;
	socklen_t n = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && (domain == AF_INET || domain == AF_INET6);
}

WRAPS(int, poll, (struct pollfd *p, nfds_t n, int timeout_ms))
{
	bool jumps = faults.timeless && timeout_ms > 0;
	int ready;

	if (socket_fails("poll"))
		return -1;
	for (nfds_t i = 0; jumps && i < n; i++)
		jumps = !has_own_time(p[i].fd);
	ready = __real_poll(p, n, jumps ? 0 : timeout_ms);
	if (jumps && ready == 0)
		faults.ahead_ns += (int64_t)timeout_ms * 1000000;
	return ready;
}

/* ---- keys ---- */

static const struct kr_sys *keys;
static struct kr_sys faulty_keys;

#define KEY_CALLS(X)                                                                                                   \
	X(key_serial_t, add_key, (const char *type, const char *desc, const void *p, size_t n, key_serial_t ring),     \
	  (type, desc, p, n, ring))                                                                                    \
	X(long, ring_id, (key_serial_t id, int create), (id, create))                                                  \
	X(long, persistent, (uid_t uid, key_serial_t into), (uid, into))                                               \
	X(long, update, (key_serial_t key, const void *p, size_t n), (key, p, n))                                      \
	X(long, setperm, (key_serial_t key, key_perm_t perm), (key, perm))                                             \
	X(long, describe, (key_serial_t key, char *ret, size_t cap), (key, ret, cap))                                  \
	X(long, read, (key_serial_t key, char *ret, size_t cap), (key, ret, cap))                                      \
	X(long, link, (key_serial_t key, key_serial_t ring), (key, ring))                                              \
	X(long, unlink, (key_serial_t key, key_serial_t ring), (key, ring))                                            \
	X(long, clear, (key_serial_t ring), (ring))                                                                    \
	X(long, search, (key_serial_t ring, const char *type, const char *desc, key_serial_t to),                      \
	  (ring, type, desc, to))                                                                                      \
	X(long, move, (key_serial_t key, key_serial_t from, key_serial_t to, unsigned flags), (key, from, to, flags))  \
	X(long, invalidate, (key_serial_t key), (key))                                                                 \
	X(int, socket, (int domain, int type, int protocol), (domain, type, protocol))                                 \
	X(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))                            \
	X(int, listen, (int fd, int backlog), (fd, backlog))                                                           \
	X(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))                         \
	X(int, poll, (struct pollfd *p, nfds_t n, int timeout_ms), (p, n, timeout_ms))

#define KEY_CALL(type, name, parameters, arguments)                                                                    \
	static type key_##name parameters                                                                              \
	{                                                                                                              \
		type result;                                                                                           \
                                                                                                                       \
		if (fails(&faults.keys, #name))                                                                        \
			return -1;                                                                                     \
		counted = true;                                                                                        \
		result = keys->name arguments;                                                                         \
		counted = false;                                                                                       \
		return result;                                                                                         \
	}
KEY_CALLS(KEY_CALL)

static int key_close(int fd)
{
	return closed_but(&faults.keys, __real_close, fd);
}

#define KEY_INSTALL(type, name, ...) faulty_keys.name = key_##name;

void inject_tables(void)
{
	if (keys)
		return;
	keys = kr_sys;
	faulty_keys = *keys;
	KEY_CALLS(KEY_INSTALL)
	faulty_keys.close = key_close;
	kr_sys = &faulty_keys;
}

/* In the module of the fault tests, beside the product's own libraries: tables of system calls that fail on order, and
 * an allocator that does (the linker's --wrap).  What only costs time is cheap here: sleeping, scrypt, fsync. */
#include <errno.h>
#include <time.h>

#include "crypto.h"
#include "fault.h"
#include "secret.h"
#include "store.h"
#include "sys.h"

static struct faults faults;

/* The tables are put in place and the plans returned: the one name that the test looks up in the module. */
__attribute__((visibility("default"))) struct faults *signet_test_faults(void);

static bool fails(struct fault *f, const char *what)
{
	if (!fault_hits(f, what))
		return false;
	errno = (int)f->code;
	return true;
}

/* ---- memory ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
void *__real_secret_alloc(size_t size);
void *__wrap_secret_alloc(size_t size);

void *__wrap_malloc(size_t n)
{
	return fails(&faults.memory, "malloc") ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails(&faults.memory, "calloc") ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails(&faults.memory, "realloc") ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
	return fails(&faults.memory, "strdup") ? NULL : __real_strdup(s);
}

void *__wrap_secret_alloc(size_t size)
{
	return fails(&faults.memory, "secret_alloc") ? NULL : __real_secret_alloc(size);
}

/* ---- time ---- */

int __real_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
CK_RV __real_scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p,
			struct key256 *ret) MUST_CHECK;
CK_RV __wrap_scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p,
			struct key256 *ret) MUST_CHECK;

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
	if (!faults.timeless)
		return __real_nanosleep(t, left);
	faults.ahead_ns += t->tv_sec * 1000000000 + t->tv_nsec;
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int failed = __real_clock_gettime(clock, ret);

	if (failed || clock != CLOCK_MONOTONIC)
		return failed;
	ret->tv_sec += faults.ahead_ns / 1000000000;
	ret->tv_nsec += faults.ahead_ns % 1000000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000;
	}
	return 0;
}

/* The same function at the lowest cost. */
CK_RV __wrap_scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret)
{
	return __real_scrypt_256(pin, salt, MIN(n, (uint64_t)16), r, p, ret);
}

/* ---- files ---- */

static struct store_sys files;

/* name, result when it fails, parameters, arguments */
#define FILE_CALLS(X)                                                                                                  \
	X(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))                                               \
	X(int, open, -1, (int dir, const char *name, int flags, mode_t mode), (dir, name, flags, mode))                \
	X(ssize_t, read, -1, (int fd, void *buf, size_t n), (fd, buf, n))                                              \
	X(ssize_t, write, -1, (int fd, const void *buf, size_t n), (fd, buf, n))                                       \
	X(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))                                                          \
	X(int, fstat, -1, (int fd, struct stat *ret), (fd, ret))                                                       \
	X(int, fstatat, -1, (int dir, const char *name, struct stat *ret, int flags), (dir, name, ret, flags))         \
	X(int, rename, -1, (int dir, const char *from, const char *to), (dir, from, to))                               \
	X(int, unlink, -1, (int dir, const char *name), (dir, name))                                                   \
	X(DIR *, fdopendir, NULL, (int fd), (fd))                                                                      \
	X(struct dirent *, readdir, NULL, (DIR *d), (d))                                                               \
	X(int, access, -1, (const char *path, int mode), (path, mode))                                                 \
	X(int, flock, -1, (int fd, int operation), (fd, operation))

#define FILE_CALL(type, name, failed, parameters, arguments)                                                           \
	static type file_##name parameters                                                                             \
	{                                                                                                              \
		return fails(&faults.files, #name) ? failed : files.name arguments;                                    \
	}
FILE_CALLS(FILE_CALL)

static int file_fsync(int fd UNUSED)
{
	return fails(&faults.files, "fsync") ? -1 : 0;
}

/* ---- keys ---- */

static const struct kr_sys *keys;
static struct kr_sys faulty_keys;

#define KEY_CALLS(X)                                                                                                   \
	X(key_serial_t, add_key, -1, (const char *type, const char *desc, const void *p, size_t n, key_serial_t ring), \
	  (type, desc, p, n, ring))                                                                                    \
	X(long, ring_id, -1, (key_serial_t id, int create), (id, create))                                              \
	X(long, persistent, -1, (uid_t uid, key_serial_t into), (uid, into))                                           \
	X(long, update, -1, (key_serial_t key, const void *p, size_t n), (key, p, n))                                  \
	X(long, setperm, -1, (key_serial_t key, key_perm_t perm), (key, perm))                                         \
	X(long, set_timeout, -1, (key_serial_t key, unsigned seconds), (key, seconds))                                 \
	X(long, describe, -1, (key_serial_t key, char *out, size_t cap), (key, out, cap))                              \
	X(long, read, -1, (key_serial_t key, char *out, size_t cap), (key, out, cap))                                  \
	X(long, link, -1, (key_serial_t key, key_serial_t ring), (key, ring))                                          \
	X(long, unlink, -1, (key_serial_t key, key_serial_t ring), (key, ring))                                        \
	X(long, clear, -1, (key_serial_t ring), (ring))                                                                \
	X(long, search, -1, (key_serial_t ring, const char *type, const char *desc, key_serial_t to),                  \
	  (ring, type, desc, to))                                                                                      \
	X(long, move, -1, (key_serial_t key, key_serial_t from, key_serial_t to, unsigned flags),                      \
	  (key, from, to, flags))                                                                                      \
	X(long, invalidate, -1, (key_serial_t key), (key))                                                             \
	X(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))                             \
	X(int, bind, -1, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))                        \
	X(int, listen, -1, (int fd, int backlog), (fd, backlog))

#define KEY_CALL(type, name, failed, parameters, arguments)                                                            \
	static type key_##name parameters                                                                              \
	{                                                                                                              \
		return fails(&faults.keys, #name) ? failed : keys->name arguments;                                     \
	}
KEY_CALLS(KEY_CALL)

#define FILE_INSTALL(type, name, ...) store_sys.name = file_##name;
#define KEY_INSTALL(type, name, ...) faulty_keys.name = key_##name;

struct faults *signet_test_faults(void)
{
	if (!keys) {
		files = store_sys;
		FILE_CALLS(FILE_INSTALL)
		store_sys.fsync = file_fsync;
		keys = kr_sys;
		faulty_keys = *keys;
		KEY_CALLS(KEY_INSTALL)
		kr_sys = &faulty_keys;
	}
	return &faults;
}

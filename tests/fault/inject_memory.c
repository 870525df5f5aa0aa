/* What allocates, and what is held: blocks of the product's allocators, and of libraries where the product frees
 * them. */
#include "inject.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <netdb.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <tss2/tss2_tctildr.h>

#include "secret.h"

/* One more, if it is one. */
static void *held(void *p)
{
	if (p && !counted)
		hold(1);
	return p;
}

/* ---- the C library's ---- */

WRAPS(void *, malloc, (size_t n))
{
	return lacks_memory("malloc") ? NULL : held(__real_malloc(n));
}

WRAPS(void *, calloc, (size_t n, size_t size))
{
	return lacks_memory("calloc") ? NULL : held(__real_calloc(n, size));
}

WRAPS(void *, realloc, (void *p, size_t n))
{
	void *moved = lacks_memory("realloc") ? NULL : __real_realloc(p, n);

	return p ? moved : held(moved);
}

WRAPS(char *, strdup, (const char *s))
{
	return lacks_memory("strdup") ? NULL : held(__real_strdup(s));
}

WRAPS(char *, strndup, (const char *s, size_t n))
{
	return lacks_memory("strndup") ? NULL : held(__real_strndup(s, n));
}

int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int n;

	if (lacks_memory("asprintf"))
		return -1;
	va_start(args, format);
	n = vasprintf(ret, format, args);
	va_end(args);
	if (n >= 0)
		hold(1);
	return n;
}

WRAPS(void, free, (void *p))
{
	if (p && !counted)
		hold(-1);
	__real_free(p);
}

/* ---- secret memory ---- */

/* Its pages' descriptions stay until the process ends (secret.c): they aren't the caller's. */
WRAPS(void *, secret_alloc, (size_t size))
{
	void *p;

	if (lacks_memory("secret_alloc"))
		return NULL;
	counted = true;
	p = __real_secret_alloc(size);
	counted = false;
	return held(p);
}

WRAPS(void, secret_free, (void *p))
{
	if (p)
		hold(-1);
	__real_secret_free(p);
}

WRAPS(void *, mmap64, (void *at, size_t n, int protection, int flags, int fd, off_t offset))
{
	return lacks_memory("mmap") ? MAP_FAILED : __real_mmap64(at, n, protection, flags, fd, offset);
}

WRAPS(int, mlock, (const void *p, size_t n))
{
	return lacks_memory("mlock") ? -1 : __real_mlock(p, n);
}

WRAPS(int, madvise, (void *p, size_t n, int advice))
{
	return lacks_memory("madvise") ? -1 : __real_madvise(p, n, advice);
}

/* ---- what else needs memory ---- */

WRAPS(int, pthread_mutex_init, (pthread_mutex_t *m, const pthread_mutexattr_t *a))
{
	return lacks_memory("pthread_mutex_init") ? errno : __real_pthread_mutex_init(m, a);
}

/* pthread_atfork(). */
WRAPS(int, __register_atfork, (void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library))
{
	return lacks_memory("pthread_atfork") ? errno : __real___register_atfork(prepare, parent, child, library);
}

WRAPS(int, setenv, (const char *name, const char *value, int overwrite))
{
	return lacks_memory("setenv") ? -1 : __real_setenv(name, value, overwrite);
}

WRAPS(int, ini_parse_stream, (ini_reader reader, void *stream, ini_handler handler, void *user))
{
	return lacks_memory("ini_parse_stream") ? -2 : __real_ini_parse_stream(reader, stream, handler, user);
}

/* libcrypto's queue says so, too. */
WRAPS(void *, CRYPTO_memdup, (const void *p, size_t n, const char *file, int line))
{
	if (lacks_memory("OPENSSL_memdup")) {
		ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
		return NULL;
	}
	return held(__real_CRYPTO_memdup(p, n, file, line));
}

WRAPS(void, CRYPTO_free, (void *p, const char *file, int line))
{
	if (p)
		hold(-1);
	__real_CRYPTO_free(p, file, line);
}

/* ---- what is only counted ---- */

WRAPS(int, closedir, (DIR *d))
{
	hold(-1);
	return __real_closedir(d);
}

WRAPS(void, freeaddrinfo, (struct addrinfo *a))
{
	hold(-1);
	__real_freeaddrinfo(a);
}

/* Its failures are the TCTI's own (tcti_fault.c). */
WRAPS(TSS2_RC, Tss2_TctiLdr_Initialize, (const char *conf, TSS2_TCTI_CONTEXT **ret))
{
	TSS2_RC rc = __real_Tss2_TctiLdr_Initialize(conf, ret);

	if (rc == TSS2_RC_SUCCESS)
		hold(1);
	return rc;
}

WRAPS(void, Tss2_TctiLdr_Finalize, (TSS2_TCTI_CONTEXT **tcti))
{
	if (*tcti)
		hold(-1);
	__real_Tss2_TctiLdr_Finalize(tcti);
}

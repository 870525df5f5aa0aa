/* The token's lock: an abstract socket.  The name is "signet:ring:" and the serial in eight hex digits. */
#include "kr_lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/un.h>
#include <time.h>

#include "err.h"

struct name {
	struct sockaddr_un addr;
	socklen_t len;
};

static struct name name_of(key_serial_t ring)
{
	struct name n = {.addr.sun_family = AF_UNIX};
	int len = snprintf(n.addr.sun_path + 1, sizeof n.addr.sun_path - 1, "signet:ring:%08x", (unsigned)ring);

	n.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
	return n;
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what a forked child must close ---- */

/* The sockets that may be bound, each as its descriptor + 1; 0: a free place.  Whoever takes a descriptor out of here
 * closes it.  There are no more at once than threads that change something. */
static _Atomic int listed[64];

static bool list_swap(int from, int to)
{
	for (size_t i = 0; i < ARRAY_LEN(listed); i++) {
		int expected = from;

		if (atomic_compare_exchange_strong(&listed[i], &expected, to))
			return true;
	}
	return false;
}

static void close_in_child(void)
{
	for (size_t i = 0; i < ARRAY_LEN(listed); i++) {
		int fd = atomic_exchange(&listed[i], 0) - 1;

		if (fd >= 0)
			(void)kr_sys->close(fd);
	}
}

static void watch_forks(void)
{
	static atomic_bool watched;

	if (!atomic_exchange(&watched, true) && pthread_atfork(NULL, NULL, close_in_child) != 0)
		atomic_store(&watched, false);
}

/* ---- sockets ---- */

static int new_socket(int *ret)
{
	int fd = kr_sys->socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	*ret = fd;
	return 0;
}

static void give_up(int fd)
{
	if (list_swap(fd + 1, 0)) /* before a fork in another thread can find it again */
		(void)kr_sys->close(fd);
}

/* A socket that is listed before it is bound.  EADDRINUSE, "later", when there is no place for it. */
static int new_listed_socket(int *ret)
{
	int fd = -1, err = new_socket(&fd);

	if (err != 0)
		return err;
	if (!list_swap(0, fd + 1)) {
		(void)kr_sys->close(fd);
		return EADDRINUSE;
	}
	*ret = fd;
	return 0;
}

/* One attempt: EADDRINUSE when somebody has it. */
static int try_bind(const struct name *n, int *ret)
{
	int fd = -1, err = new_listed_socket(&fd);

	if (err != 0)
		return err;
	err = kr_errno(kr_sys->bind(fd, (const struct sockaddr *)&n->addr, n->len));
	if (err == 0)
		err = kr_errno(kr_sys->listen(fd, 128));
	if (err != 0) {
		give_up(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

#define PATIENT_ROUNDS 1000 /* so often a holder of ours may be followed by another before this thread has its turn */

/* Sleeps until the holder lets go, or for a short while where it can't be told: between the holder's bind() and its
 * listen() (ECONNREFUSED), or when too many wait (EAGAIN).  Who always wakes us and never lets go is a stranger, for
 * whom no processor time is spent. */
static int wait_for_holder(const struct name *n, int left_ms, unsigned round)
{
	struct pollfd p = {.events = POLLIN};
	int err = new_socket(&p.fd);

	if (err != 0)
		return err;
	err = kr_errno(kr_sys->connect(p.fd, (const struct sockaddr *)&n->addr, n->len));
	if (err == 0)
		(void)kr_sys->poll(&p, 1, left_ms);
	if (err != 0 || round > PATIENT_ROUNDS)
		kr_sys->pause(round > PATIENT_ROUNDS ? 5 : 1);
	(void)kr_sys->close(p.fd);
	return err == ECONNREFUSED || err == EAGAIN || err == EINTR ? 0 : err;
}

static int take(key_serial_t ring, int *ret)
{
	struct name n = name_of(ring);
	int64_t deadline = now_ms() + KR_LOCK_WAIT_MS;
	unsigned round = 0;
	int err;

	while ((err = try_bind(&n, ret)) == EADDRINUSE) {
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return ETIMEDOUT;
		err = wait_for_holder(&n, (int)left, round++);
		if (err != 0)
			return err;
	}
	return err;
}

CK_RV kr_lock_take(key_serial_t ring, struct kr_lock *ret)
{
	int fd = -1, err;

	watch_forks();
	err = take(ring, &fd);
	if (err != 0)
		return kr_error(KR_LOCK, err, "taking the token's lock (a socket)");
	ret->fd = fd;
	return CKR_OK;
}

void kr_lock_drop(struct kr_lock *l)
{
	if (l->fd >= 0)
		give_up(l->fd);
	l->fd = -1;
}

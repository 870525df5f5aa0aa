/* Every system call of the keyring backend, in one table, so that a test can make any of them fail (design, 5).
 * The calls behave as the functions of libkeyutils and the C library that they are named after: -1 and errno. */
#ifndef KEYRING_SYS_H
#define KEYRING_SYS_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <keyutils.h>

#include "base.h"

struct kr_sys {
	/* keys */
	key_serial_t (*add_key)(const char *type, const char *description, const void *payload, size_t len,
				key_serial_t ring);
	long (*ring_id)(key_serial_t id, int create);         /* KEYCTL_GET_KEYRING_ID */
	long (*persistent)(uid_t uid, key_serial_t into);     /* KEYCTL_GET_PERSISTENT */
	long (*update)(key_serial_t key, const void *payload, size_t len);
	long (*setperm)(key_serial_t key, key_perm_t perm);
	long (*describe)(key_serial_t key, char *out, size_t cap);
	long (*read)(key_serial_t key, char *out, size_t cap);
	long (*link)(key_serial_t key, key_serial_t ring);
	long (*unlink)(key_serial_t key, key_serial_t ring);
	long (*clear)(key_serial_t ring);
	long (*search)(key_serial_t ring, const char *type, const char *description, key_serial_t link_to);
	long (*move)(key_serial_t key, key_serial_t from, key_serial_t to, unsigned flags);
	long (*invalidate)(key_serial_t key);

	/* sockets, for the lock (kr_lock.c) */
	int (*socket)(int domain, int type, int protocol);
	int (*bind)(int fd, const struct sockaddr *addr, socklen_t len);
	int (*listen)(int fd, int backlog);
	int (*connect)(int fd, const struct sockaddr *addr, socklen_t len);
	int (*poll)(struct pollfd *fds, nfds_t n, int timeout_ms);
	int (*close)(int fd);

	/* Waits, for what the kernel gives back late. */
	void (*pause)(unsigned ms);
};

/* What the backend calls: &kr_sys_kernel, unless a test put its own table here. */
extern const struct kr_sys *kr_sys;
extern const struct kr_sys kr_sys_kernel;

#endif

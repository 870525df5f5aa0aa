/* The table of the real system calls. */
#include "sys.h"

#include <time.h>
#include <unistd.h>

static long sys_ring_id(key_serial_t id, int create)
{
	return keyctl_get_keyring_ID(id, create);
}

/* The C library declares these two with a union for the address, so their pointers have another type. */
static int sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	return bind(fd, addr, len);
}

static int sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return connect(fd, addr, len);
}

static void sys_pause(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};

	(void)nanosleep(&t, NULL);
}

const struct kr_sys kr_sys_kernel = {
	.add_key = add_key,
	.ring_id = sys_ring_id,
	.persistent = keyctl_get_persistent,
	.update = keyctl_update,
	.setperm = keyctl_setperm,
	.describe = keyctl_describe,
	.read = keyctl_read,
	.link = keyctl_link,
	.unlink = keyctl_unlink,
	.clear = keyctl_clear,
	.search = keyctl_search,
	.move = keyctl_move,
	.invalidate = keyctl_invalidate,
	.socket = socket,
	.bind = sys_bind,
	.listen = listen,
	.connect = sys_connect,
	.poll = poll,
	.close = close,
	.pause = sys_pause,
};

const struct kr_sys *kr_sys = &kr_sys_kernel;

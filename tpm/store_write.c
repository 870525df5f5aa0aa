/* The store's lock, and what changes under it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "log.h"
#include "store_private.h"

#define LOCK_WAIT_MS 10000

/* ---- the lock ---- */

/* A new directory could vanish in a power cut, with everything in it, until the one above is synced. */
static void sync_above(struct store *s, char *path)
{
	int fd CLEANUP(store_fd_cleanup) = -1;
	char *slash = strrchr(path, '/');

	*slash = 0;
	fd = store_sys.open(AT_FDCWD, slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0 || store_sys.fsync(fd) != 0)
		(void)store_failed(s, "sync", slash == path ? "/" : path, true);
	*slash = '/';
}

/* The directory and what is missing above it. */
static CK_RV make_dirs(struct store *s)
{
	char *path CLEANUP(free_cleanup) = strdup(s->path);

	if (!path)
		return CKR_HOST_MEMORY;
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (store_sys.mkdir(path, 0700) == 0)
			sync_above(s, path);
		else if (errno != EEXIST && store_sys.access(path, X_OK) != 0)
			return store_failed(s, "make", path, true);
		*p = '/';
	}
	if (store_sys.mkdir(path, 0700) == 0)
		sync_above(s, path);
	else if (errno != EEXIST)
		return store_failed(s, "make", "the directory", true);
	return CKR_OK;
}

static CK_RV open_dir(struct store *s, bool create, int *ret)
{
	for (int i = 0; i < 2; i++) {
		*ret = store_sys.open(AT_FDCWD, s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		if (*ret >= 0)
			return CKR_OK;
		if (errno != ENOENT || i)
			break;
		if (!create)
			return CKR_TOKEN_NOT_INITIALIZED;
		TRY(make_dirs(s));
	}
	return store_failed(s, "open", "the directory", true);
}

/* Permissions for a new file: the owner's, and what the directory grants to others. */
static CK_RV set_mode(struct store *s, int dir, int fd, const char *name)
{
	struct stat st;

	if (store_sys.fstat(dir, &st) != 0)
		return store_failed(s, "look at", "the directory", true);
	if ((st.st_mode & 0066) && store_sys.fchmod(fd, 0600 | (st.st_mode & 0066)) != 0)
		return store_failed(s, "set the mode of", name, true);
	return CKR_OK;
}

/* The lock file is made once: whoever is first makes it, and everybody locks the same inode for ever. */
static CK_RV open_lock(struct store *s, int dir, int *ret)
{
	*ret = store_sys.open(dir, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (*ret < 0 && errno == ENOENT) {
		*ret = store_sys.open(dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (*ret >= 0)
			return set_mode(s, dir, *ret, LOCK_NAME);
	}
	return *ret >= 0 ? CKR_OK : store_failed(s, "open", LOCK_NAME, true);
}

static CK_RV wait_for_lock(struct store *s, int fd, bool patiently)
{
	int64_t deadline = store_sys.now_ms() + LOCK_WAIT_MS;

	for (unsigned ms = 1; store_sys.flock(fd, LOCK_EX | LOCK_NB) != 0; ms = MIN(2 * ms, 50)) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return store_failed(s, "lock", LOCK_NAME, true);
		if (!patiently)
			return CKR_FUNCTION_FAILED;
		if (store_sys.now_ms() >= deadline) {
			log_error("store %s: another process has held the lock for 10 s; try again", s->path);
			return CKR_FUNCTION_FAILED;
		}
		store_sys.nap_ms(ms);
	}
	return CKR_OK;
}

static CK_RV take_lock(struct store *s, bool create, bool patiently)
{
	int dir CLEANUP(store_fd_cleanup) = -1;
	int fd CLEANUP(store_fd_cleanup) = -1;

	TRY(open_dir(s, create, &dir));
	TRY(open_lock(s, dir, &fd));
	TRY(wait_for_lock(s, fd, patiently));
	s->dir_fd = dir;
	s->lock_fd = fd;
	dir = fd = -1;
	return CKR_OK;
}

CK_RV store_lock(struct store *s, bool create)
{
	return take_lock(s, create, true);
}

void store_unlock(struct store *s)
{
	if (s->lock_fd < 0)
		return;
	/* Said outright, since a child forked meanwhile may hold a copy of the descriptor. */
	(void)store_sys.flock(s->lock_fd, LOCK_UN);
	store_forked(s);
}

bool store_locked(const struct store *s)
{
	return s->lock_fd >= 0;
}

/* ---- writing ---- */

static CK_RV write_all(struct store *s, int fd, const char *name, struct bytes content)
{
	while (content.len) {
		ssize_t n = store_sys.write(fd, content.ptr, content.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return store_failed(s, "write", name, true);
		content = BYTES(content.ptr + n, content.len - (size_t)n);
	}
	return CKR_OK;
}

static void sync_dir(struct store *s)
{
	if (store_sys.fsync(s->dir_fd) != 0)
		(void)store_failed(s, "sync (the change stands)", "the directory", true);
}

/* Writes, syncs and closes the temporary file. */
static CK_RV write_new(struct store *s, const char *name, struct bytes content, struct store_stamp *stamp)
{
	int fd CLEANUP(store_fd_cleanup) = -1;
	struct stat st;

	fd = store_sys.open(s->dir_fd, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return store_failed(s, "make", NEW_NAME, true);
	TRY(set_mode(s, s->dir_fd, fd, name));
	TRY(write_all(s, fd, name, content));
	if (store_sys.fsync(fd) != 0)
		return store_failed(s, "sync", name, true);
	if (store_sys.fstat(fd, &st) != 0)
		return store_failed(s, "look at", name, true);
	*stamp = store_stamp_of(&st);
	return CKR_OK;
}

static CK_RV replace(struct store *s, const char *name, struct bytes content, struct store_stamp *stamp)
{
	struct store_stamp made;
	CK_RV rv;

	if (s->dir_fd < 0)
		return CKR_GENERAL_ERROR;
	if (store_sys.unlink(s->dir_fd, NEW_NAME) != 0 && errno != ENOENT)
		return store_failed(s, "remove", NEW_NAME, true);
	rv = write_new(s, name, content, &made);
	if (rv == CKR_OK && store_sys.rename(s->dir_fd, NEW_NAME, name) != 0)
		rv = store_failed(s, "put in place", name, true);
	if (rv != CKR_OK) {
		if (store_sys.unlink(s->dir_fd, NEW_NAME) != 0 && errno != ENOENT)
			(void)store_failed(s, "remove (the next change will)", NEW_NAME, true);
		return rv;
	}
	sync_dir(s);
	if (stamp)
		*stamp = made;
	return CKR_OK;
}

CK_RV store_write(struct store *s, const uint8_t id[16], struct bytes content, struct store_stamp *stamp)
{
	char name[33];

	hex_encode(BYTES(id, 16), name);
	return replace(s, name, content, stamp);
}

CK_RV store_write_token(struct store *s, struct bytes content, struct store_stamp *stamp)
{
	return replace(s, TOKEN_NAME, content, stamp);
}

CK_RV store_write_intents(struct store *s, struct bytes content)
{
	return replace(s, INTENTS_NAME, content, NULL);
}

CK_RV store_write_aside(struct store *s, const char *name, struct bytes content)
{
	CK_RV rv;

	TRY(take_lock(s, false, false));
	rv = replace(s, name, content, NULL);
	store_unlock(s);
	return rv;
}

static CK_RV remove_file(struct store *s, const char *name)
{
	if (s->dir_fd < 0)
		return CKR_GENERAL_ERROR;
	if (store_sys.unlink(s->dir_fd, name) != 0)
		return errno == ENOENT ? CKR_OBJECT_HANDLE_INVALID : store_failed(s, "remove", name, true);
	sync_dir(s);
	return CKR_OK;
}

CK_RV store_erase(struct store *s, const uint8_t id[16])
{
	char name[33];

	hex_encode(BYTES(id, 16), name);
	return remove_file(s, name);
}

CK_RV store_remove_intents(struct store *s)
{
	CK_RV rv = remove_file(s, INTENTS_NAME);

	return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_OK : rv;
}

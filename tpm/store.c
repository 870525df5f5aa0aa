/* The directory of a TPM token.
 *
 *   token      the token record (tokenrec.c); without it the token isn't initialized
 *   <32 hex>   one record of objects (record.c), named by its id in lower case
 *   intents    what a crash would leave behind in the TPM or here (intent.c); seldom there
 *   caps       what this TPM can do (memory.c); may be lost
 *   lock       empty; flock(2)ed by whoever changes anything; never removed or replaced
 *   new        a file being written; what a crash left of it is replaced by the next writer
 *
 * Every change is a new file that is synced and renamed over the old one, or an unlink; then the directory is synced.
 * Since only the lock's holder writes, one temporary name is enough.  Other names are left alone.  Directories are
 * made with mode 0700 and files with 0600, and with the group's and others' permissions of a directory that an
 * administrator opened to them. */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "record.h"
#include "rv.h"

#define MAX_LISTED 65536
#define SYSTEM_STORE "/var/lib/signet"
/* A directory's mtime younger than this when it was listed may hide a later change (git's racy rule). */
#define RACY_SEC 1

/* What an errno means to the caller, when reading and when writing. */
static const struct errno_row {
	int err;
	CK_RV reading, writing;
} errno_rows[] = {
	{ENOSPC, CKR_DEVICE_MEMORY, CKR_DEVICE_MEMORY},
	{EDQUOT, CKR_DEVICE_MEMORY, CKR_DEVICE_MEMORY},
	{EFBIG, CKR_DEVICE_MEMORY, CKR_DEVICE_MEMORY},
	{EROFS, CKR_DEVICE_ERROR, CKR_TOKEN_WRITE_PROTECTED},
	{EACCES, CKR_DEVICE_ERROR, CKR_TOKEN_WRITE_PROTECTED},
	{EPERM, CKR_DEVICE_ERROR, CKR_TOKEN_WRITE_PROTECTED},
	{ENOMEM, CKR_HOST_MEMORY, CKR_HOST_MEMORY},
	{EMFILE, CKR_HOST_MEMORY, CKR_HOST_MEMORY},
	{ENFILE, CKR_HOST_MEMORY, CKR_HOST_MEMORY},
};

static CK_RV code_of(int err, bool writing)
{
	for (size_t i = 0; i < ARRAY_LEN(errno_rows); i++)
		if (errno_rows[i].err == err)
			return writing ? errno_rows[i].writing : errno_rows[i].reading;
	return CKR_DEVICE_ERROR;
}

CK_RV store_failed(const struct store *s, const char *what, const char *name, bool writing)
{
	int err = errno;
	char text[128];

	fault_note((uint32_t)err);
	log_error("store %s: cannot %s %s: %s", s->path, what, name, strerror_r(err, text, sizeof text));
	return code_of(err, writing);
}

void store_fd_cleanup(int *fd)
{
	int err = errno;

	if (*fd >= 0)
		(void)store_sys.close(*fd);
	errno = err;
}

/* ---- which directory ---- */

static CK_RV join(char **ret, const char *a, const char *b, const char *c)
{
	return asprintf(ret, "%s%s%s", a, b, c) < 0 ? CKR_HOST_MEMORY : CKR_OK;
}

/* The home directory of a user whose environment doesn't say it. */
static CK_RV home_of_user(char **ret)
{
	char text[4096];
	struct passwd pw, *found = NULL;

	if (getpwuid_r(geteuid(), &pw, text, sizeof text, &found) != 0 || !found || found->pw_dir[0] != '/')
		return CKR_ARGUMENTS_BAD;
	return join(ret, found->pw_dir, "", "");
}

static CK_RV default_path(const struct conf_section *conf, char **ret)
{
	const char *name = conf_name(conf), *data = secure_getenv("XDG_DATA_HOME"), *home = secure_getenv("HOME");
	char *found CLEANUP(free_cleanup) = NULL;

	if (!name[0] || name[0] == '.' || strchr(name, '/')) {
		conf_complain(conf, "store", "the section's name can't name a directory; give a path");
		return CKR_ARGUMENTS_BAD;
	}
	if (geteuid() == 0)
		return join(ret, SYSTEM_STORE, "/", name);
	if (data && data[0] == '/')
		return join(ret, data, "/signet/", name);
	if (!home || home[0] != '/') {
		CK_RV rv = home_of_user(&found);

		if (rv == CKR_ARGUMENTS_BAD)
			conf_complain(conf, "store", "this user has no home directory; give a path");
		if (rv != CKR_OK)
			return rv;
		home = found;
	}
	return join(ret, home, "/.local/share/signet/", name);
}

static CK_RV choose_path(const struct conf_section *conf, char **ret)
{
	const char *path = conf_get(conf, "store");

	if (!path)
		return default_path(conf, ret);
	if (path[0] == '/')
		return join(ret, path, "", "");
	conf_complain(conf, "store", "must be an absolute path");
	return CKR_ARGUMENTS_BAD;
}

CK_RV store_new(const struct conf_section *conf, struct store **ret)
{
	struct store *s;
	char *path = NULL;

	TRY(choose_path(conf, &path));
	s = calloc(1, sizeof *s);
	if (!s) {
		free(path);
		return CKR_HOST_MEMORY;
	}
	s->path = path;
	s->lock_fd = s->dir_fd = s->reading_fd = -1;
	*ret = s;
	return CKR_OK;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	store_unlock(s);
	store_end_reading(s);
	free(s->listing.at);
	free(s->path);
	free(s);
}

void store_forked(struct store *s)
{
	/* Closing a copy of the descriptor leaves the parent's lock alone; unlocking wouldn't. */
	store_fd_cleanup(&s->lock_fd);
	store_fd_cleanup(&s->dir_fd);
	store_fd_cleanup(&s->reading_fd);
	s->lock_fd = s->dir_fd = s->reading_fd = -1;
}

const char *store_path(const struct store *s)
{
	return s->path;
}

/* Not being allowed to is an ordinary state: no line in the log. */
static CK_RV may_write(const struct store *s, const char *path)
{
	CK_RV rv = CKR_OK;

	if (store_sys.access(path, W_OK | X_OK) != 0)
		rv = code_of(errno, true);
	return rv == CKR_OK || rv == CKR_TOKEN_WRITE_PROTECTED ? rv : store_failed(s, "look at", path, true);
}

CK_RV store_writable(const struct store *s)
{
	char *path CLEANUP(free_cleanup) = strdup(s->path);
	char *slash;

	if (!path)
		return CKR_HOST_MEMORY;
	/* What doesn't exist would have to be made in the nearest directory above that does. */
	while (store_sys.access(path, F_OK) != 0 && errno == ENOENT) {
		slash = strrchr(path, '/');
		if (slash == path)
			return may_write(s, "/");
		*slash = 0;
	}
	return may_write(s, path);
}

/* ---- listing ---- */

struct store_stamp store_stamp_of(const struct stat *st)
{
	return (struct store_stamp){.ino = st->st_ino, .size = st->st_size, .mtime_sec = st->st_mtim.tv_sec,
				    .mtime_nsec = st->st_mtim.tv_nsec};
}

bool store_stamp_equal(const struct store_stamp *a, const struct store_stamp *b)
{
	return a->ino == b->ino && a->size == b->size && a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec;
}

static bool is_record_name(const char *name, uint8_t id[16])
{
	return strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32 && hex_decode(name, id, 16);
}

static CK_RV listing_grow(struct store_listing *l)
{
	size_t cap = l->cap ? l->cap * 2 : 16;
	struct store_entry *at;

	if (l->n < l->cap)
		return CKR_OK;
	if (cap > MAX_LISTED)
		return CKR_DEVICE_MEMORY;
	at = realloc(l->at, cap * sizeof *at);
	if (!at)
		return CKR_HOST_MEMORY;
	l->at = at;
	l->cap = cap;
	return CKR_OK;
}

static CK_RV list_name(struct store *s, int dir, const char *name, struct store_listing *l)
{
	bool token = !strcmp(name, TOKEN_NAME);
	uint8_t id[16];
	struct stat st;

	if (!token && !is_record_name(name, id))
		return CKR_OK;
	if (store_sys.fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? CKR_OK : store_failed(s, "look at", name, false); /* just removed */
	if (token) {
		l->has_token = true;
		l->token = store_stamp_of(&st);
		return CKR_OK;
	}
	TRY(listing_grow(l));
	memcpy(l->at[l->n].id, id, sizeof id);
	l->at[l->n++].stamp = store_stamp_of(&st);
	return CKR_OK;
}

static int entry_order(const void *a, const void *b)
{
	const struct store_entry *x = a, *y = b;

	return memcmp(x->id, y->id, sizeof x->id);
}

static void listing_cleanup(struct store_listing *l)
{
	free(l->at);
}

static void dir_cleanup(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static CK_RV list_all(struct store *s, struct store_listing *l)
{
	int fd = store_sys.open(AT_FDCWD, s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d CLEANUP(dir_cleanup) = NULL;
	struct dirent *e;

	if (fd < 0)
		return errno == ENOENT ? CKR_OK : store_failed(s, "open", "the directory", false);
	d = store_sys.fdopendir(fd);
	if (!d) {
		store_fd_cleanup(&fd);
		return store_failed(s, "list", "the directory", false);
	}
	for (errno = 0; (e = store_sys.readdir(d)); errno = 0)
		TRY(list_name(s, dirfd(d), e->d_name, l));
	if (errno)
		return store_failed(s, "list", "the directory", false);
	if (l->n)
		qsort(l->at, l->n, sizeof *l->at, entry_order);
	return CKR_OK;
}

/* The directory as it is now; all zero if there is none. */
static CK_RV stamp_dir(struct store *s, struct store_stamp *ret)
{
	struct stat st;

	*ret = (struct store_stamp){0};
	if (store_sys.fstatat(AT_FDCWD, s->path, &st, 0) == 0)
		*ret = store_stamp_of(&st);
	else if (errno != ENOENT && errno != ENOTDIR)
		return store_failed(s, "look at", "the directory", false);
	return CKR_OK;
}

static bool is_racy(const struct store_stamp *dir)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return dir->ino && now.tv_sec - dir->mtime_sec <= RACY_SEC;
}

CK_RV store_list(struct store *s, const struct store_listing **ret, bool *changed)
{
	struct store_listing fresh CLEANUP(listing_cleanup) = {0};
	struct store_stamp dir;
	bool racy;

	TRY(stamp_dir(s, &dir));
	if (s->listed && store_stamp_equal(&dir, &s->dir)) {
		*ret = &s->listing;
		*changed = false;
		return CKR_OK;
	}
	racy = is_racy(&dir);
	if (dir.ino)
		TRY(list_all(s, &fresh));
	free(s->listing.at);
	fresh.serial = s->listing.serial + 1;
	s->listing = fresh;
	fresh.at = NULL;
	s->dir = dir;
	s->listed = !racy;
	*ret = &s->listing;
	*changed = true;
	return CKR_OK;
}

void store_forget(struct store *s)
{
	s->listed = false;
}

/* ---- reading ---- */

static int open_for_reading(const struct store *s)
{
	return store_sys.open(AT_FDCWD, s->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

void store_begin_reading(struct store *s)
{
	if (s->reading_fd < 0)
		s->reading_fd = open_for_reading(s);
}

void store_end_reading(struct store *s)
{
	store_fd_cleanup(&s->reading_fd);
	s->reading_fd = -1;
}

/* `size` bytes are there, since files are replaced, never written to; one that is longer all the same is read whole. */
static CK_RV read_all(struct store *s, int fd, const char *name, size_t size, struct buffer *out)
{
	uint8_t chunk[4096];
	CK_RV rv = CKR_OK;
	size_t done = 0;
	ssize_t n;

	while ((done != size || !size) && (n = store_sys.read(fd, chunk, sizeof chunk)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return store_failed(s, "read", name, false);
		done += (size_t)n;
		buffer_put(out, BYTES(chunk, (size_t)n));
		rv = buffer_status(out);
		if (rv == CKR_DEVICE_MEMORY) {
			log_error("store %s: %s is longer than any file of ours", s->path, name);
			rv = CKR_DEVICE_ERROR;
		}
		if (rv != CKR_OK)
			break;
	}
	return rv;
}

static CK_RV read_in(struct store *s, int dir, const char *name, struct buffer *out, struct store_stamp *stamp)
{
	int fd CLEANUP(store_fd_cleanup) = -1;
	struct stat st;

	/* Not through a symbolic link, and never waiting on a FIFO. */
	fd = store_sys.open(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return errno == ENOENT ? CKR_OBJECT_HANDLE_INVALID : store_failed(s, "open", name, false);
	if (store_sys.fstat(fd, &st) != 0)
		return store_failed(s, "look at", name, false);
	if (!S_ISREG(st.st_mode) || st.st_size > RECORD_MAX_SIZE) {
		log_error("store %s: %s is no file of ours (skipped)", s->path, name);
		return CKR_DEVICE_ERROR;
	}
	TRY(read_all(s, fd, name, (size_t)st.st_size, out));
	if (stamp)
		*stamp = store_stamp_of(&st);
	return CKR_OK;
}

static CK_RV read_file(struct store *s, const char *name, struct buffer *out, struct store_stamp *stamp)
{
	int dir CLEANUP(store_fd_cleanup) = -1;

	if (s->reading_fd >= 0)
		return read_in(s, s->reading_fd, name, out, stamp);
	dir = open_for_reading(s);
	if (dir < 0)
		return errno == ENOENT ? CKR_OBJECT_HANDLE_INVALID : store_failed(s, "open", "the directory", false);
	return read_in(s, dir, name, out, stamp);
}

CK_RV store_read(struct store *s, const uint8_t id[16], struct buffer *out, struct store_stamp *stamp)
{
	char name[33];

	hex_encode(BYTES(id, 16), name);
	return read_file(s, name, out, stamp);
}

CK_RV store_read_token(struct store *s, struct buffer *out, struct store_stamp *stamp)
{
	return read_file(s, TOKEN_NAME, out, stamp);
}

CK_RV store_read_intents(struct store *s, struct buffer *out)
{
	return read_file(s, INTENTS_NAME, out, NULL);
}

CK_RV store_read_aside(struct store *s, const char *name, struct buffer *out)
{
	return read_file(s, name, out, NULL);
}

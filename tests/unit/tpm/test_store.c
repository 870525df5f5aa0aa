/* The store's directory: atomic changes, listings, locks, and every system call failing in turn. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "intent.h"
#include "log.h"
#include "record.h"
#include "store.h"
#include "tokenrec.h"

static char dir[64], path[96];
static struct conf_section *conf;
static struct store *store;
static struct store_sys real;
static const uint8_t id_a[16] = {1, 2, 3}, id_b[16] = {0xab, 0xcd};

static struct store *open_store(void)
{
	struct store *s;

	cr_assert_eq(store_new(conf, &s), CKR_OK);
	return s;
}

static void start(void)
{
	log_configure(secure_getenv("SIGNET_LOG"));
	real = store_sys;
	snprintf(dir, sizeof dir, "/tmp/signet-store-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/a/b", dir);
	conf = conf_section_new("test", "test.conf", 1);
	cr_assert_eq(conf_section_add(conf, "store", path, 2), CKR_OK);
	store = open_store();
}

static int remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(name);
}

static void stop(void)
{
	store_sys = real;
	store_free(store);
	conf_section_free(conf);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(store, .init = start, .fini = stop, .timeout = 60);

static bool content_is(const uint8_t id[16], const char *text)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, RECORD_MAX_SIZE);
	if (store_read(store, id, &b, NULL) != CKR_OK)
		return text == NULL;
	return text && bytes_equal(buffer_bytes(&b), BYTES(text, strlen(text)));
}

static CK_RV put(const uint8_t id[16], const char *text)
{
	CK_RV rv = store_lock(store, true);

	if (rv == CKR_OK)
		rv = store_write(store, id, BYTES(text, strlen(text)), NULL);
	store_unlock(store);
	return rv;
}

Test(store, missing)
{
	const struct store_listing *l;
	struct buffer b CLEANUP(buffer_done);
	bool changed;

	buffer_init(&b, 100);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert_eq(l->n, 0);
	cr_assert(!l->has_token);
	cr_assert_eq(store_read_token(store, &b, NULL), CKR_OBJECT_HANDLE_INVALID);
	cr_assert_eq(store_lock(store, false), CKR_TOKEN_NOT_INITIALIZED);
	cr_assert_eq(access(path, F_OK), -1);
	cr_assert_eq(store_writable(store), CKR_OK);
}

Test(store, write_list_remove)
{
	const struct store_listing *l;
	struct store_stamp stamp;
	bool changed;

	cr_assert_eq(put(id_b, "two"), CKR_OK);
	cr_assert_eq(put(id_a, "one"), CKR_OK);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert(changed);
	cr_assert_eq(l->n, 2);
	cr_assert_eq(memcmp(l->at[0].id, id_a, 16), 0);
	stamp = l->at[0].stamp;
	cr_assert_eq(put(id_a, "new"), CKR_OK);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert(!store_stamp_equal(&stamp, &l->at[0].stamp));
	cr_assert_eq(store_lock(store, false), CKR_OK);
	cr_assert_eq(store_erase(store, id_a), CKR_OK);
	cr_assert_eq(store_erase(store, id_a), CKR_OBJECT_HANDLE_INVALID);
	store_unlock(store);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert_eq(l->n, 1);
	cr_assert(content_is(id_b, "two"));
}

/* A listing made right after a change can't be believed; a later one can, until something changes. */
Test(store, racy_listing)
{
	const struct store_listing *l;
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	bool changed;

	cr_assert_eq(put(id_a, "one"), CKR_OK);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
		cr_assert(changed);
	}
	cr_assert_eq(utimensat(AT_FDCWD, path, old, 0), 0);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert(changed);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert(!changed);
	cr_assert_eq(put(id_a, "two"), CKR_OK);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert(changed);
}

static unsigned stats;
static int counting_fstatat(int at, const char *name, struct stat *st, int flags)
{
	stats++;
	return real.fstatat(at, name, st, flags);
}

Test(store, unchanged_costs_one_call)
{
	const struct store_listing *l;
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	bool changed;

	cr_assert_eq(put(id_a, "one"), CKR_OK);
	cr_assert_eq(utimensat(AT_FDCWD, path, old, 0), 0);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	store_sys.fstatat = counting_fstatat;
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert_eq(stats, 1);
}

Test(store, other_files)
{
	const struct store_listing *l;
	char name[200];
	bool changed;

	cr_assert_eq(put(id_a, "one"), CKR_OK);
	snprintf(name, sizeof name, "%s/README", path);
	close(open(name, O_CREAT | O_WRONLY, 0600));
	snprintf(name, sizeof name, "%s/abcd0000000000000000000000000000", path);
	cr_assert_eq(symlink("/etc/passwd", name), 0);
	cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
	cr_assert_eq(l->n, 2);
	cr_assert(content_is(id_b, NULL));
	unlink(name);
	cr_assert_eq(mkfifo(name, 0600), 0);
	cr_assert(content_is(id_b, NULL));
}

/* ---- failures ---- */

static int fail_at, calls, fail_errno;
static bool fails(void)
{
	if (++calls != fail_at)
		return false;
	errno = fail_errno;
	return true;
}

static int f_mkdir(const char *p, mode_t m) { return fails() ? -1 : real.mkdir(p, m); }
static int f_open(int d, const char *n, int f, mode_t m) { return fails() ? -1 : real.open(d, n, f, m); }
static ssize_t f_write(int fd, const void *b, size_t n) { return fails() ? -1 : real.write(fd, b, n); }
static ssize_t f_read(int fd, void *b, size_t n) { return fails() ? -1 : real.read(fd, b, n); }
static int f_fsync(int fd) { return fails() ? -1 : real.fsync(fd); }
static int f_fstat(int fd, struct stat *st) { return fails() ? -1 : real.fstat(fd, st); }
static int f_fstatat(int d, const char *n, struct stat *st, int f) { return fails() ? -1 : real.fstatat(d, n, st, f); }
static int f_rename(int d, const char *a, const char *b) { return fails() ? -1 : real.rename(d, a, b); }
static int f_unlink(int d, const char *n) { return fails() ? -1 : real.unlink(d, n); }
static DIR *f_fdopendir(int fd) { return fails() ? NULL : real.fdopendir(fd); }
static int f_flock(int fd, int op) { return op & LOCK_EX && fails() ? -1 : real.flock(fd, op); }

static void inject(int at, int err)
{
	store_sys = real;
	fail_at = at;
	fail_errno = err;
	calls = 0;
	if (!at)
		return;
	store_sys.mkdir = f_mkdir;
	store_sys.open = f_open;
	store_sys.write = f_write;
	store_sys.read = f_read;
	store_sys.fsync = f_fsync;
	store_sys.fstat = f_fstat;
	store_sys.fstatat = f_fstatat;
	store_sys.rename = f_rename;
	store_sys.unlink = f_unlink;
	store_sys.fdopendir = f_fdopendir;
	store_sys.flock = f_flock;
}

static const struct {
	int err;
	CK_RV rv;
} writing[] = {
	{ENOSPC, CKR_DEVICE_MEMORY},   {EDQUOT, CKR_DEVICE_MEMORY},           {EROFS, CKR_TOKEN_WRITE_PROTECTED},
	{EACCES, CKR_TOKEN_WRITE_PROTECTED}, {EIO, CKR_DEVICE_ERROR},         {ENOMEM, CKR_HOST_MEMORY},
	{EMFILE, CKR_HOST_MEMORY},
};

/* Whatever fails, the old content stands, nothing is left over, and the same call then succeeds. */
Test(store, sweep_write)
{
	char name[200];

	snprintf(name, sizeof name, "%s/new", path);
	for (size_t e = 0; e < ARRAY_LEN(writing); e++) {
		cr_assert_eq(put(id_a, "old"), CKR_OK);
		for (int n = 1;; n++) {
			CK_RV rv;

			inject(n, writing[e].err);
			rv = put(id_a, "fresh");
			inject(0, 0);
			if (rv == CKR_OK && calls < n)
				break;
			if (rv == CKR_OK) { /* the sync of the directory: the change stands */
				cr_assert(content_is(id_a, "fresh"));
				cr_assert_eq(put(id_a, "old"), CKR_OK);
				continue;
			}
			cr_assert_eq(rv, writing[e].rv, "call %d, errno %d: 0x%lx", n, writing[e].err, rv);
			cr_assert(content_is(id_a, "old"));
			cr_assert_eq(access(name, F_OK), -1);
			cr_assert_eq(put(id_a, "old"), CKR_OK);
		}
	}
}

Test(store, sweep_first_write)
{
	for (int n = 1;; n++) {
		CK_RV rv;

		nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
		inject(n, ENOSPC);
		rv = put(id_a, "fresh");
		inject(0, 0);
		if (rv == CKR_OK && calls < n)
			break;
		cr_assert(rv == CKR_OK || rv == CKR_DEVICE_MEMORY, "call %d: 0x%lx", n, rv);
		cr_assert(content_is(id_a, rv == CKR_OK ? "fresh" : NULL));
		cr_assert_eq(put(id_a, "fresh"), CKR_OK);
	}
}

Test(store, sweep_list)
{
	const struct store_listing *l;
	bool changed;

	cr_assert_eq(put(id_a, "one"), CKR_OK);
	for (int n = 1;; n++) {
		CK_RV rv;

		store_forget(store);
		inject(n, EIO);
		rv = store_list(store, &l, &changed);
		inject(0, 0);
		if (rv == CKR_OK)
			break;
		cr_assert_eq(rv, CKR_DEVICE_ERROR);
		cr_assert_eq(store_list(store, &l, &changed), CKR_OK);
		cr_assert(changed);
		cr_assert_eq(l->n, 1);
	}
}

/* ---- the lock ---- */

static int64_t clock_ms;
static int64_t fake_now(void) { return clock_ms; }
static void fake_nap(unsigned ms) { clock_ms += ms; }

Test(store, lock_waits_ten_seconds)
{
	struct store *other = open_store();

	cr_assert_eq(store_lock(store, true), CKR_OK);
	store_sys.now_ms = fake_now;
	store_sys.nap_ms = fake_nap;
	cr_assert_eq(store_lock(other, true), CKR_FUNCTION_FAILED);
	cr_assert_geq(clock_ms, 10000);
	cr_assert_lt(clock_ms, 10100);
	cr_assert(!store_locked(other));
	store_unlock(store);
	cr_assert_eq(store_lock(other, true), CKR_OK);
	store_free(other);
	cr_assert_eq(store_lock(store, false), CKR_OK);
}

/* Two processes add to one number, a hundred times each. */
static void count_up(void)
{
	for (int i = 0; i < 100; i++) {
		struct buffer b CLEANUP(buffer_done);
		char text[24] = "";

		buffer_init(&b, 16);
		cr_assert_eq(store_lock(store, true), CKR_OK);
		if (store_read(store, id_a, &b, NULL) == CKR_OK)
			memcpy(text, b.ptr, b.len);
		snprintf(text, sizeof text, "%ld", strtol(text, NULL, 10) + 1);
		cr_assert_eq(store_write(store, id_a, BYTES(text, strlen(text)), NULL), CKR_OK);
		store_unlock(store);
	}
}

Test(store, no_lost_update)
{
	pid_t child = fork();

	count_up();
	if (child == 0)
		_exit(0);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		continue;
	cr_assert(content_is(id_a, "200"));
}

/* ---- paths ---- */

Test(store, names)
{
	static const char *const bad[] = {"", "..", ".x", "a/b"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct conf_section *c = conf_section_new(bad[i], "x", 1);
		struct store *s;

		cr_assert_eq(store_new(c, &s), CKR_ARGUMENTS_BAD);
		conf_section_free(c);
	}
}

Test(store, relative_path)
{
	struct conf_section *c = conf_section_new("x", "x", 1);
	struct store *s;

	cr_assert_eq(conf_section_add(c, "store", "here", 2), CKR_OK);
	cr_assert_eq(store_new(c, &s), CKR_ARGUMENTS_BAD);
	conf_section_free(c);
}

/* ---- formats ---- */

static void fill(struct token_rec *r)
{
	*r = (struct token_rec){.id = {7}, .pin_none = false, .parent = {.handle = 0x81000001, .tmpl = 1, .name.size = 34}};
	r->public_seal.public.publicArea.type = TPM2_ALG_KEYEDHASH;
	r->public_seal.public.publicArea.nameAlg = TPM2_ALG_SHA256;
	r->public_seal.public.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
	r->public_seal.private.size = 3;
	r->so = (struct pin_rec){.present = true, .tries = 10, .index = {.handle = 0x01815300, .name.size = 34},
				 .seal = r->public_seal};
	r->user = (struct pin_rec){.present = true, .tries = 3, .seal = r->public_seal};
}

Test(tokenrec, round_trip_and_every_flip)
{
	struct buffer b CLEANUP(buffer_done), again CLEANUP(buffer_done);
	struct token_rec r, back;

	fill(&r);
	buffer_init(&b, FRAME_MAX);
	buffer_init(&again, FRAME_MAX);
	cr_assert_eq(token_rec_emit(&r, &b), CKR_OK);
	cr_assert_eq(token_rec_parse(buffer_bytes(&b), &back), CKR_OK);
	cr_assert_eq(back.user.tries, 3);
	cr_assert_eq(token_rec_emit(&back, &again), CKR_OK);
	cr_assert(bytes_equal(buffer_bytes(&b), buffer_bytes(&again)));
	for (size_t i = 0; i < b.len; i++) {
		b.ptr[i] ^= 0x10;
		cr_assert_eq(token_rec_parse(buffer_bytes(&b), &back), CKR_DEVICE_ERROR);
		b.ptr[i] ^= 0x10;
		cr_assert_eq(token_rec_parse(BYTES(b.ptr, i), &back), CKR_DEVICE_ERROR);
	}
}

Test(store, intents)
{
	struct intents in = {0}, back;

	cr_assert_eq(store_lock(store, true), CKR_OK);
	cr_assert_eq(intents_read(store, &back), CKR_OK);
	cr_assert_eq(back.n, 0);
	cr_assert_eq(intents_add(&in, 0x01815301, (const uint8_t[32]){9}), CKR_OK);
	in.replaces = true;
	in.replaced[0] = 5;
	cr_assert_eq(intents_write(store, &in), CKR_OK);
	cr_assert_eq(intents_read(store, &back), CKR_OK);
	cr_assert_eq(back.n, 1);
	cr_assert_eq(back.index[0].handle, 0x01815301);
	cr_assert(back.replaces);
	cr_assert_eq(store_remove_intents(store), CKR_OK);
	cr_assert_eq(store_remove_intents(store), CKR_OK);
}

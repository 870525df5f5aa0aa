/* Places that are full or may only be read: a small disk, one without inodes, a mount and a directory that may only be
 * read, a user's quota of kernel keys.  Each call that changes the token says the right code and changes nothing; what
 * needs no change goes on, wrong PINs are counted, and with room again the same call succeeds.
 *
 * The disk is a tmpfs in a mount namespace of the test's own, which takes root, or user namespaces. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <linux/capability.h>
#include <openssl/evp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pairs.h"
#include "user.h"

struct faults *module_faults; /* pairs_view.c wants none here */

static const char *in_store(const char *name)
{
	static char path[400];

	snprintf(path, sizeof path, "%s/store/%s", h.dir, name);
	return path;
}

/* ---- a small disk ---- */

static void write_line(const char *path, const char *format, unsigned n)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fprintf(f, format, n);
	fclose(f);
}

/* An ordinary user becomes root of a user namespace, which only a process without threads can: before Criterion starts
 * its own. */
__attribute__((constructor)) static void own_users(void)
{
	const char *token = secure_getenv("SIGNET_TEST_TOKEN");
	unsigned uid = geteuid(), gid = getegid();

	if (uid == 0 || !token || strcmp(token, "tpm") != 0 || unshare(CLONE_NEWUSER) != 0)
		return;
	write_line("/proc/self/uid_map", "0 %u 1", uid);
	write_line("/proc/self/setgroups", "deny", 0);
	write_line("/proc/self/gid_map", "0 %u 1", gid);
}

static void own_mounts(void)
{
	if (unshare(CLONE_NEWNS) != 0)
		cr_skip_test("no mount namespace (%m): this takes root or unprivileged user namespaces");
	cr_assert(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount: %m");
}

static void small_disk(void)
{
	own_mounts();
	cr_assert(mkdir(in_store(""), 0700) == 0);
	cr_assert(mount("none", in_store(""), "tmpfs", 0, "size=256k,nr_inodes=64,mode=0700") == 0, "tmpfs: %m");
}

static void no_disk(void)
{
	cr_assert(umount2(in_store(""), 0) == 0 || errno == EINVAL, "umount: %m");
}

static void fill_disk(void)
{
	static const char zeros[4096];
	int fd = open(in_store("filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert(fd >= 0);
	while (write(fd, zeros, sizeof zeros) > 0)
		;
	cr_assert(errno == ENOSPC, "filling the disk: %m");
	close(fd);
}

static void empty_disk(void)
{
	cr_assert(unlink(in_store("filler")) == 0);
}

static unsigned inodes_taken;

static void take_inodes(void)
{
	char name[32];
	int fd = 0;

	for (inodes_taken = 0; fd >= 0; inodes_taken += fd >= 0) {
		snprintf(name, sizeof name, "filler%u", inodes_taken);
		fd = open(in_store(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			close(fd);
	}
	cr_assert(errno == ENOSPC && inodes_taken > 0, "taking all inodes: %m");
}

static void give_inodes(void)
{
	char name[32];

	while (inodes_taken) {
		snprintf(name, sizeof name, "filler%u", --inodes_taken);
		cr_assert(unlink(in_store(name)) == 0);
	}
}

static void remount(unsigned long flags)
{
	cr_assert(mount(NULL, in_store(""), NULL, MS_REMOUNT | flags, NULL) == 0, "remounting: %m");
}

static void mount_read_only(void)
{
	remount(MS_RDONLY);
}

static void mount_writable(void)
{
	remount(0);
}

/* ---- permissions ---- */

/* An ordinary user, who owns the store; the TPM's own files stay root's, whom the janitor is.  Who is root of a user
 * namespace only has nobody else to be, and gives up what makes root of him. */
static void ordinary_user(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (user_become(h.dir) != 0)
		cr_assert(syscall(SYS_capset, &head, none) == 0, "capset: %m");
	cr_assert(keyctl_join_session_keyring(NULL) > 0);
}

static void forbid_writing(void)
{
	cr_assert(chmod(in_store(""), 0500) == 0);
}

static void allow_writing(void)
{
	cr_assert(chmod(in_store(""), 0700) == 0);
}

/* ---- the quota of keys ---- */

/* What is taken away counts until the kernel has collected it. */
static const struct timespec collecting = {0, 10000000};
#define FULL_ROUNDS 10 /* nothing was collected for that long: nothing is waiting to be */

static key_serial_t filler;

/* Adds keys while there is room; whether there was. */
static bool fill_up(void)
{
	static unsigned n;
	char name[32];
	unsigned before = n;

	do
		snprintf(name, sizeof name, "filler %u", n++);
	while (add_key("user", name, "x", 1, filler) > 0);
	cr_assert(errno == EDQUOT, "filling the quota: %m");
	return n > before + 1;
}

static void fill_quota(void)
{
	filler = add_key("keyring", "filler", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
	cr_assert(filler > 0, "%m");
	for (unsigned full = 0; full < FULL_ROUNDS; full = fill_up() ? 0 : full + 1)
		nanosleep(&collecting, NULL);
}

static void empty_quota(void)
{
	static const char payload[6000];
	key_serial_t room;

	cr_assert(keyctl_clear(filler) == 0 && keyctl_unlink(filler, KEY_SPEC_PROCESS_KEYRING) == 0);
	wait_for_collector();
	while ((room = add_key("user", "room", payload, sizeof payload, KEY_SPEC_PROCESS_KEYRING)) < 0)
		nanosleep(&collecting, NULL);
	cr_assert(keyctl_unlink(room, KEY_SPEC_PROCESS_KEYRING) == 0);
}

/* ---- limits ---- */

static void nothing(void)
{
}

static const struct limit {
	const char *name;
	const struct kind *kind;
	void (*prepare)(void), (*done)(void); /* before the token is made; at the end */
	void (*set)(void), (*lift)(void);
	CK_RV refused;
	/* What displaces something of the same size, or only takes something away, succeeds all the same. */
	bool may_replace, may_remove;
} limits[] = {
	{"full disk", &kind_tpm, small_disk, no_disk, fill_disk, empty_disk, CKR_DEVICE_MEMORY, .may_remove = true},
	{"no inode", &kind_tpm, small_disk, no_disk, take_inodes, give_inodes, CKR_DEVICE_MEMORY, .may_remove = true},
	{"read-only mount", &kind_tpm, small_disk, no_disk, mount_read_only, mount_writable,
	 CKR_TOKEN_WRITE_PROTECTED},
	{"permissions", &kind_tpm, ordinary_user, nothing, forbid_writing, allow_writing, CKR_TOKEN_WRITE_PROTECTED},
	{"quota of keys", &kind_keyring, nothing, nothing, fill_quota, empty_quota, CKR_DEVICE_MEMORY,
	 .may_replace = true, .may_remove = true},
};

static const struct limit *limit;
static struct board the_board;

/* The calls that need no room beyond what they give up. */
static bool only_removes(const struct deed *d)
{
	return strcmp(d->function, "C_DestroyObject") == 0 && strcmp(d->variant, "data") == 0;
}

static bool only_replaces(const struct deed *d)
{
	static const char *const functions[] = {"C_SetAttributeValue", "C_DestroyObject", "C_SetPIN", "C_InitPIN"};

	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (strcmp(d->function, functions[i]) == 0)
			return true;
	return false;
}

static CK_RV expected(const struct deed *d)
{
	bool fits = (limit->may_remove && only_removes(d)) || (limit->may_replace && only_replaces(d));

	return fits ? CKR_OK : limit->refused;
}

/* ---- a call under a limit ---- */

static void begin(enum actor actor)
{
	OK(C_Initialize, NULL);
	self = (struct self){.name = 'A'};
	if (actor == WITHOUT_SESSION)
		return;
	self.session = open_session(RW);
	is(login(self.session, actor == AS_SO ? CKU_SO : CKU_USER, actor == AS_SO ? SO_PIN : USER_PIN), CKR_OK);
	base_find();
}

/* The token's objects as this process sees them, and the store's files but the filler, with what is in them. */
static void look(struct text *t)
{
	struct dirent **names;
	uint8_t buf[8192];
	CK_SESSION_HANDLE s = self.session;

	t->n = 0;
	t->at[0] = 0;
	if (s)
		view_own(t);
	int n = is_kind(&kind_tpm) ? scandir(in_store(""), &names, NULL, alphasort) : 0;
	for (int i = 0; i < n; i++) {
		uint8_t digest[32];
		const char *name = names[i]->d_name;
		int fd = open(in_store(name), O_RDONLY | O_CLOEXEC);
		ssize_t size = fd >= 0 ? read(fd, buf, sizeof buf) : -1;
		if (size >= 0 && strncmp(name, "filler", 6) != 0 && strcmp(name, "caps") != 0) {
			EVP_Digest(buf, (size_t)size, digest, NULL, EVP_sha256(), NULL);
			text_add(t, "%s %02x%02x%02x%02x\n", name, digest[0], digest[1], digest[2], digest[3]);
		}
		if (fd >= 0)
			close(fd);
		free(names[i]);
	}
	if (n > 0)
		free(names);
}

static void call_under_limit(const struct deed *d)
{
	static struct text before, after;

	begin(d->actor);
	look(&before);
	limit->set();
	CK_RV rv = d->call();
	look(&after);
	limit->lift();
	cr_expect(answer_listed(d->function, rv), "%s: %s is not on its list", d->function, rv_name(rv));
	cr_expect(rv == expected(d), "%s: %s, %s: %s, expected %s", limit->name, d->function, d->variant, rv_name(rv),
		  rv_name(expected(d)));
	cr_expect(rv == CKR_OK || strcmp(before.at, after.at) == 0, "%s: %s, %s changed the token:\n%s\n%s",
		  limit->name, d->function, d->variant, before.at, after.at);
	if (rv != CKR_OK)
		rv = d->call();
	cr_expect(rv == CKR_OK, "no more %s: %s, %s: %s", limit->name, d->function, d->variant, rv_name(rv));
	OK(C_Finalize, NULL);
	cr_assert(witness() == 0); /* and it is as before */
}

/* ---- what goes on ---- */

static void wrong_pins(void)
{
	const CK_FLAGS counted = CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW;

	for (CK_USER_TYPE user = CKU_SO; user <= CKU_USER; user++)
		is(login(self.session, user, "a wrong PIN"), CKR_PIN_INCORRECT);
	cr_expect((token_flags() & counted) == counted, "%s: wrong PINs aren't counted", limit->name);
}

/* A token that may only be read has no new R/W sessions, and says so. */
static void new_sessions(void)
{
	CK_SESSION_HANDLE s;

	if (limit->refused == CKR_TOKEN_WRITE_PROTECTED) {
		EXPECT(CKR_TOKEN_WRITE_PROTECTED, C_OpenSession, h.slot, RW, NULL, NULL, &s);
		cr_expect(token_flags() & CKF_WRITE_PROTECTED);
	}
	open_session(limit->refused == CKR_TOKEN_WRITE_PROTECTED ? RO : RW);
}

static void uses(void)
{
	CK_BYTE digest[32] = "what is signed", signature[64];
	CK_ULONG n = sizeof signature;

	OK(C_Initialize, NULL);
	self.session = open_session(RW);
	limit->set();
	wrong_pins();
	is(login(self.session, CKU_USER, USER_PIN), CKR_OK);
	base_find();
	OK(C_SignInit, self.session, MECH(CKM_ECDSA), self.priv);
	OK(C_Sign, self.session, digest, sizeof digest, signature, &n);
	OK(C_VerifyInit, self.session, MECH(CKM_ECDSA), self.pub);
	OK(C_Verify, self.session, digest, sizeof digest, signature, n);
	OK(C_CloseAllSessions, h.slot);
	new_sessions();
	OK(C_Finalize, NULL);
	limit->lift();
	cr_assert(witness() == 0);
}

/* ---- the tests ---- */

static void under(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (strcmp(limits[i].name, name) == 0)
			limit = &limits[i];
	only_kind(limit->kind);
	board = &the_board;
	limit->prepare();
	witness_begin();
	for (size_t i = 0; i < n_deeds; i++)
		call_under_limit(&deeds[i]);
	uses();
	limit->done();
}

TestSuite(limits, .init = harness_up, .fini = harness_down, .timeout = 300);

Test(limits, full_disk)
{
	under("full disk");
}

Test(limits, no_inode)
{
	under("no inode");
}

Test(limits, read_only_mount)
{
	under("read-only mount");
}

Test(limits, permissions)
{
	under("permissions");
}

Test(limits, quota_of_keys)
{
	under("quota of keys");
}

/* The TPM token's objects: what the front is told, and what is left when something fails or dies half way. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "soft.h"
#include "store.h"

static struct rig rig;
static struct store_sys real;

static void start(void)
{
	real = store_sys;
	rig_start(&rig, NULL, NULL);
	rig_init(&rig);
}

static void stop(void)
{
	store_sys = real;
	rig_stop(&rig);
}

TestSuite(objects, .init = start, .fini = stop, .timeout = 120);

static void let_go(struct token_obj *o)
{
	tpm_token_ops.obj_free(rig.tok, o);
}

static void make_pair(const char *label, bool private)
{
	struct token_obj *pair[2];

	cr_assert_eq(rig_ec(&rig, P256, label, true, private, pair), CKR_OK);
	let_go(pair[0]);
	let_go(pair[1]);
}

static CK_RV create(CK_OBJECT_CLASS class, const char *label, bool private, bool persist, struct token_obj **ret)
{
	struct attrs *a = rig_attrs(class, class == CKO_SECRET_KEY ? CKK_AES : CK_UNAVAILABLE_INFORMATION, label, private);
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a, .persist = persist};
	struct token_obj *made[2] = {NULL, NULL};
	CK_RV rv;

	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES("0123456789abcdef", 16)), CKR_OK);
	rv = tpm_token_ops.make(rig.tok, &req, made);
	attrs_free(a);
	if (rv == CKR_OK)
		*ret = made[0];
	return rv;
}

static void sync_ok(void)
{
	cr_assert_eq(rig_sync(&rig), CKR_OK);
}

/* ---- what the front is told ---- */

Test(objects, private_ones_after_login_only)
{
	rig_login(&rig);
	make_pair("one", true);
	make_pair("open", false);
	sync_ok();
	cr_assert_eq(rig.n_seen, 0); /* its own count as told */
	rig_reopen(&rig);
	sync_ok();
	cr_assert_eq(rig.n_seen, 3);
	cr_assert_null(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
	cr_assert_not_null(rig_find(&rig, CKO_PRIVATE_KEY, "open"));
	rig_login(&rig);
	sync_ok();
	cr_assert_eq(rig.n_seen, 4);
	cr_assert_not_null(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
	tpm_token_ops.logout(rig.tok);
	sync_ok();
	rig.puts = 0;
	sync_ok();
	cr_assert_eq(rig.puts, 0);
	rig_login(&rig);
	sync_ok();
	cr_assert_not_null(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
}

/* A file that can't be reached for a moment: whoever was told that the object is gone is told of it again. */
Test(objects, gone_and_back)
{
	const struct token_obj *o;
	struct token_obj *made;
	char at[512], aside[512], name[33];

	rig_login(&rig);
	cr_assert_eq(create(CKO_DATA, "one", false, true, &made), CKR_OK);
	let_go(made);
	rig_reopen(&rig);
	sync_ok();
	o = rig_find(&rig, CKO_DATA, "one");
	cr_assert_not_null(o);
	hex_encode(BYTES_OF(o->id), name);
	snprintf(at, sizeof at, "%s/%s", rig.store, name);
	snprintf(aside, sizeof aside, "%s/aside", rig.dir);
	cr_assert(rename(at, aside) == 0, "%s: %m", at);
	cr_expect_eq(tpm_token_ops.destroy(rig.tok, o), CKR_OBJECT_HANDLE_INVALID);
	cr_assert(rename(aside, at) == 0);
	rig.puts = 0;
	sync_ok();
	cr_expect_eq(rig.puts, 1);
	cr_expect_eq(tpm_token_ops.destroy(rig.tok, rig_find(&rig, CKO_DATA, "one")), CKR_OK);
}

Test(objects, so_sees_no_private_object)
{
	rig_login(&rig);
	make_pair("one", true);
	rig_reopen(&rig);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_SO, PIN_SO), CKR_OK);
	sync_ok();
	cr_assert_null(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
}

static void sign_with(const struct token_obj *key)
{
	uint8_t sig[64];
	struct outbuf out = {.ptr = sig, .cap = sizeof sig};

	cr_assert_eq(rig_op(rig.tok, OP_SIGN, &(struct scheme){.type = CKM_ECDSA}, key, BYTES(sig, 32), &out), CKR_OK);
	cr_assert_eq(out.len, 64);
}

Test(objects, public_key_before_login)
{
	make_pair("open", false);
	rig_reopen(&rig);
	sync_ok();
	sign_with(rig_find(&rig, CKO_PRIVATE_KEY, "open"));
}

Test(objects, key_survives_pin_change_and_restart)
{
	rig_login(&rig);
	make_pair("one", true);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, BYTES("fresh", 5)), CKR_OK);
	rig_reopen(&rig);
	swtpm_restart(&rig.tpm);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES("fresh", 5)), CKR_OK);
	sync_ok();
	sign_with(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
}

Test(objects, tpm_restarts_under_us)
{
	rig_login(&rig);
	make_pair("one", true);
	rig_reopen(&rig);
	rig_login(&rig);
	sync_ok();
	sign_with(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
	swtpm_restart(&rig.tpm);
	sign_with(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
}

Test(objects, secret_keys)
{
	const struct scheme cbc = {.type = CKM_AES_CBC, .iv = BYTES("iviviviviviviviv", 16)};
	uint8_t cipher[16], back[16];
	struct outbuf c = {.ptr = cipher, .cap = 16}, p = {.ptr = back, .cap = 16};
	struct token_obj *o;
	struct bytes value;

	cr_assert_eq(create(CKO_SECRET_KEY, "open", false, true, &o), CKR_OK);
	let_go(o);
	rig_reopen(&rig);
	sync_ok();
	o = rig_find(&rig, CKO_SECRET_KEY, "open");
	cr_assert(attrs_get(o->attrs, CKA_VALUE, &value));
	cr_assert(attrs_get(o->attrs, CKA_SIGNET_PLACE, &value));
	cr_assert(bytes_equal(value, BYTES("process", 7)));
	cr_assert_eq(rig_op(rig.tok, OP_ENCRYPT, &cbc, o, BYTES("sixteen bytes ok", 16), &c), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, &cbc, o, BYTES(cipher, 16), &p), CKR_OK);
	cr_assert_eq(memcmp(back, "sixteen bytes ok", 16), 0);
}

Test(objects, value_is_not_in_the_file)
{
	struct token_obj *o;
	char line[256];

	rig_login(&rig);
	cr_assert_eq(create(CKO_SECRET_KEY, "open", false, true, &o), CKR_OK);
	let_go(o);
	cr_assert_eq(create(CKO_DATA, "closed", true, true, &o), CKR_OK);
	let_go(o);
	snprintf(line, sizeof line, "! grep -rq 0123456789abcdef %s && ! grep -rq closed %s", rig.store, rig.store);
	cr_assert_eq(system(line), 0);
}

Test(objects, session_objects_leave_nothing)
{
	struct token_obj *pair[2], *o;
	struct swtpm_census census;
	size_t size;

	rig_login(&rig);
	cr_assert_eq(rig_ec(&rig, P256, "s", false, true, pair), CKR_OK);
	cr_assert_eq(create(CKO_DATA, "d", false, false, &o), CKR_OK);
	sign_with(pair[1]);
	cr_assert_eq(tpm_token_ops.obj_size(rig.tok, pair[1], &size), CKR_OK);
	cr_assert_gt(size, 100);
	let_go(pair[0]);
	let_go(pair[1]);
	let_go(o);
	rig_reopen(&rig);
	sync_ok();
	cr_assert_eq(rig.n_seen, 0);
	census = swtpm_census(&rig.tpm);
	cr_assert_eq(census.objects + census.sessions, 0);
}

/* ---- changing, copying, destroying ---- */

static CK_RV relabel(struct token_obj *o, const char *label, struct token_obj **ret)
{
	struct attrs *changes = attrs_new();
	CK_RV rv;

	cr_assert_eq(attrs_set(changes, CKA_LABEL, BYTES(label, strlen(label))), CKR_OK);
	rv = tpm_token_ops.update(rig.tok, o, changes, ret);
	attrs_free(changes);
	return rv;
}

Test(objects, update_one_half)
{
	struct token_obj *changed;

	rig_login(&rig);
	make_pair("one", true);
	tpm_token_ops.logout(rig.tok);
	rig_reopen(&rig);
	sync_ok();
	cr_assert_eq(relabel(rig_find(&rig, CKO_PUBLIC_KEY, "one"), "two", &changed), CKR_OK); /* the other is closed */
	let_go(changed);
	rig_reopen(&rig);
	rig_login(&rig);
	sync_ok();
	cr_assert_not_null(rig_find(&rig, CKO_PUBLIC_KEY, "two"));
	cr_assert_eq(relabel(rig_find(&rig, CKO_PRIVATE_KEY, "one"), "three", &changed), CKR_OK);
	sign_with(changed);
	let_go(changed);
	rig_reopen(&rig);
	rig_login(&rig);
	sync_ok();
	sign_with(rig_find(&rig, CKO_PRIVATE_KEY, "three"));
}

Test(objects, destroy_halves)
{
	struct token_obj *o;
	uint8_t id[16];

	rig_login(&rig);
	make_pair("one", true);
	rig_reopen(&rig);
	rig_login(&rig);
	sync_ok();
	memcpy(id, rig_find(&rig, CKO_PRIVATE_KEY, "one")->id, 16);
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, rig_find(&rig, CKO_PUBLIC_KEY, "one")), CKR_OK);
	rig_reopen(&rig);
	rig_login(&rig);
	sync_ok();
	cr_assert_eq(rig.n_seen, 1);
	o = rig_find(&rig, CKO_PRIVATE_KEY, "one");
	cr_assert_eq(memcmp(o->id, id, 16), 0);
	sign_with(o);
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, o), CKR_OK);
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, o), CKR_OBJECT_HANDLE_INVALID);
	rig_reopen(&rig);
	sync_ok();
	cr_assert_eq(rig.n_seen, 0);
}

Test(objects, copy_of_a_key)
{
	struct token_obj *copy[2] = {NULL, NULL}, *base;
	struct make_req req = {.kind = MAKE_COPY, .persist = true};

	rig_login(&rig);
	make_pair("one", true);
	rig_reopen(&rig);
	rig_login(&rig);
	sync_ok();
	base = rig_find(&rig, CKO_PRIVATE_KEY, "one");
	req.base = base;
	req.tmpl = base->attrs;
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, copy), CKR_OK);
	sign_with(copy[0]);
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, base), CKR_OK);
	sign_with(copy[0]);
	let_go(copy[0]);
}

/* ---- two processes ---- */

static struct token *other;
static void as_other(void)
{
	struct token *mine = rig.tok;

	rig.tok = other;
	other = mine;
}

Test(objects, another_process)
{
	struct token_obj *o, *changed;

	sync_ok();
	other = rig_open_again(&rig);
	as_other();
	cr_assert_eq(create(CKO_DATA, "from there", false, true, &o), CKR_OK);
	as_other();
	sync_ok();
	cr_assert_not_null(rig_find(&rig, CKO_DATA, "from there"));
	as_other();
	cr_assert_eq(relabel(o, "changed", &changed), CKR_OK);
	as_other();
	sync_ok();
	cr_assert_not_null(rig_find(&rig, CKO_DATA, "changed"));
	as_other();
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, changed), CKR_OK);
	let_go(o);
	let_go(changed);
	as_other();
	sync_ok();
	cr_assert_eq(rig.n_seen, 0);
	tpm_token_ops.free(other);
}

Test(objects, another_process_changes_the_pin)
{
	other = rig_open_again(&rig);
	rig_login(&rig);
	as_other();
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, BYTES("fresh", 5)), CKR_OK);
	as_other();
	sync_ok();
	make_pair("still logged in", true);
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, NULL, BYTES("fresh", 5)), CKR_OK);
	tpm_token_ops.free(other);
}

Test(objects, another_process_initializes)
{
	struct token_obj *o, *pair[2];

	cr_assert_eq(create(CKO_DATA, "old", false, true, &o), CKR_OK);
	let_go(o);
	rig_login(&rig);
	sync_ok();
	other = rig_open_again(&rig);
	as_other();
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, BYTES("wrong", 5), (const uint8_t[32]){'n'}), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){'n'}), CKR_OK);
	as_other();
	cr_assert_eq(rig_ec(&rig, P256, "x", true, true, pair), CKR_DEVICE_REMOVED);
	cr_assert_eq(rig_sync(&rig), CKR_DEVICE_REMOVED);
	sync_ok();
	cr_assert_eq(rig.n_seen, 0);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_USER_PIN_NOT_INITIALIZED);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, 1);
	tpm_token_ops.free(other);
}

/* ---- pin = none ---- */

Test(pin_none, works_without_login)
{
	struct token_info i = {0};

	rig_start(&rig, "pin", "none");
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){'n'}), CKR_OK);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_OK);
	cr_assert_eq(i.flags & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED), 0);
	make_pair("one", true);
	rig_reopen(&rig);
	sync_ok();
	sign_with(rig_find(&rig, CKO_PRIVATE_KEY, "one"));
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_USER_PIN_NOT_INITIALIZED);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_SO, PIN_SO), CKR_OK);
	rig_stop(&rig);
}

/* ---- damage ---- */

Test(objects, a_damaged_record_is_skipped)
{
	struct token_obj *o;
	char line[256];

	cr_assert_eq(create(CKO_DATA, "good", false, true, &o), CKR_OK);
	let_go(o);
	snprintf(line, sizeof line, "echo rubbish > %s/00112233445566778899aabbccddeeff", rig.store);
	cr_assert_eq(system(line), 0);
	rig_reopen(&rig);
	sync_ok();
	cr_assert_eq(rig.n_seen, 1);
}

Test(objects, a_damaged_token_record_is_kept)
{
	char line[256];

	snprintf(line, sizeof line, "echo rubbish > %s/token", rig.store);
	cr_assert_eq(system(line), 0);
	rig_reopen(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_DEVICE_ERROR);
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){0}), CKR_DEVICE_ERROR);
	snprintf(line, sizeof line, "grep -q rubbish %s/token", rig.store);
	cr_assert_eq(system(line), 0);
}

/* ---- failures and deaths at every change of the store ---- */

static int die_at, fail_at, calls;
static bool hit(void)
{
	calls++;
	if (die_at && calls == die_at)
		kill(getpid(), SIGKILL);
	errno = ENOSPC;
	return fail_at && calls == fail_at;
}

static ssize_t h_write(int fd, const void *b, size_t n) { return hit() ? -1 : real.write(fd, b, n); }
static int h_fsync(int fd) { return hit() ? -1 : real.fsync(fd); }
static int h_rename(int d, const char *a, const char *b) { return hit() ? -1 : real.rename(d, a, b); }
static int h_unlink(int d, const char *n) { return hit() ? -1 : real.unlink(d, n); }
static int h_open(int d, const char *n, int f, mode_t m) { return hit() ? -1 : real.open(d, n, f, m); }

static void arm(int fail, int die)
{
	fail_at = fail;
	die_at = die;
	calls = 0;
	store_sys = real;
	store_sys.write = h_write;
	store_sys.fsync = h_fsync;
	store_sys.rename = h_rename;
	store_sys.unlink = h_unlink;
	store_sys.open = h_open;
}

/* The directory's content, but for the lock and a half-written file, as one number. */
static uint64_t fingerprint(void)
{
	char line[400], text[65] = "";
	uint64_t v;
	FILE *f;

	snprintf(line, sizeof line, "cd %s && for f in $(ls | grep -v -e ^lock$ -e ^new$); do echo $f; cat $f; done | sha256sum",
		 rig.store);
	f = popen(line, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fread(text, 1, 16, f), 16);
	pclose(f);
	v = strtoull(text, NULL, 16);
	return v;
}

static CK_RV do_set_pin(void)
{
	return tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, PIN_USER);
}

static CK_RV do_init(void)
{
	return tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){'n'});
}

static CK_RV do_create(void)
{
	struct token_obj *o;
	CK_RV rv = create(CKO_DATA, "x", false, true, &o);

	if (rv == CKR_OK)
		let_go(o);
	return rv;
}

/* Whatever call to the file system fails: nothing changed, nothing is left in the TPM, and it works the next time. */
static void sweep(CK_RV (*call)(void), size_t indices)
{
	for (int n = 1;; n++) {
		uint64_t before = fingerprint();
		CK_RV rv;

		arm(n, 0);
		rv = call();
		store_sys = real;
		if (calls < n)
			break;
		if (rv == CKR_OK) { /* past the commit: at most leftovers, which the next call removes */
			cr_assert_eq(call(), CKR_OK);
			continue;
		}
		cr_assert_eq(fingerprint(), before, "call %d: 0x%lx", n, rv);
		cr_assert_eq(swtpm_census(&rig.tpm).indices, indices, "call %d: 0x%lx", n, rv);
		cr_assert(rv == CKR_DEVICE_MEMORY || rv == CKR_GENERAL_ERROR, "call %d: 0x%lx", n, rv);
	}
	cr_assert_eq(call(), CKR_OK);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, indices);
}

Test(objects, sweep_set_pin)
{
	sweep(do_set_pin, 2);
	rig_login(&rig);
}

Test(objects, sweep_create)
{
	sweep(do_create, 2);
}

Test(objects, sweep_init_token)
{
	cr_assert_eq(do_init(), CKR_OK); /* without a user PIN from here on */
	sweep(do_init, 1);
}

/* kill -9 at each change of the store: the next process finds the old PIN or the new one, and tidies up. */
Test(objects, death_during_set_pin)
{
	for (int n = 1, status = 0;; n++) {
		pid_t child;

		rig_reopen(&rig);
		child = fork();
		if (child == 0) {
			arm(0, n);
			_exit(do_set_pin() == CKR_OK ? 0 : 1);
		}
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			continue;
		rig_login(&rig);
		tpm_token_ops.logout(rig.tok);
		cr_assert_eq(do_create(), CKR_OK); /* takes the lock: cleans up */
		cr_assert_eq(swtpm_census(&rig.tpm).indices, 2, "death at %d", n);
		if (WIFEXITED(status)) {
			cr_assert_eq(WEXITSTATUS(status), 0);
			break;
		}
	}
}

Test(objects, death_during_init_token)
{
	rig_login(&rig);
	make_pair("old", false);
	for (int n = 1, status = 0;; n++) {
		struct token_info i = {0};
		pid_t child;

		rig_reopen(&rig);
		child = fork();
		if (child == 0) {
			arm(0, n);
			_exit(do_init() == CKR_OK ? 0 : 1);
		}
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			continue;
		cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_OK);
		cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_SO, PIN_SO), CKR_OK, "death at %d", n);
		tpm_token_ops.logout(rig.tok);
		cr_assert_eq(do_create(), CKR_OK);
		cr_assert_eq(swtpm_census(&rig.tpm).indices, i.flags & CKF_USER_PIN_INITIALIZED ? 2 : 1, "death at %d", n);
		if (WIFEXITED(status))
			break;
	}
	rig_reopen(&rig);
	sync_ok();
	cr_assert_null(rig_find(&rig, CKO_PRIVATE_KEY, "old"));
}

Test(objects, fork)
{
	int status = 0;
	pid_t child;

	rig_login(&rig);
	make_pair("one", true);
	sync_ok();
	child = fork();
	if (child == 0) {
		tpm_token_ops.forked(rig.tok);
		tpm_token_ops.free(rig.tok);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	make_pair("two", true);
}

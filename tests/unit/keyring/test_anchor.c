/* Anchors: what reaches a token, and from where; the quota of an ordinary user; two processes at once. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user.h"

TestSuite(anchor, .init = fresh_session);

/* The user keyring and the quota are the user's: a test takes one whom nobody else is. */
static void own_user(void)
{
	int error = user_become(NULL);

	if (error == ENOTSUP)
		cr_skip_test("needs root to become another user");
	cr_assert(error == 0, "%s", strerror(error));
	fresh_session();
}

Test(anchor, names)
{
	struct anchor a;

	cr_assert(anchor_parse("user", "mine", &a) && a.kind == ANCHOR_USER);
	cr_assert_str_eq(a.name, "signet:mine");
	cr_assert(anchor_parse("persistent:x", "mine", &a) && a.kind == ANCHOR_PERSISTENT);
	cr_assert_str_eq(a.name, "signet:x");
	cr_assert(!anchor_parse("user:", "mine", &a));
	cr_assert(!anchor_parse("users", "mine", &a));
	cr_assert(!anchor_parse("thread", "mine", &a));
}

/* A token made in one session is used from another one of the same user, which doesn't possess it. */
static void across_sessions(const char *where)
{
	struct front f, other;
	struct token_obj *o;

	own_user();
	front_open(&f, where, NULL);
	init_token(&f, false);
	cr_assert(make_data(&f, "one", 10, false, &o) == CKR_OK);
	fresh_session();
	front_open(&other, where, NULL);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(front_find(&other, "one"));
	cr_assert(make_data(&other, "two", 10, false, NULL) == CKR_OK);
	cr_assert(set_label(&other, o, "three", NULL) == CKR_OK);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(front_find(&f, "two") && front_find(&f, "three"));
	cr_assert(keyring_token_ops.destroy(f.tok, o) == CKR_OK);
	init_token(&other, false);
	cr_assert(front_sync(&f) == CKR_DEVICE_REMOVED);
	keyring_token_ops.obj_free(f.tok, o);
	/* unlike a session keyring, these anchors outlive the test; unlinking from the persistent one takes possession */
	key_serial_t anchor = kr(&other)->anchor_ring;
	if (strcmp(where, "persistent") == 0)
		cr_assert(keyctl_get_persistent((uid_t)-1, KEY_SPEC_THREAD_KEYRING) == anchor);
	cr_assert(keyctl_unlink(kr(&other)->store.ring, anchor) == 0);
	front_close(&f);
	front_close(&other);
}

Test(anchor, user)
{
	across_sessions("user");
}

Test(anchor, persistent)
{
	across_sessions("persistent");
}

/* Another session doesn't see a session token, and that doesn't end its sessions where it is seen. */
static void *in_another_session(void *arg)
{
	struct front *f = arg;
	static CK_RV rv;

	fresh_session(); /* this thread alone */
	rv = front_sync(f);
	cr_assert(rv == CKR_OK);
	cr_assert(make_data(f, "no", 10, false, NULL) != CKR_OK);
	return NULL;
}

Test(anchor, thread_of_another_session)
{
	struct front f;
	pthread_t thread;

	front_open(&f, "session", NULL);
	init_token(&f, false);
	cr_assert(make_data(&f, "one", 10, false, NULL) == CKR_OK);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(pthread_create(&thread, NULL, in_another_session, &f) == 0);
	cr_assert(pthread_join(thread, NULL) == 0);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(make_data(&f, "two", 10, false, NULL) == CKR_OK);
	front_close(&f);
}

/* A user's quota is filled; then the token can still be changed, and a failed creation leaves it as it was. */
Test(anchor, full_quota)
{
	struct front f;
	struct token_obj *o;
	struct digest before;
	CK_RV rv;
	unsigned n = 0;

	own_user();
	front_open(&f, "session", NULL);
	init_token(&f, true);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(make_data(&f, "big", 700, true, &o) == CKR_OK);
	while ((rv = make_data(&f, "more", 700, true, NULL)) == CKR_OK)
		cr_assert(++n < 200);
	cr_assert(rv == CKR_DEVICE_MEMORY);
	cr_assert(n > 10);
	while ((rv = make_data(&f, "less", 20, true, NULL)) == CKR_OK)
		cr_assert(++n < 200);
	before = ring_digest(kr(&f)->store.ring);
	cr_assert(make_data(&f, "more", 700, true, NULL) == CKR_DEVICE_MEMORY);
	cr_assert(digest_equal(before, ring_digest(kr(&f)->store.ring)));
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(set_label(&f, o, i % 2 ? "BIG" : "a longer label", NULL) == CKR_OK);
		cr_assert(keyring_token_ops.set_pin(f.tok, TOKEN_USER, STR("1234"), STR("1234")) == CKR_OK);
	}
	cr_assert(keyring_token_ops.destroy(f.tok, o) == CKR_OK);
	cr_assert(make_data(&f, "again", 600, true, NULL) == CKR_OK);
	keyring_token_ops.obj_free(f.tok, o);
	front_close(&f);
}

/* The same when it is the number of keys that is used up, by keys that aren't ours. */
Test(anchor, full_count)
{
	struct front f;
	struct token_obj *o;
	struct digest before;
	char name[16];

	own_user();
	front_open(&f, "session", NULL);
	init_token(&f, true);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(make_data(&f, "one", 10, true, &o) == CKR_OK);
	kr_sys_kernel.pause(300);
	for (unsigned i = 0; snprintf(name, sizeof name, "%u", i) && add_key("user", name, "x", 1, KEY_SPEC_SESSION_KEYRING) > 0; i++)
		cr_assert(i < 250);
	cr_assert(errno == EDQUOT);
	before = ring_digest(kr(&f)->store.ring);
	cr_assert(make_data(&f, "two", 10, true, NULL) == CKR_DEVICE_MEMORY);
	cr_assert(digest_equal(before, ring_digest(kr(&f)->store.ring)));
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(set_label(&f, o, i % 2 ? "ONE" : "a longer label", NULL) == CKR_OK);
		cr_assert(keyring_token_ops.set_pin(f.tok, TOKEN_USER, STR("1234"), STR("1234")) == CKR_OK);
	}
	cr_assert(login(&f, TOKEN_USER, "wrong") == CKR_PIN_INCORRECT);
	cr_assert(keyring_token_ops.destroy(f.tok, o) == CKR_OK);
	cr_assert(make_data(&f, "two", 10, true, NULL) == CKR_OK);
	keyring_token_ops.obj_free(f.tok, o);
	front_close(&f);
}

/* Each of two processes counts one attribute of a shared object up; no step is lost. */
static int count_up(unsigned steps)
{
	struct front f;

	front_open(&f, "session", NULL);
	for (unsigned i = 0; i < steps; i++) {
		struct attrs *a = attrs_new();
		struct token_obj *changed;

		if (front_sync(&f) != CKR_OK || f.n != 1)
			return 1;
		/* each its own attribute: CKA_VENDOR_DEFINED and the pid's parity would do, the pid is simpler */
		if (attrs_set_ulong(a, CKA_VENDOR_DEFINED | (CK_ULONG)getpid(), i + 1) != CKR_OK)
			return 2;
		if (keyring_token_ops.update(f.tok, f.told[0], a, &changed) != CKR_OK)
			return 3;
		keyring_token_ops.obj_free(f.tok, changed);
		attrs_free(a);
	}
	front_close(&f);
	return 0;
}

Test(anchor, no_update_is_lost, .timeout = 120)
{
	enum { PROCESSES = 2, STEPS = 10000 };
	struct front f;
	pid_t pid[PROCESSES];

	front_open(&f, "session", NULL);
	init_token(&f, false);
	cr_assert(make_data(&f, "shared", 10, false, NULL) == CKR_OK);
	front_close(&f);
	for (size_t i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(count_up(STEPS));
	}
	for (size_t i = 0; i < PROCESSES; i++) {
		int status;

		cr_assert(waitpid(pid[i], &status, 0) == pid[i]);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	}
	front_open(&f, "session", NULL);
	cr_assert(front_sync(&f) == CKR_OK && f.n == 1);
	for (size_t i = 0; i < PROCESSES; i++)
		cr_assert(attrs_get_ulong(f.told[0]->attrs, CKA_VENDOR_DEFINED | (CK_ULONG)pid[i], 0) == STEPS);
	front_close(&f);
}

/* Two make the first token at once: one ring, and it is one of theirs. */
Test(anchor, first_at_once)
{
	struct front f;
	pid_t pid = fork();
	int status;

	front_open(&f, "session", NULL);
	init_token(&f, false);
	front_close(&f);
	if (pid == 0)
		_exit(0);
	cr_assert(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 0);
	front_open(&f, "session", NULL);
	cr_assert(login(&f, TOKEN_SO, "so-pin") == CKR_OK);
	front_close(&f);
}

/* The keyring token, in a session keyring of the test's own.
 *
 * As root, each test becomes a user: then the quota is an ordinary one, and /proc/key-users says how many keys this test
 * has, wherever they are. */
#include "harness.h"

#include <errno.h>
#include <keyutils.h>
#include <unistd.h>

#include "user.h"

static key_serial_t session_ring;
static struct user_keys keys_before;
static bool own_user; /* whose keys are this test's alone */

static void setup(void)
{
	int error = user_become(h.dir);

	cr_assert(error == 0 || error == ENOTSUP, "becoming a user: %s", strerror(error));
	own_user = error == 0;
	session_ring = keyctl_join_session_keyring(NULL);
	cr_assert(session_ring > 0, "keyctl_join_session_keyring: %m");
	/* These exist from their first use on, and are empty when the module is done with them. */
	cr_assert(keyctl_get_keyring_ID(KEY_SPEC_PROCESS_KEYRING, 1) > 0);
	cr_assert(keyctl_get_keyring_ID(KEY_SPEC_THREAD_KEYRING, 1) > 0);
	cr_assert(keyctl_get_keyring_ID(KEY_SPEC_USER_KEYRING, 1) > 0);
	keys_before = user_keys();
}

static void config(FILE *conf)
{
	fprintf(conf, "type = keyring\nkeyring = session\n");
}

/* Rings of ours in the session keyring: [slot test]'s, and [slot other]'s if a test made it. */
static key_serial_t ring_of(const char *name)
{
	return (key_serial_t)keyctl_search(KEY_SPEC_SESSION_KEYRING, "keyring", name, 0);
}

static key_serial_t taken;

static void take_out(void)
{
	taken = ring_of("signet:test");
	cr_assert(taken > 0, "the token's ring isn't there: %m");
	/* Kept alive elsewhere, where the module doesn't look. */
	cr_assert(keyctl_link(taken, KEY_SPEC_THREAD_KEYRING) == 0);
	cr_assert(keyctl_unlink(taken, KEY_SPEC_SESSION_KEYRING) == 0);
}

static void restore(void)
{
	cr_assert(keyctl_link(taken, KEY_SPEC_SESSION_KEYRING) == 0);
	cr_assert(keyctl_unlink(taken, KEY_SPEC_THREAD_KEYRING) == 0);
}

static void say_what_is_left(void)
{
	char line[256];
	FILE *f = fopen("/proc/keys", "re");

	expect_tidy(false, "%u keys of the test are left", user_keys().keys - keys_before.keys);
	while (f && fgets(line, sizeof line, f))
		expect_tidy(!strstr(line, "signet"), "%s", line);
	if (f)
		fclose(f);
}

/* Without the session keyring's links nothing of this test may be left once the kernel has collected its keys. */
static void check(void)
{
	if (taken > 0)
		keyctl_unlink(taken, KEY_SPEC_THREAD_KEYRING);
	keyctl_clear(KEY_SPEC_SESSION_KEYRING);
	if (own_user && !user_keys_fall((struct user_keys){keys_before.keys, UINT_MAX}, 3))
		say_what_is_left();
}

static void nothing(void)
{
}

const struct kind kind_keyring = {
	.name = "keyring",
	.setup = setup,
	.config = config,
	.check = check,
	.teardown = nothing,
	.remove = take_out,
	.restore = restore,
};

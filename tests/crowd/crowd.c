/* What the tests of the crowd share. */
#include "crowd.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static void digest_of(unsigned n, uint8_t digest[32])
{
	memset(digest, 0x5a, 32);
	digest[0] = (uint8_t)(n >> 8);
	digest[1] = (uint8_t)n;
}

CK_RV crowd_sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv, unsigned n, uint8_t sig[SIGNATURE])
{
	uint8_t digest[32];
	CK_ULONG len = SIGNATURE;
	CK_RV rv = h.f->C_SignInit(s, MECH(CKM_ECDSA), priv);

	digest_of(n, digest);
	return rv == CKR_OK ? h.f->C_Sign(s, digest, sizeof digest, sig, &len) : rv;
}

bool crowd_verify(EVP_PKEY *key, unsigned n, const uint8_t sig[SIGNATURE])
{
	uint8_t digest[32];

	digest_of(n, digest);
	return judge_ecdsa(key, BYTES_OF(digest), BYTES(sig, SIGNATURE));
}

CK_OBJECT_HANDLE crowd_find(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, const char *label)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	CK_ULONG n = find(s, TEMPLATE(A_ULONG(CKA_CLASS, class), A_BYTES(CKA_LABEL, label, strlen(label))), &o);
	cr_assert(n == 1, "%lu objects are called %s", n, label);
	return o;
}

/* `to` and `from`, if not -1, become its standard input and output. */
static pid_t client(const char *const *arguments, int to, int from)
{
	const char *argv[8] = {secure_getenv("SIGNET_TEST_CLIENT"), secure_getenv("SIGNET_TEST_MODULE")};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	cr_assert(argv[0], "SIGNET_TEST_CLIENT is not set: run the tests through meson");
	for (size_t i = 0; arguments[i]; i++)
		argv[2 + i] = arguments[i];
	posix_spawn_file_actions_init(&actions);
	if (to >= 0)
		posix_spawn_file_actions_adddup2(&actions, to, 0);
	if (from >= 0)
		posix_spawn_file_actions_adddup2(&actions, from, 1);
	int failed = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	cr_assert(failed == 0, "%s: %s", argv[0], strerror(failed));
	return pid;
}

pid_t crowd_begin(const char *label, unsigned times, const char *out)
{
	char number[16];

	snprintf(number, sizeof number, "%u", times);
	return client((const char *const[]){"sign", USER_PIN, label, number, out, NULL}, -1, -1);
}

int crowd_end(pid_t pid)
{
	int status;

	cr_assert(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

unsigned crowd_count(EVP_PKEY *key, const char *out)
{
	uint8_t sig[SIGNATURE];
	unsigned n = 0, good = 0;

	FILE *f = fopen(out, "re");
	while (f && fread(sig, sizeof sig, 1, f) == 1)
		good += crowd_verify(key, n++, sig);
	if (f)
		fclose(f);
	return good;
}

/* ---- changers ---- */

void changer_begin(struct changer *c)
{
	int to[2], from[2];

	cr_assert(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
	c->pid = client((const char *const[]){"change", NULL}, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
}

void changer_tell(const struct changer *c, const char *label)
{
	cr_assert(dprintf(c->to, "%s\n", label) > 0);
}

bool changer_done(const struct changer *c)
{
	char byte;

	return read(c->from, &byte, 1) == 1;
}

int changer_end(struct changer *c)
{
	close(c->to);
	close(c->from);
	return crowd_end(c->pid);
}

/* The second process: it has loaded the module, is logged in, and tells what it sees of the token whenever it is asked.
 * It was forked before the first process called C_Initialize. */
#include "rig.h"

#include <openssl/evp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t pid;
static int ask[2], answer[2];

/* ---- in the second process: nothing asserts, what fails is part of the sight ---- */

static CK_SESSION_HANDLE session;

/* All at once: each call looks for what others have changed. */
static const CK_ATTRIBUTE_TYPE types[] = {
	CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE, CKA_LABEL, CKA_UNIQUE_ID, CKA_VALUE, CKA_OBJECT_ID,
	CKA_APPLICATION, CKA_CERTIFICATE_TYPE, CKA_ID, CKA_SUBJECT, CKA_KEY_TYPE, CKA_SENSITIVE, CKA_ENCRYPT,
	CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_MODULUS, CKA_EXTRACTABLE,
	CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE, CKA_EC_PARAMS, CKA_EC_POINT,
	CKA_ALWAYS_AUTHENTICATE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_TRUSTED, CKA_VALUE_LEN,
};

static void digest_attributes(EVP_MD_CTX *md, CK_OBJECT_HANDLE o)
{
	static uint8_t values[ARRAY_LEN(types)][1024];
	CK_ATTRIBUTE t[ARRAY_LEN(types)];

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		t[i] = (CK_ATTRIBUTE){types[i], values[i], sizeof values[i]};
	CK_RV rv = h.f->C_GetAttributeValue(session, o, t, ARRAY_LEN(t));
	EVP_DigestUpdate(md, &rv, sizeof rv);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		EVP_DigestUpdate(md, &t[i].ulValueLen, sizeof t[i].ulValueLen);
		if (t[i].ulValueLen <= sizeof values[i])
			EVP_DigestUpdate(md, values[i], t[i].ulValueLen);
	}
}

/* The order in which objects are found says nothing: their digests are added. */
static void add_object(struct sight *s, CK_OBJECT_HANDLE o)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t d[32];

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	digest_attributes(md, o);
	EVP_DigestFinal_ex(md, d, NULL);
	EVP_MD_CTX_free(md);
	for (size_t i = 0; i < sizeof d; i++)
		s->digest[i] = (uint8_t)(s->digest[i] + d[i]);
	s->objects++;
}

static CK_RV see_objects(struct sight *s)
{
	CK_OBJECT_HANDLE o[200];
	CK_ULONG n = 0;
	CK_RV rv = h.f->C_FindObjectsInit(session, NULL, 0);

	if (rv == CKR_OK)
		rv = h.f->C_FindObjects(session, o, ARRAY_LEN(o), &n);
	CK_RV end = h.f->C_FindObjectsFinal(session);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++)
		add_object(s, o[i]);
	return rv != CKR_OK ? rv : end;
}

/* Flags and numbers of sessions are what this process does itself. */
static CK_RV see_token(struct sight *s)
{
	const CK_FLAGS shown = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_LOGIN_REQUIRED |
			       CKF_WRITE_PROTECTED | CKF_ERROR_STATE;
	CK_TOKEN_INFO info;
	CK_RV rv = h.f->C_GetTokenInfo(h.slot, &info);

	if (rv != CKR_OK)
		return rv;
	for (size_t i = 0; i < sizeof info.label; i++)
		s->digest[i] ^= info.label[i];
	for (size_t i = 0; i < sizeof info.serialNumber; i++)
		s->digest[i] ^= info.serialNumber[i];
	s->digest[31] ^= (uint8_t)((info.flags & shown) ^ (info.flags & shown) >> 8);
	return CKR_OK;
}

/* Logged in as long as this is the same token: a login at each look would take its time. */
static CK_RV be_logged_in(void)
{
	CK_SESSION_INFO info;
	CK_RV rv;

	if (h.f->C_GetSessionInfo(session, &info) == CKR_OK && info.state == CKS_RW_USER_FUNCTIONS)
		return CKR_OK;
	h.f->C_CloseAllSessions(h.slot);
	rv = h.f->C_OpenSession(h.slot, RW, NULL, NULL, &session);
	if (rv == CKR_OK)
		rv = h.f->C_Login(session, CKU_USER, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
	return rv == CKR_USER_PIN_NOT_INITIALIZED ? CKR_OK : rv;
}

static struct sight see(void)
{
	struct sight s = {.rv = CKR_OK};

	s.rv = see_token(&s);
	if (s.rv == CKR_OK)
		s.rv = be_logged_in();
	if (s.rv == CKR_OK)
		s.rv = see_objects(&s);
	for (size_t i = 0; i < sizeof s.rv; i++)
		s.digest[8 + i] ^= (uint8_t)(s.rv >> 8 * i);
	return s;
}

/* Who has a session when the token is initialized anew is told once that it was removed (R13), and sees the new one
 * then: what it is told of, a call of the round before may have done. */
static struct sight look(void)
{
	struct sight s;

	if (!h.initialized && h.f->C_Initialize(NULL) != CKR_OK)
		_exit(2);
	h.initialized = true;
	plans.module->ahead_ns += 2000000000; /* it may have met a TPM in failure mode, too */
	s = see();
	return s.rv == CKR_DEVICE_REMOVED ? see() : s;
}

static void watch(void)
{
	struct sight s;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(ask[1]);
	close(answer[0]);
	while (read(ask[0], &byte, 1) == 1) {
		s = look();
		if (write(answer[1], &s, sizeof s) != sizeof s)
			_exit(1);
	}
	if (h.initialized)
		h.f->C_Finalize(NULL);
	_exit(0);
}

/* ---- in the first ---- */

void watcher_start(void)
{
	cr_assert(pipe(ask) == 0 && pipe(answer) == 0);
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		watch();
	close(ask[0]);
	close(answer[1]);
}

struct sight watcher_look(void)
{
	struct sight s;

	cr_assert(write(ask[1], "?", 1) == 1 && read(answer[0], &s, sizeof s) == sizeof s,
		  "the second process has ended");
	return s;
}

void watcher_stop(void)
{
	int status;

	if (!pid)
		return;
	close(ask[1]);
	close(answer[0]);
	cr_assert(waitpid(pid, &status, 0) == pid);
	pid = 0;
	expect_tidy(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the second process ended with 0x%x", status);
}

/* Sessions, objects and keys, as most tests need them. */
#include "harness.h"

#include <sys/wait.h>
#include <unistd.h>

const uint8_t p256_params[10] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

CK_SESSION_HANDLE open_on(CK_SLOT_ID slot, CK_FLAGS flags)
{
	CK_SESSION_HANDLE s = CK_INVALID_HANDLE;

	OK(C_OpenSession, slot, flags, NULL, NULL, &s);
	cr_assert(s != CK_INVALID_HANDLE);
	return s;
}

CK_SESSION_HANDLE open_session(CK_FLAGS flags)
{
	return open_on(h.slot, flags);
}

CK_RV login(CK_SESSION_HANDLE s, CK_USER_TYPE user, const char *pin)
{
	return CALL(C_Login, s, user, (CK_UTF8CHAR *)pin, strlen(pin));
}

CK_STATE state_of(CK_SESSION_HANDLE s)
{
	CK_SESSION_INFO info;

	OK(C_GetSessionInfo, s, &info);
	return info.state;
}

CK_FLAGS token_flags(void)
{
	CK_TOKEN_INFO info;

	OK(C_GetTokenInfo, h.slot, &info);
	return info.flags;
}

CK_ULONG find(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
	CK_OBJECT_HANDLE o[16];
	CK_ULONG got, total = 0;

	OK(C_FindObjectsInit, s, t, n);
	do {
		OK(C_FindObjects, s, o, ARRAY_LEN(o), &got);
		cr_assert(got <= ARRAY_LEN(o));
		if (got && ret)
			*ret = o[got - 1];
		total += got;
	} while (got);
	OK(C_FindObjectsFinal, s);
	return total;
}

CK_ULONG attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, void *buf, CK_ULONG cap)
{
	CK_ATTRIBUTE a = {type, buf, cap};

	CK_RV rv = CALL(C_GetAttributeValue, s, o, &a, 1);
	cr_assert(rv == CKR_OK, "attribute 0x%lx: %s", type, rv_name(rv));
	return a.ulValueLen;
}

bool attribute_bool(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type)
{
	CK_BBOOL v = 0x7f;

	cr_assert(attribute(s, o, type, &v, sizeof v) == 1, "attribute 0x%lx", type);
	cr_assert(v == CK_TRUE || v == CK_FALSE, "attribute 0x%lx", type);
	return v;
}

CK_ULONG attribute_ulong(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type)
{
	CK_ULONG v = 0;

	cr_assert(attribute(s, o, type, &v, sizeof v) == sizeof v, "attribute 0x%lx", type);
	return v;
}

CK_OBJECT_HANDLE data_object(CK_SESSION_HANDLE s, bool token, bool private, const char *label)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	OK(C_CreateObject, s,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, token), A_BOOL(CKA_PRIVATE, private),
		    A_BYTES(CKA_LABEL, label, strlen(label)), A_TEXT(CKA_VALUE, "content")),
	   &o);
	return o;
}

bool has_mechanism(CK_MECHANISM_TYPE type, CK_FLAGS flags)
{
	CK_MECHANISM_INFO info;

	CK_RV rv = CALL(C_GetMechanismInfo, h.slot, type, &info);
	cr_assert(rv == CKR_OK || rv == CKR_MECHANISM_INVALID, "C_GetMechanismInfo: %s", rv_name(rv));
	return rv == CKR_OK && (info.flags & flags) == flags;
}

void need_mechanism(CK_MECHANISM_TYPE type, CK_FLAGS flags)
{
	if (!has_mechanism(type, flags))
		cr_skip_test("mechanism 0x%lx isn't offered", type);
}

struct pair rsa_pair(CK_SESSION_HANDLE s, bool token, const char *label)
{
	struct pair p = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};

	OK(C_GenerateKeyPair, s, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_BOOL(CKA_TOKEN, token), A_BOOL(CKA_VERIFY, true),
		    A_BOOL(CKA_ENCRYPT, true), A_BYTES(CKA_LABEL, label, strlen(label)), A_TEXT(CKA_ID, "rsa")),
	   TEMPLATE(A_BOOL(CKA_TOKEN, token), A_BOOL(CKA_SIGN, true), A_BOOL(CKA_DECRYPT, true),
		    A_BYTES(CKA_LABEL, label, strlen(label)), A_TEXT(CKA_ID, "rsa")),
	   &p.pub, &p.priv);
	return p;
}

struct pair ec_pair(CK_SESSION_HANDLE s, bool token, const char *label)
{
	struct pair p = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};

	OK(C_GenerateKeyPair, s, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_TOKEN, token),
		    A_BOOL(CKA_VERIFY, true), A_BYTES(CKA_LABEL, label, strlen(label)), A_TEXT(CKA_ID, "ec")),
	   TEMPLATE(A_BOOL(CKA_TOKEN, token), A_BOOL(CKA_SIGN, true), A_BYTES(CKA_LABEL, label, strlen(label)),
		    A_TEXT(CKA_ID, "ec")),
	   &p.pub, &p.priv);
	return p;
}

CK_OBJECT_HANDLE aes_key(CK_SESSION_HANDLE s, CK_ULONG size)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	OK(C_GenerateKey, s, MECH(CKM_AES_KEY_GEN),
	   TEMPLATE(A_ULONG(CKA_VALUE_LEN, size), A_BOOL(CKA_ENCRYPT, true), A_BOOL(CKA_DECRYPT, true),
		    A_BOOL(CKA_SIGN, true), A_BOOL(CKA_VERIFY, true), A_BOOL(CKA_SENSITIVE, false),
		    A_BOOL(CKA_EXTRACTABLE, true)),
	   &o);
	return o;
}

CK_OBJECT_HANDLE hmac_key(CK_SESSION_HANDLE s, const void *value, CK_ULONG size)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	OK(C_CreateObject, s,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
		    A_BYTES(CKA_VALUE, value, size), A_BOOL(CKA_SIGN, true), A_BOOL(CKA_VERIFY, true)),
	   &o);
	return o;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t from_hex(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = 0;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		int hi = nibble(hex[0]), lo = nibble(hex[1]);
		cr_assert(hi >= 0 && lo >= 0 && n < cap, "bad hex in the test");
		out[n++] = (uint8_t)(hi << 4 | lo);
		hex++;
	}
	return n;
}

int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(fn());
	cr_assert(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void log_start(void)
{
	char spec[128];

	snprintf(spec, sizeof spec, "info,file=%s/log", h.dir);
	setenv("SIGNET_LOG", spec, 1);
}

bool log_has(const char *word)
{
	char path[96], line[1024];
	bool found = false;

	snprintf(path, sizeof path, "%s/log", h.dir);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = strstr(line, word);
	if (f)
		fclose(f);
	return found;
}

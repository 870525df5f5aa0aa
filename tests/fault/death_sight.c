/* What a new process finds: the token in words, one line for each thing, so that two states can be compared. */
#include "death.h"

#include <openssl/x509.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "judge.h"

static const struct mortal *m;
static CK_SESSION_HANDLE s;
static FILE *to;

/* ---- attributes ---- */

static const CK_ATTRIBUTE_TYPE types[] = {
	CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_LABEL, CKA_UNIQUE_ID,
	CKA_APPLICATION, CKA_OBJECT_ID, CKA_VALUE, CKA_VALUE_LEN, CKA_KEY_TYPE, CKA_ID, CKA_START_DATE, CKA_END_DATE,
	CKA_DERIVE, CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALLOWED_MECHANISMS, CKA_SUBJECT, CKA_ENCRYPT, CKA_DECRYPT,
	CKA_SIGN, CKA_SIGN_RECOVER, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_UNWRAP, CKA_TRUSTED,
	CKA_WRAP_WITH_TRUSTED, CKA_PUBLIC_KEY_INFO, CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_EXTRACTABLE,
	CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_AUTHENTICATE, CKA_CHECK_VALUE, CKA_EC_PARAMS, CKA_EC_POINT,
};

static void print_field(const char *name, const uint8_t *p, size_t n)
{
	fprintf(to, " %s=%zu:", name, n);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%02x", p[i]);
}

static int print_attributes(CK_OBJECT_HANDLE o)
{
	uint8_t room[ARRAY_LEN(types)][512];
	CK_ATTRIBUTE a[ARRAY_LEN(types)];
	char name[24];

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		a[i] = (CK_ATTRIBUTE){types[i], room[i], sizeof room[i]};
	CK_RV rv = h.f->C_GetAttributeValue(s, o, a, ARRAY_LEN(a));
	if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE)
		return 140;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		snprintf(name, sizeof name, "%lx", types[i]);
		if (a[i].ulValueLen <= sizeof room[i])
			print_field(name, room[i], a[i].ulValueLen);
	}
	return 0;
}

/* ---- what keys do ---- */

static EVP_PKEY *public_of(CK_OBJECT_HANDLE o, uint8_t *info, CK_ULONG *n)
{
	CK_ATTRIBUTE a = {CKA_PUBLIC_KEY_INFO, info, *n};
	const uint8_t *p = info;

	if (h.f->C_GetAttributeValue(s, o, &a, 1) != CKR_OK)
		return NULL;
	*n = a.ulValueLen;
	return d2i_PUBKEY(NULL, &p, (long)*n);
}

/* The other half, if it is there, has the same public key. */
static const char *agreement(CK_OBJECT_HANDLE priv, const uint8_t *info, CK_ULONG n)
{
	uint8_t label[64], other[256];
	CK_ATTRIBUTE a = {CKA_ID, label, sizeof label}, t[2] = {A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY)};
	CK_ATTRIBUTE theirs = {CKA_PUBLIC_KEY_INFO, other, sizeof other};
	CK_OBJECT_HANDLE o;
	CK_ULONG found = 0;

	if (h.f->C_GetAttributeValue(s, priv, &a, 1) != CKR_OK)
		return "unknown";
	t[1] = a;
	if (h.f->C_FindObjectsInit(s, t, 2) != CKR_OK || h.f->C_FindObjects(s, &o, 1, &found) != CKR_OK ||
	    h.f->C_FindObjectsFinal(s) != CKR_OK)
		return "unknown";
	if (!found || !a.ulValueLen)
		return "alone";
	bool same = h.f->C_GetAttributeValue(s, o, &theirs, 1) == CKR_OK && theirs.ulValueLen == n &&
		    memcmp(info, other, n) == 0;
	return same ? "agrees" : "differs";
}

static int try_private(CK_OBJECT_HANDLE o)
{
	uint8_t info[256], digest[32] = "what is signed", sig[64];
	CK_ULONG n = sizeof info, len = sizeof sig;
	EVP_PKEY *key = public_of(o, info, &n);

	if (!key)
		return 150;
	GUARD(151, C_SignInit(s, MECH(CKM_ECDSA), o));
	GUARD(152, C_Sign(s, digest, sizeof digest, sig, &len));
	bool right = judge_ecdsa(key, BYTES(digest, sizeof digest), BYTES(sig, len));
	EVP_PKEY_free(key);
	fprintf(to, " pair=%s", agreement(o, info, n));
	return right ? 0 : 153;
}

static int try_secret(CK_OBJECT_HANDLE o)
{
	uint8_t plain[16] = "what is hidden.", cipher[16];
	CK_ULONG n = sizeof cipher;

	GUARD(155, C_EncryptInit(s, MECH(CKM_AES_ECB), o));
	GUARD(156, C_Encrypt(s, plain, sizeof plain, cipher, &n));
	print_field("cipher", cipher, n);
	return 0;
}

static int try_key(CK_OBJECT_HANDLE o, CK_OBJECT_CLASS class)
{
	if (class == CKO_PRIVATE_KEY)
		return try_private(o);
	return class == CKO_SECRET_KEY ? try_secret(o) : 0;
}

/* ---- objects ---- */

/* Class and label come first: by them the lines of two sights are matched, whatever is random in them. */
static int print_object(CK_OBJECT_HANDLE o, const char *who)
{
	CK_OBJECT_CLASS class;
	char label[64] = "";
	CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, sizeof label - 1}};

	GUARD(141, C_GetAttributeValue(s, o, a, 2));
	for (char *p = label; *p; p++)
		if (*p == ' ')
			*p = '_';
	fprintf(to, "%s sees %lu \"%s\"", who, class, label);
	int where = print_attributes(o);
	if (!where && strcmp(who, "user") == 0)
		where = try_key(o, class);
	fprintf(to, "\n");
	return where;
}

static int print_objects(const char *who)
{
	CK_OBJECT_HANDLE o[64];
	CK_ULONG n = 0;
	int where = 0;

	GUARD(142, C_FindObjectsInit(s, TEMPLATE(A_BOOL(CKA_TOKEN, true))));
	GUARD(143, C_FindObjects(s, o, ARRAY_LEN(o), &n));
	GUARD(144, C_FindObjectsFinal(s));
	for (CK_ULONG i = 0; i < n && !where; i++)
		where = print_object(o[i], who);
	return where;
}

/* ---- PINs ---- */

static CK_RV enter(CK_USER_TYPE user, const char *pin)
{
	return h.f->C_Login(s, user, (CK_UTF8CHAR *)pin, strlen(pin));
}

/* Logs in with the PIN that works, and makes sure that the other one doesn't.  The right one comes last: it takes the
 * wrong tries back. */
static int log_in(CK_USER_TYPE user, const char *old, const char *new)
{
	CK_RV rv = new ? enter(user, new) : CKR_PIN_INCORRECT;

	if (rv != CKR_OK && rv != CKR_PIN_INCORRECT)
		return 120;
	if (rv == CKR_OK) {
		GUARD(121, C_Logout(s));
		if (enter(user, old) != CKR_PIN_INCORRECT)
			return 122;
	}
	const char *right = rv == CKR_OK ? new : old;
	if (enter(user, right) != CKR_OK)
		return 123;
	fprintf(to, "pin %s \"%s\"\n", user == CKU_SO ? "SO" : "user", right);
	return 0;
}

/* The user, if there is one, stays logged in. */
static int log_in_each(CK_FLAGS flags, bool *ret_user)
{
	int where = m->pins ? log_in(CKU_SO, SO_PIN, m->so) : 0;

	*ret_user = flags & CKF_USER_PIN_INITIALIZED;
	if (where)
		return where;
	if (m->pins)
		GUARD(124, C_Logout(s));
	return *ret_user ? log_in(CKU_USER, USER_PIN, m->user) : 0;
}

/* ---- the token ---- */

#define TRIED_FLAGS                                                                                                    \
	(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED | CKF_SO_PIN_COUNT_LOW |                \
	 CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED)

/* The tries that are used, from what the flags say where TRIES_LIMIT are allowed. */
static unsigned tries_used(CK_FLAGS flags)
{
	if (flags & (CKF_USER_PIN_LOCKED | CKF_SO_PIN_LOCKED))
		return TRIES_LIMIT;
	if (flags & (CKF_USER_PIN_FINAL_TRY | CKF_SO_PIN_FINAL_TRY))
		return TRIES_LIMIT - 1;
	return flags & (CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW) ? 1 : 0;
}

static void print_token(const CK_TOKEN_INFO *info)
{
	fprintf(to, "tries %u\n", tries_used(info->flags));
	fprintf(to, "token flags=%lx", info->flags & ~(CK_FLAGS)TRIED_FLAGS);
	print_field("label", info->label, sizeof info->label);
	print_field("serial", info->serialNumber, sizeof info->serialNumber);
	fprintf(to, "\n");
}

/* A change of the token, as small as can be: whoever makes one cleans up first. */
static int touch(void)
{
	CK_OBJECT_HANDLE o;

	GUARD(131, C_CreateObject(s, TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true),
					      A_TEXT(CKA_LABEL, "touch")), &o));
	GUARD(132, C_DestroyObject(s, o));
	return 0;
}

/* Where there is no token yet, making one is the change. */
static int look_at_none(void)
{
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	GUARD(133, C_InitToken(h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label));
	return 0;
}

static int look_at_token(CK_FLAGS flags)
{
	CK_TOKEN_INFO info;
	bool user = false;

	GUARD(110, C_OpenSession(h.slot, RW, NULL, NULL, &s));
	int where = print_objects("anybody");
	if (!where)
		where = log_in_each(flags, &user);
	if (!where && user)
		where = print_objects("user");
	if (!where)
		where = touch();
	if (where)
		return where;
	GUARD(111, C_GetTokenInfo(h.slot, &info));
	return info.flags & TRIED_FLAGS ? 112 : 0; /* the right PINs were the last: nothing is counted */
}

static int look(void)
{
	CK_TOKEN_INFO info;

	GUARD(101, C_Initialize(NULL));
	GUARD(102, C_GetTokenInfo(h.slot, &info));
	print_token(&info);
	int where = info.flags & CKF_TOKEN_INITIALIZED ? look_at_token(info.flags) : look_at_none();
	if (where)
		return where;
	GUARD(103, C_Finalize(NULL));
	return fflush(to) == 0 ? 0 : 104;
}

/* ---- sights ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void split(struct sight *ret, unsigned *ret_tries)
{
	char *save = NULL;

	ret->lines = calloc(strlen(ret->text) / 2 + 1, sizeof *ret->lines);
	cr_assert(ret->lines);
	for (char *p = strtok_r(ret->text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
		if (sscanf(p, "tries %u", ret_tries) != 1)
			ret->lines[ret->n++] = p;
	qsort(ret->lines, ret->n, sizeof *ret->lines, by_text);
}

static void read_back(int fd, struct sight *ret)
{
	off_t size = lseek(fd, 0, SEEK_END);

	ret->text = calloc(1, (size_t)size + 1);
	cr_assert(size >= 0 && ret->text);
	cr_assert(pread(fd, ret->text, (size_t)size, 0) == size);
}

int sight_take(const struct mortal *mortal, struct sight *ret, unsigned *ret_tries)
{
	int fd = memfd_create("sight", MFD_CLOEXEC);

	*ret = (struct sight){0};
	*ret_tries = 0;
	m = mortal;
	to = fd >= 0 ? fdopen(dup(fd), "w") : NULL;
	cr_assert(to);
	int where = in_child(look);
	fclose(to);
	read_back(fd, ret);
	close(fd);
	split(ret, ret_tries);
	return where;
}

void sight_done(struct sight *sight)
{
	free(sight->text);
	free(sight->lines);
	*sight = (struct sight){0};
}

/* ---- comparing ---- */

/* The next field of a line; its length, 0 at the end. */
static size_t next_field(const char **p)
{
	*p += strspn(*p, " ");
	return strcspn(*p, " ");
}

static bool same_field(const char *a, size_t na, const char *b, size_t nb)
{
	return na == nb && memcmp(a, b, na) == 0;
}

/* "name=length:" of both, where the rest is random. */
static bool same_form(const char *a, size_t na, const char *b, size_t nb)
{
	const char *colon = memchr(b, ':', nb);

	return colon && na == nb && memcmp(a, b, (size_t)(colon - b) + 1) == 0;
}

static const char *line_differs(const char *is, const char *want, const char *other)
{
	static char words[256];
	size_t n, n_want, n_other;

	do {
		n = next_field(&is);
		n_want = next_field(&want);
		n_other = next_field(&other);
		bool random = !same_field(want, n_want, other, n_other);
		if (random ? !same_form(is, n, want, n_want) : !same_field(is, n, want, n_want)) {
			snprintf(words, sizeof words, "%.*s instead of %.*s", (int)MIN(n, 100), is,
				 (int)MIN(n_want, 100), want);
			return words;
		}
		is += n;
		want += n_want;
		other += n_other;
	} while (n);
	return NULL;
}

const char *sight_differs(const struct sight *is, const struct sight *want, const struct sight *other)
{
	static char words[160];
	const char *one = NULL;

	for (size_t i = 0; i < MIN(is->n, want->n) && !one; i++)
		one = line_differs(is->lines[i], want->lines[i], other->lines[i]);
	if (one || is->n == want->n)
		return one;
	snprintf(words, sizeof words, "%zu lines instead of %zu; the last: %.100s", is->n, want->n,
		 is->n ? is->lines[is->n - 1] : "");
	return words;
}

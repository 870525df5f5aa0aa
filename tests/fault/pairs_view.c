/* The token as text, in words that don't depend on chance: labels, PINs and numbers of things, no ids and no values of
 * keys; and the token made again as it was before the calls. */
#include "pairs.h"

#include <dirent.h>
#include <keyutils.h>
#include <stdarg.h>
#include <unistd.h>

#include "user.h"

void text_add(struct text *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(t->at + t->n, TEXT_SIZE - t->n, format, ap);
	va_end(ap);
	t->n = MIN(t->n + (size_t)n, (size_t)TEXT_SIZE - 1);
}

/* ---- objects ---- */

#define MANY 64

static const char *class_name(CK_OBJECT_CLASS class)
{
	static const char *const names[] = {
		[CKO_DATA] = "data", [CKO_CERTIFICATE] = "certificate", [CKO_PUBLIC_KEY] = "public key",
		[CKO_PRIVATE_KEY] = "private key", [CKO_SECRET_KEY] = "secret key",
	};

	return class < ARRAY_LEN(names) ? names[class] : "other";
}

/* Whether the key can be used: it signs, and the public key of the same label, where there is one, finds that right. */
static void view_use(char line[200], CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, CK_ATTRIBUTE label)
{
	CK_BYTE digest[32] = "what is signed", signature[64];
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), label};
	CK_OBJECT_HANDLE pub = CK_INVALID_HANDLE;
	CK_ULONG n = sizeof signature, found = 0;

	CK_RV rv = h.f->C_SignInit(s, MECH(CKM_ECDSA), key);
	if (rv == CKR_OK)
		rv = h.f->C_Sign(s, digest, sizeof digest, signature, &n);
	MUST(C_FindObjectsInit, s, t, 2);
	MUST(C_FindObjects, s, &pub, 1, &found);
	MUST(C_FindObjectsFinal, s);
	if (rv == CKR_OK && found)
		rv = h.f->C_VerifyInit(s, MECH(CKM_ECDSA), pub);
	if (rv == CKR_OK && found)
		rv = h.f->C_Verify(s, digest, sizeof digest, signature, n);
	snprintf(line + strlen(line), 200 - strlen(line), ", signs: %s%s", rv_name(rv), found ? ", verified" : "");
}

/* One object; use: what it can do is tried. */
static void view_object(char line[200], CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, bool use)
{
	CK_OBJECT_CLASS class = CK_UNAVAILABLE_INFORMATION;
	CK_BYTE label[64], value[64];
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, sizeof label}};
	CK_ATTRIBUTE v = {CKA_VALUE, value, sizeof value};

	CK_RV rv = h.f->C_GetAttributeValue(s, o, t, 2);
	if (rv != CKR_OK) {
		snprintf(line, 200, "C_GetAttributeValue: %s", rv_name(rv));
		return;
	}
	snprintf(line, 200, "%s \"%.*s\"", class_name(class), (int)t[1].ulValueLen, label);
	if (class == CKO_DATA && h.f->C_GetAttributeValue(s, o, &v, 1) == CKR_OK)
		snprintf(line + strlen(line), 200 - strlen(line), " \"%.*s\"", (int)v.ulValueLen, value);
	if (class == CKO_PRIVATE_KEY && use)
		view_use(line, s, o, t[1]);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void view_objects(struct text *t, CK_SESSION_HANDLE s, bool use)
{
	static char lines[MANY][200];
	CK_OBJECT_HANDLE o[MANY];
	CK_ULONG n = 0;

	CK_RV rv = h.f->C_FindObjectsInit(s, TEMPLATE(A_BOOL(CKA_TOKEN, true)));
	if (rv == CKR_OK) {
		rv = h.f->C_FindObjects(s, o, MANY, &n);
		MUST(C_FindObjectsFinal, s);
	}
	if (rv != CKR_OK) {
		text_add(t, "  looking for objects: %s\n", rv_name(rv));
		return;
	}
	for (CK_ULONG i = 0; i < n; i++)
		view_object(lines[i], s, o[i], use);
	qsort(lines, n, sizeof lines[0], by_text);
	for (CK_ULONG i = 0; i < n; i++)
		text_add(t, "  %s\n", lines[i]);
}

void view_own(struct text *t)
{
	char line[200];
	CK_SESSION_HANDLE s = self.session;

	if (!s) { /* C_InitToken's */
		MUST(C_OpenSession, h.slot, RW, NULL, NULL, &s);
		view_objects(t, s, false);
		return;
	}
	view_objects(t, s, false);
	view_object(line, s, self.kept, false);
	text_add(t, "  by its handle: %s\n", line);
}

/* ---- PINs ---- */

static const char *const so_pins[] = {SO_PIN, "SO PIN by A", "SO PIN by B", NULL};
static const char *const user_pins[] = {USER_PIN,	 "user PIN by A",  "user PIN by B",
					"first PIN by A", "first PIN by B", NULL};

/* Logs in by the PIN that is right, which it gives; NULL: none is. */
static const char *log_in(struct text *t, CK_SESSION_HANDLE s, CK_USER_TYPE user, const char *const *pins)
{
	CK_RV rv = CKR_PIN_INCORRECT;
	size_t i = 0;

	while (pins[i] && rv == CKR_PIN_INCORRECT) {
		rv = h.f->C_Login(s, user, (CK_UTF8CHAR *)pins[i], strlen(pins[i]));
		i += rv != CKR_OK;
	}
	text_add(t, "%s: %s\n", user == CKU_SO ? "SO" : "user", rv == CKR_OK ? pins[i] : rv_name(rv));
	return rv == CKR_OK ? pins[i] : NULL;
}

static void change_pin(CK_SESSION_HANDLE s, const char *from, const char *to)
{
	if (from && strcmp(from, to) != 0)
		MUST(C_SetPIN, s, (CK_UTF8CHAR *)from, strlen(from), (CK_UTF8CHAR *)to, strlen(to));
}

#define COUNT_FLAGS                                                                                                    \
	(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED | CKF_SO_PIN_COUNT_LOW |                \
	 CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED)

/* True: the token is the one that it was before the calls. */
static bool view_token(struct text *t)
{
	CK_TOKEN_INFO info;

	MUST(C_GetTokenInfo, h.slot, &info);
	text_add(t, "label \"%.16s\", counted %lx\n", info.label, info.flags & COUNT_FLAGS);
	return memcmp(info.label, BASE_LABEL, sizeof info.label) == 0;
}

/* The user's PIN is the usual one, and the user is logged in. */
static void usual_user(CK_SESSION_HANDLE s, const char *found)
{
	if (found) {
		change_pin(s, found, USER_PIN);
		return;
	}
	MUST(C_Login, s, CKU_SO, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN));
	MUST(C_InitPIN, s, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
	MUST(C_Logout, s);
	MUST(C_Login, s, CKU_USER, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
}

static CK_SESSION_HANDLE usual_token(void)
{
	CK_SESSION_HANDLE s;

	MUST(C_CloseAllSessions, h.slot);
	MUST(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), (CK_UTF8CHAR *)BASE_LABEL);
	MUST(C_OpenSession, h.slot, RW, NULL, NULL, &s);
	return s;
}

int witness(void)
{
	struct text *t = &board->witness;
	CK_SESSION_HANDLE s;
	const char *pin;

	t->n = 0;
	MUST(C_Initialize, NULL);
	bool same = view_token(t);
	MUST(C_OpenSession, h.slot, RW, NULL, NULL, &s);
	pin = log_in(t, s, CKU_SO, so_pins);
	change_pin(s, pin, SO_PIN);
	if (pin)
		MUST(C_Logout, s);
	pin = log_in(t, s, CKU_USER, user_pins);
	view_objects(t, s, true);
	if (!same) {
		s = usual_token();
		pin = NULL;
	}
	usual_user(s, pin);
	base_make(s);
	MUST(C_Finalize, NULL);
	return 0;
}

/* The very first token. */
void witness_begin(void)
{
	MUST(C_Initialize, NULL);
	CK_SESSION_HANDLE s = usual_token();
	usual_user(s, NULL);
	base_make(s);
	MUST(C_Finalize, NULL);
}

/* ---- outside ---- */

#define MOST_KEYS 60 /* of a quota of 200; the token has some 20, and a run leaves up to 50 */

void wait_for_collector(void)
{
	if (is_kind(&kind_keyring))
		(void)user_keys_fall((struct user_keys){MOST_KEYS, UINT_MAX}, 10);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void view_store(struct text *t)
{
	struct dirent **names;
	char dir[96];
	unsigned records = 0;

	snprintf(dir, sizeof dir, "%s/store", h.dir);
	int n = scandir(dir, &names, NULL, by_name);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		if (strlen(name) == 32)
			records++;
		else if (name[0] != '.' && strcmp(name, "caps") != 0) /* which may come late */
			text_add(t, "  file %s\n", name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	text_add(t, "  %u records\n", records);
}

/* The keys of a ring: how many records, and what else. */
static void view_ring(struct text *t, key_serial_t ring)
{
	key_serial_t *list = NULL;
	unsigned records = 0;
	int size = keyctl_read_alloc(ring, (void **)&list);

	for (int i = 0; i < size / (int)sizeof *list; i++) {
		char *description = NULL;
		if (keyctl_describe_alloc(list[i], &description) <= 0)
			text_add(t, "  a key that can't be described\n");
		else if (strstr(description, "signet:r:"))
			records++;
		else if (strstr(description, "signet:stage"))
			text_add(t, "  stage with %d bytes\n", (int)keyctl_read(list[i], NULL, 0));
		else
			text_add(t, "  key %s\n", strrchr(description, ';') + 1);
		free(description);
	}
	free(list);
	text_add(t, "  %u records\n", records);
}

/* Which keys a session keyring holds besides the token's ring: their order and their names are by chance. */
static void view_session_ring(struct text *t)
{
	key_serial_t *list = NULL;
	int size = keyctl_read_alloc(KEY_SPEC_SESSION_KEYRING, (void **)&list);

	text_add(t, "  %d keys in the anchor\n", size / (int)sizeof *list);
	free(list);
}

void view_outside(struct text *t)
{
	if (is_kind(&kind_tpm)) {
		view_store(t);
		view_tpm(t);
		return;
	}
	view_session_ring(t);
	view_ring(t, (key_serial_t)keyctl_search(KEY_SPEC_SESSION_KEYRING, "keyring", "signet:test", 0));
}

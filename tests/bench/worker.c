/* worker ROW N - does one row of tests/bench/peers in a process of its own, with the module at BENCH_MODULE; what it
 * prints is measure.h's. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"
#include "measure.h"

#define PIN "bench-1234"
#define SO_PIN "bench-87654321"
#define LABEL "bench"

static CK_FUNCTION_LIST *p11;

static void must(CK_RV rv, const char *what)
{
	if (rv == CKR_OK)
		return;
	fprintf(stderr, "%s: 0x%lx\n", what, rv);
	exit(1);
}
#define OK(name, ...) must(p11->name(__VA_ARGS__), #name)

/* ---- the way to a key ---- */

static CK_SESSION_HANDLE session;

static void load(void)
{
	const char *path = getenv("BENCH_MODULE");
	void *dl = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_C_GetFunctionList get = dl ? (CK_C_GetFunctionList)dlsym(dl, "C_GetFunctionList") : NULL;

	if (!get || get(&p11) != CKR_OK) {
		fprintf(stderr, "no module at BENCH_MODULE\n");
		exit(2);
	}
}

static void initialize(void)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	OK(C_Initialize, &args);
}

/* The slot of the token with our label, or with `initialized` false one that has none yet. */
static CK_SLOT_ID find_slot(const char *label, bool initialized)
{
	CK_SLOT_ID slots[16];
	CK_ULONG n = 16;
	CK_TOKEN_INFO info;

	OK(C_GetSlotList, CK_TRUE, slots, &n);
	for (CK_ULONG i = 0; i < n; i++) {
		bool is, same;

		if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK)
			continue;
		is = info.flags & CKF_TOKEN_INITIALIZED;
		same = memcmp(info.label, label, strlen(label)) == 0 && info.label[strlen(label)] == ' ';
		if (is == initialized && (!initialized || same))
			return slots[i];
	}
	fprintf(stderr, "no such slot\n");
	exit(1);
}

static void open_session(void)
{
	OK(C_OpenSession, find_slot(LABEL, true), CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
}

static void login(void)
{
	OK(C_Login, session, CKU_USER, (CK_BYTE_PTR)PIN, strlen(PIN));
}

static void enter(void)
{
	initialize();
	open_session();
	login();
}

static void leave(void)
{
	OK(C_Finalize, NULL);
}

static CK_OBJECT_HANDLE find_key(CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
	CK_ATTRIBUTE templ[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}};
	CK_OBJECT_HANDLE o = 0;
	CK_ULONG n = 0;

	OK(C_FindObjectsInit, session, templ, 2);
	OK(C_FindObjects, session, &o, 1, &n);
	OK(C_FindObjectsFinal, session);
	must(n == 1 ? CKR_OK : CKR_KEY_HANDLE_INVALID, "find_key");
	return o;
}

/* ---- preparing ---- */

static const char *token_label = LABEL;

static void do_token(void)
{
	CK_UTF8CHAR label[32];
	CK_SLOT_ID slot = find_slot("", false);

	memset(label, ' ', sizeof label);
	memcpy(label, token_label, strlen(token_label));
	OK(C_InitToken, slot, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN), label);
	slot = find_slot(token_label, true);
	OK(C_OpenSession, slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
	OK(C_Login, session, CKU_SO, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN));
	OK(C_InitPIN, session, (CK_BYTE_PTR)PIN, strlen(PIN));
	OK(C_Logout, session);
	OK(C_CloseSession, session);
}

static void more_tokens(void)
{
	initialize();
	for (token_label = "second"; token_label; token_label = strcmp(token_label, "second") ? NULL : "third")
		do_token();
	leave();
	token_label = LABEL;
	initialize();
}

static void do_object(void)
{
	static unsigned i;
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BBOOL yes = CK_TRUE; /* tpm2-pkcs11 has no public data objects */
	CK_OBJECT_HANDLE o;
	char label[16];
	CK_ATTRIBUTE templ[] = {{CKA_CLASS, &class, sizeof class}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1},
				{CKA_LABEL, label, 0}, {CKA_VALUE, label, 0}};

	templ[3].ulValueLen = templ[4].ulValueLen = (CK_ULONG)snprintf(label, sizeof label, "object-%04u", i++);
	OK(C_CreateObject, session, templ, 5, &o);
}

/* ---- generation ---- */

static CK_OBJECT_HANDLE pub, priv;

static void generate(CK_MECHANISM_TYPE type, const char *id, CK_ATTRIBUTE *templ, CK_ULONG n)
{
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_ID, (char *)id, 1}};
	CK_MECHANISM mech = {type, NULL, 0};

	OK(C_GenerateKeyPair, session, &mech, templ, n, private, 3, &pub, &priv);
}

static void do_ec_pair(void)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE t[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}, {CKA_ID, (char *)"1", 1}};

	generate(CKM_EC_KEY_PAIR_GEN, "1", t, 3);
}

static void do_rsa_pair(void)
{
	static CK_BYTE f4[] = {1, 0, 1};
	CK_BBOOL yes = CK_TRUE;
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE t[] = {{CKA_TOKEN, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_ID, (char *)"2", 1},
			    {CKA_PUBLIC_EXPONENT, f4, sizeof f4}};

	generate(CKM_RSA_PKCS_KEY_PAIR_GEN, "2", t, 4);
}

static void destroy_pair(void)
{
	OK(C_DestroyObject, session, pub);
	OK(C_DestroyObject, session, priv);
}

/* ---- signing, decrypting ---- */

static CK_OBJECT_HANDLE key;
/* The DigestInfo of a SHA-256 digest, of which ECDSA takes the digest alone. */
static CK_BYTE info[51] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
			   0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20, 0x77};

static void sign(CK_MECHANISM_TYPE type, CK_BYTE *in, CK_ULONG len)
{
	CK_MECHANISM mech = {type, NULL, 0};
	CK_BYTE out[512];
	CK_ULONG n = sizeof out;

	OK(C_SignInit, session, &mech, key);
	OK(C_Sign, session, in, len, out, &n);
}

static void do_ecdsa(void)
{
	sign(CKM_ECDSA, info + 19, 32);
}

static void do_rsa(void)
{
	sign(CKM_RSA_PKCS, info, sizeof info);
}

static void enter_ec(void)
{
	enter();
	key = find_key(CKO_PRIVATE_KEY, CKK_EC);
}

static void enter_rsa(void)
{
	enter();
	key = find_key(CKO_PRIVATE_KEY, CKK_RSA);
}

static CK_BYTE ciphertext[256];
static CK_MECHANISM rsa_pkcs = {CKM_RSA_PKCS, NULL, 0};

static void enter_decrypt(void)
{
	CK_ULONG n = sizeof ciphertext;

	enter_rsa();
	OK(C_EncryptInit, session, &rsa_pkcs, find_key(CKO_PUBLIC_KEY, CKK_RSA));
	OK(C_Encrypt, session, info, sizeof info, ciphertext, &n);
}

static void do_decrypt(void)
{
	CK_BYTE out[256];
	CK_ULONG n = sizeof out;

	OK(C_DecryptInit, session, &rsa_pkcs, key);
	OK(C_Decrypt, session, ciphertext, sizeof ciphertext, out, &n);
	must(n == sizeof info && memcmp(out, info, n) == 0 ? CKR_OK : CKR_ENCRYPTED_DATA_INVALID, "C_Decrypt's result");
}

/* From nothing to a signature. */
static void do_first(void)
{
	enter_ec();
	do_ecdsa();
}

/* ---- the rest ---- */

static void do_logout(void)
{
	OK(C_Logout, session);
}

static void enter_public(void)
{
	initialize();
	open_session();
}

static void do_find(void)
{
	static unsigned i;
	char label[16];
	CK_ATTRIBUTE templ[] = {{CKA_LABEL, label, 0}};
	CK_OBJECT_HANDLE o;
	CK_ULONG n = 0;

	templ[0].ulValueLen = (CK_ULONG)snprintf(label, sizeof label, "object-%04u", i++ * 37 % 1000);
	OK(C_FindObjectsInit, session, templ, 1);
	OK(C_FindObjects, session, &o, 1, &n);
	OK(C_FindObjectsFinal, session);
	must(n == 1 ? CKR_OK : CKR_OBJECT_HANDLE_INVALID, "find by label");
}

static void do_random(void)
{
	CK_BYTE out[1024];

	OK(C_GenerateRandom, session, out, sizeof out);
}

static const struct row rows[] = {
	{"token", initialize, nothing, do_token, nothing, leave},
	{"more-tokens", nothing, nothing, more_tokens, nothing, leave},
	{"objects", enter, nothing, do_object, nothing, leave},
	{"ec-pair", enter, nothing, do_ec_pair, nothing, leave},
	{"rsa-pair", enter, nothing, do_rsa_pair, nothing, leave},
	{"initialize", nothing, nothing, initialize, leave, nothing},
	{"login", enter_public, nothing, login, do_logout, leave},
	{"ecdsa", enter_ec, nothing, do_ecdsa, nothing, leave},
	{"rsa", enter_rsa, nothing, do_rsa, nothing, leave},
	{"decrypt", enter_decrypt, nothing, do_decrypt, nothing, leave},
	{"first", nothing, nothing, do_first, nothing, leave},
	{"ec-generation", enter, nothing, do_ec_pair, destroy_pair, leave},
	{"rsa-generation", enter, nothing, do_rsa_pair, destroy_pair, leave},
	{"find", enter, nothing, do_find, nothing, leave},
	{"random", enter_public, nothing, do_random, nothing, leave},
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	load();
	return measure(rows, sizeof rows / sizeof *rows, argv[1], argv[2]);
}

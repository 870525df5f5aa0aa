/* marks - a round of calls on the TPM slot behind the kernel's resource manager, each announced to the TPM itself: a
 * TPM2_GetRandom of 0x5300 + N bytes through /dev/tpm0, which the resource manager doesn't see, stands in swtpm's log
 * before call number N.  Prints "N name" for each; tests/vm/swaps counts what stands between the marks.
 * BENCH_MODULE is the module, SIGNET_CONF its configuration with a new slot. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cryptoki.h"

#define PIN "mark-1234"
#define SO_PIN "mark-87654321"

static CK_FUNCTION_LIST *p11;
static unsigned marks;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s failed\n", what);
	exit(1);
}

static void mark(const char *name)
{
	uint8_t command[12] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0x53, (uint8_t)marks}, answer[128];
	int fd = open("/dev/tpm0", O_RDWR | O_CLOEXEC);

	must(fd >= 0 && write(fd, command, sizeof command) == sizeof command && read(fd, answer, sizeof answer) > 10,
	     "a mark");
	close(fd);
	printf("%u %s\n", marks++, name);
	fflush(stdout);
}

#define DO(name, ...)                                                                                                  \
	do {                                                                                                           \
		CK_RV rv_ = p11->name(__VA_ARGS__);                                                                    \
		if (rv_ != CKR_OK)                                                                                     \
			fprintf(stderr, #name ": 0x%lx\n", rv_);                                                       \
		must(rv_ == CKR_OK, #name);                                                                            \
	} while (0)
#define MARKED(text, ...)                                                                                              \
	do {                                                                                                           \
		mark(text);                                                                                            \
		DO(__VA_ARGS__);                                                                                       \
	} while (0)

static void load(void)
{
	const char *path = getenv("BENCH_MODULE");
	void *dl = path ? dlopen(path, RTLD_NOW) : NULL;
	CK_C_GetFunctionList get = dl ? (CK_C_GetFunctionList)dlsym(dl, "C_GetFunctionList") : NULL;

	must(get && get(&p11) == CKR_OK, "loading the module");
}

static void make_token(void)
{
	CK_UTF8CHAR label[32];
	CK_SESSION_HANDLE s;

	memset(label, ' ', sizeof label);
	DO(C_Initialize, NULL);
	DO(C_InitToken, 0, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN), label);
	DO(C_OpenSession, 0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s);
	DO(C_Login, s, CKU_SO, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN));
	DO(C_InitPIN, s, (CK_BYTE_PTR)PIN, strlen(PIN));
	DO(C_Finalize, NULL);
}

static void sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, const char *name)
{
	CK_BYTE digest[32] = {0x77}, signature[128];
	CK_MECHANISM mech = {CKM_ECDSA, NULL, 0};
	CK_ULONG n = sizeof signature;

	DO(C_SignInit, s, &mech, key);
	MARKED(name, C_Sign, s, digest, sizeof digest, signature, &n);
}

static void derive(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE pub, CK_OBJECT_HANDLE key)
{
	CK_BYTE point[128];
	CK_BBOOL no = CK_FALSE;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE ask = {CKA_EC_POINT, point, sizeof point};
	CK_ATTRIBUTE templ[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
				{CKA_TOKEN, &no, 1}};
	CK_ECDH1_DERIVE_PARAMS params = {.kdf = CKD_NULL, .public_data = point};
	CK_MECHANISM mech = {CKM_ECDH1_DERIVE, &params, sizeof params};
	CK_OBJECT_HANDLE secret;

	DO(C_GetAttributeValue, s, pub, &ask, 1);
	params.public_data_len = ask.ulValueLen;
	MARKED("C_DeriveKey, the key loaded", C_DeriveKey, s, &mech, key, templ, 3, &secret);
}

int main(void)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE pub_templ[] = {{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_TOKEN, &yes, 1}};
	CK_ATTRIBUTE priv_templ[] = {{CKA_TOKEN, &yes, 1}, {CKA_DERIVE, &yes, 1}};
	CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE pub, priv;
	CK_SESSION_HANDLE s;
	CK_BYTE random[1024];
	CK_TOKEN_INFO info;

	load();
	make_token();
	MARKED("C_Initialize", C_Initialize, NULL);
	MARKED("C_GetTokenInfo, first", C_GetTokenInfo, 0, &info);
	MARKED("C_GetTokenInfo, again", C_GetTokenInfo, 0, &info);
	MARKED("C_OpenSession", C_OpenSession, 0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s);
	MARKED("C_Login", C_Login, s, CKU_USER, (CK_BYTE_PTR)PIN, strlen(PIN));
	MARKED("C_GenerateKeyPair, EC", C_GenerateKeyPair, s, &gen, pub_templ, 2, priv_templ, 2, &pub, &priv);
	sign(s, priv, "C_Sign, first with a key");
	sign(s, priv, "C_Sign, the key loaded");
	derive(s, pub, priv);
	MARKED("C_GenerateRandom, 1 KiB", C_GenerateRandom, s, random, sizeof random);
	MARKED("C_DestroyObject", C_DestroyObject, s, priv);
	MARKED("C_Logout", C_Logout, s);
	MARKED("C_Finalize", C_Finalize, NULL);
	mark("the end");
	return 0;
}

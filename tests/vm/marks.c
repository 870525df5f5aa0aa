/* marks - a round of calls on the TPM slot behind the kernel's resource manager, each announced to the TPM itself:
 * a TPM2_GetRandom of 0x5300 + N bytes through /dev/tpm0, which the resource manager doesn't see, stands in swtpm's log
 * before call number N, and another after it.  Prints "N name" for each, "N -" after a call; tests/vm/swaps counts what
 * stands between the marks.
 * BENCH_MODULE is the module, SIGNET_CONF its configuration, whose slot 0 is made a new token. */
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
#define RW (CKF_SERIAL_SESSION | CKF_RW_SESSION)

static CK_FUNCTION_LIST *p11;
static unsigned marks;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

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
		mark("-");                                                                                             \
	} while (0)
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define MECHANISM(type) (&(CK_MECHANISM){(type), NULL, 0})

struct pair {
	CK_OBJECT_HANDLE pub, priv;
};

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
	DO(C_OpenSession, 0, RW, NULL, NULL, &s);
	DO(C_Login, s, CKU_SO, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN));
	DO(C_InitPIN, s, (CK_BYTE_PTR)PIN, strlen(PIN));
	DO(C_Finalize, NULL);
}

/* ---- keys ---- */

static struct pair make_ec(CK_SESSION_HANDLE s)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_ATTRIBUTE pub[] = {{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_TOKEN, &yes, 1}};
	CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1}, {CKA_DERIVE, &yes, 1}};
	struct pair p;

	MARKED("C_GenerateKeyPair, EC", C_GenerateKeyPair, s, MECHANISM(CKM_EC_KEY_PAIR_GEN), pub, COUNT(pub), priv,
	       COUNT(priv), &p.pub, &p.priv);
	return p;
}

static struct pair make_rsa(CK_SESSION_HANDLE s)
{
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE pub[] = {{CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_TOKEN, &yes, 1}};
	CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1}};
	struct pair p;

	MARKED("C_GenerateKeyPair, RSA", C_GenerateKeyPair, s, MECHANISM(CKM_RSA_PKCS_KEY_PAIR_GEN), pub, COUNT(pub),
	       priv, COUNT(priv), &p.pub, &p.priv);
	return p;
}

/* ---- their use ---- */

static void sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, const char *name)
{
	CK_BYTE digest[32] = {0x77}, signature[64];
	CK_ULONG n = sizeof signature;

	MARKED("C_SignInit", C_SignInit, s, MECHANISM(CKM_ECDSA), key);
	MARKED(name, C_Sign, s, digest, sizeof digest, signature, &n);
}

static void verify(CK_SESSION_HANDLE s, struct pair key)
{
	CK_BYTE digest[32] = {0x78}, signature[64];
	CK_ULONG n = sizeof signature;

	DO(C_SignInit, s, MECHANISM(CKM_ECDSA), key.priv);
	DO(C_Sign, s, digest, sizeof digest, signature, &n);
	DO(C_VerifyInit, s, MECHANISM(CKM_ECDSA), key.pub);
	MARKED("C_Verify", C_Verify, s, digest, sizeof digest, signature, n);
}

static void derive(CK_SESSION_HANDLE s, struct pair key)
{
	CK_BYTE point[128];
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE ask = {CKA_EC_POINT, point, sizeof point};
	CK_ATTRIBUTE templ[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
				{CKA_TOKEN, &no, 1}};
	CK_ECDH1_DERIVE_PARAMS params = {.kdf = CKD_NULL, .public_data = point};
	CK_MECHANISM mech = {CKM_ECDH1_DERIVE, &params, sizeof params};
	CK_OBJECT_HANDLE secret;

	MARKED("C_GetAttributeValue", C_GetAttributeValue, s, key.pub, &ask, 1);
	params.public_data_len = ask.ulValueLen;
	MARKED("C_DeriveKey, the key loaded", C_DeriveKey, s, &mech, key.priv, templ, COUNT(templ), &secret);
}

static void decrypt(CK_SESSION_HANDLE s, struct pair key)
{
	CK_BYTE text[256] = "text";
	CK_ULONG n = sizeof text;

	DO(C_EncryptInit, s, MECHANISM(CKM_RSA_PKCS), key.pub);
	MARKED("C_Encrypt with a public key", C_Encrypt, s, text, 4, text, &n);
	for (int i = 0; i < 2; i++) {
		CK_BYTE out[256];
		CK_ULONG n_out = sizeof out;

		DO(C_DecryptInit, s, MECHANISM(CKM_RSA_PKCS), key.priv);
		MARKED(i ? "C_Decrypt, the key loaded" : "C_Decrypt, first with a key", C_Decrypt, s, text, n, out,
		       &n_out);
	}
}

static void find(CK_SESSION_HANDLE s)
{
	CK_OBJECT_HANDLE found[8];
	CK_ULONG n;

	MARKED("C_FindObjectsInit", C_FindObjectsInit, s, NULL, 0);
	MARKED("C_FindObjects", C_FindObjects, s, found, COUNT(found), &n);
	MARKED("C_FindObjectsFinal", C_FindObjectsFinal, s);
}

static void digest(CK_SESSION_HANDLE s)
{
	CK_BYTE hash[32];
	CK_ULONG n = sizeof hash;

	DO(C_DigestInit, s, MECHANISM(CKM_SHA256));
	MARKED("C_Digest", C_Digest, s, (CK_BYTE_PTR)"text", 4, hash, &n);
}

/* ---- the round ---- */

static void start(void)
{
	CK_SLOT_ID slots[8];
	CK_ULONG n = COUNT(slots), n_mechanisms = 0;
	CK_TOKEN_INFO info;

	MARKED("C_Initialize", C_Initialize, NULL);
	MARKED("C_GetSlotList", C_GetSlotList, CK_TRUE, slots, &n);
	MARKED("C_GetTokenInfo, first", C_GetTokenInfo, 0, &info);
	MARKED("C_GetTokenInfo, again", C_GetTokenInfo, 0, &info);
	MARKED("C_GetMechanismList", C_GetMechanismList, 0, NULL, &n_mechanisms);
}

int main(void)
{
	CK_SESSION_HANDLE s;
	CK_BYTE random[1024];
	struct pair ec, rsa;

	load();
	make_token();
	start();
	MARKED("C_OpenSession", C_OpenSession, 0, RW, NULL, NULL, &s);
	MARKED("C_Login", C_Login, s, CKU_USER, (CK_BYTE_PTR)PIN, strlen(PIN));
	ec = make_ec(s);
	sign(s, ec.priv, "C_Sign, first with a key");
	sign(s, ec.priv, "C_Sign, the key loaded");
	verify(s, ec);
	derive(s, ec);
	rsa = make_rsa(s);
	decrypt(s, rsa);
	sign(s, ec.priv, "C_Sign, another key loaded");
	find(s);
	digest(s);
	MARKED("C_GenerateRandom, 1 KiB", C_GenerateRandom, s, random, sizeof random);
	MARKED("C_DestroyObject, not loaded", C_DestroyObject, s, rsa.priv);
	MARKED("C_DestroyObject, loaded", C_DestroyObject, s, ec.priv);
	MARKED("C_Logout", C_Logout, s);
	MARKED("C_Finalize", C_Finalize, NULL);
	return 0;
}

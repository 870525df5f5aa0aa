/* The module as a contender. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define PIN "bench-1234"
#define SO_PIN "bench-87654321"

CK_FUNCTION_LIST *p11;

bool bench_load_module(void)
{
	const char *path = getenv("SIGNET_MODULE");
	void *dl = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_C_GetFunctionList get = dl ? (CK_C_GetFunctionList)dlsym(dl, "C_GetFunctionList") : NULL;

	if (!get || get(&p11) != CKR_OK) {
		fprintf(stderr, "no module at SIGNET_MODULE: %s\n", dlerror());
		return false;
	}
	return true;
}

static bool good(CK_RV rv, const char *what)
{
	if (rv != CKR_OK)
		fprintf(stderr, "%s: 0x%lx\n", what, rv);
	return rv == CKR_OK;
}

static bool open_and_login(const char *conf, CK_SLOT_ID slot, CK_SESSION_HANDLE *s)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	setenv("SIGNET_CONF", conf, 1);
	return good(p11->C_Initialize(&args), "C_Initialize") &&
	       good(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s), "C_OpenSession") &&
	       good(p11->C_Login(*s, CKU_USER, (CK_BYTE_PTR)PIN, strlen(PIN)), "C_Login");
}

static bool find_key(struct p11_key *k)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_KEY_TYPE type = k->rsa ? CKK_RSA : CKK_EC;
	CK_ATTRIBUTE templ[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}};
	CK_ULONG n = 0;

	return good(p11->C_FindObjectsInit(k->session, templ, 2), "C_FindObjectsInit") &&
	       good(p11->C_FindObjects(k->session, &k->key, 1, &n), "C_FindObjects") &&
	       good(p11->C_FindObjectsFinal(k->session), "C_FindObjectsFinal") && n == 1;
}

bool p11_begin(void *key)
{
	struct p11_key *k = key;

	return open_and_login(k->conf, k->slot, &k->session) && find_key(k);
}

bool p11_sign(void *key, unsigned n)
{
	/* The DigestInfo of a SHA-256 digest, of which ECDSA takes the digest alone. */
	static CK_BYTE info[51] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
				   0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20, 0x77};
	struct p11_key *k = key;
	CK_MECHANISM mech = {k->rsa ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
	CK_BYTE signature[512];

	for (unsigned i = 0; i < n; i++) {
		CK_ULONG len = sizeof signature;

		if (!good(p11->C_SignInit(k->session, &mech, k->key), "C_SignInit") ||
		    !good(p11->C_Sign(k->session, k->rsa ? info : info + 19, k->rsa ? 51 : 32, signature, &len), "C_Sign"))
			return false;
	}
	return true;
}

void p11_end(void *key)
{
	(void)key;
	(void)good(p11->C_Finalize(NULL), "C_Finalize");
}

static bool make_pair(CK_SESSION_HANDLE s, CK_MECHANISM_TYPE type, CK_ATTRIBUTE *pub, CK_ULONG n)
{
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}};
	CK_MECHANISM mech = {type, NULL, 0};
	CK_OBJECT_HANDLE a, b;

	return good(p11->C_GenerateKeyPair(s, &mech, pub, n, priv, 3, &a, &b), "C_GenerateKeyPair");
}

static bool make_pairs(CK_SESSION_HANDLE s)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE ec[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE rsa[] = {{CKA_TOKEN, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof bits}};

	return make_pair(s, CKM_EC_KEY_PAIR_GEN, ec, 2) && make_pair(s, CKM_RSA_PKCS_KEY_PAIR_GEN, rsa, 2);
}

bool p11_prepare(const char *conf, CK_SLOT_ID slot)
{
	CK_UTF8CHAR label[32];
	CK_SESSION_HANDLE s;
	bool ok;

	memset(label, ' ', sizeof label);
	memcpy(label, "bench", 5);
	setenv("SIGNET_CONF", conf, 1);
	ok = good(p11->C_Initialize(NULL), "C_Initialize") &&
	     good(p11->C_InitToken(slot, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN), label), "C_InitToken") &&
	     good(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s), "C_OpenSession") &&
	     good(p11->C_Login(s, CKU_SO, (CK_BYTE_PTR)SO_PIN, strlen(SO_PIN)), "C_Login") &&
	     good(p11->C_InitPIN(s, (CK_BYTE_PTR)PIN, strlen(PIN)), "C_InitPIN");
	(void)p11->C_Finalize(NULL);
	ok = ok && open_and_login(conf, slot, &s) && make_pairs(s);
	(void)p11->C_Finalize(NULL);
	return ok;
}

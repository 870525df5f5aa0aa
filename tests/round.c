/* round MODULE - one full round through a module on slot 0: initialize, set a PIN, log in, make keys, sign, finalize.
 * Uses nothing but libc, so that what valgrind finds is the module's. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "cryptoki.h"

static CK_FUNCTION_LIST *p11;

#define MUST(call)                                                                                                     \
	do {                                                                                                           \
		CK_RV rv_ = (call);                                                                                    \
		if (rv_ != CKR_OK) {                                                                                   \
			fprintf(stderr, "%s: 0x%lx\n", #call, rv_);                                                    \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

static int set_up(CK_SESSION_HANDLE *s)
{
	CK_UTF8CHAR label[32], so_pin[] = "officer-pin", pin[] = "user-pin";

	memset(label, ' ', sizeof label);
	MUST(p11->C_InitToken(0, so_pin, 11, label));
	MUST(p11->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s));
	MUST(p11->C_Login(*s, CKU_SO, so_pin, 11));
	MUST(p11->C_InitPIN(*s, pin, 8));
	MUST(p11->C_Logout(*s));
	MUST(p11->C_Login(*s, CKU_USER, pin, 8));
	return 0;
}

static int sign(CK_SESSION_HANDLE s, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE priv, CK_OBJECT_HANDLE pub)
{
	CK_MECHANISM mech = {type, NULL, 0};
	CK_BYTE data[] = "a message", signature[512];
	CK_ULONG n = sizeof signature;

	MUST(p11->C_SignInit(s, &mech, priv));
	MUST(p11->C_Sign(s, data, sizeof data, signature, &n));
	MUST(p11->C_VerifyInit(s, &mech, pub));
	MUST(p11->C_Verify(s, data, sizeof data, signature, n));
	return 0;
}

static int use_pair(CK_SESSION_HANDLE s, CK_MECHANISM_TYPE gen, CK_ATTRIBUTE *templ, CK_MECHANISM_TYPE type)
{
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1}};
	CK_MECHANISM mech = {gen, NULL, 0};
	CK_OBJECT_HANDLE a, b;

	MUST(p11->C_GenerateKeyPair(s, &mech, templ, 2, priv, 1, &a, &b));
	if (sign(s, type, b, a))
		return 1;
	MUST(p11->C_DestroyObject(s, a));
	return 0;
}

static int all(void)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE ec[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE rsa[] = {{CKA_TOKEN, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof bits}};
	CK_SESSION_HANDLE s;

	MUST(p11->C_Initialize(NULL));
	if (set_up(&s) || use_pair(s, CKM_EC_KEY_PAIR_GEN, ec, CKM_ECDSA_SHA256) ||
	    use_pair(s, CKM_RSA_PKCS_KEY_PAIR_GEN, rsa, CKM_SHA256_RSA_PKCS))
		return 1;
	MUST(p11->C_Finalize(NULL));
	return 0;
}

int main(int argc, char **argv)
{
	void *dl = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	CK_C_GetFunctionList get = dl ? (CK_C_GetFunctionList)dlsym(dl, "C_GetFunctionList") : NULL;

	if (!get || get(&p11) != CKR_OK) {
		fprintf(stderr, "round: no module: %s\n", dlerror());
		return 2;
	}
	return all();
}

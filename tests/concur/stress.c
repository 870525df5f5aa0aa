/* stress MODULE - many threads on slot 0 at once: sessions opened and closed, keys used, objects made, changed, found
 * and destroyed, others' sessions closed under them.  A program of its own, since Criterion's memory doesn't fit into
 * ThreadSanitizer's.  Fails if a call says what it may not say here; the sanitizer says the rest. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"

#define THREADS 8
#define PIN ((CK_BYTE_PTR) "user-pin")
#define SO_PIN ((CK_BYTE_PTR) "officer-pin")

static CK_FUNCTION_LIST *p11;
static unsigned rounds = 40;
static atomic_int failures;

/* True if rv is CKR_OK; counts it as a failure unless it is `also`. */
static int good(CK_RV rv, CK_RV also, const char *what)
{
	if (rv != CKR_OK && rv != also) {
		fprintf(stderr, "FAIL: %s: 0x%lx\n", what, rv);
		atomic_fetch_add(&failures, 1);
	}
	return rv == CKR_OK;
}
#define GOOD(call) good((call), CKR_OK, #call)
#define GOOD_OR(also, call) good((call), (also), #call)

static int open_session(CK_SESSION_HANDLE *s)
{
	return GOOD(p11->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s));
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class)
{
	CK_ATTRIBUTE templ = {CKA_CLASS, &class, sizeof class};
	CK_OBJECT_HANDLE h = CK_INVALID_HANDLE;
	CK_ULONG n = 0;

	if (GOOD(p11->C_FindObjectsInit(s, &templ, 1)) && GOOD(p11->C_FindObjects(s, &h, 1, &n)))
		GOOD(p11->C_FindObjectsFinal(s));
	return n ? h : CK_INVALID_HANDLE;
}

static void sign_and_verify(CK_SESSION_HANDLE s)
{
	CK_MECHANISM mech = {CKM_ECDSA_SHA256, NULL, 0};
	CK_BYTE data[100] = {1}, signature[64];
	CK_ULONG n = sizeof signature;

	if (GOOD(p11->C_SignInit(s, &mech, find(s, CKO_PRIVATE_KEY))) &&
	    GOOD(p11->C_Sign(s, data, sizeof data, signature, &n)) &&
	    GOOD(p11->C_VerifyInit(s, &mech, find(s, CKO_PUBLIC_KEY))))
		GOOD(p11->C_Verify(s, data, sizeof data, signature, n));
}

static void make_and_change(CK_SESSION_HANDLE s, CK_BBOOL token)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BYTE value[8] = {7}, label[4] = "abcd", back[4];
	CK_ATTRIBUTE templ[] = {{CKA_CLASS, &class, sizeof class}, {CKA_TOKEN, &token, 1}, {CKA_VALUE, value, 8}};
	CK_ATTRIBUTE change = {CKA_LABEL, label, 4}, read = {CKA_LABEL, back, 4};
	CK_OBJECT_HANDLE h;

	if (!GOOD(p11->C_CreateObject(s, templ, 3, &h)))
		return;
	GOOD(p11->C_SetAttributeValue(s, h, &change, 1));
	GOOD(p11->C_GetAttributeValue(s, h, &read, 1));
	GOOD(p11->C_DestroyObject(s, h));
}

static void digest(CK_SESSION_HANDLE s)
{
	CK_MECHANISM mech = {CKM_SHA256, NULL, 0};
	CK_BYTE data[1000] = {0}, out[32];
	CK_ULONG n = sizeof out;

	if (GOOD(p11->C_DigestInit(s, &mech)) && GOOD(p11->C_DigestUpdate(s, data, sizeof data)))
		GOOD(p11->C_DigestFinal(s, out, &n));
	GOOD(p11->C_GenerateRandom(s, out, sizeof out));
}

/* A session that another thread closes while this one works in it. */
static void *work_in_a_doomed_session(void *session)
{
	CK_MECHANISM mech = {CKM_SHA256, NULL, 0};
	CK_SESSION_HANDLE s = *(CK_SESSION_HANDLE *)session;
	CK_BYTE data[64] = {0}, out[32];
	CK_RV rv;

	do {
		CK_ULONG n = sizeof out;

		rv = p11->C_DigestInit(s, &mech);
		if (rv == CKR_OK)
			rv = p11->C_Digest(s, data, sizeof data, out, &n);
	} while (rv == CKR_OK);
	if (rv != CKR_SESSION_HANDLE_INVALID && rv != CKR_SESSION_CLOSED && rv != CKR_OPERATION_NOT_INITIALIZED)
		good(rv, CKR_OK, "a closed session");
	return NULL;
}

static void close_under_another(void)
{
	CK_SESSION_HANDLE s;
	CK_SESSION_INFO info;
	pthread_t t;

	if (!open_session(&s))
		return;
	pthread_create(&t, NULL, work_in_a_doomed_session, &s);
	GOOD(p11->C_GetSessionInfo(s, &info));
	GOOD(p11->C_CloseSession(s));
	pthread_join(t, NULL);
}

static void *churn(void *number)
{
	CK_SESSION_HANDLE s;
	CK_TOKEN_INFO info;

	for (unsigned i = 0; i < rounds; i++) {
		if (!open_session(&s))
			return NULL;
		sign_and_verify(s);
		make_and_change(s, (i + *(unsigned *)number) % 8 == 0);
		digest(s);
		GOOD(p11->C_GetTokenInfo(0, &info));
		GOOD(p11->C_CloseSession(s));
		if (i % 4 == 0)
			close_under_another();
	}
	return NULL;
}

static int make_pair(CK_SESSION_HANDLE s)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE pub[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}}, priv[] = {{CKA_TOKEN, &yes, 1}};
	CK_MECHANISM mech = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE a, b;

	return GOOD(p11->C_GenerateKeyPair(s, &mech, pub, 2, priv, 1, &a, &b));
}

/* Leaves a session open: the login lasts as long as it. */
static int set_up(CK_SESSION_HANDLE *s)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_UTF8CHAR label[32];

	memset(label, ' ', sizeof label);
	return GOOD(p11->C_Initialize(&args)) && GOOD(p11->C_InitToken(0, SO_PIN, 11, label)) && open_session(s) &&
	       GOOD(p11->C_Login(*s, CKU_SO, SO_PIN, 11)) && GOOD(p11->C_InitPIN(*s, PIN, 8)) && GOOD(p11->C_Logout(*s)) &&
	       GOOD(p11->C_Login(*s, CKU_USER, PIN, 8)) && make_pair(*s);
}

static void run_threads(void)
{
	static unsigned number[THREADS];
	pthread_t t[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		number[i] = i;
		pthread_create(&t[i], NULL, churn, &number[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	void *dl = argc >= 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	CK_C_GetFunctionList get = dl ? (CK_C_GetFunctionList)dlsym(dl, "C_GetFunctionList") : NULL;
	CK_SESSION_HANDLE s;

	if (!get || get(&p11) != CKR_OK) {
		fprintf(stderr, "stress: no module: %s\n", dlerror());
		return 2;
	}
	if (argc > 2)
		rounds = (unsigned)strtoul(argv[2], NULL, 10);
	if (set_up(&s))
		run_threads();
	GOOD(p11->C_Finalize(NULL));
	if (failures)
		return 1;
	printf("PASS: %d threads, %u rounds each\n", THREADS, rounds);
	return 0;
}

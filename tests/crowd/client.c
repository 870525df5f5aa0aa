/* An ordinary application, in a process of its own.  Ends with 0, or says which call failed.
 *
 * client MODULE sign PIN LABEL TIMES OUT - logs in, finds a key and signs; the signatures go to the file OUT
 * client MODULE change - for each line of its input makes a public token object of that label, removes the one of the
 * line before, and answers with an empty line */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"

static CK_FUNCTION_LIST *f;

#define NEED(call)                                                                                                     \
	do {                                                                                                           \
		CK_RV need_rv_ = (call);                                                                               \
		if (need_rv_ != CKR_OK) {                                                                              \
			fprintf(stderr, "client: %s: 0x%lx\n", #call, need_rv_);                                       \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

static int find_key(CK_SESSION_HANDLE s, char *label, CK_OBJECT_HANDLE *ret)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
	CK_ULONG n = 0;

	NEED(f->C_FindObjectsInit(s, t, 2));
	NEED(f->C_FindObjects(s, ret, 1, &n));
	NEED(f->C_FindObjectsFinal(s));
	return n == 1 ? 0 : 2;
}

static int sign_all(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key, unsigned long times, FILE *out)
{
	for (unsigned long i = 0; i < times; i++) {
		uint8_t digest[32], sig[64];
		CK_ULONG n = sizeof sig;

		memset(digest, 0x5a, sizeof digest);
		digest[0] = (uint8_t)(i >> 8);
		digest[1] = (uint8_t)i;
		NEED(f->C_SignInit(s, &(CK_MECHANISM){CKM_ECDSA, NULL, 0}, key));
		NEED(f->C_Sign(s, digest, sizeof digest, sig, &n));
		if (fwrite(sig, sizeof sig, 1, out) != 1)
			return 3;
	}
	return 0;
}

static int sign_into(char *const *argv, FILE *out)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	int status;

	NEED(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s));
	NEED(f->C_Login(s, CKU_USER, (CK_UTF8CHAR *)argv[0], strlen(argv[0])));
	status = find_key(s, argv[1], &key);
	return status ? status : sign_all(s, key, strtoul(argv[2], NULL, 10), out);
}

static int sign(char *const *argv)
{
	FILE *out = fopen(argv[3], "we");
	int status;

	if (!out)
		return 4;
	status = sign_into(argv, out);
	return fclose(out) == 0 ? status : 3;
}

static int replace(CK_SESSION_HANDLE s, char *label, CK_OBJECT_HANDLE *last)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
			    {CKA_TOKEN, &yes, sizeof yes},
			    {CKA_PRIVATE, &no, sizeof no},
			    {CKA_LABEL, label, strlen(label)}};
	CK_OBJECT_HANDLE before = *last;

	NEED(f->C_CreateObject(s, t, 4, last));
	if (before)
		NEED(f->C_DestroyObject(s, before));
	return 0;
}

static int change(char *const *argv)
{
	CK_OBJECT_HANDLE last = CK_INVALID_HANDLE;
	CK_SESSION_HANDLE s;
	char line[32];
	int status = 0;

	(void)argv;
	NEED(f->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	while (status == 0 && fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		status = replace(s, line, &last);
		if (status == 0 && (puts("") == EOF || fflush(stdout) == EOF))
			status = 3;
	}
	return status;
}

static int work(int argc, char **argv)
{
	int status;

	NEED(f->C_Initialize(NULL));
	status = argc == 7 && strcmp(argv[2], "sign") == 0 ? sign(argv + 3) : change(argv + 3);
	NEED(f->C_Finalize(NULL));
	return status;
}

int main(int argc, char **argv)
{
	CK_C_GetFunctionList get;
	void *module;

	if (argc < 3)
		return 4;
	module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!module)
		return 4;
	get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
	if (!get || get(&f) != CKR_OK)
		return 4;
	return work(argc, argv);
}

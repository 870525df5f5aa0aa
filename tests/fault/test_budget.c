/* How many TPM commands each call may send (design R16): counted at the transport, on a bare TPM. */
#include <dlfcn.h>

#include "fault.h"
#include "harness.h"

static struct fault *tcti;

static void up(void)
{
	static char prefix[256];

	harness_up();
	only_kind(&kind_tpm);
	const char *path = secure_getenv("SIGNET_TEST_TCTI");
	void *lib = dlopen(path, RTLD_NOW);
	cr_assert(lib, "%s", dlerror());
	tcti = dlsym(lib, "tcti_fault");
	cr_assert(tcti);
	snprintf(prefix, sizeof prefix, "%s:", path);
	h.tcti_prefix = prefix;
	write_config();
	token_up();
}

TestSuite(budget, .init = up, .fini = harness_down, .timeout = 60);

#define COSTS(most, call)                                                                                              \
	do {                                                                                                           \
		tcti->calls = 0;                                                                                       \
		call;                                                                                                  \
		cr_expect(tcti->calls <= (most), "%s: %lu TPM commands, at most %d are allowed", #call, tcti->calls,   \
			  (most));                                                                                     \
	} while (0)

Test(budget, start_and_information)
{
	CK_ULONG n;
	CK_TOKEN_INFO info;
	CK_SESSION_HANDLE s;

	OK(C_Finalize, NULL);
	COSTS(0, OK(C_Initialize, NULL));
	COSTS(0, OK(C_GetSlotList, CK_FALSE, NULL, &n));
	COSTS(0, OK(C_GetSlotList, CK_TRUE, NULL, &n));
	COSTS(4, OK(C_GetTokenInfo, h.slot, &info));
	COSTS(2, OK(C_GetTokenInfo, h.slot, &info));
	COSTS(2, OK(C_OpenSession, h.slot, RW, NULL, NULL, &s));
	COSTS(0, OK(C_FindObjectsInit, s, NULL, 0));
	COSTS(0, OK(C_FindObjectsFinal, s));
}

Test(budget, login)
{
	OK(C_Finalize, NULL);
	library_up();
	CK_SESSION_HANDLE s = open_session(RW);
	COSTS(10, is(login(s, CKU_USER, USER_PIN), CKR_OK));
	COSTS(0, OK(C_Logout, s));
}

Test(budget, keys)
{
	struct pair p;
	uint8_t digest[32] = {1}, sig[256];
	CK_ULONG n = sizeof sig;

	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	COSTS(8, p = ec_pair(s, true, "ec")); /* with what is asked once per connection */
	COSTS(5, p = ec_pair(s, true, "ec"));
	OK(C_SignInit, s, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, s, digest, sizeof digest, sig, &n);
	COSTS(0, OK(C_SignInit, s, MECH(CKM_ECDSA), p.priv));
	n = sizeof sig;
	COSTS(2, OK(C_Sign, s, digest, sizeof digest, sig, &n));
	COSTS(0, OK(C_VerifyInit, s, MECH(CKM_ECDSA), p.pub));
	COSTS(0, OK(C_Verify, s, digest, sizeof digest, sig, n));
	COSTS(0, data_object(s, true, true, "data"));
	OK(C_DigestInit, s, MECH(CKM_SHA256));
	n = sizeof sig;
	COSTS(0, OK(C_Digest, s, digest, sizeof digest, sig, &n));
}

/* How many TPM commands each call may send (design R16), counted at the module's transport: everything that it sends.
 * SIGNET_TEST_TRANSPORT is the way to the TPM, SIGNET_TEST_BUS the slot's `bus`: a signature has a session of its own
 * where that says protected; SIGNET_TEST_STORAGE=transient: the machine has no storage key.  With Criterion's --verbose each count is printed. */
#include <dlfcn.h>
#include <tss2/tss2_esys.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "tpm.h"

/* TCG TPM v2.0 Provisioning Guidance, 7.8. */
#define STORAGE_KEY 0x81000001u

static struct fault *tcti;
static unsigned long alone; /* what a private operation with a loaded key may cost */
/* What the connection may still add, where the storage key isn't persistent: it needs one TPM2_CreatePrimary and one
 * TPM2_FlushContext. */
static unsigned long spare;
static bool transient;

static void place_up(void)
{
	static char prefix[256], bus[32];
	const char *word = secure_getenv("SIGNET_TEST_BUS");

	harness_up();
	only_kind(&kind_tpm);
	const char *path = secure_getenv("SIGNET_TEST_TCTI");
	void *lib = dlopen(path, RTLD_NOW);
	cr_assert(lib, "%s", dlerror());
	tcti = dlsym(lib, "tcti_fault");
	cr_assert(tcti);
	snprintf(prefix, sizeof prefix, "%s:", path);
	snprintf(bus, sizeof bus, "bus = %s\n", word ? word : "protected");
	alone = word && strcmp(word, "trusted") == 0 ? 1 : 2;
	h.tcti_prefix = prefix;
	h.extra = bus;
}

/* A stranger's signing key is where the machine's storage key belongs: the token's is made anew for each connection. */
static void occupy_storage_key(void)
{
	static const TPM2B_PUBLIC signing = {
		.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
			       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
						   TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
						   TPMA_OBJECT_SIGN_ENCRYPT,
			       .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
							.scheme.scheme = TPM2_ALG_NULL,
							.curveID = TPM2_ECC_NIST_P256,
							.kdf.scheme = TPM2_ALG_NULL}}};
	static const TPM2B_SENSITIVE_CREATE sensitive;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION pcrs;
	ESYS_TR key, persistent;

	ESYS_CONTEXT *esys = tpm_connect();
	TSS2_RC rc = Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
					&signing, &outside, &pcrs, &key, NULL, NULL, NULL, NULL);
	cr_assert(rc == 0, "TPM2_CreatePrimary: 0x%x", rc);
	rc = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, STORAGE_KEY,
			       &persistent);
	cr_assert(rc == 0, "TPM2_EvictControl: 0x%x", rc);
	Esys_FlushContext(esys, key);
	tpm_disconnect(&esys);
}

static void up(void)
{
	const char *storage = secure_getenv("SIGNET_TEST_STORAGE");

	place_up();
	transient = storage && strcmp(storage, "transient") == 0;
	if (transient)
		occupy_storage_key();
	write_config();
	token_up();
	spare = transient ? 2 : 0;
}

TestSuite(budget, .init = up, .fini = harness_down, .timeout = 120);

static void judge(unsigned long most, const char *call)
{
	unsigned long more = tcti->calls > most ? tcti->calls - most : 0;

	cr_log_info("%lu of %lu: %s", tcti->calls, most, call);
	cr_expect(more <= spare, "%s: %lu TPM commands, at most %lu are allowed", call, tcti->calls, most + spare);
	spare -= MIN(more, spare);
}
#define COSTS(most, ...)                                                                                               \
	do {                                                                                                           \
		tcti->calls = 0;                                                                                       \
		__VA_ARGS__;                                                                                           \
		judge(most, #__VA_ARGS__);                                                                             \
	} while (0)

/* The library starts anew, and so do its connections. */
static void again(void)
{
	OK(C_Finalize, NULL);
	library_up();
	spare = transient ? 2 : 0;
}

/* ---- without a key ---- */

Test(budget, start_and_information)
{
	CK_ULONG n;
	CK_TOKEN_INFO info;

	COSTS(0, OK(C_Finalize, NULL));
	COSTS(0, OK(C_Initialize, NULL));
	COSTS(0, OK(C_GetSlotList, CK_FALSE, NULL, &n));
	COSTS(0, OK(C_GetSlotList, CK_TRUE, NULL, &n));
	COSTS(4, OK(C_GetTokenInfo, h.slot, &info));
	COSTS(2, OK(C_GetTokenInfo, h.slot, &info));
}

/* The list of a process that learns it, of the same one again, and of one that finds it remembered. */
Test(budget, mechanisms)
{
	CK_MECHANISM_INFO info;
	CK_SESSION_HANDLE s;
	CK_ULONG n;
	char path[128];

	OK(C_Finalize, NULL);
	snprintf(path, sizeof path, "%s/store/caps", h.dir);
	cr_assert(unlink(path) == 0, "nothing is remembered after C_InitToken");
	library_up();
	OK(C_OpenSession, h.slot, RO, NULL, NULL, &s);
	COSTS(9, OK(C_GetMechanismList, h.slot, NULL, &n));
	cr_expect(tcti->calls > 0, "something was asked");
	COSTS(0, OK(C_GetMechanismList, h.slot, NULL, &n));
	again();
	COSTS(0, OK(C_GetMechanismList, h.slot, NULL, &n));
	COSTS(0, OK(C_GetMechanismInfo, h.slot, CKM_ECDSA, &info));
}

Test(budget, sessions_and_objects)
{
	CK_SESSION_HANDLE s, second;
	CK_OBJECT_HANDLE o, found;
	CK_ULONG n, size;
	char label[8];
	CK_ATTRIBUTE a = {CKA_LABEL, label, sizeof label};

	again();
	COSTS(1, OK(C_OpenSession, h.slot, RW, NULL, NULL, &s));
	COSTS(0, OK(C_OpenSession, h.slot, RW, NULL, NULL, &second));
	OK(C_CloseAllSessions, h.slot);
	COSTS(0, OK(C_OpenSession, h.slot, RW, NULL, NULL, &s));
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	COSTS(0, o = data_object(s, true, true, "data"));
	COSTS(0, OK(C_FindObjectsInit, s, NULL, 0));
	COSTS(0, OK(C_FindObjects, s, &found, 1, &n));
	COSTS(0, OK(C_FindObjectsFinal, s));
	COSTS(0, OK(C_GetAttributeValue, s, o, &a, 1));
	COSTS(0, OK(C_GetObjectSize, s, o, &size));
	COSTS(0, OK(C_SetAttributeValue, s, o, TEMPLATE(A_TEXT(CKA_LABEL, "other"))));
	COSTS(0, OK(C_DestroyObject, s, o));
	COSTS(0, OK(C_CloseSession, s));
}

static void logins(void)
{
	again();
	CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
	COSTS(1, OK(C_OpenSession, h.slot, RW, NULL, NULL, &s));
	COSTS(10, is(login(s, CKU_USER, USER_PIN), CKR_OK));
	COSTS(0, OK(C_Logout, s));
	COSTS(10, is(login(s, CKU_SO, SO_PIN), CKR_OK));
	COSTS(0, OK(C_Logout, s));
	COSTS(10, is(login(s, CKU_USER, "wrong"), CKR_PIN_INCORRECT));
	COSTS(10, is(login(s, CKU_USER, USER_PIN), CKR_OK));
}

Test(budget, login)
{
	logins();
}

Test(budget, random)
{
	uint8_t out[1024];

	again();
	CK_SESSION_HANDLE s = open_session(RO);
	COSTS(32, OK(C_GenerateRandom, s, out, sizeof out));
}

Test(budget, digests)
{
	uint8_t in[100] = {1}, out[32];
	CK_ULONG n = sizeof out;

	again();
	CK_SESSION_HANDLE s = open_session(RO);
	COSTS(0, OK(C_DigestInit, s, MECH(CKM_SHA256)));
	COSTS(0, OK(C_DigestUpdate, s, in, sizeof in));
	COSTS(0, OK(C_DigestFinal, s, out, &n));
	OK(C_DigestInit, s, MECH(CKM_SHA256));
	n = sizeof out;
	COSTS(0, OK(C_Digest, s, in, sizeof in, out, &n));
}

/* ---- keys ---- */

static const uint8_t digest[32] = {1};
static uint8_t signature[512];
static CK_ULONG signature_len;

static void sign(unsigned long most, CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
	COSTS(0, OK(C_SignInit, s, m, key));
	signature_len = sizeof signature;
	COSTS(most, OK(C_Sign, s, (CK_BYTE *)digest, sizeof digest, signature, &signature_len));
}

static void verify(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
	COSTS(0, OK(C_VerifyInit, s, m, key));
	COSTS(0, OK(C_Verify, s, (CK_BYTE *)digest, sizeof digest, signature, signature_len));
}

/* Keys by turns, more than there are places for: two commands more than with a loaded one. */
static void signatures(void)
{
	struct pair p[4];
	CK_SESSION_HANDLE s;

	again();
	s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		COSTS(5, p[i] = ec_pair(s, true, "ec"));
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		sign(alone + 2, s, MECH(CKM_ECDSA), p[i].priv);
		sign(alone, s, MECH(CKM_ECDSA), p[i].priv);
		sign(alone, s, MECH(CKM_ECDSA_SHA256), p[i].priv);
		verify(s, MECH(CKM_ECDSA_SHA256), p[i].pub);
	}
	COSTS(0, OK(C_DestroyObject, s, p[3].priv)); /* a loaded one */
	COSTS(0, OK(C_DestroyObject, s, p[3].pub));
	COSTS(0, OK(C_DestroyObject, s, p[0].priv)); /* one that isn't */
	sign(alone + 2, s, MECH(CKM_ECDSA), p[1].priv);
	COSTS(0, OK(C_Logout, s));
	COSTS(2, OK(C_Finalize, NULL)); /* on a bare TPM two keys are loaded; a resource manager flushes them itself */
	library_up();
}

Test(budget, signatures)
{
	signatures();
}

Test(budget, new_keys)
{
	CK_SESSION_HANDLE s;
	struct pair p;

	again();
	s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	COSTS(5, p = ec_pair(s, true, "first"));
	COSTS(5, p = rsa_pair(s, true, "token"));
	COSTS(5, p = rsa_pair(s, false, "session"));
	COSTS(0, OK(C_DestroyObject, s, p.priv));
}

static void decrypt(CK_SESSION_HANDLE s, CK_MECHANISM *m, struct pair p)
{
	uint8_t cipher[256], out[256];
	CK_ULONG n = sizeof cipher, out_n = sizeof out;

	COSTS(0, OK(C_EncryptInit, s, m, p.pub));
	COSTS(0, OK(C_Encrypt, s, (CK_BYTE *)digest, sizeof digest, cipher, &n));
	COSTS(0, OK(C_DecryptInit, s, m, p.priv));
	COSTS(0, OK(C_Decrypt, s, cipher, n, NULL, &out_n)); /* a question for the size is no work for the TPM */
	out_n = sizeof out;
	COSTS(alone, OK(C_Decrypt, s, cipher, n, out, &out_n));
	cr_expect(out_n == sizeof digest && memcmp(out, digest, out_n) == 0);
}

Test(budget, rsa)
{
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 20};
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
	CK_MECHANISM with_pss = {CKM_RSA_PKCS_PSS, &pss, sizeof pss};
	CK_MECHANISM with_oaep = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep};

	again();
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	struct pair p = rsa_pair(s, true, "rsa");
	sign(alone + 2, s, MECH(CKM_RSA_PKCS), p.priv);
	verify(s, MECH(CKM_RSA_PKCS), p.pub);
	sign(alone, s, MECH(CKM_SHA512_RSA_PKCS), p.priv);
	sign(alone, s, &with_pss, p.priv);
	verify(s, &with_pss, p.pub);
	decrypt(s, MECH(CKM_RSA_PKCS), p);
	decrypt(s, &with_oaep, p);
}

Test(budget, derivation)
{
	uint8_t point[80];
	CK_OBJECT_HANDLE o;

	again();
	CK_SESSION_HANDLE s = open_session(RW);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
	struct pair p;
	OK(C_GenerateKeyPair, s, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(A_BOOL(CKA_DERIVE, true)), &p.pub,
	   &p.priv);
	CK_ULONG n = attribute(s, p.pub, CKA_EC_POINT, point, sizeof point);
	CK_ECDH1_DERIVE_PARAMS params = {.kdf = CKD_NULL, .ulPublicDataLen = n, .pPublicData = point};
	CK_MECHANISM ecdh = {CKM_ECDH1_DERIVE, &params, sizeof params};
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET)};

	COSTS(alone + 2, OK(C_DeriveKey, s, &ecdh, p.priv, t, ARRAY_LEN(t), &o));
	COSTS(alone, OK(C_DeriveKey, s, &ecdh, p.priv, t, ARRAY_LEN(t), &o));
}

/* The places where faults are made: that they count, strike, and know what is held. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

static struct faults *faults;
static struct fault *commands;
static int tpm = -1;

/* The TPM behind one connection of the test's. */
static void use_socket(void)
{
	static char prefix[256];
	const char *path = secure_getenv("SIGNET_TEST_TCTI");
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(h.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	void *lib = dlopen(path, RTLD_NOW);

	cr_assert(lib, "%s", dlerror());
	commands = dlsym(lib, "tcti_fault");
	tpm = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(tpm >= 0 && connect(tpm, (struct sockaddr *)&to, sizeof to) == 0, "the TPM: %m");
	snprintf(prefix, sizeof prefix, "%s:fd=%d,", path, tpm);
	h.tcti_prefix = prefix;
	write_config();
}

static void up(void)
{
	harness_up();
	struct faults *(*get)(void) = (struct faults *(*)(void))dlsym(h.module, "signet_test_faults");
	cr_assert(get, "%s", dlerror());
	faults = get();
	if (is_kind(&kind_tpm))
		use_socket();
}

/* The TPM serves one connection: what looks at it next needs it. */
static void down(void)
{
	if (h.initialized)
		OK(C_Finalize, NULL);
	h.initialized = false;
	if (tpm >= 0)
		close(tpm);
	harness_down();
}

TestSuite(hooks, .init = up, .fini = down, .timeout = 60);

/* Something of everything: keys in the token and in the process, digests, lists, a wrong PIN. */
static void use_all(void)
{
	uint8_t in[32] = {1}, out[512];
	CK_ULONG n = sizeof out;

	session_up();
	struct pair p = ec_pair(h.session, true, "pair");
	CK_OBJECT_HANDLE key = aes_key(h.session, 32), data = data_object(h.session, true, true, "data");
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, h.session, in, sizeof in, out, &n);
	OK(C_VerifyInit, h.session, MECH(CKM_ECDSA), p.pub);
	OK(C_Verify, h.session, in, sizeof in, out, n);
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	n = sizeof out;
	OK(C_Digest, h.session, in, sizeof in, out, &n);
	OK(C_SignInit, h.session, MECH(CKM_SHA256_HMAC), hmac_key(h.session, in, sizeof in));
	OK(C_DestroyObject, h.session, key);
	OK(C_DestroyObject, h.session, data);
	OK(C_DestroyObject, h.session, p.pub);
	OK(C_DestroyObject, h.session, p.priv);
	OK(C_Logout, h.session);
	is(login(h.session, CKU_USER, "wrong"), CKR_PIN_INCORRECT);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
}

static void finish(void)
{
	OK(C_Finalize, NULL);
	h.initialized = false;
}

Test(hooks, what_is_held)
{
	long kept = faults->outstanding; /* libcrypto's context (base/crypto.h) */

	cr_expect(kept > 0 && kept < 20, "%ld are kept", kept);
	for (int i = 0; i < 2; i++) {
		use_all();
		cr_expect(faults->outstanding > kept + 10, "a session, an operation and a login are held");
		finish();
		cr_expect_eq(faults->outstanding, kept, "%ld, and %ld before", faults->outstanding, kept);
	}
}

Test(hooks, everything_counts)
{
	unsigned long *const counts[] = {&faults->memory.calls, &faults->evp.calls,
					 is_kind(&kind_tpm) ? &faults->files.calls : &faults->keys.calls};

	session_up();
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		*counts[i] = 0;
	ec_pair(h.session, true, "pair");
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		cr_expect(*counts[i] > 5, "kind %zu: %lu calls", i, *counts[i]);
}

static CK_RV digest(struct fault order)
{
	uint8_t in[4] = {1}, out[32];
	CK_ULONG n = sizeof out;

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	faults->evp = order;
	CK_RV rv = CALL(C_Digest, h.session, in, sizeof in, out, &n);
	faults->evp.at = 0;
	return rv;
}

Test(hooks, what_libcrypto_says)
{
	session_up();
	is(digest((struct fault){.at = 1}), CKR_FUNCTION_FAILED);
	cr_expect_eq(faults->evp.struck, 1);
	is(digest((struct fault){.at = 1, .where = ERR_R_MALLOC_FAILURE}), CKR_HOST_MEMORY);
	is(digest((struct fault){.at = 1, .code = 1}), CKR_OK);
	cr_expect_eq(faults->evp.calls, 0, "no function there has a negative failure");
	is(digest((struct fault){0}), CKR_OK);
}

static CK_RV verify(CK_MECHANISM_TYPE m, CK_OBJECT_HANDLE key, CK_BYTE *signature, CK_ULONG n, struct fault order)
{
	uint8_t in[32] = {1};

	OK(C_VerifyInit, h.session, MECH(m), key);
	faults->evp = order;
	CK_RV rv = CALL(C_Verify, h.session, in, sizeof in, signature, n);
	faults->evp.at = 0;
	return rv;
}

/* That libcrypto couldn't verify isn't that the signature is wrong. */
Test(hooks, no_verdict)
{
	CK_MECHANISM_TYPE mechs[] = {CKM_ECDSA, CKM_RSA_PKCS};
	uint8_t signature[256] = {0};

	session_up();
	CK_OBJECT_HANDLE keys[] = {ec_pair(h.session, false, "ec").pub, rsa_pair(h.session, false, "rsa").pub};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		CK_ULONG n = i ? 256 : 64;
		for (unsigned fill = 0; fill < 256; fill += 85) {
			memset(signature, (int)fill, n);
			is(verify(mechs[i], keys[i], signature, n, (struct fault){0}), CKR_SIGNATURE_INVALID);
		}
		for (unsigned long at = 1; at == 1 || faults->evp.struck; at++) {
			CK_RV rv = verify(mechs[i], keys[i], signature, n, (struct fault){.at = at});
			bool failed = rv == CKR_FUNCTION_FAILED || rv == CKR_HOST_MEMORY;
			cr_expect(failed == (faults->evp.struck > 0), "%s of libcrypto's fails: %s", faults->evp.last,
				  rv_name(rv));
		}
	}
}

Test(hooks, short_reads_and_writes)
{
	only_kind(&kind_tpm);
	session_up();
	faults->files = (struct fault){.at = 1, .for_good = true, .how = FAULT_SHORT};
	data_object(h.session, true, true, "in pieces");
	cr_expect(faults->files.struck > 0, "nothing was written in pieces");
	finish();
	library_up();
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_expect_eq(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "in pieces")), NULL), 1);
	faults->files.at = 0;
}

/* Ten seconds pass for the module, and none for us: else the test ends by its own deadline. */
Test(hooks, waits_without_time, .timeout = 8)
{
	uint8_t out[8];

	only_kind(&kind_tpm);
	session_up();
	faults->timeless = true;
	*commands = (struct fault){.at = 1, .how = FAULT_LATE, .where = 1};
	cr_expect(CALL(C_GenerateRandom, h.session, out, sizeof out) != CKR_OK);
	cr_expect(faults->ahead_ns >= 10000000000, "%lld ns", (long long)faults->ahead_ns);
	cr_expect_eq(commands->struck, 1);
	OK(C_GenerateRandom, h.session, out, sizeof out);
	faults->timeless = false;
}

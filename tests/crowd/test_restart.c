/* The TPM, or the daemon in front of it, starts again between any two calls of a sequence that logs in, signs and logs
 * out: what the module had loaded is gone, what the user proved isn't, so every call goes on.  Where nothing answers
 * while a call runs, that call says that the token was removed, once, and all works as soon as it is back. */
#include "crowd.h"

#include <signal.h>
#include <time.h>

#include "daemons.h"
#include "tpm.h"

#define SLOWEST_S 15 /* no call may take longer on a machine that is busy */

static EVP_PKEY *judge;

static void up(void)
{
	harness_up();
	only_kind(&kind_tpm);
	if (!tpm_way()->off)
		cr_skip_test("this TPM can't be restarted");
	log_start();
	session_up();
	judge = judge_key(h.session, ec_pair(h.session, true, "key").pub);
	OK(C_CloseSession, h.session);
}

TestSuite(restart, .init = up, .fini = harness_down, .timeout = 300);

/* ---- the sequence ---- */

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE priv;
static uint8_t signature[SIGNATURE], digest[32];
static CK_ULONG length;

static CK_RV step_open(void)
{
	return CALL(C_OpenSession, h.slot, RW, NULL, NULL, &session);
}

static CK_RV step_login(void)
{
	return CALL(C_Login, session, CKU_USER, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
}

static CK_RV step_find_init(void)
{
	return CALL(C_FindObjectsInit, session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)));
}

static CK_RV step_find(void)
{
	return CALL(C_FindObjects, session, &priv, 1, &length);
}

static CK_RV step_find_final(void)
{
	cr_assert(length == 1, "%lu keys were found", length);
	return CALL(C_FindObjectsFinal, session);
}

static CK_RV step_sign_init(void)
{
	return CALL(C_SignInit, session, MECH(CKM_ECDSA), priv);
}

static CK_RV step_sign(void)
{
	length = sizeof signature;
	return CALL(C_Sign, session, digest, sizeof digest, signature, &length);
}

/* Of something longer, in parts; looks at the signature before on its way. */
static CK_RV step_hash_init(void)
{
	cr_assert(judge_ecdsa(judge, BYTES_OF(digest), BYTES(signature, length)));
	return CALL(C_SignInit, session, MECH(CKM_ECDSA_SHA256), priv);
}

static CK_RV step_hash_update(void)
{
	return CALL(C_SignUpdate, session, (CK_BYTE *)"message", 7);
}

static CK_RV step_hash_final(void)
{
	length = sizeof signature;
	return CALL(C_SignFinal, session, signature, &length);
}

static CK_RV step_generate(void)
{
	uint8_t hash[32];
	CK_OBJECT_HANDLE pub;

	cr_assert(EVP_Digest("message", 7, hash, NULL, EVP_sha256(), NULL) == 1);
	cr_assert(judge_ecdsa(judge, BYTES_OF(hash), BYTES(signature, length)));
	return CALL(C_GenerateKeyPair, session, MECH(CKM_EC_KEY_PAIR_GEN),
		    TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(A_BOOL(CKA_SIGN, true)),
		    &pub, &priv);
}

static CK_RV step_random(void)
{
	return CALL(C_GenerateRandom, session, digest, sizeof digest);
}

static CK_RV step_logout(void)
{
	return CALL(C_Logout, session);
}

static CK_RV step_close(void)
{
	return CALL(C_CloseSession, session);
}

static const struct {
	const char *name;
	CK_RV (*run)(void);
} steps[] = {
	{"C_OpenSession", step_open},
	{"C_Login", step_login},
	{"C_FindObjectsInit", step_find_init},
	{"C_FindObjects", step_find},
	{"C_FindObjectsFinal", step_find_final},
	{"C_SignInit", step_sign_init},
	{"C_Sign", step_sign},
	{"C_Sign again", step_sign_init},
	{"the second C_Sign", step_sign},
	{"C_SignInit, hashing", step_hash_init},
	{"C_SignUpdate", step_hash_update},
	{"C_SignFinal", step_hash_final},
	{"C_GenerateKeyPair", step_generate},
	{"C_SignInit, new key", step_sign_init},
	{"C_Sign, new key", step_sign},
	{"C_GenerateRandom", step_random},
	{"C_Logout", step_logout},
	{"C_CloseSession", step_close},
};

static CK_RV timed(size_t i)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	CK_RV rv = steps[i].run();
	clock_gettime(CLOCK_MONOTONIC, &b);
	cr_expect(b.tv_sec - a.tv_sec < SLOWEST_S, "%s took %ld s", steps[i].name, (long)(b.tv_sec - a.tv_sec));
	return rv;
}

/* ---- it is back before the next call ---- */

static void each_gap(void (*happens)(void))
{
	for (size_t gap = 0; gap < ARRAY_LEN(steps); gap++)
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			if (i == gap)
				happens();
			CK_RV rv = timed(i);
			cr_assert(rv == CKR_OK, "%s: %s, when it happened before %s", steps[i].name, rv_name(rv),
				  steps[gap].name);
		}
}

static void need(const char *way)
{
	if (strcmp(tpm_way()->name, way) != 0)
		cr_skip_test("of %s only", way);
}

static void power_cut(void)
{
	tpm_power_off();
	tpm_power_on();
}

Test(restart, power_cut)
{
	each_gap(power_cut);
}

static void unstarted(void)
{
	swtpm_end(SIGKILL);
	swtpm_begin(false);
}

Test(restart, nobody_started_it)
{
	need("bare");
	each_gap(unstarted);
}

Test(restart, reset_line)
{
	need("bare");
	each_gap(swtpm_init);
}

static void shut_down(TPM2_SU how)
{
	ESYS_CONTEXT *esys = tpm_connect();

	TSS2_RC rc = Esys_Shutdown(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, how);
	cr_assert(rc == 0, "TPM2_Shutdown: 0x%x", rc);
	tpm_disconnect(&esys);
}

static void reboot(void)
{
	shut_down(TPM2_SU_CLEAR);
	swtpm_end(SIGTERM);
	swtpm_begin(true);
}

Test(restart, orderly)
{
	need("bare");
	each_gap(reboot);
}

/* As the kernel does it; a daemon in front doesn't notice.  (A TPM that is reset under a running tpm2-abrmd 3.0.0 isn't
 * tried: the daemon leaves objects in it until it is full.) */
static void suspend(void)
{
	ESYS_CONTEXT *now = tpm_connect();
	while (tpm_handles(now, TPM2_TRANSIENT_FIRST, NULL) > 0 && tpm_way()->managed)
		continue; /* the daemon still puts away what the last command used */
	tpm_disconnect(&now);
	shut_down(TPM2_SU_STATE);
	swtpm_end(SIGTERM);
	swtpm_begin(false);
	ESYS_CONTEXT *esys = tpm_connect_with(TPM2_SU_STATE);
	tpm_disconnect(&esys);
}

Test(restart, suspend_and_resume)
{
	each_gap(suspend);
}

static void daemon_killed(void)
{
	abrmd_end(SIGKILL);
	abrmd_begin();
}

Test(restart, daemon_killed)
{
	need("abrmd");
	each_gap(daemon_killed);
}

static void daemon_restarted(void)
{
	abrmd_end(SIGTERM);
	abrmd_begin();
}

Test(restart, daemon_restarted)
{
	need("abrmd");
	each_gap(daemon_restarted);
}

/* ---- it is away while a call runs ---- */

static bool removed(CK_RV rv)
{
	static const CK_RV codes[] = {CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT};

	return answer_in(rv, codes, ARRAY_LEN(codes));
}

static void each_call_without(void (*off)(void), void (*on)(void))
{
	for (size_t gap = 0; gap < ARRAY_LEN(steps); gap++)
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			if (i == gap)
				off();
			CK_RV rv = timed(i);
			if (i == gap)
				on();
			cr_assert(rv == CKR_OK || (i == gap && removed(rv)), "%s: %s, when it was away during %s",
				  steps[i].name, rv_name(rv), steps[gap].name);
			if (rv != CKR_OK)
				break; /* its sessions are closed; the next round opens another */
		}
}

Test(restart, away)
{
	each_call_without(tpm_power_off, tpm_power_on);
}

static void daemon_away(void)
{
	abrmd_end(SIGKILL);
}

Test(restart, daemon_away)
{
	need("abrmd");
	each_call_without(daemon_away, abrmd_begin);
}

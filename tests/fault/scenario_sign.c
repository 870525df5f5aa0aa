/* Signatures and MACs: every Init, one-shot, update and final, with the keys that each kind of token has and the places
 * where it uses them.  libcrypto says what is right: of a signature, whether it verifies; of a MAC, what it must be.
 *
 * A signature that isn't one is a scenario of its own: no fault may turn CKR_SIGNATURE_INVALID into CKR_OK, nor, in the
 * other ones, a good signature into a bad one (rules 5 and 6 of the TPM's table: what a TPM or a library can't do is no
 * verdict). */
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "engine.h"
#include "judge.h"
#include "keys.h"

struct signer {
	struct key_spec key;
	CK_MECHANISM mech;
	bool (*right)(struct bytes sig); /* NULL: it is always the same */
};

static const struct signer *now;
static struct pair keys;
static EVP_PKEY *judge;     /* libcrypto's public half */
static uint8_t data[32] = "what is to be signed, 32 bytes.";
static uint8_t digest[32];  /* SHA-256 of data */
static uint8_t signature[512], bad[512];
static CK_ULONG signature_len;

/* ---- what is right ---- */

static bool right_rsa_pkcs(struct bytes sig)
{
	return judge_rsa(judge, EVP_sha256(), RSA_PKCS1_PADDING, 0, BYTES_OF(digest), sig);
}

static bool right_rsa_pss(struct bytes sig)
{
	return judge_rsa(judge, EVP_sha256(), RSA_PKCS1_PSS_PADDING, 32, BYTES_OF(digest), sig);
}

static bool right_ecdsa(struct bytes sig)
{
	return judge_ecdsa(judge, BYTES_OF(data), sig);
}

static bool right_ecdsa_hashed(struct bytes sig)
{
	return judge_ecdsa(judge, BYTES_OF(digest), sig);
}

static bool right_eddsa(struct bytes sig)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	cr_assert(c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, judge) == 1);
	int good = EVP_DigestVerify(c, sig.ptr, sig.len, data, sizeof data);
	EVP_MD_CTX_free(c);
	return good == 1;
}

static bool right_hmac(struct bytes sig)
{
	uint8_t want[64];
	unsigned n;

	cr_assert(HMAC(EVP_sha256(), key_value, 16, data, sizeof data, want, &n));
	return bytes_equal(sig, BYTES(want, n));
}

static bool right_cmac(struct bytes sig)
{
	uint8_t want[64];
	size_t n;

	cr_assert(EVP_Q_mac(NULL, "CMAC", NULL, "AES-128-CBC", NULL, key_value, 16, data, sizeof data, want, sizeof want, &n));
	return bytes_equal(sig, BYTES(want, n));
}

/* ---- the subjects: a key and a mechanism each ---- */

/* A new key: libcrypto's half of it, and a signature by it. */
static void signature_stands(void)
{
	uint8_t info[600];
	const uint8_t *at = info;

	if (keys.pub != keys.priv) {
		CK_ULONG n = attribute(h.session, keys.pub, CKA_PUBLIC_KEY_INFO, info, sizeof info);
		EVP_PKEY_free(judge);
		judge = d2i_PUBKEY(NULL, &at, (long)n);
		cr_assert(judge);
	}
	signature_len = sizeof signature;
	OK(C_SignInit, h.session, (CK_MECHANISM *)&now->mech, keys.priv);
	if (now->key.always)
		is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	OK(C_Sign, h.session, data, sizeof data, signature, &signature_len);
	cr_assert(now->right(BYTES(signature, signature_len)));
	memcpy(bad, signature, signature_len);
	bad[signature_len / 2] ^= 0x10;
}

static void stand_on(const struct signer *s)
{
	bool made;

	now = s;
	keys = key_stands(&s->key, &made);
	if (!made)
		return;
	EVP_Digest(data, sizeof data, digest, NULL, EVP_sha256(), NULL);
	signature_stands();
}

static CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};

#define SUBJECT(name, type_, mechanism, right_, ...)                                                                   \
	static const struct signer s_##name = {                                                                        \
		.key = {.type = (type_), __VA_ARGS__}, .mech = mechanism, .right = (right_)};                          \
	static void name(void)                                                                                         \
	{                                                                                                              \
		stand_on(&s_##name);                                                                                   \
	}
#define PLAIN(type) {(type), NULL, 0}
#define PSS {CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof pss}

SUBJECT(rsa_pkcs, CKK_RSA, PLAIN(CKM_SHA256_RSA_PKCS), right_rsa_pkcs)
SUBJECT(rsa_pss, CKK_RSA, PSS, right_rsa_pss)
SUBJECT(ecdsa, CKK_EC, PLAIN(CKM_ECDSA), right_ecdsa)
SUBJECT(ecdsa_session, CKK_EC, PLAIN(CKM_ECDSA), right_ecdsa, .session = true)
SUBJECT(ecdsa_public, CKK_EC, PLAIN(CKM_ECDSA), right_ecdsa, .public = true)
SUBJECT(ecdsa_always, CKK_EC, PLAIN(CKM_ECDSA), right_ecdsa, .always = true)
SUBJECT(ecdsa_hashed, CKK_EC, PLAIN(CKM_ECDSA_SHA256), right_ecdsa_hashed)
SUBJECT(eddsa, CKK_EC_EDWARDS, PLAIN(CKM_EDDSA), right_eddsa)
SUBJECT(hmac, CKK_GENERIC_SECRET, PLAIN(CKM_SHA256_HMAC), right_hmac)
SUBJECT(hmac_session, CKK_GENERIC_SECRET, PLAIN(CKM_SHA256_HMAC), right_hmac, .session = true, .public = true)
SUBJECT(hmac_tpm, CKK_GENERIC_SECRET, PLAIN(CKM_SHA256_HMAC), right_hmac, .place = "tpm")
SUBJECT(cmac, CKK_AES, PLAIN(CKM_AES_CMAC), right_cmac)

/* ---- signing ---- */

static void sign_begin(void)
{
	OK(C_SignInit, h.session, (CK_MECHANISM *)&now->mech, keys.priv);
	if (now->key.always)
		is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	out.length = sizeof out.bytes;
}

static void sign_begun(void)
{
	sign_begin();
	OK(C_SignUpdate, h.session, data, sizeof data);
}

static CK_RV sign_init(void)
{
	return h.f->C_SignInit(h.session, (CK_MECHANISM *)&now->mech, keys.priv);
}

static CK_RV sign(void)
{
	return h.f->C_Sign(h.session, data, sizeof data, out.bytes, &out.length);
}

static CK_RV sign_update(void)
{
	return h.f->C_SignUpdate(h.session, data, sizeof data);
}

static CK_RV sign_final(void)
{
	return h.f->C_SignFinal(h.session, out.bytes, &out.length);
}

/* Ends what good() hasn't ended. */
static void sign_cancel(void)
{
	OK(C_SessionCancel, h.session, CKF_SIGN);
}

static bool signed_well(void)
{
	return now->right(BYTES(out.bytes, out.length));
}

/* What was taken in is what is signed. */
static bool goes_on_signing(void)
{
	out.length = sizeof out.bytes;
	OK(C_SignFinal, h.session, out.bytes, &out.length);
	return signed_well();
}

/* What was begun can be ended. */
static bool signs(void)
{
	if (now->key.always)
		is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	out.length = sizeof out.bytes;
	OK(C_Sign, h.session, data, sizeof data, out.bytes, &out.length);
	return signed_well();
}

/* ---- verifying ---- */

static void verify_begin(void)
{
	OK(C_VerifyInit, h.session, (CK_MECHANISM *)&now->mech, keys.pub);
}

static void verify_begun(void)
{
	verify_begin();
	OK(C_VerifyUpdate, h.session, data, sizeof data);
}

static CK_RV verify_init(void)
{
	return h.f->C_VerifyInit(h.session, (CK_MECHANISM *)&now->mech, keys.pub);
}

static CK_RV verify(void)
{
	return h.f->C_Verify(h.session, data, sizeof data, signature, signature_len);
}

static CK_RV verify_bad(void)
{
	return h.f->C_Verify(h.session, data, sizeof data, bad, signature_len);
}

static CK_RV verify_update(void)
{
	return h.f->C_VerifyUpdate(h.session, data, sizeof data);
}

static CK_RV verify_final(void)
{
	return h.f->C_VerifyFinal(h.session, signature, signature_len);
}

static CK_RV verify_final_bad(void)
{
	return h.f->C_VerifyFinal(h.session, bad, signature_len);
}

static void verify_cancel(void)
{
	OK(C_SessionCancel, h.session, CKF_VERIFY);
}

static bool verifies(void)
{
	OK(C_Verify, h.session, data, sizeof data, signature, signature_len);
	return true;
}

static bool goes_on_verifying(void)
{
	OK(C_VerifyFinal, h.session, signature, signature_len);
	return true;
}

/* ---- verifying a signature that comes first ---- */

static void given_begin(void)
{
	OK(C_VerifySignatureInit, h.session, (CK_MECHANISM *)&now->mech, keys.pub, signature, signature_len);
}

static void given_begin_bad(void)
{
	OK(C_VerifySignatureInit, h.session, (CK_MECHANISM *)&now->mech, keys.pub, bad, signature_len);
}

static void given_begun(void)
{
	given_begin();
	OK(C_VerifySignatureUpdate, h.session, data, sizeof data);
}

static void given_begun_bad(void)
{
	given_begin_bad();
	OK(C_VerifySignatureUpdate, h.session, data, sizeof data);
}

static CK_RV given_init(void)
{
	return h.f->C_VerifySignatureInit(h.session, (CK_MECHANISM *)&now->mech, keys.pub, signature, signature_len);
}

static CK_RV given(void)
{
	return h.f->C_VerifySignature(h.session, data, sizeof data);
}

static CK_RV given_update(void)
{
	return h.f->C_VerifySignatureUpdate(h.session, data, sizeof data);
}

static CK_RV given_final(void)
{
	return h.f->C_VerifySignatureFinal(h.session);
}

static bool given_verifies(void)
{
	OK(C_VerifySignature, h.session, data, sizeof data);
	return true;
}

static bool given_goes_on(void)
{
	OK(C_VerifySignatureFinal, h.session);
	return true;
}

/* ---- the rows ---- */

/* of: the subject; init, work: the contexts of the TPM's commands, 0 where none is sent. */
#define INIT(function_, of, text, on_, stage_, init, call_, cancel_, good_)                                            \
	{.function = (function_), .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,                \
	 .contexts = (init), .base = (of), .call = (call_), .undo = (cancel_), .good = (good_)}
#define SIGN_ONCE(of, text, on_, stage_, init, work)                                                                   \
	INIT("C_SignInit", of, text, on_, stage_, init, sign_init, sign_cancel, signs),                                \
	{.function = "C_Sign", .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,                   \
	 .contexts = (init) | (work), .base = (of), .begin = sign_begin, .call = sign, .good = signed_well}
#define SIGN_PARTS(of, text, on_, stage_, init, work)                                                                  \
	{.function = "C_SignUpdate", .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,             \
	 .contexts = (init) | (work), .base = (of), .begin = sign_begin, .call = sign_update, .undo = sign_cancel,     \
	 .good = goes_on_signing},                                                                                     \
	{.function = "C_SignFinal", .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,              \
	 .contexts = (init) | (work), .base = (of), .begin = sign_begun, .call = sign_final, .good = signed_well}
#define VERIFY_ONE(function_, of, text, on_, stage_, contexts_, begin_, call_, answer_)                                \
	{.function = (function_), .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,                \
	 .contexts = (contexts_), .answer = (answer_), .base = (of), .begin = (begin_), .call = (call_)}
#define VERIFY_ONCE(of, text, on, stage, init, work)                                                                   \
	INIT("C_VerifyInit", of, text, on, stage, init, verify_init, verify_cancel, verifies),                         \
	VERIFY_ONE("C_Verify", of, text, on, stage, (init) | (work), verify_begin, verify, CKR_OK),                    \
	VERIFY_ONE("C_Verify", of, text ", bad", on, stage, (init) | (work), verify_begin, verify_bad,                 \
		   CKR_SIGNATURE_INVALID)
#define VERIFY_PARTS(of, text, on_, stage_, init, work)                                                                \
	{.function = "C_VerifyUpdate", .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,           \
	 .contexts = (init) | (work), .base = (of), .begin = verify_begin, .call = verify_update,                      \
	 .undo = verify_cancel, .good = goes_on_verifying},                                                            \
	VERIFY_ONE("C_VerifyFinal", of, text, on_, stage_, (init) | (work), verify_begun, verify_final, CKR_OK),       \
	VERIFY_ONE("C_VerifyFinal", of, text ", bad", on_, stage_, (init) | (work), verify_begun, verify_final_bad,    \
		   CKR_SIGNATURE_INVALID)
#define GIVEN_ONCE(of, text, on, stage, init, work)                                                                    \
	INIT("C_VerifySignatureInit", of, text, on, stage, init, given_init, verify_cancel, given_verifies),           \
	VERIFY_ONE("C_VerifySignature", of, text, on, stage, (init) | (work), given_begin, given, CKR_OK),             \
	VERIFY_ONE("C_VerifySignature", of, text ", bad", on, stage, (init) | (work), given_begin_bad, given,          \
		   CKR_SIGNATURE_INVALID)
#define GIVEN_PARTS(of, text, on_, stage_, init, work)                                                                 \
	{.function = "C_VerifySignatureUpdate", .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,  \
	 .contexts = (init) | (work), .base = (of), .begin = given_begin, .call = given_update,                        \
	 .undo = verify_cancel, .good = given_goes_on},                                                                \
	VERIFY_ONE("C_VerifySignatureFinal", of, text, on_, stage_, (init) | (work), given_begun, given_final,         \
		   CKR_OK),                                                                                            \
	VERIFY_ONE("C_VerifySignatureFinal", of, text ", bad", on_, stage_, (init) | (work), given_begun_bad,          \
		   given_final, CKR_SIGNATURE_INVALID)

const struct scenario sign_scenarios[] = {
	SIGN_ONCE(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(rsa_pss, "RSA, PSS", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(ecdsa, "EC", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(ecdsa_session, "EC, session", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(ecdsa_public, "EC, public", ON_BOTH, STAGE_PUBLIC, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(ecdsa_always, "EC, always authenticate", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(eddsa, "Ed25519", ON_KEYRING, STAGE_USER, 0, 0),
	SIGN_ONCE(hmac, "HMAC", ON_BOTH, STAGE_USER, 0, 0),
	SIGN_ONCE(hmac_session, "HMAC, session, R/O", ON_BOTH, STAGE_READ, 0, 0),
	SIGN_ONCE(hmac_tpm, "HMAC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_ONCE(cmac, "CMAC", ON_BOTH, STAGE_USER, 0, 0),
	SIGN_PARTS(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_PARTS(ecdsa_hashed, "EC", ON_BOTH, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_PARTS(hmac, "HMAC", ON_BOTH, STAGE_USER, 0, 0),
	SIGN_PARTS(hmac_tpm, "HMAC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_SIGN),
	SIGN_PARTS(cmac, "CMAC", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_ONCE(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_ONCE(rsa_pss, "RSA, PSS", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_ONCE(ecdsa_public, "EC, public", ON_BOTH, STAGE_PUBLIC, 0, 0),
	VERIFY_ONCE(eddsa, "Ed25519", ON_KEYRING, STAGE_USER, 0, 0),
	VERIFY_ONCE(hmac, "HMAC", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_ONCE(hmac_tpm, "HMAC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_SIGN),
	VERIFY_ONCE(cmac, "CMAC", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_PARTS(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_PARTS(ecdsa_hashed, "EC", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_PARTS(hmac, "HMAC", ON_BOTH, STAGE_USER, 0, 0),
	VERIFY_PARTS(hmac_tpm, "HMAC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_SIGN),
	VERIFY_PARTS(cmac, "CMAC", ON_BOTH, STAGE_USER, 0, 0),
	GIVEN_ONCE(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, 0, 0),
	GIVEN_ONCE(ecdsa_public, "EC, public", ON_BOTH, STAGE_PUBLIC, 0, 0),
	GIVEN_ONCE(hmac_tpm, "HMAC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_SIGN),
	GIVEN_PARTS(ecdsa_hashed, "EC", ON_BOTH, STAGE_USER, 0, 0),
	GIVEN_PARTS(cmac, "CMAC", ON_BOTH, STAGE_USER, 0, 0),
	{0},
};

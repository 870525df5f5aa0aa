/* Sessions, with libcrypto's own KDF and a software TPM as judges. */
#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "crypto.h"
#include "log.h"
#include "rv.h"
#include "conn_private.h"
#include "swtpm.h"
#include "tcti_wrap.h"

/* ---- arithmetic ---- */

/* KDFa is NIST SP800-108's counter mode: libcrypto has that under its own name. */
static void kbkdf(struct bytes key, const char *label, struct bytes context, uint8_t *out, size_t n)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, (char[]){"HMAC"}, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key.ptr, key.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)label, strlen(label)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)context.ptr, context.len),
		OSSL_PARAM_END};
	EVP_KDF *kdf = EVP_KDF_fetch(crypto_lib(), "KBKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	cr_assert_eq(EVP_KDF_derive(ctx, out, n, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

Test(math, kdfa)
{
	struct session_math *m = session_math_new();
	uint8_t key[96], context[64], out[32], want[32];

	cr_assert_not_null(m);
	for (size_t n = 1; n <= sizeof key; n += 5) {
		cr_assert_eq(random_bytes(key, sizeof key), CKR_OK);
		cr_assert_eq(random_bytes(context, sizeof context), CKR_OK);
		kbkdf(BYTES(key, n), "CFB", BYTES_OF(context), want, sizeof want);
		cr_assert(session_kdfa(m, BYTES(key, n), "CFB", BYTES(context, 32), BYTES(context + 32, 32), out));
		cr_expect_arr_eq(out, want, sizeof out);
	}
	session_math_free(m);
}

/* RFC 4231, test case 2. */
Test(math, hmac)
{
	static const uint8_t want[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
				       0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
				       0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
	const struct bytes pieces[] = {BYTES("what do ya ", 11), BYTES("want for nothing?", 17)};
	struct session_math *m = session_math_new();
	uint8_t out[32], again[32];

	cr_assert_not_null(m);
	cr_assert(math_hmac(m, BYTES("Jefe", 4), pieces, 2, out));
	cr_expect_arr_eq(out, want, sizeof want);
	cr_assert(math_hmac(m, NO_BYTES, pieces, 2, again)); /* not with the last key */
	cr_expect_neq(memcmp(out, again, sizeof out), 0);
	session_math_free(m);
}

/* NIST SP800-38A, F.3.13: CFB128-AES128. */
Test(math, cfb)
{
	static const uint8_t key_iv[32] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15,
					   0x88, 0x09, 0xcf, 0x4f, 0x3c, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
					   0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f};
	static const uint8_t plain[16] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
					  0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
	static const uint8_t want[16] = {0x3b, 0x3f, 0xd9, 0x2e, 0xb7, 0x2d, 0xad, 0x20,
					 0x33, 0x34, 0x49, 0xf8, 0xe8, 0x3c, 0xfb, 0x4a};
	struct session_math *m = session_math_new();
	uint8_t data[16];

	memcpy(data, plain, sizeof data);
	cr_assert(math_cfb(m, key_iv, true, data, sizeof data));
	cr_expect_arr_eq(data, want, sizeof want);
	cr_assert(math_cfb(m, key_iv, false, data, sizeof data));
	cr_expect_arr_eq(data, plain, sizeof plain);
	session_math_free(m);
}

Test(math, entities)
{
	static const uint8_t zeros[8] = {1, 2, 0, 3, 0, 0}, longest[64] = {[63] = 1}, too_long[65] = {[64] = 1};
	struct entity e;

	entity_permanent(&e, TPM2_RH_OWNER, BYTES_OF(zeros));
	cr_expect_eq(e.name.size, 4);
	cr_expect_arr_eq(e.name.name, "\x40\x00\x00\x01", 4);
	cr_expect_eq(e.auth.size, 4); /* trailing zeros don't count */
	cr_expect_eq(entity_set_auth(&e, BYTES_OF(longest)), CKR_OK);
	cr_expect_eq(entity_set_auth(&e, BYTES_OF(too_long)), CKR_GENERAL_ERROR);
}

/* ---- on a TPM ---- */

static struct swtpm tpm;
static struct conn *conn;
static struct storage storage;
static struct wrap *wrap;
static struct key_blob key;
static struct entity key_auth;

static void start(void)
{
	log_configure(secure_getenv("SIGNET_LOG"));
	swtpm_start(&tpm);
	wrap = wrap_hooks();
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tpm.wrapped}, &conn), CKR_OK);
	swtpm_storage(conn, false, &storage);
	swtpm_key(conn, &storage, TPM2_ALG_ECC, &key, &key_auth);
}

static void stop(void)
{
	wrap->transmit = NULL;
	wrap->receive = NULL;
	conn_free(conn);
	swtpm_expect_clean(&tpm);
	swtpm_stop(&tpm);
}

TestSuite(session, .init = start, .fini = stop, .timeout = 60);

struct salted {
	bool salt;
	TPMA_SESSION attributes;
	TPMT_SIGNATURE signature;
};

static CK_RV sign_body(struct conn *c, void *arg)
{
	static const TPM2B_DIGEST digest = {.size = 32, .buffer = {1, 2, 3}};
	static const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256};
	struct salted *a = arg;
	struct session s CLEANUP(session_end) = {0};
	struct salt_key salt = {.public = &storage.public};
	struct entity k, parent;

	TRY(handles_key(c, &storage, &key, &k));
	k.auth = key_auth.auth;
	TRY(handles_storage(c, &storage, &parent));
	salt.handle = parent.handle;
	TRY(session_start(c, SESSION_HMAC, a->salt ? &salt : NULL, a->attributes, &s));
	TRY(tpm2_sign(c, &k, &s, &digest, &scheme, &a->signature));
	if (a->attributes & TPMA_SESSION_CONTINUESESSION)
		TRY(tpm2_sign(c, &k, &s, &digest, &scheme, &a->signature));
	return CKR_OK;
}

static CK_RV sign(bool salt, TPMA_SESSION attributes)
{
	struct salted a = {.salt = salt, .attributes = attributes};

	return conn_run(conn, RC_SIGN, sign_body, &a);
}

Test(session, kinds)
{
	cr_expect_eq(sign(false, 0), CKR_OK);
	cr_expect_eq(sign(true, 0), CKR_OK);
	cr_expect_eq(sign(false, TPMA_SESSION_CONTINUESESSION), CKR_OK);
	cr_expect_eq(sign(true, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT), CKR_OK);
	cr_expect_eq(sign(true, TPMA_SESSION_DECRYPT), CKR_OK);
	cr_expect_eq(sign(false, TPMA_SESSION_DECRYPT), CKR_OK);
}

Test(session, many)
{
	for (int i = 0; i < 200; i++)
		cr_assert_eq(sign(i % 2, i % 4 < 2 ? TPMA_SESSION_DECRYPT : 0), CKR_OK, "%d", i);
}

Test(session, wrong_authorization)
{
	key_auth.auth.buffer[0] ^= 1;
	cr_expect_eq(sign(false, 0), CKR_DEVICE_ERROR);
	cr_expect_eq(conn_rc(conn), TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1);
	cr_expect_eq(swtpm_census(&tpm).sessions, 0);
	key_auth.auth.buffer[0] ^= 1;
	cr_expect_eq(sign(false, 0), CKR_OK);
}

/* ---- altered answers ---- */

static size_t flip_at, answer_size;

static TSS2_RC flip(uint32_t cc, unsigned n UNUSED, uint8_t *answer, size_t *size)
{
	if (cc != TPM2_CC_Sign)
		return TSS2_RC_SUCCESS;
	answer_size = *size;
	if (flip_at / 8 < *size)
		answer[flip_at / 8] ^= (uint8_t)(1u << flip_at % 8);
	return TSS2_RC_SUCCESS;
}

/* A bit in each byte, another in each; but responseSize, which says nothing of the content. */
Test(session, every_altered_answer_is_refused)
{
	cr_expect_eq(sign(false, 0), CKR_OK);
	wrap->receive = flip;
	answer_size = 200;
	for (size_t i = 0; i < answer_size; i += i == 1 ? 5 : 1) {
		struct salted a = {.salt = false};

		flip_at = 8 * i + i % 8;
		cr_expect_neq(conn_run(conn, RC_SIGN, sign_body, &a), CKR_OK, "byte %zu", i);
		cr_expect_eq(a.signature.sigAlg, 0, "byte %zu: the answer was used", i);
		if (conn_poisoned(conn))
			conn->poisoned = false; /* a forged TPM2_RC_FAILURE; not waited for here */
	}
	wrap->receive = NULL;
	cr_expect_eq(sign(false, 0), CKR_OK);
}

static bool flipped_once;
static TSS2_RC flip_once(uint32_t cc, unsigned n UNUSED, uint8_t *answer, size_t *size)
{
	if (cc == TPM2_CC_Sign && !flipped_once)
		answer[*size - 1] ^= 1;
	flipped_once |= cc == TPM2_CC_Sign;
	return TSS2_RC_SUCCESS;
}

Test(session, one_altered_answer_is_asked_for_again)
{
	wrap->receive = flip_once;
	cr_expect_eq(sign(false, 0), CKR_OK);
	cr_expect(flipped_once);
}

/* ---- random numbers through a session that authorizes nothing ---- */

static CK_RV random_body(struct conn *c, void *arg)
{
	struct session s CLEANUP(session_end) = {0};
	struct salt_key salt = {.public = &storage.public};
	struct entity parent;
	size_t n;

	TRY(handles_storage(c, &storage, &parent));
	salt.handle = parent.handle;
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_ENCRYPT, &s));
	TRY(tpm2_get_random(c, &s, arg, 32, &n));
	cr_expect_eq(n, 32);
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	return tpm2_stir_random(c, &s, BYTES(arg, 32));
}

static uint8_t on_the_bus[32];
static TSS2_RC listen(uint32_t cc, unsigned n UNUSED, uint8_t *answer, size_t *size UNUSED)
{
	if (cc == TPM2_CC_GetRandom) /* header, parameterSize, TPM2B size */
		memcpy(on_the_bus, answer + 10 + 4 + 2, sizeof on_the_bus);
	return TSS2_RC_SUCCESS;
}

Test(session, random_bytes_cross_the_bus_encrypted)
{
	uint8_t got[32];

	wrap->receive = listen;
	cr_expect_eq(conn_run(conn, RC_RNG, random_body, got), CKR_OK);
	cr_expect_neq(memcmp(got, on_the_bus, sizeof got), 0);
}

/* ---- salted with an RSA storage key ---- */

static CK_RV rsa_body(struct conn *c, void *arg UNUSED)
{
	static const TPM2B_PUBLIC rsa = {
		.publicArea = {.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256,
			       .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED |
						   TPMA_OBJECT_DECRYPT | TPMA_OBJECT_NODA | TPMA_OBJECT_FIXEDTPM |
						   TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN,
			       .parameters.rsaDetail = {.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128,
								      .mode.aes = TPM2_ALG_CFB},
							.scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048}}};
	struct session s CLEANUP(session_end) = {0};
	struct entity owner, made;
	TPM2B_PUBLIC public;
	uint8_t out[16];
	size_t n;

	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	TRY(tpm2_create_primary(c, &owner, NULL, &rsa, &public, &made));
	TRY(session_start(c, SESSION_HMAC, &(struct salt_key){.handle = made.handle, .public = &public},
			  TPMA_SESSION_ENCRYPT, &s));
	return tpm2_get_random(c, &s, out, sizeof out, &n);
}

Test(session, salted_with_rsa)
{
	cr_expect_eq(conn_run(conn, RC_RNG, rsa_body, NULL), CKR_OK);
}

/* ---- a PIN in an NV index, and a seal behind it ---- */

#define INDEX 0x01800777
#define PIN "1234"

static struct entity pin_index;
static struct key_blob seal;

static void policy_step(TPM2B_DIGEST *d, TPM2_CC cc, struct bytes arg)
{
	const uint8_t code[4] = {0, 0, (uint8_t)(cc >> 8), (uint8_t)cc};
	struct session_math *m = session_math_new();
	const struct bytes pieces[] = {BYTES(d->buffer, 32), BYTES_OF(code), arg};

	cr_assert(math_hash(m, pieces, 3, d->buffer));
	d->size = 32;
	session_math_free(m);
}

static CK_RV define_index(struct conn *c, const struct salt_key *salt)
{
	TPM2B_NV_PUBLIC public = {
		.nvPublic = {.nvIndex = INDEX, .nameAlg = TPM2_ALG_SHA256, .dataSize = 8,
			     .attributes = TPM2_NT_PIN_FAIL << TPMA_NV_TPM2_NT_SHIFT | TPMA_NV_POLICYWRITE |
					   TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD | TPMA_NV_NO_DA}};
	struct session s CLEANUP(session_end) = {0};
	TPM2B_AUTH auth = {.size = 4, .buffer = PIN};
	struct entity owner;

	policy_step(&public.nvPublic.authPolicy, TPM2_CC_PolicyNvWritten, BYTES("\0", 1));
	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	TRY(session_start(c, SESSION_HMAC, salt, TPMA_SESSION_DECRYPT, &s));
	return tpm2_nv_define(c, &owner, &s, &auth, &public);
}

static CK_RV write_limit(struct conn *c)
{
	static const uint8_t limit[8] = {[7] = 3};
	struct session s CLEANUP(session_end) = {0};
	TPM2B_NV_PUBLIC public;
	bool found;

	pin_index = (struct entity){.handle = INDEX};
	TRY(tpm2_nv_read_public(c, INDEX, &public, &pin_index.name, &found));
	cr_expect(found);
	TRY(session_start(c, SESSION_POLICY, NULL, 0, &s));
	TRY(tpm2_policy_nv_written(c, &s, false));
	TRY(tpm2_nv_write(c, &pin_index, &s, &pin_index, BYTES_OF(limit)));
	return tpm2_nv_read_public(c, INDEX, &public, &pin_index.name, &found);
}

static CK_RV make_seal(struct conn *c, const struct entity *parent, const struct salt_key *salt)
{
	TPM2B_PUBLIC tmpl = {.publicArea = {.type = TPM2_ALG_KEYEDHASH, .nameAlg = TPM2_ALG_SHA256,
					    .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
								TPMA_OBJECT_NODA,
					    .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive = {.userAuth = {.size = 4, .buffer = "abcd"},
							  .data = {.size = 6, .buffer = "secret"}}};
	struct session s CLEANUP(session_end) = {0};
	TPM2B_DIGEST *policy = &tmpl.publicArea.authPolicy;
	struct session_math *m = session_math_new();

	policy_step(policy, TPM2_CC_PolicySecret, BYTES(pin_index.name.name, pin_index.name.size));
	cr_assert(math_hash(m, &BYTES(policy->buffer, 32), 1, policy->buffer)); /* the empty policyRef */
	session_math_free(m);
	policy_step(policy, TPM2_CC_PolicyAuthValue, NO_BYTES);
	TRY(session_start(c, SESSION_HMAC, salt, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, &s));
	return tpm2_create(c, parent, &s, &(struct create_req){.sensitive = &sensitive, .tmpl = &tmpl}, &seal.public,
			   &seal.private);
}

static CK_RV pin_body(struct conn *c, void *arg UNUSED)
{
	struct salt_key salt = {.public = &storage.public};
	struct entity parent;

	TRY(handles_storage(c, &storage, &parent));
	salt.handle = parent.handle;
	TRY(define_index(c, &salt));
	TRY(write_limit(c));
	return make_seal(c, &parent, &salt);
}

static CK_RV unseal_body(struct conn *c, void *arg)
{
	TPM2B_SENSITIVE_DATA *secret = arg;
	struct session proof CLEANUP(session_end) = {0}, policy CLEANUP(session_end) = {0};
	struct salt_key salt = {.public = &storage.public};
	struct entity parent, item;

	TRY(handles_storage(c, &storage, &parent));
	salt.handle = parent.handle;
	TRY(session_start(c, SESSION_HMAC, &salt, 0, &proof));
	TRY(session_start(c, SESSION_POLICY, &salt, TPMA_SESSION_ENCRYPT, &policy));
	conn_context(c, RC_LOGIN);
	TRY(tpm2_policy_secret(c, &pin_index, &proof, &policy));
	conn_context(c, RC_INIT);
	TRY(tpm2_policy_auth_value(c, &policy));
	TRY(tpm2_load(c, &parent, NULL, &seal.public, &seal.private, &item));
	TRY(entity_set_auth(&item, BYTES("abcd", 4)));
	return tpm2_unseal(c, &item, &policy, secret);
}

static CK_RV unseal(const char *pin, TPM2B_SENSITIVE_DATA *secret)
{
	cr_assert_eq(entity_set_auth(&pin_index, BYTES(pin, strlen(pin))), CKR_OK);
	return conn_run(conn, RC_INIT, unseal_body, secret);
}

Test(session, pin_and_seal)
{
	TPM2B_SENSITIVE_DATA secret = {0};
	uint64_t before;

	cr_assert_eq(conn_run(conn, RC_ADMIN, pin_body, NULL), CKR_OK);
	before = conn_commands(conn);
	cr_expect_eq(unseal(PIN, &secret), CKR_OK);
	cr_expect_eq(conn_commands(conn) - before, 7);
	cr_expect(secret.size == 6 && memcmp(secret.buffer, "secret", 6) == 0);
	cr_expect_eq(unseal("wrong", &secret), CKR_PIN_INCORRECT);
	cr_expect_eq(unseal("wrong", &secret), CKR_PIN_INCORRECT);
	cr_expect_eq(unseal(PIN, &secret), CKR_OK); /* resets the count */
	for (int i = 0; i < 3; i++)
		cr_expect_eq(unseal("wrong", &secret), CKR_PIN_INCORRECT);
	cr_expect_eq(unseal(PIN, &secret), CKR_PIN_LOCKED);
}

static unsigned secrets_sent;
static TSS2_RC lose_proof(uint32_t cc, unsigned n UNUSED, uint8_t *answer UNUSED, size_t *size UNUSED)
{
	secrets_sent += cc == TPM2_CC_PolicySecret;
	return cc == TPM2_CC_PolicySecret ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

/* R22: the TPM may have counted it. */
Test(session, a_proof_is_never_repeated)
{
	TPM2B_SENSITIVE_DATA secret;

	cr_assert_eq(conn_run(conn, RC_ADMIN, pin_body, NULL), CKR_OK);
	wrap->receive = lose_proof;
	cr_expect_eq(unseal(PIN, &secret), CKR_DEVICE_REMOVED);
	cr_expect_eq(secrets_sent, 1);
	wrap->receive = NULL;
	cr_expect_eq(unseal(PIN, &secret), CKR_OK);
}

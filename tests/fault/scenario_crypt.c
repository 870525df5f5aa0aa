/* Encryption, decryption and digests: every Init, one-shot, update and final, with the keys that each kind of token has
 * and the places where it uses them.
 *
 * A ciphertext that isn't one is a scenario of its own: no fault may turn the refusal of it into CKR_OK, nor, in the other
 * ones, a good ciphertext into a bad one.  Nor may a fault in the unpadding of CKM_RSA_PKCS look like bad padding, which
 * gives pseudo-random bytes and CKR_OK. */
#include <openssl/evp.h>

#include "engine.h"
#include "keys.h"

struct cipher {
	struct key_spec key;
	CK_MECHANISM mech;
	const char *name; /* libcrypto's, of an AES mode; NULL: the ciphertext is another one each time */
	CK_ULONG tag;     /* bytes of an AEAD's */
	bool damaged;     /* what is decrypted is none */
};

#define PLAIN_SIZE 40
static const struct cipher *now;
static struct pair keys;
static uint8_t plain[PLAIN_SIZE] = "what nobody else may read, forty bytes.", sealed[512];
static uint8_t iv[16] = {3, 1, 4, 1, 5, 9, 2, 6};
static CK_ULONG sealed_len;
static CK_ULONG before; /* bytes that the updates have given already */

static CK_MECHANISM *mechanism(void)
{
	return (CK_MECHANISM *)&now->mech;
}

/* ---- the subjects: a key and a mechanism each ---- */

/* What libcrypto makes of it. */
static CK_ULONG sealed_by_libcrypto(uint8_t to[512])
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, now->name, NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n, last;

	cr_assert(cipher && c, "%s", now->name);
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	cr_assert(EVP_EncryptInit_ex2(c, cipher, key_value, now->mech.pParameter ? iv : NULL, NULL) == 1);
	cr_assert(EVP_EncryptUpdate(c, to, &n, plain, sizeof plain) == 1);
	cr_assert(EVP_EncryptFinal_ex(c, to + n, &last) == 1);
	n += last;
	if (now->tag)
		cr_assert(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, (int)now->tag, to + n) == 1);
	EVP_CIPHER_CTX_free(c);
	EVP_CIPHER_free(cipher);
	return (CK_ULONG)n + now->tag;
}

static void stand_on(const struct cipher *s)
{
	bool made;

	now = s;
	keys = key_stands(&s->key, &made);
	if (!made)
		return;
	sealed_len = sizeof sealed;
	OK(C_EncryptInit, h.session, mechanism(), keys.pub);
	OK(C_Encrypt, h.session, plain, sizeof plain, sealed, &sealed_len);
	if (s->damaged)
		sealed[sealed_len - 3] ^= 0x10;
}

static CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .ulTagBits = 128};
static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};

#define SUBJECT(name_, ...)                                                                                            \
	static const struct cipher s_##name_ = {__VA_ARGS__};                                                          \
	static void name_(void)                                                                                        \
	{                                                                                                              \
		stand_on(&s_##name_);                                                                                  \
	}
#define CBC .key.type = CKK_AES, .mech = {CKM_AES_CBC_PAD, iv, sizeof iv}, .name = "AES-128-CBC"
#define GCM .key.type = CKK_AES, .mech = {CKM_AES_GCM, &gcm, sizeof gcm}, .name = "AES-128-GCM", .tag = 16
#define KWP .key.type = CKK_AES, .mech = {CKM_AES_KEY_WRAP_KWP, NULL, 0}, .name = "AES-128-WRAP-PAD"
#define PKCS .key.type = CKK_RSA, .mech = {CKM_RSA_PKCS, NULL, 0}
#define OAEP .key.type = CKK_RSA, .mech = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}

SUBJECT(cbc, CBC)
SUBJECT(cbc_session, CBC, .key.session = true)
SUBJECT(cbc_public, CBC, .key.public = true)
SUBJECT(cbc_tpm, CBC, .key.place = "tpm")
SUBJECT(gcm_key, GCM)
SUBJECT(gcm_damaged, GCM, .damaged = true)
SUBJECT(kwp, KWP)
SUBJECT(kwp_damaged, KWP, .damaged = true)
SUBJECT(rsa_pkcs, PKCS)
SUBJECT(rsa_oaep, OAEP)
SUBJECT(rsa_oaep_public, OAEP, .key.public = true)
SUBJECT(rsa_oaep_damaged, OAEP, .damaged = true)

/* ---- encryption ---- */

static void encrypt_begin(void)
{
	OK(C_EncryptInit, h.session, mechanism(), keys.pub);
	out.length = sizeof out.bytes;
	before = 0;
}

static void encrypt_begun(void)
{
	encrypt_begin();
	before = sizeof out.bytes;
	OK(C_EncryptUpdate, h.session, plain, sizeof plain, out.bytes, &before);
}

static CK_RV encrypt_init(void)
{
	return h.f->C_EncryptInit(h.session, mechanism(), keys.pub);
}

static CK_RV encrypt(void)
{
	return h.f->C_Encrypt(h.session, plain, sizeof plain, out.bytes, &out.length);
}

static CK_RV encrypt_update(void)
{
	return h.f->C_EncryptUpdate(h.session, plain, sizeof plain, out.bytes, &out.length);
}

static CK_RV encrypt_final(void)
{
	return h.f->C_EncryptFinal(h.session, out.bytes, &out.length);
}

/* Ends what good() hasn't ended. */
static void encrypt_cancel(void)
{
	OK(C_SessionCancel, h.session, CKF_ENCRYPT);
}

/* A whole ciphertext: libcrypto's, or one that comes back. */
static bool is_sealed(uint8_t *bytes, CK_ULONG len)
{
	uint8_t want[512], back[512];
	CK_ULONG n = sizeof back;

	if (now->name) {
		n = sealed_by_libcrypto(want);
		return bytes_equal(BYTES(want, n), BYTES(bytes, len));
	}
	OK(C_DecryptInit, h.session, mechanism(), keys.priv);
	OK(C_Decrypt, h.session, bytes, len, back, &n);
	return bytes_equal(BYTES(back, n), BYTES_OF(plain));
}

static bool encrypted(void)
{
	return is_sealed(out.bytes, out.length);
}

static bool encrypts(void)
{
	uint8_t bytes[512];
	CK_ULONG n = sizeof bytes;

	OK(C_Encrypt, h.session, plain, sizeof plain, bytes, &n);
	return is_sealed(bytes, n);
}

static bool goes_on_encrypting(void)
{
	uint8_t bytes[512];
	CK_ULONG n = sizeof bytes - out.length;

	memcpy(bytes, out.bytes, out.length);
	OK(C_EncryptFinal, h.session, bytes + out.length, &n);
	return is_sealed(bytes, out.length + n);
}

static bool encrypted_the_end(void)
{
	uint8_t want[512];
	CK_ULONG n = sealed_by_libcrypto(want);

	return n >= before && bytes_equal(BYTES(want + before, n - before), BYTES(out.bytes, out.length));
}

/* ---- decryption ---- */

static void decrypt_begin(void)
{
	OK(C_DecryptInit, h.session, mechanism(), keys.priv);
	out.length = sizeof out.bytes;
	before = 0;
}

static void decrypt_begun(void)
{
	decrypt_begin();
	before = sizeof out.bytes;
	OK(C_DecryptUpdate, h.session, sealed, sealed_len, out.bytes, &before);
}

static CK_RV decrypt_init(void)
{
	return h.f->C_DecryptInit(h.session, mechanism(), keys.priv);
}

static CK_RV decrypt(void)
{
	return h.f->C_Decrypt(h.session, sealed, sealed_len, out.bytes, &out.length);
}

static CK_RV decrypt_update(void)
{
	return h.f->C_DecryptUpdate(h.session, sealed, sealed_len, out.bytes, &out.length);
}

static CK_RV decrypt_final(void)
{
	return h.f->C_DecryptFinal(h.session, out.bytes, &out.length);
}

static void decrypt_cancel(void)
{
	OK(C_SessionCancel, h.session, CKF_DECRYPT);
}

static bool is_plain(const uint8_t *bytes, CK_ULONG len)
{
	return bytes_equal(BYTES(bytes, len), BYTES_OF(plain));
}

static bool decrypted(void)
{
	return is_plain(out.bytes, out.length);
}

static bool decrypts(void)
{
	uint8_t bytes[512];
	CK_ULONG n = sizeof bytes;

	OK(C_Decrypt, h.session, sealed, sealed_len, bytes, &n);
	return is_plain(bytes, n);
}

static bool goes_on_decrypting(void)
{
	uint8_t bytes[512];
	CK_ULONG n = sizeof bytes - out.length;

	memcpy(bytes, out.bytes, out.length);
	OK(C_DecryptFinal, h.session, bytes + out.length, &n);
	return is_plain(bytes, out.length + n);
}

static bool decrypted_the_end(void)
{
	return bytes_equal(BYTES(plain + before, sizeof plain - before), BYTES(out.bytes, out.length));
}

/* ---- digests ---- */

static const struct key_spec readable = {.type = CKK_AES, .open = true};

static void digest_key_stands(void)
{
	keys = key_stands(&readable, NULL);
}

static void digest_begin(void)
{
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	out.length = sizeof out.bytes;
}

static void digest_begun(void)
{
	digest_begin();
	OK(C_DigestUpdate, h.session, plain, sizeof plain);
}

static CK_RV digest_init(void)
{
	return h.f->C_DigestInit(h.session, MECH(CKM_SHA256));
}

static CK_RV digest(void)
{
	return h.f->C_Digest(h.session, plain, sizeof plain, out.bytes, &out.length);
}

static CK_RV digest_update(void)
{
	return h.f->C_DigestUpdate(h.session, plain, sizeof plain);
}

static CK_RV digest_key(void)
{
	return h.f->C_DigestKey(h.session, keys.pub);
}

static CK_RV digest_final(void)
{
	return h.f->C_DigestFinal(h.session, out.bytes, &out.length);
}

static void digest_cancel(void)
{
	OK(C_SessionCancel, h.session, CKF_DIGEST);
}

static bool is_digest_of(const void *p, size_t n)
{
	uint8_t want[32];

	EVP_Digest(p, n, want, NULL, EVP_sha256(), NULL);
	return bytes_equal(BYTES_OF(want), BYTES(out.bytes, out.length));
}

static bool digested(void)
{
	return is_digest_of(plain, sizeof plain);
}

static bool digests(void)
{
	out.length = sizeof out.bytes;
	OK(C_Digest, h.session, plain, sizeof plain, out.bytes, &out.length);
	return digested();
}

static bool goes_on_digesting(void)
{
	out.length = sizeof out.bytes;
	OK(C_DigestFinal, h.session, out.bytes, &out.length);
	return digested();
}

static bool digested_the_key(void)
{
	out.length = sizeof out.bytes;
	OK(C_DigestFinal, h.session, out.bytes, &out.length);
	return is_digest_of(key_value, 16);
}

/* ---- the rows ---- */

/* of: the subject; init, work: the contexts of the TPM's commands, 0 where none is sent. */
#define INIT(function_, of, text, on_, stage_, init, call_, cancel_, good_)                                            \
	{.function = (function_), .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,                \
	 .contexts = (init), .base = (of), .call = (call_), .undo = (cancel_), .good = (good_)}
#define WORK(function_, of, text, on_, stage_, contexts_, begin_, call_, good_, ...)                                   \
	{.function = (function_), .variant = (text), .on = (on_), .stage = (stage_), .traits = ANSWERS,                \
	 .contexts = (contexts_), .base = (of), .begin = (begin_), .call = (call_), .good = (good_), __VA_ARGS__}
#define ENCRYPT_ONCE(of, text, on, stage, init, work)                                                                  \
	INIT("C_EncryptInit", of, text, on, stage, init, encrypt_init, encrypt_cancel, encrypts),                      \
	WORK("C_Encrypt", of, text, on, stage, (init) | (work), encrypt_begin, encrypt, encrypted)
#define ENCRYPT_PARTS(of, text, on, stage, init, work)                                                                 \
	WORK("C_EncryptUpdate", of, text, on, stage, (init) | (work), encrypt_begin, encrypt_update,                   \
	     goes_on_encrypting, .undo = encrypt_cancel),                                                              \
	WORK("C_EncryptFinal", of, text, on, stage, (init) | (work), encrypt_begun, encrypt_final, encrypted_the_end)
#define DECRYPT_ONCE(of, text, on, stage, init, work)                                                                  \
	INIT("C_DecryptInit", of, text, on, stage, init, decrypt_init, decrypt_cancel, decrypts),                      \
	WORK("C_Decrypt", of, text, on, stage, (init) | (work), decrypt_begin, decrypt, decrypted)
#define DECRYPT_PARTS(of, text, on, stage, init, work)                                                                 \
	WORK("C_DecryptUpdate", of, text, on, stage, (init) | (work), decrypt_begin, decrypt_update,                   \
	     goes_on_decrypting, .undo = decrypt_cancel),                                                              \
	WORK("C_DecryptFinal", of, text, on, stage, (init) | (work), decrypt_begun, decrypt_final, decrypted_the_end)
#define REFUSED(of, text, on, init, work, answer_)                                                                     \
	WORK("C_Decrypt", of, text, on, STAGE_USER, (init) | (work), decrypt_begin, decrypt, NULL, .answer = (answer_))

const struct scenario crypt_scenarios[] = {
	ENCRYPT_ONCE(cbc, "AES-CBC", ON_BOTH, STAGE_USER, 0, 0),
	ENCRYPT_ONCE(cbc_session, "AES-CBC, session", ON_BOTH, STAGE_USER, 0, 0),
	ENCRYPT_ONCE(cbc_tpm, "AES-CBC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_ENCRYPT),
	ENCRYPT_ONCE(gcm_key, "AES-GCM", ON_BOTH, STAGE_USER, 0, 0),
	ENCRYPT_ONCE(kwp, "AES-KWP", ON_BOTH, STAGE_USER, 0, 0),
	ENCRYPT_ONCE(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, 0, 0),
	ENCRYPT_ONCE(rsa_oaep_public, "RSA, OAEP, public", ON_BOTH, STAGE_PUBLIC, 0, 0),
	ENCRYPT_PARTS(cbc, "AES-CBC", ON_BOTH, STAGE_USER, 0, 0),
	ENCRYPT_PARTS(cbc_tpm, "AES-CBC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_ENCRYPT),
	ENCRYPT_PARTS(gcm_key, "AES-GCM", ON_BOTH, STAGE_USER, 0, 0),
	DECRYPT_ONCE(cbc, "AES-CBC", ON_BOTH, STAGE_USER, 0, 0),
	DECRYPT_ONCE(cbc_public, "AES-CBC, public", ON_BOTH, STAGE_PUBLIC, CTX_INIT, 0),
	DECRYPT_ONCE(cbc_tpm, "AES-CBC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_DECRYPT),
	DECRYPT_ONCE(gcm_key, "AES-GCM", ON_BOTH, STAGE_USER, 0, 0),
	DECRYPT_ONCE(kwp, "AES-KWP", ON_BOTH, STAGE_USER, 0, 0),
	DECRYPT_ONCE(rsa_pkcs, "RSA", ON_BOTH, STAGE_USER, CTX_INIT, CTX_DECRYPT),
	DECRYPT_ONCE(rsa_oaep, "RSA, OAEP", ON_BOTH, STAGE_USER, CTX_INIT, CTX_DECRYPT),
	REFUSED(gcm_damaged, "AES-GCM, damaged", ON_BOTH, 0, 0, CKR_ENCRYPTED_DATA_INVALID),
	REFUSED(kwp_damaged, "AES-KWP, damaged", ON_BOTH, 0, 0, CKR_ENCRYPTED_DATA_INVALID),
	REFUSED(rsa_oaep_damaged, "RSA, OAEP, damaged", ON_BOTH, CTX_INIT, CTX_DECRYPT, CKR_ENCRYPTED_DATA_INVALID),
	DECRYPT_PARTS(cbc, "AES-CBC", ON_BOTH, STAGE_USER, 0, 0),
	DECRYPT_PARTS(cbc_tpm, "AES-CBC in the TPM", ON_TPM, STAGE_USER, CTX_INIT, CTX_DECRYPT),
	DECRYPT_PARTS(gcm_key, "AES-GCM", ON_BOTH, STAGE_USER, 0, 0),
	WORK("C_DecryptFinal", gcm_damaged, "AES-GCM, damaged", ON_BOTH, STAGE_USER, 0, decrypt_begun, decrypt_final, NULL,
	     .answer = CKR_ENCRYPTED_DATA_INVALID),
	INIT("C_DigestInit", NULL, "SHA-256", ON_BOTH, STAGE_READ, 0, digest_init, digest_cancel, digests),
	WORK("C_Digest", NULL, "SHA-256", ON_BOTH, STAGE_READ, 0, digest_begin, digest, digested),
	WORK("C_DigestUpdate", NULL, "SHA-256", ON_BOTH, STAGE_READ, 0, digest_begin, digest_update, goes_on_digesting,
	     .undo = digest_cancel),
	WORK("C_DigestFinal", NULL, "SHA-256", ON_BOTH, STAGE_READ, 0, digest_begun, digest_final, digested),
	WORK("C_DigestKey", digest_key_stands, "SHA-256", ON_BOTH, STAGE_USER, 0, digest_begin, digest_key,
	     digested_the_key, .undo = digest_cancel),
	{0},
};

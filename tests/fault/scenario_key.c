/* Keys that are generated, wrapped, unwrapped and derived: session and token objects, private and public ones, in each
 * place, as the first object of a token, one of several, and one of many. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/kdf.h>

#include "engine.h"
#include "judge.h"
#include "keys.h"
#include "token.h"

#define NEW "new"
#define SEVERAL 3

/* What a scenario makes, and what of. */
struct making {
	struct key_spec made;          /* its label is NEW, unless it isn't found by one */
	CK_MECHANISM mech;             /* that generates, wraps, unwraps, derives */
	const struct key_spec *by;     /* the key that wraps, unwraps, or is derived from */
	const struct key_spec *source; /* the key that is wrapped */
	CK_ULONG crowd;                /* that many other objects are there */
	bool damaged;                  /* what is unwrapped is none */
};

static const struct making *now;
static struct pair by, source;
static uint8_t wrapped[1024];
static CK_ULONG wrapped_len;

static CK_MECHANISM *mechanism(void)
{
	return (CK_MECHANISM *)&now->mech;
}

static void stand_on(const struct making *m)
{
	bool made;

	now = m;
	key_crowd(m->crowd);
	if (m->by)
		by = key_stands(m->by, &made);
	if (m->source)
		source = key_stands(m->source, NULL);
	if (!m->by || !m->source || !made)
		return;
	wrapped_len = sizeof wrapped;
	OK(C_WrapKey, h.session, mechanism(), by.pub, source.priv, wrapped, &wrapped_len);
	if (m->damaged)
		wrapped[wrapped_len - 3] ^= 0x10;
}

#define SUBJECT(name, ...)                                                                                             \
	static const struct making m_##name = {__VA_ARGS__};                                                           \
	static void name(void)                                                                                         \
	{                                                                                                              \
		stand_on(&m_##name);                                                                                   \
	}
#define MADE(type_, ...) .made = {.label = NEW, .type = (type_), __VA_ARGS__}

static void destroy_new(void)
{
	OK(C_DestroyObject, h.session, out.handle[0]);
}

static void destroy_pair(void)
{
	OK(C_DestroyObject, h.session, out.handle[0]);
	OK(C_DestroyObject, h.session, out.handle[1]);
}

/* ---- a key that works ---- */

/* What is encrypted comes back. */
static bool encrypts(CK_OBJECT_HANDLE key)
{
	uint8_t iv[16] = {1}, plain[32] = "two blocks of no importance", sealed[48], back[48];
	CK_ULONG n = sizeof sealed, m = sizeof back;

	OK(C_EncryptInit, h.session, MECH_P(CKM_AES_CBC, iv), key);
	OK(C_Encrypt, h.session, plain, sizeof plain, sealed, &n);
	OK(C_DecryptInit, h.session, MECH_P(CKM_AES_CBC, iv), key);
	OK(C_Decrypt, h.session, sealed, n, back, &m);
	return bytes_equal(BYTES(back, m), BYTES_OF(plain)) && memcmp(plain, sealed, sizeof plain) != 0;
}

static bool macs(CK_OBJECT_HANDLE key)
{
	uint8_t data[] = "data", mac[32];
	CK_ULONG n = sizeof mac;

	OK(C_SignInit, h.session, MECH(CKM_SHA256_HMAC), key);
	OK(C_Sign, h.session, data, sizeof data, mac, &n);
	OK(C_VerifyInit, h.session, MECH(CKM_SHA256_HMAC), key);
	OK(C_Verify, h.session, data, sizeof data, mac, n);
	return true;
}

/* The private half signs what the public half verifies: the pair's, or that of the pair that was wrapped. */
static bool signs(CK_OBJECT_HANDLE pub, CK_OBJECT_HANDLE priv)
{
	static const CK_MECHANISM_TYPE by_type[][2] = {
		{CKK_EC, CKM_ECDSA}, {CKK_RSA, CKM_SHA256_RSA_PKCS}, {CKK_EC_EDWARDS, CKM_EDDSA}};
	uint8_t data[32] = "data of a digest's length", sig[512];
	CK_MECHANISM m = {0};
	CK_ULONG n = sizeof sig;

	for (size_t i = 0; i < ARRAY_LEN(by_type); i++)
		if (by_type[i][0] == now->made.type)
			m.mechanism = by_type[i][1];
	OK(C_SignInit, h.session, &m, priv);
	OK(C_Sign, h.session, data, sizeof data, sig, &n);
	OK(C_VerifyInit, h.session, &m, pub);
	OK(C_Verify, h.session, data, sizeof data, sig, n);
	return true;
}

/* It is what the template says. */
static bool as_asked(CK_OBJECT_HANDLE o)
{
	uint8_t place[16];

	if (attribute_bool(h.session, o, CKA_TOKEN) == now->made.session ||
	    attribute_bool(h.session, o, CKA_PRIVATE) == now->made.public ||
	    attribute_bool(h.session, o, CKA_EXTRACTABLE) != now->made.open ||
	    attribute_ulong(h.session, o, CKA_KEY_TYPE) != now->made.type)
		return false;
	if (!now->made.place)
		return true;
	CK_ULONG n = attribute(h.session, o, CKA_SIGNET_PLACE, place, sizeof place);
	return bytes_equal(BYTES(place, n), BYTES(now->made.place, strlen(now->made.place)));
}

static bool good_secret(void)
{
	CK_OBJECT_HANDLE o = out.handle[0];

	return as_asked(o) && (now->made.type == CKK_AES ? encrypts(o) : macs(o));
}

static bool good_pair(void)
{
	return as_asked(out.handle[1]) && signs(out.handle[0], out.handle[1]);
}

/* ---- generation ---- */

static CK_RV generate(void)
{
	const CK_ULONG size = 32;
	CK_ATTRIBUTE t[KEY_TEMPLATE_MAX];
	CK_ULONG n = key_template(&now->made, CKO_SECRET_KEY, t);

	t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_VALUE_LEN, &size, sizeof size);
	return h.f->C_GenerateKey(h.session, mechanism(), t, n, &out.handle[0]);
}

static CK_RV generate_pair(void)
{
	CK_ATTRIBUTE pub[KEY_TEMPLATE_MAX], priv[KEY_TEMPLATE_MAX];
	CK_ULONG n_pub = key_pair_template(&now->made, pub), n_priv = key_template(&now->made, CKO_PRIVATE_KEY, priv);

	return h.f->C_GenerateKeyPair(h.session, mechanism(), pub, n_pub, priv, n_priv, &out.handle[0], &out.handle[1]);
}

#define AES .mech = {CKM_AES_KEY_GEN, NULL, 0}
#define GENERIC .mech = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0}
#define EC .mech = {CKM_EC_KEY_PAIR_GEN, NULL, 0}

SUBJECT(aes, AES, MADE(CKK_AES))
SUBJECT(aes_public, AES, MADE(CKK_AES, .public = true))
SUBJECT(aes_session, AES, MADE(CKK_AES, .session = true))
SUBJECT(aes_session_public, AES, MADE(CKK_AES, .session = true, .public = true))
SUBJECT(aes_tpm, AES, MADE(CKK_AES, .place = "tpm"))
SUBJECT(aes_tpm_session, AES, MADE(CKK_AES, .session = true, .place = "tpm"))
SUBJECT(aes_process, AES, MADE(CKK_AES, .place = "process"))
SUBJECT(aes_nth, AES, MADE(CKK_AES), .crowd = SEVERAL)
SUBJECT(aes_full, AES, MADE(CKK_AES), .crowd = KEY_FULL)
SUBJECT(generic, GENERIC, MADE(CKK_GENERIC_SECRET))
SUBJECT(generic_tpm, GENERIC, MADE(CKK_GENERIC_SECRET, .place = "tpm"))
SUBJECT(ec, EC, MADE(CKK_EC))
SUBJECT(ec_public, EC, MADE(CKK_EC, .public = true))
SUBJECT(ec_session, EC, MADE(CKK_EC, .session = true))
SUBJECT(ec_open, EC, MADE(CKK_EC, .open = true))
SUBJECT(ec_nth, EC, MADE(CKK_EC), .crowd = SEVERAL)
SUBJECT(ec_full, EC, MADE(CKK_EC), .crowd = KEY_FULL)
SUBJECT(ed, MADE(CKK_EC_EDWARDS), .mech = {CKM_EC_EDWARDS_KEY_PAIR_GEN, NULL, 0})
SUBJECT(rsa_session, MADE(CKK_RSA, .session = true), .mech = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0})

/* ---- wrapping ---- */

static const struct key_spec aes_wrapper = {.label = "wrapper", .type = CKK_AES};
static const struct key_spec aes_wrapper_tpm = {.label = "wrapper", .type = CKK_AES, .place = "tpm"};
static const struct key_spec rsa_wrapper = {.label = "wrapper", .type = CKK_RSA};
static const struct key_spec aes_source = {.label = "source", .type = CKK_AES, .open = true};
static const struct key_spec ec_source = {.label = "source", .type = CKK_EC, .open = true};
static const struct key_spec ec_sealed = {.label = "source", .type = CKK_EC};
static uint8_t iv[16] = {2, 7, 1, 8};
static CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .ulTagBits = 128};
static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};

#define KWP .mech = {CKM_AES_KEY_WRAP_KWP, NULL, 0}, .by = &aes_wrapper
#define GCM .mech = {CKM_AES_GCM, &gcm, sizeof gcm}, .by = &aes_wrapper
#define CBC_TPM .mech = {CKM_AES_CBC_PAD, iv, sizeof iv}, .by = &aes_wrapper_tpm
#define OAEP .mech = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}, .by = &rsa_wrapper

static void room(void)
{
	out.length = sizeof out.bytes;
}

static CK_RV wrap(void)
{
	return h.f->C_WrapKey(h.session, mechanism(), by.pub, source.priv, out.bytes, &out.length);
}

/* The reverse gives a key that does what the first one does. */
static bool wrapped_well(void)
{
	const struct key_spec again = {.label = "again", .type = now->source->type, .session = true, .open = true};
	CK_OBJECT_CLASS class = again.type == CKK_AES ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
	CK_ATTRIBUTE t[KEY_TEMPLATE_MAX];
	CK_ULONG n = key_template(&again, class, t);
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;
	uint8_t value[64];
	bool good;

	t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_CLASS, &class, sizeof class);
	if (class == CKO_PRIVATE_KEY)
		t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_KEY_TYPE, &again.type, sizeof again.type);
	OK(C_UnwrapKey, h.session, mechanism(), by.priv, out.bytes, out.length, t, n, &o);
	if (class == CKO_SECRET_KEY)
		good = bytes_equal(BYTES(value, attribute(h.session, o, CKA_VALUE, value, sizeof value)),
				   BYTES(key_value, 16));
	else
		good = signs(source.pub, o);
	OK(C_DestroyObject, h.session, o);
	return good;
}

static CK_RV export_key(void)
{
	CK_MECHANISM m = {CKM_SIGNET_TSS2_KEY, (void *)(uintptr_t)"a new authorization", 19};

	return h.f->C_WrapKey(h.session, &m, CK_INVALID_HANDLE, source.priv, out.bytes, &out.length);
}

static bool exported(void)
{
	static const char head[] = "-----BEGIN TSS2 PRIVATE KEY-----\n", foot[] = "-----END TSS2 PRIVATE KEY-----\n";
	const size_t n = strlen(head), m = strlen(foot);

	return out.length > n + m && memcmp(out.bytes, head, n) == 0 &&
	       memcmp(out.bytes + out.length - m, foot, m) == 0;
}

SUBJECT(wrap_aes_kwp, KWP, .source = &aes_source)
SUBJECT(wrap_ec_kwp, KWP, .source = &ec_source, .made.type = CKK_EC)
SUBJECT(wrap_ec_gcm, GCM, .source = &ec_source, .made.type = CKK_EC)
SUBJECT(wrap_aes_oaep, OAEP, .source = &aes_source)
SUBJECT(wrap_ec_tpm, CBC_TPM, .source = &ec_source, .made.type = CKK_EC)
SUBJECT(wrap_full, KWP, .source = &aes_source, .crowd = KEY_FULL)
SUBJECT(tss2_key, .source = &ec_sealed)

/* ---- unwrapping ---- */

static CK_RV unwrap(void)
{
	const CK_OBJECT_CLASS class = now->made.type == CKK_AES ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
	CK_ATTRIBUTE t[KEY_TEMPLATE_MAX];
	CK_ULONG n = key_template(&now->made, class, t);

	t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_CLASS, &class, sizeof class);
	if (class == CKO_PRIVATE_KEY)
		t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_KEY_TYPE, &now->made.type, sizeof now->made.type);
	return h.f->C_UnwrapKey(h.session, mechanism(), by.priv, wrapped, wrapped_len, t, n, &out.handle[0]);
}

/* The key that was wrapped: it opens what libcrypto seals with its value, or signs for its other half. */
static bool unwrapped_well(void)
{
	uint8_t block[16] = "one block of it", sealed[16], want[16];
	CK_ULONG n = sizeof sealed;
	int len;

	if (!as_asked(out.handle[0]))
		return false;
	if (now->made.type != CKK_AES)
		return signs(source.pub, out.handle[0]);
	OK(C_EncryptInit, h.session, MECH(CKM_AES_ECB), out.handle[0]);
	OK(C_Encrypt, h.session, block, sizeof block, sealed, &n);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	cr_assert(EVP_EncryptInit_ex(c, EVP_aes_128_ecb(), NULL, key_value, NULL) == 1);
	cr_assert(EVP_EncryptUpdate(c, want, &len, block, sizeof block) == 1);
	EVP_CIPHER_CTX_free(c);
	return n == sizeof want && memcmp(sealed, want, sizeof want) == 0;
}

SUBJECT(unwrap_aes, KWP, .source = &aes_source, MADE(CKK_AES))
SUBJECT(unwrap_aes_public, KWP, .source = &aes_source, MADE(CKK_AES, .public = true))
SUBJECT(unwrap_aes_session, KWP, .source = &aes_source, MADE(CKK_AES, .session = true))
SUBJECT(unwrap_aes_tpm, KWP, .source = &aes_source, MADE(CKK_AES, .place = "tpm"))
SUBJECT(unwrap_aes_oaep, OAEP, .source = &aes_source, MADE(CKK_AES))
SUBJECT(unwrap_aes_full, KWP, .source = &aes_source, MADE(CKK_AES), .crowd = KEY_FULL)
SUBJECT(unwrap_ec, KWP, .source = &ec_source, MADE(CKK_EC))
SUBJECT(unwrap_ec_public, GCM, .source = &ec_source, MADE(CKK_EC, .public = true))
SUBJECT(unwrap_ec_open, KWP, .source = &ec_source, MADE(CKK_EC, .open = true))
SUBJECT(unwrap_ec_session, KWP, .source = &ec_source, MADE(CKK_EC, .session = true))
SUBJECT(unwrap_ec_by_tpm, CBC_TPM, .source = &ec_source, MADE(CKK_EC))
SUBJECT(unwrap_ec_nth, KWP, .source = &ec_source, MADE(CKK_EC), .crowd = SEVERAL)
SUBJECT(unwrap_ec_full, KWP, .source = &ec_source, MADE(CKK_EC), .crowd = KEY_FULL)
SUBJECT(unwrap_damaged, KWP, .source = &ec_source, MADE(CKK_EC), .damaged = true)

/* ---- derivation ---- */

static const struct key_spec base_key = {.label = "base", .type = CKK_EC};
static uint8_t point[65], shared_info[] = "both know this";
static EVP_PKEY *peer;

/* libcrypto's pair, whose point is the other party's. */
static void peer_stands(void)
{
	size_t n;

	if (peer)
		return;
	peer = EVP_EC_gen("P-256");
	cr_assert(peer && EVP_PKEY_get_octet_string_param(peer, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n) == 1);
	cr_assert(n == sizeof point);
}

static CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 0, NULL, sizeof point, point};
static CK_ECDH1_DERIVE_PARAMS x963 = {CKD_SHA256_KDF, sizeof shared_info, shared_info, sizeof point, point};
#define ECDH .mech = {CKM_ECDH1_DERIVE, &ecdh, sizeof ecdh}, .by = &base_key
#define X963 .mech = {CKM_ECDH1_DERIVE, &x963, sizeof x963}, .by = &base_key

static CK_RV derive(void)
{
	const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	const CK_ULONG size = 32;
	CK_ATTRIBUTE t[KEY_TEMPLATE_MAX];
	CK_ULONG n = key_template(&now->made, class, t);

	t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_CLASS, &class, sizeof class);
	t[n++] = (CK_ATTRIBUTE)A_BYTES(CKA_VALUE_LEN, &size, sizeof size);
	return h.f->C_DeriveKey(h.session, mechanism(), by.priv, t, n, &out.handle[0]);
}

/* What libcrypto derives on its side. */
static void derived_by_peer(uint8_t value[32])
{
	EVP_PKEY *theirs = judge_key(h.session, by.pub);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
	size_t n = 32;

	cr_assert(EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer(c, theirs) == 1);
	if (now->mech.pParameter == &x963) {
		cr_assert(EVP_PKEY_CTX_set_ecdh_kdf_type(c, EVP_PKEY_ECDH_KDF_X9_63) == 1);
		cr_assert(EVP_PKEY_CTX_set_ecdh_kdf_md(c, EVP_sha256()) == 1);
		cr_assert(EVP_PKEY_CTX_set_ecdh_kdf_outlen(c, 32) == 1);
		cr_assert(EVP_PKEY_CTX_set0_ecdh_kdf_ukm(c, OPENSSL_memdup(shared_info, sizeof shared_info),
							 sizeof shared_info) == 1);
	}
	cr_assert(EVP_PKEY_derive(c, value, &n) == 1 && n == 32);
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(theirs);
}

static bool derived_well(void)
{
	uint8_t want[32], got[32];

	if (!as_asked(out.handle[0]))
		return false;
	if (!now->made.open)
		return good_secret();
	derived_by_peer(want);
	CK_ULONG n = attribute(h.session, out.handle[0], CKA_VALUE, got, sizeof got);
	return bytes_equal(BYTES(got, n), BYTES_OF(want));
}

#define DERIVED(name, ...)                                                                                             \
	static const struct making m_##name = {__VA_ARGS__};                                                           \
	static void name(void)                                                                                         \
	{                                                                                                              \
		peer_stands();                                                                                         \
		stand_on(&m_##name);                                                                                   \
	}
DERIVED(derive_token, ECDH, MADE(CKK_AES, .open = true))
DERIVED(derive_public, X963, MADE(CKK_AES, .open = true, .public = true))
DERIVED(derive_session, ECDH, MADE(CKK_AES, .open = true, .session = true))
DERIVED(derive_x963_session, X963, MADE(CKK_GENERIC_SECRET, .open = true, .session = true))
DERIVED(derive_tpm, X963, MADE(CKK_GENERIC_SECRET, .place = "tpm"))
DERIVED(derive_nth, X963, MADE(CKK_AES), .crowd = SEVERAL)
DERIVED(derive_full, ECDH, MADE(CKK_AES), .crowd = KEY_FULL)

/* ---- the rows ---- */

/* of: the subject; what: what it does to the token.  The secret for what isn't private is unsealed when it is needed: where
 * the stage hasn't needed it, in the context of CTX_INIT. */
#define GENERATE_AT(stage_, of, text, on_, what, contexts_, ...)                                                       \
	{.function = "C_GenerateKey", .variant = (text), .on = (on_), .stage = (stage_), .traits = (what),             \
	 .contexts = (contexts_), .base = (of), .call = generate, .undo = destroy_new, .good = good_secret, __VA_ARGS__}
#define GENERATE(...) GENERATE_AT(STAGE_USER, __VA_ARGS__)
#define PAIR_AT(stage_, of, text, on_, what)                                                                           \
	{.function = "C_GenerateKeyPair", .variant = (text), .on = (on_), .stage = (stage_), .traits = (what),         \
	 .contexts = CTX_INIT | CTX_GEN, .base = (of), .call = generate_pair, .undo = destroy_pair, .good = good_pair}
#define PAIR(...) PAIR_AT(STAGE_USER, __VA_ARGS__)
#define WRAP(of, text, on_, contexts_)                                                                                 \
	{.function = "C_WrapKey", .variant = (text), .on = (on_), .stage = STAGE_USER, .contexts = (contexts_),        \
	 .base = (of), .begin = room, .call = wrap, .good = wrapped_well}
#define UNWRAP(of, text, on_, what, contexts_)                                                                         \
	{.function = "C_UnwrapKey", .variant = (text), .on = (on_), .stage = STAGE_USER, .traits = (what),             \
	 .contexts = (contexts_), .base = (of), .call = unwrap, .undo = destroy_new, .good = unwrapped_well}
#define DERIVE(of, text, on_, what, contexts_)                                                                         \
	{.function = "C_DeriveKey", .variant = (text), .on = (on_), .stage = STAGE_USER, .traits = (what),             \
	 .contexts = (contexts_), .base = (of), .call = derive, .undo = destroy_new, .good = derived_well}
#define IMPORT (CTX_INIT | CTX_UNWRAP)
#define AGREE (CTX_INIT | CTX_DERIVE)

const struct scenario key_scenarios[] = {
	GENERATE(aes, "AES, token", ON_BOTH, MUTATES, 0),
	GENERATE(aes_public, "AES, token, public", ON_BOTH, MUTATES, CTX_INIT),
	GENERATE(aes_session, "AES, session", ON_BOTH, 0, 0),
	GENERATE_AT(STAGE_PUBLIC, aes_session_public, "AES, session, nobody logged in", ON_BOTH, 0, CTX_INIT),
	GENERATE(aes_tpm, "AES in the TPM, token", ON_TPM, MUTATES, CTX_OBJECT | CTX_INIT | CTX_GEN),
	GENERATE(aes_tpm_session, "AES in the TPM, session", ON_TPM, 0, CTX_OBJECT | CTX_INIT | CTX_GEN),
	GENERATE(aes, "AES in the TPM by the setting", ON_TPM, MUTATES, CTX_OBJECT | CTX_INIT | CTX_GEN,
		 .config = "secret-keys = tpm\n"),
	GENERATE(aes_process, "AES in the process against the setting", ON_TPM, MUTATES, 0,
		 .config = "secret-keys = tpm\n"),
	GENERATE(aes_nth, "AES, token, nth", ON_BOTH, MUTATES, 0),
	GENERATE(aes_full, "AES, token, full", ON_BOTH, MUTATES, 0),
	GENERATE(generic, "generic secret, token", ON_BOTH, MUTATES, 0),
	GENERATE(generic_tpm, "generic secret in the TPM, token", ON_TPM, MUTATES, CTX_OBJECT | CTX_INIT | CTX_GEN),
	PAIR(ec, "EC, token", ON_BOTH, MUTATES),
	PAIR(ec_public, "EC, token, public", ON_BOTH, MUTATES),
	PAIR_AT(STAGE_PUBLIC, ec_public, "EC, token, nobody logged in", ON_BOTH, MUTATES),
	PAIR(ec_session, "EC, session", ON_BOTH, 0),
	PAIR(ec_open, "EC, token, extractable", ON_BOTH, MUTATES),
	PAIR(ec_nth, "EC, token, nth", ON_BOTH, MUTATES),
	PAIR(ec_full, "EC, token, full", ON_BOTH, MUTATES),
	PAIR(ed, "Ed25519, token", ON_KEYRING, MUTATES),
	PAIR(rsa_session, "RSA, session", ON_BOTH, 0),
	WRAP(wrap_aes_kwp, "AES-KWP, AES", ON_BOTH, 0),
	WRAP(wrap_ec_kwp, "AES-KWP, EC", ON_BOTH, 0),
	WRAP(wrap_ec_gcm, "AES-GCM, EC", ON_BOTH, 0),
	WRAP(wrap_aes_oaep, "RSA, AES", ON_BOTH, 0),
	WRAP(wrap_ec_tpm, "AES in the TPM, EC", ON_TPM, CTX_INIT | CTX_ENCRYPT),
	WRAP(wrap_full, "AES-KWP, AES, full", ON_BOTH, 0),
	{.function = "C_WrapKey", .variant = "TSS2 key", .on = ON_TPM, .stage = STAGE_USER,
	 .contexts = CTX_INIT | CTX_OBJECT, .base = tss2_key, .begin = room, .call = export_key, .good = exported},
	UNWRAP(unwrap_aes, "AES, token", ON_BOTH, MUTATES, 0),
	UNWRAP(unwrap_aes_public, "AES, token, public", ON_BOTH, MUTATES, CTX_INIT),
	UNWRAP(unwrap_aes_session, "AES, session", ON_BOTH, 0, 0),
	UNWRAP(unwrap_aes_tpm, "AES into the TPM, token", ON_TPM, MUTATES, CTX_OBJECT | IMPORT),
	UNWRAP(unwrap_aes_oaep, "AES by RSA, token", ON_BOTH, MUTATES, CTX_INIT | CTX_DECRYPT),
	UNWRAP(unwrap_aes_full, "AES, token, full", ON_BOTH, MUTATES, 0),
	UNWRAP(unwrap_ec, "EC, token", ON_BOTH, MUTATES, IMPORT),
	UNWRAP(unwrap_ec_public, "EC, token, public", ON_BOTH, MUTATES, IMPORT),
	UNWRAP(unwrap_ec_open, "EC, token, extractable", ON_BOTH, MUTATES, IMPORT),
	UNWRAP(unwrap_ec_session, "EC, session", ON_BOTH, 0, IMPORT),
	UNWRAP(unwrap_ec_by_tpm, "EC by AES in the TPM, token", ON_TPM, MUTATES, IMPORT | CTX_DECRYPT),
	UNWRAP(unwrap_ec_nth, "EC, token, nth", ON_BOTH, MUTATES, IMPORT),
	UNWRAP(unwrap_ec_full, "EC, token, full", ON_BOTH, MUTATES, IMPORT),
	{.function = "C_UnwrapKey", .variant = "damaged", .on = ON_BOTH, .stage = STAGE_USER,
	 .answer = CKR_WRAPPED_KEY_INVALID, .base = unwrap_damaged, .call = unwrap},
	DERIVE(derive_token, "AES, token", ON_BOTH, MUTATES, AGREE),
	DERIVE(derive_public, "X9.63, AES, token, public", ON_BOTH, MUTATES, AGREE),
	DERIVE(derive_session, "AES, session", ON_BOTH, 0, AGREE),
	DERIVE(derive_x963_session, "X9.63, generic secret, session", ON_BOTH, 0, AGREE),
	DERIVE(derive_tpm, "X9.63, generic secret in the TPM, token", ON_TPM, MUTATES, AGREE | CTX_OBJECT),
	DERIVE(derive_nth, "X9.63, AES, token, nth", ON_BOTH, MUTATES, AGREE),
	DERIVE(derive_full, "AES, token, full", ON_BOTH, MUTATES, AGREE),
	{0},
};

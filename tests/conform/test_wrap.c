/* C_WrapKey and C_UnwrapKey (5.18.3, 5.18.4; T095, T119 to T121, T127 to T130, T146 to T153).  What was wrapped is
 * opened by libcrypto, and what libcrypto wrapped is unwrapped. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "judge.h"
#include "wrap_keys.h"

TestSuite(wrap, .init = session_up, .fini = harness_down, .timeout = 120);

/* ---- the mechanisms of AES keys, here and in libcrypto ---- */

static uint8_t iv[16] = {3, 1, 4, 1, 5, 9, 2, 6}, nonce[12] = {2, 7, 1, 8};
static CK_GCM_PARAMS gcm = {.pIv = nonce, .ulIvLen = sizeof nonce, .ulIvBits = 96, .ulTagBits = 128};

struct mode {
	CK_MECHANISM mech;
	const char *name;   /* libcrypto's, behind the key's size */
	bool pads, private; /* private keys too */
	CK_ULONG min, unit; /* of the value */
};

static struct mode modes[] = {
    {{CKM_AES_ECB, NULL, 0}, "ECB", .min = 1, .unit = 1},
    {{CKM_AES_CBC, iv, sizeof iv}, "CBC", .min = 1, .unit = 1},
    {{CKM_AES_CBC_PAD, iv, sizeof iv}, "CBC", .pads = true, .private = true, .min = 1, .unit = 1},
    {{CKM_AES_GCM, &gcm, sizeof gcm}, "GCM", .private = true, .min = 1, .unit = 1},
    {{CKM_AES_KEY_WRAP, NULL, 0}, "WRAP", .min = 16, .unit = 8},
    {{CKM_AES_KEY_WRAP, iv, 8}, "WRAP", .min = 16, .unit = 8},
    {{CKM_AES_KEY_WRAP_KWP, NULL, 0}, "WRAP-PAD", .private = true, .min = 1, .unit = 1},
    {{CKM_AES_KEY_WRAP_KWP, iv, 4}, "WRAP-PAD", .private = true, .min = 1, .unit = 1},
};

static const uint8_t *iv_of(const struct mode *m)
{
	if (m->mech.mechanism == CKM_AES_GCM)
		return nonce;
	return m->mech.pParameter;
}

static EVP_CIPHER_CTX *judge_cipher(const struct mode *m, struct bytes key, bool seal)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	char name[32];

	snprintf(name, sizeof name, "AES-%zu-%s", key.len * 8, m->name);
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
	cr_assert(cipher, "%s", name);
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	cr_assert(EVP_CipherInit_ex2(c, cipher, key.ptr, iv_of(m), seal, NULL) == 1);
	EVP_CIPHER_CTX_set_padding(c, m->pads);
	EVP_CIPHER_free(cipher);
	return c;
}

/* What libcrypto makes of it; values are filled up with zeros first where the mode does so. */
static size_t judge_seal(const struct mode *m, struct bytes key, struct bytes in, uint8_t *out)
{
	bool fills = m->mech.mechanism == CKM_AES_ECB || m->mech.mechanism == CKM_AES_CBC;
	size_t len = fills ? (in.len + 15) / 16 * 16 : in.len;
	uint8_t filled[SEALED_MAX] = {0};
	int n, last;

	memcpy(filled, in.ptr, in.len);
	EVP_CIPHER_CTX *c = judge_cipher(m, key, true);
	cr_assert(EVP_CipherUpdate(c, out, &n, filled, (int)len) == 1);
	cr_assert(EVP_CipherFinal_ex(c, out + n, &last) == 1);
	n += last;
	if (m->mech.mechanism == CKM_AES_GCM) {
		cr_assert(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + n) == 1);
		n += 16;
	}
	EVP_CIPHER_CTX_free(c);
	return (size_t)n;
}

/* The plaintext's length, or -1. */
static int judge_open(const struct mode *m, struct bytes key, struct bytes in, uint8_t *out)
{
	size_t tag = m->mech.mechanism == CKM_AES_GCM ? 16 : 0;
	EVP_CIPHER_CTX *c = judge_cipher(m, key, false);
	int n = 0, last = 0;
	bool ok = true;

	if (tag)
		ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(in.ptr + in.len - 16)) == 1;
	ok = ok && EVP_CipherUpdate(c, out, &n, in.ptr, (int)(in.len - tag)) == 1;
	ok = ok && EVP_CipherFinal_ex(c, out + n, &last) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? n + last : -1;
}

/* ---- secret keys by AES ---- */

static const struct {
	CK_KEY_TYPE type;
	CK_ULONG len;
} secrets[] = {
    {CKK_AES, 16},
    {CKK_AES, 24},
    {CKK_AES, 32},
    {CKK_GENERIC_SECRET, 1},
    {CKK_GENERIC_SECRET, 17},
    {CKK_GENERIC_SECRET, 40},
    {CKK_SHA256_HMAC, 64},
    {CKK_GENERIC_SECRET, 1000},
};

static void one_secret(struct mode *m, struct bytes by, CK_OBJECT_HANDLE with, CK_KEY_TYPE type, struct bytes value)
{
	bool fills = m->mech.mechanism == CKM_AES_ECB || m->mech.mechanism == CKM_AES_CBC;
	CK_ULONG say = fills ? value.len : 0, n, query = 0;
	uint8_t sealed[SEALED_MAX], expected[SEALED_MAX], plain[SEALED_MAX];
	CK_OBJECT_HANDLE key = secret_key(type, value.ptr, value.len), back = CK_INVALID_HANDLE;

	if (value.len < m->min || value.len % m->unit) {
		is(wrap(&m->mech, with, key, sealed, &n), CKR_KEY_SIZE_RANGE);
		return;
	}
	OK(C_WrapKey, h.session, &m->mech, with, key, NULL, &query);
	is(wrap(&m->mech, with, key, sealed, &n), CKR_OK);
	cr_assert(n == query, "%lu, announced %lu", n, query);
	cr_assert(judge_seal(m, by, value, expected) == n && memcmp(sealed, expected, n) == 0, "0x%lx",
		  m->mech.mechanism);
	int len = judge_open(m, by, BYTES(sealed, n), plain);
	cr_assert(len >= (int)value.len && memcmp(plain, value.ptr, value.len) == 0);
	is(unwrap(&m->mech, with, type, say, BYTES(expected, n), &back), CKR_OK);
	has_value(back, value);
	cr_assert(attribute_ulong(h.session, back, CKA_KEY_TYPE) == type);
	OK(C_DestroyObject, h.session, back);
	OK(C_DestroyObject, h.session, key);
}

Test(wrap, every_secret_by_every_mode)
{
	uint8_t by[32], value[1024];

	for (size_t i = 0; i < sizeof value; i++)
		value[i] = (uint8_t)(i * 31 + 1);
	for (CK_ULONG size = 16; size <= 32; size += 8) {
		CK_OBJECT_HANDLE with = wrapper(size, by);

		for (size_t m = 0; m < ARRAY_LEN(modes); m++)
			for (size_t k = 0; k < ARRAY_LEN(secrets); k++)
				one_secret(&modes[m], BYTES(by, size), with, secrets[k].type,
					   BYTES(value, secrets[k].len));
	}
}

/* ---- secret keys by RSA ---- */

static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, iv, 5};

static struct rsa_mode {
	CK_MECHANISM mech;
	int padding;
	CK_ULONG max; /* of 2048 bits */
} rsa_modes[] = {
    {{CKM_RSA_PKCS, NULL, 0}, RSA_PKCS1_PADDING, 245},
    {{CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}, RSA_PKCS1_OAEP_PADDING, 190},
    {{CKM_RSA_X_509, NULL, 0}, RSA_NO_PADDING, 256},
};

static EVP_PKEY_CTX *judge_rsa_ctx(EVP_PKEY *key, const struct rsa_mode *m, bool encrypt)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

	cr_assert((encrypt ? EVP_PKEY_encrypt_init(c) : EVP_PKEY_decrypt_init(c)) == 1);
	cr_assert(EVP_PKEY_CTX_set_rsa_padding(c, m->padding) == 1);
	if (m->padding == RSA_PKCS1_OAEP_PADDING) {
		cr_assert(EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) == 1);
		cr_assert(EVP_PKEY_CTX_set0_rsa_oaep_label(c, OPENSSL_memdup(iv, 5), 5) == 1);
	}
	return c;
}

/* A public key of the module's whose private half is the test's. */
static CK_OBJECT_HANDLE public_of(EVP_PKEY *key)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;
	BIGNUM *n = NULL;
	uint8_t modulus[256], exponent[] = {1, 0, 1};

	cr_assert(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1);
	BN_bn2bin(n, modulus);
	BN_free(n);
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA),
		    A_BYTES(CKA_MODULUS, modulus, sizeof modulus), A_BYTES(CKA_PUBLIC_EXPONENT, exponent, 3),
		    A_BOOL(CKA_WRAP, true)),
	   &o);
	return o;
}

Test(wrap, by_a_public_key_libcrypto_opens)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	CK_OBJECT_HANDLE with = public_of(key), o;
	uint8_t value[32] = {5, 6, 7}, sealed[SEALED_MAX], plain[512];
	CK_ULONG n, query;

	o = secret_key(CKK_AES, value, sizeof value);
	for (size_t i = 0; i < ARRAY_LEN(rsa_modes); i++) {
		OK(C_WrapKey, h.session, &rsa_modes[i].mech, with, o, NULL, &query);
		is(wrap(&rsa_modes[i].mech, with, o, sealed, &n), CKR_OK);
		cr_assert(n == 256 && query == 256);
		EVP_PKEY_CTX *c = judge_rsa_ctx(key, &rsa_modes[i], false);
		size_t len = sizeof plain;
		cr_assert(EVP_PKEY_decrypt(c, plain, &len, sealed, n) == 1);
		cr_assert(len >= 32 && memcmp(plain + len - 32, value, 32) == 0);
		EVP_PKEY_CTX_free(c);
	}
	EVP_PKEY_free(key);
}

Test(wrap, by_libcrypto_a_private_key_opens)
{
	struct pair p = rsa_wrapper();
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t block[256] = {0}, sealed[512], value[24] = {9, 9, 9, 1};
	CK_OBJECT_HANDLE back;

	memcpy(block + 256 - sizeof value, value, sizeof value);
	for (size_t i = 0; i < ARRAY_LEN(rsa_modes); i++) {
		bool raw = rsa_modes[i].padding == RSA_NO_PADDING;
		EVP_PKEY_CTX *c = judge_rsa_ctx(judge, &rsa_modes[i], true);
		size_t n = sizeof sealed;

		cr_assert(EVP_PKEY_encrypt(c, sealed, &n, raw ? block : value, raw ? sizeof block : sizeof value) == 1);
		EVP_PKEY_CTX_free(c);
		if (raw) /* T152: nothing else says how long it is */
			is(unwrap(&rsa_modes[i].mech, p.priv, CKK_AES, 0, BYTES(sealed, n), &back),
			   CKR_TEMPLATE_INCOMPLETE);
		is(unwrap(&rsa_modes[i].mech, p.priv, CKK_AES, raw ? 24 : 0, BYTES(sealed, n), &back), CKR_OK);
		has_value(back, BYTES_OF(value));
		/* The other length that is given is no other key's. */
		is(unwrap(&rsa_modes[i].mech, p.priv, CKK_AES, 32, BYTES(sealed, n), &back),
		   raw ? CKR_OK : CKR_WRAPPED_KEY_LEN_RANGE);
		is(unwrap(&rsa_modes[i].mech, p.priv, CKK_AES, 16, BYTES(sealed, n), &back),
		   raw ? CKR_WRAPPED_KEY_INVALID : CKR_WRAPPED_KEY_LEN_RANGE);
	}
	EVP_PKEY_free(judge);
}

Test(wrap, T146_longer_than_the_modulus_takes)
{
	struct pair p = rsa_wrapper();
	uint8_t value[257] = {1}, sealed[SEALED_MAX];
	CK_OBJECT_HANDLE back;
	CK_ULONG n;

	for (size_t i = 0; i < ARRAY_LEN(rsa_modes); i++) {
		struct rsa_mode *m = &rsa_modes[i];
		CK_ULONG fits = m->max - (m->padding == RSA_NO_PADDING); /* below the modulus for sure */

		is(wrap(&m->mech, p.pub, secret_key(CKK_GENERIC_SECRET, value, m->max + 1), sealed, &n),
		   CKR_KEY_SIZE_RANGE);
		is(wrap(&m->mech, p.pub, secret_key(CKK_GENERIC_SECRET, value, fits), sealed, &n), CKR_OK);
		is(unwrap(&m->mech, p.priv, CKK_GENERIC_SECRET, fits, BYTES(sealed, n), &back), CKR_OK);
		has_value(back, BYTES(value, fits));
	}
	memset(value, 0xff, sizeof value);
	is(wrap(&rsa_modes[2].mech, p.pub, secret_key(CKK_GENERIC_SECRET, value, 256), sealed, &n), CKR_KEY_SIZE_RANGE);
}

/* T133 where keys are concerned: a block with bad padding is a key like any other, always the same. */
Test(wrap, no_padding_oracle)
{
	struct pair p = rsa_wrapper();
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t block[256] = {0, 1, 2, 3}, sealed[512], a[300], b[300];
	CK_OBJECT_HANDLE one, two;
	CK_RV rv;

	for (uint8_t i = 0; i < 8; i++) {
		block[200] = i;
		judge_encrypt(judge, RSA_NO_PADDING, NULL, BYTES_OF(block), sealed);
		rv = unwrap(MECH(CKM_RSA_PKCS), p.priv, CKK_GENERIC_SECRET, 0, BYTES(sealed, 256), &one);
		cr_assert(rv == CKR_OK || rv == CKR_WRAPPED_KEY_LEN_RANGE, "%s", rv_name(rv));
		is(unwrap(MECH(CKM_RSA_PKCS), p.priv, CKK_GENERIC_SECRET, 0, BYTES(sealed, 256), &two), rv);
		if (rv != CKR_OK)
			continue;
		CK_ULONG n = attribute(h.session, one, CKA_VALUE, a, sizeof a);
		cr_assert(attribute(h.session, two, CKA_VALUE, b, sizeof b) == n && memcmp(a, b, n) == 0);
		/* A length that is asked for and not met is the answer that a good block of another length gets. */
		is(unwrap(MECH(CKM_RSA_PKCS), p.priv, CKK_GENERIC_SECRET, n == 7 ? 8 : 7, BYTES(sealed, 256), &two),
		   CKR_WRAPPED_KEY_LEN_RANGE);
		OK(C_DestroyObject, h.session, one);
	}
	EVP_PKEY_free(judge);
}

/* ---- private keys ---- */

static const struct {
	const char *type, *group;
	CK_KEY_TYPE key_type;
	CK_MECHANISM_TYPE needs;
} privates[] = {
    {"RSA", NULL, CKK_RSA, CKM_RSA_PKCS},         {"EC", "P-256", CKK_EC, CKM_ECDSA},
    {"EC", "P-384", CKK_EC, CKM_ECDSA},           {"EC", "P-521", CKK_EC, CKM_ECDSA},
    {"ED25519", NULL, CKK_EC_EDWARDS, CKM_EDDSA},
};

static EVP_PKEY *judge_make(size_t i)
{
	if (!privates[i].group)
		return privates[i].key_type == CKK_RSA ? EVP_RSA_gen(2048) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return EVP_EC_gen(privates[i].group);
}

static size_t judge_pkcs8(EVP_PKEY *key, uint8_t out[SEALED_MAX])
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	uint8_t *to = out;
	int n = i2d_PKCS8_PRIV_KEY_INFO(info, NULL);

	cr_assert(n > 0 && n < SEALED_MAX);
	i2d_PKCS8_PRIV_KEY_INFO(info, &to);
	PKCS8_PRIV_KEY_INFO_free(info);
	return (size_t)n;
}

static CK_OBJECT_HANDLE unwrap_private(struct mode *m, CK_OBJECT_HANDLE with, CK_KEY_TYPE type, struct bytes in)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	OK(C_UnwrapKey, h.session, &m->mech, with, (CK_BYTE *)in.ptr, in.len,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, type), A_BOOL(CKA_SIGN, true)), &o);
	return o;
}

/* The private key signs what the judge's half verifies. */
static void signs_for(EVP_PKEY *judge, CK_OBJECT_HANDLE key, CK_KEY_TYPE type)
{
	CK_MECHANISM_TYPE by = type == CKK_RSA ? CKM_SHA256_RSA_PKCS : type == CKK_EC ? CKM_ECDSA : CKM_EDDSA;
	uint8_t digest[32] = {1, 2, 3}, hashed[32], sig[300];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, h.session, MECH(by), key);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
	if (type == CKK_EC) {
		cr_assert(judge_ecdsa(judge, BYTES_OF(digest), BYTES(sig, n)));
	} else if (type == CKK_RSA) {
		EVP_Digest(digest, sizeof digest, hashed, NULL, EVP_sha256(), NULL);
		cr_assert(judge_rsa(judge, EVP_sha256(), RSA_PKCS1_PADDING, 0, BYTES_OF(hashed), BYTES(sig, n)));
	} else {
		EVP_MD_CTX *c = EVP_MD_CTX_new();
		cr_assert(EVP_DigestVerifyInit(c, NULL, NULL, NULL, judge) == 1);
		cr_assert(EVP_DigestVerify(c, sig, n, digest, sizeof digest) == 1);
		EVP_MD_CTX_free(c);
	}
}

static void one_private(size_t i, struct mode *m, struct bytes by, CK_OBJECT_HANDLE with)
{
	uint8_t plain[SEALED_MAX], sealed[SEALED_MAX], again[SEALED_MAX];
	EVP_PKEY *key = judge_make(i), *seen;
	const uint8_t *p = plain;
	CK_ULONG n, query;

	size_t len = judge_seal(m, by, BYTES(plain, judge_pkcs8(key, plain)), sealed);
	CK_OBJECT_HANDLE o = unwrap_private(m, with, privates[i].key_type, BYTES(sealed, len));
	signs_for(key, o, privates[i].key_type);
	/* T095: it may be wrapped on. */
	OK(C_WrapKey, h.session, &m->mech, with, o, NULL, &query);
	is(wrap(&m->mech, with, o, again, &n), CKR_OK);
	cr_assert(n == query);
	int got = judge_open(m, by, BYTES(again, n), plain);
	cr_assert(got > 0);
	seen = d2i_AutoPrivateKey(NULL, &p, got);
	cr_assert(seen && p == plain + got && EVP_PKEY_eq(seen, key) == 1);
	EVP_PKEY_free(seen);
	EVP_PKEY_free(key);
	OK(C_DestroyObject, h.session, o);
}

Test(wrap, every_private_key_by_every_mode_for_it)
{
	uint8_t by[32];
	CK_OBJECT_HANDLE with = wrapper(32, by);

	for (size_t i = 0; i < ARRAY_LEN(privates); i++) {
		if (!has_mechanism(privates[i].needs, CKF_SIGN))
			continue;
		for (size_t m = 0; m < ARRAY_LEN(modes); m++)
			if (modes[m].private)
				one_private(i, &modes[m], BYTES(by, 32), with);
	}
}

Test(wrap, T146_private_keys_by_the_others)
{
	struct pair p = rsa_wrapper(), ec;
	uint8_t by[32], sealed[SEALED_MAX];
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	CK_ULONG n;

	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(A_BOOL(CKA_EXTRACTABLE, true)),
	   &ec.pub, &ec.priv);
	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		is(wrap(&modes[m].mech, with, ec.priv, sealed, &n), modes[m].private ? CKR_OK : CKR_KEY_NOT_WRAPPABLE);
		is(wrap(&modes[m].mech, with, ec.pub, sealed, &n), CKR_KEY_NOT_WRAPPABLE);
	}
	for (size_t m = 0; m < ARRAY_LEN(rsa_modes); m++) {
		is(wrap(&rsa_modes[m].mech, p.pub, ec.priv, sealed, &n), CKR_KEY_NOT_WRAPPABLE);
		memset(sealed, 0, 256);
		EXPECT(CKR_TEMPLATE_INCONSISTENT, C_UnwrapKey, h.session, &rsa_modes[m].mech, p.priv, sealed, 256,
		       TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC)), &o);
	}
}

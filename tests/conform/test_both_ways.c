/* The same keys in libcrypto's hands and in the token's: what either signs or encrypts, the other verifies or decrypts,
 * for every digest, salt, hash and label. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "judge.h"

TestSuite(both_ways, .init = session_up, .fini = harness_down, .timeout = 240);

static uint8_t data[120] = "either signs, the other verifies";

static const struct hash_row {
	CK_MECHANISM_TYPE hash, pkcs, pss, ecdsa;
	CK_RSA_PKCS_MGF_TYPE mgf;
	const char *name;
	CK_ULONG size;
} hashes[] = {
	{CKM_SHA_1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS, CKM_ECDSA_SHA1, CKG_MGF1_SHA1, "SHA1", 20},
	{CKM_SHA224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS, CKM_ECDSA_SHA224, CKG_MGF1_SHA224, "SHA224", 28},
	{CKM_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS, CKM_ECDSA_SHA256, CKG_MGF1_SHA256, "SHA256", 32},
	{CKM_SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS, CKM_ECDSA_SHA384, CKG_MGF1_SHA384, "SHA384", 48},
	{CKM_SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS, CKM_ECDSA_SHA512, CKG_MGF1_SHA512, "SHA512", 64},
};

/* ---- one key, twice ---- */

struct twin {
	EVP_PKEY *evp;
	CK_OBJECT_HANDLE pub, priv;
};

struct number {
	uint8_t b[512];
	size_t len;
};

static struct number number_of(EVP_PKEY *key, const char *name)
{
	struct number n = {.len = 0};
	BIGNUM *bn = NULL;

	cr_assert(EVP_PKEY_get_bn_param(key, name, &bn), "%s", name);
	n.len = (size_t)BN_bn2bin(bn, n.b);
	BN_clear_free(bn);
	return n;
}

static struct twin rsa_twin(void)
{
	struct twin t = {.evp = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)};
	struct number n = number_of(t.evp, OSSL_PKEY_PARAM_RSA_N), e = number_of(t.evp, OSSL_PKEY_PARAM_RSA_E);
	struct number d = number_of(t.evp, OSSL_PKEY_PARAM_RSA_D), p = number_of(t.evp, OSSL_PKEY_PARAM_RSA_FACTOR1);
	struct number q = number_of(t.evp, OSSL_PKEY_PARAM_RSA_FACTOR2);

	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA), A_BYTES(CKA_MODULUS, n.b, n.len),
		    A_BYTES(CKA_PUBLIC_EXPONENT, e.b, e.len)), &t.pub);
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA), A_BYTES(CKA_MODULUS, n.b, n.len),
		    A_BYTES(CKA_PUBLIC_EXPONENT, e.b, e.len), A_BYTES(CKA_PRIVATE_EXPONENT, d.b, d.len),
		    A_BYTES(CKA_PRIME_1, p.b, p.len), A_BYTES(CKA_PRIME_2, q.b, q.len)), &t.priv);
	return t;
}

struct curve_row {
	const char *name;
	uint8_t params[12];
	CK_ULONG params_len, order;
};
static const struct curve_row curves[] = {
	{"P-256", {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 10, 32},
	{"P-384", {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, 7, 48},
	{"P-521", {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, 7, 66},
};

static struct twin ec_twin(const struct curve_row *c)
{
	struct twin t = {.evp = EVP_PKEY_Q_keygen(NULL, NULL, "EC", c->name)};
	struct number d = number_of(t.evp, OSSL_PKEY_PARAM_PRIV_KEY);
	uint8_t point[140] = {0x04}, *at = point + 2;
	size_t len = 2 * c->order + 1;

	if (len > 127) {
		point[1] = 0x81;
		at++;
	}
	at[-1] = (uint8_t)len;
	cr_assert(EVP_PKEY_get_octet_string_param(t.evp, OSSL_PKEY_PARAM_PUB_KEY, at, 134, &len));
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
		    A_BYTES(CKA_EC_PARAMS, c->params, c->params_len), A_BYTES(CKA_EC_POINT, point, len + (CK_ULONG)(at - point))),
	   &t.pub);
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC),
		    A_BYTES(CKA_EC_PARAMS, c->params, c->params_len), A_BYTES(CKA_VALUE, d.b, d.len)), &t.priv);
	return t;
}

/* ---- signatures ---- */

static CK_ULONG token_signs(CK_MECHANISM *m, const struct twin *t, uint8_t out[600])
{
	CK_ULONG n = 600;

	OK(C_SignInit, h.session, m, t->priv);
	OK(C_Sign, h.session, data, sizeof data, out, &n);
	return n;
}

static void token_verifies(CK_MECHANISM *m, const struct twin *t, uint8_t *sig, CK_ULONG n)
{
	OK(C_VerifyInit, h.session, m, t->pub);
	OK(C_Verify, h.session, data, sizeof data, sig, n);
}

/* libcrypto's context for a signature over data; salt < 0: PKCS#1 v1.5. */
static EVP_MD_CTX *rsa_context(const struct twin *t, const struct hash_row *r, int salt, bool sign)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;

	cr_assert(c && (sign ? EVP_DigestSignInit_ex(c, &p, r->name, NULL, NULL, t->evp, NULL)
			     : EVP_DigestVerifyInit_ex(c, &p, r->name, NULL, NULL, t->evp, NULL)) == 1);
	cr_assert(EVP_PKEY_CTX_set_rsa_padding(p, salt < 0 ? RSA_PKCS1_PADDING : RSA_PKCS1_PSS_PADDING) == 1);
	if (salt >= 0)
		cr_assert(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, salt) == 1);
	return c;
}

static void rsa_agrees(const struct twin *t, CK_MECHANISM *m, const struct hash_row *r, int salt)
{
	uint8_t sig[600];
	size_t len = sizeof sig;

	CK_ULONG n = token_signs(m, t, sig);
	EVP_MD_CTX *c = rsa_context(t, r, salt, false);
	cr_assert(EVP_DigestVerify(c, sig, n, data, sizeof data) == 1, "%s, salt %d", r->name, salt);
	EVP_MD_CTX_free(c);
	c = rsa_context(t, r, salt, true);
	cr_assert(EVP_DigestSign(c, sig, &len, data, sizeof data) == 1);
	EVP_MD_CTX_free(c);
	token_verifies(m, t, sig, len);
}

Test(both_ways, rsa_pkcs_with_every_digest)
{
	struct twin t = rsa_twin();

	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		rsa_agrees(&t, MECH(hashes[i].pkcs), &hashes[i], -1);
	EVP_PKEY_free(t.evp);
}

Test(both_ways, rsa_pss_with_every_digest_and_salt)
{
	struct twin t = rsa_twin();

	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		const CK_ULONG salts[] = {0, 1, hashes[i].size, 256 - 2 - hashes[i].size};
		for (size_t k = 0; k < ARRAY_LEN(salts); k++) {
			CK_RSA_PKCS_PSS_PARAMS pss = {hashes[i].hash, hashes[i].mgf, salts[k]};
			rsa_agrees(&t, MECH_P(hashes[i].pss, pss), &hashes[i], (int)salts[k]);
		}
	}
	EVP_PKEY_free(t.evp);
}

static void from_der(const uint8_t *der, size_t n, CK_ULONG order, uint8_t *rs)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);

	cr_assert(sig);
	cr_assert(BN_bn2binpad(ECDSA_SIG_get0_r(sig), rs, (int)order) > 0 &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), rs + order, (int)order) > 0);
	ECDSA_SIG_free(sig);
}

static void ecdsa_agrees(const struct twin *t, const struct curve_row *c, const struct hash_row *r)
{
	uint8_t sig[600], der[160], digest[64];
	size_t len = sizeof der;
	unsigned digest_len;

	CK_ULONG n = token_signs(MECH(r->ecdsa), t, sig);
	cr_assert(n == 2 * c->order);
	cr_assert(EVP_Digest(data, sizeof data, digest, &digest_len, EVP_get_digestbyname(r->name), NULL));
	cr_assert(judge_ecdsa(t->evp, BYTES(digest, digest_len), BYTES(sig, n)), "%s, %s", c->name, r->name);
	EVP_MD_CTX *m = EVP_MD_CTX_new();
	cr_assert(EVP_DigestSignInit_ex(m, NULL, r->name, NULL, NULL, t->evp, NULL) == 1 &&
		  EVP_DigestSign(m, der, &len, data, sizeof data) == 1);
	EVP_MD_CTX_free(m);
	from_der(der, len, c->order, sig);
	token_verifies(MECH(r->ecdsa), t, sig, 2 * c->order);
}

Test(both_ways, ecdsa_with_every_curve_and_digest)
{
	for (size_t k = 0; k < ARRAY_LEN(curves); k++) {
		struct twin t = ec_twin(&curves[k]);

		for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
			ecdsa_agrees(&t, &curves[k], &hashes[i]);
		EVP_PKEY_free(t.evp);
	}
}

/* ---- ciphertexts ---- */

struct oaep {
	const struct hash_row *hash, *mgf;
	struct bytes label;
};

static EVP_PKEY_CTX *oaep_context(const struct twin *t, const struct oaep *o, bool encrypt)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(t->evp, NULL);

	cr_assert(c && (encrypt ? EVP_PKEY_encrypt_init(c) : EVP_PKEY_decrypt_init(c)) == 1);
	cr_assert(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_rsa_oaep_md_name(c, o->hash->name, NULL) == 1 &&
		  EVP_PKEY_CTX_set_rsa_mgf1_md_name(c, o->mgf->name, NULL) == 1);
	if (o->label.len)
		cr_assert(EVP_PKEY_CTX_set0_rsa_oaep_label(c, OPENSSL_memdup(o->label.ptr, o->label.len),
							   (int)o->label.len) == 1);
	return c;
}

static void oaep_agrees(const struct twin *t, const struct oaep *o, CK_ULONG len)
{
	CK_RSA_PKCS_OAEP_PARAMS p = {o->hash->hash, o->mgf->mgf, CKZ_DATA_SPECIFIED, (void *)o->label.ptr, o->label.len};
	uint8_t sealed[256], out[256];
	size_t n = sizeof sealed, m = sizeof out;
	CK_ULONG ck_n = sizeof out;

	EVP_PKEY_CTX *c = oaep_context(t, o, true);
	cr_assert(EVP_PKEY_encrypt(c, sealed, &n, data, len) == 1);
	EVP_PKEY_CTX_free(c);
	OK(C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, p), t->priv);
	OK(C_Decrypt, h.session, sealed, n, out, &ck_n);
	cr_assert(ck_n == len && memcmp(out, data, len) == 0);
	ck_n = sizeof sealed;
	OK(C_EncryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, p), t->pub);
	OK(C_Encrypt, h.session, data, len, sealed, &ck_n);
	c = oaep_context(t, o, false);
	cr_assert(EVP_PKEY_decrypt(c, out, &m, sealed, ck_n) == 1 && m == len && memcmp(out, data, len) == 0);
	EVP_PKEY_CTX_free(c);
}

Test(both_ways, oaep_with_every_hash_mask_and_label)
{
	static const uint8_t label[300] = "a label";
	static const size_t lengths[] = {0, 1, 7, sizeof label};
	struct twin t = rsa_twin();

	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		for (size_t k = 0; k < ARRAY_LEN(hashes); k++) {
			struct oaep o = {&hashes[i], &hashes[k], BYTES(label, lengths[(i + k) % ARRAY_LEN(lengths)])};
			oaep_agrees(&t, &o, k % 2 ? 0 : 20);
		}
	EVP_PKEY_free(t.evp);
}

Test(both_ways, oaep_with_another_label_is_refused)
{
	CK_RSA_PKCS_OAEP_PARAMS p = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, data, 8};
	struct twin t = rsa_twin();
	uint8_t sealed[256], out[256];
	CK_ULONG n = sizeof sealed, m = sizeof out;

	OK(C_EncryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, p), t.pub);
	OK(C_Encrypt, h.session, data, 20, sealed, &n);
	p.ulSourceDataLen = 7;
	OK(C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, p), t.priv);
	EXPECT(CKR_ENCRYPTED_DATA_INVALID, C_Decrypt, h.session, sealed, n, out, &m);
	EVP_PKEY_free(t.evp);
}

/* The mechanism list is the truth: every mechanism that is listed, with every flag that it lists, does its work and
 * agrees with libcrypto; a flag that isn't listed, and every other mechanism of PKCS#11, is refused. */
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include "judge.h"

/* Opened while this process may: the keyring's tests go on as another user. */
static FILE *constants;

static void up(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/mechanisms.tsv", secure_getenv("SIGNET_TEST_VECTORS"));
	constants = fopen(path, "re");
	cr_assert(constants, "%s", path);
	session_up();
}

static void down(void)
{
	fclose(constants);
	harness_down();
}

TestSuite(mechanisms, .init = up, .fini = down, .timeout = 240);

#define SECRET_LEN 32

struct row;
typedef void exercise_fn(const struct row *r);

/* How each flag of a mechanism is exercised.  What isn't set must not be listed. */
struct row {
	CK_MECHANISM_TYPE type;
	CK_KEY_TYPE key_type;
	exercise_fn *crypt, *sign, *digest, *generate, *generate_pair, *wrap, *derive;
	const char *cipher;            /* libcrypto's, %d for the key's bits */
	CK_ULONG iv;                   /* bytes, as the mechanism's whole parameter */
	CK_ULONG multiple;             /* of which the plaintext's length must be */
	CK_MECHANISM_TYPE hash;        /* of PSS, OAEP, ECDSA, HMAC, digests */
	const char *md;
	int padding;                   /* of RSA */
	CK_ULONG cut;                  /* of _GENERAL: the MAC's length */
};

static const struct {
	CK_MECHANISM_TYPE type;
	CK_RSA_PKCS_MGF_TYPE mgf;
} mgfs[] = {
	{CKM_SHA_1, CKG_MGF1_SHA1},     {CKM_SHA224, CKG_MGF1_SHA224}, {CKM_SHA256, CKG_MGF1_SHA256},
	{CKM_SHA384, CKG_MGF1_SHA384}, {CKM_SHA512, CKG_MGF1_SHA512},
};

static CK_RSA_PKCS_MGF_TYPE mgf_of(CK_MECHANISM_TYPE hash)
{
	for (size_t i = 0; i < ARRAY_LEN(mgfs); i++)
		if (mgfs[i].type == hash)
			return mgfs[i].mgf;
	return CKG_MGF1_SHA256;
}

static const EVP_MD *md_of(const struct row *r)
{
	const EVP_MD *md = r->md ? EVP_get_digestbyname(r->md) : NULL;

	cr_assert(!r->md || md);
	return md;
}

/* ---- parameters ---- */

/* A mechanism with its parameter, in memory that the caller has. */
struct param {
	CK_MECHANISM m;
	union {
		uint8_t iv[16];
		CK_AES_CTR_PARAMS ctr;
		CK_GCM_PARAMS gcm;
		CK_RSA_PKCS_PSS_PARAMS pss;
		CK_RSA_PKCS_OAEP_PARAMS oaep;
		CK_ULONG len;
	} p;
};

static uint8_t iv[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static uint8_t label[] = "a label", aad[] = "what goes with it";

static CK_MECHANISM *param(const struct row *r, struct param *p)
{
	p->m = (CK_MECHANISM){r->type, &p->p, 0};
	if (r->type == CKM_AES_CTR) {
		p->p.ctr.ulCounterBits = 128;
		memcpy(p->p.ctr.cb, iv, 16);
		p->m.ulParameterLen = sizeof p->p.ctr;
	} else if (r->type == CKM_AES_GCM) {
		p->p.gcm = (CK_GCM_PARAMS){.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .pAAD = aad,
					   .ulAADLen = sizeof aad, .ulTagBits = 128};
		p->m.ulParameterLen = sizeof p->p.gcm;
	} else if (r->iv) {
		memcpy(p->p.iv, iv, 16);
		p->m.ulParameterLen = r->iv;
	} else if (r->padding == RSA_PKCS1_PSS_PADDING) {
		p->p.pss = (CK_RSA_PKCS_PSS_PARAMS){r->hash, mgf_of(r->hash), 20};
		p->m.ulParameterLen = sizeof p->p.pss;
	} else if (r->padding == RSA_PKCS1_OAEP_PADDING) {
		p->p.oaep = (CK_RSA_PKCS_OAEP_PARAMS){r->hash, mgf_of(r->hash), CKZ_DATA_SPECIFIED, label, sizeof label};
		p->m.ulParameterLen = sizeof p->p.oaep;
	} else if (r->cut) {
		p->p.len = r->cut;
		p->m.ulParameterLen = sizeof p->p.len;
	} else {
		p->m.pParameter = NULL;
	}
	return &p->m;
}

/* ---- keys ---- */

static struct pair rsa, ec;
static EVP_PKEY *rsa_judge, *ec_judge;
static uint8_t value[SECRET_LEN] = {7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4, 5, 2};

static struct pair pair_for_all(CK_MECHANISM_TYPE type, CK_ATTRIBUTE what)
{
	const bool is_rsa = type == CKM_RSA_PKCS_KEY_PAIR_GEN;
	struct pair p;

	OK(C_GenerateKeyPair, h.session, MECH(type),
	   TEMPLATE(what, A_BOOL(CKA_VERIFY, true), A_BOOL(CKA_ENCRYPT, is_rsa), A_BOOL(CKA_WRAP, is_rsa)),
	   TEMPLATE(A_BOOL(CKA_SIGN, true), A_BOOL(CKA_DECRYPT, is_rsa), A_BOOL(CKA_UNWRAP, is_rsa),
		    A_BOOL(CKA_DERIVE, !is_rsa)),
	   &p.pub, &p.priv);
	return p;
}

static void need_rsa(void)
{
	if (rsa_judge)
		return;
	rsa = pair_for_all(CKM_RSA_PKCS_KEY_PAIR_GEN, (CK_ATTRIBUTE)A_ULONG(CKA_MODULUS_BITS, 2048));
	rsa_judge = judge_key(h.session, rsa.pub);
}

static void need_ec(void)
{
	if (ec_judge)
		return;
	ec = pair_for_all(CKM_EC_KEY_PAIR_GEN, (CK_ATTRIBUTE)A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params));
	ec_judge = judge_key(h.session, ec.pub);
}

static void forget_keys(void)
{
	EVP_PKEY_free(rsa_judge);
	EVP_PKEY_free(ec_judge);
	rsa_judge = ec_judge = NULL;
}

/* A secret key of the known value that may do everything. */
static CK_OBJECT_HANDLE secret(CK_KEY_TYPE type, CK_ULONG len)
{
	CK_OBJECT_HANDLE o;

	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, type), A_BYTES(CKA_VALUE, value, len),
		    A_BOOL(CKA_ENCRYPT, true), A_BOOL(CKA_DECRYPT, true), A_BOOL(CKA_SIGN, true),
		    A_BOOL(CKA_VERIFY, true), A_BOOL(CKA_WRAP, true), A_BOOL(CKA_UNWRAP, true),
		    A_BOOL(CKA_EXTRACTABLE, true), A_BOOL(CKA_SENSITIVE, false)),
	   &o);
	return o;
}

/* ---- ciphers ---- */

/* What libcrypto makes of it, tag behind the ciphertext. */
static size_t judge_cipher(const struct row *r, int bits, const uint8_t *in, size_t n, uint8_t *out)
{
	char name[32];
	int len = 0, more = 0;

	snprintf(name, sizeof name, r->cipher, bits);
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	cr_assert(c && ctx, "%s", name);
	cr_assert(EVP_EncryptInit_ex2(ctx, c, value, r->iv || r->type == CKM_AES_CTR || r->type == CKM_AES_GCM ? iv : NULL,
				      NULL));
	EVP_CIPHER_CTX_set_padding(ctx, r->multiple == 1);
	if (r->type == CKM_AES_GCM)
		cr_assert(EVP_EncryptUpdate(ctx, NULL, &len, aad, sizeof aad));
	cr_assert(EVP_EncryptUpdate(ctx, out, &len, in, (int)n));
	cr_assert(EVP_EncryptFinal_ex(ctx, out + len, &more));
	len += more;
	if (r->type == CKM_AES_GCM) {
		cr_assert(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + len));
		len += 16;
	}
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(c);
	return (size_t)len;
}

static void crypt_one(const struct row *r, CK_ULONG key_len, CK_ULONG len)
{
	static uint8_t plain[200], want[256], out[256];
	CK_OBJECT_HANDLE key = secret(CKK_AES, key_len);
	CK_ULONG n = sizeof out;
	struct param p;

	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)(i * 31);
	size_t want_len = judge_cipher(r, (int)key_len * 8, plain, len, want);
	OK(C_EncryptInit, h.session, param(r, &p), key);
	OK(C_Encrypt, h.session, plain, len, out, &n);
	cr_assert(n == want_len && memcmp(out, want, n) == 0, "0x%lx: %lu bytes with %lu", r->type, len, key_len);
	OK(C_DecryptInit, h.session, param(r, &p), key);
	n = sizeof out;
	OK(C_Decrypt, h.session, want, want_len, out, &n);
	cr_assert(n == len && memcmp(out, plain, n) == 0);
	OK(C_DestroyObject, h.session, key);
}

static void crypt_aes(const struct row *r)
{
	for (CK_ULONG key = 16; key <= 32; key += 8)
		for (CK_ULONG n = 16; n <= 176; n += r->multiple * (r->multiple < 16 ? 5 : 1))
			crypt_one(r, key, n);
}

static size_t rsa_encrypt(const struct row *r, const uint8_t *in, size_t n, uint8_t out[512])
{
	size_t len = 512;
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(rsa_judge, NULL);

	cr_assert(EVP_PKEY_encrypt_init(c) > 0 && EVP_PKEY_CTX_set_rsa_padding(c, r->padding) > 0);
	if (r->padding == RSA_PKCS1_OAEP_PADDING) {
		cr_assert(EVP_PKEY_CTX_set_rsa_oaep_md(c, md_of(r)) > 0 && EVP_PKEY_CTX_set_rsa_mgf1_md(c, md_of(r)) > 0);
		cr_assert(EVP_PKEY_CTX_set0_rsa_oaep_label(c, OPENSSL_memdup(label, sizeof label), sizeof label) > 0);
	}
	cr_assert(EVP_PKEY_encrypt(c, out, &len, in, n) > 0);
	EVP_PKEY_CTX_free(c);
	return len;
}

static void crypt_rsa(const struct row *r)
{
	uint8_t plain[256] = {0, 1, 2, 3}, sealed[512], out[512];
	size_t len = r->padding == RSA_NO_PADDING ? 256 : 32;
	CK_ULONG n = sizeof sealed, m = sizeof out;
	struct param p;

	need_rsa();
	OK(C_EncryptInit, h.session, param(r, &p), rsa.pub);
	OK(C_Encrypt, h.session, plain, len, sealed, &n);
	OK(C_DecryptInit, h.session, param(r, &p), rsa.priv);
	OK(C_Decrypt, h.session, sealed, n, out, &m);
	cr_assert(m == len && memcmp(out, plain, m) == 0, "0x%lx", r->type);
	n = rsa_encrypt(r, plain, len, sealed);
	OK(C_DecryptInit, h.session, param(r, &p), rsa.priv);
	m = sizeof out;
	OK(C_Decrypt, h.session, sealed, n, out, &m);
	cr_assert(m == len && memcmp(out, plain, m) == 0, "0x%lx", r->type);
}

/* ---- signatures and MACs ---- */

static uint8_t data[100] = "signed, with care";

static CK_ULONG sign(const struct row *r, CK_OBJECT_HANDLE key, CK_ULONG len, uint8_t out[512])
{
	CK_ULONG n = 512;
	struct param p;

	OK(C_SignInit, h.session, param(r, &p), key);
	OK(C_Sign, h.session, data, len, out, &n);
	return n;
}

static void verify(const struct row *r, CK_OBJECT_HANDLE key, CK_ULONG len, uint8_t *sig, CK_ULONG n)
{
	struct param p;

	OK(C_VerifyInit, h.session, param(r, &p), key);
	OK(C_Verify, h.session, data, len, sig, n);
	sig[n / 2] ^= 1;
	OK(C_VerifyInit, h.session, param(r, &p), key);
	EXPECT(CKR_SIGNATURE_INVALID, C_Verify, h.session, data, len, sig, n);
	sig[n / 2] ^= 1;
}

/* The mechanism hashes unless it is one of the plain ones. */
static struct bytes signed_digest(const struct row *r, CK_ULONG len, uint8_t digest[64])
{
	unsigned n = 0;

	if (!r->md || r->type == CKM_RSA_PKCS_PSS)
		return BYTES(data, len);
	cr_assert(EVP_Digest(data, len, digest, &n, md_of(r), NULL));
	return BYTES(digest, n);
}

static void sign_rsa(const struct row *r)
{
	CK_ULONG len = r->type == CKM_RSA_PKCS_PSS ? (CK_ULONG)EVP_MD_get_size(md_of(r)) : 48;
	uint8_t sig[512], digest[64];

	need_rsa();
	CK_ULONG n = sign(r, rsa.priv, len, sig);
	struct bytes in = signed_digest(r, len, digest);
	if (r->padding == RSA_NO_PADDING) {
		verify(r, rsa.pub, len, sig, n);
		return; /* libcrypto pads nothing: test_sign.c holds whole blocks against it */
	}
	cr_assert(judge_rsa(rsa_judge, md_of(r), r->padding, 20, in, BYTES(sig, n)), "0x%lx", r->type);
	verify(r, rsa.pub, len, sig, n);
}

static void sign_ecdsa(const struct row *r)
{
	uint8_t sig[512], digest[64];

	need_ec();
	CK_ULONG n = sign(r, ec.priv, 32, sig);
	cr_assert(n == 64 && judge_ecdsa(ec_judge, signed_digest(r, 32, digest), BYTES(sig, n)), "0x%lx", r->type);
	verify(r, ec.pub, 32, sig, n);
}

static void sign_eddsa(const struct row *r)
{
	static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
	uint8_t sig[512];
	struct pair p;

	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_EDWARDS_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, ed25519, sizeof ed25519)), TEMPLATE(A_BOOL(CKA_SIGN, true)), &p.pub, &p.priv);
	CK_ULONG n = sign(r, p.priv, 32, sig);
	verify(r, p.pub, 32, sig, n);
}

static void verify_eddsa_only(const struct row *r)
{
	/* A public key from elsewhere. */
	static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	uint8_t point[34] = {4, 32}, sig[512];
	size_t len = 32, n = 64;
	CK_OBJECT_HANDLE o;

	cr_assert(EVP_PKEY_get_raw_public_key(k, point + 2, &len));
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC_EDWARDS), A_BOOL(CKA_VERIFY, true),
		    A_BYTES(CKA_EC_PARAMS, ed25519, sizeof ed25519), A_BYTES(CKA_EC_POINT, point, sizeof point)), &o);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	cr_assert(EVP_DigestSignInit(c, NULL, NULL, NULL, k) && EVP_DigestSign(c, sig, &n, data, 32));
	verify(r, o, 32, sig, n);
	EVP_MD_CTX_free(c);
	EVP_PKEY_free(k);
}

static void sign_mac(const struct row *r)
{
	const bool cmac = r->key_type == CKK_AES;
	uint8_t sig[512], want[64];
	size_t want_len = 0;
	CK_OBJECT_HANDLE key = secret(r->key_type, SECRET_LEN);

	CK_ULONG n = sign(r, key, sizeof data, sig);
	cr_assert(EVP_Q_mac(NULL, cmac ? "CMAC" : "HMAC", NULL, cmac ? "AES-256-CBC" : r->md, NULL, value, SECRET_LEN, data,
			    sizeof data, want, sizeof want, &want_len));
	cr_assert(n == (r->cut ? r->cut : want_len) && memcmp(sig, want, n) == 0, "0x%lx", r->type);
	verify(r, key, sizeof data, sig, n);
}

static void digest(const struct row *r)
{
	uint8_t out[64], want[64];
	CK_ULONG n = sizeof out;
	unsigned want_len;

	OK(C_DigestInit, h.session, MECH(r->type));
	OK(C_Digest, h.session, data, sizeof data, out, &n);
	cr_assert(EVP_Digest(data, sizeof data, want, &want_len, md_of(r), NULL));
	cr_assert(n == want_len && memcmp(out, want, n) == 0, "0x%lx", r->type);
}

/* ---- making keys ---- */

static void generate(const struct row *r)
{
	CK_OBJECT_HANDLE o;

	OK(C_GenerateKey, h.session, MECH(r->type), TEMPLATE(A_ULONG(CKA_VALUE_LEN, 32)), &o);
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_TYPE) == r->key_type);
	OK(C_DestroyObject, h.session, o);
}

static void generate_rsa(const struct row *r)
{
	CK_MECHANISM_INFO info;

	OK(C_GetMechanismInfo, h.slot, r->type, &info);
	cr_assert(info.ulMinKeySize <= 2048 && info.ulMaxKeySize >= 2048);
	need_rsa();
}

static void generate_ec(const struct row *r)
{
	cr_assert(has_mechanism(r->type, CKF_EC_F_P | CKF_EC_UNCOMPRESS));
	need_ec();
}

static void generate_edwards(const struct row *r)
{
	static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
	struct pair p;

	OK(C_GenerateKeyPair, h.session, MECH(r->type), TEMPLATE(A_BYTES(CKA_EC_PARAMS, ed25519, sizeof ed25519)),
	   TEMPLATE(A_BOOL(CKA_SIGN, true)), &p.pub, &p.priv);
}

/* ---- wrapping and derivation ---- */

static CK_OBJECT_HANDLE unwrap(const struct row *r, CK_OBJECT_HANDLE key, uint8_t *in, CK_ULONG n)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;
	struct param p;

	OK(C_UnwrapKey, h.session, param(r, &p), key, in, n,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
		    A_ULONG(CKA_VALUE_LEN, SECRET_LEN), A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true)),
	   &o);
	return o;
}

static void wrap(const struct row *r, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE by)
{
	CK_OBJECT_HANDLE target = secret(CKK_GENERIC_SECRET, SECRET_LEN);
	uint8_t out[512], back[64];
	CK_ULONG n = sizeof out;
	struct param p;

	OK(C_WrapKey, h.session, param(r, &p), with, target, out, &n);
	CK_OBJECT_HANDLE o = unwrap(r, by, out, n);
	cr_assert(attribute(h.session, o, CKA_VALUE, back, sizeof back) == SECRET_LEN &&
		  memcmp(back, value, SECRET_LEN) == 0, "0x%lx", r->type);
}

static void wrap_rsa(const struct row *r)
{
	need_rsa();
	wrap(r, rsa.pub, rsa.priv);
}

static void wrap_aes(const struct row *r)
{
	CK_OBJECT_HANDLE key = secret(CKK_AES, 32);

	wrap(r, key, key);
}

static void derive_ecdh(const struct row *r)
{
	CK_ECDH1_DERIVE_PARAMS params = {0};
	uint8_t point[80], z[64], back[64];
	size_t point_len, z_len = sizeof z;
	CK_OBJECT_HANDLE o;

	need_ec();
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	cr_assert(EVP_PKEY_get_octet_string_param(other, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &point_len));
	params = (CK_ECDH1_DERIVE_PARAMS){.kdf = CKD_NULL, .public_data = point, .public_data_len = point_len};
	OK(C_DeriveKey, h.session, MECH_P(r->type, params), ec.priv,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
		    A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true)), &o);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(other, NULL);
	cr_assert(EVP_PKEY_derive_init(c) > 0 && EVP_PKEY_derive_set_peer(c, ec_judge) > 0 &&
		  EVP_PKEY_derive(c, z, &z_len) > 0);
	cr_assert(attribute(h.session, o, CKA_VALUE, back, sizeof back) == z_len && memcmp(back, z, z_len) == 0);
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(other);
}

/* ---- the table ---- */

#define DIGEST_ROWS(name, mech, md_)                                                                                   \
	{.type = (mech), .digest = digest, .md = (md_)},                                                               \
	{.type = mech##_HMAC, .key_type = CKK_GENERIC_SECRET, .sign = sign_mac, .md = (md_)},                           \
	{.type = mech##_HMAC_GENERAL, .key_type = CKK_GENERIC_SECRET, .sign = sign_mac, .md = (md_), .cut = 9},         \
	{.type = CKM_##name##_RSA_PKCS, .key_type = CKK_RSA, .sign = sign_rsa, .md = (md_), .padding = RSA_PKCS1_PADDING}, \
	{.type = CKM_##name##_RSA_PKCS_PSS, .key_type = CKK_RSA, .sign = sign_rsa, .hash = (mech), .md = (md_),         \
	 .padding = RSA_PKCS1_PSS_PADDING},                                                                            \
	{.type = CKM_ECDSA_##name, .key_type = CKK_EC, .sign = sign_ecdsa, .md = (md_)}

#define AES_ROW(mech, name, iv_, multiple_, wrap_)                                                                     \
	{.type = (mech), .key_type = CKK_AES, .crypt = crypt_aes, .cipher = (name), .iv = (iv_),                       \
	 .multiple = (multiple_), .wrap = (wrap_)}

static const struct row rows[] = {
	{.type = CKM_RSA_PKCS_KEY_PAIR_GEN, .generate_pair = generate_rsa},
	{.type = CKM_EC_KEY_PAIR_GEN, .generate_pair = generate_ec},
	{.type = CKM_EC_EDWARDS_KEY_PAIR_GEN, .generate_pair = generate_edwards},
	{.type = CKM_AES_KEY_GEN, .key_type = CKK_AES, .generate = generate},
	{.type = CKM_GENERIC_SECRET_KEY_GEN, .key_type = CKK_GENERIC_SECRET, .generate = generate},
	{.type = CKM_RSA_PKCS, .key_type = CKK_RSA, .crypt = crypt_rsa, .sign = sign_rsa, .wrap = wrap_rsa,
	 .padding = RSA_PKCS1_PADDING},
	{.type = CKM_RSA_X_509, .key_type = CKK_RSA, .crypt = crypt_rsa, .sign = sign_rsa, .wrap = wrap_rsa,
	 .padding = RSA_NO_PADDING},
	{.type = CKM_RSA_PKCS_OAEP, .key_type = CKK_RSA, .crypt = crypt_rsa, .wrap = wrap_rsa, .hash = CKM_SHA256,
	 .md = "SHA256", .padding = RSA_PKCS1_OAEP_PADDING},
	{.type = CKM_RSA_PKCS_PSS, .key_type = CKK_RSA, .sign = sign_rsa, .hash = CKM_SHA384, .md = "SHA384",
	 .padding = RSA_PKCS1_PSS_PADDING},
	{.type = CKM_ECDSA, .key_type = CKK_EC, .sign = sign_ecdsa},
	{.type = CKM_EDDSA, .key_type = CKK_EC_EDWARDS, .sign = sign_eddsa},
	{.type = CKM_ECDH1_DERIVE, .key_type = CKK_EC, .derive = derive_ecdh},
	{.type = CKM_ECDH1_COFACTOR_DERIVE, .key_type = CKK_EC, .derive = derive_ecdh},
	DIGEST_ROWS(SHA1, CKM_SHA_1, "SHA1"),
	DIGEST_ROWS(SHA224, CKM_SHA224, "SHA224"),
	DIGEST_ROWS(SHA256, CKM_SHA256, "SHA256"),
	DIGEST_ROWS(SHA384, CKM_SHA384, "SHA384"),
	DIGEST_ROWS(SHA512, CKM_SHA512, "SHA512"),
	AES_ROW(CKM_AES_ECB, "AES-%d-ECB", 0, 16, wrap_aes),
	AES_ROW(CKM_AES_CBC, "AES-%d-CBC", 16, 16, wrap_aes),
	AES_ROW(CKM_AES_CBC_PAD, "AES-%d-CBC", 16, 1, wrap_aes),
	AES_ROW(CKM_AES_CTR, "AES-%d-CTR", 0, 1, wrap_aes),
	AES_ROW(CKM_AES_OFB, "AES-%d-OFB", 16, 1, wrap_aes),
	AES_ROW(CKM_AES_CFB128, "AES-%d-CFB", 16, 1, wrap_aes),
	AES_ROW(CKM_AES_GCM, "AES-%d-GCM", 0, 1, wrap_aes),
	AES_ROW(CKM_AES_KEY_WRAP, "AES-%d-WRAP", 8, 8, wrap_aes),
	AES_ROW(CKM_AES_KEY_WRAP_KWP, "AES-%d-WRAP-PAD", 4, 1, wrap_aes),
	{.type = CKM_AES_CMAC, .key_type = CKK_AES, .sign = sign_mac},
	{.type = CKM_AES_CMAC_GENERAL, .key_type = CKK_AES, .sign = sign_mac, .cut = 5},
};

static const struct row *row_of(CK_MECHANISM_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

/* Both flags of a pair go through one exercise, which does both. */
static void exercise(const struct row *r, CK_FLAGS flags)
{
	exercise_fn *edwards = flags & CKF_SIGN ? sign_eddsa : verify_eddsa_only;
	const struct {
		CK_FLAGS flags;
		exercise_fn *fn;
	} uses[] = {
		{CKF_ENCRYPT | CKF_DECRYPT, r->crypt},
		{CKF_SIGN | CKF_VERIFY, r->type == CKM_EDDSA ? edwards : r->sign},
		{CKF_DIGEST, r->digest},
		{CKF_GENERATE, r->generate},
		{CKF_GENERATE_KEY_PAIR, r->generate_pair},
		{CKF_WRAP | CKF_UNWRAP, r->wrap},
		{CKF_DERIVE, r->derive},
	};

	for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
		if (!(flags & uses[i].flags))
			continue;
		cr_assert(uses[i].fn, "mechanism 0x%lx lists 0x%lx, which nobody tries", r->type, flags);
		uses[i].fn(r);
	}
	cr_assert(!(flags & (CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER)), "0x%lx lists recovery", r->type);
}

static CK_OBJECT_HANDLE key_for(const struct row *r, bool public)
{
	if (r->key_type == CKK_RSA) {
		need_rsa();
		return public ? rsa.pub : rsa.priv;
	}
	if (r->key_type == CKK_EC) {
		need_ec();
		return public ? ec.pub : ec.priv;
	}
	return secret(r->key_type == CKK_AES ? CKK_AES : CKK_GENERIC_SECRET, SECRET_LEN);
}

/* What isn't listed is refused, with a key and a parameter that fit otherwise. */
static void refuse(const struct row *r, CK_FLAGS flags)
{
	struct param p;
	CK_MECHANISM *m = param(r, &p);
	CK_ULONG n = 512;
	uint8_t buf[512] = {1};
	CK_OBJECT_HANDLE o;

	if (!(flags & CKF_ENCRYPT))
		EXPECT(CKR_MECHANISM_INVALID, C_EncryptInit, h.session, m, key_for(r, true));
	if (!(flags & CKF_DECRYPT))
		EXPECT(CKR_MECHANISM_INVALID, C_DecryptInit, h.session, m, key_for(r, false));
	if (!(flags & CKF_SIGN))
		EXPECT(CKR_MECHANISM_INVALID, C_SignInit, h.session, m, key_for(r, false));
	if (!(flags & CKF_VERIFY))
		EXPECT(CKR_MECHANISM_INVALID, C_VerifyInit, h.session, m, key_for(r, true));
	if (!(flags & CKF_DIGEST))
		EXPECT(CKR_MECHANISM_INVALID, C_DigestInit, h.session, m);
	if (!(flags & CKF_GENERATE))
		EXPECT(CKR_MECHANISM_INVALID, C_GenerateKey, h.session, m, TEMPLATE(A_ULONG(CKA_VALUE_LEN, 32)), &o);
	if (!(flags & CKF_WRAP))
		EXPECT(CKR_MECHANISM_INVALID, C_WrapKey, h.session, m, key_for(r, true),
		       secret(CKK_GENERIC_SECRET, SECRET_LEN), buf, &n);
	if (!(flags & CKF_UNWRAP))
		EXPECT(CKR_MECHANISM_INVALID, C_UnwrapKey, h.session, m, key_for(r, false), buf, 256,
		       TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET)), &o);
	if (!(flags & CKF_DERIVE))
		EXPECT(CKR_MECHANISM_INVALID, C_DeriveKey, h.session, m, key_for(r, false),
		       TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET)), &o);
}

static CK_ULONG listed(CK_MECHANISM_TYPE list[200])
{
	CK_ULONG n = 200;

	OK(C_GetMechanismList, h.slot, list, &n);
	return n;
}

Test(mechanisms, each_listed_flag_works_and_agrees_with_libcrypto)
{
	CK_MECHANISM_TYPE list[200];
	CK_ULONG n = listed(list);

	cr_assert(n >= 30);
	for (CK_ULONG i = 0; i < n; i++) {
		const struct row *r = row_of(list[i]);
		CK_MECHANISM_INFO info;

		if (list[i] & CKM_VENDOR_DEFINED)
			continue; /* tests of their own */
		cr_assert(r, "mechanism 0x%lx is listed, and nobody tries it", list[i]);
		OK(C_GetMechanismInfo, h.slot, list[i], &info);
		cr_assert(!(info.flags & CKF_HW) || h.kind->hardware, "0x%lx: CKF_HW without hardware", list[i]);
		exercise(r, info.flags);
	}
	forget_keys();
}

Test(mechanisms, each_flag_not_listed_is_refused)
{
	CK_MECHANISM_TYPE list[200];
	CK_ULONG n = listed(list);

	for (CK_ULONG i = 0; i < n; i++) {
		const struct row *r = row_of(list[i]);
		CK_MECHANISM_INFO info;

		if (!r)
			continue;
		OK(C_GetMechanismInfo, h.slot, list[i], &info);
		refuse(r, info.flags);
	}
	forget_keys();
}

static bool in_list(CK_MECHANISM_TYPE type, const CK_MECHANISM_TYPE *list, CK_ULONG n)
{
	for (CK_ULONG i = 0; i < n; i++)
		if (list[i] == type)
			return true;
	return false;
}

Test(mechanisms, every_other_one_of_the_standard_is_refused)
{
	CK_MECHANISM_TYPE list[200];
	CK_ULONG n = listed(list), seen = 0;
	char line[256], name[128];
	unsigned long type;

	while (fgets(line, sizeof line, constants)) {
		struct row r = {.key_type = CKK_RSA};
		CK_MECHANISM_INFO info;

		if (sscanf(line, "%127s 0x%lx", name, &type) != 2 || line[0] == '#' || in_list(type, list, n))
			continue;
		r.type = type;
		EXPECT(CKR_MECHANISM_INVALID, C_GetMechanismInfo, h.slot, type, &info);
		refuse(&r, 0);
		seen++;
	}
	cr_assert(seen > 300, "%lu", seen);
	forget_keys();
}

/* Sizes: a key of the least and of the greatest size that is listed can be made. */
Test(mechanisms, sizes_are_true)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_ULONG step;
	} secrets[] = {{CKM_AES_KEY_GEN, 8}, {CKM_GENERIC_SECRET_KEY_GEN, 1}};
	CK_MECHANISM_INFO info;
	CK_OBJECT_HANDLE o;

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		OK(C_GetMechanismInfo, h.slot, secrets[i].type, &info);
		const CK_ULONG sizes[] = {info.ulMinKeySize, info.ulMaxKeySize};
		for (size_t k = 0; k < 2; k++)
			OK(C_GenerateKey, h.session, MECH(secrets[i].type), TEMPLATE(A_ULONG(CKA_VALUE_LEN, sizes[k])), &o);
		EXPECT(CKR_ATTRIBUTE_VALUE_INVALID, C_GenerateKey, h.session, MECH(secrets[i].type),
		       TEMPLATE(A_ULONG(CKA_VALUE_LEN, info.ulMaxKeySize + secrets[i].step)), &o);
	}
	OK(C_GetMechanismInfo, h.slot, CKM_RSA_PKCS_KEY_PAIR_GEN, &info);
	(void)pair_for_all(CKM_RSA_PKCS_KEY_PAIR_GEN, (CK_ATTRIBUTE)A_ULONG(CKA_MODULUS_BITS, info.ulMinKeySize));
}

/* C_DeriveKey with elliptic-curve Diffie-Hellman (5.18.5, 6.3.17; T092 to T094, T127 to T130, T148, T151).  libcrypto
 * has the other half of each agreement. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/kdf.h>

#include "judge.h"

TestSuite(derive, .init = session_up, .fini = harness_down, .timeout = 120);

#define POINT_MAX 133

static const uint8_t p384_params[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t p521_params[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};

static const struct curve_row {
	const char *group;
	const uint8_t *params;
	CK_ULONG params_len, field;
} curves[] = {
	{"P-256", p256_params, sizeof p256_params, 32},
	{"P-384", p384_params, sizeof p384_params, 48},
	{"P-521", p521_params, sizeof p521_params, 66},
};

/* The two parties: a pair of the module's, and libcrypto's key with its point. */
static struct pair own;
static EVP_PKEY *peer;
static uint8_t point[POINT_MAX];
static size_t point_len;
static CK_ECDH1_DERIVE_PARAMS params;
static CK_MECHANISM ecdh = {CKM_ECDH1_DERIVE, &params, sizeof params};

static struct pair pair_for(const struct curve_row *c, CK_ATTRIBUTE *more, CK_ULONG n)
{
	CK_ATTRIBUTE t[8] = {A_BOOL(CKA_DERIVE, true), A_BOOL(CKA_SIGN, false)};
	struct pair p;

	if (n > 0)
		memcpy(t + 2, more, n * sizeof *more);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, c->params, c->params_len)), t, 2 + n, &p.pub, &p.priv);
	return p;
}

static void peer_for(const struct curve_row *c)
{
	EVP_PKEY_free(peer);
	peer = EVP_EC_gen(c->group);
	cr_assert(peer);
	cr_assert(EVP_PKEY_get_octet_string_param(peer, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &point_len) == 1);
	cr_assert(point_len == 1 + 2 * c->field && point[0] == 4);
	params = (CK_ECDH1_DERIVE_PARAMS){.kdf = CKD_NULL, .ulPublicDataLen = point_len, .pPublicData = point};
}

static void parties(const struct curve_row *c)
{
	own = pair_for(c, NULL, 0);
	peer_for(c);
}

/* The shared x as libcrypto computes it. */
static size_t judge_agree(uint8_t z[66])
{
	EVP_PKEY *theirs = judge_key(h.session, own.pub);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
	size_t n = 66;

	cr_assert(EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer(c, theirs) == 1);
	cr_assert(EVP_PKEY_derive(c, z, &n) == 1);
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(theirs);
	return n;
}

static void judge_kdf(const char *hash, struct bytes z, struct bytes shared, uint8_t *out, size_t n)
{
	OSSL_PARAM p[4] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)z.ptr, z.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)shared.ptr, shared.len),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "X963KDF", NULL);
	EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);

	cr_assert(EVP_KDF_derive(c, out, n, p) == 1);
	EVP_KDF_CTX_free(c);
	EVP_KDF_free(kdf);
}

/* A key that shows its value; len 0: no CKA_VALUE_LEN. */
static CK_RV derive(CK_KEY_TYPE type, CK_ULONG len, CK_OBJECT_HANDLE *ret)
{
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, type),
			    A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true), A_ULONG(CKA_VALUE_LEN, len)};

	return CALL(C_DeriveKey, h.session, &ecdh, own.priv, t, len ? 5 : 4, ret);
}

static void has_value(CK_OBJECT_HANDLE o, const uint8_t *value, CK_ULONG len)
{
	uint8_t got[1024];
	CK_ULONG n = attribute(h.session, o, CKA_VALUE, got, sizeof got);

	cr_assert(n == len && memcmp(got, value, n) == 0, "the derived value is another one");
	cr_assert(attribute_ulong(h.session, o, CKA_VALUE_LEN) == len);
}

static CK_ULONG objects(void)
{
	return find(h.session, NULL, 0, NULL);
}

/* ---- values ---- */

/* The point in an OCTET STRING; the length of what stands before it. */
static size_t octets(uint8_t out[POINT_MAX + 3])
{
	size_t head = 0;

	out[head++] = 0x04;
	if (point_len > 127)
		out[head++] = 0x81;
	out[head++] = (uint8_t)point_len;
	memcpy(out + head, point, point_len);
	return head;
}

Test(derive, every_curve_without_a_function)
{
	uint8_t z[66], wrapped[POINT_MAX + 3];
	CK_OBJECT_HANDLE o;

	for (size_t c = 0; c < ARRAY_LEN(curves); c++) {
		parties(&curves[c]);
		size_t n = judge_agree(z);
		cr_assert(n == curves[c].field);
		is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
		has_value(o, z, n);
		is(derive(CKK_SHA256_HMAC, 0, &o), CKR_OK);
		has_value(o, z, n);
		/* The point as CKA_EC_POINT has it, of a length that takes one byte or two. */
		size_t head = octets(wrapped);
		params.pPublicData = wrapped;
		params.ulPublicDataLen = head + point_len;
		is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
		has_value(o, z, n);
		/* 6.3.17: bytes are taken away from the leading end. */
		is(derive(CKK_AES, 16, &o), CKR_OK);
		has_value(o, z + n - 16, 16);
		is(derive(CKK_GENERIC_SECRET, 1, &o), CKR_OK);
		has_value(o, z + n - 1, 1);
		is(derive(CKK_GENERIC_SECRET, n, &o), CKR_OK);
		has_value(o, z, n);
		is(derive(CKK_GENERIC_SECRET, n + 1, &o), CKR_KEY_SIZE_RANGE);
		is(derive(CKK_AES, 0, &o), CKR_TEMPLATE_INCOMPLETE);
		is(derive(CKK_AES, 17, &o), CKR_ATTRIBUTE_VALUE_INVALID);
	}
}

static const struct {
	CK_ULONG kdf;
	const char *hash;
} kdfs[] = {
	{CKD_SHA1_KDF, "SHA1"},     {CKD_SHA224_KDF, "SHA224"}, {CKD_SHA256_KDF, "SHA256"},
	{CKD_SHA384_KDF, "SHA384"}, {CKD_SHA512_KDF, "SHA512"},
};

static void one_kdf(size_t k, struct bytes shared, struct bytes z)
{
	static const CK_ULONG lengths[] = {16, 32, 33, 200};
	uint8_t expected[200];
	CK_OBJECT_HANDLE o;

	params.kdf = kdfs[k].kdf;
	params.pSharedData = (CK_BYTE *)shared.ptr;
	params.ulSharedDataLen = shared.len;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		judge_kdf(kdfs[k].hash, z, shared, expected, lengths[i]);
		is(derive(i < 2 ? CKK_AES : CKK_GENERIC_SECRET, lengths[i], &o), CKR_OK);
		has_value(o, expected, lengths[i]);
		OK(C_DestroyObject, h.session, o);
	}
	/* A function gives any length: it has to be said which. */
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_TEMPLATE_INCOMPLETE);
}

Test(derive, every_curve_with_every_function)
{
	uint8_t z[66], shared[20] = "what both sides know";

	for (size_t c = 0; c < ARRAY_LEN(curves); c++) {
		parties(&curves[c]);
		size_t n = judge_agree(z);
		for (size_t k = 0; k < ARRAY_LEN(kdfs); k++) {
			one_kdf(k, BYTES_OF(shared), BYTES(z, n));
			one_kdf(k, NO_BYTES, BYTES(z, n));
		}
	}
}

/* One of many agreements has an x that begins with a zero: it stays as long as the field. */
Test(derive, x_is_as_long_as_the_field)
{
	uint8_t z[66];
	CK_OBJECT_HANDLE o;
	unsigned short_ones = 0;

	only_kind(&kind_mem); /* some hundred agreements */
	parties(&curves[0]);
	for (unsigned i = 0; i < 4000 && short_ones == 0; i++) {
		peer_for(&curves[0]);
		short_ones += judge_agree(z) == 32 && z[0] == 0;
	}
	cr_assert(short_ones == 1, "no such agreement in 4,000 tries");
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
	has_value(o, z, 32);
}

Test(derive, both_sides_in_the_token_and_with_a_cofactor)
{
	uint8_t a[32], theirs[96], ours[96];
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	struct pair first = own, second = pair_for(&curves[0], NULL, 0);
	CK_ULONG n = attribute(h.session, second.pub, CKA_EC_POINT, theirs, sizeof theirs);

	/* As CKA_EC_POINT shows it: an OCTET STRING around the point. */
	params.pPublicData = theirs;
	params.ulPublicDataLen = n;
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
	cr_assert(attribute(h.session, o, CKA_VALUE, a, sizeof a) == 32);
	own = second;
	n = attribute(h.session, first.pub, CKA_EC_POINT, ours, sizeof ours);
	params.pPublicData = ours + 2; /* bare */
	params.ulPublicDataLen = n - 2;
	ecdh.mechanism = CKM_ECDH1_COFACTOR_DERIVE;
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
	has_value(o, a, 32);
}

Test(derive, a_derived_key_works)
{
	uint8_t z[66], block[16] = {1, 2, 3}, sealed[32], expected[32];
	CK_ULONG n = sizeof sealed;
	CK_OBJECT_HANDLE o;
	int len;

	parties(&curves[0]);
	judge_agree(z);
	OK(C_DeriveKey, h.session, &ecdh, own.priv,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES), A_ULONG(CKA_VALUE_LEN, 32)),
	   &o);
	OK(C_EncryptInit, h.session, MECH(CKM_AES_ECB), o);
	OK(C_Encrypt, h.session, block, sizeof block, sealed, &n);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	cr_assert(EVP_EncryptInit_ex(c, EVP_aes_256_ecb(), NULL, z, NULL) == 1);
	cr_assert(EVP_EncryptUpdate(c, expected, &len, block, sizeof block) == 1);
	EVP_CIPHER_CTX_free(c);
	cr_assert(n == 16 && memcmp(sealed, expected, 16) == 0);
}

/* ---- the point and the parameter ---- */

static CK_RV derive_with(const void *p, CK_ULONG len)
{
	CK_OBJECT_HANDLE o;

	params.pPublicData = (CK_BYTE *)p;
	params.ulPublicDataLen = len;
	return derive(CKK_GENERIC_SECRET, 0, &o);
}

Test(derive, points_that_are_none)
{
	uint8_t bad[POINT_MAX + 8], wrapped[POINT_MAX + 8] = {0x04, 65};

	parties(&curves[0]);
	CK_ULONG before = objects();
	memcpy(wrapped + 2, point, 65);
	is(derive_with(point, 64), CKR_MECHANISM_PARAM_INVALID);
	is(derive_with(point, 66), CKR_MECHANISM_PARAM_INVALID);
	is(derive_with(point, 1), CKR_MECHANISM_PARAM_INVALID);
	is(derive_with(wrapped, 66), CKR_MECHANISM_PARAM_INVALID);
	is(derive_with(wrapped, 68), CKR_MECHANISM_PARAM_INVALID);
	is(derive_with("", 1), CKR_MECHANISM_PARAM_INVALID); /* infinity */
	/* Compressed and hybrid forms. */
	memcpy(bad, point, 65);
	bad[0] = (uint8_t)(2 + (point[64] & 1));
	is(derive_with(bad, 33), CKR_MECHANISM_PARAM_INVALID);
	bad[0] = (uint8_t)(6 + (point[64] & 1));
	is(derive_with(bad, 65), CKR_MECHANISM_PARAM_INVALID);
	/* Not on the curve; a coordinate that is none of the field's; another curve's. */
	memcpy(bad, point, 65);
	bad[64] ^= 1;
	is(derive_with(bad, 65), CKR_MECHANISM_PARAM_INVALID);
	memset(bad + 1, 0xff, 32);
	is(derive_with(bad, 65), CKR_MECHANISM_PARAM_INVALID);
	memset(bad + 1, 0, 64);
	is(derive_with(bad, 65), CKR_MECHANISM_PARAM_INVALID);
	peer_for(&curves[1]);
	is(derive_with(point, point_len), CKR_MECHANISM_PARAM_INVALID);
	cr_assert(objects() == before, "a call that failed left an object");
	peer_for(&curves[0]);
	is(derive_with(point, point_len), CKR_OK);
}

Test(derive, T129_parameters)
{
	CK_ECDH1_DERIVE_PARAMS good;
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	good = params;
#define BAD(field, value)                                                                                              \
	do {                                                                                                           \
		params = good;                                                                                         \
		params.field = (value);                                                                                \
		is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_MECHANISM_PARAM_INVALID);                                    \
	} while (0)
	BAD(kdf, 0);
	BAD(kdf, CKD_SHA1_KDF_ASN1);
	BAD(kdf, CK_UNAVAILABLE_INFORMATION);
	BAD(ulSharedDataLen, 4);
	BAD(pPublicData, NULL);
	BAD(ulPublicDataLen, 0);
	BAD(ulPublicDataLen, CK_UNAVAILABLE_INFORMATION);
	params = good;
	ecdh.ulParameterLen--;
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_MECHANISM_PARAM_INVALID);
	ecdh.ulParameterLen++;
	ecdh.pParameter = NULL;
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_MECHANISM_PARAM_INVALID);
	EXPECT(CKR_MECHANISM_INVALID, C_DeriveKey, h.session, MECH(CKM_ECDSA), own.priv, NULL, 0, &o);
	EXPECT(CKR_MECHANISM_INVALID, C_DeriveKey, h.session, MECH(0x7fffffff), own.priv, NULL, 0, &o);
}

/* ---- the base key ---- */

Test(derive, base_keys)
{
	struct pair signer, rsa;
	CK_OBJECT_HANDLE aes, o;

	parties(&curves[0]);
	signer = ec_pair(h.session, false, "signer");
	rsa = rsa_pair(h.session, false, "rsa");
	aes = aes_key(h.session, 32);
	const struct {
		CK_OBJECT_HANDLE key;
		CK_RV rv;
	} rows[] = {
		{CK_INVALID_HANDLE, CKR_KEY_HANDLE_INVALID}, /* T127 */
		{data_object(h.session, false, false, "no key"), CKR_KEY_HANDLE_INVALID},
		{own.pub, CKR_KEY_TYPE_INCONSISTENT},
		{rsa.priv, CKR_KEY_TYPE_INCONSISTENT},
		{aes, CKR_KEY_TYPE_INCONSISTENT},
		{signer.priv, CKR_KEY_HANDLE_INVALID}, /* T148 */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		EXPECT(rows[i].rv, C_DeriveKey, h.session, &ecdh, rows[i].key, NULL, 0, &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_DeriveKey, h.session, NULL, own.priv, NULL, 0, &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_DeriveKey, h.session, &ecdh, own.priv, NULL, 1, &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_DeriveKey, h.session, &ecdh, own.priv, NULL, 0, NULL);
	OK(C_DeriveKey, h.session, &ecdh, own.priv, NULL, 0, &o);
}

Test(derive, T128_allowed_mechanisms)
{
	CK_MECHANISM_TYPE only = CKM_ECDH1_COFACTOR_DERIVE;
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	own = pair_for(&curves[0], TEMPLATE(A_BYTES(CKA_ALLOWED_MECHANISMS, &only, sizeof only)));
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_MECHANISM_INVALID);
	ecdh.mechanism = only;
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
}

Test(derive, T130_always_authenticate)
{
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	own = pair_for(&curves[0], TEMPLATE(A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)));
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, "wrong-1234"), CKR_PIN_INCORRECT);
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_OK);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
	/* What waits can be cancelled, before the PIN and after it. */
	OK(C_SessionCancel, h.session, CKF_DERIVE);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	OK(C_SessionCancel, h.session, CKF_DERIVE);
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
	/* The PIN was given for this key, not for another one. */
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	own = pair_for(&curves[0], TEMPLATE(A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)));
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
}

/* The PIN is for one agreement: with that party, by that function, over that information. */
Test(derive, T130_for_these_parameters)
{
	uint8_t info[] = "info", other_info[] = "Info", theirs[POINT_MAX + 3];
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	struct pair third = pair_for(&curves[0], NULL, 0);
	CK_ULONG n = attribute(h.session, third.pub, CKA_EC_POINT, theirs, sizeof theirs);
	own = pair_for(&curves[0], TEMPLATE(A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)));
	const CK_ECDH1_DERIVE_PARAMS meant = {CKD_SHA256_KDF, 4, info, params.ulPublicDataLen, params.pPublicData};
	const CK_ECDH1_DERIVE_PARAMS others[] = {
		{CKD_SHA384_KDF, 4, info, params.ulPublicDataLen, params.pPublicData},
		{CKD_NULL, 0, NULL, params.ulPublicDataLen, params.pPublicData},
		{CKD_SHA256_KDF, 4, other_info, params.ulPublicDataLen, params.pPublicData},
		{CKD_SHA256_KDF, 3, info, params.ulPublicDataLen, params.pPublicData},
		{CKD_SHA256_KDF, 4, info, n, theirs},
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		params = meant;
		is(derive(CKK_GENERIC_SECRET, 32, &o), CKR_USER_NOT_LOGGED_IN);
		is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
		params = others[i];
		is(derive(CKK_GENERIC_SECRET, 32, &o), CKR_USER_NOT_LOGGED_IN);
	}
	params = meant;
	is(derive(CKK_GENERIC_SECRET, 32, &o), CKR_USER_NOT_LOGGED_IN);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	is(derive(CKK_GENERIC_SECRET, 32, &o), CKR_OK);
}

/* ---- the new key ---- */

static void past(CK_OBJECT_HANDLE o, bool sensitive, bool unextractable)
{
	cr_assert(attribute_bool(h.session, o, CKA_ALWAYS_SENSITIVE) == sensitive);
	cr_assert(attribute_bool(h.session, o, CKA_NEVER_EXTRACTABLE) == unextractable);
}

Test(derive, T094_attributes)
{
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	bool always = attribute_bool(h.session, own.priv, CKA_ALWAYS_SENSITIVE);
	bool never = attribute_bool(h.session, own.priv, CKA_NEVER_EXTRACTABLE);
	cr_assert(always && never, "a key that was made here and never left");

#define DERIVE(...) OK(C_DeriveKey, h.session, &ecdh, own.priv, TEMPLATE(__VA_ARGS__), &o)
	DERIVE(A_BOOL(CKA_SENSITIVE, true), A_BOOL(CKA_EXTRACTABLE, false));
	cr_assert(attribute_ulong(h.session, o, CKA_CLASS) == CKO_SECRET_KEY);
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_TYPE) == CKK_GENERIC_SECRET);
	past(o, true, true);
	cr_assert(!attribute_bool(h.session, o, CKA_LOCAL) && !attribute_bool(h.session, o, CKA_TOKEN));
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_GEN_MECHANISM) == CK_UNAVAILABLE_INFORMATION);
	DERIVE(A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true));
	past(o, false, false);
	DERIVE(A_BOOL(CKA_SENSITIVE, true), A_BOOL(CKA_EXTRACTABLE, true));
	past(o, true, false);
	/* A base key that was readable once. */
	own = pair_for(&curves[0], TEMPLATE(A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true)));
	DERIVE(A_BOOL(CKA_SENSITIVE, true), A_BOOL(CKA_EXTRACTABLE, false));
	past(o, false, false);
}

Test(derive, templates)
{
	CK_OBJECT_HANDLE o;
	uint8_t value[32] = {1};

	parties(&curves[0]);
	CK_ULONG before = objects();
#define REFUSED(code, ...) EXPECT(code, C_DeriveKey, h.session, &ecdh, own.priv, TEMPLATE(__VA_ARGS__), &o)
	REFUSED(CKR_TEMPLATE_INCONSISTENT, A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY));
	REFUSED(CKR_TEMPLATE_INCONSISTENT, A_ULONG(CKA_CLASS, CKO_DATA));
	REFUSED(CKR_ATTRIBUTE_VALUE_INVALID, A_ULONG(CKA_KEY_TYPE, CKK_RSA));
	REFUSED(CKR_ATTRIBUTE_READ_ONLY, A_BYTES(CKA_VALUE, value, sizeof value));
	REFUSED(CKR_ATTRIBUTE_READ_ONLY, A_BOOL(CKA_LOCAL, true));
	REFUSED(CKR_ATTRIBUTE_VALUE_INVALID, A_BYTES(CKA_SENSITIVE, value, 2));
	REFUSED(CKR_ATTRIBUTE_TYPE_INVALID, A_BOOL(CKA_VENDOR_DEFINED | 0x1234, true));
	REFUSED(CKR_TEMPLATE_INCONSISTENT, A_ULONG(CKA_MODULUS_BITS, 2048));
	cr_assert(objects() == before, "a call that failed left an object");
}

Test(derive, T151_derive_template)
{
	CK_ATTRIBUTE add[] = {A_ULONG(CKA_KEY_TYPE, CKK_AES), A_BOOL(CKA_EXTRACTABLE, false)};
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	own = pair_for(&curves[0], TEMPLATE(A_BYTES(CKA_DERIVE_TEMPLATE, add, sizeof add)));
	OK(C_DeriveKey, h.session, &ecdh, own.priv, TEMPLATE(A_ULONG(CKA_VALUE_LEN, 16)), &o);
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_TYPE) == CKK_AES);
	cr_assert(!attribute_bool(h.session, o, CKA_EXTRACTABLE));
	is(derive(CKK_AES, 16, &o), CKR_TEMPLATE_INCONSISTENT); /* which asks for CKA_EXTRACTABLE */
	is(derive(CKK_GENERIC_SECRET, 16, &o), CKR_TEMPLATE_INCONSISTENT);
}

Test(derive, session_and_token_objects)
{
	CK_ATTRIBUTE label[] = {A_TEXT(CKA_LABEL, "derived")};
	CK_OBJECT_HANDLE o;
	uint8_t z[66];

	parties(&curves[0]);
	judge_agree(z);
	DERIVE(A_TEXT(CKA_LABEL, "derived"), A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_SENSITIVE, false),
	       A_BOOL(CKA_EXTRACTABLE, true));
	DERIVE(A_TEXT(CKA_LABEL, "derived"));
	cr_assert(find(h.session, label, 1, NULL) == 2);
	/* T073: token objects want a session that may write. */
	CK_SESSION_HANDLE ro = open_session(RO);
	EXPECT(CKR_SESSION_READ_ONLY, C_DeriveKey, ro, &ecdh, own.priv, TEMPLATE(A_BOOL(CKA_TOKEN, true)), &o);
	OK(C_DeriveKey, ro, &ecdh, own.priv, NULL, 0, &o);
	OK(C_CloseSession, h.session);
	OK(C_CloseSession, ro);
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(h.session, label, 1, &o) == 1);
	has_value(o, z, 32);
}

Test(derive, T074_private_keys_need_the_user)
{
	CK_OBJECT_HANDLE o;

	parties(&curves[0]);
	own = pair_for(&curves[0], TEMPLATE(A_BOOL(CKA_PRIVATE, false)));
	OK(C_Logout, h.session);
	is(derive(CKK_GENERIC_SECRET, 0, &o), CKR_USER_NOT_LOGGED_IN);
	DERIVE(A_BOOL(CKA_PRIVATE, false));
}

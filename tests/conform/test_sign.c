/* Signatures and MACs (5.13, 5.15, 6.1, 6.3; T115 to T132, T139, T140).  libcrypto judges what the token makes, and the
 * token what libcrypto's public part says of it. */
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "judge.h"

TestSuite(sign, .init = session_up, .fini = harness_down, .timeout = 120);
TestSuite(mac, .init = session_up, .fini = harness_down, .timeout = 60);

static uint8_t data[200] = "what is to be signed";
static const uint8_t sha256_prefix[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
					  0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

static CK_ULONG sign(CK_MECHANISM *m, CK_OBJECT_HANDLE key, const void *in, CK_ULONG in_len, uint8_t sig[512])
{
	CK_ULONG n = 512;

	OK(C_SignInit, h.session, m, key);
	OK(C_Sign, h.session, (CK_BYTE *)in, in_len, sig, &n);
	return n;
}

static CK_RV verify(CK_MECHANISM *m, CK_OBJECT_HANDLE key, const void *in, CK_ULONG in_len, uint8_t *sig, CK_ULONG n)
{
	OK(C_VerifyInit, h.session, m, key);
	return CALL(C_Verify, h.session, (CK_BYTE *)in, in_len, sig, n);
}

/* The token accepts it, and refuses it with one bit changed in signature or data, and with a wrong length. */
static void token_verifies(CK_MECHANISM *m, CK_OBJECT_HANDLE pub, const void *in, CK_ULONG in_len, uint8_t *sig,
			   CK_ULONG n)
{
	uint8_t other[512];

	cr_assert(verify(m, pub, in, in_len, sig, n) == CKR_OK);
	sig[n / 2] ^= 0x10;
	CK_RV rv = verify(m, pub, in, in_len, sig, n);
	cr_assert(rv == CKR_SIGNATURE_INVALID, "%s", rv_name(rv));
	sig[n / 2] ^= 0x10;
	memcpy(other, in, in_len);
	other[in_len - 1] ^= 1;
	rv = verify(m, pub, other, in_len, sig, n);
	cr_assert(rv == CKR_SIGNATURE_INVALID, "%s", rv_name(rv));
	rv = verify(m, pub, in, in_len, sig, n - 1);
	cr_assert(rv == CKR_SIGNATURE_LEN_RANGE, "T123: %s", rv_name(rv));
	rv = verify(m, pub, in, in_len, sig, n + 1);
	cr_assert(rv == CKR_SIGNATURE_LEN_RANGE, "T123: %s", rv_name(rv));
}

/* ---- RSA ---- */

static const struct {
	CK_MECHANISM_TYPE pkcs, pss, hash;
	CK_RSA_PKCS_MGF_TYPE mgf;
	const EVP_MD *(*md)(void);
} rsa_hashes[] = {
	{CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS, CKM_SHA_1, CKG_MGF1_SHA1, EVP_sha1},
	{CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS, CKM_SHA224, CKG_MGF1_SHA224, EVP_sha224},
	{CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256, EVP_sha256},
	{CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS, CKM_SHA384, CKG_MGF1_SHA384, EVP_sha384},
	{CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS, CKM_SHA512, CKG_MGF1_SHA512, EVP_sha512},
};

static struct bytes digest_of(const EVP_MD *md, uint8_t out[64])
{
	unsigned n;

	cr_assert(EVP_Digest(data, sizeof data, out, &n, md, NULL));
	return BYTES(out, n);
}

Test(sign, rsa_pkcs_with_each_hash)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t sig[512], digest[64];

	for (size_t i = 0; i < ARRAY_LEN(rsa_hashes); i++) {
		const EVP_MD *md = rsa_hashes[i].md();
		if (!has_mechanism(rsa_hashes[i].pkcs, CKF_SIGN))
			continue;
		CK_ULONG n = sign(MECH(rsa_hashes[i].pkcs), p.priv, data, sizeof data, sig);
		cr_assert(n == 256);
		cr_assert(judge_rsa(judge, md, RSA_PKCS1_PADDING, 0, digest_of(md, digest), BYTES(sig, n)));
		token_verifies(MECH(rsa_hashes[i].pkcs), p.pub, data, sizeof data, sig, n);
	}
	EVP_PKEY_free(judge);
}

Test(sign, rsa_pkcs_of_a_digest_info)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t info[51], sig[512], big[256];

	memcpy(info, sha256_prefix, 19);
	memset(info + 19, 9, 32);
	CK_ULONG n = sign(MECH(CKM_RSA_PKCS), p.priv, info, sizeof info, sig);
	cr_assert(judge_rsa(judge, EVP_sha256(), RSA_PKCS1_PADDING, 0, BYTES(info + 19, 32), BYTES(sig, n)));
	token_verifies(MECH(CKM_RSA_PKCS), p.pub, info, sizeof info, sig, n);
	/* Any data of up to k - 11 bytes, as TLS 1.0's 36. */
	n = sign(MECH(CKM_RSA_PKCS), p.priv, data, 36, sig);
	cr_assert(judge_rsa(judge, NULL, RSA_PKCS1_PADDING, 0, BYTES(data, 36), BYTES(sig, n)));
	memset(big, 3, sizeof big);
	n = sign(MECH(CKM_RSA_PKCS), p.priv, big, 245, sig);
	cr_assert(judge_rsa(judge, NULL, RSA_PKCS1_PADDING, 0, BYTES(big, 245), BYTES(sig, n)));
	n = sign(MECH(CKM_RSA_PKCS), p.priv, big, 0, sig);
	cr_assert(n == 256);
	OK(C_SignInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
	n = sizeof sig;
	EXPECT(CKR_DATA_LEN_RANGE, C_Sign, h.session, big, 246, sig, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Sign, h.session, big, 5, sig, &n);
	EVP_PKEY_free(judge);
}

Test(sign, rsa_pss_with_each_hash_and_salt)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t sig[512], digest[64];

	for (size_t i = 0; i < ARRAY_LEN(rsa_hashes); i++) {
		const EVP_MD *md = rsa_hashes[i].md();
		const CK_ULONG size = (CK_ULONG)EVP_MD_get_size(md), salts[] = {size, 0, 20, 222 - size};
		for (size_t k = 0; k < ARRAY_LEN(salts) && has_mechanism(rsa_hashes[i].pss, CKF_SIGN); k++) {
			CK_RSA_PKCS_PSS_PARAMS pss = {rsa_hashes[i].hash, rsa_hashes[i].mgf, salts[k]};
			CK_ULONG n = sign(MECH_P(rsa_hashes[i].pss, pss), p.priv, data, sizeof data, sig);
			cr_assert(judge_rsa(judge, md, RSA_PKCS1_PSS_PADDING, (int)salts[k], digest_of(md, digest),
					    BYTES(sig, n)), "salt %lu", salts[k]);
			token_verifies(MECH_P(rsa_hashes[i].pss, pss), p.pub, data, sizeof data, sig, n);
		}
	}
	EVP_PKEY_free(judge);
}

Test(sign, rsa_pss_of_a_digest)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
	uint8_t sig[512];

	CK_ULONG n = sign(MECH_P(CKM_RSA_PKCS_PSS, pss), p.priv, data, 32, sig);
	cr_assert(judge_rsa(judge, EVP_sha256(), RSA_PKCS1_PSS_PADDING, 32, BYTES(data, 32), BYTES(sig, n)));
	OK(C_SignInit, h.session, MECH_P(CKM_RSA_PKCS_PSS, pss), p.priv);
	n = sizeof sig;
	EXPECT(CKR_DATA_LEN_RANGE, C_Sign, h.session, data, 31, sig, &n);
	EVP_PKEY_free(judge);
}

Test(sign, T129_rsa_pss_parameters)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32}, bad;

	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session, MECH(CKM_RSA_PKCS_PSS), p.priv);
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session,
	       (&(CK_MECHANISM){CKM_RSA_PKCS_PSS, &pss, sizeof pss - 1}), p.priv);
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session,
	       (&(CK_MECHANISM){CKM_RSA_PKCS_PSS, NULL, sizeof pss}), p.priv);
	bad = pss;
	bad.hashAlg = CKM_MD2;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session, MECH_P(CKM_RSA_PKCS_PSS, bad), p.priv);
	bad = pss;
	bad.mgf = 0x4711;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session, MECH_P(CKM_RSA_PKCS_PSS, bad), p.priv);
	bad = pss;
	bad.hashAlg = CKM_SHA512;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session, MECH_P(CKM_SHA256_RSA_PKCS_PSS, bad), p.priv);
	bad = pss;
	bad.sLen = 100000;
	CK_RV rv = CALL(C_SignInit, h.session, MECH_P(CKM_RSA_PKCS_PSS, bad), p.priv);
	if (rv == CKR_OK) {
		uint8_t sig[512];
		CK_ULONG n = sizeof sig;
		EXPECT_IN((CKR_MECHANISM_PARAM_INVALID, CKR_DATA_LEN_RANGE, CKR_KEY_SIZE_RANGE), C_Sign, h.session,
			  data, 32, sig, &n);
	} else {
		cr_assert(rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_KEY_SIZE_RANGE, "%s", rv_name(rv));
	}
	uint8_t parameter = 1;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session, MECH_P(CKM_RSA_PKCS, parameter), p.priv);
}

Test(sign, rsa_x509)
{
	need_mechanism(CKM_RSA_X_509, CKF_SIGN | CKF_VERIFY);
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t block[256] = {0}, sig[512];

	memcpy(block + 100, data, 100);
	CK_ULONG n = sign(MECH(CKM_RSA_X_509), p.priv, block, sizeof block, sig);
	cr_assert(n == 256 && judge_rsa(judge, NULL, RSA_NO_PADDING, 0, BYTES_OF(block), BYTES(sig, n)));
	cr_assert(verify(MECH(CKM_RSA_X_509), p.pub, block, sizeof block, sig, n) == CKR_OK);
	memset(block, 0xff, sizeof block);
	OK(C_SignInit, h.session, MECH(CKM_RSA_X_509), p.priv);
	EXPECT_IN((CKR_DATA_INVALID, CKR_DATA_LEN_RANGE), C_Sign, h.session, block, sizeof block, sig, &n);
	EVP_PKEY_free(judge);
}

/* ---- elliptic curves ---- */

static const struct {
	const char *name, *params;
	CK_ULONG bits, size; /* of r and s together */
} curves[] = {
	{"P-256", "06082a8648ce3d030107", 256, 64},
	{"P-384", "06052b81040022", 384, 96},
	{"P-521", "06052b81040023", 521, 132},
};

static bool curve_pair(size_t i, struct pair *p)
{
	uint8_t params[16];
	CK_MECHANISM_INFO info;

	OK(C_GetMechanismInfo, h.slot, CKM_EC_KEY_PAIR_GEN, &info);
	if (curves[i].bits < info.ulMinKeySize || curves[i].bits > info.ulMaxKeySize)
		return false;
	size_t n = from_hex(curves[i].params, params, sizeof params);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, params, n), A_BOOL(CKA_VERIFY, true)), TEMPLATE(A_BOOL(CKA_SIGN, true)),
	   &p->pub, &p->priv);
	return true;
}

static void refused_as_too_long(CK_OBJECT_HANDLE key, CK_ULONG len)
{
	uint8_t sig[132];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), key);
	EXPECT(CKR_DATA_LEN_RANGE, C_Sign, h.session, data, len, sig, &n);
}

Test(sign, T139_T140_ecdsa_of_any_digest)
{
	static const CK_ULONG lengths[] = {20, 28, 32, 48, 64, 1, 31, 33, 66, 100};
	uint8_t sig[512];

	for (size_t c = 0; c < ARRAY_LEN(curves); c++) {
		struct pair p;
		if (!curve_pair(c, &p))
			continue;
		EVP_PKEY *judge = judge_key(h.session, p.pub);
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			/* The leftmost 521 bits are more than a TPM2B_DIGEST holds. */
			if (is_kind(&kind_tpm) && curves[c].size == 132 && lengths[i] > 64) {
				refused_as_too_long(p.priv, lengths[i]);
				continue;
			}
			CK_ULONG n = sign(MECH(CKM_ECDSA), p.priv, data, lengths[i], sig);
			cr_assert(n == curves[c].size, "%s: %lu bytes", curves[c].name, n);
			cr_assert(judge_ecdsa(judge, BYTES(data, lengths[i]), BYTES(sig, n)), "%s, %lu bytes",
				  curves[c].name, lengths[i]);
			cr_assert(verify(MECH(CKM_ECDSA), p.pub, data, lengths[i], sig, n) == CKR_OK);
		}
		EVP_PKEY_free(judge);
	}
}

Test(sign, T139_leading_zeros)
{
	struct pair p = ec_pair(h.session, false, "ec");
	uint8_t sig[512];
	int short_ones = 0;

	/* About one r or s in 128 begins with a zero byte. */
	for (int i = 0; i < 300 && short_ones < 1; i++) {
		data[0] = (uint8_t)i;
		data[1] = (uint8_t)(i >> 8);
		CK_ULONG n = sign(MECH(CKM_ECDSA), p.priv, data, 32, sig);
		cr_assert(n == 64);
		if (sig[0] && sig[32])
			continue;
		short_ones++;
		cr_assert(verify(MECH(CKM_ECDSA), p.pub, data, 32, sig, n) == CKR_OK);
	}
}

Test(sign, ecdsa_with_each_hash)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		const EVP_MD *(*md)(void);
	} hashes[] = {{CKM_ECDSA_SHA1, EVP_sha1}, {CKM_ECDSA_SHA224, EVP_sha224}, {CKM_ECDSA_SHA256, EVP_sha256},
		      {CKM_ECDSA_SHA384, EVP_sha384}, {CKM_ECDSA_SHA512, EVP_sha512}};
	struct pair p = ec_pair(h.session, false, "ec");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t sig[512], digest[64];

	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		if (!has_mechanism(hashes[i].type, CKF_SIGN))
			continue;
		CK_ULONG n = sign(MECH(hashes[i].type), p.priv, data, sizeof data, sig);
		cr_assert(judge_ecdsa(judge, digest_of(hashes[i].md(), digest), BYTES(sig, n)));
		cr_assert(verify(MECH(hashes[i].type), p.pub, data, sizeof data, sig, n) == CKR_OK);
		sig[5] ^= 1;
		cr_assert(verify(MECH(hashes[i].type), p.pub, data, sizeof data, sig, n) == CKR_SIGNATURE_INVALID);
		cr_assert(verify(MECH(hashes[i].type), p.pub, data, sizeof data, sig, 63) == CKR_SIGNATURE_LEN_RANGE);
	}
	EVP_PKEY_free(judge);
}

/* ---- multi-part ---- */

static void multi_part(CK_MECHANISM *m, struct pair p)
{
	uint8_t sig[512];
	CK_ULONG n;

	for (CK_ULONG cut = 0; cut <= sizeof data; cut += 40) {
		OK(C_SignInit, h.session, m, p.priv);
		OK(C_SignUpdate, h.session, data, cut);
		OK(C_SignUpdate, h.session, data + cut, sizeof data - cut);
		OK(C_SignFinal, h.session, NULL, &n);
		CK_ULONG size = n;
		n = size - 1;
		EXPECT(CKR_BUFFER_TOO_SMALL, C_SignFinal, h.session, sig, &n);
		n = sizeof sig;
		OK(C_SignFinal, h.session, sig, &n);
		cr_assert(n == size);
		cr_assert(verify(m, p.pub, data, sizeof data, sig, n) == CKR_OK);
		OK(C_VerifyInit, h.session, m, p.pub);
		for (CK_ULONG i = 0; i < sizeof data; i += 10)
			OK(C_VerifyUpdate, h.session, data + i, 10);
		OK(C_VerifyFinal, h.session, sig, n);
		OK(C_VerifyInit, h.session, m, p.pub);
		OK(C_VerifyUpdate, h.session, data, 10);
		EXPECT(CKR_SIGNATURE_INVALID, C_VerifyFinal, h.session, sig, n);
		EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_VerifyFinal, h.session, sig, n);
	}
}

Test(sign, multi_part_rsa)
{
	multi_part(MECH(CKM_SHA256_RSA_PKCS), rsa_pair(h.session, false, "rsa"));
}

Test(sign, multi_part_ec)
{
	multi_part(MECH(CKM_ECDSA_SHA256), ec_pair(h.session, false, "ec"));
}

/* ---- the operation's rules ---- */

Test(sign, T115_without_init)
{
	uint8_t sig[64];
	CK_ULONG n = sizeof sig;

	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Sign, h.session, data, 32, sig, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_SignUpdate, h.session, data, 32);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_SignFinal, h.session, sig, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Verify, h.session, data, 32, sig, n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_VerifyUpdate, h.session, data, 32);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_VerifyFinal, h.session, sig, n);
}

Test(sign, T116_T117_active_and_cancelled)
{
	struct pair p = ec_pair(h.session, false, "ec");
	uint8_t sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	EXPECT(CKR_OPERATION_ACTIVE, C_SignInit, h.session, MECH(CKM_ECDSA_SHA256), p.priv);
	OK(C_Sign, h.session, data, 32, sig, &n);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_SignInit, h.session, NULL, 0);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Sign, h.session, data, 32, sig, &n);
	EXPECT_IN((CKR_MECHANISM_INVALID, CKR_ARGUMENTS_BAD, CKR_OK), C_SignInit, h.session, NULL, p.priv);
}

Test(sign, T119_T120_sizes)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	uint8_t sig[300];
	CK_ULONG n = 0;

	OK(C_SignInit, h.session, MECH(CKM_SHA256_RSA_PKCS), p.priv);
	OK(C_Sign, h.session, data, 32, NULL, &n);
	cr_assert(n == 256);
	memset(sig, 0x5a, sizeof sig);
	n = 255;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_Sign, h.session, data, 32, sig, &n);
	cr_assert(n == 256 && sig[0] == 0x5a);
	n = sizeof sig;
	OK(C_Sign, h.session, data, 32, sig, &n);
	cr_assert(n == 256 && sig[256] == 0x5a);
	cr_assert(verify(MECH(CKM_SHA256_RSA_PKCS), p.pub, data, 32, sig, n) == CKR_OK);
}

Test(sign, T121_T122_what_ends_it)
{
	struct pair p = ec_pair(h.session, false, "ec");
	uint8_t sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	EXPECT(CKR_ARGUMENTS_BAD, C_Sign, h.session, data, 32, sig, NULL);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Sign, h.session, data, 32, sig, &n);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	EXPECT(CKR_ARGUMENTS_BAD, C_Sign, h.session, NULL, 32, sig, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Sign, h.session, data, 32, sig, &n);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA_SHA256), p.priv);
	OK(C_SignUpdate, h.session, data, 32);
	EXPECT(CKR_OPERATION_ACTIVE, C_Sign, h.session, data, 32, sig, &n);
	OK(C_VerifyInit, h.session, MECH(CKM_ECDSA), p.pub);
	EXPECT(CKR_ARGUMENTS_BAD, C_Verify, h.session, data, 32, NULL, 64);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Verify, h.session, data, 32, sig, 64);
}

Test(sign, T126_T127_which_key)
{
	struct pair rsa = rsa_pair(h.session, false, "rsa"), ec = ec_pair(h.session, false, "ec");
	CK_OBJECT_HANDLE o = data_object(h.session, false, false, "data"), pub, priv;

	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_SignInit, h.session, MECH(CKM_ECDSA), rsa.priv);
	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_SignInit, h.session, MECH(CKM_RSA_PKCS), ec.priv);
	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_VerifyInit, h.session, MECH(CKM_RSA_PKCS), ec.pub);
	EXPECT_IN((CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_HANDLE_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED), C_SignInit,
		  h.session, MECH(CKM_ECDSA), ec.pub);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_SignInit, h.session, MECH(CKM_ECDSA), 0);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_SignInit, h.session, MECH(CKM_ECDSA), 999999);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_SignInit, h.session, MECH(CKM_ECDSA), o);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_VerifyInit, h.session, MECH(CKM_ECDSA), o);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_VERIFY, false)),
	   TEMPLATE(A_BOOL(CKA_SIGN, false), A_BOOL(CKA_DERIVE, true)), &pub, &priv);
	EXPECT(CKR_KEY_FUNCTION_NOT_PERMITTED, C_SignInit, h.session, MECH(CKM_ECDSA), priv);
	EXPECT(CKR_KEY_FUNCTION_NOT_PERMITTED, C_VerifyInit, h.session, MECH(CKM_ECDSA), pub);
	/* T126: the type before the usage. */
	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_SignInit, h.session, MECH(CKM_RSA_PKCS), priv);
	EXPECT(CKR_MECHANISM_INVALID, C_SignInit, h.session, MECH(CKM_SHA256), ec.priv);
	EXPECT(CKR_MECHANISM_INVALID, C_SignInit, h.session, MECH(0x7fffff00), ec.priv);
}

Test(sign, T128_allowed_mechanisms)
{
	CK_MECHANISM_TYPE only[] = {CKM_ECDSA_SHA256};
	CK_OBJECT_HANDLE pub, priv;
	uint8_t sig[512];

	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_BOOL(CKA_VERIFY, true)),
	   TEMPLATE(A_BOOL(CKA_SIGN, true), A_BYTES(CKA_ALLOWED_MECHANISMS, only, sizeof only)), &pub, &priv);
	EXPECT(CKR_MECHANISM_INVALID, C_SignInit, h.session, MECH(CKM_ECDSA), priv);
	cr_assert(sign(MECH(CKM_ECDSA_SHA256), priv, data, sizeof data, sig) == 64);
}

Test(sign, T127_logged_out)
{
	struct pair p = ec_pair(h.session, true, "ec");
	uint8_t sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_Logout, h.session);
	EXPECT_IN((CKR_KEY_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN), C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	cr_assert(login(h.session, CKU_USER, USER_PIN) == CKR_OK);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &p.priv) == 1);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, h.session, data, 32, sig, &n);
}

Test(sign, the_key_may_be_destroyed_meanwhile)
{
	struct pair p = ec_pair(h.session, true, "ec");
	uint8_t sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_DestroyObject, h.session, p.priv);
	EXPECT_IN((CKR_OK, CKR_KEY_HANDLE_INVALID, CKR_OPERATION_NOT_INITIALIZED, CKR_FUNCTION_FAILED), C_Sign, h.session,
		  data, 32, sig, &n);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
}

Test(sign, two_sessions_at_once)
{
	struct pair p = ec_pair(h.session, false, "ec");
	CK_SESSION_HANDLE other = open_session(RO);
	uint8_t a[64], b[64];
	CK_ULONG n = 64;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA_SHA256), p.priv);
	OK(C_SignInit, other, MECH(CKM_ECDSA_SHA256), p.priv);
	OK(C_SignUpdate, h.session, data, 10);
	OK(C_SignUpdate, other, data, 20);
	OK(C_SignFinal, h.session, a, &n);
	OK(C_SignFinal, other, b, &n);
	cr_assert(verify(MECH(CKM_ECDSA_SHA256), p.pub, data, 10, a, 64) == CKR_OK);
	cr_assert(verify(MECH(CKM_ECDSA_SHA256), p.pub, data, 20, b, 64) == CKR_OK);
}

Test(sign, T160_verify_signature)
{
	struct pair p = ec_pair(h.session, false, "ec");
	uint8_t sig[512];

	CK_ULONG n = sign(MECH(CKM_ECDSA), p.priv, data, 32, sig);
	CK_RV rv = CALL(C_VerifySignatureInit, h.session, MECH(CKM_ECDSA), p.pub, sig, n);
	if (rv == CKR_FUNCTION_NOT_SUPPORTED)
		cr_skip_test("C_VerifySignatureInit isn't offered");
	cr_assert(rv == CKR_OK, "%s", rv_name(rv));
	OK(C_VerifySignature, h.session, data, 32);
	OK(C_VerifySignatureInit, h.session, MECH(CKM_ECDSA_SHA256), p.pub, sig, n);
	OK(C_VerifySignatureUpdate, h.session, data, 32);
	EXPECT(CKR_SIGNATURE_INVALID, C_VerifySignatureFinal, h.session);
	/* No signature is that long, and nothing is begun. */
	EXPECT(CKR_SIGNATURE_LEN_RANGE, C_VerifySignatureInit, h.session, MECH(CKM_ECDSA), p.pub, sig, 1ul << 40);
	EXPECT(CKR_SIGNATURE_LEN_RANGE, C_VerifySignatureInit, h.session, MECH(CKM_ECDSA), p.pub, sig, ~0ul);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_VerifySignature, h.session, data, 32);
}

/* ---- MACs ---- */

Test(mac, hmac_with_each_hash)
{
	static const struct {
		CK_MECHANISM_TYPE type, general;
		const EVP_MD *(*md)(void);
	} macs[] = {
		{CKM_SHA_1_HMAC, CKM_SHA_1_HMAC_GENERAL, EVP_sha1},
		{CKM_SHA224_HMAC, CKM_SHA224_HMAC_GENERAL, EVP_sha224},
		{CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL, EVP_sha256},
		{CKM_SHA384_HMAC, CKM_SHA384_HMAC_GENERAL, EVP_sha384},
		{CKM_SHA512_HMAC, CKM_SHA512_HMAC_GENERAL, EVP_sha512},
	};
	static const char secret[] = "a secret of thirty-three bytes...";
	CK_OBJECT_HANDLE key = hmac_key(h.session, secret, 33);
	uint8_t want[64], got[512];
	unsigned size;
	CK_ULONG general = 10;

	for (size_t i = 0; i < ARRAY_LEN(macs); i++) {
		cr_assert(HMAC(macs[i].md(), secret, 33, data, sizeof data, want, &size));
		CK_ULONG n = sign(MECH(macs[i].type), key, data, sizeof data, got);
		cr_assert(n == size && memcmp(got, want, n) == 0);
		token_verifies(MECH(macs[i].type), key, data, sizeof data, got, n);
		if (!has_mechanism(macs[i].general, CKF_SIGN))
			continue;
		n = sign(MECH_P(macs[i].general, general), key, data, sizeof data, got);
		cr_assert(n == general && memcmp(got, want, n) == 0);
		cr_assert(verify(MECH_P(macs[i].general, general), key, data, sizeof data, got, n) == CKR_OK);
		got[9] ^= 1;
		cr_assert(verify(MECH_P(macs[i].general, general), key, data, sizeof data, got, n) ==
			  CKR_SIGNATURE_INVALID);
		CK_ULONG too_long = size + 1;
		EXPECT(CKR_MECHANISM_PARAM_INVALID, C_SignInit, h.session, MECH_P(macs[i].general, too_long), key);
	}
}

Test(mac, multi_part)
{
	static const char secret[] = "a secret";
	CK_OBJECT_HANDLE key = hmac_key(h.session, secret, 8);
	uint8_t want[64], got[64];
	CK_ULONG n;

	cr_assert(HMAC(EVP_sha256(), secret, 8, data, sizeof data, want, NULL));
	for (CK_ULONG cut = 0; cut <= sizeof data; cut += 20) {
		OK(C_SignInit, h.session, MECH(CKM_SHA256_HMAC), key);
		OK(C_SignUpdate, h.session, data, cut);
		OK(C_SignUpdate, h.session, data + cut, sizeof data - cut);
		n = 3;
		EXPECT(CKR_BUFFER_TOO_SMALL, C_SignFinal, h.session, got, &n);
		cr_assert(n == 32);
		OK(C_SignFinal, h.session, got, &n);
		cr_assert_arr_eq(got, want, 32);
		OK(C_VerifyInit, h.session, MECH(CKM_SHA256_HMAC), key);
		OK(C_VerifyUpdate, h.session, data, cut);
		OK(C_VerifyUpdate, h.session, data + cut, sizeof data - cut);
		OK(C_VerifyFinal, h.session, got, 32);
	}
}

/* Encryption and decryption (5.8, 5.10; T119 to T134). */
#include <openssl/rsa.h>

#include "judge.h"

TestSuite(rsa_crypt, .init = session_up, .fini = harness_down, .timeout = 120);
TestSuite(cipher, .init = session_up, .fini = harness_down, .timeout = 60);

static uint8_t plain[256] = "what nobody else may read";
static uint8_t iv[16] = {9, 8, 7};

static CK_ULONG encrypt(CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_ULONG in_len, uint8_t out[600])
{
	CK_ULONG n = 600;

	OK(C_EncryptInit, h.session, m, key);
	OK(C_Encrypt, h.session, plain, in_len, out, &n);
	return n;
}

static CK_RV decrypt(CK_MECHANISM *m, CK_OBJECT_HANDLE key, uint8_t *in, CK_ULONG in_len, uint8_t out[600], CK_ULONG *n)
{
	OK(C_DecryptInit, h.session, m, key);
	*n = 600;
	return CALL(C_Decrypt, h.session, in, in_len, out, n);
}

/* ---- RSA ---- */

Test(rsa_crypt, pkcs1_both_ways)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	static const CK_ULONG lengths[] = {1, 32, 48, 245, 0};
	uint8_t sealed[600], out[600];
	CK_ULONG n;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		size_t size = judge_encrypt(judge, RSA_PKCS1_PADDING, NULL, BYTES(plain, lengths[i]), sealed);
		is(decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, size, out, &n), CKR_OK);
		cr_assert(n == lengths[i] && memcmp(out, plain, n) == 0);
		cr_assert(encrypt(MECH(CKM_RSA_PKCS), p.pub, lengths[i], sealed) == 256);
		is(decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, 256, out, &n), CKR_OK);
		cr_assert(n == lengths[i] && memcmp(out, plain, n) == 0);
	}
	EVP_PKEY_free(judge);
}

Test(rsa_crypt, oaep_both_ways)
{
	static const struct {
		CK_MECHANISM_TYPE hash;
		CK_RSA_PKCS_MGF_TYPE mgf;
		const EVP_MD *(*md)(void);
		CK_ULONG most;
	} hashes[] = {{CKM_SHA_1, CKG_MGF1_SHA1, EVP_sha1, 214}, {CKM_SHA256, CKG_MGF1_SHA256, EVP_sha256, 190},
		      {CKM_SHA512, CKG_MGF1_SHA512, EVP_sha512, 126}};
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t sealed[600], out[600];
	CK_ULONG n;

	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		CK_RSA_PKCS_OAEP_PARAMS oaep = {hashes[i].hash, hashes[i].mgf, CKZ_DATA_SPECIFIED, NULL, 0};
		CK_MECHANISM *m = MECH_P(CKM_RSA_PKCS_OAEP, oaep);
		size_t size = judge_encrypt(judge, RSA_PKCS1_OAEP_PADDING, hashes[i].md(), BYTES(plain, 32), sealed);
		is(decrypt(m, p.priv, sealed, size, out, &n), CKR_OK);
		cr_assert(n == 32 && memcmp(out, plain, n) == 0);
		encrypt(m, p.pub, hashes[i].most, sealed);
		is(decrypt(m, p.priv, sealed, 256, out, &n), CKR_OK);
		cr_assert(n == hashes[i].most && memcmp(out, plain, n) == 0);
		OK(C_EncryptInit, h.session, m, p.pub);
		n = sizeof out;
		EXPECT(CKR_DATA_LEN_RANGE, C_Encrypt, h.session, plain, hashes[i].most + 1, out, &n);
		sealed[100] ^= 1;
		is(decrypt(m, p.priv, sealed, 256, out, &n), CKR_ENCRYPTED_DATA_INVALID);
	}
	EVP_PKEY_free(judge);
}

Test(rsa_crypt, oaep_label)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, plain, 5};
	uint8_t sealed[600], out[600];
	CK_ULONG n;

	encrypt(MECH_P(CKM_RSA_PKCS_OAEP, oaep), p.pub, 32, sealed);
	is(decrypt(MECH_P(CKM_RSA_PKCS_OAEP, oaep), p.priv, sealed, 256, out, &n), CKR_OK);
	cr_assert(n == 32);
	oaep.ulSourceDataLen = 4;
	is(decrypt(MECH_P(CKM_RSA_PKCS_OAEP, oaep), p.priv, sealed, 256, out, &n), CKR_ENCRYPTED_DATA_INVALID);
}

Test(rsa_crypt, T129_oaep_parameters)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0}, bad = oaep;

	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session, MECH(CKM_RSA_PKCS_OAEP), p.priv);
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session,
	       (&(CK_MECHANISM){CKM_RSA_PKCS_OAEP, &oaep, 8}), p.priv);
	bad.ulSourceDataLen = 5;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, bad), p.priv);
	bad = oaep;
	bad.hashAlg = CKM_MD5;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, bad), p.priv);
	bad = oaep;
	bad.source = 7;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, bad), p.priv);
}

Test(rsa_crypt, T133_no_padding_oracle)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	uint8_t block[256] = {0, 1, 2, 3}, sealed[600], a[600], b[600];
	CK_ULONG n, m;

	/* Not a PKCS#1 block: the answer is a stable message, as for any other, or one and the same error. */
	judge_encrypt(judge, RSA_NO_PADDING, NULL, BYTES_OF(block), sealed);
	CK_RV rv = decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, 256, a, &n);
	cr_assert(rv == CKR_OK || rv == CKR_ENCRYPTED_DATA_INVALID, "%s", rv_name(rv));
	is(decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, 256, b, &m), rv);
	cr_assert(rv != CKR_OK || (n == m && memcmp(a, b, n) == 0));
	is(decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, 255, a, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
	is(decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, 257, a, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
	/* A number above the modulus. */
	memset(sealed, 0xff, 256);
	rv = decrypt(MECH(CKM_RSA_PKCS), p.priv, sealed, 256, a, &n);
	cr_assert(rv == CKR_OK || rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_ENCRYPTED_DATA_LEN_RANGE, "%s", rv_name(rv));
	EVP_PKEY_free(judge);
}

Test(rsa_crypt, T132_too_long)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	uint8_t out[600];
	CK_ULONG n = sizeof out;

	OK(C_EncryptInit, h.session, MECH(CKM_RSA_PKCS), p.pub);
	EXPECT(CKR_DATA_LEN_RANGE, C_Encrypt, h.session, plain, 246, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Encrypt, h.session, plain, 5, out, &n);
}

Test(rsa_crypt, T119_T120_sizes)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	uint8_t sealed[600], out[600];
	CK_ULONG n = 0;

	OK(C_EncryptInit, h.session, MECH(CKM_RSA_PKCS), p.pub);
	OK(C_Encrypt, h.session, plain, 100, NULL, &n);
	cr_assert(n == 256);
	n = 10;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_Encrypt, h.session, plain, 100, sealed, &n);
	cr_assert(n == 256);
	OK(C_Encrypt, h.session, plain, 100, sealed, &n);
	OK(C_DecryptInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
	OK(C_Decrypt, h.session, sealed, 256, NULL, &n);
	cr_assert(n >= 100 && n <= 256);
	n = 99;
	memset(out, 0x5a, sizeof out);
	EXPECT(CKR_BUFFER_TOO_SMALL, C_Decrypt, h.session, sealed, 256, out, &n);
	cr_assert(n >= 100 && n <= 256 && out[0] == 0x5a);
	OK(C_Decrypt, h.session, sealed, 256, out, &n);
	cr_assert(n == 100 && memcmp(out, plain, 100) == 0);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Decrypt, h.session, sealed, 256, out, &n);
}

Test(rsa_crypt, T125_in_place)
{
	struct pair p = rsa_pair(h.session, false, "rsa");
	uint8_t buf[256];
	CK_ULONG n = sizeof buf;

	memcpy(buf, plain, sizeof buf);
	OK(C_EncryptInit, h.session, MECH(CKM_RSA_PKCS), p.pub);
	OK(C_Encrypt, h.session, buf, 100, buf, &n);
	OK(C_DecryptInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
	OK(C_Decrypt, h.session, buf, 256, buf, &n);
	cr_assert(n == 100 && memcmp(buf, plain, 100) == 0);
}

Test(rsa_crypt, usage_and_type)
{
	struct pair p = ec_pair(h.session, false, "ec");
	CK_OBJECT_HANDLE pub, priv;

	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_DecryptInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_BOOL(CKA_ENCRYPT, false)),
	   TEMPLATE(A_BOOL(CKA_DECRYPT, false), A_BOOL(CKA_SIGN, true)), &pub, &priv);
	EXPECT(CKR_KEY_FUNCTION_NOT_PERMITTED, C_DecryptInit, h.session, MECH(CKM_RSA_PKCS), priv);
	EXPECT(CKR_KEY_FUNCTION_NOT_PERMITTED, C_EncryptInit, h.session, MECH(CKM_RSA_PKCS), pub);
}

/* ---- AES ---- */

static const uint8_t aes_value[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
				      0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};

static CK_OBJECT_HANDLE known_aes(void)
{
	CK_OBJECT_HANDLE o;

	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
		    A_BYTES(CKA_VALUE, aes_value, sizeof aes_value), A_BOOL(CKA_ENCRYPT, true), A_BOOL(CKA_DECRYPT, true)),
	   &o);
	return o;
}

static CK_AES_CTR_PARAMS ctr;
static CK_GCM_PARAMS gcm;

/* Modes: the reference, and whether the last block is padded. */
static const struct mode {
	CK_MECHANISM_TYPE type;
	const EVP_CIPHER *(*cipher)(void);
	void *parameter;
	CK_ULONG parameter_len, block;
	bool padded;
} modes[] = {
	{CKM_AES_ECB, EVP_aes_128_ecb, NULL, 0, 16, false},
	{CKM_AES_CBC, EVP_aes_128_cbc, iv, sizeof iv, 16, false},
	{CKM_AES_CBC_PAD, EVP_aes_128_cbc, iv, sizeof iv, 1, true},
	{CKM_AES_CTR, EVP_aes_128_ctr, &ctr, sizeof ctr, 1, false},
	{CKM_AES_CFB128, EVP_aes_128_cfb128, iv, sizeof iv, 1, false},
	{CKM_AES_OFB, EVP_aes_128_ofb, iv, sizeof iv, 1, false},
};

static CK_MECHANISM mechanism_of(const struct mode *m)
{
	ctr.ulCounterBits = 128;
	memcpy(ctr.cb, iv, sizeof ctr.cb);
	return (CK_MECHANISM){m->type, m->parameter, m->parameter_len};
}

static size_t reference(const struct mode *m, size_t n, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int a, b;

	cr_assert(EVP_EncryptInit_ex(c, m->cipher(), NULL, aes_value, iv));
	EVP_CIPHER_CTX_set_padding(c, m->padded);
	cr_assert(EVP_EncryptUpdate(c, out, &a, plain, (int)n) && EVP_EncryptFinal_ex(c, out + a, &b));
	EVP_CIPHER_CTX_free(c);
	return (size_t)(a + b);
}

Test(cipher, modes_against_libcrypto)
{
	CK_OBJECT_HANDLE key = known_aes();
	uint8_t want[600], got[600], back[600];
	CK_ULONG n;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (!has_mechanism(modes[i].type, CKF_ENCRYPT | CKF_DECRYPT))
			continue;
		CK_MECHANISM m = mechanism_of(&modes[i]);
		for (CK_ULONG len = 0; len <= 64; len += modes[i].block) {
			size_t size = reference(&modes[i], len, want);
			cr_assert(encrypt(&m, key, len, got) == size);
			cr_assert(size == 0 || memcmp(got, want, size) == 0, "0x%lx, %lu bytes", m.mechanism, len);
			is(decrypt(&m, key, got, size, back, &n), CKR_OK);
			cr_assert(n == len && (n == 0 || memcmp(back, plain, n) == 0));
		}
	}
}

/* Encrypts and decrypts in pieces of a given size; every output size is asked first. */
static void in_pieces(const struct mode *mode, CK_OBJECT_HANDLE key, CK_ULONG piece)
{
	CK_MECHANISM m = mechanism_of(mode);
	uint8_t want[600], got[600], back[600];
	CK_ULONG n, total = 0;
	size_t size = reference(mode, 96, want);

	OK(C_EncryptInit, h.session, &m, key);
	for (CK_ULONG at = 0; at < 96; at += n) {
		CK_ULONG out = 0, in = MIN(piece, 96 - at);
		OK(C_EncryptUpdate, h.session, plain + at, in, NULL, &out);
		cr_assert(out <= in + 16);
		OK(C_EncryptUpdate, h.session, plain + at, in, got + total, &out);
		total += out;
		n = in;
	}
	n = sizeof got - total;
	OK(C_EncryptFinal, h.session, got + total, &n);
	total += n;
	cr_assert(total == size && memcmp(got, want, size) == 0, "0x%lx in pieces of %lu", m.mechanism, piece);
	CK_ULONG back_len = 0;
	OK(C_DecryptInit, h.session, &m, key);
	for (CK_ULONG at = 0; at < size; at += n) {
		CK_ULONG out = sizeof back - back_len;
		n = MIN(piece, size - at);
		OK(C_DecryptUpdate, h.session, got + at, n, back + back_len, &out);
		back_len += out;
	}
	n = sizeof back - back_len;
	OK(C_DecryptFinal, h.session, back + back_len, &n);
	cr_assert(back_len + n == 96 && memcmp(back, plain, 96) == 0);
}

Test(cipher, multi_part)
{
	static const CK_ULONG pieces[] = {1, 5, 15, 16, 17, 32, 95, 96};
	CK_OBJECT_HANDLE key = known_aes();

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		for (size_t k = 0; k < ARRAY_LEN(pieces) && has_mechanism(modes[i].type, CKF_ENCRYPT); k++)
			in_pieces(&modes[i], key, pieces[k]);
}

Test(cipher, T132_T133_lengths)
{
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM cbc = {CKM_AES_CBC, iv, 16}, pad = {CKM_AES_CBC_PAD, iv, 16};
	uint8_t out[600], sealed[600];
	CK_ULONG n = sizeof out;

	need_mechanism(CKM_AES_CBC, CKF_ENCRYPT);
	OK(C_EncryptInit, h.session, &cbc, key);
	EXPECT(CKR_DATA_LEN_RANGE, C_Encrypt, h.session, plain, 17, out, &n);
	OK(C_EncryptInit, h.session, &cbc, key);
	n = sizeof out;
	OK(C_EncryptUpdate, h.session, plain, 17, out, &n);
	n = sizeof out;
	EXPECT(CKR_DATA_LEN_RANGE, C_EncryptFinal, h.session, out, &n);
	is(decrypt(&cbc, key, plain, 17, out, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
	encrypt(&pad, key, 20, sealed);
	is(decrypt(&pad, key, sealed, 31, out, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
	sealed[15] ^= 0xff;
	is(decrypt(&pad, key, sealed, 32, out, &n), CKR_ENCRYPTED_DATA_INVALID);
}

Test(cipher, T134_last_block_is_held_back)
{
	need_mechanism(CKM_AES_CBC_PAD, CKF_DECRYPT);
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM pad = {CKM_AES_CBC_PAD, iv, 16};
	uint8_t sealed[600], out[64];

	encrypt(&pad, key, 16, sealed);
	OK(C_DecryptInit, h.session, &pad, key);
	CK_ULONG n = sizeof out;
	OK(C_DecryptUpdate, h.session, sealed, 16, out, &n);
	cr_assert(n == 0);
	n = sizeof out;
	OK(C_DecryptUpdate, h.session, sealed + 16, 16, out, &n);
	cr_assert(n == 16);
	n = sizeof out;
	OK(C_DecryptFinal, h.session, out, &n);
	cr_assert(n == 0);
}

Test(cipher, T120_T125_small_buffers_and_in_place)
{
	need_mechanism(CKM_AES_CBC, CKF_ENCRYPT);
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM cbc = {CKM_AES_CBC, iv, 16};
	uint8_t buf[64], want[600];
	CK_ULONG n = 10;

	reference(&modes[1], 64, want);
	memcpy(buf, plain, sizeof buf);
	OK(C_EncryptInit, h.session, &cbc, key);
	EXPECT(CKR_BUFFER_TOO_SMALL, C_EncryptUpdate, h.session, buf, 32, buf, &n);
	cr_assert(n == 32);
	OK(C_EncryptUpdate, h.session, buf, 32, buf, &n);
	n = 32;
	OK(C_EncryptUpdate, h.session, buf + 32, 32, buf + 32, &n);
	n = 0;
	OK(C_EncryptFinal, h.session, buf, &n);
	cr_assert(n == 0);
	cr_assert_arr_eq(buf, want, 64);
	OK(C_DecryptInit, h.session, &cbc, key);
	n = sizeof buf;
	OK(C_Decrypt, h.session, buf, 64, buf, &n);
	cr_assert_arr_eq(buf, plain, 64);
}

/* Who says that his buffer is as long as can be has one that begins at the input all the same. */
Test(cipher, T125_in_place_with_room_for_anything)
{
	need_mechanism(CKM_AES_CBC, CKF_ENCRYPT);
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM cbc = {CKM_AES_CBC, iv, 16};
	uint8_t buf[96], want[600];

	reference(&modes[1], 64, want);
	memcpy(buf, plain, sizeof buf);
	OK(C_EncryptInit, h.session, &cbc, key);
	CK_ULONG n = ~0ul, done = 0;
	for (size_t at = 0; at < 64; at += 8, done += n, n = ~0ul) /* half a block is held back each time */
		OK(C_EncryptUpdate, h.session, buf + at, 8, buf + done, &n);
	cr_assert(done == 64);
	OK(C_EncryptFinal, h.session, NULL, &n);
	OK(C_EncryptFinal, h.session, buf + 64, &n);
	cr_assert(n == 0);
	cr_assert_arr_eq(buf, want, 64);
	/* Askew, a little before and behind the input. */
	for (ptrdiff_t shift = -3; shift <= 3; shift += 6) {
		memcpy(buf + 8, plain, 64);
		OK(C_EncryptInit, h.session, &cbc, key);
		n = ~0ul;
		OK(C_Encrypt, h.session, buf + 8, 64, buf + 8 + shift, &n);
		cr_assert(n == 64);
		cr_assert_arr_eq(buf + 8 + shift, want, 64);
	}
}

Test(cipher, T129_parameters)
{
	need_mechanism(CKM_AES_CBC, CKF_ENCRYPT);
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM bad[] = {
		{CKM_AES_CBC, iv, 15}, {CKM_AES_CBC, NULL, 16}, {CKM_AES_CBC, NULL, 0}, {CKM_AES_CBC_PAD, iv, 17},
		{CKM_AES_ECB, iv, 16}, {CKM_AES_CTR, iv, 16}, {CKM_AES_GCM, iv, 3},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CK_RV rv = CALL(C_EncryptInit, h.session, &bad[i], key);
		cr_assert(rv == CKR_MECHANISM_PARAM_INVALID || (rv == CKR_MECHANISM_INVALID && i > 3), "%zu: %s", i,
			  rv_name(rv));
	}
}

/* GCM: sealed by libcrypto, opened by the token, and the other way round. */
static void gcm_reference(const uint8_t *aad, int aad_len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	cr_assert(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, aes_value, iv));
	cr_assert(EVP_EncryptUpdate(c, NULL, &n, aad, aad_len) && EVP_EncryptUpdate(c, out, &n, plain, 50));
	cr_assert(EVP_EncryptFinal_ex(c, out + n, &n));
	cr_assert(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, out + 50));
	EVP_CIPHER_CTX_free(c);
}

Test(cipher, gcm)
{
	need_mechanism(CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT);
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof gcm};
	uint8_t want[600], got[600], back[600];
	CK_ULONG n;

	gcm = (CK_GCM_PARAMS){.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .pAAD = plain, .ulAADLen = 7, .ulTagBits = 128};
	gcm_reference(plain, 7, want);
	cr_assert(encrypt(&m, key, 50, got) == 66);
	cr_assert_arr_eq(got, want, 66);
	is(decrypt(&m, key, want, 66, back, &n), CKR_OK);
	cr_assert(n == 50 && memcmp(back, plain, 50) == 0);
	/* Nothing of the plaintext comes out before the tag has been checked. */
	want[3] ^= 1;
	memset(back, 0x5a, sizeof back);
	CK_RV rv = decrypt(&m, key, want, 66, back, &n);
	cr_assert(rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_AEAD_DECRYPT_FAILED, "%s", rv_name(rv));
	cr_assert(memcmp(back, plain, 16) != 0);
	want[3] ^= 1;
	OK(C_DecryptInit, h.session, &m, key);
	n = sizeof back;
	OK(C_DecryptUpdate, h.session, want, 60, back, &n);
	cr_assert(n == 0);
	n = sizeof back;
	OK(C_DecryptUpdate, h.session, want + 60, 6, back, &n);
	cr_assert(n == 0);
	n = sizeof back;
	OK(C_DecryptFinal, h.session, back, &n);
	cr_assert(n == 50 && memcmp(back, plain, 50) == 0);
	is(decrypt(&m, key, want, 15, back, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
}

Test(cipher, generated_keys)
{
	static const CK_ULONG sizes[] = {16, 24, 32};
	uint8_t sealed[600], out[600];
	CK_ULONG n;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CK_OBJECT_HANDLE key = aes_key(h.session, sizes[i]);
		CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, 16};
		cr_assert(attribute_ulong(h.session, key, CKA_VALUE_LEN) == sizes[i]);
		n = encrypt(&m, key, 33, sealed);
		is(decrypt(&m, key, sealed, n, out, &n), CKR_OK);
		cr_assert(n == 33 && memcmp(out, plain, n) == 0);
	}
}

Test(cipher, T115_T116_T122_rules)
{
	need_mechanism(CKM_AES_CBC, CKF_ENCRYPT);
	CK_OBJECT_HANDLE key = known_aes();
	CK_MECHANISM cbc = {CKM_AES_CBC, iv, 16};
	uint8_t out[64];
	CK_ULONG n = sizeof out;

	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Encrypt, h.session, plain, 16, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_EncryptUpdate, h.session, plain, 16, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_EncryptFinal, h.session, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Decrypt, h.session, plain, 16, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DecryptUpdate, h.session, plain, 16, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DecryptFinal, h.session, out, &n);
	OK(C_EncryptInit, h.session, &cbc, key);
	EXPECT(CKR_OPERATION_ACTIVE, C_EncryptInit, h.session, &cbc, key);
	OK(C_DecryptInit, h.session, &cbc, key);
	OK(C_EncryptUpdate, h.session, plain, 16, out, &n);
	EXPECT(CKR_OPERATION_ACTIVE, C_Encrypt, h.session, plain, 16, out, &n);
	n = sizeof out;
	OK(C_Decrypt, h.session, out, 16, out, &n);
	OK(C_DecryptInit, h.session, &cbc, key);
	OK(C_DecryptInit, h.session, NULL, key);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DecryptFinal, h.session, out, &n);
	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_EncryptInit, h.session, &cbc, hmac_key(h.session, plain, 16));
	EXPECT(CKR_KEY_HANDLE_INVALID, C_EncryptInit, h.session, &cbc, 0);
}

/* ---- key wrapping as a cipher: one block, of any length that fits ---- */

static size_t wrap_reference(const EVP_CIPHER *cipher, size_t n, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int a;

	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	cr_assert(EVP_EncryptInit_ex(c, cipher, NULL, aes_value, NULL) == 1);
	cr_assert(EVP_EncryptUpdate(c, out, &a, plain, (int)n) == 1);
	EVP_CIPHER_CTX_free(c);
	return (size_t)a;
}

static void wrap_and_back(CK_MECHANISM_TYPE type, const EVP_CIPHER *cipher, CK_ULONG len)
{
	uint8_t want[600], got[600], back[600];
	CK_OBJECT_HANDLE key = known_aes();
	CK_ULONG n = 0;
	size_t size = wrap_reference(cipher, len, want);

	OK(C_EncryptInit, h.session, MECH(type), key);
	OK(C_Encrypt, h.session, plain, len, NULL, &n);
	cr_assert(n == size);
	n = size - 1;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_Encrypt, h.session, plain, len, got, &n);
	cr_assert(n == size);
	OK(C_Encrypt, h.session, plain, len, got, &n);
	cr_assert(n == size && memcmp(got, want, n) == 0, "0x%lx, %lu bytes", type, len);
	is(decrypt(MECH(type), key, got, n, back, &n), CKR_OK);
	cr_assert(n == len && memcmp(back, plain, n) == 0);
	/* What came in parts is collected, and in place is in place (T125). */
	OK(C_EncryptInit, h.session, MECH(type), key);
	n = 0;
	OK(C_EncryptUpdate, h.session, plain, len / 2, got, &n);
	OK(C_EncryptUpdate, h.session, plain + len / 2, len - len / 2, got, &n);
	n = sizeof got;
	OK(C_EncryptFinal, h.session, got, &n);
	cr_assert(n == size && memcmp(got, want, n) == 0);
	OK(C_DecryptInit, h.session, MECH(type), key);
	n = sizeof got;
	OK(C_Decrypt, h.session, got, size, got, &n);
	cr_assert(n == len && memcmp(got, plain, n) == 0);
	OK(C_DestroyObject, h.session, key);
}

Test(cipher, key_wrap)
{
	need_mechanism(CKM_AES_KEY_WRAP, CKF_ENCRYPT | CKF_DECRYPT);
	for (CK_ULONG len = 16; len <= 128; len += 8)
		wrap_and_back(CKM_AES_KEY_WRAP, EVP_aes_128_wrap(), len);
	for (CK_ULONG len = 1; len <= 40; len++)
		wrap_and_back(CKM_AES_KEY_WRAP_KWP, EVP_aes_128_wrap_pad(), len);
}

Test(cipher, T132_T133_key_wrap_lengths)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_ULONG encrypt[3], decrypt[3];
	} rows[] = {{CKM_AES_KEY_WRAP, {0, 8, 17}, {16, 25, 0}}, {CKM_AES_KEY_WRAP_KWP, {0, 0, 0}, {8, 17, 0}}};
	CK_OBJECT_HANDLE key = known_aes();
	uint8_t out[600];
	CK_ULONG n;

	need_mechanism(CKM_AES_KEY_WRAP, CKF_ENCRYPT | CKF_DECRYPT);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < 3; k++) {
			OK(C_EncryptInit, h.session, MECH(rows[i].type), key);
			n = 0; /* the length is wrong whatever the buffer */
			EXPECT(CKR_DATA_LEN_RANGE, C_Encrypt, h.session, plain, rows[i].encrypt[k], out, &n);
			is(decrypt(MECH(rows[i].type), key, plain, rows[i].decrypt[k], out, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
		}
		is(decrypt(MECH(rows[i].type), key, plain, 32, out, &n), CKR_ENCRYPTED_DATA_INVALID);
	}
}

/* Random numbers (5.19; T158) and digests (5.12; T115 to T125, T135, T137). */
#include "harness.h"

#include <openssl/evp.h>

TestSuite(random, .init = session_up, .fini = harness_down, .timeout = 60);
TestSuite(digest, .init = session_up, .fini = harness_down, .timeout = 60);

Test(random, T158_random)
{
	uint8_t a[200] = {0}, b[200] = {0}, seed[32] = {1};

	cr_assert(token_flags() & CKF_RNG);
	OK(C_GenerateRandom, h.session, a, sizeof a);
	OK(C_GenerateRandom, h.session, b, sizeof b);
	cr_assert(memcmp(a, b, sizeof a) != 0);
	int zeros = 0;
	for (size_t i = 0; i < sizeof a; i++)
		zeros += a[i] == 0;
	cr_assert(zeros < 20);
	OK(C_GenerateRandom, h.session, NULL, 0);
	EXPECT(CKR_ARGUMENTS_BAD, C_GenerateRandom, h.session, NULL, 1);
	EXPECT_IN((CKR_OK, CKR_RANDOM_SEED_NOT_SUPPORTED), C_SeedRandom, h.session, seed, sizeof seed);
	EXPECT_IN((CKR_ARGUMENTS_BAD, CKR_RANDOM_SEED_NOT_SUPPORTED), C_SeedRandom, h.session, NULL, 5);
}

Test(random, without_login_and_in_any_size)
{
	static uint8_t big[5000];

	OK(C_Logout, h.session);
	for (CK_ULONG n = 1; n < 100; n++) {
		big[n] = 0x5a;
		OK(C_GenerateRandom, h.session, big, n);
		cr_assert(big[n] == 0x5a);
	}
	OK(C_GenerateRandom, h.session, big, sizeof big);
}

static const struct {
	CK_MECHANISM_TYPE type;
	const EVP_MD *(*md)(void);
} digests[] = {
	{CKM_SHA_1, EVP_sha1}, {CKM_SHA224, EVP_sha224}, {CKM_SHA256, EVP_sha256}, {CKM_SHA384, EVP_sha384},
	{CKM_SHA512, EVP_sha512},
};

Test(digest, whole_and_split_everywhere)
{
	uint8_t data[300], want[64], got[64];
	unsigned size;
	CK_ULONG n;

	memset(data, 'd', sizeof data);
	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		cr_assert(EVP_Digest(data, sizeof data, want, &size, digests[i].md(), NULL));
		OK(C_DigestInit, h.session, MECH(digests[i].type));
		n = sizeof got;
		OK(C_Digest, h.session, data, sizeof data, got, &n);
		cr_assert(n == size && memcmp(got, want, n) == 0);
		for (CK_ULONG cut = 0; cut <= sizeof data; cut += 25) {
			OK(C_DigestInit, h.session, MECH(digests[i].type));
			OK(C_DigestUpdate, h.session, data, cut);
			OK(C_DigestUpdate, h.session, data + cut, sizeof data - cut);
			n = sizeof got;
			OK(C_DigestFinal, h.session, got, &n);
			cr_assert(n == size && memcmp(got, want, n) == 0);
		}
	}
}

Test(digest, of_nothing)
{
	uint8_t want[32], got[32];
	CK_ULONG n = sizeof got;

	cr_assert(EVP_Digest("", 0, want, NULL, EVP_sha256(), NULL));
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_Digest, h.session, NULL, 0, got, &n);
	cr_assert_arr_eq(got, want, 32);
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_DigestFinal, h.session, got, &n);
	cr_assert_arr_eq(got, want, 32);
}

Test(digest, T115_without_init)
{
	uint8_t out[32];
	CK_ULONG n = sizeof out;

	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Digest, h.session, out, 1, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DigestUpdate, h.session, out, 1);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal, h.session, out, &n);
}

Test(digest, T116_active)
{
	uint8_t out[32], want[32];
	CK_ULONG n = sizeof out;

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_DigestUpdate, h.session, (CK_BYTE *)"a", 1);
	EXPECT(CKR_OPERATION_ACTIVE, C_DigestInit, h.session, MECH(CKM_SHA512));
	OK(C_DigestUpdate, h.session, (CK_BYTE *)"bc", 2);
	OK(C_DigestFinal, h.session, out, &n);
	cr_assert(EVP_Digest("abc", 3, want, NULL, EVP_sha256(), NULL));
	cr_assert_arr_eq(out, want, 32);
}

Test(digest, T117_null_mechanism_cancels)
{
	uint8_t out[32];
	CK_ULONG n = sizeof out;

	EXPECT_IN((CKR_MECHANISM_INVALID, CKR_ARGUMENTS_BAD, CKR_OK), C_DigestInit, h.session, NULL);
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_DigestInit, h.session, NULL);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal, h.session, out, &n);
}

Test(digest, T119_T120_sizes)
{
	uint8_t out[40];
	CK_ULONG n = 0;

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_Digest, h.session, (CK_BYTE *)"abc", 3, NULL, &n);
	cr_assert(n == 32);
	memset(out, 0x5a, sizeof out);
	for (CK_ULONG small = 0; small < 32; small++) {
		n = small;
		EXPECT(CKR_BUFFER_TOO_SMALL, C_Digest, h.session, (CK_BYTE *)"abc", 3, out, &n);
		cr_assert(n == 32);
	}
	for (size_t i = 0; i < sizeof out; i++)
		cr_assert(out[i] == 0x5a);
	n = sizeof out;
	OK(C_Digest, h.session, (CK_BYTE *)"abc", 3, out, &n);
	cr_assert(n == 32 && out[32] == 0x5a);
	uint8_t want[32];
	cr_assert(EVP_Digest("abc", 3, want, NULL, EVP_sha256(), NULL));
	cr_assert_arr_eq(out, want, 32);
}

Test(digest, T119_final_sizes)
{
	uint8_t out[32];
	CK_ULONG n = 5;

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_DigestUpdate, h.session, (CK_BYTE *)"abc", 3);
	OK(C_DigestFinal, h.session, NULL, &n);
	cr_assert(n == 32);
	n = 31;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_DigestFinal, h.session, out, &n);
	OK(C_DigestFinal, h.session, out, &n);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal, h.session, out, &n);
}

Test(digest, T121_errors_end_it)
{
	uint8_t out[32];
	CK_ULONG n = sizeof out;

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	EXPECT(CKR_ARGUMENTS_BAD, C_Digest, h.session, out, 1, out, NULL);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_Digest, h.session, out, 1, out, &n);
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	EXPECT(CKR_ARGUMENTS_BAD, C_DigestUpdate, h.session, NULL, 1);
	EXPECT(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal, h.session, out, &n);
}

Test(digest, T122_one_shot_after_update)
{
	uint8_t out[32];
	CK_ULONG n = sizeof out;

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_DigestUpdate, h.session, out, 1);
	EXPECT(CKR_OPERATION_ACTIVE, C_Digest, h.session, out, 1, out, &n);
}

Test(digest, T125_in_place)
{
	uint8_t buf[32], want[32];
	CK_ULONG n = sizeof buf;

	memset(buf, 7, sizeof buf);
	cr_assert(EVP_Digest(buf, sizeof buf, want, NULL, EVP_sha256(), NULL));
	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_Digest, h.session, buf, sizeof buf, buf, &n);
	cr_assert_arr_eq(buf, want, 32);
}

Test(digest, T129_parameter)
{
	uint8_t parameter[4] = {0};
	CK_MECHANISM m = {CKM_SHA256, parameter, sizeof parameter};

	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DigestInit, h.session, &m);
	EXPECT(CKR_MECHANISM_INVALID, C_DigestInit, h.session, MECH(CKM_RSA_PKCS));
	EXPECT(CKR_MECHANISM_INVALID, C_DigestInit, h.session, MECH(0x7fffff00));
}

Test(digest, T135_of_a_key)
{
	CK_OBJECT_HANDLE key = hmac_key(h.session, "0123456789abcdef", 16);

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	EXPECT_IN((CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_INDIGESTIBLE, CKR_OK), C_DigestKey, h.session, key);
}

Test(digest, beside_a_signature)
{
	static const uint8_t key_bytes[32] = {3};
	uint8_t out[32];
	CK_ULONG n = sizeof out;
	CK_OBJECT_HANDLE key = hmac_key(h.session, key_bytes, sizeof key_bytes);

	OK(C_DigestInit, h.session, MECH(CKM_SHA256));
	OK(C_SignInit, h.session, MECH(CKM_SHA256_HMAC), key);
	OK(C_DigestUpdate, h.session, out, 3);
	OK(C_SignUpdate, h.session, out, 3);
	OK(C_DigestFinal, h.session, out, &n);
	n = sizeof out;
	OK(C_SignFinal, h.session, out, &n);
}

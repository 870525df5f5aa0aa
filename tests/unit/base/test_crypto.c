/* module/base/crypto.c, against published vectors. */
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto.h"

static void expect_hex(const uint8_t *p, const char *hex)
{
	uint8_t want[64];
	size_t n = strlen(hex) / 2;

	cr_assert(hex_decode(hex, want, n));
	cr_assert_arr_eq(p, want, n);
}

Test(crypto, digests_of_abc) /* FIPS 180-4 examples */
{
	static const char *const want[HASH_COUNT] = {
		[HASH_SHA1] = "a9993e364706816aba3e25717850c26c9cd0d89d",
		[HASH_SHA224] = "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
		[HASH_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		[HASH_SHA384] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
				"8086072ba1e7cc2358baeca134c825a7",
		[HASH_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
				"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	};

	for (size_t i = 0; i < HASH_COUNT; i++) {
		uint8_t out[64];

		cr_assert_eq(crypto_hashes[i].id, i);
		cr_assert_eq(hash_once(&crypto_hashes[i], BYTES("abc", 3), out), CKR_OK);
		expect_hex(out, want[i]);
		cr_assert_eq(crypto_hashes[i].digest_info.ptr[crypto_hashes[i].digest_info.len - 1],
			     crypto_hashes[i].size);
	}
	crypto_shutdown();
}

Test(crypto, hmac) /* RFC 4231, case 2 */
{
	struct bytes pieces[] = {BYTES("what do ya ", 11), BYTES("want for nothing?", 17)};
	uint8_t out[32];

	cr_assert_eq(hmac_sha256(BYTES("Jefe", 4), pieces, 2, out), CKR_OK);
	expect_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	crypto_shutdown();
}

Test(crypto, scrypt) /* RFC 7914, section 12: the first 32 bytes of its 64 */
{
	struct key256 out;

	cr_assert_eq(scrypt_256(BYTES("pleaseletmein", 13), BYTES("SodiumChloride", 14), 16384, 8, 1, &out), CKR_OK);
	expect_hex(out.b, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
	crypto_shutdown();
}

Test(crypto, hkdf_tells_uses_apart)
{
	struct key256 secret = {{1}}, a, b, c;

	cr_assert_eq(hkdf_sha256(&secret, "one", NO_BYTES, &a), CKR_OK);
	cr_assert_eq(hkdf_sha256(&secret, "two", NO_BYTES, &b), CKR_OK);
	cr_assert_eq(hkdf_sha256(&secret, "one", BYTES("x", 1), &c), CKR_OK);
	cr_assert_arr_neq(a.b, b.b, 32);
	cr_assert_arr_neq(a.b, c.b, 32);
	crypto_shutdown();
}

Test(crypto, a_seal_opens_with_its_key_and_data_only)
{
	struct key256 key = {{1}}, other = {{2}};
	struct buffer sealed CLEANUP(buffer_done), plain CLEANUP(buffer_done);

	buffer_init(&sealed, 100);
	buffer_init(&plain, 100);
	cr_assert_eq(aead_seal(&key, BYTES("aad", 3), BYTES("text", 4), &sealed), CKR_OK);
	cr_assert_eq(sealed.len, 4u + AEAD_OVERHEAD);
	cr_assert_eq(aead_open(&other, BYTES("aad", 3), buffer_bytes(&sealed), &plain), CKR_FUNCTION_FAILED);
	cr_assert_eq(aead_open(&key, BYTES("aax", 3), buffer_bytes(&sealed), &plain), CKR_FUNCTION_FAILED);
	sealed.ptr[13] ^= 1;
	cr_assert_eq(aead_open(&key, BYTES("aad", 3), buffer_bytes(&sealed), &plain), CKR_FUNCTION_FAILED);
	sealed.ptr[13] ^= 1;
	cr_assert_eq(plain.len, 0u);
	cr_assert_eq(aead_open(&key, BYTES("aad", 3), buffer_bytes(&sealed), &plain), CKR_OK);
	cr_assert(bytes_equal(buffer_bytes(&plain), BYTES("text", 4)));
	crypto_shutdown();
}

/* reason 0: libcrypto says nothing.  In `refused` it may have been about what it was given. */
static const struct {
	int reason;
	CK_RV failed, refused;
} failures[] = {
	{0, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR},
	{EVP_R_BAD_DECRYPT, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR},
	{ERR_R_EC_LIB, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR},
	{ERR_R_INTERNAL_ERROR, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED},
	{ERR_R_MALLOC_FAILURE, CKR_HOST_MEMORY, CKR_HOST_MEMORY},
};

static void fail_each_way(unsigned long before)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		if (failures[i].reason)
			ERR_raise(ERR_LIB_EVP, failures[i].reason);
		cr_assert_eq(crypto_failed("a test", CKR_DEVICE_ERROR), failures[i].failed);
		cr_assert_eq(ERR_peek_last_error(), before);
		if (failures[i].reason)
			ERR_raise(ERR_LIB_EVP, failures[i].reason);
		cr_assert_eq(crypto_refused("a test", CKR_DEVICE_ERROR), failures[i].refused);
		cr_assert_eq(ERR_peek_last_error(), before);
	}
}

Test(crypto, what_libcrypto_says_of_a_failure)
{
	ERR_clear_error();
	fail_each_way(0);
}

/* What the application left in the queue is its own, and says nothing of our failure. */
Test(crypto, what_the_application_left)
{
	ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
	cr_assert_eq(ERR_set_mark(), 1);
	fail_each_way(ERR_peek_last_error());
	cr_assert_eq(ERR_pop_to_mark(), 1);
}

/* module/soft/op_cipher.c: FIPS 197, SP 800-38A, the GCM specification; each way of feeding; bad input. */
#include "soft_test.h"

#define SP_KEY "2b7e151628aed2a6abf7158809cf4f3c"
#define SP_PLAIN                                                                                                       \
	"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"                                             \
	"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"

static void both_ways(const struct scheme *s, const char *key, const char *plain, const char *cipher)
{
	struct data k = hex(key), p = hex(plain), c = hex(cipher);
	struct soft_key *sk = secret_key(CKK_AES, DATA_BYTES(k));

	every_way(OP_ENCRYPT, s, sk, DATA_BYTES(p), DATA_BYTES(c));
	every_way(OP_DECRYPT, s, sk, DATA_BYTES(c), DATA_BYTES(p));
	soft_key_unref(sk);
}

Test(cipher, ecb) /* FIPS 197, appendix C */
{
	static const char plain[] = "00112233445566778899aabbccddeeff";
	struct scheme s = {.type = CKM_AES_ECB};

	both_ways(&s, "000102030405060708090a0b0c0d0e0f", plain, "69c4e0d86a7b0430d8cdb78070b4c55a");
	both_ways(&s, "000102030405060708090a0b0c0d0e0f1011121314151617", plain, "dda97ca4864cdfe06eaf70a0ec0d7191");
	both_ways(&s, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", plain,
		  "8ea2b7ca516745bfeafc49904b496089");
}

Test(cipher, cbc) /* SP 800-38A, F.2.1 */
{
	struct data iv = hex("000102030405060708090a0b0c0d0e0f");
	struct scheme s = {.type = CKM_AES_CBC, .iv = DATA_BYTES(iv)};

	both_ways(&s, SP_KEY, SP_PLAIN,
		  "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
		  "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7");
}

Test(cipher, ctr) /* SP 800-38A, F.5.1 */
{
	struct data iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
	struct scheme s = {.type = CKM_AES_CTR, .iv = DATA_BYTES(iv), .counter_bits = 128};

	both_ways(&s, SP_KEY, SP_PLAIN,
		  "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
		  "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee");
}

Test(cipher, gcm) /* McGrew and Viega's test case 4 */
{
	struct data iv = hex("cafebabefacedbaddecaf888"), aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
	struct scheme s = {.type = CKM_AES_GCM, .iv = DATA_BYTES(iv), .aad = DATA_BYTES(aad), .tag_len = 16};

	both_ways(&s, "feffe9928665731c6d6a8f9467308308",
		  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
		  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
		  "5bc94fbc3221a5db94fae95ae7121a47");
}

Test(cipher, gcm_of_nothing) /* test case 1 */
{
	struct data iv = hex("000000000000000000000000");
	struct scheme s = {.type = CKM_AES_GCM, .iv = DATA_BYTES(iv), .tag_len = 16};

	both_ways(&s, "00000000000000000000000000000000", "", "58e2fccefa7e3061367f1d57a4e7455a");
	s.tag_len = 12;
	both_ways(&s, "00000000000000000000000000000000", "", "58e2fccefa7e3061367f1d57");
}

/* Every length around two blocks, against libcrypto at one go. */
Test(cipher, cbc_pad)
{
	struct data key = hex(SP_KEY), iv = hex("000102030405060708090a0b0c0d0e0f"), plain = hex(SP_PLAIN);
	struct scheme s = {.type = CKM_AES_CBC_PAD, .iv = DATA_BYTES(iv)};
	struct soft_key *k = secret_key(CKK_AES, DATA_BYTES(key));
	EVP_CIPHER *cbc = EVP_CIPHER_fetch(crypto_lib(), "AES-128-CBC", NULL);

	for (size_t len = 0; len <= 33; len++) {
		EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
		uint8_t want[64];
		int n = 0, rest = 0;

		cr_assert_eq(EVP_EncryptInit_ex2(c, cbc, key.b, iv.b, NULL), 1);
		cr_assert_eq(EVP_EncryptUpdate(c, want, &n, plain.b, (int)len), 1);
		cr_assert_eq(EVP_EncryptFinal_ex(c, want + n, &rest), 1);
		EVP_CIPHER_CTX_free(c);
		every_way(OP_ENCRYPT, &s, k, BYTES(plain.b, len), BYTES(want, (size_t)(n + rest)));
		every_way(OP_DECRYPT, &s, k, BYTES(want, (size_t)(n + rest)), BYTES(plain.b, len));
	}
	EVP_CIPHER_free(cbc);
	soft_key_unref(k);
}

static CK_RV try(enum op_kind kind, const struct scheme *s, size_t len)
{
	struct data key = hex(SP_KEY), in = {.len = len}, out = {.len = 0};
	struct soft_key *k = secret_key(CKK_AES, DATA_BYTES(key));
	CK_RV rv = once(kind, s, k, DATA_BYTES(in), &out);

	soft_key_unref(k);
	return rv;
}

Test(cipher, lengths)
{
	static const uint8_t iv[16] = {0};
	struct scheme ecb = {.type = CKM_AES_ECB}, cbc = {.type = CKM_AES_CBC, .iv = BYTES_OF(iv)};
	struct scheme pad = {.type = CKM_AES_CBC_PAD, .iv = BYTES_OF(iv)};
	struct scheme gcm = {.type = CKM_AES_GCM, .iv = BYTES_OF(iv), .tag_len = 16};

	for (size_t len = 1; len < 16; len++) {
		cr_assert_eq(try(OP_ENCRYPT, &ecb, 16 + len), CKR_DATA_LEN_RANGE);
		cr_assert_eq(try(OP_DECRYPT, &ecb, len), CKR_ENCRYPTED_DATA_LEN_RANGE);
		cr_assert_eq(try(OP_ENCRYPT, &cbc, len), CKR_DATA_LEN_RANGE);
		cr_assert_eq(try(OP_DECRYPT, &cbc, 16 + len), CKR_ENCRYPTED_DATA_LEN_RANGE);
		cr_assert_eq(try(OP_DECRYPT, &pad, len), CKR_ENCRYPTED_DATA_LEN_RANGE);
		cr_assert_eq(try(OP_DECRYPT, &gcm, len), CKR_ENCRYPTED_DATA_LEN_RANGE);
	}
	cr_assert_eq(try(OP_DECRYPT, &pad, 0), CKR_ENCRYPTED_DATA_LEN_RANGE);
	cr_assert_eq(try(OP_DECRYPT, &pad, 32), CKR_ENCRYPTED_DATA_INVALID);
	cr_assert_eq(try(OP_DECRYPT, &gcm, 32), CKR_ENCRYPTED_DATA_INVALID);
	cr_assert_eq(try(OP_ENCRYPT, &ecb, 0), CKR_OK);
}

Test(cipher, parameters)
{
	static const uint8_t iv[129] = {0};

	for (size_t len = 0; len <= 17; len++) {
		struct scheme cbc = {.type = CKM_AES_CBC, .iv = BYTES(iv, len)};
		struct scheme ctr = {.type = CKM_AES_CTR, .iv = BYTES(iv, len), .counter_bits = 32};

		cr_assert_eq(try(OP_ENCRYPT, &cbc, 16), len == 16 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
		cr_assert_eq(try(OP_ENCRYPT, &ctr, 16), len == 16 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
	}
	for (size_t len = 0; len <= 129; len++) {
		struct scheme gcm = {.type = CKM_AES_GCM, .iv = BYTES(iv, len), .tag_len = 16};

		cr_assert_eq(try(OP_ENCRYPT, &gcm, 16), len > 0 && len < 129 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
	}
	for (size_t len = 0; len <= 17; len++) {
		struct scheme gcm = {.type = CKM_AES_GCM, .iv = BYTES(iv, 12), .tag_len = len};

		cr_assert_eq(try(OP_ENCRYPT, &gcm, 16) == CKR_OK, len > 0 && len < 17);
	}
}

/* A counter of four bits that begins at 14 has two blocks left. */
Test(cipher, ctr_stops_before_it_repeats)
{
	static const uint8_t block[16] = {[15] = 0x0e}, wide[16] = {[8] = 0xff, [9] = 0xff, [15] = 0xfe};
	struct scheme s = {.type = CKM_AES_CTR, .iv = BYTES_OF(block), .counter_bits = 4};

	cr_assert_eq(try(OP_ENCRYPT, &s, 32), CKR_OK);
	cr_assert_eq(try(OP_ENCRYPT, &s, 33), CKR_DATA_LEN_RANGE);
	cr_assert_eq(try(OP_DECRYPT, &s, 33), CKR_ENCRYPTED_DATA_LEN_RANGE);
	s.counter_bits = 5;
	cr_assert_eq(try(OP_ENCRYPT, &s, 33), CKR_OK);
	s = (struct scheme){.type = CKM_AES_CTR, .iv = BYTES_OF(wide), .counter_bits = 64};
	cr_assert_eq(try(OP_ENCRYPT, &s, 64), CKR_OK);
	for (unsigned bits = 0; bits <= 129; bits += 129) {
		s.counter_bits = bits;
		cr_assert_eq(try(OP_ENCRYPT, &s, 1), CKR_MECHANISM_PARAM_INVALID);
	}
}

/* Any bit of ciphertext or tag turned: refused, and nothing is given out. */
Test(cipher, gcm_releases_nothing_forged)
{
	static const uint8_t iv[12] = {1}, plain[20] = "twenty bytes of text";
	struct scheme s = {.type = CKM_AES_GCM, .iv = BYTES_OF(iv), .tag_len = 16};
	struct data key = hex(SP_KEY), sealed;
	struct soft_key *k = secret_key(CKK_AES, DATA_BYTES(key));

	cr_assert_eq(once(OP_ENCRYPT, &s, k, BYTES_OF(plain), &sealed), CKR_OK);
	cr_assert_eq(sealed.len, 36);
	for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
		uint8_t out[20];
		struct outbuf o = {.ptr = out, .cap = sizeof out};
		struct data bad = sealed;
		struct soft_op *op;
		size_t max;

		bad.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 0xee, sizeof out);
		cr_assert_eq(soft_op_begin(OP_DECRYPT, &s, k, &op, &max), CKR_OK);
		cr_assert_eq(soft_op_update(op, BYTES(bad.b, 30), &o), CKR_OK);
		cr_assert_eq(soft_op_finish(op, BYTES(bad.b + 30, 6), &o), CKR_ENCRYPTED_DATA_INVALID);
		for (size_t i = 0; i < sizeof out; i++)
			cr_assert_eq(out[i], 0xee);
		soft_op_free(op);
	}
	soft_key_unref(k);
}

Test(cipher, room_is_checked)
{
	static const uint8_t in[32] = {0};
	struct scheme s = {.type = CKM_AES_ECB};
	struct data key = hex(SP_KEY);
	struct soft_key *k = secret_key(CKK_AES, DATA_BYTES(key));
	uint8_t out[32];
	struct outbuf small = {.ptr = out, .cap = 31}, enough = {.ptr = out, .cap = 32};
	struct soft_op *op;
	size_t max;

	cr_assert_eq(soft_op_begin(OP_ENCRYPT, &s, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_update(op, BYTES_OF(in), &small), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(soft_op_finish(op, BYTES_OF(in), &small), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(soft_op_finish(op, BYTES_OF(in), &enough), CKR_OK); /* nothing was lost */
	cr_assert_eq(enough.len, 32);
	soft_op_free(op);
	soft_key_unref(k);
}

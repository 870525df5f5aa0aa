/* module/soft/op_cipher.c: FIPS 197, SP 800-38A, the GCM specification, RFC 3394 and RFC 5649; each way of feeding; bad
 * input. */
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

Test(cipher, cfb128) /* SP 800-38A, F.3.13 */
{
	struct data iv = hex("000102030405060708090a0b0c0d0e0f");
	struct scheme s = {.type = CKM_AES_CFB128, .iv = DATA_BYTES(iv)};

	both_ways(&s, SP_KEY, SP_PLAIN,
		  "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"
		  "26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6");
	both_ways(&s, SP_KEY, "6bc1bee22e409f96e93d7e117393172aae2d8a", "3b3fd92eb72dad20333449f8e83cfb4ac8a645");
}

Test(cipher, ofb) /* SP 800-38A, F.4.1 */
{
	struct data iv = hex("000102030405060708090a0b0c0d0e0f");
	struct scheme s = {.type = CKM_AES_OFB, .iv = DATA_BYTES(iv)};

	both_ways(&s, SP_KEY, SP_PLAIN,
		  "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825"
		  "9740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e");
	both_ways(&s, SP_KEY, "6bc1bee22e409f96e93d7e117393172aae2d8a", "3b3fd92eb72dad20333449f8e83cfb4a778950");
}

/* There is no update: in place and not, and what comes out decrypts again. */
static void wraps(const struct scheme *s, const char *key, const char *plain, const char *wrapped)
{
	struct data k = hex(key), p = hex(plain), w = hex(wrapped), out = {.len = 0};
	struct soft_key *sk = secret_key(CKK_AES, DATA_BYTES(k));

	for (int in_place = 0; in_place < 2; in_place++) {
		const struct way way = {.step = 1, .in_place = in_place};

		cr_assert_eq(in_parts(OP_ENCRYPT, s, sk, DATA_BYTES(p), &way, &out), CKR_OK);
		expect(DATA_BYTES(out), DATA_BYTES(w));
		cr_assert_eq(in_parts(OP_DECRYPT, s, sk, DATA_BYTES(w), &way, &out), CKR_OK);
		expect(DATA_BYTES(out), DATA_BYTES(p));
	}
	soft_key_unref(sk);
}

#define KEK192 "000102030405060708090a0b0c0d0e0f1011121314151617"
#define KEK256 KEK192 "18191a1b1c1d1e1f"

Test(cipher, key_wrap) /* RFC 3394, section 4 */
{
	static const char plain[] = "00112233445566778899aabbccddeeff";
	struct data iv = hex("a6a6a6a6a6a6a6a6");
	struct scheme s = {.type = CKM_AES_KEY_WRAP};

	for (int given = 0; given < 2; given++) {
		s.iv = given ? DATA_BYTES(iv) : NO_BYTES;
		wraps(&s, "000102030405060708090a0b0c0d0e0f", plain,
		      "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5");
		wraps(&s, KEK192, plain, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d");
		wraps(&s, KEK256, plain, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7");
		wraps(&s, KEK256, "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
		      "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21");
	}
}

Test(cipher, key_wrap_kwp) /* RFC 5649, section 6 */
{
	static const char kek[] = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8";
	struct data iv = hex("a65959a6");
	struct scheme s = {.type = CKM_AES_KEY_WRAP_KWP};

	for (int given = 0; given < 2; given++) {
		s.iv = given ? DATA_BYTES(iv) : NO_BYTES;
		wraps(&s, kek, "c37b7e6492584340bed12207808941155068f738",
		      "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a");
		wraps(&s, kek, "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f");
	}
}

/* Every length: what the RFC allows comes back; any bit turned, another IV or another key is noticed. */
Test(cipher, key_wrap_notices_changes)
{
	static const CK_MECHANISM_TYPE types[] = {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP};
	static const uint8_t text[40] = "forty bytes of text, or fewer of them...", iv[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct data key = hex(SP_KEY), w, out;
	struct soft_key *k = secret_key(CKK_AES, DATA_BYTES(key)), *other;

	key.b[3] ^= 1;
	other = secret_key(CKK_AES, DATA_BYTES(key));
	for (size_t i = 0; i < 2 * sizeof text; i++) {
		struct scheme s = {.type = types[i % 2]}, with_iv = {.type = s.type, .iv = BYTES(iv, i % 2 ? 4 : 8)};
		bool fits = i % 2 ? i > 1 : i / 2 >= 16 && i / 2 % 8 == 0;

		cr_assert_eq(once(OP_ENCRYPT, &s, k, BYTES(text, i / 2), &w), fits ? CKR_OK : CKR_DATA_LEN_RANGE);
		if (!fits)
			continue;
		cr_assert_eq(once(OP_DECRYPT, &s, k, DATA_BYTES(w), &out), CKR_OK);
		expect(DATA_BYTES(out), BYTES(text, i / 2));
		cr_assert_eq(once(OP_DECRYPT, &with_iv, k, DATA_BYTES(w), &out), CKR_ENCRYPTED_DATA_INVALID);
		cr_assert_eq(once(OP_DECRYPT, &s, other, DATA_BYTES(w), &out), CKR_ENCRYPTED_DATA_INVALID);
		for (size_t bit = 0; bit < 8 * w.len; bit++) {
			w.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
			cr_assert_eq(once(OP_DECRYPT, &s, k, DATA_BYTES(w), &out), CKR_ENCRYPTED_DATA_INVALID);
			w.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	soft_key_unref(k);
	soft_key_unref(other);
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
	for (size_t len = 0; len <= 32; len++) {
		static const CK_RV bad = CKR_ENCRYPTED_DATA_INVALID, range = CKR_ENCRYPTED_DATA_LEN_RANGE;
		struct scheme kw = {.type = CKM_AES_KEY_WRAP}, kwp = {.type = CKM_AES_KEY_WRAP_KWP};

		cr_assert_eq(try(OP_DECRYPT, &kw, len), len >= 24 && len % 8 == 0 ? bad : range);
		cr_assert_eq(try(OP_DECRYPT, &kwp, len), len >= 16 && len % 8 == 0 ? bad : range);
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
		struct scheme cfb = {.type = CKM_AES_CFB128, .iv = BYTES(iv, len)};
		struct scheme ofb = {.type = CKM_AES_OFB, .iv = BYTES(iv, len)};
		struct scheme kw = {.type = CKM_AES_KEY_WRAP, .iv = BYTES(iv, len)};
		struct scheme kwp = {.type = CKM_AES_KEY_WRAP_KWP, .iv = BYTES(iv, len)};

		cr_assert_eq(try(OP_ENCRYPT, &cbc, 16), len == 16 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
		cr_assert_eq(try(OP_ENCRYPT, &ctr, 16), len == 16 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
		cr_assert_eq(try(OP_ENCRYPT, &cfb, 16), len == 16 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
		cr_assert_eq(try(OP_ENCRYPT, &ofb, 16), len == 16 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
		cr_assert_eq(try(OP_ENCRYPT, &kw, 16), len == 0 || len == 8 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
		cr_assert_eq(try(OP_ENCRYPT, &kwp, 16), len == 0 || len == 4 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
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

/* module/soft/op_mac.c: RFC 4231, RFC 2202, RFC 4493, in every way of feeding, whole and truncated. */
#include "soft_test.h"

static void mac_is(const struct scheme *s, struct soft_key *k, struct bytes in, struct bytes mac)
{
	struct data wrong = {.len = mac.len};

	every_way(OP_SIGN, s, k, in, mac);
	every_way(OP_VERIFY, s, k, in, mac);
	memcpy(wrong.b, mac.ptr, mac.len);
	wrong.b[mac.len - 1] ^= 1;
	cr_assert_eq(once(OP_VERIFY, s, k, in, &wrong), CKR_SIGNATURE_INVALID);
	wrong.b[mac.len - 1] ^= 1;
	wrong.len = mac.len - 1;
	cr_assert_eq(once(OP_VERIFY, s, k, in, &wrong), CKR_SIGNATURE_LEN_RANGE);
	wrong.len = mac.len + 1;
	cr_assert_eq(once(OP_VERIFY, s, k, in, &wrong), CKR_SIGNATURE_LEN_RANGE);
}

static const char *const jefe[HASH_COUNT] = { /* test case 2 of RFC 2202 and RFC 4231 */
	[HASH_SHA1] = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
	[HASH_SHA224] = "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
	[HASH_SHA256] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
	[HASH_SHA384] = "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
			"8e2240ca5e69e2c78b3239ecfab21649",
	[HASH_SHA512] = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
			"9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
};

Test(mac, hmac)
{
	struct bytes text = BYTES("what do ya want for nothing?", 28);
	struct soft_key *k = secret_key(CKK_GENERIC_SECRET, BYTES("Jefe", 4));

	for (size_t i = 0; i < HASH_COUNT; i++) {
		struct data mac = hex(jefe[i]);
		struct scheme s = {.type = crypto_hashes[i].hmac, .hash = &crypto_hashes[i]};

		mac_is(&s, k, text, DATA_BYTES(mac));
		for (s.tag_len = 1; s.tag_len <= mac.len; s.tag_len += 5)
			mac_is(&s, k, text, BYTES(mac.b, s.tag_len));
		s.tag_len = mac.len + 1;
		cr_assert_eq(once(OP_SIGN, &s, k, text, &mac), CKR_MECHANISM_PARAM_INVALID);
	}
	soft_key_unref(k);
}

Test(mac, long_key) /* RFC 4231, test case 6: longer than the block */
{
	struct bytes text = BYTES("Test Using Larger Than Block-Size Key - Hash Key First", 54);
	struct data mac = hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	struct scheme s = {.type = CKM_SHA256_HMAC, .hash = &crypto_hashes[HASH_SHA256]};
	struct soft_key *k;
	uint8_t key[131];

	memset(key, 0xaa, sizeof key);
	k = secret_key(CKK_SHA256_HMAC, BYTES_OF(key));
	mac_is(&s, k, text, DATA_BYTES(mac));
	soft_key_unref(k);
}

Test(mac, cmac) /* RFC 4493, section 4 */
{
	static const struct {
		size_t len;
		const char *mac;
	} rows[] = {
		{0, "bb1d6929e95937287fa37d129b756746"},
		{16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{40, "dfa66747de9ae63030ca32611497c827"},
		{64, "51f0bebf7e3b9d92fc49741779363cfe"},
	};
	struct data key = hex("2b7e151628aed2a6abf7158809cf4f3c");
	struct data text = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
			       "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
	struct soft_key *k = secret_key(CKK_AES, DATA_BYTES(key));

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct data mac = hex(rows[i].mac);
		struct scheme s = {.type = CKM_AES_CMAC}, general = {.type = CKM_AES_CMAC, .tag_len = 5};

		mac_is(&s, k, BYTES(text.b, rows[i].len), DATA_BYTES(mac));
		mac_is(&general, k, BYTES(text.b, rows[i].len), BYTES(mac.b, 5));
	}
	soft_key_unref(k);
}

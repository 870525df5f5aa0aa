/* module/soft/pad.c around raw operations of libcrypto's: PSS and OAEP against libcrypto's own, PKCS#1 v1.5 decoding
 * against values of an independent program, and every kind of bad padding. */
#include <criterion/criterion.h>
#include <openssl/rsa.h>

#include "soft_test.h"

static const struct hash *sha(enum hash_id id)
{
	return &crypto_hashes[id];
}

static EVP_PKEY_CTX *context(struct soft_key *k)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), soft_key_pkey(k), NULL);

	cr_assert_not_null(c);
	return c;
}

/* One raw operation with the private key. */
static void raw(struct soft_key *k, const uint8_t *in, uint8_t *out)
{
	EVP_PKEY_CTX *c = context(k);
	size_t n = soft_key_max_output(k);

	cr_assert_eq(EVP_PKEY_sign_init(c), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(c, RSA_NO_PADDING), 1);
	cr_assert_eq(EVP_PKEY_sign(c, out, &n, in, n), 1);
	EVP_PKEY_CTX_free(c);
}

static void libcrypto_verifies_pss(struct soft_key *pub, const struct scheme *s, const uint8_t *sig,
				   const uint8_t *digest)
{
	EVP_PKEY_CTX *c = context(pub);

	cr_assert_eq(EVP_PKEY_verify_init(c), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_signature_md(c, hash_md(s->hash)), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_mgf1_md(c, hash_md(s->mgf)), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(c, (int)s->salt_len), 1);
	cr_assert_eq(EVP_PKEY_verify(c, sig, soft_key_max_output(pub), digest, s->hash->size), 1);
	EVP_PKEY_CTX_free(c);
}

/* 1025 bits: the encoded message is a byte shorter than the modulus.  1031: seven bits of it are cleared. */
Test(pad, pss)
{
	static const CK_ULONG sizes[] = {1024, 1025, 1031};
	uint8_t digest[64] = {42}, em[512], sig[512];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct pair p = rsa_pair(sizes[i]);

		for (size_t h = 0; h < HASH_COUNT; h++) {
			struct scheme s = {.type = CKM_RSA_PKCS_PSS, .hash = sha((enum hash_id)h),
					   .mgf = sha(HASH_SHA384)};
			size_t most = (sizes[i] - 1 + 7) / 8 - s.hash->size - 2;

			for (size_t salt = 0; salt <= most; salt += MAX(most / 3, (size_t)1)) {
				s.salt_len = salt;
				cr_assert_eq(rsa_pad_sign(&s, sizes[i], BYTES(digest, s.hash->size), em), CKR_OK);
				raw(p.priv, em, sig);
				libcrypto_verifies_pss(p.pub, &s, sig, digest);
			}
			s.salt_len = most + 1;
			cr_assert_eq(rsa_pad_sign(&s, sizes[i], BYTES(digest, s.hash->size), em), CKR_DATA_LEN_RANGE);
			s.salt_len = SIZE_MAX;
			cr_assert_eq(rsa_pad_sign(&s, sizes[i], BYTES(digest, s.hash->size), em), CKR_DATA_LEN_RANGE);
		}
		pair_free(&p);
	}
}

Test(pad, pkcs1_signing)
{
	struct scheme s = {.type = CKM_RSA_PKCS};
	struct data want;
	uint8_t em[128], in[128] = {0};

	for (size_t len = 0; len <= 117; len++) {
		cr_assert_eq(rsa_pad_sign(&s, 1024, BYTES(in, len), em), CKR_OK);
		cr_assert_eq(em[0], 0);
		cr_assert_eq(em[1], 1);
		for (size_t i = 2; i < 127 - len; i++)
			cr_assert_eq(em[i], 0xff);
		for (size_t i = 127 - len; i < 128; i++)
			cr_assert_eq(em[i], 0);
	}
	cr_assert_eq(rsa_pad_sign(&s, 1024, BYTES(in, 118), em), CKR_DATA_LEN_RANGE);
	s.hash = sha(HASH_SHA256);
	cr_assert_eq(rsa_pad_sign(&s, 1024, BYTES(in, 31), em), CKR_DATA_LEN_RANGE);
	cr_assert_eq(rsa_pad_sign(&s, 1024, BYTES(in, 32), em), CKR_OK);
	want = hex("003031300d060960864801650304020105000420");
	expect(BYTES(em + 128 - 52, 20), DATA_BYTES(want));
}

Test(pad, raw_signing)
{
	struct scheme s = {.type = CKM_RSA_X_509};
	uint8_t in[129] = {1, 2, 3}, em[128], want[128] = {[125] = 1, [126] = 2, [127] = 3};

	cr_assert_eq(rsa_pad_sign(&s, 1024, BYTES(in, 3), em), CKR_OK);
	expect(BYTES_OF(em), BYTES_OF(want));
	cr_assert_eq(rsa_pad_sign(&s, 1024, BYTES(in, 129), em), CKR_DATA_LEN_RANGE);
}

/* What libcrypto encrypts. */
static void oaep_encrypt(struct soft_key *pub, const struct scheme *s, struct bytes in, uint8_t *out)
{
	EVP_PKEY_CTX *c = context(pub);
	size_t n = soft_key_max_output(pub);

	cr_assert_eq(EVP_PKEY_encrypt_init(c), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_oaep_md(c, hash_md(s->hash)), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_mgf1_md(c, hash_md(s->mgf)), 1);
	if (s->label.len > 0)
		cr_assert_eq(EVP_PKEY_CTX_set0_rsa_oaep_label(c, OPENSSL_memdup(s->label.ptr, s->label.len),
							      (int)s->label.len), 1);
	cr_assert_eq(EVP_PKEY_encrypt(c, out, &n, in.len ? in.ptr : (const uint8_t *)"", in.len), 1);
	EVP_PKEY_CTX_free(c);
}

static const struct bytes labels[] = {{NULL, 0}, {(const uint8_t *)"label", 5}};

Test(pad, oaep)
{
	struct pair p = rsa_pair(1024);
	uint8_t text[128], ct[128], em[128], plain[128];

	memset(text, 0x77, sizeof text);
	for (size_t h = 0; h < HASH_SHA512 * ARRAY_LEN(labels); h++) { /* SHA-512 doesn't fit 1024 bits */
		struct scheme s = {.type = CKM_RSA_PKCS_OAEP, .hash = sha((enum hash_id)(h / 2)),
				   .mgf = sha(HASH_SHA1), .label = labels[h % 2]};
		size_t most = 128 - 2 * s.hash->size - 2;

		for (size_t len = 0; len <= most; len += MAX(most / 4, (size_t)1)) {
			struct outbuf out = {.ptr = plain, .cap = most};

			oaep_encrypt(p.pub, &s, BYTES(text, len), ct);
			raw(p.priv, ct, em);
			cr_assert_eq(rsa_unpad_decrypt(&s, BYTES_OF(em), &out), CKR_OK);
			expect(BYTES(plain, out.len), BYTES(text, len));
		}
	}
	pair_free(&p);
}

/* Each byte of a good block changed, another label, another hash: always the same code, nothing written. */
Test(pad, oaep_refuses)
{
	struct scheme s = {.type = CKM_RSA_PKCS_OAEP, .hash = sha(HASH_SHA256), .mgf = sha(HASH_SHA256)};
	struct pair p = rsa_pair(1024);
	uint8_t ct[128], em[128], plain[128];
	struct outbuf out = {.ptr = plain, .cap = sizeof plain, .len = 99};

	oaep_encrypt(p.pub, &s, BYTES("secret", 6), ct);
	raw(p.priv, ct, em);
	for (size_t i = 0; i < 122; i++) { /* the last six bytes are the message, which OAEP doesn't protect as such */
		em[i] ^= 0x80;
		cr_assert_eq(rsa_unpad_decrypt(&s, BYTES_OF(em), &out), CKR_ENCRYPTED_DATA_INVALID);
		em[i] ^= 0x80;
	}
	s.label = labels[1];
	cr_assert_eq(rsa_unpad_decrypt(&s, BYTES_OF(em), &out), CKR_ENCRYPTED_DATA_INVALID);
	s.label = NO_BYTES;
	s.hash = sha(HASH_SHA1);
	cr_assert_eq(rsa_unpad_decrypt(&s, BYTES_OF(em), &out), CKR_ENCRYPTED_DATA_INVALID);
	s.hash = sha(HASH_SHA512);
	cr_assert_eq(rsa_unpad_decrypt(&s, BYTES_OF(em), &out), CKR_ENCRYPTED_DATA_INVALID);
	cr_assert_eq(out.len, 99);
	pair_free(&p);
}

static void number_up(struct key256 *kdk)
{
	for (size_t i = 0; i < sizeof kdk->b; i++)
		kdk->b[i] = (uint8_t)i;
}

static void rejects_as(const uint8_t *ct, const uint8_t *em, const char *want)
{
	struct data w = hex(want);
	struct key256 kdk;
	uint8_t plain[128];
	struct outbuf out = {.ptr = plain, .cap = sizeof plain};

	number_up(&kdk);
	cr_assert_eq(rsa_unpad_pkcs1(&kdk, BYTES(ct, 128), BYTES(em, 128), &out), CKR_OK);
	expect(BYTES(plain, out.len), DATA_BYTES(w));
}

/* Values from a Python program written from draft-irtf-cfrg-rsa-guidance; every kind of bad block gives them. */
Test(pad, pkcs1_rejects_implicitly)
{
	static const char long_one[] =
		"cb697e58a4bdeaf753a7f8904253eb3e12e1b9689f47953cc0866503bb27adfd6e612f528f6abd17d2fd787c0543cce3"
		"691e8cb3dd7ebe5a871128374dfa9a2c51a3262dfad9f0fabc358de120b1d14062";
	uint8_t ct[128], em[128];

	memset(ct, 0x5a, sizeof ct);
	memset(em, 0, sizeof em);
	rejects_as(ct, em, long_one); /* all zeros */
	memset(em, 0xaa, sizeof em);
	rejects_as(ct, em, long_one);
	em[0] = 0;
	em[1] = 2;
	rejects_as(ct, em, long_one); /* no separator */
	for (size_t i = 2; i < 10; i++) {
		em[i] = 0;
		em[100] = 0;
		rejects_as(ct, em, long_one); /* padding too short, also with another zero behind */
		em[i] = em[100] = 0xaa;
		rejects_as(ct, em, long_one);
	}
	em[60] = 0;
	em[1] = 1;
	rejects_as(ct, em, long_one); /* a signature's block */
	em[1] = 2;
	em[0] = 1;
	rejects_as(ct, em, long_one);
	memset(ct, 6, sizeof ct);
	rejects_as(ct, em, "a8273d");
}

Test(pad, pkcs1_takes_good_blocks)
{
	struct key256 kdk = {{0}};
	uint8_t ct[128] = {1}, em[128];

	for (size_t at = 10; at < 128; at++) {
		struct outbuf out = {.ptr = em, .cap = sizeof em}; /* over its input */

		memset(em, 0x11, sizeof em);
		em[0] = 0;
		em[1] = 2;
		em[at] = 0;
		if (at < 127)
			em[127] = 0; /* a later zero belongs to the message */
		cr_assert_eq(rsa_unpad_pkcs1(&kdk, BYTES_OF(ct), BYTES_OF(em), &out), CKR_OK);
		cr_assert_eq(out.len, 127 - at);
		for (size_t i = 0; i + 1 < out.len; i++)
			cr_assert_eq(em[i], 0x11);
	}
}

/* Made-up messages differ by ciphertext and key, have every length, and never one that couldn't be. */
Test(pad, pkcs1_made_up_lengths_spread)
{
	unsigned seen[128] = {0}, different = 0;
	struct key256 kdk = {{7}};
	uint8_t em[128] = {0}, plain[128];

	for (unsigned i = 0; i < 2000; i++) {
		uint8_t ct[128] = {(uint8_t)i, (uint8_t)(i >> 8)};
		struct outbuf out = {.ptr = plain, .cap = sizeof plain};

		cr_assert_eq(rsa_unpad_pkcs1(&kdk, BYTES_OF(ct), BYTES_OF(em), &out), CKR_OK);
		cr_assert_leq(out.len, 117);
		seen[out.len]++;
	}
	for (size_t i = 0; i <= 117; i++)
		different += seen[i] > 0;
	cr_assert_gt(different, 110);
}

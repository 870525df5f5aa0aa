/* module/soft/op_asym.c: RFC 6979 and RFC 8032 vectors, each scheme there and back, lengths and forgeries. */
#include <pthread.h>
#include <sys/mman.h>

#include "soft_test.h"

static const struct hash *const sha256 = &crypto_hashes[HASH_SHA256];

static void signs_and_verifies(struct pair *p, const struct scheme *s, struct bytes in)
{
	struct data sig, bad;

	cr_assert_eq(once(OP_SIGN, s, p->priv, in, &sig), CKR_OK);
	cr_assert_eq(sig.len, soft_key_max_output(p->priv));
	cr_assert_eq(once(OP_VERIFY, s, p->pub, in, &sig), CKR_OK);
	for (size_t i = 0; i < sig.len; i += 7) {
		bad = sig;
		bad.b[i] ^= 1;
		cr_assert_eq(once(OP_VERIFY, s, p->pub, in, &bad), CKR_SIGNATURE_INVALID);
	}
	cr_assert_eq(once(OP_VERIFY, s, p->pub, in, &sig), CKR_OK); /* a forgery leaves no trace in the key */
}

Test(asym, rsa_signatures)
{
	static const CK_ULONG sizes[] = {1024, 1025, 2048};
	uint8_t digest[32] = {1, 2, 3};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct pair p = rsa_pair(sizes[i]);
		struct scheme pkcs = {.type = CKM_RSA_PKCS}, hashed = {.type = CKM_RSA_PKCS, .hash = sha256};
		struct scheme raw = {.type = CKM_RSA_X_509};
		struct scheme pss = {.type = CKM_RSA_PKCS_PSS, .hash = sha256, .mgf = sha256, .salt_len = 20};

		signs_and_verifies(&p, &pkcs, BYTES_OF(digest));
		signs_and_verifies(&p, &pkcs, NO_BYTES);
		signs_and_verifies(&p, &hashed, BYTES_OF(digest));
		signs_and_verifies(&p, &raw, BYTES_OF(digest));
		signs_and_verifies(&p, &pss, BYTES_OF(digest));
		pair_free(&p);
	}
}

/* libcrypto's own PKCS#1 v1.5, deterministic, gives the same bytes. */
Test(asym, rsa_pkcs1_is_libcryptos)
{
	struct scheme s = {.type = CKM_RSA_PKCS, .hash = sha256};
	struct pair p = rsa_pair(1024);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t digest[32], want[128];
	size_t n = sizeof want;
	struct data sig;

	cr_assert_eq(hash_once(sha256, BYTES("text", 4), digest), CKR_OK);
	cr_assert_eq(once(OP_SIGN, &s, p.priv, BYTES_OF(digest), &sig), CKR_OK);
	cr_assert_eq(EVP_DigestSignInit_ex(c, NULL, "SHA256", crypto_lib(), NULL, soft_key_pkey(p.priv), NULL), 1);
	cr_assert_eq(EVP_DigestSign(c, want, &n, (const uint8_t *)"text", 4), 1);
	expect(DATA_BYTES(sig), BYTES(want, n));
	EVP_MD_CTX_free(c);
	pair_free(&p);
}

Test(asym, rsa_lengths)
{
	struct scheme pkcs = {.type = CKM_RSA_PKCS}, hashed = {.type = CKM_RSA_PKCS, .hash = sha256};
	struct scheme raw = {.type = CKM_RSA_X_509}, oaep = {.type = CKM_RSA_PKCS_OAEP, .hash = sha256, .mgf = sha256};
	struct scheme pss = {.type = CKM_RSA_PKCS_PSS, .hash = sha256, .mgf = sha256, .salt_len = 94};
	struct pair p = rsa_pair(1024);
	struct data in = {.len = 129}, out = {.len = 127};

	memset(in.b, 0xff, sizeof in.b);
	cr_assert_eq(once(OP_SIGN, &pkcs, p.priv, BYTES(in.b, 118), &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_SIGN, &hashed, p.priv, BYTES(in.b, 33), &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_SIGN, &raw, p.priv, BYTES(in.b, 129), &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_SIGN, &raw, p.priv, BYTES(in.b, 128), &out), CKR_DATA_INVALID);
	cr_assert_eq(once(OP_SIGN, &pss, p.priv, BYTES(in.b, 32), &out), CKR_OK);
	pss.salt_len++;
	cr_assert_eq(once(OP_SIGN, &pss, p.priv, BYTES(in.b, 32), &out), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(once(OP_ENCRYPT, &pkcs, p.pub, BYTES(in.b, 118), &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_ENCRYPT, &oaep, p.pub, BYTES(in.b, 63), &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_ENCRYPT, &raw, p.pub, BYTES(in.b, 129), &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_ENCRYPT, &raw, p.pub, BYTES(in.b, 128), &out), CKR_DATA_INVALID);
	cr_assert_eq(once(OP_DECRYPT, &pkcs, p.priv, BYTES(in.b, 127), &out), CKR_ENCRYPTED_DATA_LEN_RANGE);
	cr_assert_eq(once(OP_DECRYPT, &pkcs, p.priv, BYTES(in.b, 128), &out), CKR_ENCRYPTED_DATA_INVALID);
	out.len = 127;
	cr_assert_eq(once(OP_VERIFY, &pkcs, p.pub, BYTES(in.b, 32), &out), CKR_SIGNATURE_LEN_RANGE);
	out.len = 129;
	cr_assert_eq(once(OP_VERIFY, &pkcs, p.pub, BYTES(in.b, 32), &out), CKR_SIGNATURE_LEN_RANGE);
	memset(out.b, 0xff, sizeof out.b);
	out.len = 128; /* not below the modulus */
	cr_assert_eq(once(OP_VERIFY, &pkcs, p.pub, BYTES(in.b, 32), &out), CKR_SIGNATURE_INVALID);
	oaep.hash = &crypto_hashes[HASH_SHA512];
	cr_assert_eq(once(OP_DECRYPT, &oaep, p.priv, BYTES(in.b, 128), &out), CKR_KEY_SIZE_RANGE);
	pair_free(&p);
}

Test(asym, rsa_encryption)
{
	struct scheme schemes[] = {
		{.type = CKM_RSA_PKCS},
		{.type = CKM_RSA_PKCS_OAEP, .hash = sha256, .mgf = &crypto_hashes[HASH_SHA1], .label = BYTES("L", 1)},
	};
	static const size_t most[] = {117, 62};
	struct pair p = rsa_pair(1024);
	struct data ct, plain;
	uint8_t text[117];

	memset(text, 0xa5, sizeof text);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		for (size_t len = 0; len <= most[i]; len += MIN(most[i], (size_t)31)) {
			cr_assert_eq(once(OP_ENCRYPT, &schemes[i], p.pub, BYTES(text, len), &ct), CKR_OK);
			cr_assert_eq(ct.len, 128);
			cr_assert_eq(once(OP_DECRYPT, &schemes[i], p.priv, DATA_BYTES(ct), &plain), CKR_OK);
			expect(DATA_BYTES(plain), BYTES(text, len));
		}
		cr_assert_eq(once(OP_ENCRYPT, &schemes[i], p.pub, BYTES(text, most[i]), &ct), CKR_OK);
		cr_assert_eq(once(OP_DECRYPT, &schemes[i], p.priv, DATA_BYTES(ct), &plain), CKR_OK);
		cr_assert_eq(plain.len, most[i]);
	}
	pair_free(&p);
}

Test(asym, rsa_raw_there_and_back)
{
	struct scheme s = {.type = CKM_RSA_X_509};
	struct pair p = rsa_pair(1024);
	uint8_t want[128] = {[127] = 5};
	struct data ct, plain;

	cr_assert_eq(once(OP_ENCRYPT, &s, p.pub, BYTES(want + 127, 1), &ct), CKR_OK);
	cr_assert_eq(once(OP_DECRYPT, &s, p.priv, DATA_BYTES(ct), &plain), CKR_OK);
	expect(DATA_BYTES(plain), BYTES_OF(want));
	pair_free(&p);
}

/* No answer tells the padding: bad ciphertexts decrypt to something, and always to the same. */
Test(asym, rsa_pkcs1_decryption_never_fails_for_padding)
{
	struct scheme s = {.type = CKM_RSA_PKCS}, raw = {.type = CKM_RSA_X_509};
	struct pair p = rsa_pair(1024);
	uint8_t block[128] = {0, 1, 0xff};
	struct soft_key *again = key_of(p.priv_attrs);
	struct data ct, one, two;

	for (uint8_t i = 0; i < 20; i++) {
		block[20] = i;
		cr_assert_eq(once(OP_ENCRYPT, &raw, p.pub, BYTES_OF(block), &ct), CKR_OK);
		cr_assert_eq(once(OP_DECRYPT, &s, p.priv, DATA_BYTES(ct), &one), CKR_OK);
		cr_assert_eq(once(OP_DECRYPT, &s, again, DATA_BYTES(ct), &two), CKR_OK);
		cr_assert_leq(one.len, 117);
		expect(DATA_BYTES(one), DATA_BYTES(two));
	}
	soft_key_unref(again);
	pair_free(&p);
}

#define RFC6979_X "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define RFC6979_Y "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"

static struct soft_key *rfc6979_public(void)
{
	struct attrs *a = attrs_of(CKO_PUBLIC_KEY, CKK_EC);
	struct data point = hex("044104" RFC6979_X RFC6979_Y);
	struct soft_key *k;

	set_attr(a, CKA_EC_PARAMS, der_curves[CURVE_P256].oid);
	set_attr(a, CKA_EC_POINT, DATA_BYTES(point));
	k = key_of(a);
	attrs_free(a);
	return k;
}

Test(asym, ecdsa_of_rfc6979) /* A.2.5: SHA-256, and SHA-512 whose left half counts */
{
	struct soft_key *k = rfc6979_public();
	struct scheme s = {.type = CKM_ECDSA};
	struct data sig = hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
			      "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
	uint8_t digest[64];

	cr_assert_eq(hash_once(sha256, BYTES("sample", 6), digest), CKR_OK);
	cr_assert_eq(once(OP_VERIFY, &s, k, BYTES(digest, 32), &sig), CKR_OK);
	cr_assert_eq(once(OP_VERIFY, &s, k, BYTES(digest, 31), &sig), CKR_SIGNATURE_INVALID);
	sig = hex("8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00"
		  "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe");
	cr_assert_eq(hash_once(&crypto_hashes[HASH_SHA512], BYTES("sample", 6), digest), CKR_OK);
	cr_assert_eq(once(OP_VERIFY, &s, k, BYTES(digest, 64), &sig), CKR_OK);
	cr_assert_eq(once(OP_VERIFY, &s, k, BYTES(digest, 32), &sig), CKR_OK);
	soft_key_unref(k);
}

Test(asym, ecdsa_on_every_curve)
{
	struct scheme s = {.type = CKM_ECDSA};
	uint8_t digest[64] = {9, 8, 7};

	for (int c = CURVE_P256; c <= CURVE_P521; c++) {
		struct pair p = curve_pair((enum curve_id)c);

		for (size_t len = 1; len <= sizeof digest; len += 21)
			signs_and_verifies(&p, &s, BYTES(digest, len));
		pair_free(&p);
	}
}

/* Halves with a leading zero may be sent shorter; other lengths are refused before any arithmetic. */
Test(asym, ecdsa_signature_lengths)
{
	struct pair p = curve_pair(CURVE_P256);
	struct scheme s = {.type = CKM_ECDSA};
	struct data sig = {.len = 0};
	uint8_t digest[32] = {0};
	unsigned tries = 0;

	do { /* one in 256 */
		digest[0] = (uint8_t)tries;
		cr_assert_eq(once(OP_SIGN, &s, p.priv, BYTES_OF(digest), &sig), CKR_OK);
	} while ((sig.b[0] != 0 || sig.b[32] & 0x80) && sig.b[32] != 0 && ++tries < 20000);
	if (sig.b[0] == 0 && sig.b[32] == 0) {
		memmove(sig.b, sig.b + 1, 31);
		memmove(sig.b + 31, sig.b + 33, 31);
		sig.len = 62;
	}
	cr_assert_eq(once(OP_VERIFY, &s, p.pub, BYTES_OF(digest), &sig), CKR_OK);
	memmove(sig.b + 33, sig.b + sig.len / 2, sig.len / 2);
	for (size_t len = 0; len <= 66; len++) {
		CK_RV rv;

		sig.len = len;
		rv = once(OP_VERIFY, &s, p.pub, BYTES_OF(digest), &sig);
		if (len == 0 || len % 2 || len > 64)
			cr_assert_eq(rv, CKR_SIGNATURE_LEN_RANGE);
		else
			cr_assert_neq(rv, CKR_SIGNATURE_LEN_RANGE);
	}
	memset(sig.b, 0, 64);
	sig.len = 64;
	cr_assert_eq(once(OP_VERIFY, &s, p.pub, BYTES_OF(digest), &sig), CKR_SIGNATURE_INVALID);
	pair_free(&p);
}

Test(asym, ed25519_of_rfc8032) /* 7.1, test 1 */
{
	struct data secret = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
	struct data point = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
	struct data want = hex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
			       "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
	struct attrs *priv = attrs_of(CKO_PRIVATE_KEY, CKK_EC_EDWARDS), *pub = attrs_of(CKO_PUBLIC_KEY, CKK_EC_EDWARDS);
	struct scheme s = {.type = CKM_EDDSA};
	struct pair p = {.priv_attrs = priv, .pub_attrs = pub};
	struct data sig;

	set_attr(priv, CKA_EC_PARAMS, der_curves[CURVE_ED25519].oid);
	set_attr(priv, CKA_VALUE, DATA_BYTES(secret));
	set_attr(pub, CKA_EC_PARAMS, der_curves[CURVE_ED25519].oid);
	set_attr(pub, CKA_EC_POINT, DATA_BYTES(point));
	p.priv = key_of(priv);
	p.pub = key_of(pub);
	cr_assert_eq(once(OP_SIGN, &s, p.priv, NO_BYTES, &sig), CKR_OK);
	expect(DATA_BYTES(sig), DATA_BYTES(want));
	signs_and_verifies(&p, &s, BYTES("abc", 3));
	sig.len = 63;
	cr_assert_eq(once(OP_VERIFY, &s, p.pub, NO_BYTES, &sig), CKR_SIGNATURE_LEN_RANGE);
	pair_free(&p);
}

/* The caller's buffer may hold message and signature both. */
Test(asym, ed25519_in_place)
{
	struct pair p = curve_pair(CURVE_ED25519);
	struct scheme s = {.type = CKM_EDDSA};
	struct data sig, apart, in = {.len = 70};

	cr_assert_eq(once(OP_SIGN, &s, p.priv, DATA_BYTES(in), &apart), CKR_OK);
	cr_assert_eq(in_parts(OP_SIGN, &s, p.priv, DATA_BYTES(in), &(struct way){.step = 1, .in_place = true}, &sig),
		     CKR_OK);
	expect(DATA_BYTES(sig), DATA_BYTES(apart));
	pair_free(&p);
}

/* once() would allocate as much as it is given. */
static CK_RV verify_long(struct soft_key *key, const struct scheme *s, struct bytes in, struct data *sig)
{
	struct outbuf out = {.ptr = sig->b, .cap = sig->len, .len = sig->len};
	struct soft_op *op = NULL;
	size_t max;
	CK_RV rv;

	cr_assert_eq(soft_op_begin(OP_VERIFY, s, key, &op, &max), CKR_OK);
	rv = soft_op_finish(op, in, &out);
	soft_op_free(op);
	return rv;
}

/* A length that is small, or below zero, once it is an int. */
Test(asym, ecdsa_of_more_than_an_int)
{
	static const size_t lengths[] = {(1ul << 31) + 1, (1ul << 32) + 1};
	struct pair p = curve_pair(CURVE_P256);
	struct scheme s = {.type = CKM_ECDSA};
	struct data sig;
	uint8_t *in = mmap(NULL, lengths[1], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	cr_assert(in != MAP_FAILED);
	memset(in, 1, 32);
	cr_assert_eq(once(OP_SIGN, &s, p.priv, BYTES(in, 32), &sig), CKR_OK);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		cr_assert_eq(verify_long(p.pub, &s, BYTES(in, lengths[i]), &sig), CKR_OK);
	(void)munmap(in, lengths[1]);
	pair_free(&p);
}

Test(asym, wrong_key_for_the_mechanism)
{
	static const uint8_t small[64] = {[0] = 0xc1, [63] = 1};
	struct scheme ecdsa = {.type = CKM_ECDSA}, rsa = {.type = CKM_RSA_PKCS}, none = {.type = CKM_DES3_CBC};
	struct attrs *a = attrs_of(CKO_PUBLIC_KEY, CKK_RSA);
	struct pair p = curve_pair(CURVE_P256);
	struct data out = {.len = 64};
	struct soft_key *k;

	cr_assert_eq(once(OP_SIGN, &rsa, p.priv, NO_BYTES, &out), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(once(OP_SIGN, &ecdsa, p.pub, NO_BYTES, &out), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(once(OP_VERIFY, &ecdsa, p.priv, NO_BYTES, &out), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(once(OP_ENCRYPT, &ecdsa, p.pub, NO_BYTES, &out), CKR_MECHANISM_INVALID);
	cr_assert_eq(once(OP_SIGN, &none, p.priv, NO_BYTES, &out), CKR_MECHANISM_INVALID);
	set_attr(a, CKA_MODULUS, BYTES_OF(small));
	set_attr(a, CKA_PUBLIC_EXPONENT, BYTES("\3", 1));
	k = key_of(a);
	cr_assert_eq(soft_key_size(k), 512);
	cr_assert_eq(once(OP_VERIFY, &rsa, k, NO_BYTES, &out), CKR_KEY_SIZE_RANGE);
	soft_key_unref(k);
	attrs_free(a);
	pair_free(&p);
}

/* More threads than a key keeps contexts ready for. */
struct work {
	struct pair *pair;
	CK_RV rv;
};

static void *sign_often(void *arg)
{
	struct work *w = arg;
	struct scheme s = {.type = CKM_ECDSA};
	struct soft_key *priv = soft_key_ref(w->pair->priv);
	uint8_t digest[32] = {0};
	struct data sig;

	for (uint8_t i = 0; i < 100 && w->rv == CKR_OK; i++) {
		digest[0] = i;
		w->rv = once(OP_SIGN, &s, priv, BYTES_OF(digest), &sig);
		if (w->rv == CKR_OK)
			w->rv = once(OP_VERIFY, &s, w->pair->pub, BYTES_OF(digest), &sig);
	}
	soft_key_unref(priv);
	return NULL;
}

Test(asym, one_key_in_many_threads)
{
	struct pair p = curve_pair(CURVE_P256);
	struct work work[6];
	pthread_t threads[ARRAY_LEN(work)];

	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		work[i] = (struct work){.pair = &p};
		cr_assert_eq(pthread_create(&threads[i], NULL, sign_often, &work[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(work); i++) {
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_assert_eq(work[i].rv, CKR_OK);
	}
	pair_free(&p);
}

/* NIST CAVS, ECC CDH primitive, count 0 of each curve. */
static const struct {
	enum curve_id id;
	const char *point, *value, *z;
} ecdh[] = {
	{CURVE_P256,
	 "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
	 "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
	 "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
	 "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b"},
	{CURVE_P384,
	 "04a7c76b970c3b5fe8b05d2838ae04ab47697b9eaf52e764592efda27fe7513272734466b400091adbf2d68c58e0c50066"
	 "ac68f19f2e1cb879aed43a9969b91a0839c4c38a49749b661efedf243451915ed0905a32b060992b468c64766fc8437a",
	 "3cc3122a68f0d95027ad38c067916ba0eb8c38894d22e1b15618b6818a661774ad463b205da88cf699ab4d43c9cf98a1",
	 "5f9d29dc5e31a163060356213669c8ce132e22f57c9a04f40ba7fcead493b457e5621e766c40a2e3d4d6a04b25e533f1"},
	{CURVE_P521,
	 "0400685a48e86c79f0f0875f7bc18d25eb5fc8c0b07e5da4f4370f3a9490340854334b1e1b87fa395464c60626124a4e70d0f7"
	 "85601d37c09870ebf176666877a2046d01ba52c56fc8776d9e8f5db4f0cc27636d0b741bbe05400697942e80b739884a83bde9"
	 "9e0f6716939e632bc8986fa18dccd443a348b6c3e522497955a4f3c302f676",
	 "017eecc07ab4b329068fba65e56a1f8890aa935e57134ae0ffcce802735151f4eac6564f6ee9974c5e6887a1fefee5743ae224"
	 "1bfeb95d5ce31ddcb6f9edb4d6fc47",
	 "005fc70477c3e63bc3954bd0df3ea0d1f41ee21746ed95fc5e1fdf90930d5e136672d72cc770742d1711c3c3a4c334a0ad9759"
	 "436a4d3c5bf6e74b9578fac148c831"},
};

static struct soft_key *private_key(enum curve_id id, const char *value)
{
	struct attrs *a = attrs_of(CKO_PRIVATE_KEY, CKK_EC);
	struct data d = hex(value);
	struct soft_key *k;

	set_attr(a, CKA_EC_PARAMS, der_curves[id].oid);
	set_attr(a, CKA_VALUE, DATA_BYTES(d));
	k = key_of(a);
	attrs_free(a);
	return k;
}

Test(asym, ecdh)
{
	static const struct scheme s = {.type = CKM_ECDH1_DERIVE};
	static const struct way in_place = {.step = 1, .in_place = true};

	for (size_t i = 0; i < ARRAY_LEN(ecdh); i++) {
		struct soft_key *k = private_key(ecdh[i].id, ecdh[i].value);
		struct data point = hex(ecdh[i].point), want = hex(ecdh[i].z), z;

		cr_assert_eq(once(OP_DERIVE, &s, k, DATA_BYTES(point), &z), CKR_OK);
		expect(DATA_BYTES(z), DATA_BYTES(want));
		cr_assert_eq(in_parts(OP_DERIVE, &s, k, DATA_BYTES(point), &in_place, &z), CKR_OK);
		expect(DATA_BYTES(z), DATA_BYTES(want));
		soft_key_unref(k);
	}
}

/* A point is refused for each bit turned, the wrong length, the compressed and hybrid form, a coordinate beyond the
 * field, infinity, and another curve. */
Test(asym, ecdh_takes_points_of_the_curve_only)
{
	static const struct scheme s = {.type = CKM_ECDH1_DERIVE};
	struct soft_key *k = private_key(CURVE_P256, ecdh[0].value);
	struct data point = hex(ecdh[0].point), other = hex(ecdh[1].point), z;

	for (size_t bit = 0; bit < 8 * point.len; bit++) {
		point.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(once(OP_DERIVE, &s, k, DATA_BYTES(point), &z), CKR_MECHANISM_PARAM_INVALID);
		point.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < point.len; len++)
		cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, len), &z), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, point.len + 1), &z), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(once(OP_DERIVE, &s, k, DATA_BYTES(other), &z), CKR_MECHANISM_PARAM_INVALID);
	point.b[0] = 2 + (point.b[64] & 1);
	cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, 33), &z), CKR_MECHANISM_PARAM_INVALID);
	point.b[0] += 4;
	cr_assert_eq(once(OP_DERIVE, &s, k, DATA_BYTES(point), &z), CKR_MECHANISM_PARAM_INVALID);
	memset(point.b, 0, sizeof point.b);
	cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, 1), &z), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, 65), &z), CKR_MECHANISM_PARAM_INVALID);
	point.b[0] = 4;
	cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, 65), &z), CKR_MECHANISM_PARAM_INVALID);
	memset(point.b + 1, 0xff, 64);
	cr_assert_eq(once(OP_DERIVE, &s, k, BYTES(point.b, 65), &z), CKR_MECHANISM_PARAM_INVALID);
	soft_key_unref(k);
}

Test(asym, ecdh_needs_a_private_ec_key)
{
	static const struct scheme s = {.type = CKM_ECDH1_DERIVE}, sign = {.type = CKM_ECDSA};
	struct pair p = curve_pair(CURVE_P256), ed = curve_pair(CURVE_ED25519);
	struct data point = hex(ecdh[0].point), z;

	cr_assert_eq(once(OP_DERIVE, &s, p.pub, DATA_BYTES(point), &z), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(once(OP_DERIVE, &s, ed.priv, DATA_BYTES(point), &z), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(once(OP_DERIVE, &s, p.priv, DATA_BYTES(point), &z), CKR_OK);
	cr_assert_eq(once(OP_DERIVE, &sign, p.priv, DATA_BYTES(point), &z), CKR_MECHANISM_INVALID);
	cr_assert_eq(once(OP_SIGN, &s, p.priv, DATA_BYTES(point), &z), CKR_MECHANISM_INVALID);
	pair_free(&p);
	pair_free(&ed);
}

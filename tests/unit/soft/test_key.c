/* module/soft/key.c, generate.c, complete.c, rsa.c: what goes in and out of attributes. */
#include <openssl/x509.h>

#include "soft_test.h"

static const CK_ATTRIBUTE_TYPE rsa_private[] = {
	CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2,
	CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT,
};

static struct bytes attr(const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes v;

	cr_assert(attrs_get(a, type, &v), "0x%lx is missing", type);
	return v;
}

static CK_RV key_result(const struct attrs *a)
{
	struct soft_key *k = NULL;
	CK_RV rv = soft_key_new(a, &k);

	cr_assert_eq(rv == CKR_OK, k != NULL);
	soft_key_unref(k);
	return rv;
}

static struct attrs *copy(const struct attrs *a)
{
	struct attrs *c;

	cr_assert_eq(attrs_copy(a, &c), CKR_OK);
	return c;
}

/* The SubjectPublicKeyInfo is one that libcrypto reads as this very key. */
static void info_is_of(const struct attrs *a, const struct soft_key *pub)
{
	struct bytes der = attr(a, CKA_PUBLIC_KEY_INFO);
	const uint8_t *at = der.ptr;
	EVP_PKEY *pkey = d2i_PUBKEY_ex(NULL, &at, (long)der.len, crypto_lib(), NULL);

	cr_assert_not_null(pkey);
	cr_assert_eq(EVP_PKEY_eq(pkey, soft_key_pkey(pub)), 1);
	EVP_PKEY_free(pkey);
}

Test(key, generates_rsa)
{
	struct pair p = rsa_pair(1024);

	for (size_t i = 0; i < ARRAY_LEN(rsa_private); i++)
		cr_assert_gt(attr(p.priv_attrs, rsa_private[i]).len, 0);
	expect(attr(p.pub_attrs, CKA_PUBLIC_EXPONENT), BYTES("\1\0\1", 3));
	cr_assert_eq(attr(p.pub_attrs, CKA_MODULUS).len, 128);
	cr_assert_eq(soft_key_size(p.priv), 1024);
	info_is_of(p.pub_attrs, p.pub);
	info_is_of(p.priv_attrs, p.pub);
	pair_free(&p);
}

static CK_RV generate_rsa(CK_ULONG bits, struct bytes e)
{
	struct attrs *pub = attrs_new(), *priv = attrs_new();
	CK_RV rv;

	cr_assert_eq(attrs_set_ulong(pub, CKA_MODULUS_BITS, bits), CKR_OK);
	set_attr(pub, CKA_PUBLIC_EXPONENT, e);
	rv = soft_generate(CKM_RSA_PKCS_KEY_PAIR_GEN, pub, priv);
	attrs_free(pub);
	attrs_free(priv);
	return rv;
}

Test(key, rsa_generation_parameters)
{
	static const uint8_t wide[33] = {1, [32] = 1};

	cr_assert_eq(generate_rsa(1024, BYTES("\0\3", 2)), CKR_OK);
	cr_assert_eq(generate_rsa(1023, BYTES("\3", 1)), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(generate_rsa(4097, BYTES("\3", 1)), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(generate_rsa(1024, NO_BYTES), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(generate_rsa(1024, BYTES("\1", 1)), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(generate_rsa(1024, BYTES("\4", 1)), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(generate_rsa(1024, BYTES_OF(wide)), CKR_ATTRIBUTE_VALUE_INVALID);
}

Test(key, generates_curves)
{
	for (int c = 0; c < CURVE_COUNT; c++) {
		const struct curve *row = &der_curves[c];
		struct pair p = curve_pair((enum curve_id)c);
		struct bytes point;

		cr_assert(ec_point_unwrap(attr(p.pub_attrs, CKA_EC_POINT), row, &point));
		expect(attr(p.priv_attrs, CKA_EC_PARAMS), row->oid);
		cr_assert_eq(attr(p.priv_attrs, CKA_VALUE).len, row->order);
		cr_assert_eq(soft_key_max_output(p.priv), 2 * row->order);
		info_is_of(p.pub_attrs, p.pub);
		info_is_of(p.priv_attrs, p.pub);
		pair_free(&p);
	}
}

static CK_RV generate_secret(CK_MECHANISM_TYPE mech, CK_ULONG len, struct attrs **ret)
{
	struct attrs *a = attrs_new();
	CK_RV rv;

	cr_assert_eq(attrs_set_ulong(a, CKA_VALUE_LEN, len), CKR_OK);
	rv = soft_generate(mech, NULL, a);
	*ret = rv == CKR_OK ? a : NULL;
	if (rv != CKR_OK)
		attrs_free(a);
	return rv;
}

Test(key, generates_secrets)
{
	struct attrs *a, *b;

	for (CK_ULONG len = 0; len <= 33; len++) {
		bool aes = len == 16 || len == 24 || len == 32;

		cr_assert_eq(generate_secret(CKM_AES_KEY_GEN, len, &a), aes ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID);
		cr_assert_eq(generate_secret(CKM_GENERIC_SECRET_KEY_GEN, len, &b),
			     len > 0 ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID);
		if (b)
			cr_assert_eq(attr(b, CKA_VALUE).len, len);
		if (a)
			cr_assert_eq(attr(a, CKA_CHECK_VALUE).len, 3);
		if (a && b)
			cr_assert(!bytes_equal(attr(a, CKA_VALUE), attr(b, CKA_VALUE)));
		attrs_free(a);
		attrs_free(b);
	}
	cr_assert_eq(generate_secret(CKM_GENERIC_SECRET_KEY_GEN, (CK_ULONG)-1, &a), CKR_ATTRIBUTE_VALUE_INVALID);
}

Test(key, generation_needs_its_template)
{
	struct attrs *pub = attrs_new(), *priv = attrs_new();

	cr_assert_eq(soft_generate(CKM_RSA_PKCS_KEY_PAIR_GEN, pub, priv), CKR_TEMPLATE_INCOMPLETE);
	cr_assert_eq(soft_generate(CKM_EC_KEY_PAIR_GEN, pub, priv), CKR_TEMPLATE_INCOMPLETE);
	cr_assert_eq(soft_generate(CKM_AES_KEY_GEN, NULL, priv), CKR_TEMPLATE_INCOMPLETE);
	cr_assert_eq(soft_generate(CKM_AES_KEY_GEN, pub, priv), CKR_MECHANISM_INVALID);
	cr_assert_eq(soft_generate(CKM_EC_KEY_PAIR_GEN, NULL, priv), CKR_MECHANISM_INVALID);
	cr_assert_eq(soft_generate(CKM_DES_KEY_GEN, NULL, priv), CKR_MECHANISM_INVALID);
	set_attr(pub, CKA_EC_PARAMS, der_curves[CURVE_ED25519].oid);
	cr_assert_eq(soft_generate(CKM_EC_KEY_PAIR_GEN, pub, priv), CKR_CURVE_NOT_SUPPORTED);
	set_attr(pub, CKA_EC_PARAMS, BYTES("\6\5\x2b\x81\4\0\x0a", 7)); /* secp256k1 */
	cr_assert_eq(soft_generate(CKM_EC_KEY_PAIR_GEN, pub, priv), CKR_CURVE_NOT_SUPPORTED);
	set_attr(pub, CKA_EC_PARAMS, BYTES("\6\5", 2));
	cr_assert_eq(soft_generate(CKM_EC_KEY_PAIR_GEN, pub, priv), CKR_DOMAIN_PARAMS_INVALID);
	attrs_free(pub);
	attrs_free(priv);
}

/* Whatever is left out of an RSA key comes back, as far as it can be known. */
Test(key, completes_rsa)
{
	struct pair p = rsa_pair(1024);

	for (unsigned keep = 0; keep < 1u << 6; keep++) {
		struct attrs *a = copy(p.priv_attrs);

		for (size_t i = 0; i < 6; i++)
			if (!(keep & 1u << i))
				attrs_remove(a, rsa_private[i == 0 ? 1 : i + 2]); /* e, and the CRT members */
		attrs_remove(a, CKA_PUBLIC_KEY_INFO);
		cr_assert_eq(soft_complete(a), CKR_OK, "keeping %x", keep);
		for (size_t i = 0; i < ARRAY_LEN(rsa_private); i++) {
			bool swapped = !bytes_equal(attr(a, CKA_PRIME_1), attr(p.priv_attrs, CKA_PRIME_1));

			if (i < 3 || !swapped)
				expect(attr(a, rsa_private[i]), attr(p.priv_attrs, rsa_private[i]));
		}
		info_is_of(a, p.pub);
		cr_assert_eq(key_result(a), CKR_OK);
		attrs_free(a);
	}
	pair_free(&p);
}

Test(key, refuses_rsa_that_does_not_fit_together)
{
	struct pair p = rsa_pair(1024);

	for (size_t i = 0; i < ARRAY_LEN(rsa_private); i++) {
		struct bytes v = attr(p.priv_attrs, rsa_private[i]);
		struct attrs *a = copy(p.priv_attrs);
		uint8_t bad[128];

		memcpy(bad, v.ptr, v.len);
		bad[v.len / 2] ^= 0x10;
		set_attr(a, rsa_private[i], BYTES(bad, v.len));
		cr_assert_eq(soft_complete(a), CKR_ATTRIBUTE_VALUE_INVALID, "%zu", i);
		expect(attr(a, rsa_private[i]), BYTES(bad, v.len)); /* untouched */
		attrs_free(a);
	}
	pair_free(&p);
}

Test(key, rsa_needs_n_and_d)
{
	struct pair p = rsa_pair(1024);
	static const CK_ATTRIBUTE_TYPE needed[] = {CKA_MODULUS, CKA_PRIVATE_EXPONENT, CKA_CLASS, CKA_KEY_TYPE};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		struct attrs *a = copy(p.priv_attrs);

		attrs_remove(a, needed[i]);
		cr_assert_eq(soft_complete(a), CKR_TEMPLATE_INCOMPLETE);
		cr_assert_eq(key_result(a), CKR_TEMPLATE_INCOMPLETE);
		attrs_free(a);
	}
	pair_free(&p);
}

Test(key, bad_rsa_public_keys)
{
	struct attrs *a = attrs_of(CKO_PUBLIC_KEY, CKK_RSA);
	uint8_t n[2049];

	memset(n, 0xff, sizeof n);
	cr_assert_eq(key_result(a), CKR_TEMPLATE_INCOMPLETE);
	set_attr(a, CKA_PUBLIC_EXPONENT, BYTES("\1\0\1", 3));
	set_attr(a, CKA_MODULUS, NO_BYTES);
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(a, CKA_MODULUS, BYTES(n, 2049));
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	n[127] = 0xfe;
	set_attr(a, CKA_MODULUS, BYTES(n, 128));
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	n[127] = 0xff;
	set_attr(a, CKA_MODULUS, BYTES(n, 128));
	cr_assert_eq(soft_complete(a), CKR_OK);
	cr_assert_eq(attrs_get_ulong(a, CKA_MODULUS_BITS, 0), 1024);
	set_attr(a, CKA_PUBLIC_EXPONENT, NO_BYTES);
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	attrs_free(a);
}

Test(key, completes_curves)
{
	for (int c = 0; c < CURVE_COUNT; c++) {
		struct pair p = curve_pair((enum curve_id)c), other = curve_pair((enum curve_id)c);
		struct attrs *a = copy(p.priv_attrs);

		attrs_remove(a, CKA_PUBLIC_KEY_INFO);
		cr_assert_eq(soft_complete(a), CKR_OK);
		info_is_of(a, p.pub);
		cr_assert_eq(soft_complete(a), CKR_OK); /* and is accepted when given */
		set_attr(a, CKA_PUBLIC_KEY_INFO, attr(other.pub_attrs, CKA_PUBLIC_KEY_INFO));
		cr_assert_eq(soft_complete(a), CKR_ATTRIBUTE_VALUE_INVALID);
		attrs_free(a);
		pair_free(&p);
		pair_free(&other);
	}
}

Test(key, bad_curve_keys)
{
	struct pair p = curve_pair(CURVE_P256);
	struct attrs *a = copy(p.priv_attrs), *pub = copy(p.pub_attrs);
	struct bytes point = attr(p.pub_attrs, CKA_EC_POINT);
	uint8_t bad[67], high[32], long_value[33] = {1};

	memset(high, 0xff, sizeof high);
	set_attr(a, CKA_VALUE, BYTES_OF(high)); /* above the order */
	cr_assert_eq(soft_complete(a), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(a, CKA_VALUE, BYTES_OF(long_value));
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(a, CKA_VALUE, BYTES(long_value + 1, 32)); /* zero */
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	attrs_remove(a, CKA_VALUE);
	cr_assert_eq(key_result(a), CKR_TEMPLATE_INCOMPLETE);
	memcpy(bad, point.ptr, sizeof bad);
	bad[40] ^= 1; /* off the curve */
	set_attr(pub, CKA_EC_POINT, BYTES_OF(bad));
	cr_assert_eq(key_result(pub), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(pub, CKA_EC_POINT, BYTES(point.ptr, 66));
	cr_assert_eq(key_result(pub), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(pub, CKA_EC_POINT, BYTES(point.ptr + 2, 65)); /* bare */
	cr_assert_eq(key_result(pub), CKR_OK);
	set_attr(pub, CKA_EC_PARAMS, BYTES("\x13\x09secp256r1", 11));
	cr_assert_eq(key_result(pub), CKR_OK);
	attrs_free(a);
	attrs_free(pub);
	pair_free(&p);
}

/* What a template says is the point of a private key must be its point. */
Test(key, points_of_private_curve_keys)
{
	static const enum curve_id curves[] = {CURVE_P256, CURVE_P521, CURVE_ED25519};

	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		struct pair p = curve_pair(curves[i]), other = curve_pair(curves[i]);

		set_attr(p.priv_attrs, CKA_EC_POINT, attr(p.pub_attrs, CKA_EC_POINT));
		cr_assert_eq(soft_complete(p.priv_attrs), CKR_OK);
		set_attr(p.priv_attrs, CKA_EC_POINT, attr(other.pub_attrs, CKA_EC_POINT));
		cr_assert_eq(soft_complete(p.priv_attrs), CKR_ATTRIBUTE_VALUE_INVALID);
		set_attr(p.priv_attrs, CKA_EC_POINT, BYTES("\4", 1));
		cr_assert_eq(soft_complete(p.priv_attrs), CKR_ATTRIBUTE_VALUE_INVALID);
		pair_free(&p);
		pair_free(&other);
	}
}

/* An importer may bring a point bare or in an OCTET STRING; what is shown has the form of its key type (T141). */
Test(key, points_as_they_are_shown)
{
	static const enum curve_id curves[] = {CURVE_P256, CURVE_P384, CURVE_P521, CURVE_ED25519};

	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		const struct curve *c = &der_curves[curves[i]];
		struct pair p = curve_pair(curves[i]);
		struct attrs *want = copy(p.pub_attrs);
		struct buffer wrapped CLEANUP(buffer_done);
		struct bytes point;

		buffer_init(&wrapped, 256);
		cr_assert(ec_point_unwrap(attr(want, CKA_EC_POINT), c, &point));
		der_put(&wrapped, DER_OCTETS, point);
		const struct bytes forms[] = {point, buffer_bytes(&wrapped)};
		for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
			set_attr(p.pub_attrs, CKA_EC_POINT, forms[k]);
			cr_assert_eq(soft_complete(p.pub_attrs), CKR_OK);
			expect(attr(p.pub_attrs, CKA_EC_POINT), attr(want, CKA_EC_POINT));
			set_attr(p.priv_attrs, CKA_EC_POINT, forms[k]);
			cr_assert_eq(soft_complete(p.priv_attrs), CKR_OK);
			expect(attr(p.priv_attrs, CKA_EC_POINT), attr(want, CKA_EC_POINT));
		}
		attrs_free(want);
		pair_free(&p);
	}
}

Test(key, completes_secrets)
{
	struct attrs *aes = attrs_of(CKO_SECRET_KEY, CKK_AES), *generic = attrs_of(CKO_SECRET_KEY, CKK_GENERIC_SECRET);
	uint8_t zeros[16] = {0};

	set_attr(aes, CKA_VALUE, BYTES_OF(zeros));
	cr_assert_eq(soft_complete(aes), CKR_OK);
	cr_assert_eq(attrs_get_ulong(aes, CKA_VALUE_LEN, 0), 16);
	expect(attr(aes, CKA_CHECK_VALUE), BYTES("\x66\xe9\x4b", 3)); /* AES-128 of zeros under zeros */
	set_attr(generic, CKA_VALUE, BYTES("abc", 3));
	cr_assert_eq(soft_complete(generic), CKR_OK);
	expect(attr(generic, CKA_CHECK_VALUE), BYTES("\xa9\x99\x3e", 3)); /* SHA-1("abc") */
	cr_assert_eq(soft_complete(generic), CKR_OK);
	set_attr(generic, CKA_CHECK_VALUE, BYTES("\xa9\x99\x3f", 3));
	cr_assert_eq(soft_complete(generic), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(generic, CKA_CHECK_VALUE, NO_BYTES);
	cr_assert_eq(soft_complete(generic), CKR_OK);
	cr_assert_eq(attr(generic, CKA_CHECK_VALUE).len, 0);
	cr_assert_eq(attrs_set_ulong(generic, CKA_VALUE_LEN, 4), CKR_OK);
	cr_assert_eq(soft_complete(generic), CKR_ATTRIBUTE_VALUE_INVALID);
	attrs_free(aes);
	attrs_free(generic);
}

Test(key, kinds_and_classes)
{
	struct attrs *a = attrs_of(CKO_PUBLIC_KEY, CKK_AES);
	uint8_t value[17] = {0};

	set_attr(a, CKA_VALUE, BYTES_OF(value));
	cr_assert_eq(key_result(a), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(soft_complete(a), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, CKO_SECRET_KEY), CKR_OK);
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	set_attr(a, CKA_VALUE, NO_BYTES);
	cr_assert_eq(key_result(a), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_DH), CKR_OK);
	cr_assert_eq(key_result(a), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(soft_complete(a), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_RSA), CKR_OK);
	cr_assert_eq(key_result(a), CKR_KEY_TYPE_INCONSISTENT);
	attrs_free(a);
}

/* Every row of the table has a use, and sizes that make sense. */
Test(key, mechanisms)
{
	for (size_t i = 0; i < soft_mechs_count; i++) {
		cr_assert_neq(soft_mechs[i].flags, 0);
		cr_assert_leq(soft_mechs[i].min, soft_mechs[i].max);
		cr_assert_eq(soft_mechs[i].flags & CKF_HW, 0);
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(soft_mechs[i].type, soft_mechs[j].type);
	}
}

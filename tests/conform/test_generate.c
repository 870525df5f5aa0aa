/* C_GenerateKey, C_GenerateKeyPair and the attributes of what they make (5.18, 6.1.4, 6.3; T089 to T093, T103, T141 to
 * T145). */
#include <openssl/x509.h>

#include "judge.h"

TestSuite(generate, .init = session_up, .fini = harness_down, .timeout = 120);

static const CK_ATTRIBUTE no_more;

static CK_RV ec_with(CK_ATTRIBUTE pub, CK_ATTRIBUTE priv, struct pair *p)
{
	CK_ATTRIBUTE t[] = {A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), pub};

	*p = (struct pair){CK_INVALID_HANDLE, CK_INVALID_HANDLE};
	CK_RV rv = CALL(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN), t, pub.pValue ? 2 : 1, &priv,
			priv.pValue ? 1 : 0, &p->pub, &p->priv);
	cr_assert(rv == CKR_OK || (!p->pub && !p->priv), "an output was written by a call that failed");
	return rv;
}

static void is_sensitive(CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type)
{
	uint8_t buf[512];
	CK_ATTRIBUTE a = {type, buf, sizeof buf};

	EXPECT(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue, h.session, o, &a, 1);
	cr_assert(a.ulValueLen == CK_UNAVAILABLE_INFORMATION);
}

static void usage_booleans(struct pair p)
{
	static const CK_ATTRIBUTE_TYPE of_public[] = {
		CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_TRUSTED, CKA_DERIVE, CKA_LOCAL, CKA_TOKEN,
		CKA_PRIVATE, CKA_MODIFIABLE};
	static const CK_ATTRIBUTE_TYPE of_private[] = {
		CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_ALWAYS_SENSITIVE,
		CKA_NEVER_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_ALWAYS_AUTHENTICATE, CKA_DERIVE, CKA_LOCAL};

	for (size_t i = 0; i < ARRAY_LEN(of_public); i++)
		attribute_bool(h.session, p.pub, of_public[i]);
	for (size_t i = 0; i < ARRAY_LEN(of_private); i++)
		attribute_bool(h.session, p.priv, of_private[i]);
}

/* What is true of a private key that was generated here and never left. */
static void born_private(struct pair p, CK_MECHANISM_TYPE mechanism)
{
	cr_assert(attribute_bool(h.session, p.priv, CKA_LOCAL) && attribute_bool(h.session, p.pub, CKA_LOCAL));
	cr_assert(attribute_bool(h.session, p.priv, CKA_SENSITIVE));
	cr_assert(!attribute_bool(h.session, p.priv, CKA_EXTRACTABLE));
	cr_assert(attribute_bool(h.session, p.priv, CKA_ALWAYS_SENSITIVE));
	cr_assert(attribute_bool(h.session, p.priv, CKA_NEVER_EXTRACTABLE));
	cr_assert(attribute_bool(h.session, p.priv, CKA_PRIVATE) && !attribute_bool(h.session, p.pub, CKA_PRIVATE));
	cr_assert(attribute_ulong(h.session, p.priv, CKA_KEY_GEN_MECHANISM) == mechanism);
	cr_assert(attribute_ulong(h.session, p.pub, CKA_KEY_GEN_MECHANISM) == mechanism);
	usage_booleans(p);
}

Test(generate, T089_T090_T092_T093_T103_rsa)
{
	static const CK_ATTRIBUTE_TYPE hidden[] = {
		CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT};
	struct pair p = rsa_pair(h.session, true, "rsa");
	uint8_t a[512], b[512];

	born_private(p, CKM_RSA_PKCS_KEY_PAIR_GEN);
	CK_ULONG n = attribute(h.session, p.pub, CKA_MODULUS, a, sizeof a);
	cr_assert(n == 256 && a[0] & 0x80);
	cr_assert(attribute(h.session, p.priv, CKA_MODULUS, b, sizeof b) == n && memcmp(a, b, n) == 0);
	n = attribute(h.session, p.pub, CKA_PUBLIC_EXPONENT, a, sizeof a);
	cr_assert(n == 3 && memcmp(a, "\x01\x00\x01", 3) == 0);
	cr_assert(attribute(h.session, p.priv, CKA_PUBLIC_EXPONENT, b, sizeof b) == n && memcmp(a, b, n) == 0);
	cr_assert(attribute_ulong(h.session, p.pub, CKA_MODULUS_BITS) == 2048);
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		is_sensitive(p.priv, hidden[i]);
}

Test(generate, T103_public_key_info)
{
	struct pair p[2] = {rsa_pair(h.session, false, "rsa"), ec_pair(h.session, false, "ec")};
	uint8_t info[600];

	for (size_t i = 0; i < 2; i++) {
		CK_ULONG n = attribute(h.session, p[i].priv, CKA_PUBLIC_KEY_INFO, info, sizeof info);
		const uint8_t *at = info;
		EVP_PKEY *said = d2i_PUBKEY(NULL, &at, (long)n), *judge = judge_key(h.session, p[i].pub);
		cr_assert(said && at == info + n && EVP_PKEY_eq(said, judge) == 1);
		EVP_PKEY_free(said);
		EVP_PKEY_free(judge);
	}
}

Test(generate, T089_T141_ec)
{
	struct pair p = ec_pair(h.session, true, "ec");
	uint8_t buf[128];

	born_private(p, CKM_EC_KEY_PAIR_GEN);
	cr_assert(attribute(h.session, p.priv, CKA_EC_PARAMS, buf, sizeof buf) == sizeof p256_params);
	cr_assert_arr_eq(buf, p256_params, sizeof p256_params);
	cr_assert(attribute(h.session, p.pub, CKA_EC_POINT, buf, sizeof buf) == 67);
	cr_assert(buf[0] == 0x04 && buf[1] == 65 && buf[2] == 0x04);
	is_sensitive(p.priv, CKA_VALUE);
}

Test(generate, found_again_after_a_restart)
{
	struct pair p;

	rsa_pair(h.session, true, "rsa");
	ec_pair(h.session, true, "ec");
	ec_pair(h.session, false, "gone");
	OK(C_Finalize, NULL);
	library_up();
	h.session = open_session(RW);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY)), NULL) == 2);
	cr_assert(login(h.session, CKU_USER, USER_PIN) == CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), NULL) == 2);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "gone")), NULL) == 0);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_TEXT(CKA_ID, "ec")), &p.priv) == 1);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_TEXT(CKA_ID, "ec")), &p.pub) == 1);
	born_private(p, CKM_EC_KEY_PAIR_GEN);
	uint8_t digest[32] = {5}, sig[64];
	CK_ULONG n = sizeof sig;
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
	EVP_PKEY *judge = judge_key(h.session, p.pub);
	cr_assert(judge_ecdsa(judge, BYTES_OF(digest), BYTES_OF(sig)));
	EVP_PKEY_free(judge);
}

Test(generate, halves_are_destroyed_one_by_one)
{
	struct pair p = ec_pair(h.session, true, "ec");
	uint8_t digest[32] = {5}, sig[64];
	CK_ULONG n = sizeof sig;

	OK(C_DestroyObject, h.session, p.pub);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "ec")), NULL) == 1);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
	OK(C_SetAttributeValue, h.session, p.priv, TEMPLATE(A_TEXT(CKA_LABEL, "new")));
	OK(C_Finalize, NULL);
	library_up();
	h.session = open_session(RW);
	cr_assert(login(h.session, CKU_USER, USER_PIN) == CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "new")), &p.priv) == 1);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY)), NULL) == 0);
	OK(C_DestroyObject, h.session, p.priv);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "new")), NULL) == 0);
}

Test(generate, T142_curves)
{
	static const uint8_t unknown[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x01}; /* sect163k1 */
	static const uint8_t implicit[] = {0x05, 0x00};
	struct pair p;

	EXPECT_IN((CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID), C_GenerateKeyPair, h.session,
		  MECH(CKM_EC_KEY_PAIR_GEN), TEMPLATE(A_BYTES(CKA_EC_PARAMS, unknown, sizeof unknown)), NULL, 0, &p.pub,
		  &p.priv);
	EXPECT_IN((CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID, CKR_ATTRIBUTE_VALUE_INVALID), C_GenerateKeyPair,
		  h.session, MECH(CKM_EC_KEY_PAIR_GEN), TEMPLATE(A_BYTES(CKA_EC_PARAMS, implicit, sizeof implicit)), NULL,
		  0, &p.pub, &p.priv);
	EXPECT_IN((CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID, CKR_ATTRIBUTE_VALUE_INVALID), C_GenerateKeyPair,
		  h.session, MECH(CKM_EC_KEY_PAIR_GEN), TEMPLATE(A_TEXT(CKA_EC_PARAMS, "nonsense")), NULL, 0, &p.pub,
		  &p.priv);
	EXPECT(CKR_TEMPLATE_INCOMPLETE, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN), NULL, 0, NULL, 0,
	       &p.pub, &p.priv);
}

Test(generate, T143_rsa_templates)
{
	struct pair p;
	CK_MECHANISM *m = MECH(CKM_RSA_PKCS_KEY_PAIR_GEN);

	EXPECT(CKR_TEMPLATE_INCOMPLETE, C_GenerateKeyPair, h.session, m, NULL, 0, NULL, 0, &p.pub, &p.priv);
	OK(C_GenerateKeyPair, h.session, m,
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_TEXT(CKA_PUBLIC_EXPONENT, "\x01\x00\x01")), NULL, 0, &p.pub,
	   &p.priv);
	/* The same number with a leading zero. */
	OK(C_GenerateKeyPair, h.session, m,
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_BYTES(CKA_PUBLIC_EXPONENT, "\x00\x01\x00\x01", 4)), NULL, 0,
	   &p.pub, &p.priv);
	EXPECT_IN((CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_VALUE_INVALID), C_GenerateKeyPair, h.session, m,
		  TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_TEXT(CKA_PUBLIC_EXPONENT, "\x02")), NULL, 0, &p.pub,
		  &p.priv);
	EXPECT_IN((CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE, CKR_TEMPLATE_INCONSISTENT), C_GenerateKeyPair,
		  h.session, m, TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 100)), NULL, 0, &p.pub, &p.priv);
	EXPECT_IN((CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE, CKR_TEMPLATE_INCONSISTENT), C_GenerateKeyPair,
		  h.session, m, TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 1ul << 40)), NULL, 0, &p.pub, &p.priv);
}

Test(generate, T144_contradictions)
{
	struct pair p;
	CK_OBJECT_HANDLE o;

	EXPECT(CKR_TEMPLATE_INCONSISTENT, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	       TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_ULONG(CKA_KEY_TYPE, CKK_RSA)), NULL, 0,
	       &p.pub, &p.priv);
	EXPECT(CKR_TEMPLATE_INCONSISTENT, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	       TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)),
	       TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY)), &p.pub, &p.priv);
	EXPECT(CKR_TEMPLATE_INCONSISTENT, C_GenerateKey, h.session, MECH(CKM_AES_KEY_GEN),
	       TEMPLATE(A_ULONG(CKA_VALUE_LEN, 16), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET)), &o);
	EXPECT(CKR_MECHANISM_INVALID, C_GenerateKey, h.session, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN), NULL, 0, &o);
	EXPECT(CKR_MECHANISM_INVALID, C_GenerateKeyPair, h.session, MECH(CKM_AES_KEY_GEN), NULL, 0, NULL, 0, &p.pub,
	       &p.priv);
	EXPECT(CKR_MECHANISM_INVALID, C_GenerateKey, h.session, MECH(CKM_SHA256), NULL, 0, &o);
	EXPECT_IN((CKR_ARGUMENTS_BAD, CKR_MECHANISM_INVALID), C_GenerateKey, h.session, NULL, NULL, 0, &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN), NULL, 0, NULL, 0, NULL,
	       &p.priv);
	/* The same words that the module would have filled in are no contradiction. */
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params), A_ULONG(CKA_KEY_TYPE, CKK_EC),
		    A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY)),
	   TEMPLATE(A_ULONG(CKA_KEY_TYPE, CKK_EC), A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &p.pub, &p.priv);
}

Test(generate, T145_never_one_half)
{
	struct pair p;
	CK_ULONG before = find(h.session, NULL, 0, NULL);

	CK_RV rv = ec_with((CK_ATTRIBUTE)A_BOOL(CKA_TOKEN, true), (CK_ATTRIBUTE)A_ULONG(0x7ffffff0, 1), &p);
	cr_assert(rv == CKR_ATTRIBUTE_TYPE_INVALID, "%s", rv_name(rv));
	rv = ec_with((CK_ATTRIBUTE)A_BOOL(CKA_TOKEN, true), (CK_ATTRIBUTE)A_BOOL(CKA_LOCAL, true), &p);
	cr_assert(rv == CKR_ATTRIBUTE_READ_ONLY, "%s", rv_name(rv));
	cr_assert(find(h.session, NULL, 0, NULL) == before);
}

Test(generate, without_the_user)
{
	struct pair p;

	OK(C_Logout, h.session);
	cr_assert(ec_with(no_more, no_more, &p) == CKR_USER_NOT_LOGGED_IN);
	cr_assert(ec_with(no_more, (CK_ATTRIBUTE)A_BOOL(CKA_PRIVATE, false), &p) == CKR_OK);
	OK(C_CloseAllSessions, h.slot);
	h.session = open_session(RO);
	cr_assert(login(h.session, CKU_USER, USER_PIN) == CKR_OK);
	cr_assert(ec_with((CK_ATTRIBUTE)A_BOOL(CKA_TOKEN, true), no_more, &p) == CKR_SESSION_READ_ONLY);
	cr_assert(ec_with(no_more, (CK_ATTRIBUTE)A_BOOL(CKA_TOKEN, true), &p) == CKR_SESSION_READ_ONLY);
	cr_assert(ec_with(no_more, no_more, &p) == CKR_OK);
}

Test(generate, secret_keys)
{
	CK_OBJECT_HANDLE o;
	uint8_t value[64];

	OK(C_GenerateKey, h.session, MECH(CKM_AES_KEY_GEN), TEMPLATE(A_ULONG(CKA_VALUE_LEN, 32), A_BOOL(CKA_TOKEN, true)),
	   &o);
	cr_assert(attribute_bool(h.session, o, CKA_LOCAL));
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_GEN_MECHANISM) == CKM_AES_KEY_GEN);
	cr_assert(attribute_bool(h.session, o, CKA_ALWAYS_SENSITIVE) == attribute_bool(h.session, o, CKA_SENSITIVE));
	cr_assert(attribute_bool(h.session, o, CKA_NEVER_EXTRACTABLE) == !attribute_bool(h.session, o, CKA_EXTRACTABLE));
	EXPECT(CKR_TEMPLATE_INCOMPLETE, C_GenerateKey, h.session, MECH(CKM_AES_KEY_GEN), NULL, 0, &o);
	EXPECT_IN((CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE, CKR_TEMPLATE_INCONSISTENT), C_GenerateKey, h.session,
		  MECH(CKM_AES_KEY_GEN), TEMPLATE(A_ULONG(CKA_VALUE_LEN, 17)), &o);
	OK(C_GenerateKey, h.session, MECH(CKM_GENERIC_SECRET_KEY_GEN),
	   TEMPLATE(A_ULONG(CKA_VALUE_LEN, 40), A_BOOL(CKA_SENSITIVE, false), A_BOOL(CKA_EXTRACTABLE, true)), &o);
	cr_assert(attribute(h.session, o, CKA_VALUE, value, sizeof value) == 40);
	cr_assert(!attribute_bool(h.session, o, CKA_ALWAYS_SENSITIVE));
	cr_assert(!attribute_bool(h.session, o, CKA_NEVER_EXTRACTABLE));
}

/* A template as ordinary tools send it: everything that a class may have, most of it of no use to hardware. */
Test(generate, generous_templates)
{
	CK_OBJECT_HANDLE pub, priv;
	static const CK_DATE start = {{'2', '0', '2', '4'}, {'0', '1'}, {'3', '1'}};

	OK(C_GenerateKeyPair, h.session, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA), A_BOOL(CKA_TOKEN, true),
		    A_BOOL(CKA_PRIVATE, false), A_ULONG(CKA_MODULUS_BITS, 2048),
		    A_TEXT(CKA_PUBLIC_EXPONENT, "\x01\x00\x01"), A_BOOL(CKA_ENCRYPT, true), A_BOOL(CKA_VERIFY, true),
		    A_BOOL(CKA_VERIFY_RECOVER, true), A_BOOL(CKA_WRAP, true), A_TEXT(CKA_ID, "\x01\x02"),
		    A_TEXT(CKA_LABEL, "generous"), A_BYTES(CKA_START_DATE, &start, sizeof start), A_NULL(CKA_END_DATE),
		    A_BOOL(CKA_MODIFIABLE, true), A_NULL(CKA_SUBJECT)),
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA), A_BOOL(CKA_TOKEN, true),
		    A_BOOL(CKA_PRIVATE, true), A_BOOL(CKA_SENSITIVE, true), A_BOOL(CKA_EXTRACTABLE, false),
		    A_BOOL(CKA_DECRYPT, true), A_BOOL(CKA_SIGN, true), A_BOOL(CKA_SIGN_RECOVER, true),
		    A_BOOL(CKA_UNWRAP, true), A_BOOL(CKA_WRAP_WITH_TRUSTED, false), A_BOOL(CKA_ALWAYS_AUTHENTICATE, false),
		    A_TEXT(CKA_ID, "\x01\x02"), A_TEXT(CKA_LABEL, "generous"), A_TEXT(CKA_SUBJECT, "0\x00")),
	   &pub, &priv);
	uint8_t date[8];
	cr_assert(attribute(h.session, pub, CKA_START_DATE, date, 8) == 8);
	cr_assert(attribute(h.session, pub, CKA_END_DATE, date, 8) == 0, "T104");
}

Test(generate, vendor_attribute_names_the_place)
{
	struct pair p = ec_pair(h.session, false, "ec");
	char place[16] = "";

	CK_ULONG n = attribute(h.session, p.priv, 0x80000000ul | 0x53470001ul, place, sizeof place);
	const char *want = h.kind->hardware ? "tpm" : "process";
	cr_assert(n == strlen(want) && memcmp(place, want, n) == 0, "%.*s", (int)n, place);
}

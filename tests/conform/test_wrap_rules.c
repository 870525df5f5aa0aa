/* What may be wrapped and unwrapped, and what the answer is where it may not (T084, T095, T119 to T121, T127 to T130,
 * T146 to T153). */
#include <openssl/rsa.h>

#include "judge.h"
#include "token.h"
#include "wrap_keys.h"

TestSuite(wrap_rules, .init = session_up, .fini = harness_down, .timeout = 120);

static uint8_t iv[16] = {1}, value[32] = {1, 2, 3, 4, 5, 6, 7, 8}, by[32];
static CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0}, kwp = {CKM_AES_KEY_WRAP_KWP, NULL, 0};
static CK_MECHANISM cbc_pad = {CKM_AES_CBC_PAD, iv, sizeof iv}, cbc = {CKM_AES_CBC, iv, sizeof iv};

/* A secret that the test's template says more of. */
static CK_OBJECT_HANDLE aes_with(CK_ATTRIBUTE *more, CK_ULONG n)
{
	CK_ATTRIBUTE t[16] = {A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES),
			      A_BYTES(CKA_VALUE, value, sizeof value)};
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	memcpy(t + 3, more, n * sizeof *more);
	OK(C_CreateObject, h.session, t, 3 + n, &o);
	return o;
}

#define AES_WITH(...) aes_with(TEMPLATE(__VA_ARGS__))
#define WRAPPER(...)  AES_WITH(A_BOOL(CKA_WRAP, true), A_BOOL(CKA_UNWRAP, true), __VA_ARGS__)

static CK_ULONG objects(void)
{
	return find(h.session, NULL, 0, NULL);
}

/* Thirty-two bytes, wrapped; their length. */
static CK_ULONG wrapped(CK_MECHANISM *m, CK_OBJECT_HANDLE with, uint8_t out[SEALED_MAX])
{
	CK_OBJECT_HANDLE key = secret_key(CKK_AES, value, sizeof value);
	CK_ULONG n;

	is(wrap(m, with, key, out, &n), CKR_OK);
	OK(C_DestroyObject, h.session, key);
	return n;
}

#define SECRET_OF(type) A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, (type))

/* ---- sizes ---- */

Test(wrap_rules, T119_T120_sizes)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), key = secret_key(CKK_AES, value, sizeof value);
	uint8_t out[64];
	CK_ULONG n = 12345;

	OK(C_WrapKey, h.session, &kw, with, key, NULL, &n);
	cr_assert(n == 40);
	for (CK_ULONG room = 0; room < 40; room++) {
		memset(out, 0xaa, sizeof out);
		n = room;
		EXPECT(CKR_BUFFER_TOO_SMALL, C_WrapKey, h.session, &kw, with, key, out, &n);
		cr_assert(n == 40 && out[room] == 0xaa);
	}
	n = 40;
	memset(out, 0xaa, sizeof out);
	OK(C_WrapKey, h.session, &kw, with, key, out, &n);
	cr_assert(n == 40 && out[39] != 0xaa && out[40] == 0xaa);
}

Test(wrap_rules, arguments)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n = wrapped(&kw, with, out);

	EXPECT(CKR_ARGUMENTS_BAD, C_WrapKey, h.session, NULL, with, with, out, &n);
	EXPECT(CKR_ARGUMENTS_BAD, C_WrapKey, h.session, &kw, with, with, out, NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_UnwrapKey, h.session, NULL, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_UnwrapKey, h.session, &kw, with, NULL, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_UnwrapKey, h.session, &kw, with, out, n, NULL, 1, &o);
	EXPECT(CKR_ARGUMENTS_BAD, C_UnwrapKey, h.session, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), NULL);
	EXPECT(CKR_ARGUMENTS_BAD, C_UnwrapKey, h.session, &kw, with, out, CK_UNAVAILABLE_INFORMATION,
	       TEMPLATE(SECRET_OF(CKK_AES)), &o);
}

/* ---- the wrapping key ---- */

Test(wrap_rules, T127_handles)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), data = data_object(h.session, false, false, "no key"), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n = wrapped(&kw, with, out);
	const CK_OBJECT_HANDLE bad[] = {CK_INVALID_HANDLE, data, with + 0x100000, CK_UNAVAILABLE_INFORMATION};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT(CKR_WRAPPING_KEY_HANDLE_INVALID, C_WrapKey, h.session, &kw, bad[i], with, out, &n);
		EXPECT(CKR_KEY_HANDLE_INVALID, C_WrapKey, h.session, &kw, with, bad[i], out, &n);
		EXPECT(CKR_UNWRAPPING_KEY_HANDLE_INVALID, C_UnwrapKey, h.session, &kw, bad[i], out, n,
		       TEMPLATE(SECRET_OF(CKK_AES)), &o);
	}
}

Test(wrap_rules, T147_types)
{
	struct pair rsa = rsa_wrapper(), ec = ec_pair(h.session, false, "ec");
	CK_OBJECT_HANDLE aes = wrapper(32, by), mac = hmac_key(h.session, value, 32), o;
	CK_MECHANISM rsa_pkcs = {CKM_RSA_PKCS, NULL, 0};
	uint8_t out[SEALED_MAX] = {0};
	CK_ULONG n = sizeof out;
	const struct {
		CK_MECHANISM *m;
		CK_OBJECT_HANDLE key;
	} wrong[] = {{&kw, mac},       {&kw, rsa.pub},      {&kw, ec.pub},
		     {&rsa_pkcs, aes}, {&rsa_pkcs, ec.pub}, {&rsa_pkcs, rsa.priv}},
	  wrong_back[] = {{&kw, mac}, {&kw, rsa.priv}, {&rsa_pkcs, aes}, {&rsa_pkcs, ec.priv}, {&rsa_pkcs, rsa.pub}};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		EXPECT(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, C_WrapKey, h.session, wrong[i].m, wrong[i].key, aes, out,
		       &n);
	for (size_t i = 0; i < ARRAY_LEN(wrong_back); i++)
		EXPECT(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, C_UnwrapKey, h.session, wrong_back[i].m, wrong_back[i].key,
		       out, 256, TEMPLATE(SECRET_OF(CKK_AES)), &o);
}

Test(wrap_rules, T148_not_for_wrapping)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), neither = AES_WITH(A_BOOL(CKA_EXTRACTABLE, true)), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n = wrapped(&kw, with, out);

	EXPECT(CKR_WRAPPING_KEY_HANDLE_INVALID, C_WrapKey, h.session, &kw, neither, neither, out, &n);
	EXPECT(CKR_UNWRAPPING_KEY_HANDLE_INVALID, C_UnwrapKey, h.session, &kw, neither, out, n,
	       TEMPLATE(SECRET_OF(CKK_AES)), &o);
	/* The attribute, not the key, is in the way. */
	OK(C_SetAttributeValue, h.session, neither, TEMPLATE(A_BOOL(CKA_WRAP, true)));
	n = sizeof out;
	OK(C_WrapKey, h.session, &kw, neither, neither, out, &n);
}

Test(wrap_rules, T128_allowed_mechanisms)
{
	CK_MECHANISM_TYPE only = CKM_AES_KEY_WRAP_KWP;
	CK_OBJECT_HANDLE with = WRAPPER(A_BYTES(CKA_ALLOWED_MECHANISMS, &only, sizeof only)), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n = wrapped(&kwp, with, out);

	EXPECT(CKR_MECHANISM_INVALID, C_WrapKey, h.session, &kw, with, with, out, &n);
	EXPECT(CKR_MECHANISM_INVALID, C_UnwrapKey, h.session, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	OK(C_UnwrapKey, h.session, &kwp, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
}

Test(wrap_rules, T040_T129_mechanisms_and_parameters)
{
	CK_AES_CTR_PARAMS ctr = {.ulCounterBits = 32};
	CK_MECHANISM no_wrap[] = {{CKM_AES_CTR, &ctr, sizeof ctr}, {CKM_AES_CMAC, NULL, 0}, {CKM_AES_KEY_GEN, NULL, 0},
				  {CKM_RSA_PKCS_PSS, NULL, 0},     {CKM_SHA256, NULL, 0},   {0x7fffffff, NULL, 0}};
	CK_MECHANISM bad[] = {{CKM_AES_KEY_WRAP, iv, 7},  {CKM_AES_KEY_WRAP_KWP, iv, 8}, {CKM_AES_KEY_WRAP, NULL, 8},
			      {CKM_AES_CBC_PAD, NULL, 0}, {CKM_AES_CBC, iv, 15},         {CKM_AES_ECB, iv, 1}};
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX] = {0};
	CK_ULONG n = sizeof out;

	for (size_t i = 0; i < ARRAY_LEN(no_wrap); i++) {
		EXPECT(CKR_MECHANISM_INVALID, C_WrapKey, h.session, &no_wrap[i], with, with, out, &n);
		EXPECT(CKR_MECHANISM_INVALID, C_UnwrapKey, h.session, &no_wrap[i], with, out, 32,
		       TEMPLATE(SECRET_OF(CKK_AES)), &o);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT(CKR_MECHANISM_PARAM_INVALID, C_WrapKey, h.session, &bad[i], with, with, out, &n);
		EXPECT(CKR_MECHANISM_PARAM_INVALID, C_UnwrapKey, h.session, &bad[i], with, out, 32,
		       TEMPLATE(SECRET_OF(CKK_AES)), &o);
	}
}

/* ---- the key that is wrapped ---- */

Test(wrap_rules, T146_what_may_not_leave)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), fixed = AES_WITH(A_BOOL(CKA_EXTRACTABLE, false));
	struct pair p = ec_pair(h.session, false, "ec");
	uint8_t out[SEALED_MAX];
	CK_ULONG n = sizeof out;

	EXPECT(CKR_KEY_UNEXTRACTABLE, C_WrapKey, h.session, &kw, with, fixed, out, &n);
	EXPECT(CKR_KEY_UNEXTRACTABLE, C_WrapKey, h.session, &kw, with, fixed, NULL, &n);
	EXPECT(CKR_KEY_UNEXTRACTABLE, C_WrapKey, h.session, &kwp, with, p.priv, out, &n);
	/* What was extractable once, and is no longer. */
	CK_OBJECT_HANDLE was = AES_WITH(A_BOOL(CKA_EXTRACTABLE, true));
	OK(C_SetAttributeValue, h.session, was, TEMPLATE(A_BOOL(CKA_EXTRACTABLE, false)));
	EXPECT(CKR_KEY_UNEXTRACTABLE, C_WrapKey, h.session, &kw, with, was, out, &n);
}

Test(wrap_rules, T149_only_by_trusted_keys)
{
	CK_OBJECT_HANDLE with = WRAPPER(A_BOOL(CKA_PRIVATE, false));
	CK_OBJECT_HANDLE picky =
	    AES_WITH(A_BOOL(CKA_PRIVATE, false), A_BOOL(CKA_EXTRACTABLE, true), A_BOOL(CKA_WRAP_WITH_TRUSTED, true));
	uint8_t out[SEALED_MAX];
	CK_ULONG n = sizeof out;

	EXPECT(CKR_KEY_NOT_WRAPPABLE, C_WrapKey, h.session, &kw, with, picky, out, &n);
	OK(C_Logout, h.session);
	is(login(h.session, CKU_SO, SO_PIN), CKR_OK);
	OK(C_SetAttributeValue, h.session, with, TEMPLATE(A_BOOL(CKA_TRUSTED, true)));
	OK(C_Logout, h.session);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	OK(C_WrapKey, h.session, &kw, with, picky, out, &n);
	cr_assert(n == 40);
}

Test(wrap_rules, T150_wrap_template)
{
	CK_ATTRIBUTE only[] = {A_ULONG(CKA_KEY_TYPE, CKK_AES), A_BOOL(CKA_SIGN, true)};
	CK_OBJECT_HANDLE with = WRAPPER(A_BYTES(CKA_WRAP_TEMPLATE, only, sizeof only));
	CK_OBJECT_HANDLE fits = AES_WITH(A_BOOL(CKA_EXTRACTABLE, true), A_BOOL(CKA_SIGN, true));
	CK_OBJECT_HANDLE other = AES_WITH(A_BOOL(CKA_EXTRACTABLE, true), A_BOOL(CKA_SIGN, false));
	uint8_t out[SEALED_MAX];
	CK_ULONG n;

	is(wrap(&kw, with, fits, out, &n), CKR_OK);
	is(wrap(&kw, with, other, out, &n), CKR_KEY_HANDLE_INVALID);
	is(wrap(&kw, with, secret_key(CKK_GENERIC_SECRET, value, 32), out, &n), CKR_KEY_HANDLE_INVALID);
}

/* ---- the new key ---- */

Test(wrap_rules, T095_attributes_of_an_unwrapped_key)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX], mechs[64];
	CK_ULONG n = wrapped(&kw, with, out);

	OK(C_UnwrapKey, h.session, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	cr_assert(attribute_bool(h.session, o, CKA_EXTRACTABLE));
	cr_assert(!attribute_bool(h.session, o, CKA_LOCAL));
	cr_assert(!attribute_bool(h.session, o, CKA_ALWAYS_SENSITIVE));
	cr_assert(!attribute_bool(h.session, o, CKA_NEVER_EXTRACTABLE));
	cr_assert(!attribute_bool(h.session, o, CKA_TOKEN));
	cr_assert(attribute_ulong(h.session, o, CKA_KEY_GEN_MECHANISM) == CK_UNAVAILABLE_INFORMATION);
	cr_assert(attribute_ulong(h.session, o, CKA_VALUE_LEN) == 32);
	cr_assert(attribute(h.session, o, CKA_CHECK_VALUE, mechs, sizeof mechs) == 3);
	/* T090: whatever the template says. */
	OK(C_UnwrapKey, h.session, &kw, with, out, n,
	   TEMPLATE(SECRET_OF(CKK_AES), A_BOOL(CKA_EXTRACTABLE, false), A_BOOL(CKA_SENSITIVE, true)), &o);
	cr_assert(!attribute_bool(h.session, o, CKA_EXTRACTABLE));
	cr_assert(!attribute_bool(h.session, o, CKA_ALWAYS_SENSITIVE) &&
		  !attribute_bool(h.session, o, CKA_NEVER_EXTRACTABLE));
}

Test(wrap_rules, a_token_object_stays)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n = wrapped(&kw, with, out);
	CK_ATTRIBUTE label[] = {A_TEXT(CKA_LABEL, "unwrapped"), A_BOOL(CKA_TOKEN, true)};

	OK(C_UnwrapKey, h.session, &kw, with, out, n,
	   TEMPLATE(SECRET_OF(CKK_AES), A_BOOL(CKA_TOKEN, true), A_TEXT(CKA_LABEL, "unwrapped"),
		    A_BOOL(CKA_SENSITIVE, false)),
	   &o);
	OK(C_CloseSession, h.session);
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(h.session, label, 2, &o) == 1);
	has_value(o, BYTES_OF(value));
}

Test(wrap_rules, T084_templates)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX], three[3] = {1, 2, 3};
	CK_ULONG n = wrapped(&kw, with, out), before = objects();

#define REFUSED(code, ...) EXPECT(code, C_UnwrapKey, h.session, &kw, with, out, n, TEMPLATE(__VA_ARGS__), &o)
	REFUSED(CKR_TEMPLATE_INCOMPLETE, A_ULONG(CKA_KEY_TYPE, CKK_AES));
	REFUSED(CKR_TEMPLATE_INCOMPLETE, A_ULONG(CKA_CLASS, CKO_SECRET_KEY));
	REFUSED(CKR_TEMPLATE_INCONSISTENT, A_ULONG(CKA_CLASS, CKO_PUBLIC_KEY), A_ULONG(CKA_KEY_TYPE, CKK_RSA));
	REFUSED(CKR_TEMPLATE_INCONSISTENT, A_ULONG(CKA_CLASS, CKO_DATA));
	REFUSED(CKR_TEMPLATE_INCONSISTENT, A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC));
	REFUSED(CKR_ATTRIBUTE_READ_ONLY, SECRET_OF(CKK_AES), A_BYTES(CKA_VALUE, value, 32));
	REFUSED(CKR_ATTRIBUTE_READ_ONLY, SECRET_OF(CKK_AES), A_BOOL(CKA_LOCAL, true));
	REFUSED(CKR_ATTRIBUTE_VALUE_INVALID, SECRET_OF(CKK_AES), A_BYTES(CKA_SENSITIVE, three, 3));
	REFUSED(CKR_ATTRIBUTE_VALUE_INVALID, SECRET_OF(CKK_AES), A_ULONG(CKA_VALUE_LEN, 17));
	REFUSED(CKR_ATTRIBUTE_TYPE_INVALID, SECRET_OF(CKK_AES), A_BOOL(CKA_VENDOR_DEFINED | 0x1234, true));
	/* T100: a check value that isn't this key's. */
	REFUSED(CKR_ATTRIBUTE_VALUE_INVALID, SECRET_OF(CKK_AES), A_BYTES(CKA_CHECK_VALUE, three, 3));
	cr_assert(objects() == before, "a call that failed left an object");
}

Test(wrap_rules, T151_unwrap_template)
{
	CK_ATTRIBUTE add[] = {A_BOOL(CKA_EXTRACTABLE, false), A_TEXT(CKA_LABEL, "by rule")};
	CK_OBJECT_HANDLE with = WRAPPER(A_BYTES(CKA_UNWRAP_TEMPLATE, add, sizeof add)), o;
	uint8_t out[SEALED_MAX], label[32];
	CK_ULONG n = wrapped(&kw, with, out);

	OK(C_UnwrapKey, h.session, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	cr_assert(!attribute_bool(h.session, o, CKA_EXTRACTABLE));
	cr_assert(attribute(h.session, o, CKA_LABEL, label, sizeof label) == 7 && memcmp(label, "by rule", 7) == 0);
	OK(C_UnwrapKey, h.session, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES), A_BOOL(CKA_EXTRACTABLE, false)), &o);
	EXPECT(CKR_TEMPLATE_INCONSISTENT, C_UnwrapKey, h.session, &kw, with, out, n,
	       TEMPLATE(SECRET_OF(CKK_AES), A_BOOL(CKA_EXTRACTABLE, true)), &o);
}

Test(wrap_rules, T152_lengths)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n;

	/* The mechanism fixes it: another one conflicts. */
	n = wrapped(&kwp, with, out);
	is(unwrap(&kwp, with, CKK_GENERIC_SECRET, 31, BYTES(out, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	is(unwrap(&kwp, with, CKK_GENERIC_SECRET, 33, BYTES(out, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	is(unwrap(&kwp, with, CKK_GENERIC_SECRET, 32, BYTES(out, n), &o), CKR_OK);
	is(unwrap(&kwp, with, CKK_AES, 16, BYTES(out, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	/* The key type doesn't have that length. */
	is(wrap(&kwp, with, secret_key(CKK_GENERIC_SECRET, value, 20), out, &n), CKR_OK);
	is(unwrap(&kwp, with, CKK_AES, 0, BYTES(out, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	/* Zeros may stand behind it: only the template, or an AES key's blocks, can tell. */
	n = wrapped(&cbc, with, out);
	is(unwrap(&cbc, with, CKK_GENERIC_SECRET, 0, BYTES(out, n), &o), CKR_TEMPLATE_INCOMPLETE);
	is(unwrap(&cbc, with, CKK_AES, 0, BYTES(out, n), &o), CKR_OK);
	has_value(o, BYTES_OF(value));
	is(unwrap(&cbc, with, CKK_GENERIC_SECRET, 24, BYTES(out, n), &o), CKR_OK); /* eight zeros stand behind */
	is(unwrap(&cbc, with, CKK_GENERIC_SECRET, 16, BYTES(out, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	is(unwrap(&cbc, with, CKK_GENERIC_SECRET, 33, BYTES(out, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	memset(value, 0x55, sizeof value);
	n = wrapped(&cbc, with, out);
	is(unwrap(&cbc, with, CKK_GENERIC_SECRET, 24, BYTES(out, n), &o), CKR_WRAPPED_KEY_INVALID);
}

Test(wrap_rules, T153_garbage)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	CK_MECHANISM *const all[] = {&kw, &kwp};
	uint8_t out[SEALED_MAX], bad[SEALED_MAX];
	CK_ULONG before = objects();

	for (size_t m = 0; m < ARRAY_LEN(all); m++) {
		CK_ULONG n = wrapped(all[m], with, out);

		for (CK_ULONG i = 0; i < n; i++) {
			memcpy(bad, out, n);
			bad[i] ^= 0x40;
			is(unwrap(all[m], with, CKK_GENERIC_SECRET, 0, BYTES(bad, n), &o), CKR_WRAPPED_KEY_INVALID);
			CK_RV rv = unwrap(all[m], with, CKK_GENERIC_SECRET, 0, BYTES(out, i), &o);
			is(rv, i % 8 == 0 && i >= 24 - 8 * m ? CKR_WRAPPED_KEY_INVALID : CKR_WRAPPED_KEY_LEN_RANGE);
		}
	}
	memset(bad, 0, 64);
	is(unwrap(&cbc_pad, with, CKK_GENERIC_SECRET, 0, BYTES(bad, 33), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	is(unwrap(&cbc, with, CKK_AES, 0, BYTES(bad, 33), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	is(unwrap(&cbc, with, CKK_AES, 0, BYTES(bad, 64), &o), CKR_WRAPPED_KEY_LEN_RANGE);
	cr_assert(objects() == before, "a call that failed left an object");
}

/* T133 where the padding is CBC_PAD's: whoever sends blocks that he made up, each with another last byte, gets one
 * answer to all of them, though some are padded well. */
Test(wrap_rules, T153_no_padding_oracle)
{
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX], bad[SEALED_MAX];
	CK_ULONG n;

	is(wrap(&cbc_pad, with, secret_key(CKK_GENERIC_SECRET, value, 20), out, &n), CKR_OK);
	cr_assert(n == 32);
	for (unsigned i = 0; i < 256; i++) {
		memcpy(bad, out, n);
		bad[n - 17] ^= (uint8_t)i; /* i == 0: padded well, and so is one other at least */
		is(unwrap(&cbc_pad, with, CKK_AES, 0, BYTES(bad, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
		is(unwrap(&cbc_pad, with, CKK_GENERIC_SECRET, 19, BYTES(bad, n), &o), CKR_WRAPPED_KEY_LEN_RANGE);
		EXPECT(CKR_WRAPPED_KEY_INVALID, C_UnwrapKey, h.session, &cbc_pad, with, bad, n,
		       TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, CKK_EC)), &o);
	}
}

Test(wrap_rules, T153_not_a_private_key)
{
	struct pair p;
	CK_OBJECT_HANDLE with = wrapper(32, by), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n;

#define PRIVATE_OF(type) TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY), A_ULONG(CKA_KEY_TYPE, (type)))
	is(wrap(&kwp, with, secret_key(CKK_GENERIC_SECRET, value, 32), out, &n), CKR_OK);
	EXPECT(CKR_WRAPPED_KEY_INVALID, C_UnwrapKey, h.session, &kwp, with, out, n, PRIVATE_OF(CKK_EC), &o);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(A_BOOL(CKA_EXTRACTABLE, true)),
	   &p.pub, &p.priv);
	is(wrap(&kwp, with, p.priv, out, &n), CKR_OK);
	EXPECT(CKR_WRAPPED_KEY_INVALID, C_UnwrapKey, h.session, &kwp, with, out, n, PRIVATE_OF(CKK_RSA), &o);
	OK(C_UnwrapKey, h.session, &kwp, with, out, n, PRIVATE_OF(CKK_EC), &o);
	/* The curve came with the key. */
	cr_assert(attribute(h.session, o, CKA_EC_PARAMS, out, sizeof out) == sizeof p256_params);
}

/* ---- states ---- */

Test(wrap_rules, T073_T074_states)
{
	CK_OBJECT_HANDLE with = WRAPPER(A_BOOL(CKA_PRIVATE, false), A_BOOL(CKA_EXTRACTABLE, true)), o;
	uint8_t out[SEALED_MAX];
	CK_ULONG n = wrapped(&kw, with, out);
	CK_SESSION_HANDLE ro = open_session(RO);

	EXPECT(CKR_SESSION_READ_ONLY, C_UnwrapKey, ro, &kw, with, out, n,
	       TEMPLATE(SECRET_OF(CKK_AES), A_BOOL(CKA_TOKEN, true)), &o);
	OK(C_UnwrapKey, ro, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	OK(C_Logout, h.session);
	EXPECT(CKR_USER_NOT_LOGGED_IN, C_UnwrapKey, ro, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES)), &o);
	OK(C_UnwrapKey, ro, &kw, with, out, n, TEMPLATE(SECRET_OF(CKK_AES), A_BOOL(CKA_PRIVATE, false)), &o);
	OK(C_WrapKey, ro, &kw, with, with, out, &n);
}

/* T130 for a call that has no Init: it says CKR_USER_NOT_LOGGED_IN, and once the PIN was given it is made again. */
Test(wrap_rules, T130_always_authenticate)
{
	struct pair p;
	CK_OBJECT_HANDLE o;
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0}, other = oaep;
	CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}, m2 = {CKM_RSA_PKCS_OAEP, &other, sizeof other};
	uint8_t out[SEALED_MAX];
	CK_ULONG n;

	OK(C_GenerateKeyPair, h.session, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_BOOL(CKA_WRAP, true)),
	   TEMPLATE(A_BOOL(CKA_UNWRAP, true), A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)), &p.pub, &p.priv);
	n = wrapped(&m, p.pub, out);
	is(unwrap(&m, p.priv, CKK_AES, 0, BYTES(out, n), &o), CKR_USER_NOT_LOGGED_IN);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, "wrong-1234"), CKR_PIN_INCORRECT);
	is(unwrap(&m, p.priv, CKK_AES, 0, BYTES(out, n), &o), CKR_USER_NOT_LOGGED_IN);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	is(unwrap(&m, p.priv, CKK_AES, 0, BYTES(out, n), &o), CKR_OK);
	has_value(o, BYTES_OF(value));
	/* Once for one call … */
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
	is(unwrap(&m, p.priv, CKK_AES, 0, BYTES(out, n), &o), CKR_USER_NOT_LOGGED_IN);
	/* … and for that very call. */
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	other.pSourceData = iv;
	other.ulSourceDataLen = 1;
	is(unwrap(&m2, p.priv, CKK_AES, 0, BYTES(out, n), &o), CKR_USER_NOT_LOGGED_IN);
	is(unwrap(&m, p.priv, CKK_AES, 0, BYTES(out, n), &o), CKR_USER_NOT_LOGGED_IN);
}

/* ---- the token's own form ---- */

Test(wrap_rules, a_form_of_its_own_only_where_there_is_one)
{
	CK_OBJECT_HANDLE with = wrapper(32, by);
	struct pair p = ec_pair(h.session, false, "ec");
	uint8_t out[SEALED_MAX];
	CK_ULONG n = sizeof out;

	if (!has_mechanism(CKM_SIGNET_TSS2_KEY, CKF_WRAP)) {
		EXPECT(CKR_MECHANISM_INVALID, C_WrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), 0, p.priv, out, &n);
		return;
	}
	EXPECT(CKR_WRAPPING_KEY_HANDLE_INVALID, C_WrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), with, p.priv, out, &n);
	EXPECT(CKR_KEY_HANDLE_INVALID, C_WrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), 0, 0, out, &n);
	EXPECT(CKR_KEY_NOT_WRAPPABLE, C_WrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), 0, p.pub, out, &n);
	EXPECT(CKR_KEY_NOT_WRAPPABLE, C_WrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), 0, with, out, &n);
	OK(C_SetAttributeValue, h.session, p.priv, TEMPLATE(A_BOOL(CKA_WRAP_WITH_TRUSTED, true)));
	EXPECT(CKR_KEY_NOT_WRAPPABLE, C_WrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), 0, p.priv, out, &n);
	EXPECT(CKR_MECHANISM_INVALID, C_UnwrapKey, h.session, MECH(CKM_SIGNET_TSS2_KEY), with, out, 32,
	       TEMPLATE(SECRET_OF(CKK_AES)), &with);
}

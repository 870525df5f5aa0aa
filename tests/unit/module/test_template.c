/* module/template.c: what an application may say about an object, and what it may read. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "policy.h"
#include "template.h"

#define UNSAID CK_UNAVAILABLE_INFORMATION

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
#define BOOL(t, v)                                                                                                     \
	{                                                                                                              \
		(t), (v) ? &yes : &no, sizeof(CK_BBOOL)                                                                \
	}
#define NUMBER(t, v)                                                                                                   \
	{                                                                                                              \
		(t), &(CK_ULONG){(v)}, sizeof(CK_ULONG)                                                                \
	}
#define TEXT(t, s)                                                                                                     \
	{                                                                                                              \
		(t), (void *)("" s), sizeof(s) - 1                                                                     \
	}
#define LIST(...) (CK_ATTRIBUTE[]){__VA_ARGS__}, ARRAY_LEN(((CK_ATTRIBUTE[]){__VA_ARGS__}))

/* What a private EC key, a secret key, a certificate need at least. */
#define EC_PRIVATE                                                                                                   \
	NUMBER(CKA_CLASS, CKO_PRIVATE_KEY), NUMBER(CKA_KEY_TYPE, CKK_EC), TEXT(CKA_EC_PARAMS, "p"), TEXT(CKA_VALUE, "v")
#define AES_VALUE   "0123456789abcdef"
#define AES         NUMBER(CKA_CLASS, CKO_SECRET_KEY), NUMBER(CKA_KEY_TYPE, CKK_AES), TEXT(CKA_VALUE, AES_VALUE)
#define CERTIFICATE NUMBER(CKA_CLASS, CKO_CERTIFICATE), NUMBER(CKA_CERTIFICATE_TYPE, CKC_X_509), TEXT(CKA_SUBJECT, "s")

/* ---- a session without a library ---- */

static struct slot slot;
static struct session session;

static void a_session(CK_FLAGS flags, enum login login)
{
	slot = (struct slot){.login = login, .login_required = true};
	session = (struct session){.slot = &slot, .flags = CKF_SERIAL_SESSION | flags};
}

static void user(void)
{
	a_session(CKF_RW_SESSION, LOGIN_USER);
}

TestSuite(template, .init = user);

static struct attrs *import(const CK_ATTRIBUTE *t, CK_ULONG n)
{
	struct attrs *a = NULL;

	cr_assert_eq(template_import(t, n, &a), CKR_OK);
	return a;
}

static CK_RV new_object(enum stage stage, CK_OBJECT_CLASS class, CK_KEY_TYPE key_type, const struct attrs *given,
			const struct attrs *from, struct attrs **ret)
{
	return template_new_object(&session, &(struct template_req){stage, 0x1234, class, key_type, given, from}, ret);
}

static CK_RV create(const CK_ATTRIBUTE *t, CK_ULONG n, struct attrs **ret)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL, *unused = NULL;
	CK_RV rv = template_import(t, n, &given);

	if (rv == CKR_OK)
		rv = new_object(STAGE_CREATE, UNSAID, UNSAID, given, NULL, ret ? ret : &unused);

	cr_assert(rv == CKR_OK || !unused);
	attrs_free(unused);
	return rv;
}

static CK_RV generate(CK_OBJECT_CLASS class, CK_KEY_TYPE type, const CK_ATTRIBUTE *t, CK_ULONG n, struct attrs **ret)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL, *unused = NULL;
	CK_RV rv = template_import(t, n, &given);

	if (rv == CKR_OK)
		rv = new_object(STAGE_GENERATE, class, type, given, NULL, ret ? ret : &unused);

	attrs_free(unused);
	return rv;
}

static CK_RV copy(const struct attrs *from, const CK_ATTRIBUTE *t, CK_ULONG n, struct attrs **ret)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL, *unused = NULL;
	CK_RV rv = template_import(t, n, &given);

	if (rv == CKR_OK)
		rv = new_object(STAGE_COPY, attrs_get_ulong(from, CKA_CLASS, UNSAID),
				attrs_get_ulong(from, CKA_KEY_TYPE, UNSAID), given, from, ret ? ret : &unused);

	attrs_free(unused);
	return rv;
}

/* The changes that C_SetAttributeValue would make; *ret_n: how many. */
static CK_RV change(struct attrs *object, const CK_ATTRIBUTE *t, CK_ULONG n, size_t *ret_n)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL, *changes CLEANUP(attrs_cleanup) = NULL;
	struct token_obj obj = {.attrs = object};
	struct object o = {.obj = &obj, .slot = &slot};
	CK_RV rv = template_import(t, n, &given);

	if (rv == CKR_OK)
		rv = template_changes(&session, &o, given, &changes);
	if (rv == CKR_OK && ret_n)
		*ret_n = attrs_count(changes);
	return rv;
}

#define expect_eq(rv, want) cr_expect_eq((rv), (want), "%s: 0x%lx", #rv, (rv))

/* ---- import ---- */

Test(template, import_takes_any_order_and_repetition)
{
	struct attrs *a CLEANUP(attrs_cleanup) =
		import(LIST(TEXT(CKA_LABEL, "x"), NUMBER(CKA_CLASS, 0), TEXT(CKA_LABEL, "x")));

	cr_assert_eq(attrs_count(a), 2);
}

static CK_RV import_fails(const CK_ATTRIBUTE *t, CK_ULONG n)
{
	struct attrs *a = NULL;
	CK_RV rv = template_import(t, n, &a);

	cr_assert_null(a);
	return rv;
}

Test(template, import_of_hostile_input)
{
	CK_ATTRIBUTE many[ATTRS_MAX_COUNT + 1] = {{0}};

	expect_eq(import_fails(NULL, 1), CKR_ARGUMENTS_BAD);
	expect_eq(import_fails(LIST({CKA_LABEL, NULL, 5})), CKR_ARGUMENTS_BAD);
	expect_eq(import_fails(LIST({CKA_LABEL, NULL, CK_UNAVAILABLE_INFORMATION})), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_fails(LIST({CKA_LABEL, (void *)"", CK_UNAVAILABLE_INFORMATION})), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_fails(LIST({CKA_LABEL, (void *)"", CK_UNAVAILABLE_INFORMATION - 1})), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_fails(LIST({CKA_LABEL, (void *)"", ATTRS_MAX_VALUE + 1})), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(import_fails(LIST(TEXT(CKA_LABEL, "x"), TEXT(CKA_LABEL, "y"))), CKR_TEMPLATE_INCONSISTENT);
	expect_eq(import_fails(many, ARRAY_LEN(many)), CKR_TEMPLATE_INCONSISTENT);
	expect_eq(import_fails(many, (CK_ULONG)-1), CKR_TEMPLATE_INCONSISTENT);
}

/* ---- codes of 4.1.1 ---- */

struct bad {
	CK_RV rv;
	CK_ATTRIBUTE one;
};

static void creates_with(const CK_ATTRIBUTE *base, size_t n, const struct bad *bad, size_t n_bad)
{
	CK_ATTRIBUTE t[16];

	for (size_t i = 0; i < n_bad; i++) {
		CK_RV rv;

		memcpy(t, base, n * sizeof *t);
		t[n] = bad[i].one;
		rv = create(t, n + 1, NULL);
		cr_expect_eq(rv, bad[i].rv, "row %zu, attribute 0x%lx: 0x%lx", i, bad[i].one.type, rv);
	}
}
#define BAD(...) (const struct bad[]){__VA_ARGS__}, ARRAY_LEN(((const struct bad[]){__VA_ARGS__}))

Test(template, bad_attributes_of_data)
{
	creates_with(LIST(NUMBER(CKA_CLASS, CKO_DATA)),
		     BAD({CKR_OK, TEXT(CKA_LABEL, "x")}, {CKR_OK, BOOL(CKA_TOKEN, true)},
			 {CKR_ATTRIBUTE_TYPE_INVALID, TEXT(CKA_VENDOR_DEFINED | 0x77, "x")},
			 {CKR_ATTRIBUTE_TYPE_INVALID, TEXT(0x7ffffff0, "x")},
			 {CKR_TEMPLATE_INCONSISTENT, TEXT(CKA_MODULUS, "x")},
			 {CKR_TEMPLATE_INCONSISTENT, TEXT(CKA_PRIME, "x")},
			 {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_PRIVATE, "")},
			 {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_PRIVATE, "\1\1")},
			 {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_MODIFIABLE, "\2")},
			 {CKR_ATTRIBUTE_READ_ONLY, TEXT(CKA_UNIQUE_ID, "x")}));
}

Test(template, bad_attributes_of_keys)
{
	creates_with(
		LIST(EC_PRIVATE),
		BAD({CKR_OK, TEXT(CKA_EC_POINT, "x")}, {CKR_OK, TEXT(CKA_START_DATE, "20261121")},
		    {CKR_OK, TEXT(CKA_START_DATE, "")}, {CKR_OK, NUMBER(CKA_ALLOWED_MECHANISMS, CKM_ECDSA)},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_ALLOWED_MECHANISMS, "x")},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_START_DATE, "2026")},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_END_DATE, "20261321")},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_END_DATE, "2026 121")},
		    {CKR_ATTRIBUTE_READ_ONLY, BOOL(CKA_LOCAL, false)},
		    {CKR_ATTRIBUTE_READ_ONLY, BOOL(CKA_ALWAYS_SENSITIVE, false)},
		    {CKR_ATTRIBUTE_READ_ONLY, BOOL(CKA_NEVER_EXTRACTABLE, false)},
		    {CKR_ATTRIBUTE_READ_ONLY, NUMBER(CKA_KEY_GEN_MECHANISM, CKM_EC_KEY_PAIR_GEN)},
		    {CKR_OK, TEXT(CKA_SIGNET_PLACE, "tpm")}, {CKR_OK, TEXT(CKA_SIGNET_PLACE, "kernel")},
		    {CKR_OK, TEXT(CKA_SIGNET_PLACE, "process")},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_SIGNET_PLACE, "moon")},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_SIGNET_PLACE, "tp")},
		    {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_SIGNET_PLACE, "")},
		    {CKR_TEMPLATE_INCONSISTENT, TEXT(CKA_MODULUS, "x")}));
}

Test(template, classes)
{
	expect_eq(create(LIST(TEXT(CKA_LABEL, "x")), NULL), CKR_TEMPLATE_INCOMPLETE);
	expect_eq(create(NULL, 0, NULL), CKR_TEMPLATE_INCOMPLETE);
	expect_eq(create(LIST(TEXT(CKA_CLASS, "x")), NULL), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(NUMBER(CKA_CLASS, 0x4711)), NULL), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_PROFILE), NUMBER(CKA_PROFILE_ID, 1)), NULL),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_PUBLIC_KEY)), NULL), CKR_TEMPLATE_INCOMPLETE);
	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_PUBLIC_KEY), NUMBER(CKA_KEY_TYPE, CKK_DSA)), NULL),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_DATA)), NULL), CKR_OK);
}

Test(template, every_needed_attribute_is_needed)
{
	const struct policy *p;

	for (size_t i = 0; (p = policy_at(i)); i++) {
		const struct policy_row *row;
		CK_ATTRIBUTE t[] = {NUMBER(CKA_CLASS, p->class), NUMBER(CKA_KEY_TYPE, p->key_type)};
		size_t needed = 0;

		for (size_t k = 0; (row = policy_row_at(p, k)); k++)
			needed += (row->flags & ROW_NEED_CREATE) && row->type != CKA_CLASS && row->type != CKA_KEY_TYPE;
		if (needed)
			cr_expect_eq(create(t, policy_class_is_key(p->class) ? 2 : 1, NULL), CKR_TEMPLATE_INCOMPLETE,
				     "policy %zu", i);
	}
}

Test(template, certificates)
{
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_VALUE, "x")), NULL), CKR_OK);
	expect_eq(create(LIST(CERTIFICATE), NULL), CKR_TEMPLATE_INCOMPLETE);
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_URL, "x")), NULL), CKR_TEMPLATE_INCOMPLETE);
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_URL, "x"), TEXT(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, "h"),
			      TEXT(CKA_HASH_OF_ISSUER_PUBLIC_KEY, "h")),
			 NULL),
		  CKR_OK);
	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_CERTIFICATE), NUMBER(CKA_CERTIFICATE_TYPE, CKC_WTLS),
			      TEXT(CKA_SUBJECT, "s"), TEXT(CKA_VALUE, "x")),
			 NULL),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_VALUE, "x"), NUMBER(CKA_CERTIFICATE_CATEGORY, 4)), NULL),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_VALUE, "x"), BOOL(CKA_TRUSTED, false)), NULL), CKR_OK);
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_VALUE, "x"), BOOL(CKA_TRUSTED, true)), NULL),
		  CKR_ATTRIBUTE_READ_ONLY);
	a_session(CKF_RW_SESSION, LOGIN_SO);
	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_VALUE, "x"), BOOL(CKA_TRUSTED, true)), NULL), CKR_OK);
}

Test(template, aes_lengths)
{
	const CK_ATTRIBUTE bad[] = {NUMBER(CKA_CLASS, CKO_SECRET_KEY), NUMBER(CKA_KEY_TYPE, CKK_AES),
				    TEXT(CKA_VALUE, "17 bytes are bad!")};

	expect_eq(create(LIST(AES), NULL), CKR_OK);
	expect_eq(create(bad, ARRAY_LEN(bad), NULL), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(create(LIST(AES, NUMBER(CKA_VALUE_LEN, 16)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(generate(CKO_SECRET_KEY, CKK_AES, LIST(NUMBER(CKA_VALUE_LEN, 32)), NULL), CKR_OK);
	expect_eq(generate(CKO_SECRET_KEY, CKK_AES, LIST(NUMBER(CKA_VALUE_LEN, 17)), NULL),
		  CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(generate(CKO_SECRET_KEY, CKK_AES, LIST(NUMBER(CKA_VALUE_LEN, 0)), NULL), CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(generate(CKO_SECRET_KEY, CKK_AES, NULL, 0, NULL), CKR_TEMPLATE_INCOMPLETE);
	expect_eq(
		generate(CKO_SECRET_KEY, CKK_AES, LIST(NUMBER(CKA_VALUE_LEN, 16), TEXT(CKA_CHECK_VALUE, "abc")), NULL),
		CKR_ATTRIBUTE_VALUE_INVALID);
	expect_eq(generate(CKO_SECRET_KEY, CKK_AES, LIST(NUMBER(CKA_VALUE_LEN, 16), TEXT(CKA_CHECK_VALUE, "")), NULL),
		  CKR_OK);
}

Test(template, what_the_mechanism_says_may_be_repeated_not_denied)
{
	expect_eq(generate(CKO_PUBLIC_KEY, CKK_RSA,
			   LIST(NUMBER(CKA_CLASS, CKO_PUBLIC_KEY), NUMBER(CKA_KEY_TYPE, CKK_RSA),
				NUMBER(CKA_MODULUS_BITS, 2048)),
			   NULL),
		  CKR_OK);
	expect_eq(generate(CKO_PUBLIC_KEY, CKK_RSA,
			   LIST(NUMBER(CKA_CLASS, CKO_PRIVATE_KEY), NUMBER(CKA_MODULUS_BITS, 2048)), NULL),
		  CKR_TEMPLATE_INCONSISTENT);
	expect_eq(generate(CKO_PUBLIC_KEY, CKK_RSA, LIST(NUMBER(CKA_KEY_TYPE, CKK_EC), NUMBER(CKA_MODULUS_BITS, 2048)),
			   NULL),
		  CKR_TEMPLATE_INCONSISTENT);
	expect_eq(generate(CKO_PUBLIC_KEY, CKK_RSA, LIST(NUMBER(CKA_MODULUS_BITS, 2048), TEXT(CKA_MODULUS, "m")), NULL),
		  CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, LIST(TEXT(CKA_EC_PARAMS, "p")), NULL), CKR_ATTRIBUTE_READ_ONLY);
}

/* ---- whatever comes ---- */

static bool template_code(CK_RV rv)
{
	static const CK_RV codes[] = {CKR_OK,
				      CKR_ATTRIBUTE_READ_ONLY,
				      CKR_ATTRIBUTE_TYPE_INVALID,
				      CKR_ATTRIBUTE_VALUE_INVALID,
				      CKR_TEMPLATE_INCOMPLETE,
				      CKR_TEMPLATE_INCONSISTENT,
				      CKR_USER_NOT_LOGGED_IN};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i] == rv)
			return true;
	return false;
}

/* One attribute of any type, of the lengths that mean something and their neighbours, to an object and to new ones. */
static void try_any(struct attrs *object, CK_ATTRIBUTE_TYPE type, uint8_t fill)
{
	static const CK_ULONG lengths[] = {0, 1, 2, 3, sizeof(CK_ULONG) - 1, sizeof(CK_ULONG), sizeof(CK_ATTRIBUTE)};
	uint8_t value[sizeof(CK_ATTRIBUTE)];

	memset(value, fill, sizeof value);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		CK_ATTRIBUTE t[] = {
			{type, value, lengths[i]}, NUMBER(CKA_CLASS, CKO_SECRET_KEY), NUMBER(CKA_KEY_TYPE, CKK_AES)};
		size_t n = type == CKA_CLASS || type == CKA_KEY_TYPE ? 1 : 3;

		cr_expect(template_code(create(t, n, NULL)), "0x%lx", type);
		cr_expect(template_code(generate(CKO_SECRET_KEY, CKK_AES, t, 1, NULL)), "0x%lx", type);
		cr_expect(template_code(copy(object, t, 1, NULL)), "0x%lx", type);
		cr_expect(template_code(change(object, t, 1, NULL)), "0x%lx", type);
	}
}

Test(template, any_attribute_with_any_value_gets_an_answer)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;

	expect_eq(create(LIST(AES), &key), CKR_OK);
	for (CK_ATTRIBUTE_TYPE low = 0; low < 0x640; low++) {
		/* Of those that nobody knows, some. */
		if (low % 64 && !policy_attribute_known(low) && !policy_attribute_known(CKF_ARRAY_ATTRIBUTE | low))
			continue;
		try_any(key, low, 1);
		try_any(key, CKF_ARRAY_ATTRIBUTE | low, 0);
		try_any(key, low, 0xff);
	}
	try_any(key, CKA_SIGNET_PLACE, 1);
	try_any(key, CK_UNAVAILABLE_INFORMATION, 1);
}

/* ---- defaults and what the module sets ---- */

Test(template, data_defaults)
{
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;

	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_DATA)), &a), CKR_OK);
	cr_expect(!attrs_get_bool(a, CKA_TOKEN, true));
	cr_expect(!attrs_get_bool(a, CKA_PRIVATE, true));
	cr_expect(attrs_get_bool(a, CKA_MODIFIABLE, false));
	cr_expect(attrs_get_bool(a, CKA_COPYABLE, false));
	cr_expect(attrs_get_bool(a, CKA_DESTROYABLE, false));
	cr_expect(attrs_has(a, CKA_LABEL) && attrs_has(a, CKA_VALUE) && attrs_has(a, CKA_APPLICATION));
	cr_expect(!attrs_has(a, CKA_UNIQUE_ID));
}

Test(template, every_boolean_of_a_generated_key_exists)
{
	const struct policy_row *row;
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;
	const struct policy *p = policy_find(CKO_PRIVATE_KEY, CKK_EC);

	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, NULL, 0, &a), CKR_OK);
	for (size_t i = 0; (row = policy_row_at(p, i)); i++)
		cr_expect(row->kind != VALUE_BOOL || attrs_has(a, row->type), "0x%lx", row->type);
	cr_expect(attrs_get_bool(a, CKA_PRIVATE, false));
	cr_expect(attrs_get_bool(a, CKA_SENSITIVE, false));
	cr_expect(!attrs_get_bool(a, CKA_EXTRACTABLE, true));
	cr_expect(attrs_get_bool(a, CKA_ALWAYS_SENSITIVE, false));
	cr_expect(attrs_get_bool(a, CKA_NEVER_EXTRACTABLE, false));
	cr_expect(attrs_get_bool(a, CKA_LOCAL, false));
	cr_expect(attrs_get_bool(a, CKA_SIGN, false));
	cr_expect(!attrs_get_bool(a, CKA_DECRYPT, true));
	cr_expect_eq(attrs_get_ulong(a, CKA_KEY_GEN_MECHANISM, 0), 0x1234);
}

Test(template, imported_keys_have_no_past)
{
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;

	expect_eq(create(LIST(EC_PRIVATE), &a), CKR_OK);
	cr_expect(attrs_get_bool(a, CKA_SENSITIVE, false));
	cr_expect(!attrs_get_bool(a, CKA_ALWAYS_SENSITIVE, true));
	cr_expect(!attrs_get_bool(a, CKA_NEVER_EXTRACTABLE, true));
	cr_expect(!attrs_get_bool(a, CKA_LOCAL, true));
	cr_expect_eq(attrs_get_ulong(a, CKA_KEY_GEN_MECHANISM, 0), CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(attrs_get_ulong(a, CKA_KEY_TYPE, 0), CKK_EC);
}

Test(template, exponent_defaults_to_65537)
{
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;
	struct bytes e;

	expect_eq(generate(CKO_PUBLIC_KEY, CKK_RSA, LIST(NUMBER(CKA_MODULUS_BITS, 2048)), &a), CKR_OK);
	cr_assert(attrs_get(a, CKA_PUBLIC_EXPONENT, &e));
	cr_expect(bytes_equal(e, BYTES("\1\0\1", 3)));
	cr_expect(!attrs_get_bool(a, CKA_PRIVATE, true));
}

Test(template, derived_and_unwrapped_keys)
{
	struct attrs *base CLEANUP(attrs_cleanup) = NULL, *d CLEANUP(attrs_cleanup) = NULL;
	struct attrs *given CLEANUP(attrs_cleanup) = import(LIST(NUMBER(CKA_VALUE_LEN, 16)));
	struct attrs *u CLEANUP(attrs_cleanup) = NULL;

	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, LIST(BOOL(CKA_EXTRACTABLE, true)), &base), CKR_OK);
	expect_eq(new_object(STAGE_DERIVE, CKO_SECRET_KEY, CKK_AES, given, base, &d), CKR_OK);
	cr_expect(attrs_get_bool(d, CKA_ALWAYS_SENSITIVE, false));
	cr_expect(!attrs_get_bool(d, CKA_NEVER_EXTRACTABLE, true));
	cr_expect(!attrs_get_bool(d, CKA_LOCAL, true));
	expect_eq(new_object(STAGE_UNWRAP, CKO_SECRET_KEY, CKK_AES, given, NULL, &u), CKR_OK);
	cr_expect(attrs_get_bool(u, CKA_EXTRACTABLE, false));
	cr_expect(!attrs_get_bool(u, CKA_ALWAYS_SENSITIVE, true));
}

Test(template, always_authenticate_needs_private)
{
	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, LIST(BOOL(CKA_ALWAYS_AUTHENTICATE, true)), NULL), CKR_OK);
	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, LIST(BOOL(CKA_ALWAYS_AUTHENTICATE, true), BOOL(CKA_PRIVATE, false)),
			   NULL),
		  CKR_TEMPLATE_INCONSISTENT);
}

/* ---- states ---- */

Test(template, states)
{
	const CK_ATTRIBUTE object[] = {NUMBER(CKA_CLASS, CKO_DATA), BOOL(CKA_TOKEN, true)};
	const CK_ATTRIBUTE private[] = {NUMBER(CKA_CLASS, CKO_DATA), BOOL(CKA_TOKEN, true), BOOL(CKA_PRIVATE, true)};

	a_session(0, LOGIN_NONE);
	expect_eq(create(object, 1, NULL), CKR_OK);
	expect_eq(create(object, 2, NULL), CKR_SESSION_READ_ONLY);
	expect_eq(create(private, 3, NULL), CKR_USER_NOT_LOGGED_IN);
	slot.flags = CKF_WRITE_PROTECTED;
	expect_eq(create(object, 2, NULL), CKR_TOKEN_WRITE_PROTECTED);
	a_session(CKF_RW_SESSION, LOGIN_NONE);
	expect_eq(create(object, 2, NULL), CKR_OK);
	expect_eq(create(private, 3, NULL), CKR_USER_NOT_LOGGED_IN);
	expect_eq(create(LIST(EC_PRIVATE), NULL), CKR_USER_NOT_LOGGED_IN);
	a_session(CKF_RW_SESSION, LOGIN_SO);
	expect_eq(create(object, 2, NULL), CKR_OK);
	expect_eq(create(private, 3, NULL), CKR_USER_NOT_LOGGED_IN);
	a_session(0, LOGIN_USER);
	expect_eq(create(private, 3, NULL), CKR_SESSION_READ_ONLY);
	expect_eq(create(LIST(EC_PRIVATE), NULL), CKR_OK);
	a_session(CKF_RW_SESSION, LOGIN_NONE);
	slot.login_required = false;
	expect_eq(create(private, 3, NULL), CKR_OK);
}

/* ---- copies ---- */

Test(template, copies_keep_the_past)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL, *c CLEANUP(attrs_cleanup) = NULL;

	expect_eq(generate(CKO_SECRET_KEY, CKK_AES,
			   LIST(NUMBER(CKA_VALUE_LEN, 16), BOOL(CKA_SENSITIVE, false), BOOL(CKA_EXTRACTABLE, true)),
			   &key),
		  CKR_OK);
	expect_eq(copy(key, LIST(BOOL(CKA_SENSITIVE, true), BOOL(CKA_EXTRACTABLE, false), TEXT(CKA_LABEL, "copy")), &c),
		  CKR_OK);
	cr_expect(attrs_get_bool(c, CKA_SENSITIVE, false));
	cr_expect(!attrs_get_bool(c, CKA_ALWAYS_SENSITIVE, true));
	cr_expect(!attrs_get_bool(c, CKA_NEVER_EXTRACTABLE, true));
	cr_expect(attrs_get_bool(c, CKA_LOCAL, false));
	cr_expect_eq(attrs_get_ulong(c, CKA_KEY_GEN_MECHANISM, 0), 0x1234);
}

Test(template, copies_loosen_nothing)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;

	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, LIST(BOOL(CKA_WRAP_WITH_TRUSTED, true)), &key), CKR_OK);
	expect_eq(copy(key, LIST(BOOL(CKA_SENSITIVE, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(BOOL(CKA_EXTRACTABLE, true)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(BOOL(CKA_WRAP_WITH_TRUSTED, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(BOOL(CKA_PRIVATE, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(BOOL(CKA_LOCAL, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(BOOL(CKA_LOCAL, true)), NULL), CKR_OK);
	expect_eq(copy(key, LIST(TEXT(CKA_UNIQUE_ID, "x")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(NUMBER(CKA_CLASS, CKO_DATA)), NULL), CKR_TEMPLATE_INCONSISTENT);
	expect_eq(copy(key,
		       LIST(BOOL(CKA_TOKEN, true), BOOL(CKA_MODIFIABLE, false), BOOL(CKA_DESTROYABLE, false),
			    BOOL(CKA_COPYABLE, false), BOOL(CKA_SENSITIVE, true)),
		       NULL),
		  CKR_OK);
}

/* The right value must not be told from a wrong one. */
Test(template, copies_are_no_oracle)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;

	expect_eq(create(LIST(AES), &key), CKR_OK);
	expect_eq(copy(key, LIST(TEXT(CKA_VALUE, "0123456789abcdef")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(TEXT(CKA_VALUE, "0123456789abcdeF")), NULL), CKR_ATTRIBUTE_READ_ONLY);
}

Test(template, copies_of_data_may_have_another_value)
{
	struct attrs *data CLEANUP(attrs_cleanup) = NULL, *c CLEANUP(attrs_cleanup) = NULL;
	struct bytes v;

	expect_eq(create(LIST(NUMBER(CKA_CLASS, CKO_DATA), TEXT(CKA_VALUE, "a")), &data), CKR_OK);
	expect_eq(copy(data, LIST(TEXT(CKA_VALUE, "b")), &c), CKR_OK);
	cr_assert(attrs_get(c, CKA_VALUE, &v) && bytes_equal(v, BYTES("b", 1)));
}

/* ---- changes ---- */

Test(template, changes)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;
	size_t n = 0;

	expect_eq(generate(CKO_PRIVATE_KEY, CKK_EC, LIST(TEXT(CKA_LABEL, "a")), &key), CKR_OK);
	expect_eq(change(key, LIST(TEXT(CKA_LABEL, "b"), TEXT(CKA_ID, "i"), BOOL(CKA_DERIVE, true)), &n), CKR_OK);
	cr_expect_eq(n, 3);
	expect_eq(change(key, LIST(TEXT(CKA_LABEL, "a"), BOOL(CKA_SENSITIVE, true)), &n), CKR_OK);
	cr_expect_eq(n, 0);
	expect_eq(change(key, LIST(TEXT(CKA_LABEL, "b"), BOOL(CKA_TOKEN, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(BOOL(CKA_PRIVATE, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(BOOL(CKA_COPYABLE, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(BOOL(CKA_SENSITIVE, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(BOOL(CKA_EXTRACTABLE, true)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(TEXT(CKA_UNIQUE_ID, "x")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(TEXT(CKA_VALUE, "x")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(TEXT(CKA_MODULUS, "x")), NULL), CKR_TEMPLATE_INCONSISTENT);
	expect_eq(change(key, LIST(TEXT(CKA_VENDOR_DEFINED, "x")), NULL), CKR_ATTRIBUTE_TYPE_INVALID);
	expect_eq(change(key, LIST(TEXT(CKA_SIGN, "xx")), NULL), CKR_ATTRIBUTE_VALUE_INVALID);
}

Test(template, trust_is_the_so_s)
{
	struct attrs *cert CLEANUP(attrs_cleanup) = NULL;

	expect_eq(create(LIST(CERTIFICATE, TEXT(CKA_VALUE, "x")), &cert), CKR_OK);
	expect_eq(change(cert, LIST(TEXT(CKA_ID, "i")), NULL), CKR_OK);
	expect_eq(change(cert, LIST(TEXT(CKA_SUBJECT, "i")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(cert, LIST(BOOL(CKA_TRUSTED, true)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	a_session(CKF_RW_SESSION, LOGIN_SO);
	expect_eq(change(cert, LIST(BOOL(CKA_TRUSTED, true)), NULL), CKR_OK);
	cr_assert_eq(attrs_set_bool(cert, CKA_TRUSTED, true), CKR_OK);
	a_session(CKF_RW_SESSION, LOGIN_USER);
	expect_eq(change(cert, LIST(TEXT(CKA_ID, "i")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	/* A copy is trusted too, so it is no way round. */
	expect_eq(copy(cert, LIST(TEXT(CKA_ID, "i")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(cert, LIST(TEXT(CKA_LABEL, "l")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(cert, LIST(BOOL(CKA_TRUSTED, false)), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(cert, LIST(BOOL(CKA_TRUSTED, true), BOOL(CKA_TOKEN, true)), NULL), CKR_OK);
	a_session(CKF_RW_SESSION, LOGIN_SO);
	expect_eq(copy(cert, LIST(TEXT(CKA_ID, "i")), NULL), CKR_OK);
}

/* ---- attribute arrays ---- */

#define ARRAY(t, ...)                                                                                                  \
	{                                                                                                              \
		(t), (CK_ATTRIBUTE[]){__VA_ARGS__}, sizeof((CK_ATTRIBUTE[]){__VA_ARGS__})                              \
	}

Test(template, arrays_belong_to_a_key)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL, *second CLEANUP(attrs_cleanup) = NULL;
	struct bytes one, two;

	expect_eq(create(LIST(AES, ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_LABEL, "x"), BOOL(CKA_SIGN, true))), &key),
		  CKR_OK);
	cr_assert(attrs_get(key, CKA_WRAP_TEMPLATE, &one) && one.len);
	expect_eq(copy(key, LIST(BOOL(CKA_TOKEN, true)), &second), CKR_OK);
	cr_assert(attrs_get(second, CKA_WRAP_TEMPLATE, &two) && bytes_equal(one, two));
	/* A copy may say the same again, in any order, and nothing else. */
	expect_eq(copy(key, LIST(ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_SIGN, true), TEXT(CKA_LABEL, "x"))), NULL), CKR_OK);
	expect_eq(copy(key, LIST(ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_SIGN, true))), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(TEXT(CKA_WRAP_TEMPLATE, "")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(copy(key, LIST(ARRAY(CKA_UNWRAP_TEMPLATE, BOOL(CKA_SIGN, true))), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_SIGN, true))), NULL), CKR_ATTRIBUTE_READ_ONLY);
}

Test(template, arrays_are_checked)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;
	struct bytes value;

	creates_with(LIST(AES),
		     BAD({CKR_OK, TEXT(CKA_UNWRAP_TEMPLATE, "")},
			 {CKR_OK, ARRAY(CKA_DERIVE_TEMPLATE, BOOL(CKA_EXTRACTABLE, false))},
			 {CKR_ATTRIBUTE_VALUE_INVALID, TEXT(CKA_UNWRAP_TEMPLATE, "x")},
			 {CKR_ATTRIBUTE_VALUE_INVALID, ARRAY(CKA_UNWRAP_TEMPLATE, TEXT(CKA_SIGN, "xx"))},
			 {CKR_ATTRIBUTE_READ_ONLY, ARRAY(CKA_UNWRAP_TEMPLATE, BOOL(CKA_LOCAL, true))},
			 {CKR_ATTRIBUTE_TYPE_INVALID, ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_VENDOR_DEFINED, "x"))},
			 {CKR_TEMPLATE_INCONSISTENT, ARRAY(CKA_WRAP_TEMPLATE, TEXT(CKA_APPLICATION, "x"))},
			 {CKR_TEMPLATE_INCONSISTENT,
			  ARRAY(CKA_WRAP_TEMPLATE, ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_SIGN, true)))}));
	/* Nothing here encapsulates, so nothing would obey. */
	creates_with(LIST(EC_PRIVATE),
		     BAD({CKR_OK, TEXT(CKA_DECAPSULATE_TEMPLATE, "")},
			 {CKR_TEMPLATE_INCONSISTENT, ARRAY(CKA_DECAPSULATE_TEMPLATE, BOOL(CKA_SIGN, true))},
			 {CKR_TEMPLATE_INCONSISTENT, ARRAY(CKA_WRAP_TEMPLATE, BOOL(CKA_SIGN, true))}));
	expect_eq(create(LIST(AES, TEXT(CKA_WRAP_TEMPLATE, "")), &key), CKR_OK);
	cr_expect(attrs_get(key, CKA_WRAP_TEMPLATE, &value) && !value.len);
}

/* ---- the place ---- */

Test(template, a_place_is_for_new_keys)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;

	expect_eq(generate(CKO_SECRET_KEY, CKK_AES, LIST(NUMBER(CKA_VALUE_LEN, 16), TEXT(CKA_SIGNET_PLACE, "tpm")),
			   NULL),
		  CKR_OK);
	expect_eq(generate(CKO_PUBLIC_KEY, CKK_EC, LIST(TEXT(CKA_EC_PARAMS, "p"), TEXT(CKA_SIGNET_PLACE, "tpm")), NULL),
		  CKR_TEMPLATE_INCONSISTENT);
	expect_eq(create(LIST(AES, TEXT(CKA_SIGNET_PLACE, "process")), &key), CKR_OK);
	expect_eq(copy(key, LIST(TEXT(CKA_SIGNET_PLACE, "process")), NULL), CKR_OK);
	expect_eq(copy(key, LIST(TEXT(CKA_SIGNET_PLACE, "tpm")), NULL), CKR_ATTRIBUTE_READ_ONLY);
	expect_eq(change(key, LIST(TEXT(CKA_SIGNET_PLACE, "tpm")), NULL), CKR_ATTRIBUTE_READ_ONLY);
}

/* ---- reading ---- */

struct reading {
	bool sensitive, extractable, readable;
};

ParameterizedTestParameters(template, secrets_are_read_by_the_rule)
{
	static struct reading rows[] = {
		{true, true, false}, {true, false, false}, {false, false, false}, {false, true, true}};

	return cr_make_param_array(struct reading, rows, ARRAY_LEN(rows));
}

ParameterizedTest(struct reading *r, template, secrets_are_read_by_the_rule)
{
	struct attrs *key CLEANUP(attrs_cleanup) = NULL;

	user();
	expect_eq(create(LIST(AES, BOOL(CKA_SENSITIVE, r->sensitive), BOOL(CKA_EXTRACTABLE, r->extractable)), &key),
		  CKR_OK);
	cr_expect_eq(template_readable(key, CKA_VALUE), r->readable);
	cr_expect(template_readable(key, CKA_VALUE_LEN));
	cr_expect(template_readable(key, CKA_SENSITIVE));
}

Test(template, what_says_nothing_is_taken_for_secret)
{
	struct attrs *a CLEANUP(attrs_cleanup) = import(LIST(TEXT(CKA_VALUE, "v"), TEXT(CKA_LABEL, "l")));

	cr_expect(!template_readable(a, CKA_VALUE));
	cr_expect(template_readable(a, CKA_LABEL));
	cr_expect(template_readable(a, CKA_PRIVATE_EXPONENT)); /* it isn't there: CKR_ATTRIBUTE_TYPE_INVALID */
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, CKO_DATA), CKR_OK);
	cr_expect(template_readable(a, CKA_VALUE));
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, CKO_PRIVATE_KEY), CKR_OK);
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_DSA), CKR_OK);
	cr_expect(!template_readable(a, CKA_VALUE));
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_RSA), CKR_OK);
	cr_expect(!template_readable(a, CKA_VALUE));
	/* The private exponent of a key in a TPM isn't there, and is secret all the same. */
	cr_expect(!template_readable(a, CKA_PRIVATE_EXPONENT));
}

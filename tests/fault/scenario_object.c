/* Objects: made, copied, destroyed, read and changed; on the token and in the session, private and public, alone, as
 * one of a pair's halves, and among many. */
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "keys.h"
#include "rig.h"
#include "token.h"

/* ---- what objects are made of ---- */

/* Numbers of an RSA key, 2048 bits, and of an EC key on P-256, made once. */
static struct number {
	uint8_t b[256];
	CK_ULONG n;
} modulus, exponent, private_exponent, prime_1, prime_2, scalar;
static uint8_t point[67] = {0x04, 65}; /* an OCTET STRING around it */

static struct number number_of(EVP_PKEY *key, const char *name)
{
	struct number ret = {.n = 0};
	BIGNUM *bn = NULL;

	cr_assert(EVP_PKEY_get_bn_param(key, name, &bn), "%s", name);
	ret.n = (CK_ULONG)BN_bn2bin(bn, ret.b);
	BN_clear_free(bn);
	return ret;
}

static void numbers_stand(void)
{
	size_t n;

	if (modulus.n)
		return;
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	cr_assert(rsa && ec);
	modulus = number_of(rsa, OSSL_PKEY_PARAM_RSA_N);
	exponent = number_of(rsa, OSSL_PKEY_PARAM_RSA_E);
	private_exponent = number_of(rsa, OSSL_PKEY_PARAM_RSA_D);
	prime_1 = number_of(rsa, OSSL_PKEY_PARAM_RSA_FACTOR1);
	prime_2 = number_of(rsa, OSSL_PKEY_PARAM_RSA_FACTOR2);
	scalar = number_of(ec, OSSL_PKEY_PARAM_PRIV_KEY);
	cr_assert(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, point + 2, 65, &n));
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

#define KEY(class, type) A_ULONG(CKA_CLASS, (class)), A_ULONG(CKA_KEY_TYPE, (type))
#define NUMBER(type, number) A_BYTES((type), (number).b, (number).n)
#define P256 A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)
#define SORT_data A_ULONG(CKA_CLASS, CKO_DATA), A_TEXT(CKA_VALUE, "content")
#define SORT_certificate                                                                                               \
	A_ULONG(CKA_CLASS, CKO_CERTIFICATE), A_ULONG(CKA_CERTIFICATE_TYPE, CKC_X_509), A_TEXT(CKA_SUBJECT, "0\x00"),   \
		A_TEXT(CKA_VALUE, "0\x03\x02\x01\x01")
#define SORT_ec_public KEY(CKO_PUBLIC_KEY, CKK_EC), P256, A_BYTES(CKA_EC_POINT, point, sizeof point)
#define SORT_ec_private KEY(CKO_PRIVATE_KEY, CKK_EC), P256, NUMBER(CKA_VALUE, scalar), A_BOOL(CKA_SIGN, true)
#define SORT_rsa_private                                                                                               \
	KEY(CKO_PRIVATE_KEY, CKK_RSA), NUMBER(CKA_MODULUS, modulus), NUMBER(CKA_PUBLIC_EXPONENT, exponent),            \
		NUMBER(CKA_PRIVATE_EXPONENT, private_exponent), NUMBER(CKA_PRIME_1, prime_1),                          \
		NUMBER(CKA_PRIME_2, prime_2), A_BOOL(CKA_SIGN, true)
#define SORT_aes KEY(CKO_SECRET_KEY, CKK_AES), A_BYTES(CKA_VALUE, key_value, 16), A_BOOL(CKA_ENCRYPT, true)
#define SORT_generic KEY(CKO_SECRET_KEY, CKK_GENERIC_SECRET), A_BYTES(CKA_VALUE, key_value, 32), A_BOOL(CKA_SIGN, true)
#define SORT_tpm_aes SORT_aes, A_TEXT(CKA_SIGNET_PLACE, "tpm")
#define SORT_tpm_generic SORT_generic, A_TEXT(CKA_SIGNET_PLACE, "tpm")

#define PLACE_token_private A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, true)
#define PLACE_token_public A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, false)
#define PLACE_session_private A_BOOL(CKA_TOKEN, false), A_BOOL(CKA_PRIVATE, true)
#define PLACE_session_public A_BOOL(CKA_TOKEN, false), A_BOOL(CKA_PRIVATE, false)

#define WORDS_data "data"
#define WORDS_certificate "certificate"
#define WORDS_ec_public "EC public key"
#define WORDS_ec_private "EC private key"
#define WORDS_rsa_private "RSA private key"
#define WORDS_aes "AES key"
#define WORDS_generic "generic secret"
#define WORDS_tpm_aes "AES key in the TPM"
#define WORDS_tpm_generic "generic secret in the TPM"
#define WORDS_token_private "token, private"
#define WORDS_token_public "token, public"
#define WORDS_session_private "session, private"
#define WORDS_session_public "session, public"

#define TRAITS_token_private MUTATES
#define TRAITS_token_public MUTATES
#define TRAITS_session_private 0
#define TRAITS_session_public 0

/* What a TPM is asked: a private key is wrapped for the storage key (looked for again after a loss: CTX_INIT) and
 * loaded once, to see that it is one.  A secret key rests sealed in the record, unless the application asks for the
 * TPM. */
#define CONTEXTS_data 0
#define CONTEXTS_certificate 0
#define CONTEXTS_ec_public 0
#define CONTEXTS_ec_private (CTX_IMPORT | CTX_INIT)
#define CONTEXTS_rsa_private (CTX_IMPORT | CTX_INIT)
#define CONTEXTS_aes 0
#define CONTEXTS_generic 0
#define CONTEXTS_tpm_aes (CTX_IMPORT | CTX_INIT | CTX_OBJECT)
#define CONTEXTS_tpm_generic (CTX_IMPORT | CTX_INIT | CTX_OBJECT)

#define ON_data ON_BOTH
#define ON_certificate ON_BOTH
#define ON_ec_public ON_BOTH
#define ON_ec_private ON_BOTH
#define ON_rsa_private ON_BOTH
#define ON_aes ON_BOTH
#define ON_generic ON_BOTH
#define ON_tpm_aes ON_TPM
#define ON_tpm_generic ON_TPM

/* ---- the object that a call works with, and the one that it makes ---- */

#define SUBJECT A_TEXT(CKA_LABEL, "subject")
#define MADE A_TEXT(CKA_LABEL, "made")

static CK_OBJECT_HANDLE subject;

/* Whether one is there; else what the template says is to be made. */
static bool subject_found(void)
{
	CK_ULONG n = find(h.session, TEMPLATE(SUBJECT), &subject);

	cr_assert(n <= 1, "the object is there %lu times", n);
	return n == 1;
}

#define STANDS(sort, place)                                                                                            \
	static void sort##_##place##_stands(void)                                                                      \
	{                                                                                                              \
		numbers_stand();                                                                                       \
		if (!subject_found())                                                                                  \
			OK(C_CreateObject, h.session, TEMPLATE(SORT_##sort, PLACE_##place, SUBJECT), &subject);        \
	}
STANDS(data, token_private)
STANDS(data, token_public)
STANDS(data, session_private)
STANDS(data, session_public)
STANDS(certificate, token_public)
STANDS(ec_public, token_public)
STANDS(ec_public, session_public)
STANDS(ec_private, token_private)
STANDS(ec_private, session_private)
STANDS(rsa_private, token_private)
STANDS(aes, token_private)
STANDS(aes, session_private)
STANDS(generic, token_private)

/* What protects keys that aren't private; a TPM opens it once. */
static void public_secret_is_open(void)
{
	CK_OBJECT_HANDLE o;

	numbers_stand();
	OK(C_CreateObject, h.session, TEMPLATE(SORT_aes, PLACE_token_public), &o);
	OK(C_DestroyObject, h.session, o);
}

static void library_is_fresh(void)
{
	numbers_stand();
	rig_stop();
	rig_stage(STAGE_PUBLIC);
}

static void crowd_stands(void)
{
	numbers_stand();
	key_crowd(KEY_FULL);
}

static void nth_data_stands(void)
{
	crowd_stands();
	data_token_private_stands();
}

static void nth_ec_private_stands(void)
{
	crowd_stands();
	ec_private_token_private_stands();
}

/* Pairs, which are one record as long as both halves are there. */
static const struct key_spec token_pair = {.label = "subject", .type = CKK_EC};
static const struct key_spec session_pair = {.label = "subject", .type = CKK_EC, .session = true};

static void public_half_stands(void)
{
	subject = key_stands(&token_pair, NULL).pub;
}

static void private_half_stands(void)
{
	subject = key_stands(&token_pair, NULL).priv;
}

static void session_public_half_stands(void)
{
	subject = key_stands(&session_pair, NULL).pub;
}

static void session_private_half_stands(void)
{
	subject = key_stands(&session_pair, NULL).priv;
}

static void last_half_stands(bool private)
{
	struct pair p;

	if (subject_found())
		return;
	p = key_stands(&token_pair, NULL);
	subject = private ? p.priv : p.pub;
	OK(C_DestroyObject, h.session, private ? p.pub : p.priv);
}

static void last_public_half_stands(void)
{
	last_half_stands(false);
}

static void last_private_half_stands(void)
{
	last_half_stands(true);
}

/* Loaded into the TPM, where it stays until it is in the way. */
static void used_key_stands(void)
{
	uint8_t digest[32] = {1}, sig[64];
	CK_ULONG n = sizeof sig;

	private_half_stands();
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), subject);
	OK(C_Sign, h.session, digest, sizeof digest, sig, &n);
}

/* One half was destroyed: the other goes, too, and the pair is made anew. */
static void pair_again(void)
{
	if (subject_found())
		OK(C_DestroyObject, h.session, subject);
	private_half_stands();
}

static void session_pair_again(void)
{
	if (subject_found())
		OK(C_DestroyObject, h.session, subject);
	session_private_half_stands();
}

/* How keys are tried. */
static const struct trial {
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE type;
	CK_MECHANISM_TYPE mech;
	bool encrypts; /* else it signs */
} trials[] = {
	{CKO_PRIVATE_KEY, CKK_EC, CKM_ECDSA, false},
	{CKO_PRIVATE_KEY, CKK_RSA, CKM_RSA_PKCS, false},
	{CKO_SECRET_KEY, CKK_GENERIC_SECRET, CKM_SHA256_HMAC, false},
	{CKO_SECRET_KEY, CKK_AES, CKM_AES_CTR, true},
};

static bool tried(CK_OBJECT_HANDLE o, const struct trial *t)
{
	CK_AES_CTR_PARAMS counter = {.ulCounterBits = 128};
	uint8_t in[32] = {1}, result[256];
	CK_ULONG n = sizeof result;

	if (t->encrypts)
		return h.f->C_EncryptInit(h.session, MECH_P(t->mech, counter), o) == CKR_OK &&
		       h.f->C_Encrypt(h.session, in, sizeof in, result, &n) == CKR_OK;
	return h.f->C_SignInit(h.session, MECH(t->mech), o) == CKR_OK &&
	       h.f->C_Sign(h.session, in, sizeof in, result, &n) == CKR_OK;
}

/* The new object is there under its name, and if it is a private or secret key, it does its work. */
static bool made_works(void)
{
	CK_OBJECT_HANDLE o;
	CK_OBJECT_CLASS class;

	if (find(h.session, TEMPLATE(MADE), &o) != 1 || o != out.handle[0])
		return false;
	class = attribute_ulong(h.session, o, CKA_CLASS);
	if (class != CKO_PRIVATE_KEY && class != CKO_SECRET_KEY)
		return true;
	CK_KEY_TYPE type = attribute_ulong(h.session, o, CKA_KEY_TYPE);
	for (size_t i = 0; i < ARRAY_LEN(trials); i++)
		if (trials[i].class == class && trials[i].type == type)
			return tried(o, &trials[i]);
	return false;
}

static void destroy_made(void)
{
	OK(C_DestroyObject, h.session, out.handle[0]);
}

/* ---- C_CreateObject ---- */

#define CREATED(X)                                                                                                     \
	X(data, token_private) X(data, token_public) X(data, session_private) X(data, session_public)                  \
	X(certificate, token_public) X(certificate, token_private) X(certificate, session_public)                      \
	X(ec_public, token_public) X(ec_public, token_private) X(ec_public, session_public)                            \
	X(ec_private, token_private) X(ec_private, token_public) X(ec_private, session_private)                        \
	X(rsa_private, token_private)                                                                                  \
	X(aes, token_private) X(aes, token_public) X(aes, session_private) X(aes, session_public)                      \
	X(generic, token_private) X(generic, session_private)                                                          \
	X(tpm_aes, token_private) X(tpm_aes, session_private) X(tpm_generic, token_private)
#define CREATED_NTH(X) X(data, token_private) X(certificate, token_public) X(ec_private, token_private)

#define CREATE_CALL(sort, place)                                                                                       \
	static CK_RV create_##sort##_##place(void)                                                                     \
	{                                                                                                              \
		return h.f->C_CreateObject(h.session, TEMPLATE(SORT_##sort, PLACE_##place, MADE), &out.handle[0]);     \
	}
CREATED(CREATE_CALL)

#define CREATE(sort, place, words, base_)                                                                              \
	{.function = "C_CreateObject", .variant = WORDS_##sort ", " WORDS_##place words, .on = ON_##sort,              \
	 .stage = STAGE_USER, .traits = TRAITS_##place, .contexts = CONTEXTS_##sort, .base = base_,                    \
	 .call = create_##sort##_##place, .undo = destroy_made, .good = made_works},
#define BASE_token_private numbers_stand
#define BASE_token_public public_secret_is_open
#define BASE_session_private numbers_stand
#define BASE_session_public numbers_stand
#define CREATE_FIRST(sort, place) CREATE(sort, place, "", BASE_##place)
#define CREATE_NTH(sort, place) CREATE(sort, place, ", nth", crowd_stands)

/* ---- C_CopyObject ---- */

#define COPY_CALL(place)                                                                                               \
	static CK_RV copy_##place(void)                                                                                \
	{                                                                                                              \
		return h.f->C_CopyObject(h.session, subject, TEMPLATE(PLACE_##place, MADE), &out.handle[0]);           \
	}
COPY_CALL(token_private)
COPY_CALL(token_public)
COPY_CALL(session_private)

#define COPY(words, to, contexts_, base_)                                                                              \
	{.function = "C_CopyObject", .variant = words " to " WORDS_##to, .on = ON_BOTH, .stage = STAGE_USER,           \
	 .traits = TRAITS_##to, .contexts = contexts_, .base = base_, .call = copy_##to, .undo = destroy_made,         \
	 .good = made_works}

/* ---- C_DestroyObject ---- */

static CK_RV destroy(void)
{
	return h.f->C_DestroyObject(h.session, subject);
}

static bool destroyed(void)
{
	CK_ULONG size;

	return h.f->C_GetObjectSize(h.session, subject, &size) == CKR_OBJECT_HANDLE_INVALID;
}

/* undo_ makes it anew. */
#define DESTROY(words, traits_, base_, undo_)                                                                          \
	{.function = "C_DestroyObject", .variant = words, .on = ON_BOTH, .stage = STAGE_USER, .traits = traits_,       \
	 .base = base_, .call = destroy, .undo = undo_, .good = destroyed}

/* ---- C_SetAttributeValue ---- */

static CK_RV set(CK_ATTRIBUTE *t, CK_ULONG n)
{
	return h.f->C_SetAttributeValue(h.session, subject, t, n);
}

static bool reads(CK_ATTRIBUTE_TYPE type, const char *text)
{
	char value[256];

	return attribute(h.session, subject, type, value, sizeof value) == strlen(text) &&
	       memcmp(value, text, strlen(text)) == 0;
}

static CK_RV set_application(void)
{
	return set(TEMPLATE(A_TEXT(CKA_APPLICATION, "another one")));
}

static bool application_is_set(void)
{
	return reads(CKA_APPLICATION, "another one");
}

static void application_back(void)
{
	is(set(TEMPLATE(A_TEXT(CKA_APPLICATION, ""))), CKR_OK);
}

static CK_RV set_value(void)
{
	return set(TEMPLATE(A_TEXT(CKA_VALUE, "another content"), A_TEXT(CKA_APPLICATION, "another one")));
}

static bool value_is_set(void)
{
	return reads(CKA_VALUE, "another content") && application_is_set();
}

static void value_back(void)
{
	is(set(TEMPLATE(A_TEXT(CKA_VALUE, "content"), A_TEXT(CKA_APPLICATION, ""))), CKR_OK);
}

static CK_RV set_id(void)
{
	return set(TEMPLATE(A_TEXT(CKA_ID, "another one")));
}

static bool id_is_set(void)
{
	return reads(CKA_ID, "another one");
}

static void id_back(void)
{
	is(set(TEMPLATE(A_TEXT(CKA_ID, ""))), CKR_OK);
}

#define SET(words, what, traits_, base_)                                                                               \
	{.function = "C_SetAttributeValue", .variant = words, .on = ON_BOTH, .stage = STAGE_USER, .traits = traits_,   \
	 .base = base_, .call = set_##what, .undo = what##_back, .good = what##_is_set}

/* ---- C_GetAttributeValue, C_GetObjectSize ---- */

static CK_RV get(CK_ATTRIBUTE_TYPE type, CK_ULONG room)
{
	CK_ATTRIBUTE t[] = {{CKA_LABEL, out.bytes + 512, 512}, {type, out.bytes, room}};
	CK_RV rv = h.f->C_GetAttributeValue(h.session, subject, t, ARRAY_LEN(t));

	if (t[1].ulValueLen != room)
		out.length = t[1].ulValueLen;
	return rv;
}

static CK_RV get_value(void)
{
	return get(CKA_VALUE, 512);
}

static CK_RV get_id(void)
{
	return get(CKA_ID, 512);
}

static CK_RV get_too_much(void)
{
	return get(CKA_VALUE, 3);
}

static bool value_is_got(void)
{
	return out.length == 7 && memcmp(out.bytes, "content", 7) == 0 && memcmp(out.bytes + 512, "subject", 7) == 0;
}

static bool nothing_is_got(void)
{
	return out.length == CK_UNAVAILABLE_INFORMATION && memcmp(out.bytes + 512, "subject", 7) == 0;
}

static bool empty_is_got(void)
{
	return out.length == 0 && memcmp(out.bytes + 512, "subject", 7) == 0;
}

#define GET(words, call_, answer_, good_, base_)                                                                       \
	{.function = "C_GetAttributeValue", .variant = words, .on = ON_BOTH, .stage = STAGE_USER, .answer = answer_,   \
	 .base = base_, .call = call_, .good = good_}

static CK_RV get_size(void)
{
	return h.f->C_GetObjectSize(h.session, subject, &out.length);
}

static bool size_is_got(void)
{
	return out.length > 0 && out.length < 10000;
}

#define SIZE(words, base_)                                                                                             \
	{.function = "C_GetObjectSize", .variant = words, .on = ON_BOTH, .stage = STAGE_USER, .base = base_,           \
	 .call = get_size, .good = size_is_got}

/* Nobody is logged in, and a TPM has yet to open the public secret. */
#define BY_NOBODY(sort, place, contexts_)                                                                              \
	{.function = "C_CreateObject", .variant = WORDS_##sort ", " WORDS_##place ", before login", .on = ON_BOTH,     \
	 .stage = STAGE_PUBLIC, .traits = TRAITS_##place, .contexts = contexts_, .base = library_is_fresh,             \
	 .call = create_##sort##_##place, .undo = destroy_made, .good = made_works}

const struct scenario object_scenarios[] = {
	CREATED(CREATE_FIRST)
	CREATED_NTH(CREATE_NTH)
	BY_NOBODY(data, token_public, 0),
	BY_NOBODY(ec_private, token_public, CTX_INIT | CTX_IMPORT),
	BY_NOBODY(aes, token_public, CTX_INIT),

	COPY("data, token, private", token_private, 0, data_token_private_stands),
	COPY("data, token, public", token_private, 0, data_token_public_stands),
	COPY("data, token, public", token_public, 0, data_token_public_stands),
	COPY("data, token, private", session_private, 0, data_token_private_stands),
	COPY("data, session, private", token_private, 0, data_session_private_stands),
	COPY("data, session, private", session_private, 0, data_session_private_stands),
	COPY("data, one of many", token_private, 0, nth_data_stands),
	COPY("certificate, token", token_public, 0, certificate_token_public_stands),
	COPY("EC public key, session", token_public, 0, ec_public_session_public_stands),
	COPY("EC private key, token", token_private, 0, ec_private_token_private_stands),
	COPY("EC private key, token", session_private, 0, ec_private_token_private_stands),
	COPY("EC private key, session", token_private, 0, ec_private_session_private_stands),
	COPY("EC private key, one of many", token_private, 0, nth_ec_private_stands),
	COPY("RSA private key, token", token_private, 0, rsa_private_token_private_stands),
	COPY("public half of a pair", token_public, 0, public_half_stands),
	COPY("private half of a pair", token_private, 0, private_half_stands),
	COPY("private half of a session's pair", token_private, 0, session_private_half_stands),
	COPY("AES key, token", token_private, 0, aes_token_private_stands),
	COPY("AES key, session", token_private, 0, aes_session_private_stands),
	COPY("generic secret, token", token_private, 0, generic_token_private_stands),

	DESTROY("data, token, private", MUTATES, data_token_private_stands, data_token_private_stands),
	DESTROY("data, token, public", MUTATES, data_token_public_stands, data_token_public_stands),
	DESTROY("data, session, private", 0, data_session_private_stands, data_session_private_stands),
	DESTROY("data, session, public", 0, data_session_public_stands, data_session_public_stands),
	DESTROY("data, one of many", MUTATES, nth_data_stands, nth_data_stands),
	DESTROY("certificate", MUTATES, certificate_token_public_stands, certificate_token_public_stands),
	DESTROY("EC public key alone", MUTATES, ec_public_token_public_stands, ec_public_token_public_stands),
	DESTROY("EC private key alone", MUTATES, ec_private_token_private_stands, ec_private_token_private_stands),
	DESTROY("EC private key, one of many", MUTATES, nth_ec_private_stands, nth_ec_private_stands),
	DESTROY("EC private key, session", 0, ec_private_session_private_stands, ec_private_session_private_stands),
	DESTROY("AES key", MUTATES, aes_token_private_stands, aes_token_private_stands),
	DESTROY("AES key, session", 0, aes_session_private_stands, aes_session_private_stands),
	DESTROY("public half of a pair", MUTATES, public_half_stands, pair_again),
	DESTROY("private half of a pair", MUTATES, private_half_stands, pair_again),
	DESTROY("private half of a pair, loaded", MUTATES, used_key_stands, pair_again),
	DESTROY("public half of a pair, the last", MUTATES, last_public_half_stands, last_public_half_stands),
	DESTROY("private half of a pair, the last", MUTATES, last_private_half_stands, last_private_half_stands),
	DESTROY("public half of a session's pair", 0, session_public_half_stands, session_pair_again),
	DESTROY("private half of a session's pair", 0, session_private_half_stands, session_pair_again),

	SET("data, token, private", application, MUTATES, data_token_private_stands),
	SET("data, token, private, two attributes", value, MUTATES, data_token_private_stands),
	SET("data, token, public", application, MUTATES, data_token_public_stands),
	SET("data, session, private", application, 0, data_session_private_stands),
	SET("data, session, public", application, 0, data_session_public_stands),
	SET("data, one of many", application, MUTATES, nth_data_stands),
	SET("certificate", id, MUTATES, certificate_token_public_stands),
	SET("EC public key", id, MUTATES, ec_public_token_public_stands),
	SET("EC private key", id, MUTATES, ec_private_token_private_stands),
	SET("EC private key, session", id, 0, ec_private_session_private_stands),
	SET("EC private key, one of many", id, MUTATES, nth_ec_private_stands),
	SET("AES key", id, MUTATES, aes_token_private_stands),
	SET("public half of a pair", id, MUTATES, public_half_stands),
	SET("private half of a pair", id, MUTATES, private_half_stands),
	SET("private half of a session's pair", id, 0, session_private_half_stands),

	GET("data, token, private", get_value, CKR_OK, value_is_got, data_token_private_stands),
	GET("data, token, public", get_value, CKR_OK, value_is_got, data_token_public_stands),
	GET("data, session, private", get_value, CKR_OK, value_is_got, data_session_private_stands),
	GET("data, one of many", get_value, CKR_OK, value_is_got, nth_data_stands),
	GET("private half of a pair", get_id, CKR_OK, empty_is_got, private_half_stands),
	GET("sensitive value", get_value, CKR_ATTRIBUTE_SENSITIVE, nothing_is_got, private_half_stands),
	GET("no such attribute", get_id, CKR_ATTRIBUTE_TYPE_INVALID, nothing_is_got, data_token_public_stands),
	GET("too small a buffer", get_too_much, CKR_BUFFER_TOO_SMALL, nothing_is_got, data_token_public_stands),

	SIZE("data, token, private", data_token_private_stands),
	SIZE("data, token, public", data_token_public_stands),
	SIZE("data, session, private", data_session_private_stands),
	SIZE("data, one of many", nth_data_stands),
	SIZE("private half of a pair", private_half_stands),
	{.function = NULL},
};

/* module/operation.c, op_init.c, op_run.c and the C_ functions on top, with a frame and a token of the test's own:
 * the token shows what it was asked for, the frame lets another "thread" in while the lock is given up. */
#include <criterion/criterion.h>

#include "der.h"
#include "operation.h"
#include "soft.h"

/* ---- a token: what comes in is kept, what goes out is known ---- */

#define SIG_LEN 64
#define RSA_LEN 256

struct token_op {
	enum op_kind kind;
	CK_MECHANISM_TYPE type;
	size_t carry;              /* CBC: bytes not given yet */
};

static struct {
	unsigned begun, finished, freed;
	uint8_t in[4096];
	size_t in_len;
	struct scheme scheme;
	CK_RV begin, finish;       /* what they answer */
} token;

static void token_take(struct bytes in)
{
	cr_assert_leq(token.in_len + in.len, sizeof token.in);
	if (in.len > 0)
		memcpy(token.in + token.in_len, in.ptr, in.len);
	token.in_len += in.len;
}

static CK_RV fake_begin(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
			struct token_op **ret, size_t *ret_max)
{
	(void)tok;
	(void)key;
	if (token.begin != CKR_OK)
		return token.begin;
	*ret = calloc(1, sizeof **ret);
	(*ret)->kind = kind;
	(*ret)->type = scheme->type;
	*ret_max = kind == OP_DECRYPT ? RSA_LEN : scheme->tag_len ? scheme->tag_len : SIG_LEN;
	token.begun++;
	token.scheme = *scheme;
	return CKR_OK;
}

static size_t fake_size(const struct token_op *op, size_t in_len, bool final)
{
	return final ? (op->carry + in_len) / 16 * 16 + (op->kind == OP_ENCRYPT ? 16 : 0) : (op->carry + in_len) / 16 * 16;
}

/* Like a cipher in CBC mode: gives whole blocks, made of the input itself with every bit flipped. */
static void give(struct outbuf *out, size_t n)
{
	cr_assert_geq(out->cap, n);
	for (size_t i = 0; i < n; i++)
		out->ptr[i] = (uint8_t)~token.in[token.in_len - n + i];
	out->len = n;
}

static CK_RV fake_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	size_t n = fake_size(op, in.len, false);

	token_take(in);
	if (op->type == CKM_SHA256_HMAC)
		return CKR_OK;
	cr_assert_geq(out->cap, n);
	memset(out->ptr, 0xee, n);
	out->len = n;
	op->carry = (op->carry + in.len) % 16;
	return CKR_OK;
}

static CK_RV fake_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	token.finished++;
	token_take(in);
	if (token.finish != CKR_OK)
		return token.finish;
	if (op->kind == OP_VERIFY)
		return out->len == 32 && out->ptr[0] == 0x5a ? CKR_OK : CKR_SIGNATURE_INVALID;
	if (op->kind == OP_SIGN) {
		out->len = op->type == CKM_SHA256_HMAC ? 32 : SIG_LEN;
		cr_assert_geq(out->cap, out->len);
		memset(out->ptr, 0x5a, out->len);
	} else if (op->kind == OP_DECRYPT && op->type == CKM_RSA_PKCS) {
		give(out, 20); /* unpadded */
	} else {
		out->len = fake_size(op, in.len, true);
		cr_assert_geq(out->cap, out->len);
		memset(out->ptr, 0xdd, out->len);
	}
	return CKR_OK;
}

static void fake_free(struct token_op *op)
{
	token.freed += op != NULL;
	free(op);
}

static CK_RV fake_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n)
{
	static const struct token_mech rows[] = {
		{CKM_RSA_PKCS, 2048, 2048, CKF_SIGN | CKF_DECRYPT},
		{CKM_ECDSA, 256, 256, CKF_SIGN},
		{CKM_SHA256_HMAC, 1, 64, CKF_SIGN | CKF_VERIFY},
		{CKM_AES_CBC_PAD, 16, 32, CKF_ENCRYPT | CKF_DECRYPT},
	};

	(void)tok;
	*ret = rows;
	*ret_n = ARRAY_LEN(rows);
	return CKR_OK;
}

static CK_RV fake_random(struct token *tok, uint8_t *out, size_t n)
{
	(void)tok;
	memset(out, 0x77, n);
	return CKR_OK;
}

static const struct token_ops fake_ops = {
	.abi = TOKEN_OPS_ABI, .mechs = fake_mechs, .op_begin = fake_begin, .op_size = fake_size,
	.op_update = fake_update, .op_finish = fake_finish, .op_free = fake_free, .random = fake_random,
};
static struct token fake_token = {.ops = &fake_ops};
static struct slot slot = {.token = &fake_token};
static struct session session = {.slot = &slot};

/* ---- keys ---- */

enum key_handle {
	NO_KEY, P256_KEY, RSA_KEY, HMAC_KEY, AES_KEY, AUTH_KEY, VERIFY_ONLY_KEY, BIG_KEY, CHOSEN_KEY, DATA, HANDLES
};

static struct object objects[HANDLES];
static struct token_obj token_objs[HANDLES];

static void key_make(enum key_handle h, CK_OBJECT_CLASS class, CK_KEY_TYPE type, CK_ATTRIBUTE_TYPE usage)
{
	uint8_t modulus[RSA_LEN * 2] = {0x80};
	struct attrs *a = attrs_new();
	CK_RV rv = attrs_set_ulong(a, CKA_CLASS, class);

	rv |= attrs_set_ulong(a, CKA_KEY_TYPE, type);
	rv |= attrs_set_bool(a, usage, true);
	rv |= attrs_set(a, CKA_MODULUS, BYTES(modulus, h == BIG_KEY ? sizeof modulus : RSA_LEN));
	rv |= attrs_set(a, CKA_EC_PARAMS, der_curves[CURVE_P256].oid);
	rv |= attrs_set_ulong(a, CKA_VALUE_LEN, 16);
	cr_assert_eq(rv, CKR_OK);
	token_objs[h].attrs = a;
	objects[h] = (struct object){.handle = h, .slot = &slot, .obj = &token_objs[h], .refs = 1, .private = h == P256_KEY};
}

static void setup(void)
{
	const CK_MECHANISM_TYPE allowed[] = {CKM_SHA1_RSA_PKCS, CKM_SHA256_RSA_PKCS};

	key_make(P256_KEY, CKO_PRIVATE_KEY, CKK_EC, CKA_SIGN);
	key_make(RSA_KEY, CKO_PRIVATE_KEY, CKK_RSA, CKA_SIGN);
	cr_assert_eq(attrs_set_bool(token_objs[RSA_KEY].attrs, CKA_DECRYPT, true), CKR_OK);
	key_make(HMAC_KEY, CKO_SECRET_KEY, CKK_GENERIC_SECRET, CKA_SIGN);
	cr_assert_eq(attrs_set_bool(token_objs[HMAC_KEY].attrs, CKA_VERIFY, true), CKR_OK);
	cr_assert_eq(attrs_set(token_objs[HMAC_KEY].attrs, CKA_VALUE, BYTES("abc", 3)), CKR_OK);
	key_make(AES_KEY, CKO_SECRET_KEY, CKK_AES, CKA_ENCRYPT);
	cr_assert_eq(attrs_set_bool(token_objs[AES_KEY].attrs, CKA_DECRYPT, true), CKR_OK);
	key_make(AUTH_KEY, CKO_PRIVATE_KEY, CKK_EC, CKA_SIGN);
	cr_assert_eq(attrs_set_bool(token_objs[AUTH_KEY].attrs, CKA_ALWAYS_AUTHENTICATE, true), CKR_OK);
	key_make(VERIFY_ONLY_KEY, CKO_PRIVATE_KEY, CKK_EC, CKA_VERIFY);
	key_make(BIG_KEY, CKO_PRIVATE_KEY, CKK_RSA, CKA_SIGN);
	key_make(CHOSEN_KEY, CKO_PRIVATE_KEY, CKK_RSA, CKA_SIGN);
	cr_assert_eq(attrs_set(token_objs[CHOSEN_KEY].attrs, CKA_ALLOWED_MECHANISMS, BYTES_OF(allowed)), CKR_OK);
	key_make(DATA, CKO_DATA, 0, CKA_SIGN);
}

static void teardown(void)
{
	for (size_t i = 0; i < SESSION_OPS; i++)
		operation_free(session.op[i]);
	cr_assert_eq(token.begun, token.freed, "every operation begun is given back");
	for (size_t h = 1; h < HANDLES; h++) {
		cr_assert_eq(objects[h].refs, 1, "key %zu is released", h);
		attrs_free(token_objs[h].attrs);
	}
}

TestSuite(operation, .init = setup, .fini = teardown);

struct object *object_find(struct session *s, CK_OBJECT_HANDLE handle)
{
	(void)s;
	return handle > 0 && handle < HANDLES ? &objects[handle] : NULL;
}

struct object *object_ref(struct object *o)
{
	o->refs++;
	return o;
}

void object_unref(struct object *o)
{
	o->refs--;
}

bool object_flag(const struct object *o, CK_ATTRIBUTE_TYPE type)
{
	return attrs_get_bool(o->obj->attrs, type, false);
}

/* ---- a frame ---- */

static void (*meanwhile)(void); /* what another thread does without our lock */
static bool closed;

CK_RV call_session(struct call *c, enum function fn, CK_SESSION_HANDLE handle, bool args_ok)
{
	(void)handle;
	*c = (struct call){.fn = fn, .slot = &slot, .session = &session};
	return args_ok ? CKR_OK : CKR_ARGUMENTS_BAD;
}

void call_unlock(struct call *c)
{
	void (*now)(void) = meanwhile;

	(void)c;
	meanwhile = NULL;
	if (now)
		now();
}

CK_RV call_lock(struct call *c)
{
	if (!closed)
		return CKR_OK;
	c->session = NULL;
	return CKR_SESSION_CLOSED;
}

CK_RV call_leave(struct call *c, CK_RV rv)
{
	(void)c;
	return rv;
}

/* ---- helpers ---- */

static CK_MECHANISM mechanism(CK_MECHANISM_TYPE type)
{
	static uint8_t iv[16];

	if (type == CKM_AES_CBC_PAD)
		return (CK_MECHANISM){.mechanism = type, .pParameter = iv, .ulParameterLen = 16};
	return (CK_MECHANISM){.mechanism = type};
}

static CK_RV sign_init(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM m = mechanism(type);
	return C_SignInit(1, &m, key);
}

static CK_RV decrypt_init(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM m = mechanism(type);
	return C_DecryptInit(1, &m, key);
}

static CK_RV digest_init(void)
{
	CK_MECHANISM m = mechanism(CKM_SHA256);
	return C_DigestInit(1, &m);
}

static uint8_t abc[] = {'a', 'b', 'c'};
static const uint8_t abc_sha256[32] = {
	0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
	0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
};
static uint8_t out[4096];
static CK_ULONG n;

#define OK(call) cr_assert_eq(call, CKR_OK)
#define IS(call, rv) cr_assert_eq(call, rv)

/* ---- beginning ---- */

Test(operation, init_checks_in_order)
{
	IS(sign_init(CKM_DES3_CBC, NO_KEY), CKR_KEY_HANDLE_INVALID);
	IS(sign_init(CKM_ECDSA, DATA), CKR_KEY_HANDLE_INVALID);
	IS(sign_init(CKM_DES3_CBC, RSA_KEY), CKR_MECHANISM_INVALID);
	IS(sign_init(CKM_RSA_X_509, RSA_KEY), CKR_MECHANISM_INVALID);
	IS(sign_init(CKM_RSA_PKCS, CHOSEN_KEY), CKR_MECHANISM_INVALID);
	CK_MECHANISM m = {.mechanism = CKM_RSA_PKCS, .pParameter = abc, .ulParameterLen = 3};
	IS(C_SignInit(1, &m, P256_KEY), CKR_MECHANISM_PARAM_INVALID);
	IS(sign_init(CKM_RSA_PKCS, P256_KEY), CKR_KEY_TYPE_INCONSISTENT);
	IS(sign_init(CKM_SHA256_HMAC, AES_KEY), CKR_KEY_TYPE_INCONSISTENT);
	IS(sign_init(CKM_RSA_PKCS, VERIFY_ONLY_KEY), CKR_KEY_TYPE_INCONSISTENT);
	IS(sign_init(CKM_RSA_PKCS, BIG_KEY), CKR_KEY_SIZE_RANGE);
	IS(sign_init(CKM_ECDSA, VERIFY_ONLY_KEY), CKR_KEY_FUNCTION_NOT_PERMITTED);
	token.begin = CKR_DEVICE_MEMORY;
	IS(sign_init(CKM_ECDSA, P256_KEY), CKR_DEVICE_MEMORY);
	token.begin = CKR_OK;
	cr_assert_null(session.op[SESSION_SIGN], "nothing was begun");
	OK(sign_init(CKM_SHA256_RSA_PKCS, CHOSEN_KEY));
	cr_assert_eq(token.scheme.type, CKM_RSA_PKCS);
	cr_assert_eq(token.scheme.hash, &crypto_hashes[HASH_SHA256]);
	IS(sign_init(CKM_DES3_CBC, NO_KEY), CKR_OPERATION_ACTIVE);
}

Test(operation, a_null_mechanism_ends_what_is_there)
{
	IS(C_SignInit(1, NULL, P256_KEY), CKR_MECHANISM_INVALID);
	OK(sign_init(CKM_ECDSA, P256_KEY));
	OK(C_SignInit(1, NULL, NO_KEY));
	n = sizeof out;
	IS(C_Sign(1, abc, 3, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(digest_init());
	OK(C_DigestInit(1, NULL));
	OK(digest_init());
}

/* ---- buffers ---- */

Test(operation, sizes_cost_nothing)
{
	OK(sign_init(CKM_ECDSA, P256_KEY));
	n = 12345;
	OK(C_Sign(1, abc, 3, NULL, &n));
	cr_assert_eq(n, SIG_LEN);
	n = SIG_LEN - 1;
	IS(C_Sign(1, abc, 3, out, &n), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(n, SIG_LEN);
	cr_assert_eq(token.finished, 0);
	OK(C_Sign(1, abc, 3, out, &n));
	cr_assert_eq(token.finished, 1);
	cr_assert(bytes_equal(BYTES(token.in, token.in_len), BYTES_OF(abc)));
	IS(C_Sign(1, abc, 3, out, &n), CKR_OPERATION_NOT_INITIALIZED);
}

Test(operation, after_a_small_buffer_the_final_call_is_open)
{
	OK(sign_init(CKM_ECDSA_SHA256, P256_KEY));
	n = 1;
	IS(C_Sign(1, abc, 3, out, &n), CKR_BUFFER_TOO_SMALL);
	OK(C_SignUpdate(1, abc, 3));
	OK(C_SignFinal(1, out, &n));
	cr_assert(bytes_equal(BYTES(token.in, token.in_len), BYTES_OF(abc_sha256)));
}

Test(operation, bad_arguments_end_it)
{
	n = sizeof out;
	IS(C_Sign(1, abc, 3, out, NULL), CKR_ARGUMENTS_BAD);
	OK(sign_init(CKM_ECDSA, P256_KEY));
	IS(C_Sign(1, abc, 3, out, NULL), CKR_ARGUMENTS_BAD);
	IS(C_Sign(1, abc, 3, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(sign_init(CKM_ECDSA, P256_KEY));
	IS(C_Sign(1, NULL, 3, out, &n), CKR_ARGUMENTS_BAD);
	IS(C_SignUpdate(1, abc, 3), CKR_OPERATION_NOT_INITIALIZED);
	OK(digest_init());
	IS(C_DigestUpdate(1, NULL, 3), CKR_ARGUMENTS_BAD);
	IS(C_DigestFinal(1, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(digest_init());
	OK(C_DigestUpdate(1, NULL, 0));
	OK(C_DigestFinal(1, out, &n));
}

Test(operation, an_error_of_the_token_ends_it)
{
	token.finish = CKR_DATA_LEN_RANGE;
	OK(sign_init(CKM_ECDSA, P256_KEY));
	n = sizeof out;
	IS(C_Sign(1, abc, 3, out, &n), CKR_DATA_LEN_RANGE);
	cr_assert_eq(n, sizeof out, "an output is written on success only");
	IS(C_Sign(1, abc, 3, out, &n), CKR_OPERATION_NOT_INITIALIZED);
}

/* ---- one-shot against multi-part ---- */

Test(operation, one_shot_and_updates_dont_mix)
{
	n = sizeof out;
	OK(digest_init());
	OK(C_DigestUpdate(1, abc, 3));
	IS(C_Digest(1, abc, 3, out, &n), CKR_OPERATION_ACTIVE);
	IS(C_DigestFinal(1, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(digest_init());
	OK(C_Digest(1, abc, 3, NULL, &n));
	IS(C_DigestUpdate(1, abc, 3), CKR_OPERATION_ACTIVE);
	IS(C_DigestFinal(1, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(digest_init());
	OK(C_Digest(1, abc, 3, NULL, &n));
	IS(C_DigestFinal(1, out, &n), CKR_OPERATION_ACTIVE);
	OK(digest_init());
	OK(C_DigestFinal(1, NULL, &n));
	OK(C_DigestUpdate(1, abc, 3));
	OK(C_DigestFinal(1, NULL, &n));
	cr_assert_eq(n, 32);
	OK(C_DigestFinal(1, out, &n));
	cr_assert(bytes_equal(BYTES(out, n), BYTES_OF(abc_sha256)));
}

Test(operation, digests)
{
	OK(digest_init());
	memcpy(out, abc, 3);
	n = sizeof out;
	OK(C_Digest(1, out, 3, out, &n)); /* in place */
	cr_assert(bytes_equal(BYTES(out, n), BYTES_OF(abc_sha256)));
	OK(digest_init());
	n = 31;
	IS(C_Digest(1, abc, 3, out, &n), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(n, 32);
	OK(C_Digest(1, abc, 3, out, &n));
	OK(digest_init());
	OK(C_DigestKey(1, HMAC_KEY)); /* its value is "abc" */
	OK(C_DigestFinal(1, out, &n));
	cr_assert(bytes_equal(BYTES(out, n), BYTES_OF(abc_sha256)));
	OK(digest_init());
	IS(C_DigestKey(1, P256_KEY), CKR_KEY_INDIGESTIBLE);
	IS(C_DigestKey(1, HMAC_KEY), CKR_OPERATION_NOT_INITIALIZED);
}

Test(operation, what_is_hashed_reaches_the_token_as_a_digest)
{
	n = sizeof out;
	OK(sign_init(CKM_ECDSA_SHA256, P256_KEY));
	OK(C_Sign(1, abc, 3, out, &n));
	cr_assert(bytes_equal(BYTES(token.in, token.in_len), BYTES_OF(abc_sha256)));
	token.in_len = 0;
	OK(sign_init(CKM_SHA256_RSA_PKCS, RSA_KEY));
	OK(C_SignUpdate(1, abc, 1));
	OK(C_SignUpdate(1, abc + 1, 2));
	OK(C_SignFinal(1, NULL, &n));
	n--;
	IS(C_SignFinal(1, out, &n), CKR_BUFFER_TOO_SMALL);
	OK(C_SignFinal(1, out, &n));
	cr_assert(bytes_equal(BYTES(token.in, token.in_len), BYTES_OF(abc_sha256)));
}

Test(operation, one_block_may_come_in_parts_as_long_as_it_fits)
{
	n = sizeof out;
	OK(sign_init(CKM_RSA_PKCS, RSA_KEY));
	OK(C_SignUpdate(1, abc, 1));
	OK(C_SignUpdate(1, abc + 1, 2));
	OK(C_SignFinal(1, out, &n));
	cr_assert(bytes_equal(BYTES(token.in, token.in_len), BYTES_OF(abc)));
	OK(sign_init(CKM_RSA_PKCS, RSA_KEY));
	OK(C_SignUpdate(1, out, RSA_LEN - 11));
	IS(C_SignUpdate(1, abc, 1), CKR_DATA_LEN_RANGE);
	IS(C_SignFinal(1, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(decrypt_init(CKM_RSA_PKCS, RSA_KEY));
	IS(C_DecryptUpdate(1, out, RSA_LEN + 1, out, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
}

Test(operation, a_wrong_length_outranks_a_small_buffer)
{
	n = 1;
	OK(sign_init(CKM_RSA_PKCS, RSA_KEY));
	IS(C_Sign(1, out, RSA_LEN - 10, out, &n), CKR_DATA_LEN_RANGE);
	IS(C_Sign(1, abc, 3, out, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(decrypt_init(CKM_RSA_PKCS, RSA_KEY));
	IS(C_Decrypt(1, out, RSA_LEN - 1, out, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
	OK(decrypt_init(CKM_RSA_PKCS, RSA_KEY));
	n = sizeof out;
	OK(C_DecryptUpdate(1, out, RSA_LEN - 1, out, &n));
	IS(C_DecryptFinal(1, out, &n), CKR_ENCRYPTED_DATA_LEN_RANGE);
	cr_assert_eq(token.finished, 0);
}

/* ---- decryption ---- */

Test(operation, a_decryption_is_made_once_and_kept_for_the_retry)
{
	uint8_t block[RSA_LEN] = {0};

	OK(decrypt_init(CKM_RSA_PKCS, RSA_KEY));
	OK(C_Decrypt(1, block, sizeof block, NULL, &n));
	cr_assert_eq(n, RSA_LEN);
	cr_assert_eq(token.finished, 0);
	n = 19;
	IS(C_Decrypt(1, block, sizeof block, out, &n), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(n, 20, "the exact length");
	OK(C_Decrypt(1, block, sizeof block, NULL, &n));
	cr_assert_eq(n, 20);
	IS(C_DecryptUpdate(1, block, 1, out, &n), CKR_OPERATION_ACTIVE);

	OK(decrypt_init(CKM_RSA_PKCS, RSA_KEY));
	n = 0;
	IS(C_Decrypt(1, block, sizeof block, out, &n), CKR_BUFFER_TOO_SMALL);
	OK(C_Decrypt(1, block, sizeof block, out, &n));
	cr_assert_eq(n, 20);
	cr_assert_eq(out[0], 0xff);
	cr_assert_eq(token.finished, 2);
	IS(C_Decrypt(1, block, sizeof block, out, &n), CKR_OPERATION_NOT_INITIALIZED);

	/* 20 bytes of room are enough, though 256 might have been needed. */
	OK(decrypt_init(CKM_RSA_PKCS, RSA_KEY));
	n = 20;
	OK(C_Decrypt(1, block, sizeof block, out, &n));
}

Test(operation, a_final_decryption_is_kept_too)
{
	OK(decrypt_init(CKM_AES_CBC_PAD, AES_KEY));
	n = sizeof out;
	OK(C_DecryptUpdate(1, abc, 3, out, &n));
	cr_assert_eq(n, 0);
	n = sizeof out;
	OK(C_DecryptUpdate(1, out, 13 + 8, out, &n));
	cr_assert_eq(n, 16);
	OK(C_DecryptUpdate(1, out, 8, NULL, &n));
	cr_assert_eq(n, 16);
	n = 15;
	IS(C_DecryptUpdate(1, out, 8, out, &n), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(n, 16);
	cr_assert_eq(token.in_len, 24, "nothing of it was consumed");
	OK(C_DecryptUpdate(1, out, 8, out, &n));
	n = sizeof out;
	OK(C_DecryptFinal(1, out, &n));
	cr_assert_eq(n, 0);
}

Test(operation, updates_in_place_see_the_input_whole)
{
	uint8_t buffer[64];

	OK(decrypt_init(CKM_AES_CBC_PAD, AES_KEY));
	n = sizeof out;
	OK(C_DecryptUpdate(1, abc, 3, out, &n));
	for (size_t i = 0; i < sizeof buffer; i++)
		buffer[i] = (uint8_t)i;
	n = sizeof buffer;
	OK(C_DecryptUpdate(1, buffer, 45, buffer, &n));
	cr_assert_eq(n, 48);
	for (size_t i = 0; i < 45; i++)
		cr_assert_eq(token.in[3 + i], i);
}

/* ---- verification ---- */

Test(operation, verification_always_ends)
{
	CK_MECHANISM m = mechanism(CKM_SHA256_HMAC);
	uint8_t good[32] = {0x5a}, bad[32] = {0};

	OK(C_VerifyInit(1, &m, HMAC_KEY));
	OK(C_Verify(1, abc, 3, good, 32));
	IS(C_Verify(1, abc, 3, good, 32), CKR_OPERATION_NOT_INITIALIZED);
	OK(C_VerifyInit(1, &m, HMAC_KEY));
	IS(C_Verify(1, abc, 3, bad, 32), CKR_SIGNATURE_INVALID);
	OK(C_VerifyInit(1, &m, HMAC_KEY));
	IS(C_Verify(1, abc, 3, NULL, 32), CKR_ARGUMENTS_BAD);
	IS(C_VerifyFinal(1, good, 32), CKR_OPERATION_NOT_INITIALIZED);
	OK(C_VerifyInit(1, &m, HMAC_KEY));
	OK(C_VerifyUpdate(1, abc, 3));
	OK(C_VerifyFinal(1, good, 32));
}

Test(operation, a_signature_may_come_first)
{
	CK_MECHANISM m = mechanism(CKM_SHA256_HMAC);
	uint8_t mac[32] = {0x5a};

	IS(C_VerifySignatureInit(1, &m, HMAC_KEY, NULL, 32), CKR_ARGUMENTS_BAD);
	OK(C_VerifySignatureInit(1, &m, HMAC_KEY, mac, 32));
	IS(C_Verify(1, abc, 3, mac, 32), CKR_OPERATION_NOT_INITIALIZED);
	mac[0] = 0; /* it was copied */
	OK(C_VerifySignature(1, abc, 3));
	IS(C_VerifySignature(1, abc, 3), CKR_OPERATION_NOT_INITIALIZED);
	OK(C_VerifySignatureInit(1, &m, HMAC_KEY, mac, 32));
	OK(C_VerifySignatureUpdate(1, abc, 3));
	IS(C_VerifySignatureFinal(1), CKR_SIGNATURE_INVALID);
	OK(C_VerifySignatureInit(1, &m, HMAC_KEY, mac, 32));
	OK(C_VerifySignatureInit(1, NULL, NO_KEY, NULL, 0));
	OK(C_VerifyInit(1, &m, HMAC_KEY));
	IS(C_VerifySignature(1, abc, 3), CKR_OPERATION_NOT_INITIALIZED);
}

/* ---- CKA_ALWAYS_AUTHENTICATE ---- */

Test(operation, a_due_login_leaves_the_operation)
{
	n = sizeof out;
	OK(sign_init(CKM_ECDSA, P256_KEY));
	cr_assert_not(operation_wants_auth(session.op[SESSION_SIGN]));
	cr_assert(operation_uses_private(session.op[SESSION_SIGN]));
	OK(C_SignInit(1, NULL, NO_KEY));
	OK(sign_init(CKM_ECDSA, AUTH_KEY));
	cr_assert_not(operation_uses_private(session.op[SESSION_SIGN]));
	cr_assert(operation_wants_auth(session.op[SESSION_SIGN]));
	IS(C_Sign(1, abc, 3, out, &n), CKR_USER_NOT_LOGGED_IN);
	IS(C_SignUpdate(1, abc, 3), CKR_USER_NOT_LOGGED_IN);
	operation_authenticated(session.op[SESSION_SIGN]);
	OK(C_Sign(1, abc, 3, out, &n));
	OK(sign_init(CKM_ECDSA, AUTH_KEY));
	cr_assert(operation_wants_auth(session.op[SESSION_SIGN]), "one operation per login");
}

/* ---- other threads ---- */

static CK_RV other_rv[3];

static void other_signs(void)
{
	uint8_t sig[SIG_LEN];
	CK_ULONG len = sizeof sig;

	other_rv[0] = C_Sign(1, abc, 3, sig, &len);
	other_rv[1] = sign_init(CKM_ECDSA, P256_KEY);
	other_rv[2] = C_SignUpdate(1, NULL, 3);
}

Test(operation, another_thread_is_told_that_it_is_at_work)
{
	n = sizeof out;
	OK(sign_init(CKM_ECDSA, P256_KEY));
	meanwhile = other_signs;
	OK(C_Sign(1, abc, 3, out, &n));
	cr_assert_eq(other_rv[0], CKR_OPERATION_ACTIVE);
	cr_assert_eq(other_rv[1], CKR_OPERATION_ACTIVE);
	cr_assert_eq(other_rv[2], CKR_ARGUMENTS_BAD);
	cr_assert_null(session.op[SESSION_SIGN]);
}

static void other_cancels_and_begins(void)
{
	other_rv[0] = C_SignInit(1, NULL, NO_KEY);
	other_rv[1] = sign_init(CKM_ECDSA, P256_KEY);
}

Test(operation, one_that_is_cancelled_at_work_touches_nothing_after)
{
	n = sizeof out;
	OK(sign_init(CKM_ECDSA, P256_KEY));
	meanwhile = other_cancels_and_begins;
	OK(C_Sign(1, abc, 3, out, &n));
	OK(other_rv[0]);
	OK(other_rv[1]);
	cr_assert_not_null(session.op[SESSION_SIGN], "the new one stands");
	cr_assert_eq(token.freed, 1);
}

static void other_closes(void)
{
	operation_free(TAKE(session.op[SESSION_SIGN]));
	closed = true;
}

Test(operation, a_session_closed_at_work)
{
	n = sizeof out;
	OK(sign_init(CKM_ECDSA, P256_KEY));
	meanwhile = other_closes;
	IS(C_Sign(1, abc, 3, out, &n), CKR_SESSION_CLOSED);
	cr_assert_eq(token.freed, 1);
}

/* ---- random numbers ---- */

Test(operation, random_numbers)
{
	OK(C_GenerateRandom(1, out, 8));
	cr_assert_eq(out[7], 0x77);
	OK(C_GenerateRandom(1, NULL, 0));
	IS(C_GenerateRandom(1, NULL, 8), CKR_ARGUMENTS_BAD);
	IS(C_SeedRandom(1, NULL, 8), CKR_ARGUMENTS_BAD);
	IS(C_SeedRandom(1, out, 8), CKR_RANDOM_SEED_NOT_SUPPORTED);
}

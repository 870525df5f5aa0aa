/* Secret keys in the TPM, held against libcrypto: every mode and hash, in pieces of every size. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <tss2/tss2_tcti.h>

#include "rig.h"
#include "soft.h"
#include "state.h"

static struct rig rig;

static void start(void)
{
	rig_start(&rig, "bus", "protected");
	rig_init(&rig);
	rig_login(&rig);
}

static void start_default(void)
{
	rig_start(&rig, "secret-keys", "tpm");
	rig_init(&rig);
	rig_login(&rig);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(secrets, .init = start, .fini = stop, .timeout = 120);
TestSuite(setting, .init = start_default, .fini = stop, .timeout = 120);

static void let_go(struct token_obj *o)
{
	tpm_token_ops.obj_free(rig.tok, o);
}

/* ---- keys ---- */

static struct attrs *template(CK_KEY_TYPE type, const char *place)
{
	struct attrs *a = rig_attrs(CKO_SECRET_KEY, type, "secret", true);

	if (place)
		cr_assert_eq(attrs_set(a, CKA_SIGNET_PLACE, BYTES(place, strlen(place))), CKR_OK);
	cr_assert_eq(attrs_set_bool(a, CKA_EXTRACTABLE, false), CKR_OK);
	return a;
}

static uint8_t value[200];

/* With the first n bytes of `value`. */
static CK_RV bring(CK_KEY_TYPE type, size_t n, const char *place, struct token_obj **ret)
{
	struct attrs *a CLEANUP(attrs_cleanup) = template(type, place);
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a, .persist = true};
	struct token_obj *made[2] = {NULL, NULL};

	for (size_t i = 0; i < sizeof value; i++)
		value[i] = (uint8_t)(i * 7 + 1);
	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES(value, n)), CKR_OK);
	cr_assert_eq(soft_complete(a), CKR_OK);
	TRY(tpm_token_ops.make(rig.tok, &req, made));
	*ret = made[0];
	return CKR_OK;
}

static CK_RV generate(CK_MECHANISM_TYPE mech, CK_KEY_TYPE type, size_t n, const char *place, struct token_obj **ret)
{
	struct attrs *a CLEANUP(attrs_cleanup) = template(type, place);
	struct make_req req = {.kind = MAKE_GENERATE, .mech = mech, .tmpl = a, .persist = false};
	struct token_obj *made[2] = {NULL, NULL};

	cr_assert_eq(attrs_set_ulong(a, CKA_VALUE_LEN, n), CKR_OK);
	TRY(tpm_token_ops.make(rig.tok, &req, made));
	*ret = made[0];
	return CKR_OK;
}

static struct soft_key *twin(CK_KEY_TYPE type, size_t n)
{
	struct attrs *a CLEANUP(attrs_cleanup) = rig_attrs(CKO_SECRET_KEY, type, "twin", false);
	struct soft_key *k;

	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES(value, n)), CKR_OK);
	cr_assert_eq(soft_key_new(a, &k), CKR_OK);
	return k;
}

static bool is_at(const struct token_obj *o, const char *place)
{
	struct bytes v;

	return attrs_get(o->attrs, CKA_SIGNET_PLACE, &v) && bytes_equal(v, BYTES(place, strlen(place)));
}

/* ---- ciphers ---- */

/* All of it by libcrypto, at once. */
static void soft_run(enum op_kind kind, const struct scheme *scheme, struct soft_key *k, struct bytes in,
		     struct outbuf *out)
{
	struct soft_op *op;
	size_t max;

	cr_assert_eq(soft_op_begin(kind, scheme, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, in, out), CKR_OK);
	soft_op_free(op);
}

/* In the TPM, in pieces of that size; each gives as many bytes as it said. */
static CK_RV tpm_run(enum op_kind kind, const struct scheme *scheme, const struct token_obj *key, struct bytes in,
		     size_t piece, struct outbuf *out)
{
	struct token_op *op;
	size_t max, left = in.len;
	CK_RV rv = CKR_OK;

	TRY(tpm_token_ops.op_begin(rig.tok, kind, scheme, key, &op, &max));
	while (rv == CKR_OK && left > piece) {
		struct outbuf part = {.ptr = out->ptr + out->len, .cap = out->cap - out->len};
		size_t said = tpm_token_ops.op_size(op, piece, false);

		rv = tpm_token_ops.op_update(op, BYTES(in.ptr + in.len - left, piece), &part);
		cr_assert(rv != CKR_OK || part.len == said, "%zu instead of %zu", part.len, said);
		out->len += part.len;
		left -= piece;
	}
	if (rv == CKR_OK) {
		struct outbuf part = {.ptr = out->ptr + out->len, .cap = out->cap - out->len};
		size_t said = tpm_token_ops.op_size(op, left, true);

		rv = tpm_token_ops.op_finish(op, BYTES(in.ptr + in.len - left, left), &part);
		cr_assert(rv != CKR_OK || part.len <= said);
		out->len += part.len;
	}
	tpm_token_ops.op_free(op);
	return rv;
}

static const uint8_t iv[16] = {0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0xfe, 0xff, 0xff, 0xfe};
#define IV {.ptr = iv, .len = 16}

static const struct mode {
	struct scheme scheme;
	bool whole;                /* blocks only */
} modes[] = {
	{.scheme = {.type = CKM_AES_ECB}, .whole = true},
	{.scheme = {.type = CKM_AES_CBC, .iv = IV}, .whole = true},
	{.scheme = {.type = CKM_AES_CBC_PAD, .iv = IV}},
	{.scheme = {.type = CKM_AES_CTR, .iv = IV, .counter_bits = 128}},
	{.scheme = {.type = CKM_AES_CTR, .iv = IV, .counter_bits = 32}},
	{.scheme = {.type = CKM_AES_CFB128, .iv = IV}},
	{.scheme = {.type = CKM_AES_OFB, .iv = IV}},
};

static uint8_t plain[9000], cipher[9100], back[9100], want[9100];

static void compare(const struct mode *m, const struct token_obj *key, struct soft_key *k, size_t n, size_t piece)
{
	struct outbuf c = {.ptr = cipher, .cap = sizeof cipher}, p = {.ptr = back, .cap = sizeof back};
	struct outbuf w = {.ptr = want, .cap = sizeof want};

	soft_run(OP_ENCRYPT, &m->scheme, k, BYTES(plain, n), &w);
	cr_assert_eq(tpm_run(OP_ENCRYPT, &m->scheme, key, BYTES(plain, n), piece, &c), CKR_OK);
	cr_assert(bytes_equal(BYTES(cipher, c.len), BYTES(want, w.len)), "0x%lx, %zu bytes by %zu", m->scheme.type, n,
		  piece);
	cr_assert_eq(tpm_run(OP_DECRYPT, &m->scheme, key, BYTES(cipher, c.len), piece, &p), CKR_OK);
	cr_assert(bytes_equal(BYTES(back, p.len), BYTES(plain, n)), "0x%lx, %zu bytes by %zu", m->scheme.type, n,
		  piece);
}

static void every_mode(size_t key_len)
{
	static const struct {
		size_t n, piece;
	} cuts[] = {
		{0, 1}, {1, 1}, {15, 7}, {16, 16}, {16, 5}, {17, 16}, {32, 31}, {48, 47}, {100, 33}, {1024, 1000},
		{1040, 2000}, {8192, 9000}, {9000, 9000}, {8999, 4001},
	};
	struct token_obj *o;
	struct soft_key *k;

	cr_assert_eq(bring(CKK_AES, key_len, "tpm", &o), CKR_OK);
	cr_assert(is_at(o, "tpm") && !attrs_has(o->attrs, CKA_VALUE));
	k = twin(CKK_AES, key_len);
	cr_assert_eq(random_bytes(plain, sizeof plain), CKR_OK);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		for (size_t j = 0; j < ARRAY_LEN(cuts); j++)
			compare(&modes[i], o, k, modes[i].whole ? cuts[j].n / 16 * 16 : cuts[j].n, cuts[j].piece);
	soft_key_unref(k);
	let_go(o);
}

Test(secrets, aes_128)
{
	every_mode(16);
}

Test(secrets, aes_256)
{
	every_mode(32);
}

Test(secrets, bad_lengths_and_padding)
{
	const struct scheme cbc = modes[1].scheme, pad = modes[2].scheme;
	struct outbuf out = {.ptr = back, .cap = sizeof back};
	struct token_obj *o;

	cr_assert_eq(bring(CKK_AES, 16, "tpm", &o), CKR_OK);
	cr_assert_eq(tpm_run(OP_ENCRYPT, &cbc, o, BYTES(plain, 17), 100, &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(tpm_run(OP_DECRYPT, &cbc, o, BYTES(plain, 17), 16, &out), CKR_ENCRYPTED_DATA_LEN_RANGE);
	cr_assert_eq(tpm_run(OP_DECRYPT, &pad, o, BYTES(plain, 31), 100, &out), CKR_ENCRYPTED_DATA_LEN_RANGE);
	cr_assert_eq(tpm_run(OP_DECRYPT, &pad, o, NO_BYTES, 100, &out), CKR_ENCRYPTED_DATA_LEN_RANGE);
	/* Without padding, something that isn't any. */
	out.len = 0;
	memset(plain, 0xaa, 32);
	cr_assert_eq(tpm_run(OP_ENCRYPT, &cbc, o, BYTES(plain, 32), 100, &out), CKR_OK);
	memcpy(cipher, back, 32);
	out.len = 0;
	cr_assert_eq(tpm_run(OP_DECRYPT, &pad, o, BYTES(cipher, 32), 100, &out), CKR_ENCRYPTED_DATA_INVALID);
	let_go(o);
}

/* The block at hand and the one with the last value of the counter; not the one where it starts again. */
Test(secrets, counter_runs_out)
{
	static const uint8_t near[16] = {[14] = 0x12, [15] = 0xfe};
	const struct scheme ctr = {.type = CKM_AES_CTR, .iv = BYTES_OF(near), .counter_bits = 8};
	struct outbuf out = {.ptr = back, .cap = sizeof back};
	struct token_obj *o;

	cr_assert_eq(bring(CKK_AES, 16, "tpm", &o), CKR_OK);
	cr_assert_eq(tpm_run(OP_ENCRYPT, &ctr, o, BYTES(plain, 32), 100, &out), CKR_OK);
	cr_assert_eq(tpm_run(OP_ENCRYPT, &ctr, o, BYTES(plain, 33), 100, &out), CKR_DATA_LEN_RANGE);
	cr_assert_eq(tpm_run(OP_DECRYPT, &ctr, o, BYTES(plain, 64), 16, &out), CKR_ENCRYPTED_DATA_LEN_RANGE);
	let_go(o);
}

/* Input and output at the same place, with bytes carried over. */
Test(secrets, in_place)
{
	struct outbuf w = {.ptr = want, .cap = sizeof want};
	struct token_op *op;
	struct token_obj *o;
	struct soft_key *k;
	struct outbuf out;
	size_t max;

	cr_assert_eq(bring(CKK_AES, 16, "tpm", &o), CKR_OK);
	k = twin(CKK_AES, 16);
	cr_assert_eq(random_bytes(plain, sizeof plain), CKR_OK);
	soft_run(OP_ENCRYPT, &modes[5].scheme, k, BYTES(plain, 8905), &w);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_ENCRYPT, &modes[5].scheme, o, &op, &max), CKR_OK);
	out = (struct outbuf){.ptr = back, .cap = 5};
	cr_assert_eq(tpm_token_ops.op_update(op, BYTES(plain, 5), &out), CKR_OK);
	cr_assert_eq(out.len, 0);
	memcpy(back, plain + 5, 8900);
	out = (struct outbuf){.ptr = back, .cap = sizeof back};
	cr_assert_eq(tpm_token_ops.op_finish(op, BYTES(back, 8900), &out), CKR_OK);
	cr_assert(bytes_equal(BYTES(back, out.len), BYTES(want, w.len)));
	tpm_token_ops.op_free(op);
	soft_key_unref(k);
	let_go(o);
}

/* ---- HMACs ---- */

static uint8_t data[70000];

static void macs(CK_KEY_TYPE type, size_t key_len, const struct hash *h)
{
	static const struct {
		size_t n, piece;
	} cuts[] = {{0, 1}, {1, 1}, {1023, 1000}, {1024, 1024}, {1025, 2000}, {1025, 1024}, {3000, 999}, {5000, 1}};
	const struct scheme scheme = {.type = h->hmac, .hash = h, .tag_len = h->size};
	struct token_obj *o;
	struct soft_key *k;

	cr_assert_eq(bring(type, key_len, "tpm", &o), CKR_OK);
	k = twin(type, key_len);
	for (size_t i = 0; i < ARRAY_LEN(cuts) - (h->id != HASH_SHA256); i++) {
		uint8_t ours[64], theirs[64];
		struct outbuf a = {.ptr = ours, .cap = sizeof ours}, b = {.ptr = theirs, .cap = sizeof theirs};

		soft_run(OP_SIGN, &scheme, k, BYTES(data, cuts[i].n), &b);
		cr_assert_eq(tpm_run(OP_SIGN, &scheme, o, BYTES(data, cuts[i].n), cuts[i].piece, &a), CKR_OK);
		cr_assert(bytes_equal(BYTES(ours, a.len), BYTES(theirs, b.len)), "%s, %zu", h->name, cuts[i].n);
	}
	soft_key_unref(k);
	let_go(o);
}

Test(secrets, hmac_of_every_hash)
{
	cr_assert_eq(random_bytes(data, sizeof data), CKR_OK);
	macs(CKK_GENERIC_SECRET, 1, &crypto_hashes[HASH_SHA1]);
	macs(CKK_GENERIC_SECRET, 33, &crypto_hashes[HASH_SHA256]);
	macs(CKK_SHA256_HMAC, 64, &crypto_hashes[HASH_SHA256]);
	macs(CKK_GENERIC_SECRET, 65, &crypto_hashes[HASH_SHA384]);
	macs(CKK_SHA512_HMAC, 128, &crypto_hashes[HASH_SHA512]);
	macs(CKK_GENERIC_SECRET, 128, &crypto_hashes[HASH_SHA1]);
}

/* 70,000 bytes, between two calls nothing of it in the TPM but the key, and whatever else is done there. */
Test(secrets, hmac_of_much_in_parts)
{
	const struct hash *h = &crypto_hashes[HASH_SHA256];
	const struct scheme scheme = {.type = h->hmac, .hash = h, .tag_len = 20};
	uint8_t ours[32], theirs[32], iv_out[16];
	struct outbuf a = {.ptr = ours, .cap = sizeof ours}, b = {.ptr = theirs, .cap = sizeof theirs};
	struct outbuf c = {.ptr = iv_out, .cap = 16}, none = {0};
	struct token_obj *o, *aes;
	struct token_op *op;
	struct soft_key *k;
	size_t max;

	cr_assert_eq(random_bytes(data, sizeof data), CKR_OK);
	cr_assert_eq(bring(CKK_GENERIC_SECRET, 32, "tpm", &o), CKR_OK);
	cr_assert_eq(bring(CKK_AES, 16, "tpm", &aes), CKR_OK);
	k = twin(CKK_GENERIC_SECRET, 32);
	soft_run(OP_SIGN, &scheme, k, BYTES_OF(data), &b);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &scheme, o, &op, &max), CKR_OK);
	cr_assert_eq(max, 20);
	for (size_t at = 0; at < sizeof data; at += 7000) {
		cr_assert_eq(tpm_token_ops.op_update(op, BYTES(data + at, 7000), &none), CKR_OK);
		cr_assert_leq(rig_held(&rig), 2);
		c.len = 0;
		cr_assert_eq(tpm_run(OP_ENCRYPT, &modes[0].scheme, aes, BYTES(data, 16), 16, &c), CKR_OK);
	}
	cr_assert_eq(tpm_token_ops.op_finish(op, NO_BYTES, &a), CKR_OK);
	cr_assert(bytes_equal(BYTES(ours, a.len), BYTES(theirs, b.len)));
	tpm_token_ops.op_free(op);
	soft_key_unref(k);
	let_go(o);
	let_go(aes);
	rig_reopen(&rig);
	cr_assert_eq(swtpm_census(&rig.tpm).objects + swtpm_census(&rig.tpm).sessions, 0);
}

Test(secrets, hmac_verified)
{
	const struct hash *h = &crypto_hashes[HASH_SHA384];
	const struct scheme scheme = {.type = h->hmac, .hash = h, .tag_len = 48};
	uint8_t mac[48];
	struct outbuf out = {.ptr = mac, .cap = sizeof mac};
	struct token_obj *o;

	cr_assert_eq(bring(CKK_GENERIC_SECRET, 20, "tpm", &o), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_SIGN, &scheme, o, BYTES("text", 4), &out), CKR_OK);
	out = (struct outbuf){.ptr = mac, .cap = 48, .len = 48};
	cr_assert_eq(rig_op(rig.tok, OP_VERIFY, &scheme, o, BYTES("text", 4), &out), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_VERIFY, &scheme, o, BYTES("next", 4), &out), CKR_SIGNATURE_INVALID);
	out.len = 47;
	cr_assert_eq(rig_op(rig.tok, OP_VERIFY, &scheme, o, BYTES("text", 4), &out), CKR_SIGNATURE_LEN_RANGE);
	let_go(o);
}

/* ---- the TPM goes away in between ---- */

Test(secrets, tpm_restarts_during_operations)
{
	const struct hash *h = &crypto_hashes[HASH_SHA256];
	const struct scheme hmac = {.type = h->hmac, .hash = h, .tag_len = 32};
	uint8_t mac[32];
	struct outbuf c = {.ptr = cipher, .cap = sizeof cipher}, w = {.ptr = want, .cap = sizeof want};
	struct outbuf a = {.ptr = mac, .cap = sizeof mac}, part, none = {0};
	struct token_obj *aes, *key;
	struct token_op *op, *lost;
	struct soft_key *k;
	size_t max;

	cr_assert_eq(bring(CKK_AES, 16, "tpm", &aes), CKR_OK);
	cr_assert_eq(bring(CKK_GENERIC_SECRET, 32, "tpm", &key), CKR_OK);
	k = twin(CKK_AES, 16);
	soft_run(OP_ENCRYPT, &modes[3].scheme, k, BYTES(plain, 1000), &w);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_ENCRYPT, &modes[3].scheme, aes, &op, &max), CKR_OK);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &hmac, key, &lost, &max), CKR_OK);
	cr_assert_eq(tpm_token_ops.op_update(op, BYTES(plain, 500), &c), CKR_OK);
	cr_assert_eq(tpm_token_ops.op_update(lost, BYTES(data, 5000), &none), CKR_OK);
	swtpm_restart(&rig.tpm);
	/* What a cipher needs is here; a sequence's state was the TPM's. */
	part = (struct outbuf){.ptr = cipher + c.len, .cap = sizeof cipher - c.len};
	cr_assert_eq(tpm_token_ops.op_finish(op, BYTES(plain + 500, 500), &part), CKR_OK);
	cr_assert(bytes_equal(BYTES(cipher, c.len + part.len), BYTES(want, w.len)));
	cr_assert_eq(tpm_token_ops.op_finish(lost, NO_BYTES, &a), CKR_DEVICE_REMOVED);
	cr_assert_eq(rig_op(rig.tok, OP_SIGN, &hmac, key, BYTES(data, 5000), &a), CKR_OK);
	tpm_token_ops.op_free(op);
	tpm_token_ops.op_free(lost);
	soft_key_unref(k);
	let_go(aes);
	let_go(key);
}

/* ---- places ---- */

Test(secrets, generated_in_the_tpm)
{
	const struct scheme hmac = {.type = CKM_SHA_1_HMAC, .hash = &crypto_hashes[HASH_SHA1], .tag_len = 20};
	uint8_t out16[16];
	struct outbuf out = {.ptr = out16, .cap = 16};
	struct token_obj *o;
	uint64_t before;

	before = rig_commands(rig.tok);
	cr_assert_eq(generate(CKM_AES_KEY_GEN, CKK_AES, 32, "tpm", &o), CKR_OK);
	cr_assert_leq(rig_commands(rig.tok) - before, 6);
	cr_assert(is_at(o, "tpm") && !attrs_has(o->attrs, CKA_VALUE));
	cr_assert_eq(tpm_run(OP_ENCRYPT, &modes[0].scheme, o, BYTES(plain, 16), 16, &out), CKR_OK);
	cr_assert_eq(rig_held(&rig), 1);
	let_go(o);
	for (size_t n = 20; n <= 128; n += 12) {
		uint8_t mac[20];
		struct outbuf m = {.ptr = mac, .cap = sizeof mac};

		cr_assert_eq(generate(CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, n, "tpm", &o), CKR_OK);
		cr_assert(is_at(o, "tpm") && !attrs_has(o->attrs, CKA_VALUE));
		cr_assert_eq(rig_op(rig.tok, OP_SIGN, &hmac, o, BYTES("x", 1), &m), CKR_OK);
		let_go(o);
	}
	/* Keys of the session: whatever of them is loaded goes with the next one, or at the end. */
	cr_assert_leq(rig_held(&rig), 2);
	rig_reopen(&rig);
	cr_assert_eq(swtpm_census(&rig.tpm).objects, 0);
}

Test(secrets, places_that_cannot_be)
{
	struct attrs *a CLEANUP(attrs_cleanup) = template(CKK_AES, "tpm");
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a};
	struct token_obj *o, *made[2];

	cr_assert_eq(bring(CKK_AES, 16, "kernel", &o), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(bring(CKK_GENERIC_SECRET, 129, "tpm", &o), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(bring(CKK_SHA224_HMAC, 28, "tpm", &o), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES(value, 16)), CKR_OK);
	cr_assert_eq(attrs_set_bool(a, CKA_EXTRACTABLE, true), CKR_OK);
	cr_assert_eq(soft_complete(a), CKR_OK);
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_TEMPLATE_INCONSISTENT);
	cr_assert_eq(rig_held(&rig), 0);
}

Test(secrets, what_such_a_key_cannot_do)
{
	const struct scheme gcm = {.type = CKM_AES_GCM, .iv = BYTES(iv, 12), .tag_len = 16};
	const struct scheme cmac = {.type = CKM_AES_CMAC, .tag_len = 16};
	const struct scheme hmac = {.type = CKM_SHA256_HMAC, .hash = &crypto_hashes[HASH_SHA256], .tag_len = 32};
	struct token_obj *o;
	struct token_op *op;
	size_t max;

	cr_assert_eq(bring(CKK_AES, 16, "tpm", &o), CKR_OK);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_ENCRYPT, &gcm, o, &op, &max), CKR_KEY_FUNCTION_NOT_PERMITTED);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &cmac, o, &op, &max), CKR_KEY_FUNCTION_NOT_PERMITTED);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &hmac, o, &op, &max), CKR_KEY_TYPE_INCONSISTENT);
	let_go(o);
}

/* ---- secret-keys = tpm ---- */

static CK_FLAGS flags_of(CK_MECHANISM_TYPE type)
{
	const struct token_mech *m;
	size_t n;

	cr_assert_eq(tpm_token_ops.mechs(rig.tok, &m, &n), CKR_OK);
	for (size_t i = 0; i < n; i++)
		if (m[i].type == type)
			return m[i].flags;
	return 0;
}

Test(setting, puts_them_there_where_that_can_be)
{
	struct attrs *a CLEANUP(attrs_cleanup) = template(CKK_AES, NULL);
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a};
	struct token_obj *o, *made[2];

	cr_assert_eq(bring(CKK_AES, 16, NULL, &o), CKR_OK);
	cr_assert(is_at(o, "tpm"));
	let_go(o);
	cr_assert_eq(bring(CKK_AES, 16, "process", &o), CKR_OK);
	cr_assert(is_at(o, "process") && attrs_has(o->attrs, CKA_VALUE));
	let_go(o);
	cr_assert_eq(bring(CKK_GENERIC_SECRET, 200, NULL, &o), CKR_OK);
	cr_assert(is_at(o, "process"));
	let_go(o);
	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES(value, 16)), CKR_OK);
	cr_assert_eq(attrs_set_bool(a, CKA_EXTRACTABLE, true), CKR_OK);
	cr_assert_eq(soft_complete(a), CKR_OK);
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_OK);
	cr_assert(is_at(made[0], "process"));
	let_go(made[0]);
}

Test(setting, mechanisms_say_so)
{
	cr_assert(flags_of(CKM_AES_CBC) & CKF_HW);
	cr_assert(flags_of(CKM_AES_OFB) & CKF_HW);
	cr_assert(flags_of(CKM_SHA256_HMAC) & CKF_HW);
	cr_assert(flags_of(CKM_AES_KEY_GEN) & CKF_HW);
	cr_assert_eq(flags_of(CKM_AES_GCM) & CKF_HW, 0);
	cr_assert_eq(flags_of(CKM_SHA224_HMAC) & CKF_HW, 0);
	cr_assert(flags_of(CKM_ECDH1_DERIVE) & CKF_HW);
	cr_assert(flags_of(CKM_ECDH1_DERIVE) & CKF_DERIVE);
}

Test(secrets, mechanisms_say_so)
{
	uint64_t before = rig_commands(rig.tok);

	cr_assert_eq(flags_of(CKM_AES_CBC) & CKF_HW, 0);
	cr_assert_eq(flags_of(CKM_SHA256_HMAC) & CKF_HW, 0);
	cr_assert_leq(rig_commands(rig.tok) - before, 9);
}

/* Stored, found again by another process, and used before anything else. */
Test(setting, stored_ones_work_again)
{
	uint8_t mac[32];
	struct outbuf out = {.ptr = mac, .cap = sizeof mac};
	const struct scheme hmac = {.type = CKM_SHA256_HMAC, .hash = &crypto_hashes[HASH_SHA256], .tag_len = 32};
	struct token_obj *o;

	cr_assert_eq(bring(CKK_SHA256_HMAC, 32, NULL, &o), CKR_OK);
	let_go(o);
	rig_reopen(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	o = rig_find(&rig, CKO_SECRET_KEY, "secret");
	cr_assert_eq(rig_op(rig.tok, OP_SIGN, &hmac, o, BYTES("x", 1), &out), CKR_OK);
}

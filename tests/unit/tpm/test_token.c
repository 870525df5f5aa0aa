/* The TPM token on a real software TPM: PINs, keys, operations, budgets. */
#include <criterion/criterion.h>

#include "der.h"
#include "log.h"
#include "rig.h"
#include "soft.h"

static struct rig rig;

static void start(void)
{
	rig_start(&rig, NULL, NULL);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(token, .init = start, .fini = stop, .timeout = 120);

/* Signs a digest with a key and verifies it with the public half by libcrypto. */
static void check_signature(const struct scheme *s, struct token_obj *pair[2], size_t digest_len)
{
	uint8_t digest[64], signature[512];
	struct outbuf out = {.ptr = signature, .cap = sizeof signature};
	struct soft_key *k;
	struct soft_op *op;
	size_t max;

	cr_assert_eq(random_bytes(digest, sizeof digest), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_SIGN, s, pair[1], BYTES(digest, digest_len), &out), CKR_OK);
	cr_assert_eq(soft_key_new(pair[0]->attrs, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_VERIFY, s, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, BYTES(digest, digest_len), &out), CKR_OK);
	soft_op_free(op);
	soft_key_unref(k);
}

static void free_pair(struct token_obj *pair[2])
{
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
}

static uint64_t mark;
static void from_here(void)
{
	mark = rig_commands(rig.tok);
}
static unsigned sent(void)
{
	return (unsigned)(rig_commands(rig.tok) - mark);
}

static CK_FLAGS flags(void)
{
	struct token_info i = {0};

	cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_OK);
	return i.flags;
}

/* ---- budgets (R16) ---- */

Test(token, budgets)
{
	const struct scheme ecdsa = {.type = CKM_ECDSA};
	struct token_obj *pair[2];

	rig_init(&rig);
	rig_reopen(&rig);
	cr_assert_eq(sent(), 0);
	rig_login(&rig);
	cr_assert_leq(rig_commands(rig.tok), 10);
	from_here();
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	cr_assert_leq(sent(), 5);
	check_signature(&ecdsa, pair, 32);
	from_here();
	check_signature(&ecdsa, pair, 32);
	cr_assert_eq(sent(), 1);
	free_pair(pair);
	from_here();
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sent(), 0);
	rig_reopen(&rig);
	(void)flags();
	cr_assert_leq(rig_commands(rig.tok), 4);
	from_here();
	(void)flags();
	cr_assert_leq(sent(), 2);
}

Test(token, nothing_left_in_the_tpm)
{
	struct token_obj *pair[2];
	struct swtpm_census census;

	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	check_signature(&(struct scheme){.type = CKM_ECDSA}, pair, 32);
	free_pair(pair);
	rig_reopen(&rig);
	census = swtpm_census(&rig.tpm);
	cr_assert_eq(census.objects, 0);
	cr_assert_eq(census.sessions, 0);
	cr_assert_eq(census.indices, 2);
	cr_assert_eq(census.persistent, 1);
}

/* ---- PINs ---- */

Test(token, not_initialized)
{
	struct token_obj *pair[2];

	cr_assert_eq(flags() & (CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED), 0);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_TOKEN_NOT_INITIALIZED);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_TOKEN_NOT_INITIALIZED);
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, BYTES("123", 3), (const uint8_t[32]){0}), CKR_PIN_INCORRECT);
	cr_assert_eq(flags() & CKF_TOKEN_INITIALIZED, 0);
}

Test(token, no_user_pin_yet)
{
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){'x'}), CKR_OK);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_USER_PIN_NOT_INITIALIZED);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, PIN_USER), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.init_pin(rig.tok, PIN_USER), CKR_USER_NOT_LOGGED_IN);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, 1);
}

static void wrong_pin(CK_RV expected)
{
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES("wrong", 5)), expected);
}

Test(token, wrong_pins_until_locked_and_back)
{
	const CK_FLAGS all = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;

	rig_init(&rig);
	cr_assert_eq(flags() & all, 0);
	wrong_pin(CKR_PIN_INCORRECT);
	cr_assert_eq(flags() & all, CKF_USER_PIN_COUNT_LOW);
	rig_login(&rig); /* a success counts from the beginning again */
	tpm_token_ops.logout(rig.tok);
	cr_assert_eq(flags() & all, 0);
	for (int i = 0; i < 9; i++)
		wrong_pin(CKR_PIN_INCORRECT);
	cr_assert_eq(flags() & all, CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, NULL, BYTES("wrong", 5)), CKR_PIN_INCORRECT);
	cr_assert_eq(flags() & all, CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_PIN_LOCKED);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_SO, PIN_SO), CKR_OK);
	cr_assert_eq(tpm_token_ops.init_pin(rig.tok, BYTES("fresh", 5)), CKR_OK);
	tpm_token_ops.logout(rig.tok);
	cr_assert_eq(flags() & all, 0);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES("fresh", 5)), CKR_OK);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, 2);
}

Test(token, set_pin)
{
	static const struct bytes fresh = {(const uint8_t *)"fresh pin", 9};

	rig_init(&rig);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, BYTES("wrong", 5), fresh), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, BYTES("abc", 3)), CKR_PIN_LEN_RANGE);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, fresh), CKR_OK);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, fresh), CKR_OK);
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, NULL, fresh), CKR_OK);
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, NULL, PIN_USER), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_SO, PIN_SO, fresh), CKR_OK);
	tpm_token_ops.logout(rig.tok);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_SO, fresh), CKR_OK);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, 2);
}

Test(token, pin_lengths)
{
	uint8_t longest[129];

	memset(longest, 'x', sizeof longest);
	rig_init(&rig);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, BYTES(longest, 129)), CKR_PIN_LEN_RANGE);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, BYTES(longest, 128)), CKR_OK);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES(longest, 127)), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES(longest, 128)), CKR_OK);
}

static void tool(const char *command)
{
	char line[512];

	snprintf(line, sizeof line, "cd %s && export TPM2TOOLS_TCTI=%s && { %s; } >/dev/null 2>&1", rig.dir, rig.tpm.tcti,
		 command);
	cr_assert_eq(system(line), 0, "%s", line);
}

/* A missing or replaced index is no wrong PIN. */
Test(token, index_gone)
{
	rig_init(&rig);
	tool("tpm2_nvundefine -C o 0x01815301");
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_DEVICE_ERROR);
	tool("tpm2_nvdefine -C o -s 8 -a 'nt=0x8|policywrite|authread|ownerread|no_da' -p whatever 0x01815301");
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_DEVICE_ERROR);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_SO, PIN_SO), CKR_OK);
	cr_assert_eq(tpm_token_ops.init_pin(rig.tok, PIN_USER), CKR_OK);
	tpm_token_ops.logout(rig.tok);
	rig_login(&rig);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, 3); /* the stranger's stays */
}

/* With owner authorization set there is no index and no persistent key: the TPM's own protection counts. */
Test(token, owner_password)
{
	struct token_obj *pair[2];

	tool("tpm2_changeauth -c lockout lockpw");
	tool("tpm2_dictionarylockout -s -n 5 -t 1000 -l 1000 -p lockpw");
	rig_init(&rig);
	rig_reopen(&rig);
	tool("tpm2_changeauth -c owner ownerpw");
	rig_login(&rig);
	cr_assert_eq(tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, BYTES("fresh", 5)), CKR_OK);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	check_signature(&(struct scheme){.type = CKM_ECDSA}, pair, 32);
	free_pair(pair);
	tpm_token_ops.logout(rig.tok);
	wrong_pin(CKR_PIN_INCORRECT);
	cr_assert(flags() & CKF_USER_PIN_COUNT_LOW);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES("fresh", 5)), CKR_OK);
	tpm_token_ops.logout(rig.tok);
	for (int i = 0; i < 4; i++)
		wrong_pin(CKR_PIN_INCORRECT);
	cr_assert(flags() & CKF_USER_PIN_LOCKED);
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, BYTES("fresh", 5)), CKR_PIN_LOCKED);
}

/* Where 0x81000001 is something else, a primary of our own is made again from its template. */
Test(token, transient_parent)
{
	struct token_obj *pair[2];

	tool("tpm2_createprimary -C o -G ecc -c signing -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' && "
	     "tpm2_evictcontrol -C o -c signing 0x81000001 && tpm2_flushcontext -t");
	rig_init(&rig);
	rig_reopen(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	check_signature(&(struct scheme){.type = CKM_ECDSA}, pair, 32);
	free_pair(pair);
	rig_reopen(&rig);
	cr_assert_eq(swtpm_census(&rig.tpm).objects, 0);
}

Test(token, cleared_tpm)
{
	struct token_info i = {0};

	rig_init(&rig);
	rig_reopen(&rig);
	tool("tpm2_clear -c p");
	cr_assert_eq(tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER), CKR_DEVICE_ERROR);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert_eq(tpm_token_ops.probe(rig.tok), CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){0}), CKR_TOKEN_NOT_RECOGNIZED);
}

/* ---- operations ---- */

static const CK_MECHANISM_TYPE hashes[] = {CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512};

/* What libcrypto encrypts with the public half, the TPM decrypts. */
static void check_decryption(const struct scheme *s, struct token_obj *pair[2], size_t n)
{
	uint8_t plain[256], cipher[512], back[512];
	struct outbuf c = {.ptr = cipher, .cap = sizeof cipher}, p = {.ptr = back, .cap = sizeof back};
	struct soft_key *k;
	struct soft_op *op;
	size_t max;

	cr_assert_eq(random_bytes(plain, sizeof plain), CKR_OK);
	plain[0] = 0;
	cr_assert_eq(soft_key_new(pair[0]->attrs, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_ENCRYPT, s, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, BYTES(plain, n), &c), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, s, pair[1], BYTES(cipher, c.len), &p), CKR_OK);
	cr_assert(bytes_equal(BYTES(plain, n), BYTES(back, p.len)));
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, s, pair[1], BYTES(cipher, c.len - 1), &p), CKR_ENCRYPTED_DATA_LEN_RANGE);
	soft_op_free(op);
	soft_key_unref(k);
}

Test(token, rsa)
{
	struct scheme s = {.type = CKM_RSA_PKCS};
	struct token_obj *pair[2];
	struct outbuf out = {.ptr = (uint8_t[256]){0}, .cap = 256};

	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_rsa(&rig, "rsa", true, true, pair), CKR_OK);
	check_signature(&s, pair, 20);
	cr_assert_eq(rig_op(rig.tok, OP_SIGN, &s, pair[1], BYTES(pair, 300), &out), CKR_DATA_LEN_RANGE);
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		const struct hash *h = hash_by_mech(hashes[i]);

		check_signature(&(struct scheme){.type = CKM_RSA_PKCS, .hash = h}, pair, h->size);
		for (size_t salt = 0; salt <= 64; salt += 32)
			check_signature(&(struct scheme){.type = CKM_RSA_PKCS_PSS, .hash = h, .mgf = h, .salt_len = salt},
					pair, h->size);
		check_decryption(&(struct scheme){.type = CKM_RSA_PKCS_OAEP, .hash = h, .mgf = &crypto_hashes[HASH_SHA1],
						  .label = BYTES("label", 5)}, pair, 32);
	}
	check_decryption(&s, pair, 100);
	check_decryption(&(struct scheme){.type = CKM_RSA_X_509}, pair, 256);
	free_pair(pair);
}

Test(token, rsa_pkcs1_rejects_in_silence)
{
	const struct scheme s = {.type = CKM_RSA_PKCS};
	uint8_t garbage[256] = {0, 1, 2, 3}, one[256], two[256];
	struct outbuf a = {.ptr = one, .cap = 256}, b = {.ptr = two, .cap = 256};
	struct token_obj *pair[2];

	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_rsa(&rig, "rsa", true, true, pair), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, &s, pair[1], BYTES_OF(garbage), &a), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, &s, pair[1], BYTES_OF(garbage), &b), CKR_OK);
	cr_assert(bytes_equal(BYTES(one, a.len), BYTES(two, b.len)));
	free_pair(pair);
}

Test(token, ec)
{
	static const size_t lengths[] = {1, 20, 28, 32, 48, 64};
	const struct scheme s = {.type = CKM_ECDSA};

	rig_init(&rig);
	rig_login(&rig);
	for (enum rig_curve c = P256; c <= P384; c++) {
		struct token_obj *pair[2];

		cr_assert_eq(rig_ec(&rig, c, "ec", true, true, pair), CKR_OK);
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
			check_signature(&s, pair, lengths[i]);
		free_pair(pair);
	}
}

Test(token, refusals)
{
	struct token_obj *pair[2], *made[2];
	struct attrs *a = rig_attrs(CKO_PRIVATE_KEY, CKK_RSA, "in", true);
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a, .persist = true};
	const struct scheme rsa = {.type = CKM_RSA_PKCS}, none = {.type = CKM_AES_CBC};
	struct token_op *op;
	size_t max;

	rig_init(&rig);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_USER_NOT_LOGGED_IN);
	rig_login(&rig);
	cr_assert_eq(attrs_set(a, CKA_SIGNET_PLACE, BYTES("kernel", 6)), CKR_OK);
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_TEMPLATE_INCONSISTENT); /* that's the other slot */
	attrs_free(a);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &rsa, pair[1], &op, &max), CKR_KEY_TYPE_INCONSISTENT);
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &none, pair[1], &op, &max), CKR_MECHANISM_INVALID);
	free_pair(pair);
}

/* To a TPM an exponent of 0 is 65537: nobody gets another key than he asked for. */
Test(token, exponent_of_zero)
{
	struct attrs *pub CLEANUP(attrs_cleanup) = rig_attrs(CKO_PUBLIC_KEY, CKK_RSA, "none", false);
	struct attrs *priv CLEANUP(attrs_cleanup) = rig_attrs(CKO_PRIVATE_KEY, CKK_RSA, "none", true);
	struct make_req req = {
		.kind = MAKE_GENERATE, .mech = CKM_RSA_PKCS_KEY_PAIR_GEN, .tmpl = pub, .tmpl_priv = priv};
	struct token_obj *made[2];

	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(attrs_set_ulong(pub, CKA_MODULUS_BITS, 2048), CKR_OK);
	cr_assert_eq(attrs_set(pub, CKA_PUBLIC_EXPONENT, BYTES("\0\0\0", 3)), CKR_OK);
	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_ATTRIBUTE_VALUE_INVALID);
}

Test(token, random_bytes)
{
	uint8_t a[300] = {0}, b[300] = {0};

	cr_assert_eq(tpm_token_ops.random(rig.tok, a, sizeof a), CKR_OK);
	cr_assert_eq(tpm_token_ops.random(rig.tok, b, sizeof b), CKR_OK);
	cr_assert(memcmp(a, b, sizeof a) != 0);
	cr_assert_eq(tpm_token_ops.seed(rig.tok, BYTES_OF(a)), CKR_OK);
}

/* In a session of its own each: one command more than on a trusted bus, and the same results. */
Test(token_protected, signs_and_decrypts)
{
	struct token_obj *pair[2];

	rig_start(&rig, "bus", "protected");
	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_rsa(&rig, "rsa", true, true, pair), CKR_OK);
	check_signature(&(struct scheme){.type = CKM_RSA_PKCS, .hash = &crypto_hashes[HASH_SHA256]}, pair, 32);
	from_here();
	check_signature(&(struct scheme){.type = CKM_RSA_PKCS, .hash = &crypto_hashes[HASH_SHA512]}, pair, 64);
	cr_assert_eq(sent(), 2);
	check_decryption(&(struct scheme){.type = CKM_RSA_PKCS}, pair, 10);
	free_pair(pair);
	rig_stop(&rig);
}

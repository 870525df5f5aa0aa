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

Test(token, slice)
{
	const struct scheme ecdsa = {.type = CKM_ECDSA};
	struct token_obj *pair[2];
	uint64_t before;

	rig_init(&rig);
	before = rig_commands(rig.tok);
	rig_login(&rig);
	cr_log_info("login: %u commands", (unsigned)(rig_commands(rig.tok) - before));
	before = rig_commands(rig.tok);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	cr_log_info("generate: %u commands", (unsigned)(rig_commands(rig.tok) - before));
	check_signature(&ecdsa, pair, 32);
	before = rig_commands(rig.tok);
	check_signature(&ecdsa, pair, 32);
	cr_log_info("sign: %u commands", (unsigned)(rig_commands(rig.tok) - before));
	free_pair(pair);
}

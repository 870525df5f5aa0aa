/* Every row of tests/vectors/tss-rc.tsv, and what the rows don't say: positions and layers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "rc.h"
#include "rv.h"

static const char *const context_names[RC_CONTEXTS] = {
	[RC_PROBE] = "probe",   [RC_LOGIN] = "login",   [RC_ADMIN] = "admin",     [RC_GEN] = "gen",
	[RC_IMPORT] = "import", [RC_UNWRAP] = "unwrap", [RC_DERIVE] = "derive",   [RC_INIT] = "init",
	[RC_SIGN] = "sign",     [RC_DECRYPT] = "decrypt", [RC_ENCRYPT] = "encrypt", [RC_VERIFY] = "verify",
	[RC_RNG] = "rng",       [RC_OBJECT] = "object",
};

/* The file's words for the actions. */
static const struct {
	const char *word;
	enum rc_action action;
} action_words[] = {
	{.word = "-", .action = RC_NOTHING},
	{.word = "never retry", .action = RC_NEVER_RETRY},
	{.word = "retry-short", .action = RC_RETRY_SHORT},
	{.word = "retry-long", .action = RC_RETRY_LONG},
	{.word = "finish again until deadline", .action = RC_FINISH_AGAIN},
	{.word = "evict, retry", .action = RC_EVICT},
	{.word = "evict, resession", .action = RC_EVICT_RESESSION},
	{.word = "drop idle sessions, retry", .action = RC_DROP_SESSIONS},
	{.word = "resession", .action = RC_RESESSION},
	{.word = "resession, retry", .action = RC_RESESSION},
	{.word = "reload", .action = RC_RELOAD},
	{.word = "rebuild parent", .action = RC_REBUILD_PARENT},
	{.word = "selftest, retry", .action = RC_SELFTEST},
	{.word = "startup, rebuild", .action = RC_STARTUP},
	{.word = "reconnect", .action = RC_RECONNECT},
	{.word = "reconnect, loud log", .action = RC_RECONNECT_LOUD},
	{.word = "poison", .action = RC_POISON},
	{.word = "next handle", .action = RC_NEXT_HANDLE},
	{.word = "hide mechanism", .action = RC_HIDE_MECHANISM},
	{.word = "end operation", .action = RC_END_OPERATION},
	{.word = "ignore if optional", .action = RC_IGNORE_OPTIONAL},
	{.word = "(not linked)", .action = RC_NOT_LINKED},
	{.word = "assert", .action = RC_ASSERT},
};

struct row {
	char name[64], action[40], context[16], ckr[48];
	unsigned value;
};

static void check_row(const struct row *r)
{
	struct rc_answer a;
	int context = -1, word = -1;

	for (int i = 0; i < RC_CONTEXTS; i++)
		if (strcmp(context_names[i], r->context) == 0)
			context = i;
	for (size_t i = 0; i < ARRAY_LEN(action_words); i++)
		if (strcmp(action_words[i].word, r->action) == 0)
			word = (int)i;
	cr_assert(context >= 0 && word >= 0, "%s %s %s", r->name, r->action, r->context);
	a = rc_map(r->value, (enum rc_context)context);
	cr_expect_str_eq(rv_name(a.rv), r->ckr, "%s in %s: %s, not %s", r->name, r->context, rv_name(a.rv), r->ckr);
	cr_expect_eq(a.action, action_words[word].action, "%s in %s: action %s, not %s", r->name, r->context,
		     rc_action_name(a.action), r->action);
}

Test(rc, every_row_of_the_table)
{
	FILE *f = fopen(VECTORS "/tss-rc.tsv", "r");
	char line[256];
	size_t n = 0;
	struct row r;

	cr_assert_not_null(f);
	while (fgets(line, sizeof line, f)) {
		if (line[0] == '#')
			continue;
		cr_assert_eq(sscanf(line, "%63[^\t]\t%x\t%39[^\t]\t%15[^\t]\t%47[^\n]", r.name, &r.value, r.action,
				    r.context, r.ckr), 5, "%s", line);
		check_row(&r);
		n++;
	}
	fclose(f);
	cr_expect_eq(n, 2730);
}

/* ---- positions ---- */

static TSS2_RC parameter(TSS2_RC base, unsigned n)
{
	return base | TPM2_RC_P | n << 8;
}
static TSS2_RC handle(TSS2_RC base, unsigned n)
{
	return base | n << 8;
}
static TSS2_RC session(TSS2_RC base, unsigned n)
{
	return base | TPM2_RC_S | n << 8;
}

static const TSS2_RC placed[] = {TPM2_RC_AUTH_FAIL, TPM2_RC_BAD_AUTH,    TPM2_RC_VALUE, TPM2_RC_HANDLE,
				 TPM2_RC_NONCE,     TPM2_RC_ATTRIBUTES, TPM2_RC_SIZE,  TPM2_RC_PP};

static void expect_answer(TSS2_RC rc, enum rc_context context, CK_RV rv, enum rc_action action)
{
	struct rc_answer a = rc_map(rc, context);

	cr_expect_eq(a.rv, rv, "0x%x in %s: %s, not 0x%lx", rc, context_names[context], rv_name(a.rv), rv);
	cr_expect_eq(a.action, action, "0x%x in %s: %s, not %s", rc, context_names[context], rc_action_name(a.action),
		     rc_action_name(action));
}

Test(rc, position_of_a_parameter_leaves_the_row)
{
	for (size_t i = 0; i < ARRAY_LEN(placed); i++)
		for (unsigned n = 1; n <= 15; n++)
			for (enum rc_context x = 0; x < RC_CONTEXTS; x++) {
				struct rc_answer row = rc_map(placed[i], x);

				expect_answer(parameter(placed[i], n), x, row.rv, row.action);
			}
}

Test(rc, position_of_a_handle_makes_it_stale)
{
	for (unsigned n = 1; n <= 7; n++)
		for (enum rc_context x = 0; x < RC_CONTEXTS; x++) {
			struct rc_answer row = rc_map(TPM2_RC_ATTRIBUTES, x);

			expect_answer(handle(TPM2_RC_HANDLE, n), x, CKR_DEVICE_ERROR, RC_RELOAD);
			expect_answer(handle(TPM2_RC_VALUE, n), x, CKR_DEVICE_ERROR, RC_RELOAD);
			expect_answer(handle(TPM2_RC_ATTRIBUTES, n), x, row.rv, row.action);
		}
}

Test(rc, position_of_a_session_means_the_session)
{
	static const TSS2_RC keep[] = {TPM2_RC_AUTH_FAIL, TPM2_RC_BAD_AUTH,  TPM2_RC_POLICY_FAIL,
				       TPM2_RC_EXPIRED,   TPM2_RC_POLICY_CC, TPM2_RC_PP};
	static const TSS2_RC broken[] = {TPM2_RC_VALUE, TPM2_RC_HANDLE, TPM2_RC_NONCE, TPM2_RC_ATTRIBUTES,
					 TPM2_RC_SIZE};

	for (unsigned n = 1; n <= 7; n++)
		for (enum rc_context x = 0; x < RC_CONTEXTS; x++) {
			for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
				struct rc_answer row = rc_map(keep[i], x);

				expect_answer(session(keep[i], n), x, row.rv, row.action);
			}
			for (size_t i = 0; i < ARRAY_LEN(broken); i++)
				expect_answer(session(broken[i], n), x, CKR_DEVICE_ERROR, RC_RESESSION);
		}
}

Test(rc, decodes)
{
	static const struct {
		TSS2_RC rc;
		struct rc_parts want;
	} rows[] = {
		{0x98e, {.tpm = true, .base = TPM2_RC_AUTH_FAIL, .place = RC_PLACE_SESSION, .number = 1}},
		{0x9a2, {.tpm = true, .base = TPM2_RC_BAD_AUTH, .place = RC_PLACE_SESSION, .number = 1}},
		{0x98f, {.tpm = true, .base = TPM2_RC_NONCE, .place = RC_PLACE_SESSION, .number = 1}},
		{0x1df, {.tpm = true, .base = TPM2_RC_INTEGRITY, .place = RC_PLACE_PARAMETER, .number = 1}},
		{0xfd5, {.tpm = true, .base = TPM2_RC_SIZE, .place = RC_PLACE_PARAMETER, .number = 15}},
		{0x18b, {.tpm = true, .base = TPM2_RC_HANDLE, .place = RC_PLACE_HANDLE, .number = 1}},
		{0x990, {.tpm = true, .base = TPM2_RC_PP, .place = RC_PLACE_SESSION, .number = 1}},
		{0x922, {.tpm = true, .base = TPM2_RC_RETRY}},
		{0xb0902, {.tpm = true, .layer = 11, .base = TPM2_RC_OBJECT_MEMORY}},
		{0xc018b, {.tpm = true, .layer = 12, .base = TPM2_RC_HANDLE, .place = RC_PLACE_HANDLE, .number = 1}},
		{0xa000a, {.layer = 10, .base = 10}},
		{0xb000b, {.layer = 11, .base = 11}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rc_parts p = rc_decode(rows[i].rc);

		cr_expect(p.tpm == rows[i].want.tpm && p.layer == rows[i].want.layer && p.base == rows[i].want.base &&
			  p.place == rows[i].want.place && p.number == rows[i].want.number, "0x%x", rows[i].rc);
	}
	cr_expect_eq(rc_base(0xb0902), TPM2_RC_OBJECT_MEMORY);
	cr_expect_eq(rc_base(TSS2_RC_SUCCESS), 0);
	cr_expect_eq(rc_base(0xa000a), 0xffff);
}

/* ---- layers ---- */

Test(rc, resource_managers_relay)
{
	static const TSS2_RC tpm[] = {TPM2_RC_INITIALIZE, TPM2_RC_COMMAND_CODE, TPM2_RC_OBJECT_MEMORY, TPM2_RC_BAD_AUTH,
				      TPM2_RC_HANDLE | TPM2_RC_1, TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1};
	static const TSS2_RC layers[] = {TSS2_RESMGR_RC_LAYER, TSS2_RESMGR_TPM_RC_LAYER};

	for (size_t i = 0; i < ARRAY_LEN(tpm); i++)
		for (enum rc_context x = 0; x < RC_CONTEXTS; x++)
			for (size_t l = 0; l < ARRAY_LEN(layers); l++) {
				struct rc_answer bare = rc_map(tpm[i], x);

				expect_answer(layers[l] | tpm[i], x, bare.rv, bare.action);
			}
}

Test(rc, resource_managers_own_codes)
{
	static const TSS2_RC layers[] = {TSS2_RESMGR_RC_LAYER, TSS2_RESMGR_TPM_RC_LAYER};

	for (size_t l = 0; l < ARRAY_LEN(layers); l++)
		for (enum rc_context x = 0; x < RC_CONTEXTS; x++) {
			CK_RV other = x == RC_PROBE ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_ERROR;
			CK_RV memory = x == RC_PROBE ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_MEMORY;

			for (TSS2_RC n = 1; n < 0x80; n++)
				expect_answer(layers[l] | n, x, other, RC_NOTHING);
			expect_answer(layers[l] | 0x0800, x, other, RC_NOTHING);
			expect_answer(layers[l] | 0x1000, x, other, RC_NOTHING);
			expect_answer(layers[l] | 0x1800, x, memory, RC_NOTHING);
		}
}

Test(rc, unknown_codes)
{
	expect_answer(0x17e, RC_SIGN, CKR_DEVICE_ERROR, RC_NOTHING);  /* format 0 */
	expect_answer(0xbf, RC_SIGN, CKR_DEVICE_ERROR, RC_NOTHING);   /* format 1 */
	expect_answer(0x500, RC_SIGN, CKR_DEVICE_ERROR, RC_NOTHING);  /* a vendor's */
	expect_answer(0x7ffff, RC_SIGN, CKR_GENERAL_ERROR, RC_ASSERT);
	expect_answer(0x8ffff, RC_SIGN, CKR_GENERAL_ERROR, RC_ASSERT);
	expect_answer(0x9ffff, RC_SIGN, CKR_GENERAL_ERROR, RC_ASSERT);
	expect_answer(0xaffff, RC_SIGN, CKR_DEVICE_REMOVED, RC_RECONNECT);
	expect_answer(0xaffff, RC_PROBE, CKR_TOKEN_NOT_PRESENT, RC_RECONNECT);
	expect_answer(0x40000000, RC_SIGN, CKR_DEVICE_ERROR, RC_NOTHING); /* not a success */
	expect_answer(0xff0001, RC_SIGN, CKR_DEVICE_ERROR, RC_NOTHING);
}

Test(rc, a_failure_is_noted)
{
	(void)fault_take();
	cr_expect_eq(rc_failed(TPM2_RC_SUCCESS, RC_SIGN, "TPM2_Sign"), CKR_OK);
	cr_expect_eq(fault_take(), 0);
	cr_expect_eq(rc_failed(0x9a2, RC_LOGIN, "TPM2_PolicySecret"), CKR_PIN_INCORRECT);
	cr_expect_eq(fault_take(), 0x9a2);
}

/* Each TPM command of each call failing in turn: refused, not sent, its answer lost, once and for good.  Then nothing
 * has changed in the directory, nothing is left in the TPM, and the same call succeeds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <tss2/tss2_tcti.h>

#include "rig.h"
#include "tcti_wrap.h"

static struct rig rig;
static struct wrap *wrap;
static struct token_obj *pair[2];

static void start(void)
{
	wrap = wrap_hooks();
	rig_start(&rig, NULL, NULL);
	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
}

static void stop(void)
{
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
	rig_stop(&rig);
}

TestSuite(faults, .init = start, .fini = stop, .timeout = 300);

/* ---- ways to fail ---- */

static unsigned at;
static bool for_good;
static TSS2_RC refusal;

static bool now(unsigned n)
{
	return n == at || (for_good && n > at);
}

static TSS2_RC not_sent(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	(void)cc, (void)answer;
	return now(n) ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

static TSS2_RC refused(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	/* Refusing a flush is saying that there is nothing to flush. */
	if (now(n) && cc != TPM2_CC_FlushContext)
		*answer = refusal;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC lost(uint32_t cc, unsigned n, uint8_t *answer, size_t *size)
{
	(void)cc, (void)answer, (void)size;
	return now(n) ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

static const struct way {
	const char *name;
	TSS2_RC (*transmit)(uint32_t cc, unsigned n, TSS2_RC *answer);
	TSS2_RC (*receive)(uint32_t cc, unsigned n, uint8_t *answer, size_t *size);
	TSS2_RC refusal;
	bool for_good;
} ways[] = {
	{"not sent", not_sent, NULL, 0, false},
	{"answer lost", NULL, lost, 0, false},
	{"value", refused, NULL, TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_1, false},
	{"memory", refused, NULL, TPM2_RC_MEMORY, false},
	{"not sent again", not_sent, NULL, 0, true},
};

static void arm(const struct way *w, unsigned n)
{
	at = n;
	for_good = w->for_good;
	refusal = w->refusal;
	wrap->sent = 0;
	wrap->transmit = w->transmit;
	wrap->receive = w->receive;
}

static void disarm(void)
{
	wrap->transmit = NULL;
	wrap->receive = NULL;
}

/* ---- what must stay the same ---- */

static uint64_t fingerprint(void)
{
	char line[400], text[17] = "";
	FILE *f;

	snprintf(line, sizeof line, "cd %s && for f in $(ls | grep -v -e ^lock$ -e ^new$ -e ^intents$); do echo $f; cat $f; done"
		 " | sha256sum", rig.store);
	f = popen(line, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fread(text, 1, 16, f), 16);
	pclose(f);
	return strtoull(text, NULL, 16);
}

/* One way at one command.  False when the call doesn't send that many. */
static bool one(CK_RV (*call)(void), const struct way *w, unsigned n, size_t indices)
{
	uint64_t before = fingerprint();
	bool reached;
	CK_RV rv;

	arm(w, n);
	rv = call();
	reached = wrap->sent >= n;
	disarm();
	if (rv != CKR_OK)
		cr_assert_eq(fingerprint(), before, "%s at %u: 0x%lx", w->name, n, rv);
	cr_assert_neq(rv, CKR_PIN_INCORRECT, "%s at %u", w->name, n);
	cr_assert_eq(call(), CKR_OK, "again after %s at %u: 0x%lx", w->name, n, rv);
	cr_assert_eq(swtpm_census(&rig.tpm).indices, indices, "%s at %u: 0x%lx", w->name, n, rv);
	return reached;
}

static void sweep(CK_RV (*call)(void), size_t indices)
{
	for (size_t w = 0; w < ARRAY_LEN(ways); w++)
		for (unsigned n = 1; one(call, &ways[w], n, indices);)
			n++;
}

/* ---- the calls ---- */

static CK_RV do_login(void)
{
	tpm_token_ops.logout(rig.tok);
	return tpm_token_ops.login(rig.tok, TOKEN_USER, PIN_USER);
}

static CK_RV do_reauth(void)
{
	return tpm_token_ops.reauth(rig.tok, NULL, PIN_USER);
}

static CK_RV do_set_pin(void)
{
	return tpm_token_ops.set_pin(rig.tok, TOKEN_USER, PIN_USER, PIN_USER);
}

static CK_RV do_init_token(void)
{
	return tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t[32]){'n'});
}

static CK_RV do_generate(void)
{
	struct token_obj *made[2];
	CK_RV rv = rig_ec(&rig, P256, "more", true, false, made);

	if (rv != CKR_OK)
		return rv;
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, made[0]), CKR_OK);
	cr_assert_eq(tpm_token_ops.destroy(rig.tok, made[1]), CKR_OK);
	tpm_token_ops.obj_free(rig.tok, made[0]);
	tpm_token_ops.obj_free(rig.tok, made[1]);
	return CKR_OK;
}

static CK_RV do_sign(void)
{
	uint8_t sig[64];
	struct outbuf out = {.ptr = sig, .cap = sizeof sig};

	return rig_op(rig.tok, OP_SIGN, &(struct scheme){.type = CKM_ECDSA}, pair[1], BYTES(sig, 32), &out);
}

static CK_RV do_info(void)
{
	struct token_info i = {0};

	return tpm_token_ops.info(rig.tok, &i);
}

static CK_RV do_random(void)
{
	uint8_t out[100];

	return tpm_token_ops.random(rig.tok, out, sizeof out);
}

Test(faults, login)
{
	sweep(do_login, 2);
}

Test(faults, reauth)
{
	sweep(do_reauth, 2);
}

Test(faults, set_pin)
{
	sweep(do_set_pin, 2);
}

Test(faults, init_token)
{
	cr_assert_eq(do_init_token(), CKR_OK);
	sweep(do_init_token, 1);
}

Test(faults, generate)
{
	sweep(do_generate, 2);
}

Test(faults, sign)
{
	sweep(do_sign, 2);
}

Test(faults, info_and_random)
{
	sweep(do_info, 2);
	sweep(do_random, 2);
}

/* ---- a session that a resource manager has lost ---- */

static uint32_t asked_by;
static unsigned asked;

/* The first of these commands finds its session gone. */
static TSS2_RC no_session(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	(void)n;
	if (cc == asked_by && asked++ == 0)
		*answer = TPM2_RC_REFERENCE_S0;
	return TSS2_RC_SUCCESS;
}

static CK_RV login_without_session(uint32_t cc, struct bytes pin)
{
	CK_RV rv;

	tpm_token_ops.logout(rig.tok);
	asked_by = cc;
	asked = 0;
	wrap->transmit = no_session;
	rv = tpm_token_ops.login(rig.tok, TOKEN_USER, pin);
	disarm();
	return rv;
}

static CK_FLAGS count_flags(void)
{
	struct token_info i = {0};

	cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_OK);
	return i.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
}

/* The proof that nobody looked at is given again; one that was refused isn't. */
Test(faults, a_session_lost_before_the_proof)
{
	cr_assert_eq(login_without_session(TPM2_CC_PolicySecret, PIN_USER), CKR_OK);
	cr_assert_eq(asked, 2);
	cr_assert_eq(login_without_session(TPM2_CC_PolicySecret, BYTES("wrong", 5)), CKR_PIN_INCORRECT);
	cr_assert_eq(asked, 2);
	cr_assert_eq(count_flags(), CKF_USER_PIN_COUNT_LOW);
	cr_assert_eq(login_without_session(TPM2_CC_Unseal, PIN_USER), CKR_OK);
	cr_assert_eq(asked, 2);
	cr_assert_eq(count_flags(), 0);
}

/* ---- a TPM that lies ---- */

static uint32_t dice;

/* Numbers that are the same in each run. */
static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 8) % n;
}

/* One answer's bytes changed: a few of them, a size field to the largest or smallest, or the rest cut to zeros. */
static TSS2_RC lie(uint32_t cc, unsigned n, uint8_t *answer, size_t *size)
{
	size_t from = 6 + roll((uint32_t)*size - 6);

	(void)cc;
	if (n != at)
		return TSS2_RC_SUCCESS;
	switch (roll(4)) {
	case 0:
		for (unsigned i = roll(4) + 1; i > 0; i--)
			answer[6 + roll((uint32_t)*size - 6)] = (uint8_t)roll(256);
		break;
	case 1:
		memset(answer + from, 0xff, MIN(*size - from, roll(4) + 1));
		break;
	case 2:
		memset(answer + from, 0, *size - from);
		break;
	default:
		answer[1] = answer[1] == 1 ? 2 : 1; /* with sessions, without */
	}
	return TSS2_RC_SUCCESS;
}

/* What it says may be refused or, where nothing vouches for it, believed; nobody crashes, and the truth is found again. */
static void listen_to_lies(CK_RV (*call)(void), unsigned rounds)
{
	for (dice = 0; rounds > 0; rounds--) {
		at = 1 + roll(10);
		wrap->sent = 0;
		wrap->receive = lie;
		(void)!call();
		disarm();
		rig_reopen(&rig);
		cr_assert_eq(rig_sync(&rig), CKR_OK);
		rig_login(&rig);
		cr_assert_eq(rig_sync(&rig), CKR_OK);
	}
}

Test(faults, lies_at_login)
{
	listen_to_lies(do_login, 60);
}

Test(faults, lies_when_a_pin_is_set)
{
	listen_to_lies(do_set_pin, 40);
}

Test(faults, lies_when_a_key_is_made)
{
	listen_to_lies(do_generate, 40);
}

Test(faults, lies_about_itself)
{
	listen_to_lies(do_info, 40);
	listen_to_lies(do_random, 20);
}

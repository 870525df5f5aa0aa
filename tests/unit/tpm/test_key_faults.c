/* Imports, secret keys and agreement, with each of their TPM commands failing in turn: the result is right or there is
 * none, nothing stays in the TPM, and the same call succeeds.  And how few commands they take where nobody listens. */
#include <criterion/criterion.h>
#include <tss2/tss2_tcti.h>

#include "rig.h"
#include "soft.h"
#include "state.h"
#include "tcti_wrap.h"

static struct rig rig;
static struct wrap *wrap;
static struct token_obj *pair[2], *aes, *mac;
static uint8_t data[5000], good[5000];

static struct attrs *secret(CK_KEY_TYPE type)
{
	struct attrs *a = rig_attrs(CKO_SECRET_KEY, type, "secret", true);

	cr_assert_eq(attrs_set(a, CKA_SIGNET_PLACE, BYTES("tpm", 3)), CKR_OK);
	cr_assert_eq(attrs_set(a, CKA_VALUE, BYTES("0123456789abcdef", 16)), CKR_OK);
	cr_assert_eq(soft_complete(a), CKR_OK);
	return a;
}

static CK_RV bring(const struct attrs *a, struct token_obj **ret)
{
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a, .persist = true};
	struct token_obj *made[2] = {NULL, NULL};

	TRY(tpm_token_ops.make(rig.tok, &req, made));
	*ret = made[0];
	return CKR_OK;
}

static void start_on(const char *bus)
{
	struct attrs *cipher_key CLEANUP(attrs_cleanup) = NULL, *mac_key CLEANUP(attrs_cleanup) = NULL;

	wrap = wrap_hooks();
	rig_start(&rig, "bus", bus);
	rig_init(&rig);
	rig_login(&rig);
	cipher_key = secret(CKK_AES);
	mac_key = secret(CKK_GENERIC_SECRET);
	cr_assert_eq(rig_ec(&rig, P256, "one", true, true, pair), CKR_OK);
	cr_assert_eq(bring(cipher_key, &aes), CKR_OK);
	cr_assert_eq(bring(mac_key, &mac), CKR_OK);
}

static void start_protected(void)
{
	start_on("protected");
}

static void start_trusted(void)
{
	start_on("trusted");
}

static void stop(void)
{
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
	tpm_token_ops.obj_free(rig.tok, aes);
	tpm_token_ops.obj_free(rig.tok, mac);
	rig_stop(&rig);
}

TestSuite(key_faults, .init = start_protected, .fini = stop, .timeout = 300);
TestSuite(key_trust, .init = start_trusted, .fini = stop, .timeout = 120);

/* ---- calls ---- */

static CK_RV do_import(struct outbuf *out)
{
	struct attrs *pub CLEANUP(attrs_cleanup) = rig_attrs(CKO_PUBLIC_KEY, CKK_EC, "in", false);
	struct attrs *priv CLEANUP(attrs_cleanup) = rig_attrs(CKO_PRIVATE_KEY, CKK_EC, "in", true);
	struct token_obj *o;

	cr_assert_eq(attrs_set(pub, CKA_EC_PARAMS, der_curves[CURVE_P256].oid), CKR_OK);
	cr_assert_eq(soft_generate(CKM_EC_KEY_PAIR_GEN, pub, priv), CKR_OK);
	out->len = 0;
	TRY(bring(priv, &o));
	tpm_token_ops.obj_free(rig.tok, o);
	return CKR_OK;
}

static CK_RV do_secret(struct outbuf *out)
{
	struct attrs *a CLEANUP(attrs_cleanup) = secret(CKK_AES);
	struct token_obj *o;

	out->len = 0;
	TRY(bring(a, &o));
	tpm_token_ops.obj_free(rig.tok, o);
	return CKR_OK;
}

static CK_RV do_agree(struct outbuf *out)
{
	struct bytes wrapped, point;

	cr_assert(attrs_get(pair[0]->attrs, CKA_EC_POINT, &wrapped));
	cr_assert(ec_point_unwrap(wrapped, &der_curves[CURVE_P256], &point));
	return rig_op(rig.tok, OP_DERIVE, &(struct scheme){.type = CKM_ECDH1_DERIVE}, pair[1], point, out);
}

static CK_RV do_cipher(struct outbuf *out)
{
	const struct scheme ctr = {.type = CKM_AES_CTR, .iv = BYTES("0123456789abcdef", 16), .counter_bits = 32};

	return rig_op(rig.tok, OP_ENCRYPT, &ctr, aes, BYTES(data, 3001), out);
}

static CK_RV do_mac(struct outbuf *out)
{
	const struct hash *h = &crypto_hashes[HASH_SHA256];
	const struct scheme scheme = {.type = h->hmac, .hash = h, .tag_len = 32};

	return rig_op(rig.tok, OP_SIGN, &scheme, mac, BYTES(data, 4000), out);
}

static const struct row {
	const char *name;
	CK_RV (*call)(struct outbuf *out);
	unsigned trusted;          /* commands, with a loaded key, where nobody listens; 0: not counted */
	bool once;                 /* one command isn't sent twice: CKR_DEVICE_REMOVED if the line breaks there */
} rows[] = {
	{"import", do_import, 0, false}, {"secret", do_secret, 0, true}, {"agree", do_agree, 1, false},
	{"cipher", do_cipher, 3, false}, {"mac", do_mac, 0, true},
};

/* ---- ways to fail ---- */

static unsigned at;

static TSS2_RC not_sent(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	(void)cc, (void)answer;
	return n == at ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

static TSS2_RC no_memory(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	if (n == at && cc != TPM2_CC_FlushContext)
		*answer = TPM2_RC_OBJECT_MEMORY;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC refused(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	if (n == at && cc != TPM2_CC_FlushContext)
		*answer = TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_1;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC lost(uint32_t cc, unsigned n, uint8_t *answer, size_t *size)
{
	(void)cc, (void)answer, (void)size;
	return n == at ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

static const struct way {
	const char *name;
	TSS2_RC (*transmit)(uint32_t cc, unsigned n, TSS2_RC *answer);
	TSS2_RC (*receive)(uint32_t cc, unsigned n, uint8_t *answer, size_t *size);
	bool heals;                /* the call succeeds all the same */
	bool breaks;               /* the connection is lost */
} ways[] = {
	{"not sent", not_sent, NULL, true, true},
	{"answer lost", NULL, lost, true, true},
	{"no memory", no_memory, NULL, true, false},
	{"refused", refused, NULL, false, false},
};

static CK_RV held_body(struct conn *c, void *arg)
{
	TPM2_HANDLE h[8];
	size_t objects, sessions;

	TRY(tpm2_get_handles(c, TPM2_HR_TRANSIENT, h, ARRAY_LEN(h), &objects));
	TRY(tpm2_get_handles(c, TPM2_HR_HMAC_SESSION, h, ARRAY_LEN(h), &sessions));
	*(bool *)arg = objects <= 2 && sessions == 0;
	return CKR_OK;
}

/* False when the call doesn't send that many commands. */
static bool one(const struct row *r, const struct way *w, unsigned n, struct bytes want)
{
	uint8_t got[sizeof data];
	struct outbuf out = {.ptr = got, .cap = sizeof got};
	bool reached, tidy = false;
	CK_RV rv;

	at = n;
	wrap->sent = 0;
	wrap->transmit = w->transmit;
	wrap->receive = w->receive;
	rv = r->call(&out);
	reached = wrap->sent >= n;
	wrap->transmit = NULL;
	wrap->receive = NULL;
	cr_assert(rv == CKR_OK || !w->heals || (rv == CKR_DEVICE_REMOVED && w->breaks && r->once),
		  "%s, %s, command %u: 0x%lx", r->name, w->name, n, rv);
	cr_assert_neq(rv, CKR_GENERAL_ERROR);
	cr_assert(rv != CKR_OK || bytes_equal(BYTES(got, out.len), want), "%s, %s, command %u", r->name, w->name, n);
	cr_assert_eq(conn_run(((struct tpm_token *)rig.tok)->conn, RC_PROBE, held_body, &tidy), CKR_OK);
	cr_assert(tidy, "%s, %s, command %u", r->name, w->name, n);
	out.len = 0;
	cr_assert_eq(r->call(&out), CKR_OK, "%s, %s, after command %u", r->name, w->name, n);
	return reached;
}

static void sweep(const struct row *r)
{
	struct outbuf out = {.ptr = good, .cap = sizeof good};

	cr_assert_eq(r->call(&out), CKR_OK);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		for (unsigned n = 1; one(r, &ways[i], n, BYTES(good, out.len)); n++)
			cr_assert_lt(n, 60);
}

Test(key_faults, import)
{
	sweep(&rows[0]);
}

Test(key_faults, secret)
{
	sweep(&rows[1]);
}

Test(key_faults, agree)
{
	sweep(&rows[2]);
}

Test(key_faults, cipher)
{
	sweep(&rows[3]);
}

Test(key_faults, mac)
{
	sweep(&rows[4]);
}

/* ---- a TPM that lies ---- */

static uint32_t dice;

/* Numbers that are the same in each run. */
static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 8) % n;
}

/* Behind the response code, handles included: bytes changed, a size set to the largest, the rest cut to zeros; or
 * whether there are sessions. */
static TSS2_RC lie(uint32_t cc, unsigned n, uint8_t *answer, size_t *size)
{
	size_t from;

	(void)cc;
	if (n != at || *size <= 10)
		return TSS2_RC_SUCCESS;
	from = 10 + roll((uint32_t)*size - 10);
	switch (roll(4)) {
	case 0:
		for (unsigned i = roll(4) + 1; i > 0; i--)
			answer[10 + roll((uint32_t)*size - 10)] ^= (uint8_t)(1 + roll(255));
		break;
	case 1:
		memset(answer + from, 0xff, MIN(*size - from, roll(4) + 1));
		break;
	case 2:
		memset(answer + from, 0, *size - from);
		break;
	default:
		answer[1] = answer[1] == 1 ? 2 : 1;
	}
	return TSS2_RC_SUCCESS;
}

/* On a protected bus no lie is believed: the result is right, or there is none.  Nowhere is it called a bug of ours. */
static void listen_to_lies(const struct row *r, unsigned rounds, bool believed)
{
	uint8_t got[sizeof data];
	struct outbuf want = {.ptr = good, .cap = sizeof good};

	cr_assert_eq(r->call(&want), CKR_OK);
	for (dice = 0; rounds > 0; rounds--) {
		struct outbuf out = {.ptr = got, .cap = sizeof got};
		CK_RV rv;

		at = 1 + roll(8);
		wrap->sent = 0;
		wrap->receive = lie;
		rv = r->call(&out);
		wrap->receive = NULL;
		cr_assert_neq(rv, CKR_GENERAL_ERROR, "%s, %u to go", r->name, rounds);
		cr_assert(rv != CKR_OK || believed || bytes_equal(BYTES(got, out.len), BYTES(good, want.len)),
			  "%s, %u to go", r->name, rounds);
	}
	want.len = 0;
	cr_assert_eq(r->call(&want), CKR_OK);
}

Test(key_faults, lies)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		listen_to_lies(&rows[i], 60, false);
}

Test(key_trust, lies_there_may_be_believed)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		listen_to_lies(&rows[i], 60, true);
}

static TSS2_RC value_of_hmac(uint32_t cc, unsigned n, TSS2_RC *answer)
{
	(void)n;
	if (cc == TPM2_CC_HMAC)
		*answer = TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_1;
	return TSS2_RC_SUCCESS;
}

/* That the TPM doesn't compute it says nothing about a signature: whether that is right is found out here. */
Test(key_faults, a_refusal_is_no_verdict)
{
	const struct hash *h = &crypto_hashes[HASH_SHA256];
	const struct scheme scheme = {.type = h->hmac, .hash = h, .tag_len = 32};
	struct outbuf out = {.ptr = good, .cap = sizeof good};
	CK_RV rv;

	cr_assert_eq(rig_op(rig.tok, OP_SIGN, &scheme, mac, BYTES(data, 100), &out), CKR_OK);
	wrap->transmit = value_of_hmac;
	rv = rig_op(rig.tok, OP_VERIFY, &scheme, mac, BYTES(data, 100), &out);
	wrap->transmit = NULL;
	cr_assert(rv != CKR_OK && rv != CKR_SIGNATURE_INVALID && rv != CKR_SIGNATURE_LEN_RANGE, "0x%lx", rv);
	cr_assert_eq(rig_op(rig.tok, OP_VERIFY, &scheme, mac, BYTES(data, 100), &out), CKR_OK);
}

/* ---- where nobody listens ---- */

Test(key_trust, fewest_commands)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct outbuf out = {.ptr = good, .cap = sizeof good};
		uint64_t before;

		cr_assert_eq(rows[i].call(&out), CKR_OK, "%s", rows[i].name);
		out.len = 0;
		before = rig_commands(rig.tok);
		cr_assert_eq(rows[i].call(&out), CKR_OK);
		if (rows[i].trusted)
			cr_assert_eq(rig_commands(rig.tok) - before, rows[i].trusted, "%s", rows[i].name);
	}
}

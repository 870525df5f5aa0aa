/* What others may put in our way where secret keys, imports and keys of other programs are used: key files that make no
 * sense to the TPM, and answers that were changed on the bus. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <tss2/tss2_tcti.h>
#include <unistd.h>

#include "export.h"
#include "op.h"
#include "rig.h"
#include "soft.h"
#include "state.h"
#include "tcti_wrap.h"
#include "tss2key.h"

static struct rig rig;
static struct token_obj *pair[2];
static struct tss2_key real;
static char path[128];

static void put(const struct tss2_key *k)
{
	struct buffer pem CLEANUP(buffer_done);
	char temp[140];
	FILE *f;

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	cr_assert_eq(tss2_key_emit(k, &pem), CKR_OK);
	snprintf(temp, sizeof temp, "%s.new", path);
	f = fopen(temp, "w");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(pem.ptr, 1, pem.len, f), pem.len);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(rename(temp, path), 0);
}

static void start(void)
{
	struct buffer pem CLEANUP(buffer_done);
	const char *why;

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	rig_start(&rig, "bus", "protected");
	snprintf(path, sizeof path, "%s/k", rig.dir);
	cr_assert_eq(conf_section_add(rig.conf, "keys", path, 9), CKR_OK);
	rig_reopen(&rig);
	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_rsa(&rig, "mine", false, true, pair), CKR_OK);
	cr_assert_eq(tpm_export_key(rig.tok, pair[1], NO_BYTES, &pem), CKR_OK);
	cr_assert_eq(tss2_key_parse(buffer_bytes(&pem), &real, &why), CKR_OK);
}

static void stop(void)
{
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
	rig_stop(&rig);
}

TestSuite(hostile, .init = start, .fini = stop, .timeout = 300);

static CK_RV sign(const struct token_obj *key)
{
	static const uint8_t digest[32];
	const struct scheme s = {.type = CKM_RSA_PKCS, .hash = &crypto_hashes[HASH_SHA256]};
	uint8_t sig[TPM2_MAX_RSA_KEY_BYTES];
	struct outbuf out = {.ptr = sig, .cap = sizeof sig};

	return rig_op(rig.tok, OP_SIGN, &s, key, BYTES_OF(digest), &out);
}

/* It is skipped, or the TPM refuses it: neither the caller's data nor our code are to blame. */
static void check(const struct tss2_key *k, const char *what, size_t n)
{
	const struct token_obj *o;
	CK_RV rv;

	put(k);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	o = rig_find(&rig, CKO_PRIVATE_KEY, "k");
	if (!o)
		return;
	rv = sign(o);
	cr_expect(rv == CKR_OK || rv == CKR_DEVICE_ERROR, "%s %zu: 0x%lx", what, n, rv);
}

/* ---- files ---- */

static void truncated(size_t n)
{
	struct tss2_key k = real;

	k.private.size = (uint16_t)n;
	check(&k, "private part of", n);
}

static void changed(size_t n)
{
	struct tss2_key k = real;

	k.private.buffer[n] ^= 0x81;
	check(&k, "private part, changed at", n);
}

Test(hostile, private_parts)
{
	static const size_t some[] = {0, 1, 2, 3, 33, 34, 35, 36, 50, 51, 52, 100, 151};

	for (size_t i = 0; i < ARRAY_LEN(some); i++) {
		truncated(some[i]);
		changed(some[i]);
	}
	truncated(sizeof real.private.buffer);
}

static TPMT_PUBLIC *public_of(struct tss2_key *k)
{
	*k = real;
	return &k->public.publicArea;
}

Test(hostile, public_parts)
{
	static const uint16_t bits[] = {0, 1, 7, 8, 512, 1024, 2047, 2049, 4096, 65535};
	static const uint32_t exponents[] = {1, 2, 3, 65539, UINT32_MAX};
	struct tss2_key k;

	for (unsigned bit = 0; bit < 32; bit += bit < 8 ? 1 : 3) {
		public_of(&k)->objectAttributes ^= 1u << bit;
		check(&k, "attribute", bit);
	}
	for (size_t n = 0; n < 256; n += 85) {
		public_of(&k)->unique.rsa.size = (uint16_t)n;
		check(&k, "modulus", n);
		public_of(&k)->authPolicy.size = (uint16_t)(n / 4);
		check(&k, "policy", n / 4);
	}
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		public_of(&k)->parameters.rsaDetail.keyBits = bits[i];
		check(&k, "bits", bits[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(exponents); i++) {
		public_of(&k)->parameters.rsaDetail.exponent = exponents[i];
		check(&k, "exponent", exponents[i]);
	}
	for (TPM2_ALG_ID alg = 0; alg < 0x30; alg += 3) {
		public_of(&k)->nameAlg = alg;
		check(&k, "name", alg);
	}
}

Test(hostile, parents)
{
	static const TPM2_HANDLE handles[] = {0x81000002, 0x81ffffff, TPM2_RH_OWNER, 0x81000001};
	struct tss2_key k = real;

	for (size_t i = 0; i < ARRAY_LEN(handles); i++) {
		k.parent = handles[i];
		check(&k, "parent", handles[i]);
		k.rsa_parent = true;
		check(&k, "RSA parent", handles[i]);
	}
	put(&real);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(rig_find(&rig, CKO_PRIVATE_KEY, "k")), CKR_OK);
}

static unsigned reads;
static ssize_t (*real_read)(int fd, void *p, size_t n);

static ssize_t counting_read(int fd, void *p, size_t n)
{
	reads++;
	return real_read(fd, p, n);
}

/* A file without end isn't read to its end. */
Test(hostile, huge_file)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_eq(ftruncate(fd, 64 << 20), 0);
	close(fd);
	real_read = store_sys.read;
	store_sys.read = counting_read;
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	store_sys.read = real_read;
	cr_assert_null(rig_find(&rig, CKO_PUBLIC_KEY, "k"));
	cr_assert_leq(reads, 40);
}

/* ---- who listens ---- */

#define MAX_SECRETS 9

static struct secret {
	const char *what;
	struct bytes value;
} secrets[MAX_SECRETS];
static size_t n_secrets;
static const char *heard;

static void keep_ears_open(const char *what, struct bytes value)
{
	cr_assert_lt(n_secrets, MAX_SECRETS);
	secrets[n_secrets++] = (struct secret){what, value};
}

static void look_for_secrets(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n_secrets; i++)
		if (memmem(p, n, secrets[i].value.ptr, secrets[i].value.len))
			heard = secrets[i].what;
}

static TSS2_RC look_at_answer(uint32_t cc, unsigned n, uint8_t *answer, size_t *size)
{
	(void)cc, (void)n;
	look_for_secrets(answer, *size);
	return TSS2_RC_SUCCESS;
}

static void listen(void)
{
	struct wrap *wrap = wrap_hooks();

	heard = NULL;
	wrap->hear = look_for_secrets;
	wrap->receive = look_at_answer;
}

static void hear_no_more(void)
{
	wrap_hooks()->hear = NULL;
	wrap_hooks()->receive = NULL;
}

static void bring(const struct attrs *a, struct token_obj **ret)
{
	struct make_req req = {.kind = MAKE_CREATE, .tmpl = a};
	struct token_obj *made[2] = {NULL, NULL};

	cr_assert_eq(tpm_token_ops.make(rig.tok, &req, made), CKR_OK);
	*ret = made[0];
}

static struct attrs *fresh_pair(CK_MECHANISM_TYPE mech, CK_KEY_TYPE type)
{
	struct attrs *pub CLEANUP(attrs_cleanup) = rig_attrs(CKO_PUBLIC_KEY, type, "in", false);
	struct attrs *priv = rig_attrs(CKO_PRIVATE_KEY, type, "in", true);

	cr_assert_eq(attrs_set_ulong(pub, CKA_MODULUS_BITS, 2048), CKR_OK);
	cr_assert_eq(attrs_set(pub, CKA_EC_PARAMS, der_curves[CURVE_P256].oid), CKR_OK);
	cr_assert_eq(soft_generate(mech, pub, priv), CKR_OK);
	return priv;
}

static void finish(struct attrs *a)
{
	cr_assert_eq(attrs_set(a, CKA_SIGNET_PLACE, BYTES("tpm", 3)), CKR_OK);
	cr_assert_eq(soft_complete(a), CKR_OK);
}

static void listen_for(const char *what, const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes v;

	cr_assert(attrs_get(a, type, &v));
	keep_ears_open(what, v);
}

static void use(enum op_kind kind, const struct scheme *s, const struct token_obj *key, struct bytes in,
		struct outbuf *out)
{
	out->len = 0;
	cr_assert_eq(rig_op(rig.tok, kind, s, key, in, out), CKR_OK);
}

Test(hostile, nothing_to_hear)
{
	static const uint8_t text[] = "a text that nobody else is to read, neither before nor after";
	const struct hash *h = &crypto_hashes[HASH_SHA256];
	const struct scheme mac = {.type = h->hmac, .hash = h, .tag_len = 32};
	const struct scheme ctr = {.type = CKM_AES_CTR, .iv = BYTES("0123456789abcdef", 16), .counter_bits = 32};
	struct attrs *rsa CLEANUP(attrs_cleanup) = fresh_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA);
	struct attrs *ec CLEANUP(attrs_cleanup) = fresh_pair(CKM_EC_KEY_PAIR_GEN, CKK_EC);
	struct attrs *aes CLEANUP(attrs_cleanup) = rig_attrs(CKO_SECRET_KEY, CKK_AES, "aes", true);
	struct attrs *generic CLEANUP(attrs_cleanup) = rig_attrs(CKO_SECRET_KEY, CKK_GENERIC_SECRET, "mac", true);
	struct buffer pem CLEANUP(buffer_done);
	uint8_t got[2048], want[32], much[2000];
	struct outbuf out = {.ptr = got, .cap = sizeof got};
	struct token_obj *o[4];

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	memset(much, 'm', sizeof much);
	cr_assert_eq(attrs_set(aes, CKA_VALUE, BYTES("0123456789ABCDEF", 16)), CKR_OK);
	cr_assert_eq(attrs_set(generic, CKA_VALUE, BYTES("a generic secret", 16)), CKR_OK);
	finish(rsa);
	finish(ec);
	finish(aes);
	finish(generic);
	listen_for("prime", rsa, CKA_PRIME_1);
	listen_for("other prime", rsa, CKA_PRIME_2);
	listen_for("scalar", ec, CKA_VALUE);
	listen_for("AES key", aes, CKA_VALUE);
	listen_for("HMAC key", generic, CKA_VALUE);
	keep_ears_open("authorization", BYTES("a new password", 14));
	keep_ears_open("text", BYTES(text + 8, 16));
	listen();
	bring(rsa, &o[0]);
	bring(ec, &o[1]);
	bring(aes, &o[2]);
	bring(generic, &o[3]);
	cr_assert_eq(tpm_export_key(rig.tok, o[0], BYTES("a new password", 14), &pem), CKR_OK);
	use(OP_ENCRYPT, &ctr, o[2], BYTES_OF(text), &out);
	use(OP_DECRYPT, &ctr, o[2], BYTES(memcpy(got + 1024, got, out.len), out.len), &out);
	/* A HMAC is what keys are derived by. */
	for (size_t i = 0; i < 2; i++) {
		const struct bytes in = i ? BYTES_OF(much) : BYTES_OF(text);

		use(OP_SIGN, &mac, o[3], in, &out);
		memcpy(want, got, sizeof want);
		keep_ears_open("HMAC", BYTES_OF(want));
		use(OP_SIGN, &mac, o[3], in, &out);
	}
	hear_no_more();
	cr_assert_null(heard, "%s", heard);
	for (size_t i = 0; i < ARRAY_LEN(o); i++)
		tpm_token_ops.obj_free(rig.tok, o[i]);
}

/* What this token can do: private keys as far as the TPM has their algorithm; secret keys by libcrypto, and by the TPM
 * where the slot's setting puts them there. */
#include "op.h"
#include "soft.h"

/* The largest HMAC key that a TPM takes, in bytes (secret_key.c). */
#define HMAC_KEY_MAX 128

/* Where the sizes of a row come from: this TPM's keys, or libcrypto's row, up to `max`. */
enum sizes { SIZES_RSA, SIZES_EC, SIZES_SOFT };

/* alg: TPM2_ALG_…, without which it isn't offered; 0: the key type's is enough. */
static const struct tpm_row {
	CK_MECHANISM_TYPE type;
	enum sizes sizes;
	CK_FLAGS flags;
	TPM2_ALG_ID alg;
	TPM2_CC command;               /* of secret keys */
	CK_ULONG max;
} tpm_rows[] = {
	{.type = CKM_RSA_PKCS_KEY_PAIR_GEN, .sizes = SIZES_RSA, .flags = CKF_GENERATE_KEY_PAIR},
	{.type = CKM_RSA_PKCS, .sizes = SIZES_RSA, .flags = CKF_SIGN | CKF_DECRYPT},
	{.type = CKM_RSA_X_509, .sizes = SIZES_RSA, .flags = CKF_SIGN | CKF_DECRYPT},
	{.type = CKM_RSA_PKCS_PSS, .sizes = SIZES_RSA, .flags = CKF_SIGN},
	{.type = CKM_RSA_PKCS_OAEP, .sizes = SIZES_RSA, .flags = CKF_DECRYPT},
	{.type = CKM_EC_KEY_PAIR_GEN, .sizes = SIZES_EC, .flags = CKF_GENERATE_KEY_PAIR},
	{.type = CKM_ECDSA, .sizes = SIZES_EC, .flags = CKF_SIGN, .alg = TPM2_ALG_ECDSA},
	{.type = CKM_ECDH1_DERIVE, .sizes = SIZES_EC, .flags = CKF_DERIVE, .alg = TPM2_ALG_ECDH},
};

#define AES(type, alg) {(type), SIZES_SOFT, 0, (alg), TPM2_CC_EncryptDecrypt2, 32}
#define HMAC(type, alg) {(type), SIZES_SOFT, 0, (alg), TPM2_CC_HMAC, HMAC_KEY_MAX}
/* What secret keys in the TPM do there (the rows of op_cipher.c and op_mac.c), and their generation. */
static const struct tpm_row secret_rows[] = {
	AES(CKM_AES_ECB, TPM2_ALG_ECB),
	AES(CKM_AES_CBC, TPM2_ALG_CBC),
	AES(CKM_AES_CBC_PAD, TPM2_ALG_CBC),
	AES(CKM_AES_CTR, TPM2_ALG_CTR),
	AES(CKM_AES_CFB128, TPM2_ALG_CFB),
	AES(CKM_AES_OFB, TPM2_ALG_OFB),
	AES(CKM_AES_KEY_GEN, TPM2_ALG_AES),
	HMAC(CKM_SHA_1_HMAC, TPM2_ALG_SHA1),
	HMAC(CKM_SHA256_HMAC, TPM2_ALG_SHA256),
	HMAC(CKM_SHA384_HMAC, TPM2_ALG_SHA384),
	HMAC(CKM_SHA512_HMAC, TPM2_ALG_SHA512),
	HMAC(CKM_GENERIC_SECRET_KEY_GEN, TPM2_ALG_SHA256),
};

/* soft_mechs of private keys: a TPM token keeps no private key in the process. */
static const CK_MECHANISM_TYPE asymmetric[] = {
	CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, CKM_RSA_X_509, CKM_RSA_PKCS_PSS, CKM_RSA_PKCS_OAEP,
	CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA, CKM_ECDH1_DERIVE,
};

/* Smallest and largest key of each kind, in bits; 0: the TPM has none. */
struct ranges {
	CK_ULONG min[2], max[2];
};

struct listing {
	bool secret_keys;              /* are in the TPM by default */
	struct ranges ranges;
	struct token_mech *out;
	size_t n;
};

static CK_RV ask_ranges(struct conn *c, struct ranges *r)
{
	const uint16_t *sizes;
	size_t n;

	*r = (struct ranges){0};
	TRY(conn_rsa_sizes(c, &sizes, &n));
	if (n) {
		r->min[SIZES_RSA] = sizes[0];
		r->max[SIZES_RSA] = sizes[n - 1];
	}
	for (size_t i = 0; i < CURVE_COUNT; i++) {
		const struct curve *curve = &der_curves[i];
		bool has = false;

		if (curve->tpm_id)
			TRY(conn_has_curve(c, curve->tpm_id, &has));
		if (!has)
			continue;
		if (!r->min[SIZES_EC])
			r->min[SIZES_EC] = curve->bits;
		r->max[SIZES_EC] = MAX(r->max[SIZES_EC], curve->bits);
	}
	return CKR_OK;
}

/* Whether the TPM does what the row says. */
static CK_RV has_row(struct conn *c, const struct tpm_row *row, bool *ret)
{
	*ret = true;
	if (row->alg)
		TRY(conn_has_alg(c, row->alg, ret));
	return *ret && row->command ? conn_has_command(c, row->command, ret) : CKR_OK;
}

static CK_RV list_pairs(struct conn *c, struct listing *l)
{
	const struct ranges *r = &l->ranges;

	for (size_t i = 0; i < ARRAY_LEN(tpm_rows); i++) {
		const struct tpm_row *row = &tpm_rows[i];
		CK_FLAGS flags = row->flags | CKF_HW;
		bool has;

		TRY(has_row(c, row, &has));
		if (!has || !r->max[row->sizes])
			continue;
		if (row->sizes == SIZES_EC)
			flags |= CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
		l->out[l->n++] = (struct token_mech){.type = row->type, .min = r->min[row->sizes],
						     .max = r->max[row->sizes], .flags = flags};
	}
	return CKR_OK;
}

static bool is_asymmetric(CK_MECHANISM_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(asymmetric); i++)
		if (asymmetric[i] == type)
			return true;
	return false;
}

static const struct tpm_row *secret_row(CK_MECHANISM_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(secret_rows); i++)
		if (secret_rows[i].type == type)
			return &secret_rows[i];
	return NULL;
}

static CK_RV list_secrets(struct conn *c, struct listing *l)
{
	for (size_t i = 0; i < soft_mechs_count; i++) {
		const struct tpm_row *row = l->secret_keys ? secret_row(soft_mechs[i].type) : NULL;
		struct token_mech m = soft_mechs[i];
		bool has = false;

		if (is_asymmetric(m.type))
			continue;
		if (row)
			TRY(has_row(c, row, &has));
		if (has) {
			m.flags |= CKF_HW;
			m.max = MIN(m.max, row->max);
		}
		l->out[l->n++] = m;
	}
	return CKR_OK;
}

static CK_RV ask_body(struct conn *c, void *arg)
{
	struct listing *l = arg;

	l->n = 0;
	TRY(ask_ranges(c, &l->ranges));
	TRY(list_pairs(c, l));
	return list_secrets(c, l);
}

static CK_RV ask(struct tpm_token *t)
{
	struct listing l = {.secret_keys = t->secret_keys_tpm};
	struct token_mech *mechs CLEANUP(free_cleanup) = calloc(ARRAY_LEN(tpm_rows) + soft_mechs_count, sizeof *mechs);

	if (!mechs)
		return CKR_HOST_MEMORY;
	l.out = mechs;
	TRY(conn_run(t->conn, RC_PROBE, ask_body, &l));
	free(t->mechs);
	t->n_mechs = l.n;
	t->mechs = TAKE(mechs);
	t->mechs_learnt = conn_learnt(t->conn);
	return CKR_OK;
}

CK_RV tpm_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n)
{
	struct tpm_token *t = tpm_token_of(tok);

	memory_recall(t);
	if (!t->mechs || t->mechs_learnt != conn_learnt(t->conn))
		TRY(ask(t));
	memory_keep(t);
	*ret = t->mechs;
	*ret_n = t->n_mechs;
	return CKR_OK;
}

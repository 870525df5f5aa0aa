/* What this token can do: private keys as far as the TPM has their algorithm, secret keys by libcrypto. */
#include "op.h"
#include "soft.h"

/* Where the sizes of a row come from. */
enum sizes { SIZES_RSA, SIZES_EC };

static const struct tpm_row {
	CK_MECHANISM_TYPE type;
	enum sizes sizes;
	CK_FLAGS flags;
} tpm_rows[] = {
	{CKM_RSA_PKCS_KEY_PAIR_GEN, SIZES_RSA, CKF_GENERATE_KEY_PAIR},
	{CKM_RSA_PKCS, SIZES_RSA, CKF_SIGN | CKF_DECRYPT},
	{CKM_RSA_X_509, SIZES_RSA, CKF_SIGN | CKF_DECRYPT},
	{CKM_RSA_PKCS_PSS, SIZES_RSA, CKF_SIGN},
	{CKM_RSA_PKCS_OAEP, SIZES_RSA, CKF_DECRYPT},
	{CKM_EC_KEY_PAIR_GEN, SIZES_EC, CKF_GENERATE_KEY_PAIR},
	{CKM_ECDSA, SIZES_EC, CKF_SIGN},
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

static CK_RV ask_body(struct conn *c, void *arg)
{
	struct ranges *r = arg;
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

static bool is_asymmetric(CK_MECHANISM_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(asymmetric); i++)
		if (asymmetric[i] == type)
			return true;
	return false;
}

static size_t fill(const struct ranges *r, struct token_mech *out)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(tpm_rows); i++) {
		const struct tpm_row *row = &tpm_rows[i];
		CK_FLAGS flags = row->flags | CKF_HW;

		if (!r->max[row->sizes])
			continue;
		if (row->sizes == SIZES_EC)
			flags |= CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
		out[n++] = (struct token_mech){.type = row->type, .min = r->min[row->sizes], .max = r->max[row->sizes],
					       .flags = flags};
	}
	for (size_t i = 0; i < soft_mechs_count; i++)
		if (!is_asymmetric(soft_mechs[i].type))
			out[n++] = soft_mechs[i];
	return n;
}

CK_RV tpm_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n)
{
	struct tpm_token *t = tpm_token_of(tok);
	struct token_mech *mechs;
	struct ranges r;

	if (!t->mechs) {
		TRY(conn_run(t->conn, RC_PROBE, ask_body, &r));
		mechs = calloc(ARRAY_LEN(tpm_rows) + soft_mechs_count, sizeof *mechs);
		if (!mechs)
			return CKR_HOST_MEMORY;
		t->n_mechs = fill(&r, mechs);
		t->mechs = mechs;
	}
	*ret = t->mechs;
	*ret_n = t->n_mechs;
	return CKR_OK;
}

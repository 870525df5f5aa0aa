/* RSA mechanisms (PKCS#11 3.2, 6.1) and the check of their parameters. */
#include "mech_rows.h"

/* No key that we know is longer; what a salt may really take depends on the key (mech_key_fits()). */
#define SALT_MAX 2048

/* CK_RSA_PKCS_PSS_PARAMS.  With a hash in the mechanism's name, hashAlg must be that one. */
static CK_RV param_pss(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	CK_RSA_PKCS_PSS_PARAMS p;

	TRY(mech_param_read(given, &p, sizeof p));
	ret->hash = hash_by_mech(p.hashAlg);
	ret->mgf = hash_by_mgf(p.mgf);
	if (!ret->hash || !ret->mgf || (m->hash && m->hash != ret->hash) || p.sLen > SALT_MAX)
		return CKR_MECHANISM_PARAM_INVALID;
	ret->salt_len = p.sLen;
	return CKR_OK;
}

/* CK_RSA_PKCS_OAEP_PARAMS; the label stays the caller's.  Without a label, source 0 is taken as well: it is what
 * OpenSC and others send there. */
static CK_RV param_oaep(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	CK_RSA_PKCS_OAEP_PARAMS p;

	(void)m;
	TRY(mech_param_read(given, &p, sizeof p));
	ret->hash = hash_by_mech(p.hashAlg);
	ret->mgf = hash_by_mgf(p.mgf);
	if (!ret->hash || !ret->mgf || (p.source != CKZ_DATA_SPECIFIED && (p.source != 0 || p.ulSourceDataLen > 0)))
		return CKR_MECHANISM_PARAM_INVALID;
	if (!slice_ok(p.pSourceData, p.ulSourceDataLen))
		return CKR_MECHANISM_PARAM_INVALID;
	ret->label = BYTES(p.pSourceData, p.ulSourceDataLen);
	return CKR_OK;
}

/* What the padding takes away (RFC 8017, 7.1.1, 7.2.1 and 9.2); raw blocks have none. */
struct mech_lengths mech_rsa_lengths(const struct scheme *scheme, size_t modulus)
{
	static const struct {
		CK_MECHANISM_TYPE base;
		size_t fixed, hashes;
	} rows[] = {{CKM_RSA_PKCS, 11, 0}, {CKM_RSA_PKCS_OAEP, 2, 2}};

	if (scheme->type == CKM_RSA_PKCS_PSS)
		return (struct mech_lengths){scheme->hash->size, scheme->hash->size, 1};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t taken = rows[i].fixed + rows[i].hashes * (scheme->hash ? scheme->hash->size : 0);

		if (rows[i].base == scheme->type)
			return (struct mech_lengths){0, modulus > taken ? modulus - taken : 0, 1};
	}
	return (struct mech_lengths){0, modulus, 1};
}

#define SIGNATURE (CKF_SIGN | CKF_VERIFY)
#define CIPHER (CKF_ENCRYPT | CKF_DECRYPT | CKF_WRAP | CKF_UNWRAP)
#define RSA(mech_, base_, flags_, ...)                                                                                 \
	{.type = (mech_), .base = (base_), .flags = (flags_), .class = CKO_PRIVATE_KEY, .key_type = CKK_RSA, __VA_ARGS__}
#define RSA_HASHED(name)                                                                                               \
	RSA(CKM_##name##_RSA_PKCS, CKM_RSA_PKCS, SIGNATURE, .input = INPUT_HASHED,                                     \
	    .hash = &crypto_hashes[HASH_##name]),                                                                      \
	RSA(CKM_##name##_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS, SIGNATURE, .input = INPUT_HASHED,                         \
	    .hash = &crypto_hashes[HASH_##name], .param = param_pss)

static const struct mech rows[] = {
	RSA(CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR),
	RSA(CKM_RSA_PKCS, CKM_RSA_PKCS, SIGNATURE | CIPHER),
	RSA(CKM_RSA_X_509, CKM_RSA_X_509, SIGNATURE | CIPHER, .filling = FILL_BEFORE),
	RSA(CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS_OAEP, CIPHER, .param = param_oaep),
	RSA(CKM_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS, SIGNATURE, .param = param_pss),
	RSA_HASHED(SHA1),
	RSA_HASHED(SHA224),
	RSA_HASHED(SHA256),
	RSA_HASHED(SHA384),
	RSA_HASHED(SHA512),
};

const struct mech_rows mech_rsa_rows = {.at = rows, .n = ARRAY_LEN(rows)};

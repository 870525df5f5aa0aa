/* Names, computed here (TPM 2.0 Part 1, section 16), so that a public area is believed for what it says. */
#include "name.h"

#include <tss2/tss2_mu.h>

const struct hash *name_hash(TPM2_ALG_ID alg)
{
	for (size_t i = 0; i < HASH_COUNT; i++)
		if (alg != TPM2_ALG_ERROR && crypto_hashes[i].tpm_alg == alg) /* which those have that no TPM knows */
			return &crypto_hashes[i];
	return NULL;
}

bool name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
	return bytes_equal(BYTES(a->name, a->size), BYTES(b->name, b->size));
}

/* nameAlg || H(public area). */
static CK_RV name_of(TPM2_ALG_ID alg, struct bytes area, TPM2B_NAME *ret)
{
	const struct hash *h = name_hash(alg);
	TPM2B_NAME name = {.name = {(uint8_t)(alg >> 8), (uint8_t)alg}};

	if (!h || 2 + h->size > sizeof name.name)
		return CKR_DEVICE_ERROR;
	TRY(hash_once(h, area, name.name + 2));
	name.size = (uint16_t)(2 + h->size);
	*ret = name;
	return CKR_OK;
}

CK_RV name_of_object(const TPMT_PUBLIC *public, TPM2B_NAME *ret)
{
	uint8_t area[sizeof *public];
	size_t n = 0;

	if (Tss2_MU_TPMT_PUBLIC_Marshal(public, area, sizeof area, &n) != TSS2_RC_SUCCESS)
		return CKR_DEVICE_ERROR;
	return name_of(public->nameAlg, BYTES(area, n), ret);
}

CK_RV name_of_index(const TPMS_NV_PUBLIC *public, TPM2B_NAME *ret)
{
	uint8_t area[sizeof *public];
	size_t n = 0;

	if (Tss2_MU_TPMS_NV_PUBLIC_Marshal(public, area, sizeof area, &n) != TSS2_RC_SUCCESS)
		return CKR_DEVICE_ERROR;
	return name_of(public->nameAlg, BYTES(area, n), ret);
}

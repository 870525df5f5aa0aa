/* Names of objects and NV indices (TPM 2.0 Part 1, 16): what a public area's hash makes them, so that a name in an
 * answer that no session vouches for can be checked against what it names. */
#ifndef TPM_NAME_H
#define TPM_NAME_H

#include <tss2/tss2_tpm2_types.h>

#include "crypto.h"

/* By TPM_ALG_ID; NULL: a hash that we don't have. */
const struct hash *name_hash(TPM2_ALG_ID alg);
bool name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b);
/* CKR_DEVICE_ERROR: its nameAlg is one that we don't have, or the area can't be one.  CKR_HOST_MEMORY,
 * CKR_FUNCTION_FAILED: libcrypto failed, which says nothing of the name. */
CK_RV name_of_object(const TPMT_PUBLIC *public, TPM2B_NAME *ret) MUST_CHECK;
CK_RV name_of_index(const TPMS_NV_PUBLIC *public, TPM2B_NAME *ret) MUST_CHECK;

#endif

/* Public areas in Cryptoki's terms, and back. */
#ifndef TPM_PUBLIC_H
#define TPM_PUBLIC_H

#include <tss2/tss2_tpm2_types.h>

#include "attrs.h"

/* Working keys are authorized by their authValue and take no part in dictionary-attack protection.  What each may do
 * is the object's business (CKA_SIGN …), which may change while a TPM's attributes cannot: keys that sign or decrypt
 * may do both as far as the TPM is concerned. */
#define KEY_ATTRIBUTES (TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)
#define BOTH_WAYS_ATTRIBUTES (KEY_ATTRIBUTES | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_SIGN_ENCRYPT)
/* Made in this TPM, never outside it. */
#define BORN_ATTRIBUTES (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN)

/* What a pair's public template asks for, of CKK_RSA (CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT) or CKK_EC
 * (CKA_EC_PARAMS).  `ret` gets nameAlg, type and parameters; the rest is left as it was.
 * CKR_KEY_TYPE_INCONSISTENT for other types, CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCOMPLETE,
 * CKR_DOMAIN_PARAMS_INVALID, CKR_CURVE_NOT_SUPPORTED. */
CK_RV public_template(CK_KEY_TYPE type, const struct attrs *pub, TPMT_PUBLIC *ret) MUST_CHECK;
/* The same of a private key's own attributes, completed by soft_complete(), with `unique`. */
CK_RV public_of_private(CK_KEY_TYPE type, const struct attrs *priv, TPMT_PUBLIC *ret) MUST_CHECK;
/* Whether a key is what its template asked for, and as long. */
bool public_as_asked(const TPMT_PUBLIC *key, const TPMT_PUBLIC *tmpl);

/* Sets what a public area says in the attributes of the public half (CKA_MODULUS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO,
 * and so on), and what the private one shares.  `pub` has class and key type; `priv` may be NULL.
 * CKR_CURVE_NOT_SUPPORTED, CKR_KEY_TYPE_INCONSISTENT. */
CK_RV public_describe(const TPMT_PUBLIC *key, struct attrs *pub, struct attrs *priv) MUST_CHECK;

/* The curve of TPM_ECC_CURVE; NULL: none of ours. */
struct curve;
const struct curve *public_curve(TPM2_ECC_CURVE id);

#endif

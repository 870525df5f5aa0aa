/* Private keys from outside, made the TPM's own (TPM 2.0 Part 1, 23.3; Part 3, 13.3). */
#ifndef TPM_IMPORT_H
#define TPM_IMPORT_H

#include "key.h"

/* A key that comes with its value, or a secret one that is to be made. */
struct incoming {
	struct parent *parent;
	const struct keyset *keys;
	enum rc_context context;     /* RC_IMPORT, RC_UNWRAP, RC_DERIVE; RC_GEN */
	const struct attrs *key;     /* completed by soft_complete() */
};

/* A CKO_PRIVATE_KEY, RSA or EC, becomes a working key.  Its sensitive part crosses the bus under the storage key's
 * outer wrapping only.  Three commands: the last but the flush loads it, so that a key that this TPM doesn't take is refused
 * now.  Takes the connection; appends what tpm_key_emit() does.
 * CKR_KEY_TYPE_INCONSISTENT, CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED,
 * CKR_DOMAIN_PARAMS_INVALID, and what rc.h says for the context. */
CK_RV tpm_key_import(struct conn *c, const struct incoming *in, struct buffer *ret_blob) MUST_CHECK;

#endif

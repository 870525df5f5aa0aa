/* Secret keys that live in the TPM, as RSA and EC keys do: AES as SYMCIPHER objects of no particular mode, everything
 * else as KEYEDHASH objects of no particular hash. */
#ifndef TPM_SECRET_KEY_H
#define TPM_SECRET_KEY_H

#include "import.h"

/* Whether this TPM can have a CKO_SECRET_KEY with such CKA_KEY_TYPE and CKA_VALUE_LEN, and use it.  Takes the
 * connection. */
CK_RV secret_key_fits(struct conn *c, const struct attrs *key, bool *ret) MUST_CHECK;
/* Whether the TPM can choose the value itself; of other lengths it wants to be told one. */
bool secret_key_born(const struct attrs *key);
/* Makes it, with the CKA_VALUE of in->key, else with a value of the TPM's own.  Two commands: the value crosses the bus
 * in a salted session.  Takes the connection; appends what tpm_key_emit() does. */
CK_RV secret_key_make(struct conn *c, const struct incoming *in, struct buffer *ret_blob) MUST_CHECK;

#endif

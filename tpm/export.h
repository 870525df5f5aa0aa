/* A key of the token's, in the form that other programs of this TPM read.  Duty and results: token.h. */
#ifndef TPM_EXPORT_H
#define TPM_EXPORT_H

#include "token.h"

CK_RV tpm_export_key(struct token *tok, const struct token_obj *obj, struct bytes auth, struct buffer *out) MUST_CHECK;

#endif

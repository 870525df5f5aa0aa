/* Operations with a private or secret key: in the TPM, or for secret keys in this process.
 * Duties and results: token.h. */
#ifndef TPM_OP_H
#define TPM_OP_H

#include "state.h"

CK_RV tpm_op_begin(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
		   struct token_op **ret, size_t *ret_max) MUST_CHECK;
size_t tpm_op_size(const struct token_op *op, size_t in_len, bool final);
CK_RV tpm_op_update(struct token_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
CK_RV tpm_op_finish(struct token_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
void tpm_op_free(struct token_op *op);

/* The authValue of an AUTH_GIVEN key, for this operation; it isn't tried.  CKR_PIN_LEN_RANGE. */
CK_RV tpm_op_authorize(struct token_op *op, struct bytes auth) MUST_CHECK;
/* The key that the operation uses in the TPM; NULL: none. */
const struct tpm_ready *tpm_op_key(const struct token_op *op);

/* The mechanisms of this TPM and of libcrypto's secret keys; asked of the TPM once.  The table stays the token's. */
CK_RV tpm_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n) MUST_CHECK;

#endif

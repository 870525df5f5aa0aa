/* C_InitToken, C_InitPIN, C_SetPIN: the calls that write the token record.  Duties and results: token.h. */
#ifndef TPM_ADMIN_H
#define TPM_ADMIN_H

#include "state.h"

CK_RV tpm_init_token(struct token *tok, struct bytes so_pin, const uint8_t label[32]) MUST_CHECK;
CK_RV tpm_init_pin(struct token *tok, struct bytes pin) MUST_CHECK;
CK_RV tpm_set_pin(struct token *tok, enum token_user who, struct bytes old, struct bytes pin) MUST_CHECK;

#endif

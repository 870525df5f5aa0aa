/* PINs: proving, setting, and making the token anew. */
#ifndef KEYRING_AUTH_H
#define KEYRING_AUTH_H

#include "state.h"

/* As in struct token_ops.  A wrong PIN of any length counts and is CKR_PIN_INCORRECT; a new one has PIN_MIN to PIN_MAX
 * bytes, else CKR_PIN_LEN_RANGE (C_InitToken, whose list lacks that code: CKR_PIN_INCORRECT). */
CK_RV kr_init_token(struct token *tok, struct bytes so_pin, const uint8_t label[32]) MUST_CHECK;
CK_RV kr_init_pin(struct token *tok, struct bytes pin) MUST_CHECK;
CK_RV kr_set_pin(struct token *tok, enum token_user who, struct bytes old, struct bytes pin) MUST_CHECK;
CK_RV kr_login(struct token *tok, enum token_user who, struct bytes pin) MUST_CHECK;
CK_RV kr_reauth(struct token *tok, struct token_op *op, struct bytes pin) MUST_CHECK;
void kr_logout(struct token *tok);

/* The PIN flags of CK_TOKEN_INFO. */
CK_FLAGS auth_flags(struct kr_token *t);

#endif

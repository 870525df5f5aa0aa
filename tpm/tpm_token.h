/* The TPM backend: one token in a TPM 2.0 and a directory. */
#ifndef TPM_TPM_TOKEN_H
#define TPM_TPM_TOKEN_H

#include "token.h"

extern const struct token_ops tpm_token_ops;

#endif

/* The backends of the module as it is installed. */
#include "backends.h"
#include "kr_token.h"
#include "tpm_token.h"

const struct token_ops *const backends[] = {&tpm_token_ops, &keyring_token_ops};
const size_t backends_count = ARRAY_LEN(backends);

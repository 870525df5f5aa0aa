/* The backends of the module that the front is tested with. */
#include "backends.h"
#include "mem_token.h"

const struct token_ops *const backends[] = {&mem_token_ops};
const size_t backends_count = ARRAY_LEN(backends);

/* A token in this process's memory, behind the same contract as the real ones: the front's tests run on it. */
#ifndef FAKE_MEM_TOKEN_H
#define FAKE_MEM_TOKEN_H

#include "token.h"

/* The configuration's type = mem.  Keys: pin, pin-tries, so-pin-tries as of every token, and present = PATH: the
 * token is in its slot as long as that file exists. */
extern const struct token_ops mem_token_ops;

#endif

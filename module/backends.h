/* Which backends this build has.  backends.c is the only file that names them; tests link another one. */
#ifndef MODULE_BACKENDS_H
#define MODULE_BACKENDS_H

#include "token.h"

extern const struct token_ops *const backends[];
extern const size_t backends_count;

#endif

/* What every file of Signet starts from: compiler attributes, cleanup, the Cryptoki types, banned calls. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"

/* A result that must be looked at (R2). */
#define MUST_CHECK __attribute__((warn_unused_result))
/* Runs fn(&variable) when the variable goes out of scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Does `call` and leaves the function with its code unless it is CKR_OK. */
#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		CK_RV try_rv_ = (call);                                                                                \
		if (try_rv_ != CKR_OK)                                                                                 \
			return try_rv_;                                                                                \
	} while (0)

/* Moves a pointer out of a variable whose cleanup then has nothing left to do. */
#define TAKE(pointer)                                                                                                  \
	({                                                                                                             \
		__typeof__(pointer) take_ = (pointer);                                                                 \
		(pointer) = NULL;                                                                                      \
		take_;                                                                                                 \
	})

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}

#include "banned.h"

#endif

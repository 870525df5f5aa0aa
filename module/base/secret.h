/* Memory for secrets: page-locked where the limit allows, kept out of core dumps, emptied in a forked child,
 * wiped when given back. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "bytes.h"

/* Zeroed memory of `size` bytes (up to SECRET_MAX), or NULL.  Locking is tried, not promised. */
#define SECRET_MAX 65536
void *secret_alloc(size_t size);
/* Wipes and frees; NULL is fine. */
void secret_free(void *p);
static inline void secret_cleanup(void *p)
{
	secret_free(*(void **)p);
}

/* Overwrites memory in a way that the compiler keeps. */
void wipe(void *p, size_t n);
/* Constant-time in the content; lengths are not secret. */
bool secret_equal(struct bytes a, struct bytes b);

/* A buffer on the stack or in a struct whose content is wiped at scope end:
 *   struct key256 k CLEANUP(key256_wipe); */
struct key256 {
	uint8_t b[32];
};
static inline void key256_wipe(struct key256 *k)
{
	wipe(k, sizeof *k);
}

#endif

/* Stored objects by id.  A backend speaks of its objects by id (token_view), and there may be thousands. */
#ifndef MODULE_INDEX_H
#define MODULE_INDEX_H

#include "base.h"

struct object;

/* Open addressing with linear probing, never more than half full; all zeros is an empty one.  Borrows the objects and
 * reads the id of each (obj->id), so an object leaves the index before it is freed. */
struct object_index {
	struct object **at; /* NULL: free */
	size_t n, cap;      /* cap: a power of two, or 0 */
};

/* Room for `more` objects, so that index_put() can't fail.  CKR_HOST_MEMORY. */
CK_RV index_reserve(struct object_index *x, size_t more) MUST_CHECK;
/* In the place of the one with its id, if there is one. */
void index_put(struct object_index *x, struct object *o);
/* That very object; one that isn't in it is fine. */
void index_remove(struct object_index *x, const struct object *o);
struct object *index_find(const struct object_index *x, const uint8_t id[16]); /* NULL: none */
void index_done(struct object_index *x); /* frees the memory; empty afterwards */

#endif

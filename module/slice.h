/* Pointer and length as an application gives them. */
#ifndef MODULE_SLICE_H
#define MODULE_SLICE_H

#include "base.h"

/* Whether they go together.  No memory is longer than PTRDIFF_MAX: such a length is a mistake
 * (CK_UNAVAILABLE_INFORMATION, mostly), and sums with it would come out small. */
static inline bool slice_ok(const void *p, CK_ULONG len)
{
	return (p || len == 0) && len <= PTRDIFF_MAX;
}

#endif

/* Owned, ordered attribute sets.  Every value is wiped when it is freed, since some are secret. */
#ifndef BASE_ATTRS_H
#define BASE_ATTRS_H

#include "bytes.h"

struct attrs;

/* Ceilings against hostile templates; beyond them CKR_ATTRIBUTE_VALUE_INVALID and CKR_TEMPLATE_INCONSISTENT. */
#define ATTRS_MAX_COUNT 128
#define ATTRS_MAX_VALUE (1u << 20)

struct attrs *attrs_new(void); /* NULL: no memory */
void attrs_free(struct attrs *a); /* NULL is fine */
static inline void attrs_cleanup(struct attrs **a)
{
	attrs_free(*a);
}
CK_RV attrs_copy(const struct attrs *a, struct attrs **ret) MUST_CHECK;

/* Sets or replaces. */
CK_RV attrs_set(struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes value) MUST_CHECK;
CK_RV attrs_set_bool(struct attrs *a, CK_ATTRIBUTE_TYPE type, bool v) MUST_CHECK;
CK_RV attrs_set_ulong(struct attrs *a, CK_ATTRIBUTE_TYPE type, CK_ULONG v) MUST_CHECK;
void attrs_remove(struct attrs *a, CK_ATTRIBUTE_TYPE type);
/* Sets everything of `changes` in `a`: all or nothing. */
CK_RV attrs_merge(struct attrs *a, const struct attrs *changes) MUST_CHECK;

size_t attrs_count(const struct attrs *a);
/* The i-th in order of type; borrowed until the set changes. */
CK_ATTRIBUTE_TYPE attrs_at(const struct attrs *a, size_t i, struct bytes *value);
bool attrs_has(const struct attrs *a, CK_ATTRIBUTE_TYPE type);
/* False if absent (and *value empty). */
bool attrs_get(const struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes *value);
bool attrs_get_bool(const struct attrs *a, CK_ATTRIBUTE_TYPE type, bool dflt);
CK_ULONG attrs_get_ulong(const struct attrs *a, CK_ATTRIBUTE_TYPE type, CK_ULONG dflt);

#endif

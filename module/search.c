/* C_FindObjects: what matches is settled when the search begins; what has gone since is left out when it is told. */
#include "object.h"
#include "session.h"

struct search {
	CK_OBJECT_HANDLE *at;
	size_t n, next;
};

void search_free(struct search *s)
{
	if (!s)
		return;
	free(s->at);
	free(s);
}

static void search_cleanup(struct search **s)
{
	search_free(*s);
}

/* A search only reads the template, so nothing is copied; an attribute may well stand there twice. */
static CK_RV check_template(const CK_ATTRIBUTE *templ, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		if (templ[i].ulValueLen == CK_UNAVAILABLE_INFORMATION)
			return CKR_ATTRIBUTE_VALUE_INVALID;
		if (!templ[i].pValue && templ[i].ulValueLen)
			return CKR_ARGUMENTS_BAD;
	}
	return CKR_OK;
}

/* object_attribute() gives no value that the application may not read, so a search can't be used to guess one. */
static bool matches(const struct object *o, const CK_ATTRIBUTE *templ, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		struct bytes value;

		if (object_attribute(o, templ[i].type, &value) != CKR_OK)
			return false;
		if (!bytes_equal(value, BYTES(templ[i].pValue, templ[i].ulValueLen)))
			return false;
	}
	return true;
}

CK_RV search_new(struct session *s, const CK_ATTRIBUTE *templ, CK_ULONG count, struct search **ret)
{
	const struct object_table *t = &s->slot->objects;
	struct search *search CLEANUP(search_cleanup) = NULL;

	TRY(check_template(templ, count));
	search = calloc(1, sizeof *search);
	if (!search)
		return CKR_HOST_MEMORY;
	search->at = calloc(MAX(t->n, 1), sizeof *search->at);
	if (!search->at)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < t->n; i++)
		if (object_find(s, t->at[i]->handle) && matches(t->at[i], templ, count))
			search->at[search->n++] = t->at[i]->handle;
	*ret = TAKE(search);
	return CKR_OK;
}

CK_ULONG search_next(struct search *search, struct session *s, CK_OBJECT_HANDLE *ret, CK_ULONG max)
{
	CK_ULONG n = 0;

	for (; n < max && search->next < search->n; search->next++)
		if (object_find(s, search->at[search->next]))
			ret[n++] = search->at[search->next];
	return n;
}

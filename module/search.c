/* C_FindObjects: what matches is settled when the search begins; what has gone since is left out when it is told. */
#include "object.h"
#include "policy.h"
#include "template.h"

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

/* object_attribute() gives no value that the application may not read, so a search can't be used to guess one, by its
 * result or by its time.  What is secret in no class can be compared at once, and most objects end there. */
static bool has_value(const struct object *o, CK_ATTRIBUTE_TYPE type, struct bytes want, bool secret)
{
	struct bytes value;

	if (secret || !attrs_get(o->obj->attrs, type, &value))
		if (object_attribute(o, type, &value) != CKR_OK)
			return false;
	return bytes_equal(value, want);
}

/* Leaves those of `*n` objects that have the value. */
static CK_RV narrow(struct object **left, size_t *n, const CK_ATTRIBUTE *a)
{
	struct buffer nested CLEANUP(buffer_done);
	struct bytes want = BYTES(a->pValue, a->ulValueLen);
	bool secret = policy_attribute_secret(a->type);
	size_t kept = 0;

	buffer_init(&nested, NESTED_MAX_SIZE);
	if (policy_attribute_nested(a->type)) {
		CK_RV rv = nested_import(a, &nested);

		if (rv != CKR_OK) /* C_FindObjectsInit's list is short */
			return rv == CKR_TEMPLATE_INCONSISTENT ? CKR_ATTRIBUTE_VALUE_INVALID : rv;
		want = buffer_bytes(&nested);
	}
	for (size_t i = 0; i < *n; i++)
		if (has_value(left[i], a->type, want, secret))
			left[kept++] = left[i];
	*n = kept;
	return CKR_OK;
}

/* Room for `n` handles. */
static CK_RV search_alloc(size_t n, struct search **ret)
{
	struct search *search CLEANUP(search_cleanup) = calloc(1, sizeof *search);

	if (!search)
		return CKR_HOST_MEMORY;
	search->at = calloc(MAX(n, 1), sizeof *search->at);
	if (!search->at)
		return CKR_HOST_MEMORY;
	*ret = TAKE(search);
	return CKR_OK;
}

CK_RV search_new(struct session *s, const CK_ATTRIBUTE *templ, CK_ULONG count, struct search **ret)
{
	const struct object_table *t = &s->slot->objects;
	struct object **left CLEANUP(free_cleanup) = NULL;
	size_t n = 0;

	TRY(check_template(templ, count));
	left = calloc(MAX(t->n, 1), sizeof *left);
	if (!left)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < t->n; i++)
		if (object_visible(s, t->at[i]))
			left[n++] = t->at[i];
	for (CK_ULONG i = 0; i < count; i++)
		TRY(narrow(left, &n, &templ[i]));
	TRY(search_alloc(n, ret));
	for (size_t i = 0; i < n; i++)
		(*ret)->at[i] = left[i]->handle;
	(*ret)->n = n;
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

/* Attribute sets: a sorted array; every value in an allocation of its own, wiped when freed. */
#include "attrs.h"
#include "secret.h"

struct attr {
	CK_ATTRIBUTE_TYPE type;
	uint8_t *value;
	size_t len;
};

struct attrs {
	struct attr *at;
	size_t n, cap;
};

struct attrs *attrs_new(void)
{
	return calloc(1, sizeof(struct attrs));
}

static void value_free(struct attr *a)
{
	wipe(a->value, a->len);
	free(a->value);
}

void attrs_free(struct attrs *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		value_free(&a->at[i]);
	free(a->at);
	free(a);
}

/* The index of the type, or of the place where it belongs. */
static size_t place(const struct attrs *a, CK_ATTRIBUTE_TYPE type, bool *there)
{
	size_t low = 0, high = a->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (a->at[mid].type < type)
			low = mid + 1;
		else
			high = mid;
	}
	*there = low < a->n && a->at[low].type == type;
	return low;
}

static CK_RV make_room(struct attrs *a)
{
	size_t cap = a->cap ? a->cap * 2 : 16;
	struct attr *bigger;

	if (a->n == ATTRS_MAX_COUNT)
		return CKR_TEMPLATE_INCONSISTENT;
	if (a->n < a->cap)
		return CKR_OK;
	bigger = realloc(a->at, cap * sizeof *bigger);
	if (!bigger)
		return CKR_HOST_MEMORY;
	a->at = bigger;
	a->cap = cap;
	return CKR_OK;
}

static CK_RV value_copy(CK_ATTRIBUTE_TYPE type, struct bytes value, struct attr *ret)
{
	uint8_t *copy;

	if (value.len > ATTRS_MAX_VALUE)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	copy = malloc(MAX(value.len, (size_t)1));
	if (!copy)
		return CKR_HOST_MEMORY;
	if (value.len > 0)
		memcpy(copy, value.ptr, value.len);
	*ret = (struct attr){.type = type, .value = copy, .len = value.len};
	return CKR_OK;
}

CK_RV attrs_set(struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes value)
{
	struct attr new;
	bool there;
	size_t i;
	CK_RV rv;

	TRY(value_copy(type, value, &new));
	i = place(a, type, &there);
	if (there) {
		value_free(&a->at[i]);
		a->at[i] = new;
		return CKR_OK;
	}
	rv = make_room(a);
	if (rv != CKR_OK) {
		value_free(&new);
		return rv;
	}
	memmove(&a->at[i + 1], &a->at[i], (a->n - i) * sizeof *a->at);
	a->at[i] = new;
	a->n++;
	return CKR_OK;
}

CK_RV attrs_set_bool(struct attrs *a, CK_ATTRIBUTE_TYPE type, bool v)
{
	CK_BBOOL b = v ? CK_TRUE : CK_FALSE;

	return attrs_set(a, type, BYTES(&b, sizeof b));
}

CK_RV attrs_set_ulong(struct attrs *a, CK_ATTRIBUTE_TYPE type, CK_ULONG v)
{
	return attrs_set(a, type, BYTES(&v, sizeof v));
}

void attrs_remove(struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	bool there;
	size_t i = place(a, type, &there);

	if (!there)
		return;
	value_free(&a->at[i]);
	memmove(&a->at[i], &a->at[i + 1], (a->n - i - 1) * sizeof *a->at);
	a->n--;
}

CK_RV attrs_copy(const struct attrs *a, struct attrs **ret)
{
	struct attrs *copy CLEANUP(attrs_cleanup) = attrs_new();

	if (!copy)
		return CKR_HOST_MEMORY;
	copy->at = calloc(MAX(a->n, (size_t)1), sizeof *copy->at);
	if (!copy->at)
		return CKR_HOST_MEMORY;
	copy->cap = MAX(a->n, (size_t)1);
	for (; copy->n < a->n; copy->n++) {
		const struct attr *from = &a->at[copy->n];

		TRY(value_copy(from->type, BYTES(from->value, from->len), &copy->at[copy->n]));
	}
	*ret = TAKE(copy);
	return CKR_OK;
}

CK_RV attrs_merge(struct attrs *a, const struct attrs *changes)
{
	struct attrs *merged CLEANUP(attrs_cleanup) = NULL, swap;

	TRY(attrs_copy(a, &merged));
	for (size_t i = 0; i < changes->n; i++) {
		const struct attr *c = &changes->at[i];

		TRY(attrs_set(merged, c->type, BYTES(c->value, c->len)));
	}
	swap = *a;
	*a = *merged;
	*merged = swap;
	return CKR_OK;
}

size_t attrs_count(const struct attrs *a)
{
	return a->n;
}

CK_ATTRIBUTE_TYPE attrs_at(const struct attrs *a, size_t i, struct bytes *value)
{
	*value = BYTES(a->at[i].value, a->at[i].len);
	return a->at[i].type;
}

bool attrs_get(const struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes *value)
{
	bool there;
	size_t i = place(a, type, &there);

	*value = there ? BYTES(a->at[i].value, a->at[i].len) : NO_BYTES;
	return there;
}

bool attrs_has(const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes value;

	return attrs_get(a, type, &value);
}

bool attrs_get_bool(const struct attrs *a, CK_ATTRIBUTE_TYPE type, bool dflt)
{
	struct bytes value;

	if (!attrs_get(a, type, &value) || value.len != sizeof(CK_BBOOL))
		return dflt;
	return *value.ptr != CK_FALSE;
}

CK_ULONG attrs_get_ulong(const struct attrs *a, CK_ATTRIBUTE_TYPE type, CK_ULONG dflt)
{
	struct bytes value;
	CK_ULONG v;

	if (!attrs_get(a, type, &value) || value.len != sizeof v)
		return dflt;
	memcpy(&v, value.ptr, sizeof v);
	return v;
}

/* Attribute arrays: what CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE and CKA_DERIVE_TEMPLATE hold.
 *
 * An application's array is full of pointers, so it is taken apart at once.  The stored form is what base/record.c
 * writes out as "attributes": one after the other, in rising order of type, each type once, a CK_ULONG as a number of
 * any word size.  That makes it the same for arrays that say the same, so that two are compared as bytes.  It is at
 * most NESTED_MAX_SIZE long and has no array in it: what the attributes of a key to be say of still other keys, nobody
 * asked for. */
#include "template.h"

#include "policy.h"
#include "record.h"

/* The stored form has 63 bits for a type: one above would come back as another. */
#define TYPE_MAX ((uint64_t)INT64_MAX)

/* ---- import ---- */

static CK_RV emit(const struct attrs *a, struct buffer *out)
{
	CK_RV rv;

	for (size_t i = 0; i < attrs_count(a); i++) {
		struct bytes value;
		CK_ATTRIBUTE_TYPE type = attrs_at(a, i, &value);

		record_put_attribute(out, type, value);
	}
	rv = buffer_status(out);
	return rv == CKR_DEVICE_MEMORY ? CKR_ATTRIBUTE_VALUE_INVALID : rv; /* over the ceiling */
}

CK_RV nested_import(const CK_ATTRIBUTE *given, struct buffer *out)
{
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;
	CK_ATTRIBUTE entries[NESTED_MAX_COUNT];
	size_t n = given->ulValueLen / sizeof *entries;

	if (given->ulValueLen % sizeof *entries || n > NESTED_MAX_COUNT)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (n)
		memcpy(entries, given->pValue, n * sizeof *entries); /* it need not be aligned */
	for (size_t i = 0; i < n; i++) {
		if (policy_attribute_nested(entries[i].type))
			return CKR_TEMPLATE_INCONSISTENT;
		if (entries[i].type > TYPE_MAX)
			return CKR_ATTRIBUTE_TYPE_INVALID;
	}
	TRY(template_import(entries, n, &a));
	return emit(a, out);
}

/* ---- going through one ---- */

struct entry {
	CK_ATTRIBUTE_TYPE type;
	struct bytes value;
	CK_ULONG number; /* where a number's value lies */
};

static bool next(struct reader *r, struct entry *e)
{
	return record_next_attribute(r, &e->type, &e->value, &e->number);
}

static size_t count(struct bytes nested)
{
	struct reader r = reader_of(nested);
	struct entry e;
	size_t n = 0;

	while (next(&r, &e))
		n++;
	return n;
}

/* ---- what may stand in one ---- */

/* The key that the array is about, as far as it says. */
struct subject {
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE key_type;
};

static CK_ULONG number_of(const struct entry *e, CK_ULONG dflt)
{
	CK_ULONG n = dflt;

	if (e->value.len == sizeof n)
		memcpy(&n, e->value.ptr, sizeof n);
	return n;
}

static struct subject subject_of(struct bytes nested)
{
	struct subject s = {CK_UNAVAILABLE_INFORMATION, CK_UNAVAILABLE_INFORMATION};
	struct reader r = reader_of(nested);
	struct entry e;

	while (next(&r, &e)) {
		if (e.type == CKA_CLASS)
			s.class = number_of(&e, s.class);
		if (e.type == CKA_KEY_TYPE)
			s.key_type = number_of(&e, s.key_type);
	}
	return s;
}

static bool may_be(const struct policy *p, const struct subject *s)
{
	if (!policy_class_is_key(p->class))
		return false;
	if (s->class != CK_UNAVAILABLE_INFORMATION && s->class != p->class)
		return false;
	return s->key_type == CK_UNAVAILABLE_INFORMATION || s->key_type == p->key_type;
}

static CK_RV fits(const struct policy_row *outer, const struct policy_row *row, const struct entry *e)
{
	if (row->flags & outer->value)
		return CKR_ATTRIBUTE_READ_ONLY;
	/* An array can be read: it is no place for a secret. */
	if (row->flags & ROW_SECRET)
		return CKR_TEMPLATE_INCONSISTENT;
	if (!policy_value_ok(row, e->value))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	/* Footnote 10: the SO gives it, to a key that is there; a user's array would give it in the SO's next call. */
	return outer->value && row->flags & ROW_SO && *e->value.ptr == CK_TRUE ? CKR_ATTRIBUTE_READ_ONLY : CKR_OK;
}

/* One kind of key that takes it is enough. */
static CK_RV check_entry(const struct policy_row *outer, const struct subject *s, const struct entry *e)
{
	CK_RV rv = policy_attribute_known(e->type) ? CKR_TEMPLATE_INCONSISTENT : CKR_ATTRIBUTE_TYPE_INVALID;
	const struct policy *p;

	for (size_t i = 0; (p = policy_at(i)); i++) {
		const struct policy_row *row = may_be(p, s) ? policy_row(p, e->type) : NULL;

		if (!row)
			continue;
		rv = fits(outer, row, e);
		if (rv == CKR_OK)
			return CKR_OK;
	}
	return rv;
}

CK_RV nested_check(const struct policy_row *row, struct bytes nested)
{
	struct subject s = subject_of(nested);
	struct reader r = reader_of(nested);
	struct entry e;

	while (next(&r, &e))
		TRY(check_entry(row, &s, &e));
	return r.ok ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

/* ---- reading ---- */

/* One entry by 5.7.5: the type is always told. */
static CK_RV read_entry(const struct entry *e, CK_ATTRIBUTE *a)
{
	CK_ULONG room = a->ulValueLen;

	a->type = e->type;
	a->ulValueLen = e->value.len;
	if (!a->pValue)
		return CKR_OK;
	if (e->value.len > room) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_BUFFER_TOO_SMALL;
	}
	if (e->value.len)
		memcpy(a->pValue, e->value.ptr, e->value.len);
	return CKR_OK;
}

static CK_RV read_entries(struct bytes nested, uint8_t *array)
{
	struct reader r = reader_of(nested);
	CK_RV rv = CKR_OK;
	struct entry e;

	for (; next(&r, &e); array += sizeof(CK_ATTRIBUTE)) {
		CK_ATTRIBUTE a;
		CK_RV one;

		memcpy(&a, array, sizeof a); /* it need not be aligned */
		one = read_entry(&e, &a);
		memcpy(array, &a, sizeof a);
		if (one != CKR_OK)
			rv = one;
	}
	return r.ok ? rv : CKR_DEVICE_ERROR;
}

CK_RV nested_read(struct bytes nested, CK_ATTRIBUTE *a)
{
	CK_ULONG room = a->ulValueLen, need = count(nested) * sizeof(CK_ATTRIBUTE);

	a->ulValueLen = need;
	if (!a->pValue)
		return CKR_OK;
	if (need > room) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_BUFFER_TOO_SMALL;
	}
	return read_entries(nested, a->pValue);
}

/* ---- acting on one ---- */

static bool has(const struct attrs *object, const struct entry *e)
{
	const struct policy *p = policy_of(object);
	const struct policy_row *row = p ? policy_row(p, e->type) : NULL;
	struct bytes value;

	if (!attrs_get(object, e->type, &value) && (!row || row->dflt == DEFAULT_F4 || !policy_default(row, &value)))
		return false;
	return bytes_equal(value, e->value);
}

bool template_matches(const struct attrs *object, struct bytes nested)
{
	struct reader r = reader_of(nested);
	struct entry e;

	while (next(&r, &e))
		if (!has(object, &e))
			return false;
	return r.ok;
}

CK_RV template_add_nested(struct attrs *given, struct bytes nested)
{
	struct attrs *more CLEANUP(attrs_cleanup) = attrs_new();
	struct reader r = reader_of(nested);
	struct bytes said;
	struct entry e;

	if (!more)
		return CKR_HOST_MEMORY;
	while (next(&r, &e)) {
		if (!attrs_get(given, e.type, &said))
			TRY(attrs_set(more, e.type, e.value));
		else if (!bytes_equal(said, e.value))
			return CKR_TEMPLATE_INCONSISTENT;
	}
	return r.ok ? attrs_merge(given, more) : CKR_DEVICE_ERROR;
}

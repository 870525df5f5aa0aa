/* What a value must look like: one check per kind of policy row. */
#include "policy.h"

static bool within(const struct policy_row *row, CK_ULONG n)
{
	return n >= row->min && (!row->max || n <= row->max);
}

static bool bytes_ok(const struct policy_row *row, struct bytes v)
{
	return within(row, v.len);
}

static bool bool_ok(const struct policy_row *row UNUSED, struct bytes v)
{
	return v.len == sizeof(CK_BBOOL) && (*v.ptr == CK_TRUE || *v.ptr == CK_FALSE);
}

static bool ulong_ok(const struct policy_row *row, struct bytes v)
{
	CK_ULONG n;

	if (v.len != sizeof n)
		return false;
	memcpy(&n, v.ptr, sizeof n);
	return within(row, n);
}

static bool number_ok(const struct policy_row *row UNUSED, struct bytes v)
{
	return v.len > 0;
}

static bool digits(const uint8_t *p, size_t n, unsigned min, unsigned max)
{
	unsigned v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	return v >= min && v <= max;
}

/* CK_DATE: "YYYYMMDD"; that an empty one has length 0 says 3.4. */
static bool date_ok(const struct policy_row *row UNUSED, struct bytes v)
{
	if (v.len != sizeof(CK_DATE))
		return v.len == 0;
	return digits(v.ptr, 4, 0, 9999) && digits(v.ptr + 4, 2, 1, 12) && digits(v.ptr + 6, 2, 1, 31);
}

static bool mechs_ok(const struct policy_row *row UNUSED, struct bytes v)
{
	return v.len % sizeof(CK_MECHANISM_TYPE) == 0;
}

/* nested_import() made it, and nested_check() looks into it. */
static bool template_ok(const struct policy_row *row UNUSED, struct bytes v UNUSED)
{
	return true;
}

static bool place_ok(const struct policy_row *row UNUSED, struct bytes v)
{
	static const struct bytes places[] = {
		{(const uint8_t *)"tpm", 3}, {(const uint8_t *)"kernel", 6}, {(const uint8_t *)"process", 7},
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (bytes_equal(v, places[i]))
			return true;
	return false;
}

bool policy_value_ok(const struct policy_row *row, struct bytes value)
{
	static bool (*const checks[VALUE_KINDS])(const struct policy_row *row, struct bytes v) = {
		[VALUE_BYTES] = bytes_ok,
		[VALUE_BOOL] = bool_ok,
		[VALUE_ULONG] = ulong_ok,
		[VALUE_NUMBER] = number_ok,
		[VALUE_DATE] = date_ok,
		[VALUE_MECHS] = mechs_ok,
		[VALUE_TEMPLATE] = template_ok,
		[VALUE_NO_TEMPLATE] = template_ok,
		[VALUE_PLACE] = place_ok,
	};

	return checks[row->kind](row, value);
}

/* module/policy.c: the rows against a reviewed listing, and what must hold for any row. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "policy.h"
#include "record.h"

#define FOR_EACH_POLICY(p) for (size_t p##_i = 0; ((p) = policy_at(p##_i)); p##_i++)
#define FOR_EACH_ROW(p, r) for (size_t r##_i = 0; ((r) = policy_row_at(p, r##_i)); r##_i++)

static const char *const kinds[VALUE_KINDS] = {
	[VALUE_BYTES] = "bytes", [VALUE_BOOL] = "bool",   [VALUE_ULONG] = "ulong",       [VALUE_NUMBER] = "number",
	[VALUE_DATE] = "date",   [VALUE_MECHS] = "mechs", [VALUE_TEMPLATE] = "template",
	[VALUE_NO_TEMPLATE] = "no-template", [VALUE_PLACE] = "place",
};
static const char *const defaults[DEFAULTS] = {
	[DEFAULT_NONE] = "-",
	[DEFAULT_FALSE] = "false",
	[DEFAULT_TRUE] = "true",
	[DEFAULT_EMPTY] = "empty",
	[DEFAULT_ULONG] = "value",
	[DEFAULT_F4] = "65537",
	[DEFAULT_UNLESS_UNWRAPPED] = "unless-unwrapped",
};

/* "1,4,6,7": the footnotes of the specification; C is "by C_CopyObject only". */
static void print_flags(FILE *out, uint32_t flags)
{
	const char *comma = "";

	for (unsigned i = 1; i <= 16; i++) {
		if (!(flags & 1u << i))
			continue;
		if (i == 16)
			fprintf(out, "%sC", comma);
		else
			fprintf(out, "%s%u", comma, i);
		comma = ",";
	}
	fprintf(out, "%s\n", flags ? "" : "-");
}

static void print_policies(FILE *out)
{
	const struct policy *p;
	const struct policy_row *r;

	FOR_EACH_POLICY(p)
	{
		FOR_EACH_ROW(p, r)
		{
			if (policy_row(p, r->type) != r)
				continue;
			fprintf(out, "%lu\t0x%lx\t0x%lx\t%s\t%s\t", p->class, p->key_type, r->type, kinds[r->kind],
				r->origin ? "module" : defaults[r->dflt]);
			print_flags(out, r->flags);
		}
	}
}

static char *next_line(FILE *f, char *line, size_t size)
{
	do
		if (!fgets(line, (int)size, f))
			return NULL;
	while (*line == '#');
	return line;
}

/* A change of the policy is a change of policy.tsv in the same commit, read by a human.  To list anew:
 * SIGNET_TEST_LIST=FILE test_policy */
Test(policy, rows_are_the_reviewed_ones)
{
	char want[256], is[256];
	const char *list = secure_getenv("SIGNET_TEST_LIST");
	FILE *out = list ? fopen(list, "w+") : tmpfile(), *in;

	cr_assert(out);
	print_policies(out);
	rewind(out);
	in = fopen(VECTORS "/policy.tsv", "r");
	cr_assert(in);
	while (next_line(in, want, sizeof want)) {
		cr_assert(next_line(out, is, sizeof is), "missing: %s", want);
		cr_assert_str_eq(is, want);
	}
	cr_assert(!next_line(out, is, sizeof is), "not in policy.tsv: %s", is);
	fclose(in);
	fclose(out);
}

Test(policy, a_default_fits_its_row)
{
	const struct policy *p;
	const struct policy_row *r;

	FOR_EACH_POLICY(p)
	{
		FOR_EACH_ROW(p, r)
		{
			bool is_bool = r->dflt == DEFAULT_FALSE || r->dflt == DEFAULT_TRUE ||
				       r->dflt == DEFAULT_UNLESS_UNWRAPPED;

			cr_assert(!is_bool || r->kind == VALUE_BOOL, "0x%lx", r->type);
			cr_assert(r->dflt != DEFAULT_ULONG || r->kind == VALUE_ULONG, "0x%lx", r->type);
			cr_assert(r->dflt != DEFAULT_EMPTY || r->kind == VALUE_BYTES || r->kind == VALUE_DATE, "0x%lx",
				  r->type);
			cr_assert(r->dflt != DEFAULT_F4 || r->kind == VALUE_NUMBER, "0x%lx", r->type);
			/* Every boolean of a class exists in every object of it. */
			cr_assert(r->kind != VALUE_BOOL || is_bool, "0x%lx", r->type);
		}
	}
}

Test(policy, flags_fit_their_row)
{
	const struct policy *p;
	const struct policy_row *r;

	FOR_EACH_POLICY(p)
	{
		FOR_EACH_ROW(p, r)
		{
			uint32_t latches = ROW_ONLY_TRUE | ROW_ONLY_FALSE;

			cr_assert(!(r->flags & (latches | ROW_SO)) || r->kind == VALUE_BOOL, "0x%lx", r->type);
			cr_assert((r->flags & latches) != latches, "0x%lx", r->type);
			cr_assert(!(r->flags & latches) || (r->flags & (ROW_SET | ROW_COPY)), "0x%lx", r->type);
			cr_assert(!(r->flags & ROW_NEED_CREATE) || !(r->flags & ROW_DENY_CREATE), "0x%lx", r->type);
			cr_assert(!(r->flags & ROW_NEED_GENERATE) || !(r->flags & ROW_DENY_GENERATE), "0x%lx", r->type);
			cr_assert(!(r->flags & ROW_SECRET) || !(r->flags & ROW_SET), "0x%lx", r->type);
			cr_assert(!r->origin || (r->flags & ROW_DENY) == ROW_DENY, "0x%lx", r->type);
		}
	}
}

Test(policy, secrets_are_in_secret_classes_only)
{
	const struct policy *p;
	const struct policy_row *r;

	FOR_EACH_POLICY(p)
	{
		FOR_EACH_ROW(p, r)
		{
			bool secret = p->class == CKO_PRIVATE_KEY || p->class == CKO_SECRET_KEY;

			cr_assert(secret || !(r->flags & ROW_SECRET), "0x%lx", r->type);
		}
		if (p->class == CKO_PRIVATE_KEY || p->class == CKO_SECRET_KEY)
			cr_assert(policy_row(p, CKA_SENSITIVE) && policy_row(p, CKA_EXTRACTABLE));
	}
	cr_assert(policy_attribute_secret(CKA_VALUE));
	cr_assert(policy_attribute_secret(CKA_PRIVATE_EXPONENT));
	cr_assert(!policy_attribute_secret(CKA_MODULUS));
}

/* base/record.c can't see the rows, so it has a list of its own. */
Test(policy, what_is_secret_is_stored_sealed)
{
	const struct policy *p;
	const struct policy_row *r;

	FOR_EACH_POLICY(p)
	FOR_EACH_ROW(p, r)
	cr_expect(!(r->flags & ROW_SECRET) || record_seals(p->class, r->type), "0x%lx", r->type);
}

Test(policy, particular_rows_win)
{
	const struct policy *aes = policy_find(CKO_SECRET_KEY, CKK_AES);
	const struct policy *hmac = policy_find(CKO_SECRET_KEY, CKK_SHA256_HMAC);

	cr_assert_eq(policy_row(aes, CKA_ENCRYPT)->dflt, DEFAULT_TRUE);
	cr_assert_eq(policy_row(aes, CKA_SIGN)->dflt, DEFAULT_FALSE);
	cr_assert_eq(policy_row(hmac, CKA_ENCRYPT)->dflt, DEFAULT_FALSE);
	cr_assert_eq(policy_row(hmac, CKA_SIGN)->dflt, DEFAULT_TRUE);
	cr_assert_eq(policy_row(aes, CKA_PRIVATE)->dflt, DEFAULT_TRUE);
}

Test(policy, lookups)
{
	cr_assert_null(policy_find(CKO_DOMAIN_PARAMETERS, CKK_EC));
	cr_assert_null(policy_find(CKO_PUBLIC_KEY, CKK_DSA));
	cr_assert_null(policy_find(CKO_PUBLIC_KEY, CKK_AES));
	cr_assert_eq(policy_find(CKO_DATA, CKK_AES), policy_find(CKO_DATA, CK_UNAVAILABLE_INFORMATION));
	cr_assert_null(policy_row(policy_find(CKO_DATA, 0), CKA_MODULUS));
	cr_assert(policy_attribute_known(CKA_MODULUS));
	cr_assert(policy_attribute_known(CKA_PRIME));
	cr_assert(!policy_attribute_known(CKA_VENDOR_DEFINED | 0x1234));
	cr_assert(!policy_attribute_known(0x7ffffff0));
}

Test(policy, attribute_arrays_are_known_by_type)
{
	const struct policy *p;
	const struct policy_row *r;

	FOR_EACH_POLICY(p)
	FOR_EACH_ROW(p, r)
	cr_expect_eq(policy_attribute_nested(r->type), r->kind == VALUE_TEMPLATE, "0x%lx", r->type);
}

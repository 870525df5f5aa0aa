/* The arithmetic of an imported RSA key: the members that its owner left out, and whether the given ones fit. */
#include <openssl/core_names.h>

#include "soft_internal.h"

const CK_ATTRIBUTE_TYPE soft_rsa_attrs[RSA_MEMBERS] = {
	[RSA_N] = CKA_MODULUS, [RSA_E] = CKA_PUBLIC_EXPONENT, [RSA_D] = CKA_PRIVATE_EXPONENT,
	[RSA_P] = CKA_PRIME_1, [RSA_Q] = CKA_PRIME_2, [RSA_DP] = CKA_EXPONENT_1,
	[RSA_DQ] = CKA_EXPONENT_2, [RSA_QINV] = CKA_COEFFICIENT,
};

const char *const soft_rsa_params[RSA_MEMBERS] = {
	[RSA_N] = OSSL_PKEY_PARAM_RSA_N, [RSA_E] = OSSL_PKEY_PARAM_RSA_E, [RSA_D] = OSSL_PKEY_PARAM_RSA_D,
	[RSA_P] = OSSL_PKEY_PARAM_RSA_FACTOR1, [RSA_Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
	[RSA_DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1, [RSA_DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
	[RSA_QINV] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

/* The numbers of one key.  v[i] has a value or is 0; all live in ctx. */
struct numbers {
	BN_CTX *ctx;
	BIGNUM *v[RSA_MEMBERS];
};

static void numbers_done(struct numbers *n)
{
	if (n->ctx)
		BN_CTX_end(n->ctx);
	BN_CTX_free(n->ctx); /* clears all of them */
}

static CK_RV numbers_read(struct numbers *n, const struct attrs *a)
{
	n->ctx = BN_CTX_secure_new_ex(crypto_lib());
	if (!n->ctx)
		return crypto_failed("RSA key", CKR_HOST_MEMORY);
	BN_CTX_start(n->ctx);
	for (size_t i = 0; i < RSA_MEMBERS; i++) {
		struct bytes v = soft_integer(a, soft_rsa_attrs[i]);

		if (v.len > RSA_MAX_BYTES)
			return CKR_ATTRIBUTE_VALUE_INVALID;
		n->v[i] = BN_CTX_get(n->ctx);
		if (!n->v[i] || !BN_bin2bn(v.ptr, (int)v.len, n->v[i]))
			return crypto_failed("RSA key", CKR_HOST_MEMORY);
		if (i >= RSA_D)
			BN_set_flags(n->v[i], BN_FLG_CONSTTIME);
	}
	return CKR_OK;
}

CK_RV soft_set_number(struct attrs *a, CK_ATTRIBUTE_TYPE type, const BIGNUM *v, size_t pad_to)
{
	size_t len = MAX(pad_to, (size_t)BN_num_bytes(v));
	uint8_t *bytes CLEANUP(secret_cleanup) = secret_alloc(MAX(len, (size_t)1));

	if (!bytes)
		return CKR_HOST_MEMORY;
	if (BN_bn2binpad(v, bytes, (int)len) < 0)
		return crypto_failed("number", CKR_FUNCTION_FAILED);
	return attrs_set(a, type, BYTES(bytes, len));
}

/* 2^(e d) = 2 mod n holds for the right exponent, and for a wrong one with no chance worth the name. */
static bool is_exponent(struct numbers *n, BN_ULONG e, const BIGNUM *two_d)
{
	BIGNUM *exponent = BN_CTX_get(n->ctx), *r = BN_CTX_get(n->ctx);

	return r && BN_set_word(exponent, e) == 1 && BN_mod_exp(r, two_d, exponent, n->v[RSA_N], n->ctx) == 1 &&
	       BN_is_word(r, 2) && BN_set_word(n->v[RSA_E], e) == 1;
}

/* Without e and without the primes only trying helps: the exponents that are in use. */
static CK_RV guess_exponent(struct numbers *n)
{
	static const BN_ULONG common[] = {65537, 3, 17, 5, 7, 257, 35, 37};
	BIGNUM *two = BN_CTX_get(n->ctx), *two_d = BN_CTX_get(n->ctx);
	BN_MONT_CTX *mont = NULL;

	if (!two_d || BN_set_word(two, 2) != 1 ||
	    BN_mod_exp_mont_consttime(two_d, two, n->v[RSA_D], n->v[RSA_N], n->ctx, mont) != 1)
		return crypto_refused("RSA key", CKR_ATTRIBUTE_VALUE_INVALID);
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (is_exponent(n, common[i], two_d))
			return CKR_OK;
	return CKR_TEMPLATE_INCOMPLETE;
}

/* e = d^-1 mod lcm(p - 1, q - 1). */
static CK_RV exponent_from_primes(struct numbers *n)
{
	BIGNUM *p1 = BN_CTX_get(n->ctx), *q1 = BN_CTX_get(n->ctx), *gcd = BN_CTX_get(n->ctx);
	BIGNUM *lcm = BN_CTX_get(n->ctx);

	if (!lcm || !BN_sub(p1, n->v[RSA_P], BN_value_one()) || !BN_sub(q1, n->v[RSA_Q], BN_value_one()) ||
	    !BN_gcd(gcd, p1, q1, n->ctx) || !BN_mul(lcm, p1, q1, n->ctx) || !BN_div(lcm, NULL, lcm, gcd, n->ctx) ||
	    !BN_mod_inverse(n->v[RSA_E], n->v[RSA_D], lcm, n->ctx))
		return crypto_refused("RSA key", CKR_ATTRIBUTE_VALUE_INVALID);
	return CKR_OK;
}

/* One try to split n: with e d - 1 = 2^s r, the chain g^r, g^2r, g^4r … ends in 1, and for half of all g it comes
 * there from a square root of 1 other than 1 and -1, which shares just one prime with n (NIST SP 800-56B, C.1). */
static CK_RV try_split(struct numbers *n, BN_ULONG base, const BIGNUM *r, int s, bool *found)
{
	BIGNUM *y = BN_CTX_get(n->ctx), *x = BN_CTX_get(n->ctx), *minus_1 = BN_CTX_get(n->ctx);

	if (!minus_1 || !BN_sub(minus_1, n->v[RSA_N], BN_value_one()) || !BN_set_word(x, base) ||
	    !BN_mod_exp_mont_consttime(y, x, r, n->v[RSA_N], n->ctx, NULL))
		return crypto_failed("RSA primes", CKR_HOST_MEMORY);
	for (int i = 0; i < s && !BN_is_one(y) && BN_cmp(y, minus_1) != 0; i++) {
		if (!BN_mod_sqr(x, y, n->v[RSA_N], n->ctx))
			return crypto_failed("RSA primes", CKR_HOST_MEMORY);
		if (!BN_is_one(x)) {
			if (!BN_copy(y, x))
				return crypto_failed("RSA primes", CKR_HOST_MEMORY);
			continue;
		}
		if (!BN_sub_word(y, 1) || !BN_gcd(n->v[RSA_P], y, n->v[RSA_N], n->ctx))
			return crypto_failed("RSA primes", CKR_HOST_MEMORY);
		*found = true;
		return CKR_OK;
	}
	return CKR_OK;
}

/* p and q from n, e and d. */
static CK_RV find_primes(struct numbers *n)
{
	static const BN_ULONG bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53,
					 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131};
	BIGNUM *r = BN_CTX_get(n->ctx);
	bool found = false;
	int s = 0;

	if (!r || !BN_mul(r, n->v[RSA_E], n->v[RSA_D], n->ctx) || !BN_sub_word(r, 1))
		return crypto_failed("RSA primes", CKR_HOST_MEMORY);
	if (BN_is_zero(r) || BN_is_odd(r))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	while (!BN_is_bit_set(r, s))
		s++;
	if (!BN_rshift(r, r, s))
		return crypto_failed("RSA primes", CKR_HOST_MEMORY);
	BN_set_flags(r, BN_FLG_CONSTTIME);
	for (size_t i = 0; i < ARRAY_LEN(bases) && !found; i++) {
		BN_CTX_start(n->ctx);
		CK_RV rv = try_split(n, bases[i], r, s, &found);
		BN_CTX_end(n->ctx);
		TRY(rv);
	}
	return found ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

/* a b = 1 modulo `modulus` - less. */
static bool inverse_of(struct numbers *n, enum rsa_member a, enum rsa_member b, enum rsa_member modulus, BN_ULONG less)
{
	BIGNUM *m = BN_CTX_get(n->ctx), *r = BN_CTX_get(n->ctx);

	return r && BN_copy(m, n->v[modulus]) && BN_sub_word(m, less) &&
	       BN_mod_mul(r, n->v[a], n->v[b], m, n->ctx) && BN_is_one(r);
}

/* Primes that were found come in no order: theirs is the one that the given members of the CRT have. */
static void order_primes(struct numbers *n)
{
	bool dp = BN_is_zero(n->v[RSA_DP]) || inverse_of(n, RSA_DP, RSA_E, RSA_P, 1);
	bool dq = BN_is_zero(n->v[RSA_DQ]) || inverse_of(n, RSA_DQ, RSA_E, RSA_Q, 1);
	bool qinv = BN_is_zero(n->v[RSA_QINV]) || inverse_of(n, RSA_QINV, RSA_Q, RSA_P, 0);

	if (!dp || !dq || !qinv)
		BN_swap(n->v[RSA_P], n->v[RSA_Q]);
}

/* Fills in p and q: n divided by the one that is there, or both from the exponents. */
static CK_RV complete_primes(struct numbers *n)
{
	bool p = !BN_is_zero(n->v[RSA_P]), q = !BN_is_zero(n->v[RSA_Q]), none = !p && !q;

	if (p && q)
		return CKR_OK;
	if (none)
		TRY(find_primes(n));
	if (!BN_div(n->v[p || none ? RSA_Q : RSA_P], NULL, n->v[RSA_N], n->v[p || none ? RSA_P : RSA_Q], n->ctx))
		return crypto_refused("RSA primes", CKR_ATTRIBUTE_VALUE_INVALID);
	if (none)
		order_primes(n);
	return CKR_OK;
}

/* e d = 1 modulo p - 1; the prime's own exponent is d reduced. */
static CK_RV check_prime(struct numbers *n, enum rsa_member prime, enum rsa_member exponent)
{
	BIGNUM *less_1 = BN_CTX_get(n->ctx), *r = BN_CTX_get(n->ctx), *d = BN_CTX_get(n->ctx);

	if (!d || !BN_sub(less_1, n->v[prime], BN_value_one()) || BN_is_negative(less_1) || BN_is_zero(less_1))
		return crypto_refused("RSA key", CKR_ATTRIBUTE_VALUE_INVALID);
	if (!BN_mod(d, n->v[RSA_D], less_1, n->ctx) || !BN_mod_mul(r, d, n->v[RSA_E], less_1, n->ctx))
		return crypto_failed("RSA key", CKR_HOST_MEMORY);
	if (!BN_is_one(r))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (!BN_is_zero(n->v[exponent]) && BN_cmp(n->v[exponent], d) != 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return BN_copy(n->v[exponent], d) ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV check_and_reduce(struct numbers *n)
{
	BIGNUM *product = BN_CTX_get(n->ctx), *inverse = BN_CTX_get(n->ctx);

	if (!inverse || !BN_mul(product, n->v[RSA_P], n->v[RSA_Q], n->ctx))
		return crypto_failed("RSA key", CKR_HOST_MEMORY);
	if (BN_cmp(product, n->v[RSA_N]) != 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(check_prime(n, RSA_P, RSA_DP));
	TRY(check_prime(n, RSA_Q, RSA_DQ));
	if (!BN_mod_inverse(inverse, n->v[RSA_Q], n->v[RSA_P], n->ctx))
		return crypto_refused("RSA key", CKR_ATTRIBUTE_VALUE_INVALID);
	if (!BN_is_zero(n->v[RSA_QINV]) && BN_cmp(n->v[RSA_QINV], inverse) != 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return BN_copy(n->v[RSA_QINV], inverse) ? CKR_OK : CKR_HOST_MEMORY;
}

/* Before any arithmetic: what would take for ever or make no sense. */
static CK_RV check_sizes(const struct numbers *n)
{
	const BIGNUM *modulus = n->v[RSA_N];

	if (BN_is_zero(modulus) || BN_is_zero(n->v[RSA_D]))
		return CKR_TEMPLATE_INCOMPLETE;
	if (BN_num_bits(modulus) < (int)RSA_MIN_BITS || BN_num_bits(modulus) > (int)RSA_MAX_BITS)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (!BN_is_odd(modulus) || BN_cmp(n->v[RSA_D], modulus) >= 0 || BN_cmp(n->v[RSA_E], modulus) >= 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return CKR_OK;
}

CK_RV soft_rsa_complete(struct attrs *a)
{
	struct numbers n CLEANUP(numbers_done) = {.ctx = NULL};

	TRY(numbers_read(&n, a));
	TRY(check_sizes(&n));
	if (BN_is_zero(n.v[RSA_E]))
		TRY(BN_is_zero(n.v[RSA_P]) || BN_is_zero(n.v[RSA_Q]) ? guess_exponent(&n) : exponent_from_primes(&n));
	TRY(complete_primes(&n));
	TRY(check_and_reduce(&n));
	for (size_t i = 0; i < RSA_MEMBERS; i++)
		TRY(soft_set_number(a, soft_rsa_attrs[i], n.v[i], 0));
	return CKR_OK;
}

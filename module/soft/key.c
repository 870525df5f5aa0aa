/* Keys in this process's memory: from attributes to EVP_PKEY or bytes, and what is kept ready in them. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "soft_internal.h"

/* ---- attributes ---- */

struct bytes soft_integer(const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes v;

	(void)attrs_get(a, type, &v);
	while (v.len > 0 && v.ptr[0] == 0) {
		v.ptr++;
		v.len--;
	}
	return v;
}

CK_RV soft_curve(const struct attrs *a, bool edwards, const struct curve **ret)
{
	const struct curve *c;
	struct bytes params;
	bool malformed;

	if (!attrs_get(a, CKA_EC_PARAMS, &params))
		return CKR_TEMPLATE_INCOMPLETE;
	c = curve_by_params(params, &malformed);
	if (malformed)
		return CKR_DOMAIN_PARAMS_INVALID;
	if (!c || c->edwards != edwards)
		return CKR_CURVE_NOT_SUPPORTED;
	*ret = c;
	return CKR_OK;
}

CK_RV soft_family(const struct attrs *a, enum soft_family *ret)
{
	static const struct {
		CK_KEY_TYPE type;
		enum soft_family family;
	} rows[] = {
		{CKK_RSA, SOFT_RSA}, {CKK_EC, SOFT_EC}, {CKK_EC_EDWARDS, SOFT_EDWARDS}, {CKK_AES, SOFT_AES},
		{CKK_GENERIC_SECRET, SOFT_GENERIC}, {CKK_SHA_1_HMAC, SOFT_GENERIC}, {CKK_SHA224_HMAC, SOFT_GENERIC},
		{CKK_SHA256_HMAC, SOFT_GENERIC}, {CKK_SHA384_HMAC, SOFT_GENERIC}, {CKK_SHA512_HMAC, SOFT_GENERIC},
	};
	CK_KEY_TYPE type = attrs_get_ulong(a, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

	if (!attrs_has(a, CKA_KEY_TYPE))
		return CKR_TEMPLATE_INCOMPLETE;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type) {
			*ret = rows[i].family;
			return CKR_OK;
		}
	return CKR_KEY_TYPE_INCONSISTENT;
}

/* ---- EVP_PKEYs ---- */

/* Parameters for EVP_PKEY_fromdata().  Integers lie in native byte order in one wiped arena, since OSSL_PARAM_BLD
 * would leave copies of private ones in memory that nobody wipes. */
#define PARAMS_MAX 10
struct params {
	OSSL_PARAM at[PARAMS_MAX + 1];
	size_t n;
	uint8_t *arena;
	size_t used, cap;
};

static void params_done(struct params *p)
{
	secret_free(p->arena);
}

static CK_RV params_init(struct params *p, size_t cap)
{
	*p = (struct params){.cap = cap, .arena = secret_alloc(cap)};
	return p->arena ? CKR_OK : CKR_HOST_MEMORY;
}

static void params_integer(struct params *p, const char *name, struct bytes big_endian)
{
	uint8_t *to = p->arena + p->used;

	if (p->n == PARAMS_MAX || big_endian.len > p->cap - p->used)
		return; /* libcrypto then misses it; the callers' sums don't let it happen */
	for (size_t i = 0; i < big_endian.len; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		to[i] = big_endian.ptr[big_endian.len - 1 - i];
#else
		to[i] = big_endian.ptr[i];
#endif
	p->at[p->n++] = OSSL_PARAM_construct_BN(name, to, big_endian.len);
	p->used += big_endian.len;
}

static CK_RV params_to_pkey(struct params *p, const char *type, bool private, EVP_PKEY **ret)
{
	OSSL_LIB_CTX *lib = crypto_lib();
	EVP_PKEY_CTX *c CLEANUP(pkey_ctx_cleanup) = lib ? EVP_PKEY_CTX_new_from_name(lib, type, NULL) : NULL;
	EVP_PKEY *pkey = NULL;

	if (!c)
		return crypto_failed("key", CKR_HOST_MEMORY);
	p->at[p->n] = OSSL_PARAM_construct_end();
	if (EVP_PKEY_fromdata_init(c) != 1 ||
	    EVP_PKEY_fromdata(c, &pkey, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, p->at) != 1)
		return crypto_refused("key from its values", CKR_ATTRIBUTE_VALUE_INVALID);
	*ret = pkey;
	return CKR_OK;
}

/* What libcrypto wouldn't refuse, and later choke on. */
static CK_RV check_rsa_public(struct bytes n, struct bytes e)
{
	if (n.len == 0 || e.len == 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (n.len > RSA_PARSE_BYTES || e.len > n.len)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (n.ptr[n.len - 1] % 2 == 0 || e.ptr[e.len - 1] % 2 == 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return CKR_OK;
}

CK_RV soft_rsa_public(struct bytes n, struct bytes e, EVP_PKEY **ret)
{
	struct params p CLEANUP(params_done) = {.n = 0};

	TRY(check_rsa_public(n, e));
	TRY(params_init(&p, n.len + e.len));
	params_integer(&p, OSSL_PKEY_PARAM_RSA_N, n);
	params_integer(&p, OSSL_PKEY_PARAM_RSA_E, e);
	return params_to_pkey(&p, "RSA", false, ret);
}

/* All members that are there: libcrypto wants the five of the CRT together or none. */
static CK_RV rsa_private(const struct attrs *a, EVP_PKEY **ret)
{
	struct params p CLEANUP(params_done) = {.n = 0};
	struct bytes v[RSA_MEMBERS];
	size_t count = RSA_MEMBERS, sum = 0;

	for (size_t i = 0; i < RSA_MEMBERS; i++) {
		v[i] = soft_integer(a, soft_rsa_attrs[i]);
		if (v[i].len > v[RSA_N].len)
			return CKR_ATTRIBUTE_VALUE_INVALID;
		if (v[i].len == 0)
			count = RSA_P;
		sum += v[i].len;
	}
	if (v[RSA_D].len == 0)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(check_rsa_public(v[RSA_N], v[RSA_E]));
	TRY(params_init(&p, sum));
	for (size_t i = 0; i < count; i++)
		params_integer(&p, soft_rsa_params[i], v[i]);
	return params_to_pkey(&p, "RSA", true, ret);
}

CK_RV soft_ec_pkey(const struct curve *c, struct bytes point, struct bytes value, EVP_PKEY **ret)
{
	struct params p CLEANUP(params_done) = {.n = 0};

	if (value.len > c->order || (value.len == 0 && point.len == 0))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	TRY(params_init(&p, c->order));
	p.at[p.n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)c->name, 0);
	if (point.len > 0)
		p.at[p.n++] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point.ptr, point.len);
	if (value.len > 0)
		params_integer(&p, OSSL_PKEY_PARAM_PRIV_KEY, value);
	return params_to_pkey(&p, "EC", value.len > 0, ret);
}

CK_RV soft_edwards_public(const struct curve *c, struct bytes point, EVP_PKEY **ret)
{
	OSSL_LIB_CTX *lib = crypto_lib();
	EVP_PKEY *pkey = lib ? EVP_PKEY_new_raw_public_key_ex(lib, c->name, NULL, point.ptr, point.len) : NULL;

	if (!pkey)
		return crypto_refused("Edwards key", CKR_ATTRIBUTE_VALUE_INVALID);
	*ret = pkey;
	return CKR_OK;
}

/* ---- the families ---- */

static CK_RV load_rsa(struct soft_key *k, const struct attrs *a)
{
	static const CK_ATTRIBUTE_TYPE needed[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT};
	struct bytes n = soft_integer(a, CKA_MODULUS), d = soft_integer(a, CKA_PRIVATE_EXPONENT);
	uint8_t padded[RSA_PARSE_BYTES];
	CK_RV rv;

	for (size_t i = 0; i < (k->private ? 3u : 2u); i++)
		if (!attrs_has(a, needed[i]))
			return CKR_TEMPLATE_INCOMPLETE;
	if (k->private)
		TRY(rsa_private(a, &k->pkey));
	else
		TRY(soft_rsa_public(n, soft_integer(a, CKA_PUBLIC_EXPONENT), &k->pkey));
	k->size = (size_t)EVP_PKEY_get_bits(k->pkey);
	k->max_output = n.len;
	if (!k->private)
		return CKR_OK;
	memset(padded, 0, n.len - d.len);
	memcpy(padded + n.len - d.len, d.ptr, d.len);
	rv = hash_once(&crypto_hashes[HASH_SHA256], BYTES(padded, n.len), k->kdk.b);
	wipe(padded, n.len);
	return rv;
}

static CK_RV load_ec(struct soft_key *k, const struct attrs *a)
{
	struct bytes point = NO_BYTES, value = NO_BYTES, given;

	TRY(soft_curve(a, false, &k->curve));
	if (!attrs_has(a, k->private ? CKA_VALUE : CKA_EC_POINT))
		return CKR_TEMPLATE_INCOMPLETE;
	if (k->private) {
		value = soft_integer(a, CKA_VALUE); /* signing needs no point */
		if (value.len == 0)
			return CKR_ATTRIBUTE_VALUE_INVALID;
	} else {
		(void)attrs_get(a, CKA_EC_POINT, &given);
		if (!ec_point_unwrap(given, k->curve, &point))
			return CKR_ATTRIBUTE_VALUE_INVALID;
	}
	k->size = k->curve->bits;
	k->max_output = 2 * k->curve->order;
	return soft_ec_pkey(k->curve, point, value, &k->pkey);
}

static CK_RV load_edwards(struct soft_key *k, const struct attrs *a)
{
	OSSL_LIB_CTX *lib = crypto_lib();
	struct bytes given, point;

	TRY(soft_curve(a, true, &k->curve));
	if (!attrs_get(a, k->private ? CKA_VALUE : CKA_EC_POINT, &given))
		return CKR_TEMPLATE_INCOMPLETE;
	k->size = EDWARDS_BITS;
	k->max_output = 2 * k->curve->order;
	if (!k->private) {
		if (!ec_point_unwrap(given, k->curve, &point))
			return CKR_ATTRIBUTE_VALUE_INVALID;
		return soft_edwards_public(k->curve, point, &k->pkey);
	}
	if (given.len != k->curve->field)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	k->pkey = lib ? EVP_PKEY_new_raw_private_key_ex(lib, k->curve->name, NULL, given.ptr, given.len) : NULL;
	return k->pkey ? CKR_OK : crypto_failed("Edwards key", CKR_HOST_MEMORY);
}

static CK_RV load_secret(struct soft_key *k, const struct attrs *a)
{
	struct bytes value;

	if (!attrs_get(a, CKA_VALUE, &value))
		return CKR_TEMPLATE_INCOMPLETE;
	if (value.len == 0 || value.len > SECRET_MAX)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (k->family == SOFT_AES && value.len != 16 && value.len != 24 && value.len != 32)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	k->secret = secret_alloc(value.len);
	if (!k->secret)
		return CKR_HOST_MEMORY;
	memcpy(k->secret, value.ptr, value.len);
	k->size = k->max_output = value.len;
	return CKR_OK;
}

static const struct {
	bool secret;
	CK_RV (*load)(struct soft_key *k, const struct attrs *a);
} families[] = {
	[SOFT_RSA] = {.load = load_rsa},
	[SOFT_EC] = {.load = load_ec},
	[SOFT_EDWARDS] = {.load = load_edwards},
	[SOFT_AES] = {.load = load_secret, .secret = true},
	[SOFT_GENERIC] = {.load = load_secret, .secret = true},
};

CK_RV soft_key_new(const struct attrs *attrs, struct soft_key **ret)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	struct soft_key *k CLEANUP(soft_key_cleanup) = NULL;
	enum soft_family family;

	if (!attrs_has(attrs, CKA_CLASS))
		return CKR_TEMPLATE_INCOMPLETE;
	TRY(soft_family(attrs, &family));
	if (class != CKO_SECRET_KEY && class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (families[family].secret != (class == CKO_SECRET_KEY))
		return CKR_KEY_TYPE_INCONSISTENT;
	k = calloc(1, sizeof *k);
	if (!k)
		return CKR_HOST_MEMORY;
	atomic_init(&k->refs, 1);
	k->family = family;
	k->private = class != CKO_PUBLIC_KEY;
	TRY(families[family].load(k, attrs));
	*ret = TAKE(k);
	return CKR_OK;
}

struct soft_key *soft_key_ref(struct soft_key *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void soft_key_unref(struct soft_key *k)
{
	if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < ARRAY_LEN(k->idle); i++)
		EVP_PKEY_CTX_free(atomic_load(&k->idle[i]));
	for (size_t i = 0; i < ARRAY_LEN(k->ciphers); i++)
		EVP_CIPHER_free(atomic_load(&k->ciphers[i]));
	for (size_t i = 0; i < ARRAY_LEN(k->macs); i++)
		EVP_MAC_CTX_free(atomic_load(&k->macs[i]));
	EVP_PKEY_free(k->pkey);
	secret_free(k->secret);
	wipe(k, sizeof *k);
	free(k);
}

EVP_PKEY *soft_key_pkey(const struct soft_key *k)
{
	return k->pkey;
}

size_t soft_key_size(const struct soft_key *k)
{
	return k->size;
}

size_t soft_key_max_output(const struct soft_key *k)
{
	return k->max_output;
}

/* ---- what is kept ready ---- */

static int init_public(const struct soft_key *k, EVP_PKEY_CTX *c)
{
	return k->family == SOFT_RSA ? EVP_PKEY_verify_recover_init(c) : EVP_PKEY_verify_init(c);
}

static EVP_PKEY_CTX *plain_ctx(struct soft_key *k)
{
	EVP_PKEY_CTX *c CLEANUP(pkey_ctx_cleanup) = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), k->pkey, NULL);

	if (!c || (k->private ? EVP_PKEY_sign_init(c) : init_public(k, c)) != 1 ||
	    (k->family == SOFT_RSA && EVP_PKEY_CTX_set_rsa_padding(c, RSA_NO_PADDING) != 1)) {
		(void)crypto_failed("context of a key", CKR_HOST_MEMORY);
		return NULL;
	}
	return TAKE(c);
}

/* libcrypto lets one context sign any number of times; making one costs two fetches by name, which would be a tenth
 * of an ECDSA signature. */
EVP_PKEY_CTX *soft_ctx_take(struct soft_key *k)
{
	EVP_PKEY_CTX *c;

	for (size_t i = 0; i < ARRAY_LEN(k->idle); i++) {
		c = atomic_exchange_explicit(&k->idle[i], NULL, memory_order_acquire);
		if (c)
			return c;
	}
	return plain_ctx(k);
}

void soft_ctx_give(struct soft_key *k, EVP_PKEY_CTX *c)
{
	for (size_t i = 0; i < ARRAY_LEN(k->idle); i++) {
		EVP_PKEY_CTX *none = NULL;

		if (atomic_compare_exchange_strong_explicit(&k->idle[i], &none, c, memory_order_release,
							    memory_order_relaxed))
			return;
	}
	EVP_PKEY_CTX_free(c);
}

EVP_CIPHER *soft_key_cipher(struct soft_key *k, enum aes_mode mode)
{
	static const char *const names[AES_MODES][3] = {
		[AES_ECB] = {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB"},
		[AES_CBC] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"},
		[AES_CTR] = {"AES-128-CTR", "AES-192-CTR", "AES-256-CTR"},
		[AES_CFB] = {"AES-128-CFB", "AES-192-CFB", "AES-256-CFB"}, /* of 128 bits */
		[AES_OFB] = {"AES-128-OFB", "AES-192-OFB", "AES-256-OFB"},
		[AES_GCM] = {"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"},
		[AES_KW] = {"AES-128-WRAP", "AES-192-WRAP", "AES-256-WRAP"},
		[AES_KWP] = {"AES-128-WRAP-PAD", "AES-192-WRAP-PAD", "AES-256-WRAP-PAD"},
	};
	EVP_CIPHER *have = atomic_load(&k->ciphers[mode]), *mine;
	OSSL_LIB_CTX *lib = crypto_lib();

	if (have)
		return have;
	mine = lib ? EVP_CIPHER_fetch(lib, names[mode][k->size / 8 - 2], NULL) : NULL;
	if (!mine || atomic_compare_exchange_strong(&k->ciphers[mode], &have, mine))
		return mine;
	EVP_CIPHER_free(mine);
	return have;
}

static EVP_MAC_CTX *keyed_mac(const struct soft_key *k, const struct hash *h)
{
	static const char *const cbc[] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"};
	OSSL_PARAM params[] = {
		h ? OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)h->name, 0)
		  : OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char *)cbc[k->size / 8 - 2], 0),
		OSSL_PARAM_END,
	};
	OSSL_LIB_CTX *lib = crypto_lib();
	EVP_MAC *mac = lib ? EVP_MAC_fetch(lib, h ? "HMAC" : "CMAC", NULL) : NULL;
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;

	EVP_MAC_free(mac); /* the context holds its own reference */
	if (c && EVP_MAC_init(c, k->secret, k->size, params) == 1)
		return c;
	EVP_MAC_CTX_free(c);
	return NULL;
}

EVP_MAC_CTX *soft_key_mac(struct soft_key *k, const struct hash *h)
{
	_Atomic(EVP_MAC_CTX *) *slot = &k->macs[h ? h->id : HASH_COUNT];
	EVP_MAC_CTX *have = atomic_load(slot), *mine;

	if (!have) {
		mine = keyed_mac(k, h);
		if (!mine)
			return NULL;
		if (atomic_compare_exchange_strong(slot, &have, mine))
			have = mine;
		else
			EVP_MAC_CTX_free(mine);
	}
	return EVP_MAC_CTX_dup(have);
}

/* What is offered, and the way from an application's CK_MECHANISM to a scheme. */
#include "mechanism.h"

#include "der.h"
#include "mech_rows.h"
#include "soft.h"

static const struct mech_rows *const families[] = {&mech_rsa_rows, &mech_ec_rows, &mech_sym_rows, &mech_mac_rows,
						 &mech_own_rows};

#define EC_FLAGS (CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_UNCOMPRESS | CKF_EC_COMPRESS)
/* What the front does itself for key pairs, with the public half (R4). */
#define PUBLIC_WORK (CKF_VERIFY | CKF_ENCRYPT | CKF_WRAP)

const struct mech *mech_find(CK_MECHANISM_TYPE type)
{
	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		for (size_t i = 0; i < families[f]->n; i++)
			if (families[f]->at[i].type == type)
				return &families[f]->at[i];
	return NULL;
}

static const struct token_mech *row_of(const struct token_mech *rows, size_t n, CK_MECHANISM_TYPE base)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].type == base)
			return &rows[i];
	return NULL;
}

/* Who does what with one mechanism. */
struct offer {
	CK_FLAGS front, token;            /* uses: of the front, of the token */
	const struct token_mech *soft;    /* limits of the front; NULL: none */
	const struct token_mech *row;     /* of the token; NULL: it has none */
	bool hardware;
};

/* To whoever does the work, wrapping is encryption, and unwrapping decryption. */
static CK_FLAGS with_wrapping(CK_FLAGS uses)
{
	return uses | (uses & CKF_ENCRYPT ? CKF_WRAP : 0) | (uses & CKF_DECRYPT ? CKF_UNWRAP : 0);
}

/* The token's own form of its keys: it has one or not, and no table says more. */
static struct offer export_offer(const struct slot *slot)
{
	bool can = slot->token->ops->export_key != NULL;

	return (struct offer){.token = can ? CKF_WRAP : 0, .hardware = can};
}

static CK_RV offer_of(struct slot *slot, const struct mech *m, struct offer *ret)
{
	const CK_FLAGS uses = m->flags & ~(CK_FLAGS)EC_FLAGS;
	const struct token_mech *rows;
	size_t n;

	*ret = m->exports ? export_offer(slot) : (struct offer){.front = uses & CKF_DIGEST};
	if (ret->front || m->exports)
		return CKR_OK;
	TRY(slot->token->ops->mechs(slot->token, &rows, &n));
	ret->soft = row_of(soft_mechs, soft_mechs_count, m->base);
	ret->row = row_of(rows, n, m->base);
	if (m->class == CKO_PRIVATE_KEY && ret->soft)
		ret->front = uses & PUBLIC_WORK & with_wrapping(ret->soft->flags);
	if (ret->row)
		ret->token = uses & with_wrapping(ret->row->flags) &
			     ~(m->class == CKO_PRIVATE_KEY ? (CK_FLAGS)PUBLIC_WORK : 0);
	ret->hardware = ret->token && ret->row->flags & CKF_HW;
	return CKR_OK;
}

CK_RV mech_info(struct slot *slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret)
{
	const struct mech *m = mech_find(type);
	const struct token_mech *limits;
	struct offer o;

	if (!m)
		return CKR_MECHANISM_INVALID;
	TRY(offer_of(slot, m, &o));
	if (!(o.front | o.token))
		return CKR_MECHANISM_INVALID;
	/* Where the token works, its limits are the ones that matter to who chooses a key. */
	limits = o.token ? o.row : o.soft;
	ret->ulMinKeySize = limits ? limits->min : 0;
	ret->ulMaxKeySize = limits ? limits->max : 0;
	ret->flags = o.front | o.token | (m->flags & EC_FLAGS);
	if (o.hardware)
		ret->flags |= CKF_HW;
	return CKR_OK;
}

CK_RV mech_list(struct slot *slot, CK_MECHANISM_TYPE *ret, CK_ULONG *ret_n)
{
	CK_ULONG n = 0, room = ret ? *ret_n : 0;
	struct offer o;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (size_t i = 0; i < families[f]->n; i++) {
			TRY(offer_of(slot, &families[f]->at[i], &o));
			if (!(o.front | o.token))
				continue;
			if (n < room)
				ret[n] = families[f]->at[i].type;
			n++;
		}
	}
	*ret_n = n;
	return ret && n > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV mech_param_read(const CK_MECHANISM *given, void *to, size_t n)
{
	if (!given->pParameter || given->ulParameterLen != n)
		return CKR_MECHANISM_PARAM_INVALID;
	memcpy(to, given->pParameter, n);
	return CKR_OK;
}

CK_RV mech_param_none(const CK_MECHANISM *given)
{
	return given->ulParameterLen == 0 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

CK_RV mech_param(const struct mech *m, const CK_MECHANISM *given, struct scheme *ret)
{
	struct scheme scheme = {.type = m->base, .hash = m->hash};

	TRY(m->param ? m->param(m, given, &scheme) : mech_param_none(given));
	*ret = scheme;
	return CKR_OK;
}

CK_RV mech_for(struct slot *slot, CK_MECHANISM_TYPE type, CK_FLAGS use, const struct mech **ret)
{
	const struct mech *m = mech_find(type);
	struct offer o;

	if (!m)
		return CKR_MECHANISM_INVALID;
	TRY(offer_of(slot, m, &o));
	if (!((o.front | o.token) & use))
		return CKR_MECHANISM_INVALID;
	*ret = m;
	return CKR_OK;
}

CK_RV mech_scheme(struct slot *slot, const CK_MECHANISM *given, CK_FLAGS use, const struct mech **ret_row,
		  struct scheme *ret)
{
	const struct mech *m;

	TRY(mech_for(slot, given->mechanism, use, &m));
	TRY(mech_param(m, given, ret));
	*ret_row = m;
	return CKR_OK;
}

/* Bits of a big-endian number. */
static size_t bits_of(struct bytes n)
{
	size_t bits;

	while (n.len > 0 && n.ptr[0] == 0)
		n = BYTES(n.ptr + 1, n.len - 1);
	if (n.len == 0)
		return 0;
	bits = n.len * 8;
	for (uint8_t top = n.ptr[0]; !(top & 0x80); top = (uint8_t)(top << 1))
		bits--;
	return bits;
}

static size_t modulus_bits(const struct attrs *key)
{
	struct bytes modulus;

	return attrs_get(key, CKA_MODULUS, &modulus) ? bits_of(modulus) : 0;
}

static size_t curve_bits(const struct attrs *key)
{
	const struct curve *c;
	struct bytes params;
	bool malformed;

	attrs_get(key, CKA_EC_PARAMS, &params);
	c = curve_by_params(params, &malformed);
	return c ? c->bits : 0;
}

static size_t value_bytes(const struct attrs *key)
{
	return attrs_get_ulong(key, CKA_VALUE_LEN, 0);
}

size_t mech_key_size(const struct attrs *key)
{
	static const struct {
		CK_KEY_TYPE type;
		size_t (*size)(const struct attrs *key);
	} rows[] = {{CKK_RSA, modulus_bits}, {CKK_EC, curve_bits}, {CKK_AES, value_bytes}};
	const CK_KEY_TYPE type = attrs_get_ulong(key, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return rows[i].size(key);
	return 0;
}

struct mech_lengths mech_lengths(const struct mech *m, const struct scheme *scheme, CK_FLAGS use,
				 const struct attrs *key)
{
	const bool opens = use == CKF_DECRYPT || use == CKF_UNWRAP;
	const struct mech_lengths *own = opens ? &m->sealed : &m->plain;
	const size_t modulus = (mech_key_size(key) + 7) / 8;

	if (m->key_type != CKK_RSA || modulus == 0)
		return own->max ? *own : (struct mech_lengths){0, MECH_WHOLE_MAX, 1};
	return opens ? (struct mech_lengths){modulus, modulus, 1} : mech_rsa_lengths(scheme, modulus);
}

CK_RV mech_key_fits(struct slot *slot, const struct mech *m, CK_FLAGS use, const struct scheme *scheme,
		    const struct attrs *key)
{
	const size_t size = mech_key_size(key);
	const struct token_mech *limits;
	struct offer o;

	TRY(offer_of(slot, m, &o));
	limits = o.front & use ? o.soft : o.row;
	if (size > 0 && limits && (size < limits->min || size > limits->max))
		return CKR_KEY_SIZE_RANGE;
	/* Hash, salt and two octets must fit in a block (RFC 8017, 7.1.1 and 9.1.1). */
	if (size > 0 && m->base == CKM_RSA_PKCS_PSS && scheme->hash->size + scheme->salt_len + 2 > (size + 6) / 8)
		return CKR_KEY_SIZE_RANGE;
	if (size > 0 && m->base == CKM_RSA_PKCS_OAEP && 2 * scheme->hash->size + 2 > (size + 7) / 8)
		return CKR_KEY_SIZE_RANGE;
	return CKR_OK;
}

CK_RV mech_print(const struct scheme *scheme, uint8_t ret[SCHEME_PRINT])
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, MECH_WHOLE_MAX);
	buffer_put_be64(&b, scheme->type);
	buffer_put_be64(&b, scheme->hash ? scheme->hash->mech : 0);
	buffer_put_be64(&b, scheme->mgf ? scheme->mgf->mech : 0);
	buffer_put_be64(&b, scheme->salt_len);
	buffer_put_be64(&b, scheme->tag_len);
	buffer_put_be64(&b, scheme->counter_bits);
	buffer_put_sized(&b, scheme->iv);
	buffer_put_sized(&b, scheme->aad);
	buffer_put_sized(&b, scheme->label);
	TRY(buffer_status(&b));
	return hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&b), ret);
}

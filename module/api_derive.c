/* C_DeriveKey (PKCS#11 3.2, 5.18.5) with elliptic-curve Diffie-Hellman (6.3.17, 6.3.18).  The backend gives the shared
 * point's x; the key derivation function, the length and the rules of the new key are here.
 *
 * Where the specification leaves the code open:
 *   - CKA_DERIVE is FALSE: CKR_KEY_HANDLE_INVALID, since CKR_KEY_FUNCTION_NOT_PERMITTED isn't on the list;
 *   - the other party's point isn't one of the curve's: CKR_MECHANISM_PARAM_INVALID;
 *   - CKA_VALUE_LEN is more than x has, without a function: CKR_KEY_SIZE_RANGE. */
#include "der.h"
#include "make.h"
#include "op_state.h"
#include "template.h"

/* The arguments of C_DeriveKey. */
struct derive_request {
	const CK_MECHANISM *mech;
	CK_OBJECT_HANDLE base;
	const CK_ATTRIBUTE *templ;
	CK_ULONG count;
};

/* What the new key is made from. */
struct agreement {
	struct mech_ecdh ecdh; /* its point is uncompressed */
	size_t field;          /* bytes of x */
	size_t len;            /* bytes of the key */
};

static CK_RV read_parameter(const CK_MECHANISM *given, const struct attrs *base, struct agreement *ret)
{
	const struct curve *curve;
	struct bytes params;
	bool malformed;

	TRY(mech_ecdh(given, &ret->ecdh));
	(void)attrs_get(base, CKA_EC_PARAMS, &params);
	curve = curve_by_params(params, &malformed);
	if (!curve)
		return CKR_KEY_TYPE_INCONSISTENT;
	/* Bare or in an OCTET STRING: 6.3.16 lets an application send either. */
	if (!ec_point_unwrap(ret->ecdh.point, curve, &ret->ecdh.point))
		return CKR_MECHANISM_PARAM_INVALID;
	ret->field = curve->field;
	return CKR_OK;
}

/* Without CKA_VALUE_LEN, a secret of any length is as long as x; a function, and AES, need to be told. */
static CK_RV key_length(const struct attrs *new, struct agreement *a)
{
	bool any = attrs_get_ulong(new, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION) != CKK_AES;

	a->len = attrs_get_ulong(new, CKA_VALUE_LEN, 0);
	if (a->len == 0 && any && !a->ecdh.kdf)
		a->len = a->field;
	if (a->len == 0)
		return CKR_TEMPLATE_INCOMPLETE;
	return a->ecdh.kdf || a->len <= a->field ? CKR_OK : CKR_KEY_SIZE_RANGE;
}

/* All attributes but the value.  A key of no type is a generic secret. */
static CK_RV derived_attrs(struct session *s, const struct object *base, const struct derive_request *r,
			   struct attrs **ret)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL;
	struct template_req req = {.stage = STAGE_DERIVE,
				   .mech = r->mech->mechanism,
				   .class = CKO_SECRET_KEY,
				   .key_type = CK_UNAVAILABLE_INFORMATION,
				   .from = base->obj->attrs};
	struct bytes nested;

	TRY(template_import(r->templ, r->count, &given));
	if (attrs_get(base->obj->attrs, CKA_DERIVE_TEMPLATE, &nested))
		TRY(template_add_nested(given, nested));
	if (!attrs_has(given, CKA_KEY_TYPE))
		TRY(attrs_set_ulong(given, CKA_KEY_TYPE, CKK_GENERIC_SECRET));
	req.given = given;
	return template_new_object(s, &req, ret);
}

static CK_RV agree(struct operation *op, const struct agreement *a, uint8_t *x)
{
	struct outbuf out = {.ptr = x, .cap = a->field};

	TRY(operation_once_run(op, a->ecdh.point, &out));
	return out.len == a->field ? CKR_OK : CKR_FUNCTION_FAILED;
}

static CK_RV set_value(struct operation *op, const struct agreement *a, struct attrs *new)
{
	uint8_t *x CLEANUP(secret_cleanup) = secret_alloc(a->field), *value CLEANUP(secret_cleanup) = NULL;
	struct bytes z = BYTES(x, a->field);

	value = secret_alloc(a->len);
	if (!x || !value)
		return CKR_HOST_MEMORY;
	TRY(agree(op, a, x));
	/* 6.3.17: what is too much goes from the leading end. */
	if (!a->ecdh.kdf)
		z = BYTES(x + a->field - a->len, a->len);
	TRY(soft_kdf_x963(a->ecdh.kdf, z, a->ecdh.shared, a->len, value));
	TRY(attrs_set(new, CKA_VALUE, BYTES(value, a->len)));
	return soft_complete(new);
}

static CK_RV derive_key(struct session *s, const struct derive_request *r, CK_OBJECT_HANDLE *ret)
{
	struct make_req req = {.kind = MAKE_DERIVE, .mech = r->mech->mechanism};
	struct operation *op CLEANUP(operation_cleanup) = NULL;
	struct attrs *new CLEANUP(attrs_cleanup) = NULL;
	struct agreement a = {0};
	CK_RV rv = operation_once(s, SESSION_DERIVE, r->mech, r->base, &op);

	if (rv == CKR_KEY_FUNCTION_NOT_PERMITTED)
		return CKR_KEY_HANDLE_INVALID;
	TRY(rv);
	TRY(read_parameter(r->mech, op->key->obj->attrs, &a));
	TRY(derived_attrs(s, op->key, r, &new));
	TRY(key_length(new, &a));
	TRY(set_value(op, &a, new));
	req.tmpl = new;
	return make_one(s, &req, ret);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE base_key,
		  CK_ATTRIBUTE_PTR templ, CK_ULONG attribute_count, CK_OBJECT_HANDLE_PTR key)
{
	const struct derive_request r = {.mech = mechanism, .base = base_key, .templ = templ, .count = attribute_count};
	struct call c;
	CK_RV rv = call_session(&c, FN_C_DeriveKey, session, mechanism && (templ || !attribute_count) && key);

	if (rv == CKR_OK)
		rv = derive_key(c.session, &r, key);
	return call_leave(&c, rv);
}

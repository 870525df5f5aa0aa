/* C_WrapKey and C_UnwrapKey (PKCS#11 3.2, 5.18.3 and 5.18.4).  To whoever does the work, wrapping is encryption of a
 * key's value and unwrapping is decryption; what may be wrapped by what, and what becomes of it, is decided here.
 *
 * Where the specification leaves the code open:
 *   - CKA_WRAP or CKA_UNWRAP is FALSE: CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID, since
 *     CKR_KEY_FUNCTION_NOT_PERMITTED is on neither list;
 *   - CKA_WRAP_WITH_TRUSTED, and the wrapping key isn't CKA_TRUSTED: CKR_KEY_NOT_WRAPPABLE;
 *   - a length that isn't the new key's: CKR_WRAPPED_KEY_LEN_RANGE.  With CKM_RSA_PKCS that is also what becomes of
 *     most blocks with bad padding: they decrypt to pseudo-random bytes of a pseudo-random length (rsa_unpad_pkcs1()),
 *     and nothing here tells them from a key.  With CKM_AES_CBC_PAD it is what becomes of all bad padding of a secret
 *     key: whether bytes are padding at all, and what length they say, has one code;
 *   - the zeros that CKM_AES_ECB, CKM_AES_CBC and CKM_RSA_X_509 fill up with aren't zeros: CKR_WRAPPED_KEY_INVALID.
 *     That tells something of the plaintext, but cutting off whatever is there would tell more: the check value of a
 *     key that is another one's first byte. */
#include "make.h"
#include "op_state.h"
#include "template.h"

#define AES_BLOCK 16
/* The longest value that is wrapped, before it is filled up. */
#define PLAIN_MAX (SECRET_MAX + AES_BLOCK)

/* The codes of an Init and of the work, under the names that they have in these two functions. */
struct alias {
	CK_RV rv, instead;
};

static CK_RV renamed(CK_RV rv, const struct alias *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].rv == rv)
			return rows[i].instead;
	return rv;
}

static CK_RV wrapping_code(CK_RV rv)
{
	static const struct alias rows[] = {
		{CKR_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID},
		{CKR_OBJECT_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID},
		{CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_WRAPPING_KEY_HANDLE_INVALID},
		{CKR_KEY_TYPE_INCONSISTENT, CKR_WRAPPING_KEY_TYPE_INCONSISTENT},
		{CKR_KEY_SIZE_RANGE, CKR_WRAPPING_KEY_SIZE_RANGE},
		{CKR_DATA_LEN_RANGE, CKR_KEY_SIZE_RANGE},
		{CKR_DATA_INVALID, CKR_KEY_SIZE_RANGE}, /* raw RSA: a number above the modulus */
	};

	return renamed(rv, rows, ARRAY_LEN(rows));
}

static CK_RV unwrapping_code(CK_RV rv)
{
	static const struct alias rows[] = {
		{CKR_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID},
		{CKR_OBJECT_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID},
		{CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_UNWRAPPING_KEY_HANDLE_INVALID},
		{CKR_KEY_TYPE_INCONSISTENT, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT},
		{CKR_KEY_SIZE_RANGE, CKR_UNWRAPPING_KEY_SIZE_RANGE},
		{CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_WRAPPED_KEY_LEN_RANGE},
		{CKR_ENCRYPTED_DATA_INVALID, CKR_WRAPPED_KEY_INVALID},
		{CKR_AEAD_DECRYPT_FAILED, CKR_WRAPPED_KEY_INVALID},
	};

	return renamed(rv, rows, ARRAY_LEN(rows));
}

/* ---- wrapping ---- */

/* The arguments of C_WrapKey. */
struct wrap_request {
	const CK_MECHANISM *mech;
	CK_OBJECT_HANDLE with, key;
};

/* Whether that key may leave at all, and under this one. */
static CK_RV check_wrapped(const struct operation *op, const struct object *o)
{
	const CK_OBJECT_CLASS class = attrs_get_ulong(o->obj->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	struct bytes nested;

	if (class == CKO_PUBLIC_KEY)
		return CKR_KEY_NOT_WRAPPABLE;
	if (!object_flag(o, CKA_EXTRACTABLE))
		return CKR_KEY_UNEXTRACTABLE;
	if (class == CKO_PRIVATE_KEY && !op->mech->wraps_private)
		return CKR_KEY_NOT_WRAPPABLE;
	if (object_flag(o, CKA_WRAP_WITH_TRUSTED) && !object_flag(op->key, CKA_TRUSTED))
		return CKR_KEY_NOT_WRAPPABLE;
	if (attrs_get(op->key->obj->attrs, CKA_WRAP_TEMPLATE, &nested) && !template_matches(o->obj->attrs, nested))
		return CKR_KEY_HANDLE_INVALID;
	return CKR_OK;
}

/* What will be encrypted. */
static CK_RV value_to_wrap(const struct mech *m, const struct object *o, struct buffer *out)
{
	buffer_init(out, PLAIN_MAX);
	TRY(soft_export(o->obj->attrs, out));
	while (m->filling == FILL_BEHIND && out->len % AES_BLOCK)
		buffer_put_u8(out, 0);
	return buffer_status(out);
}

/* CKR_BUFFER_TOO_SMALL with out->len the need. */
static CK_RV check_room(struct outbuf *out, size_t need)
{
	if (out->cap >= need)
		return CKR_OK;
	out->len = need;
	return CKR_BUFFER_TOO_SMALL;
}

static CK_RV wrap_value(struct operation *op, struct bytes value, struct outbuf *out)
{
	if (op->mech->input == INPUT_WHOLE && !op_length_fits(op, value.len))
		return CKR_KEY_SIZE_RANGE;
	TRY(check_room(out, operation_once_size(op, value.len)));
	return wrapping_code(operation_once_run(op, value, out));
}

static CK_RV wrap_key(struct session *s, const struct wrap_request *r, struct outbuf *out)
{
	struct operation *op CLEANUP(operation_cleanup) = NULL;
	struct buffer value CLEANUP(buffer_done) = {0};
	struct object *o;

	TRY(wrapping_code(operation_once(s, SESSION_WRAP, r->mech, r->with, &op)));
	TRY(op_find_key(s, r->key, &o));
	TRY(check_wrapped(op, o));
	TRY(value_to_wrap(op->mech, o, &value));
	return wrap_value(op, buffer_bytes(&value), out);
}

/* The token's own form of a key (CKM_SIGNET_TSS2_KEY).  CKA_EXTRACTABLE isn't asked: it speaks of the value, which
 * stays sealed under the hardware that has it.  But what the token demands of a key's user is lost with the new
 * authorization value, so a key that needs a trusted wrapper, a PIN for each use, or other mechanisms doesn't go. */
static CK_RV export_key(struct session *s, const struct wrap_request *r, struct outbuf *out)
{
	struct buffer form CLEANUP(buffer_done);
	struct token *tok = s->slot->token;
	struct object *o;

	buffer_init(&form, PLAIN_MAX);
	if (r->with != CK_INVALID_HANDLE)
		return CKR_WRAPPING_KEY_HANDLE_INVALID;
	TRY(op_find_key(s, r->key, &o));
	if (!op_mechanism_allowed(o->obj->attrs, r->mech->mechanism))
		return CKR_MECHANISM_INVALID;
	if (!slice_ok(r->mech->pParameter, r->mech->ulParameterLen))
		return CKR_MECHANISM_PARAM_INVALID;
	if (object_flag(o, CKA_WRAP_WITH_TRUSTED) || object_flag(o, CKA_ALWAYS_AUTHENTICATE))
		return CKR_KEY_NOT_WRAPPABLE;
	TRY(tok->ops->export_key(tok, o->obj, BYTES(r->mech->pParameter, r->mech->ulParameterLen), &form));
	TRY(buffer_status(&form));
	TRY(check_room(out, form.len));
	return outbuf_put(out, buffer_bytes(&form));
}

static CK_RV wrap_by(struct session *s, const struct wrap_request *r, struct outbuf *out)
{
	const struct mech *m;

	TRY(mech_for(s->slot, r->mech->mechanism, CKF_WRAP, &m));
	return m->exports ? export_key(s, r, out) : wrap_key(s, r, out);
}

CK_RV C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE wrapping_key,
		CK_OBJECT_HANDLE key, CK_BYTE_PTR wrapped_key, CK_ULONG_PTR wrapped_key_len)
{
	const struct wrap_request r = {.mech = mechanism, .with = wrapping_key, .key = key};
	struct outbuf out = {.ptr = wrapped_key};
	struct call c;
	CK_RV rv = call_session(&c, FN_C_WrapKey, session, mechanism && wrapped_key_len);

	if (rv == CKR_OK) {
		out.cap = wrapped_key ? *wrapped_key_len : 0;
		rv = wrap_by(c.session, &r, &out);
		if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)
			*wrapped_key_len = out.len;
		if (rv == CKR_BUFFER_TOO_SMALL && !wrapped_key) /* only the length was asked for */
			rv = CKR_OK;
	}
	return call_leave(&c, rv);
}

/* ---- unwrapping ---- */

/* The arguments of C_UnwrapKey. */
struct unwrap_request {
	const CK_MECHANISM *mech;
	CK_OBJECT_HANDLE with;
	struct bytes wrapped;
	const CK_ATTRIBUTE *templ;
	CK_ULONG count;
};

/* CKA_VALUE_LEN has to be there where neither mechanism nor key type say how long the key is (5.18.4).  Of an AES key
 * behind which zeros may stand, the blocks are its length. */
static bool length_is_open(const struct mech *m, const struct attrs *new)
{
	if (attrs_has(new, CKA_VALUE_LEN))
		return false;
	return m->filling == FILL_BEFORE ||
	       (m->filling == FILL_BEHIND && attrs_get_ulong(new, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION) != CKK_AES);
}

static CK_RV check_class(const struct mech *m, const struct attrs *new)
{
	switch (attrs_get_ulong(new, CKA_CLASS, CK_UNAVAILABLE_INFORMATION)) {
	case CKO_PRIVATE_KEY:
		return m->wraps_private ? CKR_OK : CKR_TEMPLATE_INCONSISTENT;
	case CKO_SECRET_KEY:
		return length_is_open(m, new) ? CKR_TEMPLATE_INCOMPLETE : CKR_OK;
	default:
		return CKR_TEMPLATE_INCONSISTENT;
	}
}

/* All attributes but the value: checked before anything is decrypted. */
static CK_RV unwrapped_attrs(struct session *s, const struct operation *op, const struct unwrap_request *r,
			     struct attrs **ret)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL, *new CLEANUP(attrs_cleanup) = NULL;
	struct template_req req = {.stage = STAGE_UNWRAP, .mech = r->mech->mechanism,
				   .class = CK_UNAVAILABLE_INFORMATION, .key_type = CK_UNAVAILABLE_INFORMATION};
	struct bytes nested;

	TRY(template_import(r->templ, r->count, &given));
	if (attrs_get(op->key->obj->attrs, CKA_UNWRAP_TEMPLATE, &nested))
		TRY(template_add_nested(given, nested));
	req.given = given;
	TRY(template_new_object(s, &req, &new));
	TRY(check_class(op->mech, new));
	*ret = TAKE(new);
	return CKR_OK;
}

static CK_RV decrypt(struct operation *op, struct bytes wrapped, struct outbuf *plain)
{
	size_t size;

	if (op->mech->input == INPUT_WHOLE && !op_length_fits(op, wrapped.len))
		return CKR_WRAPPED_KEY_LEN_RANGE;
	if (wrapped.len > PLAIN_MAX)
		return CKR_WRAPPED_KEY_LEN_RANGE;
	size = operation_once_size(op, wrapped.len);
	if (size > SECRET_MAX)
		return CKR_WRAPPED_KEY_LEN_RANGE;
	*plain = (struct outbuf){.ptr = secret_alloc(MAX(size, 1)), .cap = MAX(size, 1)};
	if (!plain->ptr)
		return CKR_HOST_MEMORY;
	return unwrapping_code(operation_once_run(op, wrapped, plain));
}

/* Whoever learns from a code whether the padding of blocks that he made up was good can decrypt with it, though he may
 * have nothing but sensitive keys of one length.  (Private keys: bad padding is as good as bad DER.) */
static CK_RV padding_code(const struct mech *m, const struct attrs *new, CK_RV rv)
{
	bool secret = attrs_get_ulong(new, CKA_CLASS, CK_UNAVAILABLE_INFORMATION) == CKO_SECRET_KEY;

	return rv == CKR_WRAPPED_KEY_INVALID && m->open_padding && secret ? CKR_WRAPPED_KEY_LEN_RANGE : rv;
}

static void plain_done(struct outbuf *plain)
{
	secret_free(plain->ptr);
}

/* In a time that doesn't depend on the bytes. */
static bool all_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

/* The key's own bytes of what was decrypted.  want: CKA_VALUE_LEN, or 0 if all of it is the key. */
static CK_RV cut(enum mech_filling filling, size_t want, struct bytes *value)
{
	size_t rest;

	if (want == 0 || want == value->len)
		return CKR_OK;
	if (filling == FILL_NONE || want > value->len)
		return CKR_WRAPPED_KEY_LEN_RANGE;
	rest = value->len - want;
	if (filling == FILL_BEHIND && rest >= AES_BLOCK)
		return CKR_WRAPPED_KEY_LEN_RANGE;
	if (!all_zero(filling == FILL_BEHIND ? value->ptr + want : value->ptr, rest))
		return CKR_WRAPPED_KEY_INVALID;
	*value = BYTES(filling == FILL_BEHIND ? value->ptr : value->ptr + rest, want);
	return CKR_OK;
}

static bool length_ok(const struct attrs *new, size_t n)
{
	if (attrs_get_ulong(new, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION) == CKK_AES)
		return n == 16 || n == 24 || n == 32;
	return n > 0;
}

static CK_RV set_secret(const struct mech *m, struct bytes value, struct attrs *new)
{
	TRY(cut(m->filling, attrs_get_ulong(new, CKA_VALUE_LEN, 0), &value));
	if (!length_ok(new, value.len))
		return CKR_WRAPPED_KEY_LEN_RANGE;
	TRY(attrs_set(new, CKA_VALUE, value));
	return soft_complete(new);
}

/* Nothing in the template can contradict the values, so what doesn't fit together came with the wrapped key. */
static CK_RV set_private(struct bytes info, struct attrs *new)
{
	static const struct alias rows[] = {
		{CKR_ATTRIBUTE_VALUE_INVALID, CKR_WRAPPED_KEY_INVALID},
		{CKR_TEMPLATE_INCOMPLETE, CKR_WRAPPED_KEY_INVALID},
		{CKR_TEMPLATE_INCONSISTENT, CKR_WRAPPED_KEY_INVALID},
	};

	TRY(soft_import(info, new));
	return renamed(soft_complete(new), rows, ARRAY_LEN(rows));
}

static CK_RV unwrap_key(struct session *s, const struct unwrap_request *r, CK_OBJECT_HANDLE *ret)
{
	struct make_req req = {.kind = MAKE_UNWRAP, .mech = r->mech->mechanism};
	struct operation *op CLEANUP(operation_cleanup) = NULL;
	struct attrs *new CLEANUP(attrs_cleanup) = NULL;
	struct outbuf plain CLEANUP(plain_done) = {0};
	struct bytes value;

	TRY(unwrapping_code(operation_once(s, SESSION_UNWRAP, r->mech, r->with, &op)));
	TRY(unwrapped_attrs(s, op, r, &new));
	TRY(padding_code(op->mech, new, decrypt(op, r->wrapped, &plain)));
	value = BYTES(plain.ptr, plain.len);
	TRY(attrs_get_ulong(new, CKA_CLASS, 0) == CKO_PRIVATE_KEY ? set_private(value, new)
								  : set_secret(op->mech, value, new));
	req.tmpl = new;
	return make_one(s, &req, ret);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping_key,
		  CK_BYTE_PTR wrapped_key, CK_ULONG wrapped_key_len, CK_ATTRIBUTE_PTR templ, CK_ULONG attribute_count,
		  CK_OBJECT_HANDLE_PTR key)
{
	const struct unwrap_request r = {.mech = mechanism, .with = unwrapping_key,
					 .wrapped = BYTES(wrapped_key, wrapped_key_len), .templ = templ,
					 .count = attribute_count};
	struct call c;
	CK_RV rv = call_session(&c, FN_C_UnwrapKey, session,
				mechanism && wrapped_key && slice_ok(wrapped_key, wrapped_key_len) &&
					(templ || !attribute_count) && key);

	if (rv == CKR_OK)
		rv = unwrap_key(c.session, &r, key);
	return call_leave(&c, rv);
}

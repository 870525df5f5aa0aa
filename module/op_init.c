/* The beginning of operations: every check of C_XxxInit, in order. */
#include "op_state.h"

#include "rv.h"

/* What each kind of operation asks of a mechanism and of a key. */
static const struct use {
	CK_FLAGS flag;
	CK_ATTRIBUTE_TYPE attribute;
	enum op_kind kind;
	bool public_half; /* of a key pair, which the front works with itself (R4) */
} uses[SESSION_OPS] = {
	[SESSION_ENCRYPT] = {.flag = CKF_ENCRYPT, .attribute = CKA_ENCRYPT, .kind = OP_ENCRYPT, .public_half = true},
	[SESSION_DECRYPT] = {.flag = CKF_DECRYPT, .attribute = CKA_DECRYPT, .kind = OP_DECRYPT},
	[SESSION_DIGEST] = {.flag = CKF_DIGEST},
	[SESSION_SIGN] = {.flag = CKF_SIGN, .attribute = CKA_SIGN, .kind = OP_SIGN},
	[SESSION_VERIFY] = {.flag = CKF_VERIFY, .attribute = CKA_VERIFY, .kind = OP_VERIFY, .public_half = true},
	[SESSION_WRAP] = {.flag = CKF_WRAP, .attribute = CKA_WRAP, .kind = OP_ENCRYPT, .public_half = true},
	[SESSION_UNWRAP] = {.flag = CKF_UNWRAP, .attribute = CKA_UNWRAP, .kind = OP_DECRYPT},
	[SESSION_DERIVE] = {.flag = CKF_DERIVE, .attribute = CKA_DERIVE, .kind = OP_DERIVE},
};

static CK_RV cancel(struct session *s, enum session_op which)
{
	if (!s->op[which])
		return CKR_MECHANISM_INVALID;
	operation_free(TAKE(s->op[which]));
	return CKR_OK;
}

CK_RV op_find_key(struct session *s, CK_OBJECT_HANDLE handle, struct object **ret)
{
	struct object *o = object_find(s, handle);
	CK_OBJECT_CLASS class;

	if (!o)
		return CKR_KEY_HANDLE_INVALID;
	class = attrs_get_ulong(o->obj->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	if (class != CKO_PUBLIC_KEY && class != CKO_PRIVATE_KEY && class != CKO_SECRET_KEY)
		return CKR_KEY_HANDLE_INVALID;
	*ret = o;
	return CKR_OK;
}

bool op_mechanism_allowed(const struct attrs *key, CK_MECHANISM_TYPE type)
{
	CK_MECHANISM_TYPE allowed;
	struct bytes list;

	if (!attrs_get(key, CKA_ALLOWED_MECHANISMS, &list) || list.len == 0)
		return true;
	for (size_t i = 0; i + sizeof allowed <= list.len; i += sizeof allowed) {
		memcpy(&allowed, list.ptr + i, sizeof allowed);
		if (allowed == type)
			return true;
	}
	return false;
}

/* The key types that name an HMAC go with that HMAC, as a generic secret goes with all of them (PKCS#11 3.2, 6.20). */
static bool key_type_fits(const struct mech *m, CK_KEY_TYPE type)
{
	static const struct {
		CK_KEY_TYPE type;
		CK_MECHANISM_TYPE base;
	} hmac_keys[] = {
		{CKK_SHA_1_HMAC, CKM_SHA_1_HMAC},   {CKK_SHA224_HMAC, CKM_SHA224_HMAC},
		{CKK_SHA256_HMAC, CKM_SHA256_HMAC}, {CKK_SHA384_HMAC, CKM_SHA384_HMAC},
		{CKK_SHA512_HMAC, CKM_SHA512_HMAC},
	};

	if (type == m->key_type)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(hmac_keys); i++)
		if (hmac_keys[i].type == type)
			return hmac_keys[i].base == m->base;
	return false;
}

static CK_RV check_key(const struct object *o, const struct use *use, const struct mech *m, const struct scheme *scheme)
{
	const struct attrs *key = o->obj->attrs;
	CK_OBJECT_CLASS class = m->class == CKO_PRIVATE_KEY && use->public_half ? CKO_PUBLIC_KEY : m->class;

	if (attrs_get_ulong(key, CKA_CLASS, CK_UNAVAILABLE_INFORMATION) != class)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (!key_type_fits(m, attrs_get_ulong(key, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION)))
		return CKR_KEY_TYPE_INCONSISTENT;
	TRY(mech_key_fits(o->slot, m, use->flag, scheme, key));
	return object_flag(o, use->attribute) ? CKR_OK : CKR_KEY_FUNCTION_NOT_PERMITTED;
}

/* The ready-made public key of an object, made at its first use. */
static CK_RV public_key(struct object *o, struct soft_key **ret)
{
	if (!o->soft) {
		CK_RV rv = soft_key_new(o->obj->attrs, &o->soft);
		if (rv == CKR_HOST_MEMORY || rv == CKR_FUNCTION_FAILED)
			return rv;
		if (rv != CKR_OK) /* what is wrong with its values has no code of its own at an Init */
			return CKR_KEY_TYPE_INCONSISTENT;
	}
	*ret = o->soft;
	return CKR_OK;
}

static CK_RV begin_work(struct operation *op, const struct use *use, const struct scheme *scheme)
{
	struct slot *slot = op->key->slot;
	struct soft_key *soft;

	if (op->mech->class == CKO_PRIVATE_KEY && use->public_half) {
		TRY(public_key(op->key, &soft));
		return soft_op_begin(use->kind, scheme, soft, &op->soft, &op->max);
	}
	op->ops = slot->token->ops;
	return op->ops->op_begin(slot->token, use->kind, scheme, op->key->obj, &op->token, &op->max);
}

static CK_RV begin(enum session_op which, const struct mech *m, const struct scheme *scheme, struct object *key,
		   struct operation **ret)
{
	struct operation *op CLEANUP(operation_cleanup) = calloc(1, sizeof *op);

	if (!op)
		return CKR_HOST_MEMORY;
	op->mech = m;
	op->which = which;
	if (key) {
		op->key = object_ref(key);
		op->lengths = mech_lengths(m, scheme, uses[which].flag, key->obj->attrs);
		op->wants_auth = m->class == CKO_PRIVATE_KEY && !uses[which].public_half &&
				 object_flag(key, CKA_ALWAYS_AUTHENTICATE);
		if (op->wants_auth)
			TRY(mech_print(scheme, op->print));
		TRY(begin_work(op, &uses[which], scheme));
	}
	*ret = TAKE(op);
	return CKR_OK;
}

/* The checks of C_XxxInit behind those of the operation's place, and an operation that is in none yet. */
static CK_RV prepare(struct session *s, enum session_op which, const CK_MECHANISM *given, CK_OBJECT_HANDLE key,
		     struct operation **ret)
{
	const struct use *use = &uses[which];
	struct object *o = NULL;
	const struct mech *m;
	struct scheme scheme;

	if (which != SESSION_DIGEST)
		TRY(op_find_key(s, key, &o));
	TRY(mech_for(s->slot, given->mechanism, use->flag, &m));
	if (o && !op_mechanism_allowed(o->obj->attrs, given->mechanism))
		return CKR_MECHANISM_INVALID;
	TRY(mech_param(m, given, &scheme));
	if (o)
		TRY(check_key(o, use, m, &scheme));
	return begin(which, m, &scheme, o, ret);
}

CK_RV operation_init(struct call *c, enum session_op which, const CK_MECHANISM *given, CK_OBJECT_HANDLE key)
{
	if (!given)
		return cancel(c->session, which);
	if (operation_active(c->session, which))
		return CKR_OPERATION_ACTIVE;
	return prepare(c->session, which, given, key, &c->session->op[which]);
}

static bool same_use(const struct operation *a, const struct operation *b)
{
	return a->key->handle == b->key->handle && a->mech == b->mech && memcmp(a->print, b->print, SCHEME_PRINT) == 0;
}

CK_RV operation_once(struct session *s, enum session_op which, const CK_MECHANISM *given, CK_OBJECT_HANDLE key,
		     struct operation **ret)
{
	struct operation *op CLEANUP(operation_cleanup) = NULL, *waiting CLEANUP(operation_cleanup) = NULL;

	TRY(prepare(s, which, given, key, &op));
	waiting = TAKE(s->op[which]);
	if (!op->wants_auth) {
		*ret = TAKE(op);
	} else if (waiting && !waiting->wants_auth && same_use(waiting, op)) {
		*ret = TAKE(waiting);
	} else {
		s->op[which] = TAKE(op);
		return CKR_USER_NOT_LOGGED_IN;
	}
	return CKR_OK;
}

/* Longer than any signature that the mechanisms here make. */
#define SIGNATURE_MAX 4096

static CK_RV keep_signature(struct operation *op, struct bytes signature)
{
	if (signature.len > SIGNATURE_MAX)
		return CKR_SIGNATURE_LEN_RANGE;
	op->signature = malloc(MAX(signature.len, 1));
	if (!op->signature)
		return CKR_HOST_MEMORY;
	if (signature.len > 0)
		memcpy(op->signature, signature.ptr, signature.len);
	op->signature_len = signature.len;
	return CKR_OK;
}

CK_RV operation_init_signature(struct call *c, const CK_MECHANISM *given, CK_OBJECT_HANDLE key, struct bytes signature)
{
	struct operation *op;
	CK_RV rv;

	TRY(operation_init(c, SESSION_VERIFY, given, key));
	op = c->session->op[SESSION_VERIFY];
	if (!op) /* one was ended, none begun */
		return CKR_OK;
	rv = keep_signature(op, signature);
	if (rv != CKR_OK)
		operation_free(TAKE(c->session->op[SESSION_VERIFY]));
	return rv;
}

/* The evaluator: an application's template against the policy rows.  The order is import, class and key type, the
 * session's state, each attribute that was given, the ones that weren't, and last what must fit together. */
#include "template.h"

#include "policy.h"

/* What a stage asks of the rows: attributes that must be there, that the application must not give, and, where an
 * object exists already, those alone that it may give. */
static const struct stage_rule {
	uint32_t need, deny, allow;
} stage_rules[STAGE_COUNT] = {
	[STAGE_CREATE] = {.need = ROW_NEED_CREATE, .deny = ROW_DENY_CREATE},
	[STAGE_GENERATE] = {.need = ROW_NEED_GENERATE, .deny = ROW_DENY_GENERATE},
	[STAGE_UNWRAP] = {.need = ROW_NEED_UNWRAP, .deny = ROW_DENY_UNWRAP},
	[STAGE_DERIVE] = {.deny = ROW_DENY_UNWRAP},
	[STAGE_COPY] = {.allow = ROW_SET | ROW_COPY | ROW_SO},
	[STAGE_SET] = {.allow = ROW_SET | ROW_SO},
};

/* One evaluation. */
struct making {
	struct session *session;
	enum stage stage;
	CK_MECHANISM_TYPE mech;
	const struct policy *policy;
	const struct attrs *given;
	const struct attrs *from; /* COPY, SET: the object as it is; DERIVE: the base key; else NULL */
	struct attrs *result;     /* borrowed from the caller, who frees it on failure */
};

/* ---- import ---- */

/* The same value twice is no contradiction. */
static CK_RV import_value(struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes value)
{
	struct bytes before;

	if (attrs_get(a, type, &before))
		return bytes_equal(before, value) ? CKR_OK : CKR_TEMPLATE_INCONSISTENT;
	return attrs_set(a, type, value);
}

static CK_RV import_array(struct attrs *a, const CK_ATTRIBUTE *one)
{
	struct buffer nested CLEANUP(buffer_done);

	buffer_init(&nested, NESTED_MAX_SIZE);
	TRY(nested_import(one, &nested));
	return import_value(a, one->type, buffer_bytes(&nested));
}

static CK_RV import_one(struct attrs *a, const CK_ATTRIBUTE *one)
{
	if (one->ulValueLen == CK_UNAVAILABLE_INFORMATION)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (!one->pValue && one->ulValueLen)
		return CKR_ARGUMENTS_BAD;
	if (one->ulValueLen > ATTRS_MAX_VALUE)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (policy_attribute_nested(one->type))
		return import_array(a, one);
	return import_value(a, one->type, BYTES(one->pValue, one->ulValueLen));
}

CK_RV template_import(const CK_ATTRIBUTE *templ, CK_ULONG count, struct attrs **ret)
{
	struct attrs *a CLEANUP(attrs_cleanup) = NULL;

	if (count && !templ)
		return CKR_ARGUMENTS_BAD;
	if (count > ATTRS_MAX_COUNT)
		return CKR_TEMPLATE_INCONSISTENT;
	a = attrs_new();
	if (!a)
		return CKR_HOST_MEMORY;
	for (CK_ULONG i = 0; i < count; i++)
		TRY(import_one(a, &templ[i]));
	*ret = TAKE(a);
	return CKR_OK;
}

/* ---- one attribute ---- */

/* Whether the object already has that value, as far as the application may know: a difference in an unreadable value
 * must not show, or it could be guessed. */
static bool unchanged(const struct making *m, const struct policy_row *row, struct bytes value)
{
	struct bytes old;

	if (!template_readable(m->from, row->type))
		return false;
	if (!attrs_get(m->from, row->type, &old) && !policy_default(row, &old))
		return false;
	return bytes_equal(old, value);
}

/* Footnotes 11 and 12: a boolean that doesn't come back. */
static bool latched(const struct making *m, const struct policy_row *row, struct bytes value)
{
	bool new = *value.ptr == CK_TRUE, old;
	struct bytes dflt = NO_BYTES;

	if (!(row->flags & (ROW_ONLY_TRUE | ROW_ONLY_FALSE)))
		return false;
	old = policy_default(row, &dflt) && *dflt.ptr == CK_TRUE;
	old = attrs_get_bool(m->from, row->type, old);
	return old != new && (row->flags & (old ? ROW_ONLY_TRUE : ROW_ONLY_FALSE));
}

/* Footnote 10, and that nobody but the SO takes the mark away again. */
static bool reserved_for_so(const struct making *m, const struct policy_row *row, struct bytes value)
{
	if (!(row->flags & ROW_SO) || m->session->slot->login == LOGIN_SO)
		return false;
	return m->stage == STAGE_COPY || m->stage == STAGE_SET || *value.ptr == CK_TRUE;
}

/* 4.6.2: a trusted certificate can't be modified, nor on its way into a copy that would be trusted too, but by the SO
 * who may take the trust away. */
static bool fixed_by_trust(const struct making *m)
{
	return m->policy->class == CKO_CERTIFICATE && attrs_get_bool(m->from, CKA_TRUSTED, false) &&
	       m->session->slot->login != LOGIN_SO;
}

static CK_RV check_existing(const struct making *m, const struct policy_row *row, struct bytes value)
{
	if (!(row->flags & stage_rules[m->stage].allow))
		return CKR_ATTRIBUTE_READ_ONLY;
	if ((row->flags & ROW_SET) && fixed_by_trust(m))
		return CKR_ATTRIBUTE_READ_ONLY;
	if (!policy_value_ok(row, value))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return latched(m, row, value) ? CKR_ATTRIBUTE_READ_ONLY : CKR_OK;
}

static CK_RV check_new(const struct making *m, const struct policy_row *row, struct bytes value)
{
	if (row->flags & stage_rules[m->stage].deny)
		return CKR_ATTRIBUTE_READ_ONLY;
	return policy_value_ok(row, value) ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

/* What a value must fulfil besides its look.  An array that nothing acts on is refused unless empty: a restriction that
 * the module stored and didn't enforce would be a lie; CKR_TEMPLATE_INCONSISTENT is 4.1.1's code for what a token can't
 * satisfy. */
static CK_RV check_array(const struct policy_row *row, struct bytes value)
{
	if (row->kind == VALUE_NO_TEMPLATE && value.len)
		return CKR_TEMPLATE_INCONSISTENT;
	return row->kind == VALUE_TEMPLATE ? nested_check(row, value) : CKR_OK;
}

/* Takes one given attribute into the result. */
static CK_RV take_one(struct making *m, CK_ATTRIBUTE_TYPE type, struct bytes value)
{
	const struct policy_row *row = policy_row(m->policy, type);
	bool exists = stage_rules[m->stage].allow != 0;

	if (!row)
		return policy_attribute_known(type) ? CKR_TEMPLATE_INCONSISTENT : CKR_ATTRIBUTE_TYPE_INVALID;
	/* A copy may repeat what the original says (4.1.1, case 6). */
	if (m->stage == STAGE_COPY && unchanged(m, row, value))
		return CKR_OK;
	TRY(exists ? check_existing(m, row, value) : check_new(m, row, value));
	if (reserved_for_so(m, row, value))
		return CKR_ATTRIBUTE_READ_ONLY;
	TRY(check_array(row, value));
	if (row->kind == VALUE_NO_TEMPLATE || (m->stage == STAGE_SET && unchanged(m, row, value)))
		return CKR_OK;
	return attrs_set(m->result, type, value);
}

static CK_RV take_given(struct making *m)
{
	for (size_t i = 0; i < attrs_count(m->given); i++) {
		struct bytes value;
		CK_ATTRIBUTE_TYPE type = attrs_at(m->given, i, &value);

		TRY(take_one(m, type, value));
	}
	return CKR_OK;
}

/* ---- what the application left open ---- */

static bool origin_local(const struct making *m)
{
	return m->stage == STAGE_GENERATE;
}

/* 4.10, 4.11; for derived keys the text of each mechanism (6.3.17): sensitive from the first base key on. */
static bool origin_always_sensitive(const struct making *m)
{
	bool now = attrs_get_bool(m->result, CKA_SENSITIVE, true);

	if (m->stage == STAGE_DERIVE)
		return now && m->from && attrs_get_bool(m->from, CKA_ALWAYS_SENSITIVE, false);
	return now && m->stage == STAGE_GENERATE;
}

static bool origin_never_extractable(const struct making *m)
{
	bool now = !attrs_get_bool(m->result, CKA_EXTRACTABLE, false);

	if (m->stage == STAGE_DERIVE)
		return now && m->from && attrs_get_bool(m->from, CKA_NEVER_EXTRACTABLE, false);
	return now && m->stage == STAGE_GENERATE;
}

static bool (*const origins[ORIGINS])(const struct making *m) = {
	[ORIGIN_LOCAL] = origin_local,
	[ORIGIN_ALWAYS_SENSITIVE] = origin_always_sensitive,
	[ORIGIN_NEVER_EXTRACTABLE] = origin_never_extractable,
};

/* A copy inherits these; they are in the result already. */
static CK_RV set_origin(struct making *m, const struct policy_row *row)
{
	if (m->stage == STAGE_COPY || row->origin == ORIGIN_NONE)
		return CKR_OK;
	if (row->origin == ORIGIN_MECHANISM)
		return attrs_set_ulong(m->result, row->type,
				       m->stage == STAGE_GENERATE ? m->mech : CK_UNAVAILABLE_INFORMATION);
	return attrs_set_bool(m->result, row->type, origins[row->origin](m));
}

static CK_RV set_default(struct making *m, const struct policy_row *row)
{
	struct bytes value;

	if (attrs_has(m->result, row->type) || !policy_default(row, &value))
		return CKR_OK;
	if (row->dflt == DEFAULT_F4 && m->stage != STAGE_GENERATE)
		return CKR_OK;
	if (row->dflt == DEFAULT_UNLESS_UNWRAPPED)
		return attrs_set_bool(m->result, row->type, m->stage == STAGE_UNWRAP);
	return attrs_set(m->result, row->type, value);
}

/* Tables that shadow others stand first, so the first row of a type is the one that counts. */
static CK_RV complete(struct making *m)
{
	const struct policy_row *row;

	for (size_t i = 0; (row = policy_row_at(m->policy, i)); i++)
		if ((row->flags & stage_rules[m->stage].need) && !attrs_has(m->result, row->type))
			return CKR_TEMPLATE_INCOMPLETE;
	for (size_t i = 0; (row = policy_row_at(m->policy, i)); i++)
		if (row->origin == ORIGIN_NONE)
			TRY(set_default(m, row));
	for (size_t i = 0; (row = policy_row_at(m->policy, i)); i++)
		TRY(set_origin(m, row));
	return CKR_OK;
}

/* ---- what must fit together ---- */

static size_t value_len(const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes v = NO_BYTES;

	return attrs_get(a, type, &v) ? v.len : 0;
}

/* 4.6.3: a certificate is here, or it is where the URL says, with both hashes to tell it by. */
static CK_RV check_certificate(const struct making *m)
{
	const struct attrs *a = m->result;

	if (attrs_get_ulong(a, CKA_CERTIFICATE_TYPE, CK_UNAVAILABLE_INFORMATION) != CKC_X_509)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (value_len(a, CKA_VALUE))
		return CKR_OK;
	if (!value_len(a, CKA_URL) || !value_len(a, CKA_HASH_OF_SUBJECT_PUBLIC_KEY) ||
	    !value_len(a, CKA_HASH_OF_ISSUER_PUBLIC_KEY))
		return CKR_TEMPLATE_INCOMPLETE;
	return CKR_OK;
}

static CK_RV check_private_key(const struct making *m)
{
	if (attrs_get_bool(m->result, CKA_ALWAYS_AUTHENTICATE, false) && !attrs_get_bool(m->result, CKA_PRIVATE, true))
		return CKR_TEMPLATE_INCONSISTENT;
	return CKR_OK;
}

static CK_RV check_aes_length(CK_ULONG n)
{
	return n == 16 || n == 24 || n == 32 ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

static CK_RV check_secret_key(const struct making *m)
{
	const struct attrs *a = m->result;

	/* Nobody can know the check value of a key that isn't there yet. */
	if (m->stage == STAGE_GENERATE && value_len(a, CKA_CHECK_VALUE))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (m->policy->key_type != CKK_AES)
		return CKR_OK;
	if (attrs_has(a, CKA_VALUE))
		TRY(check_aes_length(value_len(a, CKA_VALUE)));
	if (attrs_has(a, CKA_VALUE_LEN))
		TRY(check_aes_length(attrs_get_ulong(a, CKA_VALUE_LEN, 0)));
	return CKR_OK;
}

static const struct consistency {
	CK_OBJECT_CLASS class;
	CK_RV (*check)(const struct making *m);
} consistency[] = {
	{CKO_CERTIFICATE, check_certificate},
	{CKO_PRIVATE_KEY, check_private_key},
	{CKO_SECRET_KEY, check_secret_key},
};

static CK_RV check_consistency(const struct making *m)
{
	for (size_t i = 0; i < ARRAY_LEN(consistency); i++)
		if (consistency[i].class == m->policy->class)
			TRY(consistency[i].check(m));
	return CKR_OK;
}

/* ---- new objects ---- */

/* Class or key type: what the function contributes and what the template says must agree. */
static CK_RV settle(const struct making *m, CK_ATTRIBUTE_TYPE type, CK_ULONG *value)
{
	CK_ULONG said;
	struct bytes raw;

	if (!attrs_get(m->given, type, &raw))
		return *value == CK_UNAVAILABLE_INFORMATION ? CKR_TEMPLATE_INCOMPLETE : CKR_OK;
	if (raw.len != sizeof said)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	memcpy(&said, raw.ptr, sizeof said);
	if (*value != CK_UNAVAILABLE_INFORMATION && *value != said)
		return CKR_TEMPLATE_INCONSISTENT;
	*value = said;
	return CKR_OK;
}

static CK_RV find_policy(struct making *m, CK_OBJECT_CLASS class, CK_KEY_TYPE key_type)
{
	TRY(settle(m, CKA_CLASS, &class));
	/* Built-in classes (4.14) aren't the application's to make. */
	if (!policy_class_known(class) || class == CKO_PROFILE)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (policy_class_is_key(class))
		TRY(settle(m, CKA_KEY_TYPE, &key_type));
	m->policy = policy_find(class, key_type);
	return m->policy ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

/* The value that the new object will have, before everything else is checked. */
static bool will_be(const struct making *m, CK_ATTRIBUTE_TYPE type)
{
	const struct policy_row *row = policy_row(m->policy, type);
	struct bytes dflt = NO_BYTES;
	bool value = row && policy_default(row, &dflt) && *dflt.ptr == CK_TRUE;

	if (m->stage == STAGE_COPY)
		value = attrs_get_bool(m->from, type, value);
	return attrs_get_bool(m->given, type, value);
}

/* Access of the session's state to objects (5.6, table of UG 2.6.4). */
static CK_RV check_state(const struct making *m)
{
	if (will_be(m, CKA_PRIVATE) && !slot_private_ok(m->session->slot))
		return CKR_USER_NOT_LOGGED_IN;
	return object_may_write(m->session, will_be(m, CKA_TOKEN));
}

static CK_RV start(struct making *m, struct attrs **result)
{
	if (m->stage == STAGE_COPY) {
		TRY(attrs_copy(m->from, result));
	} else {
		*result = attrs_new();
		if (!*result)
			return CKR_HOST_MEMORY;
	}
	m->result = *result;
	TRY(attrs_set_ulong(m->result, CKA_CLASS, m->policy->class));
	if (policy_class_is_key(m->policy->class))
		TRY(attrs_set_ulong(m->result, CKA_KEY_TYPE, m->policy->key_type));
	return CKR_OK;
}

CK_RV template_new_object(struct session *s, const struct template_req *req, struct attrs **ret)
{
	struct attrs *result CLEANUP(attrs_cleanup) = NULL;
	struct making m = {.session = s, .stage = req->stage, .mech = req->mech, .given = req->given, .from = req->from};

	TRY(find_policy(&m, req->class, req->key_type));
	TRY(check_state(&m));
	TRY(start(&m, &result));
	TRY(take_given(&m));
	TRY(complete(&m));
	TRY(check_consistency(&m));
	*ret = TAKE(result);
	return CKR_OK;
}

/* ---- existing objects ---- */

CK_RV template_changes(struct session *s, const struct object *o, const struct attrs *given, struct attrs **ret)
{
	struct attrs *result CLEANUP(attrs_cleanup) = NULL;
	struct making m = {.session = s, .stage = STAGE_SET, .given = given, .from = o->obj->attrs};

	m.policy = policy_of(m.from);
	if (!m.policy)
		return CKR_ATTRIBUTE_READ_ONLY; /* of a class that we only show */
	if (fixed_by_trust(&m))
		return CKR_ATTRIBUTE_READ_ONLY;
	result = attrs_new();
	if (!result)
		return CKR_HOST_MEMORY;
	m.result = result;
	TRY(take_given(&m));
	*ret = TAKE(result);
	return CKR_OK;
}

bool template_readable(const struct attrs *object, CK_ATTRIBUTE_TYPE type)
{
	const struct policy *policy = policy_of(object);
	const struct policy_row *row = policy ? policy_row(policy, type) : NULL;
	/* A value that its class has no row for, but another class keeps secret, isn't shown either. */
	bool stray = !row && attrs_has(object, type) && policy_attribute_secret(type);
	bool secret = stray || (row && (row->flags & ROW_SECRET));

	/* An object that doesn't say is taken for the stricter. */
	return !secret ||
	       (!attrs_get_bool(object, CKA_SENSITIVE, true) && attrs_get_bool(object, CKA_EXTRACTABLE, false));
}

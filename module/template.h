/* From an application's template to a checked request, and from an object to what an application may read: one
 * evaluator over the policy rows (policy.c). */
#ifndef MODULE_TEMPLATE_H
#define MODULE_TEMPLATE_H

#include "session.h"

/* At which stage an attribute is being given a value. */
enum stage { STAGE_CREATE, STAGE_GENERATE, STAGE_UNWRAP, STAGE_DERIVE, STAGE_COPY, STAGE_SET, STAGE_COUNT };

/* The application's array → an owned set.  CKR_ARGUMENTS_BAD for a NULL with a length, CKR_ATTRIBUTE_VALUE_INVALID
 * for impossible lengths, CKR_TEMPLATE_INCONSISTENT for one attribute with two values.  The value of an attribute array
 * (CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE) is taken into its stored form, "nested" below. */
CK_RV template_import(const CK_ATTRIBUTE *templ, CK_ULONG count, struct attrs **ret) MUST_CHECK;

/* A new object.  Everything is borrowed. */
struct template_req {
	enum stage stage;            /* not SET */
	CK_MECHANISM_TYPE mech;      /* GENERATE: what CKA_KEY_GEN_MECHANISM says */
	CK_OBJECT_CLASS class;       /* CK_UNAVAILABLE_INFORMATION: as the template says */
	CK_KEY_TYPE key_type;        /* likewise; counts for classes of keys only */
	const struct attrs *given;   /* the template */
	const struct attrs *from;    /* COPY: the original; DERIVE: the base key */
};
/* Checks `given` against the rows of the stage and the session's state (R/O, login, SO for CKA_TRUSTED), and fills in
 * the defaults and what the module sets (CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_KEY_GEN_MECHANISM …).
 * Codes of PKCS#11 3.2, 4.1.1; CKR_SESSION_READ_ONLY, CKR_USER_NOT_LOGGED_IN. */
CK_RV template_new_object(struct session *s, const struct template_req *req, struct attrs **ret) MUST_CHECK;
/* Checks changes to an existing object (C_SetAttributeValue): what remains is what really changes. */
CK_RV template_changes(struct session *s, const struct object *o, const struct attrs *given, struct attrs **ret) MUST_CHECK;

/* May an application read this attribute of this object? false: CKR_ATTRIBUTE_SENSITIVE. */
bool template_readable(const struct attrs *object, CK_ATTRIBUTE_TYPE type);

/* ---- attribute arrays (PKCS#11 3.2, 4.9 to 4.11): the form is written out at the top of nested.c ---- */

/* Entries of one, and bytes of its stored form. */
#define NESTED_MAX_COUNT 64
#define NESTED_MAX_SIZE  8192

/* Takes an application's array, given->pValue of given->ulValueLen bytes, into the stored form; appends to *out.  The
 * codes of template_import(); CKR_ATTRIBUTE_VALUE_INVALID for what is no whole number of entries or over the bounds,
 * CKR_TEMPLATE_INCONSISTENT for an array in the array, CKR_ATTRIBUTE_TYPE_INVALID for a type that the stored form has
 * no room for. */
CK_RV nested_import(const CK_ATTRIBUTE *given, struct buffer *out) MUST_CHECK;
/* Whether a key with `row` may have that array: each attribute must be one of keys (of the class and key type that the
 * array itself names), not be secret, and for CKA_UNWRAP_TEMPLATE and CKA_DERIVE_TEMPLATE be the application's to give,
 * which CKA_TRUSTED is not.
 * CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ATTRIBUTE_READ_ONLY, CKR_TEMPLATE_INCONSISTENT. */
struct policy_row;
CK_RV nested_check(const struct policy_row *row, struct bytes nested) MUST_CHECK;
/* C_GetAttributeValue of an attribute array into `a` (5.7.5): of each entry the type, and its value or its length.
 * CKR_BUFFER_TOO_SMALL, with CK_UNAVAILABLE_INFORMATION as the length that isn't enough. */
CK_RV nested_read(struct bytes nested, CK_ATTRIBUTE *a) MUST_CHECK;

/* Whether the object has every attribute of the array with that very value, as CKA_WRAP_TEMPLATE asks of a key to be
 * wrapped.  An empty array matches all. */
bool template_matches(const struct attrs *object, struct bytes nested) MUST_CHECK;
/* Adds what CKA_UNWRAP_TEMPLATE or CKA_DERIVE_TEMPLATE says and the template doesn't.  CKR_TEMPLATE_INCONSISTENT, and
 * `given` as it was, if the two differ in an attribute. */
CK_RV template_add_nested(struct attrs *given, struct bytes nested) MUST_CHECK;

#endif

/* From an application's template to a checked request, and from an object to what an application may read: one
 * evaluator over the policy rows (policy.c). */
#ifndef MODULE_TEMPLATE_H
#define MODULE_TEMPLATE_H

#include "session.h"

/* At which stage an attribute is being given a value. */
enum stage { STAGE_CREATE, STAGE_GENERATE, STAGE_UNWRAP, STAGE_DERIVE, STAGE_COPY, STAGE_SET, STAGE_COUNT };

/* The application's array → an owned set.  CKR_ARGUMENTS_BAD for a NULL with a length, CKR_ATTRIBUTE_VALUE_INVALID
 * for impossible lengths, CKR_TEMPLATE_INCONSISTENT for one attribute with two values. */
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

#endif

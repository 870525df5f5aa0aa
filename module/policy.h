/* The attribute policy: one row per attribute of each object class and key type (PKCS#11 3.2, 4.4 to 4.11, 6.1, 6.3,
 * 6.8).  Rows say what an attribute is and when an application may give it a value; template.c acts on them. */
#ifndef MODULE_POLICY_H
#define MODULE_POLICY_H

#include "attrs.h"

/* What a value must look like. */
enum value_kind {
	VALUE_BYTES,       /* any, also empty unless the row has a min */
	VALUE_BOOL,        /* one byte, CK_TRUE or CK_FALSE */
	VALUE_ULONG,       /* a CK_ULONG between the row's min and max (max 0: no bound) */
	VALUE_NUMBER,      /* big integer: unsigned, most significant byte first, not empty */
	VALUE_DATE,        /* CK_DATE or empty */
	VALUE_MECHS,       /* array of CK_MECHANISM_TYPE */
	VALUE_TEMPLATE,    /* array of CK_ATTRIBUTE, in the form of nested.c */
	VALUE_NO_TEMPLATE, /* the same where nothing would act on it: only an empty one is taken, as "none" */
	VALUE_PLACE,       /* a word of CKA_SIGNET_PLACE */
	VALUE_KINDS,
};

/* The footnotes of the specification's tables (4.2, table "common footnotes"), by number. */
#define ROW_NEED_CREATE   (1u << 1) /* must be given to C_CreateObject */
#define ROW_DENY_CREATE   (1u << 2) /* must not be */
#define ROW_NEED_GENERATE (1u << 3)
#define ROW_DENY_GENERATE (1u << 4)
#define ROW_NEED_UNWRAP   (1u << 5)
#define ROW_DENY_UNWRAP   (1u << 6)  /* nor when a key is derived */
#define ROW_SECRET        (1u << 7)  /* unreadable if CKA_SENSITIVE is TRUE or CKA_EXTRACTABLE is FALSE */
#define ROW_SET           (1u << 8)  /* C_SetAttributeValue and C_CopyObject may change it */
#define ROW_SO            (1u << 10) /* TRUE is the SO's to give */
#define ROW_ONLY_TRUE     (1u << 11) /* once TRUE it stays */
#define ROW_ONLY_FALSE    (1u << 12) /* once FALSE it stays */
/* Not a footnote: 4.1.3 names the attributes that C_CopyObject alone may change. */
#define ROW_COPY (1u << 16)
/* The module's own to set. */
#define ROW_DENY (ROW_DENY_CREATE | ROW_DENY_GENERATE | ROW_DENY_UNWRAP)

/* The value of an attribute that nobody gave. */
enum row_default {
	DEFAULT_NONE, /* the object has no such attribute */
	DEFAULT_FALSE,
	DEFAULT_TRUE,
	DEFAULT_EMPTY,
	DEFAULT_ULONG,            /* the row's `value` */
	DEFAULT_F4,               /* 65537 as a big integer; for key generation only */
	DEFAULT_UNLESS_UNWRAPPED, /* FALSE, but TRUE for an unwrapped key (5.18.4) */
	DEFAULTS,
};

/* Where an attribute comes from that only the module sets. */
enum row_origin {
	ORIGIN_NONE,
	ORIGIN_LOCAL,
	ORIGIN_MECHANISM,
	ORIGIN_ALWAYS_SENSITIVE,
	ORIGIN_NEVER_EXTRACTABLE,
	ORIGINS
};

struct policy_row {
	CK_ATTRIBUTE_TYPE type;
	uint32_t flags;    /* ROW_* */
	uint8_t kind;      /* enum value_kind */
	uint8_t dflt;      /* enum row_default */
	uint8_t origin;    /* enum row_origin */
	CK_ULONG value;    /* of DEFAULT_ULONG; of VALUE_TEMPLATE the ROW_DENY_* that no attribute in it may have */
	CK_ULONG min, max; /* of VALUE_ULONG; of VALUE_BYTES the length.  max 0: no bound */
};

struct policy_table {
	const struct policy_row *rows;
	size_t n;
};

#define POLICY_TABLES 4
/* All rows of one class and key type.  The first table that has a type decides: the more particular stand first. */
struct policy {
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE key_type; /* of key classes */
	const struct policy_table *tables[POLICY_TABLES];
};

/* Key classes: CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY. */
bool policy_class_is_key(CK_OBJECT_CLASS class);
/* Whether there are objects of that class at all, of whatever key type. */
bool policy_class_known(CK_OBJECT_CLASS class);
/* NULL for a class or key type that the module doesn't have.  key_type counts for key classes only. */
const struct policy *policy_find(CK_OBJECT_CLASS class, CK_KEY_TYPE key_type);
/* Of an existing object, by its CKA_CLASS and CKA_KEY_TYPE. */
const struct policy *policy_of(const struct attrs *object);
/* All policies, for tests and listings. */
const struct policy *policy_at(size_t i); /* NULL behind the last */

const struct policy_row *policy_row(const struct policy *p, CK_ATTRIBUTE_TYPE type); /* NULL: not of this class */
/* The i-th row of all tables, shadowed ones included; NULL behind the last. */
const struct policy_row *policy_row_at(const struct policy *p, size_t i);

/* The row's default, static; false if there is none. */
bool policy_default(const struct policy_row *row, struct bytes *ret);

/* Whether the value looks as the row says.  Of an array's attributes nested_check() knows. */
bool policy_value_ok(const struct policy_row *row, struct bytes value);

/* Whether it is an attribute array, VALUE_TEMPLATE in any class. */
bool policy_attribute_nested(CK_ATTRIBUTE_TYPE type);
/* Whether PKCS#11 has that attribute for any class, known to the module or not. */
bool policy_attribute_known(CK_ATTRIBUTE_TYPE type);
/* Whether it is secret in any class. */
bool policy_attribute_secret(CK_ATTRIBUTE_TYPE type);

#endif

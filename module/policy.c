/* The rows of the attribute policy, one table per class and key type, and the look-ups in them. */
#include "policy.h"

#include "secret.h"
#include "token.h"

/* CKA_NETSCAPE_DB, which NSS and Java's SunPKCS11 send along with private keys; kept, means nothing to us. */
#define CKA_NETSCAPE_DB 0xd5a0db00UL

/* The rows use the vocabulary of policy.h.  Where the specification leaves a default to the token (footnote 9):
 *   - private and secret keys are CKA_PRIVATE, CKA_SENSITIVE and not CKA_EXTRACTABLE; everything else is public;
 *   - a key may do what its type is for: sign and decrypt (RSA), sign (EC, Edwards), encrypt (AES), MAC (the rest);
 *     wrapping, derivation and recovery have to be asked for. */

/* 4.4: every object that is stored. */
static const struct policy_row storage_rows[] = {
	{.type = CKA_CLASS, .kind = VALUE_ULONG, .flags = ROW_NEED_CREATE},
	{.type = CKA_TOKEN, .kind = VALUE_BOOL, .flags = ROW_COPY, .dflt = DEFAULT_FALSE},
	/* A copy may become private, never public: CKA_PRIVATE is what the PIN protects. */
	{.type = CKA_PRIVATE, .kind = VALUE_BOOL, .flags = ROW_COPY | ROW_ONLY_TRUE, .dflt = DEFAULT_FALSE},
	{.type = CKA_MODIFIABLE, .kind = VALUE_BOOL, .flags = ROW_COPY, .dflt = DEFAULT_TRUE},
	{.type = CKA_COPYABLE, .kind = VALUE_BOOL, .flags = ROW_COPY | ROW_ONLY_FALSE, .dflt = DEFAULT_TRUE},
	{.type = CKA_DESTROYABLE, .kind = VALUE_BOOL, .flags = ROW_COPY, .dflt = DEFAULT_TRUE},
	{.type = CKA_LABEL, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	/* Made from the object's id where it is read, never stored (object_attribute()). */
	{.type = CKA_UNIQUE_ID, .kind = VALUE_BYTES, .flags = ROW_DENY},
};

/* 4.5 gives CKA_VALUE no footnote; test suites copy data objects with a new one, so it may change. */
static const struct policy_row data_rows[] = {
	{.type = CKA_APPLICATION, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_OBJECT_ID, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_VALUE, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
};

/* 4.6.3: X.509 public key certificates, the only kind. */
static const struct policy_row certificate_rows[] = {
	{.type = CKA_CERTIFICATE_TYPE, .kind = VALUE_ULONG, .flags = ROW_NEED_CREATE},
	{.type = CKA_TRUSTED, .kind = VALUE_BOOL, .flags = ROW_SO, .dflt = DEFAULT_FALSE},
	{.type = CKA_CERTIFICATE_CATEGORY, .kind = VALUE_ULONG, .dflt = DEFAULT_ULONG, .value = 0, .max = 3},
	{.type = CKA_CHECK_VALUE, .kind = VALUE_BYTES},
	{.type = CKA_START_DATE, .kind = VALUE_DATE, .dflt = DEFAULT_EMPTY},
	{.type = CKA_END_DATE, .kind = VALUE_DATE, .dflt = DEFAULT_EMPTY},
	{.type = CKA_PUBLIC_KEY_INFO, .kind = VALUE_BYTES, .dflt = DEFAULT_EMPTY},
	{.type = CKA_SUBJECT, .kind = VALUE_BYTES, .flags = ROW_NEED_CREATE},
	{.type = CKA_ID, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_ISSUER, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_SERIAL_NUMBER, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_VALUE, .kind = VALUE_BYTES, .dflt = DEFAULT_EMPTY},
	{.type = CKA_URL, .kind = VALUE_BYTES, .dflt = DEFAULT_EMPTY},
	{.type = CKA_HASH_OF_SUBJECT_PUBLIC_KEY, .kind = VALUE_BYTES, .dflt = DEFAULT_EMPTY},
	{.type = CKA_HASH_OF_ISSUER_PUBLIC_KEY, .kind = VALUE_BYTES, .dflt = DEFAULT_EMPTY},
	{.type = CKA_JAVA_MIDP_SECURITY_DOMAIN, .kind = VALUE_ULONG, .dflt = DEFAULT_ULONG, .value = 0, .max = 3},
	{.type = CKA_NAME_HASH_ALGORITHM, .kind = VALUE_ULONG, .dflt = DEFAULT_ULONG, .value = CKM_SHA_1},
};

/* 4.8: every key. */
static const struct policy_row key_rows[] = {
	{.type = CKA_KEY_TYPE, .kind = VALUE_ULONG, .flags = ROW_NEED_CREATE | ROW_NEED_UNWRAP},
	{.type = CKA_ID, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_START_DATE, .kind = VALUE_DATE, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_END_DATE, .kind = VALUE_DATE, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_DERIVE, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_LOCAL, .kind = VALUE_BOOL, .flags = ROW_DENY, .origin = ORIGIN_LOCAL, .dflt = DEFAULT_FALSE},
	{.type = CKA_KEY_GEN_MECHANISM, .kind = VALUE_ULONG, .flags = ROW_DENY, .origin = ORIGIN_MECHANISM,
	 .dflt = DEFAULT_ULONG, .value = CK_UNAVAILABLE_INFORMATION},
	{.type = CKA_ALLOWED_MECHANISMS, .kind = VALUE_MECHS},
	/* We claim no validation, so nobody can give flags. */
	{.type = CKA_OBJECT_VALIDATION_FLAGS, .kind = VALUE_ULONG, .flags = ROW_DENY},
};

/* 4.9 */
static const struct policy_row public_rows[] = {
	{.type = CKA_SUBJECT, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_ENCRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_VERIFY, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_VERIFY_RECOVER, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_WRAP, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_ENCAPSULATE, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_TRUSTED, .kind = VALUE_BOOL, .flags = ROW_SO, .dflt = DEFAULT_FALSE},
	{.type = CKA_WRAP_TEMPLATE, .kind = VALUE_TEMPLATE},
	{.type = CKA_ENCAPSULATE_TEMPLATE, .kind = VALUE_NO_TEMPLATE},
	/* Set by whoever makes the value (soft_complete(), a backend); what an importer says is checked against it. */
	{.type = CKA_PUBLIC_KEY_INFO, .kind = VALUE_BYTES, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP},
	/* 3.2 says "must" for an import, which no application of 2.40 or 3.0 obeys; taken when given. */
	{.type = CKA_PUBLIC_CRC64_VALUE, .kind = VALUE_BYTES, .flags = ROW_DENY_GENERATE},
};

/* 4.10 */
static const struct policy_row private_rows[] = {
	{.type = CKA_PRIVATE, .kind = VALUE_BOOL, .flags = ROW_COPY | ROW_ONLY_TRUE, .dflt = DEFAULT_TRUE},
	{.type = CKA_SUBJECT, .kind = VALUE_BYTES, .flags = ROW_SET, .dflt = DEFAULT_EMPTY},
	{.type = CKA_SENSITIVE, .kind = VALUE_BOOL, .flags = ROW_SET | ROW_ONLY_TRUE, .dflt = DEFAULT_TRUE},
	{.type = CKA_DECRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_SIGN, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_SIGN_RECOVER, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_UNWRAP, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_DECAPSULATE, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_EXTRACTABLE, .kind = VALUE_BOOL, .flags = ROW_SET | ROW_ONLY_FALSE,
	 .dflt = DEFAULT_UNLESS_UNWRAPPED},
	{.type = CKA_ALWAYS_SENSITIVE, .kind = VALUE_BOOL, .flags = ROW_DENY, .origin = ORIGIN_ALWAYS_SENSITIVE,
	 .dflt = DEFAULT_FALSE},
	{.type = CKA_NEVER_EXTRACTABLE, .kind = VALUE_BOOL, .flags = ROW_DENY, .origin = ORIGIN_NEVER_EXTRACTABLE,
	 .dflt = DEFAULT_FALSE},
	{.type = CKA_WRAP_WITH_TRUSTED, .kind = VALUE_BOOL, .flags = ROW_SET | ROW_ONLY_TRUE, .dflt = DEFAULT_FALSE},
	{.type = CKA_ALWAYS_AUTHENTICATE, .kind = VALUE_BOOL, .dflt = DEFAULT_FALSE},
	{.type = CKA_UNWRAP_TEMPLATE, .kind = VALUE_TEMPLATE, .value = ROW_DENY_UNWRAP},
	{.type = CKA_DERIVE_TEMPLATE, .kind = VALUE_TEMPLATE, .value = ROW_DENY_UNWRAP},
	{.type = CKA_DECAPSULATE_TEMPLATE, .kind = VALUE_NO_TEMPLATE},
	/* Footnote 8 would let it change; a change could only be to what it is already. */
	{.type = CKA_PUBLIC_KEY_INFO, .kind = VALUE_BYTES, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP},
	{.type = CKA_PUBLIC_CRC64_VALUE, .kind = VALUE_BYTES, .flags = ROW_DENY_GENERATE},
	{.type = CKA_NETSCAPE_DB, .kind = VALUE_BYTES},
	{.type = CKA_SIGNET_PLACE, .kind = VALUE_PLACE},
};

/* 4.11 */
static const struct policy_row secret_rows[] = {
	{.type = CKA_PRIVATE, .kind = VALUE_BOOL, .flags = ROW_COPY | ROW_ONLY_TRUE, .dflt = DEFAULT_TRUE},
	{.type = CKA_SENSITIVE, .kind = VALUE_BOOL, .flags = ROW_SET | ROW_ONLY_TRUE, .dflt = DEFAULT_TRUE},
	{.type = CKA_ENCRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_DECRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_SIGN, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_VERIFY, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_WRAP, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_UNWRAP, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_EXTRACTABLE, .kind = VALUE_BOOL, .flags = ROW_SET | ROW_ONLY_FALSE,
	 .dflt = DEFAULT_UNLESS_UNWRAPPED},
	{.type = CKA_ALWAYS_SENSITIVE, .kind = VALUE_BOOL, .flags = ROW_DENY, .origin = ORIGIN_ALWAYS_SENSITIVE,
	 .dflt = DEFAULT_FALSE},
	{.type = CKA_NEVER_EXTRACTABLE, .kind = VALUE_BOOL, .flags = ROW_DENY, .origin = ORIGIN_NEVER_EXTRACTABLE,
	 .dflt = DEFAULT_FALSE},
	/* Made with the value; an empty one in the template means "none". */
	{.type = CKA_CHECK_VALUE, .kind = VALUE_BYTES, .max = 3},
	{.type = CKA_WRAP_WITH_TRUSTED, .kind = VALUE_BOOL, .flags = ROW_SET | ROW_ONLY_TRUE, .dflt = DEFAULT_FALSE},
	{.type = CKA_TRUSTED, .kind = VALUE_BOOL, .flags = ROW_SO, .dflt = DEFAULT_FALSE},
	{.type = CKA_WRAP_TEMPLATE, .kind = VALUE_TEMPLATE},
	{.type = CKA_UNWRAP_TEMPLATE, .kind = VALUE_TEMPLATE, .value = ROW_DENY_UNWRAP},
	{.type = CKA_DERIVE_TEMPLATE, .kind = VALUE_TEMPLATE, .value = ROW_DENY_UNWRAP},
	{.type = CKA_VALUE, .kind = VALUE_BYTES, .min = 1, .max = SECRET_MAX,
	 .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
	/* 6.10.2 forbids the length for an unwrapped AES key; mechanisms that leave it open need it (5.18.4). */
	{.type = CKA_VALUE_LEN, .kind = VALUE_ULONG, .min = 1, .max = SECRET_MAX,
	 .flags = ROW_DENY_CREATE | ROW_NEED_GENERATE},
	{.type = CKA_SIGNET_PLACE, .kind = VALUE_PLACE},
};

/* 6.10.2; which lengths there are is checked in template.c. */
static const struct policy_row aes_rows[] = {
	{.type = CKA_ENCRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_DECRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_SIGN, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
	{.type = CKA_VERIFY, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_FALSE},
};

/* 6.1.2 */
static const struct policy_row rsa_public_rows[] = {
	{.type = CKA_ENCRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_MODULUS, .kind = VALUE_NUMBER, .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE},
	{.type = CKA_MODULUS_BITS, .kind = VALUE_ULONG, .min = 1, .max = 65536,
	 .flags = ROW_DENY_CREATE | ROW_NEED_GENERATE},
	{.type = CKA_PUBLIC_EXPONENT, .kind = VALUE_NUMBER, .flags = ROW_NEED_CREATE, .dflt = DEFAULT_F4},
};

/* 6.1.3 */
static const struct policy_row rsa_private_rows[] = {
	{.type = CKA_DECRYPT, .kind = VALUE_BOOL, .flags = ROW_SET, .dflt = DEFAULT_TRUE},
	{.type = CKA_MODULUS, .kind = VALUE_NUMBER, .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE | ROW_DENY_UNWRAP},
	{.type = CKA_PUBLIC_EXPONENT, .kind = VALUE_NUMBER, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP},
	{.type = CKA_PRIVATE_EXPONENT, .kind = VALUE_NUMBER,
	 .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
	{.type = CKA_PRIME_1, .kind = VALUE_NUMBER, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
	{.type = CKA_PRIME_2, .kind = VALUE_NUMBER, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
	{.type = CKA_EXPONENT_1, .kind = VALUE_NUMBER, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
	{.type = CKA_EXPONENT_2, .kind = VALUE_NUMBER, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
	{.type = CKA_COEFFICIENT, .kind = VALUE_NUMBER, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
};

/* 6.3.3, 6.3.5 */
static const struct policy_row ec_public_rows[] = {
	{.type = CKA_EC_PARAMS, .kind = VALUE_BYTES, .flags = ROW_NEED_CREATE | ROW_NEED_GENERATE, .min = 1},
	{.type = CKA_EC_POINT, .kind = VALUE_BYTES, .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE, .min = 1},
};

/* 6.3.4, 6.3.6.  The point isn't in the specification's table; importers send it, since it can't be read elsewhere. */
static const struct policy_row ec_private_rows[] = {
	{.type = CKA_EC_PARAMS, .kind = VALUE_BYTES, .min = 1,
	 .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE | ROW_DENY_UNWRAP},
	{.type = CKA_EC_POINT, .kind = VALUE_BYTES, .flags = ROW_DENY_GENERATE | ROW_DENY_UNWRAP, .min = 1},
	{.type = CKA_VALUE, .kind = VALUE_NUMBER,
	 .flags = ROW_NEED_CREATE | ROW_DENY_GENERATE | ROW_DENY_UNWRAP | ROW_SECRET},
};

/* 4.14: built-in, nobody sets anything. */
static const struct policy_row profile_rows[] = {
	{.type = CKA_CLASS, .kind = VALUE_ULONG, .flags = ROW_DENY},
	{.type = CKA_PROFILE_ID, .kind = VALUE_ULONG, .flags = ROW_DENY},
};

#define TABLE(name) static const struct policy_table name##_table = {name##_rows, ARRAY_LEN(name##_rows)}
TABLE(storage);
TABLE(data);
TABLE(certificate);
TABLE(key);
TABLE(public);
TABLE(private);
TABLE(secret);
TABLE(aes);
TABLE(rsa_public);
TABLE(rsa_private);
TABLE(ec_public);
TABLE(ec_private);
TABLE(profile);
#undef TABLE

#define SECRET_KEY(type) {CKO_SECRET_KEY, type, {&secret_table, &key_table, &storage_table}}
static const struct policy policies[] = {
	{CKO_DATA, 0, {&data_table, &storage_table}},
	{CKO_CERTIFICATE, 0, {&certificate_table, &storage_table}},
	{CKO_PUBLIC_KEY, CKK_RSA, {&rsa_public_table, &public_table, &key_table, &storage_table}},
	{CKO_PUBLIC_KEY, CKK_EC, {&ec_public_table, &public_table, &key_table, &storage_table}},
	{CKO_PUBLIC_KEY, CKK_EC_EDWARDS, {&ec_public_table, &public_table, &key_table, &storage_table}},
	{CKO_PRIVATE_KEY, CKK_RSA, {&rsa_private_table, &private_table, &key_table, &storage_table}},
	{CKO_PRIVATE_KEY, CKK_EC, {&ec_private_table, &private_table, &key_table, &storage_table}},
	{CKO_PRIVATE_KEY, CKK_EC_EDWARDS, {&ec_private_table, &private_table, &key_table, &storage_table}},
	{CKO_SECRET_KEY, CKK_AES, {&aes_table, &secret_table, &key_table, &storage_table}},
	SECRET_KEY(CKK_GENERIC_SECRET),
	SECRET_KEY(CKK_SHA_1_HMAC),
	SECRET_KEY(CKK_SHA224_HMAC),
	SECRET_KEY(CKK_SHA256_HMAC),
	SECRET_KEY(CKK_SHA384_HMAC),
	SECRET_KEY(CKK_SHA512_HMAC),
	{CKO_PROFILE, 0, {&profile_table}},
};
#undef SECRET_KEY

/* Attributes of the standard that no table above has; in a template they belong to another class (4.1.1), where
 * one that is nowhere is invalid. */
static const CK_ATTRIBUTE_TYPE foreign_attributes[] = {
	CKA_AC_ISSUER, CKA_OWNER, CKA_ATTR_TYPES, CKA_PRIME, CKA_SUBPRIME, CKA_BASE, CKA_PRIME_BITS,
	CKA_SUB_PRIME_BITS, CKA_VALUE_BITS, CKA_SECONDARY_AUTH, CKA_AUTH_PIN_FLAGS, CKA_OTP_FORMAT,
	CKA_OTP_LENGTH, CKA_OTP_TIME_INTERVAL, CKA_OTP_USER_FRIENDLY_MODE, CKA_OTP_CHALLENGE_REQUIREMENT,
	CKA_OTP_TIME_REQUIREMENT, CKA_OTP_COUNTER_REQUIREMENT, CKA_OTP_PIN_REQUIREMENT, CKA_OTP_COUNTER,
	CKA_OTP_TIME, CKA_OTP_USER_IDENTIFIER, CKA_OTP_SERVICE_IDENTIFIER, CKA_OTP_SERVICE_LOGO,
	CKA_OTP_SERVICE_LOGO_TYPE, CKA_GOSTR3410_PARAMS, CKA_GOSTR3411_PARAMS, CKA_GOST28147_PARAMS,
	CKA_HW_FEATURE_TYPE, CKA_RESET_ON_INIT, CKA_HAS_RESET, CKA_PIXEL_X, CKA_PIXEL_Y, CKA_RESOLUTION,
	CKA_CHAR_ROWS, CKA_CHAR_COLUMNS, CKA_COLOR, CKA_BITS_PER_PIXEL, CKA_CHAR_SETS, CKA_ENCODING_METHODS,
	CKA_MIME_TYPES, CKA_MECHANISM_TYPE, CKA_REQUIRED_CMS_ATTRIBUTES, CKA_DEFAULT_CMS_ATTRIBUTES,
	CKA_SUPPORTED_CMS_ATTRIBUTES, CKA_PARAMETER_SET, CKA_HASH_OF_CERTIFICATE, CKA_SEED,
};

bool policy_class_is_key(CK_OBJECT_CLASS class)
{
	return class == CKO_PUBLIC_KEY || class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
}

bool policy_class_known(CK_OBJECT_CLASS class)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (policies[i].class == class)
			return true;
	return false;
}

const struct policy *policy_find(CK_OBJECT_CLASS class, CK_KEY_TYPE key_type)
{
	bool key = policy_class_is_key(class);

	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (policies[i].class == class && (!key || policies[i].key_type == key_type))
			return &policies[i];
	return NULL;
}

const struct policy *policy_of(const struct attrs *object)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(object, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	CK_KEY_TYPE key_type = attrs_get_ulong(object, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

	return policy_find(class, key_type);
}

const struct policy *policy_at(size_t i)
{
	return i < ARRAY_LEN(policies) ? &policies[i] : NULL;
}

static const struct policy_row *table_row(const struct policy_table *t, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].type == type)
			return &t->rows[i];
	return NULL;
}

const struct policy_row *policy_row(const struct policy *p, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < POLICY_TABLES && p->tables[i]; i++) {
		const struct policy_row *row = table_row(p->tables[i], type);

		if (row)
			return row;
	}
	return NULL;
}

const struct policy_row *policy_row_at(const struct policy *p, size_t i)
{
	for (size_t t = 0; t < POLICY_TABLES && p->tables[t]; t++) {
		if (i < p->tables[t]->n)
			return &p->tables[t]->rows[i];
		i -= p->tables[t]->n;
	}
	return NULL;
}

bool policy_attribute_known(CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (policy_row(&policies[i], type))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(foreign_attributes); i++)
		if (foreign_attributes[i] == type)
			return true;
	return false;
}

bool policy_attribute_nested(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE || type == CKA_DERIVE_TEMPLATE;
}

bool policy_attribute_secret(CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		const struct policy_row *row = policy_row(&policies[i], type);

		if (row && (row->flags & ROW_SECRET))
			return true;
	}
	return false;
}

bool policy_default(const struct policy_row *row, struct bytes *ret)
{
	static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	static const uint8_t f4[] = {1, 0, 1};
	static const struct bytes values[DEFAULTS] = {
		[DEFAULT_FALSE] = {.ptr = &no, .len = sizeof no},
		[DEFAULT_TRUE] = {.ptr = &yes, .len = sizeof yes},
		[DEFAULT_UNLESS_UNWRAPPED] = {.ptr = &no, .len = sizeof no},
		[DEFAULT_F4] = {.ptr = f4, .len = sizeof f4},
	};

	if (row->dflt == DEFAULT_NONE)
		return false;
	*ret = row->dflt == DEFAULT_ULONG ? BYTES(&row->value, sizeof row->value) : values[row->dflt];
	return true;
}

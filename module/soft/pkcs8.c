/* Keys that travel.  A private key goes as PrivateKeyInfo (RFC 5208; OneAsymmetricKey of RFC 5958), in DER:
 *
 *   SEQUENCE {
 *     INTEGER version                    0; 1 if a public key follows
 *     SEQUENCE { OID, parameters }       RSA: rsaEncryption, NULL; EC: id-ecPublicKey, the curve; Ed25519: its OID
 *     OCTET STRING privateKey
 *     [0] attributes OPTIONAL            read over
 *     [1] BIT STRING publicKey OPTIONAL  EC, Ed25519: the point
 *   }
 *   RSA privateKey (RFC 8017, A.1.2): SEQUENCE { 0, n, e, d, p, q, dP, dQ, qInv }
 *   EC privateKey (RFC 5915): SEQUENCE { 1, OCTET STRING value,
 *                                        [0] { the curve's OID } OPTIONAL, [1] { BIT STRING point } OPTIONAL }
 *   Ed25519 privateKey (RFC 8410): OCTET STRING value
 *
 * Written and read here, and not by libcrypto: its decoders take BER as well, and its encoders leave copies of the key
 * in memory that nobody wipes. */
#include "soft_internal.h"

#define DER(...) {.ptr = (const uint8_t[]){__VA_ARGS__}, .len = sizeof((const uint8_t[]){__VA_ARGS__})}
/* Context-specific tags. */
#define TAG_0 0xa0u
#define TAG_1 0xa1u
#define TAG_1_PRIMITIVE 0x81u
/* Above any key of a modulus that is taken. */
#define INFO_MAX (8 * RSA_MAX_BYTES)

/* A PrivateKeyInfo taken apart; everything borrowed. */
struct info {
	struct bytes oid;    /* the algorithm's, with its header */
	struct bytes params; /* with their header, or nothing */
	struct bytes inner;  /* what privateKey holds */
	struct bytes public; /* publicKey, or nothing */
};

/* ---- RSA ---- */

static const uint8_t null_params[] = {DER_NULL, 0};

static CK_RV put_rsa(const struct attrs *key, struct buffer *params, struct buffer *inner)
{
	struct buffer members CLEANUP(buffer_done);

	buffer_init(&members, INFO_MAX);
	der_put_number(&members, NO_BYTES); /* two primes */
	for (size_t i = 0; i < RSA_MEMBERS; i++) {
		struct bytes v = soft_integer(key, soft_rsa_attrs[i]);

		if (v.len == 0)
			return CKR_KEY_UNEXTRACTABLE;
		der_put_number(&members, v);
	}
	buffer_put(params, BYTES_OF(null_params));
	der_put_buffer(inner, DER_SEQUENCE, &members);
	return CKR_OK;
}

static CK_RV read_rsa(const struct info *info, struct attrs *key)
{
	struct reader outer = reader_of(info->inner), r = reader_of(der_read(&outer, DER_SEQUENCE));
	struct bytes v[RSA_MEMBERS];

	if (!bytes_equal(info->params, BYTES_OF(null_params)) || info->public.len > 0)
		return CKR_WRAPPED_KEY_INVALID;
	if (der_read_number(&r).len > 0)
		return CKR_WRAPPED_KEY_INVALID;
	for (size_t i = 0; i < RSA_MEMBERS; i++) {
		v[i] = der_read_number(&r);
		if (v[i].len == 0) /* zero would count as left out */
			return CKR_WRAPPED_KEY_INVALID;
	}
	if (!reader_done(&outer) || !reader_done(&r))
		return CKR_WRAPPED_KEY_INVALID;
	for (size_t i = 0; i < RSA_MEMBERS; i++)
		TRY(attrs_set(key, soft_rsa_attrs[i], v[i]));
	return CKR_OK;
}

/* ---- EC and Ed25519 ---- */

/* The point in a SubjectPublicKeyInfo (RFC 5280, 4.1), or nothing. */
static struct bytes point_of_info(struct bytes info)
{
	struct reader outer = reader_of(info), r = reader_of(der_read(&outer, DER_SEQUENCE));
	struct bytes point;

	(void)der_read(&r, DER_SEQUENCE);
	point = der_read_bits(&r, DER_BITS);
	return reader_done(&outer) && reader_done(&r) ? point : NO_BYTES;
}

/* The public point of a private key if its attributes tell it. */
static struct bytes known_point(const struct attrs *key, const struct curve *c)
{
	struct bytes given, point;

	if (attrs_get(key, CKA_EC_POINT, &given) && ec_point_unwrap(given, c, &point))
		return point;
	(void)attrs_get(key, CKA_PUBLIC_KEY_INFO, &given);
	return point_of_info(given);
}

static CK_RV set_point(struct attrs *key, const struct curve *c, struct bytes point)
{
	struct buffer wrapped CLEANUP(buffer_done);

	buffer_init(&wrapped, 1024);
	if (point.len > 1 + 2 * EC_MAX_ORDER)
		return CKR_WRAPPED_KEY_INVALID;
	ec_point_wrap(point, c, &wrapped);
	TRY(buffer_status(&wrapped));
	return attrs_set(key, CKA_EC_POINT, buffer_bytes(&wrapped));
}

/* [1] { BIT STRING point } */
static void put_point(struct buffer *out, struct bytes point)
{
	struct buffer bits CLEANUP(buffer_done);

	buffer_init(&bits, 256);
	der_put_bits(&bits, point);
	der_put_buffer(out, TAG_1, &bits);
}

static CK_RV put_ec(const struct attrs *key, struct buffer *params, struct buffer *inner)
{
	static const uint8_t version[] = {1};
	struct bytes v = soft_integer(key, CKA_VALUE), point;
	uint8_t padded[EC_MAX_ORDER] = {0};
	struct buffer parts CLEANUP(buffer_done);
	const struct curve *c = NULL;

	buffer_init(&parts, INFO_MAX);
	TRY(soft_curve(key, false, &c));
	if (v.len == 0 || v.len > c->order)
		return CKR_KEY_UNEXTRACTABLE;
	memcpy(padded + c->order - v.len, v.ptr, v.len);
	der_put_number(&parts, BYTES_OF(version));
	der_put(&parts, DER_OCTETS, BYTES(padded, c->order));
	wipe(padded, sizeof padded);
	point = known_point(key, c);
	if (point.len > 0)
		put_point(&parts, point);
	buffer_put(params, c->oid);
	der_put_buffer(inner, DER_SEQUENCE, &parts);
	return CKR_OK;
}

/* The parts of an ECPrivateKey; the curve's OID that may stand in it too must be the algorithm's. */
static bool read_ec_parts(const struct info *info, struct bytes *value, struct bytes *point)
{
	struct reader outer = reader_of(info->inner), r = reader_of(der_read(&outer, DER_SEQUENCE)), bits;
	struct bytes version = der_read_number(&r);
	bool same = true;

	*value = der_read(&r, DER_OCTETS);
	*point = NO_BYTES;
	if (der_next_is(&r, TAG_0))
		same = bytes_equal(der_read(&r, TAG_0), info->params);
	if (der_next_is(&r, TAG_1)) {
		bits = reader_of(der_read(&r, TAG_1));
		*point = der_read_bits(&bits, DER_BITS);
		same = same && reader_done(&bits) && point->len > 0;
	}
	return same && reader_done(&outer) && reader_done(&r) && version.len == 1 && version.ptr[0] == 1;
}

static const struct curve *curve_by_oid(struct bytes oid, bool edwards)
{
	for (size_t i = 0; i < CURVE_COUNT; i++)
		if (der_curves[i].edwards == edwards && bytes_equal(der_curves[i].oid, oid))
			return &der_curves[i];
	return NULL;
}

static CK_RV read_ec(const struct info *info, struct attrs *key)
{
	const struct curve *c = curve_by_oid(info->params, false);
	struct bytes value, point;
	uint8_t padded[EC_MAX_ORDER] = {0};
	CK_RV rv;

	if (!c || !read_ec_parts(info, &value, &point) || value.len == 0 || value.len > c->order)
		return CKR_WRAPPED_KEY_INVALID;
	if (point.len > 0 && info->public.len > 0 && !bytes_equal(point, info->public))
		return CKR_WRAPPED_KEY_INVALID;
	if (point.len == 0)
		point = info->public;
	if (point.len > 0)
		TRY(set_point(key, c, point));
	TRY(attrs_set(key, CKA_EC_PARAMS, c->oid));
	memcpy(padded + c->order - value.len, value.ptr, value.len);
	rv = attrs_set(key, CKA_VALUE, BYTES(padded, c->order));
	wipe(padded, sizeof padded);
	return rv;
}

static CK_RV put_edwards(const struct attrs *key, struct buffer *params UNUSED, struct buffer *inner)
{
	const struct curve *c = NULL;
	struct bytes value;

	TRY(soft_curve(key, true, &c));
	if (!attrs_get(key, CKA_VALUE, &value) || value.len != c->field)
		return CKR_KEY_UNEXTRACTABLE;
	der_put(inner, DER_OCTETS, value);
	return CKR_OK;
}

static CK_RV read_edwards(const struct info *info, struct attrs *key)
{
	const struct curve *c = curve_by_oid(info->oid, true);
	struct reader r = reader_of(info->inner);
	struct bytes value = der_read(&r, DER_OCTETS);

	if (!c || !reader_done(&r) || info->params.len > 0)
		return CKR_WRAPPED_KEY_INVALID;
	if (info->public.len > 0)
		TRY(set_point(key, c, info->public));
	TRY(attrs_set(key, CKA_EC_PARAMS, c->oid));
	return attrs_set(key, CKA_VALUE, value);
}

/* ---- all private keys ---- */

/* What differs by key type. */
struct travel {
	CK_KEY_TYPE type;
	struct bytes oid; /* of the algorithm, with its header */
	/* Appends the parameters and what privateKey holds. */
	CK_RV (*put)(const struct attrs *key, struct buffer *params, struct buffer *inner) MUST_CHECK;
	/* Sets the values that are there; what they are worth soft_complete() decides. */
	CK_RV (*read)(const struct info *info, struct attrs *key) MUST_CHECK;
};

static const struct travel rows[] = {
	{
		.type = CKK_RSA,
		.oid = DER(DER_OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01),
		.put = put_rsa,
		.read = read_rsa,
	},
	{
		.type = CKK_EC,
		.oid = DER(DER_OID, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01),
		.put = put_ec,
		.read = read_ec,
	},
	{
		.type = CKK_EC_EDWARDS,
		.oid = DER(DER_OID, 3, 0x2b, 0x65, 0x70),
		.put = put_edwards,
		.read = read_edwards,
	},
};

static const struct travel *travel_of(const struct attrs *key)
{
	CK_KEY_TYPE type = attrs_get_ulong(key, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

static CK_RV export_private(const struct attrs *key, struct buffer *out)
{
	struct buffer algorithm CLEANUP(buffer_done), inner CLEANUP(buffer_done), body CLEANUP(buffer_done);
	const struct travel *row = travel_of(key);

	buffer_init(&algorithm, 64);
	buffer_init(&inner, INFO_MAX);
	buffer_init(&body, INFO_MAX);
	if (!row)
		return CKR_KEY_NOT_WRAPPABLE;
	buffer_put(&algorithm, row->oid);
	TRY(row->put(key, &algorithm, &inner));
	der_put_number(&body, NO_BYTES);
	der_put_buffer(&body, DER_SEQUENCE, &algorithm);
	der_put_buffer(&body, DER_OCTETS, &inner);
	der_put_buffer(out, DER_SEQUENCE, &body);
	return buffer_status(out);
}

static CK_RV export_secret(const struct attrs *key, struct buffer *out)
{
	struct bytes value;

	if (!attrs_get(key, CKA_VALUE, &value) || value.len == 0)
		return CKR_KEY_UNEXTRACTABLE;
	buffer_put(out, value);
	return buffer_status(out);
}

CK_RV soft_export(const struct attrs *key, struct buffer *out)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(key, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);

	if (class == CKO_SECRET_KEY)
		return export_secret(key, out);
	return class == CKO_PRIVATE_KEY ? export_private(key, out) : CKR_KEY_NOT_WRAPPABLE;
}

/* The algorithm's SEQUENCE: an OID, and what is behind it. */
static bool read_algorithm(struct bytes algorithm, struct info *ret)
{
	struct reader r = reader_of(algorithm);

	(void)der_read(&r, DER_OID);
	if (!r.ok)
		return false;
	ret->oid = BYTES(algorithm.ptr, algorithm.len - r.left);
	ret->params = BYTES(r.ptr, r.left);
	return true;
}

static bool read_info(struct bytes in, struct info *ret)
{
	struct reader outer = reader_of(in), r = reader_of(der_read(&outer, DER_SEQUENCE));
	struct bytes version = der_read_number(&r);
	struct info info = {.public = NO_BYTES};
	bool v2 = version.len == 1 && version.ptr[0] == 1;

	if (!read_algorithm(der_read(&r, DER_SEQUENCE), &info))
		return false;
	info.inner = der_read(&r, DER_OCTETS);
	if (der_next_is(&r, TAG_0))
		(void)der_read(&r, TAG_0);
	if (v2) /* RFC 5958, section 2: this version, and no other, has one */
		info.public = der_read_bits(&r, TAG_1_PRIMITIVE);
	if (!reader_done(&outer) || !reader_done(&r) || version.len > v2 || v2 != (info.public.len > 0))
		return false;
	*ret = info;
	return true;
}

/* The point of a key that has been checked, if its wrapped form lacks it: from the public key derived meanwhile. */
static CK_RV add_point(struct attrs *a)
{
	struct bytes params, info;
	const struct curve *c;
	bool malformed;

	if (attrs_has(a, CKA_EC_POINT) || !attrs_get(a, CKA_EC_PARAMS, &params))
		return CKR_OK;
	c = curve_by_params(params, &malformed);
	(void)attrs_get(a, CKA_PUBLIC_KEY_INFO, &info);
	return c ? set_point(a, c, point_of_info(info)) : CKR_WRAPPED_KEY_INVALID;
}

/* What soft_complete() says about values that somebody wrapped. */
static CK_RV check_values(struct attrs *a)
{
	CK_RV rv = soft_complete(a);

	return rv == CKR_OK || rv == CKR_HOST_MEMORY || rv == CKR_FUNCTION_FAILED ? rv : CKR_WRAPPED_KEY_INVALID;
}

CK_RV soft_import(struct bytes info, struct attrs *key)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(key, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);
	struct attrs *work CLEANUP(attrs_cleanup) = NULL;
	const struct travel *row = travel_of(key);
	struct info parts;

	if (!row || class != CKO_PRIVATE_KEY || !read_info(info, &parts) || !bytes_equal(parts.oid, row->oid))
		return CKR_WRAPPED_KEY_INVALID;
	work = attrs_new();
	if (!work)
		return CKR_HOST_MEMORY;
	TRY(attrs_set_ulong(work, CKA_CLASS, class));
	TRY(attrs_set_ulong(work, CKA_KEY_TYPE, row->type));
	TRY(row->read(&parts, work));
	TRY(check_values(work));
	TRY(add_point(work));
	attrs_remove(work, CKA_PUBLIC_KEY_INFO); /* whoever makes the object completes it with its template's */
	return attrs_merge(key, work);
}

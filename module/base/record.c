/* The stored form of a record, version 1.  Numbers are big-endian; "varint" is LEB128 in its shortest form.
 *
 *	magic      4   53 47 52 01  ("SGR" and the version; another version is refused)
 *	length     4   of the whole record, magic and checksum included
 *	token id  16   of the token record; another one's records are garbage
 *	record id 16   random; its hex form names the file or key
 *	version    4   counts rewrites
 *	objects    1   1 or 2
 *	then for each object
 *		index      1   0 or 1, rising: which half of a pair
 *		flags      1   bit 0: CKA_PRIVATE; bit 1: there is a sealed part; others 0
 *		clear      varint length, then attributes
 *		blob       varint length, then the backend's own bytes
 *		sealed     varint length, then AES-256-GCM of attributes (nonce, ciphertext, tag); only with bit 1
 *	checksum   8   the first bytes of SHA-256 of everything before: tells a torn or damaged record
 *
 * An attribute is varint(type * 2 + number); then for a CK_ULONG (number = 1) varint(value + 1), where 0 stands for
 * CK_UNAVAILABLE_INFORMATION, so that processes of any word size agree; else varint length and the value.
 *
 * A private object's attributes are all in the sealed part, under the token's private key; of a public object those
 * that record_seals() names, under its public key.  The additional data of the seal bind it to its place: token id,
 * record id, index, flags, clear part and blob.  Not bound: the version and the other object, so that one half can
 * be rewritten by who can't open the other. */
#include "record.h"
#include "crypto.h"
#include "log.h"

#define CHECKSUM 8
#define HEADER (4 + 4 + 16 + 16 + 4 + 1)
static const uint8_t magic[4] = {'S', 'G', 'R', 1};

enum flag { FLAG_PRIVATE = 1, FLAG_SEALED = 2 };

static const struct {
	CK_OBJECT_CLASS class;
	CK_ATTRIBUTE_TYPE type;
} sealed_attributes[] = {
	{CKO_SECRET_KEY, CKA_VALUE},           {CKO_PRIVATE_KEY, CKA_VALUE},
	{CKO_PRIVATE_KEY, CKA_PRIVATE_EXPONENT}, {CKO_PRIVATE_KEY, CKA_PRIME_1},
	{CKO_PRIVATE_KEY, CKA_PRIME_2},        {CKO_PRIVATE_KEY, CKA_EXPONENT_1},
	{CKO_PRIVATE_KEY, CKA_EXPONENT_2},     {CKO_PRIVATE_KEY, CKA_COEFFICIENT},
};

/* The attributes whose value is a CK_ULONG. */
static const CK_ATTRIBUTE_TYPE numbers[] = {
	CKA_CLASS,        CKA_KEY_TYPE,  CKA_CERTIFICATE_TYPE,  CKA_CERTIFICATE_CATEGORY, CKA_JAVA_MIDP_SECURITY_DOMAIN,
	CKA_MODULUS_BITS, CKA_VALUE_LEN, CKA_KEY_GEN_MECHANISM, CKA_NAME_HASH_ALGORITHM,  CKA_PROFILE_ID,
};

bool record_seals(CK_OBJECT_CLASS class, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(sealed_attributes); i++)
		if (sealed_attributes[i].class == class && sealed_attributes[i].type == type)
			return true;
	return false;
}

void record_object_id(const struct record *r, const struct record_object *o, uint8_t ret[16])
{
	memcpy(ret, r->id, 16);
	ret[15] ^= o->index;
}

static void object_done(struct record_object *o)
{
	attrs_free(o->attrs);
	buffer_done(&o->blob);
	buffer_done(&o->sealed_part);
	*o = (struct record_object){0};
}

void record_done(struct record *r)
{
	for (size_t i = 0; i < RECORD_MAX_OBJECTS; i++)
		object_done(&r->object[i]);
	*r = (struct record){0};
}

/* ---- writing ---- */

static bool is_number(CK_ATTRIBUTE_TYPE type, struct bytes value)
{
	if (value.len != sizeof(CK_ULONG))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] == type)
			return true;
	return false;
}

void record_put_attribute(struct buffer *out, CK_ATTRIBUTE_TYPE type, struct bytes value)
{
	bool number = is_number(type, value);
	CK_ULONG v;

	buffer_put_varint(out, (uint64_t)type << 1 | number);
	if (!number) {
		buffer_put_sized(out, value);
		return;
	}
	memcpy(&v, value.ptr, sizeof v);
	buffer_put_varint(out, v == CK_UNAVAILABLE_INFORMATION ? 0 : (uint64_t)v + 1);
}

/* Sorts the attributes into the two parts. */
static CK_RV split(const struct record_object *o, struct buffer *clear, struct buffer *secret)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(o->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION);

	for (size_t i = 0; i < attrs_count(o->attrs); i++) {
		struct bytes value;
		CK_ATTRIBUTE_TYPE type = attrs_at(o->attrs, i, &value);

		record_put_attribute(o->private || record_seals(class, type) ? secret : clear, type, value);
	}
	TRY(buffer_status(clear));
	return buffer_status(secret);
}

/* The additional data of an object's seal. */
static CK_RV bind(const struct record *r, const struct record_object *o, uint8_t flags, struct bytes clear,
		  struct buffer *aad)
{
	buffer_put(aad, BYTES_OF(r->token_id));
	buffer_put(aad, BYTES_OF(r->id));
	buffer_put_u8(aad, o->index);
	buffer_put_u8(aad, flags);
	buffer_put_sized(aad, clear);
	buffer_put_sized(aad, buffer_bytes(&o->blob));
	return buffer_status(aad);
}

static CK_RV seal(const struct record *r, const struct record_object *o, const struct key256 *key, struct bytes clear,
		  struct bytes secret, struct buffer *out)
{
	struct buffer aad CLEANUP(buffer_done);
	uint8_t flags = (uint8_t)(FLAG_SEALED | (o->private ? FLAG_PRIVATE : 0));

	buffer_init(&aad, RECORD_MAX_SIZE);
	if (!key)
		return CKR_USER_NOT_LOGGED_IN;
	TRY(bind(r, o, flags, clear, &aad));
	return aead_seal(key, buffer_bytes(&aad), secret, out);
}

static CK_RV emit_object(const struct record *r, const struct record_object *o, const struct record_keys *keys,
			 struct buffer *out)
{
	struct buffer clear CLEANUP(buffer_done), secret CLEANUP(buffer_done), sealed CLEANUP(buffer_done);
	bool has_seal;

	buffer_init(&clear, RECORD_MAX_SIZE);
	buffer_init(&secret, RECORD_MAX_SIZE);
	buffer_init(&sealed, RECORD_MAX_SIZE);
	TRY(split(o, &clear, &secret));
	if (o->sealed)
		buffer_put(&sealed, buffer_bytes(&o->sealed_part));
	else if (secret.len > 0)
		TRY(seal(r, o, o->private ? keys->private_key : keys->public_key, buffer_bytes(&clear),
			 buffer_bytes(&secret), &sealed));
	has_seal = sealed.len > 0;
	buffer_put_u8(out, o->index);
	buffer_put_u8(out, (uint8_t)((o->private ? FLAG_PRIVATE : 0) | (has_seal ? FLAG_SEALED : 0)));
	buffer_put_sized(out, buffer_bytes(&clear));
	buffer_put_sized(out, buffer_bytes(&o->blob));
	if (has_seal)
		buffer_put_sized(out, buffer_bytes(&sealed));
	TRY(buffer_status(&sealed));
	return buffer_status(out);
}

static void put_be32_at(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

CK_RV record_emit(const struct record *r, const struct record_keys *keys, struct buffer *out)
{
	struct buffer b CLEANUP(buffer_done);
	uint8_t digest[32];

	buffer_init(&b, RECORD_MAX_SIZE);
	if (r->n == 0 || r->n > RECORD_MAX_OBJECTS)
		return CKR_GENERAL_ERROR;
	buffer_put(&b, BYTES_OF(magic));
	buffer_put_be32(&b, 0);
	buffer_put(&b, BYTES_OF(r->token_id));
	buffer_put(&b, BYTES_OF(r->id));
	buffer_put_be32(&b, r->version);
	buffer_put_u8(&b, (uint8_t)r->n);
	for (size_t i = 0; i < r->n; i++)
		TRY(emit_object(r, &r->object[i], keys, &b));
	TRY(buffer_status(&b));
	put_be32_at(b.ptr + sizeof magic, (uint32_t)b.len + CHECKSUM);
	TRY(hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&b), digest));
	buffer_put(&b, BYTES(digest, CHECKSUM));
	TRY(buffer_status(&b));
	buffer_put(out, buffer_bytes(&b));
	return buffer_status(out);
}

/* ---- reading ---- */

/* CK_UNAVAILABLE_INFORMATION as 0, others one up; r->ok is false for what no CK_ULONG of ours holds. */
static CK_ULONG read_number(struct reader *r)
{
	uint64_t stored = read_varint(r);

	if (stored > (uint64_t)CK_UNAVAILABLE_INFORMATION)
		r->ok = false;
	return stored == 0 ? CK_UNAVAILABLE_INFORMATION : (CK_ULONG)(stored - 1);
}

bool record_next_attribute(struct reader *r, CK_ATTRIBUTE_TYPE *type, struct bytes *value, CK_ULONG *number)
{
	uint64_t head;

	if (!r->ok || r->left == 0)
		return false;
	head = read_varint(r);
	*type = (CK_ATTRIBUTE_TYPE)(head >> 1);
	if (head & 1) {
		*number = read_number(r);
		*value = BYTES(number, sizeof *number);
	} else {
		*value = read_sized(r);
	}
	return r->ok;
}

static CK_RV read_attributes(struct bytes in, struct attrs *into)
{
	struct reader r = reader_of(in);
	CK_ATTRIBUTE_TYPE type;
	struct bytes value;
	CK_ULONG number;

	while (record_next_attribute(&r, &type, &value, &number)) {
		CK_RV rv = attrs_set(into, type, value);

		if (rv != CKR_OK)
			return rv == CKR_HOST_MEMORY ? rv : CKR_DEVICE_ERROR;
	}
	return r.ok ? CKR_OK : CKR_DEVICE_ERROR;
}

/* Opens the sealed part into the object's attributes. */
static CK_RV open_seal(const struct record *r, struct record_object *o, const struct key256 *key, struct bytes clear,
		       struct bytes sealed)
{
	struct buffer aad CLEANUP(buffer_done), plain CLEANUP(buffer_done);
	uint8_t flags = (uint8_t)(FLAG_SEALED | (o->private ? FLAG_PRIVATE : 0));
	CK_RV rv;

	buffer_init(&aad, RECORD_MAX_SIZE);
	buffer_init(&plain, RECORD_MAX_SIZE);
	TRY(bind(r, o, flags, clear, &aad));
	rv = aead_open(key, buffer_bytes(&aad), sealed, &plain);
	if (rv == CKR_FUNCTION_FAILED)
		return CKR_DEVICE_ERROR;
	if (rv != CKR_OK)
		return rv;
	return read_attributes(buffer_bytes(&plain), o->attrs);
}

static CK_RV keep_seal(struct record_object *o, struct bytes sealed)
{
	o->sealed = true;
	buffer_put(&o->sealed_part, sealed);
	return buffer_status(&o->sealed_part);
}

static CK_RV read_object(struct reader *r, const struct record *record, const struct record_keys *keys,
			 struct record_object *o)
{
	const struct key256 *key;
	struct bytes clear, sealed = NO_BYTES;
	uint8_t flags;

	buffer_init(&o->blob, RECORD_MAX_SIZE);
	buffer_init(&o->sealed_part, RECORD_MAX_SIZE);
	o->attrs = attrs_new();
	if (!o->attrs)
		return CKR_HOST_MEMORY;
	o->index = read_u8(r);
	flags = read_u8(r);
	clear = read_sized(r);
	buffer_put(&o->blob, read_sized(r));
	if (flags & FLAG_SEALED)
		sealed = read_sized(r);
	if (!r->ok || o->index >= RECORD_MAX_OBJECTS || flags & ~(FLAG_PRIVATE | FLAG_SEALED))
		return CKR_DEVICE_ERROR;
	o->private = flags & FLAG_PRIVATE;
	TRY(buffer_status(&o->blob));
	TRY(read_attributes(clear, o->attrs));
	if (!(flags & FLAG_SEALED))
		return CKR_OK;
	key = o->private ? keys->private_key : keys->public_key;
	return key ? open_seal(record, o, key, clear, sealed) : keep_seal(o, sealed);
}

/* Magic, length and checksum: whether these bytes are a whole record. */
static CK_RV check_frame(struct bytes in)
{
	struct reader r = reader_of(in);
	uint8_t digest[32];

	if (in.len < HEADER + CHECKSUM || in.len > RECORD_MAX_SIZE)
		return CKR_DEVICE_ERROR;
	if (!bytes_equal(read_bytes(&r, sizeof magic), BYTES_OF(magic)) || read_be32(&r) != in.len)
		return CKR_DEVICE_ERROR;
	TRY(hash_once(&crypto_hashes[HASH_SHA256], BYTES(in.ptr, in.len - CHECKSUM), digest));
	return bytes_equal(BYTES(digest, CHECKSUM), BYTES(in.ptr + in.len - CHECKSUM, CHECKSUM)) ? CKR_OK
												   : CKR_DEVICE_ERROR;
}

static CK_RV read_record(struct reader *r, const uint8_t token_id[16], const struct record_keys *keys,
			 struct record *into)
{
	(void)read_bytes(r, sizeof magic + 4);
	memcpy(into->token_id, read_bytes(r, 16).ptr, 16);
	memcpy(into->id, read_bytes(r, 16).ptr, 16);
	into->version = read_be32(r);
	into->n = read_u8(r);
	if (memcmp(into->token_id, token_id, 16) != 0)
		return CKR_TOKEN_NOT_RECOGNIZED;
	if (into->n == 0 || into->n > RECORD_MAX_OBJECTS)
		return CKR_DEVICE_ERROR;
	for (size_t i = 0; i < into->n; i++)
		TRY(read_object(r, into, keys, &into->object[i]));
	if (into->n == 2 && into->object[0].index >= into->object[1].index)
		return CKR_DEVICE_ERROR;
	return reader_done(r) ? CKR_OK : CKR_DEVICE_ERROR;
}

CK_RV record_parse(struct bytes in, const uint8_t token_id[16], const struct record_keys *keys, struct record *ret)
{
	struct record r CLEANUP(record_done) = {0};
	struct reader reader;

	TRY(check_frame(in));
	reader = reader_of(BYTES(in.ptr, in.len - CHECKSUM));
	TRY(read_record(&reader, token_id, keys, &r));
	*ret = r;
	r = (struct record){0};
	return CKR_OK;
}

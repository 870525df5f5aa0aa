/* The few DER edges that Cryptoki shows: named curves, EC points, ECDSA signatures; and the elements (X.690) that they,
 * PrivateKeyInfo and other structures of keys are made of. */
#ifndef BASE_DER_H
#define BASE_DER_H

#include "bytes.h"

enum curve_id { CURVE_P256, CURVE_P384, CURVE_P521, CURVE_ED25519, CURVE_COUNT };

/* One curve under each of its names. */
struct curve {
	enum curve_id id;
	const char *name;       /* libcrypto's group or key name: "P-256", "ED25519" */
	uint16_t tpm_id;        /* TPM_ECC_CURVE; 0: none */
	unsigned bits;          /* of the order */
	size_t field, order;    /* bytes of a coordinate, of r and s; for Ed25519 32 and 32 */
	bool edwards;
	struct bytes oid;       /* DER OBJECT IDENTIFIER */
	const char *printable;  /* PrintableString form ("secp256r1", "edwards25519"), accepted too */
};
extern const struct curve der_curves[CURVE_COUNT];
/* CKA_EC_PARAMS → row.  NULL: unsupported; *malformed says that it isn't even DER. */
const struct curve *curve_by_params(struct bytes params, bool *malformed);

/* CKA_EC_POINT of CKK_EC is an OCTET STRING around the uncompressed point; accepts the bare point too.
 * False if it is neither.  For Edwards curves the value is the point. */
bool ec_point_unwrap(struct bytes attribute, const struct curve *c, struct bytes *point);
/* Appends the attribute's form of a point. */
void ec_point_wrap(struct bytes point, const struct curve *c, struct buffer *out);

/* Identifier octets. */
enum der_tag {
	DER_INTEGER = 0x02, DER_BITS = 0x03, DER_OCTETS = 0x04, DER_NULL = 0x05, DER_OID = 0x06, DER_PRINTABLE = 0x13,
	DER_SEQUENCE = 0x30,
};
/* The content of the next element if it has that tag and a definite, shortest length of at most 65 535; else r->ok
 * becomes false. */
struct bytes der_read(struct reader *r, uint8_t tag);
/* Whether the next element is there and has that tag. */
bool der_next_is(const struct reader *r, uint8_t tag);
/* The magnitude of an INTEGER that isn't negative, without leading zeros (zero: no bytes).  r->ok becomes false for a
 * negative one and for a form longer than needed. */
struct bytes der_read_number(struct reader *r);
/* The content of a BIT STRING, which has whole bytes. */
struct bytes der_read_bits(struct reader *r, uint8_t tag);
/* Appends one element.  Content of more than 65 535 bytes: the buffer's status becomes CKR_DATA_LEN_RANGE. */
void der_put(struct buffer *out, uint8_t tag, struct bytes content);
/* The same of content that was written into a buffer: what failed there has failed here. */
void der_put_buffer(struct buffer *out, uint8_t tag, const struct buffer *content);
/* A big-endian magnitude (empty: zero) as an INTEGER, in its shortest form. */
void der_put_number(struct buffer *out, struct bytes magnitude);
/* A BIT STRING of whole bytes. */
void der_put_bits(struct buffer *out, struct bytes content);

/* r || s, each padded to the order's length, from and to ECDSA-Sig-Value.  `rs` of any even length is split in half.
 * False for what isn't a signature of that curve. */
bool ecdsa_der_to_raw(struct bytes der, size_t order, uint8_t *rs);
bool ecdsa_raw_to_der(struct bytes rs, struct buffer *out);

#endif

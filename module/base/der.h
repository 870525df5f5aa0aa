/* The few DER edges that Cryptoki shows: named curves, EC points, ECDSA signatures. */
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

/* r || s, each padded to the order's length, from and to ECDSA-Sig-Value.  `rs` of any even length is split in half.
 * False for what isn't a signature of that curve. */
bool ecdsa_der_to_raw(struct bytes der, size_t order, uint8_t *rs);
bool ecdsa_raw_to_der(struct bytes rs, struct buffer *out);

#endif

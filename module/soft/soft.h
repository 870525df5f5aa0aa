/* What libcrypto does with a key that is in this process's memory: the front's public-key work, and every key whose
 * value a backend keeps itself.  Knows no token, session or store; takes attributes and gives bytes. */
#ifndef SOFT_SOFT_H
#define SOFT_SOFT_H

#include "attrs.h"
#include "crypto.h"
#include "der.h"
#include "token.h"

/* A key ready for use: an EVP_PKEY or raw secret bytes.  Immutable, reference-counted, usable from many threads. */
struct soft_key;

/* From the attributes of a CKO_PUBLIC_KEY, CKO_PRIVATE_KEY or CKO_SECRET_KEY.
 * CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID, CKR_TEMPLATE_INCOMPLETE,
 * CKR_KEY_TYPE_INCONSISTENT, CKR_HOST_MEMORY. */
CK_RV soft_key_new(const struct attrs *attrs, struct soft_key **ret) MUST_CHECK;
struct soft_key *soft_key_ref(struct soft_key *k);
void soft_key_unref(struct soft_key *k);
EVP_PKEY *soft_key_pkey(const struct soft_key *k); /* borrowed; NULL for secrets */
/* Size of the key in the units of CK_MECHANISM_INFO (RSA, EC bits; AES bytes; secrets bytes). */
size_t soft_key_size(const struct soft_key *k);
/* Largest output of a signature or an encryption with it: modulus bytes, or twice the order's. */
size_t soft_key_max_output(const struct soft_key *k);

/* Makes a key and sets its value attributes (and CKA_CLASS and CKA_KEY_TYPE where they are absent): RSA, EC, Edwards
 * pairs (pub and priv) or a secret (priv, pub NULL).
 * Reads CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS from pub, CKA_VALUE_LEN from priv.
 * Sets also CKA_PUBLIC_KEY_INFO, CKA_MODULUS, CKA_EC_POINT, of private keys all CRT members. */
CK_RV soft_generate(CK_MECHANISM_TYPE mech, struct attrs *pub, struct attrs *priv) MUST_CHECK;

/* Derives from the values of an imported key what the object must show besides: RSA CRT members and exponent,
 * CKA_PUBLIC_KEY_INFO, CKA_VALUE_LEN, CKA_CHECK_VALUE, CKA_MODULUS_BITS; checks that they fit together, and a
 * supplied CKA_CHECK_VALUE or CKA_PUBLIC_KEY_INFO against the key.  A CKA_CHECK_VALUE that is present and empty stays
 * so; an empty CKA_PUBLIC_KEY_INFO is filled in; a CKA_EC_POINT gets the form that its key type shows.  On failure attrs
 * is unchanged.
 * CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCONSISTENT (class and type), the curve codes. */
CK_RV soft_complete(struct attrs *attrs) MUST_CHECK;

/* ---- operations: same shape and duties as in struct token_ops ----
 * Signing and decryption take a private key, verification and encryption a public one, MACs and ciphers a secret.
 * With OP_VERIFY `out` holds the signature, also of a public key: CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID. */
struct soft_op;
CK_RV soft_op_begin(enum op_kind kind, const struct scheme *scheme, struct soft_key *key, struct soft_op **ret,
		    size_t *ret_max) MUST_CHECK;
size_t soft_op_size(const struct soft_op *op, size_t in_len, bool final);
CK_RV soft_op_update(struct soft_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
CK_RV soft_op_finish(struct soft_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
void soft_op_free(struct soft_op *op);

/* The base mechanisms that soft_op can do and soft_generate can make, flags without CKF_HW. */
extern const struct token_mech soft_mechs[];
extern const size_t soft_mechs_count;

/* ---- keys that travel (PKCS#11 3.2, 5.18) ---- */

/* What C_WrapKey encrypts: a secret key's value, a private key's PrivateKeyInfo (RFC 5208, RFC 5958 version 0; EC by
 * RFC 5915 with the public point where it is known).  Appends to *out, which the caller wipes.
 * CKR_KEY_UNEXTRACTABLE if the attributes lack the value, CKR_KEY_NOT_WRAPPABLE for other classes. */
CK_RV soft_export(const struct attrs *key, struct buffer *out) MUST_CHECK;
/* The private key in a DER PrivateKeyInfo: sets its value attributes (RSA all members, EC CKA_EC_PARAMS and CKA_VALUE
 * and CKA_EC_POINT) in `key`, which has CKA_CLASS and CKA_KEY_TYPE.  Bytes behind the structure are refused.
 * CKR_WRAPPED_KEY_INVALID, also for a key of another type. */
CK_RV soft_import(struct bytes info, struct attrs *key) MUST_CHECK;
/* The X9.63 key derivation function: `n` bytes from z and the shared information.  hash NULL is CKD_NULL: the first n
 * bytes of z.  CKR_KEY_SIZE_RANGE if that gives fewer. */
CK_RV soft_kdf_x963(const struct hash *hash, struct bytes z, struct bytes shared, size_t n, uint8_t *out) MUST_CHECK;

/* ---- padding around a raw RSA operation done elsewhere (RFC 8017) ---- */

/* EM of modulus_bits for signing: CKM_RSA_PKCS (DigestInfo if scheme->hash), CKM_RSA_PKCS_PSS, CKM_RSA_X_509.
 * em has (modulus_bits + 7) / 8 bytes.  CKR_DATA_LEN_RANGE. */
CK_RV rsa_pad_sign(const struct scheme *scheme, size_t modulus_bits, struct bytes in, uint8_t *em) MUST_CHECK;
/* Undoes CKM_RSA_PKCS_OAEP or CKM_RSA_X_509 padding of a decrypted block.  CKR_ENCRYPTED_DATA_INVALID. */
CK_RV rsa_unpad_decrypt(const struct scheme *scheme, struct bytes em, struct outbuf *out) MUST_CHECK;
/* PKCS#1 v1.5 with implicit rejection: constant-time in em; for bad padding a message that is a function of `kdk` and
 * the ciphertext only, so that no caller can tell.  Never fails because of em.  What is executed and which memory is
 * touched depend on em.len alone (tests/unit/soft/unpad.sh).  out->cap at least em.len; bytes behind out->len stay as
 * they were. */
CK_RV rsa_unpad_pkcs1(const struct key256 *kdk, struct bytes ciphertext, struct bytes em, struct outbuf *out) MUST_CHECK;

#endif

/* libcrypto as the judge of what the token does: public keys rebuilt from their attributes, signatures and ciphertexts
 * checked and made outside of the module. */
#ifndef TESTS_JUDGE_H
#define TESTS_JUDGE_H

#include <openssl/evp.h>

#include "harness.h"

/* From CKA_MODULUS and CKA_PUBLIC_EXPONENT, or CKA_EC_PARAMS and CKA_EC_POINT. */
EVP_PKEY *judge_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE pub);
/* RSA, over a digest or, with md NULL, over a DigestInfo or raw block as it is.  padding: RSA_PKCS1_PADDING … ;
 * salt: of PSS, bytes. */
bool judge_rsa(EVP_PKEY *key, const EVP_MD *md, int padding, int salt, struct bytes digest, struct bytes sig);
/* ECDSA, r || s. */
bool judge_ecdsa(EVP_PKEY *key, struct bytes digest, struct bytes rs);
/* RSA encryption outside of the module; *out has 512 bytes; the ciphertext's length. */
size_t judge_encrypt(EVP_PKEY *key, int padding, const EVP_MD *oaep, struct bytes plain, uint8_t *out);

#endif

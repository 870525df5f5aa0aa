/* libcrypto's functions that can fail, and the objects that it makes for us.  A failure leaves an error in libcrypto's
 * queue, as a real one does. */
#include "inject.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdarg.h>

static bool breaks(const char *what, bool has_negative)
{
	int reason = faults.evp.where ? faults.evp.where : ERR_R_INTERNAL_ERROR;

	if ((faults.evp.code == 1 && !has_negative) || !fault_hits(&faults.evp, what))
		return false;
	ERR_raise(ERR_LIB_EVP, reason);
	return true;
}

/* The prototype is libcrypto's. */
#define WRAPS_CRYPTO(type, name, parameters)                                                                           \
	_Static_assert(__builtin_types_compatible_p(__typeof__(name), type parameters), #name);                        \
	WRAPS(type, name, parameters)

/* ---- functions with a result that says how it went ---- */

/* result, name, the usual failure, the negative one (the same: there is none), parameters, arguments */
#define SAYS(type, name, failed, negative, parameters, arguments)                                                      \
	WRAPS_CRYPTO(type, name, parameters)                                                                           \
	{                                                                                                              \
		if (breaks(#name, (negative) != (failed)))                                                             \
			return faults.evp.code == 1 ? (negative) : (failed);                                           \
		return __real_##name arguments;                                                                        \
	}

SAYS(int, BN_bn2binpad, -1, -1, (const BIGNUM *a, unsigned char *to, int n), (a, to, n))
SAYS(int, BN_div, 0, 0, (BIGNUM *d, BIGNUM *rem, const BIGNUM *a, const BIGNUM *b, BN_CTX *c), (d, rem, a, b, c))
SAYS(int, BN_gcd, 0, 0, (BIGNUM *r, const BIGNUM *a, const BIGNUM *b, BN_CTX *c), (r, a, b, c))
SAYS(int, BN_mod_exp, 0, 0, (BIGNUM *r, const BIGNUM *a, const BIGNUM *p, const BIGNUM *m, BN_CTX *c), (r, a, p, m, c))
SAYS(int, BN_mod_exp_mont_consttime, 0, 0,
     (BIGNUM *r, const BIGNUM *a, const BIGNUM *p, const BIGNUM *m, BN_CTX *c, BN_MONT_CTX *mont),
     (r, a, p, m, c, mont))
SAYS(int, BN_mod_mul, 0, 0, (BIGNUM *r, const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, BN_CTX *c), (r, a, b, m, c))
SAYS(int, BN_mod_sqr, 0, 0, (BIGNUM *r, const BIGNUM *a, const BIGNUM *m, BN_CTX *c), (r, a, m, c))
SAYS(int, BN_mul, 0, 0, (BIGNUM *r, const BIGNUM *a, const BIGNUM *b, BN_CTX *c), (r, a, b, c))
SAYS(int, BN_rshift, 0, 0, (BIGNUM *r, const BIGNUM *a, int n), (r, a, n))
SAYS(int, BN_set_word, 0, 0, (BIGNUM *a, BN_ULONG w), (a, w))
SAYS(int, BN_sub, 0, 0, (BIGNUM *r, const BIGNUM *a, const BIGNUM *b), (r, a, b))
SAYS(int, BN_sub_word, 0, 0, (BIGNUM *a, BN_ULONG w), (a, w))
SAYS(int, EC_POINT_mul, 0, 0,
     (const EC_GROUP *g, EC_POINT *r, const BIGNUM *n, const EC_POINT *q, const BIGNUM *m, BN_CTX *c),
     (g, r, n, q, m, c))
SAYS(size_t, EC_POINT_point2oct, 0, 0,
     (const EC_GROUP *g, const EC_POINT *p, point_conversion_form_t form, unsigned char *out, size_t n, BN_CTX *c),
     (g, p, form, out, n, c))
SAYS(int, EVP_CIPHER_CTX_ctrl, 0, -1, (EVP_CIPHER_CTX *c, int type, int arg, void *p), (c, type, arg, p))
SAYS(int, EVP_CIPHER_CTX_set_padding, 0, 0, (EVP_CIPHER_CTX *c, int pad), (c, pad))
SAYS(int, EVP_CIPHER_CTX_set_params, 0, 0, (EVP_CIPHER_CTX *c, const OSSL_PARAM p[]), (c, p))
SAYS(int, EVP_CipherFinal_ex, 0, 0, (EVP_CIPHER_CTX *c, unsigned char *out, int *n), (c, out, n))
SAYS(int, EVP_CipherInit_ex2, 0, 0,
     (EVP_CIPHER_CTX *c, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *iv, int enc,
      const OSSL_PARAM p[]), (c, cipher, key, iv, enc, p))
SAYS(int, EVP_CipherUpdate, 0, 0, (EVP_CIPHER_CTX *c, unsigned char *out, int *n, const unsigned char *in, int in_n),
     (c, out, n, in, in_n))
SAYS(int, EVP_Digest, 0, 0,
     (const void *in, size_t n, unsigned char *out, unsigned *out_n, const EVP_MD *md, ENGINE *e),
     (in, n, out, out_n, md, e))
SAYS(int, EVP_DigestFinal_ex, 0, 0, (EVP_MD_CTX *c, unsigned char *out, unsigned *n), (c, out, n))
SAYS(int, EVP_DigestInit_ex2, 0, 0, (EVP_MD_CTX *c, const EVP_MD *md, const OSSL_PARAM p[]), (c, md, p))
SAYS(int, EVP_DigestSign, 0, 0, (EVP_MD_CTX *c, unsigned char *out, size_t *n, const unsigned char *in, size_t in_n),
     (c, out, n, in, in_n))
SAYS(int, EVP_DigestSignInit_ex, 0, 0,
     (EVP_MD_CTX *c, EVP_PKEY_CTX **p, const char *md, OSSL_LIB_CTX *lib, const char *props, EVP_PKEY *key,
      const OSSL_PARAM params[]), (c, p, md, lib, props, key, params))
SAYS(int, EVP_DigestUpdate, 0, 0, (EVP_MD_CTX *c, const void *in, size_t n), (c, in, n))
SAYS(int, EVP_DigestVerifyInit_ex, 0, 0,
     (EVP_MD_CTX *c, EVP_PKEY_CTX **p, const char *md, OSSL_LIB_CTX *lib, const char *props, EVP_PKEY *key,
      const OSSL_PARAM params[]), (c, p, md, lib, props, key, params))
SAYS(int, EVP_EncryptInit_ex2, 0, 0,
     (EVP_CIPHER_CTX *c, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *iv,
      const OSSL_PARAM p[]), (c, cipher, key, iv, p))
SAYS(int, EVP_EncryptUpdate, 0, 0, (EVP_CIPHER_CTX *c, unsigned char *out, int *n, const unsigned char *in, int in_n),
     (c, out, n, in, in_n))
SAYS(int, EVP_KDF_derive, 0, 0, (EVP_KDF_CTX *c, unsigned char *out, size_t n, const OSSL_PARAM p[]), (c, out, n, p))
SAYS(int, EVP_MAC_final, 0, 0, (EVP_MAC_CTX *c, unsigned char *out, size_t *n, size_t cap), (c, out, n, cap))
SAYS(int, EVP_MAC_init, 0, 0, (EVP_MAC_CTX *c, const unsigned char *key, size_t n, const OSSL_PARAM p[]),
     (c, key, n, p))
SAYS(int, EVP_MAC_update, 0, 0, (EVP_MAC_CTX *c, const unsigned char *in, size_t n), (c, in, n))
SAYS(int, EVP_PKEY_CTX_set1_rsa_keygen_pubexp, 0, -1, (EVP_PKEY_CTX *c, BIGNUM *e), (c, e))
SAYS(int, EVP_PKEY_CTX_set_group_name, 0, -1, (EVP_PKEY_CTX *c, const char *name), (c, name))
SAYS(int, EVP_PKEY_CTX_set_rsa_keygen_bits, 0, -1, (EVP_PKEY_CTX *c, int bits), (c, bits))
SAYS(int, EVP_PKEY_CTX_set_rsa_mgf1_md, 0, -1, (EVP_PKEY_CTX *c, const EVP_MD *md), (c, md))
SAYS(int, EVP_PKEY_CTX_set_rsa_oaep_md, 0, -1, (EVP_PKEY_CTX *c, const EVP_MD *md), (c, md))
SAYS(int, EVP_PKEY_CTX_set_rsa_padding, 0, -1, (EVP_PKEY_CTX *c, int padding), (c, padding))
SAYS(int, EVP_PKEY_CTX_set_rsa_pss_saltlen, 0, -1, (EVP_PKEY_CTX *c, int n), (c, n))
SAYS(int, EVP_PKEY_CTX_set_signature_md, 0, -1, (EVP_PKEY_CTX *c, const EVP_MD *md), (c, md))
SAYS(int, EVP_PKEY_derive, 0, -1, (EVP_PKEY_CTX *c, unsigned char *out, size_t *n), (c, out, n))
SAYS(int, EVP_PKEY_derive_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, EVP_PKEY_derive_set_peer, 0, -1, (EVP_PKEY_CTX *c, EVP_PKEY *peer), (c, peer))
SAYS(int, EVP_PKEY_derive_set_peer_ex, 0, -1, (EVP_PKEY_CTX *c, EVP_PKEY *peer, int validate), (c, peer, validate))
SAYS(int, EVP_PKEY_encrypt, 0, -1,
     (EVP_PKEY_CTX *c, unsigned char *out, size_t *n, const unsigned char *in, size_t in_n), (c, out, n, in, in_n))
SAYS(int, EVP_PKEY_encrypt_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, EVP_PKEY_encrypt_init_ex, 0, -1, (EVP_PKEY_CTX *c, const OSSL_PARAM p[]), (c, p))
SAYS(int, EVP_PKEY_fromdata_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, EVP_PKEY_get_octet_string_param, 0, 0,
     (const EVP_PKEY *key, const char *name, unsigned char *out, size_t cap, size_t *n), (key, name, out, cap, n))
SAYS(int, EVP_PKEY_get_raw_private_key, 0, 0, (const EVP_PKEY *key, unsigned char *out, size_t *n), (key, out, n))
SAYS(int, EVP_PKEY_get_raw_public_key, 0, 0, (const EVP_PKEY *key, unsigned char *out, size_t *n), (key, out, n))
SAYS(int, EVP_PKEY_keygen_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, EVP_PKEY_sign, 0, -1,
     (EVP_PKEY_CTX *c, unsigned char *out, size_t *n, const unsigned char *in, size_t in_n), (c, out, n, in, in_n))
SAYS(int, EVP_PKEY_sign_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, EVP_PKEY_verify_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, EVP_PKEY_verify_recover_init, 0, -1, (EVP_PKEY_CTX *c), (c))
SAYS(int, PEM_write_bio, 0, 0,
     (BIO *b, const char *name, const char *header, const unsigned char *data, long n), (b, name, header, data, n))
SAYS(int, RAND_priv_bytes_ex, 0, -1, (OSSL_LIB_CTX *lib, unsigned char *out, size_t n, unsigned strength),
     (lib, out, n, strength))

/* 0 is a verdict here, not a failure: the signature is wrong. */
SAYS(int, EVP_DigestVerify, -1, -1,
     (EVP_MD_CTX *c, const unsigned char *sig, size_t n, const unsigned char *in, size_t in_n), (c, sig, n, in, in_n))
SAYS(int, EVP_PKEY_verify, -1, -1,
     (EVP_PKEY_CTX *c, const unsigned char *sig, size_t n, const unsigned char *in, size_t in_n), (c, sig, n, in, in_n))
SAYS(int, EVP_PKEY_verify_recover, -1, -1,
     (EVP_PKEY_CTX *c, unsigned char *out, size_t *n, const unsigned char *sig, size_t sig_n), (c, out, n, sig, sig_n))

/* ---- functions that give what somebody else owns, or nothing ---- */

#define LENDS(type, name, parameters, arguments)                                                                       \
	WRAPS_CRYPTO(type, name, parameters)                                                                           \
	{                                                                                                              \
		return breaks(#name, false) ? NULL : __real_##name arguments;                                          \
	}

LENDS(BIGNUM *, BN_copy, (BIGNUM *a, const BIGNUM *b), (a, b))
LENDS(BIGNUM *, BN_mod_inverse, (BIGNUM *r, const BIGNUM *a, const BIGNUM *n, BN_CTX *c), (r, a, n, c))
/* Where `out` is NULL the result is a static buffer. */
LENDS(unsigned char *, EVP_Q_mac,
      (OSSL_LIB_CTX *lib, const char *name, const char *props, const char *sub, const OSSL_PARAM *p, const void *key,
       size_t key_n, const unsigned char *in, size_t n, unsigned char *out, size_t cap, size_t *out_n),
      (lib, name, props, sub, p, key, key_n, in, n, out, cap, out_n))

/* Once it has failed it fails until BN_CTX_end() (BN_CTX_start(3)), so that only the last need be looked at. */
static _Thread_local const BN_CTX *exhausted;

WRAPS_CRYPTO(BIGNUM *, BN_CTX_get, (BN_CTX *c))
{
	if (exhausted == c)
		return NULL;
	if (!breaks("BN_CTX_get", false))
		return __real_BN_CTX_get(c);
	exhausted = c;
	return NULL;
}

WRAPS_CRYPTO(void, BN_CTX_end, (BN_CTX *c))
{
	exhausted = NULL;
	__real_BN_CTX_end(c);
}

WRAPS_CRYPTO(void, BN_CTX_free, (BN_CTX *c))
{
	if (c)
		hold(-1);
	if (exhausted == c)
		exhausted = NULL;
	__real_BN_CTX_free(c);
}

/* ---- functions that make an object ---- */

#define MAKES(type, name, parameters, arguments)                                                                       \
	WRAPS_CRYPTO(type, name, parameters)                                                                           \
	{                                                                                                              \
		type made = breaks(#name, false) ? NULL : __real_##name arguments;                                     \
                                                                                                                       \
		if (made)                                                                                              \
			hold(1);                                                                                       \
		return made;                                                                                           \
	}

MAKES(BIO *, BIO_new, (const BIO_METHOD *m), (m))
MAKES(BIO *, BIO_new_mem_buf, (const void *p, int n), (p, n))
MAKES(BN_CTX *, BN_CTX_secure_new_ex, (OSSL_LIB_CTX *lib), (lib))
MAKES(EC_GROUP *, EC_GROUP_new_by_curve_name_ex, (OSSL_LIB_CTX *lib, const char *props, int nid), (lib, props, nid))
MAKES(EC_POINT *, EC_POINT_new, (const EC_GROUP *g), (g))
MAKES(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), ())
MAKES(EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX *lib, const char *name, const char *props), (lib, name, props))
MAKES(EVP_KDF_CTX *, EVP_KDF_CTX_new, (EVP_KDF *kdf), (kdf))
MAKES(EVP_KDF *, EVP_KDF_fetch, (OSSL_LIB_CTX *lib, const char *name, const char *props), (lib, name, props))
MAKES(EVP_MAC_CTX *, EVP_MAC_CTX_dup, (const EVP_MAC_CTX *c), (c))
MAKES(EVP_MAC_CTX *, EVP_MAC_CTX_new, (EVP_MAC *mac), (mac))
MAKES(EVP_MAC *, EVP_MAC_fetch, (OSSL_LIB_CTX *lib, const char *name, const char *props), (lib, name, props))
MAKES(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
MAKES(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX *lib, const char *name, const char *props), (lib, name, props))
MAKES(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_name, (OSSL_LIB_CTX *lib, const char *name, const char *props),
      (lib, name, props))
MAKES(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_pkey, (OSSL_LIB_CTX *lib, EVP_PKEY *key, const char *props),
      (lib, key, props))
MAKES(EVP_PKEY *, EVP_PKEY_new_raw_private_key_ex,
      (OSSL_LIB_CTX *lib, const char *type, const char *props, const unsigned char *key, size_t n),
      (lib, type, props, key, n))
MAKES(EVP_PKEY *, EVP_PKEY_new_raw_public_key_ex,
      (OSSL_LIB_CTX *lib, const char *type, const char *props, const unsigned char *key, size_t n),
      (lib, type, props, key, n))
MAKES(OSSL_LIB_CTX *, OSSL_LIB_CTX_new, (void), ())
MAKES(OSSL_PROVIDER *, OSSL_PROVIDER_load, (OSSL_LIB_CTX *lib, const char *name), (lib, name))
MAKES(X509_PUBKEY *, d2i_X509_PUBKEY, (X509_PUBKEY **ret, const unsigned char **in, long n), (ret, in, n))

/* With `ret` the number is somebody's. */
WRAPS_CRYPTO(BIGNUM *, BN_bin2bn, (const unsigned char *in, int n, BIGNUM *ret))
{
	BIGNUM *made = breaks("BN_bin2bn", false) ? NULL : __real_BN_bin2bn(in, n, ret);

	if (made && !ret)
		hold(1);
	return made;
}

/* The product makes EC keys so, with the curve's name: libcrypto's further arguments are one string. */
_Static_assert(__builtin_types_compatible_p(__typeof__(EVP_PKEY_Q_keygen),
					    EVP_PKEY *(OSSL_LIB_CTX *, const char *, const char *, ...)), "");
WRAPS(EVP_PKEY *, EVP_PKEY_Q_keygen, (OSSL_LIB_CTX *lib, const char *props, const char *type, ...))
{
	EVP_PKEY *made = NULL;
	va_list args;

	va_start(args, type);
	if (!breaks("EVP_PKEY_Q_keygen", false))
		made = __real_EVP_PKEY_Q_keygen(lib, props, type, va_arg(args, char *));
	va_end(args);
	if (made)
		hold(1);
	return made;
}

/* ---- functions that put an object where they are told ---- */

#define FILLS(name, failed, negative, place, parameters, arguments)                                                    \
	WRAPS_CRYPTO(int, name, parameters)                                                                            \
	{                                                                                                              \
		bool before = *(place) != NULL;                                                                        \
		int result = failed;                                                                                   \
                                                                                                                       \
		if (breaks(#name, (negative) != (failed)))                                                             \
			return faults.evp.code == 1 ? (negative) : (failed);                                           \
		result = __real_##name arguments;                                                                      \
		hold((*(place) != NULL) - before);                                                                     \
		return result;                                                                                         \
	}

FILLS(EVP_PKEY_fromdata, 0, -1, ret, (EVP_PKEY_CTX *c, EVP_PKEY **ret, int selection, OSSL_PARAM p[]),
      (c, ret, selection, p))
FILLS(EVP_PKEY_generate, 0, -1, ret, (EVP_PKEY_CTX *c, EVP_PKEY **ret), (c, ret))
FILLS(EVP_PKEY_get_bn_param, 0, 0, ret, (const EVP_PKEY *key, const char *name, BIGNUM **ret), (key, name, ret))
FILLS(i2d_PUBKEY, -1, -1, ret, (const EVP_PKEY *key, unsigned char **ret), (key, ret))

/* Name, header and data, each a block. */
WRAPS_CRYPTO(int, PEM_read_bio, (BIO *b, char **name, char **header, unsigned char **data, long *n))
{
	int result = breaks("PEM_read_bio", false) ? 0 : __real_PEM_read_bio(b, name, header, data, n);

	if (result == 1)
		hold((*name != NULL) + (*header != NULL) + (*data != NULL));
	return result;
}

/* It keeps the label. */
WRAPS_CRYPTO(int, EVP_PKEY_CTX_set0_rsa_oaep_label, (EVP_PKEY_CTX *c, void *label, int n))
{
	int result;

	if (breaks("EVP_PKEY_CTX_set0_rsa_oaep_label", true))
		return faults.evp.code == 1 ? -1 : 0;
	result = __real_EVP_PKEY_CTX_set0_rsa_oaep_label(c, label, n);
	if (result > 0)
		hold(-1);
	return result;
}

/* ---- functions that let an object go ---- */

#define FREES(name, parameter)                                                                                         \
	WRAPS_CRYPTO(int, name, (parameter p))                                                                         \
	{                                                                                                              \
		if (p)                                                                                                 \
			hold(-1);                                                                                      \
		return __real_##name(p);                                                                               \
	}
#define LETS_GO(name, parameter)                                                                                       \
	WRAPS_CRYPTO(void, name, (parameter p))                                                                        \
	{                                                                                                              \
		if (p)                                                                                                 \
			hold(-1);                                                                                      \
		__real_##name(p);                                                                                      \
	}

FREES(BIO_free, BIO *)
FREES(OSSL_PROVIDER_unload, OSSL_PROVIDER *)
LETS_GO(BN_clear_free, BIGNUM *)
LETS_GO(BN_free, BIGNUM *)
LETS_GO(EC_GROUP_free, EC_GROUP *)
LETS_GO(EC_POINT_free, EC_POINT *)
LETS_GO(EVP_CIPHER_CTX_free, EVP_CIPHER_CTX *)
LETS_GO(EVP_CIPHER_free, EVP_CIPHER *)
LETS_GO(EVP_KDF_CTX_free, EVP_KDF_CTX *)
LETS_GO(EVP_KDF_free, EVP_KDF *)
LETS_GO(EVP_MAC_CTX_free, EVP_MAC_CTX *)
LETS_GO(EVP_MAC_free, EVP_MAC *)
LETS_GO(EVP_MD_CTX_free, EVP_MD_CTX *)
LETS_GO(EVP_MD_free, EVP_MD *)
LETS_GO(EVP_PKEY_CTX_free, EVP_PKEY_CTX *)
LETS_GO(EVP_PKEY_free, EVP_PKEY *)
LETS_GO(OSSL_LIB_CTX_free, OSSL_LIB_CTX *)
LETS_GO(X509_PUBKEY_free, X509_PUBKEY *)

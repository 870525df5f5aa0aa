/* What the tests of C_WrapKey and C_UnwrapKey have in common: keys that wrap, keys that are wrapped, the calls. */
#ifndef CONFORM_WRAP_KEYS_H
#define CONFORM_WRAP_KEYS_H

#include "harness.h"

/* Longer than anything that is wrapped here. */
#define SEALED_MAX 4096

/* A session AES key that wraps and unwraps; its value, of `size` bytes, goes to `value`. */
CK_OBJECT_HANDLE wrapper(CK_ULONG size, uint8_t value[32]);
/* An extractable secret of that value. */
CK_OBJECT_HANDLE secret_key(CK_KEY_TYPE type, const void *value, CK_ULONG size);
/* 2048 bits; the public half wraps, the private unwraps. */
struct pair rsa_wrapper(void);
/* C_WrapKey into SEALED_MAX bytes. */
CK_RV wrap(CK_MECHANISM *m, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key, uint8_t out[SEALED_MAX], CK_ULONG *n);
/* C_UnwrapKey of a secret that shows its value; len: CKA_VALUE_LEN, or 0 for none. */
CK_RV unwrap(CK_MECHANISM *m, CK_OBJECT_HANDLE with, CK_KEY_TYPE type, CK_ULONG len, struct bytes in,
	     CK_OBJECT_HANDLE *ret);
/* The secret has that value, and a length that says so. */
void has_value(CK_OBJECT_HANDLE o, struct bytes value);

#endif

/* Keys that wrap and are wrapped. */
#include "wrap_keys.h"

CK_OBJECT_HANDLE wrapper(CK_ULONG size, uint8_t value[32])
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	for (size_t i = 0; i < 32; i++)
		value[i] = (uint8_t)(i * 7 + size);
	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_AES), A_BYTES(CKA_VALUE, value, size),
		    A_BOOL(CKA_WRAP, true), A_BOOL(CKA_UNWRAP, true)),
	   &o);
	return o;
}

CK_OBJECT_HANDLE secret_key(CK_KEY_TYPE type, const void *value, CK_ULONG size)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, type), A_BYTES(CKA_VALUE, value, size),
		    A_BOOL(CKA_EXTRACTABLE, true)),
	   &o);
	return o;
}

struct pair rsa_wrapper(void)
{
	struct pair p;

	OK(C_GenerateKeyPair, h.session, MECH(CKM_RSA_PKCS_KEY_PAIR_GEN),
	   TEMPLATE(A_ULONG(CKA_MODULUS_BITS, 2048), A_BOOL(CKA_WRAP, true)), TEMPLATE(A_BOOL(CKA_UNWRAP, true)),
	   &p.pub, &p.priv);
	return p;
}

CK_RV wrap(CK_MECHANISM *m, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key, uint8_t out[SEALED_MAX], CK_ULONG *n)
{
	*n = SEALED_MAX;
	return CALL(C_WrapKey, h.session, m, with, key, out, n);
}

CK_RV unwrap(CK_MECHANISM *m, CK_OBJECT_HANDLE with, CK_KEY_TYPE type, CK_ULONG len, struct bytes in,
	     CK_OBJECT_HANDLE *ret)
{
	CK_ATTRIBUTE t[] = {A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, type),
			    A_BOOL(CKA_SENSITIVE, false), A_ULONG(CKA_VALUE_LEN, len)};

	return CALL(C_UnwrapKey, h.session, m, with, (CK_BYTE *)in.ptr, in.len, t, len ? 4 : 3, ret);
}

void has_value(CK_OBJECT_HANDLE o, struct bytes value)
{
	uint8_t got[SEALED_MAX];
	CK_ULONG n = attribute(h.session, o, CKA_VALUE, got, sizeof got);

	cr_assert(n == value.len && memcmp(got, value.ptr, n) == 0, "the value is another one");
	cr_assert(attribute_ulong(h.session, o, CKA_VALUE_LEN) == n);
}

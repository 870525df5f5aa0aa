/* Keys that scenarios work with. */
#include "keys.h"

#include "token.h"

const uint8_t key_value[32] = "a secret that everybody may know";

/* ---- templates ---- */

static void add(CK_ATTRIBUTE *t, CK_ULONG *n, CK_ATTRIBUTE_TYPE type, const void *p, CK_ULONG len)
{
	cr_assert(*n < KEY_TEMPLATE_MAX);
	t[(*n)++] = (CK_ATTRIBUTE){type, (void *)(uintptr_t)p, len};
}

static void add_bool(CK_ATTRIBUTE *t, CK_ULONG *n, CK_ATTRIBUTE_TYPE type, bool v)
{
	add(t, n, type, v ? &ck_true : &ck_false, sizeof(CK_BBOOL));
}

/* What a key of each kind may do: as much as possible. */
static const struct uses {
	CK_KEY_TYPE type;
	CK_OBJECT_CLASS class;
	CK_ATTRIBUTE_TYPE may[6]; /* 0: end */
} uses[] = {
	{CKK_RSA, CKO_PUBLIC_KEY, {CKA_VERIFY, CKA_ENCRYPT, CKA_WRAP}},
	{CKK_RSA, CKO_PRIVATE_KEY, {CKA_SIGN, CKA_DECRYPT, CKA_UNWRAP}},
	{CKK_EC, CKO_PUBLIC_KEY, {CKA_VERIFY}},
	{CKK_EC, CKO_PRIVATE_KEY, {CKA_SIGN, CKA_DERIVE}},
	{CKK_EC_EDWARDS, CKO_PUBLIC_KEY, {CKA_VERIFY}},
	{CKK_EC_EDWARDS, CKO_PRIVATE_KEY, {CKA_SIGN}},
	{CKK_AES, CKO_SECRET_KEY, {CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_VERIFY}},
	{CKK_GENERIC_SECRET, CKO_SECRET_KEY, {CKA_SIGN, CKA_VERIFY}},
};

static void add_uses(CK_ATTRIBUTE *t, CK_ULONG *n, CK_KEY_TYPE type, CK_OBJECT_CLASS class)
{
	for (const struct uses *u = uses; u < uses + ARRAY_LEN(uses); u++)
		for (size_t i = 0; u->type == type && u->class == class && i < ARRAY_LEN(u->may) && u->may[i]; i++)
			add_bool(t, n, u->may[i], true);
}

static const char *label_of(const struct key_spec *spec)
{
	return spec->label ? spec->label : "key";
}

CK_ULONG key_template(const struct key_spec *spec, CK_OBJECT_CLASS class, CK_ATTRIBUTE t[KEY_TEMPLATE_MAX])
{
	CK_ULONG n = 0;

	add_bool(t, &n, CKA_TOKEN, !spec->session);
	add(t, &n, CKA_LABEL, label_of(spec), strlen(label_of(spec)));
	add_uses(t, &n, spec->type, class);
	if (class == CKO_PUBLIC_KEY)
		return n;
	add_bool(t, &n, CKA_PRIVATE, !spec->public);
	add_bool(t, &n, CKA_EXTRACTABLE, spec->open);
	if (spec->place)
		add(t, &n, CKA_SIGNET_PLACE, spec->place, strlen(spec->place));
	if (spec->always)
		add_bool(t, &n, CKA_ALWAYS_AUTHENTICATE, true);
	if (class != CKO_SECRET_KEY)
		return n;
	add(t, &n, CKA_KEY_TYPE, &spec->type, sizeof spec->type);
	add_bool(t, &n, CKA_SENSITIVE, !spec->open);
	return n;
}

/* How pairs are made: `says` is what the public half's template must say. */
static const uint8_t edwards_params[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};
/* The shortest that each kind of token has: they take the least time. */
static const CK_ULONG tpm_bits = 1024, keyring_bits = 2048;

static const struct generator {
	CK_KEY_TYPE type;
	CK_MECHANISM_TYPE mech;
	CK_ATTRIBUTE says;
} generators[] = {
	{CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, A_BYTES(CKA_MODULUS_BITS, &keyring_bits, sizeof keyring_bits)},
	{CKK_EC, CKM_EC_KEY_PAIR_GEN, A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)},
	{CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, A_BYTES(CKA_EC_PARAMS, edwards_params, sizeof edwards_params)},
};

static const struct generator *generator_of(CK_KEY_TYPE type)
{
	for (size_t i = 0; i < ARRAY_LEN(generators); i++)
		if (generators[i].type == type)
			return &generators[i];
	return NULL;
}

CK_MECHANISM_TYPE key_pair_mechanism(CK_KEY_TYPE type)
{
	return generator_of(type)->mech;
}

CK_ULONG key_pair_template(const struct key_spec *spec, CK_ATTRIBUTE t[KEY_TEMPLATE_MAX])
{
	CK_ULONG n = key_template(spec, CKO_PUBLIC_KEY, t);

	t[n] = generator_of(spec->type)->says;
	if (spec->type == CKK_RSA && is_kind(&kind_tpm))
		t[n].pValue = (void *)(uintptr_t)&tpm_bits;
	return n + 1;
}

/* ---- found or made ---- */

static CK_OBJECT_HANDLE found(const struct key_spec *spec, CK_OBJECT_CLASS class)
{
	CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;
	CK_ULONG n = find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, class),
					      A_BYTES(CKA_LABEL, label_of(spec), strlen(label_of(spec)))), &o);

	cr_assert(n < 2, "%lu keys are called \"%s\"", n, label_of(spec));
	return o;
}

static struct pair make_pair(const struct key_spec *spec)
{
	CK_ATTRIBUTE pub[KEY_TEMPLATE_MAX], priv[KEY_TEMPLATE_MAX];
	CK_ULONG n_pub = key_pair_template(spec, pub), n_priv = key_template(spec, CKO_PRIVATE_KEY, priv);
	struct pair p;

	OK(C_GenerateKeyPair, h.session, MECH(key_pair_mechanism(spec->type)), pub, n_pub, priv, n_priv, &p.pub, &p.priv);
	return p;
}

static struct pair make_secret(const struct key_spec *spec)
{
	const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE t[KEY_TEMPLATE_MAX];
	CK_ULONG n = key_template(spec, class, t);
	CK_OBJECT_HANDLE o;

	add(t, &n, CKA_CLASS, &class, sizeof class);
	add(t, &n, CKA_VALUE, key_value, spec->size ? spec->size : 16);
	OK(C_CreateObject, h.session, t, n, &o);
	return (struct pair){o, o};
}

struct pair key_stands(const struct key_spec *spec, bool *made)
{
	bool secret = !generator_of(spec->type);
	struct pair p;

	p.pub = found(spec, secret ? CKO_SECRET_KEY : CKO_PUBLIC_KEY);
	p.priv = secret ? p.pub : found(spec, CKO_PRIVATE_KEY);
	if (made)
		*made = !p.pub;
	cr_assert(!p.pub == !p.priv, "half of the pair \"%s\" is gone", label_of(spec));
	if (p.pub)
		return p;
	return secret ? make_secret(spec) : make_pair(spec);
}

void key_crowd(CK_ULONG n)
{
	CK_ATTRIBUTE crowd = A_TEXT(CKA_APPLICATION, "crowd");
	CK_OBJECT_HANDLE o;

	for (CK_ULONG there = n ? find(h.session, &crowd, 1, NULL) : 0; there < n; there++)
		OK(C_CreateObject, h.session,
		   TEMPLATE(A_ULONG(CKA_CLASS, CKO_DATA), A_BOOL(CKA_TOKEN, true), A_BOOL(CKA_PRIVATE, there % 2), crowd,
			    A_TEXT(CKA_LABEL, "one of many"), A_TEXT(CKA_VALUE, "nothing")),
		   &o);
}

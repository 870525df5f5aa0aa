/* A duplicate of our own making, as if another TPM had sent it (TPM2_Duplicate with an outer wrapping). */
#include "import.h"

#include "public.h"

struct import {
	const struct incoming *in;
	TPM2B_PUBLIC public;
	TPMT_SENSITIVE sensitive;
	struct tpm_key key;
};

static void import_wipe(struct import *i)
{
	wipe(&i->sensitive, sizeof i->sensitive);
}

static struct bytes number_of(const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes v;

	(void)attrs_get(a, type, &v);
	while (v.len && !*v.ptr)
		v = BYTES(v.ptr + 1, v.len - 1);
	return v;
}

/* One prime; the TPM finds the other, if both are of half the modulus's length. */
static CK_RV rsa_sensitive(const struct attrs *a, const TPMT_PUBLIC *t, TPMU_SENSITIVE_COMPOSITE *ret)
{
	struct bytes p = number_of(a, CKA_PRIME_1);

	if (!p.len)
		return CKR_TEMPLATE_INCOMPLETE;
	if (p.len != t->parameters.rsaDetail.keyBits / 16)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	ret->rsa.size = (uint16_t)p.len;
	memcpy(ret->rsa.buffer, p.ptr, p.len);
	return CKR_OK;
}

static CK_RV ec_sensitive(const struct attrs *a, const TPMT_PUBLIC *t, TPMU_SENSITIVE_COMPOSITE *ret)
{
	struct bytes d = number_of(a, CKA_VALUE);
	const size_t size = t->unique.ecc.x.size;

	if (!d.len)
		return CKR_TEMPLATE_INCOMPLETE;
	if (d.len > size)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	ret->ecc.size = (uint16_t)size;
	memset(ret->ecc.buffer, 0, size - d.len);
	memcpy(ret->ecc.buffer + size - d.len, d.ptr, d.len);
	return CKR_OK;
}

static CK_RV fill_sensitive(struct import *i)
{
	const TPMT_PUBLIC *t = &i->public.publicArea;

	i->sensitive.sensitiveType = t->type;
	return t->type == TPM2_ALG_RSA ? rsa_sensitive(i->in->key, t, &i->sensitive.sensitive)
				       : ec_sensitive(i->in->key, t, &i->sensitive.sensitive);
}

static CK_RV import_body(struct conn *c, void *arg)
{
	struct import *i = arg;
	struct entity parent, loaded = {0};
	struct salt_key salt;
	TPM2B_PRIVATE duplicate;
	TPM2B_ENCRYPTED_SECRET seed;
	struct import_req req = {.public = &i->public, .duplicate = &duplicate, .seed = &seed};
	struct key_blob *blob = &i->key.blob;
	const enum rc_context making = conn_context(c, RC_INIT);

	TRY(parent_use(c, i->in->parent, &parent, &salt));
	(void)conn_context(c, making);
	TRY(duplicate_make(c, salt.public, &i->public, &i->sensitive, &duplicate, &seed));
	/* Who changes the answer on its way makes a blob that doesn't load. */
	TRY(tpm2_import(c, &parent, NULL, &req, &blob->private));
	return tpm2_load(c, &parent, NULL, &i->public, &blob->private, &loaded);
}

CK_RV tpm_key_import(struct conn *c, const struct incoming *in, struct buffer *ret_blob)
{
	struct import i CLEANUP(import_wipe) = {.in = in};
	CK_KEY_TYPE type = attrs_get_ulong(in->key, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

	TRY(public_of_private(type, in->key, &i.public.publicArea));
	i.public.publicArea.objectAttributes = BOTH_WAYS_ATTRIBUTES;
	TRY(fill_sensitive(&i));
	TRY(tpm_key_new_auth(&i.key, in->keys, &i.sensitive.authValue));
	TRY(conn_run(c, in->context, import_body, &i));
	i.key.blob.public = i.public;
	tpm_key_emit(&i.key, ret_blob);
	return buffer_status(ret_blob);
}

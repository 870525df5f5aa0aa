/* Secret keys in the TPM: which it can have, and TPM2_Create. */
#include "secret_key.h"

#include "public.h"

/* The most that TPM2_Create takes as an HMAC key: a block of the hash that the key is named with. */
#define HMAC_KEY_MAX 128
#define SHA256_BLOCK 64
#define SHA256_SIZE 32

static size_t length_of(const struct attrs *key)
{
	return attrs_get_ulong(key, CKA_VALUE_LEN, 0);
}

/* ---- templates ---- */

/* Mode NULL: each command chooses. */
static void aes_template(const struct attrs *key, TPMT_PUBLIC *t)
{
	TPMT_SYM_DEF_OBJECT *sym = &t->parameters.symDetail.sym;

	t->type = TPM2_ALG_SYMCIPHER;
	t->nameAlg = TPM2_ALG_SHA256;
	t->objectAttributes = BOTH_WAYS_ATTRIBUTES;
	sym->algorithm = TPM2_ALG_AES;
	sym->keyBits.aes = (TPMI_AES_KEY_BITS)(8 * length_of(key));
	sym->mode.aes = TPM2_ALG_NULL;
}

/* Scheme NULL: each command chooses the hash; for that a key must be one to sign and to decrypt. */
static void hmac_template(const struct attrs *key, TPMT_PUBLIC *t)
{
	t->type = TPM2_ALG_KEYEDHASH;
	t->nameAlg = length_of(key) > SHA256_BLOCK ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
	t->objectAttributes = BOTH_WAYS_ATTRIBUTES;
	t->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
}

static CK_RV aes_fits(struct conn *c, const struct attrs *key, bool *ret)
{
	TPMT_PUBLIC t = {0};
	TPMT_PUBLIC_PARMS parms = {.type = TPM2_ALG_SYMCIPHER};

	*ret = false;
	if (length_of(key) > 32)
		return CKR_OK;
	TRY(conn_has_alg(c, TPM2_ALG_AES, ret));
	if (!*ret)
		return CKR_OK;
	aes_template(key, &t);
	parms.parameters = t.parameters;
	return tpm2_test_parms(c, &parms, ret);
}

static CK_RV hmac_fits(struct conn *c, const struct attrs *key, bool *ret)
{
	*ret = length_of(key) > 0 && length_of(key) <= HMAC_KEY_MAX;
	return *ret && length_of(key) > SHA256_BLOCK ? conn_has_alg(c, TPM2_ALG_SHA384, ret) : CKR_OK;
}

static bool aes_born(const struct attrs *key UNUSED)
{
	return true;
}

/* As long as a digest of nameAlg. */
static bool hmac_born(const struct attrs *key)
{
	return length_of(key) == SHA256_SIZE;
}

#define HMAC_KEY(type_, hash_)                                                                                         \
	{.key_type = (type_), .command = TPM2_CC_HMAC, .hash = (hash_), .tmpl = hmac_template, .fits = hmac_fits,      \
	 .born = hmac_born}

static const struct secret_row {
	CK_KEY_TYPE key_type;
	TPM2_CC command;             /* without it the key would be of no use */
	TPM2_ALG_ID hash;            /* neither would it without that one; 0: any */
	void (*tmpl)(const struct attrs *key, TPMT_PUBLIC *t);
	CK_RV (*fits)(struct conn *c, const struct attrs *key, bool *ret);
	bool (*born)(const struct attrs *key);
} secret_rows[] = {
	{.key_type = CKK_AES, .command = TPM2_CC_EncryptDecrypt2, .tmpl = aes_template, .fits = aes_fits,
	 .born = aes_born},
	HMAC_KEY(CKK_GENERIC_SECRET, 0),
	HMAC_KEY(CKK_SHA_1_HMAC, TPM2_ALG_SHA1),
	HMAC_KEY(CKK_SHA256_HMAC, TPM2_ALG_SHA256),
	HMAC_KEY(CKK_SHA384_HMAC, TPM2_ALG_SHA384),
	HMAC_KEY(CKK_SHA512_HMAC, TPM2_ALG_SHA512),
};

static const struct secret_row *row_of(const struct attrs *key)
{
	const CK_KEY_TYPE type = attrs_get_ulong(key, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

	for (size_t i = 0; i < ARRAY_LEN(secret_rows); i++)
		if (secret_rows[i].key_type == type)
			return &secret_rows[i];
	return NULL;
}

/* ---- what fits ---- */

struct question {
	const struct secret_row *row;
	const struct attrs *key;
	bool fits;
};

static CK_RV fits_body(struct conn *c, void *arg)
{
	struct question *q = arg;

	TRY(conn_has_command(c, q->row->command, &q->fits));
	if (q->fits && q->row->hash)
		TRY(conn_has_alg(c, q->row->hash, &q->fits));
	return q->fits ? q->row->fits(c, q->key, &q->fits) : CKR_OK;
}

CK_RV secret_key_fits(struct conn *c, const struct attrs *key, bool *ret)
{
	struct question q = {.row = row_of(key), .key = key};

	if (q.row)
		TRY(conn_run(c, RC_OBJECT, fits_body, &q));
	*ret = q.fits;
	return CKR_OK;
}

bool secret_key_born(const struct attrs *key)
{
	const struct secret_row *row = row_of(key);

	return row && row->born(key);
}

/* ---- making ---- */

struct making {
	const struct incoming *in;
	TPM2B_PUBLIC tmpl;
	TPM2B_SENSITIVE_CREATE sensitive;
	struct tpm_key key;
};

static void making_wipe(struct making *m)
{
	wipe(&m->sensitive, sizeof m->sensitive);
}

static bool as_asked(const TPMT_PUBLIC *key, const TPMT_PUBLIC *tmpl)
{
	const TPMT_SYM_DEF_OBJECT *has = &key->parameters.symDetail.sym, *asked = &tmpl->parameters.symDetail.sym;

	if (key->type != tmpl->type || key->nameAlg != tmpl->nameAlg || key->objectAttributes != tmpl->objectAttributes)
		return false;
	if (key->type == TPM2_ALG_KEYEDHASH)
		return key->parameters.keyedHashDetail.scheme.scheme == TPM2_ALG_NULL;
	return has->algorithm == asked->algorithm && has->keyBits.aes == asked->keyBits.aes &&
	       has->mode.aes == asked->mode.aes;
}

static CK_RV create_body(struct conn *c, void *arg)
{
	struct making *m = arg;
	struct session s CLEANUP(session_end) = {0};
	struct create_req create = {.sensitive = &m->sensitive, .tmpl = &m->tmpl};
	struct key_blob *blob = &m->key.blob;
	const enum rc_context making = conn_context(c, RC_INIT);
	struct entity parent;
	struct salt_key salt;

	TRY(parent_use(c, m->in->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	(void)conn_context(c, making);
	blob->public = (TPM2B_PUBLIC){0};
	TRY(tpm2_create(c, &parent, &s, &create, &blob->public, &blob->private));
	return as_asked(&blob->public.publicArea, &m->tmpl.publicArea) ? CKR_OK : CKR_DEVICE_ERROR;
}

static CK_RV set_value(struct making *m)
{
	TPM2B_SENSITIVE_DATA *data = &m->sensitive.sensitive.data;
	struct bytes value;

	if (!attrs_get(m->in->key, CKA_VALUE, &value)) {
		m->tmpl.publicArea.objectAttributes |= BORN_ATTRIBUTES;
		return CKR_OK;
	}
	if (value.len > HMAC_KEY_MAX)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	m->tmpl.publicArea.objectAttributes |= TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT;
	data->size = (uint16_t)value.len;
	memcpy(data->buffer, value.ptr, value.len);
	return CKR_OK;
}

CK_RV secret_key_make(struct conn *c, const struct incoming *in, struct buffer *ret_blob)
{
	struct making m CLEANUP(making_wipe) = {.in = in};
	const struct secret_row *row = row_of(in->key);

	if (!row)
		return CKR_TEMPLATE_INCONSISTENT;
	row->tmpl(in->key, &m.tmpl.publicArea);
	TRY(set_value(&m));
	TRY(tpm_key_new_auth(&m.key, in->keys, &m.sensitive.sensitive.userAuth));
	TRY(conn_run(c, in->context, create_body, &m));
	tpm_key_emit(&m.key, ret_blob);
	return buffer_status(ret_blob);
}

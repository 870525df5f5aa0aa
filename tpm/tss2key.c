/* The format ("ASN.1 Specification for TPM 2.0 Key Files"): PEM with the label "TSS2 PRIVATE KEY" and no headers,
 * around the DER of
 *
 *   TPMKey ::= SEQUENCE {
 *     type         OBJECT IDENTIFIER,                             2.23.133.10.1.3: loadable (.4 importable, .5 sealed)
 *     emptyAuth    [0] EXPLICIT BOOLEAN OPTIONAL,                 absent: false
 *     policy       [1] EXPLICIT SEQUENCE OF TPMPolicy OPTIONAL,   commands that a policy session needs first
 *     secret       [2] EXPLICIT OCTET STRING OPTIONAL,            of importable keys
 *     authPolicy   [3] EXPLICIT SEQUENCE OF TPMAuthPolicy OPTIONAL, other ways to use the key
 *     description  [4] EXPLICIT UTF8String OPTIONAL,
 *     rsaParent    [5] EXPLICIT BOOLEAN OPTIONAL,
 *     parent       INTEGER,                                       a handle; 0 is written for the owner's, too
 *     pubkey       OCTET STRING,                                  TPM2B_PUBLIC
 *     privkey      OCTET STRING }                                 TPM2B_PRIVATE
 *
 * Read: loadable keys without policy and secret; authPolicy is passed over. */
#include "tss2key.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <tss2/tss2_mu.h>

#include "crypto.h"
#include "der.h"

#define PEM_LABEL "TSS2 PRIVATE KEY"

enum tpm_key_tag {
	TAG_BOOLEAN = 0x01, TAG_UTF8 = 0x0c,
	TAG_EMPTY_AUTH = 0xa0, TAG_POLICY, TAG_SECRET, TAG_AUTH_POLICY, TAG_DESCRIPTION, TAG_RSA_PARENT,
};

static const uint8_t loadable_oid[] = {0x67, 0x81, 0x05, 0x0a, 0x01, 0x03};

/* ---- DER ---- */

/* The only content of an EXPLICIT element that may be absent: then false, and r->ok stays. */
static bool read_explicit(struct reader *r, uint8_t outer, uint8_t inner, struct bytes *ret)
{
	struct reader in;

	if (!der_next_is(r, outer))
		return false;
	in = reader_of(der_read(r, outer));
	*ret = der_read(&in, inner);
	r->ok &= reader_done(&in);
	return r->ok;
}

static bool read_flag(struct reader *r, uint8_t outer)
{
	struct bytes v;

	if (!read_explicit(r, outer, TAG_BOOLEAN, &v))
		return false;
	r->ok &= v.len == 1; /* DER's true is 0xff, but tpm2-openssl writes 1 */
	return r->ok && *v.ptr;
}

static bool is_utf8(struct bytes in)
{
	unsigned long character;

	while (in.len) {
		int n = UTF8_getc(in.ptr, (int)in.len, &character);

		if (n <= 0 || character == 0)
			return false;
		in = BYTES(in.ptr + n, in.len - (size_t)n);
	}
	return true;
}

bool tss2_key_describe(struct tss2_key *k, struct bytes text)
{
	if (text.len > sizeof k->description || !is_utf8(text))
		return false;
	if (text.len)
		memcpy(k->description, text.ptr, text.len);
	k->description_len = text.len;
	return true;
}

static void read_description(struct reader *r, struct tss2_key *k)
{
	struct bytes text;

	if (read_explicit(r, TAG_DESCRIPTION, TAG_UTF8, &text))
		r->ok &= tss2_key_describe(k, text);
}

static void read_parent(struct reader *r, struct tss2_key *k)
{
	struct bytes n = der_read_number(r);

	r->ok &= n.len <= sizeof k->parent;
	for (size_t i = 0; r->ok && i < n.len; i++)
		k->parent = k->parent << 8 | n.ptr[i];
	if (k->parent == 0)
		k->parent = TPM2_RH_OWNER;
}

static void read_blobs(struct reader *r, struct tss2_key *k)
{
	struct bytes public = der_read(r, DER_OCTETS), private = der_read(r, DER_OCTETS);
	size_t n = 0, m = 0;

	r->ok = r->ok && Tss2_MU_TPM2B_PUBLIC_Unmarshal(public.ptr, public.len, &n, &k->public) == TSS2_RC_SUCCESS &&
		Tss2_MU_TPM2B_PRIVATE_Unmarshal(private.ptr, private.len, &m, &k->private) == TSS2_RC_SUCCESS &&
		n == public.len && m == private.len;
}

/* NULL, or what is wrong. */
static const char *parse_der(struct bytes der, struct tss2_key *k)
{
	struct reader file = reader_of(der), r = reader_of(der_read(&file, DER_SEQUENCE));
	struct bytes oid = der_read(&r, DER_OID);

	if (!reader_done(&file) || !r.ok)
		return "it is no TPMKey";
	if (!bytes_equal(oid, BYTES_OF(loadable_oid)))
		return "it is no loadable key: importable and sealed ones aren't taken";
	k->empty_auth = read_flag(&r, TAG_EMPTY_AUTH);
	if (der_next_is(&r, TAG_POLICY))
		return "its use takes a policy, which isn't supported";
	if (der_next_is(&r, TAG_SECRET))
		return "a loadable key has no secret";
	if (der_next_is(&r, TAG_AUTH_POLICY))
		(void)der_read(&r, TAG_AUTH_POLICY);
	read_description(&r, k);
	k->rsa_parent = read_flag(&r, TAG_RSA_PARENT);
	read_parent(&r, k);
	read_blobs(&r, k);
	if (!reader_done(&r))
		return "its TPMKey is malformed";
	if (k->parent != TPM2_RH_OWNER && k->parent >> TPM2_HR_SHIFT != TPM2_HT_PERSISTENT)
		return "its parent is neither a persistent key nor the owner's primary";
	return NULL;
}

/* ---- PEM ---- */

struct pem {
	char *name, *header;
	unsigned char *data;
	long len;
};

static void pem_done(struct pem *p)
{
	OPENSSL_free(p->name);
	OPENSSL_free(p->header);
	OPENSSL_free(p->data);
	*p = (struct pem){0};
}

static void bio_cleanup(BIO **b)
{
	BIO_free(*b);
}

/* The next one with our label; what else a file holds is passed over. */
static bool next_key(BIO *in, struct pem *p)
{
	while (PEM_read_bio(in, &p->name, &p->header, &p->data, &p->len) == 1) {
		if (strcmp(p->name, PEM_LABEL) == 0)
			return true;
		pem_done(p);
	}
	return false;
}

CK_RV tss2_key_parse(struct bytes pem, struct tss2_key *ret, const char **why)
{
	BIO *in CLEANUP(bio_cleanup) = NULL;
	struct pem p CLEANUP(pem_done) = {0};
	struct tss2_key k = {0};

	*why = "it is empty, or too long";
	if (!pem.len || pem.len > TSS2_KEY_MAX_SIZE)
		return CKR_DATA_INVALID;
	in = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	if (!in)
		return crypto_failed("PEM", CKR_HOST_MEMORY);
	*why = "there is no \"" PEM_LABEL "\" in it";
	if (!next_key(in, &p))
		return crypto_refused("PEM", CKR_DATA_INVALID);
	*why = *p.header ? "it has PEM headers" : parse_der(BYTES(p.data, (size_t)p.len), &k);
	if (*why)
		return CKR_DATA_INVALID;
	*ret = k;
	return CKR_OK;
}

/* ---- writing ---- */

static void put_explicit(struct buffer *out, uint8_t outer, uint8_t inner, struct bytes content)
{
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, TSS2_KEY_MAX_SIZE);
	der_put(&b, inner, content);
	der_put_buffer(out, outer, &b);
}

static void put_parent(struct buffer *out, TPM2_HANDLE parent)
{
	const uint8_t be[] = {
		(uint8_t)(parent >> 24), (uint8_t)(parent >> 16), (uint8_t)(parent >> 8), (uint8_t)parent,
	};

	der_put_number(out, BYTES_OF(be));
}

static CK_RV put_blobs(struct buffer *out, const struct tss2_key *k)
{
	uint8_t public[sizeof k->public], private[sizeof k->private];
	size_t n = 0, m = 0;

	if (Tss2_MU_TPM2B_PUBLIC_Marshal(&k->public, public, sizeof public, &n) != TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(&k->private, private, sizeof private, &m) != TSS2_RC_SUCCESS)
		return CKR_FUNCTION_FAILED;
	der_put(out, DER_OCTETS, BYTES(public, n));
	der_put(out, DER_OCTETS, BYTES(private, m));
	return buffer_status(out);
}

static CK_RV emit_der(const struct tss2_key *k, struct buffer *out)
{
	static const uint8_t no = 0, yes = 0xff;
	struct buffer b CLEANUP(buffer_done);

	buffer_init(&b, TSS2_KEY_MAX_SIZE);
	der_put(&b, DER_OID, BYTES_OF(loadable_oid));
	/* Always there: to tpm2-openssl 1.1 an absent one is true. */
	put_explicit(&b, TAG_EMPTY_AUTH, TAG_BOOLEAN, BYTES(k->empty_auth ? &yes : &no, 1));
	if (k->description_len)
		put_explicit(&b, TAG_DESCRIPTION, TAG_UTF8, BYTES(k->description, k->description_len));
	if (k->rsa_parent)
		put_explicit(&b, TAG_RSA_PARENT, TAG_BOOLEAN, BYTES(&yes, 1));
	put_parent(&b, k->parent);
	TRY(put_blobs(&b, k));
	der_put_buffer(out, DER_SEQUENCE, &b);
	return buffer_status(out);
}

CK_RV tss2_key_emit(const struct tss2_key *k, struct buffer *out)
{
	BIO *b CLEANUP(bio_cleanup) = NULL;
	struct buffer der CLEANUP(buffer_done);
	char *text;
	long n;

	buffer_init(&der, TSS2_KEY_MAX_SIZE);
	TRY(emit_der(k, &der));
	b = BIO_new(BIO_s_mem());
	if (!b || PEM_write_bio(b, PEM_LABEL, "", der.ptr, (long)der.len) <= 0)
		return crypto_failed("PEM", CKR_FUNCTION_FAILED);
	n = BIO_get_mem_data(b, &text);
	buffer_put(out, BYTES(text, (size_t)n));
	return buffer_status(out);
}

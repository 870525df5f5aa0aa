/* TSS2 files: what is read, and that nothing else is. */
#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <tss2/tss2_mu.h>

#include "der.h"
#include "tss2key.h"

/* As tpm2-openssl 1.1.1 writes it: an ECC P-256 key below the owner's primary. */
static const char by_tpm2_openssl[] =
	"-----BEGIN TSS2 PRIVATE KEY-----\n"
	"MIHwBgZngQUKAQOgAwEBAQIEQAAAAQRYAFYAIwALAAYAcgAAABAAEAADABAAIEYL\n"
	"B3NxqnwutvfI6rFQ10Pp0+6LOlVip+01n61L6/UXACCDcWw8l+XD13E4YFol4ogJ\n"
	"Xmlq0pI+z6weZadS82siIASBgAB+ACADDlyg8JU7M/njjxleFY3M9Fu5ekvm2a2M\n"
	"c7yFeTeHoAAQEpkYHql0zD+mXS/kfQatXMXGmz8QiwTvQCzN3ReOIQfIWmd4kLUZ\n"
	"vWevCpLa1AIiawiQuccIWTgfTu6O44c4FecH/Pvn6lGyBeQ+908R3sb92Bv7sCXR\n"
	"1/nJ\n"
	"-----END TSS2 PRIVATE KEY-----\n";

static struct tss2_key parsed(void)
{
	struct tss2_key k;
	const char *why;

	cr_assert_eq(tss2_key_parse(BYTES(by_tpm2_openssl, sizeof by_tpm2_openssl - 1), &k, &why), CKR_OK, "%s", why);
	return k;
}

static void to_pem(struct bytes der, struct buffer *out)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long n;

	cr_assert_gt(PEM_write_bio(b, "TSS2 PRIVATE KEY", "", der.ptr, (long)der.len), 0);
	n = BIO_get_mem_data(b, &text);
	buffer_put(out, BYTES(text, (size_t)n));
	BIO_free(b);
}

static CK_RV parse_der(struct bytes der, struct tss2_key *ret, const char **why)
{
	struct buffer pem CLEANUP(buffer_done);

	buffer_init(&pem, 4 * TSS2_KEY_MAX_SIZE);
	to_pem(der, &pem);
	return tss2_key_parse(buffer_bytes(&pem), ret, why);
}

Test(tss2key, of_tpm2_openssl)
{
	struct tss2_key k = parsed();

	cr_assert(k.empty_auth);
	cr_assert_not(k.rsa_parent);
	cr_assert_eq(k.parent, TPM2_RH_OWNER);
	cr_assert_eq(k.description_len, 0);
	cr_assert_eq(k.public.publicArea.type, TPM2_ALG_ECC);
	cr_assert_eq(k.public.publicArea.parameters.eccDetail.curveID, TPM2_ECC_NIST_P256);
	cr_assert_gt(k.private.size, 32);
}

static bool same(const struct tss2_key *a, const struct tss2_key *b)
{
	return a->empty_auth == b->empty_auth && a->rsa_parent == b->rsa_parent && a->parent == b->parent &&
	       bytes_equal(BYTES(a->description, a->description_len), BYTES(b->description, b->description_len)) &&
	       !memcmp(&a->public, &b->public, sizeof a->public) && a->private.size == b->private.size &&
	       !memcmp(a->private.buffer, b->private.buffer, a->private.size);
}

static void check_round(const struct tss2_key *k)
{
	struct buffer pem CLEANUP(buffer_done);
	struct tss2_key back;
	const char *why;

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	cr_assert_eq(tss2_key_emit(k, &pem), CKR_OK);
	cr_assert_eq(tss2_key_parse(buffer_bytes(&pem), &back, &why), CKR_OK, "%s", why);
	cr_assert(same(k, &back));
}

Test(tss2key, what_is_written_is_read)
{
	struct tss2_key k = parsed();

	check_round(&k);
	k.empty_auth = false;
	k.rsa_parent = true;
	check_round(&k);
	cr_assert(tss2_key_describe(&k, BYTES("Schlüssel", strlen("Schlüssel"))));
	k.rsa_parent = false;
	k.parent = 0x81000001;
	check_round(&k);
	k.parent = 0x81ffffff;
	k.empty_auth = true;
	check_round(&k);
}

Test(tss2key, descriptions)
{
	struct tss2_key k = {.description_len = 1};
	char text[TSS2_KEY_MAX_DESCRIPTION + 1];

	memset(text, 'x', sizeof text);
	cr_assert_not(tss2_key_describe(&k, BYTES(text, sizeof text)));
	cr_assert_not(tss2_key_describe(&k, BYTES("\xff", 1)));
	cr_assert_not(tss2_key_describe(&k, BYTES("a\0b", 3)));
	cr_assert_eq(k.description_len, 1);
	cr_assert(tss2_key_describe(&k, BYTES(text, sizeof text - 1)));
	cr_assert(tss2_key_describe(&k, NO_BYTES));
	cr_assert_eq(k.description_len, 0);
}

/* ---- what other programs may put around and into it ---- */

Test(tss2key, other_blocks_before_it)
{
	static const char other[] = "some text\n-----BEGIN X-----\nAAAA\n-----END X-----\n";
	struct buffer b CLEANUP(buffer_done);
	struct tss2_key k;
	const char *why;

	buffer_init(&b, TSS2_KEY_MAX_SIZE);
	buffer_put(&b, BYTES(other, sizeof other - 1));
	cr_assert_eq(tss2_key_parse(buffer_bytes(&b), &k, &why), CKR_DATA_INVALID);
	buffer_put(&b, BYTES(by_tpm2_openssl, sizeof by_tpm2_openssl - 1));
	cr_assert_eq(tss2_key_parse(buffer_bytes(&b), &k, &why), CKR_OK, "%s", why);
}

Test(tss2key, headers)
{
	static const char text[] = "-----BEGIN TSS2 PRIVATE KEY-----\nA: b\n\nAAAA\n-----END TSS2 PRIVATE KEY-----\n";
	struct tss2_key k;
	const char *why;

	cr_assert_eq(tss2_key_parse(BYTES(text, sizeof text - 1), &k, &why), CKR_DATA_INVALID);
	cr_assert_str_eq(why, "it has PEM headers");
}

Test(tss2key, too_long)
{
	static char text[TSS2_KEY_MAX_SIZE + 1];
	struct tss2_key k;
	const char *why;

	cr_assert_eq(tss2_key_parse(BYTES(text, sizeof text), &k, &why), CKR_DATA_INVALID);
	cr_assert_eq(tss2_key_parse(NO_BYTES, &k, &why), CKR_DATA_INVALID);
}

/* The members of a TPMKey, in order, each in DER. */
enum member {
	TYPE, EMPTY_AUTH, POLICY, SECRET, AUTH_POLICY, DESCRIPTION, RSA_PARENT, PARENT, PUBLIC, PRIVATE, END, MEMBERS,
};

static struct bytes blob(const struct tss2_key *k, bool private)
{
	static uint8_t m[4096];
	size_t n = 0;

	if (private)
		cr_assert_eq(Tss2_MU_TPM2B_PRIVATE_Marshal(&k->private, m, sizeof m, &n), 0);
	else
		cr_assert_eq(Tss2_MU_TPM2B_PUBLIC_Marshal(&k->public, m, sizeof m, &n), 0);
	return BYTES(m, n);
}

/* A key with one member replaced: NO_BYTES leaves it out. */
static CK_RV with(enum member which, struct bytes value, struct tss2_key *ret, const char **why)
{
	static const uint8_t type[] = {6, 6, 0x67, 0x81, 5, 10, 1, 3}, parent[] = {2, 5, 0, 0x81, 0, 0, 1};
	struct buffer inner CLEANUP(buffer_done), outer CLEANUP(buffer_done);
	struct tss2_key k = parsed();

	buffer_init(&inner, TSS2_KEY_MAX_SIZE);
	buffer_init(&outer, TSS2_KEY_MAX_SIZE);
	for (int m = TYPE; m < MEMBERS; m++) {
		if (m == (int)which)
			buffer_put(&inner, value);
		else if (m == TYPE)
			buffer_put(&inner, BYTES_OF(type));
		else if (m == PARENT)
			buffer_put(&inner, BYTES_OF(parent));
		else if (m == PUBLIC || m == PRIVATE)
			der_put(&inner, DER_OCTETS, blob(&k, m == PRIVATE));
	}
	der_put(&outer, DER_SEQUENCE, buffer_bytes(&inner));
	return parse_der(buffer_bytes(&outer), ret, why);
}

#define DER(...) BYTES(((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__}))

Test(tss2key, members)
{
	const struct {
		enum member which;
		struct bytes value;
		const char *why; /* NULL: it is read */
	} rows[] = {
		{END, NO_BYTES, NULL},
		{TYPE, DER(6, 6, 0x67, 0x81, 5, 10, 1, 4), "loadable"},
		{TYPE, DER(6, 6, 0x67, 0x81, 5, 10, 1, 5), "loadable"},
		{TYPE, DER(6, 0), "loadable"},
		{TYPE, NO_BYTES, "no TPMKey"},
		{EMPTY_AUTH, DER(0xa0, 3, 1, 1, 0), NULL},
		{EMPTY_AUTH, DER(0xa0, 3, 1, 1, 1), NULL},
		{EMPTY_AUTH, DER(0xa0, 3, 1, 1, 0xff), NULL},
		{EMPTY_AUTH, DER(0xa0, 4, 1, 2, 1, 1), "malformed"},
		{EMPTY_AUTH, DER(0xa0, 2, 1, 0), "malformed"},
		{EMPTY_AUTH, DER(0xa0, 0), "malformed"},
		{EMPTY_AUTH, DER(0xa0, 5, 1, 1, 1, 5, 0), "malformed"},
		{POLICY, DER(0xa1, 2, 0x30, 0), "policy"},
		{SECRET, DER(0xa2, 2, 4, 0), "secret"},
		{AUTH_POLICY, DER(0xa3, 2, 0x30, 0), NULL},
		{DESCRIPTION, DER(0xa4, 3, 12, 1, 'x'), NULL},
		{DESCRIPTION, DER(0xa4, 3, 12, 1, 0xff), "malformed"},
		{DESCRIPTION, DER(0xa4, 3, 4, 1, 'x'), "malformed"},
		{RSA_PARENT, DER(0xa5, 3, 1, 1, 1), NULL},
		{PARENT, DER(2, 4, 0x40, 0, 0, 1), NULL},
		{PARENT, DER(2, 1, 0), NULL},
		{PARENT, DER(2, 4, 0x40, 0, 0, 7), "parent"},
		{PARENT, DER(2, 5, 0, 0x80, 0, 0, 1), "parent"},
		{PARENT, DER(2, 4, 0x81, 0, 0, 1), "malformed"},
		{PARENT, DER(2, 6, 1, 0, 0x81, 0, 0, 1), "malformed"},
		{PARENT, DER(2, 6, 0, 0, 0x81, 0, 0, 1), "malformed"},
		{PARENT, NO_BYTES, "malformed"},
		{PUBLIC, DER(4, 0), "malformed"},
		{PUBLIC, DER(4, 3, 0, 0, 0), "malformed"},
		{PRIVATE, DER(4, 3, 0, 0, 0), "malformed"},
		{PRIVATE, DER(4, 2, 0, 9), "malformed"},
		{PRIVATE, NO_BYTES, "malformed"},
		{END, DER(5, 0), "malformed"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tss2_key k;
		const char *why = NULL;
		CK_RV rv = with(rows[i].which, rows[i].value, &k, &why);

		cr_assert_eq(rv, rows[i].why ? CKR_DATA_INVALID : CKR_OK, "row %zu: %s", i, why);
		cr_assert(!rows[i].why || strstr(why, rows[i].why), "row %zu: %s", i, why);
	}
}

/* ---- damage ---- */

static size_t first_der(struct buffer *out)
{
	struct buffer pem CLEANUP(buffer_done);
	struct tss2_key k = parsed();
	char *name, *header;
	unsigned char *data;
	long n;
	BIO *b;

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	cr_assert(tss2_key_describe(&k, BYTES("key", 3)));
	k.rsa_parent = true;
	cr_assert_eq(tss2_key_emit(&k, &pem), CKR_OK);
	b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	cr_assert_eq(PEM_read_bio(b, &name, &header, &data, &n), 1);
	buffer_put(out, BYTES(data, (size_t)n));
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	BIO_free(b);
	return out->len;
}

/* What is read from a damaged file is a key that is written and read as the same one; what isn't is refused with a
 * reason, and the result is untouched. */
static void check_damaged(struct bytes der)
{
	struct tss2_key k = {.parent = 77};
	const char *why = NULL;
	CK_RV rv = parse_der(der, &k, &why);

	if (rv == CKR_OK) {
		check_round(&k);
		return;
	}
	cr_assert_eq(rv, CKR_DATA_INVALID);
	cr_assert_not_null(why);
	cr_assert_eq(k.parent, 77);
}

Test(tss2key, every_truncation)
{
	struct buffer der CLEANUP(buffer_done);
	struct tss2_key k;
	const char *why;
	size_t n;

	buffer_init(&der, TSS2_KEY_MAX_SIZE);
	n = first_der(&der);
	for (size_t i = 1; i < n; i++) {
		uint8_t *exact = malloc(i); /* so that a reader past the end is caught by whoever watches */

		cr_assert_not_null(exact);
		memcpy(exact, der.ptr, i);
		cr_assert_eq(parse_der(BYTES(exact, i), &k, &why), CKR_DATA_INVALID, "%zu", i);
		free(exact);
	}
	for (size_t i = 0; i < sizeof by_tpm2_openssl - 2; i++) /* the last newline may be missing */
		cr_assert_eq(tss2_key_parse(BYTES(by_tpm2_openssl, i), &k, &why), CKR_DATA_INVALID, "%zu", i);
}

Test(tss2key, every_byte_changed, .timeout = 60)
{
	struct buffer der CLEANUP(buffer_done);
	static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x20};
	size_t n;

	buffer_init(&der, TSS2_KEY_MAX_SIZE);
	n = first_der(&der);
	for (size_t i = 0; i < n; i++)
		for (size_t f = 0; f < ARRAY_LEN(flips); f++) {
			der.ptr[i] ^= flips[f];
			check_damaged(buffer_bytes(&der));
			der.ptr[i] ^= flips[f];
		}
}

Test(tss2key, every_character_changed)
{
	char text[sizeof by_tpm2_openssl];
	struct tss2_key k;
	const char *why;

	memcpy(text, by_tpm2_openssl, sizeof text);
	for (size_t i = 0; i < sizeof text - 1; i++) {
		char was = text[i];

		text[i] = (char)(was ^ 0x11);
		why = NULL;
		if (tss2_key_parse(BYTES(text, sizeof text - 1), &k, &why) != CKR_OK)
			cr_assert_not_null(why);
		text[i] = was;
	}
}

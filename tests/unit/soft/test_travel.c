/* module/soft/pkcs8.c and kdf.c: against libcrypto's PKCS#8, both ways; damage; vectors of the X9.63 KDF. */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/x509.h>

#include "soft_test.h"

static struct bytes attr(const struct attrs *a, CK_ATTRIBUTE_TYPE type)
{
	struct bytes v;

	cr_assert(attrs_get(a, type, &v), "0x%lx is missing", type);
	return v;
}

/* One key of each kind that travels. */
static struct pair make_pair(size_t kind)
{
	return kind < CURVE_COUNT ? curve_pair((enum curve_id)kind) : rsa_pair(2048);
}
#define KINDS (CURVE_COUNT + 1u)

static CK_KEY_TYPE type_of(const struct attrs *a)
{
	return attrs_get_ulong(a, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
}

static struct data export(const struct attrs *a)
{
	struct buffer out CLEANUP(buffer_done);
	struct data d;

	buffer_init(&out, sizeof d.b);
	cr_assert_eq(soft_export(a, &out), CKR_OK);
	d.len = out.len;
	memcpy(d.b, out.ptr, out.len);
	return d;
}

/* NULL if it is refused, and then the set is as it was. */
static struct attrs *import(CK_KEY_TYPE type, struct bytes info)
{
	struct attrs *a = attrs_of(CKO_PRIVATE_KEY, type);
	CK_RV rv = soft_import(info, a);

	if (rv == CKR_OK)
		return a;
	cr_assert_eq(rv, CKR_WRAPPED_KEY_INVALID);
	cr_assert_eq(attrs_count(a), 2);
	attrs_free(a);
	return NULL;
}

/* The values of b, which all stand in a too, and are the same. */
static bool same_values(const struct attrs *a, const struct attrs *b)
{
	for (size_t i = 0; i < attrs_count(b); i++) {
		struct bytes want, got;
		CK_ATTRIBUTE_TYPE type = attrs_at(b, i, &want);

		if (type != CKA_EC_POINT && (!attrs_get(a, type, &got) || !bytes_equal(got, want)))
			return false;
	}
	return true;
}

Test(travel, comes_back_the_same)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct pair p = make_pair(kind);
		struct data info = export(p.priv_attrs);
		struct attrs *back = import(type_of(p.priv_attrs), DATA_BYTES(info));

		cr_assert_not_null(back);
		cr_assert(same_values(p.priv_attrs, back));
		if (kind < CURVE_COUNT)
			expect(attr(back, CKA_EC_POINT), attr(p.pub_attrs, CKA_EC_POINT));
		else
			cr_assert_eq(attrs_count(back), 2 + 8);
		cr_assert_eq(soft_complete(back), CKR_OK);
		expect(attr(back, CKA_PUBLIC_KEY_INFO), attr(p.pub_attrs, CKA_PUBLIC_KEY_INFO));
		attrs_free(back);
		pair_free(&p);
	}
}

/* Byte by byte what libcrypto writes for the same key, which it read from ours. */
Test(travel, is_what_libcrypto_writes)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct pair p = make_pair(kind);
		struct data info = export(p.priv_attrs);
		const uint8_t *at = info.b;
		PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)info.len);
		EVP_PKEY *pkey = EVP_PKCS82PKEY_ex(p8, crypto_lib(), NULL);
		PKCS8_PRIV_KEY_INFO *again;
		uint8_t *der = NULL;
		int len;

		cr_assert_not_null(pkey);
		cr_assert_eq(at, info.b + info.len);
		cr_assert_eq(EVP_PKEY_eq(pkey, soft_key_pkey(p.pub)), 1);
		again = EVP_PKEY2PKCS8(pkey);
		len = i2d_PKCS8_PRIV_KEY_INFO(again, &der);
		cr_assert_gt(len, 0);
		expect(BYTES(der, (size_t)len), DATA_BYTES(info));
		OPENSSL_free(der);
		PKCS8_PRIV_KEY_INFO_free(again);
		PKCS8_PRIV_KEY_INFO_free(p8);
		EVP_PKEY_free(pkey);
		pair_free(&p);
	}
}

/* A value with leading zeros keeps the length of the order, with and without them in the attribute. */
Test(travel, short_values_are_padded)
{
	static const uint8_t padded[32] = {[31] = 5}, bare[] = {5};
	struct attrs *a = attrs_of(CKO_PRIVATE_KEY, CKK_EC), *back;
	struct data long_one, short_one;

	set_attr(a, CKA_EC_PARAMS, der_curves[CURVE_P256].oid);
	set_attr(a, CKA_VALUE, BYTES_OF(padded));
	long_one = export(a);
	set_attr(a, CKA_VALUE, BYTES_OF(bare));
	short_one = export(a);
	expect(DATA_BYTES(short_one), DATA_BYTES(long_one));
	back = import(CKK_EC, DATA_BYTES(short_one)); /* neither had the point */
	cr_assert_not_null(back);
	expect(attr(back, CKA_VALUE), BYTES_OF(padded));
	cr_assert_eq(attr(back, CKA_EC_POINT).len, 67);
	attrs_free(back);
	attrs_free(a);
}

/* Cut anywhere, or with a byte behind: refused. */
Test(travel, truncated_or_longer_is_refused)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct pair p = make_pair(kind);
		struct data info = export(p.priv_attrs);
		CK_KEY_TYPE type = type_of(p.priv_attrs);

		for (size_t len = 0; len < info.len; len++) {
			uint8_t *exact = malloc(MAX(len, (size_t)1)); /* so that tools see what is read beyond it */

			memcpy(exact, info.b, len);
			cr_assert_null(import(type, BYTES(exact, len)), "%zu bytes of %zu", len, info.len);
			free(exact);
		}
		info.b[info.len] = 0;
		cr_assert_null(import(type, BYTES(info.b, info.len + 1)));
		pair_free(&p);
	}
}

/* Each byte changed in two ways.  RSA and EC keys say everything twice, so that no change passes; of Ed25519 the value
 * alone is there, and another value is another key. */
Test(travel, changed_bytes_are_noticed)
{
	static const uint8_t changes[] = {0x01, 0x80};

	for (size_t kind = 0; kind < KINDS; kind++) {
		struct pair p = make_pair(kind);
		struct data info = export(p.priv_attrs);
		size_t silent = kind == CURVE_ED25519 ? 32 : 0;

		for (size_t i = 0; i < 2 * (info.len - silent); i++) {
			struct attrs *back;

			info.b[i / 2] ^= changes[i % 2];
			back = import(type_of(p.priv_attrs), DATA_BYTES(info));
			cr_assert_null(back, "kind %zu, byte %zu", kind, i / 2);
			info.b[i / 2] ^= changes[i % 2];
		}
		pair_free(&p);
	}
}

Test(travel, another_type_is_refused)
{
	static const CK_KEY_TYPE types[] = {CKK_RSA, CKK_EC, CKK_EC_EDWARDS};

	for (size_t kind = 0; kind < KINDS; kind++) {
		struct pair p = make_pair(kind);
		struct data info = export(p.priv_attrs);
		struct attrs *a = attrs_of(CKO_SECRET_KEY, CKK_AES);

		for (size_t t = 0; t < ARRAY_LEN(types); t++)
			if (types[t] != type_of(p.priv_attrs))
				cr_assert_null(import(types[t], DATA_BYTES(info)));
		cr_assert_eq(soft_import(DATA_BYTES(info), a), CKR_WRAPPED_KEY_INVALID);
		attrs_free(a);
		pair_free(&p);
	}
}

/* Ed25519 of RFC 8410, section 10.3: the plain form, and that with attributes and the public key. */
#define RFC8410_VALUE "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842"
#define RFC8410_POINT "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
#define RFC8410_ATTRIBUTES "a01f301d060a2a864886f70d01090914310f0c0d437572646c6520436861697273"

static void reads_rfc8410(const char *text, bool good)
{
	struct data info = hex(text), value = hex(RFC8410_VALUE), point = hex(RFC8410_POINT);
	struct attrs *a = import(CKK_EC_EDWARDS, DATA_BYTES(info));

	cr_assert_eq(a != NULL, good);
	if (!a)
		return;
	expect(attr(a, CKA_VALUE), DATA_BYTES(value));
	expect(attr(a, CKA_EC_POINT), DATA_BYTES(point));
	attrs_free(a);
}

Test(travel, public_key_and_attributes)
{
	reads_rfc8410("302e020100300506032b657004220420" RFC8410_VALUE, true);
	reads_rfc8410("3072020101300506032b657004220420" RFC8410_VALUE RFC8410_ATTRIBUTES "812100" RFC8410_POINT, true);
	reads_rfc8410("3051020101300506032b657004220420" RFC8410_VALUE "812100" RFC8410_POINT, true);
	/* version 1 without public key, version 0 with one, version 2, another's point, unused bits */
	reads_rfc8410("302e020101300506032b657004220420" RFC8410_VALUE, false);
	reads_rfc8410("3051020100300506032b657004220420" RFC8410_VALUE "812100" RFC8410_POINT, false);
	reads_rfc8410("3051020102300506032b657004220420" RFC8410_VALUE "812100" RFC8410_POINT, false);
	reads_rfc8410("3051020101300506032b657004220420" RFC8410_VALUE "812100" RFC8410_VALUE, false);
	reads_rfc8410("3051020101300506032b657004220420" RFC8410_VALUE "812101" RFC8410_POINT, false);
	/* lengths longer than needed, or indefinite (BER) */
	reads_rfc8410("30812e020100300506032b657004220420" RFC8410_VALUE, false);
	reads_rfc8410("3080020100300506032b657004220420" RFC8410_VALUE "0000", false);
}

/* ECPrivateKeys of P-256 as others write them, built from hex: PrivateKeyInfo { 0, { id-ecPublicKey, curve }, inner }. */
#define P256_OID "06082a8648ce3d030107"
#define P384_OID "06052b81040022"
#define CAVS_VALUE "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534"
#define CAVS_POINT                                                                                                     \
	"04ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b23028af61281fd35e2fa7002523acc85a429cb06ee664" \
	"8325389f59edfce1405141"
#define P256_ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

static void wrap_hex(struct buffer *out, uint8_t tag, const char *content)
{
	struct data d = hex(content);

	der_put(out, tag, DATA_BYTES(d));
}

static bool reads_ec(const char *curve, const char *parts)
{
	struct buffer body CLEANUP(buffer_done), inner CLEANUP(buffer_done), info CLEANUP(buffer_done);
	struct data algorithm = hex("06072a8648ce3d0201"), oid = hex(curve);
	struct attrs *a;

	memcpy(algorithm.b + algorithm.len, oid.b, oid.len);
	algorithm.len += oid.len;
	buffer_init(&body, DATA_MAX);
	buffer_init(&inner, DATA_MAX);
	buffer_init(&info, DATA_MAX);
	wrap_hex(&inner, DER_SEQUENCE, parts);
	der_put_number(&body, NO_BYTES);
	der_put(&body, DER_SEQUENCE, DATA_BYTES(algorithm));
	der_put(&body, DER_OCTETS, buffer_bytes(&inner));
	der_put(&info, DER_SEQUENCE, buffer_bytes(&body));
	cr_assert_eq(info.rv, CKR_OK);
	a = import(CKK_EC, buffer_bytes(&info));
	if (!a)
		return false;
	expect(attr(a, CKA_EC_PARAMS), der_curves[CURVE_P256].oid);
	attrs_free(a);
	return true;
}

Test(travel, ec_keys_of_others)
{
	cr_assert(reads_ec(P256_OID, "020101" "0420" CAVS_VALUE));
	cr_assert(reads_ec(P256_OID, "020101" "0420" CAVS_VALUE "a00a" P256_OID));
	cr_assert(reads_ec(P256_OID, "020101" "0420" CAVS_VALUE "a144034200" CAVS_POINT));
	cr_assert(reads_ec(P256_OID, "020101" "0420" CAVS_VALUE "a00a" P256_OID "a144034200" CAVS_POINT));
	cr_assert(reads_ec(P256_OID, "020101" "0401" "05"), "without its leading zeros");
}

Test(travel, ec_keys_that_make_no_sense)
{
	static const char *const parts[] = {
		"020100" "0420" CAVS_VALUE,                           /* version */
		"020101",                                             /* no value */
		"020101" "0400",                                      /* an empty one */
		"020101" "040100",                                    /* zero */
		"020101" "0420" P256_ORDER,                           /* the order */
		"020101" "0421" "00" CAVS_VALUE,                      /* longer than the order */
		"020101" "0420" CAVS_VALUE "a007" P384_OID,           /* two curves */
		"020101" "0420" CAVS_VALUE "a000",
		"020101" "0420" P256_OID "a144034200" CAVS_POINT,     /* lengths that don't fit */
		"020101" "0401" "05" "a144034200" CAVS_POINT,         /* another value's point */
		"020101" "0420" CAVS_VALUE "a144034201" CAVS_POINT,   /* unused bits */
		"020101" "0420" CAVS_VALUE "a103030100",              /* no point */
		"020101" "0420" CAVS_VALUE "a144034200" CAVS_POINT "a00a" P256_OID, /* the wrong order */
		"020101" "0420" CAVS_VALUE "0500",                    /* something behind */
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		cr_assert_not(reads_ec(P256_OID, parts[i]), "%s", parts[i]);
	cr_assert_not(reads_ec("06052b8104000a", "020101" "0420" CAVS_VALUE), "a curve that isn't supported");
	cr_assert_not(reads_ec("0500", "020101" "0420" CAVS_VALUE));
	cr_assert_not(reads_ec("", "020101" "0420" CAVS_VALUE));
	cr_assert_not(reads_ec(P256_OID "0500", "020101" "0420" CAVS_VALUE));
	cr_assert_not(reads_ec("130973656370323536" "7231", "020101" "0420" CAVS_VALUE), "a name is Cryptoki's form");
}

Test(travel, secrets_are_their_value)
{
	static const uint8_t value[] = {1, 2, 3};
	struct attrs *a = attrs_of(CKO_SECRET_KEY, CKK_GENERIC_SECRET);
	struct data out;

	set_attr(a, CKA_VALUE, BYTES_OF(value));
	out = export(a);
	expect(DATA_BYTES(out), BYTES_OF(value));
	attrs_free(a);
}

Test(travel, what_cannot_be_exported)
{
	static const struct {
		CK_OBJECT_CLASS class;
		CK_KEY_TYPE type;
		CK_RV rv;
	} rows[] = {
		{CKO_SECRET_KEY, CKK_AES, CKR_KEY_UNEXTRACTABLE}, /* of none of these is a value there */
		{CKO_PRIVATE_KEY, CKK_RSA, CKR_KEY_UNEXTRACTABLE},
		{CKO_PRIVATE_KEY, CKK_EC, CKR_KEY_UNEXTRACTABLE},
		{CKO_PRIVATE_KEY, CKK_EC_EDWARDS, CKR_KEY_UNEXTRACTABLE},
		{CKO_PRIVATE_KEY, CKK_DH, CKR_KEY_NOT_WRAPPABLE},
		{CKO_PUBLIC_KEY, CKK_RSA, CKR_KEY_NOT_WRAPPABLE},
		{CKO_DATA, CKK_RSA, CKR_KEY_NOT_WRAPPABLE},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct attrs *a = attrs_of(rows[i].class, rows[i].type);
		struct buffer out CLEANUP(buffer_done);

		buffer_init(&out, DATA_MAX);
		if (rows[i].type == CKK_EC || rows[i].type == CKK_EC_EDWARDS)
			set_attr(a, CKA_EC_PARAMS,
				 der_curves[rows[i].type == CKK_EC ? CURVE_P256 : CURVE_ED25519].oid);
		cr_assert_eq(soft_export(a, &out), rows[i].rv, "row %zu", i);
		cr_assert_eq(out.len, 0);
		attrs_free(a);
	}
}

/* ---- X9.63 ---- */

static void derives(enum hash_id id, const char *z, const char *shared, const char *want)
{
	struct data zd = hex(z), sd = hex(shared), wd = hex(want), out = {.len = wd.len};

	cr_assert_eq(soft_kdf_x963(&crypto_hashes[id], DATA_BYTES(zd), DATA_BYTES(sd), wd.len, out.b), CKR_OK);
	expect(DATA_BYTES(out), DATA_BYTES(wd));
}

Test(kdf, x963_vectors) /* NIST CAVS, ANS X9.63-2001 */
{
	derives(HASH_SHA1, "1c7d7b5f0597b03d06a018466ed1a93e30ed4b04dc64ccdd", "", "bf71dffd8f4d99223936beb46fee8ccc");
	derives(HASH_SHA256, "96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", "",
		"443024c3dae66b95e6f5670601558f71");
	derives(HASH_SHA256, "22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d", "75eef81aa3041e33b80971203d2c0c52",
		"c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e"
		"52a13d9c7c6fc878c50c5ea0bc7b00e0da2447cfd874f6cf92f30d0097111485"
		"500c90c3af8b487872d04685d14c8d1dc8d7fa08beb0ce0ababc11f0bd496269"
		"142d43525a78e5bc79a17f59676a5706dc54d54d4d1f0bd7e386128ec26afc21");
}

/* The definition, block by block: Hash(z, counter, shared). */
static void x963_by_hand(const struct hash *h, struct bytes z, struct bytes shared, struct data *out)
{
	for (uint8_t counter = 1; out->len < 200; counter++, out->len += h->size) {
		uint8_t in[256] = {0};

		memcpy(in, z.ptr, z.len);
		in[z.len + 3] = counter;
		memcpy(in + z.len + 4, shared.ptr, shared.len);
		cr_assert_eq(hash_once(h, BYTES(in, z.len + 4 + shared.len), out->b + out->len), CKR_OK);
	}
}

Test(kdf, x963_with_every_hash_and_length)
{
	static const uint8_t z[66] = {9, 8, 7}, shared[20] = {1, 2, 3};

	for (size_t h = 0; h < HASH_COUNT; h++) {
		for (size_t with = 0; with < 2; with++) {
			struct data want = {.len = 0}, out;

			x963_by_hand(&crypto_hashes[h], BYTES_OF(z), BYTES(shared, with * sizeof shared), &want);
			for (size_t n = 1; n <= 200; n++) {
				cr_assert_eq(soft_kdf_x963(&crypto_hashes[h], BYTES_OF(z),
							   BYTES(shared, with * sizeof shared), n, out.b), CKR_OK);
				expect(BYTES(out.b, n), BYTES(want.b, n));
			}
		}
	}
}

Test(kdf, null)
{
	static const uint8_t z[] = {1, 2, 3, 4};
	uint8_t out[5] = {0};

	cr_assert_eq(soft_kdf_x963(NULL, BYTES_OF(z), NO_BYTES, 4, out), CKR_OK);
	expect(BYTES(out, 4), BYTES_OF(z));
	cr_assert_eq(soft_kdf_x963(NULL, BYTES_OF(z), NO_BYTES, 5, out), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(soft_kdf_x963(NULL, BYTES_OF(z), NO_BYTES, 0, out), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(out[4], 0);
}

/* Commands on a software TPM, with libcrypto as the judge: what a key from outside does in the TPM, libcrypto does with
 * the same key. */
#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "command.h"
#include "crypto.h"
#include "log.h"
#include "swtpm.h"
#include "tcti_wrap.h"

static struct swtpm tpm;
static struct conn *conn;

static void start(void)
{
	log_configure(secure_getenv("SIGNET_LOG"));
	swtpm_start(&tpm);
	cr_assert_eq(conn_new(&(struct conn_conf){.slot = "test", .tcti = tpm.wrapped}, &conn), CKR_OK);
}

static void stop(void)
{
	conn_free(conn);
	swtpm_expect_clean(&tpm);
	swtpm_stop(&tpm);
}

TestSuite(commands, .init = start, .fini = stop, .timeout = 120);

#define RUN(context, body, arg) cr_assert_eq(conn_run(conn, context, body, arg), CKR_OK)

/* ---- storage keys of every kind that duplicate_make() knows ---- */

#define STORAGE                                                                                                        \
	(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_NODA |                  \
	 TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN)
#define AES(bits) {.algorithm = TPM2_ALG_AES, .keyBits.aes = (bits), .mode.aes = TPM2_ALG_CFB}

static const struct {
	const char *what;
	TPM2B_PUBLIC tmpl;
} parents[] = {
	{"P-256, SHA-256, AES-128",
	 {.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = STORAGE,
			 .parameters.eccDetail = {.symmetric = AES(128), .scheme.scheme = TPM2_ALG_NULL,
						  .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL}}}},
	{"P-384, SHA-384, AES-256",
	 {.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA384, .objectAttributes = STORAGE,
			 .parameters.eccDetail = {.symmetric = AES(256), .scheme.scheme = TPM2_ALG_NULL,
						  .curveID = TPM2_ECC_NIST_P384, .kdf.scheme = TPM2_ALG_NULL}}}},
	{"RSA-2048, SHA-256, AES-128",
	 {.publicArea = {.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = STORAGE,
			 .parameters.rsaDetail = {.symmetric = AES(128), .scheme.scheme = TPM2_ALG_NULL,
						  .keyBits = 2048}}}},
	{"RSA-2048, SHA-384, AES-256",
	 {.publicArea = {.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA384, .objectAttributes = STORAGE,
			 .parameters.rsaDetail = {.symmetric = AES(256), .scheme.scheme = TPM2_ALG_NULL,
						  .keyBits = 2048}}}},
};

static CK_RV storage_body(struct conn *c, void *arg)
{
	struct storage *s = arg;
	struct entity owner;

	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	TRY(tpm2_create_primary(c, &owner, NULL, &s->tmpl, &s->public, &s->entity));
	TRY(tpm2_context_save(c, s->entity.handle, &s->context));
	s->entity.handle = TPM2_RH_NULL;
	s->saved = true;
	return CKR_OK;
}

static struct storage parent_of(size_t row)
{
	struct storage s = {.hierarchy = TPM2_RH_OWNER, .tmpl = parents[row].tmpl};

	RUN(RC_ADMIN, storage_body, &s);
	return s;
}

/* ---- keys from outside ---- */

#define USE (TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)

/* A key below a parent, and how commands with it are authorized. */
enum way { WITH_PASSWORD, WITH_SESSION, WITH_SALTED_SESSION, WAYS };
struct key {
	struct storage parent;
	struct key_blob blob;
	TPMT_SENSITIVE sensitive;
	enum way way;
};

static CK_RV import_body(struct conn *c, void *arg)
{
	struct key *k = arg;
	TPM2B_PRIVATE duplicate;
	TPM2B_ENCRYPTED_SECRET seed;
	struct import_req req = {.public = &k->blob.public, .duplicate = &duplicate, .seed = &seed};
	struct session s CLEANUP(session_end) = {0};
	struct entity parent;
	struct salt_key salt;

	TRY(handles_storage(c, &k->parent, &parent));
	TRY(duplicate_make(c, &k->parent.public, &k->blob.public, &k->sensitive, &duplicate, &seed));
	if (k->way == WITH_PASSWORD)
		return tpm2_import(c, &parent, NULL, &req, &k->blob.private);
	salt = (struct salt_key){.handle = parent.handle, .public = &k->parent.public};
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, &s));
	return tpm2_import(c, &parent, &s, &req, &k->blob.private);
}

static void import(struct key *k)
{
	k->sensitive.authValue.size = 32;
	cr_assert_eq(random_bytes(k->sensitive.authValue.buffer, 32), CKR_OK);
	cr_assert_eq(random_bytes(k->blob.id, sizeof k->blob.id), CKR_OK);
	k->sensitive.authValue.buffer[31] |= 1; /* zeros at the end don't count */
	RUN(RC_IMPORT, import_body, k);
}

/* What commands with a loaded key need; `s` to be given to them.  `first`: which first parameters are sized buffers,
 * and can be encrypted. */
#define IN TPMA_SESSION_DECRYPT
#define OUT TPMA_SESSION_ENCRYPT
struct use {
	TPMA_SESSION first;
	struct entity key;
	struct session session, *s;
};
static void use_end(struct use *u)
{
	session_end(&u->session);
}

static CK_RV use_start(struct conn *c, struct key *k, struct use *ret)
{
	const TPMA_SESSION attributes = ret->first | TPMA_SESSION_CONTINUESESSION;
	struct salt_key salt = {.public = &k->parent.public};
	struct entity parent;

	TRY(handles_key(c, &k->parent, &k->blob, &ret->key));
	ret->key.auth = k->sensitive.authValue;
	ret->s = k->way == WITH_PASSWORD ? NULL : &ret->session;
	if (!ret->s)
		return CKR_OK;
	if (k->way == WITH_SESSION)
		return session_start(c, SESSION_HMAC, NULL, attributes, &ret->session);
	TRY(handles_storage(c, &k->parent, &parent));
	salt.handle = parent.handle;
	return session_start(c, SESSION_HMAC, &salt, attributes, &ret->session);
}

/* ---- elliptic curves ---- */

static void ecc_coordinate(EVP_PKEY *pkey, const char *name, size_t n, TPM2B_ECC_PARAMETER *ret)
{
	BIGNUM *v = NULL;

	cr_assert_eq(EVP_PKEY_get_bn_param(pkey, name, &v), 1);
	cr_assert_eq(BN_bn2binpad(v, ret->buffer, (int)n), (int)n);
	ret->size = (uint16_t)n;
	BN_clear_free(v);
}

/* libcrypto's key in the TPM, for signing and for shared points. */
static struct key ecc_key(EVP_PKEY *pkey, TPM2_ECC_CURVE curve, size_t n, size_t parent, enum way way)
{
	struct key k = {.parent = parent_of(parent), .way = way};
	TPMT_PUBLIC *p = &k.blob.public.publicArea;

	*p = (TPMT_PUBLIC){.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
			   .objectAttributes = USE | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT,
			   .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
						    .scheme.scheme = TPM2_ALG_NULL, .curveID = curve,
						    .kdf.scheme = TPM2_ALG_NULL}};
	ecc_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, n, &p->unique.ecc.x);
	ecc_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, n, &p->unique.ecc.y);
	k.sensitive.sensitiveType = TPM2_ALG_ECC;
	ecc_coordinate(pkey, OSSL_PKEY_PARAM_PRIV_KEY, n, &k.sensitive.sensitive.ecc);
	import(&k);
	return k;
}

static const TPM2B_DIGEST digest = {.size = 32, .buffer = "thirty-two bytes of a message..."};

struct signing {
	struct key *key;
	TPMT_SIG_SCHEME scheme;
	TPMT_SIGNATURE signature;
};

static CK_RV sign_body(struct conn *c, void *arg)
{
	struct signing *a = arg;
	struct use u CLEANUP(use_end) = {.first = IN};

	TRY(use_start(c, a->key, &u));
	return tpm2_sign(c, &u.key, u.s, &digest, &a->scheme, &a->signature);
}

/* Whether libcrypto believes a DER signature of `digest`. */
static bool verifies(EVP_PKEY *pkey, const uint8_t *der, size_t n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), pkey, NULL);
	bool ok;

	cr_assert_eq(EVP_PKEY_verify_init(ctx), 1);
	if (EVP_PKEY_is_a(pkey, "RSA")) {
		cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
		cr_assert_eq(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()), 1);
	}
	ok = EVP_PKEY_verify(ctx, der, n, digest.buffer, digest.size) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool ecdsa_verifies(EVP_PKEY *pkey, const TPMS_SIGNATURE_ECDSA *in)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	uint8_t *der = NULL;
	int n;
	bool ok;

	ECDSA_SIG_set0(sig, BN_bin2bn(in->signatureR.buffer, in->signatureR.size, NULL),
		       BN_bin2bn(in->signatureS.buffer, in->signatureS.size, NULL));
	n = i2d_ECDSA_SIG(sig, &der);
	ok = n > 0 && verifies(pkey, der, (size_t)n);
	OPENSSL_free(der);
	ECDSA_SIG_free(sig);
	return ok;
}

Test(commands, import_below_each_parent)
{
	for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
		for (enum way way = 0; way < WAYS; way++) {
			EVP_PKEY *pkey = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", "P-256");
			struct key k = ecc_key(pkey, TPM2_ECC_NIST_P256, 32, i, way);
			struct signing a = {.key = &k, .scheme = {.scheme = TPM2_ALG_ECDSA,
								  .details.ecdsa.hashAlg = TPM2_ALG_SHA256}};

			cr_expect_eq(conn_run(conn, RC_SIGN, sign_body, &a), CKR_OK, "%s", parents[i].what);
			cr_expect(ecdsa_verifies(pkey, &a.signature.signature.ecdsa), "%s", parents[i].what);
			EVP_PKEY_free(pkey);
		}
	}
}

/* A bit of the duplicate or of the seed that isn't ours: the TPM refuses, since it checks what we computed. */
static CK_RV damaged_body(struct conn *c, void *arg)
{
	struct key *k = arg;
	TPM2B_PRIVATE duplicate, out;
	TPM2B_ENCRYPTED_SECRET seed;
	struct entity parent;

	TRY(handles_storage(c, &k->parent, &parent));
	TRY(duplicate_make(c, &k->parent.public, &k->blob.public, &k->sensitive, &duplicate, &seed));
	duplicate.buffer[duplicate.size - 1] ^= 1;
	return tpm2_import(c, &parent, NULL,
			   &(struct import_req){.public = &k->blob.public, .duplicate = &duplicate, .seed = &seed},
			   &out);
}

Test(commands, a_damaged_duplicate_is_refused)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", "P-256");
	struct key k = ecc_key(pkey, TPM2_ECC_NIST_P256, 32, 0, WITH_PASSWORD);

	cr_expect_neq(conn_run(conn, RC_IMPORT, damaged_body, &k), CKR_OK);
	EVP_PKEY_free(pkey);
}

/* A parent whose cipher isn't known. */
Test(commands, a_strange_parent_is_refused)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", "P-256");
	struct key k = ecc_key(pkey, TPM2_ECC_NIST_P256, 32, 0, WITH_PASSWORD);

	k.parent.public.publicArea.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_CAMELLIA;
	cr_expect_eq(conn_run(conn, RC_IMPORT, damaged_body, &k), CKR_DEVICE_ERROR);
	EVP_PKEY_free(pkey);
}

struct zgen {
	struct key *key;
	TPM2B_ECC_POINT in, out;
};

static CK_RV zgen_body(struct conn *c, void *arg)
{
	struct zgen *a = arg;
	struct use u CLEANUP(use_end) = {.first = IN | OUT};

	TRY(use_start(c, a->key, &u));
	return tpm2_ecdh_zgen(c, &u.key, u.s, &a->in, &a->out);
}

static void derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t *z, size_t n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(crypto_lib(), own, NULL);

	cr_assert_eq(EVP_PKEY_derive_init(ctx), 1);
	cr_assert_eq(EVP_PKEY_derive_set_peer(ctx, peer), 1);
	cr_assert_eq(EVP_PKEY_derive(ctx, z, &n), 1);
	EVP_PKEY_CTX_free(ctx);
}

Test(commands, ecdh_zgen)
{
	static const struct {
		const char *name;
		TPM2_ECC_CURVE id;
		size_t n;
	} curves[] = {{"P-256", TPM2_ECC_NIST_P256, 32}, {"P-384", TPM2_ECC_NIST_P384, 48}};

	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		EVP_PKEY *own = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", curves[i].name);
		EVP_PKEY *peer = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", curves[i].name);
		struct key k = ecc_key(own, curves[i].id, curves[i].n, 0, WITH_PASSWORD);
		struct zgen a = {.key = &k};
		uint8_t want[48], got[48] = {0};

		ecc_coordinate(peer, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].n, &a.in.point.x);
		ecc_coordinate(peer, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].n, &a.in.point.y);
		derive(own, peer, want, curves[i].n);
		for (k.way = 0; k.way < WAYS; k.way++) {
			const TPM2B_ECC_PARAMETER *x = &a.out.point.x;

			RUN(RC_DERIVE, zgen_body, &a);
			cr_assert_leq(x->size, curves[i].n);
			memcpy(got + curves[i].n - x->size, x->buffer, x->size);
			cr_expect_arr_eq(got, want, curves[i].n);
		}
		a.in.point.y.buffer[5] ^= 1; /* not on the curve */
		cr_expect_neq(conn_run(conn, RC_DERIVE, zgen_body, &a), CKR_OK);
		EVP_PKEY_free(own);
		EVP_PKEY_free(peer);
	}
}

/* ---- RSA ---- */

static size_t rsa_number(EVP_PKEY *pkey, const char *name, uint8_t *out, size_t cap)
{
	BIGNUM *v = NULL;
	int n;

	cr_assert_eq(EVP_PKEY_get_bn_param(pkey, name, &v), 1);
	n = BN_num_bytes(v);
	cr_assert_leq((size_t)n, cap);
	BN_bn2bin(v, out);
	BN_clear_free(v);
	return (size_t)n;
}

Test(commands, imported_rsa_key_signs)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "RSA", (size_t)2048);
	struct key k = {.parent = parent_of(0), .way = WITH_SALTED_SESSION};
	TPMT_PUBLIC *p = &k.blob.public.publicArea;
	TPM2B_PRIVATE_KEY_RSA *prime = &k.sensitive.sensitive.rsa;
	struct signing a = {.key = &k,
			    .scheme = {.scheme = TPM2_ALG_RSASSA, .details.rsassa.hashAlg = TPM2_ALG_SHA256}};

	*p = (TPMT_PUBLIC){.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256,
			   .objectAttributes = USE | TPMA_OBJECT_SIGN_ENCRYPT,
			   .parameters.rsaDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
						    .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048}};
	p->unique.rsa.size =
		(uint16_t)rsa_number(pkey, OSSL_PKEY_PARAM_RSA_N, p->unique.rsa.buffer, sizeof p->unique.rsa.buffer);
	k.sensitive.sensitiveType = TPM2_ALG_RSA;
	prime->size = (uint16_t)rsa_number(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, prime->buffer, sizeof prime->buffer);
	import(&k);
	for (k.way = 0; k.way < WAYS; k.way++) {
		RUN(RC_SIGN, sign_body, &a);
		cr_expect(verifies(pkey, a.signature.signature.rsassa.sig.buffer, a.signature.signature.rsassa.sig.size));
	}
	EVP_PKEY_free(pkey);
}

/* ---- secret keys ---- */

/* Their public part is the hash of an obfuscation value and the key (Part 1, 27.5.3). */
static struct key secret_key(TPMT_PUBLIC public, const uint8_t *value, uint16_t n)
{
	struct key k = {.parent = parent_of(0)};
	uint8_t hashed[32 + 128];

	k.sensitive = (TPMT_SENSITIVE){.sensitiveType = public.type, .seedValue.size = 32};
	cr_assert_eq(random_bytes(k.sensitive.seedValue.buffer, 32), CKR_OK);
	k.sensitive.sensitive.any.size = n;
	memcpy(k.sensitive.sensitive.any.buffer, value, n);
	memcpy(hashed, k.sensitive.seedValue.buffer, 32);
	memcpy(hashed + 32, value, n);
	public.unique.keyedHash.size = 32;
	cr_assert_eq(hash_once(&crypto_hashes[HASH_SHA256], BYTES(hashed, 32u + n), public.unique.keyedHash.buffer),
		     CKR_OK);
	k.blob.public.publicArea = public;
	import(&k);
	return k;
}

struct ciphering {
	struct key *key;
	struct cipher_req req;
	TPM2B_MAX_BUFFER out;
};

static CK_RV cipher_body(struct conn *c, void *arg)
{
	struct ciphering *a = arg;
	struct use u CLEANUP(use_end) = {.first = IN | OUT};

	TRY(use_start(c, a->key, &u));
	return tpm2_encrypt_decrypt(c, &u.key, u.s, &a->req, &a->out);
}

static const uint8_t message[1024] = "a message that is longer than a block, much longer, since it ends in zeros";

/* Message → TPM in two pieces, by the IV that comes back; against libcrypto's in one; and back again. */
static void cipher_both_ways(struct key *k, TPM2_ALG_ID mode, const char *name, const uint8_t *value)
{
	TPM2B_IV iv = {.size = mode == TPM2_ALG_ECB ? 0 : 16, .buffer = "an iv of 16 byt"}, fresh = iv;
	TPM2B_MAX_BUFFER in = {.size = 512};
	struct ciphering a = {.key = k, .req = {.mode = mode, .iv = &iv, .in = &in}};
	uint8_t want[sizeof message + 16], got[sizeof message];
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(crypto_lib(), name, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;

	cr_assert_eq(EVP_EncryptInit_ex2(ctx, cipher, value, iv.buffer, NULL), 1);
	EVP_CIPHER_CTX_set_padding(ctx, 0);
	cr_assert_eq(EVP_EncryptUpdate(ctx, want, &n, message, sizeof message), 1);
	for (size_t at = 0; at < sizeof message; at += 512) {
		memcpy(in.buffer, message + at, 512);
		RUN(RC_ENCRYPT, cipher_body, &a);
		memcpy(got + at, a.out.buffer, 512);
	}
	cr_expect_arr_eq(got, want, sizeof got, "%s", name);
	iv = fresh;
	a.req.decrypt = true;
	for (size_t at = 0; at < sizeof message; at += 512) {
		memcpy(in.buffer, want + at, 512);
		RUN(RC_DECRYPT, cipher_body, &a);
		cr_expect_arr_eq(a.out.buffer, message + at, 512, "%s back", name);
	}
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(cipher);
}

Test(commands, encrypt_decrypt)
{
	static const struct {
		TPM2_ALG_ID mode;
		uint16_t bits;
		const char *name;
	} rows[] = {
		{TPM2_ALG_ECB, 128, "AES-128-ECB"}, {TPM2_ALG_CBC, 128, "AES-128-CBC"}, {TPM2_ALG_CTR, 128, "AES-128-CTR"},
		{TPM2_ALG_CFB, 128, "AES-128-CFB"}, {TPM2_ALG_OFB, 128, "AES-128-OFB"}, {TPM2_ALG_CBC, 256, "AES-256-CBC"},
	};
	uint8_t value[32];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		TPMT_PUBLIC public = {
			.type = TPM2_ALG_SYMCIPHER, .nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = USE | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT,
			.parameters.symDetail.sym = {.algorithm = TPM2_ALG_AES, .keyBits.aes = rows[i].bits,
						     .mode.aes = rows[i].mode}};

		cr_assert_eq(random_bytes(value, sizeof value), CKR_OK);
		struct key k = secret_key(public, value, rows[i].bits / 8);

		for (k.way = 0; k.way < WAYS; k.way++)
			cipher_both_ways(&k, rows[i].mode, rows[i].name, value);
	}
}

struct macing {
	struct key *key;
	TPM2_ALG_ID hash;
	size_t len;
	TPM2B_DIGEST out;
};

/* Short messages at once, longer ones by a sequence whose context is saved between two pieces. */
static CK_RV mac_body(struct conn *c, void *arg)
{
	struct macing *a = arg;
	struct use u CLEANUP(use_end) = {.first = a->len <= 300 ? IN | OUT : IN};
	TPM2B_MAX_BUFFER piece = {.size = (uint16_t)MIN(a->len, 300)};
	struct entity sequence;
	TPMS_CONTEXT context;

	memcpy(piece.buffer, message, piece.size);
	TRY(use_start(c, a->key, &u));
	if (a->len <= 300)
		return tpm2_hmac(c, &u.key, u.s, &piece, a->hash, &a->out);
	TRY(tpm2_hmac_start(c, &u.key, u.s, a->hash, &sequence));
	TRY(tpm2_sequence_update(c, &sequence, u.s, &piece));
	TRY(tpm2_context_save(c, sequence.handle, &context));
	TRY(tpm2_flush(c, sequence.handle));
	TRY(tpm2_context_load(c, &context, &sequence.handle));
	piece.size = (uint16_t)(a->len - 300);
	memcpy(piece.buffer, message + 300, piece.size);
	return tpm2_sequence_complete(c, &sequence, u.s, &piece, &a->out);
}

Test(commands, hmac)
{
	static const size_t lengths[] = {0, 1, 64, 300, 301, 1000};
	uint8_t value[48], want[64];
	size_t n;

	cr_assert_eq(random_bytes(value, sizeof value), CKR_OK);
	for (enum hash_id h = 0; h < HASH_COUNT; h++) {
		const struct hash *hash = &crypto_hashes[h];
		TPMT_PUBLIC public = {.type = TPM2_ALG_KEYEDHASH, .nameAlg = TPM2_ALG_SHA256,
				      /* both, and no scheme: every hash (Part 2, 12.2.3.3) */
				      .objectAttributes = USE | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT,
				      .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL};
		struct macing a = {.hash = hash->tpm_alg};

		if (h == HASH_SHA224) /* libtpms has none */
			continue;
		struct key k = secret_key(public, value, sizeof value);

		a.key = &k;
		for (size_t i = 0; i < ARRAY_LEN(lengths) * WAYS; i++) {
			k.way = (enum way)(i % WAYS);
			a.len = lengths[i / WAYS];
			RUN(RC_SIGN, mac_body, &a);
			cr_assert_not_null(EVP_Q_mac(crypto_lib(), "HMAC", NULL, hash->name, NULL, value, sizeof value,
						     message, a.len, want, sizeof want, &n));
			cr_expect_eq(a.out.size, n);
			cr_expect_arr_eq(a.out.buffer, want, n, "%s of %zu", hash->name, a.len);
		}
	}
}

/* ---- another authorization ---- */

struct changing {
	struct key *key;
	TPM2B_AUTH auth;
	TPM2B_PRIVATE private;
};

static CK_RV change_body(struct conn *c, void *arg)
{
	struct changing *a = arg;
	struct use u CLEANUP(use_end) = {.first = IN | OUT};
	struct entity parent;

	TRY(use_start(c, a->key, &u));
	TRY(handles_storage(c, &a->key->parent, &parent));
	return tpm2_object_change_auth(c, &u.key, &parent, u.s, &a->auth, &a->private);
}

Test(commands, object_change_auth)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(crypto_lib(), NULL, "EC", "P-256");

	for (enum way way = 0; way < WAYS; way++) {
		struct key old = ecc_key(pkey, TPM2_ECC_NIST_P256, 32, 0, way), new = old;
		struct changing change = {.key = &old, .auth = {.size = 3, .buffer = "new"}};
		struct signing a = {.key = &old, .scheme = {.scheme = TPM2_ALG_ECDSA,
							    .details.ecdsa.hashAlg = TPM2_ALG_SHA256}};

		RUN(RC_OBJECT, change_body, &change);
		new.blob.private = change.private;
		new.blob.id[0] ^= 1; /* not the loaded one */
		RUN(RC_SIGN, sign_body, &a); /* the old one is as it was */
		a.key = &new;
		cr_expect_neq(conn_run(conn, RC_SIGN, sign_body, &a), CKR_OK);
		new.sensitive.authValue = change.auth;
		RUN(RC_SIGN, sign_body, &a);
		cr_expect(ecdsa_verifies(pkey, &a.signature.signature.ecdsa));
	}
	EVP_PKEY_free(pkey);
}

/* ---- which commands there are ---- */

#define COUNT_AT 15 /* header, moreData, capability */
#define PAGE 5

static unsigned pages;

static uint8_t be32_low(const uint8_t *p)
{
	return p[3];
}

/* A TPM that gives five at once. */
static TSS2_RC short_page(uint32_t cc, unsigned n UNUSED, uint8_t *answer, size_t *size)
{
	if (cc != TPM2_CC_GetCapability || be32_low(answer + 11) != TPM2_CAP_COMMANDS)
		return TSS2_RC_SUCCESS;
	pages++;
	if (be32_low(answer + COUNT_AT) <= PAGE)
		return TSS2_RC_SUCCESS;
	answer[10] = TPM2_YES;
	answer[COUNT_AT + 3] = PAGE;
	*size = COUNT_AT + 4 + PAGE * 4;
	answer[4] = 0;
	answer[5] = (uint8_t)*size;
	return TSS2_RC_SUCCESS;
}

static CK_RV commands_body(struct conn *c, void *arg)
{
	static const TPM2_CC wanted[] = {TPM2_CC_Sign, TPM2_CC_EncryptDecrypt2, TPM2_CC_NV_UndefineSpaceSpecial,
					 TPM2_CC_Import, TPM2_CC_ECDH_ZGen};
	bool *all = arg, has;

	*all = true;
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		TRY(conn_has_command(c, wanted[i], &has));
		*all &= has;
	}
	TRY(conn_has_command(c, TPM2_CC_AC_Send, &has)); /* libtpms: not implemented */
	*all &= !has;
	TRY(conn_has_command(c, 0x20000001, &has));
	*all &= !has;
	TRY(conn_has_command(c, 0, &has));
	*all &= !has;
	return CKR_OK;
}

Test(commands, has_command)
{
	uint64_t before;
	bool right;

	RUN(RC_PROBE, commands_body, &right);
	cr_expect(right);
	before = conn_commands(conn);
	RUN(RC_PROBE, commands_body, &right);
	cr_expect_eq(conn_commands(conn), before, "asked once");
}

Test(commands, has_command_in_pages)
{
	struct wrap *wrap = wrap_hooks();
	bool right;

	wrap->receive = short_page;
	RUN(RC_PROBE, commands_body, &right);
	wrap->receive = NULL;
	cr_expect(right);
	cr_expect_gt(pages, 15u);
}

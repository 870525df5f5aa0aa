/* The token record, version 1: always 256 bytes, so that a change of it never needs more quota than it had.
 * Numbers are big-endian.
 *
 *	magic           4   53 47 4b 01  ("SGK" and the version; another version is refused)
 *	length          2   256
 *	token id       16   random; every record of the token carries it
 *	label          32   blank-padded
 *	public secret  32   keys for the objects that need no login
 *	user           81   how the user comes to the private secret
 *	SO             81   how the SO does
 *	checksum        8   the first bytes of SHA-256 of everything before
 *
 * A user's part:
 *	kind            1   0: no PIN yet; 1: scrypt; 2: in the clear (pin = none)
 *	limit           1   wrong PINs in a row until it is locked
 *	log2 N, r, p    3   scrypt's cost (RFC 7914)
 *	salt           16
 *	wrapped        60   kind 1: AES-256-GCM (nonce, ciphertext, tag) of the private secret under
 *	                    scrypt(SHA-256(PIN), salt), additional data token id and user (0 or 1);
 *	                    kind 2: the secret, then zeros */
#include "trec.h"

#include "crypto.h"

#define CHECKSUM 8
static const uint8_t magic[4] = {'S', 'G', 'K', 1};

enum { COST_LOG_N = 14, COST_R = 8, COST_P = 1 };
/* Beyond these a record would make the login take minutes or gigabytes: not ours. */
enum { COST_LOG_N_MAX = 20, COST_R_MAX = 16, COST_P_MAX = 4 };

static void put_pin(struct buffer *out, const struct trec_pin *p)
{
	buffer_put_u8(out, p->kind);
	buffer_put_u8(out, p->limit);
	buffer_put_u8(out, p->log_n);
	buffer_put_u8(out, p->r);
	buffer_put_u8(out, p->p);
	buffer_put(out, BYTES_OF(p->salt));
	buffer_put(out, BYTES_OF(p->wrapped));
}

CK_RV trec_emit(const struct trec *t, struct buffer *out)
{
	struct buffer b CLEANUP(buffer_done) = {0};
	uint8_t digest[32], label[32];
	size_t len = strnlen(t->label, sizeof label);

	memset(label, ' ', sizeof label);
	memcpy(label, t->label, len);
	buffer_init(&b, TREC_SIZE);
	buffer_put(&b, BYTES_OF(magic));
	buffer_put_be16(&b, TREC_SIZE);
	buffer_put(&b, BYTES_OF(t->id));
	buffer_put(&b, BYTES_OF(label));
	buffer_put(&b, BYTES_OF(t->public_secret.b));
	put_pin(&b, &t->pin[TOKEN_USER]);
	put_pin(&b, &t->pin[TOKEN_SO]);
	TRY(buffer_status(&b));
	TRY(hash_once(&crypto_hashes[HASH_SHA256], buffer_bytes(&b), digest));
	buffer_put(&b, BYTES(digest, CHECKSUM));
	TRY(buffer_status(&b));
	buffer_put(out, buffer_bytes(&b));
	return buffer_status(out);
}

static void read_array(struct reader *r, uint8_t *out, size_t n)
{
	struct bytes b = read_bytes(r, n);

	if (b.len == n)
		memcpy(out, b.ptr, n);
}

static bool read_pin(struct reader *r, struct trec_pin *p)
{
	p->kind = read_u8(r);
	p->limit = read_u8(r);
	p->log_n = read_u8(r);
	p->r = read_u8(r);
	p->p = read_u8(r);
	read_array(r, p->salt, sizeof p->salt);
	read_array(r, p->wrapped, sizeof p->wrapped);
	if (p->kind > TREC_CLEAR)
		return false;
	return p->kind != TREC_SCRYPT || (p->limit > 0 && p->log_n > 0 && p->log_n <= COST_LOG_N_MAX && p->r > 0 &&
					  p->r <= COST_R_MAX && p->p > 0 && p->p <= COST_P_MAX);
}

static CK_RV check_frame(struct bytes in)
{
	struct reader r = reader_of(in);
	uint8_t digest[32];

	if (in.len != TREC_SIZE || !bytes_equal(read_bytes(&r, sizeof magic), BYTES_OF(magic)) ||
	    read_be16(&r) != TREC_SIZE)
		return CKR_TOKEN_NOT_RECOGNIZED;
	TRY(hash_once(&crypto_hashes[HASH_SHA256], BYTES(in.ptr, TREC_SIZE - CHECKSUM), digest));
	return bytes_equal(BYTES(digest, CHECKSUM), BYTES(in.ptr + TREC_SIZE - CHECKSUM, CHECKSUM))
		       ? CKR_OK
		       : CKR_TOKEN_NOT_RECOGNIZED;
}

CK_RV trec_parse(struct bytes in, struct trec *ret)
{
	struct trec t CLEANUP(trec_wipe) = {0};
	struct reader r = reader_of(in);
	size_t len = 32;

	TRY(check_frame(in));
	(void)read_bytes(&r, sizeof magic + 2);
	read_array(&r, t.id, sizeof t.id);
	read_array(&r, (uint8_t *)t.label, 32);
	read_array(&r, t.public_secret.b, sizeof t.public_secret.b);
	if (!read_pin(&r, &t.pin[TOKEN_USER]) || !read_pin(&r, &t.pin[TOKEN_SO]) || !r.ok)
		return CKR_TOKEN_NOT_RECOGNIZED;
	while (len > 0 && t.label[len - 1] == ' ')
		t.label[--len] = '\0';
	*ret = t;
	return CKR_OK;
}

/* ---- PINs ---- */

/* scrypt's HMAC pads a short key with zeros and hashes a long one, so that PINs of different bytes would be the same;
 * a digest of the PIN has neither trouble. */
CK_RV trec_kek(const struct trec_pin *p, struct bytes pin, struct key256 *ret)
{
	struct key256 digest CLEANUP(key256_wipe) = {0};

	TRY(hash_once(&crypto_hashes[HASH_SHA256], pin, digest.b));
	return scrypt_256(BYTES_OF(digest.b), BYTES_OF(p->salt), UINT64_C(1) << p->log_n, p->r, p->p, ret);
}

struct aad {
	uint8_t b[17];
};

static struct aad aad_of(const uint8_t id[16], enum token_user who)
{
	struct aad a;

	memcpy(a.b, id, 16);
	a.b[16] = (uint8_t)who;
	return a;
}

CK_RV trec_wrap(const uint8_t id[16], enum token_user who, uint8_t limit, struct bytes pin, const struct key256 *secret,
		struct trec_pin *ret)
{
	struct trec_pin p = {.kind = TREC_SCRYPT, .limit = limit, .log_n = COST_LOG_N, .r = COST_R, .p = COST_P};
	struct key256 kek CLEANUP(key256_wipe) = {0};
	struct buffer sealed CLEANUP(buffer_done) = {0};
	struct aad aad = aad_of(id, who);

	buffer_init(&sealed, sizeof p.wrapped);
	TRY(random_bytes(p.salt, sizeof p.salt));
	TRY(trec_kek(&p, pin, &kek));
	TRY(aead_seal(&kek, BYTES_OF(aad.b), BYTES_OF(secret->b), &sealed));
	if (sealed.len != sizeof p.wrapped)
		return CKR_FUNCTION_FAILED;
	memcpy(p.wrapped, sealed.ptr, sizeof p.wrapped);
	*ret = p;
	return CKR_OK;
}

CK_RV trec_unwrap(const struct trec *t, enum token_user who, const struct key256 *kek, struct key256 *ret_secret)
{
	struct buffer plain CLEANUP(buffer_done) = {0};
	struct aad aad = aad_of(t->id, who);
	CK_RV rv;

	buffer_init(&plain, sizeof ret_secret->b);
	rv = aead_open(kek, BYTES_OF(aad.b), BYTES_OF(t->pin[who].wrapped), &plain);
	if (rv == CKR_FUNCTION_FAILED)
		return CKR_PIN_INCORRECT;
	TRY(rv);
	if (plain.len != sizeof ret_secret->b)
		return CKR_DEVICE_ERROR;
	memcpy(ret_secret->b, plain.ptr, sizeof ret_secret->b);
	return CKR_OK;
}

void trec_bare(const struct key256 *secret, struct trec_pin *ret)
{
	*ret = (struct trec_pin){.kind = TREC_CLEAR};
	memcpy(ret->wrapped, secret->b, sizeof secret->b);
}

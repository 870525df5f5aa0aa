/* RSA encodings (RFC 8017, sections 8 and 9) around a raw operation that is done elsewhere.
 *
 * What is undone here comes from whoever sent a ciphertext, and how it fails is what Bleichenbacher's and Manger's
 * attacks feed on: so the checks of a decrypted block collect masks instead of branching, and one decision is made
 * at the end, or none at all (PKCS#1 v1.5). */
#include "soft_internal.h"

/* ---- constant-time pieces: a mask is all ones or all zeros ---- */

/* Keeps the compiler from learning that a mask has two values only, and branching on it. */
static uint32_t opaque(uint32_t v)
{
	__asm__("" : "+r"(v));
	return v;
}

static uint32_t mask_of_bit(uint32_t bit)
{
	return opaque(0u - bit);
}

static uint32_t mask_zero(uint32_t v)
{
	return mask_of_bit((~v & (v - 1)) >> 31);
}

static uint32_t mask_equal(uint32_t a, uint32_t b)
{
	return mask_zero(a ^ b);
}

/* a < b, both below 2^31. */
static uint32_t mask_less(uint32_t a, uint32_t b)
{
	return mask_of_bit((a - b) >> 31);
}

static uint32_t pick(uint32_t mask, uint32_t yes, uint32_t no)
{
	return (mask & yes) | (~mask & no);
}

/* ---- MGF1 (RFC 8017, B.2.1) ---- */

/* XORs the mask of `seed` into data.  seed is at most a modulus long. */
static CK_RV mgf1_xor(const struct hash *h, struct bytes seed, uint8_t *data, size_t len)
{
	uint8_t input[RSA_MAX_BYTES + 4], mask[64];
	uint32_t counter = 0;
	CK_RV rv = CKR_OK;

	if (seed.len > RSA_MAX_BYTES)
		return CKR_KEY_SIZE_RANGE;
	memcpy(input, seed.ptr, seed.len);
	for (size_t at = 0; at < len && rv == CKR_OK; at += h->size, counter++) {
		for (size_t i = 0; i < 4; i++)
			input[seed.len + i] = (uint8_t)(counter >> (24 - 8 * i));
		rv = hash_once(h, BYTES(input, seed.len + 4), mask);
		for (size_t i = 0; rv == CKR_OK && i < MIN(h->size, len - at); i++)
			data[at + i] ^= mask[i];
	}
	wipe(input, sizeof input);
	wipe(mask, sizeof mask);
	return rv;
}

/* ---- signing ---- */

struct em {
	size_t bits; /* of the modulus */
	size_t len;
	uint8_t *ptr;
};

/* 00 01 FF … FF 00 T (RFC 8017, 9.2). */
static CK_RV encode_pkcs1(const struct scheme *s, struct bytes in, struct em em)
{
	struct bytes prefix = s->hash ? s->hash->digest_info : NO_BYTES;
	size_t t = prefix.len + in.len;

	if (s->hash && in.len != s->hash->size)
		return CKR_DATA_LEN_RANGE;
	if (in.len > em.len || t + 11 > em.len)
		return CKR_DATA_LEN_RANGE;
	if (in.len > 0)
		memmove(em.ptr + em.len - in.len, in.ptr, in.len);
	if (prefix.len > 0)
		memcpy(em.ptr + em.len - t, prefix.ptr, prefix.len);
	memset(em.ptr, 0xff, em.len - t);
	em.ptr[0] = 0x00;
	em.ptr[1] = 0x01;
	em.ptr[em.len - t - 1] = 0x00;
	return CKR_OK;
}

/* H = Hash(eight zeros || mHash || salt); the salt has been put at `salt`. */
static CK_RV pss_hash(const struct scheme *s, struct bytes digest, const uint8_t *salt, uint8_t *h)
{
	uint8_t m[8 + 64 + RSA_MAX_BYTES] = {0};

	memcpy(m + 8, digest.ptr, digest.len);
	memcpy(m + 8 + digest.len, salt, s->salt_len);
	return hash_once(s->hash, BYTES(m, 8 + digest.len + s->salt_len), h);
}

/* maskedDB || H || BC, DB being 00 … 00 01 salt, with emBits = modulus bits - 1 (RFC 8017, 9.1.1).  Of a modulus of
 * 8 n + 1 bits the first byte stays zero. */
static CK_RV encode_pss(const struct scheme *s, struct bytes in, struct em em)
{
	size_t lead = (em.bits - 1) % 8 == 0, len = em.len - lead, db_len;
	uint8_t *db = em.ptr + lead, digest[64];

	if (!s->hash || !s->mgf)
		return CKR_MECHANISM_PARAM_INVALID;
	if (in.len != s->hash->size || s->salt_len > len || s->hash->size + s->salt_len + 2 > len)
		return CKR_DATA_LEN_RANGE;
	db_len = len - s->hash->size - 1;
	memcpy(digest, in.ptr, in.len); /* the input may lie where em is being written */
	memset(em.ptr, 0, em.len);
	db[db_len - s->salt_len - 1] = 0x01;
	TRY(random_bytes(db + db_len - s->salt_len, s->salt_len));
	TRY(pss_hash(s, BYTES(digest, s->hash->size), db + db_len - s->salt_len, db + db_len));
	TRY(mgf1_xor(s->mgf, BYTES(db + db_len, s->hash->size), db, db_len));
	db[0] &= (uint8_t)(0xff >> (8 * len - (em.bits - 1)));
	db[len - 1] = 0xbc;
	return CKR_OK;
}

static CK_RV encode_raw(const struct scheme *s UNUSED, struct bytes in, struct em em)
{
	if (in.len > em.len)
		return CKR_DATA_LEN_RANGE;
	if (in.len > 0)
		memmove(em.ptr + em.len - in.len, in.ptr, in.len);
	memset(em.ptr, 0, em.len - in.len);
	return CKR_OK;
}

CK_RV rsa_pad_sign(const struct scheme *scheme, size_t modulus_bits, struct bytes in, uint8_t *em)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_RV (*encode)(const struct scheme *s, struct bytes in, struct em em);
	} rows[] = {
		{CKM_RSA_PKCS, encode_pkcs1},
		{CKM_RSA_PKCS_PSS, encode_pss},
		{CKM_RSA_X_509, encode_raw},
	};
	struct em to = {.bits = modulus_bits, .len = (modulus_bits + 7) / 8, .ptr = em};

	if (to.len < 64 || to.len > RSA_MAX_BYTES)
		return CKR_KEY_SIZE_RANGE;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == scheme->type)
			return rows[i].encode(scheme, in, to);
	return CKR_MECHANISM_INVALID;
}

/* ---- decryption: OAEP and raw ---- */

/* All that OAEP demands of 00 || seed || lHash' || 00 … 00 || 01 || M, with Y in front: a mask, and where M begins. */
static uint32_t oaep_check(uint8_t y, const uint8_t *lhash, const uint8_t *db, size_t db_len, size_t h, uint32_t *start)
{
	uint32_t good = mask_zero(y), looking = mask_of_bit(1), found = 0;

	for (size_t i = 0; i < h; i++)
		good &= mask_equal(db[i], lhash[i]);
	for (size_t i = h; i < db_len; i++) {
		uint32_t one = looking & mask_equal(db[i], 1);

		found = pick(one, (uint32_t)i + 1, found);
		good &= ~looking | one | mask_zero(db[i]);
		looking &= ~one;
	}
	*start = found;
	return good & ~looking;
}

/* EME-OAEP decoding (RFC 8017, 7.1.2 step 3). */
static CK_RV decode_oaep(const struct scheme *s, struct bytes em, struct outbuf *out)
{
	size_t h = s->hash ? s->hash->size : 0, db_len;
	uint8_t block[RSA_MAX_BYTES], lhash[64];
	uint32_t good, start;
	CK_RV rv;

	if (!s->hash || !s->mgf)
		return CKR_MECHANISM_PARAM_INVALID;
	if (em.len < 2 * h + 2 || em.len > sizeof block)
		return CKR_ENCRYPTED_DATA_INVALID;
	TRY(hash_once(s->hash, s->label, lhash));
	db_len = em.len - h - 1;
	memcpy(block, em.ptr, em.len);
	rv = mgf1_xor(s->mgf, BYTES(block + 1 + h, db_len), block + 1, h);
	if (rv == CKR_OK)
		rv = mgf1_xor(s->mgf, BYTES(block + 1, h), block + 1 + h, db_len);
	if (rv == CKR_OK) {
		good = oaep_check(block[0], lhash, block + 1 + h, db_len, h, &start);
		rv = good ? outbuf_put(out, BYTES(block + 1 + h + start, db_len - start)) : CKR_ENCRYPTED_DATA_INVALID;
	}
	wipe(block, sizeof block);
	return rv;
}

CK_RV rsa_unpad_decrypt(const struct scheme *scheme, struct bytes em, struct outbuf *out)
{
	struct outbuf result = {.ptr = out->ptr, .cap = out->cap};

	if (scheme->type == CKM_RSA_PKCS_OAEP)
		TRY(decode_oaep(scheme, em, &result));
	else if (scheme->type == CKM_RSA_X_509)
		TRY(outbuf_put(&result, em));
	else
		return CKR_MECHANISM_INVALID;
	out->len = result.len;
	return CKR_OK;
}

/* ---- decryption: PKCS#1 v1.5 with implicit rejection (draft-irtf-cfrg-rsa-guidance, section 7) ---- */

/* At least eight bytes of padding between 00 02 and the 00 before the message. */
#define PKCS1_MESSAGE_MIN 11u
/* Candidates for the length of a made-up message. */
#define LENGTH_TRIES 128u

/* IRPRF: HMAC(KDK, counter || label || length in bits), concatenated. */
static CK_RV irprf(const struct key256 *kdk, const char *label, uint8_t *out, size_t len)
{
	uint8_t counter[2], bits[2] = {(uint8_t)(len * 8 >> 8), (uint8_t)(len * 8)}, piece[32];
	const struct bytes in[] = {BYTES_OF(counter), BYTES(label, strlen(label)), BYTES_OF(bits)};
	CK_RV rv = CKR_OK;

	for (size_t at = 0; at < len && rv == CKR_OK; at += sizeof piece) {
		counter[0] = (uint8_t)(at / sizeof piece >> 8);
		counter[1] = (uint8_t)(at / sizeof piece);
		rv = hmac_sha256(BYTES_OF(kdk->b), in, ARRAY_LEN(in), piece);
		if (rv == CKR_OK)
			memcpy(out + at, piece, MIN(sizeof piece, len - at));
	}
	wipe(piece, sizeof piece);
	return rv;
}

/* The last candidate that fits: so the length is as likely as any other, and needs no branch. */
static uint32_t made_up_length(const uint8_t *candidates, size_t em_len)
{
	uint32_t below = (uint32_t)em_len - 10, mask = below, length = 0;

	for (unsigned shift = 1; shift < 16; shift *= 2)
		mask |= mask >> shift;
	for (size_t i = 0; i < LENGTH_TRIES; i++) {
		uint32_t candidate = ((uint32_t)candidates[2 * i] << 8 | candidates[2 * i + 1]) & mask;

		length = pick(mask_less(candidate, below), candidate, length);
	}
	return length;
}

/* 00 02, eight or more bytes that aren't zero, 00: a mask, and where the message begins. */
static uint32_t pkcs1_check(struct bytes em, uint32_t *start)
{
	uint32_t looking = mask_of_bit(1), zero_at = 0, good;

	for (size_t i = 2; i < em.len; i++) {
		uint32_t zero = looking & mask_zero(em.ptr[i]);

		zero_at = pick(zero, (uint32_t)i, zero_at);
		looking &= ~zero;
	}
	good = mask_zero(em.ptr[0]) & mask_equal(em.ptr[1], 2) & ~looking & ~mask_less(zero_at, 10);
	*start = zero_at + 1;
	return good;
}

/* Moves a block's bytes down, by each power of two or not at all: the same work for every distance. */
static void move_down(uint8_t *block, size_t len, uint32_t by)
{
	for (unsigned bit = 0; (size_t)1 << bit <= len; bit++) {
		uint32_t now = mask_of_bit(by >> bit & 1);

		for (size_t i = 0; i + ((size_t)1 << bit) < len; i++)
			block[i] = (uint8_t)pick(now, block[i + ((size_t)1 << bit)], block[i]);
	}
}

/* The length of the message takes no part in what is executed or addressed either: who asked for it learns it, but
 * not who only listens to the time. */
CK_RV rsa_unpad_pkcs1(const struct key256 *kdk, struct bytes ciphertext, struct bytes em, struct outbuf *out)
{
	uint8_t block[RSA_MAX_BYTES], candidates[2 * LENGTH_TRIES];
	struct key256 message_key CLEANUP(key256_wipe);
	uint32_t good, start, length;

	if (em.len < PKCS1_MESSAGE_MIN || em.len > sizeof block)
		return CKR_KEY_SIZE_RANGE;
	if (out->cap < em.len)
		return CKR_BUFFER_TOO_SMALL;
	TRY(hmac_sha256(BYTES_OF(kdk->b), &ciphertext, 1, message_key.b));
	TRY(irprf(&message_key, "length", candidates, sizeof candidates));
	TRY(irprf(&message_key, "message", block, em.len));
	good = pkcs1_check(em, &start);
	start = pick(good, start, (uint32_t)em.len - made_up_length(candidates, em.len));
	length = (uint32_t)em.len - start;
	for (size_t i = 0; i < em.len; i++)
		block[i] = (uint8_t)pick(good, em.ptr[i], block[i]);
	move_down(block, em.len, start);
	for (size_t i = 0; i < em.len; i++)
		out->ptr[i] = (uint8_t)pick(mask_less((uint32_t)i, length), block[i], out->ptr[i]);
	out->len = length;
	wipe(block, sizeof block);
	wipe(candidates, sizeof candidates);
	return CKR_OK;
}

/* The token record: who the token is, and its PINs.  The format stands at the top of trec.c. */
#ifndef KEYRING_TREC_H
#define KEYRING_TREC_H

#include "bytes.h"
#include "secret.h"
#include "token.h"

#define PIN_MIN 4   /* bytes */
#define PIN_MAX 128

#define TREC_SIZE 256
#define TREC_WRAPPED (32 + 28) /* a sealed secret */

enum trec_kind { TREC_UNSET, TREC_SCRYPT, TREC_CLEAR };

/* How one user comes to the token's secret. */
struct trec_pin {
	uint8_t kind;                  /* enum trec_kind */
	uint8_t limit;                 /* wrong PINs in a row until it is locked */
	uint8_t log_n, r, p;           /* scrypt's cost */
	uint8_t salt[16];
	uint8_t wrapped[TREC_WRAPPED]; /* SCRYPT: sealed; CLEAR: the secret itself, then zeros */
};

struct trec {
	uint8_t id[16];
	char label[33];
	struct key256 public_secret;   /* for what needs no login */
	struct trec_pin pin[2];        /* by enum token_user */
};

CK_RV trec_emit(const struct trec *t, struct buffer *out) MUST_CHECK;
/* CKR_TOKEN_NOT_RECOGNIZED for what isn't one, is damaged, or has a version that this module doesn't know. */
CK_RV trec_parse(struct bytes in, struct trec *ret) MUST_CHECK;
static inline void trec_wipe(struct trec *t)
{
	wipe(t, sizeof *t);
}

/* The key-encryption key of a PIN: one scrypt, some 60 ms. */
CK_RV trec_kek(const struct trec_pin *p, struct bytes pin, struct key256 *ret) MUST_CHECK;
/* Fills *ret: a fresh salt, the secret under the PIN. */
CK_RV trec_wrap(const uint8_t id[16], enum token_user who, uint8_t limit, struct bytes pin,
		const struct key256 *secret, struct trec_pin *ret) MUST_CHECK;
/* CKR_PIN_INCORRECT: the seal doesn't open. */
CK_RV trec_unwrap(const struct trec *t, enum token_user who, const struct key256 *kek,
		  struct key256 *ret_secret) MUST_CHECK;
/* For `pin = none`: the secret in the clear. */
void trec_bare(const struct key256 *secret, struct trec_pin *ret);

#endif

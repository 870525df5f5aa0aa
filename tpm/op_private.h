/* What the files of operations share: the running operation, and the rows that say how each is done. */
#ifndef TPM_OP_PRIVATE_H
#define TPM_OP_PRIVATE_H

#include "der.h"
#include "object.h"
#include "op.h"

/* How a base mechanism is done with a key in the TPM. */
struct op_row {
	CK_MECHANISM_TYPE mech;
	enum op_kind kind;
	TPMI_ALG_PUBLIC type;          /* of the key */
	enum rc_context context;
	CK_RV (*finish)(struct token_op *op, struct bytes in, struct outbuf *out);
	/* Mechanisms that stream; else NULL, and the result has op->max bytes. */
	CK_RV (*begin)(struct token_op *op);
	size_t (*size)(const struct token_op *op, size_t in_len, bool final);
	CK_RV (*update)(struct token_op *op, struct bytes in, struct outbuf *out);
	TPM2_ALG_ID mode;              /* ciphers: TPM2_ALG_CBC …; MACs: the hash */
	int shape;                     /* ciphers: op_cipher.c's */
};
struct op_rows {
	const struct op_row *at;
	size_t n;
};
extern const struct op_rows op_pair_rows, op_cipher_rows, op_mac_rows;

struct cipher_state;
struct mac_state;

struct token_op {
	struct tpm_token *token;       /* for its connection and tpm_state_answer() only: no lock is held */
	struct soft_op *soft;          /* a key in this process: all the rest is unused */
	const struct op_row *row;
	struct parent *parent;
	struct tpm_ready *key;
	TPM2B_AUTH *given;             /* tpm_op_authorize(); secret memory */
	struct scheme scheme;
	uint8_t *label;                /* of OAEP; owned */
	size_t bits;                   /* of the modulus */
	const struct curve *curve;     /* of an EC key */
	size_t max;                    /* bytes of the result */
	/* Secret memory, of the kind that streams: */
	struct cipher_state *cipher;
	struct mac_state *mac;
};

/* ---- inside a sequence ---- */

/* Whether somebody may listen on the bus. */
CK_RV op_bus(struct conn *c, const struct token_op *op, bool *ret) MUST_CHECK;
/* The key, loaded and with its authValue, and in *s the session that authorizes it and encrypts as `attributes` says.
 * Where nobody can listen it isn't started: *ret_session is NULL, and the authValue goes as a password (R15).
 * CKR_DEVICE_ERROR for a key that op_used_key() has given up. */
CK_RV op_use_key(struct conn *c, const struct token_op *op, TPMA_SESSION attributes, struct entity *ret_key,
		 struct session *s, struct session **ret_session) MUST_CHECK;
/* What a command with the key said, passed on: a key that needs an authValue though whoever named it says that it needs
 * none is refused from then on, if each try counts against the whole TPM (design 4.2). */
CK_RV op_used_key(struct conn *c, const struct token_op *op, CK_RV rv) MUST_CHECK;
/* Bytes that one command takes (TPM2_PT_INPUT_BUFFER), as far as the TSS can carry them; at least 256. */
CK_RV op_input_max(struct conn *c, size_t *ret) MUST_CHECK;

#endif

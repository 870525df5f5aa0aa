/* What an operation consists of: shared by operation.c (its life and the calls on it), op_init.c and op_run.c. */
#ifndef MODULE_OP_STATE_H
#define MODULE_OP_STATE_H

#include "operation.h"
#include "soft.h"

/* Which steps may follow: phase_allows() in operation.c. */
enum op_phase {
	PHASE_FRESH,     /* nothing came in yet */
	PHASE_ONESHOT,   /* a one-shot call asked for the size, or its result is held */
	PHASE_MULTI,     /* updates came in */
	PHASE_FINISHING, /* the final call has its result, but the buffer was too small */
	PHASE_OVER,      /* the work was done, and then the lock couldn't be taken again */
	PHASE_COUNT
};

/* A result that is kept until the caller's buffer is large enough for it (decryption: only the work itself tells how
 * long it is, and a second private operation would cost as much again).  Wiped. */
struct held {
	uint8_t *ptr; /* NULL: nothing is held */
	size_t len, cap;
};

struct operation {
	const struct mech *mech;
	enum session_op which;
	enum op_phase phase;
	struct object *key;            /* referenced; digests: NULL */
	const struct token_ops *ops;
	struct token_op *token;        /* private and secret keys: the backend's */
	struct soft_op *soft;          /* public keys: libcrypto's */
	size_t max;                    /* most bytes of a result */
	struct mech_lengths lengths;   /* INPUT_WHOLE: of the input */
	EVP_MD_CTX *md;                /* INPUT_HASHED: made by the first update */
	struct buffer collected;       /* INPUT_WHOLE: the updates so far */
	struct held held;
	uint8_t *signature;            /* C_VerifySignatureInit's; owned */
	size_t signature_len;
	bool wants_auth;
	uint8_t print[SCHEME_PRINT];   /* operation_once(): which scheme it was begun with */
	bool busy;                     /* a thread works on it without the slot's lock … */
	bool orphan;                   /* … and has to free it: the session gave it up meanwhile */
};

/* Frees everything; not for a busy one. */
void op_destroy(struct operation *op);

/* ---- op_init.c ---- */

/* A key that the session sees; CKR_KEY_HANDLE_INVALID, also for an object of another class. */
CK_RV op_find_key(struct session *s, CK_OBJECT_HANDLE handle, struct object **ret) MUST_CHECK;
/* CKA_ALLOWED_MECHANISMS; an empty list is what a key without restrictions shows. */
bool op_mechanism_allowed(const struct attrs *key, CK_MECHANISM_TYPE type);

/* ---- op_run.c: the work of one step, without the slot's lock ---- */

/* Most bytes that the step can give; exact unless op_may_shrink(). */
size_t op_bound(const struct operation *op, enum op_step step, size_t in_len);
bool op_may_shrink(const struct operation *op, enum op_step step);
/* Whether that length is one of op->lengths. */
bool op_length_fits(const struct operation *op, size_t len);
/* What is known to be wrong with the length of the whole input before any work: CKR_DATA_LEN_RANGE,
 * CKR_ENCRYPTED_DATA_LEN_RANGE.  Not of verification, where the signature's length counts as much. */
CK_RV op_check_length(const struct operation *op, enum op_step step, size_t in_len) MUST_CHECK;
/* Takes `in`, gives `out`.  CKR_BUFFER_TOO_SMALL with out->len the exact need: the result is held.
 * SESSION_VERIFY: out is the signature, out->len bytes. */
CK_RV op_run(struct operation *op, enum op_step step, struct bytes in, struct outbuf *out) MUST_CHECK;
/* Digests: more input. */
CK_RV op_hash_update(struct operation *op, struct bytes in) MUST_CHECK;
/* Copies what is held; CKR_BUFFER_TOO_SMALL likewise. */
CK_RV op_give_held(const struct operation *op, struct outbuf *out) MUST_CHECK;

#endif

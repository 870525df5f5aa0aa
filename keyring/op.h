/* Operations with private and secret keys: libcrypto's, in this process (module/soft). */
#ifndef KEYRING_OP_H
#define KEYRING_OP_H

#include "token.h"

/* As in struct token_ops.  All but the first run without the slot's lock. */
CK_RV kr_op_begin(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
		  struct token_op **ret, size_t *ret_max) MUST_CHECK;
size_t kr_op_size(const struct token_op *op, size_t in_len, bool final);
CK_RV kr_op_update(struct token_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
CK_RV kr_op_finish(struct token_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
void kr_op_free(struct token_op *op);

#endif

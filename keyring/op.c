/* Operations.  The key is taken from the object's attributes once and kept with it. */
#include "op.h"

#include "obj.h"

struct token_op {
	struct soft_op *soft;
};

static CK_RV key_of(const struct token_obj *obj, struct soft_key **ret)
{
	struct kr_obj *priv = obj->priv;

	if (!priv->key)
		TRY(soft_key_new(obj->attrs, &priv->key));
	*ret = priv->key;
	return CKR_OK;
}

CK_RV kr_op_begin(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
		  struct token_op **ret, size_t *ret_max)
{
	struct token_op *op CLEANUP(free_cleanup) = calloc(1, sizeof *op);
	struct soft_key *soft;

	(void)tok;
	if (!op)
		return CKR_HOST_MEMORY;
	TRY(key_of(key, &soft));
	TRY(soft_op_begin(kind, scheme, soft, &op->soft, ret_max));
	*ret = TAKE(op);
	return CKR_OK;
}

size_t kr_op_size(const struct token_op *op, size_t in_len, bool final)
{
	return soft_op_size(op->soft, in_len, final);
}

CK_RV kr_op_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	return soft_op_update(op->soft, in, out);
}

CK_RV kr_op_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	return soft_op_finish(op->soft, in, out);
}

void kr_op_free(struct token_op *op)
{
	if (!op)
		return;
	soft_op_free(op->soft);
	free(op);
}

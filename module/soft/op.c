/* Operations: what they have in common. */
#include "soft_internal.h"

/* Whether this key may be used so: the order is that of the codes' priority. */
static CK_RV check_use(enum op_kind kind, const struct soft_mech *row, const struct token_mech *sizes,
		       const struct soft_key *key)
{
	bool needs_private = kind == OP_SIGN || kind == OP_DECRYPT || kind == OP_DERIVE;

	if (key->family != row->family)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (!key->secret && key->private != needs_private)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (key->size < sizes->min || key->size > sizes->max)
		return CKR_KEY_SIZE_RANGE;
	return CKR_OK;
}

CK_RV soft_op_begin(enum op_kind kind, const struct scheme *scheme, struct soft_key *key, struct soft_op **ret,
		    size_t *ret_max)
{
	const struct token_mech *sizes = NULL;
	const struct soft_mech *row = soft_mech_find(scheme->type, &sizes);
	struct soft_op *op;
	CK_RV rv;

	if (!row || !row->class[kind])
		return CKR_MECHANISM_INVALID;
	TRY(check_use(kind, row, sizes, key));
	op = calloc(1, sizeof *op);
	if (!op)
		return CKR_HOST_MEMORY;
	op->class = row->class[kind];
	op->kind = kind;
	op->key = soft_key_ref(key);
	rv = op->class->begin(op, scheme);
	if (rv != CKR_OK) {
		soft_op_free(op);
		return rv;
	}
	*ret_max = op->class->size(op, 0, true);
	*ret = op;
	return CKR_OK;
}

size_t soft_op_size(const struct soft_op *op, size_t in_len, bool final)
{
	return op->kind == OP_VERIFY ? 0 : op->class->size(op, in_len, final);
}

CK_RV soft_op_update(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	if (!op->class->update)
		return CKR_FUNCTION_FAILED; /* the front collects what comes in one block */
	if (op->kind != OP_VERIFY && out->cap < soft_op_size(op, in.len, false))
		return CKR_BUFFER_TOO_SMALL;
	return op->class->update(op, in, out);
}

CK_RV soft_op_finish(struct soft_op *op, struct bytes in, struct outbuf *out)
{
	if (op->kind != OP_VERIFY && out->cap < soft_op_size(op, in.len, true))
		return CKR_BUFFER_TOO_SMALL;
	return op->class->finish(op, in, out);
}

void soft_op_free(struct soft_op *op)
{
	if (!op)
		return;
	if (op->class->done)
		op->class->done(op);
	soft_key_unref(op->key);
	free(op);
}

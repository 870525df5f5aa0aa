/* What changes a token's objects: each call commits by one system call (R7). */
#ifndef KEYRING_CHANGE_H
#define KEYRING_CHANGE_H

#include "state.h"

/* As in struct token_ops. */
CK_RV kr_make(struct token *tok, const struct make_req *req, struct token_obj *ret[2]) MUST_CHECK;
CK_RV kr_update(struct token *tok, const struct token_obj *obj, const struct attrs *changes,
		struct token_obj **ret) MUST_CHECK;
CK_RV kr_destroy(struct token *tok, const struct token_obj *obj) MUST_CHECK;
CK_RV kr_obj_size(struct token *tok, const struct token_obj *obj, size_t *ret) MUST_CHECK;

#endif

/* Objects: from a request to attributes, from a record to what the front gets. */
#ifndef KEYRING_OBJ_H
#define KEYRING_OBJ_H

#include "record.h"
#include "soft.h"
#include "token.h"

/* What a token_obj has behind `priv`. */
struct kr_obj {
	uint8_t record_id[16];
	uint8_t index;
	bool stored;            /* false: a session object */
	struct soft_key *key;   /* made at first use, under the slot's lock */
};

/* Takes over *attrs on success. */
CK_RV obj_new(const uint8_t record_id[16], uint8_t index, bool stored, struct attrs **attrs,
	      struct token_obj **ret) MUST_CHECK;
void obj_free(struct token *tok, struct token_obj *obj);
static inline const struct kr_obj *obj_priv(const struct token_obj *o)
{
	return o->priv;
}
/* Bytes of its attributes: the size of a session object. */
size_t obj_weight(const struct token_obj *obj);

/* The complete attributes of what a request makes, values included: a[1] for pairs only.  Codes of soft_generate() and
 * soft_complete(); CKR_MECHANISM_INVALID for what this token doesn't make. */
CK_RV obj_attrs(const struct make_req *req, struct attrs *ret[2]) MUST_CHECK;

#endif

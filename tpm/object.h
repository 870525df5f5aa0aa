/* Objects of a TPM token: records in the store, and what is made of them for the front. */
#ifndef TPM_OBJECT_H
#define TPM_OBJECT_H

#include "record.h"
#include "soft.h"
#include "state.h"

/* Behind token_obj.priv. */
struct tpm_obj {
	bool stored;
	uint8_t record[16];      /* which record, and which object of it */
	uint8_t index;
	size_t size;             /* of the record, bytes */
	struct buffer blob;      /* of a working key (key.c); else empty */
	struct soft_key *soft;   /* a secret key, once used */
	struct tpm_ready *ready; /* a working key, once used; of a key that isn't Signet's own, from the beginning */
};

/* Takes `attrs` and the content of `blob` on CKR_OK. */
CK_RV tpm_object_new(const uint8_t id[16], struct attrs **attrs, struct buffer *blob,
		     struct token_obj **ret) MUST_CHECK;
void tpm_object_free(struct token_obj *o); /* NULL is fine */
static inline void tpm_object_cleanup(struct token_obj **o)
{
	tpm_object_free(*o);
}
static inline struct tpm_obj *tpm_object_priv(const struct token_obj *o)
{
	return o->priv;
}
/* Whether it is a key that is used in the TPM. */
static inline bool tpm_object_in_tpm(const struct token_obj *o)
{
	return tpm_object_priv(o)->blob.len || tpm_object_priv(o)->ready;
}

/* The values of a key that is used in the TPM stay in its record only as long as they may be taken out of the token:
 * removes them if CKA_EXTRACTABLE is false. */
void tpm_object_strip(struct attrs *a, bool in_tpm);

/* A record and the version of its file, opened as far as the token's state allows.
 * CKR_OBJECT_HANDLE_INVALID: gone.  CKR_DEVICE_ERROR: damaged.  CKR_TOKEN_NOT_RECOGNIZED: of a replaced token. */
struct stored {
	struct record record;
	struct store_stamp stamp;
	size_t size;
};
CK_RV stored_read(struct tpm_token *t, const uint8_t id[16], struct stored *ret) MUST_CHECK;
static inline void stored_done(struct stored *s)
{
	record_done(&s->record);
}
/* Emits and writes it, under the store's lock; fills in stamp and size. */
CK_RV stored_write(struct tpm_token *t, struct stored *s) MUST_CHECK;

/* ---- known.c ---- */
/* Borrowed until the set changes; NULL if there is none. */
struct known *tpm_known_find(const struct known_set *set, const uint8_t id[16]);
/* Room for one more, so that the next tpm_known_add() can't fail. */
CK_RV tpm_known_reserve(struct known_set *set) MUST_CHECK;
struct known *tpm_known_add(struct known_set *set, const uint8_t id[16]);
void tpm_known_remove(struct known_set *set, struct known *k);
void tpm_known_done(struct known_set *set);

/* ---- the calls of struct token_ops (sync.c, make.c, object.c) ---- */
CK_RV tpm_sync(struct token *tok, const struct token_view *view) MUST_CHECK;
CK_RV tpm_make(struct token *tok, const struct make_req *req, struct token_obj *ret[2]) MUST_CHECK;
CK_RV tpm_update(struct token *tok, const struct token_obj *obj, const struct attrs *changes,
		 struct token_obj **ret) MUST_CHECK;
CK_RV tpm_destroy(struct token *tok, const struct token_obj *obj) MUST_CHECK;
void tpm_obj_free(struct token *tok, struct token_obj *obj);
CK_RV tpm_obj_size(struct token *tok, const struct token_obj *obj, size_t *ret) MUST_CHECK;

#endif

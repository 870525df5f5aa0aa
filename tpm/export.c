/* TSS2 files of the token's keys: the same key below the same storage key, with an authValue that its new user knows.
 * What the token keeps is unchanged. */
#include "export.h"

#include "log.h"
#include "name.h"
#include "object.h"
#include "tss2key.h"

struct export {
	struct tpm_ready *key;
	struct parent *parent;
	TPM2B_AUTH auth;               /* the new one */
	struct tss2_key file;
};

static void export_done(struct export *e)
{
	tpm_ready_unref(e->key);
	wipe(e, sizeof *e);
}

/* How others find the storage key: by its persistent handle.  A primary that Signet makes for itself comes from the
 * template of the TCG's provisioning guidance, and files mean another one by the owner's handle. */
static CK_RV find_handle(const struct storage *s, TPM2_HANDLE *ret)
{
	if (s->entity.handle == TPM2_RH_NULL) {
		log_error("this token's storage key is a primary that is made when it is needed, which no TSS2 file can "
			  "name: only keys below a persistent storage key can be exported");
		return CKR_KEY_NOT_WRAPPABLE;
	}
	*ret = s->entity.handle;
	return CKR_OK;
}

static CK_RV change_body(struct conn *c, void *arg)
{
	struct session s CLEANUP(session_end) = {0};
	struct entity parent, key CLEANUP(entity_wipe) = {0};
	struct export *e = arg;
	struct storage *storage;
	struct salt_key salt;

	TRY(parent_storage(c, e->parent, &storage));
	TRY(find_handle(storage, &e->file.parent));
	TRY(tpm_ready_use(c, e->key, e->parent, NULL, &key));
	TRY(parent_use(c, e->parent, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	e->file.private = (TPM2B_PRIVATE){0};
	return tpm2_object_change_auth(c, &key, &parent, &s, &e->auth, &e->file.private);
}

static CK_RV get_key(struct tpm_token *t, const struct token_obj *obj, struct tpm_ready **ret)
{
	struct tpm_ready *r CLEANUP(tpm_ready_cleanup) = NULL;
	const struct keyset *keys;
	TPM2_ALG_ID type;

	TRY(tpm_ready_new(buffer_bytes(&tpm_object_priv(obj)->blob), obj->id, &r));
	type = r->key.blob.public.publicArea.type;
	if (type != TPM2_ALG_RSA && type != TPM2_ALG_ECC)
		return CKR_KEY_NOT_WRAPPABLE;
	TRY(tpm_state_keyset(t, r->key.secret, &keys));
	TRY(tpm_ready_derive(r, keys));
	*ret = TAKE(r);
	return CKR_OK;
}

/* The authValue can be as long as the digest of the key's name (Part 1, 19.6.4.3).  Zeros at its end would go unsaid:
 * a TPM drops them, and of nothing but zeros an empty authValue would be left. */
static CK_RV set_auth(struct export *e, struct bytes auth)
{
	const struct hash *h = name_hash(e->file.public.publicArea.nameAlg);

	if (!h || auth.len > h->size || (auth.len && auth.ptr[auth.len - 1] == 0))
		return CKR_MECHANISM_PARAM_INVALID;
	e->auth.size = (uint16_t)auth.len;
	if (auth.len)
		memcpy(e->auth.buffer, auth.ptr, auth.len);
	e->file.empty_auth = auth.len == 0;
	return CKR_OK;
}

static CK_RV export_key(struct tpm_token *t, const struct token_obj *obj, struct bytes auth, struct buffer *out)
{
	struct export e CLEANUP(export_done) = {0};

	/* Keys of others, and what rests sealed, have no blob of a key. */
	if (!tpm_object_priv(obj)->blob.len)
		return CKR_KEY_NOT_WRAPPABLE;
	TRY(tpm_state_need_token(t));
	TRY(get_key(t, obj, &e.key));
	e.parent = t->parent;
	e.file.public = e.key->key.blob.public;
	TRY(set_auth(&e, auth));
	/* Without a description: tpm2-openssl 1.1 and tpm2-tss-engine refuse files that have one. */
	TRY(conn_run(t->conn, RC_OBJECT, change_body, &e));
	return tss2_key_emit(&e.file, out);
}

CK_RV tpm_export_key(struct token *tok, const struct token_obj *obj, struct bytes auth, struct buffer *out)
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, export_key(t, obj, auth, out));
}

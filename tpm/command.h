/* One function per TPM command that Signet uses (TPM 2.0 Part 3), inside a sequence of conn_run().
 *
 * `s` NULL authorizes with the entity's authValue as a password: for empty authValues, and for signatures where the
 * bus is trusted.  A session without TPMA_SESSION_CONTINUESESSION is over when the command has succeeded; whatever is
 * left is flushed when the sequence ends.  Results are CKRs by the table of rc.h for the sequence's context; the raw
 * code is conn_rc()'s.  Objects that a command leaves loaded are counted and flushed at the sequence's end; only
 * handles.h keeps keys beyond it. */
#ifndef TPM_COMMAND_H
#define TPM_COMMAND_H

#include "session.h"

/* ---- asking ---- */
/* s: NULL, or one with TPMA_SESSION_AUDIT, which vouches for the answer. */
CK_RV tpm2_get_capability(struct conn *c, struct session *s, TPM2_CAP capability, uint32_t property, uint32_t count,
			  TPMS_CAPABILITY_DATA *ret) MUST_CHECK;
/* The attributes of implemented commands from `first` on, ascending; *ret_more: there are others behind the last. */
CK_RV tpm2_get_commands(struct conn *c, TPM2_CC first, TPML_CCA *ret, bool *ret_more) MUST_CHECK;
/* Handles of the TPM from `first` on that are of its type, ascending, at most `cap`. */
CK_RV tpm2_get_handles(struct conn *c, TPM2_HANDLE first, TPM2_HANDLE *ret, size_t cap, size_t *ret_n) MUST_CHECK;
/* Whether the TPM has these parameters. */
CK_RV tpm2_test_parms(struct conn *c, const TPMT_PUBLIC_PARMS *parms, bool *ret) MUST_CHECK;
/* *ret_found false and CKR_OK: there is nothing at that handle. */
CK_RV tpm2_read_public(struct conn *c, TPM2_HANDLE handle, TPM2B_PUBLIC *ret, TPM2B_NAME *ret_name,
		       bool *ret_found) MUST_CHECK;

/* ---- objects ---- */

/* A primary key; ret: transient handle and name, the authValue of `sensitive`. */
CK_RV tpm2_create_primary(struct conn *c, const struct entity *hierarchy, struct session *s,
			  const TPM2B_PUBLIC *tmpl, TPM2B_PUBLIC *ret_public, struct entity *ret) MUST_CHECK;

struct create_req {
	const TPM2B_SENSITIVE_CREATE *sensitive; /* authValue and data; travels encrypted if the session decrypts */
	const TPM2B_PUBLIC *tmpl;
};
/* A new object below `parent`, not loaded. */
CK_RV tpm2_create(struct conn *c, const struct entity *parent, struct session *s, const struct create_req *req,
		  TPM2B_PUBLIC *ret_public, TPM2B_PRIVATE *ret_private) MUST_CHECK;
/* ret: handle and name; the authValue is left empty. */
CK_RV tpm2_load(struct conn *c, const struct entity *parent, struct session *s, const TPM2B_PUBLIC *public,
		const TPM2B_PRIVATE *private, struct entity *ret) MUST_CHECK;
/* A key from outside (13.3 TPM2_Import): a duplicate that duplicate_make() has wrapped for `parent`. */
struct import_req {
	const TPM2B_PUBLIC *public;
	const TPM2B_PRIVATE *duplicate;
	const TPM2B_ENCRYPTED_SECRET *seed;
};
CK_RV tpm2_import(struct conn *c, const struct entity *parent, struct session *s, const struct import_req *req,
		  TPM2B_PRIVATE *ret) MUST_CHECK;
/* The same key with another authValue (12.8 TPM2_ObjectChangeAuth), which travels encrypted if the session decrypts;
 * the loaded one stays as it is. */
CK_RV tpm2_object_change_auth(struct conn *c, const struct entity *object, const struct entity *parent,
			      struct session *s, const TPM2B_AUTH *auth, TPM2B_PRIVATE *ret) MUST_CHECK;
/* Flushes an object or a session; a handle that is gone already is fine. */
CK_RV tpm2_flush(struct conn *c, TPM2_HANDLE handle) MUST_CHECK;
CK_RV tpm2_context_save(struct conn *c, TPM2_HANDLE handle, TPMS_CONTEXT *ret) MUST_CHECK;
CK_RV tpm2_context_load(struct conn *c, const TPMS_CONTEXT *context, TPM2_HANDLE *ret) MUST_CHECK;
/* Makes `object` persistent at `persistent`, or with object->handle == persistent removes it. */
CK_RV tpm2_evict_control(struct conn *c, const struct entity *owner, struct session *s, const struct entity *object,
			 TPM2_HANDLE persistent) MUST_CHECK;

/* ---- policy sessions ---- */

/* Proves `object`'s authValue to `policy`.  With the context RC_LOGIN the only command that proves a PIN; never
 * repeated. */
CK_RV tpm2_policy_secret(struct conn *c, const struct entity *object, struct session *s,
			 struct session *policy) MUST_CHECK;
CK_RV tpm2_policy_auth_value(struct conn *c, struct session *policy) MUST_CHECK;
CK_RV tpm2_policy_nv_written(struct conn *c, struct session *policy, bool written) MUST_CHECK;
CK_RV tpm2_policy_or(struct conn *c, struct session *policy, const TPML_DIGEST *branches) MUST_CHECK;
CK_RV tpm2_policy_get_digest(struct conn *c, struct session *policy, TPM2B_DIGEST *ret) MUST_CHECK;

/* ---- using objects ---- */
CK_RV tpm2_unseal(struct conn *c, const struct entity *item, struct session *s, TPM2B_SENSITIVE_DATA *ret) MUST_CHECK;
CK_RV tpm2_sign(struct conn *c, const struct entity *key, struct session *s, const TPM2B_DIGEST *digest,
		const TPMT_SIG_SCHEME *scheme, TPMT_SIGNATURE *ret) MUST_CHECK;
/* The private operation; scheme TPM2_ALG_NULL: raw. */
CK_RV tpm2_rsa_decrypt(struct conn *c, const struct entity *key, struct session *s, const TPM2B_PUBLIC_KEY_RSA *in,
		       const TPMT_RSA_DECRYPT *scheme, TPM2B_PUBLIC_KEY_RSA *ret) MUST_CHECK;

/* The shared point of `key` and `in` (Part 3, 14.5 TPM2_ECDH_ZGen). */
CK_RV tpm2_ecdh_zgen(struct conn *c, const struct entity *key, struct session *s, const TPM2B_ECC_POINT *in,
		     TPM2B_ECC_POINT *ret) MUST_CHECK;
/* A symmetric cipher in the TPM (15.3 TPM2_EncryptDecrypt2): at most TPM2_PT_INPUT_BUFFER bytes; *iv becomes the next
 * one. */
struct cipher_req {
	bool decrypt;
	TPM2_ALG_ID mode;            /* TPM2_ALG_CBC … */
	TPM2B_IV *iv;                /* in and out; empty for ECB */
	const TPM2B_MAX_BUFFER *in;
};
CK_RV tpm2_encrypt_decrypt(struct conn *c, const struct entity *key, struct session *s, const struct cipher_req *req,
			   TPM2B_MAX_BUFFER *ret) MUST_CHECK;
/* 15.5 TPM2_HMAC: at most TPM2_PT_INPUT_BUFFER bytes at once. */
CK_RV tpm2_hmac(struct conn *c, const struct entity *key, struct session *s, const TPM2B_MAX_BUFFER *in,
		TPM2_ALG_ID hash, TPM2B_DIGEST *ret) MUST_CHECK;
/* Longer ones by a sequence object (17.2 TPM2_HMAC_Start, 17.4 _SequenceUpdate, 17.5 _SequenceComplete), which has an
 * empty authValue of its own and is counted among the scratch objects: whoever goes on later saves its context. */
CK_RV tpm2_hmac_start(struct conn *c, const struct entity *key, struct session *s, TPM2_ALG_ID hash,
		      struct entity *ret) MUST_CHECK;
CK_RV tpm2_sequence_update(struct conn *c, const struct entity *sequence, struct session *s,
			   const TPM2B_MAX_BUFFER *in) MUST_CHECK;
CK_RV tpm2_sequence_complete(struct conn *c, const struct entity *sequence, struct session *s,
			     const TPM2B_MAX_BUFFER *in, TPM2B_DIGEST *ret) MUST_CHECK;

/* ---- random numbers; s may be NULL (no session), or one that encrypts (decrypts) ---- */
/* Fewer bytes than asked for are a normal answer: *ret_n from 1 to n. */
CK_RV tpm2_get_random(struct conn *c, struct session *s, uint8_t *out, size_t n, size_t *ret_n) MUST_CHECK;
/* At most 128 bytes. */
CK_RV tpm2_stir_random(struct conn *c, struct session *s, struct bytes in) MUST_CHECK;

/* ---- NV ---- */

/* conn_rc_base() == TPM2_RC_NV_DEFINED: the index is taken, another may be free. */
CK_RV tpm2_nv_define(struct conn *c, const struct entity *owner, struct session *s, const TPM2B_AUTH *auth,
		     const TPM2B_NV_PUBLIC *public) MUST_CHECK;
CK_RV tpm2_nv_undefine(struct conn *c, const struct entity *owner, struct session *s,
		       const struct entity *index) MUST_CHECK;
/* *ret_found false and CKR_OK: no such index. */
CK_RV tpm2_nv_read_public(struct conn *c, TPM2_HANDLE index, TPM2B_NV_PUBLIC *ret, TPM2B_NAME *ret_name,
			  bool *ret_found) MUST_CHECK;
/* `by`: the index itself, or the owner.  The first write changes the index's name (TPMA_NV_WRITTEN). */
CK_RV tpm2_nv_write(struct conn *c, const struct entity *by, struct session *s, const struct entity *index,
		    struct bytes in) MUST_CHECK;
/* From offset 0; out->cap bytes.  With the index's own authorization and a PIN index, this counts a wrong PIN: never
 * repeated. */
CK_RV tpm2_nv_read(struct conn *c, const struct entity *by, struct session *s, const struct entity *index,
		   struct outbuf *out) MUST_CHECK;

#endif

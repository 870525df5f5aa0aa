/* Commands that use what is loaded, and random numbers.  Each leaves the TPM as it was: where an answer is lost, the
 * sequence runs again from its start, with a sequence object of its own. */
#include "command_private.h"

#define MAX_STIR 128

/* ---- using objects ---- */

static const struct command unseal = {.name = "TPM2_Unseal", .flags = CALL_PURE | CALL_COUNTS};

CK_RV tpm2_unseal(struct conn *c, const struct entity *item, struct session *s, TPM2B_SENSITIVE_DATA *ret)
{
	struct call k = {.names = {item}, .n_names = 1, .auth = item, .session = s};
	TPM2B_SENSITIVE_DATA data = {0};
	CK_RV rv;

	call_begin(&k, c, &unseal);
	while (call_try(&k, Tss2_Sys_Unseal_Prepare(k.sys, item->handle)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_Unseal_Complete(k.sys, &data);
	wipe_answer(&k);
	rv = call_end(&k);
	if (rv == CKR_OK)
		*ret = data;
	wipe(&data, sizeof data);
	return rv;
}

static const struct command sign = {.name = "TPM2_Sign", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_sign(struct conn *c, const struct entity *key, struct session *s, const TPM2B_DIGEST *digest,
		const TPMT_SIG_SCHEME *scheme, TPMT_SIGNATURE *ret)
{
	static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
	struct call k = {.names = {key}, .n_names = 1, .auth = key, .session = s};
	TPMT_SIGNATURE signature;

	call_begin(&k, c, &sign);
	while (call_try(&k, Tss2_Sys_Sign_Prepare(k.sys, key->handle, digest, scheme, &no_ticket)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_Sign_Complete(k.sys, &signature);
	TRY(call_end(&k));
	*ret = signature;
	return CKR_OK;
}

static const struct command rsa_decrypt = {.name = "TPM2_RSA_Decrypt", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_rsa_decrypt(struct conn *c, const struct entity *key, struct session *s, const TPM2B_PUBLIC_KEY_RSA *in,
		       const TPMT_RSA_DECRYPT *scheme, TPM2B_PUBLIC_KEY_RSA *ret)
{
	static const TPM2B_DATA no_label;
	struct call k = {.names = {key}, .n_names = 1, .auth = key, .session = s};
	TPM2B_PUBLIC_KEY_RSA out = {0};
	CK_RV rv;

	call_begin(&k, c, &rsa_decrypt);
	while (call_try(&k, Tss2_Sys_RSA_Decrypt_Prepare(k.sys, key->handle, in, scheme, &no_label)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_RSA_Decrypt_Complete(k.sys, &out);
	wipe_answer(&k);
	rv = call_end(&k);
	if (rv == CKR_OK)
		*ret = out;
	wipe(&out, sizeof out);
	return rv;
}

/* ---- shared points ---- */

static const struct command ecdh_zgen = {.name = "TPM2_ECDH_ZGen", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_ecdh_zgen(struct conn *c, const struct entity *key, struct session *s, const TPM2B_ECC_POINT *in,
		     TPM2B_ECC_POINT *ret)
{
	struct call k = {.names = {key}, .n_names = 1, .auth = key, .session = s};
	TPM2B_ECC_POINT out = {0};
	CK_RV rv;

	call_begin(&k, c, &ecdh_zgen);
	while (call_try(&k, Tss2_Sys_ECDH_ZGen_Prepare(k.sys, key->handle, in)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_ECDH_ZGen_Complete(k.sys, &out);
	wipe_answer(&k);
	rv = call_end(&k);
	if (rv == CKR_OK)
		*ret = out;
	wipe(&out, sizeof out);
	return rv;
}

/* ---- symmetric ciphers ---- */

static const struct command encrypt_decrypt = {.name = "TPM2_EncryptDecrypt2", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_encrypt_decrypt(struct conn *c, const struct entity *key, struct session *s, const struct cipher_req *req,
			   TPM2B_MAX_BUFFER *ret)
{
	struct call k = {.names = {key}, .n_names = 1, .auth = key, .session = s};
	TPM2B_MAX_BUFFER out = {0};
	TPM2B_IV next = {0};
	CK_RV rv;

	call_begin(&k, c, &encrypt_decrypt);
	while (call_try(&k, Tss2_Sys_EncryptDecrypt2_Prepare(k.sys, key->handle, req->in,
							     req->decrypt ? TPM2_YES : TPM2_NO, req->mode, req->iv)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_EncryptDecrypt2_Complete(k.sys, &out, &next);
	wipe_answer(&k);
	if (k.rc == TSS2_RC_SUCCESS && out.size != req->in->size)
		k.rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	rv = call_end(&k);
	if (rv == CKR_OK) {
		*ret = out;
		*req->iv = next;
	}
	wipe(&out, sizeof out);
	return rv;
}

/* ---- HMACs ---- */

static const struct command hmac = {.name = "TPM2_HMAC", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_hmac(struct conn *c, const struct entity *key, struct session *s, const TPM2B_MAX_BUFFER *in,
		TPM2_ALG_ID hash, TPM2B_DIGEST *ret)
{
	struct call k = {.names = {key}, .n_names = 1, .auth = key, .session = s};
	TPM2B_DIGEST digest = {0};
	CK_RV rv;

	call_begin(&k, c, &hmac);
	while (call_try(&k, Tss2_Sys_HMAC_Prepare(k.sys, key->handle, in, hash)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_HMAC_Complete(k.sys, &digest);
	wipe_answer(&k);
	rv = call_end(&k);
	if (rv == CKR_OK)
		*ret = digest;
	wipe(&digest, sizeof digest);
	return rv;
}

static const struct command hmac_start = {.name = "TPM2_HMAC_Start", .flags = CALL_REPEAT | CALL_PURE | CALL_OBJECT};

CK_RV tpm2_hmac_start(struct conn *c, const struct entity *key, struct session *s, TPM2_ALG_ID hash, struct entity *ret)
{
	static const TPM2B_AUTH no_auth;
	static const TPM2B_PUBLIC no_public;
	struct call k = {.names = {key}, .n_names = 1, .auth = key, .session = s, .makes = &no_public};
	struct entity started = {0}; /* a sequence object has no name (Part 1, 16) */

	call_begin(&k, c, &hmac_start);
	while (call_try(&k, Tss2_Sys_HMAC_Start_Prepare(k.sys, key->handle, &no_auth, hash)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_HMAC_Start_Complete(k.sys, &started.handle);
	expect_transient(&k, started.handle);
	TRY(call_end(&k));
	held_add_object(c, started.handle, &started.name);
	*ret = started;
	return CKR_OK;
}

static const struct command sequence_update = {.name = "TPM2_SequenceUpdate", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_sequence_update(struct conn *c, const struct entity *sequence, struct session *s, const TPM2B_MAX_BUFFER *in)
{
	struct call k = {.names = {sequence}, .n_names = 1, .auth = sequence, .session = s};

	call_begin(&k, c, &sequence_update);
	while (call_try(&k, Tss2_Sys_SequenceUpdate_Prepare(k.sys, sequence->handle, in)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_SequenceUpdate_Complete(k.sys);
	return call_end(&k);
}

static const struct command sequence_complete = {.name = "TPM2_SequenceComplete", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_sequence_complete(struct conn *c, const struct entity *sequence, struct session *s,
			     const TPM2B_MAX_BUFFER *in, TPM2B_DIGEST *ret)
{
	struct call k = {.names = {sequence}, .n_names = 1, .auth = sequence, .session = s};
	TPM2B_DIGEST digest = {0};
	TPMT_TK_HASHCHECK ticket = {0};
	CK_RV rv;

	call_begin(&k, c, &sequence_complete);
	while (call_try(&k, Tss2_Sys_SequenceComplete_Prepare(k.sys, sequence->handle, in, TPM2_RH_NULL)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_SequenceComplete_Complete(k.sys, &digest, &ticket);
	wipe_answer(&k);
	rv = call_end(&k);
	if (rv == CKR_OK) {
		held_forget(c, sequence->handle); /* its end is part of the command */
		*ret = digest;
	}
	wipe(&digest, sizeof digest);
	return rv;
}

/* ---- random numbers ---- */

static const struct command get_random = {.name = "TPM2_GetRandom", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_get_random(struct conn *c, struct session *s, uint8_t *out, size_t n, size_t *ret_n)
{
	struct call k = {.session = s};
	TPM2B_DIGEST bytes = {0};
	uint16_t want = (uint16_t)MIN(n, sizeof bytes.buffer);

	call_begin(&k, c, &get_random);
	while (call_try(&k, Tss2_Sys_GetRandom_Prepare(k.sys, want)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_GetRandom_Complete(k.sys, &bytes);
	wipe_answer(&k);
	if (k.rc == TSS2_RC_SUCCESS && (bytes.size == 0 || bytes.size > want))
		k.rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	TRY(call_end(&k));
	memcpy(out, bytes.buffer, bytes.size);
	*ret_n = bytes.size;
	wipe(&bytes, sizeof bytes);
	return CKR_OK;
}

static const struct command stir_random = {.name = "TPM2_StirRandom", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_stir_random(struct conn *c, struct session *s, struct bytes in)
{
	struct call k = {.session = s};
	TPM2B_SENSITIVE_DATA data = {.size = (uint16_t)in.len};

	if (in.len > MAX_STIR)
		return conn_fail(c, CKR_GENERAL_ERROR);
	memcpy(data.buffer, in.ptr, in.len);
	call_begin(&k, c, &stir_random);
	while (call_try(&k, Tss2_Sys_StirRandom_Prepare(k.sys, &data)))
		;
	wipe(&data, sizeof data);
	return call_end(&k);
}

/* Sessions: how a command is authorized, and its answer believed. */
#include "crypto.h"
#include "conn_private.h"
#include "log.h"

#define HASH_SIZE 32
/* Of the first parameter of a command or an answer; TPM2B_PRIVATE is the largest. */
#define MAX_PARAMETER 4096

/* ---- entities ---- */

void entity_permanent(struct entity *e, TPM2_HANDLE handle, struct bytes auth)
{
	*e = (struct entity){.handle = handle, .name.size = sizeof handle};
	for (size_t i = 0; i < sizeof handle; i++)
		e->name.name[i] = (uint8_t)(handle >> (24 - 8 * i));
	if (auth.len && entity_set_auth(e, auth) != CKR_OK)
		log_error("an authorization of %zu bytes is too long for a TPM; it is left out", auth.len);
}

CK_RV entity_set_auth(struct entity *e, struct bytes auth)
{
	while (auth.len && auth.ptr[auth.len - 1] == 0) /* the TPM drops them too (Part 1, 17.6.4.3) */
		auth.len--;
	if (auth.len > sizeof e->auth.buffer)
		return CKR_GENERAL_ERROR;
	wipe(&e->auth, sizeof e->auth);
	e->auth.size = (uint16_t)auth.len;
	if (auth.len)
		memcpy(e->auth.buffer, auth.ptr, auth.len);
	return CKR_OK;
}

void session_entity(const struct session *s, struct entity *ret)
{
	entity_permanent(ret, s->handle, NO_BYTES);
}

/* ---- the arithmetic of one authorization ---- */

static struct bytes nonce_bytes(const TPM2B_NONCE *n)
{
	return BYTES(n->buffer, n->size);
}

/* sessionKey || authValue, the key of HMACs and of parameter encryption. */
struct session_secret {
	uint8_t b[HASH_SIZE + sizeof(TPMU_HA)];
	size_t len;
};
static void secret_wipe(struct session_secret *s)
{
	wipe(s, sizeof *s);
}

static struct session_secret session_secret(const struct session *s, const struct entity *auth)
{
	struct session_secret r = {.len = s->key_len};
	size_t n = auth ? MIN(auth->auth.size, sizeof(TPMU_HA)) : 0;

	memcpy(r.b, s->key, s->key_len);
	if (n)
		memcpy(r.b + r.len, auth->auth.buffer, n);
	r.len += n;
	return r;
}

/* What a session vouches for in one direction: the parameters' hash, the nonces, the attributes. */
struct vouched {
	uint8_t p_hash[HASH_SIZE];
	const TPM2B_NONCE *newer, *older;
	TPMA_SESSION attributes;
};

/* HMAC(key, pHash || nonceNewer || nonceOlder || sessionAttributes) (Part 1, 19.6.5).  With no key at all it is
 * empty. */
static bool session_hmac(struct conn *c, const struct session *s, const struct entity *auth, const struct vouched *v,
			 TPM2B_AUTH *ret)
{
	/* A policy session is keyed by the authValue only if its policy asks for that. */
	struct session_secret secret CLEANUP(secret_wipe) =
		session_secret(s, s->policy && !s->with_auth ? NULL : auth);
	const struct bytes pieces[] = {BYTES_OF(v->p_hash), nonce_bytes(v->newer), nonce_bytes(v->older),
				       BYTES(&v->attributes, 1)};

	ret->size = secret.len ? HASH_SIZE : 0;
	return !secret.len ||
	       math_hmac(c->math, BYTES(secret.b, secret.len), pieces, ARRAY_LEN(pieces), ret->buffer);
}

/* AES-128-CFB of the first parameter (Part 1, 21.3).  Here the authValue counts in every policy session. */
static bool crypt_parameter(struct conn *c, const struct session *s, const struct entity *auth, bool encrypt,
			    uint8_t *data, size_t n)
{
	struct session_secret secret CLEANUP(secret_wipe) = session_secret(s, auth);
	const TPM2B_NONCE *newer = encrypt ? &s->caller : &s->tpm, *older = encrypt ? &s->tpm : &s->caller;
	uint8_t key_iv[32];
	bool ok = session_kdfa(c->math, BYTES(secret.b, secret.len), "CFB", nonce_bytes(newer), nonce_bytes(older),
			       key_iv) &&
		  math_cfb(c->math, key_iv, encrypt, data, n);

	wipe(key_iv, sizeof key_iv);
	return ok;
}

/* Encrypts the prepared command's first parameter; an empty one has nothing to encrypt, and then *attributes says
 * so. */
static TSS2_RC encrypt_command(struct conn *c, const struct session *s, const struct entity *auth,
			       TPMA_SESSION *attributes)
{
	uint8_t first[MAX_PARAMETER];
	const uint8_t *p;
	size_t n;
	TSS2_RC rc = Tss2_Sys_GetDecryptParam(c->transport.sys, &n, &p);

	if (rc != TSS2_RC_SUCCESS)
		return rc;
	if (n > sizeof first)
		return TSS2_SYS_RC_BAD_SIZE;
	if (n == 0) {
		*attributes &= (TPMA_SESSION)~TPMA_SESSION_DECRYPT;
		return TSS2_RC_SUCCESS;
	}
	memcpy(first, p, n);
	rc = crypt_parameter(c, s, auth, true, first, n) ? Tss2_Sys_SetDecryptParam(c->transport.sys, n, first) :
							   TSS2_ESYS_RC_MEMORY;
	wipe(first, n);
	return rc;
}

static TSS2_RC decrypt_answer(struct conn *c, const struct session *s, const struct entity *auth)
{
	uint8_t first[MAX_PARAMETER];
	const uint8_t *p;
	size_t n;
	TSS2_RC rc = Tss2_Sys_GetEncryptParam(c->transport.sys, &n, &p);

	if (rc != TSS2_RC_SUCCESS || n == 0)
		return rc;
	if (n > sizeof first || !transport_within(&c->transport, p, n))
		return TSS2_SYS_RC_MALFORMED_RESPONSE;
	memcpy(first, p, n);
	rc = crypt_parameter(c, s, auth, false, first, n) ? Tss2_Sys_SetEncryptParam(c->transport.sys, n, first) :
							    TSS2_ESYS_RC_MEMORY;
	wipe(first, n);
	return rc;
}

/* cpHash = H(commandCode || names || parameters); read before SetCmdAuths moves the buffer. */
static TSS2_RC hash_command(struct conn *c, const struct entity *const *names, size_t n, uint8_t out[HASH_SIZE])
{
	struct bytes pieces[5] = {0};
	uint8_t code[4];
	const uint8_t *p;
	size_t len, used = 0;
	TSS2_RC rc = Tss2_Sys_GetCpBuffer(c->transport.sys, &len, &p);

	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_Sys_GetCommandCode(c->transport.sys, code);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	pieces[used++] = BYTES_OF(code);
	for (size_t i = 0; i < n && used < ARRAY_LEN(pieces) - 1; i++)
		pieces[used++] = BYTES(names[i]->name.name, names[i]->name.size);
	pieces[used++] = BYTES(p, len);
	return math_hash(c->math, pieces, used, out) ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_MEMORY;
}

/* rpHash = H(responseCode || commandCode || parameters), over the bytes as they came. */
static TSS2_RC hash_answer(struct conn *c, uint8_t out[HASH_SIZE])
{
	static const uint8_t success[4];
	struct bytes pieces[3] = {BYTES_OF(success)};
	uint8_t code[4];
	const uint8_t *p;
	size_t len;
	TSS2_RC rc = Tss2_Sys_GetRpBuffer(c->transport.sys, &len, &p);

	if (rc == TSS2_RC_SUCCESS && !transport_within(&c->transport, p, len))
		rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_Sys_GetCommandCode(c->transport.sys, code);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	pieces[1] = BYTES_OF(code);
	pieces[2] = BYTES(p, len);
	return math_hash(c->math, pieces, ARRAY_LEN(pieces), out) ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_MEMORY;
}

/* ---- one command's authorization ---- */

static TSS2_RC authorize_password(struct conn *c, const struct entity *auth)
{
	TSS2L_SYS_AUTH_COMMAND cmd = {.count = 1};
	TSS2_RC rc;

	cmd.auths[0].sessionHandle = TPM2_RH_PW;
	cmd.auths[0].hmac = auth->auth;
	rc = Tss2_Sys_SetCmdAuths(c->transport.sys, &cmd);
	wipe(&cmd.auths[0].hmac, sizeof cmd.auths[0].hmac);
	return rc;
}

static TSS2_RC authorize_session(struct conn *c, const struct entity *const *names, size_t n,
				 const struct entity *auth, struct session *s)
{
	TSS2L_SYS_AUTH_COMMAND cmd = {.count = 1};
	TPMS_AUTH_COMMAND *a = &cmd.auths[0];
	struct vouched v = {.newer = &s->caller, .older = &s->tpm};
	TSS2_RC rc = TSS2_RC_SUCCESS;

	if (!math_nonce(c->math, &s->caller))
		return TSS2_ESYS_RC_MEMORY;
	a->sessionHandle = s->handle;
	a->sessionAttributes = s->attributes;
	if (s->attributes & TPMA_SESSION_DECRYPT)
		rc = encrypt_command(c, s, auth, &a->sessionAttributes);
	if (rc == TSS2_RC_SUCCESS)
		rc = hash_command(c, names, n, v.p_hash);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	a->nonce = s->caller;
	v.attributes = a->sessionAttributes;
	if (!session_hmac(c, s, auth, &v, &a->hmac))
		return TSS2_ESYS_RC_MEMORY;
	return Tss2_Sys_SetCmdAuths(c->transport.sys, &cmd);
}

TSS2_RC session_authorize(struct conn *c, const struct entity *const *names, size_t n, const struct entity *auth,
			  struct session *s)
{
	if (!s)
		return authorize_password(c, auth);
	if (s->conn != c || s->generation != c->generation || s->handle == TPM2_RH_NULL)
		return TPM2_RC_REFERENCE_S0; /* the TPM would say the same */
	return authorize_session(c, names, n, auth, s);
}

TSS2_RC session_accept(struct conn *c, const struct entity *auth, struct session *s)
{
	TSS2L_SYS_AUTH_RESPONSE rsp = {0};
	const TPMS_AUTH_RESPONSE *r = &rsp.auths[0];
	struct vouched v = {.newer = &r->nonce, .older = s ? &s->caller : NULL};
	TPM2B_AUTH want;
	TSS2_RC rc;

	if (!s)
		return TSS2_RC_SUCCESS;
	rc = Tss2_Sys_GetRspAuths(c->transport.sys, &rsp);
	if (rc == TSS2_RC_SUCCESS && rsp.count != 1)
		rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	if (rc == TSS2_RC_SUCCESS)
		rc = hash_answer(c, v.p_hash);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	v.attributes = r->sessionAttributes;
	if (!session_hmac(c, s, auth, &v, &want))
		return TSS2_ESYS_RC_MEMORY;
	if (!secret_equal(BYTES(want.buffer, want.size), BYTES(r->hmac.buffer, r->hmac.size)))
		return TSS2_ESYS_RC_RSP_AUTH_FAILED;
	s->tpm = r->nonce;
	if (!(r->sessionAttributes & TPMA_SESSION_CONTINUESESSION)) {
		held_forget(c, s->handle);
		s->handle = TPM2_RH_NULL;
	}
	return s->attributes & TPMA_SESSION_ENCRYPT ? decrypt_answer(c, s, auth) : TSS2_RC_SUCCESS;
}

/* ---- life ---- */

static const struct command start_auth_session = {.name = "TPM2_StartAuthSession",
						  .flags = CALL_REPEAT | CALL_PURE | CALL_SESSION};

/* The TPM's half: *s has nonceCaller; gets handle and nonceTPM. */
static CK_RV start(struct conn *c, struct session *s, const struct salt_key *salt, const TPM2B_ENCRYPTED_SECRET *secret)
{
	static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
	static const TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	TPM2_SE kind = s->policy ? TPM2_SE_POLICY : TPM2_SE_HMAC;
	bool crypts = s->attributes & (TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT);
	TPM2_HANDLE handle = TPM2_RH_NULL;
	struct call k = {0};

	call_begin(&k, c, &start_auth_session);
	while (call_try(&k, Tss2_Sys_StartAuthSession_Prepare(k.sys, salt ? salt->handle : TPM2_RH_NULL, TPM2_RH_NULL,
							      &s->caller, secret, kind, crypts ? &aes : &none,
							      TPM2_ALG_SHA256)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_StartAuthSession_Complete(k.sys, &handle, &s->tpm);
	if (k.rc == TSS2_RC_SUCCESS && handle >> TPM2_HR_SHIFT != (s->policy ? TPM2_HT_POLICY_SESSION :
									       TPM2_HT_HMAC_SESSION))
		k.rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	TRY(call_end(&k));
	s->handle = handle;
	held_add_session(c, handle);
	s->conn = c;
	s->generation = c->generation;
	return CKR_OK;
}

static CK_RV start_salted(struct conn *c, struct session *s, const struct salt_key *key)
{
	TPM2B_ENCRYPTED_SECRET secret = {0};
	struct salt salt;
	bool ok;

	TRY(salt_make(key->public, "SECRET", &salt, &secret));
	CK_RV rv = start(c, s, key, &secret);

	if (rv == CKR_OK) {
		ok = session_kdfa(c->math, BYTES(salt.b, salt.len), "ATH", nonce_bytes(&s->tpm),
				  nonce_bytes(&s->caller), s->key);
		s->key_len = HASH_SIZE;
		rv = ok ? CKR_OK : crypto_failed("salting a session", CKR_FUNCTION_FAILED);
	}
	wipe(&salt, sizeof salt);
	return rv;
}

CK_RV session_start(struct conn *c, enum session_kind kind, const struct salt_key *salt, TPMA_SESSION attributes,
		    struct session *s)
{
	*s = (struct session){.handle = TPM2_RH_NULL, .attributes = attributes, .policy = kind == SESSION_POLICY};
	if (!math_nonce(c->math, &s->caller))
		return conn_fail(c, CKR_HOST_MEMORY);
	return salt ? start_salted(c, s, salt) : start(c, s, NULL, NULL);
}

void session_end(struct session *s)
{
	if (s->conn && s->handle != TPM2_RH_NULL && s->generation == s->conn->generation)
		call_flush(s->conn, s->handle);
	wipe(s, sizeof *s);
}

/* Sealed data objects: 32 bytes of secret each, always sent and fetched under a salted session that encrypts. */
#include "seal.h"

#include "log.h"

static CK_RV fill_sensitive(const struct seal_req *req, TPM2B_SENSITIVE_CREATE *ret)
{
	TPMS_SENSITIVE_CREATE *s = &ret->sensitive;

	if (req->auth.len > sizeof s->userAuth.buffer)
		return CKR_GENERAL_ERROR;
	s->userAuth.size = (uint16_t)req->auth.len;
	if (req->auth.len)
		memcpy(s->userAuth.buffer, req->auth.ptr, req->auth.len);
	s->data.size = sizeof req->secret->b;
	memcpy(s->data.buffer, req->secret->b, sizeof req->secret->b);
	return CKR_OK;
}

static void sensitive_wipe(TPM2B_SENSITIVE_CREATE *s)
{
	wipe(s, sizeof *s);
}

static void data_wipe(TPM2B_SENSITIVE_DATA *d)
{
	wipe(d, sizeof *d);
}

CK_RV seal_create(struct conn *c, struct parent *p, const struct seal_req *req, struct seal *ret)
{
	TPM2B_SENSITIVE_CREATE sensitive CLEANUP(sensitive_wipe) = {0};
	struct session s CLEANUP(session_end) = {0};
	struct seal made = {0};
	struct entity parent;
	struct salt_key salt;
	TPM2B_PUBLIC tmpl = {
		.publicArea = {
			.type = TPM2_ALG_KEYEDHASH,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT,
			.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
		},
	};

	if (!req->da)
		tmpl.publicArea.objectAttributes |= TPMA_OBJECT_NODA;
	if (req->policy)
		tmpl.publicArea.authPolicy = *req->policy;
	else
		tmpl.publicArea.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
	TRY(fill_sensitive(req, &sensitive));
	TRY(parent_use(c, p, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_DECRYPT, &s));
	TRY(tpm2_create(c, &parent, &s, &(struct create_req){.sensitive = &sensitive, .tmpl = &tmpl}, &made.public,
			&made.private));
	*ret = made;
	return CKR_OK;
}

/* The loaded seal gives its secret; the end of the sequence flushes it. */
static CK_RV take_out(struct conn *c, const struct entity *item, struct session *s, struct key256 *ret)
{
	TPM2B_SENSITIVE_DATA data CLEANUP(data_wipe) = {0};

	TRY(tpm2_unseal(c, item, s, &data));
	if (data.size != sizeof ret->b) {
		log_error("a sealed secret has %u bytes instead of 32: the token's directory is damaged", data.size);
		return CKR_DEVICE_ERROR;
	}
	memcpy(ret->b, data.buffer, sizeof ret->b);
	return CKR_OK;
}

CK_RV seal_open(struct conn *c, struct parent *p, const struct seal *seal, struct bytes auth, bool proves,
		struct key256 *ret)
{
	struct session s CLEANUP(session_end) = {0};
	struct entity parent, item CLEANUP(entity_wipe) = {0};
	struct salt_key salt;
	enum rc_context before;
	CK_RV rv;

	TRY(parent_use(c, p, &parent, &salt));
	TRY(session_start(c, SESSION_HMAC, &salt, TPMA_SESSION_ENCRYPT, &s));
	TRY(tpm2_load(c, &parent, NULL, &seal->public, &seal->private, &item));
	TRY(entity_set_auth(&item, auth));
	if (!proves)
		return take_out(c, &item, &s, ret);
	conn_spend(c);
	before = conn_context(c, RC_LOGIN);
	rv = take_out(c, &item, &s, ret);
	(void)conn_context(c, before);
	return rv;
}

CK_RV seal_open_policy(struct conn *c, const struct entity *parent, const struct seal *seal, struct bytes auth,
		       struct session *policy, struct key256 *ret)
{
	struct entity item CLEANUP(entity_wipe) = {0};

	TRY(tpm2_load(c, parent, NULL, &seal->public, &seal->private, &item));
	TRY(entity_set_auth(&item, auth));
	return take_out(c, &item, policy, ret);
}

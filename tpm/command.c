/* Commands.  Each names its handles' entities in order, prepares, and takes the answer apart; call.c does the rest. */
#include "command_private.h"

#include "log.h"
#include "name.h"

/* Nothing wrong with us or the TPM: there is no object at that handle (or index).  A resource manager answers for the
 * transient ones itself. */
static bool nothing_there(TSS2_RC rc)
{
	struct rc_parts p = rc_decode(rc);

	return p.tpm && p.base == TPM2_RC_HANDLE;
}

/* ---- answers that no session vouches for ---- */

/* Sessions are salted with a key of that name, and authorize by it: a public area that has another one was put in
 * its place on the way. */
static void expect_name(struct call *k, const TPM2B_PUBLIC *public, const TPM2B_NAME *name)
{
	TPM2B_NAME own;
	CK_RV rv = k->rc == TSS2_RC_SUCCESS ? name_of_object(&public->publicArea, &own) : CKR_DEVICE_ERROR;

	if (rv == CKR_OK && !name_equal(&own, name))
		k->rc = TSS2_ESYS_RC_RSP_AUTH_FAILED;
	else if (rv != CKR_OK && rv != CKR_DEVICE_ERROR) /* unchecked, and so not believed */
		k->rc = TSS2_ESYS_RC_MEMORY;
}

void expect_transient(struct call *k, TPM2_HANDLE handle)
{
	if (k->rc == TSS2_RC_SUCCESS && handle >> TPM2_HR_SHIFT != TPM2_HT_TRANSIENT)
		k->rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
}

void wipe_answer(struct call *k)
{
	const uint8_t *p;
	size_t n;

	if (k->rc == TSS2_RC_SUCCESS && Tss2_Sys_GetRpBuffer(k->sys, &n, &p) == TSS2_RC_SUCCESS &&
	    transport_within(&k->conn->transport, p, n))
		wipe((void *)(uintptr_t)p, n);
}

/* ---- asking ---- */

static const struct command get_capability = {.name = "TPM2_GetCapability", .flags = CALL_REPEAT | CALL_PURE};

/* What is asked for: up to `count` of a kind, from `first` on. */
struct question {
	TPM2_CAP capability;
	uint32_t first, count;
};

static CK_RV ask(struct conn *c, struct session *s, const struct question *q, TPMS_CAPABILITY_DATA *ret, bool *ret_more)
{
	struct call k = {.session = s};
	TPMS_CAPABILITY_DATA data = {0};
	TPMI_YES_NO more = TPM2_NO;

	call_begin(&k, c, &get_capability);
	while (call_try(&k, Tss2_Sys_GetCapability_Prepare(k.sys, q->capability, q->first, q->count)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_GetCapability_Complete(k.sys, &more, &data);
	if (k.rc == TSS2_RC_SUCCESS && data.capability != q->capability)
		k.rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	TRY(call_end(&k));
	*ret = data;
	*ret_more = more == TPM2_YES;
	return CKR_OK;
}

CK_RV tpm2_get_capability(struct conn *c, struct session *s, TPM2_CAP capability, uint32_t property, uint32_t count,
			  TPMS_CAPABILITY_DATA *ret)
{
	const struct question q = {.capability = capability, .first = property, .count = count};
	bool more;

	return ask(c, s, &q, ret, &more);
}

CK_RV tpm2_get_commands(struct conn *c, TPM2_CC first, TPML_CCA *ret, bool *ret_more)
{
	const struct question q = {.capability = TPM2_CAP_COMMANDS, .first = first, .count = TPM2_MAX_CAP_CC};
	TPMS_CAPABILITY_DATA data;

	TRY(ask(c, NULL, &q, &data, ret_more));
	*ret = data.data.command;
	ret->count = MIN(ret->count, TPM2_MAX_CAP_CC);
	return CKR_OK;
}

/* Whether a handle belongs to the range that starts at `first`.  HMAC and policy sessions are one range (Part 2, 7.2),
 * listed under the first kind with the handles that they were given. */
static bool same_range(TPM2_HANDLE h, TPM2_HANDLE first)
{
	TPM2_HT type = (TPM2_HT)(h >> TPM2_HR_SHIFT), wanted = (TPM2_HT)(first >> TPM2_HR_SHIFT);

	return type == wanted || (wanted == TPM2_HT_HMAC_SESSION && type == TPM2_HT_POLICY_SESSION);
}

CK_RV tpm2_get_handles(struct conn *c, TPM2_HANDLE first, TPM2_HANDLE *ret, size_t cap, size_t *ret_n)
{
	TPMS_CAPABILITY_DATA data;
	const TPML_HANDLE *list = &data.data.handles;
	size_t n = 0;

	TRY(tpm2_get_capability(c, NULL, TPM2_CAP_HANDLES, first, (uint32_t)MIN(cap, TPM2_MAX_CAP_HANDLES), &data));
	for (size_t i = 0; i < MIN(list->count, TPM2_MAX_CAP_HANDLES) && n < cap; i++)
		if (same_range(list->handle[i], first))
			ret[n++] = list->handle[i];
	*ret_n = n;
	return CKR_OK;
}

static const struct command test_parms = {.name = "TPM2_TestParms", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_test_parms(struct conn *c, const TPMT_PUBLIC_PARMS *parms, bool *ret)
{
	struct call k = {0};
	struct rc_parts p;

	call_begin(&k, c, &test_parms);
	while (call_try(&k, Tss2_Sys_TestParms_Prepare(k.sys, parms)))
		;
	p = rc_decode(k.rc);
	if (p.tpm && k.rc != TSS2_RC_SUCCESS && p.place == RC_PLACE_PARAMETER) {
		*ret = false;
		return CKR_OK;
	}
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_TestParms_Complete(k.sys);
	TRY(call_end(&k));
	*ret = true;
	return CKR_OK;
}

static const struct command read_public = {.name = "TPM2_ReadPublic", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_read_public(struct conn *c, TPM2_HANDLE handle, TPM2B_PUBLIC *ret, TPM2B_NAME *ret_name, bool *ret_found)
{
	struct call k = {0};
	TPM2B_PUBLIC public = {0}; /* a TPM2B of a structure must be empty before _Complete */
	TPM2B_NAME name = {0}, qualified = {0};

	call_begin(&k, c, &read_public);
	while (call_try(&k, Tss2_Sys_ReadPublic_Prepare(k.sys, handle)))
		;
	if (nothing_there(k.rc)) {
		*ret_found = false;
		return CKR_OK;
	}
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_ReadPublic_Complete(k.sys, &public, &name, &qualified);
	expect_name(&k, &public, &name);
	TRY(call_end(&k));
	*ret = public;
	*ret_name = name;
	*ret_found = true;
	return CKR_OK;
}

/* ---- objects ---- */

static const struct command create_primary = {
	.name = "TPM2_CreatePrimary", .flags = CALL_REPEAT | CALL_PURE | CALL_OBJECT | CALL_SLOW};

CK_RV tpm2_create_primary(struct conn *c, const struct entity *hierarchy, struct session *s, const TPM2B_PUBLIC *tmpl,
			  TPM2B_PUBLIC *ret_public, struct entity *ret)
{
	static const TPM2B_SENSITIVE_CREATE sensitive;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION pcrs;
	struct call k = {.names = {hierarchy}, .n_names = 1, .auth = hierarchy, .session = s, .makes = tmpl};
	struct entity made = {0};
	TPM2B_PUBLIC public = {0};
	TPM2B_CREATION_DATA data = {0};
	TPM2B_DIGEST hash = {0};
	TPMT_TK_CREATION ticket = {0};

	call_begin(&k, c, &create_primary);
	while (call_try(&k, Tss2_Sys_CreatePrimary_Prepare(k.sys, hierarchy->handle, &sensitive, tmpl, &outside,
							 &pcrs)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_CreatePrimary_Complete(k.sys, &made.handle, &public, &data, &hash, &ticket, &made.name);
	expect_transient(&k, made.handle);
	expect_name(&k, &public, &made.name);
	TRY(call_end(&k));
	held_add_object(c, made.handle, &made.name);
	*ret_public = public;
	*ret = made;
	return CKR_OK;
}

static const struct command create = {.name = "TPM2_Create", .flags = CALL_PURE | CALL_SLOW};

CK_RV tpm2_create(struct conn *c, const struct entity *parent, struct session *s, const struct create_req *req,
		  TPM2B_PUBLIC *ret_public, TPM2B_PRIVATE *ret_private)
{
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION pcrs;
	struct call k = {.names = {parent}, .n_names = 1, .auth = parent, .session = s};
	TPM2B_PUBLIC public = {0};
	TPM2B_PRIVATE private = {0};
	TPM2B_CREATION_DATA data = {0};
	TPM2B_DIGEST hash = {0};
	TPMT_TK_CREATION ticket = {0};

	call_begin(&k, c, &create);
	while (call_try(&k, Tss2_Sys_Create_Prepare(k.sys, parent->handle, req->sensitive, req->tmpl, &outside, &pcrs)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_Create_Complete(k.sys, &private, &public, &data, &hash, &ticket);
	TRY(call_end(&k));
	*ret_public = public;
	*ret_private = private;
	return CKR_OK;
}

static const struct command load = {.name = "TPM2_Load", .flags = CALL_REPEAT | CALL_PURE | CALL_OBJECT};

CK_RV tpm2_load(struct conn *c, const struct entity *parent, struct session *s, const TPM2B_PUBLIC *public,
		const TPM2B_PRIVATE *private, struct entity *ret)
{
	struct call k = {.names = {parent}, .n_names = 1, .auth = parent, .session = s, .makes = public};
	struct entity loaded = {0};

	call_begin(&k, c, &load);
	while (call_try(&k, Tss2_Sys_Load_Prepare(k.sys, parent->handle, private, public)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_Load_Complete(k.sys, &loaded.handle, &loaded.name);
	expect_transient(&k, loaded.handle);
	expect_name(&k, public, &loaded.name);
	TRY(call_end(&k));
	held_add_object(c, loaded.handle, &loaded.name);
	*ret = loaded;
	return CKR_OK;
}

static const struct command import = {.name = "TPM2_Import", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_import(struct conn *c, const struct entity *parent, struct session *s, const struct import_req *req,
		  TPM2B_PRIVATE *ret)
{
	static const TPM2B_DATA no_inner_key;
	static const TPMT_SYM_DEF_OBJECT no_inner = {.algorithm = TPM2_ALG_NULL};
	struct call k = {.names = {parent}, .n_names = 1, .auth = parent, .session = s};
	TPM2B_PRIVATE private = {0};

	call_begin(&k, c, &import);
	while (call_try(&k, Tss2_Sys_Import_Prepare(k.sys, parent->handle, &no_inner_key, req->public, req->duplicate,
						    req->seed, &no_inner)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_Import_Complete(k.sys, &private);
	TRY(call_end(&k));
	*ret = private;
	return CKR_OK;
}

static const struct command object_change_auth = {.name = "TPM2_ObjectChangeAuth", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_object_change_auth(struct conn *c, const struct entity *object, const struct entity *parent,
			      struct session *s, const TPM2B_AUTH *auth, TPM2B_PRIVATE *ret)
{
	struct call k = {.names = {object, parent}, .n_names = 2, .auth = object, .session = s};
	TPM2B_PRIVATE private = {0};

	call_begin(&k, c, &object_change_auth);
	while (call_try(&k, Tss2_Sys_ObjectChangeAuth_Prepare(k.sys, object->handle, parent->handle, auth)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_ObjectChangeAuth_Complete(k.sys, &private);
	TRY(call_end(&k));
	*ret = private;
	return CKR_OK;
}

static const struct command flush = {.name = "TPM2_FlushContext", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_flush(struct conn *c, TPM2_HANDLE handle)
{
	struct call k = {0};

	call_begin(&k, c, &flush);
	while (call_try(&k, Tss2_Sys_FlushContext_Prepare(k.sys, handle)))
		;
	/* What can't be flushed now stays held, for whoever connects next. */
	if (!nothing_there(k.rc))
		TRY(call_end(&k));
	held_forget(c, handle);
	return CKR_OK;
}

static const struct command context_save = {.name = "TPM2_ContextSave", .flags = CALL_PURE};

CK_RV tpm2_context_save(struct conn *c, TPM2_HANDLE handle, TPMS_CONTEXT *ret)
{
	struct call k = {0};
	TPMS_CONTEXT context = {0};

	call_begin(&k, c, &context_save);
	while (call_try(&k, Tss2_Sys_ContextSave_Prepare(k.sys, handle)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_ContextSave_Complete(k.sys, &context);
	TRY(call_end(&k));
	*ret = context;
	return CKR_OK;
}

static const struct command context_load = {.name = "TPM2_ContextLoad",
					    .flags = CALL_REPEAT | CALL_PURE | CALL_OBJECT};

CK_RV tpm2_context_load(struct conn *c, const TPMS_CONTEXT *context, TPM2_HANDLE *ret)
{
	struct call k = {0};
	TPM2_HANDLE handle = 0;

	call_begin(&k, c, &context_load);
	while (call_try(&k, Tss2_Sys_ContextLoad_Prepare(k.sys, context)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_ContextLoad_Complete(k.sys, &handle);
	expect_transient(&k, handle);
	TRY(call_end(&k));
	*ret = handle;
	return CKR_OK;
}

static const struct command evict_control = {.name = "TPM2_EvictControl"};

CK_RV tpm2_evict_control(struct conn *c, const struct entity *owner, struct session *s, const struct entity *object,
			 TPM2_HANDLE persistent)
{
	struct call k = {.names = {owner, object}, .n_names = 2, .auth = owner, .session = s};

	call_begin(&k, c, &evict_control);
	while (call_try(&k, Tss2_Sys_EvictControl_Prepare(k.sys, owner->handle, object->handle, persistent)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_EvictControl_Complete(k.sys);
	return call_end(&k);
}

/* ---- policy sessions ---- */

static const struct command policy_secret = {.name = "TPM2_PolicySecret", .flags = CALL_PURE | CALL_COUNTS};

CK_RV tpm2_policy_secret(struct conn *c, const struct entity *object, struct session *s, struct session *policy)
{
	struct entity policy_entity;
	struct call k = {.names = {object, &policy_entity}, .n_names = 2, .auth = object, .session = s};
	TPM2B_TIMEOUT timeout = {0};
	TPMT_TK_AUTH ticket = {0};

	session_entity(policy, &policy_entity);
	call_begin(&k, c, &policy_secret);
	while (call_try(&k, Tss2_Sys_PolicySecret_Prepare(k.sys, object->handle, policy->handle, NULL, NULL, NULL, 0)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_PolicySecret_Complete(k.sys, &timeout, &ticket);
	return call_end(&k);
}

static const struct command policy_auth_value = {.name = "TPM2_PolicyAuthValue", .flags = CALL_PURE};

CK_RV tpm2_policy_auth_value(struct conn *c, struct session *policy)
{
	struct call k = {0};

	call_begin(&k, c, &policy_auth_value);
	while (call_try(&k, Tss2_Sys_PolicyAuthValue_Prepare(k.sys, policy->handle)))
		;
	TRY(call_end(&k));
	policy->with_auth = true;
	return CKR_OK;
}

static const struct command policy_nv_written = {.name = "TPM2_PolicyNvWritten", .flags = CALL_PURE};

CK_RV tpm2_policy_nv_written(struct conn *c, struct session *policy, bool written)
{
	struct call k = {0};

	call_begin(&k, c, &policy_nv_written);
	while (call_try(&k, Tss2_Sys_PolicyNvWritten_Prepare(k.sys, policy->handle, written ? TPM2_YES : TPM2_NO)))
		;
	return call_end(&k);
}

static const struct command policy_or = {.name = "TPM2_PolicyOR", .flags = CALL_PURE};

CK_RV tpm2_policy_or(struct conn *c, struct session *policy, const TPML_DIGEST *branches)
{
	struct call k = {0};

	call_begin(&k, c, &policy_or);
	while (call_try(&k, Tss2_Sys_PolicyOR_Prepare(k.sys, policy->handle, branches)))
		;
	return call_end(&k);
}

static const struct command policy_get_digest = {.name = "TPM2_PolicyGetDigest", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_policy_get_digest(struct conn *c, struct session *policy, TPM2B_DIGEST *ret)
{
	struct call k = {0};
	TPM2B_DIGEST digest = {0};

	call_begin(&k, c, &policy_get_digest);
	while (call_try(&k, Tss2_Sys_PolicyGetDigest_Prepare(k.sys, policy->handle)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_PolicyGetDigest_Complete(k.sys, &digest);
	TRY(call_end(&k));
	*ret = digest;
	return CKR_OK;
}

/* ---- NV ---- */

static const struct command nv_define = {.name = "TPM2_NV_DefineSpace"};

CK_RV tpm2_nv_define(struct conn *c, const struct entity *owner, struct session *s, const TPM2B_AUTH *auth,
		     const TPM2B_NV_PUBLIC *public)
{
	struct call k = {.names = {owner}, .n_names = 1, .auth = owner, .session = s};

	call_begin(&k, c, &nv_define);
	while (call_try(&k, Tss2_Sys_NV_DefineSpace_Prepare(k.sys, owner->handle, auth, public)))
		;
	return call_end(&k);
}

static const struct command nv_undefine = {.name = "TPM2_NV_UndefineSpace"};

CK_RV tpm2_nv_undefine(struct conn *c, const struct entity *owner, struct session *s, const struct entity *index)
{
	struct call k = {.names = {owner, index}, .n_names = 2, .auth = owner, .session = s};

	call_begin(&k, c, &nv_undefine);
	while (call_try(&k, Tss2_Sys_NV_UndefineSpace_Prepare(k.sys, owner->handle, index->handle)))
		;
	return call_end(&k);
}

static const struct command nv_read_public = {.name = "TPM2_NV_ReadPublic", .flags = CALL_REPEAT | CALL_PURE};

CK_RV tpm2_nv_read_public(struct conn *c, TPM2_HANDLE index, TPM2B_NV_PUBLIC *ret, TPM2B_NAME *ret_name,
			  bool *ret_found)
{
	struct call k = {0};
	TPM2B_NV_PUBLIC public = {0};
	TPM2B_NAME name = {0};

	call_begin(&k, c, &nv_read_public);
	while (call_try(&k, Tss2_Sys_NV_ReadPublic_Prepare(k.sys, index)))
		;
	if (nothing_there(k.rc)) {
		*ret_found = false;
		return CKR_OK;
	}
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_NV_ReadPublic_Complete(k.sys, &public, &name);
	TRY(call_end(&k));
	*ret = public;
	*ret_name = name;
	*ret_found = true;
	return CKR_OK;
}

static const struct command nv_write = {.name = "TPM2_NV_Write"};

CK_RV tpm2_nv_write(struct conn *c, const struct entity *by, struct session *s, const struct entity *index,
		    struct bytes in)
{
	struct call k = {.names = {by, index}, .n_names = 2, .auth = by, .session = s};
	TPM2B_MAX_NV_BUFFER data = {.size = (uint16_t)in.len};

	if (in.len > sizeof data.buffer)
		return conn_fail(c, CKR_GENERAL_ERROR);
	memcpy(data.buffer, in.ptr, in.len);
	call_begin(&k, c, &nv_write);
	while (call_try(&k, Tss2_Sys_NV_Write_Prepare(k.sys, by->handle, index->handle, &data, 0)))
		;
	wipe(&data, sizeof data);
	return call_end(&k);
}

static const struct command nv_read = {.name = "TPM2_NV_Read", .flags = CALL_PURE | CALL_COUNTS};

CK_RV tpm2_nv_read(struct conn *c, const struct entity *by, struct session *s, const struct entity *index,
		   struct outbuf *out)
{
	struct call k = {.names = {by, index}, .n_names = 2, .auth = by, .session = s};
	TPM2B_MAX_NV_BUFFER data = {0};
	uint16_t want = (uint16_t)MIN(out->cap, sizeof data.buffer);
	CK_RV rv;

	call_begin(&k, c, &nv_read);
	while (call_try(&k, Tss2_Sys_NV_Read_Prepare(k.sys, by->handle, index->handle, want, 0)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_NV_Read_Complete(k.sys, &data);
	if (k.rc == TSS2_RC_SUCCESS && data.size > want)
		k.rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
	rv = call_end(&k);
	if (rv == CKR_OK) {
		memcpy(out->ptr, data.buffer, data.size);
		out->len = data.size;
	}
	wipe(&data, sizeof data);
	return rv;
}

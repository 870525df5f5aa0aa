/* A stranger on the same machine, who uses the TPM for his own ends. */
#include <tss2/tss2_tctildr.h>

#include "harness.h"
#include "tpm.h"

/* A small sealed object under dictionary-attack protection, whose authValue the stranger doesn't know. */
static ESYS_TR guarded_object(ESYS_CONTEXT *esys)
{
	const TPM2B_PUBLIC template = {.publicArea = {
		.type = TPM2_ALG_KEYEDHASH,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT,
		.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
	}};
	const TPM2B_SENSITIVE_CREATE sensitive = {.sensitive = {
		.userAuth = {.size = 5, .buffer = "right"},
		.data = {.size = 4, .buffer = "data"},
	}};
	const TPM2B_DATA outside = {0};
	const TPML_PCR_SELECTION pcrs = {0};
	ESYS_TR handle = ESYS_TR_NONE;
	TPM2B_PUBLIC *public = NULL;
	TPM2B_CREATION_DATA *data = NULL;
	TPM2B_DIGEST *hash = NULL;
	TPMT_TK_CREATION *ticket = NULL;

	TSS2_RC rc = Esys_CreatePrimary(esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
					&template, &outside, &pcrs, &handle, &public, &data, &hash, &ticket);
	cr_assert(rc == 0, "TPM2_CreatePrimary: 0x%x", rc);
	Esys_Free(public);
	Esys_Free(data);
	Esys_Free(hash);
	Esys_Free(ticket);
	return handle;
}

/* By the module's own way to the TPM. */
static ESYS_CONTEXT *connect_as_the_module(void)
{
	TSS2_TCTI_CONTEXT *tcti = NULL;
	ESYS_CONTEXT *esys = NULL;
	char conf[128] = "";

	FILE *f = fmemopen(conf, sizeof conf, "w");
	cr_assert(f);
	tpm_way()->tcti(f);
	fclose(f);
	TSS2_RC rc = Tss2_TctiLdr_Initialize(conf, &tcti);
	cr_assert(rc == 0, "connection to %s: 0x%x", conf, rc);
	rc = Esys_Initialize(&esys, tcti, NULL);
	cr_assert(rc == 0, "Esys_Initialize: 0x%x", rc);
	return esys;
}

ESYS_CONTEXT *tpm_hoarder(void)
{
	const TPMT_SYM_DEF plain = {.algorithm = TPM2_ALG_NULL};
	ESYS_CONTEXT *esys = connect_as_the_module();
	ESYS_TR session;

	for (int i = 0; i < 3; i++) {
		guarded_object(esys);
		TSS2_RC rc = Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
						   ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &plain, TPM2_ALG_SHA256, &session);
		cr_assert(rc == 0, "TPM2_StartAuthSession: 0x%x", rc);
	}
	return esys;
}

void tpm_lock_out(void)
{
	ESYS_CONTEXT *esys = tpm_connect();
	ESYS_TR object = guarded_object(esys);
	const TPM2B_AUTH wrong = {.size = 5, .buffer = "wrong"};
	TSS2_RC rc;

	Esys_TR_SetAuth(esys, object, &wrong);
	for (int i = 0; i < 64; i++) {
		TPM2B_SENSITIVE_DATA *out = NULL;
		rc = Esys_Unseal(esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &out);
		if (rc == TPM2_RC_LOCKOUT)
			break;
	}
	cr_assert(rc == TPM2_RC_LOCKOUT, "the TPM doesn't lock: 0x%x", rc);
	h.lockouts = tpm_property(esys, TPM2_PT_LOCKOUT_COUNTER);
	Esys_FlushContext(esys, object);
	tpm_disconnect(&esys);
}

static TPM2B_AUTH auth_of(const char *password)
{
	TPM2B_AUTH auth = {.size = (UINT16)strlen(password)};

	memcpy(auth.buffer, password, auth.size);
	return auth;
}

void tpm_set_lockout_password(const char *password)
{
	ESYS_CONTEXT *esys = tpm_connect();
	TPM2B_AUTH auth = auth_of(password);

	TSS2_RC rc = Esys_HierarchyChangeAuth(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					      &auth);
	cr_assert(rc == 0, "TPM2_HierarchyChangeAuth: 0x%x", rc);
	h.lockout_password = password;
	tpm_disconnect(&esys);
}

void tpm_lockout_reset(const char *password)
{
	ESYS_CONTEXT *esys = tpm_connect();
	TPM2B_AUTH auth = auth_of(password);

	Esys_TR_SetAuth(esys, ESYS_TR_RH_LOCKOUT, &auth);
	TSS2_RC rc = Esys_DictionaryAttackLockReset(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
						    ESYS_TR_NONE);
	cr_assert(rc == 0, "TPM2_DictionaryAttackLockReset: 0x%x", rc);
	h.lockouts = 0;
	tpm_disconnect(&esys);
}

static ESYS_TR index_handle(ESYS_CONTEXT *esys, uint32_t index)
{
	ESYS_TR tr = ESYS_TR_NONE;

	TSS2_RC rc = Esys_TR_FromTPMPublic(esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
	cr_assert(rc == 0, "NV index 0x%x: 0x%x", index, rc);
	return tr;
}

void tpm_define_index(uint32_t index)
{
	ESYS_CONTEXT *esys = tpm_connect();
	const TPM2B_AUTH auth = {0};
	const TPM2B_NV_PUBLIC public = {.nvPublic = {
		.nvIndex = index,
		.nameAlg = TPM2_ALG_SHA256,
		.attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD,
		.dataSize = 8,
	}};
	ESYS_TR tr = ESYS_TR_NONE;

	TSS2_RC rc = Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &auth,
					 &public, &tr);
	cr_assert(rc == 0, "TPM2_NV_DefineSpace: 0x%x", rc);
	tpm_disconnect(&esys);
}

void tpm_undefine_index(uint32_t index)
{
	ESYS_CONTEXT *esys = tpm_connect();

	TSS2_RC rc = Esys_NV_UndefineSpace(esys, ESYS_TR_RH_OWNER, index_handle(esys, index), ESYS_TR_PASSWORD,
					   ESYS_TR_NONE, ESYS_TR_NONE);
	cr_assert(rc == 0, "TPM2_NV_UndefineSpace: 0x%x", rc);
	tpm_disconnect(&esys);
}

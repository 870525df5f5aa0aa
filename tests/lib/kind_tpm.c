/* The TPM token, by the way that SIGNET_TEST_TRANSPORT names, on a software TPM of the test's own. */
#include "tpm.h"

#include <keyutils.h>
#include <signal.h>
#include <sys/stat.h>
#include <tss2/tss2_tctildr.h>

#include "daemons.h"
#include "harness.h"

/* ---- the ways to it ---- */

static void bare_start(void)
{
	swtpm_begin(true);
}

static void bare_tcti(FILE *conf)
{
	fprintf(conf, "swtpm:host=127.0.0.1,port=%u", h.port);
}

static void abrmd_start(void)
{
	swtpm_begin(true);
	bus_begin();
	abrmd_begin();
}

static void abrmd_off(void)
{
	abrmd_end(SIGKILL);
	swtpm_end(SIGKILL);
}

static void abrmd_on(void)
{
	swtpm_begin(true);
	abrmd_begin();
}

static void abrmd_tcti(FILE *conf)
{
	fprintf(conf, "tabrmd:bus_name=" ABRMD_NAME ",bus_type=session");
}

/* Nothing but the TPM itself is asked what is left in it. */
static void abrmd_leave(void)
{
	abrmd_end(SIGTERM);
}

static void bare_off(void)
{
	swtpm_end(SIGKILL);
}

/* The machine's own TPM is cleared for each test: only in a guest that was made for that. */
static void device_clear(void)
{
	ESYS_CONTEXT *esys = tpm_connect();
	TPM2B_AUTH auth = {0};

	if (h.lockout_password) {
		auth.size = (UINT16)strlen(h.lockout_password);
		memcpy(auth.buffer, h.lockout_password, auth.size);
	}
	Esys_TR_SetAuth(esys, ESYS_TR_RH_LOCKOUT, &auth);
	TSS2_RC rc = Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
	cr_assert(rc == 0, "TPM2_Clear: 0x%x", rc);
	tpm_disconnect(&esys);
}

static void device_start(void)
{
	cr_assert(secure_getenv("SIGNET_VM"), "SIGNET_TEST_TRANSPORT=device is for tests/vm: it clears the TPM");
	device_clear();
}

/* A password would keep the next test from clearing it. */
static void device_end(void)
{
	if (h.lockout_password)
		device_clear();
}

static void device_tcti(FILE *conf)
{
	fprintf(conf, "device:/dev/tpmrm0");
}

static const struct way ways[] = {
	{.name = "bare", .start = bare_start, .off = bare_off, .on = bare_start, .tcti = bare_tcti},
	{.name = "abrmd", .start = abrmd_start, .off = abrmd_off, .on = abrmd_on, .leave = abrmd_leave,
	 .tcti = abrmd_tcti, .managed = true},
	{.name = "device", .start = device_start, .end = device_end, .tcti = device_tcti, .managed = true},
};

const struct way *tpm_way(void)
{
	const char *name = secure_getenv("SIGNET_TEST_TRANSPORT");

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (!name || strcmp(ways[i].name, name) == 0)
			return &ways[i];
	cr_assert(false, "SIGNET_TEST_TRANSPORT=%s is no transport", name);
	return NULL;
}

static bool started;

static void setup(void)
{
	char path[96];

	snprintf(path, sizeof path, "%s/tpm", h.dir);
	cr_assert(mkdir(path, 0700) == 0);
	cr_assert(keyctl_join_session_keyring(NULL) > 0); /* where [slot other] lives */
	tpm_way()->start();
	started = true;
}

void tpm_power_off(void)
{
	if (!tpm_way()->off)
		cr_skip_test("this TPM can't be switched off");
	tpm_way()->off();
}

void tpm_power_on(void)
{
	tpm_way()->on();
}

static void config(FILE *conf)
{
	fprintf(conf, "type = tpm\ntcti = %s", h.tcti_prefix ? h.tcti_prefix : "");
	tpm_way()->tcti(conf);
	fprintf(conf, "\nstore = %s/store\n", h.dir);
}

/* ---- a connection of the test's own ---- */

ESYS_CONTEXT *tpm_connect_with(TPM2_SU startup)
{
	char conf[64] = "device:/dev/tpm0";
	TSS2_TCTI_CONTEXT *tcti = NULL;
	ESYS_CONTEXT *esys = NULL;

	if (h.port)
		snprintf(conf, sizeof conf, "swtpm:host=127.0.0.1,port=%u", h.port);
	TSS2_RC rc = Tss2_TctiLdr_Initialize(conf, &tcti);
	cr_assert(rc == 0, "connection to %s: 0x%x", conf, rc);
	rc = Esys_Initialize(&esys, tcti, NULL);
	cr_assert(rc == 0, "Esys_Initialize: 0x%x", rc);
	rc = h.port ? Esys_Startup(esys, startup) : TSS2_RC_SUCCESS;
	cr_assert(rc == 0 || rc == TPM2_RC_INITIALIZE, "TPM2_Startup: 0x%x", rc);
	return esys;
}

ESYS_CONTEXT *tpm_connect(void)
{
	return tpm_connect_with(TPM2_SU_CLEAR);
}

void tpm_disconnect(ESYS_CONTEXT **esys)
{
	TSS2_TCTI_CONTEXT *tcti = NULL;

	Esys_GetTcti(*esys, &tcti);
	Esys_Finalize(esys);
	Tss2_TctiLdr_Finalize(&tcti);
}

uint32_t tpm_handles(ESYS_CONTEXT *esys, uint32_t first, TPML_HANDLE *ret)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;

	TSS2_RC rc = Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
					TPM2_MAX_CAP_HANDLES, &more, &data);
	cr_assert(rc == 0, "TPM2_GetCapability(handles 0x%x): 0x%x", first, rc);
	uint32_t n = data->data.handles.count;
	if (ret)
		*ret = data->data.handles;
	Esys_Free(data);
	return n;
}

uint32_t tpm_property(ESYS_CONTEXT *esys, uint32_t property)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;

	TSS2_RC rc = Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
					property, 1, &more, &data);
	cr_assert(rc == 0, "TPM2_GetCapability(0x%x): 0x%x", property, rc);
	const TPML_TAGGED_TPM_PROPERTY *p = &data->data.tpmProperties;
	cr_assert(p->count == 1 && p->tpmProperty[0].property == property);
	uint32_t value = p->tpmProperty[0].value;
	Esys_Free(data);
	return value;
}

/* R14, R15, 4.2: nothing transient is left, and no wrong PIN touched the machine's counter. */
static void check(void)
{
	if (!started)
		return;
	if (tpm_way()->leave)
		tpm_way()->leave();
	ESYS_CONTEXT *esys = tpm_connect();
	expect_tidy(tpm_handles(esys, TPM2_TRANSIENT_FIRST, NULL) == 0, "transient objects are left in the TPM");
	expect_tidy(tpm_handles(esys, TPM2_LOADED_SESSION_FIRST, NULL) == 0, "loaded sessions are left in the TPM");
	expect_tidy(tpm_handles(esys, TPM2_ACTIVE_SESSION_FIRST, NULL) == 0, "saved sessions are left in the TPM");
	uint32_t lockouts = tpm_property(esys, TPM2_PT_LOCKOUT_COUNTER);
	expect_tidy(lockouts == h.lockouts, "TPM2_PT_LOCKOUT_COUNTER is %u, expected %lu", lockouts, h.lockouts);
	tpm_disconnect(&esys);
}

static void teardown(void)
{
	if (tpm_way()->end)
		tpm_way()->end();
	if (!h.port)
		return;
	ESYS_CONTEXT *esys = tpm_connect();
	Esys_Shutdown(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_SU_CLEAR);
	tpm_disconnect(&esys);
}

const struct kind kind_tpm = {
	.name = "tpm",
	.setup = setup,
	.config = config,
	.check = check,
	.teardown = teardown,
	.hardware = true,
};

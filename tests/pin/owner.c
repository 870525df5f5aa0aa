/* The TPM from outside of the module: its owner, strangers, reboots. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pin.h"

/* tpm/pin.h says so to the module; that is no interface of the tests'. */
#define FIRST_INDEX 0x01815300u
#define LAST_INDEX 0x018153ffu
/* Where the stranger's indices begin. */
#define STRANGERS_INDEX 0x01900000u

/* swtpm's control channel: CMD_INIT without flags; the answer has 4 bytes. */
static void init(void)
{
	static const uint8_t command[8] = {0, 0, 0, 2};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(h.port + 1u))};
	uint8_t answer[4];
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert(connect(s, (struct sockaddr *)&a, sizeof a) == 0, "swtpm's control channel: %m");
	cr_assert(send(s, command, sizeof command, MSG_NOSIGNAL) == sizeof command);
	cr_assert(recv(s, answer, sizeof answer, MSG_WAITALL) == sizeof answer);
	cr_assert(memcmp(answer, (const uint8_t[4]){0}, 4) == 0, "CMD_INIT failed");
	close(s);
}

void tpm_reboot(void)
{
	init();
	ESYS_CONTEXT *esys = tpm_connect();
	TSS2_RC rc = Esys_Startup(esys, TPM2_SU_CLEAR);
	cr_assert(rc == 0 || rc == TPM2_RC_INITIALIZE, "TPM2_Startup: 0x%x", rc);
	tpm_disconnect(&esys);
}

unsigned tpm_our_indices(TPML_HANDLE *ret)
{
	TPML_HANDLE all = {0};
	unsigned n = 0;

	ESYS_CONTEXT *esys = tpm_connect();
	tpm_handles(esys, FIRST_INDEX, &all);
	tpm_disconnect(&esys);
	while (n < all.count && all.handle[n] <= LAST_INDEX)
		n++;
	if (ret)
		*ret = all;
	if (ret)
		ret->count = n;
	return n;
}

uint32_t tpm_lockouts(void)
{
	ESYS_CONTEXT *esys = tpm_connect();
	uint32_t n = tpm_property(esys, TPM2_PT_LOCKOUT_COUNTER);

	tpm_disconnect(&esys);
	return n;
}

static TSS2_RC define(ESYS_CONTEXT *esys, uint32_t index, uint16_t size)
{
	const TPM2B_AUTH auth = {0};
	const TPM2B_NV_PUBLIC public = {.nvPublic = {
		.nvIndex = index,
		.nameAlg = TPM2_ALG_SHA256,
		.attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD,
		.dataSize = size,
	}};
	ESYS_TR tr = ESYS_TR_NONE;

	return Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &auth, &public,
				   &tr);
}

void tpm_fill_nv(void)
{
	uint32_t index = STRANGERS_INDEX;

	setenv("TSS2_LOG", "all+NONE", 1); /* what doesn't fit is what we look for */
	ESYS_CONTEXT *esys = tpm_connect();
	for (uint16_t size = 2048; size; size /= 2)
		while (index < STRANGERS_INDEX + 4096 && define(esys, index, size) == 0)
			index++;
	tpm_disconnect(&esys);
	cr_assert(index > STRANGERS_INDEX && index < STRANGERS_INDEX + 4096, "NV can't be filled");
}

void tpm_free_nv(void)
{
	TPML_HANDLE all = {0};

	ESYS_CONTEXT *esys = tpm_connect();
	tpm_handles(esys, STRANGERS_INDEX, &all);
	tpm_disconnect(&esys);
	for (uint32_t i = 0; i < all.count && all.handle[i] < STRANGERS_INDEX + 4096; i++)
		tpm_undefine_index(all.handle[i]);
}

void tpm_tool(const char *commands)
{
	char line[1024];

	snprintf(line, sizeof line,
		 "cd %s && export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=%u && { %s; } >tool.log 2>&1 || { cat tool.log >&2; "
		 "exit 1; }", h.dir, h.port, commands);
	cr_assert(system(line) == 0, "%s", commands);
}

void tpm_swap(void)
{
	char path[96];

	tpm_power_off();
	snprintf(path, sizeof path, "%s/tpm/tpm2-00.permall", h.dir);
	cr_assert(unlink(path) == 0, "%s: %m", path);
	snprintf(path, sizeof path, "%s/tpm/tpm2-00.volatilestate", h.dir);
	unlink(path);
	tpm_power_on();
}

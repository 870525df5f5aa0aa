#include "tcti_wrap.h"

#include <stdlib.h>
#include <string.h>

#include <tss2/tss2_tctildr.h>

#include "base.h"

struct context {
	TSS2_TCTI_CONTEXT_COMMON_V2 common;
	TSS2_TCTI_CONTEXT *inner;
	uint32_t cc;
	TSS2_RC answer; /* instead of the TPM's */
};

extern struct wrap wrap;
struct wrap wrap;

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
	struct context *c = (struct context *)tcti;
	TSS2_RC rc;

	c->cc = be32(command + 6);
	c->answer = 0;
	wrap.sent++;
	if (wrap.hear)
		wrap.hear(command, size);
	rc = wrap.transmit ? wrap.transmit(c->cc, wrap.sent, &c->answer) : TSS2_RC_SUCCESS;
	return rc || c->answer ? rc : Tss2_Tcti_Transmit(c->inner, size, command);
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *answer, int32_t timeout)
{
	struct context *c = (struct context *)tcti;
	TSS2_RC rc;

	if (!answer) {
		*size = 4096;
		return TSS2_RC_SUCCESS;
	}
	if (c->answer) {
		const uint8_t header[10] = {
			0x80, 1, 0, 0, 0, 10, (uint8_t)(c->answer >> 24), (uint8_t)(c->answer >> 16),
			(uint8_t)(c->answer >> 8), (uint8_t)c->answer};

		memcpy(answer, header, sizeof header);
		*size = sizeof header;
		return TSS2_RC_SUCCESS;
	}
	rc = Tss2_Tcti_Receive(c->inner, size, answer, timeout);
	return rc || !wrap.receive ? rc : wrap.receive(c->cc, wrap.sent, answer, size);
}

static void finalize(TSS2_TCTI_CONTEXT *tcti)
{
	struct context *c = (struct context *)tcti;

	Tss2_TctiLdr_Finalize(&c->inner);
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *tcti UNUSED)
{
	return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
	return Tss2_Tcti_GetPollHandles(((struct context *)tcti)->inner, handles, n);
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *tcti UNUSED, uint8_t locality UNUSED)
{
	return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *conf)
{
	struct context *c = (struct context *)tcti;

	if (!tcti) {
		*size = sizeof *c;
		return TSS2_RC_SUCCESS;
	}
	memset(c, 0, sizeof *c);
	c->common.v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){.magic = 0x57524150, .version = 2, .transmit = transmit,
						     .receive = receive, .finalize = finalize, .cancel = cancel,
						     .getPollHandles = poll_handles, .setLocality = set_locality};
	return Tss2_TctiLdr_Initialize(conf, &c->inner);
}

static const TSS2_TCTI_INFO info = {.version = 2, .name = "wrap", .description = "faults for tests",
				    .config_help = "", .init = init};

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
	return &info;
}

/* A TCTI around another one that fails on order: tcti = PATH/libtcti-fault.so:INNER, where INNER is the other one's
 * configuration.  The test finds `tcti_fault` in the same file with dlopen() and dlsym(). */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "fault.h"

#define MAGIC 0x7369676e65746654ull

struct fault tcti_fault;

struct context {
	TSS2_TCTI_CONTEXT_COMMON_V2 common;
	TSS2_TCTI_CONTEXT *inner;
	int ready;       /* always readable: stands for an answer that the TPM wasn't asked for */
	bool struck;     /* the command under way is one that fails */
	bool dead;       /* the connection broke */
};

static struct context *of(TSS2_TCTI_CONTEXT *tcti)
{
	return (struct context *)tcti;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
	struct context *c = of(tcti);

	if (c->dead)
		return TSS2_TCTI_RC_IO_ERROR;
	c->struck = fault_hits(&tcti_fault, "a TPM command");
	if (c->struck && tcti_fault.how == FAULT_CODE)
		return TSS2_RC_SUCCESS;
	if (c->struck && tcti_fault.how == FAULT_LOST_BEFORE) {
		c->dead = true;
		return TSS2_TCTI_RC_IO_ERROR;
	}
	return Tss2_Tcti_Transmit(c->inner, size, command);
}

/* The answer that is just a response code. */
static TSS2_RC code_answer(size_t *size, uint8_t *response)
{
	const uint16_t tag = htobe16(TPM2_ST_NO_SESSIONS);
	const uint32_t length = htobe32(10), code = htobe32(tcti_fault.code);

	if (response) {
		memcpy(response, &tag, 2);
		memcpy(response + 2, &length, 4);
		memcpy(response + 6, &code, 4);
	}
	*size = 10;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
	struct context *c = of(tcti);

	if (c->dead)
		return TSS2_TCTI_RC_IO_ERROR;
	if (c->struck && tcti_fault.how == FAULT_CODE)
		return code_answer(size, response);
	TSS2_RC rc = Tss2_Tcti_Receive(c->inner, size, response, timeout);
	if (rc != TSS2_RC_SUCCESS || !c->struck || !response)
		return rc;
	if (tcti_fault.how == FAULT_LOST_AFTER) {
		c->dead = true;
		return TSS2_TCTI_RC_IO_ERROR;
	}
	if (tcti_fault.how == FAULT_TRUNCATED)
		*size /= 2;
	if (tcti_fault.how == FAULT_DAMAGED)
		response[0] ^= 0x40;
	return TSS2_RC_SUCCESS;
}

static void finalize(TSS2_TCTI_CONTEXT *tcti)
{
	struct context *c = of(tcti);

	Tss2_TctiLdr_Finalize(&c->inner);
	close(c->ready);
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *tcti)
{
	return of(tcti)->struck ? TSS2_RC_SUCCESS : Tss2_Tcti_Cancel(of(tcti)->inner);
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
	struct context *c = of(tcti);

	if (!c->dead && !(c->struck && tcti_fault.how == FAULT_CODE))
		return Tss2_Tcti_GetPollHandles(c->inner, handles, n);
	if (handles && *n < 1)
		return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	if (handles)
		handles[0] = (TSS2_TCTI_POLL_HANDLE){.fd = c->ready, .events = POLLIN};
	*n = 1;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
	return Tss2_Tcti_SetLocality(of(tcti)->inner, locality);
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *inner)
{
	struct context *c = of(tcti);

	if (!tcti) {
		*size = sizeof *c;
		return TSS2_RC_SUCCESS;
	}
	*c = (struct context){.common.v1 = {
		.magic = MAGIC,
		.version = 1,
		.transmit = transmit,
		.receive = receive,
		.finalize = finalize,
		.cancel = cancel,
		.getPollHandles = poll_handles,
		.setLocality = set_locality,
	}};
	c->ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	return Tss2_TctiLdr_Initialize(inner, &c->inner);
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
	static const TSS2_TCTI_INFO info = {
		.version = 1,
		.name = "fault",
		.description = "Fails on order",
		.config_help = "the configuration of the TCTI behind it",
		.init = init,
	};

	return &info;
}

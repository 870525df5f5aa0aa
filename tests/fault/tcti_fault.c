/* A TCTI that fails on order: tcti = PATH/libtcti-fault.so:INNER.  INNER is another TCTI's configuration, or
 * fd=N[,anything]: a stream socket to a TPM that this process has open and shares with others by turns.  It carries
 * plain commands and responses; here it is neither opened nor closed.
 *
 * The answer is fetched as soon as the command is sent, whatever then becomes of it: nothing of it stays in the socket
 * for whoever speaks next, and a caller needn't wait for real.  What it waits for is an eventfd, readable once the
 * answer has "come".  The test finds `tcti_fault` and `tcti_operations` in the same file with dlopen() and dlsym(). */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "fault.h"

#define MAGIC 0x7369676e65746654ull
#define HEADER 10 /* tag, size, response code (Part 1, 18.5) */

struct fault tcti_fault, tcti_operations;

enum state {
	IDLE,
	ANSWERED, /* the answer can be received */
	LATE,     /* it is here, and the caller mustn't know yet */
	LOST,     /* it never will be: the caller's to find out */
	DEAD,     /* the connection broke */
};

struct context {
	TSS2_TCTI_CONTEXT_COMMON_V2 common;
	TSS2_TCTI_CONTEXT *inner; /* NULL: the socket */
	int socket;
	int ready;                /* readable unless the caller has something to wait for */
	enum state state;
	int waits;                /* LATE: so many more in vain, 0: all, -1: none */
	size_t size;
	uint8_t answer[TPM2_MAX_RESPONSE_SIZE];
};

static struct context *of(TSS2_TCTI_CONTEXT *tcti)
{
	return (struct context *)tcti;
}

static void enter(struct context *c, enum state state)
{
	eventfd_t old;

	c->state = state;
	if (state == IDLE || state == LATE)
		(void)eventfd_read(c->ready, &old);
	else
		(void)eventfd_write(c->ready, 1);
}

/* ---- the way to the TPM ---- */

static bool send_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
	}
	return true;
}

static bool receive_all(int fd, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t got = recv(fd, p, n, 0);

		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
	return true;
}

static size_t size_in(const uint8_t *header)
{
	uint32_t size;

	memcpy(&size, header + 2, sizeof size);
	return be32toh(size);
}

static TSS2_RC exchange_on_socket(struct context *c, size_t size, const uint8_t *command)
{
	if (!send_all(c->socket, command, size) || !receive_all(c->socket, c->answer, HEADER))
		return TSS2_TCTI_RC_IO_ERROR;
	c->size = size_in(c->answer);
	if (c->size < HEADER || c->size > sizeof c->answer)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	return receive_all(c->socket, c->answer + HEADER, c->size - HEADER) ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC exchange(struct context *c, size_t size, const uint8_t *command)
{
	TSS2_RC rc;

	if (!c->inner)
		return exchange_on_socket(c, size, command);
	rc = Tss2_Tcti_Transmit(c->inner, size, command);
	c->size = sizeof c->answer;
	return rc == TSS2_RC_SUCCESS ? Tss2_Tcti_Receive(c->inner, &c->size, c->answer, TSS2_TCTI_TIMEOUT_BLOCK) : rc;
}

/* ---- what becomes of the answer ---- */

/* The answer that is just a response code. */
static void make_code(struct context *c)
{
	const uint16_t tag = htobe16(TPM2_ST_NO_SESSIONS);
	const uint32_t length = htobe32(HEADER), code = htobe32(tcti_fault.code);

	memcpy(c->answer, &tag, sizeof tag);
	memcpy(c->answer + 2, &length, sizeof length);
	memcpy(c->answer + 6, &code, sizeof code);
	c->size = HEADER;
}

static void truncate_answer(struct context *c)
{
	size_t where = (size_t)abs(tcti_fault.where), rest = c->size - 1;

	if (tcti_fault.where == 0)
		rest = c->size / 2;
	else if (tcti_fault.where > 0 && where < c->size)
		rest = where;
	else if (tcti_fault.where < 0)
		rest = where < c->size ? c->size - where : 0;
	c->size = rest;
}

static void damage(struct context *c)
{
	size_t at = (size_t)abs(tcti_fault.where) % c->size;

	c->answer[tcti_fault.where < 0 && at ? c->size - at : at] ^= 0x40;
}

/* A command that fails, as the order says. */
static TSS2_RC strike(struct context *c, size_t size, const uint8_t *command)
{
	TSS2_RC rc;

	if (tcti_fault.how == FAULT_LOST_BEFORE) {
		enter(c, DEAD);
		return TSS2_TCTI_RC_IO_ERROR;
	}
	if (tcti_fault.how == FAULT_CODE) {
		make_code(c);
		enter(c, ANSWERED);
		return TSS2_RC_SUCCESS;
	}
	rc = exchange(c, size, command);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	if (tcti_fault.how == FAULT_TRUNCATED)
		truncate_answer(c);
	if (tcti_fault.how == FAULT_DAMAGED)
		damage(c);
	c->waits = tcti_fault.where;
	enter(c, tcti_fault.how == FAULT_LATE ? LATE : tcti_fault.how == FAULT_LOST_AFTER ? LOST : ANSWERED);
	return TSS2_RC_SUCCESS;
}

/* ---- the TCTI's functions ---- */

static bool fails(const char *operation)
{
	return fault_hits(&tcti_operations, operation);
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
	static char name[32];
	struct context *c = of(tcti);
	uint32_t code;
	TSS2_RC rc;

	if (fails("transmit"))
		return tcti_operations.code;
	if (size < HEADER)
		return TSS2_TCTI_RC_BAD_VALUE;
	if (c->state != IDLE)
		return c->state == DEAD ? TSS2_TCTI_RC_IO_ERROR : TSS2_TCTI_RC_BAD_SEQUENCE;
	memcpy(&code, command + 6, sizeof code);
	snprintf(name, sizeof name, "TPM command 0x%03x", be32toh(code));
	if (fault_hits(&tcti_fault, name))
		return strike(c, size, command);
	rc = exchange(c, size, command);
	if (rc == TSS2_RC_SUCCESS)
		enter(c, ANSWERED);
	return rc;
}

/* An answer that this call didn't take can be asked for again. */
static TSS2_RC fail_receiving(struct context *c)
{
	if (c->state == ANSWERED && tcti_operations.code != TSS2_TCTI_RC_TRY_AGAIN &&
	    tcti_operations.code != TSS2_TCTI_RC_INSUFFICIENT_BUFFER)
		enter(c, IDLE);
	return tcti_operations.code;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
	struct context *c = of(tcti);
	size_t room = *size;

	(void)timeout;
	if (fails("receive"))
		return fail_receiving(c);
	if (c->state == IDLE)
		return TSS2_TCTI_RC_BAD_SEQUENCE;
	if (c->state == LATE)
		return TSS2_TCTI_RC_TRY_AGAIN;
	if (c->state != ANSWERED) {
		enter(c, DEAD);
		return TSS2_TCTI_RC_IO_ERROR;
	}
	*size = c->size;
	if (!response)
		return TSS2_RC_SUCCESS;
	if (room < c->size)
		return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	memcpy(response, c->answer, c->size);
	enter(c, IDLE);
	return TSS2_RC_SUCCESS;
}

static void finalize(TSS2_TCTI_CONTEXT *tcti)
{
	struct context *c = of(tcti);

	if (c->inner)
		Tss2_TctiLdr_Finalize(&c->inner);
	close(c->ready);
}

/* The TPM was done before it was asked to stop: the answer is what it says. */
static TSS2_RC cancel(TSS2_TCTI_CONTEXT *tcti)
{
	struct context *c = of(tcti);

	if (fails("cancel"))
		return tcti_operations.code;
	if (c->state == IDLE)
		return TSS2_TCTI_RC_BAD_SEQUENCE;
	if (c->state == LATE)
		enter(c, ANSWERED);
	return TSS2_RC_SUCCESS;
}

/* Who asks this is about to wait. */
static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
	struct context *c = of(tcti);

	if (fails("getPollHandles"))
		return tcti_operations.code;
	if (handles && *n < 1)
		return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	*n = 1;
	if (!handles)
		return TSS2_RC_SUCCESS;
	handles[0] = (TSS2_TCTI_POLL_HANDLE){.fd = c->ready, .events = POLLIN};
	if (c->state == LATE && c->waits > 0 && c->waits-- == 1)
		c->waits = -1;
	else if (c->state == LATE && c->waits < 0)
		enter(c, ANSWERED);
	return TSS2_RC_SUCCESS;
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
	struct context *c = of(tcti);

	if (fails("setLocality"))
		return tcti_operations.code;
	if (c->inner)
		return Tss2_Tcti_SetLocality(c->inner, locality);
	return locality == 0 ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

/* The way behind this one. */
static TSS2_RC open_inner(struct context *c, const char *inner)
{
	if (!inner || strncmp(inner, "fd=", 3) != 0)
		return Tss2_TctiLdr_Initialize(inner, &c->inner);
	c->socket = (int)strtol(inner + 3, NULL, 10);
	return c->socket > 2 ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_BAD_VALUE;
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *inner)
{
	struct context *c = of(tcti);
	TSS2_RC rc;

	if (!tcti) {
		*size = sizeof *c;
		return TSS2_RC_SUCCESS;
	}
	if (fails("init"))
		return tcti_operations.code;
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
	c->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->ready < 0)
		return TSS2_TCTI_RC_IO_ERROR;
	rc = open_inner(c, inner);
	if (rc != TSS2_RC_SUCCESS)
		close(c->ready);
	return rc;
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
	static const TSS2_TCTI_INFO info = {
		.version = 1,
		.name = "fault",
		.description = "Fails on order",
		.config_help = "the configuration of the TCTI behind it, or fd=N",
		.init = init,
	};

	return &info;
}

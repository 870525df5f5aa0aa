/* The TCTI that fails, against a peer whose answer lies in the socket before it is asked. */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <tss2/tss2_tcti.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

static struct fault *commands, *operations;
static const TSS2_TCTI_INFO *info;
static TSS2_TCTI_CONTEXT *tcti;
static int ends[2]; /* ours, the peer's */

static const uint8_t command[12] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 2};   /* TPM2_GetRandom(2) */
static const uint8_t answer[14] = {0x80, 1, 0, 0, 0, 14, 0, 0, 0, 0, 0, 2, 0xab, 0xcd};

static void open_context(void)
{
	char conf[32];
	size_t size;

	snprintf(conf, sizeof conf, "fd=%d,of the test", ends[0]);
	cr_assert(info->init(NULL, &size, NULL) == TSS2_RC_SUCCESS);
	tcti = calloc(1, size);
	cr_assert(tcti);
	cr_assert(info->init(tcti, &size, conf) == TSS2_RC_SUCCESS);
}

static void close_context(void)
{
	Tss2_Tcti_Finalize(tcti);
	free(tcti);
}

static void up(void)
{
	void *lib = dlopen(secure_getenv("SIGNET_TEST_TCTI"), RTLD_NOW);

	cr_assert(lib, "%s", dlerror());
	const TSS2_TCTI_INFO *(*get)(void) = (const TSS2_TCTI_INFO *(*)(void))dlsym(lib, TSS2_TCTI_INFO_SYMBOL);
	info = get();
	commands = dlsym(lib, "tcti_fault");
	operations = dlsym(lib, FAULT_TCTI_OPERATIONS);
	cr_assert(info && commands && operations);
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	open_context();
}

static void down(void)
{
	close_context();
	close(ends[0]);
	close(ends[1]);
}

TestSuite(tcti, .init = up, .fini = down, .timeout = 20);

/* Sends the command, to which the peer has that answer; what arrives there is that command. */
static TSS2_RC ask(void)
{
	uint8_t seen[sizeof command];

	cr_assert(write(ends[1], answer, sizeof answer) == sizeof answer);
	TSS2_RC rc = Tss2_Tcti_Transmit(tcti, sizeof command, command);
	if (recv(ends[1], seen, sizeof seen, MSG_DONTWAIT) > 0)
		cr_assert(memcmp(seen, command, sizeof seen) == 0);
	return rc;
}

static TSS2_RC take(uint8_t got[64], size_t *n)
{
	*n = 64;
	return Tss2_Tcti_Receive(tcti, n, got, 0);
}

static bool readable(void)
{
	TSS2_TCTI_POLL_HANDLE p;
	size_t n = 1;

	cr_assert(Tss2_Tcti_GetPollHandles(tcti, &p, &n) == TSS2_RC_SUCCESS && n == 1);
	return poll(&p, 1, 0) == 1;
}

/* Nothing is left for whoever speaks next, who gets a whole answer. */
static void expect_in_step(void)
{
	uint8_t got[64];
	size_t n;

	cr_expect(recv(ends[0], got, sizeof got, MSG_DONTWAIT) < 0 && errno == EAGAIN, "something is left in the socket");
	close_context();
	open_context();
	*commands = (struct fault){0};
	cr_assert(ask() == TSS2_RC_SUCCESS);
	cr_expect(readable());
	cr_assert(take(got, &n) == TSS2_RC_SUCCESS);
	cr_expect(n == sizeof answer && memcmp(got, answer, n) == 0);
	cr_expect(!readable());
	cr_expect_eq(commands->calls, 1);
}

Test(tcti, hands_on)
{
	uint8_t got[64];
	size_t n = 5;

	cr_expect(take(got, &n) == TSS2_TCTI_RC_BAD_SEQUENCE);
	cr_assert(ask() == TSS2_RC_SUCCESS);
	cr_expect(Tss2_Tcti_Transmit(tcti, sizeof command, command) == TSS2_TCTI_RC_BAD_SEQUENCE);
	n = 5;
	cr_expect(Tss2_Tcti_Receive(tcti, &n, got, 0) == TSS2_TCTI_RC_INSUFFICIENT_BUFFER && n == sizeof answer);
	cr_assert(take(got, &n) == TSS2_RC_SUCCESS);
	cr_expect(n == sizeof answer && memcmp(got, answer, n) == 0);
	expect_in_step();
}

Test(tcti, code_instead_of_an_answer)
{
	uint8_t got[64];
	size_t n;

	*commands = (struct fault){.at = 1, .how = FAULT_CODE, .code = TPM2_RC_RETRY};
	cr_assert(Tss2_Tcti_Transmit(tcti, sizeof command, command) == TSS2_RC_SUCCESS);
	cr_expect(readable());
	cr_assert(take(got, &n) == TSS2_RC_SUCCESS);
	cr_expect(n == 10 && got[5] == 10 && got[8] == 9 && got[9] == 0x22);
	cr_expect_str_eq(commands->last, "TPM command 0x17b");
	expect_in_step();
}

static const struct {
	enum fault_how how;
	int where;
	size_t n;       /* that so many bytes arrive */
	int changed;    /* and that one isn't the TPM's; -1: all are */
} spoilt[] = {
	{FAULT_TRUNCATED, 0, 7, -1},   {FAULT_TRUNCATED, 5, 5, -1},  {FAULT_TRUNCATED, 13, 13, -1},
	{FAULT_TRUNCATED, 14, 13, -1}, {FAULT_TRUNCATED, -1, 13, -1}, {FAULT_TRUNCATED, -20, 0, -1},
	{FAULT_DAMAGED, 0, 14, 0},     {FAULT_DAMAGED, 9, 14, 9},    {FAULT_DAMAGED, -1, 14, 13},
	{FAULT_DAMAGED, 15, 14, 1},
};

Test(tcti, spoilt_answers)
{
	for (size_t i = 0; i < ARRAY_LEN(spoilt); i++) {
		uint8_t got[64] = {0};
		size_t n;

		*commands = (struct fault){.at = 1, .how = spoilt[i].how, .where = spoilt[i].where};
		cr_assert(ask() == TSS2_RC_SUCCESS);
		cr_assert(take(got, &n) == TSS2_RC_SUCCESS);
		cr_expect(n == spoilt[i].n, "row %zu: %zu bytes", i, n);
		for (size_t k = 0; k < n; k++)
			cr_expect((got[k] == answer[k]) == ((int)k != spoilt[i].changed), "row %zu, byte %zu", i, k);
		expect_in_step();
	}
}

Test(tcti, late_answers)
{
	uint8_t got[64];
	size_t n;

	for (int where = 0; where < 3; where++) {
		*commands = (struct fault){.at = 1, .how = FAULT_LATE, .where = where};
		cr_assert(ask() == TSS2_RC_SUCCESS);
		for (int i = 0; i < (where ? where : 10); i++) {
			cr_expect(!readable(), "wait %d of %d", i, where);
			cr_expect(take(got, &n) == TSS2_TCTI_RC_TRY_AGAIN);
		}
		if (where) {
			cr_expect(readable(), "after %d waits", where);
			cr_expect(take(got, &n) == TSS2_RC_SUCCESS && n == sizeof answer);
		}
		expect_in_step();
	}
	*commands = (struct fault){.at = 1, .how = FAULT_LATE};
	cr_assert(ask() == TSS2_RC_SUCCESS);
	cr_expect(Tss2_Tcti_Cancel(tcti) == TSS2_RC_SUCCESS);
	cr_expect(readable() && take(got, &n) == TSS2_RC_SUCCESS && n == sizeof answer);
}

Test(tcti, losses)
{
	uint8_t got[64];
	size_t n;

	*commands = (struct fault){.at = 1, .how = FAULT_LOST_AFTER};
	cr_assert(ask() == TSS2_RC_SUCCESS);
	cr_expect(readable() && take(got, &n) == TSS2_TCTI_RC_IO_ERROR);
	cr_expect(Tss2_Tcti_Transmit(tcti, sizeof command, command) == TSS2_TCTI_RC_IO_ERROR);
	expect_in_step();
	*commands = (struct fault){.at = 1, .how = FAULT_LOST_BEFORE};
	cr_expect(Tss2_Tcti_Transmit(tcti, sizeof command, command) == TSS2_TCTI_RC_IO_ERROR);
	cr_expect(recv(ends[1], got, sizeof got, MSG_DONTWAIT) < 0, "the command has arrived");
	cr_expect(readable() && take(got, &n) == TSS2_TCTI_RC_IO_ERROR);
	expect_in_step();
	*commands = (struct fault){0};
	close(ends[1]);
	ends[1] = -1;
	cr_expect(Tss2_Tcti_Transmit(tcti, sizeof command, command) == TSS2_TCTI_RC_IO_ERROR, "a peer that is gone");
}

static TSS2_RC op_transmit(void)
{
	return Tss2_Tcti_Transmit(tcti, sizeof command, command);
}

static TSS2_RC op_receive(void)
{
	uint8_t got[64];
	size_t n;

	return take(got, &n);
}

static TSS2_RC op_cancel(void)
{
	return Tss2_Tcti_Cancel(tcti);
}

static TSS2_RC op_poll(void)
{
	TSS2_TCTI_POLL_HANDLE p;
	size_t n = 1;

	return Tss2_Tcti_GetPollHandles(tcti, &p, &n);
}

static TSS2_RC op_locality(void)
{
	return Tss2_Tcti_SetLocality(tcti, 0);
}

static TSS2_RC op_init(void)
{
	uint8_t other[8192];
	size_t size = sizeof other;

	return info->init((TSS2_TCTI_CONTEXT *)(void *)other, &size, "fd=9");
}

Test(tcti, operations)
{
	static const struct {
		const char *name;
		TSS2_RC (*call)(void);
	} rows[] = {{"transmit", op_transmit},       {"receive", op_receive},         {"cancel", op_cancel},
		    {"getPollHandles", op_poll},     {"setLocality", op_locality},    {"init", op_init}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cr_assert(ask() == TSS2_RC_SUCCESS);
		*operations = (struct fault){.at = 1, .code = TSS2_TCTI_RC_NO_CONNECTION};
		cr_expect(rows[i].call() == TSS2_TCTI_RC_NO_CONNECTION, "%s", rows[i].name);
		cr_expect(operations->struck == 1 && strcmp(operations->last, rows[i].name) == 0);
		expect_in_step();
	}
	cr_assert(ask() == TSS2_RC_SUCCESS);
	*operations = (struct fault){.at = 1, .code = TSS2_TCTI_RC_TRY_AGAIN};
	cr_expect(op_receive() == TSS2_TCTI_RC_TRY_AGAIN);
	cr_expect(op_receive() == TSS2_RC_SUCCESS, "the answer is there when it is asked for again");
}

/* A TCTI around another one that measures how long the TPM takes to make keys: tcti = PATH/tcti-clock.so:INNER, where
 * INNER is the other one's configuration.  How long it searches for two primes is chance, from a tenth of a second to
 * some seconds, and would drown what a module adds: measure.c, in the same process, subtracts it. */
#include <endian.h>
#include <string.h>
#include <time.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>

#define MAGIC 0x7369676e6574636bull

struct context {
	TSS2_TCTI_CONTEXT_COMMON_V1 common;
	TSS2_TCTI_CONTEXT *inner;
	double sent;     /* when the command under way was sent, 0 if it makes no key */
};

extern double tcti_clock_us;
double tcti_clock_us;

static struct context *of(TSS2_TCTI_CONTEXT *tcti)
{
	return (struct context *)tcti;
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int makes_key(size_t size, const uint8_t *command)
{
	uint32_t code;

	if (size < 10)
		return 0;
	memcpy(&code, command + 6, sizeof code);
	code = be32toh(code);
	return code == TPM2_CC_Create || code == TPM2_CC_CreateLoaded;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
	of(tcti)->sent = makes_key(size, command) ? now_us() : 0;
	return Tss2_Tcti_Transmit(of(tcti)->inner, size, command);
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
	TSS2_RC rc = Tss2_Tcti_Receive(of(tcti)->inner, size, response, timeout);

	if (rc == TSS2_RC_SUCCESS && response && of(tcti)->sent > 0) {
		tcti_clock_us += now_us() - of(tcti)->sent;
		of(tcti)->sent = 0;
	}
	return rc;
}

static void finalize(TSS2_TCTI_CONTEXT *tcti)
{
	Tss2_TctiLdr_Finalize(&of(tcti)->inner);
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *tcti)
{
	return Tss2_Tcti_Cancel(of(tcti)->inner);
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
	return Tss2_Tcti_GetPollHandles(of(tcti)->inner, handles, n);
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
	return Tss2_Tcti_SetLocality(of(tcti)->inner, locality);
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *inner)
{
	if (!tcti) {
		*size = sizeof(struct context);
		return TSS2_RC_SUCCESS;
	}
	*of(tcti) = (struct context){.common = {
		.magic = MAGIC,
		.version = 1,
		.transmit = transmit,
		.receive = receive,
		.finalize = finalize,
		.cancel = cancel,
		.getPollHandles = poll_handles,
		.setLocality = set_locality,
	}};
	return Tss2_TctiLdr_Initialize(inner, &of(tcti)->inner);
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
	static const TSS2_TCTI_INFO info = {
		.version = 1,
		.name = "clock",
		.description = "Measures how long keys take to make",
		.config_help = "the configuration of the TCTI behind it",
		.init = init,
	};

	return &info;
}

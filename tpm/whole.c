/* Answers that are shorter or longer than they say, or than they may be, are none. */
#include "whole.h"

#include "base.h"
#include "bytes.h"

#define MAGIC 0x5349474e45540001ull
#define HEADER 10 /* tag, size, response code (Part 1, 18.5) */

static TSS2_TCTI_CONTEXT *behind(TSS2_TCTI_CONTEXT *tcti)
{
	return ((struct whole *)(void *)tcti)->inner;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
	return Tss2_Tcti_Transmit(behind(tcti), size, command);
}

static size_t size_in(const uint8_t *header)
{
	return (size_t)header[2] << 24 | (size_t)header[3] << 16 | (size_t)header[4] << 8 | header[5];
}

/* A failure is a header and nothing else (Part 1, 18.5): more than that comes from a success, whose code was damaged. */
static bool is_whole(const uint8_t *response, size_t size)
{
	static const uint8_t success[4];

	if (size < HEADER || size_in(response) != size)
		return false;
	return size == HEADER || memcmp(response + 6, success, sizeof success) == 0;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
	TSS2_RC rc = Tss2_Tcti_Receive(behind(tcti), size, response, timeout);

	if (rc != TSS2_RC_SUCCESS || !response)
		return rc;
	return is_whole(response, *size) ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_MALFORMED_RESPONSE;
}

TSS2_TCTI_CONTEXT *whole_init(struct whole *w, TSS2_TCTI_CONTEXT *inner)
{
	*w = (struct whole){
		.common = {.magic = MAGIC, .version = 1, .transmit = transmit, .receive = receive},
		.inner = inner,
	};
	return (TSS2_TCTI_CONTEXT *)(void *)w;
}

/* A TCTI around another one, for faults: "PATH/tcti-wrap.so:" before the other's configuration.  The test finds the
 * hooks with wrap_hooks(), which opens the same file. */
#ifndef TESTS_TCTI_WRAP_H
#define TESTS_TCTI_WRAP_H

#include <tss2/tss2_tcti.h>

#include <stddef.h>
#include <stdint.h>

struct wrap {
	unsigned sent;  /* commands that reached transmit */
	/* Before the command is sent; `n` counts from 1.  A code fails the transmission; with *answer the TPM isn't
	 * asked, and that is its response code. */
	TSS2_RC (*transmit)(uint32_t cc, unsigned n, TSS2_RC *answer);
	/* Each command as it crosses the bus; it can't be changed. */
	void (*hear)(const uint8_t *command, size_t size);
	/* With the TPM's answer.  A code loses it. */
	TSS2_RC (*receive)(uint32_t cc, unsigned n, uint8_t *answer, size_t *size);
};

struct wrap *wrap_hooks(void);
const char *wrap_path(void);

#endif

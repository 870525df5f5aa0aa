/* What the tests of PINs share: the TPM as its owner and strangers see it. */
#ifndef TESTS_PIN_H
#define TESTS_PIN_H

#include "harness.h"
#include "killer.h"
#include "tpm.h"

/* ---- the TPM (owner.c); while the module has no connection ---- */

/* TPM2_Init and TPM2_Startup without a shutdown before: a reboot.  What a killed process left loaded is gone. */
void tpm_reboot(void);
/* NV indices in our range (tpm/pin.h); *ret may be NULL. */
unsigned tpm_our_indices(TPML_HANDLE *ret);
uint32_t tpm_lockouts(void);
/* Takes all NV space by indices of a stranger's; gives it back. */
void tpm_fill_nv(void);
void tpm_free_nv(void);
/* Runs tpm2-tools in a shell, in the test's directory. */
void tpm_tool(const char *commands);
/* Swaps the TPM for a new one: another machine. */
void tpm_swap(void);

#endif

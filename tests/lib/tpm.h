/* A private TPM, and a connection of the test's own to it, past any resource manager, on which the TPM is asked what
 * the module left.  A bare TPM serves one connection at a time: these are for when the module has none (before
 * C_Initialize, after C_Finalize). */
#ifndef TESTS_TPM_H
#define TESTS_TPM_H

#include <stdbool.h>
#include <stdio.h>
#include <tss2/tss2_esys.h>

/* The module's way to the TPM, named by SIGNET_TEST_TRANSPORT: bare, a swtpm (the default); abrmd, tpm2-abrmd in front
 * of one; device, /dev/tpmrm0 of the machine that runs the test, whose TPM is cleared for each (tests/vm). */
struct way {
	const char *name;
	void (*start)(void);
	void (*off)(void), (*on)(void); /* NULL: can't be done */
	void (*end)(void);              /* when the test is over; NULL: nothing to do */
	void (*leave)(void);            /* before the TPM itself is asked, at the end; NULL: nothing to do */
	void (*tcti)(FILE *conf);       /* the configuration string */
	bool managed;                   /* a resource manager lets processes use it at once */
};
const struct way *tpm_way(void);

ESYS_CONTEXT *tpm_connect(void);
/* The same; a TPM that nobody has started yet is started so: TPM2_SU_CLEAR (of tpm_connect()), TPM2_SU_STATE. */
ESYS_CONTEXT *tpm_connect_with(TPM2_SU startup);
void tpm_disconnect(ESYS_CONTEXT **esys);
/* The number of handles of a type: TPM2_HR_TRANSIENT, TPM2_LOADED_SESSION_FIRST, TPM2_ACTIVE_SESSION_FIRST … */
uint32_t tpm_handles(ESYS_CONTEXT *esys, uint32_t first, TPML_HANDLE *ret);
uint32_t tpm_property(ESYS_CONTEXT *esys, uint32_t property);
/* Another program behind the same resource manager, which holds three objects and three sessions, all that the kernel's
 * lets a program have; tpm_disconnect() ends it. */
ESYS_CONTEXT *tpm_hoarder(void);
/* A stranger's wrong tries at an object of its own, until the TPM's dictionary-attack lockout strikes. */
void tpm_lock_out(void);
void tpm_set_lockout_password(const char *password); /* borrowed until the test ends */
/* TPM2_DictionaryAttackLockReset with that password. */
void tpm_lockout_reset(const char *password);

/* Ends the TPM without TPM2_Shutdown, as a power cut would; starts it again with the state that it has kept. */
void tpm_power_off(void);
void tpm_power_on(void);
/* Makes an ordinary NV index of the owner's; removes any index. */
void tpm_define_index(uint32_t index);
void tpm_undefine_index(uint32_t index);

#endif

/* The daemons of a test's own: a software TPM, and in front of it tpm2-abrmd on a D-Bus of the test's own.  Each writes
 * its pid into the test's directory, by which it is ended, also by the janitor of a test that crashed. */
#ifndef TESTS_DAEMONS_H
#define TESTS_DAEMONS_H

#include <stdbool.h>

/* swtpm on h.port (chosen at the first start), with the state in h.dir.  started: as firmware hands a TPM over, with
 * TPM2_Startup(CLEAR) done; else that is left to whoever comes first. */
void swtpm_begin(bool started);
void swtpm_end(int signal);
/* _TPM_Init, as a reset line gives it, without TPM2_Startup; the process goes on. */
void swtpm_init(void);

/* The bus, and DBUS_SESSION_BUS_ADDRESS in the environment. */
void bus_begin(void);
#define ABRMD_NAME "org.signet.test"
/* tpm2-abrmd on that bus under ABRMD_NAME, ready for connections. */
void abrmd_begin(void);
void abrmd_end(int signal);
/* Whatever of all this is still running. */
void daemons_end(void);

#endif

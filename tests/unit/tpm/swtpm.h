/* A software TPM of a test's own. */
#ifndef TESTS_SWTPM_H
#define TESTS_SWTPM_H

#include <sys/types.h>

#include "conn.h"
#include "handles.h"

struct swtpm {
	pid_t pid;
	unsigned port;     /* commands; the control channel is the next one */
	char dir[64];      /* its state, and whatever else the test wants to keep */
	char tcti[128];
	char wrapped[384]; /* the same through tcti_wrap.c */
	int janitor;       /* closing it tells the janitor that the test is over */
	pid_t janitor_pid;
};

/* Starts one with empty state; the test fails if that can't be done.  It ends with the test in any case. */
void swtpm_start(struct swtpm *t);
/* Kills it and starts it again at the same port on the same state: as after a power cut. */
void swtpm_restart(struct swtpm *t);
/* A TPM reset without TPM2_Startup: as firmware leaves it after a warm reset. */
void swtpm_reset(const struct swtpm *t);
void swtpm_kill(struct swtpm *t);
/* Ends it and removes its state. */
void swtpm_stop(struct swtpm *t);

/* What is in it now, asked on a connection of its own: transient objects, loaded sessions, NV indices. */
struct swtpm_census {
	size_t objects, sessions, indices, persistent;
};
struct swtpm_census swtpm_census(const struct swtpm *t);
/* At a test's end: that no object and no session is left.  Criterion makes nothing of a check that fails in a fixture, so
 * this ends the test by a signal.  A TPM that was stopped has nothing. */
void swtpm_expect_clean(const struct swtpm *t);

/* A storage key as C_InitToken makes it, persistent at 0x81000001 (saved: false), or a transient one. */
void swtpm_storage(struct conn *c, bool saved, struct storage *ret);
/* A key below it with a random 256-bit authValue: TPM2_ALG_ECC (P-256) or _RSA (2048). */
void swtpm_key(struct conn *c, struct storage *storage, TPM2_ALG_ID type, struct key_blob *ret,
	       struct entity *ret_auth);

#endif

/* The place where scenarios run: one connection to the TPM that the module, the judge and a second process use by turns,
 * and the library and its session at the stage that a scenario wants. */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "engine.h"

/* The plans of all places where faults are made. */
struct plans {
	struct faults *module;                /* inject.c */
	struct fault *commands, *operations;  /* tcti_fault.c; NULL: no TPM */
	struct fault mutexes;                 /* of the application's callbacks */
};
extern struct plans plans;

/* The harness and the connection. */
void rig_up(void);
/* A fresh token with both PINs, and the second process.  config: further lines of [slot test], or NULL.  mutexes: the
 * library uses the application's callbacks, else the system's. */
void rig_begin(const char *config, bool mutexes);
void rig_down(void);
/* From wherever the module is to that stage; h.session. */
void rig_stage(enum stage stage);
/* What C_Initialize is called with here. */
CK_C_INITIALIZE_ARGS *rig_initialize_args(void);
/* C_Finalize, if need be. */
void rig_stop(void);

/* One exchange on the shared connection, while the module isn't using it: the size of the response. */
size_t rig_tpm(const uint8_t *command, size_t n, uint8_t *response, size_t cap);

/* What a second process, logged in as the user since before, sees of the token: a digest of the token's information and
 * of each object with its attributes.  (watcher.c) */
struct sight {
	uint8_t digest[32];
	uint32_t objects;
	CK_RV rv; /* of the first call that failed; the digest has it, too */
};
void watcher_start(void);
struct sight watcher_look(void);
void watcher_stop(void);

#endif

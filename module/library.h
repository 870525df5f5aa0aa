/* The library's life: C_Initialize, C_Finalize, fork.  The one global of the front stands here. */
#ifndef MODULE_LIBRARY_H
#define MODULE_LIBRARY_H

#include "base.h"
#include "config.h"
#include "slot.h"

struct library {
	struct config *config;
	struct slot **slots;       /* ids 0 … n_slots-1, fixed from C_Initialize to C_Finalize */
	size_t n_slots;
};

/* The initialized library, or NULL (not initialized, being finalized, or a forked child). Each library_enter() that
 * gave one is followed by library_leave(); C_Finalize waits for all of them. */
struct library *library_enter(void);
void library_leave(void);

/* C_Initialize, C_Finalize (PKCS#11 3.2, 5.4.1, 5.4.2).  args may be NULL. */
CK_RV library_initialize(const CK_C_INITIALIZE_ARGS *args) MUST_CHECK;
CK_RV library_finalize(void) MUST_CHECK;
/* Sleeps for that long, or until C_Finalize begins: then true (for C_WaitForSlotEvent).  Between library_enter() and
 * library_leave() only. */
bool library_wait_finalizing(unsigned milliseconds);

#endif

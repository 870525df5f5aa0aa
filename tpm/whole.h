/* A TCTI between SYS and the real one that lets only whole answers through.  SYS (3.2.1, tried) ignores how much has
 * arrived: it believes the size that an answer says of itself, and where that is more it reads on in what its buffer
 * held before - the command. */
#ifndef TPM_WHOLE_H
#define TPM_WHOLE_H

#include <tss2/tss2_tcti.h>

struct whole {
	TSS2_TCTI_CONTEXT_COMMON_V1 common;
	TSS2_TCTI_CONTEXT *inner;
};

/* `w` as a TCTI in front of `inner`.  Both stay the caller's; it isn't to be finalized. */
TSS2_TCTI_CONTEXT *whole_init(struct whole *w, TSS2_TCTI_CONTEXT *inner);

#endif

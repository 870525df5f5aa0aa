/* What the files of the commands share: command.c, command_use.c. */
#ifndef TPM_COMMAND_PRIVATE_H
#define TPM_COMMAND_PRIVATE_H

#include "command.h"
#include "conn_private.h"

/* An answer that no session vouches for: a transient object's handle, or k->rc says that it is malformed. */
void expect_transient(struct call *k, TPM2_HANDLE handle);
/* The answer's parameters were a secret: they don't stay in SYS's memory until another answer takes their place. */
void wipe_answer(struct call *k);

#endif

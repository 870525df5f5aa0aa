/* What a TPM can do, remembered beside its token, so that not every process has to ask. */
#ifndef TPM_MEMORY_H
#define TPM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct tpm_token;

/* Of a token, under the slot's lock. */
struct memory {
	bool recalled;  /* the file was looked for */
	bool kept;      /* the file says what `learnt` stands for, or can't be written */
	uint64_t learnt; /* conn_learnt() */
};

/* Once per process: hands what is remembered to the connection, which believes it as conn.h says.  Sends nothing. */
void memory_recall(struct tpm_token *t);
/* Remembers what isn't yet: asks for what is missing of it, and writes the file, if there is a token and its directory
 * can be written to.  Whatever fails, nothing is remembered, and no call fails for it. */
void memory_keep(struct tpm_token *t);

#endif

/* An operation of a session: from C_SignInit to C_Sign or C_SignFinal, and its kin.  Size queries, too-small buffers,
 * one-shot against multi-part, hashing and the end of an operation are decided here, once for all kinds. */
#ifndef MODULE_OPERATION_H
#define MODULE_OPERATION_H

#include "mechanism.h"

struct operation;

/* Ends and wipes it; NULL is fine. */
void operation_free(struct operation *op);
/* Whether it uses a private object (logout ends it), or this object (may be destroyed: the operation goes on). */
bool operation_uses_private(const struct operation *op);
/* CKA_ALWAYS_AUTHENTICATE: a context-specific login is due before the next step / has been made. */
bool operation_wants_auth(const struct operation *op);
void operation_authenticated(struct operation *op);

#endif

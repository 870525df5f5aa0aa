/* The few places that we take in a TPM (R14): the storage key, and a cache of loaded keys, one behind a resource
 * manager, two on a bare TPM.  Everything here happens inside a sequence of conn_run(). */
#ifndef TPM_HANDLES_H
#define TPM_HANDLES_H

#include "command.h"

/* The storage key that everything else hangs below. */
struct storage {
	struct entity entity;       /* name always; handle if it is persistent, else TPM2_RH_NULL; authValue */
	TPM2B_PUBLIC public;
	/* Where it isn't persistent: */
	TPM2_HANDLE hierarchy;      /* TPM2_RH_OWNER */
	TPM2B_PUBLIC tmpl;          /* makes it again when it has gone (TPM reset), or its saved context */
	bool stays;                 /* once made it stays loaded, until the connection ends or its place is needed */
	bool saved;                 /* else: context */
	TPMS_CONTEXT context;
};

/* The storage key, ready for use in this sequence: a persistent one costs nothing, nor does one that stays, once it is
 * loaded; a saved one is loaded from its context, and flushed when the sequence ends.  What isn't there is made again
 * from its template, which must give the same name (CKR_TOKEN_NOT_RECOGNIZED: another TPM, or it was cleared). */
CK_RV handles_storage(struct conn *c, struct storage *storage, struct entity *ret) MUST_CHECK;
/* A primary that this sequence made stays loaded from now on, as the storage key that `stays`. */
void handles_stay(struct conn *c, const struct entity *primary);
/* Where the storage key of that name is, if it is one that stays and is loaded; else 0. */
TPM2_HANDLE handles_staying(const struct conn *c, const TPM2B_NAME *name);

/* Loads what tpm2_context_save() put away, e.g. a sequence object; flushed when the sequence of commands ends. */
CK_RV handles_context(struct conn *c, const TPMS_CONTEXT *context, struct entity *ret) MUST_CHECK;

/* A key's stored form. */
struct key_blob {
	uint8_t id[16];             /* tells keys apart in the cache; e.g. the object's */
	TPM2B_PUBLIC public;
	TPM2B_PRIVATE private;
};

/* The loaded key: from the cache, or with TPM2_Load, evicting the least recently used.  ret: handle and name; the
 * authValue is left empty. */
CK_RV handles_key(struct conn *c, struct storage *storage, const struct key_blob *key, struct entity *ret) MUST_CHECK;
/* Forgets a key, e.g. when its object is destroyed: nobody finds it loaded any more, and it is flushed when another key
 * wants its place, or at the end.  Sends nothing (R16).  Takes the connection itself: not inside a sequence. */
void handles_drop(struct conn *c, const uint8_t id[16]);

#endif

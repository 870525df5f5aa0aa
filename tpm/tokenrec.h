/* The token record: everything durable about a token but its objects.  The format stands at the top of tokenrec.c. */
#ifndef TPM_TOKENREC_H
#define TPM_TOKENREC_H

#include <tss2/tss2_tpm2_types.h>

#include "bytes.h"

/* A sealed data object of the TPM, in its stored form. */
struct seal {
	TPM2B_PUBLIC public;
	TPM2B_PRIVATE private;
};

/* The counter of one PIN's wrong tries: an NV index of type PIN FAIL. */
struct pin_index {
	TPM2_HANDLE handle;     /* 0: this PIN has none, the TPM's own dictionary-attack protection counts */
	uint8_t policy[32];     /* its authPolicy, unlike any other's (R10) */
	TPM2B_NAME name;        /* once written */
};

/* One PIN: what it takes to get from it to the private secret. */
struct pin_rec {
	bool present;
	uint8_t salt[32];
	uint32_t tries;         /* the index's limit */
	struct pin_index index;
	struct seal seal;
};

enum parent_template { PARENT_ECC_P256 = 1 };

/* The storage key, told by its name. */
struct parent_rec {
	TPM2_HANDLE handle;     /* where it was persistent; 0: a primary made from the template */
	uint8_t tmpl;           /* enum parent_template; tried when nothing with that name is at the handle */
	TPM2B_NAME name;
};

struct token_rec {
	uint8_t id[16];         /* random; each record of objects names it */
	uint8_t label[32];      /* blank-padded */
	bool pin_none;          /* no user PIN: the public secret is the private one too */
	struct parent_rec parent;
	struct seal public_seal;
	struct pin_rec so, user;
};

/* Appends the stored form to a fresh *out. */
CK_RV token_rec_emit(const struct token_rec *r, struct buffer *out) MUST_CHECK;
/* CKR_DEVICE_ERROR: damaged or of another version. */
CK_RV token_rec_parse(struct bytes in, struct token_rec *ret) MUST_CHECK;

/* TPM structures as sized byte strings, for this and other stored forms.  Errors stick to the buffer and reader. */
void put_public(struct buffer *out, const TPM2B_PUBLIC *public);
void put_private(struct buffer *out, const TPM2B_PRIVATE *private);
void read_public(struct reader *r, TPM2B_PUBLIC *ret);
void read_private(struct reader *r, TPM2B_PRIVATE *ret);

#endif

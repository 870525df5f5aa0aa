/* "TSS2 PRIVATE KEY" files: a key's stored form as tpm2-openssl, tpm2-tss-engine and ssh-tpm-agent exchange it.  The
 * format stands at the top of tss2key.c. */
#ifndef TPM_TSS2KEY_H
#define TPM_TSS2KEY_H

#include <tss2/tss2_tpm2_types.h>

#include "bytes.h"

/* Of a file, and of the description in it; bytes. */
#define TSS2_KEY_MAX_SIZE 65536u
#define TSS2_KEY_MAX_DESCRIPTION 255u

struct tss2_key {
	bool empty_auth;        /* false: whoever uses the key must know its authValue */
	bool rsa_parent;        /* with parent TPM2_RH_OWNER: the RSA-2048 primary, not the ECC one */
	TPM2_HANDLE parent;     /* a persistent handle, or TPM2_RH_OWNER */
	uint8_t description[TSS2_KEY_MAX_DESCRIPTION]; /* UTF-8 */
	size_t description_len;
	TPM2B_PUBLIC public;
	TPM2B_PRIVATE private;
};

/* Sets the description; false, and nothing is set, if the text is too long or isn't UTF-8. */
bool tss2_key_describe(struct tss2_key *k, struct bytes text);

/* The first such key of a PEM file.  CKR_DATA_INVALID, and *why a phrase for the log; CKR_HOST_MEMORY. */
CK_RV tss2_key_parse(struct bytes pem, struct tss2_key *ret, const char **why) MUST_CHECK;
/* Appends the PEM form.  CKR_HOST_MEMORY, CKR_FUNCTION_FAILED. */
CK_RV tss2_key_emit(const struct tss2_key *k, struct buffer *out) MUST_CHECK;

#endif

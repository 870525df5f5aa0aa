/* The stored form of the objects that one call created (R7, R12): shared by the store of the TPM token (a file)
 * and that of the keyring token (a key's payload).  The format stands at the top of record.c. */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include "attrs.h"
#include "secret.h"

#define RECORD_MAX_OBJECTS 2
#define RECORD_MAX_SIZE (1u << 20)

/* One object of a record.  Attributes that are sensitive by policy, and all of a private object, are sealed. */
struct record_object {
	uint8_t index;         /* stays when the other half is destroyed; the object's id depends on it */
	struct attrs *attrs;   /* owned */
	struct buffer blob;    /* the backend's own bytes (a TPM2B_PRIVATE and _PUBLIC, a key serial); in clear */
	bool sealed;           /* after record_parse(): the sealed part wasn't opened, attrs has the clear ones only;
	                          record_emit() then writes sealed_part again as it was, so that the public half of a
	                          pair can be changed by who can't read the private one */
	struct buffer sealed_part;
	bool private;          /* CKA_PRIVATE */
};

struct record {
	uint8_t token_id[16];
	uint8_t id[16];        /* random, the record's name */
	uint32_t version;      /* counts the rewrites of this record; informative */
	size_t n;
	struct record_object object[RECORD_MAX_OBJECTS];
};

/* The keys for the sealed parts: of private objects, and of sensitive attributes of public ones.  With a NULL key
 * parse leaves such parts sealed; emit refuses with CKR_USER_NOT_LOGGED_IN to seal anew. */
struct record_keys {
	const struct key256 *private_key, *public_key;
};

void record_done(struct record *r); /* frees what it owns */
/* Appends the stored form to *out. */
CK_RV record_emit(const struct record *r, const struct record_keys *keys, struct buffer *out) MUST_CHECK;
/* Parses; every length is checked before use.  CKR_DEVICE_ERROR for a torn, foreign or damaged record (the caller
 * skips it and logs); CKR_HOST_MEMORY, CKR_FUNCTION_FAILED: libcrypto failed.  *ret is written on CKR_OK only.
 * A record of another token_id is CKR_TOKEN_NOT_RECOGNIZED: garbage of a token that was re-initialized. */
CK_RV record_parse(struct bytes in, const uint8_t token_id[16], const struct record_keys *keys, struct record *ret) MUST_CHECK;
/* Whether record_parse() said that of the process, which has its own trouble, and so nothing of the record. */
static inline bool record_untried(CK_RV rv)
{
	return rv == CKR_HOST_MEMORY || rv == CKR_FUNCTION_FAILED;
}
/* Whether an attribute's value is sealed even in a public object (CKA_VALUE of a secret key, CKA_PRIVATE_EXPONENT …). */
bool record_seals(CK_OBJECT_CLASS class, CK_ATTRIBUTE_TYPE type);
/* Attributes one by one in the form that they have in a record; an attribute array's value has it too. */
void record_put_attribute(struct buffer *out, CK_ATTRIBUTE_TYPE type, struct bytes value);
/* The next of them.  *value is borrowed from the input, or lies in *number.  False at the end and, with r->ok false, for
 * what is malformed. */
bool record_next_attribute(struct reader *r, CK_ATTRIBUTE_TYPE *type, struct bytes *value, CK_ULONG *number) MUST_CHECK;
/* The id of an object of a record: the record's id with the last byte xored with the object's index. */
void record_object_id(const struct record *r, const struct record_object *o, uint8_t ret[16]);

#endif

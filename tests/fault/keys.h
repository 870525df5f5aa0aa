/* The keys that scenarios work with: each is found again by its label, and made anew if a fault's consequences took it
 * away (a session that was closed takes its objects along). */
#ifndef TESTS_FAULT_KEYS_H
#define TESTS_FAULT_KEYS_H

#include "harness.h"

struct key_spec {
	const char *label;   /* NULL: "key" */
	CK_KEY_TYPE type;
	CK_ULONG size;       /* of a secret key, in bytes: 0: 16 */
	bool session;        /* a session object; else a token object */
	bool public;         /* CKA_PRIVATE false, of the private half of a pair */
	bool open;           /* extractable; a secret key isn't sensitive either */
	bool always;         /* CKA_ALWAYS_AUTHENTICATE */
	const char *place;   /* CKA_SIGNET_PLACE, or NULL: as the token likes */
};

/* The value of each secret key that key_stands() makes, from its beginning. */
extern const uint8_t key_value[32];

/* The key, or pair, of that specification.  Of a secret key both handles are the same.  *made, which may be NULL: it
 * wasn't there. */
struct pair key_stands(const struct key_spec *spec, bool *made);
/* What a template for it says: whose object it is, what it may do, its label and its place; for a secret key also its type.
 * It points into *spec, and has room for more: its length. */
#define KEY_TEMPLATE_MAX 20
CK_ULONG key_template(const struct key_spec *spec, CK_OBJECT_CLASS class, CK_ATTRIBUTE t[KEY_TEMPLATE_MAX]);
/* C_GenerateKeyPair's public half; it points to static values: its length. */
CK_ULONG key_pair_template(const struct key_spec *spec, CK_ATTRIBUTE t[KEY_TEMPLATE_MAX]);
/* The mechanism that generates a pair of that type. */
CK_MECHANISM_TYPE key_pair_mechanism(CK_KEY_TYPE type);

/* At least that many objects that nobody needs are in the token. */
void key_crowd(CK_ULONG n);
/* That many make a token full, as far as it can be: C_FindObjects wants several turns, a directory and a ring grow. */
#define KEY_FULL 30

#endif

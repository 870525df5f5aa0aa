/* What this process knows of a ring's keys: which were looked at, and which objects the front was told. */
#ifndef KEYRING_KNOWN_H
#define KEYRING_KNOWN_H

#include "base.h"
#include "sys.h"

struct known {
	key_serial_t key;
	bool record;       /* a readable record of this token; else ours but none, a stranger's, or a damaged one */
	bool closed;       /* it has private objects that couldn't be opened when it was read */
	bool partial;      /* the front couldn't be told all of it: it will be told again */
	bool marked;       /* seen in the listing under way */
	uint8_t id[16];    /* of the record */
	uint8_t told;      /* bit i: the front knows the object with index i */
	uint8_t private;   /* bit i: that one is private */
};

/* In order of serial number. */
struct known_set {
	struct known *at;
	size_t n, cap;
};

void known_done(struct known_set *set);
/* Borrowed until the set changes; NULL if there is none. */
struct known *known_by_key(struct known_set *set, key_serial_t key);
struct known *known_by_id(struct known_set *set, const uint8_t id[16]);
/* Adds a copy, or writes over the one with that key.  CKR_HOST_MEMORY. */
CK_RV known_put(struct known_set *set, const struct known *k) MUST_CHECK;
void known_remove(struct known_set *set, struct known *k);
/* Room for one more, so that the next known_put() can't fail. */
CK_RV known_reserve(struct known_set *set) MUST_CHECK;

#endif

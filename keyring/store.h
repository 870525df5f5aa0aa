/* The keys inside a token's ring, and how one is put in, replaced or taken out by one system call (R7).  The names and
 * what is behind them stand at the top of store.c.  All calls but the reading ones want the token's lock held.
 * Functions that return int give 0 or an errno; on failure the ring's keys are as they were. */
#ifndef KEYRING_STORE_H
#define KEYRING_STORE_H

#include "ring.h"

#define STORE_TOKEN "signet:token"
#define STORE_TRIES "signet:tries"
#define STORE_RESERVE "signet:reserve"
#define STORE_STAGE "signet:stage"
#define STORE_RECORD "signet:r:"
#define STORE_RECORD_NAME (sizeof STORE_RECORD + 32)

struct store {
	key_serial_t ring;
	key_serial_t stage; /* the ring inside it where keys are built; 0: there is none */
	key_perm_t perm;  /* of its keys; 0: the kernel's default */
	bool no_big_key;  /* this kernel has none */
};

/* "signet:r:" and the id in hex. */
void store_record_name(const uint8_t id[16], char ret[STORE_RECORD_NAME]);
/* The other way; false for other names. */
bool store_record_id(const char *name, uint8_t ret[16]);
/* The current key of a record, of either type.  ENOKEY: none. */
int store_find_record(const struct store *st, const uint8_t id[16], key_serial_t *ret, const char **ret_type) MUST_CHECK;

/* A record that is new.  The reserve grows first if it is smaller than the record. */
int store_add_record(struct store *st, const uint8_t id[16], struct bytes payload, key_serial_t *ret) MUST_CHECK;
/* Displaces the key of that type and name; works in a ring that is full, by the reserve. */
int store_replace(struct store *st, const char *type, const char *name, struct bytes payload,
		  key_serial_t *ret) MUST_CHECK;
int store_remove(struct store *st, key_serial_t key) MUST_CHECK;

/* Fills a ring that is being built: a key directly in it. */
int store_fill(const struct store *st, const char *name, struct bytes payload) MUST_CHECK;
int store_fill_reserve(const struct store *st) MUST_CHECK;
int store_fill_stage(const struct store *st) MUST_CHECK;

/* Builds a key outside the ring, for whoever then links it in. */
int store_stage(const struct store *st, const char *type, const char *name, struct bytes payload,
		struct stage *ret) MUST_CHECK;

#endif

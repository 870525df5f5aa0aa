/* Keys and rings: listing, finding, reading, and building a key outside a ring before one call puts it in (R7).
 * Functions that return int give 0 or an errno, KR_HOST_MEMORY (err.h) included. */
#ifndef KEYRING_RING_H
#define KEYRING_RING_H

#include "bytes.h"
#include "sys.h"

/* A ring's links at one moment, in the kernel's order. */
struct serials {
	key_serial_t *at;
	size_t n;
};
int ring_list(key_serial_t ring, struct serials *ret) MUST_CHECK;
void serials_done(struct serials *s);
bool serials_equal(const struct serials *a, const struct serials *b);
bool serials_have(const struct serials *s, key_serial_t key);

/* The key of that type and description that is linked in the ring itself.  ENOKEY: none. */
int ring_find(key_serial_t ring, const char *type, const char *description, key_serial_t *ret) MUST_CHECK;

#define KEY_NAME_MAX 128
struct key_info {
	char type[32];
	char name[KEY_NAME_MAX]; /* cut if longer: none of ours is */
	key_perm_t perm;
};
int key_describe(key_serial_t key, struct key_info *ret) MUST_CHECK;

/* Appends the payload.  `out` wipes itself.  EMSGSIZE: longer than `out` may be. */
int key_read(key_serial_t key, struct buffer *out) MUST_CHECK;
/* ring_find() and key_read(); a key that was displaced in between is found again. */
int ring_read(key_serial_t ring, const char *type, const char *description, key_serial_t *ret_key,
	      struct buffer *out) MUST_CHECK;
/* Its length in bytes. */
int key_length(key_serial_t key, size_t *ret) MUST_CHECK;

/* A key under construction: it hangs in a ring at home until stage_done() takes it out again.  What was linked elsewhere
 * meanwhile stays.  The home is one that nobody else uses: this thread's keyring (KEY_SPEC_THREAD_KEYRING) or a ring
 * made for the purpose. */
struct stage {
	key_serial_t key; /* 0: none */
	key_serial_t home;
};
/* perm 0: as the kernel sets it. */
int stage_key(key_serial_t home, const char *type, const char *description, struct bytes payload, key_perm_t perm,
	      struct stage *ret) MUST_CHECK;
void stage_done(struct stage *s);

#endif

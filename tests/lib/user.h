/* An ordinary user, for tests that run as root: the quota of keys is a user's (keyrings(7), /proc/key-users), and so is
 * the user keyring. */
#ifndef TESTS_USER_H
#define TESTS_USER_H

#include <stdbool.h>
#include <sys/types.h>

/* As root: becomes a user who has no keys and is nobody else's as long as this process lives, or one that it forked.
 * Gives 0 then, ENOTSUP for who isn't root, and errno if nobody is free or `directory` can't become the user's (in a user
 * namespace, say); NULL: none.  The session keyring stays what it was. */
int user_become(const char *directory);

/* The keys of the effective uid, wherever they are, also those that nobody has any more and the kernel has yet to
 * collect: they count for the quota until then, on a busy machine for many seconds.  All 0 if it has none. */
struct user_keys {
	unsigned keys;
	unsigned bytes; /* of the quota */
};
struct user_keys user_keys(void);
/* Waits until there are no more than that; false: not within so many seconds. */
bool user_keys_fall(struct user_keys most, unsigned seconds);

#endif

/* An ordinary user, for tests that run as root: the quota of keys is a user's (keyrings(7), /proc/key-users), and so is
 * the user keyring. */
#ifndef TESTS_USER_H
#define TESTS_USER_H

#include <sys/types.h>

/* As root: becomes a user who has no keys and is nobody else's as long as this process lives, or one that it forked.
 * Gives 0 then, errno if there's no such user, and ENOTSUP for who isn't root.  `directory`, if not NULL, becomes the
 * user's.  The session keyring stays what it was. */
int user_become(const char *directory);

/* The keys of the effective uid, wherever they are, also those that nobody has any more and the kernel has yet to
 * collect.  All 0 if it has none. */
struct user_keys {
	unsigned all;            /* also those outside the quota */
	unsigned counted, bytes; /* what the quota counts */
};
struct user_keys user_keys(void);

#endif

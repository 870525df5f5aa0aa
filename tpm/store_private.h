/* What the files of the store share: store.c and store_write.c. */
#ifndef TPM_STORE_PRIVATE_H
#define TPM_STORE_PRIVATE_H

#include "store.h"

#define TOKEN_NAME "token"
#define INTENTS_NAME "intents"
#define LOCK_NAME "lock"
#define NEW_NAME "new"

struct store {
	char *path;
	struct store_listing listing;
	bool listed;                  /* the listing is of `dir` and can be believed while that stays */
	struct store_stamp dir;
	int lock_fd, dir_fd;          /* while the lock is held, else -1 */
	int reading_fd;               /* the directory, between store_begin_reading() and _end_, else -1 */
};

/* The code for the present errno; one log line says what failed. */
CK_RV store_failed(const struct store *s, const char *what, const char *name, bool writing);
/* For CLEANUP: closes it unless it is negative; errno stays. */
void store_fd_cleanup(int *fd);
struct store_stamp store_stamp_of(const struct stat *st);

#endif

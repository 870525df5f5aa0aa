/* The store of a TPM token: one directory on disk with the token record, one file per object record, the intents and
 * a lock file.  Knows names, bytes and locks; what the files say is tokenrec.c's, intent.c's and record.c's.
 * The layout stands at the top of store.c.  Under the slot's lock. */
#ifndef TPM_STORE_H
#define TPM_STORE_H

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "bytes.h"
#include "conf.h"

struct store;

/* The system calls behind the store, with the meaning of their namesakes (-1 and errno); tests put faults here. */
struct store_sys {
	int (*mkdir)(const char *path, mode_t mode);
	int (*open)(int dir, const char *name, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*read)(int fd, void *buf, size_t n);
	ssize_t (*write)(int fd, const void *buf, size_t n);
	int (*fsync)(int fd);
	int (*fchmod)(int fd, mode_t mode);
	int (*fstat)(int fd, struct stat *ret);
	int (*fstatat)(int dir, const char *name, struct stat *ret, int flags);
	int (*rename)(int dir, const char *from, const char *to);
	int (*unlink)(int dir, const char *name);
	DIR *(*fdopendir)(int fd);
	struct dirent *(*readdir)(DIR *d);
	int (*access)(const char *path, int mode);
	int (*flock)(int fd, int operation);
	int64_t (*now_ms)(void);  /* of a clock that never jumps */
	void (*nap_ms)(unsigned ms);
};
extern struct store_sys store_sys;

/* Tells one version of a file from the next: every change is a new file renamed into place. */
struct store_stamp {
	uint64_t ino;
	int64_t size, mtime_sec, mtime_nsec;
};
bool store_stamp_equal(const struct store_stamp *a, const struct store_stamp *b);

struct store_entry {
	uint8_t id[16];
	struct store_stamp stamp;
};

/* What is there: the records by id in ascending order, and whether there is a token record. */
struct store_listing {
	struct store_entry *at;
	size_t n, cap;
	uint64_t serial;          /* another one for each listing; from 1 */
	bool has_token;
	struct store_stamp token;
};

/* The store that a section names (`store`, else a directory named like the section).  Touches no file.
 * CKR_ARGUMENTS_BAD (logged) for a path or a name that can't be used. */
CK_RV store_new(const struct conf_section *conf, struct store **ret) MUST_CHECK;
void store_free(struct store *s); /* NULL is fine */
/* In a forked child: gives the inherited lock's descriptor up without unlocking it for the parent. */
void store_forked(struct store *s);
const char *store_path(const struct store *s);

/* Could a change be written, as far as permissions tell?  CKR_TOKEN_WRITE_PROTECTED: no. */
CK_RV store_writable(const struct store *s) MUST_CHECK;

/* *changed is false when nothing can have changed since the listing before: one fstatat (R13).  *ret is owned by the
 * store and valid until the next call.  A directory that doesn't exist is an empty listing.
 * A call that fails keeps the old listing and will look again. */
CK_RV store_list(struct store *s, const struct store_listing **ret, bool *changed) MUST_CHECK;
/* The next store_list() looks again. */
void store_forget(struct store *s);

/* Between these two store_read() opens the directory once, not for each record.  Nothing else changes. */
void store_begin_reading(struct store *s);
void store_end_reading(struct store *s);

/* Appends a file's content to *out; *stamp (may be NULL) is of the very file that was read.
 * CKR_OBJECT_HANDLE_INVALID: there is no such file. */
CK_RV store_read(struct store *s, const uint8_t id[16], struct buffer *out, struct store_stamp *stamp) MUST_CHECK;
CK_RV store_read_token(struct store *s, struct buffer *out, struct store_stamp *stamp) MUST_CHECK;
CK_RV store_read_intents(struct store *s, struct buffer *out) MUST_CHECK;

/* Takes the lock between processes; waits 10 s at most, then CKR_FUNCTION_FAILED.  With `create`, makes what is
 * missing of the directory.  CKR_TOKEN_NOT_INITIALIZED: there is no directory.  CKR_TOKEN_WRITE_PROTECTED. */
CK_RV store_lock(struct store *s, bool create) MUST_CHECK;
void store_unlock(struct store *s); /* also when it isn't held */
static inline void store_unlock_cleanup(struct store **s)
{
	if (*s)
		store_unlock(*s);
}
bool store_locked(const struct store *s);

/* Under the lock: one atomic change each (R7).  A call that fails changed nothing; a sync of the directory that fails
 * after the change is logged only (R7a). */
CK_RV store_write(struct store *s, const uint8_t id[16], struct bytes content, struct store_stamp *stamp) MUST_CHECK;
CK_RV store_write_token(struct store *s, struct bytes content, struct store_stamp *stamp) MUST_CHECK;
CK_RV store_write_intents(struct store *s, struct bytes content) MUST_CHECK;
/* A file that may be lost, beside the token's state.  Reading: CKR_OBJECT_HANDLE_INVALID where there is none.  Writing:
 * not under the lock, and only if that can be had at once; CKR_FUNCTION_FAILED if another process has it. */
CK_RV store_read_aside(struct store *s, const char *name, struct buffer *out) MUST_CHECK;
CK_RV store_write_aside(struct store *s, const char *name, struct bytes content) MUST_CHECK;
/* CKR_OBJECT_HANDLE_INVALID: there is no such file. */
CK_RV store_erase(struct store *s, const uint8_t id[16]) MUST_CHECK;
CK_RV store_remove_intents(struct store *s) MUST_CHECK; /* CKR_OK also when there are none */

#endif

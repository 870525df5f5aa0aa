/* Anchors: the keyring that a token's ring is linked into, and what makes that ring reachable.
 *
 *   session     the caller's session keyring, @s.  Where a process has none, @s reads as the user-session keyring, but
 *               adding to it by that name would make a private one for the thread; so rings are addressed by serial
 *               number, never by the special name.  Keys keep the kernel's permissions: possessors only.
 *   user        @u.  A session keyring need not have a link to it, and then nothing in @u is possessed.  So the token's
 *               keys grant their owner what they grant a possessor: every thread of the uid reaches them, older ones
 *               and other sessions too, and no possession link is needed.
 *   persistent  as user; but the persistent keyring itself is reached only through a possessed link, which exists in
 *               the thread's keyring for the moment of a call (keyctl_get_persistent(3), which restarts its timer). */
#ifndef KEYRING_ANCHOR_H
#define KEYRING_ANCHOR_H

#include "ring.h"

enum anchor_kind { ANCHOR_SESSION, ANCHOR_USER, ANCHOR_PERSISTENT };

struct anchor {
	enum anchor_kind kind;
	char name[KEY_NAME_MAX]; /* description of the token's ring: "signet:NAME" */
};

/* "session", "user" or "persistent", optionally ":NAME" (else dflt_name).  False if it is neither. */
bool anchor_parse(const char *text, const char *dflt_name, struct anchor *ret);
const char *anchor_word(enum anchor_kind kind);
/* Permissions of the token's keys; 0: the kernel's default. */
key_perm_t anchor_perm(const struct anchor *a);

/* The functions below return 0 or an errno. */

/* What an anchor looks like from this thread. */
struct anchor_view {
	key_serial_t anchor; /* 0: there is none, `err` says why */
	key_serial_t ring;   /* the token's; 0: none in this anchor (err ENOKEY), or not to be told (another err) */
	int err;
};
struct anchor_view anchor_look(const struct anchor *a);
/* Restarts the timer of a persistent keyring. */
void anchor_refresh(const struct anchor *a);
/* Puts a staged ring in place, if no ring of that name is there: EEXIST.  stage_done() isn't needed after success. */
int anchor_place(const struct anchor *a, struct stage *ring) MUST_CHECK;
/* Puts a staged ring in the place of the old one. */
int anchor_replace(const struct anchor *a, const struct stage *ring) MUST_CHECK;

#endif

/* The three anchors. */
#include "anchor.h"

#include <errno.h>
#include <stdio.h>

#include "err.h"

static const struct {
	const char *word;
	key_serial_t special; /* 0: through KEYCTL_GET_PERSISTENT */
	key_perm_t perm;
} kinds[] = {
	[ANCHOR_SESSION] = {"session", KEY_SPEC_SESSION_KEYRING, 0},
	[ANCHOR_USER] = {"user", KEY_SPEC_USER_KEYRING, KEY_POS_ALL | KEY_USR_ALL},
	[ANCHOR_PERSISTENT] = {"persistent", 0, KEY_POS_ALL | KEY_USR_ALL},
};

bool anchor_parse(const char *text, const char *dflt_name, struct anchor *ret)
{
	const char *colon = strchr(text, ':');
	const char *name = colon ? colon + 1 : dflt_name;
	size_t word = colon ? (size_t)(colon - text) : strlen(text);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strlen(kinds[i].word) != word || strncmp(kinds[i].word, text, word) != 0)
			continue;
		int n = snprintf(ret->name, sizeof ret->name, "signet:%s", name);

		ret->kind = (enum anchor_kind)i;
		return *name != '\0' && n > 0 && (size_t)n < sizeof ret->name;
	}
	return false;
}

const char *anchor_word(enum anchor_kind kind)
{
	return kinds[kind].word;
}

key_perm_t anchor_perm(const struct anchor *a)
{
	return kinds[a->kind].perm;
}

/* The anchor's keyring, for the length of one call. */
struct hold {
	key_serial_t ring;
	bool linked; /* into this thread's keyring, by us */
};

static int hold_persistent(struct hold *ret)
{
	struct serials before CLEANUP(serials_done) = {0};
	int err = ring_list(KEY_SPEC_THREAD_KEYRING, &before);
	long ring;

	if (err != 0 && err != ENOKEY)
		return err;
	ring = kr_sys->persistent((uid_t)-1, KEY_SPEC_THREAD_KEYRING);
	if (ring < 0)
		return errno;
	ret->ring = (key_serial_t)ring;
	ret->linked = !serials_have(&before, ret->ring); /* else the application's own link: it stays */
	return 0;
}

static int hold_anchor(const struct anchor *a, struct hold *ret)
{
	long ring;

	if (kinds[a->kind].special == 0)
		return hold_persistent(ret);
	ring = kr_sys->ring_id(kinds[a->kind].special, 0);
	if (ring < 0)
		return errno;
	*ret = (struct hold){.ring = (key_serial_t)ring};
	return 0;
}

static void hold_done(struct hold *h)
{
	if (h->linked)
		(void)kr_sys->unlink(h->ring, KEY_SPEC_THREAD_KEYRING);
}

struct anchor_view anchor_look(const struct anchor *a)
{
	struct hold h CLEANUP(hold_done) = {0};
	struct anchor_view v = {.err = hold_anchor(a, &h)};

	if (v.err != 0)
		return v;
	v.anchor = h.ring;
	v.err = ring_find(h.ring, "keyring", a->name, &v.ring);
	return v;
}

void anchor_refresh(const struct anchor *a)
{
	struct hold h CLEANUP(hold_done) = {0};

	if (a->kind == ANCHOR_PERSISTENT)
		(void)hold_anchor(a, &h);
}

int anchor_place(const struct anchor *a, struct stage *ring)
{
	struct hold h CLEANUP(hold_done) = {0};
	int err = hold_anchor(a, &h);

	if (err == 0)
		err = kr_errno(kr_sys->move(ring->key, ring->home, h.ring, KEYCTL_MOVE_EXCL));
	if (err == 0)
		ring->key = 0; /* it is in the anchor now */
	return err;
}

int anchor_replace(const struct anchor *a, const struct stage *ring)
{
	struct hold h CLEANUP(hold_done) = {0};
	int err = hold_anchor(a, &h);

	return err != 0 ? err : kr_errno(kr_sys->link(ring->key, h.ring));
}

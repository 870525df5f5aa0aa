/* The keys in a token's ring.
 *
 *	signet:token        user             the token record (trec.c)
 *	signet:tries        user             the PIN counter (tries.c), changed in place
 *	signet:reserve      user             zeros; at least as long as the longest `user` record, and some
 *	signet:stage        keyring          empty: where a key is built before it is linked into the ring
 *	signet:r:HEX        user or big_key  a record (module/base/record.c); HEX is its id, 32 lower-case digits
 *
 * Anything else in the ring is left alone.
 *
 * A record is a big_key if it is long and the kernel has that type (it counts 16 bytes of quota and may have a megabyte),
 * else a user key.  It keeps its type for life, since only a key of the same type and name displaces the old one.
 *
 * The reserve keeps a full ring changeable.  A change needs room for the new key beside the old one; when there is
 * none (EDQUOT), the reserve is first made small in place, which gives its bytes back at once, then unlinked, which
 * gives back one key of the count as soon as the kernel has collected it (some 20 ms).  After the change it grows back. */
#include "store.h"

#include <errno.h>
#include <stdio.h>

#include "err.h"
#include "log.h"

#define BIG_FROM 1024        /* bytes: a record that long would rather be a big_key */
#define USER_MAX 32767       /* payload of a user key */
#define UPDATE_MAX 4096      /* what KEYCTL_UPDATE takes; add_key(2) on an existing key takes more */
#define RESERVE_MIN 512
#define RESERVE_SLACK 256    /* a changed record may be longer than it was; name and link count too */

void store_record_name(const uint8_t id[16], char ret[STORE_RECORD_NAME])
{
	memcpy(ret, STORE_RECORD, sizeof STORE_RECORD);
	hex_encode(BYTES(id, 16), ret + sizeof STORE_RECORD - 1);
}

bool store_record_id(const char *name, uint8_t ret[16])
{
	size_t prefix = sizeof STORE_RECORD - 1;

	return strncmp(name, STORE_RECORD, prefix) == 0 && hex_decode(name + prefix, ret, 16);
}

int store_find_record(const struct store *st, const uint8_t id[16], key_serial_t *ret, const char **ret_type)
{
	static const char *const types[] = {"user", "big_key"};
	char name[STORE_RECORD_NAME];
	int err = ENOKEY;

	store_record_name(id, name);
	for (size_t i = 0; i < ARRAY_LEN(types) && err == ENOKEY; i++) {
		err = ring_find(st->ring, types[i], name, ret);
		if (err == 0)
			*ret_type = types[i];
		if (err == ENODEV) /* the kernel doesn't know the type */
			err = ENOKEY;
	}
	return err;
}

/* Whatever a process that died left in the stage is taken out first: a key of the same name would be changed in place,
 * and may be live.  The owner's permissions can only be set on a key that this thread possesses (anchor.h); if it
 * doesn't, the key is built in the thread's own keyring instead.  That one costs a key of the quota for as long as the
 * thread lives, so it comes second. */
int store_stage(const struct store *st, const char *type, const char *name, struct bytes payload, struct stage *ret)
{
	int err = st->stage == 0 ? ENOKEY : kr_errno(kr_sys->clear(st->stage));

	if (err == 0)
		err = stage_key(st->stage, type, name, payload, st->perm, ret);
	return kr_gone(err) ? stage_key(KEY_SPEC_THREAD_KEYRING, type, name, payload, st->perm, ret) : err;
}

/* Until the kernel has freed what was unlinked, mostly; then longer, for a busy machine. */
static const unsigned collect_ms[] = {25, 75, 225};
#define COLLECT_ROUNDS 2
#define KEEP_ROUNDS 3 /* what is there must stay changeable: that is worth another wait */

/* Whether to try once more after EDQUOT: freed keys come back late. */
static bool try_again(int err, unsigned round, unsigned rounds)
{
	if (err != EDQUOT || round >= rounds)
		return false;
	kr_sys->pause(collect_ms[round]);
	return true;
}

/* ---- the reserve ---- */

struct reserve {
	key_serial_t key; /* 0: there is none */
	size_t len;
};

/* One that can't be looked at is as good as none: what a change needs, the change itself will be told. */
static struct reserve reserve_look(const struct store *st)
{
	struct reserve r = {0};

	if (ring_find(st->ring, "user", STORE_RESERVE, &r.key) != 0 || key_length(r.key, &r.len) != 0)
		return (struct reserve){0};
	return r;
}

static int reserve_new(const struct store *st, const uint8_t *zeros, size_t len)
{
	struct stage s CLEANUP(stage_done) = {0};
	int err = store_stage(st, "user", STORE_RESERVE, BYTES(zeros, len), &s);

	return err != 0 ? err : kr_errno(kr_sys->link(s.key, st->ring));
}

/* Makes it `len` bytes long, in place if it is there. */
static int reserve_set(const struct store *st, key_serial_t key, size_t len)
{
	static const uint8_t zeros[USER_MAX];
	int err;

	len = MIN(len, sizeof zeros);
	if (key == 0)
		return reserve_new(st, zeros, len);
	if (len > UPDATE_MAX)
		return kr_errno(kr_sys->add_key("user", STORE_RESERVE, zeros, len, st->ring));
	err = kr_errno(kr_sys->update(key, zeros, len));
	return kr_gone(err) ? reserve_new(st, zeros, len) : err;
}

/* After a change that took it, or was going to: back to its old length, or to what the new record needs. */
static void reserve_restore(const struct store *st, size_t len)
{
	struct reserve now = reserve_look(st);
	unsigned round = 0;
	int err;

	if (now.len >= len)
		return;
	do
		err = reserve_set(st, now.key, len);
	while (try_again(err, round++, KEEP_ROUNDS)); /* the displaced key still counts */
	if (err != 0)
		log_info("the reserve key of ring %d couldn't be restored (%s): a full ring can't be changed until there "
			 "is room",
			 (int)st->ring, strerrorname_np(err) ? strerrorname_np(err) : "unknown");
}

/* What is tried in turn when a change meets EDQUOT; false: nothing is left to try. */
static bool reserve_give(const struct store *st, const struct reserve *r, unsigned round)
{
	static const uint8_t one[1];

	if (round == 0 && r->key != 0)
		(void)kr_sys->update(r->key, one, sizeof one);
	if (round == 1 && r->key != 0)
		(void)kr_sys->unlink(r->key, st->ring);
	return round == 0 || try_again(EDQUOT, round - 1, KEEP_ROUNDS);
}

/* ---- changes ---- */

/* The commit: build outside, link in; what was staged is taken out again either way. */
static int put(const struct store *st, const char *type, const char *name, struct bytes payload, key_serial_t *ret)
{
	struct stage s CLEANUP(stage_done) = {0};
	int err = store_stage(st, type, name, payload, &s);

	if (err == 0)
		err = kr_errno(kr_sys->link(s.key, st->ring));
	if (err == 0)
		*ret = s.key;
	return err;
}

static int put_patiently(const struct store *st, const char *type, const char *name, struct bytes payload,
			 key_serial_t *ret)
{
	unsigned round = 0;
	int err;

	do
		err = put(st, type, name, payload, ret);
	while (try_again(err, round++, COLLECT_ROUNDS));
	return err;
}

static int add_user(struct store *st, const char *name, struct bytes payload, key_serial_t *ret)
{
	size_t want = MIN(MAX(payload.len + RESERVE_SLACK, (size_t)RESERVE_MIN), (size_t)USER_MAX);
	struct reserve r = reserve_look(st);
	unsigned round = 0;
	int err = 0;

	if (payload.len > USER_MAX)
		return EMSGSIZE;
	if (r.len < want)
		do
			err = reserve_set(st, r.key, want);
		while (try_again(err, round++, COLLECT_ROUNDS));
	if (err != 0)
		return err;
	err = put_patiently(st, "user", name, payload, ret);
	if (err != 0 && r.len < want && r.key != 0)
		(void)reserve_set(st, r.key, r.len);
	return err;
}

/* Errors by which a kernel says that it has no big_key, or none for this payload. */
static bool no_such_type(int err)
{
	return err == ENODEV || err == EINVAL || err == EOPNOTSUPP || err == ENOPKG;
}

int store_add_record(struct store *st, const uint8_t id[16], struct bytes payload, key_serial_t *ret)
{
	char name[STORE_RECORD_NAME];
	int err;

	store_record_name(id, name);
	if (payload.len >= BIG_FROM && !st->no_big_key) {
		err = put_patiently(st, "big_key", name, payload, ret);
		if (!no_such_type(err))
			return err;
		st->no_big_key = true;
	}
	return add_user(st, name, payload, ret);
}

int store_replace(struct store *st, const char *type, const char *name, struct bytes payload, key_serial_t *ret)
{
	bool user = strcmp(type, "user") == 0;
	struct reserve r;
	int err;

	if (user && payload.len > USER_MAX)
		return EMSGSIZE;
	err = put(st, type, name, payload, ret);
	if (err == 0 && (!user || payload.len + RESERVE_SLACK <= RESERVE_MIN))
		return 0;
	if (err != 0 && err != EDQUOT)
		return err;
	r = reserve_look(st);
	for (unsigned round = 0; err == EDQUOT && reserve_give(st, &r, round); round++)
		err = put(st, type, name, payload, ret);
	reserve_restore(st, user && err == 0 ? MAX(r.len, payload.len + RESERVE_SLACK) : r.len);
	return err;
}

int store_remove(struct store *st, key_serial_t key)
{
	return kr_errno(kr_sys->unlink(key, st->ring));
}

static int fill(const struct store *st, const char *type, const char *name, struct bytes payload)
{
	key_serial_t key = kr_sys->add_key(type, name, payload.ptr, payload.len, st->ring);

	if (key < 0)
		return errno;
	return st->perm == 0 ? 0 : kr_errno(kr_sys->setperm(key, st->perm));
}

int store_fill(const struct store *st, const char *name, struct bytes payload)
{
	return fill(st, "user", name, payload);
}

int store_fill_stage(const struct store *st)
{
	return fill(st, "keyring", STORE_STAGE, NO_BYTES);
}

int store_fill_reserve(const struct store *st)
{
	static const uint8_t zeros[RESERVE_MIN];

	return fill(st, "user", STORE_RESERVE, BYTES_OF(zeros));
}

/* The PIN counter, version 1: a user key "signet:tries" of 8 bytes.
 *
 *	magic    4   53 47 54 01  ("SGT" and the version)
 *	user     1   wrong PINs since the last right one
 *	SO       1
 *	zero     2 */
#include "tries.h"

#include <errno.h>

#include "err.h"
#include "log.h"

#define TRIES_SIZE 8
static const uint8_t magic[4] = {'S', 'G', 'T', 1};

struct tries_payload {
	uint8_t b[TRIES_SIZE];
};

static struct tries_payload emit(const struct tries *t)
{
	struct tries_payload p = {{0}};

	memcpy(p.b, magic, sizeof magic);
	memcpy(p.b + sizeof magic, t->wrong, sizeof t->wrong);
	return p;
}

CK_RV tries_read(const struct store *st, struct tries *ret)
{
	struct tries_payload p;
	key_serial_t key;
	int err = ring_find(st->ring, "user", STORE_TRIES, &key);
	long n;

	*ret = (struct tries){{0}};
	if (err != 0 && !kr_gone(err))
		return kr_error(KR_RING, err, "finding the PIN counter");
	n = err == 0 ? kr_sys->read(key, (char *)p.b, sizeof p.b) : -1;
	if (n == TRIES_SIZE && memcmp(p.b, magic, sizeof magic) == 0)
		memcpy(ret->wrong, p.b + sizeof magic, sizeof ret->wrong);
	else
		log_error("the PIN counter of ring %d is missing or damaged; it counts from 0 again", (int)st->ring);
	return CKR_OK;
}

static int tries_new(const struct store *st, const struct tries_payload *p)
{
	struct stage s CLEANUP(stage_done) = {0};
	int err = store_stage(st, "user", STORE_TRIES, BYTES_OF(p->b), &s);

	return err != 0 ? err : kr_errno(kr_sys->link(s.key, st->ring));
}

CK_RV tries_write(const struct store *st, const struct tries *t)
{
	struct tries_payload p = emit(t);
	key_serial_t key;
	int err = ring_find(st->ring, "user", STORE_TRIES, &key);

	if (err == 0)
		err = kr_errno(kr_sys->update(key, p.b, sizeof p.b));
	if (err == ENOKEY || err == EKEYREVOKED || err == EKEYEXPIRED)
		err = tries_new(st, &p);
	return err == 0 ? CKR_OK : kr_error(KR_CHANGE, err, "writing the PIN counter");
}

int tries_fill(const struct store *st)
{
	struct tries_payload p = emit(&(struct tries){{0}});

	return store_fill(st, STORE_TRIES, BYTES_OF(p.b));
}

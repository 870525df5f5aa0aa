/* The PIN counter, version 1: a user key "signet:tries" of 16 bytes.
 *
 *	magic    4   53 47 54 01  ("SGT" and the version)
 *	user     5   for which PIN: the first 4 bytes of its salt; wrong ones since the last right one: 1
 *	SO       5   the same
 *	zero     2 */
#include "tries.h"

#include <errno.h>

#include "err.h"
#include "log.h"

#define TRIES_SIZE 16
#define SALT_PART 4
static const uint8_t magic[4] = {'S', 'G', 'T', 1};

struct tries_payload {
	uint8_t magic[sizeof magic];
	struct {
		uint8_t salt[SALT_PART];
		uint8_t wrong;
	} pin[2];
	uint8_t zero[2];
};
_Static_assert(sizeof(struct tries_payload) == TRIES_SIZE, "a format of bytes has no padding");

static struct tries_payload emit(const struct trec *trec, const struct tries *t)
{
	struct tries_payload p = {0};

	memcpy(p.magic, magic, sizeof magic);
	for (size_t who = 0; who < 2; who++) {
		memcpy(p.pin[who].salt, trec->pin[who].salt, SALT_PART);
		p.pin[who].wrong = t->wrong[who];
	}
	return p;
}

static void parse(struct bytes in, const struct trec *trec, struct tries *ret)
{
	struct tries_payload p;

	memcpy(&p, in.ptr, sizeof p);
	for (size_t who = 0; who < 2; who++)
		if (memcmp(p.pin[who].salt, trec->pin[who].salt, SALT_PART) == 0)
			ret->wrong[who] = p.pin[who].wrong;
}

CK_RV tries_read(const struct store *st, const struct trec *trec, struct tries *ret)
{
	struct buffer b CLEANUP(buffer_done) = {0};
	key_serial_t key;
	int err;

	buffer_init(&b, 2 * TRIES_SIZE);
	err = ring_read(st->ring, "user", STORE_TRIES, &key, &b);
	if (err != 0 && err != EMSGSIZE && !kr_gone(err))
		return kr_error(KR_RING, err, "reading the PIN counter");
	*ret = (struct tries){{0}};
	if (err == 0 && b.len == TRIES_SIZE && memcmp(b.ptr, magic, sizeof magic) == 0)
		parse(buffer_bytes(&b), trec, ret);
	else
		log_error("the PIN counter of ring %d is missing or damaged; it counts from 0 again", (int)st->ring);
	return CKR_OK;
}

static int tries_new(const struct store *st, const struct tries_payload *p)
{
	struct stage s CLEANUP(stage_done) = {0};
	int err = store_stage(st, "user", STORE_TRIES, BYTES((const uint8_t *)p, sizeof *p), &s);

	return err != 0 ? err : kr_errno(kr_sys->link(s.key, st->ring));
}

CK_RV tries_write(const struct store *st, const struct trec *trec, const struct tries *t)
{
	struct tries_payload p = emit(trec, t);
	key_serial_t key;
	int err = ring_find(st->ring, "user", STORE_TRIES, &key);

	if (err != 0 && !kr_gone(err))
		return kr_error(KR_RING, err, "finding the PIN counter");
	if (err == 0)
		err = kr_errno(kr_sys->update(key, &p, sizeof p));
	if (kr_gone(err)) /* somebody took it away, or its permissions */
		err = tries_new(st, &p);
	return err == 0 ? CKR_OK : kr_error(KR_CHANGE, err, "writing the PIN counter");
}

int tries_fill(const struct store *st)
{
	struct trec no_pins = {0};
	struct tries_payload p = emit(&no_pins, &(struct tries){{0}});

	return store_fill(st, STORE_TRIES, BYTES((const uint8_t *)&p, sizeof p));
}

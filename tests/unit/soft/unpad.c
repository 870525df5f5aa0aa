/* unpad - runs rsa_unpad_pkcs1() on blocks that are padded in every way that is wrong, and on good ones with messages
 * of several lengths.  It is made for valgrind (unpad.sh starts it):
 *   callgrind  counts the instructions of each call, and puts them into a dump of its own, named "BITS bits, case";
 *   memcheck   takes the block for undefined memory, and complains of every branch and address that depends on it.
 * Without valgrind only the results are checked.  Exit status 1: a wrong result. */
#include <stdio.h>

#include <valgrind/callgrind.h>
#include <valgrind/memcheck.h>

#include "soft.h"

#define BLOCK_MAX 512u
/* Where in a block: at a place counted from its start, or from its end. */
#define AT(n) (n)
#define FROM_END(n) (-(n))

/* 00 02 ff … ff, but for the bytes that are put over it. */
struct row {
	const char *name;
	int message; /* bytes; -1: the padding is bad */
	size_t n;
	struct {
		int where;
		uint8_t value;
	} put[3];
};
#define BAD (-1)

static const struct row rows[] = {
	{"good, empty", 0, 1, {{FROM_END(1), 0}}},
	{"good, 1 byte", 1, 1, {{FROM_END(2), 0}}},
	{"good, 48 bytes", 48, 1, {{FROM_END(49), 0}}},
	{"good, 48 bytes, some of them zero", 48, 3, {{FROM_END(49), 0}, {FROM_END(48), 0}, {FROM_END(1), 0}}},
	{"good, 100 bytes", 100, 1, {{FROM_END(101), 0}}},
	{"first byte 1", BAD, 2, {{AT(0), 1}, {FROM_END(49), 0}}},
	{"first byte 255", BAD, 2, {{AT(0), 255}, {FROM_END(49), 0}}},
	{"second byte 0", BAD, 2, {{AT(1), 0}, {FROM_END(49), 0}}},
	{"second byte 1", BAD, 2, {{AT(1), 1}, {FROM_END(49), 0}}},
	{"second byte 3", BAD, 2, {{AT(1), 3}, {FROM_END(49), 0}}},
	{"two first bytes wrong", BAD, 3, {{AT(0), 1}, {AT(1), 1}, {FROM_END(49), 0}}},
	{"no separator", BAD, 0, {{0, 0}}},
	{"no separator, first byte 1", BAD, 1, {{AT(0), 1}}},
	{"no separator, second byte 1", BAD, 1, {{AT(1), 1}}},
	{"padding of 0 bytes", BAD, 1, {{AT(2), 0}}},
	{"padding of 1 byte", BAD, 2, {{AT(3), 0}, {FROM_END(49), 0}}},
	{"padding of 7 bytes", BAD, 2, {{AT(9), 0}, {FROM_END(49), 0}}},
	{"padding of 7 bytes and no other zero", BAD, 1, {{AT(9), 0}}},
};

static void fill(const struct row *row, uint8_t *block, size_t len)
{
	memset(block, 0xff, len);
	block[0] = 0;
	block[1] = 2;
	for (size_t i = 0; i < row->n; i++) {
		int where = row->put[i].where;

		block[where < 0 ? len - (size_t)-where : (size_t)where] = row->put[i].value;
	}
}

/* One call with everything in the same place each time. */
static CK_RV count(const char *name, size_t len, const uint8_t *block, struct outbuf *out)
{
	static const struct key256 kdk = {{1, 2, 3}};
	static uint8_t em[BLOCK_MAX], ciphertext[BLOCK_MAX], plain[BLOCK_MAX];
	char label[128];
	CK_RV rv;

	memcpy(em, block, len);
	memset(plain, 0, sizeof plain);
	*out = (struct outbuf){.ptr = plain, .cap = len};
	(void)VALGRIND_MAKE_MEM_UNDEFINED(em, len);
	CALLGRIND_TOGGLE_COLLECT;
	rv = rsa_unpad_pkcs1(&kdk, BYTES(ciphertext, len), BYTES(em, len), out);
	CALLGRIND_TOGGLE_COLLECT;
	(void)VALGRIND_MAKE_MEM_DEFINED(plain, sizeof plain);
	(void)VALGRIND_MAKE_MEM_DEFINED(out, sizeof *out);
	(void)snprintf(label, sizeof label, "%zu bits, %s", 8 * len, name);
	CALLGRIND_DUMP_STATS_AT(label);
	return rv;
}

/* A good block gives its message, a bad one what all bad ones give. */
static bool right(const struct row *row, const uint8_t *block, size_t len, const struct outbuf *made_up)
{
	struct outbuf out;

	if (count(row->name, len, block, &out) != CKR_OK)
		return false;
	if (row->message >= 0)
		return bytes_equal(BYTES(out.ptr, out.len),
				   BYTES(block + len - (size_t)row->message, (size_t)row->message));
	return bytes_equal(BYTES(out.ptr, out.len), BYTES(made_up->ptr, made_up->len));
}

static int run_all(size_t len)
{
	static const uint8_t zeros[BLOCK_MAX];
	uint8_t block[BLOCK_MAX], first[BLOCK_MAX];
	struct outbuf made_up;
	int wrong = 0;

	/* The very first call also fetches and allocates what stays: it isn't among the counted ones. */
	if (count("warm-up", len, zeros, &made_up) != CKR_OK || count("all zeros", len, zeros, &made_up) != CKR_OK)
		return 1;
	memcpy(first, made_up.ptr, made_up.len);
	made_up.ptr = first;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fill(&rows[i], block, len);
		if (!right(&rows[i], block, len, &made_up)) {
			fprintf(stderr, "%zu bits, %s: wrong result\n", 8 * len, rows[i].name);
			wrong = 1;
		}
	}
	return wrong;
}

int main(void)
{
	static const size_t lengths[] = {128, 256, 384, 512};
	int wrong = 0;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		wrong |= run_all(lengths[i]);
	crypto_shutdown();
	return wrong;
}

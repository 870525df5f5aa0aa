/* Keys and rings. */
#include "ring.h"

#include <errno.h>
#include <stdio.h>

#include "err.h"
#include "secret.h"

void serials_done(struct serials *s)
{
	free(s->at);
	*s = (struct serials){0};
}

bool serials_equal(const struct serials *a, const struct serials *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n * sizeof *a->at) == 0);
}

bool serials_have(const struct serials *s, key_serial_t key)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i] == key)
			return true;
	return false;
}

/* Reads with a buffer that a first guess gave; the kernel says how much there really is, and that may have grown by
 * the time of the second look. */
static int list_once(key_serial_t ring, struct serials *ret)
{
	size_t cap = 256; /* more than an ordinary user's quota allows: one call lists any ring of theirs */

	for (;;) {
		key_serial_t *at = malloc(cap * sizeof *at);
		long n;

		if (!at)
			return KR_HOST_MEMORY;
		n = kr_sys->read(ring, (char *)at, cap * sizeof *at);
		if (n >= 0 && (size_t)n <= cap * sizeof *at) {
			*ret = (struct serials){.at = at, .n = (size_t)n / sizeof *at};
			return 0;
		}
		free(at);
		if (n < 0)
			return errno;
		cap = (size_t)n / sizeof *at + 16;
	}
}

/* That a ring is gone ends sessions: it is asked again before it is believed (R13).  EACCES is what every call of a
 * thread that doesn't possess the ring gets. */
static bool asks_again(int err)
{
	return kr_gone(err) && err != EACCES;
}

int ring_list(key_serial_t ring, struct serials *ret)
{
	int err = list_once(ring, ret);

	return asks_again(err) ? list_once(ring, ret) : err;
}

/* The kernel's search goes down into nested rings, so what it finds has to be among the ring's own links.  A key that
 * was displaced between search and listing isn't there either: then the next search finds another one. */
int ring_find(key_serial_t ring, const char *type, const char *description, key_serial_t *ret)
{
	key_serial_t last = 0;

	for (;;) {
		struct serials s CLEANUP(serials_done) = {0};
		long key = kr_sys->search(ring, type, description, 0);
		int err = kr_errno(key);

		if (err == 0)
			err = ring_list(ring, &s);
		if (err == 0 && !serials_have(&s, (key_serial_t)key) && key == last)
			err = ENOKEY;
		if (err != 0)
			return err;
		last = (key_serial_t)key;
		if (!serials_have(&s, last))
			continue;
		*ret = last;
		return 0;
	}
}

int ring_read(key_serial_t ring, const char *type, const char *description, key_serial_t *ret_key, struct buffer *out)
{
	key_serial_t key = 0, last;
	int err;

	do {
		last = key;
		err = ring_find(ring, type, description, &key);
		if (err != 0)
			return err;
		err = key_read(key, out);
	} while (kr_gone(err) && key != last);
	if (err == 0)
		*ret_key = key;
	return err;
}

/* "type;uid;gid;perm;description", the permissions in hex; the description may have semicolons of its own. */
static bool parse_description(char *text, struct key_info *ret)
{
	char *field[5] = {text};

	for (size_t i = 1; i < ARRAY_LEN(field); i++) {
		field[i] = strchr(field[i - 1], ';');
		if (!field[i])
			return false;
		*field[i]++ = '\0';
	}
	ret->perm = (key_perm_t)strtoul(field[3], NULL, 16);
	snprintf(ret->type, sizeof ret->type, "%.*s", (int)sizeof ret->type - 1, field[0]);
	snprintf(ret->name, sizeof ret->name, "%.*s", (int)sizeof ret->name - 1, field[4]);
	return true;
}

int key_describe(key_serial_t key, struct key_info *ret)
{
	char text[4200]; /* a description has 4095 bytes at most */
	long n = kr_sys->describe(key, text, sizeof text - 1);

	if (n < 0)
		return errno;
	text[MIN((size_t)n, sizeof text - 1)] = '\0';
	return parse_description(text, ret) ? 0 : EINVAL;
}

int key_length(key_serial_t key, size_t *ret)
{
	long n = kr_sys->read(key, NULL, 0);

	if (n < 0 && asks_again(errno))
		n = kr_sys->read(key, NULL, 0);
	if (n < 0)
		return errno;
	*ret = (size_t)n;
	return 0;
}

/* One read into `cap` bytes.  EOVERFLOW when the payload is longer; *need then says how long. */
static int read_into(key_serial_t key, size_t cap, size_t *need, struct buffer *out)
{
	uint8_t *payload = malloc(cap);
	long n;
	int err;

	if (!payload)
		return KR_HOST_MEMORY;
	n = kr_sys->read(key, (char *)payload, cap);
	err = kr_errno(n);
	if (err == 0 && (size_t)n > cap) {
		*need = (size_t)n;
		err = EOVERFLOW;
	} else if (err == 0) {
		buffer_put(out, BYTES(payload, (size_t)n));
		err = buffer_status(out) == CKR_OK ? 0 : buffer_status(out) == CKR_HOST_MEMORY ? KR_HOST_MEMORY : EMSGSIZE;
	}
	wipe(payload, cap);
	free(payload);
	return err;
}

int key_read(key_serial_t key, struct buffer *out)
{
	size_t cap = 4096;
	int err;

	do
		err = read_into(key, cap, &cap, out);
	while (err == EOVERFLOW);
	return err;
}

/* Set when a key couldn't be taken out of this thread's keyring: adding one of the same name would change that one in
 * place, which may be live elsewhere by now. */
static _Thread_local bool littered;

static void sweep_stage(void)
{
	struct serials s CLEANUP(serials_done) = {0};
	struct key_info info;

	if (ring_list(KEY_SPEC_THREAD_KEYRING, &s) != 0)
		return;
	for (size_t i = 0; i < s.n; i++)
		if (key_describe(s.at[i], &info) == 0 && strncmp(info.name, "signet:", 7) == 0)
			(void)kr_sys->unlink(s.at[i], KEY_SPEC_THREAD_KEYRING);
	littered = false;
}

int stage_key(key_serial_t home, const char *type, const char *description, struct bytes payload, key_perm_t perm,
	      struct stage *ret)
{
	struct stage s = {.home = home};
	int err;

	if (home == KEY_SPEC_THREAD_KEYRING && littered)
		sweep_stage();
	s.key = kr_sys->add_key(type, description, payload.ptr, payload.len, home);
	if (s.key < 0)
		return errno;
	err = perm == 0 ? 0 : kr_errno(kr_sys->setperm(s.key, perm));
	if (err != 0) {
		stage_done(&s);
		return err;
	}
	*ret = s;
	return 0;
}

void stage_done(struct stage *s)
{
	bool left = s->key > 0 && kr_sys->unlink(s->key, s->home) < 0 && kr_sys->unlink(s->key, s->home) < 0;

	if (left && s->home == KEY_SPEC_THREAD_KEYRING)
		littered = true;
	s->key = 0;
}

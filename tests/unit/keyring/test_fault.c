/* Each keyring call of each change fails in turn, with each kind of errno: the ring is as it was, nothing of ours is
 * left beside it, and the same call then succeeds. */
#include "fixture.h"

#include <errno.h>

#include "sys.h"
#include "tries.h"

TestSuite(fault, .init = fresh_session, .timeout = 300);

static struct {
	unsigned countdown; /* the call that fails; 0: none */
	bool for_good;
	int err;
	bool hit;
	bool undo; /* it was an unlink() that failed, which is how steps are taken back */
} fault;

/* Whether this call fails: then errno is set. */
static bool fails(void)
{
	if (fault.countdown == 0 || (--fault.countdown > 0 && !fault.hit))
		return false;
	fault.hit = true;
	fault.countdown = fault.for_good ? 1 : 0;
	errno = fault.err;
	return true;
}

static key_serial_t f_add_key(const char *type, const char *name, const void *payload, size_t len, key_serial_t ring)
{
	return fails() ? -1 : add_key(type, name, payload, len, ring);
}

static long f_ring_id(key_serial_t id, int create)
{
	return fails() ? -1 : keyctl_get_keyring_ID(id, create);
}

static long f_update(key_serial_t key, const void *payload, size_t len)
{
	return fails() ? -1 : keyctl_update(key, payload, len);
}

static long f_setperm(key_serial_t key, key_perm_t perm)
{
	return fails() ? -1 : keyctl_setperm(key, perm);
}

static long f_read(key_serial_t key, char *out, size_t cap)
{
	return fails() ? -1 : keyctl_read(key, out, cap);
}

static long f_link(key_serial_t key, key_serial_t ring)
{
	return fails() ? -1 : keyctl_link(key, ring);
}

static long f_search(key_serial_t ring, const char *type, const char *name, key_serial_t to)
{
	return fails() ? -1 : keyctl_search(ring, type, name, to);
}

static long f_unlink(key_serial_t key, key_serial_t ring)
{
	if (!fails())
		return keyctl_unlink(key, ring);
	fault.undo = true;
	return -1;
}

static long f_invalidate(key_serial_t key)
{
	return fails() ? -1 : keyctl_invalidate(key);
}

static long f_move(key_serial_t key, key_serial_t from, key_serial_t to, unsigned flags)
{
	return fails() ? -1 : keyctl_move(key, from, to, flags);
}

static long f_clear(key_serial_t ring)
{
	return fails() ? -1 : keyctl_clear(ring);
}

static int f_socket(int domain, int type, int protocol)
{
	return fails() ? -1 : kr_sys_kernel.socket(domain, type, protocol);
}

static int f_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	return fails() ? -1 : kr_sys_kernel.bind(fd, addr, len);
}

static int f_listen(int fd, int backlog)
{
	return fails() ? -1 : kr_sys_kernel.listen(fd, backlog);
}

static struct kr_sys failing;

static void install(void)
{
	failing = kr_sys_kernel;
	failing.add_key = f_add_key;
	failing.ring_id = f_ring_id;
	failing.update = f_update;
	failing.setperm = f_setperm;
	failing.read = f_read;
	failing.link = f_link;
	failing.search = f_search;
	failing.unlink = f_unlink;
	failing.invalidate = f_invalidate;
	failing.move = f_move;
	failing.clear = f_clear;
	failing.socket = f_socket;
	failing.bind = f_bind;
	failing.listen = f_listen;
	kr_sys = &failing;
}

/* `fleeting`: once only, since a ring about which the kernel says that for good is gone. */
static const struct {
	int err;
	bool fleeting;
} errnos[] = {
	{ENOMEM, false}, {EDQUOT, false}, {EINVAL, false},     {EPERM, false},       {EACCES, false}, {EMFILE, false},
	{EINTR, false},  {ENOKEY, true},  {EKEYREVOKED, true}, {EKEYEXPIRED, true},
};

/* What is tried, on a token with the objects "kept" (found as `o`). */
static CK_RV do_create(struct front *f, struct token_obj *o)
{
	(void)o;
	return make_data(f, "new", 600, true, NULL);
}

static CK_RV do_update(struct front *f, struct token_obj *o)
{
	return set_label(f, o, "changed, and much longer than it was before", NULL);
}

static CK_RV do_destroy(struct front *f, struct token_obj *o)
{
	return keyring_token_ops.destroy(f->tok, o);
}

static CK_RV do_set_pin(struct front *f, struct token_obj *o)
{
	(void)o;
	return keyring_token_ops.set_pin(f->tok, TOKEN_USER, STR("1234"), STR("1234"));
}

static CK_RV do_init(struct front *f, struct token_obj *o)
{
	(void)o;
	return keyring_token_ops.init_token(f->tok, STR("so-pin"), (const uint8_t *)"again                           ");
}

/* Every serial and payload of the token but the reserve's and the counter's; and what hangs beside it. */
struct all {
	struct digest ring;
	size_t session, thread, stage;
	uint8_t wrong[2];
};

static size_t links_of(key_serial_t ring)
{
	struct serials s CLEANUP(serials_done) = {0};

	return ring_list(ring, &s) == 0 ? s.n : 0;
}

static struct all state_of(struct front *f, key_serial_t ring)
{
	struct all a = {.ring = ring_digest(ring), .session = links_of(KEY_SPEC_SESSION_KEYRING),
			.thread = links_of(KEY_SPEC_THREAD_KEYRING), .stage = links_of(kr(f)->store.stage)};
	struct tries tries;

	cr_assert(tries_read(&kr(f)->store, &kr(f)->secrets->trec, &tries) == CKR_OK);
	memcpy(a.wrong, tries.wrong, sizeof a.wrong);
	return a;
}

static void check_unchanged(const struct all *before, const struct all *after, unsigned n)
{
	cr_assert(digest_equal(before->ring, after->ring), "call %u, errno %d: the ring changed", n, fault.err);
	if (!fault.undo)
		cr_assert(before->session == after->session && before->thread == after->thread && after->stage == 0,
			  "call %u, errno %d: something is left", n, fault.err);
	if (!fault.for_good)
		cr_assert(memcmp(before->wrong, after->wrong, sizeof before->wrong) == 0,
			  "call %u, errno %d: a PIN was counted", n, fault.err);
}

/* One run with the n-th call failing.  False when no call was left to fail. */
static bool run(struct front *f, CK_RV (*what)(struct front *, struct token_obj *), unsigned n, bool private)
{
	struct token_obj *o;
	key_serial_t ring = kr(f)->store.ring;

	cr_assert(make_data(f, "kept", 10, private, &o) == CKR_OK);
	struct all before = state_of(f, ring);

	fault.hit = fault.undo = false;
	fault.countdown = n;
	CK_RV rv = what(f, o);
	bool hit = fault.hit;

	fault.countdown = 0;
	if (rv != CKR_OK) {
		cr_assert(rv != CKR_PIN_INCORRECT && rv != CKR_GENERAL_ERROR && rv != CKR_DEVICE_REMOVED,
			  "call %u, errno %d: 0x%lx", n, fault.err, rv);
		struct all after = state_of(f, ring);

		check_unchanged(&before, &after, n);
		rv = what(f, o);
		cr_assert(rv == CKR_OK, "call %u, errno %d: then 0x%lx", n, fault.err, rv);
	}
	rv = keyring_token_ops.destroy(f->tok, o);
	cr_assert(rv == CKR_OK || rv == CKR_OBJECT_HANDLE_INVALID);
	keyring_token_ops.obj_free(f->tok, o);
	return hit;
}

static void sweep(CK_RV (*what)(struct front *, struct token_obj *), bool pin)
{
	struct front f;

	front_open(&f, "session", "pin", pin ? "required" : "none", NULL);
	init_token(&f, pin);
	install();
	for (size_t e = 0; e < 2 * ARRAY_LEN(errnos); e++) {
		fault.err = errnos[e / 2].err;
		fault.for_good = e % 2 == 1;
		if (fault.for_good && errnos[e / 2].fleeting)
			continue;
		for (unsigned n = 1; run(&f, what, n, !pin); n++)
			cr_assert(n < 200);
	}
	front_close(&f);
}

Test(fault, create)
{
	sweep(do_create, false);
}

Test(fault, update)
{
	sweep(do_update, false);
}

Test(fault, destroy)
{
	sweep(do_destroy, false);
}

Test(fault, set_pin)
{
	sweep(do_set_pin, true);
}

Test(fault, init_token)
{
	sweep(do_init, false);
}

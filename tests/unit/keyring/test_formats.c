/* The token record, the error table, the lock. */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "kr_lock.h"
#include "known.h"
#include "trec.h"

static struct trec sample(void)
{
	struct trec t = {.label = "label", .id = {1, 2, 3}};

	t.pin[TOKEN_SO] = (struct trec_pin){.kind = TREC_SCRYPT, .limit = 10, .log_n = 4, .r = 8, .p = 1};
	return t;
}

Test(trec, each_bit_and_length_counts)
{
	struct trec t = sample(), back;
	struct buffer b CLEANUP(buffer_done) = {0};

	buffer_init(&b, 1024);
	cr_assert(trec_emit(&t, &b) == CKR_OK);
	cr_assert(b.len == TREC_SIZE);
	cr_assert(trec_parse(buffer_bytes(&b), &back) == CKR_OK);
	cr_assert(memcmp(&t, &back, sizeof t) == 0);
	for (size_t i = 0; i < b.len; i++) {
		cr_assert(trec_parse(BYTES(b.ptr, i), &back) == CKR_TOKEN_NOT_RECOGNIZED);
		b.ptr[i] ^= 0x10;
		cr_assert(trec_parse(buffer_bytes(&b), &back) == CKR_TOKEN_NOT_RECOGNIZED);
		b.ptr[i] ^= 0x10;
	}
}

Test(trec, wrap_and_unwrap)
{
	struct trec t = sample();
	struct key256 secret = {{7}}, kek, back;

	cr_assert(trec_wrap(t.id, TOKEN_USER, 3, BYTES("1234", 4), &secret, &t.pin[TOKEN_USER]) == CKR_OK);
	cr_assert(trec_kek(&t.pin[TOKEN_USER], BYTES("1234", 4), &kek) == CKR_OK);
	cr_assert(trec_unwrap(&t, TOKEN_USER, &kek, &back) == CKR_OK);
	cr_assert(memcmp(&secret, &back, sizeof back) == 0);
	/* a NUL more makes another PIN */
	cr_assert(trec_kek(&t.pin[TOKEN_USER], BYTES("1234", 5), &kek) == CKR_OK);
	cr_assert(trec_unwrap(&t, TOKEN_USER, &kek, &back) == CKR_PIN_INCORRECT);
}

/* Another user's part, or another token's, doesn't open. */
Test(trec, the_seal_knows_its_place)
{
	struct trec t = sample();
	struct key256 secret = {{7}}, kek, back;

	cr_assert(trec_wrap(t.id, TOKEN_USER, 3, BYTES("1234", 4), &secret, &t.pin[TOKEN_USER]) == CKR_OK);
	cr_assert(trec_kek(&t.pin[TOKEN_USER], BYTES("1234", 4), &kek) == CKR_OK);
	t.pin[TOKEN_SO] = t.pin[TOKEN_USER];
	cr_assert(trec_unwrap(&t, TOKEN_SO, &kek, &back) == CKR_PIN_INCORRECT);
	t.id[0] ^= 1;
	cr_assert(trec_unwrap(&t, TOKEN_USER, &kek, &back) == CKR_PIN_INCORRECT);
}

Test(err, table)
{
	static const struct {
		enum kr_context context;
		int err;
		CK_RV rv;
	} rows[] = {
		{KR_PROBE, ENOKEY, CKR_TOKEN_NOT_PRESENT},     {KR_PROBE, EACCES, CKR_TOKEN_NOT_PRESENT},
		{KR_PROBE, EPERM, CKR_TOKEN_NOT_PRESENT},      {KR_PROBE, ENOSYS, CKR_TOKEN_NOT_PRESENT},
		{KR_PROBE, EOPNOTSUPP, CKR_TOKEN_NOT_PRESENT}, {KR_PROBE, EDQUOT, CKR_DEVICE_MEMORY},
		{KR_RING, ENOKEY, CKR_DEVICE_REMOVED},         {KR_RING, EKEYREVOKED, CKR_DEVICE_REMOVED},
		{KR_RING, EKEYEXPIRED, CKR_DEVICE_REMOVED},    {KR_RING, EACCES, CKR_FUNCTION_FAILED},
		{KR_RECORD, ENOKEY, CKR_OBJECT_HANDLE_INVALID}, {KR_RECORD, EACCES, CKR_OBJECT_HANDLE_INVALID},
		{KR_RECORD, EKEYREVOKED, CKR_OBJECT_HANDLE_INVALID},
		{KR_CHANGE, EACCES, CKR_TOKEN_WRITE_PROTECTED}, {KR_CHANGE, EPERM, CKR_TOKEN_WRITE_PROTECTED},
		{KR_CHANGE, EDQUOT, CKR_DEVICE_MEMORY},        {KR_CHANGE, ENOMEM, CKR_DEVICE_MEMORY},
		{KR_CHANGE, ENFILE, CKR_DEVICE_MEMORY},        {KR_CHANGE, EINVAL, CKR_DEVICE_MEMORY},
		{KR_CHANGE, ENOKEY, CKR_DEVICE_REMOVED},       {KR_CHANGE, EFAULT, CKR_FUNCTION_FAILED},
		{KR_KEY, ENOKEY, CKR_FUNCTION_FAILED},         {KR_KEY, EKEYEXPIRED, CKR_FUNCTION_FAILED},
		{KR_KEY, EKEYREVOKED, CKR_FUNCTION_FAILED},    {KR_LOCK, EPERM, CKR_FUNCTION_FAILED},
		{KR_LOCK, EMFILE, CKR_HOST_MEMORY},            {KR_LOCK, ENOMEM, CKR_HOST_MEMORY},
		{KR_LOCK, ETIMEDOUT, CKR_FUNCTION_FAILED},     {KR_LOCK, EAFNOSUPPORT, CKR_FUNCTION_FAILED},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_assert(kr_code(rows[i].context, rows[i].err) == rows[i].rv, "row %zu", i);
}

Test(known, stays_in_order)
{
	struct known_set set = {0};

	for (int i = 0; i < 100; i++)
		cr_assert(known_put(&set, &(struct known){.key = (i * 37) % 101}) == CKR_OK);
	cr_assert(set.n == 100);
	for (size_t i = 1; i < set.n; i++)
		cr_assert(set.at[i - 1].key < set.at[i].key);
	known_remove(&set, known_by_key(&set, 37));
	cr_assert(!known_by_key(&set, 37) && known_by_key(&set, 36) && known_by_key(&set, 38));
	known_done(&set);
}

#define A_RING ((key_serial_t)(0x10000000 + getpid()))

static void *take_and_drop(void *arg)
{
	struct kr_lock l = KR_LOCK_NONE;
	CK_RV rv = kr_lock_take(*(key_serial_t *)arg, &l);

	kr_lock_drop(&l);
	return rv == CKR_OK ? NULL : arg;
}

Test(lock, waits_for_the_holder)
{
	key_serial_t ring = A_RING;
	struct kr_lock l = KR_LOCK_NONE;
	pthread_t thread;
	void *failed;

	cr_assert(kr_lock_take(ring, &l) == CKR_OK);
	cr_assert(pthread_create(&thread, NULL, take_and_drop, &ring) == 0);
	kr_sys_kernel.pause(50);
	kr_lock_drop(&l);
	cr_assert(pthread_join(thread, &failed) == 0);
	cr_assert(!failed);
}

Test(lock, death_frees_it)
{
	key_serial_t ring = A_RING;
	struct kr_lock l = KR_LOCK_NONE;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		cr_assert(kr_lock_take(ring, &l) == CKR_OK);
		_exit(0);
	}
	cr_assert(waitpid(pid, &status, 0) == pid);
	cr_assert(kr_lock_take(ring, &l) == CKR_OK);
	kr_lock_drop(&l);
}

static struct kr_sys short_of;

static int no_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	errno = EMFILE;
	return -1;
}

Test(lock, no_descriptors)
{
	struct kr_lock l = KR_LOCK_NONE;

	short_of = kr_sys_kernel;
	short_of.socket = no_socket;
	kr_sys = &short_of;
	cr_assert(kr_lock_take(A_RING, &l) == CKR_HOST_MEMORY);
	kr_sys = &kr_sys_kernel;
}

/* A child that lives on, and never calls us, doesn't keep what its parent held at the fork. */
Test(lock, a_fork_keeps_nothing)
{
	key_serial_t ring = A_RING;
	struct kr_lock l = KR_LOCK_NONE;
	int ends[2], spare;
	char c;
	pid_t pid;

	cr_assert(pipe(ends) == 0);
	cr_assert(kr_lock_take(ring, &l) == CKR_OK);
	pid = fork();
	if (pid == 0) {
		spare = dup(0); /* may get the number that the lock had */
		kr_lock_drop(&l); /* what forked() does: not to close somebody else's */
		close(ends[1]);
		_exit(read(ends[0], &c, 1) == 0 && spare >= 0 && close(spare) == 0 ? 0 : 1);
	}
	close(ends[0]);
	kr_lock_drop(&l);
	cr_assert(kr_lock_take(ring, &l) == CKR_OK);
	kr_lock_drop(&l);
	close(ends[1]);
	cr_assert(waitpid(pid, &spare, 0) == pid && spare == 0);
}

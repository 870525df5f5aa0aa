/* What is remembered of a TPM: asked once, believed, and disbelieved. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conn_private.h"
#include "frame.h"
#include "rig.h"
#include "state.h"

static struct rig rig;
static char path[128];

static void start(void)
{
	rig_start(&rig, NULL, NULL);
	snprintf(path, sizeof path, "%s/caps", rig.store);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(memory, .init = start, .fini = stop, .timeout = 60);

/* Commands that the list of mechanisms takes in a process that starts now; how many there are. */
static unsigned asked(size_t *ret_n)
{
	const struct token_mech *rows;
	uint64_t before;

	rig_reopen(&rig);
	before = rig_commands(rig.tok);
	cr_assert_eq(tpm_token_ops.mechs(rig.tok, &rows, ret_n), CKR_OK);
	return (unsigned)(rig_commands(rig.tok) - before);
}

static bool there(void)
{
	return access(path, F_OK) == 0;
}

Test(memory, nothing_is_made_without_a_token)
{
	size_t n;

	cr_expect_gt(asked(&n), 0u);
	cr_expect_leq(asked(&n), 9u);
	cr_expect_not(there());
}

Test(memory, an_initialized_token_remembers)
{
	struct stat st;
	size_t first, n;

	(void)asked(&first);
	rig_init(&rig);
	cr_expect(there());
	cr_expect_eq(asked(&n), 0u);
	cr_expect_eq(n, first);
	cr_expect_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600u);
}

/* As a token that an older version made, or one that lost the file. */
Test(memory, a_lost_file_is_made_again)
{
	size_t n;

	rig_init(&rig);
	cr_assert_eq(unlink(path), 0);
	rig_reopen(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_expect_leq(asked(&n), 9u);
	cr_expect_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(tpm_token_ops.mechs(rig.tok, &(const struct token_mech *){0}, &n), CKR_OK);
	cr_expect(there());
	cr_expect_eq(asked(&n), 0u);
}

static size_t read_file(uint8_t *out, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, cap);

	cr_assert_gt(n, 0);
	close(fd);
	return (size_t)n;
}

static void write_file(const uint8_t *in, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	cr_assert_eq(write(fd, in, n), (ssize_t)n);
	close(fd);
}

/* Each byte changed, and each length cut off: as good as no file, and no call fails. */
Test(memory, a_damaged_file_is_none)
{
	uint8_t good[512], bad[512];
	size_t len, n, want;

	rig_init(&rig);
	len = read_file(good, sizeof good);
	cr_assert_eq(asked(&want), 0u);
	for (size_t i = 0; i < len; i += 7) {
		memcpy(bad, good, len);
		bad[i] ^= 1;
		write_file(bad, len);
		cr_expect_gt(asked(&n), 0u, "byte %zu", i);
		cr_expect_eq(n, want);
		write_file(good, i);
		cr_expect_gt(asked(&n), 0u, "%zu bytes", i);
	}
}

/* The file as this process would have written it on another TPM: a whole envelope, the first number of its identity
 * changed, and no curves, so that ECDSA is missing from what is believed. */
static void write_strangers(void)
{
	static const struct frame frame = {.magic = "SIGNETCP", .version = 1};
	struct buffer b CLEANUP(buffer_done);
	uint8_t old[512];

	(void)read_file(old, sizeof old);
	buffer_init(&b, FRAME_MAX);
	frame_begin(&frame, &b);
	old[14] ^= 1;
	buffer_put(&b, BYTES(old + 14, 4 * CONN_IDENTITY + 64));
	buffer_put_u8(&b, 0);
	buffer_put_u8(&b, 0);
	cr_assert_eq(frame_end(&b), CKR_OK);
	write_file(b.ptr, b.len);
}

Test(memory, another_tpm_is_asked_anew)
{
	struct token_info info = {0};
	const struct token_mech *rows;
	size_t all, few, n;

	rig_init(&rig);
	cr_assert_eq(asked(&all), 0u);
	write_strangers();
	cr_expect_eq(asked(&few), 0u, "believed as long as nothing contradicts");
	cr_expect_lt(few, all);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &info), CKR_OK); /* asks for the fixed properties */
	cr_assert_eq(tpm_token_ops.mechs(rig.tok, &rows, &n), CKR_OK);
	cr_expect_eq(n, all);
	cr_expect_eq(asked(&n), 0u, "remembered anew");
	cr_expect_eq(n, all);
}

/* Tables outlive a connection, properties don't. */
Test(memory, a_new_connection_believes)
{
	struct conn *c = tpm_token_of(rig.tok)->conn;
	const struct token_mech *rows;
	struct token_info info = {0};
	uint64_t before;
	size_t n;

	rig_init(&rig);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &info), CKR_OK);
	cr_assert_eq(tpm_token_ops.mechs(rig.tok, &rows, &n), CKR_OK);
	swtpm_restart(&rig.tpm);
	c->lost = true;
	before = rig_commands(rig.tok);
	cr_assert_eq(tpm_token_ops.mechs(rig.tok, &rows, &n), CKR_OK);
	cr_expect_eq(rig_commands(rig.tok), before);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &info), CKR_OK);
	cr_expect_gt(rig_commands(rig.tok), before + 2);
}

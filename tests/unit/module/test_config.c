/* module/config.c: what is a section, what a mistake takes away, and where the log says it is. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_parse.h"
#include "log.h"

static char dir[] = "/tmp/signet-config-XXXXXX";
static char log_path[64], conf_path[64];

static void up(void)
{
	char spec[96];

	cr_assert(mkdtemp(dir));
	(void)snprintf(log_path, sizeof log_path, "%s/log", dir);
	(void)snprintf(conf_path, sizeof conf_path, "%s/conf", dir);
	(void)snprintf(spec, sizeof spec, "error,file=%s", log_path);
	log_configure(spec);
}

static void down(void)
{
	log_close();
	(void)unlink(log_path);
	(void)unlink(conf_path);
	(void)rmdir(dir);
}

TestSuite(config, .init = up, .fini = down);

/* Whether the log has a line with that text. */
static bool logged(const char *text)
{
	char all[8192];
	FILE *f = fopen(log_path, "re");
	size_t n;

	cr_assert(f);
	n = fread(all, 1, sizeof all - 1, f);
	all[n] = '\0';
	(void)fclose(f);
	return strstr(all, text) != NULL;
}

static struct config *parse(const char *text)
{
	struct config *c = NULL;

	cr_assert_eq(config_parse("F", BYTES(text, strlen(text)), &c), CKR_OK);
	return c;
}

/* What is left of a text, as the sections' names. */
static void expect_names(const char *text, const char *names)
{
	struct config *c = parse(text);
	char all[256] = "";

	for (size_t i = 0; i < config_count(c); i++) {
		size_t used = strlen(all);

		(void)snprintf(all + used, sizeof all - used, "%s%s", i ? " " : "", conf_name(config_section(c, i)));
	}
	cr_expect_str_eq(all, names, "%s: %s", text, all);
	config_free(c);
}

Test(config, sections_in_file_order)
{
	struct config *c = parse("\xef\xbb\xbf; comment\n[slot b]\ntype = tpm\n  # indented\n\n[slot a]\r\n"
				 "type = keyring\r\n\tkeyring = user\r\n");

	cr_assert_eq(config_count(c), 2);
	cr_expect_str_eq(conf_name(config_section(c, 0)), "b");
	cr_expect_str_eq(conf_get(config_section(c, 0), "type"), "tpm");
	cr_expect_str_eq(conf_name(config_section(c, 1)), "a");
	cr_expect_str_eq(conf_get(config_section(c, 1), "keyring"), "user");
	config_free(c);
	cr_expect_not(logged("F:"));
}

Test(config, last_line_without_newline)
{
	expect_names("[slot a]\ntype = tpm", "a");
}

Test(config, nothing_at_all)
{
	expect_names("", "");
}

Test(config, a_mistake_takes_away_one_section)
{
	expect_names("[slot a]\ntype = tpm\n[slot b]\ntype = tpm\nnonsense\nmore = 1\n[slot c]\ntype = tpm\n", "a c");
	cr_expect(logged("F:5: this is neither"));
}

Test(config, two_mistakes_are_both_told)
{
	expect_names("[slot a]\nx\n[slot b]\ny\n[slot c]\nz = 1\n", "c");
	cr_expect(logged("F:2: "));
	cr_expect(logged("F:4: "));
}

Test(config, mistake_on_the_last_line)
{
	expect_names("[slot a]\ntype = tpm\nx", "");
	cr_expect(logged("F:3: "));
}

Test(config, key_before_any_section)
{
	expect_names("type = tpm\n[slot a]\ntype = tpm\n", "a");
	cr_expect(logged("F:1: a key before"));
}

Test(config, unknown_section)
{
	expect_names("[general]\ntype = tpm\n[slot a]\ntype = tpm\n", "a");
	cr_expect(logged("F:1: [general]"));
}

Test(config, bad_names)
{
	expect_names("[slot]\nk = 1\n[slot  ]\nk = 1\n[slot a b]\nk = 1\n[slot a/b]\nk = 1\n[slotx]\nk = 1\n", "");
	for (unsigned line = 1; line < 10; line += 2) {
		char text[16];

		(void)snprintf(text, sizeof text, "F:%u: ", line);
		cr_expect(logged(text), "%s", text);
	}
}

Test(config, the_same_name_twice)
{
	expect_names("[slot a]\ntype = tpm\n[slot b]\ntype = tpm\n[slot a]\ntype = keyring\n", "a b");
	cr_expect(logged("F:5: there is a [slot a] already"));
}

Test(config, the_same_key_twice)
{
	expect_names("[slot a]\ntype = tpm\ntype = keyring\n[slot b]\ntype = tpm\n", "b");
	cr_expect(logged("F:3: "));
}

Test(config, header_without_end_takes_its_keys_with_it)
{
	expect_names("[slot a]\ntype = tpm\n[slot b\ntype = keyring\nlabel = x\n[slot c]\ntype = tpm\n", "a c");
	cr_expect(logged("F:3: "));
}

Test(config, empty_section)
{
	expect_names("[slot a]\n[slot b]\ntype = tpm\n[slot c]\n", "b");
	cr_expect(logged("F:1: this section is empty"));
	cr_expect(logged("F:4: this section is empty"));
}

Test(config, long_lines_and_names)
{
	char text[2048], longer[1024];

	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	(void)snprintf(text, sizeof text, "[slot a]\nstore = /%s\n[slot b]\ntype = tpm\n", longer);
	expect_names(text, "b");
	cr_expect(logged("F:2: the line is too long"));
	(void)snprintf(text, sizeof text, "[slot %.60s]\ntype = tpm\n", longer);
	expect_names(text, "");
	cr_expect(logged("F:1: the section's name is too long"));
}

Test(config, nul_character)
{
	static const char text[] = "[slot a]\ntype = t\0pm\n[slot b]\ntype = tpm\n";
	struct config *c = NULL;

	cr_assert_eq(config_parse("F", BYTES(text, sizeof text - 1), &c), CKR_OK);
	cr_expect_eq(config_count(c), 1);
	cr_expect(logged("F:2: there is a NUL"));
	config_free(c);
}

static void write_conf(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	cr_assert(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static size_t load_count(void)
{
	struct config *c = NULL;
	size_t n;

	cr_assert_eq(config_load(&c), CKR_OK);
	n = config_count(c);
	config_free(c);
	return n;
}

Test(config, named_file)
{
	write_conf(conf_path, "[slot only]\ntype = tpm\n");
	(void)setenv("SIGNET_CONF", conf_path, 1);
	cr_expect_eq(load_count(), 1);
}

Test(config, named_file_that_is_not_there_leaves_no_slots)
{
	(void)setenv("SIGNET_CONF", conf_path, 1);
	cr_expect_eq(load_count(), 0);
	cr_expect(logged("can't be read"));
}

Test(config, directory_and_huge_file)
{
	(void)setenv("SIGNET_CONF", dir, 1);
	cr_expect_eq(load_count(), 0);
	write_conf(conf_path, "");
	cr_assert_eq(truncate(conf_path, 10 << 20), 0);
	(void)setenv("SIGNET_CONF", conf_path, 1);
	cr_expect_eq(load_count(), 0);
}

Test(config, users_file_before_defaults)
{
	char path[96];

	(void)unsetenv("SIGNET_CONF");
	(void)setenv("XDG_CONFIG_HOME", dir, 1);
	if (access("/etc/signet/signet.conf", F_OK) != 0)
		cr_expect_eq(load_count(), 3, "the built-in defaults");
	(void)snprintf(path, sizeof path, "%s/signet", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof path, "%s/signet/signet.conf", dir);
	write_conf(path, "[slot mine]\ntype = tpm\n");
	cr_expect_eq(load_count(), 1);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/signet", dir);
	(void)rmdir(path);
}

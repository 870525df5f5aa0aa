/* module/base/log.c */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"

Test(log, one_line_with_its_context_and_nothing_that_forges_another)
{
	char path[] = "/tmp/signet-log-XXXXXX", spec[64], text[512] = {0};
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	(void)snprintf(spec, sizeof spec, "info,file=%s", path);
	log_configure(spec);
	log_context("C_Login");
	log_error("label %s", "a\nsignet: forged");
	log_debug("not wanted at this level");
	log_close();
	log_error("closed");
	cr_assert_gt(read(fd, text, sizeof text - 1), 0);
	cr_assert_not_null(strstr(text, "error: C_Login: label a?signet: forged\n"));
	cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
	(void)unlink(path);
	(void)close(fd);
}

Test(log, is_silent_by_default_and_for_words_it_does_not_know)
{
	log_configure(NULL);
	cr_assert_not(log_wants(LEVEL_ERROR));
	log_configure("nonsense");
	cr_assert_not(log_wants(LEVEL_ERROR));
	log_configure("debug");
	cr_assert(log_wants(LEVEL_DEBUG));
	log_close();
}

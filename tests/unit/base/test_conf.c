/* module/base/conf.c */
#include <criterion/criterion.h>

#include "conf.h"

static struct conf_section *section(void)
{
	struct conf_section *s = conf_section_new("mine", "file.conf", 3);

	cr_assert_eq(conf_section_add(s, "tries", "12", 4), CKR_OK);
	cr_assert_eq(conf_section_add(s, "bus", "auto", 5), CKR_OK);
	return s;
}

Test(conf, numbers_and_choices)
{
	static const struct conf_choice rows[] = {{"auto", 1}, {"trusted", 2}};
	struct conf_section *s = section();
	unsigned long n = 99;
	int v = 99;

	cr_assert_eq(conf_get_number(s, "tries", 5, 1, 100, &n), CKR_OK);
	cr_assert_eq(n, 12ul);
	cr_assert_eq(conf_get_number(s, "absent", 5, 1, 100, &n), CKR_OK);
	cr_assert_eq(n, 5ul);
	cr_assert_eq(conf_get_number(s, "tries", 5, 1, 11, &n), CKR_ARGUMENTS_BAD);
	cr_assert_eq(conf_get_number(s, "bus", 5, 1, 11, &n), CKR_ARGUMENTS_BAD);
	cr_assert_eq(n, 5ul);
	cr_assert_eq(conf_get_choice(s, "bus", rows, 2, 0, &v), CKR_OK);
	cr_assert_eq(v, 1);
	cr_assert_eq(conf_get_choice(s, "tries", rows, 2, 0, &v), CKR_ARGUMENTS_BAD);
	cr_assert_eq(v, 1);
	conf_section_free(s);
}

Test(conf, unknown_and_repeated_keys_are_mistakes)
{
	static const char *const known[] = {"tries", "bus", NULL};
	struct conf_section *s = section();

	cr_assert_eq(conf_check_keys(s, known), CKR_OK);
	cr_assert_eq(conf_section_add(s, "bus", "trusted", 6), CKR_ARGUMENTS_BAD);
	cr_assert_str_eq(conf_get(s, "bus"), "auto");
	cr_assert_eq(conf_section_add(s, "buss", "trusted", 6), CKR_OK);
	cr_assert_eq(conf_check_keys(s, known), CKR_ARGUMENTS_BAD);
	conf_section_free(s);
}

/* A read-only view of one parsed [slot …] section.  The front reads the file; backends ask for their keys.
 * A mistake is logged with file and line, and the slot then is missing (R: design 8). */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base.h"

struct conf_section;

const char *conf_name(const struct conf_section *s);    /* "mine" of [slot mine] */
const char *conf_get(const struct conf_section *s, const char *key); /* NULL if absent */

/* A row of the keys that a section may have. */
struct conf_choice {
	const char *word;
	int value;
};

/* Each returns the default when the key is absent, and logs "FILE:LINE: …" and returns
 * CKR_ARGUMENTS_BAD for a value that is none. */
CK_RV conf_get_number(const struct conf_section *s, const char *key, unsigned long dflt, unsigned long min,
		      unsigned long max, unsigned long *ret) MUST_CHECK;
CK_RV conf_get_choice(const struct conf_section *s, const char *key, const struct conf_choice *rows, size_t n,
		      int dflt, int *ret) MUST_CHECK;
/* Logs file and line of the first key that isn't in `known` (NULL-terminated); then CKR_ARGUMENTS_BAD. */
CK_RV conf_check_keys(const struct conf_section *s, const char *const *known) MUST_CHECK;
/* Building one: by the front's parser, and by unit tests.  Strings are copied; line numbers count from 1.
 * NULL or CKR_HOST_MEMORY: no memory.  A key given twice is a mistake: CKR_ARGUMENTS_BAD, logged. */
struct conf_section *conf_section_new(const char *name, const char *file, unsigned line);
CK_RV conf_section_add(struct conf_section *s, const char *key, const char *value, unsigned line) MUST_CHECK;
void conf_section_free(struct conf_section *s); /* NULL is fine */

/* A log line "FILE:LINE: KEY: message" for a mistake that the caller found. */
void conf_complain(const struct conf_section *s, const char *key, const char *message);

#endif

/* Sections of the configuration and their typed getters. */
#include <ctype.h>
#include <errno.h>

#include "conf.h"
#include "log.h"

struct entry {
	struct entry *next;
	char *key, *value;
	unsigned line;
};

struct conf_section {
	char *name, *file;
	unsigned line;
	struct entry *entries;
};

struct conf_section *conf_section_new(const char *name, const char *file, unsigned line)
{
	struct conf_section *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->name = strdup(name);
	s->file = strdup(file);
	s->line = line;
	if (!s->name || !s->file) {
		conf_section_free(s);
		return NULL;
	}
	return s;
}

static void entry_free(struct entry *e)
{
	free(e->key);
	free(e->value);
	free(e);
}

void conf_section_free(struct conf_section *s)
{
	if (!s)
		return;
	while (s->entries) {
		struct entry *e = s->entries;

		s->entries = e->next;
		entry_free(e);
	}
	free(s->name);
	free(s->file);
	free(s);
}

static const struct entry *find(const struct conf_section *s, const char *key)
{
	for (const struct entry *e = s->entries; e; e = e->next)
		if (strcmp(e->key, key) == 0)
			return e;
	return NULL;
}

CK_RV conf_section_add(struct conf_section *s, const char *key, const char *value, unsigned line)
{
	struct entry **end = &s->entries, *e;

	if (find(s, key)) {
		log_error("%s:%u: %s is given twice in this section", s->file, line, key);
		return CKR_ARGUMENTS_BAD;
	}
	e = calloc(1, sizeof *e);
	if (!e)
		return CKR_HOST_MEMORY;
	e->key = strdup(key);
	e->value = strdup(value);
	e->line = line;
	if (!e->key || !e->value) {
		entry_free(e);
		return CKR_HOST_MEMORY;
	}
	while (*end)
		end = &(*end)->next;
	*end = e;
	return CKR_OK;
}

const char *conf_name(const struct conf_section *s)
{
	return s->name;
}

const char *conf_get(const struct conf_section *s, const char *key)
{
	const struct entry *e = find(s, key);

	return e ? e->value : NULL;
}

void conf_complain(const struct conf_section *s, const char *key, const char *message)
{
	const struct entry *e = find(s, key);

	log_error("%s:%u: [slot %s] %s: %s", s->file, e ? e->line : s->line, s->name, key, message);
}

CK_RV conf_get_number(const struct conf_section *s, const char *key, unsigned long dflt, unsigned long min,
		      unsigned long max, unsigned long *ret)
{
	const char *text = conf_get(s, key);
	char message[80], *end;
	unsigned long v;

	if (!text) {
		*ret = dflt;
		return CKR_OK;
	}
	errno = 0;
	v = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || v < min || v > max) {
		(void)snprintf(message, sizeof message, "wants a number from %lu to %lu", min, max);
		conf_complain(s, key, message);
		return CKR_ARGUMENTS_BAD;
	}
	*ret = v;
	return CKR_OK;
}

CK_RV conf_get_choice(const struct conf_section *s, const char *key, const struct conf_choice *rows, size_t n, int dflt,
		      int *ret)
{
	const char *text = conf_get(s, key);
	char message[160] = "wants one of:";
	size_t used = strlen(message);

	if (!text) {
		*ret = dflt;
		return CKR_OK;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, rows[i].word) == 0) {
			*ret = rows[i].value;
			return CKR_OK;
		}
		if (used < sizeof message)
			used += (size_t)snprintf(message + used, sizeof message - used, " %s", rows[i].word);
	}
	conf_complain(s, key, message);
	return CKR_ARGUMENTS_BAD;
}

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(key, *known) == 0)
			return true;
	return false;
}

CK_RV conf_check_keys(const struct conf_section *s, const char *const *known)
{
	for (const struct entry *e = s->entries; e; e = e->next)
		if (!is_known(e->key, known)) {
			conf_complain(s, e->key, "no such setting for this type of slot");
			return CKR_ARGUMENTS_BAD;
		}
	return CKR_OK;
}

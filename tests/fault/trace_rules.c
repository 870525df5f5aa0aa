/* What must be synced before something depends on it (R7, R8, R10). */
#include "trace.h"

#include <string.h>
#include <tss2/tss2_tpm2_types.h>

#include "base.h"

/* Which files a rule is about, by their names in the store (tpm/store.c). */
enum {
	RECORD = 1,  /* the token record, or one of objects */
	INTENTS = 2,
	OTHER = 4,   /* what may be lost, the lock, temporary names, directories */
	ANY = 7
};

static unsigned class_of(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (strcmp(name, "token") == 0 || (strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32))
		return RECORD;
	return strcmp(name, "intents") == 0 ? INTENTS : OTHER;
}

/* What a rule wants of what it is about. */
enum want {
	WANT_NEVER,           /* that it isn't done */
	WANT_SOURCE_SYNCED,   /* that the file under its old name was synced after it was last written to */
	WANT_PLACE_SYNCED,    /* that the directory is synced before any of `until` */
	WANT_ANNOUNCED
};

static const struct rule {
	const char *words;
	unsigned deeds, files;
	uint32_t command;     /* 0: any */
	enum want want;
	unsigned until;
} rules[] = {
	{"a record is written to in place", DEED_OPEN | DEED_WRITE, RECORD | INTENTS, .want = WANT_NEVER},
	{"a file is renamed that wasn't synced after its last write", DEED_RENAME, ANY, .want = WANT_SOURCE_SYNCED},
	{"the directory isn't synced after a rename", DEED_RENAME, RECORD | INTENTS, .want = WANT_PLACE_SYNCED,
	 .until = DEED_RENAME | DEED_REMOVE | DEED_COMMAND | DEED_RETURN},
	{"the directory isn't synced after a removal", DEED_REMOVE, RECORD | INTENTS, .want = WANT_PLACE_SYNCED,
	 .until = DEED_RENAME | DEED_COMMAND | DEED_RETURN},
	/* A directory that is lost takes everything with it: records, and the intents. */
	{"the directory above isn't synced after one was made", DEED_MKDIR, ANY, .want = WANT_PLACE_SYNCED,
	 .until = DEED_RENAME | DEED_COMMAND | DEED_RETURN},
	{"an NV index is defined that isn't announced", DEED_COMMAND, ANY, .command = TPM2_CC_NV_DefineSpace,
	 .want = WANT_ANNOUNCED},
};

/* Whether a sync of that path lies between two events, neither of them included. */
static bool synced_between(const struct trace *t, const char *path, size_t from, size_t to)
{
	for (size_t i = from + 1; i < to; i++)
		if (t->at[i].deed == DEED_SYNC && strcmp(t->at[i].path, path) == 0)
			return true;
	return false;
}

static bool source_synced(const struct trace *t, size_t at)
{
	const char *from = t->at[at].from;

	for (size_t i = at; i-- > 0;)
		if (t->at[i].deed & (DEED_OPEN | DEED_WRITE) && strcmp(t->at[i].path, from) == 0)
			return synced_between(t, from, i, at);
	return false; /* nobody knows what is in it */
}

/* The directory that a name is in. */
static void place_of(const char *path, char place[TRACE_PATH])
{
	size_t n = (size_t)(strrchr(path, '/') - path);

	memcpy(place, path, TRACE_PATH);
	place[n ? n : 1] = '\0';
}

static bool place_synced(const struct trace *t, size_t at, unsigned until)
{
	char place[TRACE_PATH];
	size_t end = at + 1;

	place_of(t->at[at].path, place);
	/* What happens to temporary names doesn't depend on anything. */
	while (end < t->n && !(t->at[end].deed & until &&
			       (t->at[end].deed & (DEED_COMMAND | DEED_RETURN) || class_of(t->at[end].path) != OTHER)))
		end++;
	return synced_between(t, place, at, end);
}

static bool is_about(const struct rule *r, const struct event *e)
{
	return e->deed & r->deeds && class_of(e->path) & r->files && (!r->command || r->command == e->command);
}

static bool is_kept(const struct rule *r, const struct trace *t, size_t at)
{
	switch (r->want) {
	case WANT_SOURCE_SYNCED:
		return source_synced(t, at);
	case WANT_PLACE_SYNCED:
		return place_synced(t, at, r->until);
	case WANT_ANNOUNCED:
		return t->at[at].announced;
	default:
		return false;
	}
}

size_t trace_judge(const struct trace *t, tell_fn *tell, void *arg)
{
	size_t broken = 0;

	for (size_t i = 0; i < t->n; i++)
		for (size_t j = 0; j < ARRAY_LEN(rules); j++) {
			if (!is_about(&rules[j], &t->at[i]) || is_kept(&rules[j], t, i))
				continue;
			tell(rules[j].words, &t->at[i], arg);
			broken++;
		}
	return broken;
}

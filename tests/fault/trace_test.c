/* The rules, on traces that are made up: each breach is found, and nothing else. */
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_tpm2_types.h>

#include <criterion/criterion.h>

#include "base.h"
#include "trace.h"

#define STORE "/d/store"
#define OBJECT STORE "/00112233445566778899aabbccddeeff"
#define OPEN(p) {.deed = DEED_OPEN, .path = (p)}
#define WRITE(p) {.deed = DEED_WRITE, .path = (p)}
#define SYNC(p) {.deed = DEED_SYNC, .path = (p)}
#define RENAME(p) {.deed = DEED_RENAME, .from = STORE "/new", .path = (p)}
#define REMOVE(p) {.deed = DEED_REMOVE, .path = (p)}
#define MKDIR(p) {.deed = DEED_MKDIR, .path = (p)}
#define DEFINE(yes) {.deed = DEED_COMMAND, .command = TPM2_CC_NV_DefineSpace, .announced = (yes)}
#define UNDEFINE {.deed = DEED_COMMAND, .command = TPM2_CC_NV_UndefineSpace}
#define RETURN {.deed = DEED_RETURN}
/* A file written as it should be, up to the rename. */
#define WRITTEN OPEN(STORE "/new"), WRITE(STORE "/new"), SYNC(STORE "/new")
#define PUT(p) WRITTEN, RENAME(p), SYNC(STORE)

static const struct made_up {
	const char *name;
	const char *breach; /* the first words of the rule; NULL: none is broken */
	struct event at[24];
} made_up[] = {
	{"nothing", NULL, {RETURN}},
	{"an object", NULL, {OPEN(STORE "/lock"), REMOVE(STORE "/new"), PUT(OBJECT), RETURN}},
	{"a PIN", NULL,
	 {PUT(STORE "/intents"), DEFINE(true), PUT(STORE "/token"), UNDEFINE, REMOVE(STORE "/intents"), SYNC(STORE),
	  RETURN}},
	{"the first token", NULL,
	 {MKDIR("/d"), SYNC("/"), MKDIR(STORE), SYNC("/d"), PUT(STORE "/intents"), DEFINE(true), PUT(STORE "/token"),
	  REMOVE(STORE "/intents"), SYNC(STORE), RETURN}},
	{"a removal", NULL, {REMOVE(OBJECT), SYNC(STORE), RETURN}},
	{"two records removed", NULL, {REMOVE(OBJECT), REMOVE(OBJECT), SYNC(STORE), RETURN}},
	{"what may be lost", NULL, {WRITTEN, RENAME(STORE "/caps"), RETURN}},
	{"a file that isn't synced", "a file is renamed",
	 {OPEN(STORE "/new"), WRITE(STORE "/new"), RENAME(OBJECT), SYNC(STORE), RETURN}},
	{"a file that is synced too early", "a file is renamed",
	 {OPEN(STORE "/new"), SYNC(STORE "/new"), WRITE(STORE "/new"), RENAME(OBJECT), SYNC(STORE), RETURN}},
	{"another file is synced", "a file is renamed",
	 {OPEN(STORE "/new"), WRITE(STORE "/new"), SYNC(STORE), RENAME(OBJECT), SYNC(STORE), RETURN}},
	{"an empty file that isn't synced", "a file is renamed",
	 {OPEN(STORE "/new"), RENAME(OBJECT), SYNC(STORE), RETURN}},
	{"a file from nowhere", "a file is renamed", {RENAME(OBJECT), SYNC(STORE), RETURN}},
	{"a directory that isn't synced", "the directory isn't synced after a rename",
	 {WRITTEN, RENAME(OBJECT), RETURN}},
	{"a directory that is synced too early", "the directory isn't synced after a rename",
	 {WRITTEN, SYNC(STORE), RENAME(OBJECT), RETURN}},
	{"another directory is synced", "the directory isn't synced after a rename",
	 {WRITTEN, RENAME(OBJECT), SYNC("/d"), RETURN}},
	{"a call that never returns", "the directory isn't synced after a rename", {WRITTEN, RENAME(OBJECT)}},
	{"an index before its intent is synced", "the directory isn't synced after a rename",
	 {WRITTEN, RENAME(STORE "/intents"), DEFINE(true), SYNC(STORE), RETURN}},
	{"an old index goes before the new record is synced", "the directory isn't synced after a rename",
	 {WRITTEN, RENAME(STORE "/token"), UNDEFINE, SYNC(STORE), RETURN}},
	{"the intent goes before the record is synced", "the directory isn't synced after a rename",
	 {WRITTEN, RENAME(STORE "/token"), REMOVE(STORE "/intents"), SYNC(STORE), RETURN}},
	{"an index without an intent", "an NV index is defined", {DEFINE(false), RETURN}},
	{"a removal that isn't synced", "the directory isn't synced after a removal", {REMOVE(OBJECT), RETURN}},
	{"a removal before a rename", "the directory isn't synced after a removal",
	 {REMOVE(STORE "/intents"), PUT(STORE "/token"), RETURN}},
	{"a directory that may vanish", "the directory above",
	 {MKDIR(STORE), PUT(STORE "/intents"), DEFINE(true), PUT(STORE "/token"), SYNC("/d"), RETURN}},
	{"in place", "a record is written", {WRITE(STORE "/token"), SYNC(STORE "/token"), RETURN}},
	{"opened in place", "a record is written", {OPEN(OBJECT), RETURN}},
};

static void note(const char *rule, const struct event *e, void *arg)
{
	(void)e;
	*(const char **)arg = rule;
}

Test(trace, rules)
{
	for (size_t i = 0; i < ARRAY_LEN(made_up); i++) {
		const struct made_up *m = &made_up[i];
		const char *told = NULL;
		struct trace t = {0};

		while (t.n < ARRAY_LEN(m->at) && m->at[t.n].deed)
			t.n++;
		t.at = (struct event *)m->at;
		size_t broken = trace_judge(&t, note, &told);
		if (m->breach)
			cr_expect(broken == 1 && strncmp(told, m->breach, strlen(m->breach)) == 0,
				  "%s: %zu breaches, %s", m->name, broken, told ? told : "none");
		else
			cr_expect(broken == 0, "%s: %s", m->name, told);
	}
}

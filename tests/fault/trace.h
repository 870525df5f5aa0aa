/* What a call did to files, and which commands it sent to a TPM, in order: what a power cut would have left can't be
 * seen by killing a process, but a sync that is missing can be seen here. */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include "killer.h"

enum deed {
	DEED_OPEN = 1,     /* for writing */
	DEED_WRITE = 2,
	DEED_SYNC = 4,     /* of a file, or of a directory */
	DEED_RENAME = 8,
	DEED_REMOVE = 16,
	DEED_MKDIR = 32,
	DEED_COMMAND = 64, /* to a TPM, of those that make or remove what is permanent */
	DEED_RETURN = 128, /* the call has returned: it is acknowledged */
};

#define TRACE_PATH 128
struct event {
	enum deed deed;
	char path[TRACE_PATH]; /* of a rename the new name */
	char from[TRACE_PATH]; /* of a rename */
	uint32_t command;      /* TPM_CC_… */
	bool announced;        /* TPM2_NV_DefineSpace: the file of intents then has the index and its policy */
};

struct trace {
	struct event *at;
	size_t n, cap;
};

/* Runs the call under watch.  store: the directory of the token, where its file of intents is.  Only what succeeded is
 * recorded.  False: it failed; *ret_status is where.  Freed by trace_done(). */
bool trace_record(const struct victim *v, const char *store, struct trace *ret, int *ret_status);
void trace_add(struct trace *t, const struct event *e);
void trace_done(struct trace *t);

/* Holds the trace against the rules (trace_rules.c); tells each breach.  Gives their number. */
typedef void tell_fn(const char *rule, const struct event *e, void *arg);
size_t trace_judge(const struct trace *t, tell_fn *tell, void *arg);

#endif

/* What the files of the fault tests' module share.  Each function that the product calls and that can fail is wrapped
 * by the linker (the list is `wrapped`); holes tells which were forgotten. */
#ifndef TESTS_INJECT_H
#define TESTS_INJECT_H

#include "fault.h"

extern struct faults faults;

/* Whether the call fails, with the order's errno. */
bool fails(struct fault *f, const char *what);
/* The same, but not with the order's errno where that says nothing: a lack of memory is ENOMEM. */
bool lacks_memory(const char *what);
/* So many more blocks and objects are there, or fewer. */
void hold(long n);

/* Set while a call of a table (inject_system.c) or an allocator's own is under way: what it calls was counted. */
extern _Thread_local bool counted;

/* Puts the tables in place. */
void inject_tables(void);

/* Both sides of a wrapped function. */
#define WRAPS(type, name, parameters)                                                                                  \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters;                                                                                 \
	type __wrap_##name parameters

#endif

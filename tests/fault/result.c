/* What was found, as lines that tests/fault/run collects. */
#include "engine.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <unistd.h>

const char *const kind_names[FAULT_KINDS] = {
	[FAULT_COMMANDS] = "commands", [FAULT_TRANSPORT] = "transport", [FAULT_KEYS] = "keys",
	[FAULT_FILES] = "files",       [FAULT_MEMORY] = "memory",       [FAULT_MUTEX] = "mutex",
	[FAULT_EVP] = "evp",
};

void result_code(struct result *r, CK_RV rv)
{
	size_t i = 0;

	while (i < ARRAY_LEN(r->codes) - 1 && r->codes[i].n && r->codes[i].rv != rv)
		i++;
	r->codes[i].rv = rv;
	r->codes[i].n++;
}

static int results = -1;

/* Before a test becomes an ordinary user, who may not write there. */
__attribute__((constructor)) static void open_results(void)
{
	const char *path = secure_getenv("SIGNET_FAULT_RESULTS");

	if (path)
		results = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

/* Lines of several processes don't mix: each is one write(2) to a file opened for appending. */
static void append(const char *line, size_t n)
{
	const char *path = secure_getenv("SIGNET_FAULT_RESULTS");

	if (path)
		cr_assert(write(results, line, n) == (ssize_t)n, "%s: %m", path);
}

void result_violation(struct result *r, const char *format, ...)
{
	char words[1024], line[1400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(words, sizeof words, format, ap);
	va_end(ap);
	r->violations++;
	fprintf(stderr, "VIOLATION: %s\n", words);
	int n = snprintf(line, sizeof line, "!\t%s\t%s\t%s\t%s\t%s\n", r->function, r->variant, r->token, r->kind, words);
	append(line, (size_t)MIN(n, (int)sizeof line - 1));
}

void result_write(const struct result *r)
{
	char line[2048], name[24];
	int n = snprintf(line, sizeof line, "%s\t%s\t%s\t%s\t%lu\t%lu\t%lu\t%lu\t", r->function, r->variant, r->token,
			 r->kind, r->operations, r->injected, r->violations, r->general);

	for (size_t i = 0; i < ARRAY_LEN(r->codes) && r->codes[i].n; i++)
		n += snprintf(line + n, sizeof line - (size_t)n, "%s%s=%lu", i ? " " : "",
			      name_of(name, r->codes[i].rv), r->codes[i].n);
	n += snprintf(line + n, sizeof line - (size_t)n, "\n");
	append(line, (size_t)n);
}

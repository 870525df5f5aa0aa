/* The log writer. */
#include <fcntl.h>
#include <stdarg.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"

enum target { TARGET_STDERR, TARGET_SYSLOG, TARGET_FILE };

static enum log_level level = LEVEL_OFF;
static enum target target;
static int file = -1;
static _Thread_local const char *context;

static const struct {
	const char *word;
	enum log_level level;
	int priority; /* of syslog(3) */
} levels[] = {
	[LEVEL_OFF] = {"off", LEVEL_OFF, 0},
	[LEVEL_ERROR] = {"error", LEVEL_ERROR, 3},
	[LEVEL_INFO] = {"info", LEVEL_INFO, 6},
	[LEVEL_DEBUG] = {"debug", LEVEL_DEBUG, 7},
};

/* Whether the first `n` characters of `spec` are that word. */
static bool is_word(const char *spec, size_t n, const char *word)
{
	return strlen(word) == n && strncmp(spec, word, n) == 0;
}

static void configure_target(const char *spec)
{
	if (strcmp(spec, "syslog") == 0)
		target = TARGET_SYSLOG;
	if (strncmp(spec, "file=", 5) != 0)
		return;
	file = open(spec + 5, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
	target = file >= 0 ? TARGET_FILE : TARGET_STDERR;
}

void log_configure(const char *spec)
{
	size_t n;

	log_close();
	if (!spec)
		return;
	n = strcspn(spec, ",");
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (is_word(spec, n, levels[i].word))
			level = levels[i].level;
	if (spec[n] == ',')
		configure_target(spec + n + 1);
}

void log_close(void)
{
	if (file >= 0)
		(void)close(file);
	file = -1;
	level = LEVEL_OFF;
	target = TARGET_STDERR;
}

bool log_wants(enum log_level wanted)
{
	return wanted <= level;
}

void log_context(const char *function)
{
	context = function;
}

static void emit(enum log_level at, const char *line, size_t n)
{
	int fd = target == TARGET_FILE ? file : STDERR_FILENO;

	if (target == TARGET_SYSLOG) {
		syslog(LOG_AUTHPRIV | levels[at].priority, "signet: %.*s", (int)n, line);
		return;
	}
	if (write(fd, line, n) < 0)
		return; /* there is nowhere left to say it */
}

/* Control characters could forge lines or confuse terminals: they come from labels and file names. */
static void make_printable(char *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
}

void log_write(enum log_level at, const char *fmt, ...)
{
	char line[1024];
	va_list args;
	int n, m;

	if (!log_wants(at))
		return;
	n = snprintf(line, sizeof line, "signet[%ld] %s: %s%s", (long)getpid(), levels[at].word,
		     context ? context : "", context ? ": " : "");
	va_start(args, fmt);
	m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
	va_end(args);
	if (m < 0)
		return;
	n = MIN(n + m, (int)sizeof line - 2);
	make_printable(line, (size_t)n);
	line[n] = '\n';
	emit(at, line, (size_t)n + 1);
}

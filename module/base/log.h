/* The log: SIGNET_LOG = off | error | info | debug, optionally ",stderr" (default), ",syslog" or ",file=PATH".
 * Off by default.  One line per event, written with one write(2); nothing secret is ever passed in.
 * A line says what happened, to what, and what the user can do about it. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base.h"

enum log_level { LEVEL_OFF, LEVEL_ERROR, LEVEL_INFO, LEVEL_DEBUG };

/* Reads SIGNET_LOG's value (NULL: off).  Called by C_Initialize only. */
void log_configure(const char *spec);
void log_close(void);
bool log_wants(enum log_level level);

/* The C_ function that this thread is in, for the lines logged below it; NULL at its end. */
void log_context(const char *function);

void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_write(LEVEL_ERROR, __VA_ARGS__)
#define log_info(...) log_write(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                                 \
	do {                                                                                                           \
		if (log_wants(LEVEL_DEBUG))                                                                              \
			log_write(LEVEL_DEBUG, __VA_ARGS__);                                                             \
	} while (0)

#endif

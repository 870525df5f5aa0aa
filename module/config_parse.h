/* The parser of the configuration alone, for config.c, unit tests and fuzzers. */
#ifndef MODULE_CONFIG_PARSE_H
#define MODULE_CONFIG_PARSE_H

#include "bytes.h"
#include "config.h"

/* The text of a configuration file → sections.  Mistakes are logged and take away their section; CKR_HOST_MEMORY
 * only.  `file` is a name for the log. */
CK_RV config_parse(const char *file, struct bytes text, struct config **ret) MUST_CHECK;

#endif

/* Configuration: finds and parses signet.conf.  The only reader of the environment besides log.c's caller. */
#ifndef MODULE_CONFIG_H
#define MODULE_CONFIG_H

#include "conf.h"

/* The parsed file (or the built-in defaults). */
struct config;

/* SIGNET_CONF, then the user's, then /etc/signet/signet.conf, then defaults.  A file that can't be read is logged
 * and leaves no slots; a mistake in one section takes away that one.  CKR_HOST_MEMORY only. */
CK_RV config_load(struct config **ret) MUST_CHECK;
void config_free(struct config *c);
size_t config_count(const struct config *c);
/* Sections in file order; valid until config_free(). */
const struct conf_section *config_section(const struct config *c, size_t i);

#endif

/* A torn record: it is written in its own place, not beside it and renamed.  In front of tpm/store_write.c, whose
 * functions that write have the file's name as `name`. */
#include "store_private.h"

#undef NEW_NAME
#define NEW_NAME name

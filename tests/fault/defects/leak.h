/* A leak: an object that couldn't be stored isn't freed.  In front of keyring/change.c. */
#include "obj.h"

#define obj_free(token, object) ((void)(token), (void)(object))

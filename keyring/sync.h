/* Telling the front what is in the ring (struct token_ops, sync). */
#ifndef KEYRING_SYNC_H
#define KEYRING_SYNC_H

#include "state.h"

CK_RV kr_sync(struct token *tok, const struct token_view *view) MUST_CHECK;

#endif

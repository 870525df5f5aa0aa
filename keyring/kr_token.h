/* The keyring backend: a token is a kernel keyring (keyrings(7)). */
#ifndef KEYRING_KR_TOKEN_H
#define KEYRING_KR_TOKEN_H

#include "token.h"

/* Configuration of its slots (type = keyring):
 *	keyring       session | user | persistent, optionally :NAME; default user.  NAME is the slot's name unless given,
 *	              the token then is the ring "signet:NAME"
 *	label         shown until C_InitToken gives one
 *	pin           required | none: what C_InitToken makes; default required
 *	pin-tries     1 to 100, default 10: wrong user PINs in a row that lock it; taken at each C_InitPIN
 *	so-pin-tries  the same for the SO's; taken at C_InitToken */
extern const struct token_ops keyring_token_ops;

#endif

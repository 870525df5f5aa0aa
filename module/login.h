/* Who is logged in to a token: login, logout, PINs (PKCS#11 3.2, 5.5.7 to 5.5.9, 5.6.8 to 5.6.10).  The slot's lock is
 * held. */
#ifndef MODULE_LOGIN_H
#define MODULE_LOGIN_H

#include "session.h"

/* C_Login and C_LoginUser: the table of states, then the backend's judgement of the PIN. */
CK_RV login_user(struct session *s, CK_USER_TYPE user, struct bytes pin) MUST_CHECK;
/* C_InitToken.  label: 32 bytes. */
CK_RV login_init_token(struct slot *slot, struct bytes so_pin, const uint8_t *label) MUST_CHECK;
/* C_InitPIN; the dispatcher has seen that this is a session of the SO's. */
CK_RV login_init_pin(struct session *s, struct bytes pin) MUST_CHECK;
/* C_SetPIN: the SO's while the SO is logged in, else the user's. */
CK_RV login_set_pin(struct session *s, struct bytes old, struct bytes pin) MUST_CHECK;

#endif

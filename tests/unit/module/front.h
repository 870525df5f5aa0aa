/* The front with in-memory tokens, called in this process: slot 0 is there, slot 1 as long as its file exists. */
#ifndef UNIT_FRONT_H
#define UNIT_FRONT_H

#include <criterion/criterion.h>

#include "dispatch.h"
#include "rv.h"

#define RW (CKF_SERIAL_SESSION | CKF_RW_SESSION)
#define RO CKF_SERIAL_SESSION
#define EXPECT(rv, call)                                                                                               \
	do {                                                                                                           \
		CK_RV got_ = (call);                                                                                   \
		cr_expect_eq(got_, (rv), "%s: %s", #call, rv_name(got_));                                               \
	} while (0)

extern char front_dir[], front_file[];
void front_up(void);   /* writes a configuration; doesn't initialize */
void front_down(void); /* finalizes, if need be, and cleans up */
/* Makes slot 1's token appear and vanish. */
void front_insert(void);
void front_withdraw(void);
/* Initializes the library, slot 0's token (PINs "so-pin" and "user-pin"). */
void front_token(void);
CK_SESSION_HANDLE front_session(CK_FLAGS flags);
CK_RV front_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin);

#endif

/* The frame of every C_ function: what is checked before it, in the order of PKCS#11 3.2, 5.1.7 (R20), and what is
 * done after it.  One row per function (rules.c) says which checks. */
#ifndef MODULE_DISPATCH_H
#define MODULE_DISPATCH_H

#include "library.h"
#include "rules.h"
#include "session.h"
#include "slice.h"

struct call {
	enum function fn;
	struct library *lib;
	struct slot *slot;         /* its lock is held, between call_unlock() and call_lock() not */
	struct session *session;   /* NULL once it is closed */
	bool locked, away;         /* dispatch.c's own: the lock is held; the session was entered by call_unlock() */
};

/* Enter: each fills in *c and does its checks in order (initialized; handle or slot id; token there; offered; arguments; the state
 * that the rule row demands), takes the slot's lock, and brings objects up to date where the row says so.
 * args_ok: the caller's judgement of NULLs and lengths, made without reading through a pointer.
 * Whatever it returns, call_leave() follows.  After a failed call_session() c->session is set if the handle was good
 * and the token still is there: a function whose every failure ends the operation can end it. */
CK_RV call_library(struct call *c, enum function fn, bool args_ok) MUST_CHECK;
CK_RV call_slot(struct call *c, enum function fn, CK_SLOT_ID id, bool args_ok) MUST_CHECK;
CK_RV call_session(struct call *c, enum function fn, CK_SESSION_HANDLE session, bool args_ok) MUST_CHECK;

/* Gives up the slot's lock for cryptographic work; the session can't be freed meanwhile.  call_lock() takes it back:
 * CKR_SESSION_CLOSED if the session was closed in between (the caller then must not touch c->session). */
void call_unlock(struct call *c);
CK_RV call_lock(struct call *c) MUST_CHECK;

/* Unlocks, notes the raw device error in the session, turns a code that isn't on the function's list into
 * CKR_FUNCTION_FAILED, traces, and leaves the thread's queue of libcrypto errors as the application had it.  Returns
 * what the application gets. */
CK_RV call_leave(struct call *c, CK_RV rv);

/* A function that isn't offered: the checks of its class, then CKR_FUNCTION_NOT_SUPPORTED. */
CK_RV call_stub(enum function fn, bool takes_session, CK_SESSION_HANDLE session);

const char *function_name(enum function fn);

/* The code as the function may return it: rv if it is on the list, else the nearest that is. */
CK_RV function_result(enum function fn, CK_RV rv);
/* Whether the function's list of PKCS#11 3.2, or its class, has that code (returns.c, from the specification). */
bool function_returns(enum function fn, CK_RV rv);

#endif

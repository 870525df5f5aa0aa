/* What each C_ function demands before its own work begins: one row per function (rules.c). */
#ifndef MODULE_RULES_H
#define MODULE_RULES_H

#include "base.h"

/* One name per function, in the order of the function list: FN_C_Initialize … */
#define FUNCTION(name) FN_##name,
enum function {
#include "functions.inc"
	FN_COUNT
};
#undef FUNCTION

/* What a function is called on: nothing (callable before C_Initialize), the library, a slot, a session. */
enum rule_scope { SCOPE_NONE, SCOPE_LIBRARY, SCOPE_SLOT, SCOPE_SESSION };

/* Of functions that are called on a slot: whether a token must be there, and be one of ours. */
enum rule_token { TOKEN_ANY, TOKEN_PRESENT, TOKEN_RECOGNIZED };

/* The state of the session that is needed, whatever the arguments say. */
enum rule_state {
	STATE_ANY,
	STATE_RW,         /* CKR_TOKEN_WRITE_PROTECTED, CKR_SESSION_READ_ONLY */
	STATE_LOGGED_IN,  /* anyone: CKR_USER_NOT_LOGGED_IN */
	STATE_RW_SO,      /* CKR_USER_NOT_LOGGED_IN */
};

struct rule {
	enum rule_scope scope;
	enum rule_token token;
	enum rule_state state;
	bool sync;        /* the objects are brought up to date first (R13) */
	bool stub;        /* not offered: CKR_FUNCTION_NOT_SUPPORTED after the checks of its class */
};

extern const struct rule rules[FN_COUNT];

#endif

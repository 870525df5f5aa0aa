/* The frame of every C_ function.  The order of the checks is that of PKCS#11 3.2, 5.1.7, with one exception that every
 * module makes: CKR_CRYPTOKI_NOT_INITIALIZED comes before all else, since handles mean nothing before C_Initialize. */
#include <openssl/err.h>

#include "dispatch.h"
#include "log.h"
#include "rv.h"

#define FUNCTION(name) [FN_##name] = #name,
static const char *const names[FN_COUNT] = {
#include "functions.inc"
};
#undef FUNCTION

const char *function_name(enum function fn)
{
	return names[fn];
}

static CK_RV enter(struct call *c, enum function fn)
{
	*c = (struct call){.fn = fn, .lib = library_enter()};
	if (!c->lib)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	/* The queue belongs to the thread, and so to the application: call_leave() goes back to here. */
	(void)ERR_set_mark();
	log_context(names[fn]);
	return CKR_OK;
}

static CK_RV lock_slot(struct call *c, size_t index)
{
	c->slot = c->lib->slots[index];
	TRY(lock_take(c->slot->lock));
	c->locked = true;
	return CKR_OK;
}

static CK_RV check_arguments(const struct call *c, bool args_ok)
{
	if (rules[c->fn].stub)
		return CKR_FUNCTION_NOT_SUPPORTED;
	return args_ok ? CKR_OK : CKR_ARGUMENTS_BAD;
}

CK_RV call_library(struct call *c, enum function fn, bool args_ok)
{
	TRY(enter(c, fn));
	return check_arguments(c, args_ok);
}

/* Whether the slot has the token that the row asks for. */
static CK_RV check_token(struct call *c)
{
	enum rule_token need = rules[c->fn].token;
	CK_RV rv;

	if (need == TOKEN_ANY)
		return CKR_OK;
	rv = slot_probe(c->slot);
	return rv == CKR_TOKEN_NOT_RECOGNIZED && need == TOKEN_PRESENT ? CKR_OK : rv;
}

CK_RV call_slot(struct call *c, enum function fn, CK_SLOT_ID id, bool args_ok)
{
	TRY(enter(c, fn));
	if (id >= c->lib->n_slots)
		return CKR_SLOT_ID_INVALID;
	TRY(lock_slot(c, id));
	TRY(check_token(c));
	return check_arguments(c, args_ok);
}

static CK_RV find_session(struct call *c, CK_SESSION_HANDLE handle)
{
	size_t index = session_slot_index(handle);

	if (index >= c->lib->n_slots)
		return CKR_SESSION_HANDLE_INVALID;
	TRY(lock_slot(c, index));
	c->session = session_find(c->slot, handle);
	return c->session ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

static CK_RV sync_objects(struct call *c)
{
	CK_RV rv;

	if (!rules[c->fn].sync)
		return CKR_OK;
	rv = slot_sync(c->slot);
	if (rv == CKR_DEVICE_REMOVED)
		c->session = NULL;
	return rv;
}

static CK_RV check_rw(const struct call *c)
{
	if (session_rw(c->session))
		return CKR_OK;
	return c->slot->flags & CKF_WRITE_PROTECTED ? CKR_TOKEN_WRITE_PROTECTED : CKR_SESSION_READ_ONLY;
}

static CK_RV check_state(const struct call *c)
{
	switch (rules[c->fn].state) {
	case STATE_ANY:
		return CKR_OK;
	case STATE_RW:
		return check_rw(c);
	case STATE_LOGGED_IN:
		return c->slot->login == LOGIN_NONE ? CKR_USER_NOT_LOGGED_IN : CKR_OK;
	case STATE_RW_SO:
		return c->slot->login == LOGIN_SO && session_rw(c->session) ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
	}
	return CKR_GENERAL_ERROR;
}

CK_RV call_session(struct call *c, enum function fn, CK_SESSION_HANDLE session, bool args_ok)
{
	TRY(enter(c, fn));
	TRY(find_session(c, session));
	TRY(sync_objects(c));
	TRY(check_arguments(c, args_ok));
	return check_state(c);
}

void call_unlock(struct call *c)
{
	session_enter(c->session);
	c->away = true;
	c->locked = false;
	lock_drop(c->slot->lock);
}

CK_RV call_lock(struct call *c)
{
	CK_RV rv = lock_take(c->slot->lock);

	/* Without the lock the session can't be looked at any more; C_Finalize frees it. */
	c->away = false;
	if (rv != CKR_OK) {
		c->session = NULL;
		return rv;
	}
	c->locked = true;
	if (session_leave(c->session))
		return CKR_OK;
	c->session = NULL;
	return CKR_SESSION_CLOSED;
}

/* Whether CKR_DEVICE_REMOVED is news.  A call whose session was closed meanwhile speaks of a token that may have been
 * followed by another one since. */
static bool removal_is_news(const struct call *c)
{
	return rules[c->fn].scope == SCOPE_SESSION ? c->session != NULL : c->slot->present;
}

/* What the outcome means for session and slot, while the lock still is held. */
static void settle(struct call *c, CK_RV rv, uint32_t raw)
{
	if (c->session && rv != CKR_OK && raw)
		c->session->device_error = raw;
	if (rv == CKR_DEVICE_REMOVED && removal_is_news(c))
		slot_removed(c->slot);
	c->locked = false;
	lock_drop(c->slot->lock);
}

CK_RV call_leave(struct call *c, CK_RV rv)
{
	uint32_t raw;

	if (c->away)
		rv = rv_prefer(rv, call_lock(c));
	raw = fault_take();
	rv = function_result(c->fn, rv);
	if (c->locked)
		settle(c, rv, raw);
	if (!c->lib)
		return rv;
	log_debug("%s", rv_name(rv));
	log_context(NULL);
	(void)ERR_pop_to_mark();
	library_leave();
	return rv;
}

CK_RV call_stub(enum function fn, bool takes_session, CK_SESSION_HANDLE session)
{
	struct call c;

	if (takes_session)
		return call_leave(&c, call_session(&c, fn, session, true));
	return call_leave(&c, call_library(&c, fn, true));
}

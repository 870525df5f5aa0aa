/* Sessions, login and PINs (PKCS#11 3.2, 5.5.8, 5.5.9, 5.6). */
#include "dispatch.h"
#include "login.h"
#include "operation.h"

/* What must be known of the token is asked with the first session: while one is open, this process can't
 * re-initialize it, and if another one does, its sessions end.  That it was replaced while nobody here had a session
 * is learnt here, too, so that no new session is told of a removal that it didn't see. */
static CK_RV learn_token(struct slot *slot)
{
	struct token_info info;

	if (slot->n_sessions == 0) {
		CK_RV rv = slot->synced ? slot_sync(slot) : CKR_OK;

		if (rv == CKR_HOST_MEMORY)
			return rv;
		TRY(slot_info(slot, true, &info)); /* says what is there now, whatever has gone */
	}
	return slot->flags & CKF_TOKEN_INITIALIZED ? CKR_OK : CKR_TOKEN_NOT_RECOGNIZED;
}

static CK_RV check_open(const struct slot *slot, CK_FLAGS flags)
{
	bool rw = (flags & CKF_RW_SESSION) != 0;

	if (!(flags & CKF_SERIAL_SESSION))
		return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
	if (flags & CKF_ASYNC_SESSION)
		return CKR_SESSION_ASYNC_NOT_SUPPORTED;
	if (rw && slot->flags & CKF_WRITE_PROTECTED)
		return CKR_TOKEN_WRITE_PROTECTED;
	return !rw && slot->login == LOGIN_SO ? CKR_SESSION_READ_WRITE_SO_EXISTS : CKR_OK;
}

static CK_RV open_session(struct slot *slot, CK_FLAGS flags, CK_SESSION_HANDLE *ret)
{
	struct session *s;

	TRY(learn_token(slot));
	TRY(check_open(slot, flags));
	TRY(session_open(slot, flags & (CKF_RW_SESSION | CKF_SERIAL_SESSION), &s));
	*ret = s->handle;
	return CKR_OK;
}

/* No surrender callback is ever made. */
CK_RV C_OpenSession(CK_SLOT_ID id, CK_FLAGS flags, void *application UNUSED, CK_NOTIFY notify UNUSED,
		    CK_SESSION_HANDLE_PTR session)
{
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_OpenSession, id, session != NULL);

	if (rv == CKR_OK)
		rv = open_session(c.slot, flags, session);
	return call_leave(&c, rv);
}

CK_RV C_CloseSession(CK_SESSION_HANDLE session)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_CloseSession, session, true);

	if (rv == CKR_OK)
		session_close(TAKE(c.session));
	return call_leave(&c, rv);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID id)
{
	struct call c;
	CK_RV rv = call_slot(&c, FN_C_CloseAllSessions, id, true);

	if (rv == CKR_OK)
		session_close_all(c.slot);
	return call_leave(&c, rv);
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_GetSessionInfo, session, info != NULL);

	if (rv == CKR_OK)
		*info = (CK_SESSION_INFO){
			.slotID = c.slot->id,
			.state = session_state(c.session),
			.flags = c.session->flags,
			.ulDeviceError = c.session->device_error,
		};
	return call_leave(&c, rv);
}

/* Which operation each flag of C_SessionCancel means.  Those of functions that aren't offered are never active, and a
 * flag without an active operation is ignored. */
static const struct {
	CK_FLAGS flag;
	enum session_op op;
} cancels[] = {
	{CKF_ENCRYPT, SESSION_ENCRYPT},
	{CKF_DECRYPT, SESSION_DECRYPT},
	{CKF_DIGEST, SESSION_DIGEST},
	{CKF_SIGN, SESSION_SIGN},
	{CKF_VERIFY, SESSION_VERIFY},
	{CKF_UNWRAP, SESSION_UNWRAP},
	{CKF_DERIVE, SESSION_DERIVE},
};

static void cancel(struct session *s, CK_FLAGS flags)
{
	for (size_t i = 0; i < ARRAY_LEN(cancels); i++)
		if (flags & cancels[i].flag)
			operation_free(TAKE(s->op[cancels[i].op]));
	if (flags & CKF_FIND_OBJECTS)
		search_free(TAKE(s->search));
}

CK_RV C_SessionCancel(CK_SESSION_HANDLE session, CK_FLAGS flags)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_SessionCancel, session, true);

	if (rv == CKR_OK)
		cancel(c.session, flags);
	return call_leave(&c, rv);
}

CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_Login, session, slice_ok(pin, pin_len));

	if (rv == CKR_OK)
		rv = login_user(c.session, user, BYTES(pin, pin_len));
	return call_leave(&c, rv);
}

/* A token here has one user, who has no name: an empty name is C_Login, another one is nobody that could log in. */
CK_RV C_LoginUser(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len,
		  CK_UTF8CHAR_PTR username, CK_ULONG username_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_LoginUser, session,
				slice_ok(pin, pin_len) && slice_ok(username, username_len));

	if (rv == CKR_OK && username_len > 0)
		rv = CKR_USER_TYPE_INVALID;
	if (rv == CKR_OK)
		rv = login_user(c.session, user, BYTES(pin, pin_len));
	return call_leave(&c, rv);
}

CK_RV C_Logout(CK_SESSION_HANDLE session)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_Logout, session, true);

	if (rv == CKR_OK)
		slot_logout(c.slot);
	return call_leave(&c, rv);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_InitPIN, session, slice_ok(pin, pin_len));

	if (rv == CKR_OK)
		rv = login_init_pin(c.session, BYTES(pin, pin_len));
	return call_leave(&c, rv);
}

CK_RV C_SetPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR old, CK_ULONG old_len, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_SetPIN, session, slice_ok(old, old_len) && slice_ok(pin, pin_len));

	if (rv == CKR_OK)
		rv = login_set_pin(c.session, BYTES(old, old_len), BYTES(pin, pin_len));
	return call_leave(&c, rv);
}

/* Login. */
#include "login.h"
#include "op_state.h"

/* The kinds of operations that use a private key, in the order in which a context-specific login looks for the one
 * that waits for it. */
static const enum session_op with_keys[] = {SESSION_SIGN, SESSION_DECRYPT, SESSION_ENCRYPT, SESSION_VERIFY,
	SESSION_UNWRAP, SESSION_DERIVE};

static struct operation *waiting_operation(const struct session *s)
{
	for (size_t i = 0; i < ARRAY_LEN(with_keys); i++) {
		struct operation *op = s->op[with_keys[i]];

		if (op && operation_wants_auth(op))
			return op;
	}
	return NULL;
}

/* CKU_CONTEXT_SPECIFIC: proves the user's PIN once more, for one operation. */
static CK_RV login_context(struct session *s, struct bytes pin)
{
	struct operation *op = waiting_operation(s);
	CK_RV rv;

	if (!op)
		return CKR_OPERATION_NOT_INITIALIZED;
	rv = s->slot->token->ops->reauth(s->slot->token, op->token, pin);
	if (rv == CKR_OK)
		operation_authenticated(op);
	/* "Repeated failure … the token may lock, and the user is logged out" (PKCS#11 3.2, 4.10). */
	if (rv == CKR_PIN_LOCKED && s->slot->login != LOGIN_NONE)
		slot_logout(s->slot);
	return rv;
}

/* What the state that is reached already says to a login. */
static CK_RV check_transition(const struct slot *slot, enum login wanted)
{
	if (slot->login == wanted)
		return CKR_USER_ALREADY_LOGGED_IN;
	if (slot->login != LOGIN_NONE)
		return CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
	if (wanted == LOGIN_SO && slot->n_sessions > slot->n_rw)
		return CKR_SESSION_READ_ONLY_EXISTS;
	return CKR_OK;
}

CK_RV login_user(struct session *s, CK_USER_TYPE user, struct bytes pin)
{
	struct slot *slot = s->slot;
	enum login wanted = user == CKU_SO ? LOGIN_SO : LOGIN_USER;

	if (user == CKU_CONTEXT_SPECIFIC)
		return login_context(s, pin);
	if (user != CKU_SO && user != CKU_USER)
		return CKR_USER_TYPE_INVALID;
	TRY(check_transition(slot, wanted));
	TRY(slot->token->ops->login(slot->token, user == CKU_SO ? TOKEN_SO : TOKEN_USER, pin));
	slot->login = wanted;
	return CKR_OK;
}

CK_RV login_init_token(struct slot *slot, struct bytes so_pin, const uint8_t *label)
{
	if (!slot->token->ops->init_token)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (slot->n_sessions > 0)
		return CKR_SESSION_EXISTS;
	TRY(slot->token->ops->init_token(slot->token, so_pin, label));
	slot_reset(slot);
	return CKR_OK;
}

CK_RV login_init_pin(struct session *s, struct bytes pin)
{
	struct token *token = s->slot->token;

	return token->ops->init_pin ? token->ops->init_pin(token, pin) : CKR_FUNCTION_NOT_SUPPORTED;
}

CK_RV login_set_pin(struct session *s, struct bytes old, struct bytes pin)
{
	struct token *token = s->slot->token;
	enum token_user who = s->slot->login == LOGIN_SO ? TOKEN_SO : TOKEN_USER;

	return token->ops->set_pin ? token->ops->set_pin(token, who, old, pin) : CKR_FUNCTION_NOT_SUPPORTED;
}

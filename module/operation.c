/* The life of an operation and the calls on it (PKCS#11 3.2, 5.2 and 5.8 to 5.15). */
#include "op_state.h"

#include "rv.h"

/* ---- life ---- */

static void held_free(struct held *h)
{
	if (!h->ptr)
		return;
	if (h->cap <= SECRET_MAX) {
		secret_free(h->ptr);
	} else {
		wipe(h->ptr, h->cap);
		free(h->ptr);
	}
	h->ptr = NULL;
}

void op_destroy(struct operation *op)
{
	soft_op_free(op->soft);
	if (op->token)
		op->ops->op_free(op->token);
	if (op->key)
		object_unref(op->key);
	EVP_MD_CTX_free(op->md);
	buffer_done(&op->collected);
	held_free(&op->held);
	free(op->signature);
	free(op);
}

void operation_free(struct operation *op)
{
	if (!op)
		return;
	if (op->busy)
		op->orphan = true;
	else
		op_destroy(op);
}

bool operation_uses_private(const struct operation *op)
{
	return op && op->key && op->key->private;
}

bool operation_wants_auth(const struct operation *op)
{
	return op && op->wants_auth;
}

void operation_authenticated(struct operation *op)
{
	op->wants_auth = false;
}

static void end(struct session *s, enum session_op which)
{
	operation_free(TAKE(s->op[which]));
}

struct operation *operation_active(struct session *s, enum session_op which)
{
	struct operation *op = s->op[which];

	if (op && !op->busy && op->phase == PHASE_OVER)
		end(s, which);
	return s->op[which];
}

/* ---- checks ---- */

static bool phase_allows(enum op_phase phase, enum op_step step)
{
	static const unsigned allowed[PHASE_COUNT] = {
		[PHASE_FRESH] = 1u << STEP_ONESHOT | 1u << STEP_UPDATE | 1u << STEP_FINAL,
		[PHASE_ONESHOT] = 1u << STEP_ONESHOT,
		[PHASE_MULTI] = 1u << STEP_UPDATE | 1u << STEP_FINAL,
		[PHASE_FINISHING] = 1u << STEP_FINAL,
		[PHASE_OVER] = 0,
	};

	return allowed[phase] & 1u << step;
}

/* Whether the function has an output buffer; of the updates only those of ciphers have. */
static bool has_output(const struct op_request *r)
{
	if (r->which == SESSION_VERIFY)
		return false;
	return r->step != STEP_UPDATE || r->which == SESSION_ENCRYPT || r->which == SESSION_DECRYPT;
}

static bool is_query(const struct op_request *r)
{
	return has_output(r) && r->out_len && !r->out;
}

static bool arguments_ok(const struct op_request *r)
{
	if (has_output(r) && !r->out_len)
		return false;
	if (r->which == SESSION_VERIFY && r->step != STEP_UPDATE && !r->signature_given &&
	    (!r->signature || !slice_ok(r->signature, r->signature_len)))
		return false;
	return slice_ok(r->in, r->in_len) || (is_query(r) && r->in_len <= PTRDIFF_MAX);
}

/* What lets the operation stand comes first, then what ends it. */
static CK_RV check(struct session *s, const struct op_request *r)
{
	const struct operation *op = operation_active(s, r->which);

	if (!arguments_ok(r)) {
		if (op && !op->busy)
			end(s, r->which);
		return CKR_ARGUMENTS_BAD;
	}
	if (!op || (op->signature != NULL) != r->signature_given)
		return CKR_OPERATION_NOT_INITIALIZED;
	if (op->busy)
		return CKR_OPERATION_ACTIVE;
	if (op->wants_auth)
		return CKR_USER_NOT_LOGGED_IN;
	if (!phase_allows(op->phase, r->step)) {
		end(s, r->which);
		return CKR_OPERATION_ACTIVE;
	}
	return CKR_OK;
}

/* ---- one step ---- */

/* Where an operation that goes on stands.  A one-shot call that asked for the size has to be made again (T122), and
 * so has one whose result is held.  A buffer too small for anything to be done leaves the operation as it was begun:
 * nothing was taken in, and pkcs11-tool goes on with C_SignFinal. */
static enum op_phase next_phase(const struct operation *op, const struct op_request *r, CK_RV rv)
{
	if (r->step == STEP_ONESHOT)
		return rv == CKR_BUFFER_TOO_SMALL && !op->held.ptr ? PHASE_FRESH : PHASE_ONESHOT;
	if (op->held.ptr)
		return PHASE_FINISHING;
	if (r->step == STEP_UPDATE && rv == CKR_OK && !is_query(r))
		return PHASE_MULTI;
	return op->phase;
}

/* Answers from what is known before the work: sizes, and a result that is held.  True: *rv is the answer. */
static bool answered(struct operation *op, const struct op_request *r, struct outbuf *out, CK_RV *rv)
{
	size_t bound;

	if (!has_output(r))
		return false;
	bound = op_bound(op, r->step, r->in_len);
	*rv = CKR_OK;
	if (is_query(r)) {
		out->len = bound;
	} else if (op->held.ptr) {
		*rv = op_give_held(op, out);
	} else if ((*rv = op_check_length(op, r->step, r->in_len)) != CKR_OK) {
		return true; /* before the buffer's size is judged */
	} else if (out->cap < bound && !op_may_shrink(op, r->step)) {
		out->len = bound;
		*rv = CKR_BUFFER_TOO_SMALL;
	} else {
		return false;
	}
	return true;
}

/* The work, without the slot's lock.  If something else ended the operation meanwhile, *op is NULL afterwards; if the
 * session was closed, c->session is. */
static CK_RV work(struct call *c, struct operation **op, const struct op_request *r, struct outbuf *out)
{
	CK_RV rv, locked;

	(*op)->busy = true;
	(*op)->phase = PHASE_OVER; /* unless step() knows better */
	call_unlock(c);
	rv = op_run(*op, r->step, BYTES(r->in, r->in_len), out);
	locked = call_lock(c);
	(*op)->busy = false;
	if ((*op)->orphan) {
		op_destroy(*op);
		*op = NULL;
	}
	return rv_prefer(locked, rv);
}

static bool goes_on(const struct op_request *r, CK_RV rv)
{
	return rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && (r->step == STEP_UPDATE || is_query(r)));
}

static struct outbuf output_of(const struct operation *op, const struct op_request *r)
{
	if (r->which == SESSION_VERIFY && r->step != STEP_UPDATE) {
		uint8_t *signature = r->signature_given ? op->signature : r->signature;
		size_t len = r->signature_given ? op->signature_len : r->signature_len;
		return (struct outbuf){.ptr = signature, .cap = len, .len = len};
	}
	if (has_output(r))
		return (struct outbuf){.ptr = r->out, .cap = r->out ? *r->out_len : 0};
	return (struct outbuf){0};
}

static CK_RV step(struct call *c, const struct op_request *r)
{
	struct session *s = c->session;
	struct operation *op;
	struct outbuf out;
	CK_RV rv;

	TRY(check(s, r));
	op = s->op[r->which];
	out = output_of(op, r);
	if (!answered(op, r, &out, &rv))
		rv = work(c, &op, r, &out);
	if (has_output(r) && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL))
		*r->out_len = out.len;
	if (!op || !c->session)
		return rv;
	if (goes_on(r, rv))
		op->phase = next_phase(op, r, rv);
	else
		end(s, r->which);
	return rv;
}

CK_RV operation_call(enum function fn, CK_SESSION_HANDLE session, const struct op_request *r)
{
	struct call c;
	CK_RV rv = call_session(&c, fn, session, true); /* bad arguments end an operation: check() judges them */

	if (rv == CKR_OK)
		rv = step(&c, r);
	return call_leave(&c, rv);
}

/* ---- C_DigestKey ---- */

static CK_RV digest_key(struct session *s, struct operation *op, CK_OBJECT_HANDLE handle)
{
	const struct object *o = object_find(s, handle);
	struct bytes value;

	if (!o)
		return CKR_KEY_HANDLE_INVALID;
	if (attrs_get_ulong(o->obj->attrs, CKA_CLASS, CK_UNAVAILABLE_INFORMATION) != CKO_SECRET_KEY ||
	    !attrs_get(o->obj->attrs, CKA_VALUE, &value))
		return CKR_KEY_INDIGESTIBLE;
	return op_hash_update(op, value);
}

CK_RV operation_digest_key(struct call *c, CK_RV entered, CK_OBJECT_HANDLE key)
{
	const struct op_request update = {.which = SESSION_DIGEST, .step = STEP_UPDATE};
	struct session *s = c->session;
	CK_RV rv;

	if (!s)
		return entered;
	rv = check(s, &update);
	if (rv != CKR_OK)
		return rv_prefer(entered, rv);
	rv = entered == CKR_OK ? digest_key(s, s->op[SESSION_DIGEST], key) : entered;
	if (rv == CKR_OK)
		s->op[SESSION_DIGEST]->phase = PHASE_MULTI;
	else
		end(s, SESSION_DIGEST);
	return rv;
}

/* The connection: its life, sequences, and what is repaired between two runs of a sequence. */
#include "conn_private.h"
#include "log.h"
#include "rv.h"

#define DEFAULT_TCTI "device:/dev/tpmrm0"
#define PATIENCE_MS 5000       /* of one sequence, for all its retries */
#define PATIENCE_MAKING_MS 10000
#define LATE_MS 1000           /* how long the next sequence waits for an answer that is overdue */

CK_RV conn_new(const struct conn_conf *conf, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof *c);
	CK_RV rv;

	if (!c)
		return CKR_HOST_MEMORY;
	c->slot = strdup(conf->slot);
	c->tcti = strdup(conf->tcti ? conf->tcti : DEFAULT_TCTI);
	c->bus = conf->bus;
	rv = c->slot && c->tcti ? lock_new(LOCK_CONNECTION, &c->lock) : CKR_HOST_MEMORY;
	if (rv != CKR_OK) {
		conn_free(c);
		return rv;
	}
	*ret = c;
	return CKR_OK;
}

static CK_RV flush_all(struct conn *c, void *arg UNUSED)
{
	held_flush_all(c);
	return CKR_OK;
}

static CK_RV run_alone(struct conn *c, enum rc_context context, conn_body *body, void *arg) MUST_CHECK;

/* A resource manager flushes what a closed connection leaves; a bare TPM doesn't.  This is the last occasion: what
 * failed is done once more, on a new connection if need be; without the lock, which an application's mutex may refuse
 * and nobody else can want any more. */
static void leave_nothing(struct conn *c)
{
	CK_RV rv = CKR_OK;

	if (!c->transport.sys || c->transport.managed)
		return;
	for (int tries = 0; tries < 2 && (held_any(c) || c->doubt); tries++) {
		c->poisoned_until = 0;
		rv = run_alone(c, RC_OBJECT, flush_all, NULL);
	}
	if (rv != CKR_OK || held_any(c))
		log_info("slot %s: objects of ours stay in the TPM, which can't be reached", c->slot);
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	leave_nothing(c);
	transport_close(&c->transport);
	session_math_free(c->math);
	lock_free(c->lock);
	free(c->slot);
	free(c->tcti);
	free(c);
}

void conn_forked(struct conn *c)
{
	transport_abandon(&c->transport);
	held_forget_all(c);
	c->seq = (struct sequence){0};
	c->late = c->overdue = c->lost = false;
	c->doubt = 0;
}

/* ---- being connected ---- */

CK_RV conn_fail(struct conn *c, CK_RV rv)
{
	c->seq.rv = rv;
	c->seq.action = RC_NOTHING;
	return rv;
}

/* A failure of connecting, or found before it: the code is kept, the result is the caller's. */
static CK_RV not_connected(struct conn *c, TSS2_RC rc, CK_RV rv)
{
	c->seq.rc = rc;
	fault_note(rc);
	if (rv == CKR_DEVICE_REMOVED && c->seq.context == RC_PROBE)
		rv = CKR_TOKEN_NOT_PRESENT;
	return conn_fail(c, rv);
}

static CK_RV connect_now(struct conn *c)
{
	TSS2_RC rc = TSS2_RC_SUCCESS;
	CK_RV rv = transport_open(&c->transport, c->slot, c->tcti, &rc);

	/* A bare TPM still holds what it held: the connection that comes at last sees to it.  One that is still at the
	 * last command hasn't gone, and its sessions needn't be closed. */
	if (rv == CKR_DEVICE_REMOVED && c->overdue)
		return not_connected(c, rc, rc_failed(TSS2_TCTI_RC_TRY_AGAIN, c->seq.context, "connecting"));
	if (rv != CKR_OK)
		return not_connected(c, rc, rv);
	c->generation++;
	c->lost = c->overdue = false;
	caps_reconnected(&c->caps);
	log_debug("slot %s: connected by \"%s\"%s", c->slot, c->tcti,
		  c->transport.managed ? ", behind a resource manager" : "");
	if (c->transport.managed) {
		held_forget_all(c);
		c->doubt = 0;
	} else {
		held_verify(c);
	}
	return CKR_OK;
}

/* The last sequence ended without an answer: it may be here by now.  One that isn't may never come, and on this
 * connection no command could be told from it any more: a new one asks for none of it. */
static void collect_late(struct conn *c)
{
	TSS2_RC rc = transport_late(&c->transport, LATE_MS);

	c->late = false;
	c->overdue = rc == TSS2_TCTI_RC_TRY_AGAIN;
	if (c->overdue)
		log_info("slot %s: the last command's answer hasn't come; connecting anew", c->slot);
	if (c->overdue || rc_map(rc, c->seq.context).action == RC_RECONNECT)
		c->lost = true;
}

/* A transport that works, and nothing in the TPM from a sequence before but cached keys. */
static CK_RV be_connected(struct conn *c)
{
	if (c->poisoned && transport_now() < c->poisoned_until)
		return not_connected(c, c->poisoned_by, CKR_DEVICE_ERROR);
	if (!c->math)
		c->math = session_math_new();
	if (!c->math)
		return conn_fail(c, CKR_HOST_MEMORY);
	if (c->late)
		collect_late(c);
	if (c->lost)
		transport_close(&c->transport);
	if (!c->transport.sys)
		TRY(connect_now(c));
	held_tidy(c);
	held_look_again(c);
	if (c->doubt)
		held_settle(c);
	return CKR_OK;
}

/* ---- sequences ---- */

bool conn_repeats(const struct conn *c, enum rc_action action)
{
	static const bool rows[] = {
		[RC_EVICT_RESESSION] = true, [RC_RESESSION] = true, [RC_RELOAD] = true, [RC_REBUILD_PARENT] = true,
		[RC_STARTUP] = true,         [RC_RECONNECT] = true, [RC_RECONNECT_LOUD] = true,
	};

	return !c->seq.spent && action < ARRAY_LEN(rows) && rows[action] && !(c->seq.repaired & 1U << action);
}

/* TPM2_RC_FAILURE may have been one command's trouble: a TPM in failure mode refuses its self test too. */
static void doubt_failure_mode(struct conn *c)
{
	if (c->poisoned && !c->lost && call_selftest(c) != TSS2_RC_SUCCESS)
		c->lost = true;
}

/* Where the TPM still answers nothing waits for the next sequence; what the search comes to isn't what this one came to. */
static void settle_now(struct conn *c)
{
	const struct sequence came_to = c->seq;

	if (!c->doubt || c->lost || c->late || c->poisoned)
		return;
	held_settle(c);
	c->seq = came_to;
}

static CK_RV attempt(struct conn *c, conn_body *body, void *arg)
{
	CK_RV rv;

	TRY(be_connected(c));
	rv = body(c, arg);
	doubt_failure_mode(c);
	held_tidy(c);
	settle_now(c);
	return rv;
}

/* ---- between two runs of a sequence ---- */

static void repair_evict(struct conn *c)
{
	while (held_evict(c))
		;
}

/* What was loaded isn't any more; or it never was at that handle, which no session vouches for, but at another.  A
 * resource manager may answer the next stale handle with an I/O error, so there everything is given back by closing. */
static void repair_reload(struct conn *c)
{
	c->rebuild_storage = true;
	if (c->transport.managed) {
		c->lost = true;
		return;
	}
	held_verify(c);
	c->doubt |= CALL_OBJECT;
}

/* The TPM was reset: on a bare one it is us who start it. */
static void repair_startup(struct conn *c)
{
	TSS2_RC rc;

	if (c->transport.managed) {
		c->lost = true;
		return;
	}
	c->rebuild_storage = true;
	rc = call_startup(c);
	c->generation++;
	if (rc == TSS2_RC_SUCCESS)
		held_forget_all(c);
	else if (rc_base(rc) == TPM2_RC_INITIALIZE) /* it was started already */
		held_verify(c);
	else
		c->lost = true;
	log_info("slot %s: the TPM was reset; TPM2_Startup: 0x%x", c->slot, rc);
}

static void repair_session(struct conn *c)
{
	log_debug("slot %s: starting the sessions again", c->slot);
}

static void repair_connection(struct conn *c)
{
	c->rebuild_storage = true;
	c->lost = true;
	log_info("slot %s: connection lost in %s; connecting again", c->slot, c->seq.failed->name);
}

static void repair_loud(struct conn *c)
{
	log_error("slot %s: %s: THE ANSWER WAS ALTERED on its way, or another TPM gave it; it was not used. Trying "
		  "once more on a new connection", c->slot, c->seq.failed->name);
	repair_connection(c);
}

static void repair(struct conn *c)
{
	static void (*const rows[])(struct conn *) = {
		[RC_EVICT_RESESSION] = repair_evict, [RC_RESESSION] = repair_session,
		[RC_RELOAD] = repair_reload,         [RC_REBUILD_PARENT] = repair_reload,
		[RC_STARTUP] = repair_startup,       [RC_RECONNECT] = repair_connection,
		[RC_RECONNECT_LOUD] = repair_loud,
	};

	c->seq.repaired |= 1U << c->seq.action;
	rows[c->seq.action](c);
}

/* The kernel's resource manager says "no room" by failing the system call (ENOMEM), which its TCTI calls an I/O error:
 * the same command that makes a handle, failing so on a fresh connection too, means that. */
static CK_RV tell_full(struct conn *c, const struct command *before, CK_RV rv)
{
	bool makes = before && before->flags & (CALL_OBJECT | CALL_SESSION);

	if (rv != CKR_DEVICE_REMOVED || !makes || c->seq.failed != before || c->seq.action != RC_RECONNECT ||
	    !c->transport.managed)
		return rv;
	log_error("slot %s: %s fails on a new connection too: the resource manager has no room", c->slot, before->name);
	return CKR_DEVICE_MEMORY;
}

static CK_RV run(struct conn *c, enum rc_context context, conn_body *body, void *arg)
{
	int patience = context == RC_GEN ? PATIENCE_MAKING_MS : PATIENCE_MS;
	const struct command *cut = NULL; /* the one that failed with the connection */
	CK_RV rv;

	c->sequences++;
	c->seq = (struct sequence){.running = true, .context = context, .retry_until = transport_now() + patience};
	rv = attempt(c, body, arg);
	/* Two faults may meet, of which each has a cure. */
	while (rv != CKR_OK && rv == c->seq.rv && conn_repeats(c, c->seq.action)) {
		if (c->seq.action == RC_RECONNECT)
			cut = c->seq.failed;
		repair(c);
		c->seq.context = context;
		rv = tell_full(c, cut, attempt(c, body, arg));
	}
	if (rv == CKR_OK)
		c->rebuild_storage = false;
	c->seq.running = false;
	return rv;
}

/* Under the lock. */
static CK_RV run_alone(struct conn *c, enum rc_context context, conn_body *body, void *arg)
{
	if (!c->seq.running)
		return run(c, context, body, arg);
	log_error("slot %s: a sequence within a sequence is a bug in Signet; please report this line", c->slot);
	return CKR_GENERAL_ERROR;
}

CK_RV conn_run(struct conn *c, enum rc_context context, conn_body *body, void *arg)
{
	CK_RV rv;

	TRY(lock_take(c->lock));
	rv = run_alone(c, context, body, arg);
	lock_drop(c->lock);
	return rv;
}

CK_RV conn_run_connected(struct conn *c, enum rc_context context, conn_body *body, void *arg)
{
	CK_RV rv = CKR_OK;

	TRY(lock_take(c->lock));
	if (c->transport.sys && !c->lost)
		rv = run_alone(c, context, body, arg);
	lock_drop(c->lock);
	return rv;
}

static CK_RV do_nothing(struct conn *c UNUSED, void *arg UNUSED)
{
	return CKR_OK;
}

CK_RV conn_probe(struct conn *c)
{
	CK_RV rv = conn_run(c, RC_PROBE, do_nothing, NULL);

	if (rv == CKR_FUNCTION_FAILED || rv == CKR_DEVICE_ERROR) /* it is busy, or in failure mode */
		rv = CKR_OK;
	return rv;
}

/* ---- asking and telling ---- */

enum rc_context conn_context(struct conn *c, enum rc_context context)
{
	enum rc_context before = c->seq.context;

	c->seq.context = context;
	return before;
}

TSS2_RC conn_rc(const struct conn *c)
{
	return c->seq.rc;
}

uint16_t conn_rc_base(const struct conn *c)
{
	return rc_base(c->seq.rc);
}

void conn_spend(struct conn *c)
{
	c->seq.spent = true;
}

uint64_t conn_generation(const struct conn *c)
{
	return c->generation;
}

bool conn_poisoned(const struct conn *c)
{
	return c->poisoned;
}

uint64_t conn_commands(const struct conn *c)
{
	return c->commands;
}

bool conn_managed(const struct conn *c)
{
	return c->transport.managed;
}

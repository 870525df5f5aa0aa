/* One command: sent, waited for, sent again while the TPM is busy or full, and its failure recorded. */
#include "conn_private.h"
#include "log.h"

/* Longer than any TPM takes, since other programs' commands may be in front of ours; a key's generation is slower. */
#define WAIT_MS 10000
#define WAIT_SLOW_MS 90000
#define SHORT_TRIES 5
#define SHORT_FIRST_MS 10
#define LONG_FIRST_MS 50
#define LONG_MAX_MS 1000
#define POISON_MS 1000

/* Where room couldn't be made, why it couldn't is the answer. */
static TSS2_RC no_room(const struct conn *c, TSS2_RC full)
{
	return c->seq.unflushed ? c->seq.unflushed : full;
}

void call_begin(struct call *k, struct conn *c, const struct command *command)
{
	k->conn = c;
	k->command = command;
	k->sys = c->transport.sys;
	k->rc = TSS2_RC_SUCCESS;
	k->spent = c->seq.spent;
	if (c->lost && c->poisoned) /* it is there, and refuses everything */
		k->rc = c->poisoned_by;
	else if (!k->sys || c->lost || c->late || !c->seq.running)
		k->rc = TSS2_TCTI_RC_NO_CONNECTION;
	else if (command->flags & CALL_OBJECT && held_room_object(c) != CKR_OK)
		k->rc = no_room(c, TPM2_RC_OBJECT_MEMORY);
	else if (command->flags & CALL_SESSION && held_room_session(c) != CKR_OK)
		k->rc = no_room(c, TPM2_RC_SESSION_MEMORY);
	k->refused = k->rc != TSS2_RC_SUCCESS;
}

static TSS2_RC send(struct call *k)
{
	struct conn *c = k->conn;
	TSS2_RC rc;

	if (k->command->flags & CALL_COUNTS)
		c->seq.spent = true;
	c->commands++;
	rc = transport_exchange(&c->transport, k->command->flags & CALL_SLOW ? WAIT_SLOW_MS : WAIT_MS);
	log_debug("slot %s: command %llu, %s: 0x%x", c->slot, (unsigned long long)c->commands, k->command->name, rc);
	return rc;
}

/* ---- patience ---- */

/* Sleeps, if that still fits into the call's patience. */
static bool sleep_for(struct conn *c, int ms)
{
	if (transport_now() + ms > c->seq.retry_until)
		return false;
	transport_sleep(ms);
	return true;
}

static bool wait_short(struct call *k)
{
	return k->tries <= SHORT_TRIES && sleep_for(k->conn, SHORT_FIRST_MS << (k->tries - 1));
}

static bool wait_long(struct call *k)
{
	int64_t left = k->conn->seq.retry_until - transport_now();
	int ms = k->tries > 5 ? LONG_MAX_MS : MIN(LONG_FIRST_MS << (k->tries - 1), LONG_MAX_MS);

	return left > 0 && sleep_for(k->conn, (int)MIN(left, ms));
}

/* The last way to make room.  Once in a sequence: looking for it takes commands, which may find the TPM full, too. */
static bool reclaim(struct call *k, unsigned kind)
{
	struct sequence *seq = &k->conn->seq;
	bool first = !(seq->reclaimed & kind);

	seq->reclaimed |= kind;
	return first && held_reclaim(k->conn, kind);
}

/* What makes room doesn't ask for it: to a TPM that says of each flush that it is full there would be no end. */
static bool makes_room(const struct call *k)
{
	return k->command->flags & CALL_QUIET;
}

/* After another user's objects or sessions a short wait may find room: a bare TPM is shared by turns. */
static bool wait_evict(struct call *k)
{
	if (makes_room(k))
		return wait_short(k);
	if (held_evict(k->conn) || wait_short(k) || reclaim(k, CALL_OBJECT))
		return true;
	k->rc = no_room(k->conn, k->rc);
	return false;
}

static bool wait_sessions(struct call *k)
{
	return wait_short(k) || (!makes_room(k) && reclaim(k, CALL_SESSION));
}

static bool try_selftest(struct call *k)
{
	return k->tries == 1 && call_selftest(k->conn) == TSS2_RC_SUCCESS;
}

/* Whether the same command is to be sent again. */
static bool again(struct call *k)
{
	static bool (*const rows[])(struct call *) = {
		[RC_RETRY_SHORT] = wait_short,  [RC_RETRY_LONG] = wait_long,  [RC_EVICT] = wait_evict,
		[RC_DROP_SESSIONS] = wait_sessions, [RC_SELFTEST] = try_selftest,
	};
	enum rc_action action = rc_map(k->rc, k->conn->seq.context).action;

	k->tries++;
	return action < ARRAY_LEN(rows) && rows[action] && rows[action](k);
}

bool call_try(struct call *k, TSS2_RC prepared)
{
	bool authorized = k->auth || k->session;

	if (k->refused)
		return false;
	k->rc = prepared;
	if (k->rc == TSS2_RC_SUCCESS && authorized)
		k->rc = session_authorize(k->conn, k->names, k->n_names, k->auth, k->session);
	if (k->rc != TSS2_RC_SUCCESS)
		return false;
	k->rc = send(k);
	if (k->rc == TSS2_RC_SUCCESS && authorized)
		k->rc = session_accept(k->conn, k->auth, k->session);
	return k->rc != TSS2_RC_SUCCESS && again(k);
}

/* ---- the outcome ---- */

static bool connection_lost(enum rc_action action)
{
	return action == RC_RECONNECT || action == RC_RECONNECT_LOUD;
}

/* A proof that was right can be given again; one that the TPM never looked at, since it lacked the session or the
 * object (a resource manager may lose one when another program dies), has cost nothing. */
static bool costs_no_try(TSS2_RC rc)
{
	uint16_t base = rc_base(rc);

	return rc == TSS2_RC_SUCCESS || (base >= TPM2_RC_REFERENCE_H0 && base <= TPM2_RC_REFERENCE_S6);
}

/* Nobody knows whether the TPM did it. */
static void outcome_unknown(struct call *k)
{
	struct conn *c = k->conn;
	unsigned makes = k->command->flags & (CALL_OBJECT | CALL_SESSION);

	if (!(k->command->flags & CALL_REPEAT))
		c->seq.spent = true;
	c->doubt |= makes;
	if (k->command->flags & CALL_OBJECT && k->makes)
		c->doubt_public = *k->makes;
}

/* Once may have been this command's alone, and what it left is still to be flushed (conn.c asks); twice in a row is
 * failure mode: nothing more is sent on this connection. */
static void poison(struct conn *c, TSS2_RC rc)
{
	c->lost |= c->poisoned;
	c->poisoned = true;
	c->poisoned_by = rc;
	c->poisoned_until = transport_now() + POISON_MS;
}

static CK_RV record_failure(struct call *k, struct rc_answer a)
{
	struct conn *c = k->conn;

	if (k->command->flags & CALL_QUIET)
		return a.rv;
	c->seq.rc = k->rc;
	c->seq.rv = a.rv;
	c->seq.action = a.action;
	c->seq.failed = k->command;
	if (!conn_repeats(c, a.action))
		return rc_failed(k->rc, c->seq.context, k->command->name);
	log_debug("slot %s: %s: 0x%x; %s", c->slot, k->command->name, k->rc, rc_action_name(a.action));
	return a.rv;
}

/* TCTI or SYS: nobody knows what they would give as the next command's answer.  What our own arithmetic says
 * (session.c, with ESYS's codes) leaves the connection as it is. */
static bool way_failed(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	return layer == TSS2_TCTI_RC_LAYER || layer == TSS2_SYS_RC_LAYER;
}

CK_RV call_end(struct call *k)
{
	struct conn *c = k->conn;
	struct rc_answer a;

	if (k->command->flags & CALL_COUNTS && costs_no_try(k->rc))
		c->seq.spent = k->spent;
	if (k->rc == TSS2_RC_SUCCESS) {
		c->poisoned = false;
		if (!(k->command->flags & (CALL_PURE | CALL_REPEAT)))
			c->seq.spent = true;
		if (k->command->flags & CALL_OBJECT && k->makes)
			c->doubt_public = *k->makes; /* its handle may turn out to be none */
		return CKR_OK;
	}
	a = rc_map(k->rc, c->seq.context);
	if (!k->refused && a.action == RC_FINISH_AGAIN)
		c->late = true;
	if (!k->refused && !c->late && (connection_lost(a.action) || way_failed(k->rc)))
		c->lost = true;
	if (!k->refused && a.action == RC_POISON)
		poison(c, k->rc);
	/* No answer, none that can be read, or one from a TPM that says so of everything. */
	if (!k->refused && (c->late || !rc_decode(k->rc).tpm || a.action == RC_POISON))
		outcome_unknown(k);
	return record_failure(k, a);
}

/* ---- commands that repair ---- */

static const struct command startup = {.name = "TPM2_Startup", .flags = CALL_REPEAT | CALL_QUIET};
static const struct command selftest = {.name = "TPM2_SelfTest", .flags = CALL_REPEAT | CALL_QUIET | CALL_SLOW};
static const struct command flush = {.name = "TPM2_FlushContext", .flags = CALL_REPEAT | CALL_PURE | CALL_QUIET};
static const struct command read_public = {.name = "TPM2_ReadPublic", .flags = CALL_REPEAT | CALL_QUIET};

static TSS2_RC ended(struct call *k)
{
	TSS2_RC rc = k->rc;

	if (call_end(k) != CKR_OK)
		log_debug("slot %s: %s: 0x%x", k->conn->slot, k->command->name, rc);
	return rc;
}

TSS2_RC call_startup(struct conn *c)
{
	struct call k = {0};

	call_begin(&k, c, &startup);
	while (call_try(&k, Tss2_Sys_Startup_Prepare(k.sys, TPM2_SU_CLEAR)))
		;
	return ended(&k);
}

/* No retry loop of its own: TPM2_RC_TESTING says that the test has begun, and the command that wanted it waits. */
TSS2_RC call_selftest(struct conn *c)
{
	struct call k = {0};

	call_begin(&k, c, &selftest);
	if (!k.refused) {
		k.rc = Tss2_Sys_SelfTest_Prepare(k.sys, TPM2_NO);
		if (k.rc == TSS2_RC_SUCCESS)
			k.rc = send(&k);
	}
	if (rc_base(k.rc) == TPM2_RC_TESTING)
		k.rc = TSS2_RC_SUCCESS;
	return ended(&k);
}

/* The TPM knows no such handle, at a handle's place or a parameter's, or has nothing loaded there. */
static bool not_there(TSS2_RC rc)
{
	struct rc_parts p = rc_decode(rc);
	uint16_t base = rc_base(rc);

	return p.tpm && (p.place == RC_PLACE_HANDLE || p.place == RC_PLACE_PARAMETER ||
			 (base >= TPM2_RC_REFERENCE_H0 && base <= TPM2_RC_REFERENCE_S6));
}

enum call_found call_name(struct conn *c, TPM2_HANDLE handle, TPM2B_NAME *ret, TPM2B_PUBLIC *ret_public)
{
	TPM2B_PUBLIC public = {0};
	TPM2B_NAME name = {0}, qualified = {0};
	struct call k = {0};
	TSS2_RC rc;

	call_begin(&k, c, &read_public);
	while (call_try(&k, Tss2_Sys_ReadPublic_Prepare(k.sys, handle)))
		;
	if (k.rc == TSS2_RC_SUCCESS)
		k.rc = Tss2_Sys_ReadPublic_Complete(k.sys, &public, &name, &qualified);
	rc = ended(&k);
	if (rc != TSS2_RC_SUCCESS)
		return not_there(rc) ? CALL_NOT_THERE : rc_base(rc) == TPM2_RC_SEQUENCE ? CALL_SEQUENCE : CALL_UNKNOWN;
	*ret = name;
	if (ret_public)
		*ret_public = public;
	return CALL_FOUND;
}

/* The TPM says that nothing is there to be flushed: true for an object of ours only if its name can't be read either.
 * Sessions have no name; held_settle() looks for them. */
static bool gone_indeed(struct conn *c, TPM2_HANDLE handle)
{
	TPM2B_NAME name;

	if (handle >> TPM2_HR_SHIFT == TPM2_HT_TRANSIENT)
		return call_name(c, handle, &name, NULL) == CALL_NOT_THERE;
	c->doubt |= CALL_SESSION;
	return true;
}

bool call_flush(struct conn *c, TPM2_HANDLE handle)
{
	struct call k = {0};
	TSS2_RC rc;

	call_begin(&k, c, &flush);
	while (call_try(&k, Tss2_Sys_FlushContext_Prepare(k.sys, handle)))
		;
	rc = ended(&k);
	if (rc != TSS2_RC_SUCCESS && !(not_there(rc) && gone_indeed(c, handle))) {
		c->seq.unflushed = rc;
		return false;
	}
	held_forget(c, handle);
	return true;
}

/* What the files of the connection share: transport.c, call.c, conn.c, caps.c, handles.c, command.c, session.c. */
#ifndef TPM_CONN_PRIVATE_H
#define TPM_CONN_PRIVATE_H

#include "conn.h"
#include "handles.h"
#include "lock.h"
#include "session.h"
#include "stream.h"
#include "whole.h"

/* Of each command: what repeating it would do. */
enum {
	CALL_REPEAT = 1,       /* may be sent again when its answer was lost */
	CALL_PURE = 2,         /* leaves nothing in the TPM that outlives a session or a flush */
	CALL_COUNTS = 4,       /* a wrong authValue costs a try: never repeated once it was sent (R22) */
	CALL_OBJECT = 8,       /* leaves a transient object */
	CALL_SESSION = 16,     /* leaves a session */
	CALL_SLOW = 32,        /* makes a key: the answer may take long */
	CALL_QUIET = 64        /* a failure is neither logged nor remembered */
};

struct command {
	const char *name; /* as in Part 3, for the log */
	unsigned flags;
};

/* One command under way. */
struct call {
	struct conn *conn;
	const struct command *command;
	TSS2_SYS_CONTEXT *sys;
	const struct entity *names[3]; /* of all handles, in order */
	size_t n_names;
	const struct entity *auth;     /* authorized; NULL: none, or the session only encrypts */
	struct session *session;       /* NULL: password if there is `auth` */
	const TPM2B_PUBLIC *makes;     /* CALL_OBJECT: how to know the object again if the answer is lost */
	TSS2_RC rc;
	unsigned tries;
	bool refused;                  /* rc was set before anything could be sent */
	bool spent;                    /* the sequence could not be repeated before this command either */
};

/* call_begin(); while (call_try(&k, Tss2_Sys_…_Prepare(k.sys, …))) ; then call_end(). */
void call_begin(struct call *k, struct conn *c, const struct command *command);
/* Sends the prepared command and takes its answer.  True: prepare it again and call again (busy TPM, full TPM). */
bool call_try(struct call *k, TSS2_RC prepared) MUST_CHECK;
/* Records what failed; maps it.  k->rc: the result of call_try(), then of _Complete. */
CK_RV call_end(struct call *k) MUST_CHECK;

/* ---- places in the TPM (handles.c) ---- */

/* Objects and sessions of the running sequence, and cached keys. */
struct held_object {
	TPM2_HANDLE handle; /* 0: free */
	TPM2B_NAME name;
	bool doubtful;      /* nobody knows whether it is still there: not used any more, nor flushed unseen */
};
struct held_key {
	struct held_object object;
	uint8_t id[16];
	uint64_t used; /* number of the sequence that used it last */
};
#define HELD_KEYS_MAX 2
struct held {
	struct held_object scratch[CONN_MAX_OBJECTS];
	struct held_key keys[HELD_KEYS_MAX];
	TPM2_HANDLE sessions[CONN_MAX_SESSIONS];
	TPM2_HANDLE storage;    /* the scratch object that is a storage key, 0: none */
	struct held_key staying; /* the token's storage key, where it isn't persistent; without an id */
};

/* Room for one more; CKR_DEVICE_MEMORY when all places are in use by this very sequence. */
CK_RV held_room_object(struct conn *c) MUST_CHECK;
CK_RV held_room_session(struct conn *c) MUST_CHECK;
void held_add_object(struct conn *c, TPM2_HANDLE handle, const TPM2B_NAME *name);
void held_add_session(struct conn *c, TPM2_HANDLE handle);
void held_forget(struct conn *c, TPM2_HANDLE handle); /* it is flushed */
/* Flushes the least recently used cached key that this sequence doesn't use, or, when there is none, the storage key if
 * that isn't in use.  False: neither. */
bool held_evict(struct conn *c);
void held_tidy(struct conn *c);       /* after a sequence: sessions and scratch objects */
void held_flush_all(struct conn *c);  /* before closing a bare TPM */
void held_forget_all(struct conn *c);
bool held_any(const struct conn *c);
/* On a bare TPM after a reconnection: keeps the keys that are still there, flushes what else is ours. */
void held_verify(struct conn *c);
/* At what couldn't be looked at then: what is doubtful is used again, or forgotten. */
void held_look_again(struct conn *c);
/* After an answer was lost: flushes what the command may have left. */
void held_settle(struct conn *c);
/* When a bare TPM is full, and waiting hasn't helped: flushes what a process left that was killed.  CALL_SESSION: all
 * sessions but ours; CALL_OBJECT: objects like ours.  A bare TPM has one connection at a time, which is this one, and no
 * process of ours leaves anything when it closes its own.  False: nothing was flushed. */
bool held_reclaim(struct conn *c, unsigned kind);

/* ---- transport (transport.c) ---- */

struct transport {
	TSS2_TCTI_CONTEXT *tcti;
	struct whole whole;    /* between the two */
	TSS2_SYS_CONTEXT *sys;
	_Atomic bool managed;  /* a resource manager is behind it; read without the lock */
	bool device;           /* a device node; else a socket */
	struct stream stream;  /* of a TCTI without a poll handle */
	bool pollable;
	bool complained;       /* the reason for not connecting stands in the log */
};

/* CKR_OK, or why not: CKR_HOST_MEMORY, else CKR_DEVICE_REMOVED; *ret_rc is the raw code.  Logged once. */
CK_RV transport_open(struct transport *t, const char *slot, const char *tcti, TSS2_RC *ret_rc) MUST_CHECK;
void transport_close(struct transport *t);
void transport_abandon(struct transport *t); /* in a forked child */
/* Sends what SYS has prepared and waits for the answer.  TSS2_TCTI_RC_TRY_AGAIN: none within wait_ms. */
TSS2_RC transport_exchange(struct transport *t, int wait_ms) MUST_CHECK;
/* Waits once more for the answer of a command whose deadline has passed. */
TSS2_RC transport_late(struct transport *t, int wait_ms) MUST_CHECK;
/* Whether that lies in SYS's memory: it takes the sizes in an answer from the TPM, unchecked. */
bool transport_within(const struct transport *t, const uint8_t *p, size_t n) MUST_CHECK;
int64_t transport_now(void); /* ms, monotonic */
void transport_sleep(int ms);

/* ---- the connection ---- */

struct sequence {
	bool running, spent;
	enum rc_context context;
	int64_t retry_until;   /* ms; what is left of the call's patience */
	TSS2_RC rc;            /* of the last failure */
	CK_RV rv;
	enum rc_action action;
	const struct command *failed;
	unsigned repaired;     /* a bit of each rc_action that led to a repetition: each does so once */
	TSS2_RC unflushed;     /* what the TPM said to the last TPM2_FlushContext that failed */
	unsigned reclaimed;    /* CALL_OBJECT, CALL_SESSION: what the dead had left was looked for already */
};

struct caps {
	/* Of this connection: */
	bool have_fixed, have_variable, have_bus;
	bool bus;              /* can be tapped, for all that is proven */
	struct conn_properties properties;
	/* Over connections, as far as have_… says: */
	bool have_identity, have_algs, have_commands, have_curves, have_rsa;
	struct conn_memory tables;
};
/* For a new connection: forgets what mustn't be believed any longer. */
void caps_reconnected(struct caps *caps);

struct conn {
	char *slot, *tcti;
	enum conn_bus bus;
	struct lock *lock;
	struct transport transport;
	struct session_math *math;
	bool lost;             /* the transport is no longer usable: closed before the next use */
	bool late;             /* the answer of a command is still outstanding */
	bool overdue;           /* none came in time for the next sequence either, and it asked for a new connection */
	int64_t poisoned_until;
	TSS2_RC poisoned_by;   /* what is said until then */
	unsigned doubt;        /* CALL_OBJECT, CALL_SESSION: an answer was lost that may have left one */
	TPM2B_PUBLIC doubt_public;
	bool rebuild_storage;  /* the storage key's saved context is not to be trusted */
	uint64_t sequences;
	/* Read without the lock: */
	_Atomic bool poisoned;
	_Atomic uint64_t generation, commands, learnt;
	struct sequence seq;
	struct held held;
	struct caps caps;
};

/* Whether a failure with this action leads to the sequence's repetition; each action does once. */
bool conn_repeats(const struct conn *c, enum rc_action action);
/* conn_run(), or nothing and CKR_OK where there is no connection that works. */
CK_RV conn_run_connected(struct conn *c, enum rc_context context, conn_body *body, void *arg) MUST_CHECK;
/* Records a failure found without a TPM's answer; returns rv. */
CK_RV conn_fail(struct conn *c, CK_RV rv);

/* TPM2_Startup(CLEAR), TPM2_SelfTest: parts of repairs, never logged as failures. */
TSS2_RC call_startup(struct conn *c) MUST_CHECK;
TSS2_RC call_selftest(struct conn *c) MUST_CHECK;
/* TPM2_FlushContext without a record of its failure.  False: it is still there; the next held_tidy() tries again. */
bool call_flush(struct conn *c, TPM2_HANDLE handle);
/* TPM2_ReadPublic without a record of its failure. */
enum call_found { CALL_FOUND, CALL_NOT_THERE, CALL_SEQUENCE /* which has none */, CALL_UNKNOWN };
enum call_found call_name(struct conn *c, TPM2_HANDLE handle, TPM2B_NAME *ret, TPM2B_PUBLIC *ret_public) MUST_CHECK;

/* ---- session arithmetic (session_math.c): libcrypto objects fetched once, used under the connection's lock ---- */

struct session_math;
struct session_math *session_math_new(void); /* NULL: no memory */
void session_math_free(struct session_math *m);
/* A fresh nonceCaller, as long as the hash of our sessions. */
#define NONCE_SIZE 32
bool math_nonce(struct session_math *m, TPM2B_NONCE *ret) MUST_CHECK;
bool math_hash(struct session_math *m, const struct bytes *pieces, size_t n, uint8_t out[32]) MUST_CHECK;
bool math_hmac(struct session_math *m, struct bytes key, const struct bytes *pieces, size_t n,
	       uint8_t out[32]) MUST_CHECK;
/* AES-128-CFB in place; key and IV are the halves of key_iv. */
bool math_cfb(struct session_math *m, const uint8_t key_iv[32], bool encrypt, uint8_t *data, size_t n) MUST_CHECK;

/* A salt for a session (label "SECRET") or a duplicate's seed ("DUPLICATE"), of the size of the key's nameAlg, and its
 * encrypted form (Part 1, 19.6.12 and Annex B.10.2, C.6.1). */
struct salt {
	uint8_t b[64];
	size_t len;
};
CK_RV salt_make(const TPM2B_PUBLIC *key, const char *label, struct salt *ret,
		TPM2B_ENCRYPTED_SECRET *ret_secret) MUST_CHECK;

#endif

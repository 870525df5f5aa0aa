/* One slot's connection to its TPM: transport, deadlines, retries, reconnection, what the TPM can do, and the few
 * places that we take in it.
 *
 * Everything that sends commands is a *sequence*: a function run by conn_run() with the connection's lock held.
 * Before it, the connection is made if there is none; after it, every session and every object that isn't in the key
 * cache is flushed (R14, R15; Part 1, 19.6: only a success ends a session).  When a command fails because the
 * connection, a session or a handle was lost, the whole sequence runs again on a repaired connection, once for each kind
 * of loss, unless a command that must not be repeated has been sent in it (R17, R22). */
#ifndef TPM_CONN_H
#define TPM_CONN_H

#include <tss2/tss2_sys.h>

#include "bytes.h"
#include "rc.h"

/* At any moment (R14); parent and scratch objects included. */
#define CONN_MAX_OBJECTS 3
#define CONN_MAX_SESSIONS 3

/* Whether someone may listen between the processor and the TPM (R15). */
enum conn_bus { BUS_AUTO, BUS_PROTECTED, BUS_TRUSTED };

struct conn_conf {
	const char *slot;   /* the slot's name, for log lines; borrowed for the connection's life */
	const char *tcti;   /* TctiLdr's configuration string; NULL: device:/dev/tpmrm0.  Copied */
	enum conn_bus bus;
};

struct conn;

/* Makes one without sending or opening anything.  CKR_HOST_MEMORY, or lock_new()'s. */
CK_RV conn_new(const struct conn_conf *conf, struct conn **ret) MUST_CHECK;
/* Flushes what is ours in the TPM, closes, frees.  NULL is fine. */
void conn_free(struct conn *c);
/* In a forked child: closes the inherited descriptors without sending a byte; the transport's memory stays, since its
 * own destructors could send.  conn_free() follows. */
void conn_forked(struct conn *c);

/* A sequence of commands.  CK_RVs of commands are returned unchanged, so that conn_run() can see what failed. */
typedef CK_RV conn_body(struct conn *c, void *arg);

/* Runs body(c, arg) as described above.  `context` is what its commands are for, until conn_context() says otherwise.
 * The body may run several times: it starts from its arguments each time, and releases what it made in memory when it fails.
 * Not to be nested.  Returns the body's result, or that of connecting:
 * CKR_TOKEN_NOT_PRESENT (RC_PROBE), CKR_DEVICE_REMOVED (else), CKR_DEVICE_ERROR (failure mode), CKR_HOST_MEMORY. */
CK_RV conn_run(struct conn *c, enum rc_context context, conn_body *body, void *arg) MUST_CHECK;
/* Connects if there is no connection, and sends at most what that takes; no TPM command.  A TPM that is busy or in
 * failure mode is there, too: CKR_OK.  Else CKR_TOKEN_NOT_PRESENT or CKR_HOST_MEMORY. */
CK_RV conn_probe(struct conn *c) MUST_CHECK;

/* ---- inside a sequence ---- */

/* What the commands from here on are for; returns what they were for. */
enum rc_context conn_context(struct conn *c, enum rc_context context);
/* The raw code of the last command that failed in this sequence; 0: none.  To be asked inside it: afterwards another
 * thread's sequence may have begun. */
TSS2_RC conn_rc(const struct conn *c);
/* The same, without layer and position: TPM2_RC_NV_DEFINED … (rc_base()). */
uint16_t conn_rc_base(const struct conn *c);
/* Forbids that the sequence is repeated from here on: it did something outside the TPM that must not be done twice. */
void conn_spend(struct conn *c);

/* ---- state ---- */

/* Changes with each new connection: transient handles and sessions of another generation are void. */
uint64_t conn_generation(const struct conn *c);
/* CKF_ERROR_STATE: the TPM said that it is in failure mode, and no command has succeeded since. */
bool conn_poisoned(const struct conn *c);
/* Commands sent since conn_new(), for budget tests. */
uint64_t conn_commands(const struct conn *c);
/* A resource manager stands between us and the TPM. */
bool conn_managed(const struct conn *c);

/* ---- what the TPM can do: each group is asked when first wanted; inside a sequence ----
 *
 * Properties are asked once per connection.  Tables (algorithms, commands, curves, key sizes) are learnt once, and
 * believed over reconnections and from process to process (memory.h), until the fixed properties say that this is
 * another TPM, or another firmware: then they are asked anew. */

#define CONN_MAX_CURVES 16
#define CONN_RSA_SIZES 4
#define CONN_IDENTITY 14  /* TPM2_PT_FAMILY_INDICATOR to TPM2_PT_INPUT_BUFFER */

/* A GetCapability for each half.  The second changes while we look: conn_refresh() asks for it again. */
struct conn_properties {
	uint32_t manufacturer;           /* TPM2_PT_MANUFACTURER, four ASCII characters big-endian */
	char manufacturer_text[5], vendor[17];
	uint32_t firmware[2], revision;  /* TPM2_PT_FIRMWARE_VERSION_1, _2; TPM2_PT_REVISION (100 = 1.00) */
	uint32_t nv_buffer_max, input_buffer_max, max_digest;
	bool owner_auth_set, endorsement_auth_set, lockout_auth_set, in_lockout; /* TPMA_PERMANENT */
	uint32_t lockout_counter, max_auth_fail, lockout_interval, lockout_recovery; /* tries, tries, s, s */
};
CK_RV conn_properties(struct conn *c, const struct conn_properties **ret) MUST_CHECK;
CK_RV conn_refresh(struct conn *c, const struct conn_properties **ret) MUST_CHECK;
/* Whether TPM2_ALG_… is implemented. */
CK_RV conn_has_alg(struct conn *c, TPM2_ALG_ID alg, bool *ret) MUST_CHECK;
/* Whether TPM2_CC_… is. */
CK_RV conn_has_command(struct conn *c, TPM2_CC command, bool *ret) MUST_CHECK;
CK_RV conn_has_curve(struct conn *c, TPM2_ECC_CURVE curve, bool *ret) MUST_CHECK;
/* Which of 1024, 2048, 3072, 4096 bits keys may have, ascending; a TestParms for each, once. */
CK_RV conn_rsa_sizes(struct conn *c, const uint16_t **ret, size_t *ret_n) MUST_CHECK;
/* TPM2_PT_INPUT_BUFFER, believed as the tables are. */
CK_RV conn_input_max(struct conn *c, size_t *ret) MUST_CHECK;
/* All tables, and whose they are. */
struct conn_memory {
	uint32_t identity[CONN_IDENTITY];
	uint8_t algs[32];      /* a bit for each TPM_ALG_ID below 256 */
	uint8_t commands[32];  /* a bit for each TPM_CC from 0x100 to 0x1ff */
	uint16_t curves[CONN_MAX_CURVES];
	size_t n_curves;
	uint16_t rsa[CONN_RSA_SIZES];
	size_t n_rsa;
};
/* Asks for what isn't known of it yet. */
CK_RV conn_learn(struct conn *c, struct conn_memory *ret) MUST_CHECK;
/* What an earlier process has learnt, where this one has learnt nothing yet.  Not inside a sequence. */
void conn_recall(struct conn *c, const struct conn_memory *memory);
/* Another number each time that tables were disbelieved: what was made of them is void. */
uint64_t conn_learnt(const struct conn *c);
/* Whether signatures need a session of their own: the configuration, or with `auto` whether this TPM sits on a bus
 * that can be tapped, told by its manufacturer.  *ret_sure false: whoever sits on the bus could have given that answer
 * himself; conn_prove_bus() is to be asked, once per connection. */
CK_RV conn_protected(struct conn *c, bool *ret, bool *ret_sure) MUST_CHECK;
/* The same from an answer under a session that is salted with the TPM's own key.  Two commands. */
struct salt_key;
CK_RV conn_prove_bus(struct conn *c, const struct salt_key *salt, bool *ret) MUST_CHECK;

#endif

/* The contract between the Cryptoki front and a token backend.
 *
 * The front (module/) owns what an application can see: handles, session and login state, templates, attribute
 * policy, buffer-size queries, locks, priorities of errors.  A backend (tpm/, keyring/) owns where secrets live and
 * what it takes to use them.  For every call below:
 *   - the front holds this slot's lock, except in op_update, op_finish, op_free, random and seed, which run without
 *     it, on several threads at once (but one operation on one thread at a time); op_finish may run with it too, where
 *     a key is wrapped, unwrapped or derived;
 *   - a backend takes no lock of the front's and calls nothing in the front but the callbacks it was handed;
 *   - the result is a CKR_ code that the front may return unchanged, already chosen by priority (rv_prefer);
 *   - outputs ("ret…") are written on CKR_OK only, and then all of them;
 *   - a call that fails leaves the token as it was (R7 to R11);
 *   - a call marked "optional" may be NULL: the front then answers CKR_FUNCTION_NOT_SUPPORTED;
 *   - PINs and plaintext are borrowed for the call; any copy is wiped before return. */
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include "attrs.h"
#include "bytes.h"
#include "conf.h"
#include "crypto.h"

#define TOKEN_OPS_ABI 2u

struct token_ops;
struct token_op; /* a running operation; defined by the backend */

/* A backend embeds this as the first member of its own struct.  One per slot. */
struct token {
	const struct token_ops *ops;
};

/* C strings; the front pads them for Cryptoki. */
struct token_info {
	char description[65];  /* of the slot */
	char label[33], manufacturer[33], model[17], serial[17];
	CK_VERSION hardware, firmware;
	CK_ULONG pin_min, pin_max;
	CK_FLAGS flags;        /* CKF_TOKEN_INITIALIZED, CKF_USER_PIN_INITIALIZED, CKF_LOGIN_REQUIRED, CKF_RNG,
	                          CKF_WRITE_PROTECTED, CKF_ERROR_STATE, PIN counters … */
	bool hardware_slot;    /* CKF_HW_SLOT */
	bool removable;        /* CKF_REMOVABLE_DEVICE; constant for a slot */
	bool brief;            /* asked by C_OpenSession: PIN counters and versions may be missing; but whether this is
	                          the token's hardware is to be known (CKR_TOKEN_NOT_RECOGNIZED) */
	bool replaced;         /* answers `brief`: the backend had seen another token here, and sync() hasn't said yet
	                          that it is gone; now it doesn't any more */
};

/* What the token can do with a *base* mechanism: a mechanism without a digest in its name (CKM_RSA_PKCS, CKM_ECDSA,
 * CKM_SHA256_HMAC, CKM_AES_CBC_PAD, CKM_EC_KEY_PAIR_GEN …).  flags: CKF_SIGN, DECRYPT, ENCRYPT, VERIFY (secret keys;
 * of public keys the front does both), DERIVE, GENERATE, GENERATE_KEY_PAIR, and CKF_HW if outside this process.  Sizes
 * in the units of CK_MECHANISM_INFO.  The front adds digests, the mechanisms that hash first, public-key work, and
 * wrapping and unwrapping, which are encryption and decryption to a backend. */
struct token_mech {
	CK_MECHANISM_TYPE type;
	CK_ULONG min, max;
	CK_FLAGS flags;
};

/* One object.  `id` is unique in the token and the same after each reload and in each process.  `attrs` has every
 * attribute of the object that this process may hold, defaults filled in; the front decides what an application sees
 * of them.  What never leaves the backend (a TPM blob, a key serial) is behind `priv`.  Never changed once the front
 * has it: a change makes a new one with the same id. */
struct token_obj {
	uint8_t id[16];
	struct attrs *attrs;
	void *priv;
};

/* Where a new object comes from.  Templates arrive policy-checked, with defaults filled in, for all kinds.
 * CREATE, UNWRAP and DERIVE bring the key's value along (the front has decrypted or derived it with op_*), completed
 * by soft_complete(): to a backend they are the same, but for what its log says.
 * An application may ask for a place by CKA_SIGNET_PLACE (see the end): a backend that can't keep the key there says
 * CKR_TEMPLATE_INCONSISTENT. */
enum make_kind { MAKE_CREATE, MAKE_GENERATE, MAKE_UNWRAP, MAKE_DERIVE, MAKE_COPY };
struct make_req {
	enum make_kind kind;
	CK_MECHANISM_TYPE mech;          /* GENERATE */
	const struct token_obj *base;    /* COPY: the original */
	const struct attrs *tmpl;        /* the object; of a pair the public half */
	const struct attrs *tmpl_priv;   /* of a pair the private half, else NULL */
	bool persist;                    /* false: a session object, nothing is stored */
};

enum token_user { TOKEN_USER, TOKEN_SO };
/* OP_DERIVE: CKM_ECDH1_DERIVE (the cofactor form too: that of all curves here is 1).  op_finish() takes the other
 * party's point, uncompressed (4, x, y), and gives the shared x, as long as the field.  A point that isn't on the curve:
 * CKR_MECHANISM_PARAM_INVALID.  The key derivation function is the front's. */
enum op_kind { OP_ENCRYPT, OP_DECRYPT, OP_SIGN, OP_VERIFY, OP_DERIVE, OP_KINDS };

/* A mechanism with its parameters, checked and flattened.  Everything is borrowed for op_begin(). */
struct scheme {
	CK_MECHANISM_TYPE type;    /* the base mechanism */
	const struct hash *hash;   /* RSA and ECDSA: the input is a digest of this; CKM_RSA_PKCS then wraps it in a
	                              DigestInfo.  OAEP: the label's hash.  HMAC: its hash.  NULL: input as it is.
	                              ECDH: nothing in here is for the backend; the front tells schemes apart by it */
	const struct hash *mgf;    /* PSS, OAEP */
	size_t salt_len;           /* PSS, bytes */
	struct bytes label;        /* OAEP */
	struct bytes iv;           /* AES modes; CTR: the counter block; KEY_WRAP, KWP: empty for the standard's */
	struct bytes aad;          /* GCM */
	size_t tag_len;            /* GCM tag, _HMAC_GENERAL and CMAC_GENERAL length, bytes */
	unsigned counter_bits;     /* CTR */
};

/* How sync() tells the front what is there. */
struct token_view {
	/* A new object, or a known id with new attributes.  Takes ownership of obj also on failure. */
	CK_RV (*put)(void *ctx, struct token_obj *obj) MUST_CHECK;
	/* An object that is gone, or no longer to be seen. */
	void (*drop)(void *ctx, const uint8_t id[16]);
	void *ctx;
};

struct token_ops {
	uint32_t abi;      /* TOKEN_OPS_ABI; checked at registration */
	const char *name;  /* the configuration's `type` */

	/* ---- lifetime ---- */

	/* The token of one slot.  Checks the section's keys; touches no hardware and no store (C_Initialize sends no
	 * TPM command).  `conf` outlives the token. */
	CK_RV (*open)(const struct conf_section *conf, struct token **ret) MUST_CHECK;
	/* In a forked child: give up inherited connections and cross-process locks without sending a byte (design 7).
	 * Called at once, by the fork handler, and again by the child's C_Initialize; free() never follows.  Another
	 * thread of the parent's may have been anywhere: takes no lock, allocates nothing, only stores and close(2). */
	void (*forked)(struct token *tok);
	/* C_Finalize: releases everything, in the TPM too.  NULL is fine. */
	void (*free)(struct token *tok);

	/* ---- description ---- */

	/* Is a token there?  As cheap as it can be; opens the connection at most.
	 * CKR_OK, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED, CKR_HOST_MEMORY. */
	CK_RV (*probe)(struct token *tok) MUST_CHECK;
	/* CKR_OK also for a token that isn't initialized.  Slot strings and hardware_slot are set on every code. */
	CK_RV (*info)(struct token *tok, struct token_info *ret) MUST_CHECK;
	/* A table that lives as long as tok. */
	CK_RV (*mechs)(struct token *tok, const struct token_mech **ret, size_t *ret_n) MUST_CHECK;

	/* ---- PINs; these alone decide CKR_PIN_INCORRECT and CKR_PIN_LOCKED, length limits are theirs too ---- */

	/* C_InitToken.  On an initialized token so_pin must be the SO's.  label: 32 bytes, blank-padded. */
	CK_RV (*init_token)(struct token *tok, struct bytes so_pin, const uint8_t label[32]) MUST_CHECK; /* optional */
	/* C_InitPIN: the SO has logged in. */
	CK_RV (*init_pin)(struct token *tok, struct bytes pin) MUST_CHECK; /* optional */
	CK_RV (*set_pin)(struct token *tok, enum token_user who, struct bytes old, struct bytes pin) MUST_CHECK; /* optional */
	CK_RV (*login)(struct token *tok, enum token_user who, struct bytes pin) MUST_CHECK;
	/* CKA_ALWAYS_AUTHENTICATE: proves the user's PIN again; it counts.  `op` is the operation that waits for it: a key
	 * that isn't the token's own may have a PIN of its own. */
	CK_RV (*reauth)(struct token *tok, struct token_op *op, struct bytes pin) MUST_CHECK;
	/* Wipes what login gave; cannot fail.  Operations under way are the front's to end. */
	void (*logout)(struct token *tok);

	/* ---- objects ---- */

	/* Tells the view what changed in the store since the last sync(), by this process or another (R13); the first
	 * time, everything.  Private objects are told after login() only, and forgotten as told at logout().
	 * Cheap when nothing changed: one or two system calls, no TPM command.
	 * CKR_DEVICE_REMOVED: the token is gone or was re-initialized: its sessions end.  A damaged record is skipped. */
	CK_RV (*sync)(struct token *tok, const struct token_view *view) MUST_CHECK;
	/* Makes ret[0] (of a pair the public half) and, for a pair, ret[1].  With persist, one commit (R7); the new
	 * objects count as told. */
	CK_RV (*make)(struct token *tok, const struct make_req *req, struct token_obj *ret[2]) MUST_CHECK;
	/* Changes attributes of a stored object: reads its record again under the token's cross-process lock, so that
	 * no other process's change is lost.  Returns the new state; obj stays valid. */
	CK_RV (*update)(struct token *tok, const struct token_obj *obj, const struct attrs *changes,
			struct token_obj **ret) MUST_CHECK;
	/* Removes a stored object.  CKR_OBJECT_HANDLE_INVALID if it is gone already. */
	CK_RV (*destroy)(struct token *tok, const struct token_obj *obj) MUST_CHECK;
	/* Releases memory (and, of a session object, what it holds in the TPM or the kernel).  Any lock state. */
	void (*obj_free)(struct token *tok, struct token_obj *obj);
	/* Bytes that the object takes in the store (C_GetObjectSize). */
	CK_RV (*obj_size)(struct token *tok, const struct token_obj *obj, size_t *ret) MUST_CHECK;

	/* The key's own sealed form, for other programs that use the same hardware, under a new authorization value; the
	 * stored key keeps its own.  Appends to *out.  CKR_KEY_NOT_WRAPPABLE for an object that has no such form. */
	CK_RV (*export_key)(struct token *tok, const struct token_obj *obj, struct bytes auth,
			    struct buffer *out) MUST_CHECK; /* optional: CKR_MECHANISM_INVALID */

	/* ---- operations with a private or secret key ---- */

	/* `key` outlives the operation.  *ret_max: the most bytes that op_finish() alone can give. */
	CK_RV (*op_begin)(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
			  struct token_op **ret, size_t *ret_max) MUST_CHECK;
	/* The exact number of bytes that op_update(in_len) or, with `final`, op_finish(in_len) will give, or an upper
	 * bound where the data decide (unpadding). */
	size_t (*op_size)(const struct token_op *op, size_t in_len, bool final);
	/* Streaming ciphers and MACs only.  out may overlap in exactly (same pointer). */
	CK_RV (*op_update)(struct token_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
	/* Last input (may be empty) and result.  For OP_VERIFY (MACs) `out` holds the MAC to compare, out->len bytes.
	 * out->cap is at least op_size(). */
	CK_RV (*op_finish)(struct token_op *op, struct bytes in, struct outbuf *out) MUST_CHECK;
	void (*op_free)(struct token_op *op); /* at any time; NULL is fine */

	/* ---- random numbers ---- */

	CK_RV (*random)(struct token *tok, uint8_t *out, size_t n) MUST_CHECK;
	CK_RV (*seed)(struct token *tok, struct bytes in) MUST_CHECK; /* optional: CKR_RANDOM_SEED_NOT_SUPPORTED */
};

/* The attribute that says where a private or secret key is used: an ASCII word "tpm", "kernel" or "process".  In the
 * template of a new key it asks for that place. */
#define CKA_SIGNET_PLACE (CKA_VENDOR_DEFINED | 0x53470001UL)

/* C_WrapKey with it gives export_key()'s form: of a TPM key a "TSS2 PRIVATE KEY" in PEM.  The wrapping key is the
 * hardware's own, so hWrappingKey is CK_INVALID_HANDLE; the parameter is the new authorization value, or none. */
#define CKM_SIGNET_TSS2_KEY (CKM_VENDOR_DEFINED | 0x53470001UL)

#endif

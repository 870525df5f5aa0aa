/* A TPM token under test: a software TPM and a directory of its own, and a front that only keeps count. */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "swtpm.h"
#include "tpm_token.h"

#define RIG_MAX 64

struct rig {
	struct swtpm tpm;
	char dir[64], store[80];
	struct conf_section *conf;
	struct token *tok;
	/* What the view was told and still stands. */
	struct token_obj *seen[RIG_MAX];
	size_t n_seen;
	unsigned puts, drops;
	struct token_view view;
};

/* `key`, `value`: one more line of the section, or NULL. */
void rig_start(struct rig *r, const char *key, const char *value);
void rig_stop(struct rig *r);
/* Another process's token on the same TPM and directory. */
struct token *rig_open_again(const struct rig *r);
/* Forgets the token as C_Finalize does, and opens it again. */
void rig_reopen(struct rig *r);
CK_RV rig_sync(struct rig *r);
/* The told object with that class and CKA_LABEL, or NULL. */
struct token_obj *rig_find(const struct rig *r, CK_OBJECT_CLASS class, const char *label);
/* C_InitToken, C_InitPIN: SO PIN "so-1234", user PIN "user-1234". */
void rig_init(struct rig *r);
void rig_login(struct rig *r);
uint64_t rig_commands(const struct token *tok);
/* Transient objects in the TPM, asked on the token's own connection. */
size_t rig_held(const struct rig *r);

struct attrs *rig_attrs(CK_OBJECT_CLASS class, CK_KEY_TYPE type, const char *label, bool private);
enum rig_curve { P256, P384 };
/* A key pair with that label; ret[0] public, ret[1] private. */
CK_RV rig_rsa(struct rig *r, const char *label, bool persist, bool private, struct token_obj *ret[2]);
CK_RV rig_ec(struct rig *r, enum rig_curve curve, const char *label, bool persist, bool private,
	     struct token_obj *ret[2]);
/* One operation from beginning to end. */
CK_RV rig_op(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
	     struct bytes in, struct outbuf *out);

#define PIN_USER BYTES("user-1234", 9)
#define PIN_SO BYTES("so-1234", 7)

#endif

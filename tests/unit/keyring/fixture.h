/* A keyring token in a session keyring of its own, and a front that only remembers what it was told. */
#ifndef TEST_KEYRING_FIXTURE_H
#define TEST_KEYRING_FIXTURE_H

#include <criterion/criterion.h>

#include "kr_token.h"
#include "state.h"

#define MAX_TOLD 64

struct front {
	struct token *tok;
	struct conf_section *conf;
	struct token_obj *told[MAX_TOLD];
	size_t n, puts, drops;
};

/* .init of every test: the process leaves its session keyring for a new one. */
void fresh_session(void);

/* keyring = where; the rest of the section as pairs, NULL at the end. */
void front_open(struct front *f, const char *where, ...) __attribute__((sentinel));
void front_close(struct front *f);
/* One sync; what was told is in f->told. */
CK_RV front_sync(struct front *f);
/* As C_DestroyObject: the front takes out what it destroyed itself. */
CK_RV front_destroy(struct front *f, const struct token_obj *o);
struct token_obj *front_find(struct front *f, const char *label);

/* C_InitToken with SO PIN "so-pin" and, with user, the user PIN "1234" set by the SO. */
void init_token(struct front *f, bool user);
CK_RV login(struct front *f, enum token_user who, const char *pin);

#define STR(s) BYTES(s, strlen(s))

/* A template: CKO_DATA with a label and a value. */
struct attrs *data_template(const char *label, size_t value_len, bool private);
CK_RV make_data(struct front *f, const char *label, size_t value_len, bool private, struct token_obj **ret);
CK_RV set_label(struct front *f, const struct token_obj *o, const char *label, struct token_obj **ret);
bool has_label(const struct token_obj *o, const char *label);
/* EC P-256 pair. */
CK_RV make_pair(struct front *f, const char *label, struct token_obj *ret[2]);

/* Everything in the ring, serials and payloads but the reserve's, the counter's and what is in the stage, as one digest. */
struct digest {
	uint8_t b[32];
};
struct digest ring_digest(key_serial_t ring);
bool digest_equal(struct digest a, struct digest b);
static inline struct kr_token *kr(struct front *f)
{
	return (struct kr_token *)f->tok;
}

#endif

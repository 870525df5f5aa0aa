/* What the tests of module/soft share: hex, keys, and operations run in every way they may be. */
#ifndef SOFT_TEST_H
#define SOFT_TEST_H

#include <criterion/criterion.h>

#include "soft.h"

#define DATA_MAX 4096

/* Bytes of a test vector. */
struct data {
	uint8_t b[DATA_MAX];
	size_t len;
};
struct data hex(const char *text);
#define DATA_BYTES(d) BYTES((d).b, (d).len)
void expect(struct bytes got, struct bytes want);

/* Attribute sets; keys made of them are the caller's. */
struct attrs *attrs_of(CK_OBJECT_CLASS class, CK_KEY_TYPE type);
void set_attr(struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes v);
struct soft_key *key_of(const struct attrs *a);
struct soft_key *secret_key(CK_KEY_TYPE type, struct bytes value);
/* A pair from soft_generate(). */
struct pair {
	struct attrs *pub_attrs, *priv_attrs;
	struct soft_key *pub, *priv;
};
struct pair rsa_pair(CK_ULONG bits);
struct pair curve_pair(enum curve_id id);
void pair_free(struct pair *p);

/* One whole operation.  `out` is as for soft_op_finish(): for OP_VERIFY the signature.  The output gets a buffer of
 * exactly soft_op_size() bytes on the heap, so that tools see what is written beyond it. */
CK_RV once(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, struct data *out);

/* The same in parts: `at` bytes in updates of `step`, the rest in the finish; checks that each step gives exactly
 * what soft_op_size() said (an unpadding finish: at most).  in_place: output over input. */
struct way {
	size_t at, step;
	bool in_place;
};
CK_RV in_parts(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, const struct way *way,
	       struct data *out);
/* Whole, byte by byte, and split at every point, in place and not: always `want` and CKR_OK. */
void every_way(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, struct bytes want);

#endif

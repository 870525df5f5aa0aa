#include "soft_test.h"

struct data hex(const char *text)
{
	struct data d = {.len = strlen(text) / 2};

	cr_assert_leq(d.len, sizeof d.b);
	cr_assert(hex_decode(text, d.b, d.len));
	return d;
}

void expect(struct bytes got, struct bytes want)
{
	char text[2 * DATA_MAX + 1];

	hex_encode(got, text);
	cr_assert(bytes_equal(got, want), "got %s", text);
}

struct attrs *attrs_of(CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
	struct attrs *a = attrs_new();

	cr_assert_not_null(a);
	cr_assert_eq(attrs_set_ulong(a, CKA_CLASS, class), CKR_OK);
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, type), CKR_OK);
	return a;
}

void set_attr(struct attrs *a, CK_ATTRIBUTE_TYPE type, struct bytes v)
{
	cr_assert_eq(attrs_set(a, type, v), CKR_OK);
}

struct soft_key *key_of(const struct attrs *a)
{
	struct soft_key *k = NULL;

	cr_assert_eq(soft_key_new(a, &k), CKR_OK);
	return k;
}

struct soft_key *secret_key(CK_KEY_TYPE type, struct bytes value)
{
	struct attrs *a = attrs_of(CKO_SECRET_KEY, type);
	struct soft_key *k;

	set_attr(a, CKA_VALUE, value);
	k = key_of(a);
	attrs_free(a);
	return k;
}

static void generate(struct pair *p, CK_MECHANISM_TYPE mech)
{
	p->priv_attrs = attrs_new();
	cr_assert_eq(soft_generate(mech, p->pub_attrs, p->priv_attrs), CKR_OK);
	p->pub = key_of(p->pub_attrs);
	p->priv = key_of(p->priv_attrs);
}

struct pair rsa_pair(CK_ULONG bits)
{
	struct pair p = {.pub_attrs = attrs_new()};

	cr_assert_eq(attrs_set_ulong(p.pub_attrs, CKA_MODULUS_BITS, bits), CKR_OK);
	generate(&p, CKM_RSA_PKCS_KEY_PAIR_GEN);
	return p;
}

struct pair curve_pair(enum curve_id id)
{
	struct pair p = {.pub_attrs = attrs_new()};

	set_attr(p.pub_attrs, CKA_EC_PARAMS, der_curves[id].oid);
	generate(&p, der_curves[id].edwards ? CKM_EC_EDWARDS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN);
	return p;
}

void pair_free(struct pair *p)
{
	attrs_free(p->pub_attrs);
	attrs_free(p->priv_attrs);
	soft_key_unref(p->pub);
	soft_key_unref(p->priv);
}

/* One step with exactly the room that it says it needs. */
static CK_RV step(struct soft_op *op, enum op_kind kind, struct bytes in, bool final, bool in_place, struct data *out)
{
	size_t room = soft_op_size(op, in.len, final);
	uint8_t *to = malloc(MAX(MAX(room, in.len), (size_t)1));
	struct outbuf o = {.ptr = to, .cap = room, .len = 0};
	CK_RV rv;

	if (in_place && in.len > 0) {
		memcpy(to, in.ptr, in.len);
		in.ptr = to;
	}
	if (kind == OP_VERIFY)
		o = (struct outbuf){.ptr = out->b, .cap = out->len, .len = out->len};
	rv = final ? soft_op_finish(op, in, &o) : soft_op_update(op, in, &o);
	if (rv == CKR_OK && kind != OP_VERIFY) {
		cr_assert_leq(o.len, room);
		cr_assert(final || o.len == room);
		cr_assert_leq(out->len + o.len, sizeof out->b);
		memcpy(out->b + out->len, to, o.len);
		out->len += o.len;
	}
	free(to);
	return rv;
}

CK_RV in_parts(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, const struct way *way,
	       struct data *out)
{
	struct soft_op *op = NULL;
	size_t max = 0, done = 0;
	CK_RV rv = soft_op_begin(kind, s, k, &op, &max);

	if (rv != CKR_OK)
		return rv;
	if (kind != OP_VERIFY)
		out->len = 0;
	while (rv == CKR_OK && done < way->at) {
		size_t n = MIN(way->step, way->at - done);

		rv = step(op, kind, BYTES(in.ptr + done, n), false, way->in_place, out);
		done += n;
	}
	if (rv == CKR_OK)
		rv = step(op, kind, BYTES(in.ptr + done, in.len - done), true, way->in_place, out);
	soft_op_free(op);
	return rv;
}

CK_RV once(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, struct data *out)
{
	return in_parts(kind, s, k, in, &(struct way){.at = 0, .step = 1}, out);
}

static void one_way(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, struct bytes want,
		    struct way way)
{
	struct data out = {.len = 0};
	CK_RV rv;

	if (kind == OP_VERIFY) {
		memcpy(out.b, want.ptr, want.len);
		out.len = want.len;
	}
	rv = in_parts(kind, s, k, in, &way, &out);
	cr_assert_eq(rv, CKR_OK, "0x%lx, %zu bytes in steps of %zu", rv, way.at, way.step);
	if (kind != OP_VERIFY)
		expect(DATA_BYTES(out), want);
}

void every_way(enum op_kind kind, const struct scheme *s, struct soft_key *k, struct bytes in, struct bytes want)
{
	for (int in_place = 0; in_place < 2; in_place++) {
		for (size_t at = 0; at <= in.len; at++) {
			one_way(kind, s, k, in, want, (struct way){.at = at, .step = 1, .in_place = in_place});
			one_way(kind, s, k, in, want, (struct way){.at = at, .step = at + 1, .in_place = in_place});
			one_way(kind, s, k, in, want, (struct way){.at = in.len, .step = at + 1, .in_place = in_place});
		}
	}
}

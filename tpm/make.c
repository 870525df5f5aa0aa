/* New objects: imported, generated, copied. */
#include "crypto.h"
#include "object.h"
#include "public.h"
#include "secret_key.h"

/* What a request becomes before anything is stored. */
struct draft {
	size_t n;
	struct attrs *attrs[RECORD_MAX_OBJECTS];
	struct buffer blob[RECORD_MAX_OBJECTS];
};

static void draft_done(struct draft *d)
{
	for (size_t i = 0; i < RECORD_MAX_OBJECTS; i++) {
		attrs_free(d->attrs[i]);
		buffer_done(&d->blob[i]);
	}
}

static CK_RV draft_begin(const struct make_req *req, struct draft *d)
{
	for (size_t i = 0; i < RECORD_MAX_OBJECTS; i++)
		buffer_init(&d->blob[i], RECORD_MAX_SIZE);
	TRY(attrs_copy(req->tmpl, &d->attrs[0]));
	d->n = 1;
	if (!req->tmpl_priv)
		return CKR_OK;
	TRY(attrs_copy(req->tmpl_priv, &d->attrs[1]));
	d->n = 2;
	return CKR_OK;
}

static bool is_private(const struct attrs *a)
{
	return attrs_get_bool(a, CKA_PRIVATE, true);
}

/* ---- where a key is to be used ---- */

static CK_RV set_place(struct attrs *a, const char *where)
{
	return attrs_set(a, CKA_SIGNET_PLACE, BYTES(where, strlen(where)));
}

static bool names(struct bytes place, const char *where)
{
	return bytes_equal(place, BYTES(where, strlen(where)));
}

/* What is taken out of the TPM token is out of reach of the TPM. */
static bool may_leave(const struct attrs *a)
{
	return attrs_get_bool(a, CKA_EXTRACTABLE, false);
}

/* Private keys are always used in the TPM. */
static CK_RV place_private(struct attrs *a)
{
	struct bytes asked;

	if (attrs_get(a, CKA_SIGNET_PLACE, &asked) && !names(asked, "tpm"))
		return CKR_TEMPLATE_INCONSISTENT;
	return set_place(a, "tpm");
}

/* A secret key goes where the template says, or else where the slot's setting does if that can be. */
static CK_RV place_secret(struct tpm_token *t, struct attrs *a, bool *ret_tpm)
{
	struct bytes asked;
	bool said = attrs_get(a, CKA_SIGNET_PLACE, &asked), tpm = t->secret_keys_tpm, fits = false;

	if (said && !names(asked, "tpm") && !names(asked, "process"))
		return CKR_TEMPLATE_INCONSISTENT;
	if (said)
		tpm = names(asked, "tpm");
	if (tpm && !may_leave(a))
		TRY(secret_key_fits(t->conn, a, &fits));
	if (said && tpm && !fits)
		return CKR_TEMPLATE_INCONSISTENT;
	*ret_tpm = tpm && fits;
	return set_place(a, *ret_tpm ? "tpm" : "process");
}

/* ---- by kind ---- */

static CK_RV incoming(struct tpm_token *t, enum rc_context context, const struct attrs *key, struct incoming *ret)
{
	*ret = (struct incoming){.context = context, .key = key};
	TRY(tpm_state_need_token(t));
	TRY(tpm_state_keyset(t, is_private(key) ? SECRET_PRIVATE : SECRET_PUBLIC, &ret->keys));
	ret->parent = t->parent;
	return CKR_OK;
}

static CK_RV take_private(struct tpm_token *t, enum rc_context context, struct attrs *key, struct buffer *blob)
{
	struct incoming in;
	CK_RV rv;

	TRY(place_private(key));
	TRY(incoming(t, context, key, &in));
	rv = tpm_key_import(t->conn, &in, blob);
	/* A template's key type, where there is no key yet that it could be inconsistent with. */
	return rv == CKR_KEY_TYPE_INCONSISTENT ? CKR_ATTRIBUTE_VALUE_INVALID : rv;
}

static CK_RV take_secret(struct tpm_token *t, enum rc_context context, struct attrs *key, struct buffer *blob)
{
	struct incoming in;
	bool tpm;

	TRY(place_secret(t, key, &tpm));
	if (!tpm)
		return CKR_OK;
	TRY(incoming(t, context, key, &in));
	return secret_key_make(t->conn, &in, blob);
}

/* With a value that came from somewhere. */
static CK_RV make_given(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	static const enum rc_context contexts[] = {
		[MAKE_CREATE] = RC_IMPORT, [MAKE_UNWRAP] = RC_UNWRAP, [MAKE_DERIVE] = RC_DERIVE,
	};
	CK_OBJECT_CLASS class = attrs_get_ulong(d->attrs[0], CKA_CLASS, CK_UNAVAILABLE_INFORMATION);

	if (class == CKO_PRIVATE_KEY)
		return take_private(t, contexts[req->kind], d->attrs[0], &d->blob[0]);
	return class == CKO_SECRET_KEY ? take_secret(t, contexts[req->kind], d->attrs[0], &d->blob[0]) : CKR_OK;
}

/* What a TPM has made never leaves it: a pair that shall be extractable is made here, and imported. */
static CK_RV generate_extractable(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	TPMT_PUBLIC unused = {0};
	CK_KEY_TYPE type;

	TRY(tpm_key_pair_type(req->mech, &type));
	TRY(public_template(type, d->attrs[0], &unused)); /* before it takes seconds */
	TRY(soft_generate(req->mech, d->attrs[0], d->attrs[1]));
	return take_private(t, RC_GEN, d->attrs[1], &d->blob[1]);
}

static CK_RV generate_pair(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	struct generate_req g = {.mech = req->mech, .pub = d->attrs[0], .priv = d->attrs[1]};

	if (may_leave(d->attrs[1]))
		return generate_extractable(t, req, d);
	TRY(place_private(d->attrs[1]));
	TRY(tpm_state_need_token(t));
	TRY(tpm_state_keyset(t, is_private(d->attrs[1]) ? SECRET_PRIVATE : SECRET_PUBLIC, &g.keys));
	g.parent = t->parent;
	return tpm_key_generate(t->conn, &g, &d->blob[1]);
}

static CK_RV generate_secret(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	struct incoming in;
	bool tpm;

	TRY(place_secret(t, d->attrs[0], &tpm));
	if (!tpm || !secret_key_born(d->attrs[0]))
		TRY(soft_generate(req->mech, NULL, d->attrs[0]));
	if (!tpm)
		return CKR_OK;
	TRY(incoming(t, RC_GEN, d->attrs[0], &in));
	return secret_key_make(t->conn, &in, &d->blob[0]);
}

static CK_RV make_generate(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	return d->n == 2 ? generate_pair(t, req, d) : generate_secret(t, req, d);
}

/* The key of a copy is the same one, authorized in the same way, used in the same place. */
static CK_RV make_copy(struct tpm_token *t UNUSED, const struct make_req *req, struct draft *d)
{
	struct bytes had, has;

	(void)attrs_get(req->base->attrs, CKA_SIGNET_PLACE, &had);
	(void)attrs_get(d->attrs[0], CKA_SIGNET_PLACE, &has);
	if (!bytes_equal(had, has))
		return CKR_TEMPLATE_INCONSISTENT;
	if (tpm_object_in_tpm(req->base) && !tpm_object_priv(req->base)->blob.len)
		return CKR_ACTION_PROHIBITED; /* a key that isn't the token's own */
	buffer_put(&d->blob[0], buffer_bytes(&tpm_object_priv(req->base)->blob));
	return buffer_status(&d->blob[0]);
}

static CK_RV (*const kinds[])(struct tpm_token *t, const struct make_req *req, struct draft *d) = {
	[MAKE_CREATE] = make_given,
	[MAKE_GENERATE] = make_generate,
	[MAKE_UNWRAP] = make_given,
	[MAKE_DERIVE] = make_given,
	[MAKE_COPY] = make_copy,
};

/* ---- in memory ---- */

static CK_RV finish_session(struct draft *d, struct token_obj *ret[2])
{
	struct token_obj *made[RECORD_MAX_OBJECTS] = {NULL, NULL};
	uint8_t id[16];
	CK_RV rv = CKR_OK;

	for (size_t i = 0; i < d->n && rv == CKR_OK; i++) {
		rv = random_bytes(id, sizeof id);
		if (rv == CKR_OK)
			rv = tpm_object_new(id, &d->attrs[i], &d->blob[i], &made[i]);
	}
	if (rv != CKR_OK) {
		tpm_object_free(made[0]);
		tpm_object_free(made[1]);
		return rv;
	}
	for (size_t i = 0; i < d->n; i++)
		ret[i] = made[i];
	return CKR_OK;
}

/* ---- stored ---- */

/* The record takes copies, so that nothing that can fail comes after the commit. */
static CK_RV fill_record(const struct tpm_token *t, const struct draft *d, struct record *r)
{
	memcpy(r->token_id, t->rec.id, sizeof r->token_id);
	TRY(random_bytes(r->id, sizeof r->id));
	r->n = d->n;
	for (size_t i = 0; i < d->n; i++) {
		struct record_object *o = &r->object[i];

		o->index = (uint8_t)i;
		o->private = is_private(d->attrs[i]);
		buffer_init(&o->blob, RECORD_MAX_SIZE);
		buffer_init(&o->sealed_part, RECORD_MAX_SIZE);
		TRY(attrs_copy(d->attrs[i], &o->attrs));
		buffer_put(&o->blob, buffer_bytes(&d->blob[i]));
		TRY(buffer_status(&o->blob));
	}
	return CKR_OK;
}

static CK_RV fill_objects(const struct record *r, struct draft *d, struct token_obj *made[RECORD_MAX_OBJECTS])
{
	for (size_t i = 0; i < r->n; i++) {
		struct tpm_obj *p;
		uint8_t id[16];

		record_object_id(r, &r->object[i], id);
		TRY(tpm_object_new(id, &d->attrs[i], &d->blob[i], &made[i]));
		p = tpm_object_priv(made[i]);
		p->stored = true;
		p->index = (uint8_t)i;
		memcpy(p->record, r->id, sizeof p->record);
	}
	return CKR_OK;
}

static void note_made(struct tpm_token *t, const struct stored *s)
{
	struct known *k = tpm_known_add(&t->known, s->record.id);

	k->stamp = s->stamp;
	k->read = true;
	for (size_t i = 0; i < s->record.n; i++) {
		k->told |= (uint8_t)(1u << i);
		if (s->record.object[i].private)
			k->private |= (uint8_t)(1u << i);
	}
}

/* The one commit point is stored_write(). */
static CK_RV commit(struct tpm_token *t, struct stored *s, struct token_obj *made[RECORD_MAX_OBJECTS])
{
	struct tpm_token *locked CLEANUP(tpm_state_unlock_cleanup) = NULL;

	TRY(tpm_state_lock(t, false));
	locked = t;
	TRY(tpm_state_need_token(t));
	/* Another process may have replaced the token meanwhile. */
	if (memcmp(s->record.token_id, t->rec.id, sizeof t->rec.id) != 0)
		return CKR_DEVICE_REMOVED;
	TRY(tpm_known_reserve(&t->known));
	TRY(stored_write(t, s));
	note_made(t, s);
	for (size_t i = 0; i < s->record.n; i++)
		tpm_object_priv(made[i])->size = s->size;
	return CKR_OK;
}

static CK_RV finish_stored(struct tpm_token *t, struct draft *d, struct token_obj *ret[2])
{
	struct token_obj *first CLEANUP(tpm_object_cleanup) = NULL, *second CLEANUP(tpm_object_cleanup) = NULL;
	struct token_obj *made[RECORD_MAX_OBJECTS] = {NULL, NULL};
	struct stored s CLEANUP(stored_done) = {0};
	CK_RV rv;

	TRY(tpm_state_need_token(t));
	TRY(fill_record(t, d, &s.record));
	rv = fill_objects(&s.record, d, made);
	first = made[0];
	second = made[1];
	TRY(rv);
	TRY(commit(t, &s, made));
	ret[0] = TAKE(first);
	if (s.record.n == 2)
		ret[1] = TAKE(second);
	return CKR_OK;
}

static CK_RV make(struct tpm_token *t, const struct make_req *req, struct token_obj *ret[2])
{
	struct draft d CLEANUP(draft_done) = {0};

	/* Before a key is generated that couldn't be stored. */
	if (req->persist)
		TRY(store_writable(t->store));
	TRY(draft_begin(req, &d));
	TRY(kinds[req->kind](t, req, &d));
	for (size_t i = 0; i < d.n; i++)
		tpm_object_strip(d.attrs[i], d.blob[i].len > 0);
	return req->persist ? finish_stored(t, &d, ret) : finish_session(&d, ret);
}

CK_RV tpm_make(struct token *tok, const struct make_req *req, struct token_obj *ret[2])
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, make(t, req, ret));
}

/* New objects: imported, generated, copied. */
#include "crypto.h"
#include "log.h"
#include "object.h"

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

static CK_RV set_place(struct attrs *a, const char *where)
{
	return attrs_set(a, CKA_SIGNET_PLACE, BYTES(where, strlen(where)));
}

/* ---- by kind ---- */

static CK_RV make_create(struct tpm_token *t UNUSED, const struct make_req *req UNUSED, struct draft *d)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(d->attrs[0], CKA_CLASS, CK_UNAVAILABLE_INFORMATION);

	if (class == CKO_PRIVATE_KEY) {
		log_error("private keys cannot be imported into a TPM token: generate the pair in it");
		return CKR_TEMPLATE_INCONSISTENT;
	}
	return class == CKO_SECRET_KEY ? set_place(d->attrs[0], "process") : CKR_OK;
}

static CK_RV generate_pair(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	struct generate_req g = {.mech = req->mech, .pub = d->attrs[0], .priv = d->attrs[1]};

	TRY(tpm_state_need_token(t));
	TRY(tpm_state_keyset(t, is_private(d->attrs[1]) ? SECRET_PRIVATE : SECRET_PUBLIC, &g.keys));
	g.parent = t->parent;
	TRY(set_place(d->attrs[1], "tpm"));
	return tpm_key_generate(t->conn, &g, &d->blob[1]);
}

static CK_RV make_generate(struct tpm_token *t, const struct make_req *req, struct draft *d)
{
	if (d->n == 2)
		return generate_pair(t, req, d);
	TRY(set_place(d->attrs[0], "process"));
	return soft_generate(req->mech, NULL, d->attrs[0]);
}

/* The key of a copy is the same one, authorized in the same way. */
static CK_RV make_copy(struct tpm_token *t UNUSED, const struct make_req *req, struct draft *d)
{
	buffer_put(&d->blob[0], buffer_bytes(&tpm_object_priv(req->base)->blob));
	return buffer_status(&d->blob[0]);
}

static CK_RV (*const kinds[])(struct tpm_token *t, const struct make_req *req, struct draft *d) = {
	[MAKE_CREATE] = make_create,
	[MAKE_GENERATE] = make_generate,
	[MAKE_UNWRAP] = make_create,
	[MAKE_DERIVE] = make_create,
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
	return req->persist ? finish_stored(t, &d, ret) : finish_session(&d, ret);
}

CK_RV tpm_make(struct token *tok, const struct make_req *req, struct token_obj *ret[2])
{
	struct tpm_token *t = tpm_token_of(tok);

	return tpm_state_answer(t, make(t, req, ret));
}

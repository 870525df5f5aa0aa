/* The in-memory token.
 *
 * A store belongs to the process and to a slot's name, and outlives C_Finalize, as a directory or a ring would; a
 * struct mem_token is one C_Initialize's view of it, the only one at a time: nobody else changes the store.  Keys are
 * used by module/soft.  PINs are kept as HMAC(salt, PIN). */
#include "mem_token.h"

#include <stdio.h>
#include <unistd.h>

#include "rv.h"
#include "soft.h"

#define PIN_MIN 4
#define PIN_MAX 128

enum { PIN_REQUIRED, PIN_NONE };

struct mem_pin {
	bool set;
	uint8_t hash[32];
	unsigned long left, limit;
};

struct mem_object {
	uint8_t id[16];
	bool told; /* the front knows it */
	struct attrs *attrs;
	struct mem_object *next;
};

struct mem_store {
	char name[33], label[33];
	bool initialized;
	uint8_t id[16], salt[16];
	struct mem_pin pin[2]; /* by enum token_user */
	struct mem_object *objects;
	struct mem_store *next;
};

struct mem_token {
	struct token base;
	struct mem_store *store;
	const char *present; /* borrowed from the section; NULL: always there */
	int pin_mode;
	bool user;           /* the user has logged in */
	uint8_t seen[16];    /* the token id that the front's objects belong to */
};

struct token_op {
	struct soft_op *soft;
};

static struct mem_store *stores;

static struct mem_token *mem_of(struct token *tok)
{
	return (struct mem_token *)tok;
}

/* ---- lifetime ---- */

static struct mem_store *store_named(const char *name)
{
	for (struct mem_store *s = stores; s; s = s->next)
		if (strcmp(s->name, name) == 0)
			return s;
	struct mem_store *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	snprintf(s->name, sizeof s->name, "%s", name);
	s->next = stores;
	stores = s;
	return s;
}

static bool is_private(const struct attrs *a)
{
	return attrs_get_bool(a, CKA_PRIVATE, false);
}

static void forget_told(struct mem_token *t, bool private_only)
{
	for (struct mem_object *o = t->store->objects; o; o = o->next)
		if (!private_only || is_private(o->attrs))
			o->told = false;
}

static CK_RV mem_open(const struct conf_section *conf, struct token **ret)
{
	static const char *const known[] = {"type", "label", "pin", "pin-tries", "so-pin-tries", "present", NULL};
	static const struct conf_choice pins[] = {{"required", PIN_REQUIRED}, {"none", PIN_NONE}};
	struct mem_token *t CLEANUP(free_cleanup) = calloc(1, sizeof *t);
	unsigned long tries, so_tries;

	if (!t)
		return CKR_HOST_MEMORY;
	TRY(conf_check_keys(conf, known));
	TRY(conf_get_choice(conf, "pin", pins, ARRAY_LEN(pins), PIN_REQUIRED, &t->pin_mode));
	TRY(conf_get_number(conf, "pin-tries", 10, 1, 100, &tries));
	TRY(conf_get_number(conf, "so-pin-tries", 10, 1, 100, &so_tries));
	t->store = store_named(conf_name(conf));
	if (!t->store)
		return CKR_HOST_MEMORY;
	t->store->pin[TOKEN_USER].limit = tries;
	t->store->pin[TOKEN_SO].limit = so_tries;
	memcpy(t->seen, t->store->id, sizeof t->seen);
	forget_told(t, false);
	t->present = conf_get(conf, "present");
	t->base.ops = &mem_token_ops;
	*ret = &TAKE(t)->base;
	return CKR_OK;
}

static void mem_forked(struct token *tok)
{
	(void)tok;
}

static void mem_free(struct token *tok)
{
	free(tok);
}

/* ---- description ---- */

static CK_RV mem_probe(struct token *tok)
{
	const struct mem_token *t = mem_of(tok);

	return !t->present || access(t->present, F_OK) == 0 ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
}

/* The PIN flags of one user; `low` is CKF_USER_PIN_COUNT_LOW or the SO's, whose neighbours are FINAL_TRY and LOCKED. */
static CK_FLAGS pin_flags(const struct mem_pin *p, CK_FLAGS low)
{
	CK_FLAGS flags = 0;

	if (p->set && p->left < p->limit)
		flags |= low;
	if (p->set && p->left == 1)
		flags |= low << 1;
	if (p->set && p->left == 0)
		flags |= low << 2;
	return flags;
}

static CK_RV mem_info(struct token *tok, struct token_info *ret)
{
	const struct mem_token *t = mem_of(tok);
	const struct mem_store *s = t->store;

	snprintf(ret->description, sizeof ret->description, "Memory of the process (%s)", s->name);
	snprintf(ret->manufacturer, sizeof ret->manufacturer, "Signet");
	snprintf(ret->model, sizeof ret->model, "memory");
	ret->hardware_slot = false;
	ret->removable = t->present != NULL;
	TRY(mem_probe(tok));
	snprintf(ret->label, sizeof ret->label, "%s", s->label);
	hex_encode(BYTES(s->id, 8), ret->serial);
	ret->hardware = ret->firmware = (CK_VERSION){1, 0};
	ret->pin_min = PIN_MIN;
	ret->pin_max = PIN_MAX;
	ret->flags = CKF_RNG;
	if (t->pin_mode == PIN_REQUIRED)
		ret->flags |= CKF_LOGIN_REQUIRED;
	if (s->initialized)
		ret->flags |= CKF_TOKEN_INITIALIZED;
	if (s->pin[TOKEN_USER].set)
		ret->flags |= CKF_USER_PIN_INITIALIZED;
	ret->flags |= pin_flags(&s->pin[TOKEN_USER], CKF_USER_PIN_COUNT_LOW);
	ret->flags |= pin_flags(&s->pin[TOKEN_SO], CKF_SO_PIN_COUNT_LOW);
	return CKR_OK;
}

static CK_RV mem_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n)
{
	(void)tok;
	*ret = soft_mechs;
	*ret_n = soft_mechs_count;
	return CKR_OK;
}

/* ---- PINs ---- */

static CK_RV pin_hash(const uint8_t salt[16], struct bytes pin, uint8_t out[32])
{
	return hmac_sha256(BYTES(salt, 16), &pin, 1, out);
}

static void pin_become(struct mem_pin *p, const uint8_t hash[32])
{
	memcpy(p->hash, hash, sizeof p->hash);
	p->set = true;
	p->left = p->limit;
}

static CK_RV pin_store(struct mem_store *s, enum token_user who, struct bytes pin)
{
	uint8_t hash[32];

	if (pin.len < PIN_MIN || pin.len > PIN_MAX)
		return CKR_PIN_LEN_RANGE;
	TRY(pin_hash(s->salt, pin, hash));
	pin_become(&s->pin[who], hash);
	return CKR_OK;
}

static CK_RV pin_prove(struct mem_store *s, enum token_user who, struct bytes pin)
{
	struct mem_pin *p = &s->pin[who];
	uint8_t hash[32];

	if (!s->initialized)
		return CKR_TOKEN_NOT_RECOGNIZED;
	if (!p->set)
		return CKR_USER_PIN_NOT_INITIALIZED;
	if (p->left == 0)
		return CKR_PIN_LOCKED;
	TRY(pin_hash(s->salt, pin, hash));
	if (!secret_equal(BYTES_OF(hash), BYTES_OF(p->hash))) {
		p->left--;
		return CKR_PIN_INCORRECT;
	}
	p->left = p->limit;
	return CKR_OK;
}

static void objects_free(struct mem_object *o)
{
	while (o) {
		struct mem_object *next = o->next;
		attrs_free(o->attrs);
		free(o);
		o = next;
	}
}

static CK_RV mem_init_token(struct token *tok, struct bytes so_pin, const uint8_t label[32])
{
	struct mem_token *t = mem_of(tok);
	struct mem_store *s = t->store;
	uint8_t id[16], salt[16], hash[32];

	if (s->initialized)
		TRY(pin_prove(s, TOKEN_SO, so_pin));
	else if (so_pin.len < PIN_MIN || so_pin.len > PIN_MAX)
		return CKR_PIN_INCORRECT; /* C_InitToken's list has no CKR_PIN_LEN_RANGE */
	TRY(random_bytes(id, sizeof id));
	TRY(random_bytes(salt, sizeof salt));
	TRY(pin_hash(salt, so_pin, hash));
	memcpy(s->salt, salt, sizeof salt);
	pin_become(&s->pin[TOKEN_SO], hash);
	s->pin[TOKEN_USER].set = false;
	memcpy(s->id, id, sizeof id);
	memcpy(t->seen, id, sizeof id);
	memcpy(s->label, label, 32);
	for (size_t n = 32; n > 0 && s->label[n - 1] == ' '; n--)
		s->label[n - 1] = '\0';
	objects_free(TAKE(s->objects));
	s->initialized = true;
	return CKR_OK;
}

static CK_RV mem_init_pin(struct token *tok, struct bytes pin)
{
	return pin_store(mem_of(tok)->store, TOKEN_USER, pin);
}

static CK_RV mem_set_pin(struct token *tok, enum token_user who, struct bytes old, struct bytes pin)
{
	if (pin.len < PIN_MIN || pin.len > PIN_MAX)
		return CKR_PIN_LEN_RANGE;
	TRY(pin_prove(mem_of(tok)->store, who, old));
	return pin_store(mem_of(tok)->store, who, pin);
}

static CK_RV mem_login(struct token *tok, enum token_user who, struct bytes pin)
{
	struct mem_token *t = mem_of(tok);

	TRY(pin_prove(t->store, who, pin));
	t->user = who == TOKEN_USER;
	return CKR_OK;
}

static CK_RV mem_reauth(struct token *tok, struct token_op *op UNUSED, struct bytes pin)
{
	return pin_prove(mem_of(tok)->store, TOKEN_USER, pin);
}

static void mem_logout(struct token *tok)
{
	struct mem_token *t = mem_of(tok);

	t->user = false;
	forget_told(t, t->pin_mode == PIN_REQUIRED);
}

/* ---- objects ---- */

static void obj_free(struct token *tok, struct token_obj *obj)
{
	(void)tok;
	if (!obj)
		return;
	soft_key_unref(obj->priv);
	attrs_free(obj->attrs);
	free(obj);
}

static CK_RV obj_new(const uint8_t id[16], const struct attrs *attrs, struct token_obj **ret)
{
	struct token_obj *obj = calloc(1, sizeof *obj);

	if (!obj)
		return CKR_HOST_MEMORY;
	memcpy(obj->id, id, sizeof obj->id);
	CK_RV rv = attrs_copy(attrs, &obj->attrs);
	if (rv != CKR_OK) {
		free(obj);
		return rv;
	}
	*ret = obj;
	return CKR_OK;
}

static struct mem_object *stored(const struct mem_store *s, const uint8_t id[16])
{
	struct mem_object *o = s->objects;

	while (o && memcmp(o->id, id, sizeof o->id) != 0)
		o = o->next;
	return o;
}

static CK_RV sync_put(struct mem_token *t, struct mem_object *o, const struct token_view *view)
{
	struct token_obj *obj;

	if (o->told || (is_private(o->attrs) && !t->user && t->pin_mode == PIN_REQUIRED))
		return CKR_OK;
	TRY(obj_new(o->id, o->attrs, &obj));
	TRY(view->put(view->ctx, obj));
	o->told = true;
	return CKR_OK;
}

static CK_RV mem_sync(struct token *tok, const struct token_view *view)
{
	struct mem_token *t = mem_of(tok);

	if (mem_probe(tok) != CKR_OK || memcmp(t->seen, t->store->id, sizeof t->seen) != 0) {
		memcpy(t->seen, t->store->id, sizeof t->seen);
		t->user = false;
		forget_told(t, false);
		return CKR_DEVICE_REMOVED;
	}
	for (struct mem_object *o = t->store->objects; o; o = o->next)
		TRY(sync_put(t, o, view));
	return CKR_OK;
}

static bool is_key(const struct attrs *a)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(a, CKA_CLASS, CKO_DATA);

	return class == CKO_PUBLIC_KEY || class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
}

/* The attributes of what is to be made, values included: a[1] only for a pair. */
static CK_RV make_attrs(const struct make_req *req, struct attrs *a[2])
{
	if (req->kind == MAKE_COPY) {
		TRY(attrs_copy(req->base->attrs, &a[0]));
		return attrs_merge(a[0], req->tmpl);
	}
	TRY(attrs_copy(req->tmpl, &a[0]));
	if (req->tmpl_priv)
		TRY(attrs_copy(req->tmpl_priv, &a[1]));
	if (req->kind == MAKE_GENERATE)
		return a[1] ? soft_generate(req->mech, a[0], a[1]) : soft_generate(req->mech, NULL, a[0]);
	return is_key(a[0]) ? soft_complete(a[0]) : CKR_OK;
}

/* Where the key is used, which is what the template asked for or didn't say. */
static CK_RV set_place(struct attrs *a)
{
	CK_OBJECT_CLASS class = attrs_get_ulong(a, CKA_CLASS, CKO_DATA);
	struct bytes asked, here = BYTES("process", 7);

	if (class != CKO_PRIVATE_KEY && class != CKO_SECRET_KEY)
		return CKR_OK;
	if (attrs_get(a, CKA_SIGNET_PLACE, &asked))
		return bytes_equal(asked, here) ? CKR_OK : CKR_TEMPLATE_INCONSISTENT;
	return attrs_set(a, CKA_SIGNET_PLACE, here);
}

static CK_RV stored_new(const struct token_obj *obj, struct mem_object **ret)
{
	struct mem_object *o = calloc(1, sizeof *o);

	if (!o)
		return CKR_HOST_MEMORY;
	memcpy(o->id, obj->id, sizeof o->id);
	o->told = true; /* make() returns it */
	CK_RV rv = attrs_copy(obj->attrs, &o->attrs);
	if (rv != CKR_OK) {
		free(o);
		return rv;
	}
	*ret = o;
	return CKR_OK;
}

/* Both halves of a pair, or the one object: stored and told, or nothing. */
static CK_RV persist(struct mem_token *t, struct token_obj *const obj[2])
{
	struct mem_object *o[2] = {NULL, NULL};
	CK_RV rv = CKR_OK;

	for (size_t i = 0; i < 2 && obj[i] && rv == CKR_OK; i++)
		rv = stored_new(obj[i], &o[i]);
	for (size_t i = 0; i < 2; i++) {
		if (rv != CKR_OK) {
			objects_free(o[i]);
		} else if (o[i]) {
			o[i]->next = t->store->objects;
			t->store->objects = o[i];
		}
	}
	return rv;
}

static CK_RV mem_make(struct token *tok, const struct make_req *req, struct token_obj *ret[2])
{
	struct attrs *a[2] = {NULL, NULL};
	struct token_obj *obj[2] = {NULL, NULL};
	uint8_t id[16];

	CK_RV rv = make_attrs(req, a);
	for (size_t i = 0; i < 2 && a[i] && rv == CKR_OK; i++) {
		rv = set_place(a[i]);
		if (rv == CKR_OK)
			rv = random_bytes(id, sizeof id);
		if (rv == CKR_OK)
			rv = obj_new(id, a[i], &obj[i]);
	}
	if (rv == CKR_OK && req->persist)
		rv = persist(mem_of(tok), obj);
	for (size_t i = 0; i < 2; i++) {
		attrs_free(a[i]);
		if (rv != CKR_OK)
			obj_free(tok, obj[i]);
		else if (obj[i])
			ret[i] = obj[i];
	}
	return rv;
}

static CK_RV mem_update(struct token *tok, const struct token_obj *obj, const struct attrs *changes,
			struct token_obj **ret)
{
	struct mem_token *t = mem_of(tok);
	struct mem_object *o = stored(t->store, obj->id);
	struct attrs *merged CLEANUP(attrs_cleanup) = NULL;

	if (!o)
		return CKR_OBJECT_HANDLE_INVALID;
	TRY(attrs_copy(o->attrs, &merged));
	TRY(attrs_merge(merged, changes));
	TRY(obj_new(obj->id, merged, ret));
	attrs_free(o->attrs);
	o->attrs = TAKE(merged);
	return CKR_OK;
}

static CK_RV mem_destroy(struct token *tok, const struct token_obj *obj)
{
	struct mem_token *t = mem_of(tok);

	for (struct mem_object **p = &t->store->objects; *p; p = &(*p)->next) {
		struct mem_object *o = *p;
		if (memcmp(o->id, obj->id, sizeof o->id) != 0)
			continue;
		*p = o->next;
		o->next = NULL;
		objects_free(o);
		return CKR_OK;
	}
	return CKR_OBJECT_HANDLE_INVALID;
}

static CK_RV mem_obj_size(struct token *tok, const struct token_obj *obj, size_t *ret)
{
	size_t size = 0;
	struct bytes value;

	(void)tok;
	for (size_t i = 0; i < attrs_count(obj->attrs); i++) {
		attrs_at(obj->attrs, i, &value);
		size += sizeof(CK_ATTRIBUTE_TYPE) + value.len;
	}
	*ret = size;
	return CKR_OK;
}

/* ---- operations ---- */

static CK_RV mem_op_begin(struct token *tok, enum op_kind kind, const struct scheme *scheme, const struct token_obj *key,
			  struct token_op **ret, size_t *ret_max)
{
	struct token_op *op CLEANUP(free_cleanup) = calloc(1, sizeof *op);
	struct soft_key *soft;

	(void)tok;
	if (!op)
		return CKR_HOST_MEMORY;
	TRY(soft_key_new(key->attrs, &soft));
	CK_RV rv = soft_op_begin(kind, scheme, soft, &op->soft, ret_max);
	soft_key_unref(soft);
	TRY(rv);
	*ret = TAKE(op);
	return CKR_OK;
}

static size_t mem_op_size(const struct token_op *op, size_t in_len, bool final)
{
	return soft_op_size(op->soft, in_len, final);
}

static CK_RV mem_op_update(struct token_op *op, struct bytes in, struct outbuf *out)
{
	return soft_op_update(op->soft, in, out);
}

static CK_RV mem_op_finish(struct token_op *op, struct bytes in, struct outbuf *out)
{
	return soft_op_finish(op->soft, in, out);
}

static void mem_op_free(struct token_op *op)
{
	if (op)
		soft_op_free(op->soft);
	free(op);
}

static CK_RV mem_random(struct token *tok, uint8_t *out, size_t n)
{
	(void)tok;
	return random_bytes(out, n);
}

const struct token_ops mem_token_ops = {
	.abi = TOKEN_OPS_ABI,
	.name = "mem",
	.open = mem_open,
	.forked = mem_forked,
	.free = mem_free,
	.probe = mem_probe,
	.info = mem_info,
	.mechs = mem_mechs,
	.init_token = mem_init_token,
	.init_pin = mem_init_pin,
	.set_pin = mem_set_pin,
	.login = mem_login,
	.reauth = mem_reauth,
	.logout = mem_logout,
	.sync = mem_sync,
	.make = mem_make,
	.update = mem_update,
	.destroy = mem_destroy,
	.obj_free = obj_free,
	.obj_size = mem_obj_size,
	.op_begin = mem_op_begin,
	.op_size = mem_op_size,
	.op_update = mem_op_update,
	.op_finish = mem_op_finish,
	.op_free = mem_op_free,
	.random = mem_random,
};

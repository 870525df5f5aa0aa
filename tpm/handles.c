/* Places in the TPM: which are ours, and which are given up when another is needed. */
#include "conn_private.h"
#include "log.h"
#include "name.h"

static struct held_key *key_of(struct conn *c, TPM2_HANDLE handle)
{
	for (size_t i = 0; i < HELD_KEYS_MAX; i++)
		if (c->held.keys[i].object.handle == handle)
			return &c->held.keys[i];
	return NULL;
}

static struct held_object *scratch_of(struct conn *c, TPM2_HANDLE handle)
{
	for (size_t i = 0; i < CONN_MAX_OBJECTS; i++)
		if (c->held.scratch[i].handle == handle)
			return &c->held.scratch[i];
	return NULL;
}

static TPM2_HANDLE *session_of(struct conn *c, TPM2_HANDLE handle)
{
	for (size_t i = 0; i < CONN_MAX_SESSIONS; i++)
		if (c->held.sessions[i] == handle)
			return &c->held.sessions[i];
	return NULL;
}

static size_t count_objects(const struct held *h)
{
	size_t n = 0;

	for (size_t i = 0; i < CONN_MAX_OBJECTS; i++)
		n += h->scratch[i].handle != 0;
	for (size_t i = 0; i < HELD_KEYS_MAX; i++)
		n += h->keys[i].object.handle != 0;
	return n + (h->staying.object.handle != 0);
}

CK_RV held_room_object(struct conn *c)
{
	while (count_objects(&c->held) >= CONN_MAX_OBJECTS)
		if (!held_evict(c))
			return CKR_DEVICE_MEMORY;
	return CKR_OK;
}

CK_RV held_room_session(struct conn *c)
{
	return session_of(c, 0) ? CKR_OK : CKR_DEVICE_MEMORY;
}

static void put(struct conn *c, struct held_object object)
{
	struct held_object *o = scratch_of(c, 0);

	if (o) /* held_room_object() has seen to it */
		*o = object;
}

void held_add_object(struct conn *c, TPM2_HANDLE handle, const TPM2B_NAME *name)
{
	held_forget(c, handle); /* what was there before went unnoticed */
	put(c, (struct held_object){.handle = handle, .name = *name});
}

void held_add_session(struct conn *c, TPM2_HANDLE handle)
{
	TPM2_HANDLE *s = session_of(c, 0);

	if (s)
		*s = handle;
}

void held_forget(struct conn *c, TPM2_HANDLE handle)
{
	struct held_object *o = scratch_of(c, handle);
	struct held_key *k = key_of(c, handle);
	TPM2_HANDLE *s = session_of(c, handle);

	if (handle == 0)
		return;
	if (o)
		*o = (struct held_object){0};
	if (k)
		*k = (struct held_key){0};
	if (s)
		*s = 0;
	if (c->held.storage == handle)
		c->held.storage = 0;
	if (c->held.staying.object.handle == handle)
		c->held.staying = (struct held_key){0};
}

void held_forget_all(struct conn *c)
{
	c->held = (struct held){0};
}

bool held_any(const struct conn *c)
{
	bool any = count_objects(&c->held) > 0;

	for (size_t i = 0; i < CONN_MAX_SESSIONS; i++)
		any |= c->held.sessions[i] != 0;
	return any;
}

/* A handle's number may name another program's object by now: the name tells.  What can't be found out stays held. */
static void verify(struct conn *c, struct held_object *o)
{
	TPM2B_NAME name;
	enum call_found found = o->handle ? call_name(c, o->handle, &name, NULL) : CALL_UNKNOWN;

	if (found == CALL_NOT_THERE || (found == CALL_FOUND && !name_equal(&name, &o->name)) ||
	    (found == CALL_SEQUENCE && o->name.size))
		held_forget(c, o->handle);
	else
		o->doubtful = found == CALL_UNKNOWN && o->handle;
}

static void look_again(struct conn *c, struct held_object *o)
{
	if (o->doubtful)
		verify(c, o);
}

static bool give_up(struct conn *c, struct held_object *o)
{
	look_again(c, o);
	return !o->handle || (!o->doubtful && call_flush(c, o->handle));
}

/* Not in use by the running sequence, which uses nothing doubtful. */
static bool is_idle(const struct conn *c, const struct held_key *k)
{
	return k->object.handle && (k->object.doubtful || k->used != c->sequences);
}

/* The least recently used cached key of those that are idle; NULL: none. */
static struct held_key *oldest_idle(struct conn *c)
{
	struct held_key *oldest = NULL;

	for (size_t i = 0; i < HELD_KEYS_MAX; i++) {
		struct held_key *k = &c->held.keys[i];

		if (is_idle(c, k) && (!oldest || k->used < oldest->used))
			oldest = k;
	}
	return oldest;
}

/* Making it again is slow: it goes last. */
static struct held_key *idle_staying(struct conn *c)
{
	struct held_key *k = &c->held.staying;

	return is_idle(c, k) ? k : NULL;
}

bool held_evict(struct conn *c)
{
	struct held_key *k = oldest_idle(c);

	if (!k)
		k = idle_staying(c);
	return k && give_up(c, &k->object);
}

void held_tidy(struct conn *c)
{
	if (c->lost || c->late)
		return;
	for (size_t i = 0; i < CONN_MAX_SESSIONS; i++)
		if (c->held.sessions[i])
			call_flush(c, c->held.sessions[i]);
	for (size_t i = 0; i < CONN_MAX_OBJECTS; i++)
		give_up(c, &c->held.scratch[i]);
}

void held_flush_all(struct conn *c)
{
	held_tidy(c);
	for (size_t i = 0; i < HELD_KEYS_MAX; i++)
		give_up(c, &c->held.keys[i].object);
	give_up(c, &c->held.staying.object);
}

/* ---- after something was lost ---- */

void held_verify(struct conn *c)
{
	for (size_t i = 0; i < HELD_KEYS_MAX; i++)
		verify(c, &c->held.keys[i].object);
	for (size_t i = 0; i < CONN_MAX_OBJECTS; i++)
		verify(c, &c->held.scratch[i]);
	verify(c, &c->held.staying.object);
}

void held_look_again(struct conn *c)
{
	for (size_t i = 0; i < HELD_KEYS_MAX; i++)
		look_again(c, &c->held.keys[i].object);
	look_again(c, &c->held.staying.object);
}

/* What a template or a public area says of an object, without what the TPM fills in. */
static bool same_kind(const TPMT_PUBLIC *a, const TPMT_PUBLIC *b)
{
	struct bytes policy_a = BYTES(a->authPolicy.buffer, a->authPolicy.size);
	struct bytes policy_b = BYTES(b->authPolicy.buffer, b->authPolicy.size);

	return a->type == b->type && a->nameAlg == b->nameAlg && a->objectAttributes == b->objectAttributes &&
	       bytes_equal(policy_a, policy_b);
}

static bool is_ours(struct conn *c, TPM2_HANDLE handle)
{
	TPM2B_PUBLIC public;
	TPM2B_NAME name;

	if (c->transport.managed) /* it shows us nobody else's */
		return true;
	switch (call_name(c, handle, &name, &public)) {
	case CALL_FOUND:
		return same_kind(&public.publicArea, &c->doubt_public.publicArea);
	case CALL_SEQUENCE:
		return c->doubt_public.publicArea.type == 0;
	default:
		return false;
	}
}

/* Flushes what isn't held and what `mine` says yes to (NULL: all of it); how many. */
static size_t flush_unknown(struct conn *c, TPM2_HANDLE first, bool (*mine)(struct conn *c, TPM2_HANDLE handle),
			    const char *by)
{
	TPM2_HANDLE found[16];
	size_t n = 0, flushed = 0;

	if (tpm2_get_handles(c, first, found, ARRAY_LEN(found), &n) != CKR_OK)
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool known = session_of(c, found[i]) || scratch_of(c, found[i]) || key_of(c, found[i]) ||
			     c->held.staying.object.handle == found[i];

		if (known || (mine && !mine(c, found[i])))
			continue;
		log_info("slot %s: flushing 0x%08x, left by %s", c->slot, found[i], by);
		flushed += call_flush(c, found[i]);
	}
	return flushed;
}

/* On a bare TPM another program's session can't be told from ours by looking at it; there, it is one program at a
 * time, and what a lost answer left would else stay until the next reset. */
void held_settle(struct conn *c)
{
	unsigned doubt = c->doubt;

	c->doubt = 0;
	if (doubt & CALL_SESSION)
		(void)flush_unknown(c, TPM2_HR_HMAC_SESSION, NULL, "a lost answer");
	if (doubt & CALL_OBJECT)
		(void)flush_unknown(c, TPM2_HR_TRANSIENT, is_ours, "a lost answer");
	if (c->lost || c->late)
		c->doubt |= doubt;
}

/* ---- what a dead process left ---- */

/* A public area such as we give to keys and storage keys (public.h, parent.c), or to seals (seal.c). */
static bool looks_ours(const TPMT_PUBLIC *p)
{
	const TPMA_OBJECT fixed = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT;
	const TPMA_OBJECT key = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
	const bool guarded = p->objectAttributes & TPMA_OBJECT_NODA || p->authPolicy.size;

	if ((p->objectAttributes & key) == key)
		return true;
	return guarded && p->type == TPM2_ALG_KEYEDHASH && (p->objectAttributes & ~key) == fixed;
}

static bool left_behind(struct conn *c, TPM2_HANDLE handle)
{
	TPM2B_PUBLIC public;
	TPM2B_NAME name;

	switch (call_name(c, handle, &name, &public)) {
	case CALL_FOUND:
		return looks_ours(&public.publicArea);
	case CALL_SEQUENCE: /* nobody else's either: it has no use to who isn't connected */
		return true;
	default:
		return false;
	}
}

bool held_reclaim(struct conn *c, unsigned kind)
{
	static const char by[] = "a process that has gone";

	if (c->transport.managed || c->lost || c->late)
		return false;
	return kind & CALL_SESSION ? flush_unknown(c, TPM2_HR_HMAC_SESSION, NULL, by) :
	       flush_unknown(c, TPM2_HR_TRANSIENT, left_behind, by);
}

/* ---- the storage key ---- */

/* Makes it from its template, and keeps it, or its context. */
static CK_RV make_storage(struct conn *c, struct storage *s, struct entity *ret)
{
	struct entity hierarchy, made CLEANUP(entity_wipe) = {0};
	TPM2B_PUBLIC public = {0};

	entity_permanent(&hierarchy, s->hierarchy, NO_BYTES);
	TRY(tpm2_create_primary(c, &hierarchy, NULL, &s->tmpl, &public, &made));
	if (!name_equal(&made.name, &s->entity.name)) {
		log_error("slot %s: the storage key that this token was made with isn't this TPM's: it was cleared, or "
			  "the token comes from another machine", c->slot);
		return conn_fail(c, CKR_TOKEN_NOT_RECOGNIZED);
	}
	ret->handle = made.handle;
	if (s->stays) {
		handles_stay(c, &made);
		return CKR_OK;
	}
	TRY(tpm2_context_save(c, made.handle, &s->context));
	s->saved = true;
	return CKR_OK;
}

static CK_RV load_storage(struct conn *c, struct storage *s, struct entity *ret)
{
	if (!s->saved || c->rebuild_storage)
		return make_storage(c, s, ret);
	c->doubt_public = s->public;
	TRY(tpm2_context_load(c, &s->context, &ret->handle));
	held_add_object(c, ret->handle, &s->entity.name);
	return CKR_OK;
}

/* Another one may be loaded: a key that isn't the token's own has a parent of its own. */
static bool is_loaded(struct conn *c, const struct storage *s)
{
	const struct held_object *o = c->held.storage ? scratch_of(c, c->held.storage) : NULL;

	return o && !o->doubtful && name_equal(&o->name, &s->entity.name);
}

/* The authorization that each command carries may be salted with it, so that it is needed as often as keys are. */
static CK_RV stay_loaded(struct conn *c, struct storage *s, struct entity *ret)
{
	ret->handle = handles_staying(c, &s->entity.name);
	if (ret->handle) {
		c->held.staying.used = c->sequences;
		return CKR_OK;
	}
	return make_storage(c, s, ret);
}

void handles_stay(struct conn *c, const struct entity *primary)
{
	const struct held_object before = c->held.staying.object;

	held_forget(c, primary->handle);
	c->held.staying = (struct held_key){.object = {.handle = primary->handle, .name = primary->name},
					    .used = c->sequences};
	put(c, before); /* another token's, that this slot had before: flushed when the sequence ends */
}

TPM2_HANDLE handles_staying(const struct conn *c, const TPM2B_NAME *name)
{
	const struct held_object *o = &c->held.staying.object;

	return !o->doubtful && name_equal(&o->name, name) ? o->handle : 0;
}

CK_RV handles_storage(struct conn *c, struct storage *storage, struct entity *ret)
{
	*ret = storage->entity;
	if (storage->entity.handle != TPM2_RH_NULL)
		return CKR_OK;
	if (storage->stays)
		return stay_loaded(c, storage, ret);
	if (is_loaded(c, storage)) {
		ret->handle = c->held.storage;
		return CKR_OK;
	}
	TRY(load_storage(c, storage, ret));
	c->held.storage = ret->handle;
	c->rebuild_storage = false;
	return CKR_OK;
}

CK_RV handles_context(struct conn *c, const TPMS_CONTEXT *context, struct entity *ret)
{
	struct entity loaded = {0};

	c->doubt_public = (TPM2B_PUBLIC){0};
	TRY(tpm2_context_load(c, context, &loaded.handle));
	held_add_object(c, loaded.handle, &loaded.name);
	*ret = loaded;
	return CKR_OK;
}

/* ---- keys ---- */

static struct held_key *cached(struct conn *c, const uint8_t id[16])
{
	for (size_t i = 0; i < HELD_KEYS_MAX; i++) {
		struct held_key *k = &c->held.keys[i];

		if (k->object.handle && !k->object.doubtful && memcmp(k->id, id, 16) == 0)
			return k;
	}
	return NULL;
}

/* A free place in the cache, made by eviction if need be; NULL: this sequence uses them all. */
static struct held_key *cache_place(struct conn *c)
{
	/* A bare TPM has places for three, and another program may want one. */
	size_t places = c->transport.managed || c->held.staying.object.handle ? 1 : HELD_KEYS_MAX;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < places; i++)
			if (!c->held.keys[i].object.handle)
				return &c->held.keys[i];
		if (!held_evict(c))
			return NULL;
	}
	return NULL;
}

/* From a scratch object, flushed when the sequence ends, to one that stays. */
static void keep(struct conn *c, struct held_key *place, const uint8_t id[16], const struct entity *key)
{
	held_forget(c, key->handle);
	*place = (struct held_key){.object = {.handle = key->handle, .name = key->name}, .used = c->sequences};
	memcpy(place->id, id, sizeof place->id);
}

CK_RV handles_key(struct conn *c, struct storage *storage, const struct key_blob *key, struct entity *ret)
{
	struct held_key *k = cached(c, key->id), *place;
	bool storage_was_loaded = c->held.storage != 0;
	struct entity parent CLEANUP(entity_wipe), loaded = {0};

	if (k) {
		k->used = c->sequences;
		*ret = (struct entity){.handle = k->object.handle, .name = k->object.name};
		return CKR_OK;
	}
	place = cache_place(c);
	TRY(handles_storage(c, storage, &parent));
	TRY(tpm2_load(c, &parent, NULL, &key->public, &key->private, &loaded));
	if (place)
		keep(c, place, key->id, &loaded);
	/* Behind the kernel's resource manager each object that is loaded costs swaps at every further command. */
	if (c->held.storage && !storage_was_loaded)
		call_flush(c, c->held.storage);
	*ret = loaded;
	return CKR_OK;
}

/* Its place is the first to be given up.  No key has that id. */
static CK_RV drop(struct conn *c, void *arg)
{
	struct held_key *k = cached(c, arg);

	if (k) {
		memset(k->id, 0, sizeof k->id);
		k->used = 0;
	}
	return CKR_OK;
}

void handles_drop(struct conn *c, const uint8_t id[16])
{
	uint8_t copy[16];

	memcpy(copy, id, sizeof copy);
	if (conn_run_connected(c, RC_OBJECT, drop, copy) != CKR_OK)
		log_debug("slot %s: a destroyed key stays loaded until the connection ends", c->slot);
}

/* Slots: from the configuration's sections to tokens, and what happens to a slot when its token comes and goes. */
#include "backends.h"
#include "conf.h"
#include "config.h"
#include "log.h"
#include "operation.h"
#include "session.h"

/* What a session handle has room for (session.c). */
#define SLOTS_MAX (sizeof(CK_ULONG) > 4 ? 256u : 32u)

static const struct token_ops *ops_named(const char *name)
{
	for (size_t i = 0; i < backends_count; i++)
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	return NULL;
}

static CK_RV find_ops(const struct conf_section *conf, const struct token_ops **ret)
{
	const char *type = conf_get(conf, "type");
	const struct token_ops *ops = type ? ops_named(type) : NULL;

	if (!ops) {
		conf_complain(conf, "type", type ? "no such type of slot" : "is missing");
		return CKR_ARGUMENTS_BAD;
	}
	if (ops->abi != TOKEN_OPS_ABI) {
		conf_complain(conf, "type", "this backend was built against another contract");
		return CKR_ARGUMENTS_BAD;
	}
	*ret = ops;
	return CKR_OK;
}

static void slot_free(struct slot *s)
{
	if (!s)
		return;
	if (s->token)
		s->token->ops->free(s->token);
	lock_free(s->lock);
	index_done(&s->objects.stored);
	free(s->objects.at);
	free(s->table);
	free(s);
}

static void slot_cleanup(struct slot **s)
{
	slot_free(*s);
}

static CK_RV slot_new(const struct conf_section *conf, CK_SLOT_ID id, struct slot **ret)
{
	struct slot *s CLEANUP(slot_cleanup) = calloc(1, sizeof *s);
	const struct token_ops *ops;

	if (!s)
		return CKR_HOST_MEMORY;
	s->id = id;
	s->conf = conf;
	s->login_required = true; /* until the token says otherwise */
	TRY(find_ops(conf, &ops));
	TRY(lock_new(LOCK_SLOT, &s->lock));
	TRY(ops->open(conf, &s->token));
	*ret = TAKE(s);
	return CKR_OK;
}

/* Codes that are the process's trouble, not one section's. */
static bool is_fatal(CK_RV rv)
{
	return rv == CKR_HOST_MEMORY || rv == CKR_GENERAL_ERROR;
}

static CK_RV open_each(const struct config *config, struct slot **slots, size_t *n)
{
	for (size_t i = 0; i < config_count(config); i++) {
		const struct conf_section *conf = config_section(config, i);
		CK_RV rv = CKR_OK;

		if (*n < SLOTS_MAX)
			rv = slot_new(conf, *n, &slots[*n]);
		else
			conf_complain(conf, "type", "there are too many slots; this one is left out");
		if (is_fatal(rv))
			return rv;
		*n += slots[*n] != NULL;
	}
	return CKR_OK;
}

CK_RV slots_open(const struct config *config, struct slot ***ret, size_t *ret_n)
{
	/* One more than there are sections, so that the place after the last slot is always there to look at. */
	struct slot **slots = calloc(config_count(config) + 1, sizeof(struct slot *));
	size_t n = 0;
	CK_RV rv;

	if (!slots)
		return CKR_HOST_MEMORY;
	rv = open_each(config, slots, &n);
	if (rv != CKR_OK) {
		slots_close(slots, n);
		return rv;
	}
	*ret = slots;
	*ret_n = n;
	return CKR_OK;
}

/* No call is in the module any more; a session that couldn't be left, since its lock failed, is freed now. */
static void slot_close(struct slot *s)
{
	for (struct session *i = s->sessions; i; i = i->next)
		i->busy = 0;
	session_close_all(s);
	objects_clear(s);
	slot_free(s);
}

void slots_close(struct slot **slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		slot_close(slots[i]);
	free(slots);
}

void slots_forked(struct slot **slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slots[i]->token->ops->forked)
			slots[i]->token->ops->forked(slots[i]->token);
}

static void note_presence(struct slot *s, bool present)
{
	if (s->probed && s->present != present)
		s->event = true;
	s->probed = true;
	s->present = present;
}

CK_RV slot_probe(struct slot *s)
{
	CK_RV rv = s->token->ops->probe(s->token);

	if (rv != CKR_HOST_MEMORY) /* then nobody knows */
		note_presence(s, rv == CKR_OK || rv == CKR_TOKEN_NOT_RECOGNIZED);
	return rv;
}

CK_RV slot_info(struct slot *s, bool brief, struct token_info *ret)
{
	CK_RV rv;

	*ret = (struct token_info){.brief = brief};
	rv = s->token->ops->info(s->token, ret);
	if (rv != CKR_OK)
		return rv;
	if (ret->replaced) /* while nobody here had a session */
		slot_removed(s);
	s->flags = ret->flags;
	s->login_required = (ret->flags & CKF_LOGIN_REQUIRED) != 0;
	return CKR_OK;
}

bool slot_private_ok(const struct slot *s)
{
	return s->login == LOGIN_USER || (!s->login_required && s->login != LOGIN_SO);
}

static CK_RV add_builtin(struct slot *s)
{
	if (s->builtin)
		return CKR_OK;
	TRY(objects_add_builtin(s));
	s->builtin = true;
	return CKR_OK;
}

CK_RV slot_sync(struct slot *s)
{
	const struct token_view view = {.put = object_view_put, .drop = object_view_drop, .ctx = s};
	CK_RV rv;

	TRY(add_builtin(s));
	rv = s->token->ops->sync(s->token, &view);
	if (rv == CKR_TOKEN_NOT_PRESENT)
		rv = CKR_DEVICE_REMOVED;
	if (rv == CKR_DEVICE_REMOVED)
		slot_removed(s);
	if (rv == CKR_OK)
		s->synced = true;
	return rv;
}

void slot_reset(struct slot *s)
{
	objects_clear(s);
	s->builtin = false;
	s->synced = false;
	s->flags = 0;
	s->login_required = true;
}

void slot_removed(struct slot *s)
{
	session_close_all(s);
	slot_reset(s);
	note_presence(s, false);
}

static void end_private_operations(struct session *s)
{
	for (size_t i = 0; i < SESSION_OPS; i++)
		if (s->op[i] && operation_uses_private(s->op[i])) {
			operation_free(s->op[i]);
			s->op[i] = NULL;
		}
}

void slot_logout(struct slot *s)
{
	for (struct session *i = s->sessions; i; i = i->next)
		end_private_operations(i);
	objects_drop_private(s);
	s->token->ops->logout(s->token);
	s->login = LOGIN_NONE;
}

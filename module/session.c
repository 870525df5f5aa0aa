/* Sessions.
 *
 * A handle says where to look, so that finding a session takes one lock, that of its slot:
 *
 *     generation | index in the slot's table | slot id
 *
 * Generations count all sessions that the process has opened, across C_Finalize too, and are never 0: no handle is
 * used twice (with a CK_ULONG of 32 bits: not before 131 072 others). */
#include <stdatomic.h>

#include "log.h"
#include "operation.h"
#include "session.h"

#define WIDE (sizeof(CK_ULONG) > 4)
#define SLOT_BITS (WIDE ? 8 : 5)
#define INDEX_BITS (WIDE ? 16 : 10)
#define GENERATION_BITS (WIDE ? 40 : 17)

static _Atomic CK_ULONG generations;

static CK_ULONG next_generation(void)
{
	CK_ULONG mask = ((CK_ULONG)1 << GENERATION_BITS) - 1, g;

	do
		g = (atomic_fetch_add_explicit(&generations, 1, memory_order_relaxed) + 1) & mask;
	while (g == 0);
	return g;
}

size_t session_slot_index(CK_SESSION_HANDLE handle)
{
	return handle & (((CK_ULONG)1 << SLOT_BITS) - 1);
}

static size_t table_index(CK_SESSION_HANDLE handle)
{
	return (handle >> SLOT_BITS) & (((CK_ULONG)1 << INDEX_BITS) - 1);
}

struct session *session_find(const struct slot *slot, CK_SESSION_HANDLE handle)
{
	size_t i = table_index(handle);
	struct session *s = i < slot->table_cap ? slot->table[i] : NULL;

	return s && s->handle == handle ? s : NULL;
}

static CK_RV table_grow(struct slot *slot)
{
	size_t cap = MIN(MAX(slot->table_cap * 2, 16), SESSION_MAX);
	struct session **table;

	if (slot->table_cap == SESSION_MAX) {
		log_error("slot %lu has %zu sessions, the most it can have: close some", slot->id, slot->n_sessions);
		return CKR_SESSION_COUNT;
	}
	table = realloc(slot->table, cap * sizeof(struct session *));
	if (!table)
		return CKR_HOST_MEMORY;
	memset(table + slot->table_cap, 0, (cap - slot->table_cap) * sizeof(struct session *));
	slot->table = table;
	slot->table_cap = cap;
	return CKR_OK;
}

/* A free place in the table; every open session of the slot has one, so a full table shows in the count. */
static CK_RV table_place(struct slot *slot, size_t *ret)
{
	size_t i = slot->n_sessions;

	if (slot->n_sessions == slot->table_cap)
		TRY(table_grow(slot));
	/* The place after the last one mostly is free: only closed sessions make the search longer. */
	while (slot->table[i % slot->table_cap])
		i++;
	*ret = i % slot->table_cap;
	return CKR_OK;
}

static void enlist(struct session *s, size_t index)
{
	struct slot *slot = s->slot;

	s->handle = next_generation() << (SLOT_BITS + INDEX_BITS) | (CK_ULONG)index << SLOT_BITS | slot->id;
	slot->table[index] = s;
	s->next = slot->sessions;
	slot->sessions = s;
	slot->n_sessions++;
	slot->n_rw += session_rw(s);
}

CK_RV session_open(struct slot *slot, CK_FLAGS flags, struct session **ret)
{
	struct session *s CLEANUP(free_cleanup) = calloc(1, sizeof *s);
	size_t index;

	if (!s)
		return CKR_HOST_MEMORY;
	TRY(table_place(slot, &index));
	s->slot = slot;
	s->flags = flags;
	enlist(s, index);
	*ret = TAKE(s);
	return CKR_OK;
}

static void delist(struct session *s)
{
	struct slot *slot = s->slot;
	struct session **at = &slot->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	slot->table[table_index(s->handle)] = NULL;
	slot->n_sessions--;
	slot->n_rw -= session_rw(s);
	s->closed = true;
}

static void session_free(struct session *s)
{
	for (size_t i = 0; i < SESSION_OPS; i++)
		operation_free(s->op[i]);
	search_free(s->search);
	free(s);
}

void session_close(struct session *s)
{
	struct slot *slot = s->slot;

	delist(s);
	objects_drop_of(s);
	if (s->busy == 0)
		session_free(s);
	if (slot->n_sessions == 0 && slot->login != LOGIN_NONE)
		slot_logout(slot);
}

void session_close_all(struct slot *slot)
{
	while (slot->sessions)
		session_close(slot->sessions);
}

CK_STATE session_state(const struct session *s)
{
	static const CK_STATE states[][2] = {
		[LOGIN_NONE] = {CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION},
		[LOGIN_USER] = {CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS},
		/* There is no R/O session while the SO is logged in. */
		[LOGIN_SO] = {CKS_RO_PUBLIC_SESSION, CKS_RW_SO_FUNCTIONS},
	};

	return states[s->slot->login][session_rw(s)];
}

void session_enter(struct session *s)
{
	s->busy++;
}

bool session_leave(struct session *s)
{
	bool open = !s->closed;

	s->busy--;
	if (!open && s->busy == 0)
		session_free(s);
	return open;
}

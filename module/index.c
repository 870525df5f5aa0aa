/* A hash table whose keys are the objects' ids. */
#include "index.h"

#include "object.h"

/* Most ids are random already; those that a backend makes up from a serial number are not. */
static size_t hash(const uint8_t id[16])
{
	uint64_t half[2];

	memcpy(half, id, sizeof half);
	half[0] = (half[0] ^ (half[1] * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
	return (size_t)(half[0] >> 32);
}

/* Where that id is, or the free place where it belongs. */
static size_t place(const struct object_index *x, const uint8_t id[16])
{
	size_t i = hash(id) & (x->cap - 1);

	while (x->at[i] && memcmp(x->at[i]->obj->id, id, 16) != 0)
		i = (i + 1) & (x->cap - 1);
	return i;
}

CK_RV index_reserve(struct object_index *x, size_t more)
{
	struct object_index bigger = {.cap = MAX(x->cap, (size_t)16)};

	while (bigger.cap / 2 < x->n + more)
		bigger.cap *= 2;
	if (bigger.cap == x->cap)
		return CKR_OK;
	bigger.at = calloc(bigger.cap, sizeof *bigger.at);
	if (!bigger.at)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < x->cap; i++)
		if (x->at[i])
			index_put(&bigger, x->at[i]);
	free(x->at);
	*x = bigger;
	return CKR_OK;
}

void index_put(struct object_index *x, struct object *o)
{
	size_t i = place(x, o->obj->id);

	if (!x->at[i])
		x->n++;
	x->at[i] = o;
}

/* What stands behind a place that becomes free, up to the next free one, moves up if its way leads past. */
static void close_gap(struct object_index *x, size_t gap)
{
	size_t mask = x->cap - 1;

	for (size_t i = (gap + 1) & mask; x->at[i]; i = (i + 1) & mask) {
		size_t home = hash(x->at[i]->obj->id) & mask;

		if (((i - home) & mask) < ((i - gap) & mask))
			continue;
		x->at[gap] = x->at[i];
		x->at[i] = NULL;
		gap = i;
	}
}

void index_remove(struct object_index *x, const struct object *o)
{
	size_t i = x->cap ? place(x, o->obj->id) : 0;

	if (!x->cap || x->at[i] != o)
		return;
	x->at[i] = NULL;
	x->n--;
	close_gap(x, i);
}

struct object *index_find(const struct object_index *x, const uint8_t id[16])
{
	return x->cap ? x->at[place(x, id)] : NULL;
}

void index_done(struct object_index *x)
{
	free(x->at);
	*x = (struct object_index){0};
}

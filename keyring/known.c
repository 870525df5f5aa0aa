/* A sorted array is enough: a ring has some hundred keys, and most calls find it unchanged. */
#include "known.h"

void known_done(struct known_set *set)
{
	free(set->at);
	*set = (struct known_set){0};
}

/* The first place whose key isn't less. */
static size_t place_of(const struct known_set *set, key_serial_t key)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->at[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct known *known_by_key(struct known_set *set, key_serial_t key)
{
	size_t i = place_of(set, key);

	return i < set->n && set->at[i].key == key ? &set->at[i] : NULL;
}

struct known *known_by_id(struct known_set *set, const uint8_t id[16])
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].record && memcmp(set->at[i].id, id, 16) == 0)
			return &set->at[i];
	return NULL;
}

CK_RV known_reserve(struct known_set *set)
{
	size_t cap = MAX(set->cap * 2, (size_t)16);
	struct known *bigger;

	if (set->n < set->cap)
		return CKR_OK;
	bigger = realloc(set->at, cap * sizeof *bigger);
	if (!bigger)
		return CKR_HOST_MEMORY;
	set->at = bigger;
	set->cap = cap;
	return CKR_OK;
}

CK_RV known_put(struct known_set *set, const struct known *k)
{
	struct known copy = *k; /* k may be one of the set's own */
	size_t i = place_of(set, copy.key);

	if (i < set->n && set->at[i].key == copy.key) {
		set->at[i] = copy;
		return CKR_OK;
	}
	TRY(known_reserve(set));
	memmove(&set->at[i + 1], &set->at[i], (set->n - i) * sizeof *set->at);
	set->at[i] = copy;
	set->n++;
	return CKR_OK;
}

void known_remove(struct known_set *set, struct known *k)
{
	size_t i = (size_t)(k - set->at);

	memmove(&set->at[i], &set->at[i + 1], (set->n - i - 1) * sizeof *set->at);
	set->n--;
}

/* The sorted set of records that this process has seen. */
#include "object.h"

static size_t place(const struct known_set *set, const uint8_t id[16])
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(set->at[mid].id, id, 16) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct known *tpm_known_find(const struct known_set *set, const uint8_t id[16])
{
	size_t i = place(set, id);

	return i < set->n && !memcmp(set->at[i].id, id, 16) ? &set->at[i] : NULL;
}

CK_RV tpm_known_reserve(struct known_set *set)
{
	size_t cap = set->cap ? set->cap * 2 : 16;
	struct known *at;

	if (set->n < set->cap)
		return CKR_OK;
	at = realloc(set->at, cap * sizeof *at);
	if (!at)
		return CKR_HOST_MEMORY;
	set->at = at;
	set->cap = cap;
	return CKR_OK;
}

struct known *tpm_known_add(struct known_set *set, const uint8_t id[16])
{
	size_t i = place(set, id);

	memmove(&set->at[i + 1], &set->at[i], (set->n - i) * sizeof *set->at);
	set->n++;
	set->at[i] = (struct known){0};
	memcpy(set->at[i].id, id, 16);
	return &set->at[i];
}

void tpm_known_remove(struct known_set *set, struct known *k)
{
	size_t i = (size_t)(k - set->at);

	memmove(k, k + 1, (set->n - i - 1) * sizeof *set->at);
	set->n--;
}

void tpm_known_done(struct known_set *set)
{
	free(set->at);
	*set = (struct known_set){0};
}

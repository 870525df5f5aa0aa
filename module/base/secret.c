/* Secret memory: pages of our own, cut into fixed cells, so that locking, core-dump exclusion and emptying in a
 * forked child concern nothing else.
 *
 * A chunk is one mapping that serves cells of one size; larger requests get a mapping of their own.  Chunks stay
 * until the process ends (a handful of pages), which keeps freeing free of system calls. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "secret.h"

#include <openssl/crypto.h>

/* Before each block, so that secret_free() knows what it gives back. */
struct header {
	size_t size;        /* of the block, without the header; 0: free */
	struct chunk *chunk; /* NULL: a mapping of its own */
	size_t pad[2];      /* keeps blocks aligned for anything */
};

struct chunk {
	struct chunk *next;
	size_t cell;        /* header included */
	size_t n;
	uint8_t *cells;
};

#define CHUNK_BYTES 16384u
static const size_t cell_sizes[] = {128, 1024, 4096};

/* The allocator's own lock: a leaf below every lock of the module, never held over a call out of this file, so the
 * kind of mutex that C_Initialize asked for doesn't matter to it.  A spin on an atomic needs no operating system. */
static atomic_flag busy = ATOMIC_FLAG_INIT;
static struct chunk *chunks;

static void enter(void)
{
	while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		continue;
}

static void leave(void)
{
	atomic_flag_clear_explicit(&busy, memory_order_release);
}

/* Pages of zeros; the three requests are favours that a kernel or a limit may refuse. */
static void *map_pages(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)mlock(p, n);
	(void)madvise(p, n, MADV_DONTDUMP);
	(void)madvise(p, n, MADV_WIPEONFORK);
	return p;
}

static struct chunk *chunk_new(size_t cell)
{
	struct chunk *c = malloc(sizeof *c);

	if (!c)
		return NULL;
	*c = (struct chunk){.cell = cell, .n = CHUNK_BYTES / cell, .cells = map_pages(CHUNK_BYTES)};
	if (!c->cells) {
		free(c);
		return NULL;
	}
	c->next = chunks;
	chunks = c;
	return c;
}

/* In a forked child every cell reads as zeros, hence as free: that is right, nobody there owns one yet. */
static void *take_cell(struct chunk *c, size_t size)
{
	for (size_t i = 0; i < c->n; i++) {
		struct header *h = (struct header *)(void *)(c->cells + i * c->cell);

		if (h->size == 0) {
			h->size = size;
			h->chunk = c;
			return h + 1;
		}
	}
	return NULL;
}

static void *alloc_cell(size_t cell, size_t size)
{
	struct chunk *c;
	void *p = NULL;

	enter();
	for (c = chunks; c && !p; c = c->next)
		if (c->cell == cell)
			p = take_cell(c, size);
	if (!p && (c = chunk_new(cell)))
		p = take_cell(c, size);
	leave();
	return p;
}

static void *alloc_pages(size_t size)
{
	struct header *h = map_pages(size + sizeof *h);

	if (!h)
		return NULL;
	h->size = size;
	return h + 1;
}

void *secret_alloc(size_t size)
{
	if (size == 0 || size > SECRET_MAX)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(cell_sizes); i++)
		if (size + sizeof(struct header) <= cell_sizes[i])
			return alloc_cell(cell_sizes[i], size);
	return alloc_pages(size);
}

void secret_free(void *p)
{
	struct header *h;

	if (!p)
		return;
	h = (struct header *)p - 1;
	if (h->size == 0)
		return; /* inherited over fork: emptied by the kernel already */
	wipe(p, h->size);
	if (!h->chunk) {
		(void)munmap(h, h->size + sizeof *h);
		return;
	}
	enter();
	h->chunk = NULL;
	h->size = 0;
	leave();
}

void wipe(void *p, size_t n)
{
	if (p && n)
		OPENSSL_cleanse(p, n);
}

bool secret_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

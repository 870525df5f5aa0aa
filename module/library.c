/* The library's life.
 *
 * One word, the gate, says whether the library is open and how many calls are in it.  It stands in a page of its own
 * that the kernel empties in a forked child, which so starts uninitialized without being told; where the kernel can't
 * do that (before Linux 4.14), a handler of pthread_atfork() closes it.  Waiting is done on the gate with futex(2): no
 * mutex of the system's (the application may have brought its own), and no descriptor that somebody could close. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"
#include "library.h"
#include "log.h"

/* 0: not initialized.  Only an open gate is counted up. */
#define GATE_OPEN 0x80000000u
#define GATE_STARTING 0x40000000u
#define GATE_CLOSING 0x20000000u
#define GATE_CALLS 0x1fffffffu

/* Never unmapped: a thread may come to look at any time. */
static _Atomic(_Atomic uint32_t *) gate_page;
static struct library *library;

static void close_gate_in_child(void)
{
	_Atomic uint32_t *gate = atomic_load(&gate_page);

	if (gate)
		atomic_store(gate, 0);
}

static CK_RV make_gate(_Atomic uint32_t **ret)
{
	_Atomic uint32_t *none = NULL, *gate = atomic_load(&gate_page);
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page;

	if (gate) {
		*ret = gate;
		return CKR_OK;
	}
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return CKR_HOST_MEMORY;
	if (!atomic_compare_exchange_strong(&gate_page, &none, (_Atomic uint32_t *)page)) {
		(void)munmap(page, size);
		*ret = none;
		return CKR_OK;
	}
	*ret = page;
	if (madvise(page, size, MADV_WIPEONFORK) != 0 && pthread_atfork(NULL, NULL, close_gate_in_child) != 0)
		log_error("this process must not fork: neither MADV_WIPEONFORK nor pthread_atfork works");
	return CKR_OK;
}

static void gate_wait(_Atomic uint32_t *gate, uint32_t seen, const struct timespec *timeout)
{
	(void)syscall(SYS_futex, gate, FUTEX_WAIT_PRIVATE, seen, timeout, NULL, 0);
}

static void gate_wake(_Atomic uint32_t *gate)
{
	(void)syscall(SYS_futex, gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

struct library *library_enter(void)
{
	_Atomic uint32_t *gate = atomic_load_explicit(&gate_page, memory_order_acquire);
	uint32_t v;

	if (!gate)
		return NULL;
	v = atomic_load_explicit(gate, memory_order_relaxed);
	do
		if (!(v & GATE_OPEN))
			return NULL;
	while (!atomic_compare_exchange_weak_explicit(gate, &v, v + 1, memory_order_acquire, memory_order_relaxed));
	return library;
}

void library_leave(void)
{
	_Atomic uint32_t *gate = atomic_load_explicit(&gate_page, memory_order_relaxed);

	/* The last one out wakes C_Finalize; the gate's page outlives the library, so this is safe at any time. */
	if (atomic_fetch_sub_explicit(gate, 1, memory_order_release) == (GATE_CLOSING | 1))
		gate_wake(gate);
}

bool library_wait_finalizing(unsigned milliseconds)
{
	const struct timespec timeout = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
	_Atomic uint32_t *gate = atomic_load(&gate_page);
	uint32_t v = atomic_load(gate);

	if (v & GATE_OPEN)
		gate_wait(gate, v, &timeout);
	return !(atomic_load(gate) & GATE_OPEN);
}

static CK_RV check_mutex_args(const CK_C_INITIALIZE_ARGS *args)
{
	int given;

	if (!args)
		return CKR_OK;
	given = !!args->CreateMutex + !!args->DestroyMutex + !!args->LockMutex + !!args->UnlockMutex;
	return args->pReserved || (given != 0 && given != 4) ? CKR_ARGUMENTS_BAD : CKR_OK;
}

/* Takes the gate from "not initialized" to "starting", or says why not.  Whoever comes while another thread starts
 * the library waits for the outcome: "already initialized" must mean that it can be used. */
static CK_RV gate_start(_Atomic uint32_t *gate)
{
	uint32_t v = 0;

	while (!atomic_compare_exchange_strong(gate, &v, GATE_STARTING)) {
		if (v != GATE_STARTING)
			return CKR_CRYPTOKI_ALREADY_INITIALIZED;
		gate_wait(gate, v, NULL);
		v = 0;
	}
	return CKR_OK;
}

static void library_free(struct library *lib)
{
	slots_close(lib->slots, lib->n_slots);
	config_free(lib->config);
	free(lib);
}

static CK_RV library_new(struct library **ret)
{
	struct library *lib = calloc(1, sizeof *lib);
	CK_RV rv;

	if (!lib)
		return CKR_HOST_MEMORY;
	rv = config_load(&lib->config);
	if (rv == CKR_OK)
		rv = slots_open(lib->config, &lib->slots, &lib->n_slots);
	if (rv != CKR_OK) {
		library_free(lib);
		return rv;
	}
	*ret = lib;
	return CKR_OK;
}

/* What a forked child has of its parent's library is given up: no lock of it is taken, no byte sent, and its memory is
 * left as it is, since another thread of the parent's may have been changing it.  A list keeps it reachable, so that
 * leak checkers see that this is meant. */
static void abandon_inherited(void)
{
	static struct library *abandoned[8];
	static size_t n;

	if (!library)
		return;
	lock_forget_held();
	slots_forked(library->slots, library->n_slots);
	abandoned[n++ % ARRAY_LEN(abandoned)] = library;
	library = NULL;
}

static CK_RV start(const CK_C_INITIALIZE_ARGS *args)
{
	abandon_inherited();
	log_configure(secure_getenv("SIGNET_LOG"));
	/* The TSS writes its own lines to stderr, for ordinary conditions too.  The user's choice stands. */
	(void)setenv("TSS2_LOG", "all+none", 0);
	lock_configure(args);
	return library_new(&library);
}

CK_RV library_initialize(const CK_C_INITIALIZE_ARGS *args)
{
	_Atomic uint32_t *gate;
	CK_RV rv;

	TRY(check_mutex_args(args));
	TRY(make_gate(&gate));
	TRY(gate_start(gate));
	rv = start(args);
	atomic_store(gate, rv == CKR_OK ? GATE_OPEN : 0);
	gate_wake(gate);
	return rv;
}

/* Closes the gate for new calls and waits until the last one is out. */
static CK_RV gate_close(_Atomic uint32_t *gate)
{
	uint32_t v = atomic_load(gate);

	do
		if (!(v & GATE_OPEN))
			return CKR_CRYPTOKI_NOT_INITIALIZED;
	while (!atomic_compare_exchange_weak(gate, &v, (v & GATE_CALLS) | GATE_CLOSING));
	gate_wake(gate);
	while ((v = atomic_load(gate)) & GATE_CALLS)
		gate_wait(gate, v, NULL);
	return CKR_OK;
}

CK_RV library_finalize(void)
{
	_Atomic uint32_t *gate = atomic_load(&gate_page);

	if (!gate)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	TRY(gate_close(gate));
	library_free(TAKE(library));
	crypto_shutdown();
	log_close();
	atomic_store(gate, 0);
	return CKR_OK;
}

/* The library's life.
 *
 * One word, the gate's state, says whether the library is open and how many calls are in it.  It stands in a page of
 * its own that the kernel empties in a forked child, which so starts uninitialized however it was made; a handler of
 * pthread_atfork() does the same, for kernels that can't (before Linux 4.14), and closes what the child shouldn't keep
 * open.  Waiting is done on the gate with futex(2): no
 * mutex of the system's (the application may have brought its own), and no descriptor that somebody could close. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "library.h"
#include "log.h"

struct gate {
	_Atomic uint32_t state;
	/* Changes when C_Finalize begins.  A word of its own, since the state changes with every call. */
	_Atomic uint32_t closings;
};

/* The gate's state.  0: not initialized.  Only an open gate is counted up. */
#define GATE_OPEN 0x80000000u
#define GATE_STARTING 0x40000000u
#define GATE_CLOSING 0x20000000u
#define GATE_CALLS 0x1fffffffu

/* Never unmapped: a thread may come to look at any time. */
static struct gate *_Atomic gate_page;
static struct library *library;

/* Runs in a forked child at once, before anybody calls us there: what the child inherited could otherwise keep its
 * parent's lock of a token taken, or its connection open, for as long as the child lives.  Only stores and close(2), as
 * a child of many threads may do; the rest waits for its C_Initialize.  Whether the kernel has emptied the gate's page
 * makes no difference. */
static void give_up_in_child(void)
{
	struct gate *gate = atomic_load(&gate_page);

	if (gate)
		atomic_store(&gate->state, 0);
	if (library)
		slots_forked(library->slots, library->n_slots);
}

static CK_RV make_gate(struct gate **ret)
{
	struct gate *none = NULL, *gate = atomic_load(&gate_page);
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	bool emptied, told;
	void *page;

	if (gate) {
		*ret = gate;
		return CKR_OK;
	}
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return CKR_HOST_MEMORY;
	if (!atomic_compare_exchange_strong(&gate_page, &none, (struct gate *)page)) {
		(void)munmap(page, size);
		*ret = none;
		return CKR_OK;
	}
	*ret = page;
	emptied = madvise(page, size, MADV_WIPEONFORK) == 0;
	told = pthread_atfork(NULL, NULL, give_up_in_child) == 0;
	if (!emptied && !told)
		log_error("this process must not fork: neither MADV_WIPEONFORK nor pthread_atfork works");
	return CKR_OK;
}

static void word_wait(_Atomic uint32_t *word, uint32_t seen, const struct timespec *timeout)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout, NULL, 0);
}

static void word_wake(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

struct library *library_enter(void)
{
	struct gate *gate = atomic_load_explicit(&gate_page, memory_order_acquire);
	uint32_t v;

	if (!gate)
		return NULL;
	v = atomic_load_explicit(&gate->state, memory_order_relaxed);
	do
		if (!(v & GATE_OPEN))
			return NULL;
	while (!atomic_compare_exchange_weak_explicit(&gate->state, &v, v + 1, memory_order_acquire,
						      memory_order_relaxed));
	return library;
}

void library_leave(void)
{
	struct gate *gate = atomic_load_explicit(&gate_page, memory_order_relaxed);

	/* The last one out wakes C_Finalize; the gate's page outlives the library, so this is safe at any time. */
	if (atomic_fetch_sub_explicit(&gate->state, 1, memory_order_release) == (GATE_CLOSING | 1))
		word_wake(&gate->state);
}

bool library_wait_finalizing(unsigned milliseconds)
{
	const struct timespec timeout = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
	struct gate *gate = atomic_load(&gate_page);
	uint32_t seen = atomic_load(&gate->closings);

	if (atomic_load(&gate->state) & GATE_OPEN)
		word_wait(&gate->closings, seen, &timeout);
	return !(atomic_load(&gate->state) & GATE_OPEN);
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
static CK_RV gate_start(struct gate *gate)
{
	uint32_t v = 0;

	while (!atomic_compare_exchange_strong(&gate->state, &v, GATE_STARTING)) {
		if (v != GATE_STARTING)
			return CKR_CRYPTOKI_ALREADY_INITIALIZED;
		word_wait(&gate->state, v, NULL);
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
	struct gate *gate;
	CK_RV rv;

	TRY(check_mutex_args(args));
	TRY(make_gate(&gate));
	TRY(gate_start(gate));
	rv = start(args);
	atomic_store(&gate->state, rv == CKR_OK ? GATE_OPEN : 0);
	word_wake(&gate->state);
	return rv;
}

/* Closes the gate for new calls and waits until the last one is out. */
static CK_RV gate_close(struct gate *gate)
{
	uint32_t v = atomic_load(&gate->state);

	do
		if (!(v & GATE_OPEN))
			return CKR_CRYPTOKI_NOT_INITIALIZED;
	while (!atomic_compare_exchange_weak(&gate->state, &v, (v & GATE_CALLS) | GATE_CLOSING));
	atomic_fetch_add(&gate->closings, 1);
	word_wake(&gate->closings);
	while ((v = atomic_load(&gate->state)) & GATE_CALLS)
		word_wait(&gate->state, v, NULL);
	return CKR_OK;
}

/* libcrypto's context stays for the next C_Initialize (crypto_shutdown() isn't called): a thread that has used it goes
 * back to it when it exits, to free its random generator, and such threads may outlive C_Finalize (tried: a crash). */
CK_RV library_finalize(void)
{
	struct gate *gate = atomic_load(&gate_page);

	if (!gate)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	TRY(gate_close(gate));
	library_free(TAKE(library));
	log_close();
	atomic_store(&gate->state, 0);
	return CKR_OK;
}

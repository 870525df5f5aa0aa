/* Mutexes of three kinds behind one face. */
#include <pthread.h>

#include "lock.h"
#include "log.h"

enum kind { KIND_NONE, KIND_SYSTEM, KIND_APPLICATION };

static struct {
	enum kind kind;
	CK_CREATEMUTEX create;
	CK_DESTROYMUTEX destroy;
	CK_LOCKMUTEX lock;
	CK_UNLOCKMUTEX unlock;
} method;

struct lock {
	enum lock_rank rank;
	enum kind kind;
	pthread_mutex_t system;
	void *application;
	CK_DESTROYMUTEX destroy;
	CK_LOCKMUTEX take;
	CK_UNLOCKMUTEX drop;
	bool broken;           /* an unlock failed */
};

/* What this thread holds, newest last: the order of ranks is checked against it. */
#define MAX_HELD 8
static _Thread_local struct {
	const struct lock *lock[MAX_HELD];
	size_t n;
} held;

void lock_configure(const CK_C_INITIALIZE_ARGS *args)
{
	method.kind = KIND_NONE;
	if (!args)
		return;
	if (args->flags & CKF_OS_LOCKING_OK) {
		method.kind = KIND_SYSTEM;
		return;
	}
	if (!args->CreateMutex)
		return;
	method.kind = KIND_APPLICATION;
	method.create = args->CreateMutex;
	method.destroy = args->DestroyMutex;
	method.lock = args->LockMutex;
	method.unlock = args->UnlockMutex;
}

/* CKR_MUTEX_* stay inside; only a lack of memory is worth telling apart. */
static CK_RV callback_failed(const char *which, CK_RV rv)
{
	log_error("the application's %s callback failed (0x%lx); this is the application's to mend", which,
		  (unsigned long)rv);
	return rv == CKR_HOST_MEMORY ? CKR_HOST_MEMORY : CKR_GENERAL_ERROR;
}

static CK_RV create_inner(struct lock *l)
{
	CK_RV rv;

	if (l->kind == KIND_SYSTEM)
		return pthread_mutex_init(&l->system, NULL) == 0 ? CKR_OK : CKR_HOST_MEMORY;
	if (l->kind == KIND_NONE)
		return CKR_OK;
	rv = method.create(&l->application);
	return rv == CKR_OK ? CKR_OK : callback_failed("CreateMutex", rv);
}

CK_RV lock_new(enum lock_rank rank, struct lock **ret)
{
	struct lock *l = calloc(1, sizeof *l);
	CK_RV rv;

	if (!l)
		return CKR_HOST_MEMORY;
	l->rank = rank;
	l->kind = method.kind;
	l->destroy = method.destroy;
	l->take = method.lock;
	l->drop = method.unlock;
	rv = create_inner(l);
	if (rv != CKR_OK) {
		free(l);
		return rv;
	}
	*ret = l;
	return CKR_OK;
}

static bool in_order(const struct lock *l)
{
	if (held.n == MAX_HELD)
		return false;
	for (size_t i = 0; i < held.n; i++)
		if (held.lock[i]->rank >= l->rank)
			return false;
	return true;
}

static CK_RV take_inner(struct lock *l)
{
	CK_RV rv;

	if (l->kind == KIND_SYSTEM)
		return pthread_mutex_lock(&l->system) == 0 ? CKR_OK : CKR_GENERAL_ERROR;
	if (l->kind == KIND_NONE)
		return CKR_OK;
	rv = l->take(l->application);
	return rv == CKR_OK ? CKR_OK : callback_failed("LockMutex", rv);
}

CK_RV lock_take(struct lock *l)
{
	CK_RV rv;

	if (!in_order(l)) {
		log_error("a lock of rank %d was asked for out of order: please report this", (int)l->rank);
		return CKR_GENERAL_ERROR;
	}
	rv = take_inner(l);
	if (rv != CKR_OK)
		return rv;
	held.lock[held.n++] = l;
	if (!l->broken)
		return CKR_OK;
	lock_drop(l);
	return CKR_GENERAL_ERROR;
}

static void forget(const struct lock *l)
{
	for (size_t i = held.n; i-- > 0;)
		if (held.lock[i] == l) {
			memmove(&held.lock[i], &held.lock[i + 1], (held.n - i - 1) * sizeof held.lock[0]);
			held.n--;
			return;
		}
}

void lock_drop(struct lock *l)
{
	CK_RV rv = CKR_OK;

	forget(l);
	if (l->kind == KIND_SYSTEM && pthread_mutex_unlock(&l->system) != 0)
		rv = CKR_GENERAL_ERROR;
	if (l->kind == KIND_APPLICATION)
		rv = l->drop(l->application);
	if (rv == CKR_OK)
		return;
	(void)callback_failed("UnlockMutex", rv);
	l->broken = true;
}

void lock_free(struct lock *l)
{
	CK_RV rv = CKR_OK;

	if (!l)
		return;
	if (l->kind == KIND_SYSTEM)
		(void)pthread_mutex_destroy(&l->system);
	if (l->kind == KIND_APPLICATION)
		rv = l->destroy(l->application);
	if (rv != CKR_OK)
		(void)callback_failed("DestroyMutex", rv);
	free(l);
}

void lock_forget_held(void)
{
	held.n = 0;
}

bool lock_held(const struct lock *l)
{
	for (size_t i = 0; i < held.n; i++)
		if (held.lock[i] == l)
			return true;
	return false;
}

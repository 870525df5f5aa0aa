/* module/base/lock.c */
#include <criterion/criterion.h>

#include "lock.h"

static int created, destroyed, taken, dropped;
static CK_RV answer;

static CK_RV app_create(void **m)
{
	created++;
	*m = &created;
	return answer;
}

static CK_RV app_destroy(void *m)
{
	cr_assert_eq(m, &created);
	destroyed++;
	return CKR_OK;
}

static CK_RV app_lock(void *m)
{
	cr_assert_eq(m, &created);
	taken++;
	return answer;
}

static CK_RV app_unlock(void *m)
{
	cr_assert_eq(m, &created);
	dropped++;
	return answer;
}

static CK_C_INITIALIZE_ARGS app_args = {app_create, app_destroy, app_lock, app_unlock, 0, NULL};

Test(lock, an_application_s_callbacks_are_used)
{
	struct lock *l;

	lock_configure(&app_args);
	cr_assert_eq(lock_new(LOCK_SLOT, &l), CKR_OK);
	cr_assert_eq(lock_take(l), CKR_OK);
	cr_assert(lock_held(l));
	lock_drop(l);
	cr_assert_not(lock_held(l));
	lock_free(l);
	cr_assert(created == 1 && destroyed == 1 && taken == 1 && dropped == 1);
}

Test(lock, their_failures_are_translated)
{
	struct lock *l;

	lock_configure(&app_args);
	cr_assert_eq(lock_new(LOCK_SLOT, &l), CKR_OK);
	answer = CKR_MUTEX_BAD;
	cr_assert_eq(lock_take(l), CKR_GENERAL_ERROR);
	answer = CKR_HOST_MEMORY;
	cr_assert_eq(lock_take(l), CKR_HOST_MEMORY);
	answer = CKR_OK;
	cr_assert_eq(lock_take(l), CKR_OK);
	answer = CKR_MUTEX_NOT_LOCKED;
	lock_drop(l);
	answer = CKR_OK;
	cr_assert_eq(lock_take(l), CKR_GENERAL_ERROR, "a failed unlock is said at the next lock");
	lock_free(l);
	answer = CKR_MUTEX_BAD;
	cr_assert_eq(lock_new(LOCK_SLOT, &l), CKR_GENERAL_ERROR);
}

Test(lock, ranks_are_taken_in_order)
{
	CK_C_INITIALIZE_ARGS system = {.flags = CKF_OS_LOCKING_OK};
	struct lock *slot, *token;

	lock_configure(&system);
	cr_assert_eq(lock_new(LOCK_SLOT, &slot), CKR_OK);
	cr_assert_eq(lock_new(LOCK_TOKEN, &token), CKR_OK);
	cr_assert_eq(lock_take(token), CKR_OK);
	cr_assert_eq(lock_take(slot), CKR_GENERAL_ERROR);
	lock_drop(token);
	cr_assert_eq(lock_take(slot), CKR_OK);
	cr_assert_eq(lock_take(token), CKR_OK);
	lock_drop(token);
	lock_drop(slot);
	lock_free(slot);
	lock_free(token);
	lock_free(NULL);
}

/* module/base/secret.c */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret.h"

Test(secret, memory_is_zeroed_and_reused_wiped)
{
	for (size_t size = 1; size <= SECRET_MAX; size = size * 3 + 1) {
		uint8_t *p = secret_alloc(size);

		cr_assert_not_null(p);
		for (size_t i = 0; i < size; i++)
			cr_assert_eq(p[i], 0);
		memset(p, 0xaa, size);
		secret_free(p);
	}
	cr_assert_null(secret_alloc(0));
	cr_assert_null(secret_alloc(SECRET_MAX + 1));
	secret_free(NULL);
}

Test(secret, a_forked_child_finds_it_empty_and_may_free_it)
{
	uint8_t *p = secret_alloc(32);
	int status;
	pid_t pid;

	memset(p, 0xaa, 32);
	pid = fork();
	if (pid == 0) {
		bool empty = p[0] == 0 && p[31] == 0;

		secret_free(p);
		_exit(empty && secret_alloc(32) ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(p[0], 0xaa);
	secret_free(p);
}

static void *churn(void *unused)
{
	for (int i = 0; i < 2000; i++) {
		uint8_t *a = secret_alloc(32), *b = secret_alloc(600);

		if (!a || !b || a[0] || b[0])
			return (void *)1;
		memset(a, 1, 32);
		memset(b, 1, 600);
		secret_free(a);
		secret_free(b);
	}
	return unused;
}

Test(secret, threads_never_share_a_cell)
{
	pthread_t t[4];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, churn, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *bad;

		pthread_join(t[i], &bad);
		cr_assert_null(bad);
	}
}

#include "measure.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_N 100000

void nothing(void)
{
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The TPM's own time so far.  The library was loaded by whoever opened the connection. */
static double tpm_us(void)
{
	const char *path = getenv("BENCH_CLOCK");
	void *dl = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
	const double *spent = dl ? dlsym(dl, "tcti_clock_us") : NULL;
	double us = spent ? *spent : 0;

	if (dl)
		dlclose(dl);
	return us;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Microseconds of one operation without the TPM's own, which are added to *tpm. */
static double time_one(const struct row *r, double *tpm)
{
	double inside, start, took;

	r->before();
	inside = tpm_us();
	start = now_us();
	r->operate();
	took = now_us() - start;
	inside = tpm_us() - inside;
	r->after();
	*tpm += inside;
	return took - inside;
}

static void run(const struct row *r, size_t n, double *us)
{
	struct rusage usage;
	double tpm = 0;

	r->begin();
	for (size_t i = 0; i < n; i++)
		us[i] = time_one(r, &tpm);
	r->end();
	qsort(us, n, sizeof *us, by_value);
	getrusage(RUSAGE_SELF, &usage);
	printf("%.1f %ld %.1f\n", us[n / 2], usage.ru_maxrss, tpm / (double)n);
}

int measure(const struct row *rows, unsigned count, const char *name, const char *n)
{
	long operations = strtol(n, NULL, 10);
	double *us;

	if (operations < 1 || operations > MAX_N)
		return 2;
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		us = calloc((size_t)operations, sizeof *us);
		if (!us)
			return 2;
		run(&rows[i], (size_t)operations, us);
		free(us);
		return 0;
	}
	return 2;
}

/* Turns and medians. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

#define MAX_CONTENDERS 4

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return v[n / 2];
}

/* µs per operation, or a negative number.  The first operations warm up and aren't counted. */
static double measure(const struct contender *c, unsigned n)
{
	double start;

	if (!c->operate(c->ctx, n / 10 + 1))
		return -1;
	start = now_us();
	return c->operate(c->ctx, n) ? (now_us() - start) / n : -1;
}

static double take_turn(const struct contender *c, enum bench_ground ground, unsigned n)
{
	double took;

	if (ground == BENCH_TOGETHER)
		return measure(c, n);
	if (!c->begin(c->ctx))
		return -1;
	took = measure(c, n);
	c->end(c->ctx);
	return took;
}

static bool begin_all(const struct contender *c, size_t count, enum bench_ground ground)
{
	for (size_t i = 0; ground == BENCH_TOGETHER && i < count; i++)
		if (!c[i].begin(c[i].ctx))
			return false;
	return true;
}

static void end_all(const struct contender *c, size_t count, enum bench_ground ground)
{
	for (size_t i = 0; ground == BENCH_TOGETHER && i < count; i++)
		c[i].end(c[i].ctx);
}

/* The row; false if a contender is slower than wanted. */
static bool report(const char *what, const struct contender *c, size_t count, const double *mid, const double *wanted)
{
	bool ok = true;

	printf("%-22s", what);
	for (size_t i = 0; i < count; i++) {
		printf("  %s %.1f us", c[i].name, mid[i]);
		if (i > 0)
			printf(" (%.3f)", mid[0] / mid[i]);
		if (i > 0 && mid[0] / mid[i] < wanted[i]) {
			printf(" BELOW %.2f", wanted[i]);
			ok = false;
		}
	}
	printf("\n");
	fflush(stdout);
	return ok;
}

bool bench_by_turns(const char *what, const struct contender *c, size_t count, enum bench_ground ground, unsigned n,
		    const double *wanted)
{
	double us[MAX_CONTENDERS][BENCH_TURNS], mid[MAX_CONTENDERS];
	bool ok = begin_all(c, count, ground);

	for (size_t turn = 0; ok && turn < BENCH_TURNS; turn++)
		for (size_t k = 0; ok && k < count; k++) {
			size_t i = (k + turn) % count;

			us[i][turn] = take_turn(&c[i], ground, n);
			ok = us[i][turn] >= 0;
		}
	end_all(c, count, ground);
	if (!ok) {
		printf("%-22s failed\n", what);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		mid[i] = median(us[i], BENCH_TURNS);
	return report(what, c, count, mid, wanted);
}

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

/* One turn: µs per operation, or a negative number.  The first operations warm up and aren't counted. */
static double take_turn(const struct contender *c, unsigned n)
{
	double start, took = -1;

	if (!c->begin(c->ctx))
		return -1;
	if (c->operate(c->ctx, n / 10 + 1)) {
		start = now_us();
		took = c->operate(c->ctx, n) ? (now_us() - start) / n : -1;
	}
	c->end(c->ctx);
	return took;
}

bool bench_by_turns(const char *what, const struct contender *c, size_t count, unsigned n, const double *wanted)
{
	double us[MAX_CONTENDERS][BENCH_TURNS], mid[MAX_CONTENDERS];
	bool ok = true;

	for (size_t turn = 0; turn < BENCH_TURNS; turn++)
		for (size_t i = 0; i < count; i++) {
			us[i][turn] = take_turn(&c[i], n);
			if (us[i][turn] < 0) {
				printf("%-22s %s failed\n", what, c[i].name);
				return false;
			}
		}
	printf("%-22s", what);
	for (size_t i = 0; i < count; i++) {
		mid[i] = median(us[i], BENCH_TURNS);
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

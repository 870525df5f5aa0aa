/* What worker and raw share: a row of tests/bench/peers is measured and printed. */
#ifndef MEASURE_H
#define MEASURE_H

/* before() and after() stand around each operation, untimed; begin() and end() around all. */
struct row {
	const char *name;
	void (*begin)(void), (*before)(void), (*operate)(void), (*after)(void), (*end)(void);
};

void nothing(void);

/* Runs the row of that name, `n` operations as decimal digits, and prints three numbers: the microseconds of one
 * operation (median), the process's peak memory (KiB), and the TPM's own time in an operation (mean, microseconds),
 * which isn't in the first number.  That time is known only where the clock's TCTI (tcti_clock.c) is in between, by
 * BENCH_CLOCK; else it is 0.  The process's exit status. */
int measure(const struct row *rows, unsigned count, const char *name, const char *n);

#endif

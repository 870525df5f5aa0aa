/* The benches' shared parts: turns, medians, the module under test. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "cryptoki.h"

/* One contender: prepares itself, does n operations, and clears away. */
struct contender {
	const char *name;
	bool (*begin)(void *ctx);
	bool (*operate)(void *ctx, unsigned n);
	void (*end)(void *ctx);
	void *ctx;
};

#define BENCH_TURNS 15

/* How the contenders share the ground: all stay prepared from the first turn to the last, or each prepares itself for
 * its turn only and clears away after it (a bare TPM serves one connection at a time). */
enum bench_ground { BENCH_TOGETHER, BENCH_ALONE };

/* Lets every contender have its turn, BENCH_TURNS times over, with n operations a turn, the first one last the next
 * time; prints a row with the median
 * time of each and its speed relative to the first, and compares with the least relative speeds wanted (0: none).
 * False if one failed or fell short. */
bool bench_by_turns(const char *what, const struct contender *c, size_t count, enum bench_ground ground, unsigned n,
		    const double *wanted);

/* The module, from the path in SIGNET_MODULE. */
extern CK_FUNCTION_LIST *p11;
bool bench_load_module(void);

/* A key on a slot, ready for C_SignInit and C_Sign. */
struct p11_key {
	const char *conf;          /* SIGNET_CONF for the time of its turn */
	CK_SLOT_ID slot;
	bool rsa;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
};
bool p11_begin(void *key);
bool p11_sign(void *key, unsigned n);
void p11_end(void *key);
/* Initializes the token of the slot and makes an EC and an RSA pair in it. */
bool p11_prepare(const char *conf, CK_SLOT_ID slot);

#endif

/* What a token consists of, as somebody who looks from outside sees it. */
#ifndef TESTS_SNAPSHOT_H
#define TESTS_SNAPSHOT_H

#include "harness.h"

struct snapshot {
	uint8_t records[32];  /* SHA-256 of names and contents: files, or serials, descriptions and payloads of keys */
	unsigned n_records;
	unsigned indices, persistent; /* of the TPM */
	unsigned transient, sessions; /* the same: what a call leaves none of */
	unsigned staged;      /* keys being built, which nobody sees */
	bool intents;         /* an intent file waits for whoever takes the lock next */
};

/* Of a TPM token only while the module isn't initialized: a bare TPM serves one connection. */
struct snapshot snapshot_take(void);

#endif

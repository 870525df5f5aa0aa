/* Many of everything on one TPM: keys, threads, processes, objects, restarts. */
#ifndef TESTS_CROWD_H
#define TESTS_CROWD_H

#include "judge.h"

/* A signature of one byte's SHA-256-sized digest; an answer that the caller must look at. */
#define SIGNATURE 64
CK_RV crowd_sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE priv, unsigned n, uint8_t sig[SIGNATURE]);
/* Whether it is one, by libcrypto. */
bool crowd_verify(EVP_PKEY *key, unsigned n, const uint8_t sig[SIGNATURE]);

/* The key pair with that label. */
CK_OBJECT_HANDLE crowd_find(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, const char *label);

/* A program of its own (client.c) that logs in and signs `times` times with the key of that label, into the file `out`;
 * its pid. */
pid_t crowd_begin(const char *label, unsigned times, const char *out);
/* Its exit status, or 128 + the signal. */
int crowd_end(pid_t pid);
/* How many good signatures it wrote. */
unsigned crowd_count(EVP_PKEY *key, const char *out);

/* A program of its own that changes the token when it is told to. */
struct changer {
	pid_t pid;
	int to, from;
};
void changer_begin(struct changer *c);
/* Tells it to make an object of that label and to remove the one before. */
void changer_tell(const struct changer *c, const char *label);
/* Waits until it has done so; false: it failed. */
bool changer_done(const struct changer *c);
int changer_end(struct changer *c);

#endif

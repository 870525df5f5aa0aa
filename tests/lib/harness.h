/* What every test of the module through C_ calls stands on: the module loaded by dlopen, a token of the kind that
 * SIGNET_TEST_TOKEN names, in a place of its own, and calls whose answers are held against the specification's lists.
 *
 * From the environment (set by meson): SIGNET_TEST_MODULE, the module's path; SIGNET_TEST_TOKEN, mem, keyring or tpm;
 * SIGNET_TEST_VECTORS, the directory of returns.tsv.  SIGNET_TEST_PLACE, where directories of the tests' own are made:
 * /tmp if it isn't set. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>

#include "bytes.h"
#include "rv.h"

#define SO_PIN "so-87654321"
#define USER_PIN "user-12345678"

struct harness;

/* A kind of token: where it lives, and what must be true of that place afterwards. */
struct kind {
	const char *name;
	void (*setup)(void);                    /* makes the place */
	void (*config)(FILE *conf);             /* the lines of [slot test] */
	void (*check)(void);                    /* after C_Finalize: nothing is left that shouldn't */
	void (*teardown)(void);                 /* removes the place */
	void (*remove)(void), (*restore)(void); /* takes the token out of its slot, puts it back; NULL: can't be done */
	bool process_only;                      /* the token ends with the process: no second process sees it */
	bool hardware;                          /* CKF_HW_SLOT */
};
extern const struct kind kind_mem, kind_keyring, kind_tpm;

struct harness {
	const struct kind *kind;
	char dir[64];                           /* a directory of the test's own */
	const char *extra;                      /* further configuration lines for [slot test], or NULL */
	const char *tcti_prefix;                /* before the TPM's transport, or NULL */
	void *module;                           /* from dlopen() */
	CK_FUNCTION_LIST_3_2 *f;
	bool initialized;
	CK_SLOT_ID slot, other;                 /* [slot test] and [slot other] */
	CK_SESSION_HANDLE session;              /* of session_up() */
	uint16_t port;                          /* of the TPM */
	const char *lockout_password;           /* of the TPM, if the test has set one */
	CK_ULONG lockouts;                      /* what TPM2_PT_LOCKOUT_COUNTER must be at the end */
	int janitor;                            /* closing it tells the janitor that the test is over */
	pid_t janitor_pid;
	bool untidy;                            /* a check of harness_down() failed */
};
extern struct harness h;

/* ---- fixtures: each does what the ones above it do ---- */

void harness_up(void);                          /* the place, the configuration, the module: not initialized */
void library_up(void);                          /* C_Initialize */
void token_up(void);                            /* C_InitToken, C_InitPIN: nobody logged in, no session */
void session_up(void);                          /* h.session: R/W, the user logged in */
void harness_down(void);                        /* C_Finalize if need be, the kind's checks, everything removed */
/* A check of harness_down().  What fails after a test's body doesn't count with Criterion: the process then ends by a
 * signal, which does. */
#define expect_tidy(condition, ...)                                                                                    \
	do {                                                                                                           \
		bool tidy_ = (condition);                                                                              \
		h.untidy |= !tidy_;                                                                                    \
		cr_expect(tidy_, __VA_ARGS__);                                                                         \
	} while (0)
void write_config(void);                        /* again, after h.extra was set; C_Initialize reads it */
bool is_kind(const struct kind *k);
/* Where this test's token isn't of that kind, the test is skipped. */
void only_kind(const struct kind *k);

/* ---- calls ---- */

/* Calls and checks that the answer is on the function's list; gives it. */
#define CALL(name, ...)                                                                                                \
	({                                                                                                             \
		CK_RV call_rv_ = h.f->name(__VA_ARGS__);                                                               \
		cr_assert(answer_listed(#name, call_rv_), "%s: %s is not on its list", #name, rv_name(call_rv_));      \
		call_rv_;                                                                                              \
	})
/* The same, and the answer is that one. */
#define EXPECT(want, name, ...)                                                                                        \
	do {                                                                                                           \
		CK_RV expect_want_ = (want), expect_rv_ = CALL(name, __VA_ARGS__);                                     \
		cr_assert(expect_rv_ == expect_want_, "%s: %s, expected %s", #name,                                    \
			  name_of((char[24]){0}, expect_rv_), name_of((char[24]){0}, expect_want_));                   \
	} while (0)
#define OK(name, ...) EXPECT(CKR_OK, name, __VA_ARGS__)
/* The answer is one of a parenthesised list. */
#define UNPAREN(...) __VA_ARGS__
#define EXPECT_IN(set, name, ...)                                                                                      \
	do {                                                                                                           \
		static const CK_RV expect_set_[] = {UNPAREN set};                                                      \
		CK_RV expect_rv_ = CALL(name, __VA_ARGS__);                                                            \
		cr_assert(answer_in(expect_rv_, expect_set_, ARRAY_LEN(expect_set_)), "%s: %s, expected one of %s",    \
			  #name, name_of((char[24]){0}, expect_rv_), #set);                                            \
	} while (0)

/* An answer that the test has at hand is that one. */
#define is(rv, want)                                                                                                   \
	do {                                                                                                           \
		CK_RV is_rv_ = (rv), is_want_ = (want);                                                                \
		cr_assert(is_rv_ == is_want_, "%s, expected %s", name_of((char[24]){0}, is_rv_),                       \
			  name_of((char[24]){0}, is_want_));                                                           \
	} while (0)

/* Whether PKCS#11 3.2 lets that function say that: its own list and the codes of its class. */
bool answer_listed(const char *function, CK_RV rv);
bool answer_in(CK_RV rv, const CK_RV *set, size_t n);
const char *name_of(char buf[24], CK_RV rv); /* rv_name() that two arguments of one call may use */

/* ---- templates ---- */

extern CK_BBOOL ck_true, ck_false;
#define A_BOOL(t, v) {(t), (v) ? &ck_true : &ck_false, sizeof(CK_BBOOL)}
#define A_ULONG(t, v) {(t), &(CK_ULONG){(v)}, sizeof(CK_ULONG)}
#define A_BYTES(t, p, n) {(t), (void *)(p), (n)}
#define A_TEXT(t, s) {(t), (void *)("" s), sizeof(s) - 1}
#define A_NULL(t) {(t), NULL, 0}
#define TEMPLATE(...) (CK_ATTRIBUTE[]){__VA_ARGS__}, ARRAY_LEN(((CK_ATTRIBUTE[]){__VA_ARGS__}))
#define MECH(t) (&(CK_MECHANISM){(t), NULL, 0})
#define MECH_P(t, p) (&(CK_MECHANISM){(t), &(p), sizeof(p)})

/* ---- sessions and objects ---- */

#define RW (CKF_SERIAL_SESSION | CKF_RW_SESSION)
#define RO CKF_SERIAL_SESSION
CK_SESSION_HANDLE open_on(CK_SLOT_ID slot, CK_FLAGS flags);
CK_SESSION_HANDLE open_session(CK_FLAGS flags);
CK_RV login(CK_SESSION_HANDLE s, CK_USER_TYPE user, const char *pin);
CK_STATE state_of(CK_SESSION_HANDLE s);
CK_FLAGS token_flags(void);
/* Objects that match: their number, and the handle of the last in *ret if not NULL. */
CK_ULONG find(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret);
/* One attribute into buf; its length.  The attribute must be readable. */
CK_ULONG attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, void *buf, CK_ULONG cap);
bool attribute_bool(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type);
CK_ULONG attribute_ulong(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type);
CK_OBJECT_HANDLE data_object(CK_SESSION_HANDLE s, bool token, bool private, const char *label);

/* ---- keys ---- */

struct pair {
	CK_OBJECT_HANDLE pub, priv;
};
struct pair rsa_pair(CK_SESSION_HANDLE s, bool token, const char *label);  /* 2048 bits, sign and decrypt */
struct pair ec_pair(CK_SESSION_HANDLE s, bool token, const char *label);   /* P-256, sign */
CK_OBJECT_HANDLE aes_key(CK_SESSION_HANDLE s, CK_ULONG size);                       /* session key that may do everything */
CK_OBJECT_HANDLE hmac_key(CK_SESSION_HANDLE s, const void *value, CK_ULONG size);   /* the same, of that value */
bool has_mechanism(CK_MECHANISM_TYPE type, CK_FLAGS flags);
/* Skips the test where the token doesn't offer that. */
void need_mechanism(CK_MECHANISM_TYPE type, CK_FLAGS flags);
extern const uint8_t p256_params[10];

/* ---- bytes, files, processes ---- */

size_t from_hex(const char *hex, uint8_t *out, size_t cap); /* spaces are skipped */
/* Runs fn in a forked child; its exit status, or 128 + the signal. */
int in_child(int (*fn)(void));
void remove_tree(const char *path);
/* The module's log (SIGNET_LOG=info into a file of the test's own) from now on; whether it has that word. */
void log_start(void);
bool log_has(const char *word);

#endif

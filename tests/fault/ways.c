/* How things fail, and which answers are then right. */
#include "ways.h"

#include <errno.h>
#include <openssl/err.h>
#include <tss2/tss2_tpm2_types.h>

/* ---- the codes of TPM and TCTI: tests/vectors/tss-rc.tsv ---- */

struct rc_row {
	char name[48], action[32], context[12], ckr[40];
	uint32_t value;
};

static struct rc_row *rc_rows;
static size_t n_rc_rows;

static void read_codes(void)
{
	char path[PATH_MAX], line[256];
	struct rc_row r;

	snprintf(path, sizeof path, "%s/tss-rc.tsv", secure_getenv("SIGNET_TEST_VECTORS"));
	FILE *f = fopen(path, "re");
	cr_assert(f, "%s: %m", path);
	rc_rows = calloc(4000, sizeof *rc_rows);
	cr_assert(rc_rows);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%47[^\t]\t%x\t%31[^\t]\t%11[^\t]\t%39s", r.name, &r.value, r.action, r.context, r.ckr) == 5)
			rc_rows[n_rc_rows++] = r;
	fclose(f);
	cr_assert(n_rc_rows > 2700 && n_rc_rows < 4000);
}

static const char *const contexts[] = {"probe", "login", "admin", "gen", "import", "unwrap", "derive", "init", "sign",
				       "decrypt", "encrypt", "verify", "rng", "object"};

static bool in_contexts(unsigned set, const char *context)
{
	for (size_t i = 0; i < ARRAY_LEN(contexts); i++)
		if (strcmp(contexts[i], context) == 0)
			return set >> i & 1;
	cr_assert(false, "context %s", context);
	return false;
}

static CK_RV rv_by_name(const char *name)
{
	for (CK_RV rv = 0; rv < 0x400; rv++)
		if (strcmp(rv_name(rv), name) == 0)
			return rv;
	cr_assert(false, "%s is no CKR", name);
	return CKR_OK;
}

/* The key that wraps or unwraps has codes of its own (5.18.3, 5.18.4), as has the ciphertext. */
static const struct {
	const char *function;
	CK_RV rv, instead;
} names[] = {
	{"C_WrapKey", CKR_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID},
	{"C_WrapKey", CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_WRAPPING_KEY_HANDLE_INVALID},
	{"C_WrapKey", CKR_KEY_TYPE_INCONSISTENT, CKR_WRAPPING_KEY_TYPE_INCONSISTENT},
	{"C_WrapKey", CKR_KEY_SIZE_RANGE, CKR_WRAPPING_KEY_SIZE_RANGE},
	{"C_WrapKey", CKR_DATA_LEN_RANGE, CKR_KEY_SIZE_RANGE},
	{"C_WrapKey", CKR_DATA_INVALID, CKR_KEY_SIZE_RANGE},
	{"C_UnwrapKey", CKR_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID},
	{"C_UnwrapKey", CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_UNWRAPPING_KEY_HANDLE_INVALID},
	{"C_UnwrapKey", CKR_KEY_TYPE_INCONSISTENT, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT},
	{"C_UnwrapKey", CKR_KEY_SIZE_RANGE, CKR_UNWRAPPING_KEY_SIZE_RANGE},
	{"C_UnwrapKey", CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_WRAPPED_KEY_LEN_RANGE},
	{"C_UnwrapKey", CKR_ENCRYPTED_DATA_INVALID, CKR_WRAPPED_KEY_INVALID},
	{"C_DeriveKey", CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_HANDLE_INVALID},
};

static bool is_named(const char *function, CK_RV listed, CK_RV rv)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i].function, function) == 0 && names[i].rv == listed && names[i].instead == rv)
			return true;
	return listed == rv;
}

/* tss-rc.tsv's rule 6: what isn't on the function's list becomes CKR_FUNCTION_FAILED. */
static bool right_code(const struct scenario *s, uint32_t value, CK_RV rv)
{
	for (size_t i = 0; i < n_rc_rows; i++) {
		const struct rc_row *r = &rc_rows[i];
		if (r->value == value && in_contexts(s->contexts, r->context) &&
		    is_named(s->function, rv_by_name(r->ckr), rv))
			return true;
	}
	if (rv != CKR_FUNCTION_FAILED)
		return false;
	for (size_t i = 0; i < n_rc_rows; i++) {
		const struct rc_row *r = &rc_rows[i];
		CK_RV listed = rv_by_name(r->ckr);
		if (r->value == value && in_contexts(s->contexts, r->context) && !answer_listed(s->function, listed))
			return true;
	}
	return false;
}

#define MAX_WAYS 400
static struct way ways[FAULT_KINDS][MAX_WAYS];
static size_t n_ways[FAULT_KINDS];

static void add(struct way w)
{
	cr_assert(n_ways[w.kind] < MAX_WAYS);
	ways[w.kind][n_ways[w.kind]++] = w;
}

/* Part 2, 6.6.3: a format-one code says which parameter, handle or session it is about.  Codes about authorization come
 * with a session's number, TPM_RC_HANDLE with a handle's, all others with a parameter's. */
static uint32_t with_position(uint32_t code)
{
	static const uint32_t sessions[] = {TPM2_RC_AUTH_FAIL, TPM2_RC_BAD_AUTH, TPM2_RC_POLICY_FAIL, TPM2_RC_EXPIRED,
					    TPM2_RC_POLICY_CC, TPM2_RC_PP, TPM2_RC_NONCE, TPM2_RC_BINDING};

	if (!(code & TPM2_RC_FMT1))
		return code;
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
		if (sessions[i] == code)
			return code | TPM2_RC_S | TPM2_RC_1;
	return code == TPM2_RC_HANDLE ? code | TPM2_RC_1 : code | TPM2_RC_P | TPM2_RC_1;
}

/* Warnings that ask for patience, and full places that we can make room in.  The others' actions - to load again, to
 * start again - can't help against an answer that was made up. */
static bool is_absorbed(const char *action)
{
	return strncmp(action, "retry-", 6) == 0;
}

/* One code of each action and answer is an example. */
static bool is_new(const struct rc_row *r)
{
	for (const struct rc_row *p = rc_rows; p < r; p++)
		if (p->value != r->value && strcmp(p->action, r->action) == 0 && strcmp(p->ckr, r->ckr) == 0 &&
		    strcmp(p->context, r->context) == 0 && p->value >> 16 == r->value >> 16)
			return false;
	return true;
}

static void add_code(const struct rc_row *r)
{
	uint32_t layer = r->value >> 16;
	struct way w = {.how = FAULT_CODE, .row = r->value, .example = is_new(r)};

	/* The rows of the layers that Signet doesn't use (ESAPI), or that nothing outside can make (MU), aren't faults. */
	if (r->value == TPM2_RC_SUCCESS || (layer != 0 && layer != TSS2_TCTI_RC_LAYER >> 16))
		return;
	w.kind = layer ? FAULT_TRANSPORT : FAULT_COMMANDS;
	w.plan = layer ? plans.operations : plans.commands;
	w.code = layer ? r->value : with_position(r->value);
	w.absorbed = !layer && is_absorbed(r->action);
	snprintf(w.name, sizeof w.name, "%s", r->name);
	add(w);
}

static void add_codes(void)
{
	for (size_t i = 0; i < n_rc_rows; i++)
		if (strcmp(rc_rows[i].context, "sign") == 0)
			add_code(&rc_rows[i]);
}

/* Of the errnos that one row or the last one answers, and of the ways in which an answer isn't one. */
static bool is_example(const char *name)
{
	static const char *const examples[] = {"EDQUOT", "ENOKEY", "EACCES", "EINVAL", "ENOMEM", "EIO", "ENOSPC", "EMFILE",
					       "short", "loss before", "loss after", "truncated to a half",
					       "damaged tag", "no answer", "late answer"};

	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		if (strcmp(examples[i], name) == 0)
			return true;
	return false;
}

/* ---- the way to the TPM ---- */

static const struct {
	const char *name;
	enum fault_how how;
	int where;
} losses[] = {
	{"loss before", FAULT_LOST_BEFORE, 0},   {"loss after", FAULT_LOST_AFTER, 0},
	{"truncated to a half", FAULT_TRUNCATED, 0}, {"truncated to 2", FAULT_TRUNCATED, 2},
	{"truncated to 6", FAULT_TRUNCATED, 6},  {"truncated to 9", FAULT_TRUNCATED, 9},
	{"truncated to 10", FAULT_TRUNCATED, 10}, {"truncated by 1", FAULT_TRUNCATED, -1},
	{"damaged tag", FAULT_DAMAGED, 0},       {"damaged size", FAULT_DAMAGED, 5},
	{"damaged large size", FAULT_DAMAGED, 2}, {"damaged layer", FAULT_DAMAGED, 7},
	{"damaged code", FAULT_DAMAGED, 9},      {"no answer", FAULT_LATE, 0},
	{"late answer", FAULT_LATE, 1},
};

static void add_losses(void)
{
	for (size_t i = 0; i < ARRAY_LEN(losses); i++) {
		struct way w = {.kind = FAULT_TRANSPORT, .plan = plans.commands, .how = losses[i].how,
				.where = losses[i].where, .example = is_example(losses[i].name)};
		snprintf(w.name, sizeof w.name, "%s", losses[i].name);
		add(w);
	}
}

static bool right_loss(const struct scenario *s, const struct way *w, CK_RV rv)
{
	if (w->how == FAULT_LOST_BEFORE || w->how == FAULT_LOST_AFTER)
		return right_code(s, TSS2_TCTI_RC_IO_ERROR, rv);
	return right_code(s, TSS2_TCTI_RC_IO_ERROR, rv) || right_code(s, TSS2_TCTI_RC_MALFORMED_RESPONSE, rv) ||
	       right_code(s, TSS2_TCTI_RC_TRY_AGAIN, rv) || right_code(s, TPM2_RC_FAILURE, rv);
}

/* ---- errno ---- */

/* What is done to a key or a file when it fails, which says what the errno means. */
enum deed { READS = 1, CHANGES = 2, LOCKS = 4 };

static const struct {
	const char *name;
	enum deed deed;
} deeds[] = {
	{"socket", LOCKS},  {"bind", LOCKS},     {"listen", LOCKS},      {"connect", LOCKS}, {"poll", LOCKS},
	{"add_key", CHANGES}, {"update", CHANGES}, {"setperm", CHANGES}, {"link", CHANGES},
	{"unlink", CHANGES}, {"clear", CHANGES}, {"move", CHANGES},      {"invalidate", CHANGES},
	{"mkdir", CHANGES}, {"write", CHANGES}, {"fsync", CHANGES},     {"fchmod", CHANGES}, {"rename", CHANGES},
	{"flock", CHANGES}, {"open", READS | CHANGES}, {"access", READS | CHANGES},
	/* Looked at while it is written, too; a file's, and the lock's; asking for a ring makes it. */
	{"fstat", READS | CHANGES}, {"fstatat", READS | CHANGES},
	{"close", READS | CHANGES | LOCKS}, {"ring_id", READS | CHANGES},
};

static unsigned deed_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
		if (strcmp(deeds[i].name, name) == 0)
			return deeds[i].deed;
	return READS;
}

/* The design's section 5 and tss-rc.md's section 10.  A key that is gone is the ring (removed), a record of it (the
 * object's handle) or a key that is needed besides (try again), by whose the serial was. */
static const struct errno_row {
	int err;
	unsigned deeds;
	CK_RV right[8];
} key_rows[] = {
	{EDQUOT, READS | CHANGES, {CKR_DEVICE_MEMORY}},
	{ENOMEM, READS | CHANGES, {CKR_DEVICE_MEMORY}},
	{ENOMEM, LOCKS, {CKR_HOST_MEMORY}},
	{ENFILE, READS | CHANGES, {CKR_DEVICE_MEMORY}},
	{ENFILE, LOCKS, {CKR_HOST_MEMORY}},
	{ENOKEY, READS | CHANGES, {CKR_DEVICE_REMOVED, CKR_FUNCTION_FAILED, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID,
				   CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_INITIALIZED,
				   CKR_TOKEN_NOT_RECOGNIZED}},
	{EKEYREVOKED, READS | CHANGES, {CKR_DEVICE_REMOVED, CKR_FUNCTION_FAILED, CKR_OBJECT_HANDLE_INVALID,
					CKR_KEY_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED}},
	{EKEYEXPIRED, READS | CHANGES, {CKR_DEVICE_REMOVED, CKR_FUNCTION_FAILED, CKR_OBJECT_HANDLE_INVALID,
					CKR_KEY_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED}},
	/* What has the ring's serial is no keyring: it went, and its serial was given away again. */
	{ENOTDIR, READS, {CKR_DEVICE_REMOVED, CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT}},
	/* A token record that can't be read, since it isn't what it should be: that ring is no token (keyring/README). */
	{EKEYREJECTED, READS,
	 {CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_RECOGNIZED}},
	{EMSGSIZE, READS,
	 {CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_RECOGNIZED}},
	{EOPNOTSUPP, READS,
	 {CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_RECOGNIZED}},
	{EACCES, CHANGES, {CKR_TOKEN_WRITE_PROTECTED, CKR_FUNCTION_FAILED}},
	{EACCES, READS, {CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID,
			 CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_RECOGNIZED}},
	{EACCES, LOCKS, {CKR_FUNCTION_FAILED}},
	{EPERM, CHANGES, {CKR_TOKEN_WRITE_PROTECTED, CKR_FUNCTION_FAILED}},
	{EPERM, READS | LOCKS, {CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT}},
	{EINVAL, CHANGES, {CKR_DEVICE_MEMORY, CKR_FUNCTION_FAILED}},
	{EMSGSIZE, CHANGES, {CKR_DEVICE_MEMORY, CKR_FUNCTION_FAILED}},
	{0, READS | CHANGES | LOCKS, {CKR_FUNCTION_FAILED, CKR_TOKEN_NOT_PRESENT}},
}, file_rows[] = {
	{ENOSPC, READS | CHANGES, {CKR_DEVICE_MEMORY}},
	{EDQUOT, READS | CHANGES, {CKR_DEVICE_MEMORY}},
	{EFBIG, CHANGES, {CKR_DEVICE_MEMORY}},
	{EROFS, CHANGES, {CKR_TOKEN_WRITE_PROTECTED}},
	{EACCES, CHANGES, {CKR_TOKEN_WRITE_PROTECTED}},
	{EPERM, CHANGES, {CKR_TOKEN_WRITE_PROTECTED}},
	{ENOMEM, READS | CHANGES, {CKR_HOST_MEMORY}},
	{EMFILE, READS | CHANGES, {CKR_HOST_MEMORY}},
	{ENFILE, READS | CHANGES, {CKR_HOST_MEMORY}},
	{0, READS | CHANGES, {CKR_DEVICE_ERROR}},
};

static bool right_errno(const struct errno_row *rows, const struct fault *f, CK_RV rv)
{
	/* What failed for good did so in everything that was tried afterwards, and the first answer stands. */
	unsigned deed = f->for_good ? READS | CHANGES | LOCKS : deed_of(f->last);
	const struct errno_row *r;

	for (r = rows; r->err; r++) {
		if (r->err != (int)f->code || !(r->deeds & deed))
			continue;
		if (answer_in(rv, r->right, ARRAY_LEN(r->right)))
			return true;
		deed &= ~r->deeds;
		if (!deed)
			return false;
	}
	return answer_in(rv, r->right, ARRAY_LEN(r->right));
}

static const struct {
	enum kind_of_fault kind;
	const char *name;
	int err;
	enum fault_how how;
	bool absorbed;
} errnos[] = {
	{FAULT_KEYS, "EDQUOT", EDQUOT, 0, false},        {FAULT_KEYS, "ENOMEM", ENOMEM, 0, false},
	{FAULT_KEYS, "ENFILE", ENFILE, 0, false},        {FAULT_KEYS, "ENOKEY", ENOKEY, 0, false},
	{FAULT_KEYS, "EKEYREVOKED", EKEYREVOKED, 0, false}, {FAULT_KEYS, "EKEYEXPIRED", EKEYEXPIRED, 0, false},
	{FAULT_KEYS, "EKEYREJECTED", EKEYREJECTED, 0, false}, {FAULT_KEYS, "EACCES", EACCES, 0, false},
	{FAULT_KEYS, "EPERM", EPERM, 0, false},          {FAULT_KEYS, "EINVAL", EINVAL, 0, false},
	{FAULT_KEYS, "EMSGSIZE", EMSGSIZE, 0, false},    {FAULT_KEYS, "EOPNOTSUPP", EOPNOTSUPP, 0, false},
	{FAULT_KEYS, "ENOSYS", ENOSYS, 0, false},        {FAULT_KEYS, "ENOTDIR", ENOTDIR, 0, false},
	{FAULT_KEYS, "EDEADLK", EDEADLK, 0, false},      {FAULT_KEYS, "EIO", EIO, 0, false},
	{FAULT_FILES, "EIO", EIO, 0, false},             {FAULT_FILES, "ENOSPC", ENOSPC, 0, false},
	{FAULT_FILES, "EDQUOT", EDQUOT, 0, false},       {FAULT_FILES, "EROFS", EROFS, 0, false},
	{FAULT_FILES, "EACCES", EACCES, 0, false},       {FAULT_FILES, "EPERM", EPERM, 0, false},
	{FAULT_FILES, "EMFILE", EMFILE, 0, false},       {FAULT_FILES, "ENFILE", ENFILE, 0, false},
	{FAULT_FILES, "ENOMEM", ENOMEM, 0, false},       {FAULT_FILES, "ESTALE", ESTALE, 0, false},
	{FAULT_FILES, "short", 0, FAULT_SHORT, true},
};

static void add_errnos(void)
{
	for (size_t i = 0; i < ARRAY_LEN(errnos); i++) {
		bool keys = errnos[i].kind == FAULT_KEYS;
		struct way w = {.kind = errnos[i].kind, .how = errnos[i].how, .code = (uint32_t)errnos[i].err,
				.plan = keys ? &plans.module->keys : &plans.module->files,
				.absorbed = errnos[i].absorbed, .example = is_example(errnos[i].name)};
		if (keys != is_kind(&kind_keyring))
			continue;
		snprintf(w.name, sizeof w.name, "%s", errnos[i].name);
		add(w);
	}
}

/* ---- what is in the process ---- */

static void add_process(void)
{
	add((struct way){.name = "no memory", .kind = FAULT_MEMORY, .plan = &plans.module->memory, .code = ENOMEM,
			 .example = true});
	add((struct way){.name = "libcrypto fails", .kind = FAULT_EVP, .plan = &plans.module->evp, .example = true});
	add((struct way){.name = "libcrypto has no memory", .kind = FAULT_EVP, .plan = &plans.module->evp,
			 .where = ERR_R_MALLOC_FAILURE});
	add((struct way){.name = "libcrypto fails (negative)", .kind = FAULT_EVP, .plan = &plans.module->evp, .code = 1});
	add((struct way){.name = "CKR_GENERAL_ERROR", .kind = FAULT_MUTEX, .plan = &plans.mutexes,
			 .code = CKR_GENERAL_ERROR, .example = true});
	add((struct way){.name = "CKR_HOST_MEMORY", .kind = FAULT_MUTEX, .plan = &plans.mutexes,
			 .code = CKR_HOST_MEMORY});
	add((struct way){.name = "CKR_MUTEX_BAD", .kind = FAULT_MUTEX, .plan = &plans.mutexes, .code = CKR_MUTEX_BAD});
}

/* R11 and priorities.md 2.4. */
static const CK_RV mutex_codes[] = {CKR_GENERAL_ERROR, CKR_HOST_MEMORY, CKR_CANT_LOCK};
/* Failures of libcrypto's that aren't about the data: a lack of memory, or whatever else. */
static const CK_RV evp_codes[] = {CKR_HOST_MEMORY, CKR_FUNCTION_FAILED};

const struct way *ways_of(enum kind_of_fault kind, size_t *n)
{
	static bool filled;

	if (!filled) {
		filled = true;
		if (is_kind(&kind_tpm)) {
			read_codes();
			add_codes();
			add_losses();
		}
		add_errnos();
		add_process();
	}
	*n = n_ways[kind];
	return ways[kind];
}

bool ways_is_answer(const struct way *w, const struct fault *f)
{
	return w->kind == FAULT_COMMANDS && (w->code & TPM2_RC_FMT1) && (w->code & TPM2_RC_P) && f->last &&
	       strcmp(f->last, "TPM command 0x18a") == 0;
}

bool ways_right(const struct scenario *s, const struct way *w, const struct fault *f, CK_RV rv)
{
	/* Where something else is the right answer, a failure mustn't become a success. */
	if (rv == CKR_OK)
		return s->traits & TELLS_EVENTS;
	switch (w->kind) {
	case FAULT_COMMANDS:
		if (ways_is_answer(w, f) && rv == CKR_TEMPLATE_INCONSISTENT)
			return true;
		return right_code(s, w->row, rv);
	case FAULT_TRANSPORT:
		return w->row ? right_code(s, w->row, rv) || right_loss(s, w, rv) : right_loss(s, w, rv);
	case FAULT_KEYS:
		return right_errno(key_rows, f, rv);
	case FAULT_FILES:
		return right_errno(file_rows, f, rv);
	case FAULT_MEMORY:
		return rv == CKR_HOST_MEMORY;
	case FAULT_MUTEX:
		return answer_in(rv, mutex_codes, ARRAY_LEN(mutex_codes));
	case FAULT_EVP:
		return rv == CKR_HOST_MEMORY || (w->where == 0 && answer_in(rv, evp_codes, ARRAY_LEN(evp_codes)));
	default:
		return false;
	}
}

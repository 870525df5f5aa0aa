/* Which keys of others there are, and what the front knows of them. */
#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"
#include "log.h"
#include "object.h"
#include "tss2key.h"

#define MAX_ADOPTED 64
#define SEPARATORS " \t,"
#define PERSISTENT_LABEL 11 /* "0x81000000" */

/* One that the section names. */
struct entry {
	char *path;                   /* NULL: persistent */
	TPM2_HANDLE handle;
	char words[PERSISTENT_LABEL]; /* the handle, as a label */
	/* As it was last looked at. */
	bool looked;
	int error;                    /* errno of a file that couldn't be read: logged when it changes */
	bool racy;                    /* so fresh then that a later change might not show in its stamp */
	struct store_stamp stamp;
	uint8_t digest[32];           /* of the file's content */
	struct adopted_key *key;      /* NULL: not usable */
	/* What the front knows: bit 0 the public object of that id, bit 1 the private one. */
	uint8_t told;
	uint8_t told_id[16];
	bool fresh;                   /* what it knows is of another version */
};

struct adopted {
	enum key_auth persistent_auth;
	uint64_t generation;          /* conn_generation() when the persistent ones were looked at; 0: never */
	size_t n;
	struct entry at[MAX_ADOPTED];
};

/* ---- settings ---- */

static const struct conf_choice auth_words[] = {{"empty", AUTH_EMPTY}, {"pin", AUTH_GIVEN}};

static CK_RV complain(const struct conf_section *conf, const char *key, const char *message)
{
	conf_complain(conf, key, message);
	return CKR_ARGUMENTS_BAD;
}

static CK_RV add_file(const struct conf_section *conf, struct adopted *a, const char *word, size_t n)
{
	char *path CLEANUP(free_cleanup) = strndup(word, n);

	if (!path)
		return CKR_HOST_MEMORY;
	if (*path != '/')
		return complain(conf, "keys", "needs absolute paths");
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i].path && strcmp(a->at[i].path, path) == 0)
			return complain(conf, "keys", "names a file twice");
	a->at[a->n++].path = TAKE(path);
	return CKR_OK;
}

static CK_RV add_handle(const struct conf_section *conf, struct adopted *a, const char *word, size_t n)
{
	struct entry *e = &a->at[a->n];
	uint8_t be[4];
	char digits[9];

	if (n != 10 || word[0] != '0' || (word[1] != 'x' && word[1] != 'X'))
		return complain(conf, "persistent", "needs handles like 0x81010001");
	memcpy(digits, word + 2, 8);
	digits[8] = 0;
	if (!hex_decode(digits, be, sizeof be) || be[0] != TPM2_HT_PERSISTENT)
		return complain(conf, "persistent", "needs handles like 0x81010001");
	e->handle = (TPM2_HANDLE)be[0] << 24 | (TPM2_HANDLE)be[1] << 16 | (TPM2_HANDLE)be[2] << 8 | be[3];
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i].handle == e->handle)
			return complain(conf, "persistent", "names a handle twice");
	(void)snprintf(e->words, sizeof e->words, "0x%08x", e->handle);
	a->n++;
	return CKR_OK;
}

typedef CK_RV add_word(const struct conf_section *conf, struct adopted *a, const char *word, size_t n);

static CK_RV read_list(const struct conf_section *conf, const char *key, struct adopted *a, add_word *add)
{
	const char *s = conf_get(conf, key);

	for (; s && *(s += strspn(s, SEPARATORS)); s += strcspn(s, SEPARATORS)) {
		if (a->n == MAX_ADOPTED)
			return complain(conf, key, "names more than 64 keys");
		TRY(add(conf, a, s, strcspn(s, SEPARATORS)));
	}
	return CKR_OK;
}

void adopted_free(struct adopted *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++) {
		free(a->at[i].path);
		adopted_key_free(a->at[i].key);
	}
	free(a);
}

static void adopted_cleanup(struct adopted **a)
{
	adopted_free(*a);
}

CK_RV adopted_new(const struct conf_section *conf, struct adopted **ret)
{
	struct adopted *a CLEANUP(adopted_cleanup) = calloc(1, sizeof *a);
	int auth;

	if (!a)
		return CKR_HOST_MEMORY;
	TRY(conf_get_choice(conf, "persistent-auth", auth_words, ARRAY_LEN(auth_words), AUTH_EMPTY, &auth));
	a->persistent_auth = (enum key_auth)auth;
	TRY(read_list(conf, "keys", a, add_file));
	TRY(read_list(conf, "persistent", a, add_handle));
	*ret = a->n ? TAKE(a) : NULL;
	return CKR_OK;
}

static void take_key(struct entry *e, struct adopted_key *key)
{
	adopted_key_free(e->key);
	e->key = key;
	e->fresh = true;
}

/* ---- persistent handles ---- */

static CK_RV look_at_handle(struct conn *c, const struct adopted *a, struct entry *e)
{
	TPM2B_PUBLIC public = {0};
	TPM2B_NAME name = {0};
	struct adopted_key *key = NULL;
	struct adopted_source s = {
		.place = BYTES(e->words, strlen(e->words)), .label = BYTES(e->words, strlen(e->words)),
		.persistent = e->handle, .auth = a->persistent_auth, .public = &public,
	};
	const char *why = "there is nothing";
	CK_RV rv = CKR_DATA_INVALID;
	bool found;

	TRY(tpm2_read_public(c, e->handle, &public, &name, &found));
	if (found)
		rv = adopted_key_new(&s, &key, &why);
	if (rv == CKR_HOST_MEMORY)
		return rv;
	if (rv != CKR_OK)
		log_error("persistent handle 0x%08x: %s; it is skipped", e->handle, why);
	if (key && e->key && memcmp(key->id, e->key->id, sizeof key->id) == 0)
		adopted_key_free(key);
	else
		take_key(e, key);
	return CKR_OK;
}

static bool is_looked_at(const struct adopted *a, const struct conn *c)
{
	return a->generation && a->generation == conn_generation(c);
}

CK_RV adopted_look(struct conn *c, struct adopted *a)
{
	if (!a || is_looked_at(a, c))
		return CKR_OK;
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i].handle)
			TRY(look_at_handle(c, a, &a->at[i]));
	a->generation = conn_generation(c);
	return CKR_OK;
}

static CK_RV look_body(struct conn *c, void *arg)
{
	return adopted_look(c, arg);
}

static bool has_handles(const struct adopted *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i].handle)
			return true;
	return false;
}

/* A TPM that doesn't answer takes no stored object away; whatever is done with it will say so. */
static CK_RV look_at_handles(struct tpm_token *t)
{
	CK_RV rv;

	if (!has_handles(t->adopted) || is_looked_at(t->adopted, t->conn))
		return CKR_OK;
	rv = conn_run(t->conn, RC_INIT, look_body, t->adopted);
	return rv == CKR_HOST_MEMORY ? rv : CKR_OK;
}

/* ---- files ---- */

static struct store_stamp stamp_of(const struct stat *st)
{
	return (struct store_stamp){
		.ino = st->st_ino, .size = st->st_size,
		.mtime_sec = st->st_mtim.tv_sec, .mtime_nsec = st->st_mtim.tv_nsec,
	};
}

static bool is_racy(const struct store_stamp *s)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return s->mtime_sec >= now.tv_sec - 1;
}

/* 0, or an errno. */
static int read_all(int fd, struct buffer *out)
{
	uint8_t part[4096];
	ssize_t n = 0;

	while (out->rv == CKR_OK && (n = store_sys.read(fd, part, sizeof part)) > 0)
		buffer_put(out, BYTES(part, (size_t)n));
	if (out->rv != CKR_OK)
		return out->rv == CKR_HOST_MEMORY ? ENOMEM : EFBIG;
	return n < 0 ? errno : 0;
}

static int read_file(const char *path, struct buffer *out, struct store_stamp *stamp)
{
	/* O_NONBLOCK: a FIFO of that name must not hold us. */
	int fd = store_sys.open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0), error;
	struct stat st;

	if (fd < 0)
		return errno;
	if (store_sys.fstat(fd, &st) < 0)
		error = errno;
	else
		error = S_ISREG(st.st_mode) ? read_all(fd, out) : EINVAL;
	(void)store_sys.close(fd);
	if (!error)
		*stamp = stamp_of(&st);
	return error;
}

/* The file's name without directory and suffix. */
static struct bytes label_of(const char *path)
{
	const char *name = strrchr(path, '/') + 1, *dot = strrchr(name, '.');

	return BYTES(name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

static CK_RV make_key(const struct entry *e, struct bytes content, struct adopted_key **ret, const char **why)
{
	struct parent *parent CLEANUP(parent_cleanup) = NULL;
	struct adopted_source s = {.place = BYTES(e->path, strlen(e->path)), .label = label_of(e->path)};
	struct tss2_key *k CLEANUP(free_cleanup) = malloc(sizeof *k);

	if (!k)
		return CKR_HOST_MEMORY;
	TRY(tss2_key_parse(content, k, why));
	TRY(parent_given(k->parent, k->rsa_parent, &parent));
	if (k->description_len)
		s.label = BYTES(k->description, k->description_len);
	s.parent = parent;
	s.auth = k->empty_auth ? AUTH_EMPTY : AUTH_GIVEN;
	s.public = &k->public;
	s.private = &k->private;
	return adopted_key_new(&s, ret, why);
}

static void note_error(struct entry *e, int error)
{
	char text[128];

	if (e->error != error)
		log_error("key file %s cannot be read: %s; it is skipped", e->path,
			  error == EINVAL ? "it is no regular file" : strerror_r(error, text, sizeof text));
	e->error = error;
	e->looked = false;
	take_key(e, NULL);
}

static CK_RV take_content(struct entry *e, struct bytes content)
{
	struct adopted_key *key = NULL;
	uint8_t digest[32];
	const char *why = NULL;
	CK_RV rv;

	TRY(hash_once(&crypto_hashes[HASH_SHA256], content, digest));
	if (e->looked && memcmp(digest, e->digest, sizeof digest) == 0)
		return CKR_OK;
	rv = make_key(e, content, &key, &why);
	if (rv == CKR_DATA_INVALID)
		log_error("key file %s: %s; it is skipped", e->path, why);
	else if (rv != CKR_OK)
		return rv;
	take_key(e, key);
	memcpy(e->digest, digest, sizeof digest);
	return CKR_OK;
}

static CK_RV look_at_file(struct entry *e)
{
	struct buffer content CLEANUP(buffer_done);
	struct store_stamp stamp;
	struct stat st;
	int error;

	buffer_init(&content, TSS2_KEY_MAX_SIZE);
	if (e->looked && !e->racy && store_sys.fstatat(AT_FDCWD, e->path, &st, 0) == 0) {
		stamp = stamp_of(&st);
		if (store_stamp_equal(&stamp, &e->stamp))
			return CKR_OK;
	}
	error = read_file(e->path, &content, &stamp);
	if (error == ENOMEM)
		return CKR_HOST_MEMORY;
	if (error) {
		note_error(e, error);
		return CKR_OK;
	}
	TRY(take_content(e, buffer_bytes(&content)));
	e->error = 0;
	e->stamp = stamp;
	e->racy = is_racy(&stamp);
	e->looked = true;
	return CKR_OK;
}

/* ---- telling ---- */

static void half_id(const uint8_t id[16], unsigned half, uint8_t ret[16])
{
	memcpy(ret, id, 16);
	ret[15] ^= (uint8_t)half;
}

static void tell_gone(struct entry *e, unsigned half, const struct token_view *view)
{
	uint8_t id[16];

	half_id(e->told_id, half, id);
	view->drop(view->ctx, id);
	e->told &= (uint8_t)~(1u << half);
}

static CK_RV tell_half(struct entry *e, unsigned half, const struct token_view *view)
{
	struct attrs *attrs CLEANUP(attrs_cleanup) = NULL;
	struct buffer blob CLEANUP(buffer_done);
	struct token_obj *obj;
	uint8_t id[16];

	buffer_init(&blob, 0);
	half_id(e->key->id, half, id);
	TRY(attrs_copy(e->key->attrs[half], &attrs));
	TRY(tpm_object_new(id, &attrs, &blob, &obj));
	tpm_object_priv(obj)->stored = true;
	tpm_object_priv(obj)->size = e->path ? (size_t)e->stamp.size : e->key->ready->key.blob.public.size;
	if (half == 1)
		tpm_object_priv(obj)->ready = tpm_ready_ref(e->key->ready);
	TRY(view->put(view->ctx, obj));
	e->told |= (uint8_t)(1u << half);
	memcpy(e->told_id, e->key->id, sizeof e->told_id);
	return CKR_OK;
}

static CK_RV tell_entry(struct entry *e, bool private_ok, const struct token_view *view)
{
	bool show[2] = {e->key, e->key && (!e->key->private || private_ok)};
	bool other = e->key && memcmp(e->told_id, e->key->id, sizeof e->told_id) != 0;

	for (unsigned half = 0; half < 2; half++)
		if (e->told >> half & 1 && (!show[half] || other))
			tell_gone(e, half, view);
	for (unsigned half = 0; half < 2; half++)
		if (show[half] && (e->fresh || !(e->told >> half & 1)))
			TRY(tell_half(e, half, view));
	e->fresh = false;
	return CKR_OK;
}

CK_RV adopted_sync(struct tpm_token *t, const struct token_view *view)
{
	struct adopted *a = t->adopted;

	if (!a)
		return CKR_OK;
	TRY(look_at_handles(t));
	for (size_t i = 0; i < a->n; i++) {
		struct entry *e = &a->at[i];

		if (e->path)
			TRY(look_at_file(e));
		TRY(tell_entry(e, tpm_state_private_ok(t), view));
	}
	return CKR_OK;
}

void adopted_forget(struct adopted *a, bool all)
{
	for (size_t i = 0; a && i < a->n; i++)
		if (all)
			a->at[i].told = 0;
		else if (a->at[i].key && a->at[i].key->private)
			a->at[i].told &= 1;
}

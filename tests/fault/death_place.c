/* The token's place: kept, put back, and looked at from outside. */
#include "death.h"

#include <dirent.h>
#include <fcntl.h>
#include <keyutils.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../pin/pin.h"
#include "user.h"

/* ---- files ---- */

#define PERMANENT "tpm/tpm2-00.permall" /* what swtpm reads when it is initialized */

static void in_place(char path[PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", h.dir, name);
}

static void copy_file(const char *from, const char *to)
{
	char source[PATH_MAX], target[PATH_MAX], buf[65536];
	ssize_t n;

	in_place(source, from);
	in_place(target, to);
	int in = open(source, O_RDONLY | O_CLOEXEC);
	int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);


	cr_assert(in >= 0 && fd >= 0, "%s to %s: %m", source, target);
	while ((n = read(in, buf, sizeof buf)) > 0)
		cr_assert(write(fd, buf, (size_t)n) == n, "%s: %m", target);
	close(in);
	close(fd);
}

/* Makes `to` the same as `from`; no directory, if that is none. */
static void copy_dir(const char *from, const char *to)
{
	char source[PATH_MAX], target[PATH_MAX], a[300], b[300];
	struct dirent *e;

	in_place(source, from);
	in_place(target, to);
	remove_tree(target);
	DIR *d = opendir(source);
	if (!d)
		return;
	cr_assert(mkdir(target, 0700) == 0, "%s: %m", target);
	while ((e = readdir(d))) {
		snprintf(a, sizeof a, "%s/%s", from, e->d_name);
		snprintf(b, sizeof b, "%s/%s", to, e->d_name);
		if (e->d_name[0] != '.')
			copy_file(a, b);
	}
	closedir(d);
}

static void add_litter(struct outside *o, const char *name)
{
	size_t n = strlen(o->litter);

	snprintf(o->litter + n, sizeof o->litter - n, " %s", name);
}

/* tpm/store.c says what may be there: the rest is litter. */
static void look_at_store(struct outside *o)
{
	static const char *const fine[] = {"token", "lock", "caps", ".", ".."};
	char path[PATH_MAX];
	struct dirent *e;

	in_place(path, "store");
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		bool is_fine = false;
		for (size_t i = 0; i < ARRAY_LEN(fine); i++)
			is_fine |= strcmp(e->d_name, fine[i]) == 0;
		if (strlen(e->d_name) == 32)
			o->records++;
		else if (!is_fine)
			add_litter(o, e->d_name);
	}
	if (d)
		closedir(d);
}

/* ---- a TPM ---- */

static const char *const kept_stores[BASES] = {"store-full", "store-no-pin", "store-none"};
static const char *const kept_tpms[BASES] = {"tpm-full", "tpm-no-pin", "tpm-none"};

static void tpm_keep(enum base as)
{
	copy_dir("store", kept_stores[as]);
	copy_file(PERMANENT, kept_tpms[as]);
}

static void tpm_restore(enum base as)
{
	copy_dir(kept_stores[as], "store");
	copy_file(kept_tpms[as], PERMANENT);
	tpm_reboot();
}

static void tpm_look(struct outside *o)
{
	TPML_HANDLE list = {0};

	look_at_store(o);
	o->indices = tpm_our_indices(NULL);
	ESYS_CONTEXT *esys = tpm_connect();
	tpm_handles(esys, TPM2_PERSISTENT_FIRST, &list);
	for (size_t i = 0; i < MIN(list.count, ARRAY_LEN(o->persistent)); i++)
		o->persistent[i] = list.handle[i];
	o->transient = tpm_handles(esys, TPM2_TRANSIENT_FIRST, NULL);
	o->sessions = tpm_handles(esys, TPM2_LOADED_SESSION_FIRST, NULL) +
		      tpm_handles(esys, TPM2_ACTIVE_SESSION_FIRST, NULL);
	o->lockouts = tpm_property(esys, TPM2_PT_LOCKOUT_COUNTER);
	tpm_disconnect(&esys);
}

/* ---- a keyring ---- */

#define RING "signet:test"

/* A key of the ring, as it was kept. */
struct kept {
	char type[16], name[64];
	void *payload;
	size_t n;
};
static struct kept_ring {
	struct kept key[64];
	size_t n;
} kept_rings[BASES];

/* The keys linked into a ring; freed by the caller. */
static key_serial_t *keys_in(key_serial_t ring, size_t *ret_n)
{
	void *list = NULL;
	int n = keyctl_read_alloc(ring, &list);

	cr_assert(n >= 0, "ring %d: %m", ring);
	*ret_n = (size_t)n / sizeof(key_serial_t);
	return list;
}

/* "type;uid;gid;perm;description" */
static void describe(key_serial_t key, struct kept *ret)
{
	char *text = NULL;

	*ret = (struct kept){0};
	cr_assert(keyctl_describe_alloc(key, &text) > 0, "key %d: %m", key);
	cr_assert(sscanf(text, "%15[^;];%*[^;];%*[^;];%*[^;];%63s", ret->type, ret->name) == 2, "key %d: %s", key,
		  text);
	free(text);
}

static key_serial_t ring_of_token(void)
{
	return (key_serial_t)keyctl_search(KEY_SPEC_SESSION_KEYRING, "keyring", RING, 0);
}

/* Once for each base. */
static void ring_keep(enum base as)
{
	key_serial_t ring = ring_of_token(), *list;
	struct kept_ring *r = &kept_rings[as];

	if (ring <= 0)
		return;
	list = keys_in(ring, &r->n);
	cr_assert(r->n <= ARRAY_LEN(r->key));
	for (size_t i = 0; i < r->n; i++) {
		struct kept *k = &r->key[i];
		describe(list[i], k);
		int size = strcmp(k->type, "keyring") == 0 ? 0 : keyctl_read_alloc(list[i], &k->payload);
		cr_assert(size >= 0);
		k->n = (size_t)size;
	}
	free(list);
}

/* A session keyring of its own each time: whatever a killed process left goes with the one before. */
static void ring_restore(enum base as)
{
	const struct kept_ring *r = &kept_rings[as];

	/* What the rings before had counts for the user's quota. */
	(void)user_keys_fall((struct user_keys){60, UINT_MAX}, 5);
	cr_assert(keyctl_join_session_keyring(NULL) > 0, "keyctl_join_session_keyring: %m");
	if (!r->n)
		return;
	key_serial_t ring = add_key("keyring", RING, NULL, 0, KEY_SPEC_SESSION_KEYRING);
	cr_assert(ring > 0, "%m");
	for (const struct kept *k = r->key; k < r->key + r->n; k++)
		cr_assert(add_key(k->type, k->name, k->payload, k->n, ring) > 0, "%s: %m", k->name);
}

/* keyring/store.c says what may be there: the rest is litter, and so is what lies in the stage. */
static void look_at_key(struct outside *o, key_serial_t key)
{
	static const char *const fine[] = {"signet:token", "signet:tries", "signet:reserve"};
	struct kept k;
	size_t n = 0;

	describe(key, &k);
	if (strcmp(k.name, "signet:stage") == 0) {
		free(keys_in(key, &n));
		if (n)
			add_litter(o, "a key in the stage");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(fine); i++)
		if (strcmp(k.name, fine[i]) == 0)
			return;
	if (strncmp(k.name, "signet:r:", 9) == 0)
		o->records++;
	else
		add_litter(o, k.name);
}

static void look_at_ring(struct outside *o)
{
	key_serial_t ring = ring_of_token(), *list;
	size_t n;

	if (ring <= 0)
		return;
	list = keys_in(ring, &n);
	for (size_t i = 0; i < n; i++)
		look_at_key(o, list[i]);
	free(list);
}

static void keyring_look(struct outside *o)
{
	size_t n;
	key_serial_t *list = keys_in(KEY_SPEC_SESSION_KEYRING, &n);
	struct kept k;

	for (size_t i = 0; i < n; i++) {
		describe(list[i], &k);
		if (strcmp(k.name, RING) != 0)
			add_litter(o, k.name);
	}
	free(list);
	look_at_ring(o);
}

/* ---- either ---- */

void place_keep(enum base as)
{
	if (is_kind(&kind_tpm))
		tpm_keep(as);
	else
		ring_keep(as);
}

void place_restore(enum base as)
{
	if (is_kind(&kind_tpm))
		tpm_restore(as);
	else
		ring_restore(as);
}

void place_reboot(void)
{
	if (is_kind(&kind_tpm))
		tpm_reboot();
}

struct outside place_look(void)
{
	struct outside o = {0};

	if (is_kind(&kind_tpm))
		tpm_look(&o);
	else
		keyring_look(&o);
	return o;
}

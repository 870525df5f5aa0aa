/* The token from outside. */
#include "snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <keyutils.h>
#include <openssl/evp.h>
#include <time.h>
#include <unistd.h>

#include "tpm.h"

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_file(EVP_MD_CTX *md, const char *path)
{
	uint8_t buf[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	cr_assert(fd >= 0, "%s: %m", path);
	while ((n = read(fd, buf, sizeof buf)) > 0)
		EVP_DigestUpdate(md, buf, (size_t)n);
	close(fd);
}

/* The files that are the token: not the lock, not a temporary file, not what waits to be cleaned up. */
static void take_directory(struct snapshot *s, EVP_MD_CTX *md)
{
	char dir[96], path[PATH_MAX];
	struct dirent **names;

	snprintf(dir, sizeof dir, "%s/store", h.dir);
	int n = scandir(dir, &names, NULL, by_name);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		s->intents |= strcmp(name, "intents") == 0;
		if (strcmp(name, "token") == 0 || strlen(name) == 32) {
			snprintf(path, sizeof path, "%s/%s", dir, name);
			EVP_DigestUpdate(md, name, strlen(name) + 1);
			add_file(md, path);
			s->n_records++;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void take_tpm(struct snapshot *s, EVP_MD_CTX *md)
{
	take_directory(s, md);
	ESYS_CONTEXT *esys = tpm_connect();
	s->indices = tpm_handles(esys, TPM2_NV_INDEX_FIRST, NULL);
	s->persistent = tpm_handles(esys, TPM2_PERSISTENT_FIRST, NULL);
	s->transient = tpm_handles(esys, TPM2_TRANSIENT_FIRST, NULL);
	s->sessions = tpm_handles(esys, TPM2_LOADED_SESSION_FIRST, NULL) +
		      tpm_handles(esys, TPM2_ACTIVE_SESSION_FIRST, NULL);
	tpm_disconnect(&esys);
}

static int by_serial(const void *a, const void *b)
{
	const key_serial_t x = *(const key_serial_t *)a, y = *(const key_serial_t *)b;

	return (x > y) - (x < y);
}

/* The PIN counter is changed in place and the reserve may be spent: neither is what the token says. */
static void add_key_of(struct snapshot *s, EVP_MD_CTX *md, key_serial_t key)
{
	char *description = NULL, *payload = NULL;

	cr_assert(keyctl_describe_alloc(key, &description) > 0, "key %d: %m", key);
	if (!strstr(description, "signet:tries") && !strstr(description, "signet:reserve")) {
		int n = keyctl_read_alloc(key, (void **)&payload);
		cr_assert(n >= 0);
		if (strstr(description, "signet:stage")) {
			s->staged += (unsigned)n / sizeof(key_serial_t);
			n = 0;
		}
		EVP_DigestUpdate(md, &key, sizeof key);
		EVP_DigestUpdate(md, description, strlen(description));
		EVP_DigestUpdate(md, payload, (size_t)n);
	}
	free(description);
	free(payload);
}

/* Rings under construction in the session keyring.  One that couldn't even be unlinked has a timeout; a sweep doesn't
 * wait for that. */
static unsigned take_nurseries(void)
{
	key_serial_t *list = NULL;
	unsigned n = 0;
	int size = keyctl_read_alloc(KEY_SPEC_SESSION_KEYRING, (void **)&list);

	cr_assert(size >= 0);
	for (int i = 0; i < size / (int)sizeof *list; i++) {
		char *description = NULL;
		if (keyctl_describe_alloc(list[i], &description) > 0 && strstr(description, "signet:new:")) {
			keyctl_unlink(list[i], KEY_SPEC_SESSION_KEYRING);
			n++;
		}
		free(description);
	}
	free(list);
	return n;
}

/* The user's keys, of which a replaced ring's count until the kernel has collected them. */
static unsigned keys_of_user(void)
{
	char line[128];
	unsigned uid, usage, keys, total = 0;
	FILE *f = fopen("/proc/key-users", "re");

	cr_assert(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, " %u: %u %u/", &uid, &usage, &keys) == 3 && uid == geteuid())
			total = keys;
	fclose(f);
	return total;
}

/* Or a sweep would fill its user's quota with keys that nobody has any more. */
static void wait_for_collector(void)
{
	const struct timespec pause = {0, 5000000};

	for (int i = 0; i < 400 && keys_of_user() > 40; i++)
		nanosleep(&pause, NULL);
}

static void take_ring(struct snapshot *s, EVP_MD_CTX *md)
{
	long ring = keyctl_search(KEY_SPEC_SESSION_KEYRING, "keyring", "signet:test", 0);
	void *list = NULL;

	s->staged = take_nurseries();
	wait_for_collector();
	if (ring <= 0)
		return;
	int n = keyctl_read_alloc((key_serial_t)ring, &list);
	cr_assert(n >= 0);
	s->n_records = (unsigned)n / sizeof(key_serial_t);
	qsort(list, s->n_records, sizeof(key_serial_t), by_serial);
	for (unsigned i = 0; i < s->n_records; i++)
		add_key_of(s, md, ((key_serial_t *)list)[i]);
	EVP_DigestUpdate(md, &ring, sizeof ring);
	free(list);
}

struct snapshot snapshot_take(void)
{
	struct snapshot s = {.n_records = 0};
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	cr_assert(md && EVP_DigestInit_ex(md, EVP_sha256(), NULL));
	if (is_kind(&kind_tpm))
		take_tpm(&s, md);
	else
		take_ring(&s, md);
	cr_assert(EVP_DigestFinal_ex(md, s.records, NULL));
	EVP_MD_CTX_free(md);
	return s;
}

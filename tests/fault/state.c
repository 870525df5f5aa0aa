/* The token from outside. */
#include "state.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <keyutils.h>
#include <openssl/evp.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "user.h"

/* ---- the TPM, by plain commands on the shared connection ---- */

struct message {
	uint8_t bytes[4096];
	size_t n;
};

static void put(struct message *m, uint64_t value, size_t size)
{
	for (size_t i = size; i--;)
		m->bytes[m->n++] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return be32toh(v);
}

static void begin(struct message *m, TPM2_ST tag, TPM2_CC command)
{
	m->n = 0;
	put(m, tag, 2);
	put(m, 0, 4);
	put(m, command, 4);
}

/* *m becomes the response.  Its code. */
static TPM2_RC exchange(struct message *m)
{
	uint32_t size = htobe32((uint32_t)m->n);

	memcpy(m->bytes + 2, &size, sizeof size);
	m->n = rig_tpm(m->bytes, m->n, m->bytes, sizeof m->bytes);
	return get32(m->bytes + 6);
}

/* Part 3, 30.2: TPM2_GetCapability(TPM2_CAP_HANDLES); the response: header 10, moreData 1, capability 4, count 4. */
static uint32_t handles(uint32_t first, uint32_t ret[64])
{
	struct message m;

	begin(&m, TPM2_ST_NO_SESSIONS, TPM2_CC_GetCapability);
	put(&m, TPM2_CAP_HANDLES, 4);
	put(&m, first, 4);
	put(&m, 64, 4);
	cr_assert(exchange(&m) == TPM2_RC_SUCCESS, "TPM2_GetCapability(0x%x): 0x%x", first, get32(m.bytes + 6));
	uint32_t n = get32(m.bytes + 15);
	cr_assert(n <= 64);
	for (uint32_t i = 0; ret && i < n; i++)
		ret[i] = get32(m.bytes + 19 + 4 * i);
	return n;
}

/* The authorization area: session, nonce, attributes, hmac. */
static void put_owner(struct message *m)
{
	put(m, 9, 4);
	put(m, TPM2_RH_PW, 4);
	put(m, 0, 2);
	put(m, 0, 1);
	put(m, 0, 2);
}

/* Part 3, 31.13: TPM2_NV_Read by the owner, with an empty password. */
static TPM2_RC nv_read(uint32_t index, uint16_t size, struct message *m)
{
	begin(m, TPM2_ST_SESSIONS, TPM2_CC_NV_Read);
	put(m, TPM2_RH_OWNER, 4);
	put(m, index, 4);
	put_owner(m);
	put(m, size, 2);
	put(m, 0, 2);
	return exchange(m);
}

/* A PIN's counter: pinCount and pinLimit (Part 2, 13.3).  The count is told apart: a try may be counted. */
static void take_contents(struct state *s, EVP_MD_CTX *md, uint32_t index, uint16_t size)
{
	struct message m;
	uint32_t n = 0;

	if (nv_read(index, size, &m) != TPM2_RC_SUCCESS)
		return;
	const uint8_t *data = m.bytes + 16; /* header 10, parameterSize 4, the buffer's size 2 */
	if (size != 8) {
		EVP_DigestUpdate(md, data, size);
		return;
	}
	EVP_DigestUpdate(md, data + 4, 4);
	n = get32(data);
	s->tries[n > s->tries[0]] = n;
}

/* Part 3, 31.6: TPM2_NV_ReadPublic; the response: header 10, size 2, then index 4, nameAlg 2, attributes 4, policy,
 * dataSize 2. */
static void take_index(struct state *s, EVP_MD_CTX *md, uint32_t index)
{
	struct message m;

	begin(&m, TPM2_ST_NO_SESSIONS, TPM2_CC_NV_ReadPublic);
	put(&m, index, 4);
	cr_assert(exchange(&m) == TPM2_RC_SUCCESS);
	size_t area = (size_t)m.bytes[10] << 8 | m.bytes[11];
	uint16_t size = (uint16_t)(m.bytes[12 + area - 2] << 8 | m.bytes[12 + area - 1]);
	EVP_DigestUpdate(md, m.bytes + 10, m.n - 10);
	take_contents(s, md, index, size);
}

static void take_tpm(struct state *s, EVP_MD_CTX *md)
{
	uint32_t list[64];

	s->indices = handles(TPM2_NV_INDEX_FIRST, list);
	for (uint32_t i = 0; i < s->indices; i++)
		take_index(s, md, list[i]);
	uint32_t persistent = handles(TPM2_PERSISTENT_FIRST, list);
	/* The machine's storage key isn't the token's: C_InitToken makes it, and doesn't undo that (design 4.1). */
	for (uint32_t i = 0; i < persistent; i++)
		if (list[i] != 0x81000001)
			EVP_DigestUpdate(md, &list[i], sizeof list[i]);
	s->transient = handles(TPM2_TRANSIENT_FIRST, NULL);
	s->sessions = handles(TPM2_LOADED_SESSION_FIRST, NULL) + handles(TPM2_ACTIVE_SESSION_FIRST, NULL);
}

/* ---- the store ---- */

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

/* The records are the token; the lock and what is remembered of the TPM are not; any other file is a left-over. */
static void take_file(struct state *s, EVP_MD_CTX *md, const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (name[0] == '.' || strcmp(name, "lock") == 0 || strcmp(name, "caps") == 0)
		return;
	if (strcmp(name, "intents") == 0) {
		s->intents = true;
		return;
	}
	if (strcmp(name, "token") != 0 && strlen(name) != 32) {
		s->files++;
		return;
	}
	snprintf(path, sizeof path, "%s/%s", dir, name);
	EVP_DigestUpdate(md, name, strlen(name) + 1);
	add_file(md, path);
}

static void take_store(struct state *s, EVP_MD_CTX *md)
{
	char dir[96];
	struct dirent **names;

	snprintf(dir, sizeof dir, "%s/store", h.dir);
	int n = scandir(dir, &names, NULL, by_name);
	for (int i = 0; i < n; i++) {
		take_file(s, md, dir, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* ---- the ring ---- */

static int by_serial(const void *a, const void *b)
{
	const key_serial_t x = *(const key_serial_t *)a, y = *(const key_serial_t *)b;

	return (x > y) - (x < y);
}

/* The counter is changed in place, and the reserve may be spent: neither is what the token says. */
static void take_key(struct state *s, EVP_MD_CTX *md, key_serial_t key)
{
	char *description = NULL;
	uint8_t *payload = NULL;

	cr_assert(keyctl_describe_alloc(key, &description) > 0, "key %d: %m", key);
	int n = keyctl_read_alloc(key, (void **)&payload);
	if (strstr(description, "signet:tries")) {
		/* keyring/tries.c: magic 4, then for the user and for the SO: salt 4, count 1. */
		cr_assert(n == 16);
		s->tries[0] = payload[8];
		s->tries[1] = payload[13];
	} else if (strstr(description, "signet:stage")) {
		s->staged += n > 0 ? (uint32_t)((size_t)n / sizeof(key_serial_t)) : 0;
	} else if (!strstr(description, "signet:reserve")) {
		EVP_DigestUpdate(md, &key, sizeof key);
		EVP_DigestUpdate(md, description, strlen(description));
		if (n > 0)
			EVP_DigestUpdate(md, payload, (size_t)n);
	}
	free(description);
	free(payload);
}

/* Rings under construction are linked into the session keyring for the moment. */
static uint32_t take_nurseries(void)
{
	key_serial_t *list = NULL;
	uint32_t n = 0;
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

static void clear_ring(void)
{
	cr_assert(keyctl_clear(KEY_SPEC_SESSION_KEYRING) == 0);
	(void)user_keys_fall((struct user_keys){40, 11000}, 40);
}

static void take_ring(struct state *s, EVP_MD_CTX *md)
{
	long ring = keyctl_search(KEY_SPEC_SESSION_KEYRING, "keyring", "signet:test", 0);
	key_serial_t *list = NULL;

	s->staged = take_nurseries();
	/* Or a sweep would fill its quota (200 keys, 20,000 bytes) with keys that nobody has any more. */
	(void)user_keys_fall((struct user_keys){60, 11000}, 40);
	EVP_DigestUpdate(md, &ring, sizeof ring);
	if (ring <= 0)
		return;
	int size = keyctl_read_alloc((key_serial_t)ring, (void **)&list);
	cr_assert(size >= 0);
	size_t n = (size_t)size / sizeof *list;
	qsort(list, n, sizeof *list, by_serial);
	for (size_t i = 0; i < n; i++)
		take_key(s, md, list[i]);
	free(list);
}

/* ---- before and after ---- */

void state_take(struct state *ret)
{
	EVP_MD_CTX *records = EVP_MD_CTX_new(), *nv = EVP_MD_CTX_new();

	*ret = (struct state){.intents = false};
	cr_assert(EVP_DigestInit_ex(records, EVP_sha256(), NULL) && EVP_DigestInit_ex(nv, EVP_sha256(), NULL));
	if (is_kind(&kind_tpm)) {
		take_store(ret, records);
		take_tpm(ret, nv);
	} else {
		take_ring(ret, records);
	}
	ret->sight = watcher_look();
	EVP_DigestFinal_ex(records, ret->records, NULL);
	EVP_DigestFinal_ex(nv, ret->nv, NULL);
	EVP_MD_CTX_free(records);
	EVP_MD_CTX_free(nv);
}

static uint32_t tries_of(const struct state *s)
{
	return s->tries[0] + s->tries[1];
}

/* A bare TPM's cache keeps two keys loaded; no call leaves more than it found, but one that loads a key. */
#define CACHED_KEYS 2

void state_compare(struct result *r, const struct state *before, const struct state *after, bool cut, uint32_t tries)
{
	/* What an earlier call couldn't clean up any more, this one may have. */
	bool waits = before->intents || (cut && after->intents);

	if (memcmp(before->records, after->records, 32) != 0)
		result_violation(r, "%s: the token's records have changed", r->told);
	if (memcmp(before->nv, after->nv, 32) != 0 && !waits)
		result_violation(r, "%s: NV indices or persistent objects have changed: %u indices were %u", r->told,
				 after->indices, before->indices);
	if (memcmp(before->sight.digest, after->sight.digest, 32) != 0)
		result_violation(r, "%s: a second process sees another token: %u objects were %u, %s was %s", r->told,
				 after->sight.objects, before->sight.objects, rv_name(after->sight.rv),
				 name_of((char[24]){0}, before->sight.rv));
	/* A TPM that refuses everything refuses TPM2_FlushContext: that is for the next call, and for the engine to see. */
	if (!cut && (after->transient > MAX(before->transient, (uint32_t)CACHED_KEYS) ||
		     after->sessions > before->sessions))
		result_violation(r, "%s: %u transient objects and %u sessions are left in the TPM, %u and %u before", r->told,
				 after->transient, after->sessions, before->transient, before->sessions);
	if (!cut && (after->files > before->files || after->staged > before->staged))
		result_violation(r, "%s: %u temporary files and %u staged keys are left", r->told, after->files, after->staged);
	if (after->intents && !cut && !before->intents)
		result_violation(r, "%s: the intents are left", r->told);
	if (tries_of(after) > tries_of(before) + tries)
		result_violation(r, "%s: %u tries are counted, %u before", r->told, tries_of(after), tries_of(before));
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct holdings holdings_now(void)
{
	struct holdings held = {.blocks = plans.module->outstanding, .fds = count_fds()};

	if (!is_kind(&kind_tpm))
		return held;
	held.transient = handles(TPM2_TRANSIENT_FIRST, NULL);
	held.sessions = handles(TPM2_LOADED_SESSION_FIRST, NULL) + handles(TPM2_ACTIVE_SESSION_FIRST, NULL);
	return held;
}

/* Part 3, 28.4: TPM2_FlushContext. */
static void drop_all(uint32_t first)
{
	uint32_t list[64];
	struct message m;
	uint32_t n = handles(first, list);

	for (uint32_t i = 0; i < n; i++) {
		begin(&m, TPM2_ST_NO_SESSIONS, TPM2_CC_FlushContext);
		put(&m, list[i], 4);
		cr_assert(exchange(&m) == TPM2_RC_SUCCESS);
	}
}

void holdings_drop(void)
{
	drop_all(TPM2_TRANSIENT_FIRST);
	drop_all(TPM2_LOADED_SESSION_FIRST);
	drop_all(TPM2_ACTIVE_SESSION_FIRST);
}

/* ---- no token ---- */

/* Part 3, 31.4: TPM2_NV_UndefineSpace by the owner, with an empty password. */
static void undefine(uint32_t index)
{
	struct message m;

	begin(&m, TPM2_ST_SESSIONS, TPM2_CC_NV_UndefineSpace);
	put(&m, TPM2_RH_OWNER, 4);
	put(&m, index, 4);
	put_owner(&m);
	cr_assert(exchange(&m) == TPM2_RC_SUCCESS, "TPM2_NV_UndefineSpace(0x%x): 0x%x", index, get32(m.bytes + 6));
}

void state_clear(void)
{
	char path[96];
	uint32_t list[64];

	if (!is_kind(&kind_tpm)) {
		clear_ring();
		return;
	}
	snprintf(path, sizeof path, "%s/store", h.dir);
	remove_tree(path);
	uint32_t n = handles(TPM2_NV_INDEX_FIRST, list);
	for (uint32_t i = 0; i < n; i++)
		undefine(list[i]);
	holdings_drop();
}

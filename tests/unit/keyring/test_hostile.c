/* What others with possession can do to a token's ring: keys that aren't ours, under our names too; keys of ours taken
 * away, revoked, replaced.  Nothing crashes, every sound object stays usable, no session ends without need. */
#include "fixture.h"

#include "ring.h"

TestSuite(hostile, .init = fresh_session);

static const uint8_t junk[32767];

static key_serial_t ring_of(struct front *f)
{
	return kr(f)->store.ring;
}

static key_serial_t put(key_serial_t ring, const char *type, const char *name, const void *payload, size_t len)
{
	key_serial_t key = add_key(type, name, payload, len, ring);

	cr_assert(key > 0, "%s %s: %m", type, name);
	return key;
}

static key_serial_t part(struct front *f, const char *type, const char *name)
{
	key_serial_t key;

	cr_assert(ring_find(ring_of(f), type, name, &key) == 0);
	return key;
}

/* As we do it: a new key in the place of the one with that name. */
static void displace(struct front *f, const char *name, struct bytes payload)
{
	key_serial_t key = put(KEY_SPEC_PROCESS_KEYRING, "user", name, payload.ptr, payload.len);

	cr_assert(keyctl_link(key, ring_of(f)) == 0);
	cr_assert(keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING) == 0);
}

static void token_with(struct front *f, struct token_obj **ret)
{
	front_open(f, "session", NULL);
	init_token(f, true);
	cr_assert(make_data(f, "sound", 10, false, ret) == CKR_OK);
}

/* The object can be seen by a newcomer, changed and destroyed. */
static void still_works(struct front *f, struct token_obj *o)
{
	struct front other;

	front_open(&other, "session", NULL);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 1 && front_find(&other, "sound"));
	cr_assert(set_label(f, o, "changed", NULL) == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 1 && front_find(&other, "changed"));
	cr_assert(login(f, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(keyring_token_ops.destroy(f->tok, o) == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK && other.n == 0);
	front_close(&other);
	keyring_token_ops.obj_free(f->tok, o);
	front_close(f);
}

#define A_NAME STORE_RECORD "00112233445566778899aabbccddeeff"

Test(hostile, keys_under_our_names)
{
	struct front f;
	struct token_obj *o;
	key_serial_t ring, nested;

	token_with(&f, &o);
	ring = ring_of(&f);
	put(ring, "user", A_NAME, junk, sizeof junk);
	put(ring, "logon", A_NAME, junk, 10);
	put(ring, "keyring", A_NAME, NULL, 0);
	put(ring, "user", STORE_RECORD, junk, 1);
	put(ring, "user", STORE_RECORD "zz", junk, 1);
	put(ring, "user", "something else", junk, 1);
	cr_assert(keyctl_revoke(put(ring, "user", STORE_RECORD "10112233445566778899aabbccddeeff", junk, 1)) == 0);
	cr_assert(keyctl_setperm(put(ring, "user", STORE_RECORD "20112233445566778899aabbccddeeff", junk, 1), 0) == 0);
	nested = put(ring, "keyring", "nested", NULL, 0);
	put(nested, "user", STORE_TOKEN, junk, 256);
	put(nested, "user", A_NAME, junk, 256);
	put(nested, "keyring", STORE_STAGE, NULL, 0);
	still_works(&f, o);
}

Test(hostile, another_type_of_the_same_name)
{
	struct front f;
	struct token_obj *o;
	char name[STORE_RECORD_NAME];

	token_with(&f, &o);
	store_record_name(o->id, name);
	put(ring_of(&f), "keyring", name, NULL, 0);
	put(ring_of(&f), "keyring", STORE_TOKEN, NULL, 0);
	put(ring_of(&f), "keyring", STORE_TRIES, NULL, 0);
	put(ring_of(&f), "user", STORE_STAGE, junk, 1);
	still_works(&f, o);
}

/* A record under another record's name is no record. */
Test(hostile, a_record_renamed)
{
	struct front f;
	struct token_obj *o, *twin;
	struct buffer b CLEANUP(buffer_done) = {0};
	char name[STORE_RECORD_NAME], twins[STORE_RECORD_NAME];

	token_with(&f, &o);
	cr_assert(make_data(&f, "twin", 10, false, &twin) == CKR_OK);
	store_record_name(o->id, name);
	store_record_name(twin->id, twins);
	buffer_init(&b, 4096);
	cr_assert(key_read(part(&f, "user", name), &b) == 0);
	displace(&f, twins, buffer_bytes(&b));
	cr_assert(set_label(&f, twin, "x", NULL) == CKR_DEVICE_ERROR);
	keyring_token_ops.obj_free(f.tok, twin);
	still_works(&f, o);
}

static void tries_are(struct front *f, CK_FLAGS want)
{
	struct token_info info;

	cr_assert(keyring_token_ops.info(f->tok, &info) == CKR_OK);
	cr_assert((info.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED)) == want);
}

/* However the counter is damaged, PINs work, and are counted again. */
static void counts_again(struct front *f)
{
	tries_are(f, 0);
	cr_assert(login(f, TOKEN_USER, "wrong") == CKR_PIN_INCORRECT);
	tries_are(f, CKF_USER_PIN_COUNT_LOW);
	cr_assert(login(f, TOKEN_USER, "1234") == CKR_OK);
	tries_are(f, 0);
	keyring_token_ops.logout(f->tok);
}

Test(hostile, the_counter)
{
	struct front f;
	struct token_obj *o;

	token_with(&f, &o);
	put(ring_of(&f), "user", STORE_TRIES, junk, sizeof junk);
	counts_again(&f);
	cr_assert(keyctl_revoke(part(&f, "user", STORE_TRIES)) == 0);
	counts_again(&f);
	cr_assert(keyctl_unlink(part(&f, "user", STORE_TRIES), ring_of(&f)) == 0);
	counts_again(&f);
	cr_assert(keyctl_setperm(part(&f, "user", STORE_TRIES), KEY_POS_SEARCH | KEY_POS_VIEW) == 0);
	counts_again(&f);
	still_works(&f, o);
}

/* A record that can't be reached for a moment: whoever was told that its object is gone is told of it again. */
Test(hostile, a_record_gone_and_back)
{
	struct front f;
	struct token_obj *o;
	char name[64] = STORE_RECORD;
	key_serial_t key;

	token_with(&f, &o);
	hex_encode(BYTES(o->id, 16), name + strlen(name));
	key = part(&f, "user", name);
	cr_assert(keyctl_link(key, KEY_SPEC_PROCESS_KEYRING) == 0);
	cr_assert(keyctl_unlink(key, ring_of(&f)) == 0);
	cr_assert(set_label(&f, o, "changed", NULL) == CKR_OBJECT_HANDLE_INVALID);
	cr_assert(keyctl_link(key, ring_of(&f)) == 0);
	cr_assert(keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING) == 0);
	cr_assert(f.n == 0 && front_sync(&f) == CKR_OK);
	cr_assert(f.n == 1 && front_find(&f, "sound"));
	still_works(&f, o);
}

static void still_has(struct front *f, size_t n)
{
	struct front other;

	front_open(&other, "session", NULL);
	cr_assert(front_sync(&other) == CKR_OK && other.n == n);
	front_close(&other);
	cr_assert(front_sync(f) == CKR_OK);
}

Test(hostile, stage_and_reserve)
{
	struct front f;
	struct token_obj *o;

	token_with(&f, &o);
	cr_assert(keyctl_revoke(part(&f, "user", STORE_RESERVE)) == 0);
	cr_assert(make_data(&f, "more", 2000, false, NULL) == CKR_OK);
	cr_assert(keyctl_setperm(part(&f, "user", STORE_RESERVE), KEY_POS_SEARCH | KEY_POS_READ) == 0);
	cr_assert(make_data(&f, "and more", 3000, false, NULL) == CKR_OK);
	cr_assert(keyctl_unlink(part(&f, "keyring", STORE_STAGE), ring_of(&f)) == 0);
	cr_assert(make_data(&f, "yet more", 10, false, NULL) == CKR_OK);
	still_has(&f, 4);
	keyring_token_ops.obj_free(f.tok, o);
	front_close(&f);
}

/* Without its token record a ring is no token; its sessions end, and it isn't touched. */
static void is_no_token(struct front *f, struct token_obj *o)
{
	struct digest before;
	struct token_info info;
	key_serial_t ring = ring_of(f);

	before = ring_digest(ring);
	cr_assert(front_sync(f) == CKR_DEVICE_REMOVED);
	cr_assert(keyring_token_ops.probe(f->tok) == CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert(keyring_token_ops.info(f->tok, &info) == CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert(login(f, TOKEN_USER, "1234") == CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert(keyring_token_ops.init_token(f->tok, STR("so-pin"), (const uint8_t *)"                                ") ==
		  CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert(make_data(f, "no", 10, false, NULL) == CKR_TOKEN_NOT_RECOGNIZED);
	cr_assert(digest_equal(before, ring_digest(ring)));
	keyring_token_ops.obj_free(f->tok, o);
	front_close(f);
}

Test(hostile, token_record_gone)
{
	struct front f;
	struct token_obj *o;

	token_with(&f, &o);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(keyctl_unlink(part(&f, "user", STORE_TOKEN), ring_of(&f)) == 0);
	is_no_token(&f, o);
}

Test(hostile, token_record_huge)
{
	struct front f;
	struct token_obj *o;

	token_with(&f, &o);
	cr_assert(front_sync(&f) == CKR_OK);
	displace(&f, STORE_TOKEN, BYTES_OF(junk));
	is_no_token(&f, o);
}

Test(hostile, token_record_of_another_token)
{
	struct front f;
	struct token_obj *o;
	struct trec trec;
	struct buffer b CLEANUP(buffer_done) = {0};

	token_with(&f, &o);
	cr_assert(front_sync(&f) == CKR_OK);
	trec = kr(&f)->secrets->trec;
	trec.id[0] ^= 1;
	buffer_init(&b, 1024);
	cr_assert(trec_emit(&trec, &b) == CKR_OK);
	displace(&f, STORE_TOKEN, buffer_bytes(&b));
	cr_assert(front_sync(&f) == CKR_DEVICE_REMOVED);
	cr_assert(front_sync(&f) == CKR_OK && f.n == 0);
	cr_assert(set_label(&f, o, "x", NULL) == CKR_DEVICE_ERROR);
	keyring_token_ops.obj_free(f.tok, o);
	front_close(&f);
}

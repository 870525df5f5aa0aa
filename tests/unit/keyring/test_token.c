/* A token's life: initialization, PINs, objects, two processes' views, loss. */
#include "fixture.h"

#include <errno.h>

#include "ring.h"
#include "soft.h"

TestSuite(token, .init = fresh_session);

Test(token, uninitialized)
{
	struct front f;
	struct token_info info;

	front_open(&f, "session", NULL);
	cr_assert(keyring_token_ops.probe(f.tok) == CKR_OK);
	cr_assert(keyring_token_ops.info(f.tok, &info) == CKR_OK);
	cr_assert(!(info.flags & CKF_TOKEN_INITIALIZED));
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_TOKEN_NOT_RECOGNIZED);
	front_close(&f);
}

Test(token, init_and_info)
{
	struct front f, other;
	struct token_info info;

	front_open(&f, "session", NULL);
	init_token(&f, false);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_USER_PIN_NOT_INITIALIZED);
	front_open(&other, "session", NULL);
	cr_assert(keyring_token_ops.info(other.tok, &info) == CKR_OK);
	cr_assert(info.flags & CKF_TOKEN_INITIALIZED);
	cr_assert(info.flags & CKF_LOGIN_REQUIRED);
	cr_assert(!(info.flags & CKF_USER_PIN_INITIALIZED));
	cr_assert_str_eq(info.label, "test token");
	front_close(&f);
	front_close(&other);
}

Test(token, pins_count_and_lock)
{
	struct front f;
	struct token_info info;

	front_open(&f, "session", "pin-tries", "2", NULL);
	init_token(&f, true);
	cr_assert(login(&f, TOKEN_USER, "wrong") == CKR_PIN_INCORRECT);
	cr_assert(keyring_token_ops.info(f.tok, &info) == CKR_OK);
	cr_assert(info.flags & CKF_USER_PIN_COUNT_LOW);
	cr_assert(info.flags & CKF_USER_PIN_FINAL_TRY);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_OK);
	keyring_token_ops.logout(f.tok);
	cr_assert(login(&f, TOKEN_USER, "") == CKR_PIN_INCORRECT);
	cr_assert(login(&f, TOKEN_USER, "wrong") == CKR_PIN_INCORRECT);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_PIN_LOCKED);
	cr_assert(keyring_token_ops.info(f.tok, &info) == CKR_OK);
	cr_assert(info.flags & CKF_USER_PIN_LOCKED);
	cr_assert(login(&f, TOKEN_SO, "so-pin") == CKR_OK);
	cr_assert(keyring_token_ops.init_pin(f.tok, STR("5678")) == CKR_OK);
	keyring_token_ops.logout(f.tok);
	cr_assert(login(&f, TOKEN_USER, "5678") == CKR_OK);
	front_close(&f);
}

Test(token, set_pin)
{
	struct front f;

	front_open(&f, "session", NULL);
	init_token(&f, true);
	cr_assert(keyring_token_ops.set_pin(f.tok, TOKEN_USER, STR("1234"), STR("123")) == CKR_PIN_LEN_RANGE);
	cr_assert(keyring_token_ops.set_pin(f.tok, TOKEN_USER, STR("4321"), STR("abcd")) == CKR_PIN_INCORRECT);
	cr_assert(keyring_token_ops.set_pin(f.tok, TOKEN_USER, STR("1234"), STR("abcd")) == CKR_OK);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_PIN_INCORRECT);
	cr_assert(login(&f, TOKEN_USER, "abcd") == CKR_OK);
	cr_assert(keyring_token_ops.reauth(f.tok, NULL, STR("abcd")) == CKR_OK);
	front_close(&f);
}

Test(token, objects_of_another)
{
	struct front f, other;
	struct token_obj *o;

	front_open(&f, "session", NULL);
	init_token(&f, true);
	front_open(&other, "session", NULL);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(make_data(&f, "one", 100, false, &o) == CKR_OK);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(f.puts == 0); /* what it made itself counts as told */
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(front_find(&other, "one"));
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.puts == 1);

	cr_assert(set_label(&f, o, "two", NULL) == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(front_find(&other, "two") && !front_find(&other, "one"));

	cr_assert(keyring_token_ops.destroy(f.tok, o) == CKR_OK);
	cr_assert(keyring_token_ops.destroy(f.tok, o) == CKR_OBJECT_HANDLE_INVALID);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 0 && other.drops == 1);
	keyring_token_ops.obj_free(f.tok, o);
	front_close(&f);
	front_close(&other);
}

Test(token, private_objects_after_login_only)
{
	struct front f, other;

	front_open(&f, "session", NULL);
	init_token(&f, true);
	cr_assert(make_data(&f, "secret", 10, true, NULL) == CKR_USER_NOT_LOGGED_IN);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(make_data(&f, "secret", 10, true, NULL) == CKR_OK);

	front_open(&other, "session", NULL);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 0);
	cr_assert(login(&other, TOKEN_SO, "so-pin") == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 0);
	keyring_token_ops.logout(other.tok);
	cr_assert(login(&other, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(front_find(&other, "secret"));
	front_close(&f);
	front_close(&other);
}

Test(token, pair_signs_and_halves_go_alone)
{
	struct front f, other;
	struct token_obj *pair[2];
	struct scheme scheme = {.type = CKM_ECDSA};
	struct token_op *op;
	uint8_t hash[32] = {1}, sig[72];
	struct outbuf out = {.ptr = sig, .cap = sizeof sig};
	size_t max;

	front_open(&f, "session", NULL);
	init_token(&f, true);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(make_pair(&f, "pair", pair) == CKR_OK);
	cr_assert(keyring_token_ops.op_begin(f.tok, OP_SIGN, &scheme, pair[1], &op, &max) == CKR_OK);
	cr_assert(keyring_token_ops.op_finish(op, BYTES_OF(hash), &out) == CKR_OK);
	cr_assert(out.len == 64);
	keyring_token_ops.op_free(op);

	front_open(&other, "session", NULL);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 1);
	/* the public half is changed and destroyed by who can't open the private one */
	cr_assert(set_label(&other, other.told[0], "renamed", NULL) == CKR_OK);
	cr_assert(front_destroy(&other, other.told[0]) == CKR_OK);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(f.drops == 1);
	cr_assert(login(&other, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 1 && has_label(other.told[0], "pair"));
	cr_assert(memcmp(other.told[0]->id, pair[1]->id, 16) == 0);
	cr_assert(front_destroy(&other, other.told[0]) == CKR_OK);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(f.drops == 2);
	keyring_token_ops.obj_free(f.tok, pair[0]);
	keyring_token_ops.obj_free(f.tok, pair[1]);
	front_close(&f);
	front_close(&other);
}

Test(token, pin_none)
{
	struct front f;
	struct token_info info;

	front_open(&f, "session", "pin", "none", NULL);
	init_token(&f, false);
	cr_assert(keyring_token_ops.info(f.tok, &info) == CKR_OK);
	cr_assert(!(info.flags & CKF_LOGIN_REQUIRED));
	cr_assert(make_data(&f, "secret", 10, true, NULL) == CKR_OK);
	front_close(&f);
	front_open(&f, "session", NULL);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(front_find(&f, "secret"));
	keyring_token_ops.logout(f.tok);
	cr_assert(front_sync(&f) == CKR_OK);
	cr_assert(f.puts == 2);
	front_close(&f);
}

Test(token, made_anew)
{
	struct front f, other;
	key_serial_t old;

	front_open(&f, "session", NULL);
	front_open(&other, "session", NULL);
	init_token(&f, true);
	cr_assert(make_data(&f, "one", 10, false, NULL) == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK && other.n == 1);
	old = kr(&f)->store.ring;
	cr_assert(keyring_token_ops.init_token(f.tok, STR("wrong"), (const uint8_t *)"                                ") ==
		  CKR_PIN_INCORRECT);
	cr_assert(kr(&f)->store.ring == old);
	init_token(&f, false);
	cr_assert(kr(&f)->store.ring != old);
	cr_assert(front_sync(&other) == CKR_DEVICE_REMOVED);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 0);
	cr_assert(login(&other, TOKEN_USER, "1234") == CKR_USER_PIN_NOT_INITIALIZED);
	front_close(&f);
	front_close(&other);
}

Test(token, ring_taken_away)
{
	struct front f;

	front_open(&f, "session", NULL);
	init_token(&f, true);
	cr_assert(make_data(&f, "one", 10, false, NULL) == CKR_OK);
	cr_assert(keyctl_unlink(kr(&f)->store.ring, KEY_SPEC_SESSION_KEYRING) == 0);
	cr_assert(front_sync(&f) == CKR_DEVICE_REMOVED);
	cr_assert(keyring_token_ops.probe(f.tok) == CKR_TOKEN_NOT_PRESENT);
	cr_assert(front_sync(&f) == CKR_TOKEN_NOT_PRESENT);
	init_token(&f, true);
	cr_assert(keyring_token_ops.probe(f.tok) == CKR_OK);
	front_close(&f);
}

Test(token, keys_vanish_expire_and_break)
{
	struct front f, other;
	struct token_obj *o[4];
	key_serial_t key;
	const char *type;

	front_open(&f, "session", NULL);
	front_open(&other, "session", NULL);
	init_token(&f, false);
	for (size_t i = 0; i < 4; i++)
		cr_assert(make_data(&f, (const char *[]){"a", "b", "c", "d"}[i], 10, false, &o[i]) == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK && other.n == 4);
	cr_assert(store_find_record(&kr(&f)->store, o[0]->id, &key, &type) == 0);
	cr_assert(keyctl_revoke(key) == 0);
	cr_assert(store_find_record(&kr(&f)->store, o[1]->id, &key, &type) == 0);
	cr_assert(keyctl_invalidate(key) == 0);
	cr_assert(store_find_record(&kr(&f)->store, o[2]->id, &key, &type) == 0);
	cr_assert(keyctl_update(key, "junk", 4) == 0);
	front_close(&other);
	front_open(&other, "session", NULL);
	cr_assert(front_sync(&other) == CKR_OK);
	cr_assert(other.n == 1 && front_find(&other, "d"));
	cr_assert(keyring_token_ops.destroy(f.tok, o[0]) == CKR_OBJECT_HANDLE_INVALID);
	cr_assert(set_label(&f, o[1], "x", NULL) == CKR_OBJECT_HANDLE_INVALID);
	cr_assert(set_label(&f, o[2], "x", NULL) == CKR_DEVICE_ERROR);
	cr_assert(set_label(&f, o[3], "x", NULL) == CKR_OK);
	for (size_t i = 0; i < 4; i++)
		keyring_token_ops.obj_free(f.tok, o[i]);
	front_close(&f);
	front_close(&other);
}

/* While the SO is logged in, private objects of a token without a PIN aren't told; after it they are again. */
Test(token, pin_none_and_the_so)
{
	struct front f, other;

	front_open(&f, "session", "pin", "none", NULL);
	init_token(&f, false);
	cr_assert(make_data(&f, "secret", 10, true, NULL) == CKR_OK);
	front_open(&other, "session", NULL);
	cr_assert(login(&other, TOKEN_SO, "so-pin") == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK && other.n == 0);
	keyring_token_ops.logout(other.tok);
	cr_assert(front_sync(&other) == CKR_OK && front_find(&other, "secret"));
	/* once the SO has set a PIN, who used the token without one loses it */
	cr_assert(login(&f, TOKEN_SO, "so-pin") == CKR_OK);
	cr_assert(keyring_token_ops.init_pin(f.tok, STR("1234")) == CKR_OK);
	cr_assert(front_sync(&other) == CKR_DEVICE_REMOVED);
	cr_assert(front_sync(&other) == CKR_OK && other.n == 0);
	cr_assert(login(&other, TOKEN_USER, "1234") == CKR_OK);
	cr_assert(front_sync(&other) == CKR_OK && front_find(&other, "secret"));
	front_close(&f);
	front_close(&other);
}

static long no_update(key_serial_t key, const void *payload, size_t len)
{
	(void)key;
	(void)payload;
	(void)len;
	errno = ENOMEM;
	return -1;
}

/* Setting a PIN unlocks it in the same commit: the counter isn't written. */
Test(token, a_new_pin_needs_no_counter)
{
	static struct kr_sys sys;
	struct front f;
	struct token_info info;

	front_open(&f, "session", "pin-tries", "1", NULL);
	init_token(&f, true);
	cr_assert(keyring_token_ops.info(f.tok, &info) == CKR_OK);
	cr_assert((info.flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW)) == CKF_USER_PIN_FINAL_TRY);
	cr_assert(login(&f, TOKEN_USER, "wrong") == CKR_PIN_INCORRECT);
	cr_assert(login(&f, TOKEN_USER, "1234") == CKR_PIN_LOCKED);
	cr_assert(login(&f, TOKEN_SO, "so-pin") == CKR_OK);
	sys = kr_sys_kernel;
	sys.update = no_update;
	kr_sys = &sys;
	cr_assert(keyring_token_ops.init_pin(f.tok, STR("5678")) == CKR_OK);
	keyring_token_ops.logout(f.tok);
	cr_assert(login(&f, TOKEN_USER, "5678") == CKR_DEVICE_MEMORY); /* what can't be counted isn't tried */
	kr_sys = &kr_sys_kernel;
	cr_assert(login(&f, TOKEN_USER, "5678") == CKR_OK);
	front_close(&f);
}

/* The front can't take an object: it is offered again, with or without a login. */
static CK_RV put_nothing(void *ctx, struct token_obj *obj)
{
	struct front *f = ctx;

	keyring_token_ops.obj_free(f->tok, obj);
	return CKR_HOST_MEMORY;
}

static void drop_nothing(void *ctx, const uint8_t id[16])
{
	(void)ctx;
	(void)id;
}

Test(token, told_again_after_a_failure)
{
	struct front f, other;
	struct token_view view = {.put = put_nothing, .drop = drop_nothing, .ctx = &other};

	front_open(&f, "session", NULL);
	init_token(&f, false);
	cr_assert(make_data(&f, "one", 10, false, NULL) == CKR_OK);
	front_open(&other, "session", NULL);
	cr_assert(keyring_token_ops.sync(other.tok, &view) == CKR_HOST_MEMORY);
	cr_assert(front_sync(&other) == CKR_OK && front_find(&other, "one"));
	front_close(&f);
	front_close(&other);
}

/* A C_InitToken that fails leaves a token that was pulled out pulled out. */
Test(token, failed_init_of_a_lost_token)
{
	struct front f;

	front_open(&f, "session", NULL);
	init_token(&f, false);
	cr_assert(keyctl_unlink(kr(&f)->store.ring, KEY_SPEC_SESSION_KEYRING) == 0);
	cr_assert(front_sync(&f) == CKR_DEVICE_REMOVED);
	cr_assert(keyring_token_ops.init_token(f.tok, STR("123"), (const uint8_t *)"                                ") ==
		  CKR_PIN_INCORRECT);
	cr_assert(keyring_token_ops.probe(f.tok) == CKR_TOKEN_NOT_PRESENT);
	front_close(&f);
}

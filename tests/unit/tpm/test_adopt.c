/* Keys that others made, and keys of ours that others take. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "adopt.h"
#include "export.h"
#include "op.h"
#include "rig.h"
#include "soft.h"
#include "tss2key.h"

static struct rig rig;

static void start(void)
{
	rig_start(&rig, NULL, NULL);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(adopt, .init = start, .fini = stop, .timeout = 120);

/* ---- another program's keys ---- */

#define PAIR                                                                                                           \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | \
	 TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT)

/* A key to be made; all zero: ECC P-256, any use, empty authValue, below the owner's primary. */
struct recipe {
	TPM2_ALG_ID type;              /* 0: ECC */
	TPMA_OBJECT without, and;      /* attributes besides PAIR's */
	TPM2_ALG_ID scheme, hash;      /* 0: none */
	const char *auth, *description;
	TPM2_HANDLE parent;            /* 0: the owner's primary */
	bool rsa_parent;
	TPM2_HANDLE persist;           /* where it is to stay, instead of being a file's */
};

static void fill_template(const struct recipe *r, TPMT_PUBLIC *p)
{
	p->type = r->type ? r->type : TPM2_ALG_ECC;
	p->nameAlg = TPM2_ALG_SHA256;
	p->objectAttributes = (PAIR & ~r->without) | r->and;
	if (p->type == TPM2_ALG_ECC) {
		p->parameters.eccDetail = (TPMS_ECC_PARMS){
			.symmetric.algorithm = TPM2_ALG_NULL, .curveID = TPM2_ECC_NIST_P256,
			.kdf.scheme = TPM2_ALG_NULL, .scheme.scheme = r->scheme ? r->scheme : TPM2_ALG_NULL,
			.scheme.details.ecdsa.hashAlg = r->hash,
		};
		return;
	}
	p->parameters.rsaDetail = (TPMS_RSA_PARMS){
		.symmetric.algorithm = TPM2_ALG_NULL, .keyBits = 2048,
		.scheme.scheme = r->scheme ? r->scheme : TPM2_ALG_NULL, .scheme.details.rsassa.hashAlg = r->hash,
	};
}

struct making {
	const struct recipe *recipe;
	struct parent *parent;
	struct tss2_key key;
};

static CK_RV make_body(struct conn *c, void *arg)
{
	struct making *m = arg;
	const char *auth = m->recipe->auth ? m->recipe->auth : "";
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth.size = (uint16_t)strlen(auth)};
	TPM2B_PUBLIC tmpl = {0};
	struct create_req req = {.sensitive = &sensitive, .tmpl = &tmpl};
	struct entity parent, owner, loaded;
	struct storage *storage;

	memcpy(sensitive.sensitive.userAuth.buffer, auth, strlen(auth));
	fill_template(m->recipe, &tmpl.publicArea);
	TRY(parent_storage(c, m->parent, &storage));
	TRY(handles_storage(c, storage, &parent));
	TRY(tpm2_create(c, &parent, NULL, &req, &m->key.public, &m->key.private));
	if (!m->recipe->persist)
		return CKR_OK;
	TRY(tpm2_load(c, &parent, NULL, &m->key.public, &m->key.private, &loaded));
	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	return tpm2_evict_control(c, &owner, NULL, &loaded, m->recipe->persist);
}

/* By a connection of its own, as another program would. */
static void make(const struct recipe *r, struct tss2_key *ret)
{
	struct making m = {.recipe = r};
	const struct conn_conf conf = {.slot = "other", .tcti = rig.tpm.tcti};
	struct conn *c;

	m.key.parent = r->parent ? r->parent : TPM2_RH_OWNER;
	m.key.rsa_parent = r->rsa_parent;
	m.key.empty_auth = !r->auth;
	if (r->description)
		cr_assert(tss2_key_describe(&m.key, BYTES(r->description, strlen(r->description))));
	cr_assert_eq(parent_given(m.key.parent, r->rsa_parent, &m.parent), CKR_OK);
	cr_assert_eq(conn_new(&conf, &c), CKR_OK);
	cr_assert_eq(conn_run(c, RC_GEN, make_body, &m), CKR_OK);
	conn_free(c);
	parent_unref(m.parent);
	*ret = m.key;
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", rig.dir, name);
	return path;
}

/* Replaced as careful programs do it. */
static void put_file(const char *name, struct bytes content)
{
	char temp[160];
	FILE *f;

	snprintf(temp, sizeof temp, "%s.new", path_of(name));
	f = fopen(temp, "w");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(content.ptr, 1, content.len, f), content.len);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(rename(temp, path_of(name)), 0);
}

static void put_key(const char *name, const struct tss2_key *k)
{
	struct buffer pem CLEANUP(buffer_done);

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	cr_assert_eq(tss2_key_emit(k, &pem), CKR_OK);
	put_file(name, buffer_bytes(&pem));
}

static void make_file(const char *name, const struct recipe *r)
{
	struct tss2_key k;

	make(r, &k);
	put_key(name, &k);
}

static void make_persistent(TPM2_HANDLE handle, struct recipe r)
{
	struct tss2_key k;

	r.persist = handle;
	make(&r, &k);
}

static void set(const char *key, const char *value)
{
	cr_assert_eq(conf_section_add(rig.conf, key, value, 9), CKR_OK);
}

/* `keys`, of names in the rig's directory. */
static void set_files(const char *a, const char *b)
{
	char value[300];

	snprintf(value, sizeof value, "%s", path_of(a));
	if (b)
		snprintf(value + strlen(value), sizeof value - strlen(value), ", %s", path_of(b));
	set("keys", value);
}

/* A token that was initialized with the settings so far. */
static void begin(void)
{
	rig_reopen(&rig);
	rig_init(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
}

static struct token_obj *private_of(const char *label)
{
	return rig_find(&rig, CKO_PRIVATE_KEY, label);
}

/* ---- signing ---- */

static CK_RV try_op(enum op_kind kind, const struct scheme *s, const char *label)
{
	struct token_op *op;
	size_t max;
	CK_RV rv = tpm_token_ops.op_begin(rig.tok, kind, s, private_of(label), &op, &max);

	if (rv == CKR_OK)
		tpm_token_ops.op_free(op);
	return rv;
}

static void verify(const struct scheme *s, const struct token_obj *public, struct bytes digest, struct outbuf *sig)
{
	struct soft_key *k;
	struct soft_op *op;
	size_t max;

	cr_assert_eq(soft_key_new(public->attrs, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_VERIFY, s, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, digest, sig), CKR_OK);
	soft_op_free(op);
	soft_key_unref(k);
}

/* auth NULL: none is given. */
static CK_RV sign(const struct scheme *s, const char *label, const char *auth)
{
	static const uint8_t digest[64] = {1, 2, 3};
	const struct bytes in = BYTES(digest, s->hash ? s->hash->size : 32);
	uint8_t sig[512];
	struct outbuf out = {.ptr = sig, .cap = sizeof sig};
	struct token_op *op;
	size_t max;
	CK_RV rv;

	cr_assert_not_null(private_of(label), "%s", label);
	TRY(tpm_token_ops.op_begin(rig.tok, OP_SIGN, s, private_of(label), &op, &max));
	rv = auth ? tpm_token_ops.reauth(rig.tok, op, BYTES(auth, strlen(auth))) : CKR_OK;
	if (rv == CKR_OK)
		rv = tpm_token_ops.op_finish(op, in, &out);
	tpm_token_ops.op_free(op);
	if (rv == CKR_OK)
		verify(s, rig_find(&rig, CKO_PUBLIC_KEY, label), in, &out);
	return rv;
}

static const struct scheme ecdsa = {.type = CKM_ECDSA};

static struct scheme rsa_with(enum hash_id hash)
{
	return (struct scheme){.type = CKM_RSA_PKCS, .hash = &crypto_hashes[hash]};
}

/* ---- settings ---- */

static void refused(const char *key, const char *value)
{
	struct conf_section *conf = conf_section_new("bad", "test.conf", 1);
	struct adopted *a = NULL;

	cr_assert_eq(conf_section_add(conf, key, value, 2), CKR_OK);
	cr_assert_eq(adopted_new(conf, &a), CKR_ARGUMENTS_BAD, "%s = %s", key, value);
	conf_section_free(conf);
}

Test(adopt_settings, mistakes)
{
	char many[64 * 12 + 12] = "";

	refused("keys", "relative.tpm");
	refused("keys", "/a /b/../c ./d");
	refused("keys", "/a, /b /a");
	refused("persistent", "81000001");
	refused("persistent", "0x8100001");
	refused("persistent", "0x810000011");
	refused("persistent", "0x80000001");
	refused("persistent", "0x8100000g");
	refused("persistent", "0x81000001 0x81000002, 0x81000001");
	refused("persistent-auth", "maybe");
	for (int i = 0; i < 65; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "0x81%06x ", i);
	refused("persistent", many);
}

Test(adopt_settings, none)
{
	struct conf_section *conf = conf_section_new("empty", "test.conf", 1);
	struct adopted *a = (void *)1;

	cr_assert_eq(conf_section_add(conf, "keys", " , ", 2), CKR_OK);
	cr_assert_eq(adopted_new(conf, &a), CKR_OK);
	cr_assert_null(a);
	conf_section_free(conf);
}

/* ---- files ---- */

static void check_flags(const struct token_obj *o, const CK_ATTRIBUTE_TYPE *types, size_t n, bool value)
{
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(attrs_get_bool(o->attrs, types[i], !value), value, "0x%lx", types[i]);
}

#define CHECK_FLAGS(o, value, ...)                                                                                     \
	check_flags(o, (const CK_ATTRIBUTE_TYPE[]){__VA_ARGS__},                                                       \
		    sizeof((const CK_ATTRIBUTE_TYPE[]){__VA_ARGS__}) / sizeof(CK_ATTRIBUTE_TYPE), value)

Test(adopt, empty_auth_needs_no_login)
{
	struct token_obj *public, *private;
	struct bytes a, b;
	uint64_t before;

	make_file("my.key.tpm", &(struct recipe){.and = TPMA_OBJECT_NODA});
	set_files("my.key.tpm", NULL);
	begin();
	public = rig_find(&rig, CKO_PUBLIC_KEY, "my.key");
	private = private_of("my.key");
	cr_assert_not_null(public);
	cr_assert_not_null(private);
	CHECK_FLAGS(public, false, CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_LOCAL);
	CHECK_FLAGS(private, false, CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_LOCAL,
		    CKA_EXTRACTABLE, CKA_ALWAYS_AUTHENTICATE, CKA_DECRYPT);
	CHECK_FLAGS(private, true, CKA_TOKEN, CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_SIGN,
		    CKA_DERIVE);
	cr_assert(attrs_get(public->attrs, CKA_ID, &a));
	cr_assert(attrs_get(private->attrs, CKA_ID, &b));
	cr_assert(a.len == 20 && bytes_equal(a, b));
	cr_assert(attrs_get(private->attrs, CKA_SIGNET_PLACE, &a));
	cr_assert(bytes_equal(a, BYTES("tpm", 3)));
	cr_assert_not(attrs_has(private->attrs, CKA_ALLOWED_MECHANISMS));
	before = rig_commands(rig.tok);
	cr_assert_eq(try_op(OP_SIGN, &ecdsa, "my.key"), CKR_OK);
	cr_assert_eq(rig_commands(rig.tok), before);
	cr_assert_eq(sign(&ecdsa, "my.key", NULL), CKR_OK);
	before = rig_commands(rig.tok);
	cr_assert_eq(sign(&ecdsa, "my.key", NULL), CKR_OK);
	cr_assert_leq(rig_commands(rig.tok), before + 2);
}

/* On a protected bus an empty authValue keys nothing: the session is salted. */
Test(adopt, empty_auth_on_a_protected_bus)
{
	const struct scheme sha512 = rsa_with(HASH_SHA512);

	make_file("rsa", &(struct recipe){.type = TPM2_ALG_RSA, .description = "Müller's"});
	set_files("rsa", NULL);
	set("bus", "protected");
	begin();
	cr_assert_eq(sign(&sha512, "Müller's", NULL), CKR_OK);
}

/* With a key of others, bad padding is as silent as with the token's own. */
Test(adopt, decrypts)
{
	const struct scheme pkcs1 = {.type = CKM_RSA_PKCS};
	uint8_t cipher[256], text[2][256], garbage[256] = {1};
	struct outbuf c = {.ptr = cipher, .cap = sizeof cipher}, plain = {.ptr = text[0], .cap = sizeof text[0]},
		      again = {.ptr = text[1], .cap = sizeof text[1]};
	struct soft_key *k;
	struct soft_op *op;
	size_t max;

	make_file("rsa", &(struct recipe){.type = TPM2_ALG_RSA});
	set_files("rsa", NULL);
	begin();
	cr_assert_eq(soft_key_new(rig_find(&rig, CKO_PUBLIC_KEY, "rsa")->attrs, &k), CKR_OK);
	cr_assert_eq(soft_op_begin(OP_ENCRYPT, &pkcs1, k, &op, &max), CKR_OK);
	cr_assert_eq(soft_op_finish(op, BYTES("a message", 9), &c), CKR_OK);
	soft_op_free(op);
	soft_key_unref(k);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, &pkcs1, private_of("rsa"), BYTES(cipher, c.len), &plain), CKR_OK);
	cr_assert(bytes_equal(BYTES(plain.ptr, plain.len), BYTES("a message", 9)));
	plain.len = 0;
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, &pkcs1, private_of("rsa"), BYTES_OF(garbage), &plain), CKR_OK);
	cr_assert_eq(rig_op(rig.tok, OP_DECRYPT, &pkcs1, private_of("rsa"), BYTES_OF(garbage), &again), CKR_OK);
	cr_assert(bytes_equal(BYTES(plain.ptr, plain.len), BYTES(again.ptr, again.len)));
}

Test(adopt, ids_are_the_same_everywhere)
{
	uint8_t id[16];

	make_file("k", &(struct recipe){0});
	set_files("k", NULL);
	begin();
	memcpy(id, private_of("k")->id, sizeof id);
	rig_reopen(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(memcmp(id, private_of("k")->id, sizeof id), 0);
	cr_assert_neq(memcmp(id, rig_find(&rig, CKO_PUBLIC_KEY, "k")->id, sizeof id), 0);
}

Test(adopt, not_in_an_uninitialized_token)
{
	make_file("k", &(struct recipe){0});
	set_files("k", NULL);
	rig_reopen(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 0);
}

/* A token without a PIN hides nothing, and the key's own authorization is asked for all the same. */
Test(adopt, given_auth_in_a_token_without_pin)
{
	static const char label[33] = "none                            ";

	make_file("k", &(struct recipe){.auth = "key secret", .and = TPMA_OBJECT_NODA});
	set_files("k", NULL);
	set("pin", "none");
	rig_reopen(&rig);
	cr_assert_eq(tpm_token_ops.init_token(rig.tok, PIN_SO, (const uint8_t *)label), CKR_OK);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_USER_NOT_LOGGED_IN);
	cr_assert_eq(sign(&ecdsa, "k", "wrong"), CKR_PIN_INCORRECT);
	cr_assert_eq(sign(&ecdsa, "k", "key secret"), CKR_OK);
}

Test(adopt, given_auth)
{
	struct token_op *op;
	size_t max;

	make_file("k", &(struct recipe){.auth = "key secret", .and = TPMA_OBJECT_NODA});
	set_files("k", NULL);
	begin();
	cr_assert_null(private_of("k"));
	cr_assert_not_null(rig_find(&rig, CKO_PUBLIC_KEY, "k"));
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	CHECK_FLAGS(private_of("k"), true, CKA_PRIVATE, CKA_ALWAYS_AUTHENTICATE);
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_USER_NOT_LOGGED_IN);
	cr_assert_eq(sign(&ecdsa, "k", "user-1234"), CKR_PIN_INCORRECT);
	cr_assert_eq(sign(&ecdsa, "k", ""), CKR_PIN_INCORRECT);
	cr_assert_eq(sign(&ecdsa, "k", "longer than any authorization value of a key in any TPM there is or will be"),
		     CKR_PIN_INCORRECT);
	cr_assert_eq(sign(&ecdsa, "k", "key secret"), CKR_OK);
	/* Each operation asks again. */
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_USER_NOT_LOGGED_IN);
	/* A wrong try leaves the operation, which waits for another. */
	cr_assert_eq(tpm_token_ops.op_begin(rig.tok, OP_SIGN, &ecdsa, private_of("k"), &op, &max), CKR_OK);
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, op, BYTES("no", 2)), CKR_PIN_INCORRECT);
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, op, BYTES("key secret", 10)), CKR_OK);
	tpm_token_ops.op_free(op);
	/* The token's own counter has nothing to do with it. */
	cr_assert_eq(tpm_token_ops.reauth(rig.tok, NULL, PIN_USER), CKR_OK);
	tpm_token_ops.logout(rig.tok);
	rig_login(&rig);
	rig.puts = 0;
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.puts, 1);
}

Test(adopt, lockout_of_the_tpm)
{
	CK_RV rv = CKR_PIN_INCORRECT;

	make_file("k", &(struct recipe){.auth = "key secret"});
	set_files("k", NULL);
	begin();
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	for (int i = 0; i < 40 && rv == CKR_PIN_INCORRECT; i++)
		rv = sign(&ecdsa, "k", "wrong");
	cr_assert_eq(rv, CKR_PIN_LOCKED);
	cr_assert_eq(sign(&ecdsa, "k", "key secret"), CKR_PIN_LOCKED);
}

static CK_RV count_body(struct conn *c, void *arg)
{
	const struct conn_properties *p;

	TRY(conn_refresh(c, &p));
	*(uint32_t *)arg = p->lockout_counter;
	return CKR_OK;
}

/* A file that says that its key has no authValue: the machine's counter doesn't pay for that more than once. */
Test(adopt, a_wrong_claim_costs_one_try)
{
	uint32_t count = 0;
	struct tss2_key k;

	make(&(struct recipe){.auth = "key secret"}, &k);
	k.empty_auth = true;
	put_key("k", &k);
	set_files("k", NULL);
	begin();
	for (int i = 0; i < 5; i++)
		cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_DEVICE_ERROR);
	cr_assert_eq(conn_run(((struct tpm_token *)rig.tok)->conn, RC_PROBE, count_body, &count), CKR_OK);
	cr_assert_eq(count, 1);
	/* Mended. */
	k.empty_auth = false;
	put_key("k", &k);
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(&ecdsa, "k", "key secret"), CKR_OK);
}

Test(adopt, below_an_rsa_primary)
{
	make_file("k", &(struct recipe){.rsa_parent = true});
	set_files("k", NULL);
	begin();
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_OK);
}

/* The token's storage key is a primary as well: two transient ones in one sequence. */
Test(adopt, below_another_primary_than_the_token)
{
	struct swtpm_census census;

	make_persistent(0x81000001, (struct recipe){.without = TPMA_OBJECT_DECRYPT});
	make_file("a", &(struct recipe){.auth = "a secret"});
	make_file("b", &(struct recipe){.type = TPM2_ALG_RSA});
	set_files("a", "b");
	begin();
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(sign(&ecdsa, "a", "a secret"), CKR_OK);
		cr_assert_eq(sign(&(struct scheme){.type = CKM_RSA_PKCS, .hash = &crypto_hashes[HASH_SHA1]}, "b", NULL),
			     CKR_OK);
	}
	rig_reopen(&rig);
	census = swtpm_census(&rig.tpm);
	cr_assert_eq(census.objects + census.sessions, 0);
}

Test(adopt, wrong_parent)
{
	struct tss2_key k;

	make(&(struct recipe){0}, &k);
	k.rsa_parent = true;
	put_key("rsa", &k);
	k.rsa_parent = false;
	k.parent = 0x81234567;
	put_key("gone", &k);
	set_files("rsa", "gone");
	begin();
	cr_assert_eq(sign(&ecdsa, "rsa", NULL), CKR_DEVICE_ERROR);
	cr_assert_eq(sign(&ecdsa, "gone", NULL), CKR_DEVICE_ERROR);
	/* That is no reason to think that the token is another TPM's. */
	cr_assert_eq(tpm_token_ops.probe(rig.tok), CKR_OK);
}

Test(adopt, restart_of_the_tpm)
{
	make_file("k", &(struct recipe){0});
	set_files("k", NULL);
	begin();
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_OK);
	swtpm_restart(&rig.tpm);
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_OK);
}

/* ---- what isn't taken ---- */

Test(adopt, unusable_ones_take_nothing_away)
{
	static const struct recipe unusable[] = {
		{.without = TPMA_OBJECT_USERWITHAUTH},
		{.without = TPMA_OBJECT_DECRYPT, .and = TPMA_OBJECT_RESTRICTED, .scheme = TPM2_ALG_ECDSA,
		 .hash = TPM2_ALG_SHA256},
		{.type = TPM2_ALG_RSA, .without = TPMA_OBJECT_DECRYPT, .scheme = TPM2_ALG_RSAPSS,
		 .hash = TPM2_ALG_SHA256},
	};
	char value[1024];

	make_file("good", &(struct recipe){0});
	put_file("text", BYTES("nothing", 7));
	snprintf(value, sizeof value, "%s/none %s /dev/null %s/text %s/good", rig.dir, rig.dir, rig.dir, rig.dir);
	for (size_t i = 0; i < ARRAY_LEN(unusable); i++) {
		char name[8];

		snprintf(name, sizeof name, "bad%zu", i);
		make_file(name, &unusable[i]);
		snprintf(value + strlen(value), sizeof value - strlen(value), " %s", path_of(name));
	}
	set("keys", value);
	begin();
	cr_assert_eq(rig.n_seen, 2);
	cr_assert_eq(sign(&ecdsa, "good", NULL), CKR_OK);
}

/* What the TPM lets a key do is what it may do here. */
Test(adopt, only_what_its_scheme_allows)
{
	const struct scheme sha256 = rsa_with(HASH_SHA256), sha384 = rsa_with(HASH_SHA384);
	const struct scheme raw = {.type = CKM_RSA_X_509};
	const struct scheme pss = {.type = CKM_RSA_PKCS_PSS, .hash = &crypto_hashes[HASH_SHA256],
				   .mgf = &crypto_hashes[HASH_SHA256], .salt_len = 32};
	CK_MECHANISM_TYPE want[] = {CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS};
	struct bytes allowed;

	make_file("fixed", &(struct recipe){.type = TPM2_ALG_RSA, .without = TPMA_OBJECT_DECRYPT,
					    .scheme = TPM2_ALG_RSASSA, .hash = TPM2_ALG_SHA256});
	make_file("signs", &(struct recipe){.type = TPM2_ALG_RSA, .without = TPMA_OBJECT_DECRYPT});
	set_files("fixed", "signs");
	begin();
	CHECK_FLAGS(private_of("fixed"), false, CKA_DECRYPT, CKA_DERIVE);
	cr_assert(attrs_get(private_of("fixed")->attrs, CKA_ALLOWED_MECHANISMS, &allowed));
	cr_assert(bytes_equal(allowed, BYTES_OF(want)));
	cr_assert_eq(sign(&sha256, "fixed", NULL), CKR_OK);
	cr_assert_eq(try_op(OP_SIGN, &sha384, "fixed"), CKR_KEY_FUNCTION_NOT_PERMITTED);
	cr_assert_eq(sign(&sha384, "signs", NULL), CKR_OK);
	for (const char *const *k = (const char *const[]){"fixed", "signs", NULL}; *k; k++) {
		cr_assert_eq(try_op(OP_SIGN, &pss, *k), CKR_KEY_FUNCTION_NOT_PERMITTED);
		cr_assert_eq(try_op(OP_SIGN, &raw, *k), CKR_KEY_FUNCTION_NOT_PERMITTED);
		cr_assert_eq(try_op(OP_DECRYPT, &raw, *k), CKR_KEY_FUNCTION_NOT_PERMITTED);
		/* No DigestInfo: the TPM can't sign it, and nothing can be padded here. */
		cr_assert_eq(sign(&(struct scheme){.type = CKM_RSA_PKCS}, *k, NULL), CKR_DATA_INVALID);
	}
}

Test(adopt, ecdsa_of_one_hash)
{
	struct bytes allowed;

	make_file("k", &(struct recipe){.without = TPMA_OBJECT_DECRYPT, .scheme = TPM2_ALG_ECDSA,
					.hash = TPM2_ALG_SHA256});
	set_files("k", NULL);
	begin();
	CHECK_FLAGS(private_of("k"), false, CKA_DERIVE);
	cr_assert(attrs_get(private_of("k")->attrs, CKA_ALLOWED_MECHANISMS, &allowed));
	cr_assert_eq(allowed.len, 2 * sizeof(CK_MECHANISM_TYPE));
	cr_assert_eq(sign(&ecdsa, "k", NULL), CKR_OK);
}

/* ---- changes ---- */

Test(adopt, files_come_change_and_go)
{
	uint8_t id[16];

	set_files("k", NULL);
	begin();
	cr_assert_eq(rig.n_seen, 0);
	tpm_token_ops.free(rig.tok); /* a bare TPM is for one program at a time */
	rig.tok = rig_open_again(&rig);
	make_file("k", &(struct recipe){0});
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 2);
	memcpy(id, private_of("k")->id, sizeof id);
	rig.puts = 0;
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.puts, 0);
	make_file("k", &(struct recipe){.description = "other"});
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 2);
	cr_assert_null(private_of("k"));
	cr_assert_neq(memcmp(id, private_of("other")->id, sizeof id), 0);
	cr_assert_eq(sign(&ecdsa, "other", NULL), CKR_OK);
	put_file("k", BYTES("rubbish", 7));
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 0);
	cr_assert_eq(unlink(path_of("k")), 0);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig.n_seen, 0);
}

/* ---- persistent handles ---- */

Test(adopt, persistent)
{
	const struct scheme sha256 = rsa_with(HASH_SHA256);
	struct token_info i = {0};
	uint64_t before;

	make_persistent(0x81010001, (struct recipe){0});
	make_persistent(0x81010002, (struct recipe){.type = TPM2_ALG_RSA});
	set("persistent", "0x81010001, 0x81010002 0x8101FFFF");
	begin();
	rig_reopen(&rig);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_OK);
	before = rig_commands(rig.tok);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(rig_commands(rig.tok), before);
	cr_assert_eq(rig.n_seen, 4);
	cr_assert_eq(sign(&ecdsa, "0x81010001", NULL), CKR_OK);
	cr_assert_eq(sign(&sha256, "0x81010002", NULL), CKR_OK);
	before = rig_commands(rig.tok);
	cr_assert_eq(tpm_token_ops.info(rig.tok, &i), CKR_OK);
	cr_assert_leq(rig_commands(rig.tok), before + 2);
}

Test(adopt, persistent_with_auth)
{
	make_persistent(0x81010001, (struct recipe){.auth = "its own", .and = TPMA_OBJECT_NODA});
	set("persistent", "0x81010001");
	set("persistent-auth", "pin");
	begin();
	cr_assert_null(private_of("0x81010001"));
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(&ecdsa, "0x81010001", "wrong"), CKR_PIN_INCORRECT);
	cr_assert_eq(sign(&ecdsa, "0x81010001", "its own"), CKR_OK);
}

/* ---- exporting ---- */

static CK_RV export_to(const struct token_obj *key, const char *auth, const char *name)
{
	struct buffer pem CLEANUP(buffer_done);

	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	TRY(tpm_export_key(rig.tok, key, BYTES(auth, strlen(auth)), &pem));
	put_file(name, buffer_bytes(&pem));
	return CKR_OK;
}

Test(adopt, exported_and_adopted)
{
	const struct scheme sha256 = rsa_with(HASH_SHA256);
	struct token_obj *pair[2];

	set_files("locked", "open");
	begin();
	rig_login(&rig);
	cr_assert_eq(rig_rsa(&rig, "mine", true, true, pair), CKR_OK);
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	cr_assert_eq(export_to(pair[1], "new secret", "locked"), CKR_OK);
	cr_assert_eq(export_to(pair[1], "", "open"), CKR_OK);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(&sha256, "locked", "new secret"), CKR_OK);
	cr_assert_eq(sign(&sha256, "locked", ""), CKR_PIN_INCORRECT);
	tpm_token_ops.logout(rig.tok);
	rig_reopen(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(&sha256, "open", NULL), CKR_OK);
	cr_assert_null(private_of("locked"));
}

Test(adopt, exporting_changes_nothing)
{
	struct buffer pem CLEANUP(buffer_done);
	struct token_obj *pair[2];

	rig_init(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_ec(&rig, P256, "mine", true, true, pair), CKR_OK);
	cr_assert_eq(export_to(pair[1], "x", "k"), CKR_OK);
	cr_assert_eq(export_to(pair[1], "a value that is longer than a digest", "k"), CKR_MECHANISM_PARAM_INVALID);
	buffer_init(&pem, TSS2_KEY_MAX_SIZE);
	cr_assert_eq(tpm_export_key(rig.tok, pair[1], BYTES("\0\0", 2), &pem), CKR_MECHANISM_PARAM_INVALID);
	cr_assert_eq(tpm_export_key(rig.tok, pair[1], BYTES("x\0", 2), &pem), CKR_MECHANISM_PARAM_INVALID);
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
	rig_reopen(&rig);
	rig_login(&rig);
	cr_assert_eq(rig_sync(&rig), CKR_OK);
	cr_assert_eq(sign(&ecdsa, "mine", NULL), CKR_OK);
}

Test(adopt, not_exported)
{
	struct token_obj *pair[2];

	/* Something else stands where the storage key belongs: the token's is a primary that no file can name. */
	make_persistent(0x81000001, (struct recipe){.without = TPMA_OBJECT_DECRYPT});
	make_file("k", &(struct recipe){0});
	set_files("k", NULL);
	begin();
	rig_login(&rig);
	cr_assert_eq(export_to(private_of("k"), "x", "out"), CKR_KEY_NOT_WRAPPABLE);
	cr_assert_eq(rig_ec(&rig, P256, "mine", true, true, pair), CKR_OK);
	cr_assert_eq(export_to(pair[1], "x", "out"), CKR_KEY_NOT_WRAPPABLE);
	cr_assert_eq(export_to(pair[0], "x", "out"), CKR_KEY_NOT_WRAPPABLE);
	tpm_token_ops.obj_free(rig.tok, pair[0]);
	tpm_token_ops.obj_free(rig.tok, pair[1]);
	tpm_token_ops.logout(rig.tok);
}

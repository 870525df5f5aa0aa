/* Thirty faults that were measured in tpm2-pkcs11, the module that people use with TPMs today; each has a test here
 * that is named after it.  Not here: faults of tools that Signet doesn't have (29's other half, tpm2_ptool), and 23's
 * count of commands, which is in tests/fault/test_budget.c. */
#include <dirent.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "tpm.h"

static void up(void)
{
	harness_up();
	only_kind(&kind_tpm);
	log_start();
	library_up();
}

TestSuite(thirty, .init = up, .fini = harness_down, .timeout = 180);

static uint8_t data[64] = "data", out[600];

static void again(void)
{
	OK(C_Finalize, NULL);
	library_up();
	h.session = open_session(RW);
}

static void again_as_user(void)
{
	again();
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
}

/* The token's own profile objects are always there. */
static CK_ULONG objects(void)
{
	static const CK_OBJECT_CLASS classes[] = {CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY};
	CK_ULONG n = 0;

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		n += find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, classes[i])), NULL);
	return n;
}

static CK_RV sign_with(CK_OBJECT_HANDLE key)
{
	CK_ULONG n = sizeof out;

	OK(C_SignInit, h.session, MECH(CKM_ECDSA), key);
	return CALL(C_Sign, h.session, data, 32, out, &n);
}

Test(thirty, f01_a_bad_session_handle_crashes_the_process)
{
	session_up();
	const CK_SESSION_HANDLE old = h.session;
	const CK_SESSION_HANDLE bad[] = {0, 1000000, ~0UL, old + 1, old << 32, 0x7fffffffffffffffUL};
	CK_SESSION_INFO info;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo, bad[i], &info);
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_FindObjectsInit, bad[i], NULL, 0);
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_SignInit, bad[i], MECH(CKM_ECDSA), 1);
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_CloseSession, bad[i]);
	}
	again();
	if (h.session != old)
		EXPECT(CKR_SESSION_HANDLE_INVALID, C_Logout, old);
}

Test(thirty, f02_setpin_with_a_wrong_old_pin_says_ok)
{
	static CK_UTF8CHAR wrong[] = "not the pin", new[] = "the new pin";

	token_up();
	CK_SESSION_HANDLE s = open_session(RW);
	EXPECT(CKR_PIN_INCORRECT, C_SetPIN, s, wrong, sizeof wrong - 1, new, sizeof new - 1);
	is(login(s, CKU_USER, (char *)new), CKR_PIN_INCORRECT);
	is(login(s, CKU_USER, USER_PIN), CKR_OK);
}

Test(thirty, f03_a_locked_pin_locks_the_machine_and_is_told_wrongly)
{
	h.extra = "pin-tries = 3\n";
	write_config();
	OK(C_Finalize, NULL);
	library_up();
	session_up();
	CK_OBJECT_HANDLE key = ec_pair(h.session, true, "ec").priv;
	OK(C_Logout, h.session);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), NULL) == 0);
	for (int i = 0; i < 3; i++)
		is(login(h.session, CKU_USER, "wrong pin"), CKR_PIN_INCORRECT);
	is(login(h.session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
	cr_assert(token_flags() & CKF_USER_PIN_LOCKED);
	/* The SO and the machine know nothing of it; harness_down() holds the TPM's own counter against 0. */
	is(login(h.session, CKU_SO, SO_PIN), CKR_OK);
	OK(C_InitPIN, h.session, (CK_UTF8CHAR *)USER_PIN, strlen(USER_PIN));
	OK(C_Logout, h.session);
	cr_assert(!(token_flags() & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY)));
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &key) == 1);
	is(sign_with(key), CKR_OK);
}

Test(thirty, f04_the_second_pair_or_the_fourth_key_finds_no_room)
{
	struct pair p[6];

	session_up();
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		p[i] = ec_pair(h.session, i % 2, "ec");
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < ARRAY_LEN(p); i++)
			is(sign_with(p[i].priv), CKR_OK);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)),
	   TEMPLATE(A_BOOL(CKA_SIGN, true), A_BOOL(CKA_ALWAYS_AUTHENTICATE, true)), &p[0].pub, &p[0].priv);
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), p[0].priv);
	is(login(h.session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
	CK_ULONG n = sizeof out;
	OK(C_Sign, h.session, data, 32, out, &n);
}

/* Of the group that owns the TPM, if it is a device. */
static bool become_nobody(void)
{
	struct stat st;
	gid_t group = stat("/dev/tpmrm0", &st) == 0 ? st.st_gid : 65534;

	return setgroups(1, &group) == 0 && setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
}

/* A user without any directory of ours, under an id of his own. */
static int fresh_account(void)
{
	char home[96], conf[96];
	CK_UTF8CHAR label[32];
	CK_SLOT_ID slots[4];
	CK_ULONG n = 4;

	snprintf(home, sizeof home, "%s/home", h.dir);
	snprintf(conf, sizeof conf, "%s/fresh.conf", h.dir);
	if (!become_nobody())
		return 10;
	setenv("HOME", home, 1);
	setenv("SIGNET_CONF", conf, 1);
	unsetenv("XDG_DATA_HOME");
	unsetenv("XDG_CONFIG_HOME");
	memset(label, ' ', sizeof label);
	if (h.f->C_Initialize(NULL) != CKR_OK || h.f->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK || n != 1)
		return 11;
	if (h.f->C_InitToken(slots[0], (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label) != CKR_OK)
		return 12;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 13;
}

Test(thirty, f05_a_fresh_account_fails)
{
	char path[96];

	OK(C_Finalize, NULL);
	h.initialized = false;
	snprintf(path, sizeof path, "%s/fresh.conf", h.dir);
	FILE *f = fopen(path, "we");
	fprintf(f, "[slot mine]\ntype = tpm\ntcti = ");
	tpm_way()->tcti(f);
	fprintf(f, "\n");
	fclose(f);
	chmod(path, 0644);
	chmod(h.dir, 0755);
	snprintf(path, sizeof path, "%s/home", h.dir);
	cr_assert(mkdir(path, 0700) == 0 && chown(path, 65534, 65534) == 0);
	int code = in_child(fresh_account);
	cr_assert(code == 0, "step %d", code);
	snprintf(path, sizeof path, "%s/home/.local/share/signet/mine", h.dir);
	struct stat st;
	cr_assert(stat(path, &st) == 0 && st.st_uid == 65534 && (st.st_mode & 0777) == 0700);
}

/* Adds 20 objects; runs in a second process. */
static int insert_twenty(void)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE o;

	if (h.f->C_Initialize(&args) != CKR_OK || h.f->C_OpenSession(h.slot, RW, NULL, NULL, &s) != CKR_OK)
		return 1;
	for (int i = 0; i < 20; i++)
		if (h.f->C_CreateObject(s, TEMPLATE({CKA_CLASS, &class, sizeof class}, A_BOOL(CKA_TOKEN, true),
						    A_TEXT(CKA_LABEL, "theirs")), &o) != CKR_OK)
			return 2;
	return h.f->C_Finalize(NULL) == CKR_OK ? 0 : 3;
}

/* A second process that does it once it is told to.  It is there before this one connects: GLib's D-Bus, by which
 * tpm2-abrmd is reached, doesn't work in a process that was forked after its first use. */
static int go = -1;
static pid_t second_process;

static void prepare_second(void)
{
	int ends[2];
	char byte;

	cr_assert(pipe(ends) == 0);
	second_process = fork();
	cr_assert(second_process >= 0);
	if (second_process == 0)
		_exit(read(ends[0], &byte, 1) == 1 ? insert_twenty() : 9);
	close(ends[0]);
	go = ends[1];
}

static void start_second(void)
{
	cr_assert(write(go, "", 1) == 1);
	close(go);
}

static void await_second(void)
{
	int status;

	cr_assert(waitpid(second_process, &status, 0) == second_process && WIFEXITED(status) && WEXITSTATUS(status) == 0, "0x%x", status);
}

/* Two processes at once take a resource manager: meson runs these with one. */
TestSuite(thirty_managed, .init = up, .fini = harness_down, .timeout = 180);

Test(thirty_managed, f06_two_processes_and_one_loses)
{
	prepare_second();
	token_up();
	h.session = open_session(RW);
	start_second();
	for (int i = 0; i < 20; i++)
		data_object(h.session, true, false, "ours");
	await_second();
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "ours")), NULL) == 20);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "theirs")), NULL) == 20);
}

Test(thirty_managed, f10_what_another_process_made_is_invisible)
{
	prepare_second();
	session_up();
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "theirs")), NULL) == 0);
	start_second();
	await_second();
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "theirs")), NULL) == 20);
}

Test(thirty, f07_the_tokens_settings_are_forgotten_at_the_next_start)
{
	h.extra = "pin = none\n";
	write_config();
	OK(C_Finalize, NULL);
	library_up();
	CK_UTF8CHAR label[32];
	memset(label, ' ', sizeof label);
	OK(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
	cr_assert(!(token_flags() & CKF_LOGIN_REQUIRED));
	h.session = open_session(RW);
	ec_pair(h.session, true, "ec");
	h.extra = NULL; /* the token says it, not the configuration */
	write_config();
	again();
	cr_assert(!(token_flags() & CKF_LOGIN_REQUIRED));
	CK_OBJECT_HANDLE key;
	cr_assert(find(h.session, TEMPLATE(A_ULONG(CKA_CLASS, CKO_PRIVATE_KEY)), &key) == 1);
	is(sign_with(key), CKR_OK);
}

Test(thirty, f08_a_private_data_objects_new_value_is_lost)
{
	uint8_t value[16];

	session_up();
	CK_OBJECT_HANDLE o = data_object(h.session, true, true, "data");
	OK(C_SetAttributeValue, h.session, o, TEMPLATE(A_TEXT(CKA_VALUE, "new")));
	cr_assert(attribute(h.session, o, CKA_VALUE, value, sizeof value) == 3 && memcmp(value, "new", 3) == 0);
	again_as_user();
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "data")), &o) == 1);
	cr_assert(attribute(h.session, o, CKA_VALUE, value, sizeof value) == 3 && memcmp(value, "new", 3) == 0);
}

static int use_in_child(void)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	if (h.f->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 1;
	return h.f->C_Initialize(&args) == CKR_OK && h.f->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

Test(thirty, f09_a_child_breaks_its_parents_connection)
{
	session_up();
	CK_OBJECT_HANDLE key = ec_pair(h.session, false, "ec").priv;
	is(sign_with(key), CKR_OK);
	cr_assert(in_child(use_in_child) == 0);
	is(sign_with(key), CKR_OK);
	OK(C_Logout, h.session);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
}

Test(thirty, f11_pss_isnt_listed_and_has_one_salt_length)
{
	static const CK_ULONG salts[] = {0, 1, 20, 32, 64, 222};

	cr_assert(has_mechanism(CKM_RSA_PKCS_PSS, CKF_SIGN | CKF_VERIFY));
	cr_assert(has_mechanism(CKM_SHA256_RSA_PKCS_PSS, CKF_SIGN | CKF_VERIFY));
	session_up();
	struct pair p = rsa_pair(h.session, true, "rsa");
	for (size_t i = 0; i < ARRAY_LEN(salts); i++) {
		CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, salts[i]};
		CK_ULONG n = sizeof out;

		OK(C_SignInit, h.session, MECH_P(CKM_SHA256_RSA_PKCS_PSS, pss), p.priv);
		OK(C_Sign, h.session, data, sizeof data, out, &n);
		OK(C_VerifyInit, h.session, MECH_P(CKM_SHA256_RSA_PKCS_PSS, pss), p.pub);
		OK(C_Verify, h.session, data, sizeof data, out, n);
	}
	again();
	cr_assert(has_mechanism(CKM_RSA_PKCS_PSS, CKF_SIGN | CKF_VERIFY));
}

Test(thirty, f12_ecdh_is_listed_without_its_flags)
{
	cr_assert(has_mechanism(CKM_ECDH1_DERIVE, CKF_DERIVE | CKF_HW | CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS));
	cr_assert(has_mechanism(CKM_ECDSA, CKF_SIGN | CKF_HW | CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS));
}

Test(thirty, f13_aes_key_generation_is_listed_and_a_stub)
{
	session_up();
	cr_assert(has_mechanism(CKM_AES_KEY_GEN, CKF_GENERATE));
	for (CK_ULONG size = 16; size <= 32; size += 8)
		cr_assert(attribute_ulong(h.session, aes_key(h.session, size), CKA_VALUE_LEN) == size);
}

Test(thirty, f14_the_point_of_p521_isnt_der)
{
	static const uint8_t p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
	struct pair p;

	session_up();
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN), TEMPLATE(A_BYTES(CKA_EC_PARAMS, p521, sizeof p521)),
	   TEMPLATE(A_BOOL(CKA_SIGN, true)), &p.pub, &p.priv);
	cr_assert(attribute(h.session, p.pub, CKA_EC_POINT, out, sizeof out) == 136);
	cr_assert(out[0] == 0x04 && out[1] == 0x81 && out[2] == 0x85 && out[3] == 0x04);
}

static CK_OBJECT_HANDLE derive(CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE peer, bool token)
{
	uint8_t point[80];
	CK_ECDH1_DERIVE_PARAMS params = {.kdf = CKD_NULL, .public_data = point};
	CK_OBJECT_HANDLE o;

	params.public_data_len = attribute(h.session, peer, CKA_EC_POINT, point, sizeof point);
	OK(C_DeriveKey, h.session, MECH_P(CKM_ECDH1_DERIVE, params), key,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
		    A_BOOL(CKA_TOKEN, token)), &o);
	return o;
}

static struct pair deriving_pair(void)
{
	struct pair p;

	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)), TEMPLATE(A_BOOL(CKA_DERIVE, true)), &p.pub,
	   &p.priv);
	return p;
}

Test(thirty, f15_session_objects_become_token_objects)
{
	session_up();
	struct pair p = deriving_pair();
	ec_pair(h.session, false, "ec");
	data_object(h.session, false, true, "data");
	derive(p.priv, p.pub, false);
	OK(C_CloseSession, h.session);
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(objects() == 0, "%lu objects are left", objects());
}

Test(thirty, f16_reinitialization_labels_serials_flags_and_slots)
{
	CK_TOKEN_INFO first, second;
	CK_UTF8CHAR label[32];
	CK_SLOT_ID slots[8];
	CK_ULONG n = 8;

	memset(label, ' ', sizeof label);
	memcpy(label, "twice", 5);
	for (int i = 0; i < 2; i++) {
		OK(C_InitToken, h.slot, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
		OK(C_GetTokenInfo, h.slot, i ? &second : &first);
	}
	cr_assert(memcmp(first.serialNumber, second.serialNumber, 16) != 0);
	cr_assert(memcmp(first.serialNumber, "0000000000000000", 16) != 0);
	cr_assert(!(second.flags & CKF_USER_PIN_INITIALIZED) && (second.flags & CKF_TOKEN_INITIALIZED));
	/* Another token may have the same label. */
	OK(C_InitToken, h.other, (CK_UTF8CHAR *)SO_PIN, strlen(SO_PIN), label);
	OK(C_GetSlotList, CK_TRUE, slots, &n);
	cr_assert(n == 2, "%lu slots, the configuration has two", n);
}

Test(thirty, f17_an_ec_pair_without_parameters_is_half_made)
{
	struct pair p;

	session_up();
	EXPECT(CKR_TEMPLATE_INCOMPLETE, C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	       TEMPLATE(A_BOOL(CKA_TOKEN, true)), TEMPLATE(A_BOOL(CKA_TOKEN, true)), &p.pub, &p.priv);
	cr_assert(objects() == 0);
}

Test(thirty, f18_a_missing_tpm_fails_the_start)
{
	CK_SLOT_ID slots[4];
	CK_ULONG n = 4;
	CK_TOKEN_INFO info;

	OK(C_Finalize, NULL);
	tpm_power_off();
	library_up();
	OK(C_GetSlotList, CK_TRUE, slots, &n);
	cr_assert(n == 1 && slots[0] == h.other, "the other slot works, %lu", n);
	EXPECT(CKR_TOKEN_NOT_PRESENT, C_GetTokenInfo, h.slot, &info);
	tpm_power_on();
	token_up();
}

Test(thirty, f19_a_refused_operation_leaves_its_key_busy)
{
	session_up();
	struct pair p = deriving_pair();

	EXPECT(CKR_KEY_TYPE_INCONSISTENT, C_SignInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DeriveKey, h.session, MECH(CKM_ECDH1_DERIVE), p.priv,
	       TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, CKK_GENERIC_SECRET)),
	       &(CK_OBJECT_HANDLE){0});
	derive(p.priv, p.pub, false);
	OK(C_DestroyObject, h.session, p.priv);
	OK(C_DestroyObject, h.session, p.pub);
}

/* Spoils the records of the store, one of them or all. */
static int spoil_records(bool all)
{
	char path[400];
	int n = 0;

	snprintf(path, sizeof path, "%s/store", h.dir);
	DIR *d = opendir(path);
	cr_assert(d);
	for (struct dirent *e; (e = readdir(d)) && (all || n == 0);) {
		if (strlen(e->d_name) != 32)
			continue;
		snprintf(path, sizeof path, "%s/store/%s", h.dir, e->d_name);
		FILE *f = fopen(path, "r+e");
		cr_assert(f && fseek(f, 40, SEEK_SET) == 0 && fputs("spoilt", f) >= 0);
		fclose(f);
		n++;
	}
	closedir(d);
	return n;
}

Test(thirty, f20_one_damaged_record_takes_all_tokens_down)
{
	session_up();
	for (int i = 0; i < 3; i++)
		data_object(h.session, true, true, "data");
	OK(C_Finalize, NULL);
	cr_assert(spoil_records(false) == 1);
	library_up();
	h.session = open_session(RW);
	is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
	cr_assert(find(h.session, TEMPLATE(A_TEXT(CKA_LABEL, "data")), NULL) == 2);
	cr_assert(log_has("damaged"));
	data_object(h.session, true, true, "data");
}

Test(thirty, f21_cbc_pad_fails_on_updates_of_whole_blocks)
{
	static const CK_ULONG steps[] = {48, 64, 16, 1, 47, 80};
	uint8_t plain[256] = {3}, sealed[300], back[300];
	uint8_t iv[16] = {5};

	session_up();
	CK_OBJECT_HANDLE key = aes_key(h.session, 16);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		CK_ULONG n = sizeof sealed, done = 0, m;

		OK(C_EncryptInit, h.session, MECH_P(CKM_AES_CBC_PAD, iv), key);
		OK(C_Encrypt, h.session, plain, sizeof plain, sealed, &n);
		OK(C_DecryptInit, h.session, MECH_P(CKM_AES_CBC_PAD, iv), key);
		for (CK_ULONG at = 0; at < n; at += steps[i], done += m) {
			m = sizeof back - done;
			OK(C_DecryptUpdate, h.session, sealed + at, MIN(steps[i], n - at), back + done, &m);
		}
		m = sizeof back - done;
		OK(C_DecryptFinal, h.session, back + done, &m);
		cr_assert(done + m == sizeof plain && memcmp(back, plain, sizeof plain) == 0, "steps of %lu", steps[i]);
	}
}

Test(thirty, f22_bad_pkcs1_padding_has_an_error_of_its_own)
{
	uint8_t block[256], sealed[256], first[256], second[256];

	session_up();
	struct pair p = rsa_pair(h.session, false, "rsa");
	for (int kind = 0; kind < 6; kind++) {
		CK_ULONG n = sizeof sealed, a = sizeof first, b = sizeof second;

		/* Good; wrong first byte, type, too short padding, no separator, a zero at once. */
		memset(block, 0xaa, sizeof block);
		block[0] = kind == 1;
		block[1] = kind == 2 ? 1 : 2;
		block[kind == 3 ? 5 : kind == 5 ? 2 : 200] = 0;
		if (kind == 4)
			memset(block + 2, 0xaa, sizeof block - 2);
		OK(C_EncryptInit, h.session, MECH(CKM_RSA_X_509), p.pub);
		OK(C_Encrypt, h.session, block, sizeof block, sealed, &n);
		OK(C_DecryptInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
		OK(C_Decrypt, h.session, sealed, n, first, &a);
		OK(C_DecryptInit, h.session, MECH(CKM_RSA_PKCS), p.priv);
		OK(C_Decrypt, h.session, sealed, n, second, &b);
		cr_assert(a == b && memcmp(first, second, a) == 0, "kind %d isn't stable", kind);
		cr_assert(kind ? a != 55 || memcmp(first, block + 201, a) != 0 : a == 55);
	}
}

Test(thirty, f23_oaep_ignores_the_mask_function)
{
	CK_RSA_PKCS_OAEP_PARAMS mixed = {CKM_SHA256, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, (char *)"label", 5}, other = mixed;
	uint8_t sealed[256];
	CK_ULONG n = sizeof sealed, m = sizeof out;

	session_up();
	struct pair p = rsa_pair(h.session, false, "rsa");
	OK(C_EncryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, mixed), p.pub);
	OK(C_Encrypt, h.session, data, 20, sealed, &n);
	OK(C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, mixed), p.priv);
	OK(C_Decrypt, h.session, sealed, n, out, &m);
	cr_assert(m == 20 && memcmp(out, data, 20) == 0);
	other.mgf = CKG_MGF1_SHA256;
	OK(C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, other), p.priv);
	m = sizeof out;
	EXPECT(CKR_ENCRYPTED_DATA_INVALID, C_Decrypt, h.session, sealed, n, out, &m);
	other = mixed;
	other.source = 7;
	EXPECT(CKR_MECHANISM_PARAM_INVALID, C_DecryptInit, h.session, MECH_P(CKM_RSA_PKCS_OAEP, other), p.priv);
}

Test(thirty, f24_uses_are_mapped_wrongly_and_extractable_is_empty_talk)
{
	struct pair p;
	CK_ULONG n = sizeof out;

	session_up();
	p = deriving_pair(); /* CKA_SIGN is the default of an EC key */
	is(sign_with(p.priv), CKR_OK);
	OK(C_SetAttributeValue, h.session, p.priv, TEMPLATE(A_BOOL(CKA_SIGN, false)));
	EXPECT(CKR_KEY_FUNCTION_NOT_PERMITTED, C_SignInit, h.session, MECH(CKM_ECDSA), p.priv);
	derive(p.priv, p.pub, false);
	OK(C_GenerateKeyPair, h.session, MECH(CKM_EC_KEY_PAIR_GEN),
	   TEMPLATE(A_BYTES(CKA_EC_PARAMS, p256_params, sizeof p256_params)),
	   TEMPLATE(A_BOOL(CKA_SIGN, true), A_BOOL(CKA_EXTRACTABLE, true)), &p.pub, &p.priv);
	CK_OBJECT_HANDLE wrapping;
	OK(C_GenerateKey, h.session, MECH(CKM_AES_KEY_GEN), TEMPLATE(A_ULONG(CKA_VALUE_LEN, 32), A_BOOL(CKA_WRAP, true)),
	   &wrapping);
	OK(C_WrapKey, h.session, MECH(CKM_AES_KEY_WRAP_KWP), wrapping, p.priv, out, &n);
	is(sign_with(p.priv), CKR_OK);
	n = sizeof out;
	EXPECT(CKR_KEY_UNEXTRACTABLE, C_WrapKey, h.session, MECH(CKM_AES_KEY_WRAP_KWP), wrapping,
	       ec_pair(h.session, false, "ec").priv, out, &n);
}

Test(thirty, f25_ecdsa_signatures_vary_in_length)
{
	session_up();
	CK_OBJECT_HANDLE key = ec_pair(h.session, false, "ec").priv;
	for (int i = 0; i < 300; i++) { /* one r in 256 begins with a zero */
		CK_ULONG n = sizeof out;

		data[0] = (uint8_t)i;
		OK(C_SignInit, h.session, MECH(CKM_ECDSA), key);
		OK(C_Sign, h.session, data, 32, out, &n);
		cr_assert(n == 64);
	}
	CK_ULONG n = 63;
	OK(C_SignInit, h.session, MECH(CKM_ECDSA), key);
	out[0] = out[62] = 0x5a;
	EXPECT(CKR_BUFFER_TOO_SMALL, C_Sign, h.session, data, 32, out, &n);
	cr_assert(n == 64 && out[0] == 0x5a && out[62] == 0x5a, "written to before it was known to be too small");
	OK(C_Sign, h.session, data, 32, out, &n);
}

Test(thirty, f26_attributes_have_no_policy_and_handles_are_used_again)
{
	uint8_t value[64];
	CK_ATTRIBUTE ask[] = {{CKA_VALUE, value, sizeof value}, {CKA_MODULUS, value, sizeof value}};

	session_up();
	CK_OBJECT_HANDLE key = ec_pair(h.session, true, "ec").priv;
	EXPECT(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue, h.session, key, ask, 2);
	cr_assert(ask[0].pValue == value && ask[0].ulValueLen == CK_UNAVAILABLE_INFORMATION);
	cr_assert(ask[1].pValue == value && ask[1].ulValueLen == CK_UNAVAILABLE_INFORMATION);
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_SetAttributeValue, h.session, key, TEMPLATE(A_BOOL(CKA_SENSITIVE, false)));
	EXPECT(CKR_ATTRIBUTE_READ_ONLY, C_SetAttributeValue, h.session, key, TEMPLATE(A_ULONG(CKA_KEY_TYPE, CKK_RSA)));
	OK(C_DestroyObject, h.session, key);
	CK_OBJECT_HANDLE other = data_object(h.session, true, true, "data");
	cr_assert(other != key);
	OK(C_Logout, h.session);
	EXPECT(CKR_OBJECT_HANDLE_INVALID, C_GetAttributeValue, h.session, other, ask, 1);
}

Test(thirty, f27_leaks_on_errors_and_gcm_without_ciphertext_needs_no_tag)
{
	static uint8_t seed[1000] = {1};
	uint8_t iv[12] = {1}, tag[16] = {0};
	CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .ulTagBits = 128};
	CK_ULONG n = sizeof out;

	session_up();
	CK_OBJECT_HANDLE key = aes_key(h.session, 16);
	OK(C_DecryptInit, h.session, MECH_P(CKM_AES_GCM, gcm), key);
	EXPECT_IN((CKR_ENCRYPTED_DATA_INVALID, CKR_AEAD_DECRYPT_FAILED), C_Decrypt, h.session, tag, sizeof tag, out, &n);
	/* HMACs given up midway: harness_down() looks for what is left in the TPM. */
	CK_OBJECT_HANDLE mac = hmac_key(h.session, "key", 3);
	for (int i = 0; i < 5; i++) {
		OK(C_SignInit, h.session, MECH(CKM_SHA256_HMAC), mac);
		OK(C_SignUpdate, h.session, data, sizeof data);
		n = 1;
		EXPECT(CKR_BUFFER_TOO_SMALL, C_SignFinal, h.session, out, &n);
		OK(C_CloseSession, h.session);
		h.session = open_session(RW);
		is(login(h.session, CKU_USER, USER_PIN), CKR_OK);
		mac = hmac_key(h.session, "key", 3);
	}
	EXPECT_IN((CKR_OK), C_SeedRandom, h.session, seed, sizeof seed);
}

Test(thirty, f28_digests_need_a_login)
{
	CK_ULONG n = sizeof out;

	token_up();
	CK_SESSION_HANDLE s = open_session(RO);
	OK(C_DigestInit, s, MECH(CKM_SHA256));
	OK(C_Digest, s, data, sizeof data, out, &n);
	cr_assert(n == 32);
}

Test(thirty, f29_a_token_cant_be_made_without_a_resource_manager)
{
	for (int i = 0; i < 3; i++)
		token_up();
}

Test(thirty, f30_what_isnt_supported_aborts)
{
	CK_ULONG n = sizeof out;
	CK_OBJECT_HANDLE o;

	session_up();
	EXPECT(CKR_FUNCTION_NOT_SUPPORTED, C_GetOperationState, h.session, out, &n);
	EXPECT(CKR_FUNCTION_NOT_SUPPORTED, C_SignRecoverInit, h.session, MECH(CKM_RSA_PKCS), 1);
	EXPECT(CKR_FUNCTION_NOT_SUPPORTED, C_DigestEncryptUpdate, h.session, data, 1, out, &n);
	EXPECT(CKR_FUNCTION_NOT_SUPPORTED, C_DecryptVerifyUpdate, h.session, data, 1, out, &n);
	EXPECT(CKR_FUNCTION_NOT_PARALLEL, C_GetFunctionStatus, h.session);
	/* What the peer has as stubs, and Signet as functions. */
	OK(C_CopyObject, h.session, data_object(h.session, false, true, "data"), NULL, 0, &o);
	OK(C_GetObjectSize, h.session, o, &n);
	EXPECT(CKR_NO_EVENT, C_WaitForSlotEvent, CKF_DONT_BLOCK, &(CK_SLOT_ID){0}, NULL);
}

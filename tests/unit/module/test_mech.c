/* module/mechanism.c and the rows of mech_*.c */
#include <criterion/criterion.h>

#include "mechanism.h"
#include "soft.h"

/* ---- a token that offers what a test wants ---- */

static const struct token_mech *fake_rows;
static size_t fake_n;

static CK_RV fake_mechs(struct token *tok, const struct token_mech **ret, size_t *ret_n)
{
	(void)tok;
	*ret = fake_rows;
	*ret_n = fake_n;
	return CKR_OK;
}

static const struct token_ops fake_ops = {.abi = TOKEN_OPS_ABI, .mechs = fake_mechs};
static struct token fake_token = {.ops = &fake_ops};
static struct slot fake_slot = {.token = &fake_token};

static const struct token_mech hardware[] = {
	{CKM_RSA_PKCS, 2048, 2048, CKF_HW | CKF_SIGN | CKF_DECRYPT},
	{CKM_RSA_PKCS_PSS, 2048, 2048, CKF_HW | CKF_SIGN},
	{CKM_RSA_PKCS_OAEP, 2048, 2048, CKF_HW | CKF_DECRYPT},
	{CKM_ECDSA, 256, 384, CKF_HW | CKF_SIGN},
	{CKM_EC_KEY_PAIR_GEN, 256, 384, CKF_HW | CKF_GENERATE_KEY_PAIR},
	{CKM_SHA256_HMAC, 1, 64, CKF_HW | CKF_SIGN | CKF_VERIFY},
};

static void offer(const struct token_mech *rows, size_t n)
{
	fake_rows = rows;
	fake_n = n;
}

/* ---- the table ---- */

struct snapshot {
	CK_MECHANISM_TYPE type, base;
	CK_FLAGS flags;
};

#define SV (CKF_SIGN | CKF_VERIFY)
#define ED (CKF_ENCRYPT | CKF_DECRYPT)
#define WU (CKF_WRAP | CKF_UNWRAP)
#define EC (CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS)
#define EDW (CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_COMPRESS)
#define HASHED(h)                                                                                                      \
	{CKM_##h##_RSA_PKCS, CKM_RSA_PKCS, SV}, {CKM_##h##_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS, SV},                        \
	{                                                                                                              \
		CKM_ECDSA_##h, CKM_ECDSA, SV | EC                                                                      \
	}
#define MACS(h)                                                                                                        \
	{CKM_##h, CKM_##h, CKF_DIGEST}, {CKM_##h##_HMAC, CKM_##h##_HMAC, SV},                                          \
	{                                                                                                              \
		CKM_##h##_HMAC_GENERAL, CKM_##h##_HMAC, SV                                                             \
	}

static const struct snapshot all[] = {
	{CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR},
	{CKM_RSA_PKCS, CKM_RSA_PKCS, SV | ED | WU},
	{CKM_RSA_X_509, CKM_RSA_X_509, SV | ED | WU},
	{CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS_OAEP, ED | WU},
	{CKM_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS, SV},
	{CKM_EC_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR | EC},
	{CKM_ECDSA, CKM_ECDSA, SV | EC},
	HASHED(SHA1),
	HASHED(SHA224),
	HASHED(SHA256),
	HASHED(SHA384),
	HASHED(SHA512),
	{CKM_ECDH1_DERIVE, CKM_ECDH1_DERIVE, CKF_DERIVE | EC},
	{CKM_ECDH1_COFACTOR_DERIVE, CKM_ECDH1_DERIVE, CKF_DERIVE | EC},
	{CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR | EDW},
	{CKM_EDDSA, CKM_EDDSA, SV | EDW},
	{CKM_AES_KEY_GEN, CKM_AES_KEY_GEN, CKF_GENERATE},
	{CKM_AES_ECB, CKM_AES_ECB, ED | WU},
	{CKM_AES_CBC, CKM_AES_CBC, ED | WU},
	{CKM_AES_CBC_PAD, CKM_AES_CBC_PAD, ED | WU},
	{CKM_AES_CTR, CKM_AES_CTR, ED},
	{CKM_AES_CFB128, CKM_AES_CFB128, ED},
	{CKM_AES_OFB, CKM_AES_OFB, ED},
	{CKM_AES_GCM, CKM_AES_GCM, ED | WU},
	{CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP, ED | WU},
	{CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_KWP, ED | WU},
	{CKM_GENERIC_SECRET_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN, CKF_GENERATE},
	MACS(SHA_1),
	MACS(SHA224),
	MACS(SHA256),
	MACS(SHA384),
	MACS(SHA512),
	{CKM_AES_CMAC, CKM_AES_CMAC, SV},
	{CKM_AES_CMAC_GENERAL, CKM_AES_CMAC, SV},
};

Test(mech, every_row_is_as_the_standard_has_it)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const struct mech *m = mech_find(all[i].type);
		cr_assert_not_null(m, "mechanism 0x%lx", all[i].type);
		cr_assert_eq(m->type, all[i].type);
		cr_assert_eq(m->base, all[i].base, "mechanism 0x%lx", all[i].type);
		cr_assert_eq(m->flags, all[i].flags, "mechanism 0x%lx", all[i].type);
		cr_assert_eq(m->input == INPUT_HASHED, m->hash && (m->base != m->type || m->flags == CKF_DIGEST) &&
							       m->class != CKO_SECRET_KEY);
	}
	cr_assert_null(mech_find(CKM_DES3_CBC));
	cr_assert_null(mech_find(CK_UNAVAILABLE_INFORMATION));
}

Test(mech, a_token_that_does_everything_lists_every_row_once)
{
	CK_MECHANISM_TYPE list[ARRAY_LEN(all)];
	CK_ULONG n = 0;

	offer(soft_mechs, soft_mechs_count);
	cr_assert_eq(mech_list(&fake_slot, NULL, &n), CKR_OK);
	cr_assert_eq(n, ARRAY_LEN(all));
	n--;
	cr_assert_eq(mech_list(&fake_slot, list, &n), CKR_BUFFER_TOO_SMALL);
	cr_assert_eq(n, ARRAY_LEN(all));
	cr_assert_eq(mech_list(&fake_slot, list, &n), CKR_OK);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		size_t seen = 0;
		for (size_t j = 0; j < n; j++)
			seen += list[j] == all[i].type;
		cr_assert_eq(seen, 1, "mechanism 0x%lx", all[i].type);
	}
}

Test(mech, what_is_listed_is_what_has_an_info)
{
	CK_MECHANISM_TYPE list[ARRAY_LEN(all)];
	CK_ULONG n = ARRAY_LEN(list);
	CK_MECHANISM_INFO info;
	size_t infos = 0;

	offer(hardware, ARRAY_LEN(hardware));
	cr_assert_eq(mech_list(&fake_slot, list, &n), CKR_OK);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		infos += mech_info(&fake_slot, all[i].type, &info) == CKR_OK;
	cr_assert_eq(infos, n);
}

static CK_MECHANISM_INFO info_of(CK_MECHANISM_TYPE type)
{
	CK_MECHANISM_INFO info;

	cr_assert_eq(mech_info(&fake_slot, type, &info), CKR_OK, "mechanism 0x%lx", type);
	return info;
}

Test(mech, flags_say_who_can_do_what)
{
	CK_MECHANISM_INFO i;

	offer(hardware, ARRAY_LEN(hardware));
	i = info_of(CKM_SHA256_RSA_PKCS);
	cr_assert_eq(i.flags, CKF_HW | CKF_SIGN | CKF_VERIFY);
	cr_assert_eq(i.ulMinKeySize, 2048);
	cr_assert_eq(i.ulMaxKeySize, 2048);
	i = info_of(CKM_RSA_PKCS);
	cr_assert_eq(i.flags, CKF_HW | SV | ED | WU);
	i = info_of(CKM_ECDSA_SHA384);
	cr_assert_eq(i.flags, CKF_HW | CKF_SIGN | CKF_VERIFY | EC);
	/* The token doesn't: what the front does remains, and it isn't hardware. */
	i = info_of(CKM_RSA_X_509);
	cr_assert_eq(i.flags, CKF_VERIFY | CKF_ENCRYPT | CKF_WRAP);
	cr_assert_eq(i.ulMinKeySize, 1024);
	cr_assert_eq(i.ulMaxKeySize, 4096);
	i = info_of(CKM_SHA256);
	cr_assert_eq(i.flags, CKF_DIGEST);
	i = info_of(CKM_SHA256_HMAC_GENERAL);
	cr_assert_eq(i.flags, CKF_HW | CKF_SIGN | CKF_VERIFY);
	cr_assert_eq(mech_info(&fake_slot, CKM_SHA384_HMAC, &i), CKR_MECHANISM_INVALID);
	cr_assert_eq(mech_info(&fake_slot, CKM_AES_CBC, &i), CKR_MECHANISM_INVALID);
	cr_assert_eq(mech_info(&fake_slot, CKM_AES_KEY_GEN, &i), CKR_MECHANISM_INVALID);
	cr_assert_eq(mech_info(&fake_slot, CKM_EC_EDWARDS_KEY_PAIR_GEN, &i), CKR_MECHANISM_INVALID);
}

Test(mech, wrapping_follows_from_encryption)
{
	static const struct token_mech halves[] = {
		{CKM_AES_CBC, 16, 32, CKF_ENCRYPT},
		{CKM_AES_CBC_PAD, 16, 32, CKF_DECRYPT},
		{CKM_AES_CTR, 16, 32, ED},
		{CKM_ECDH1_DERIVE, 256, 256, CKF_HW | CKF_DERIVE},
	};
	CK_MECHANISM_INFO i;

	offer(halves, ARRAY_LEN(halves));
	cr_assert_eq(info_of(CKM_AES_CBC).flags, CKF_ENCRYPT | CKF_WRAP);
	cr_assert_eq(info_of(CKM_AES_CBC_PAD).flags, CKF_DECRYPT | CKF_UNWRAP);
	cr_assert_eq(info_of(CKM_AES_CTR).flags, ED);
	i = info_of(CKM_ECDH1_COFACTOR_DERIVE);
	cr_assert_eq(i.flags, CKF_HW | CKF_DERIVE | EC);
	cr_assert_eq(i.ulMaxKeySize, 256);
	/* The private half isn't offered, so there is nothing that unwraps. */
	cr_assert_eq(info_of(CKM_RSA_PKCS_OAEP).flags, CKF_ENCRYPT | CKF_WRAP);
}

static CK_RV fake_export(struct token *tok, const struct token_obj *obj, struct bytes auth, struct buffer *out)
{
	(void)tok, (void)obj, (void)auth, (void)out;
	return CKR_KEY_NOT_WRAPPABLE;
}

Test(mech, a_form_of_its_own_is_offered_by_who_has_one)
{
	struct token_ops ops = fake_ops;
	CK_MECHANISM_INFO i;

	cr_assert_eq(mech_info(&fake_slot, CKM_SIGNET_TSS2_KEY, &i), CKR_MECHANISM_INVALID);
	ops.export_key = fake_export;
	fake_token.ops = &ops;
	cr_assert_eq(info_of(CKM_SIGNET_TSS2_KEY).flags, CKF_HW | CKF_WRAP);
}

/* ---- parameters ---- */

static CK_RV scheme_of(CK_MECHANISM_TYPE type, void *param, CK_ULONG len, struct scheme *ret)
{
	CK_MECHANISM given = {.mechanism = type, .pParameter = param, .ulParameterLen = len};
	const struct mech *m = mech_find(type);

	cr_assert_not_null(m);
	return mech_param(m, &given, ret);
}

#define ACCEPT(type, param, len) cr_assert_eq(scheme_of(type, param, len, &s), CKR_OK)
#define REFUSE(type, param, len) cr_assert_eq(scheme_of(type, param, len, &s), CKR_MECHANISM_PARAM_INVALID)

Test(mech, most_mechanisms_take_no_parameter)
{
	struct scheme s;
	uint8_t junk[64] = {0};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		CK_MECHANISM_TYPE t = all[i].type;
		const struct mech *m = mech_find(t);
		if (t == CKM_AES_KEY_WRAP || t == CKM_AES_KEY_WRAP_KWP)
			continue;
		if (m->param && !(m->class == CKO_SECRET_KEY && (all[i].flags & CKF_SIGN) && t == m->base))
			continue;
		ACCEPT(t, NULL, 0);
		ACCEPT(t, junk, 0);
		REFUSE(t, junk, 1);
		REFUSE(t, NULL, 1);
		REFUSE(t, junk, sizeof junk);
	}
}

Test(mech, a_mechanism_that_needs_a_parameter_says_so_for_every_wrong_length)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_ULONG len;
	} rows[] = {
		{CKM_RSA_PKCS_PSS, sizeof(CK_RSA_PKCS_PSS_PARAMS)}, {CKM_SHA384_RSA_PKCS_PSS, sizeof(CK_RSA_PKCS_PSS_PARAMS)},
		{CKM_RSA_PKCS_OAEP, sizeof(CK_RSA_PKCS_OAEP_PARAMS)}, {CKM_AES_CBC, 16}, {CKM_AES_CBC_PAD, 16},
		{CKM_AES_CTR, sizeof(CK_AES_CTR_PARAMS)}, {CKM_AES_GCM, sizeof(CK_GCM_PARAMS)}, {CKM_AES_CFB128, 16},
		{CKM_AES_OFB, 16}, {CKM_ECDH1_DERIVE, sizeof(CK_ECDH1_DERIVE_PARAMS)},
		{CKM_SHA256_HMAC_GENERAL, sizeof(CK_ULONG)}, {CKM_AES_CMAC_GENERAL, sizeof(CK_ULONG)},
	};
	uint8_t zero[128] = {0};
	struct scheme s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (CK_ULONG len = 0; len <= sizeof zero; len++)
			if (len != rows[i].len)
				REFUSE(rows[i].type, zero, len);
		REFUSE(rows[i].type, NULL, rows[i].len);
		REFUSE(rows[i].type, NULL, 0);
		REFUSE(rows[i].type, zero, (CK_ULONG)-1);
	}
}

Test(mech, pss)
{
	CK_RSA_PKCS_PSS_PARAMS p = {.hashAlg = CKM_SHA256, .mgf = CKG_MGF1_SHA256, .sLen = 32};
	uint8_t askew[sizeof p + 1];
	struct scheme s;

	ACCEPT(CKM_RSA_PKCS_PSS, &p, sizeof p);
	cr_assert_eq(s.type, CKM_RSA_PKCS_PSS);
	cr_assert_eq(s.hash, &crypto_hashes[HASH_SHA256]);
	cr_assert_eq(s.mgf, &crypto_hashes[HASH_SHA256]);
	cr_assert_eq(s.salt_len, 32);
	memcpy(askew + 1, &p, sizeof p);
	ACCEPT(CKM_SHA256_RSA_PKCS_PSS, askew + 1, sizeof p);
	REFUSE(CKM_SHA384_RSA_PKCS_PSS, &p, sizeof p);
	p.mgf = CKG_MGF1_SHA1;
	ACCEPT(CKM_SHA256_RSA_PKCS_PSS, &p, sizeof p);
	p.sLen = 0;
	ACCEPT(CKM_SHA256_RSA_PKCS_PSS, &p, sizeof p);
	p.sLen = (CK_ULONG)-1;
	REFUSE(CKM_SHA256_RSA_PKCS_PSS, &p, sizeof p);
	p.sLen = 32;
	p.mgf = 0;
	REFUSE(CKM_RSA_PKCS_PSS, &p, sizeof p);
	p.mgf = CKG_MGF1_SHA256;
	p.hashAlg = CKM_MD5;
	REFUSE(CKM_RSA_PKCS_PSS, &p, sizeof p);
	p.hashAlg = CKM_SHA256_RSA_PKCS;
	REFUSE(CKM_RSA_PKCS_PSS, &p, sizeof p);
}

Test(mech, oaep)
{
	uint8_t label[3] = "abc";
	CK_RSA_PKCS_OAEP_PARAMS p = {.hashAlg = CKM_SHA_1, .mgf = CKG_MGF1_SHA1, .source = CKZ_DATA_SPECIFIED};
	struct scheme s;

	ACCEPT(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	cr_assert_eq(s.label.len, 0);
	p.pSourceData = label;
	p.ulSourceDataLen = 3;
	ACCEPT(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	cr_assert(bytes_equal(s.label, BYTES_OF(label)));
	p.pSourceData = NULL;
	REFUSE(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	p.ulSourceDataLen = 0;
	p.source = 2;
	REFUSE(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	p.source = 0;
	ACCEPT(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	p.pSourceData = label;
	p.ulSourceDataLen = 1;
	REFUSE(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	p.source = CKZ_DATA_SPECIFIED;
	p.hashAlg = CKM_MD5;
	REFUSE(CKM_RSA_PKCS_OAEP, &p, sizeof p);
	p.hashAlg = CKM_SHA256;
	p.mgf = 99;
	REFUSE(CKM_RSA_PKCS_OAEP, &p, sizeof p);
}

Test(mech, aes)
{
	uint8_t iv[16] = {1}, aad[5] = {2};
	CK_AES_CTR_PARAMS ctr = {.ulCounterBits = 32, .cb = {7}};
	CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .pAAD = aad, .ulAADLen = 5, .ulTagBits = 128};
	struct scheme s;

	ACCEPT(CKM_AES_CBC_PAD, iv, 16);
	cr_assert(bytes_equal(s.iv, BYTES_OF(iv)));
	ACCEPT(CKM_AES_CTR, &ctr, sizeof ctr);
	cr_assert_eq(s.counter_bits, 32);
	cr_assert_eq((const void *)s.iv.ptr, (const void *)ctr.cb);
	ctr.ulCounterBits = 0;
	REFUSE(CKM_AES_CTR, &ctr, sizeof ctr);
	ctr.ulCounterBits = 129;
	REFUSE(CKM_AES_CTR, &ctr, sizeof ctr);
	ACCEPT(CKM_AES_GCM, &gcm, sizeof gcm);
	cr_assert_eq(s.tag_len, 16);
	cr_assert_eq(s.iv.len, 12);
	cr_assert(bytes_equal(s.aad, BYTES_OF(aad)));
	gcm.ulIvBits = 0;
	ACCEPT(CKM_AES_GCM, &gcm, sizeof gcm);
	gcm.ulIvBits = 95;
	REFUSE(CKM_AES_GCM, &gcm, sizeof gcm);
	gcm.ulIvBits = 0;
	gcm.pAAD = NULL;
	REFUSE(CKM_AES_GCM, &gcm, sizeof gcm);
	gcm.ulAADLen = 0;
	gcm.ulIvLen = 0;
	REFUSE(CKM_AES_GCM, &gcm, sizeof gcm);
	gcm.ulIvLen = (CK_ULONG)-1;
	REFUSE(CKM_AES_GCM, &gcm, sizeof gcm);
	gcm.ulIvLen = 12;
	gcm.pIv = NULL;
	REFUSE(CKM_AES_GCM, &gcm, sizeof gcm);
	gcm.pIv = iv;
	for (CK_ULONG bits = 0; bits <= 136; bits++) {
		bool good = bits == 32 || bits == 64 || bits == 96 || bits == 104 || bits == 112 || bits == 120 || bits == 128;
		gcm.ulTagBits = bits;
		cr_assert_eq(scheme_of(CKM_AES_GCM, &gcm, sizeof gcm, &s), good ? CKR_OK : CKR_MECHANISM_PARAM_INVALID);
	}
}

Test(mech, macs_of_chosen_length)
{
	CK_ULONG len = 20;
	struct scheme s;

	ACCEPT(CKM_SHA_1_HMAC, NULL, 0);
	cr_assert_eq(s.tag_len, 20);
	cr_assert_eq(s.hash, &crypto_hashes[HASH_SHA1]);
	ACCEPT(CKM_SHA_1_HMAC_GENERAL, &len, sizeof len);
	cr_assert_eq(s.type, CKM_SHA_1_HMAC);
	cr_assert_eq(s.tag_len, 20);
	len = 21;
	REFUSE(CKM_SHA_1_HMAC_GENERAL, &len, sizeof len);
	len = 0;
	REFUSE(CKM_SHA_1_HMAC_GENERAL, &len, sizeof len);
	REFUSE(CKM_AES_CMAC_GENERAL, &len, sizeof len);
	len = 16;
	ACCEPT(CKM_AES_CMAC_GENERAL, &len, sizeof len);
	cr_assert_eq(s.tag_len, 16);
	len = 17;
	REFUSE(CKM_AES_CMAC_GENERAL, &len, sizeof len);
}

Test(mech, eddsa_is_pure_ed25519)
{
	CK_EDDSA_PARAMS p = {.phFlag = CK_FALSE};
	struct scheme s;

	ACCEPT(CKM_EDDSA, NULL, 0);
	REFUSE(CKM_EDDSA, &p, sizeof p);
}

Test(mech, a_use_that_isnt_offered_is_no_mechanism)
{
	CK_MECHANISM given = {.mechanism = CKM_RSA_X_509};
	const struct mech *m;
	struct scheme s;

	offer(hardware, ARRAY_LEN(hardware));
	cr_assert_eq(mech_scheme(&fake_slot, &given, CKF_SIGN, &m, &s), CKR_MECHANISM_INVALID);
	cr_assert_eq(mech_scheme(&fake_slot, &given, CKF_VERIFY, &m, &s), CKR_OK);
	cr_assert_eq(mech_scheme(&fake_slot, &given, CKF_DIGEST, &m, &s), CKR_MECHANISM_INVALID);
	given.mechanism = CKM_AES_CBC;
	cr_assert_eq(mech_scheme(&fake_slot, &given, CKF_ENCRYPT, &m, &s), CKR_MECHANISM_INVALID);
	given.mechanism = CKM_SHA256;
	cr_assert_eq(mech_scheme(&fake_slot, &given, CKF_DIGEST, &m, &s), CKR_OK);
	given.ulParameterLen = 1;
	cr_assert_eq(mech_scheme(&fake_slot, &given, CKF_DIGEST, &m, &s), CKR_MECHANISM_PARAM_INVALID);
}

/* ---- key sizes ---- */

static struct attrs *rsa_key(size_t bits)
{
	uint8_t n[1024] = {0};
	struct attrs *a = attrs_new();

	cr_assert_not_null(a);
	n[1] = (uint8_t)(0x80u >> ((8 - bits % 8) % 8));
	cr_assert_eq(attrs_set_ulong(a, CKA_KEY_TYPE, CKK_RSA), CKR_OK);
	cr_assert_eq(attrs_set(a, CKA_MODULUS, BYTES(n, 1 + (bits + 7) / 8)), CKR_OK);
	return a;
}

static CK_RV fits(CK_MECHANISM_TYPE type, CK_FLAGS use, const struct scheme *s, size_t bits)
{
	struct attrs *a CLEANUP(attrs_cleanup) = rsa_key(bits);

	cr_assert_eq(mech_key_size(a), bits);
	return mech_key_fits(&fake_slot, mech_find(type), use, s, a);
}

Test(mech, a_block_is_as_long_as_its_padding_lets_it_be)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_FLAGS use;
		size_t min, max;
	} rows[] = {
		{CKM_RSA_PKCS, CKF_SIGN, 0, 245},          {CKM_RSA_PKCS, CKF_ENCRYPT, 0, 245},
		{CKM_RSA_PKCS, CKF_DECRYPT, 256, 256},     {CKM_RSA_X_509, CKF_SIGN, 0, 256},
		{CKM_RSA_PKCS_OAEP, CKF_ENCRYPT, 0, 190},  {CKM_RSA_PKCS_OAEP, CKF_DECRYPT, 256, 256},
		{CKM_RSA_PKCS_PSS, CKF_SIGN, 32, 32},      {CKM_RSA_PKCS_PSS, CKF_VERIFY, 32, 32},
	};
	struct attrs *a CLEANUP(attrs_cleanup) = rsa_key(2048);
	struct scheme s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool hashes = rows[i].type == CKM_RSA_PKCS_OAEP || rows[i].type == CKM_RSA_PKCS_PSS;
		s = (struct scheme){.type = rows[i].type, .hash = hashes ? &crypto_hashes[HASH_SHA256] : NULL};
		struct mech_lengths l = mech_lengths(mech_find(rows[i].type), &s, rows[i].use, a);
		cr_assert_eq(l.min, rows[i].min, "row %zu", i);
		cr_assert_eq(l.max, rows[i].max, "row %zu", i);
	}
}

Test(mech, key_sizes_are_those_of_who_does_the_work)
{
	const struct hash *sha512 = &crypto_hashes[HASH_SHA512];
	struct scheme s = {.type = CKM_RSA_PKCS}, pss = {.type = CKM_RSA_PKCS_PSS, .hash = sha512, .salt_len = 64};

	offer(hardware, ARRAY_LEN(hardware));
	cr_assert_eq(fits(CKM_RSA_PKCS, CKF_SIGN, &s, 2048), CKR_OK);
	cr_assert_eq(fits(CKM_RSA_PKCS, CKF_SIGN, &s, 2047), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(fits(CKM_RSA_PKCS, CKF_SIGN, &s, 4096), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(fits(CKM_RSA_PKCS, CKF_VERIFY, &s, 4096), CKR_OK);
	cr_assert_eq(fits(CKM_RSA_PKCS, CKF_VERIFY, &s, 512), CKR_KEY_SIZE_RANGE);
	/* 64 + 64 + 2 octets don't fit in 128 (RFC 8017, 9.1.1), and just fit in 130. */
	cr_assert_eq(fits(CKM_RSA_PKCS_PSS, CKF_VERIFY, &pss, 1024), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(fits(CKM_RSA_PKCS_PSS, CKF_VERIFY, &pss, 1033), CKR_KEY_SIZE_RANGE);
	cr_assert_eq(fits(CKM_RSA_PKCS_PSS, CKF_VERIFY, &pss, 1034), CKR_OK);
}

Test(mech, key_wrap_has_an_iv_or_none)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		CK_ULONG len;
	} rows[] = {{CKM_AES_KEY_WRAP, 8}, {CKM_AES_KEY_WRAP_KWP, 4}};
	uint8_t iv[32] = {7};
	struct scheme s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ACCEPT(rows[i].type, NULL, 0);
		cr_assert_eq(s.iv.len, 0);
		ACCEPT(rows[i].type, iv, rows[i].len);
		cr_assert(s.iv.ptr == iv && s.iv.len == rows[i].len);
		REFUSE(rows[i].type, NULL, rows[i].len);
		for (CK_ULONG len = 1; len <= sizeof iv; len++)
			if (len != rows[i].len)
				REFUSE(rows[i].type, iv, len);
	}
}

Test(mech, ecdh)
{
	uint8_t point[65] = {4}, shared[3] = {1, 2, 3};
	CK_ECDH1_DERIVE_PARAMS p = {CKD_SHA384_KDF, sizeof shared, shared, sizeof point, point}, bad;
	CK_MECHANISM given = {CKM_ECDH1_DERIVE, &p, sizeof p};
	struct mech_ecdh e;
	struct scheme s;

	ACCEPT(CKM_ECDH1_COFACTOR_DERIVE, &p, sizeof p);
	cr_assert_eq(s.type, CKM_ECDH1_DERIVE);
	cr_assert_eq(mech_ecdh(&given, &e), CKR_OK);
	cr_assert(e.kdf == &crypto_hashes[HASH_SHA384] && e.shared.ptr == shared && e.point.len == 65);
	/* Nothing is shared without a function. */
	bad = p;
	bad.kdf = CKD_NULL;
	REFUSE(CKM_ECDH1_DERIVE, &bad, sizeof bad);
	bad.ulSharedDataLen = 0;
	ACCEPT(CKM_ECDH1_DERIVE, &bad, sizeof bad);
	bad = p;
	bad.kdf = CKD_SHA1_KDF_ASN1;
	REFUSE(CKM_ECDH1_DERIVE, &bad, sizeof bad);
	bad = p;
	bad.pSharedData = NULL;
	REFUSE(CKM_ECDH1_DERIVE, &bad, sizeof bad);
	bad = p;
	bad.pPublicData = NULL;
	REFUSE(CKM_ECDH1_DERIVE, &bad, sizeof bad);
	bad = p;
	bad.ulPublicDataLen = 0;
	REFUSE(CKM_ECDH1_DERIVE, &bad, sizeof bad);
}

Test(mech, a_print_tells_schemes_apart)
{
	uint8_t a[SCHEME_PRINT], b[SCHEME_PRINT], label[2] = {1, 2};
	const struct hash *sha1 = &crypto_hashes[HASH_SHA1];
	struct scheme s = {.type = CKM_RSA_PKCS_OAEP, .hash = sha1, .mgf = sha1, .label = BYTES_OF(label)}, t = s;

	cr_assert_eq(mech_print(&s, a), CKR_OK);
	cr_assert_eq(mech_print(&t, b), CKR_OK);
	cr_assert_eq(memcmp(a, b, sizeof a), 0);
	t.mgf = &crypto_hashes[HASH_SHA256];
	cr_assert_eq(mech_print(&t, b), CKR_OK);
	cr_assert_neq(memcmp(a, b, sizeof a), 0);
	t = s;
	t.label.len = 1;
	cr_assert_eq(mech_print(&t, b), CKR_OK);
	cr_assert_neq(memcmp(a, b, sizeof a), 0);
	t = s;
	t.label = NO_BYTES;
	t.iv = s.label;
	cr_assert_eq(mech_print(&t, b), CKR_OK);
	cr_assert_neq(memcmp(a, b, sizeof a), 0);
}

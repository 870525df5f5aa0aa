/* Secret keys in the TPM, by C_ calls: the same results as in the process, whichever way the TPM is reached. */
#include "harness.h"
#include "token.h"

static void up(void)
{
	harness_up();
	only_kind(&kind_tpm);
	session_up();
}

TestSuite(places, .init = up, .fini = harness_down, .timeout = 120);

static uint8_t data[70000];

static CK_OBJECT_HANDLE key_at(CK_KEY_TYPE type, const char *place)
{
	static const uint8_t value[32] = "thirty-two bytes of a secret key";
	CK_ATTRIBUTE where = {CKA_SIGNET_PLACE, (void *)(uintptr_t)place, strlen(place)};
	CK_OBJECT_HANDLE o;

	OK(C_CreateObject, h.session,
	   TEMPLATE(A_ULONG(CKA_CLASS, CKO_SECRET_KEY), A_ULONG(CKA_KEY_TYPE, type), A_BYTES(CKA_VALUE, value, 32), where),
	   &o);
	return o;
}

static void mac_in_parts(CK_OBJECT_HANDLE key, uint8_t mac[32])
{
	CK_ULONG n = 32;

	OK(C_SignInit, h.session, MECH(CKM_SHA256_HMAC), key);
	for (size_t at = 0; at < sizeof data; at += 7000)
		OK(C_SignUpdate, h.session, data + at, 7000);
	OK(C_SignFinal, h.session, mac, &n);
	cr_assert(n == 32);
}

Test(places, hmac_of_much)
{
	CK_OBJECT_HANDLE tpm = key_at(CKK_GENERIC_SECRET, "tpm"), process = key_at(CKK_GENERIC_SECRET, "process");
	uint8_t ours[32], theirs[32];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	mac_in_parts(tpm, ours);
	mac_in_parts(process, theirs);
	cr_assert(memcmp(ours, theirs, 32) == 0);
	OK(C_VerifyInit, h.session, MECH(CKM_SHA256_HMAC), tpm);
	OK(C_Verify, h.session, data, sizeof data, theirs, 32);
}

Test(places, ciphers)
{
	CK_OBJECT_HANDLE tpm = key_at(CKK_AES, "tpm"), process = key_at(CKK_AES, "process");
	uint8_t iv[16] = {1}, cipher[5016], plain[5016];
	CK_ULONG n = sizeof cipher, m = sizeof plain, last;

	OK(C_EncryptInit, h.session, MECH_P(CKM_AES_CBC_PAD, iv), tpm);
	OK(C_EncryptUpdate, h.session, data, 4999, cipher, &n);
	last = sizeof cipher - n;
	OK(C_EncryptFinal, h.session, cipher + n, &last);
	OK(C_DecryptInit, h.session, MECH_P(CKM_AES_CBC_PAD, iv), process);
	OK(C_Decrypt, h.session, cipher, n + last, plain, &m);
	cr_assert(m == 4999 && memcmp(plain, data, m) == 0);
	m = sizeof plain;
	OK(C_DecryptInit, h.session, MECH_P(CKM_AES_CBC_PAD, iv), tpm);
	OK(C_Decrypt, h.session, cipher, n + last, plain, &m);
	cr_assert(m == 4999 && memcmp(plain, data, m) == 0);
}

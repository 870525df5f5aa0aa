/* bench_keyring CONF - the keyring slot against libcrypto itself: a loop that makes an EVP_PKEY_CTX for each signature
 * on a loaded key. */
#include <stdio.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "bench.h"

struct evp_key {
	bool rsa;
	EVP_PKEY *pkey;
};

static bool evp_begin(void *ctx)
{
	struct evp_key *k = ctx;

	if (!k->pkey)
		k->pkey = k->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	return k->pkey != NULL;
}

static bool evp_sign_once(const struct evp_key *k)
{
	static const unsigned char digest[32] = {0x77};
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	unsigned char signature[512];
	size_t len = sizeof signature;
	bool ok;

	ok = c && EVP_PKEY_sign_init(c) == 1;
	if (ok && k->rsa)
		ok = EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1;
	ok = ok && EVP_PKEY_sign(c, signature, &len, digest, sizeof digest) == 1;
	EVP_PKEY_CTX_free(c);
	return ok;
}

static bool evp_sign(void *ctx, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!evp_sign_once(ctx))
			return false;
	return true;
}

static void evp_end(void *ctx)
{
	(void)ctx;
}

static bool bench(const char *conf, bool rsa, unsigned n, double wanted)
{
	struct evp_key evp = {.rsa = rsa};
	struct p11_key key = {.conf = conf, .slot = 0, .rsa = rsa};
	const struct contender c[] = {
		{"libcrypto", evp_begin, evp_sign, evp_end, &evp},
		{"signet", p11_begin, p11_sign, p11_end, &key},
	};
	bool ok = bench_by_turns(rsa ? "keyring RSA-2048" : "keyring ECDSA P-256", c, 2, BENCH_TOGETHER, n,
				 (double[]){0, wanted});

	EVP_PKEY_free(evp.pkey);
	return ok;
}

int main(int argc, char **argv)
{
	bool ec, rsa;

	if (argc != 2 || !bench_load_module() || !p11_prepare(argv[1], 0))
		return 2;
	ec = bench(argv[1], false, 2000, 0.85);
	rsa = bench(argv[1], true, 150, 0.95);
	return ec && rsa ? 0 : 1;
}

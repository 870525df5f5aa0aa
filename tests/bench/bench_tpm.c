/* bench_tpm TCTI PROTECTED.CONF TRUSTED.CONF - the TPM slot against Esys_Sign with password authorization on a loaded
 * key, by turns on one TPM: a bare one serves one connection at a time, so each turn connects anew. */
#include <stdio.h>
#include <string.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "bench.h"

#define ATTRIBUTES                                                                                                     \
	(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | \
	 TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)
#define PARENT 0x81000001

struct esys_key {
	const char *tcti_conf;
	bool rsa;
	TPM2B_PUBLIC *pub;       /* made in the first turn, loaded in each */
	TPM2B_PRIVATE *priv;
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR handle;
};

static bool good(TSS2_RC rc, const char *what)
{
	if (rc)
		fprintf(stderr, "%s: 0x%x\n", what, rc);
	return rc == 0;
}

static const TPM2B_PUBLIC *template_of(bool rsa)
{
	static const TPM2B_PUBLIC rsa_key = {.publicArea = {
		.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = ATTRIBUTES,
		.parameters.rsaDetail = {.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
					 .keyBits = 2048}}};
	static const TPM2B_PUBLIC ec_key = {.publicArea = {
		.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = ATTRIBUTES,
		.parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
					 .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL}}};

	return rsa ? &rsa_key : &ec_key;
}

static bool make(struct esys_key *k, ESYS_TR parent)
{
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth = {.size = 32, .buffer = "the key's authorization value..."}};

	return k->pub || good(Esys_Create(k->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
					  template_of(k->rsa), &(TPM2B_DATA){0}, &(TPML_PCR_SELECTION){0}, &k->priv,
					  &k->pub, NULL, NULL, NULL), "Esys_Create");
}

static bool esys_begin(void *ctx)
{
	const TPM2B_AUTH auth = {.size = 32, .buffer = "the key's authorization value..."};
	struct esys_key *k = ctx;
	ESYS_TR parent;

	return good(Tss2_TctiLdr_Initialize(k->tcti_conf, &k->tcti), "Tss2_TctiLdr_Initialize") &&
	       good(Esys_Initialize(&k->esys, k->tcti, NULL), "Esys_Initialize") &&
	       good(Esys_TR_FromTPMPublic(k->esys, PARENT, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &parent), "parent") &&
	       make(k, parent) &&
	       good(Esys_Load(k->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, k->priv, k->pub, &k->handle),
		    "Esys_Load") &&
	       good(Esys_TR_SetAuth(k->esys, k->handle, &auth), "Esys_TR_SetAuth");
}

static bool esys_sign(void *ctx, unsigned n)
{
	static const TPM2B_DIGEST digest = {.size = 32, .buffer = {0x77}};
	static const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
	struct esys_key *k = ctx;
	TPMT_SIG_SCHEME scheme = {.scheme = k->rsa ? TPM2_ALG_RSASSA : TPM2_ALG_ECDSA,
				  .details.any.hashAlg = TPM2_ALG_SHA256};

	for (unsigned i = 0; i < n; i++) {
		TPMT_SIGNATURE *signature = NULL;

		if (!good(Esys_Sign(k->esys, k->handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme,
				    &ticket, &signature), "Esys_Sign"))
			return false;
		Esys_Free(signature);
	}
	return true;
}

static void esys_end(void *ctx)
{
	struct esys_key *k = ctx;

	(void)good(Esys_FlushContext(k->esys, k->handle), "Esys_FlushContext");
	Esys_Finalize(&k->esys);
	Tss2_TctiLdr_Finalize(&k->tcti);
}

static bool bench(char **argv, bool rsa, unsigned n, double protected_wanted)
{
	struct esys_key raw = {.tcti_conf = argv[1], .rsa = rsa};
	struct p11_key protected = {.conf = argv[2], .rsa = rsa}, trusted = {.conf = argv[3], .rsa = rsa};
	const struct contender c[] = {
		{"Esys_Sign", esys_begin, esys_sign, esys_end, &raw},
		{"protected", p11_begin, p11_sign, p11_end, &protected},
		{"trusted", p11_begin, p11_sign, p11_end, &trusted},
	};
	bool ok = bench_by_turns(rsa ? "TPM RSA-2048" : "TPM ECDSA P-256", c, 3, BENCH_ALONE, n,
				 (double[]){0, protected_wanted, 0.97});

	Esys_Free(raw.pub);
	Esys_Free(raw.priv);
	return ok;
}

int main(int argc, char **argv)
{
	bool ec, rsa;

	if (argc != 4 || !bench_load_module() || !p11_prepare(argv[2], 0))
		return 2;
	ec = bench(argv, false, 700, 0.75);
	rsa = bench(argv, true, 150, 0.92);
	return ec && rsa ? 0 : 1;
}

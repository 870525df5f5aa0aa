/* raw TCTI ROW N - the same rows by plain calls of the ESAPI with password authorization, on a key loaded beforehand:
 * what the TPM and the way to it cost without any module.  What it prints is measure.h's. */
#include <stdio.h>
#include <stdlib.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "measure.h"

#define ATTRIBUTES                                                                                                     \
	(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | \
	 TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT)
#define PARENT 0x81000001
#define PASSWORD ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE

static ESYS_CONTEXT *esys;
static ESYS_TR parent, key;

static void must(TSS2_RC rc, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "%s: 0x%x\n", what, rc);
	exit(1);
}
#define OK(name, ...) must(name(__VA_ARGS__), #name)

static const TPM2B_PUBLIC ec_key = {.publicArea = {
	.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = ATTRIBUTES,
	.parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
				 .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL}}};
static const TPM2B_PUBLIC rsa_key = {.publicArea = {
	.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = ATTRIBUTES,
	.parameters.rsaDetail = {.symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL,
				 .keyBits = 2048}}};

static void create(const TPM2B_PUBLIC *tmpl, TPM2B_PUBLIC **pub, TPM2B_PRIVATE **priv)
{
	OK(Esys_Create, esys, parent, PASSWORD, &(TPM2B_SENSITIVE_CREATE){0}, tmpl, &(TPM2B_DATA){0},
	   &(TPML_PCR_SELECTION){0}, priv, pub, NULL, NULL, NULL);
}

static void load(const TPM2B_PUBLIC *tmpl)
{
	TPM2B_PUBLIC *pub;
	TPM2B_PRIVATE *priv;

	create(tmpl, &pub, &priv);
	OK(Esys_Load, esys, parent, PASSWORD, priv, pub, &key);
	Esys_Free(pub);
	Esys_Free(priv);
}

static void load_ec(void)
{
	load(&ec_key);
}

static void load_rsa(void)
{
	load(&rsa_key);
}

static void unload(void)
{
	OK(Esys_FlushContext, esys, key);
}

static void sign(TPM2_ALG_ID alg)
{
	static const TPM2B_DIGEST digest = {.size = 32, .buffer = {0x77}};
	static const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
	TPMT_SIG_SCHEME scheme = {.scheme = alg, .details.any.hashAlg = TPM2_ALG_SHA256};
	TPMT_SIGNATURE *signature = NULL;

	OK(Esys_Sign, esys, key, PASSWORD, &digest, &scheme, &ticket, &signature);
	Esys_Free(signature);
}

static void do_ecdsa(void)
{
	sign(TPM2_ALG_ECDSA);
}

static void do_rsa(void)
{
	sign(TPM2_ALG_RSASSA);
}

static void do_decrypt(void)
{
	static const TPMT_RSA_DECRYPT scheme = {.scheme = TPM2_ALG_NULL};
	static const TPM2B_PUBLIC_KEY_RSA in = {.size = 256, .buffer = {0, 0x77}};
	TPM2B_PUBLIC_KEY_RSA *out = NULL;

	OK(Esys_RSA_Decrypt, esys, key, PASSWORD, &in, &scheme, &(TPM2B_DATA){0}, &out);
	Esys_Free(out);
}

static void generate(const TPM2B_PUBLIC *tmpl)
{
	TPM2B_PUBLIC *pub;
	TPM2B_PRIVATE *priv;

	create(tmpl, &pub, &priv);
	Esys_Free(pub);
	Esys_Free(priv);
}

static void do_ec(void)
{
	generate(&ec_key);
}

static void do_rsa_generation(void)
{
	generate(&rsa_key);
}

static void do_random(void)
{
	for (size_t got = 0; got < 1024;) {
		TPM2B_DIGEST *some = NULL;

		OK(Esys_GetRandom, esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, 64, &some);
		got += some->size;
		Esys_Free(some);
	}
}

static const struct row rows[] = {
	{"ecdsa", load_ec, nothing, do_ecdsa, nothing, unload},
	{"rsa", load_rsa, nothing, do_rsa, nothing, unload},
	{"decrypt", load_rsa, nothing, do_decrypt, nothing, unload},
	{"ec-generation", nothing, nothing, do_ec, nothing, nothing},
	{"rsa-generation", nothing, nothing, do_rsa_generation, nothing, nothing},
	{"random", nothing, nothing, do_random, nothing, nothing},
};

int main(int argc, char **argv)
{
	TSS2_TCTI_CONTEXT *tcti = NULL;
	int status;

	if (argc != 4)
		return 2;
	OK(Tss2_TctiLdr_Initialize, argv[1], &tcti);
	OK(Esys_Initialize, &esys, tcti, NULL);
	OK(Esys_TR_FromTPMPublic, esys, PARENT, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &parent);
	status = measure(rows, sizeof rows / sizeof *rows, argv[2], argv[3]);
	Esys_Finalize(&esys);
	Tss2_TctiLdr_Finalize(&tcti);
	return status;
}

/* The storage key: the machine's persistent one, or a primary made again from its template. */
#include "parent.h"

#include <stdatomic.h>

#include "log.h"
#include "name.h"

/* TCG TPM v2.0 Provisioning Guidance, 7.8: where the storage root key of a machine stands. */
#define SRK_HANDLE 0x81000001u

#define STORAGE_ATTRIBUTES                                                                                             \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED |          \
	 TPMA_OBJECT_DECRYPT | TPMA_OBJECT_NODA)

/* Without `unique`, which makes one key or another of it. */
#define ECC_P256_STORAGE_KEY											       \
	.type = TPM2_ALG_ECC,											       \
	.nameAlg = TPM2_ALG_SHA256,										       \
	.objectAttributes = STORAGE_ATTRIBUTES | TPMA_OBJECT_SENSITIVEDATAORIGIN,				       \
	.parameters.eccDetail = {										       \
		.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},		       \
		.scheme.scheme = TPM2_ALG_NULL,									       \
		.curveID = TPM2_ECC_NIST_P256,									       \
		.kdf.scheme = TPM2_ALG_NULL,									       \
	}

/* The same guidance, 7.5.1: the storage root key's template for ECC P-256 (EK template L-2 with these attributes and
 * no policy; both coordinates of `unique` are 32 zero bytes). */
static const TPM2B_PUBLIC ecc_p256 = {
	.publicArea = {
		ECC_P256_STORAGE_KEY,
		.unique.ecc = {.x.size = 32, .y.size = 32},
	},
};

/* What TSS2 files mean by the owner's handle as parent (ASN.1 Specification for TPM 2.0 Key Files, 3.1.8; so
 * tpm2-openssl and ssh-tpm-agent): the same with an empty `unique` (EK template H-2), which makes another key of it; or
 * the RSA-2048 one (H-1). */
static const TPM2B_PUBLIC file_ecc_p256 = {
	.publicArea = {
		ECC_P256_STORAGE_KEY,
	},
};
static const TPM2B_PUBLIC file_rsa_2048 = {
	.publicArea = {
		.type = TPM2_ALG_RSA,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = STORAGE_ATTRIBUTES | TPMA_OBJECT_SENSITIVEDATAORIGIN,
		.parameters.rsaDetail = {
			.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
			.scheme.scheme = TPM2_ALG_NULL,
			.keyBits = 2048,
		},
	},
};

struct parent {
	atomic_uint refs;
	struct parent_rec rec;    /* given: the handle, else 0 */
	bool given;               /* no name is known */
	const TPM2B_PUBLIC *tmpl; /* a primary may be made from it; NULL: it may not */
	/* Below: only inside sequences. */
	atomic_ullong looked;     /* conn_generation() of the search; 0: none yet */
	atomic_bool found;
	struct storage storage;
};

CK_RV parent_new(const struct parent_rec *rec, struct parent **ret)
{
	struct parent *p = calloc(1, sizeof *p);

	if (!p)
		return CKR_HOST_MEMORY;
	atomic_init(&p->refs, 1);
	p->rec = *rec;
	p->tmpl = rec->tmpl == PARENT_ECC_P256 ? &ecc_p256 : NULL;
	*ret = p;
	return CKR_OK;
}

CK_RV parent_given(TPM2_HANDLE handle, bool rsa, struct parent **ret)
{
	const bool persistent = handle != TPM2_RH_OWNER;
	const struct parent_rec rec = {.handle = persistent ? handle : 0};
	struct parent *p;

	TRY(parent_new(&rec, &p));
	p->given = true;
	if (!persistent)
		p->tmpl = rsa ? &file_rsa_2048 : &file_ecc_p256;
	*ret = p;
	return CKR_OK;
}

struct parent *parent_ref(struct parent *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void parent_unref(struct parent *p)
{
	if (p && atomic_fetch_sub(&p->refs, 1) == 1)
		free(p);
}

/* ---- making ---- */

/* A storage key that we can live with: restricted to decryption, bound to this TPM, not subject to dictionary-attack
 * lockout (else a stranger's wrong tries would stop our keys), of a kind that sessions can be salted with. */
static bool fits(const TPM2B_PUBLIC *public)
{
	const TPMT_PUBLIC *p = &public->publicArea;
	TPMA_OBJECT need = STORAGE_ATTRIBUTES;

	if ((p->objectAttributes & need) != need || p->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT)
		return false;
	if (p->nameAlg != TPM2_ALG_SHA256)
		return false;
	if (p->type == TPM2_ALG_ECC)
		return p->parameters.eccDetail.curveID == TPM2_ECC_NIST_P256;
	return p->type == TPM2_ALG_RSA;
}

/* A primary of the owner's, which takes the owner's authorization, that we don't have where it is set. */
static CK_RV make_primary(struct conn *c, const TPM2B_PUBLIC *tmpl, TPM2B_PUBLIC *public, struct entity *ret)
{
	struct entity owner;
	uint16_t base;
	CK_RV rv;

	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	rv = tpm2_create_primary(c, &owner, NULL, tmpl, public, ret);
	base = rv == CKR_OK ? TPM2_RC_SUCCESS : conn_rc_base(c);
	if (tmpl != &ecc_p256 && (base == TPM2_RC_BAD_AUTH || base == TPM2_RC_AUTH_FAIL))
		log_error("the TPM's owner authorization is set, so that the primary key that a TSS2 file's key hangs below "
			  "can't be made: let its owner put the key below a persistent handle");
	else if (base == TPM2_RC_BAD_AUTH || base == TPM2_RC_AUTH_FAIL)
		log_error("there is no storage key at 0x%08x that fits, and the TPM's owner authorization is set, so that "
			  "none can be made: let the owner make the standard ECC storage key persistent there, once "
			  "(tpm2_createprimary -C o -P …, tpm2_evictcontrol -C o -P …)", SRK_HANDLE);
	return rv;
}

/* Tries to put a fresh primary where the machine's storage key belongs. */
static void persist(struct conn *c, const struct entity *primary, struct parent_rec *rec)
{
	TPM2B_PUBLIC public = {0};
	TPM2B_NAME name = {0};
	struct entity owner;
	bool found;

	entity_permanent(&owner, TPM2_RH_OWNER, NO_BYTES);
	if (tpm2_evict_control(c, &owner, NULL, primary, SRK_HANDLE) == CKR_OK) {
		log_info("the machine had no storage key; made one at 0x%08x", SRK_HANDLE);
		rec->handle = SRK_HANDLE;
		return;
	}
	/* Another process may have been faster, with the same key. */
	if (tpm2_read_public(c, SRK_HANDLE, &public, &name, &found) == CKR_OK && found && name_equal(&name, &rec->name))
		rec->handle = SRK_HANDLE;
	else
		log_info("the storage key cannot be made persistent; it is made anew from its template when needed");
}

CK_RV parent_make(struct conn *c, struct parent_rec *ret)
{
	struct parent_rec rec = {.tmpl = PARENT_ECC_P256};
	struct entity primary;
	TPM2B_PUBLIC public = {0};
	TPM2B_NAME name = {0};
	bool found;

	TRY(tpm2_read_public(c, SRK_HANDLE, &public, &name, &found));
	if (found && fits(&public)) {
		rec.handle = SRK_HANDLE;
		rec.name = name;
		*ret = rec;
		return CKR_OK;
	}
	public = (TPM2B_PUBLIC){0};
	TRY(make_primary(c, &ecc_p256, &public, &primary));
	if (!fits(&public)) {
		log_error("the TPM made another key than the storage key that it was asked for");
		return CKR_DEVICE_ERROR;
	}
	rec.name = primary.name;
	if (found)
		log_info("the key at 0x%08x is no storage key that fits; a primary of our own is made when needed",
			 SRK_HANDLE);
	else
		persist(c, &primary, &rec);
	*ret = rec;
	return tpm2_flush(c, primary.handle);
}

/* ---- finding ---- */

/* fits(): a name whose hash we can compute, so that it was checked against the public area. */
static bool is_it(const struct parent *p, const struct storage *s)
{
	return p->given || (name_equal(&s->entity.name, &p->rec.name) && fits(&s->public));
}

static CK_RV find_persistent(struct conn *c, struct parent *p, bool *ret)
{
	TPM2_HANDLE at = p->rec.handle ? p->rec.handle : SRK_HANDLE;
	struct storage s = {.entity.handle = at, .hierarchy = TPM2_RH_OWNER};
	bool there;

	*ret = false;
	if (p->given && !p->rec.handle)
		return CKR_OK;
	TRY(tpm2_read_public(c, at, &s.public, &s.entity.name, &there));
	if (!there || !is_it(p, &s))
		return CKR_OK;
	p->storage = s;
	*ret = true;
	return CKR_OK;
}

/* A bare TPM keeps it over a reconnection. */
static CK_RV find_staying(struct conn *c, struct parent *p, bool *ret)
{
	struct storage s = {.hierarchy = TPM2_RH_OWNER, .stays = true};
	TPM2_HANDLE at = p->given || !p->tmpl ? 0 : handles_staying(c, &p->rec.name);

	*ret = false;
	if (!at)
		return CKR_OK;
	TRY(tpm2_read_public(c, at, &s.public, &s.entity.name, ret));
	*ret = *ret && is_it(p, &s);
	if (!*ret)
		return CKR_OK;
	s.entity.handle = TPM2_RH_NULL;
	s.tmpl = *p->tmpl;
	p->storage = s;
	return CKR_OK;
}

static CK_RV put_away(struct conn *c, const struct entity *primary, struct storage *s)
{
	TRY(tpm2_context_save(c, primary->handle, &s->context));
	s->saved = true;
	return tpm2_flush(c, primary->handle);
}

/* The token's own stays loaded: where there is no persistent one, that costs a connection one TPM2_CreatePrimary and one
 * TPM2_FlushContext in all, while a saved context would cost two commands more at nearly every use.  Other programs'
 * are used seldom, and one token may have several: their contexts are saved. */
static CK_RV find_primary(struct conn *c, struct parent *p, bool *ret)
{
	struct storage s = {.entity.handle = TPM2_RH_NULL, .hierarchy = TPM2_RH_OWNER, .stays = !p->given};
	struct entity primary;

	*ret = false;
	if (!p->tmpl)
		return CKR_OK;
	s.tmpl = *p->tmpl;
	TRY(make_primary(c, p->tmpl, &s.public, &primary));
	s.entity.name = primary.name;
	*ret = is_it(p, &s);
	if (!*ret)
		return tpm2_flush(c, primary.handle);
	if (s.stays)
		handles_stay(c, &primary);
	else
		TRY(put_away(c, &primary, &s));
	p->storage = s;
	return CKR_OK;
}

static void explain_missing(const struct parent *p)
{
	if (p->given)
		log_error("there is nothing at 0x%08x in this TPM, where the file of a key says that its parent is",
			  p->rec.handle);
	else
		log_error("the token's storage key is not in this TPM: the TPM was cleared, or the token's directory "
			  "belongs to another machine; take it back there, or move it away to start anew: what was in "
			  "a cleared TPM is lost");
}

CK_RV parent_storage(struct conn *c, struct parent *p, struct storage **ret)
{
	bool found;

	if (p->looked != conn_generation(c)) {
		TRY(find_persistent(c, p, &found));
		if (!found)
			TRY(find_staying(c, p, &found));
		if (!found)
			TRY(find_primary(c, p, &found));
		p->found = found;
		p->looked = conn_generation(c);
		if (!found)
			explain_missing(p);
	}
	if (!p->found)
		return CKR_TOKEN_NOT_RECOGNIZED;
	*ret = &p->storage;
	return CKR_OK;
}

CK_RV parent_use(struct conn *c, struct parent *p, struct entity *ret, struct salt_key *salt)
{
	struct storage *s;

	TRY(parent_storage(c, p, &s));
	TRY(handles_storage(c, s, ret));
	*salt = (struct salt_key){.handle = ret->handle, .public = &s->public};
	return CKR_OK;
}

bool parent_foreign(const struct parent *p, const struct conn *c)
{
	return p->looked && p->looked == conn_generation(c) && !p->found;
}

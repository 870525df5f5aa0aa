/* C_SeedRandom and C_GenerateRandom (PKCS#11 3.2, 5.19): the token's generator, without the slot's lock. */
#include "dispatch.h"
#include "rv.h"

static CK_RV seed(struct call *c, struct bytes in)
{
	struct token *tok = c->slot->token;
	CK_RV rv;

	if (!tok->ops->random)
		return CKR_RANDOM_NO_RNG;
	if (!tok->ops->seed)
		return CKR_RANDOM_SEED_NOT_SUPPORTED;
	call_unlock(c);
	rv = tok->ops->seed(tok, in);
	return rv_prefer(call_lock(c), rv);
}

static CK_RV generate(struct call *c, uint8_t *out, size_t n)
{
	struct token *tok = c->slot->token;
	CK_RV rv;

	if (!tok->ops->random)
		return CKR_RANDOM_NO_RNG;
	if (n == 0)
		return CKR_OK;
	call_unlock(c);
	rv = tok->ops->random(tok, out, n);
	return rv_prefer(call_lock(c), rv);
}

CK_RV C_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_SeedRandom, session, slice_ok(in, in_len));

	if (rv == CKR_OK)
		rv = seed(&c, BYTES(in, in_len));
	return call_leave(&c, rv);
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG out_len)
{
	struct call c;
	CK_RV rv = call_session(&c, FN_C_GenerateRandom, session, slice_ok(out, out_len));

	if (rv == CKR_OK)
		rv = generate(&c, out, out_len);
	return call_leave(&c, rv);
}

/* C_ functions that make keys (PKCS#11 3.2, 5.18).  The backend makes the value; the templates are completed here, so
 * that it gets every attribute that it doesn't compute itself. */
#include "dispatch.h"
#include "make.h"
#include "mechanism.h"
#include "template.h"

/* One side of a generation: a template of the application's, to become a complete set. */
struct side {
	const CK_ATTRIBUTE *templ;
	CK_ULONG count;
	CK_OBJECT_CLASS class;
	struct attrs *complete; /* owned */
};

static void side_done(struct side *side)
{
	attrs_free(side->complete);
}

static CK_RV complete_side(struct session *s, const struct mech *m, struct side *side)
{
	struct attrs *given CLEANUP(attrs_cleanup) = NULL;
	struct template_req req = {.stage = STAGE_GENERATE, .mech = m->type, .class = side->class,
				   .key_type = m->key_type};

	TRY(template_import(side->templ, side->count, &given));
	req.given = given;
	return template_new_object(s, &req, &side->complete);
}

static CK_RV find_generator(struct session *s, const CK_MECHANISM *given, CK_FLAGS use, const struct mech **ret)
{
	struct scheme unused;

	return mech_scheme(s->slot, given, use, ret, &unused);
}

/* CKR_KEY_SIZE_RANGE isn't on the lists of the generating functions. */
static CK_RV check_modulus(struct slot *slot, const struct mech *m, const struct attrs *public)
{
	CK_ULONG bits = attrs_get_ulong(public, CKA_MODULUS_BITS, 0);
	CK_MECHANISM_INFO info;

	if (m->key_type != CKK_RSA)
		return CKR_OK;
	TRY(mech_info(slot, m->type, &info));
	return bits >= info.ulMinKeySize && bits <= info.ulMaxKeySize ? CKR_OK : CKR_ATTRIBUTE_VALUE_INVALID;
}

static CK_RV generate_key(struct session *s, const CK_MECHANISM *mech, struct side *key, CK_OBJECT_HANDLE *ret)
{
	struct make_req req = {.kind = MAKE_GENERATE, .mech = mech->mechanism};
	const struct mech *m;

	TRY(find_generator(s, mech, CKF_GENERATE, &m));
	TRY(complete_side(s, m, key));
	req.tmpl = key->complete;
	return make_one(s, &req, ret);
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mech, CK_ATTRIBUTE *templ, CK_ULONG count,
		    CK_OBJECT_HANDLE *key)
{
	struct side side CLEANUP(side_done) = {.templ = templ, .count = count, .class = CKO_SECRET_KEY};
	struct call c;
	CK_RV rv = call_session(&c, FN_C_GenerateKey, session, mech && (templ || !count) && key);

	if (rv == CKR_OK)
		rv = generate_key(c.session, mech, &side, key);
	return call_leave(&c, rv);
}

static CK_RV generate_pair(struct session *s, const CK_MECHANISM *mech, struct side *public, struct side *private,
			   CK_OBJECT_HANDLE ret[2])
{
	struct make_req req = {.kind = MAKE_GENERATE, .mech = mech->mechanism};
	const struct mech *m;

	TRY(find_generator(s, mech, CKF_GENERATE_KEY_PAIR, &m));
	TRY(complete_side(s, m, public));
	TRY(complete_side(s, m, private));
	TRY(check_modulus(s->slot, m, public->complete));
	req.tmpl = public->complete;
	req.tmpl_priv = private->complete;
	return make_pair(s, &req, ret);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM *mech, CK_ATTRIBUTE *public_templ,
			CK_ULONG public_count, CK_ATTRIBUTE *private_templ, CK_ULONG private_count,
			CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	struct side public CLEANUP(side_done) = {public_templ, public_count, CKO_PUBLIC_KEY, NULL};
	struct side private CLEANUP(side_done) = {private_templ, private_count, CKO_PRIVATE_KEY, NULL};
	CK_OBJECT_HANDLE made[2];
	struct call c;
	CK_RV rv = call_session(&c, FN_C_GenerateKeyPair, session,
				mech && (public_templ || !public_count) && (private_templ || !private_count) &&
					public_key && private_key);

	if (rv == CKR_OK)
		rv = generate_pair(c.session, mech, &public, &private, made);
	if (rv == CKR_OK) {
		*public_key = made[0];
		*private_key = made[1];
	}
	return call_leave(&c, rv);
}

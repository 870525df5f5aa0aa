/* The CKO_PROFILE objects (PKCS#11 3.2, 4.14; Profiles 3.2, 5): one per profile that every slot meets.  They are no
 * storage objects: they have a class and a profile id, and neither CKA_TOKEN nor CKA_PRIVATE. */
#include "object.h"
#include "slot.h"

static const CK_ULONG profiles[] = {CKP_BASELINE_PROVIDER, CKP_EXTENDED_PROVIDER, CKP_AUTHENTICATION_TOKEN};

static void profile_free(struct token_obj **obj)
{
	if (!*obj)
		return;
	attrs_free((*obj)->attrs);
	free(*obj);
}

static CK_RV profile_new(CK_ULONG profile, struct token_obj **ret)
{
	struct token_obj *obj CLEANUP(profile_free) = calloc(1, sizeof *obj);

	if (!obj)
		return CKR_HOST_MEMORY;
	obj->attrs = attrs_new();
	if (!obj->attrs)
		return CKR_HOST_MEMORY;
	TRY(attrs_set_ulong(obj->attrs, CKA_CLASS, CKO_PROFILE));
	TRY(attrs_set_ulong(obj->attrs, CKA_PROFILE_ID, profile));
	*ret = TAKE(obj);
	return CKR_OK;
}

static CK_RV add_profile(struct slot *slot, CK_ULONG profile)
{
	struct token_obj *obj CLEANUP(profile_free) = NULL;
	struct object *o;

	TRY(profile_new(profile, &obj));
	TRY(object_prepare(slot, &o));
	o->builtin = true;
	object_publish(o, TAKE(obj), NULL);
	return CKR_OK;
}

/* All or none: a failure would otherwise leave some that the next try adds again. */
CK_RV objects_add_builtin(struct slot *slot)
{
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		CK_RV rv = add_profile(slot, profiles[i]);

		if (rv == CKR_OK)
			continue;
		while (slot->objects.n && slot->objects.at[slot->objects.n - 1]->builtin)
			object_remove(slot->objects.at[slot->objects.n - 1]);
		return rv;
	}
	return CKR_OK;
}

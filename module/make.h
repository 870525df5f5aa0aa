/* From a checked request to objects with handles: what C_CreateObject, C_CopyObject, C_GenerateKey and their kin
 * have in common.  All room is reserved before the token is changed, so that nothing can fail afterwards. */
#ifndef MODULE_MAKE_H
#define MODULE_MAKE_H

#include "session.h"

/* Makes the one object of `req` (persist is set here, from its CKA_TOKEN); *ret is its handle.  The backend's codes;
 * CKR_HOST_MEMORY. */
CK_RV make_one(struct session *s, struct make_req *req, CK_OBJECT_HANDLE *ret) MUST_CHECK;
/* Makes a key pair: both or neither.  ret[0] is the public key. */
CK_RV make_pair(struct session *s, struct make_req *req, CK_OBJECT_HANDLE ret[2]) MUST_CHECK;

#endif

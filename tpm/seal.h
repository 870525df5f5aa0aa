/* The token's secrets, sealed in the TPM (design 4.2).  Inside sequences. */
#ifndef TPM_SEAL_H
#define TPM_SEAL_H

#include "parent.h"
#include "secret.h"

struct seal_req {
	const struct key256 *secret;
	struct bytes auth;             /* the seal's own authValue; may be empty */
	const TPM2B_DIGEST *policy;    /* the only way to unseal; NULL: with the authValue alone */
	bool da;                       /* under the TPM's dictionary-attack protection */
};
/* Two commands. */
CK_RV seal_create(struct conn *c, struct parent *p, const struct seal_req *req, struct seal *ret) MUST_CHECK;
/* Opens one without policy.  `proves`: the authValue comes from a PIN, and a wrong one is CKR_PIN_INCORRECT. */
CK_RV seal_open(struct conn *c, struct parent *p, const struct seal *seal, struct bytes auth, bool proves,
		struct key256 *ret) MUST_CHECK;
/* Loads it and unseals under `policy`, which ends. */
CK_RV seal_open_policy(struct conn *c, const struct entity *parent, const struct seal *seal, struct bytes auth,
		       struct session *policy, struct key256 *ret) MUST_CHECK;

#endif

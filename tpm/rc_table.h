/* The rows behind rc_map(). */
#ifndef TPM_RC_TABLE_H
#define TPM_RC_TABLE_H

#include "rc.h"

/* Instead of the row's own CKR, in these contexts (a set of bits 1 << enum rc_context). */
struct rc_except {
	unsigned contexts;
	CK_RV rv;
};

struct rc_row {
	TSS2_RC code; /* a TPM's: without layer and position; else with its layer */
	enum rc_action action;
	CK_RV rv;
	struct rc_except except[8]; /* ends with contexts 0 */
};

extern const struct rc_row rc_rows[];
extern const size_t rc_rows_count;

#endif

/* The tables of mechanism.c, one per family of keys, and what their parameter checks share. */
#ifndef MODULE_MECH_ROWS_H
#define MODULE_MECH_ROWS_H

#include "mechanism.h"
#include "slice.h"

struct mech_rows {
	const struct mech *at;
	size_t n;
};

extern const struct mech_rows mech_rsa_rows, mech_ec_rows, mech_sym_rows, mech_mac_rows, mech_own_rows;

/* Copies a parameter struct of exactly n bytes, which needn't be aligned; CKR_MECHANISM_PARAM_INVALID. */
CK_RV mech_param_read(const CK_MECHANISM *given, void *to, size_t n) MUST_CHECK;
/* For mechanisms without a parameter: CKR_MECHANISM_PARAM_INVALID if there is one. */
CK_RV mech_param_none(const CK_MECHANISM *given) MUST_CHECK;
/* What may be signed or encrypted with a modulus of that many bytes, which mech_key_fits() has accepted. */
struct mech_lengths mech_rsa_lengths(const struct scheme *scheme, size_t modulus);

#endif

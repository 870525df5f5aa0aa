/* CKR codes: their names, and which of two comes first (PKCS#11 3.2, 5.1.7). */
#ifndef BASE_RV_H
#define BASE_RV_H

#include "base.h"

/* "CKR_OK", or "CKR_0x…" in a static buffer of the thread for a code without a name. */
const char *rv_name(CK_RV rv);

/* The one of two failures that must be reported: 5.1.1 > 5.1.2 > 5.1.3 > 5.1.6, printed order within, then the
 * pairs of 5.1.6; CKR_OK loses to everything; of two free ones the first given wins.  Everything that can collect
 * two failures calls this (R19). */
CK_RV rv_prefer(CK_RV a, CK_RV b);

/* The raw TSS2_RC or errno behind the last failure of this thread's call; the front copies it to
 * CK_SESSION_INFO.ulDeviceError (R21).  fault_take() returns and clears it. */
void fault_note(uint32_t raw);
uint32_t fault_take(void);

#endif

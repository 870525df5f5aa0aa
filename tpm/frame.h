/* The envelope of the small files of a token's store: magic, version, length, body, checksum (R12). */
#ifndef TPM_FRAME_H
#define TPM_FRAME_H

#include "bytes.h"

#define FRAME_MAX 65536u

struct frame {
	char magic[9];     /* 8 characters */
	uint16_t version;
};

/* Starts a file in an empty buffer made with FRAME_MAX; the body is then put into it. */
void frame_begin(const struct frame *f, struct buffer *out);
/* Fills in the length and appends the checksum. */
CK_RV frame_end(struct buffer *out) MUST_CHECK;
/* *body borrows from `in`.  CKR_DEVICE_ERROR: torn, damaged, or of another kind or version. */
CK_RV frame_open(const struct frame *f, struct bytes in, struct reader *body) MUST_CHECK;

#endif

/* The fixed strings of Cryptoki's structs. */
#ifndef MODULE_PAD_H
#define MODULE_PAD_H

#include "base.h"

/* Fills `out` with as many whole UTF-8 characters of the text as fit, then blanks; no NUL (PKCS#11 3.2, 3.1). */
static inline void pad_string(CK_UTF8CHAR *out, size_t n, const char *text)
{
	size_t len = strlen(text);

	if (len > n)
		for (len = n; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	memset(out, ' ', n);
	memcpy(out, text, len);
}

#endif

/* Stands before scrypt_256() (ld's --wrap): the same function with the smallest cost. */
#include "crypto.h"

CK_RV __real_scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret) MUST_CHECK;
CK_RV __wrap_scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret) MUST_CHECK;

CK_RV __wrap_scrypt_256(struct bytes pin, struct bytes salt, uint64_t n, uint32_t r, uint32_t p, struct key256 *ret)
{
	return __real_scrypt_256(pin, salt, MIN(n, (uint64_t)16), r, p, ret);
}

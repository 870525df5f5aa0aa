/* errno × context → CK_RV.  The first row that fits decides; the last row of each context takes the rest. */
#include "err.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "log.h"
#include "rv.h"

#define IN(context) (1u << (context))
#define ANY (IN(KR_CONTEXTS) - 1)
#define KEYS (ANY & ~IN(KR_LOCK))

static const struct {
	int err;
	unsigned contexts;
	CK_RV rv;
	const char *advice;
} rows[] = {
	{EDQUOT, KEYS, CKR_DEVICE_MEMORY, NULL}, /* the advice has numbers: quota_advice() */
	{KR_HOST_MEMORY, ANY, CKR_HOST_MEMORY, "the process is short of memory"},
	{ENOMEM, IN(KR_LOCK), CKR_HOST_MEMORY, "the system is short of memory"},
	{ENOBUFS, IN(KR_LOCK), CKR_HOST_MEMORY, "the system is short of memory"},
	{EMFILE, IN(KR_LOCK), CKR_HOST_MEMORY, "the process has too many open files (see ulimit -n)"},
	{ENFILE, IN(KR_LOCK), CKR_HOST_MEMORY, "the system has too many open files"},
	{ETIMEDOUT, IN(KR_LOCK), CKR_FUNCTION_FAILED, "another process kept the token's lock for 10 seconds (ss -xlp "
						      "shows who has @signet:ring:...)"},
	{EAFNOSUPPORT, IN(KR_LOCK), CKR_FUNCTION_FAILED, "local sockets are blocked here (seccomp, systemd's "
							 "RestrictAddressFamilies=); allow AF_UNIX"},
	{EPERM, IN(KR_LOCK), CKR_FUNCTION_FAILED, "local sockets are blocked here (seccomp or a security module)"},
	{EACCES, IN(KR_LOCK), CKR_FUNCTION_FAILED, "local sockets are blocked here (seccomp or a security module)"},
	{ENOMEM, ANY, CKR_DEVICE_MEMORY, "the kernel is short of memory"},
	{ENFILE, ANY, CKR_DEVICE_MEMORY, "the keyring is full"},

	{ENOKEY, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "there is no such keyring"},
	{EKEYEXPIRED, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "the keyring has expired"},
	{EKEYREVOKED, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "the keyring was revoked"},
	{EACCES, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "the keyring may not be searched (see keyctl show)"},
	{EPERM, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "keyring calls are blocked here (seccomp or a security module)"},
	{ENOSYS, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "this kernel is built without CONFIG_KEYS"},
	{EOPNOTSUPP, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "this kernel has no keyring of that kind"},

	{ENOKEY, IN(KR_RING) | IN(KR_CHANGE), CKR_DEVICE_REMOVED, "the token's keyring is gone"},
	{EKEYEXPIRED, IN(KR_RING) | IN(KR_CHANGE), CKR_DEVICE_REMOVED, "the token's keyring has expired"},
	{EKEYREVOKED, IN(KR_RING) | IN(KR_CHANGE), CKR_DEVICE_REMOVED, "the token's keyring was revoked"},
	{EACCES, IN(KR_RING), CKR_FUNCTION_FAILED, "this thread doesn't possess the token's keyring (keyrings(7))"},

	{ENOKEY, IN(KR_RECORD), CKR_OBJECT_HANDLE_INVALID, "the key is gone"},
	{EKEYEXPIRED, IN(KR_RECORD), CKR_OBJECT_HANDLE_INVALID, "the key has expired"},
	{EKEYREVOKED, IN(KR_RECORD), CKR_OBJECT_HANDLE_INVALID, "the key was revoked"},
	{EACCES, IN(KR_RECORD), CKR_OBJECT_HANDLE_INVALID, "the key may not be read"},

	{ENOKEY, IN(KR_KEY), CKR_FUNCTION_FAILED, "somebody took away a key that is needed; try again"},
	{EKEYEXPIRED, IN(KR_KEY), CKR_FUNCTION_FAILED, "a key that is needed has expired (see keyctl show)"},
	{EKEYREVOKED, IN(KR_KEY), CKR_FUNCTION_FAILED, "a key that is needed was revoked (see keyctl show)"},

	{EACCES, IN(KR_CHANGE), CKR_TOKEN_WRITE_PROTECTED, "the keyring may not be written to (see keyctl rdescribe)"},
	{EPERM, IN(KR_CHANGE), CKR_TOKEN_WRITE_PROTECTED, "keyring changes are blocked here (restricted keyring, "
							   "seccomp or a security module)"},
	{EINVAL, IN(KR_CHANGE), CKR_DEVICE_MEMORY, "the record is larger than this kernel's keys may be"},
	{EMSGSIZE, IN(KR_CHANGE), CKR_DEVICE_MEMORY, "the record is larger than a key may be"},

	{0, IN(KR_PROBE), CKR_TOKEN_NOT_PRESENT, "unexpected; this keyring can't be used"},
	{0, ANY, CKR_FUNCTION_FAILED, "unexpected"},
};

static size_t row_of(enum kr_context context, int err)
{
	size_t i = 0;

	while (!(rows[i].contexts & IN(context)) || (rows[i].err != err && rows[i].err != 0))
		i++;
	return i;
}

CK_RV kr_code(enum kr_context context, int err)
{
	return rows[row_of(context, err)].rv;
}

static void read_limit(const char *path, char out[24])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, 23);

	if (fd >= 0)
		close(fd);
	n = MAX(n, 0);
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* Which limits there are, what they are now, and where they are set. */
static void quota_advice(const char *what)
{
	static const char *const path[2][2] = {
		{"/proc/sys/kernel/keys/maxkeys", "/proc/sys/kernel/keys/maxbytes"},
		{"/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/keys/root_maxbytes"},
	};
	const char *const *p = path[getuid() == 0];
	char keys[24], sum[24];

	read_limit(p[0], keys);
	read_limit(p[1], sum);
	log_error("%s: %s; the user's quota of kernel keys is used up (/proc/key-users): the limits are %s keys (%s) and "
		  "%s bytes (%s); destroy objects or raise them",
		  what, strerrordesc_np(EDQUOT), keys, p[0], sum, p[1]);
}

CK_RV kr_error(enum kr_context context, int err, const char *what)
{
	size_t i = row_of(context, err);

	if (err == KR_HOST_MEMORY) { /* not in ulDeviceError: no device failed */
		log_error("%s: %s", what, rows[i].advice);
		return rows[i].rv;
	}
	fault_note((uint32_t)err);
	if (!rows[i].advice) {
		if (log_wants(LEVEL_ERROR))
			quota_advice(what);
		return rows[i].rv;
	}
	log_error("%s: errno %d (%s); %s", what, err, strerrorname_np(err) ? strerrorname_np(err) : "unknown",
		  rows[i].advice);
	return rows[i].rv;
}

int kr_errno(long result)
{
	return result < 0 ? errno : 0;
}

bool kr_gone(int err)
{
	return err == ENOKEY || err == EACCES || err == EKEYREVOKED || err == EKEYEXPIRED;
}

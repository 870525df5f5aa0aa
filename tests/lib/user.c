#include "user.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Who once had a user keyring stays in /proc/key-users until the machine is started again, and the kernel goes through
 * that list from its beginning for each page that is read: so users are taken again, the first that is free. */
#define FIRST_USER 200000
#define LAST_USER 299999
#define KEYS_THAT_STAY 2 /* the user keyring and the user's session keyring */

/* "UID: USAGE NKEYS/NIKEYS QNKEYS/MAXKEYS QNBYTES/MAXBYTES" */
static struct user_keys keys_of(uid_t uid)
{
	char line[128];
	unsigned long who;
	struct user_keys k = {0}, found = {0};
	FILE *f = fopen("/proc/key-users", "re");

	cr_assert(f, "/proc/key-users: %m");
	while (found.keys == 0 && fgets(line, sizeof line, f))
		if (sscanf(line, " %lu: %*u %u/%*u %*u/%*u %u/", &who, &k.keys, &k.bytes) == 3 && who == uid)
			found = k;
	fclose(f);
	return found;
}

struct user_keys user_keys(void)
{
	return keys_of(geteuid());
}

bool user_keys_fall(struct user_keys most, unsigned seconds)
{
	const struct timespec pause = {0, 5000000};

	for (unsigned i = 0; i < seconds * 200; i++) {
		struct user_keys now = user_keys();
		if (now.keys <= most.keys && now.bytes <= most.bytes)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* The kernel's names of sockets are a table that each process sees at once, and that forgets who died. */
static int claim(uid_t uid)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "signet-tests-user-%lu", (unsigned long)uid);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&name, length) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* Claimed until this process ends; 0 if none could be. */
static uid_t free_user(void)
{
	for (uid_t uid = FIRST_USER; uid <= LAST_USER; uid++) {
		int fd = claim(uid);

		if (fd < 0 && errno != EADDRINUSE)
			return 0;
		if (fd >= 0 && keys_of(uid).keys <= KEYS_THAT_STAY)
			return uid;
		if (fd >= 0)
			close(fd); /* what was left there is its user's still */
	}
	errno = EUSERS;
	return 0;
}

int user_become(const char *directory)
{
	int signal = 0;
	uid_t uid;

	if (geteuid() != 0)
		return ENOTSUP;
	uid = free_user();
	if (uid == 0)
		return errno;
	prctl(PR_GET_PDEATHSIG, &signal);
	if (directory && chown(directory, uid, uid) < 0)
		return errno;
	cr_assert(setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0, "becoming user %lu: %m",
		  (unsigned long)uid);
	/* Another uid loses it, and the test would outlive the runner that is killed. */
	prctl(PR_SET_PDEATHSIG, signal);
	return 0;
}

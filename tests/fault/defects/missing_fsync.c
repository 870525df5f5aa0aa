/* A missing fsync: directories are synced, and what files say is left to the page cache (the linker's --wrap). */
#include <sys/stat.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : __real_fsync(fd);
}

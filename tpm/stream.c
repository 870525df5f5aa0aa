/* The sockets behind the swtpm and mssim TCTIs: reached, found and waited for with a deadline, which those lack. */
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define DEFAULT_HOST "localhost"
#define DEFAULT_PORT 2321
#define SCAN_FDS 256
/* An answer has begun to come: how long its next bytes may take. */
#define GAP_SEC 5

/* A value of the TCTI's configuration, up to the next comma, as far as it fits. */
static bool option(const char *tcti, const char *name, char *out, size_t size)
{
	const char *at = strstr(tcti, name);
	size_t n;

	if (!at)
		return false;
	at += strlen(name);
	n = MIN(strcspn(at, ","), size - 1);
	memcpy(out, at, n);
	out[n] = 0;
	return true;
}

/* The software TPMs with a port for commands and, next to it, one for control; each with a question there that is
 * answered at once, changes nothing, and is the TCTI's own first one or harmless to it. */
struct server {
	const char *tcti;
	uint8_t question[4];
	bool unpollable; /* its TCTI gives no poll handle */
};
static const struct server servers[] = {
	{.tcti = "swtpm", .question = {0, 0, 0, 1}, .unpollable = true}, /* CMD_GET_CAPABILITY */
	{.tcti = "mssim", .question = {0, 0, 0, 11}},                       /* MS_SIM_NV_ON */
};

static const struct server *server_of(const char *tcti)
{
	for (size_t i = 0; i < ARRAY_LEN(servers); i++)
		if (strstr(tcti, servers[i].tcti))
			return &servers[i];
	return NULL;
}

/* 0: none that can be. */
static uint16_t port_of(const char *tcti)
{
	char text[8];
	unsigned long n = DEFAULT_PORT;

	if (option(tcti, "port=", text, sizeof text))
		n = strtoul(text, NULL, 10);
	return n < UINT16_MAX ? (uint16_t)n : 0;
}

void stream_init(struct stream *s, const char *tcti)
{
	const struct server *server = server_of(tcti);

	*s = (struct stream){.fd = -1, .guess = -1};
	if (server && server->unpollable)
		s->port = port_of(tcti);
}

/* ---- before connecting ---- */

static void fd_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static bool wait_for(int fd, short events, int wait_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int r;

	while ((r = poll(&p, 1, wait_ms)) < 0 && errno == EINTR)
		continue;
	return r > 0;
}

static bool address_answers(const struct addrinfo *a, const struct server *server, int wait_ms)
{
	int fd CLEANUP(fd_cleanup) = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return true;
	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
		return true;
	if (!wait_for(fd, POLLOUT, wait_ms))
		return false;
	if (send(fd, server->question, sizeof server->question, MSG_NOSIGNAL) != sizeof server->question)
		return true;
	return wait_for(fd, POLLIN, wait_ms);
}

bool stream_answers(const char *tcti, int wait_ms)
{
	const struct server *server = server_of(tcti);
	uint16_t commands = port_of(tcti);
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char host[256] = DEFAULT_HOST, port[8];
	bool ok;

	if (!server || !commands || strstr(tcti, "path=")) /* a socket without a number */
		return true;
	(void)option(tcti, "host=", host, sizeof host);
	(void)snprintf(port, sizeof port, "%u", commands + 1u);
	if (getaddrinfo(host, port, &hints, &found) != 0 || !found)
		return true;
	ok = address_answers(found, server, wait_ms);
	freeaddrinfo(found);
	return ok;
}

/* ---- one command ---- */

/* The number that the next descriptor of this process gets, if no other thread is faster. */
static int next_fd(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd;
}

void stream_expect(struct stream *s)
{
	if (!s->port)
		return;
	/* Descriptors are given out from the lowest: the last one again if nobody else has it now. */
	s->guess = s->fd >= 0 && fcntl(s->fd, F_GETFD) < 0 ? s->fd : next_fd();
	s->fd = -1;
}

static bool has_peer_port(int fd, uint16_t port)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof a;

	if (fd < 0 || getpeername(fd, (struct sockaddr *)&a, &n) < 0)
		return false;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port) == port;
	return a.ss_family == AF_INET6 && ntohs(((struct sockaddr_in6 *)&a)->sin6_port) == port;
}

/* Another connection of ours to the same TPM may be found: that does no harm. */
static int find_socket(const struct stream *s)
{
	if (has_peer_port(s->guess, s->port))
		return s->guess;
	for (int fd = 0; fd < SCAN_FDS; fd++)
		if (has_peer_port(fd, s->port))
			return fd;
	return -1;
}

void stream_limit(int fd)
{
	static const struct timeval gap = {.tv_sec = GAP_SEC};

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &gap, sizeof gap);
}

int stream_socket(struct stream *s)
{
	if (!s->port)
		return -1;
	if (s->fd < 0) {
		s->fd = find_socket(s);
		if (s->fd >= 0)
			stream_limit(s->fd);
	}
	return s->fd;
}

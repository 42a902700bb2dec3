/*
 * A datagram of lines "NAME=value" to a local socket. libsystemd would do the same, and be one more
 * library in the process that holds everything.
 */
#include "host/readiness.h"

#include "host/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 1, STATUS_MAX = 200, MESSAGE_MAX = STATUS_MAX + 100 };

/* "@NAME" is an abstract socket. 0: it is no address that we know, as those of virtual machines. */
static socklen_t find_address(const char *name, struct sockaddr_un *address)
{
	size_t length = strlen(name);
	if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof(address->sun_path))
		return 0;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, name, length);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	/* A path may have its terminator counted, an abstract name may not. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Whether it has arrived is nothing that we could act upon. */
static void tell(const char *message)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un address;
	const char *name = getenv(READINESS_VARIABLE);
	socklen_t length = name ? find_address(name, &address) : 0;
	ssize_t sent;

	if (length == 0)
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	do
		sent = sendto(fd, message, strlen(message), MSG_NOSIGNAL,
			      (const struct sockaddr *)&address, length);
	while (sent < 0 && errno == EINTR);
	close(fd);
}

int readiness_take_descriptor(int fd, struct why *why)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) {
		flags = -1;
		errno = EBADF;
	}
	if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return why_set(why, "--ready-fd %d: %s", fd, strerror(errno));
	return 0;
}

static void tell_descriptor(int fd)
{
	ssize_t written;
	do
		written = write(fd, "\n", 1);
	while (written < 0 && errno == EINTR);
	close(fd);
}

void readiness_ready(int fd, const char *status)
{
	char message[MESSAGE_MAX];
	snprintf(message, sizeof(message), "READY=1\nMAINPID=%ld\nSTATUS=%.*s\n", (long)getpid(),
		 STATUS_MAX, status);
	tell(message);
	if (fd >= 0)
		tell_descriptor(fd);
}

void readiness_reloading(void)
{
	char message[MESSAGE_MAX];
	snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
		 (unsigned long long)(monotonic_ns() / 1000));
	tell(message);
}

void readiness_status(const char *status)
{
	char message[MESSAGE_MAX];
	snprintf(message, sizeof(message), "STATUS=%.*s\n", STATUS_MAX, status);
	tell(message);
}

void readiness_stopping(void)
{
	tell("STOPPING=1\nSTATUS=ending\n");
}

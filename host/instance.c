#include "host/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64 };

static int fill_address(struct sockaddr_un *address, socklen_t *length, const char *name,
			struct why *why)
{
	size_t octets = strlen(name);
	*length = 0;
	if (octets == 0 || strcmp(name, "@") == 0)
		return why_set(why, "control socket '%s': a name is missing", name);
	/* A path keeps its NUL; an abstract name has one in front instead of '@'. */
	if (octets > sizeof(address->sun_path) - (name[0] == '@' ? 0 : 1))
		return why_set(why, "control socket %.120s...: longer than %zu octets", name,
			       sizeof(address->sun_path) - (name[0] == '@' ? 0 : 1));

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, name, octets);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + octets);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	else
		++*length;
	return 0;
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int bind_private(int fd, const struct sockaddr_un *address, socklen_t length)
{
	mode_t before = umask(0177);
	int result = bind(fd, (const struct sockaddr *)address, length);
	umask(before);
	return result;
}

/* Whether somebody listens there; *pid is 0 where the system does not tell whose it is. */
static bool somebody_listens(const struct sockaddr_un *address, socklen_t length, pid_t *pid)
{
	struct ucred owner = {0};
	socklen_t size = sizeof(owner);
	int fd = new_socket();
	bool found = false;
	*pid = 0;
	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)address, length) == 0) {
		found = true;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0)
			*pid = owner.pid;
	} else {
		/* Too many wait to be accepted, or it is not ours to connect to. */
		found = errno == EAGAIN || errno == EACCES || errno == EPERM;
	}
	close(fd);
	return found;
}

static int already_running(const char *name, pid_t pid, struct why *why)
{
	if (pid > 0)
		return why_set(why, "already running as pid %ld (control socket %s)", (long)pid,
			       name);
	return why_set(why, "already running (control socket %s)", name);
}

/* Two that start at once must not take each other's new file for a stale one. */
static int lock_directory(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	snprintf(copy, sizeof(copy), "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int replace_stale(int fd, const char *path, const struct sockaddr_un *address,
			 socklen_t length, struct why *why)
{
	struct stat status;
	pid_t pid;
	int directory = lock_directory(path);
	if (directory < 0)
		return why_set(why, "control socket %s: cannot lock its directory: %s", path,
			       strerror(errno));

	int result = -1;
	if (somebody_listens(address, length, &pid))
		already_running(path, pid, why);
	else if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
		why_set(why, "control socket %s: there is a file that is not a socket", path);
	else if ((unlink(path) < 0 && errno != ENOENT) || bind_private(fd, address, length) < 0 ||
		 listen(fd, BACKLOG) < 0)
		why_set(why, "control socket %s: %s", path, strerror(errno));
	else
		result = 0;
	close(directory);
	return result;
}

static int claim(int fd, const char *name, const struct sockaddr_un *address, socklen_t length,
		 struct why *why)
{
	pid_t pid;
	if (bind_private(fd, address, length) == 0) {
		if (listen(fd, BACKLOG) == 0)
			return 0;
		return why_set(why, "control socket %s: %s", name, strerror(errno));
	}
	if (errno != EADDRINUSE)
		return why_set(why, "control socket %s: %s", name, strerror(errno));
	if (name[0] != '@')
		return replace_stale(fd, name, address, length, why);
	somebody_listens(address, length, &pid);
	return already_running(name, pid, why);
}

int instance_open(const char *name, struct why *why)
{
	struct sockaddr_un address;
	socklen_t length;
	if (fill_address(&address, &length, name, why) < 0)
		return -1;
	int fd = new_socket();
	if (fd < 0)
		return why_set(why, "control socket %s: %s", name, strerror(errno));
	if (claim(fd, name, &address, length, why) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool instance_find(const char *name, pid_t *pid)
{
	struct sockaddr_un address;
	socklen_t length;
	struct why ignored;
	*pid = 0;
	return fill_address(&address, &length, name, &ignored) == 0 &&
	       somebody_listens(&address, length, pid);
}

void instance_close(int fd, const char *name)
{
	if (fd < 0)
		return;
	/* First the file: whoever comes after the close may have put his own there. */
	if (name[0] != '@')
		unlink(name);
	close(fd);
}

static int fail_call(int fd, const char *name, struct why *why)
{
	int reason = errno;
	if (fd >= 0)
		close(fd);
	if (reason == ECONNREFUSED || reason == ENOENT)
		return why_set(why, "no instance at control socket %s", name);
	if (reason == EAGAIN)
		return why_set(why, "control socket %s: too many wait for an answer", name);
	return why_set(why, "control socket %s: %s", name, strerror(reason));
}

int instance_call(const char *name, unsigned seconds, struct why *why)
{
	const struct timeval limit = {.tv_sec = seconds};
	struct sockaddr_un address;
	socklen_t length;

	if (fill_address(&address, &length, name, why) < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
	    connect(fd, (const struct sockaddr *)&address, length) != 0)
		return fail_call(fd, name, why);
	return fd;
}

/*
 * background: parent -> child (a session of its own) -> grandchild, the daemon.
 *
 * Forking twice, so that the daemon is no session leader and cannot get a controlling terminal by
 * opening one. The middle one ends at once; the parent hears from the daemon through a socket pair
 * (not a pipe: writing to a parent that was interrupted must not raise SIGPIPE).
 */
#include "host/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int parent_end = -1;

int background_standard_descriptors(struct why *why)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return why_set(why, "cannot open /dev/null: %s", strerror(errno));
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

static pid_t wait_for(pid_t pid)
{
	pid_t result;
	do
		result = waitpid(pid, NULL, 0);
	while (result < 0 && errno == EINTR);
	return result;
}

static _Noreturn void parent_main(int fd, pid_t child)
{
	char octet;
	ssize_t n;
	wait_for(child);
	do
		n = read(fd, &octet, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : 1);
}

/* In the child: becomes the daemon, or never returns. The parent sees a failure as an end of file,
 * so it is told here. */
static void leave_session(void)
{
	static const char failed[] = "cannot go into the background\n";
	pid_t pid = setsid() < 0 ? -1 : fork();
	if (pid < 0 && write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
		_exit(1);
	if (pid != 0)
		_exit(pid < 0);
}

int background_begin(struct why *why)
{
	int ends[2];
	if (background_standard_descriptors(why) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return why_set(why, "cannot go into the background: %s", strerror(errno));
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0) {
		why_set(why, "cannot go into the background: %s", strerror(errno));
		close(ends[0]);
		close(ends[1]);
		return -1;
	}
	if (pid > 0) {
		close(ends[1]);
		parent_main(ends[0], pid);
	}
	close(ends[0]);
	leave_session();
	parent_end = ends[1];
	return 0;
}

int background_ready(struct why *why)
{
	if (parent_end < 0)
		return 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return why_set(why, "cannot open /dev/null: %s", strerror(errno));
	ssize_t sent = send(parent_end, "r", 1, MSG_NOSIGNAL);
	if (sent != 1) {
		close(null);
		return why_set(why, "whoever started it did not wait until it was ready");
	}
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
	close(parent_end);
	parent_end = -1;
	return 0;
}

static int write_pid(int fd)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	ssize_t n = write(fd, text, (size_t)length);
	if (n >= 0 && n < length)
		errno = ENOSPC;
	return n == length ? 0 : -1;
}

int background_pid_file_write(const char *path, struct why *why)
{
	char *new_path = NULL;
	if (asprintf(&new_path, "%s.%ld", path, (long)getpid()) < 0)
		return why_set(why, "no memory for the pid file's name");

	/* One of an earlier process that had our pid. */
	unlink(new_path);
	int fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	int result = fd < 0 ? -1 : write_pid(fd);
	if (result == 0)
		result = rename(new_path, path);
	if (result < 0)
		why_set(why, "cannot write pid file %.200s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && result < 0)
		unlink(new_path);
	free(new_path);
	return result;
}

void background_pid_file_remove(const char *path)
{
	char text[32] = "";
	if (!path)
		return;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0 && strtol(text, NULL, 10) == (long)getpid())
		unlink(path);
}

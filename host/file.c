#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_SIZE = 4096 };

/* What stat says of the size may be nothing (/proc), or no more true: reads until the end. */
static char *read_all(int fd, size_t max, size_t *length)
{
	char *text = NULL;
	size_t size = 0;
	*length = 0;
	for (;;) {
		/* One octet for the NUL; and one more than max, to see that it is too large. */
		if (*length + 1 >= size) {
			size = size == 0 ? FIRST_SIZE : 2 * size;
			char *larger = realloc(text, size);
			if (!larger)
				break;
			text = larger;
		}
		ssize_t n = read(fd, text + *length, size - 1 - *length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		*length += (size_t)n;
		text[*length] = '\0';
		if (n == 0 || *length > max)
			return text;
	}
	free(text);
	return NULL;
}

/* Not waiting for anybody to write: what the path leads to is only known once it is open. */
static int open_regular(const char *path, struct why *why)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return why_set(why, "cannot read %.200s: %s", path, strerror(errno));
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	close(fd);
	return why_set(why, "cannot read %.200s: it is not a regular file", path);
}

char *file_read(const char *path, size_t max, size_t *length, struct why *why)
{
	*length = 0;
	int fd = open_regular(path, why);
	if (fd < 0)
		return NULL;
	size_t found;
	char *text = read_all(fd, max, &found);
	if (!text)
		why_set(why, "cannot read %.200s: %s", path, strerror(errno));
	close(fd);
	if (text && found > max) {
		why_set(why, "cannot read %.200s: it is larger than %zu octets", path, max);
		free(text);
		return NULL;
	}
	*length = text ? found : 0;
	return text;
}

int file_check_new(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;
	struct stat status;

	if (strlen(path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	snprintf(directory, sizeof(directory), "%.*s", (int)length, path);
	if (length == 0)
		strcpy(directory, slash ? "/" : ".");
	if (stat(directory, &status) != 0)
		return -1;
	if (!S_ISDIR(status.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	return access(directory, W_OK | X_OK);
}

int file_check_append(const char *path)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return errno == ENOENT ? file_check_new(path) : -1;
	if (S_ISDIR(status.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	return access(path, W_OK);
}

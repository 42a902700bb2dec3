/*
 * Something that a unit tries in a child, as it cannot be undone.
 *
 *   static void loses_its_rights(void) { CHILD_CHECK(setuid(0) != 0); }
 *   ...
 *   struct child child;
 *   child_run(&child, loses_its_rights);
 *   child_assert_good(&child);
 *
 * The child's standard error, and what it writes to child_report_fd, are kept. One that does not
 * end is killed by its own alarm.
 */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 60, CHILD_TEXT_MAX = 8192 };

struct child {
	int status;
	char said[CHILD_TEXT_MAX], reported[CHILD_TEXT_MAX];
};

static int child_report_fd = -1;

/* In the child. */
#define CHILD_FAIL(...)                                                                            \
	do {                                                                                       \
		dprintf(STDERR_FILENO, __VA_ARGS__);                                               \
		_exit(1);                                                                          \
	} while (0)
#define CHILD_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			CHILD_FAIL("line %d: %s", __LINE__, #condition);                           \
	} while (0)

static inline void child_read(int fd, char text[static CHILD_TEXT_MAX])
{
	size_t length = 0;
	ssize_t n;
	while ((n = read(fd, text + length, CHILD_TEXT_MAX - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	close(fd);
}

static inline void child_run(struct child *child, void (*body)(void))
{
	int said[2], reported[2];
	if (pipe(said) != 0 || pipe(reported) != 0)
		abort();
	pid_t pid = fork();
	if (pid == 0) {
		alarm(CHILD_SECONDS);
		close(said[0]);
		close(reported[0]);
		dup2(said[1], STDERR_FILENO);
		close(said[1]);
		child_report_fd = reported[1];
		body();
		_exit(0);
	}
	close(said[1]);
	close(reported[1]);
	child_read(said[0], child->said);
	child_read(reported[0], child->reported);
	if (pid < 0 || waitpid(pid, &child->status, 0) != pid)
		abort();
}

#define child_assert_good(child)                                                                   \
	do {                                                                                       \
		if ((child)->status != 0)                                                          \
			fail_msg("status %#x: %s", (unsigned)(child)->status, (child)->said);      \
	} while (0)

#define CHILD_SKIP(...)                                                                            \
	do {                                                                                       \
		print_message("# skipped: " __VA_ARGS__);                                          \
		print_message("\n");                                                               \
		skip();                                                                            \
	} while (0)

#define CHILD_NEEDS_ROOT()                                                                         \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			CHILD_SKIP("needs root");                                                  \
	} while (0)

#endif

#include "doctor/doctor_command.h"

#include "host/command.h"
#include "host/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	OUTPUT_MAX = 16 << 20,
	PATH_ROOM = 4096,
	KILLED_MS = 1000, /* for one that was killed to be gone */
	LOOK_MS = 5,	  /* between two looks whether it is; a pidfd would need Linux 5.3 */
};

/* Whoever is not root seldom has the directories of system programs in it. */
static const char system_path[] = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

static bool search(const char *path, const char *name, char out[static PATH_ROOM])
{
	while (path && *path) {
		size_t length = strcspn(path, ":");
		int needed = snprintf(out, PATH_ROOM, "%.*s/%s", (int)length, path, name);
		/* A relative directory depends on where somebody happens to stand. */
		if (path[0] == '/' && needed < PATH_ROOM && access(out, X_OK) == 0)
			return true;
		path += length + (path[length] == ':');
	}
	return false;
}

struct output {
	char *text;
	size_t length;
};

static bool append(struct output *output, const char *octets, size_t length)
{
	char *text = realloc(output->text, output->length + length + 1);
	if (!text)
		return false;
	memcpy(text + output->length, octets, length);
	output->text = text;
	output->length += length;
	text[output->length] = '\0';
	return true;
}

/* Up to the end of file. That is not the program's end: it may close its output and stay. */
static int gather(int fd, struct output *output, uint64_t end, const char *name, struct why *why)
{
	char piece[65536];
	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		uint64_t now = monotonic_ms();
		int ready = now < end ? poll(&wait, 1, (int)(end - now)) : 0;
		if (ready == 0)
			return why_set(why, "%s has not ended in time, and was killed", name);
		/* After a signal there may be nothing, which would be waited for without end. */
		ssize_t got = ready > 0 ? read(fd, piece, sizeof(piece)) : -1;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return why_set(why, "%s: %s", name, strerror(errno));
		if (!append(output, piece, (size_t)got))
			return why_set(why, "%s: no memory for what it prints", name);
		if (got == 0)
			return 0;
		if (output->length > OUTPUT_MAX)
			return why_set(why, "%s prints more than %d MiB", name, OUTPUT_MAX >> 20);
	}
}

/* Whether it has ended by then. */
static bool await_end(pid_t pid, uint64_t end, int *status)
{
	for (;;) {
		pid_t ended = waitpid(pid, status, WNOHANG);
		if (ended == pid)
			return true;
		if (monotonic_ms() >= end)
			return false;
		poll(NULL, 0, LOOK_MS);
	}
}

static int judge(int status, const struct output *output, const char *name, struct why *why)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return why_set(why, "%s ended by signal %d", name, WTERMSIG(status));
	return why_set(why, "%s ended with status %d: %.*s", name, WEXITSTATUS(status),
		       (int)strcspn(output->text, "\n"), output->text);
}

/* All of it. One that hangs in the kernel is left behind even so. */
static void end_it(pid_t pid)
{
	int status;
	kill(-pid, SIGKILL);
	await_end(pid, monotonic_ms() + KILLED_MS, &status);
}

static int run(char *const *words, uint64_t end, const char *name, struct output *output,
	       struct why *why)
{
	static char locale[] = "LC_ALL=C", path[sizeof(system_path) + 5];
	char *const environment[] = {locale, path, NULL};
	int ends[2], status;
	pid_t pid;

	snprintf(path, sizeof(path), "PATH=%s", system_path);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return why_set(why, "%s: %s", name, strerror(errno));
	int error = command_start(&pid, words, environment, ends[1], NULL);
	close(ends[1]);
	if (error != 0) {
		close(ends[0]);
		return why_set(why, "%s: %s", name, strerror(error));
	}
	int result = gather(ends[0], output, end, name, why);
	close(ends[0]);
	if (result == 0 && !await_end(pid, end, &status))
		result = why_set(why, "%s has not ended in time, and was killed", name);
	if (result == 0)
		return judge(status, output, name, why);
	end_it(pid);
	return result;
}

enum doctor_command_answer doctor_command_run(const char *const *words, unsigned ms, char **output,
					      struct why *why)
{
	uint64_t end = monotonic_ms() + ms;
	enum { WORDS = 16 };
	char path[PATH_ROOM], *copies[WORDS + 1] = {path};
	struct output got = {0};

	*output = NULL;
	if (!search(getenv("PATH"), words[0], path) && !search(system_path, words[0], path))
		return DOCTOR_COMMAND_MISSING;
	for (size_t i = 1; words[i] && i < WORDS; i++)
		copies[i] = (char *)words[i]; /* execve changes nothing in them */
	if (run(copies, end, words[0], &got, why) != 0) {
		free(got.text);
		return DOCTOR_COMMAND_FAILED;
	}
	*output = got.text;
	return DOCTOR_COMMAND_OK;
}

/*
 * What it says on standard error is the failure; its end of file, and then its status, the end.
 */
#include "keeper/keeper_trial.h"

#include "host/log.h"
#include "keeper/keeper_spawn.h"
#include "keeper/letter.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 10, SAID_MAX = 400 };

struct keeper_trial {
	pid_t pid;
	int output;
	struct event *readable, *deadline;
	bool late;
	char said[SAID_MAX];
	size_t length;
	keeper_trial_done *done;
	void *arg;
};

static void trial_free(struct keeper_trial *trial)
{
	if (trial->pid > 0) {
		kill(trial->pid, SIGKILL);
		waitpid(trial->pid, NULL, 0);
	}
	if (trial->readable)
		event_free(trial->readable);
	if (trial->deadline)
		event_free(trial->deadline);
	if (trial->output >= 0)
		close(trial->output);
	free(trial);
}

void keeper_trial_cancel(struct keeper_trial *trial)
{
	if (trial)
		trial_free(trial);
}

/* Without our own name, which whoever tells it puts before. */
static const char *first_line(char *said)
{
	static const char prefix[] = "pptpproxy: ";
	said[strcspn(said, "\n")] = '\0';
	return strncmp(said, prefix, strlen(prefix)) == 0 ? said + strlen(prefix) : said;
}

static void finish(struct keeper_trial *trial)
{
	keeper_trial_done *done = trial->done;
	void *arg = trial->arg;
	char said[SAID_MAX], escaped[SAID_MAX];
	struct why why;
	int status = 0;

	if (trial->late)
		kill(trial->pid, SIGKILL);
	pid_t reaped = waitpid(trial->pid, &status, 0);
	trial->pid = 0;
	trial->said[trial->length] = '\0';
	memcpy(said, trial->said, sizeof(said));
	bool late = trial->late;
	trial_free(trial);

	if (late)
		why_set(&why, "no answer in %d s", PATIENCE_S);
	else if (reaped > 0 && WIFSIGNALED(status))
		why_set(&why, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (*said)
		why_set(&why, "%s",
			log_escape(escaped, sizeof(escaped), first_line(said), SAID_MAX));
	else
		why_set(&why, "exit status %d", WEXITSTATUS(status));
	done(arg, !late && reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL
										       : why.text);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_trial *trial = arg;
	char octets[512];
	(void)what;
	ssize_t got = read(fd, octets, sizeof(octets));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		finish(trial);
		return;
	}
	size_t room = sizeof(trial->said) - 1 - trial->length;
	size_t taken = (size_t)got < room ? (size_t)got : room;
	memcpy(trial->said + trial->length, octets, taken);
	trial->length += taken;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_trial *trial = arg;
	(void)fd, (void)what;
	trial->late = true;
	finish(trial);
}

static int start(struct keeper_trial *trial, struct event_base *base, const char *path,
		 int letter_fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char check[] = "--check", *words[] = {(char *)(uintptr_t)path, check, NULL};
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return errno;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	trial->output = ends[0];
	trial->readable = event_new(base, ends[0], EV_READ | EV_PERSIST, on_readable, trial);
	trial->deadline = evtimer_new(base, on_deadline, trial);
	int error = ENOMEM;
	if (trial->readable && trial->deadline && event_add(trial->readable, NULL) == 0 &&
	    event_add(trial->deadline, &patience) == 0)
		error = keeper_spawn(&trial->pid, path, words, letter_fd, ends[1]);
	close(ends[1]);
	return error;
}

struct keeper_trial *keeper_trial_start(struct event_base *base, const char *path, int letter_fd,
					keeper_trial_done *done, void *arg, struct why *why)
{
	struct keeper_trial *trial = calloc(1, sizeof(*trial));
	int error = ENOMEM;
	if (trial) {
		trial->output = -1;
		trial->done = done;
		trial->arg = arg;
		error = start(trial, base, path, letter_fd);
		if (error == 0)
			return trial;
		trial->pid = 0;
		trial_free(trial);
	}
	why_set(why, "%.300s: %s", path, strerror(error));
	return NULL;
}

/*
 * What it says on standard error is the failure; that it has died, the end. Not the output's end of
 * file: it may close that and go on, or leave a process behind that does not.
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
	struct event *readable, *child, *deadline;
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
	if (trial->child)
		event_free(trial->child);
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

/* False: nothing more is there now. */
static bool read_some(struct keeper_trial *trial)
{
	char octets[512];
	ssize_t got = read(trial->output, octets, sizeof(octets));
	if (got < 0 && errno == EINTR)
		return true;
	if (got == 0)
		event_del(trial->readable);
	if (got <= 0)
		return false;
	size_t room = sizeof(trial->said) - 1 - trial->length;
	size_t taken = (size_t)got < room ? (size_t)got : room;
	memcpy(trial->said + trial->length, octets, taken);
	trial->length += taken;
	return true;
}

/* NULL: it could. */
static const char *tell_failure(struct keeper_trial *trial, int status, struct why *why)
{
	char escaped[SAID_MAX];

	trial->said[trial->length] = '\0';
	if (trial->late)
		why_set(why, "no answer in %d s", PATIENCE_S);
	else if (WIFSIGNALED(status))
		why_set(why, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 0)
		return NULL;
	else if (trial->length > 0)
		why_set(why, "%s",
			log_escape(escaped, sizeof(escaped), first_line(trial->said), SAID_MAX));
	else
		why_set(why, "exit status %d", WEXITSTATUS(status));
	return why->text;
}

/* It has been reaped. */
static void finish(struct keeper_trial *trial, int status)
{
	keeper_trial_done *done = trial->done;
	void *arg = trial->arg;
	struct why why;

	trial->pid = 0;
	for (int reads = 0; reads < SAID_MAX && read_some(trial); reads++)
		;
	const char *failure = tell_failure(trial, status, &why);
	trial_free(trial);
	done(arg, failure);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	read_some(arg);
}

static void on_child(evutil_socket_t number, short what, void *arg)
{
	struct keeper_trial *trial = arg;
	int status;
	(void)number, (void)what;
	if (waitpid(trial->pid, &status, WNOHANG) == trial->pid)
		finish(trial, status);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_trial *trial = arg;
	(void)fd, (void)what;
	trial->late = true;
	kill(trial->pid, SIGKILL); /* on_child hears of it */
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
	trial->child = evsignal_new(base, SIGCHLD, on_child, trial);
	trial->deadline = evtimer_new(base, on_deadline, trial);
	int error = ENOMEM;
	if (trial->readable && trial->child && trial->deadline &&
	    event_add(trial->readable, NULL) == 0 && event_add(trial->child, NULL) == 0 &&
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

#include "acl/acl_cmd_process.h"

#include "host/command.h"
#include "host/log.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	/* Octets of one command's output that reach the log, and that are read at all. */
	LOGGED_MAX = 16 * 1024,
	READ_MAX = 1024 * 1024,
	/* Longer lines of it are logged in pieces. */
	OUTPUT_LINE_MAX = 200,
	/* Of acl_cmd_process_end_all, a millisecond each. */
	REAP_TRIES = 200,
};

struct acl_cmd_process {
	TAILQ_ENTRY(acl_cmd_process) entry;
	struct acl_cmd_processes *processes;
	const char *label, *name;
	void *arg;
	bool abandoned; /* only to be reaped: the two lines above are of no use */
	pid_t pid;
	int output; /* read end of the pipe, or -1 */
	struct event *readable, *deadline;
	bool expired;
	size_t taken; /* octets of output so far */
	size_t length;
	char line[OUTPUT_LINE_MAX];
};

/* Output. */

static void log_line(struct acl_cmd_process *process)
{
	char text[OUTPUT_LINE_MAX * 4 + 1];
	if (process->length > 0 && !process->abandoned)
		log_debug("%s %s: %s", process->label, process->name,
			  log_escape(text, sizeof(text), process->line, process->length));
	process->length = 0;
}

static void take_octet(struct acl_cmd_process *process, char octet)
{
	if (process->taken++ >= LOGGED_MAX)
		return;
	if (octet == '\n' || process->length == sizeof(process->line))
		log_line(process);
	if (octet != '\n')
		process->line[process->length++] = octet ? octet : ' ';
	if (process->taken == LOGGED_MAX) {
		log_line(process);
		if (!process->abandoned)
			log_debug("%s %s: what else it says is left out", process->label,
				  process->name);
	}
}

static void output_close(struct acl_cmd_process *process)
{
	log_line(process);
	if (process->readable)
		event_free(process->readable);
	process->readable = NULL;
	if (process->output >= 0)
		close(process->output);
	process->output = -1;
}

/* Takes one piece of output; false if there is no more, now or ever. */
static bool read_output(struct acl_cmd_process *process)
{
	char octets[8 * 1024];
	if (process->output < 0)
		return false;
	ssize_t n = read(process->output, octets, sizeof(octets));
	for (ssize_t i = 0; i < n; i++)
		take_octet(process, octets[i]);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		output_close(process);
	return n > 0 && process->taken < READ_MAX;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct acl_cmd_process *process = arg;
	read_output(process);
	/* One that never stops talking is left to wait for its deadline. */
	if (process->readable && process->taken >= READ_MAX)
		event_del(process->readable);
}

/* Life. */

static void on_deadline(evutil_socket_t fd, short what, void *arg);

static void process_free(struct acl_cmd_process *process)
{
	output_close(process);
	if (process->deadline)
		event_free(process->deadline);
	TAILQ_REMOVE(&process->processes->all, process, entry);
	free(process);
}

static struct acl_cmd_process *process_new(struct acl_cmd_processes *processes,
					   const struct acl_cmd_order *order)
{
	struct acl_cmd_process *process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	process->processes = processes;
	process->label = order->label;
	process->name = order->words->words[0];
	process->arg = order->arg;
	process->output = -1;
	process->deadline = evtimer_new(processes->base, on_deadline, process);
	TAILQ_INSERT_TAIL(&processes->all, process, entry);
	if (!process->deadline) {
		process_free(process);
		return NULL;
	}
	return process;
}

static int start_with_words(struct acl_cmd_process *process, char **words, char *const *environment)
{
	const struct acl_cmd_processes *processes = process->processes;
	const struct timeval timeout = {.tv_sec = processes->timeout_s};
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	/* Our end only: the command's blocks, as it expects. */
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	process->output = ends[0];
	process->readable =
	    event_new(processes->base, ends[0], EV_READ | EV_PERSIST, on_readable, process);

	int error = ENOMEM;
	if (process->readable && event_add(process->readable, NULL) == 0 &&
	    evtimer_add(process->deadline, &timeout) == 0)
		error = command_start(&process->pid, words, environment, ends[1], processes->as);
	close(ends[1]);
	return error;
}

int acl_cmd_process_start(struct acl_cmd_processes *processes, const struct acl_cmd_order *order,
			  struct acl_cmd_process **started)
{
	const struct acl_cmd_words *command = order->words;
	struct acl_cmd_process *process = process_new(processes, order);
	char **words = calloc(command->count + 2, sizeof(*words));
	int error = ENOMEM;
	if (process && words) {
		memcpy(words, command->words, command->count * sizeof(*words));
		words[command->count] = order->address;
		error = start_with_words(process, words, order->environment);
	}
	free(words);
	if (error) {
		if (process)
			process_free(process);
		return error;
	}
	*started = process;
	processes->running++;
	return 0;
}

static void process_kill(struct acl_cmd_process *process)
{
	kill(-process->pid, SIGKILL);
}

/* If the process has ended, frees it and tells its owner. */
static bool process_reap(struct acl_cmd_process *process)
{
	struct acl_cmd_processes *processes = process->processes;
	void *arg = process->abandoned ? NULL : process->arg;
	bool expired = process->expired;
	int status = -1;
	pid_t pid = waitpid(process->pid, &status, WNOHANG);
	if (pid == 0 || (pid < 0 && errno != ECHILD))
		return false;

	/* What is there, not up to the end: a grandchild may hold the other end. */
	while (read_output(process))
		;
	process_free(process);
	processes->running--;
	processes->ended(processes->ended_arg, arg, status, expired);
	return true;
}

void acl_cmd_process_reap_all(struct acl_cmd_processes *processes)
{
	struct acl_cmd_process *process, *following;
	for (process = TAILQ_FIRST(&processes->all); process; process = following) {
		following = TAILQ_NEXT(process, entry);
		process_reap(process);
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct acl_cmd_process *process = arg;
	/* It may have ended in this very turn of the loop. */
	if (process_reap(process))
		return;
	process->expired = true;
	process_kill(process);
}

void acl_cmd_process_abandon(struct acl_cmd_process *process)
{
	process_kill(process);
	event_del(process->deadline);
	output_close(process);
	process->abandoned = true;
}

/* After SIGKILL a status is a matter of moments, but not of none. */
static void reap(pid_t pid, int *tries)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	while (waitpid(pid, NULL, WNOHANG) == 0 && --*tries > 0)
		nanosleep(&moment, NULL);
}

void acl_cmd_process_end_all(struct acl_cmd_processes *processes)
{
	struct acl_cmd_process *process;
	int tries = REAP_TRIES; /* for all of them together */
	TAILQ_FOREACH(process, &processes->all, entry)
	{
		process_kill(process);
	}
	while ((process = TAILQ_FIRST(&processes->all))) {
		reap(process->pid, &tries);
		process_free(process);
	}
}

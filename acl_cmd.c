/*
 * acl_cmd: a check asks one command after the other; a process (acl_cmd_process) is one command
 * that runs.
 *
 *   check: waiting -> active (one process after the other) -> ended -> done
 *
 * They are two objects, because a cancelled check is gone at once, while its process takes its
 * place until the system has given back its status. done is called from on_pump only, as its last
 * act, because it may free anything, the runner too.
 */
#include "acl_cmd.h"

#include "acl/acl_cmd_process.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>

enum {
	REASONS_MAX = 320,
	/* Of checks that wait, by their clients' addresses. Those who share one share its fate. */
	SOURCES = 1021,
};

enum { ENV_PATH, ENV_CLIENT, ENV_LISTEN, ENV_PEER, ENV_COUNT };

TAILQ_HEAD(checks, acl_cmd_check);

struct acl_cmd_check {
	TAILQ_ENTRY(acl_cmd_check) entry, in_source;
	struct acl_cmd *runner;
	struct source *source;		 /* its client's */
	struct checks *list;		 /* where it stands */
	struct acl_cmd_process *process; /* or NULL */
	size_t next;			 /* the command that is asked, or to be asked next */
	bool asked;			 /* one of them ran at all */
	enum acl_answer answer;		 /* once ended */
	char reasons[REASONS_MAX];
	char address[INET_ADDRSTRLEN];
	char *environment[ENV_COUNT + 1];
	char *label;
	acl_cmd_done *done;
	void *arg;
};

/* Its checks that wait, oldest first. */
struct source {
	struct checks waiting;
	size_t count;
};

struct acl_cmd {
	struct acl_cmd_config config;
	struct event *child; /* SIGCHLD */
	struct event *pump;  /* there may be a place for one that waits, or a done to call */
	struct checks waiting, active, ended;
	size_t waiting_count;
	struct source sources[SOURCES];
	struct acl_cmd_processes processes;
};

/* Checks. */

static void enter_source(struct acl_cmd_check *check)
{
	TAILQ_INSERT_TAIL(&check->source->waiting, check, in_source);
	check->source->count++;
	check->runner->waiting_count++;
}

static void leave_source(struct acl_cmd_check *check)
{
	TAILQ_REMOVE(&check->source->waiting, check, in_source);
	check->source->count--;
	check->runner->waiting_count--;
}

static void check_leave(struct acl_cmd_check *check)
{
	if (!check->list)
		return;
	TAILQ_REMOVE(check->list, check, entry);
	if (check->list == &check->runner->waiting)
		leave_source(check);
	check->list = NULL;
}

static void check_free(struct acl_cmd_check *check)
{
	check_leave(check);
	for (size_t i = 0; i < ENV_COUNT; i++)
		free(check->environment[i]);
	free(check->label);
	free(check);
}

static void check_move(struct acl_cmd_check *check, struct checks *list)
{
	check_leave(check);
	TAILQ_INSERT_TAIL(list, check, entry);
	check->list = list;
	if (list == &check->runner->waiting)
		enter_source(check);
	event_active(check->runner->pump, EV_TIMEOUT, 0);
}

static void check_end(struct acl_cmd_check *check, enum acl_answer answer)
{
	check->answer = answer;
	check_move(check, &check->runner->ended);
}

static const char *command_name(const struct acl_cmd_check *check)
{
	return check->runner->config.commands[check->next].words[0];
}

/* Several commands' reasons stand in one line; what does not fit is left out. */
__attribute__((format(printf, 2, 3))) static void add_reason(struct acl_cmd_check *check,
							     const char *format, ...)
{
	size_t used = strlen(check->reasons);
	va_list args;
	if (used > 0 && used + 2 < sizeof(check->reasons)) {
		memcpy(check->reasons + used, "; ", 3);
		used += 2;
	}
	va_start(args, format);
	vsnprintf(check->reasons + used, sizeof(check->reasons) - used, format, args);
	va_end(args);
}

/* A check goes on. */

static int start_next(struct acl_cmd_check *check)
{
	const struct acl_cmd_order order = {
	    .words = &check->runner->config.commands[check->next],
	    .address = check->address,
	    .environment = check->environment,
	    .label = check->label,
	    .arg = check,
	};
	return acl_cmd_process_start(&check->runner->processes, &order, &check->process);
}

static void ask_next(struct acl_cmd_check *check)
{
	for (; check->next < check->runner->config.count; check->next++) {
		int error = start_next(check);
		if (error == 0) {
			check->asked = true;
			return;
		}
		add_reason(check, "%.100s: cannot be started: %s", command_name(check),
			   strerror(error));
	}
	check_end(check, check->asked ? ACL_DENY : ACL_ERROR);
}

/* What the end of its process means to a check; status -1: somebody else has taken it. */
static void judge(struct acl_cmd_check *check, int status, bool expired)
{
	const char *name = command_name(check);
	if (!expired && status == 0) {
		check->reasons[0] = '\0';
		add_reason(check, "%.100s said yes", name);
		check_end(check, ACL_ALLOW);
		return;
	}
	if (expired)
		add_reason(check, "%.100s: no answer in %u s", name,
			   check->runner->config.timeout_s);
	else if (status == -1)
		add_reason(check, "%.100s: its exit status is lost", name);
	else if (WIFEXITED(status))
		add_reason(check, "%.100s: exit status %d", name, WEXITSTATUS(status));
	else
		add_reason(check, "%.100s: ended by signal %d", name, WTERMSIG(status));
	check->next++;
	ask_next(check);
}

static void on_ended(void *ended_arg, void *arg, int status, bool expired)
{
	struct acl_cmd *runner = ended_arg;
	struct acl_cmd_check *check = arg;
	event_active(runner->pump, EV_TIMEOUT, 0);
	if (!check)
		return;
	check->process = NULL;
	judge(check, status, expired);
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct acl_cmd *runner = arg;
	acl_cmd_process_reap_all(&runner->processes);
}

static void deliver(struct acl_cmd_check *check)
{
	acl_cmd_done *done = check->done;
	void *arg = check->arg;
	enum acl_answer answer = check->answer;
	size_t which = check->next;
	char reasons[REASONS_MAX];
	memcpy(reasons, check->reasons, sizeof(reasons));
	check_free(check);
	done(arg, answer, which, reasons);
}

/* One step a turn; each asks for the next turn before it is taken. */
static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct acl_cmd *runner = arg;
	struct acl_cmd_check *waiting = TAILQ_FIRST(&runner->waiting);
	struct acl_cmd_check *ended = TAILQ_FIRST(&runner->ended);
	if (waiting && runner->processes.running < runner->config.parallel) {
		check_move(waiting, &runner->active);
		ask_next(waiting);
	} else if (ended) {
		event_active(runner->pump, EV_TIMEOUT, 0);
		deliver(ended);
	}
}

/* From outside. */

static int fill_environment(struct acl_cmd_check *check, const struct acl_cmd_client *client)
{
	static const char *const names[ENV_COUNT] = {
	    [ENV_PATH] = "PATH",
	    [ENV_CLIENT] = "PPTPPROXY_CLIENT",
	    [ENV_LISTEN] = "PPTPPROXY_LISTEN",
	    [ENV_PEER] = "PPTPPROXY_PEER",
	};
	const char *path = getenv("PATH");
	const char *const values[ENV_COUNT] = {
	    [ENV_PATH] = path ? path : ACL_CMD_DEFAULT_PATH,
	    [ENV_CLIENT] = client->client,
	    [ENV_LISTEN] = client->listen,
	    [ENV_PEER] = client->peer,
	};
	for (size_t i = 0; i < ENV_COUNT; i++) {
		if (asprintf(&check->environment[i], "%s=%s", names[i], values[i]) < 0) {
			check->environment[i] = NULL;
			return -1;
		}
	}
	return 0;
}

/* Those that can start at once wait only for the next turn of the loop. */
static bool is_full(const struct acl_cmd *runner)
{
	const struct acl_cmd_config *config = &runner->config;
	size_t free_places = config->parallel - runner->processes.running;
	return config->waiting_max > 0 &&
	       runner->waiting_count >= config->waiting_max + free_places;
}

static void deny_unasked(struct acl_cmd_check *check, const char *more)
{
	add_reason(check, "%u clients wait for access commands already (--max-waiting-checks)%s",
		   check->runner->config.waiting_max, more);
	check_end(check, ACL_ERROR);
}

static struct source *busiest(struct acl_cmd *runner)
{
	struct source *found = &runner->sources[0];
	for (size_t i = 1; i < SOURCES; i++) {
		if (runner->sources[i].count > found->count)
			found = &runner->sources[i];
	}
	return found;
}

/* One source must not take all of the queue. It keeps no less than whom it makes room for. */
static bool make_room(struct acl_cmd *runner, const struct source *newcomer)
{
	struct source *source;
	if (!is_full(runner))
		return true;
	source = busiest(runner);
	if (source->count <= newcomer->count + 1)
		return false;
	deny_unasked(TAILQ_FIRST(&source->waiting), ", most of them at its address");
	return true;
}

struct acl_cmd_check *acl_cmd_start(struct acl_cmd *runner, const struct acl_cmd_client *client,
				    acl_cmd_done *done, void *arg)
{
	struct acl_cmd_check *check = calloc(1, sizeof(*check));
	if (!check)
		return NULL;
	check->runner = runner;
	check->done = done;
	check->arg = arg;
	check->label = strdup(client->label);
	if (!check->label || fill_environment(check, client) < 0) {
		check_free(check);
		return NULL;
	}
	struct in_addr addr_be = {.s_addr = htonl(client->addr)};
	inet_ntop(AF_INET, &addr_be, check->address, sizeof(check->address));
	check->source = &runner->sources[client->addr % SOURCES];
	if (make_room(runner, check->source))
		check_move(check, &runner->waiting);
	else
		deny_unasked(check, "");
	return check;
}

void acl_cmd_cancel(struct acl_cmd_check *check)
{
	if (!check)
		return;
	if (check->process)
		acl_cmd_process_abandon(check->process);
	check_free(check);
}

struct acl_cmd *acl_cmd_new(struct event_base *base, const struct acl_cmd_config *config,
			    struct why *why)
{
	struct acl_cmd *runner = calloc(1, sizeof(*runner));
	if (!runner) {
		why_set(why, "no memory for the external commands");
		return NULL;
	}
	runner->config = *config;
	TAILQ_INIT(&runner->waiting);
	TAILQ_INIT(&runner->active);
	TAILQ_INIT(&runner->ended);
	for (size_t i = 0; i < SOURCES; i++)
		TAILQ_INIT(&runner->sources[i].waiting);
	runner->processes = (struct acl_cmd_processes){
	    .base = base,
	    .timeout_s = config->timeout_s,
	    .as = config->as,
	    .ended = on_ended,
	    .ended_arg = runner,
	};
	TAILQ_INIT(&runner->processes.all);

	/* Whoever started us may have blocked it. */
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_UNBLOCK, &child, NULL);
	runner->child = evsignal_new(base, SIGCHLD, on_child, runner);
	runner->pump = event_new(base, -1, 0, on_pump, runner);
	if (!runner->child || !runner->pump || evsignal_add(runner->child, NULL) < 0) {
		why_set(why, "cannot watch the external commands");
		acl_cmd_free(runner);
		return NULL;
	}
	return runner;
}

static void free_all(struct checks *checks)
{
	struct acl_cmd_check *check;
	while ((check = TAILQ_FIRST(checks)))
		check_free(check);
}

void acl_cmd_free(struct acl_cmd *runner)
{
	if (!runner)
		return;
	acl_cmd_process_end_all(&runner->processes);
	free_all(&runner->waiting);
	free_all(&runner->active);
	free_all(&runner->ended);
	if (runner->child)
		event_free(runner->child);
	if (runner->pump)
		event_free(runner->pump);
	free(runner);
}

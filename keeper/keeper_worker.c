#include "keeper/keeper_worker.h"

#include "host/monotonic.h"
#include "keeper/keeper_spawn.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* More than so many deaths in that time, and the next start waits. */
enum { DEATHS = 10, DEATHS_MS = 10000, PAUSE_S = 1 };

/* What a worker asks for is answered at once, so one that listens has never more to take. */
enum { WAITING_MAX = 16384 };

/* The image that runs now, whatever has become of its file since. */
#define OWN_IMAGE "/proc/self/exe"

struct keeper_worker {
	struct event_base *base;
	struct keeper_worker_events events;
	struct link *link;
	struct event *child, *deadline;
	pid_t pid;   /* 0: none */
	bool reaped; /* the number may be anybody's; what it said is still to be heard */
	bool ready, was_ready;
	uint64_t deaths[DEATHS + 1]; /* when; a ring */
	unsigned death_count;
};

/* ---- death ---- */

static void on_gone(void *arg)
{
	(void)arg; /* SIGCHLD tells more */
}

static void bury(struct keeper_worker *worker, int status)
{
	pid_t pid = worker->pid;
	bool was_ready;

	worker->reaped = true;
	/* What it said last may still lie in the socket. */
	link_drain(worker->link);
	link_close(worker->link);
	worker->link = NULL;
	event_del(worker->deadline);
	was_ready = worker->ready;
	worker->pid = 0;
	worker->ready = false;
	worker->was_ready = was_ready;
	worker->deaths[worker->death_count++ % (DEATHS + 1)] = monotonic_ms();
	worker->events.ended(worker->events.arg, pid, status, was_ready);
}

static void on_child(evutil_socket_t number, short what, void *arg)
{
	struct keeper_worker *worker = arg;
	int status;
	(void)number, (void)what;
	if (worker->pid > 0 && waitpid(worker->pid, &status, WNOHANG) == worker->pid)
		bury(worker, status);
}

void keeper_worker_kill(struct keeper_worker *worker)
{
	if (worker->pid > 0 && !worker->reaped)
		kill(worker->pid, SIGKILL);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	keeper_worker_kill(arg);
}

void keeper_worker_kill_in(struct keeper_worker *worker, unsigned seconds)
{
	struct timeval after = {.tv_sec = seconds};
	if (worker->pid > 0 && event_add(worker->deadline, &after) != 0)
		keeper_worker_kill(worker); /* else perhaps never */
}

unsigned keeper_worker_pause_s(const struct keeper_worker *worker)
{
	/* The oldest of the ring is the one that the next death will replace. */
	uint64_t oldest = worker->deaths[worker->death_count % (DEATHS + 1)];
	bool too_many = worker->death_count > DEATHS && monotonic_ms() - oldest < DEATHS_MS;
	return worker->was_ready && !too_many ? 0 : PAUSE_S;
}

/* ---- birth ---- */

int keeper_worker_start(struct keeper_worker *worker, struct letter *letter, struct why *why)
{
	char name[] = "pptpproxy: worker", *words[] = {name, NULL};
	int ends[2];

	if (link_pair(ends) != 0)
		return why_set(why, "cannot start a worker: %s", strerror(errno));
	letter->to = LETTER_TO_WORKER;
	letter->link = ends[1];
	int fd = letter_write(letter, why);
	int error = fd < 0 ? 0 : keeper_spawn(&worker->pid, OWN_IMAGE, words, fd, -1);
	close(ends[1]);
	if (fd >= 0)
		close(fd);
	if (fd < 0 || error != 0) {
		worker->pid = 0;
		close(ends[0]);
		return fd < 0 ? -1
			      : why_set(why, "cannot start a worker: %s: %s", OWN_IMAGE,
					strerror(error));
	}
	worker->ready = worker->was_ready = worker->reaped = false;
	worker->link = link_open(worker->base, ends[0], true, worker->events.received, on_gone,
				 worker->events.arg);
	if (worker->link)
		return 0;
	kill(worker->pid, SIGKILL);
	waitpid(worker->pid, NULL, 0);
	worker->pid = 0;
	return why_set(why, "cannot start a worker: no memory");
}

pid_t keeper_worker_pid(const struct keeper_worker *worker)
{
	return worker->pid;
}

bool keeper_worker_is_ready(const struct keeper_worker *worker)
{
	return worker->ready;
}

void keeper_worker_note_ready(struct keeper_worker *worker)
{
	worker->ready = true;
}

int keeper_worker_send(struct keeper_worker *worker, const struct link_message *message)
{
	if (!worker->link) {
		errno = ESRCH;
		return -1;
	}
	if (link_waiting(worker->link) >= WAITING_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	return link_send(worker->link, message);
}

struct keeper_worker *keeper_worker_new(struct event_base *base,
					const struct keeper_worker_events *events, struct why *why)
{
	struct keeper_worker *worker = calloc(1, sizeof(*worker));
	if (worker) {
		worker->base = base;
		worker->events = *events;
		worker->child = evsignal_new(base, SIGCHLD, on_child, worker);
		worker->deadline = evtimer_new(base, on_deadline, worker);
	}
	if (worker && worker->child && worker->deadline && event_add(worker->child, NULL) == 0)
		return worker;
	keeper_worker_free(worker);
	why_set(why, "worker: no memory");
	return NULL;
}

void keeper_worker_free(struct keeper_worker *worker)
{
	if (!worker)
		return;
	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		waitpid(worker->pid, NULL, 0);
	}
	link_close(worker->link);
	if (worker->child)
		event_free(worker->child);
	if (worker->deadline)
		event_free(worker->deadline);
	free(worker);
}

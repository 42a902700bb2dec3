/*
 * keeper_worker: the worker as a process: started with a letter, heard, and missed when it dies.
 *
 *   none -> starting -> ready -> (death) -> none
 *
 * Restarts are the keeper's decision; how soon they may be is told here. Thread: main.
 */
#ifndef KEEPER_WORKER_H
#define KEEPER_WORKER_H

#include "host/why.h"
#include "keeper/letter.h"
#include "keeper/link.h"

#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct keeper_worker;

struct keeper_worker_events {
	/* What it says; descriptors that come with it are the callee's. */
	void (*received)(void *arg, const struct link_message *message);
	/* It has died, and all that it has said has been heard: status as by waitpid. May start
	 * another. */
	void (*ended)(void *arg, pid_t pid, int status, bool was_ready);
	void *arg;
};

struct keeper_worker *keeper_worker_new(struct event_base *base,
					const struct keeper_worker_events *events, struct why *why);
void keeper_worker_free(struct keeper_worker *worker); /* kills it if it runs; NULL is fine */

/* Executes our own program again; the letter's link is filled in. 0, or -1 with a sentence. None
 * may run. */
int keeper_worker_start(struct keeper_worker *worker, struct letter *letter, struct why *why);

pid_t keeper_worker_pid(const struct keeper_worker *worker); /* 0: none runs */
bool keeper_worker_is_ready(const struct keeper_worker *worker);
void keeper_worker_note_ready(struct keeper_worker *worker);

/* As link_send; ESRCH where none runs, ENOBUFS where it has left thousands of messages untaken. */
int keeper_worker_send(struct keeper_worker *worker, const struct link_message *message);

void keeper_worker_kill(struct keeper_worker *worker); /* SIGKILL, if it runs */

/* The same, if it has not ended after so many seconds. */
void keeper_worker_kill_in(struct keeper_worker *worker, unsigned seconds);

/* After a death: how many seconds to wait before the next start. 0 where the dead one had been
 * ready, unless too many have died lately. */
unsigned keeper_worker_pause_s(const struct keeper_worker *worker);

#endif

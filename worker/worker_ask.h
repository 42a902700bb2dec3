/*
 * worker_ask: what can be asked of the worker at the local socket, and what can be told it: the
 * table of verbs, and their handlers. How a caller is heard is status_ask's business.
 *
 *   show calls|pairs|totals [json]     lines of fields separated by tabs, the first one names
 *                                      them; or as the status page has it
 *   end CALL                           ends a call, in order (see control_relay_end_call)
 *   tap CALL|CLIENT|all                its messages and packets, as long as there are any
 *
 * Thread: control thread.
 */
#ifndef WORKER_ASK_H
#define WORKER_ASK_H

#include "host/why.h"
#include "status/status_maker.h"

struct control_relay;
struct event_base;
struct worker_ask;
struct worker_tap;

/* Pointers outlive it. */
struct worker_ask_config {
	struct event_base *base;
	int fd; /* the control socket; stays the caller's */
	struct control_relay *control;
	struct worker_tap *taps;
	status_look *look; /* as it is now */
	void *arg;
};

/* NULL with a sentence. */
struct worker_ask *worker_ask_open(const struct worker_ask_config *config, struct why *why);
void worker_ask_close(struct worker_ask *ask); /* NULL is fine */

#endif

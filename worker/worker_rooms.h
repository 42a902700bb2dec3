/*
 * worker_rooms: the rooms that carry calls, and those that tell of them: begun in order, handed
 * what the configuration says, ended in order.
 *
 * One of the worker's pieces, see worker_own.h. Thread: control thread, which starts the GRE
 * thread here.
 */
#ifndef WORKER_ROOMS_H
#define WORKER_ROOMS_H

#include "control_relay.h"
#include "host/why.h"
#include "options.h"

struct worker;

/* All of them go on where an earlier worker stopped. Waits for the keeper. 0, or -1 with a
 * sentence. */
int worker_rooms_open(struct worker *worker, struct why *why);
void worker_rooms_close(struct worker *worker); /* in any half-born state */

/* What these options say to the relay, which outlive its use of them. */
void worker_rooms_configure_control(struct worker *worker, const struct options *options,
				    struct control_relay_config *config);

/* As the configuration in use has it. */
void worker_rooms_use_capture(struct worker *worker);

/* Listening sockets that neither a pair nor the page uses go; the event base runs one turn. */
void worker_rooms_drop_sockets(struct worker *worker);

/* At the end, in the log. */
void worker_rooms_tell_totals(const struct worker *worker);

#endif

/*
 * worker_legs: both legs of connections that outlive the worker: given to the keeper to hold, and
 * found again in the next worker's letter.
 *
 * Thread: control thread.
 */
#ifndef WORKER_LEGS_H
#define WORKER_LEGS_H

#include "host/why.h"
#include "keeper/letter.h"

#include <stdbool.h>
#include <stdint.h>

struct worker_wishes;

struct worker_legs {
	const struct letter *letter;
	struct worker_wishes *wishes;
	bool *asked; /* for each of the letter's legs: the relay goes on with them */
};

/* letter and wishes outlive it. 0, or -1 with a sentence. */
int worker_legs_open(struct worker_legs *legs, const struct letter *letter,
		     struct worker_wishes *wishes, struct why *why);
void worker_legs_free(struct worker_legs *legs); /* half-born is fine */

/* As struct control_keeping wants them; arg: a struct worker_legs. */
int worker_legs_keep(void *arg, uint32_t index, const int fds[2]);
void worker_legs_release(void *arg, uint32_t index);
bool worker_legs_find(void *arg, uint32_t index, int fds[2]);

/* All connections have begun: legs that no record asked for are closed, by the keeper too. */
void worker_legs_close_unasked(struct worker_legs *legs);

#endif

/*
 * worker_change: the configuration as letters bring it, the first one and another. ARCHITECTURE.md,
 * "A reload", draws it.
 *
 * One of the worker's pieces, see worker_own.h. Thread: control thread; the main loop, as all
 * may wait for the keeper.
 */
#ifndef WORKER_CHANGE_H
#define WORKER_CHANGE_H

#include "host/why.h"
#include "keeper/configuration.h"
#include "keeper/letter.h"

struct worker;

/* For worker_change_free; NULL with a sentence. */
struct configuration *worker_change_read(const struct letter *letter, struct why *why);
void worker_change_free(struct configuration *configuration); /* NULL is fine */

/* file: what the keeper has opened, taken over; -1: it is not to be a file. 0, or -1 with a
 * sentence. */
int worker_change_open_log(const struct options *options, int file, struct why *why);

/* Takes up the letter that has come, whole or not at all, and answers the keeper. */
void worker_change_use(struct worker *worker);

#endif

/*
 * worker: the process that talks to the network: birth and death of everything in it, in order.
 * worker_own.h draws its pieces.
 *
 * Started by the keeper with a letter. It gives up all rights before it reads the first octet, goes
 * on where an earlier worker stopped, and asks the keeper for what it may not do itself.
 *
 * main thread = control thread: one libevent loop. The GRE thread and the log's writer are started
 * and ended from here.
 */
#ifndef WORKER_H
#define WORKER_H

#include "keeper/letter.h"

/* Runs until the keeper says that it may end, or is gone. Returns the exit status. */
int worker_run(const struct letter *letter);

#endif

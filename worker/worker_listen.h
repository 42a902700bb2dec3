/*
 * worker_listen: the listening sockets that the keeper has bound for us, and holds duplicates of:
 * pairs' and the status page's.
 *
 * They outlive the worker, so the first ones are the letter's. Thread: control thread.
 */
#ifndef WORKER_LISTEN_H
#define WORKER_LISTEN_H

#include "host/why.h"
#include "keeper/letter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker_listening;
struct worker_wishes;

struct worker_listen {
	struct worker_wishes *wishes;
	struct worker_listening *sockets;
	size_t count;
};

/* Takes the letter's over. wishes outlives it. 0, or -1 with a sentence. */
int worker_listen_open(struct worker_listen *listen, const struct letter *letter,
		       struct worker_wishes *wishes, struct why *why);
void worker_listen_free(struct worker_listen *listen); /* sockets stay open; half-born is fine */

/* The socket at this address, which stays ours; the keeper is asked, and waited for, where there is
 * none, or where name, the address in the user's words, is another one. -1 with a sentence. */
int worker_listen_get(struct worker_listen *listen, uint32_t addr, uint16_t port, const char *name,
		      struct why *why);

/* Which address somebody of this name listens on; false: nobody does. */
bool worker_listen_address(const struct worker_listen *listen, const char *name, uint32_t *addr);

/* Closes sockets that nobody uses any more, and has the keeper do so; the event base runs one turn.
 * is_used: whether somebody listens there. */
void worker_listen_drop(struct worker_listen *listen,
			bool (*is_used)(void *arg, uint32_t addr, uint16_t port), void *arg);

#endif

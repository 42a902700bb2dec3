/*
 * worker_drops: says in the log, while packets are being dropped, how many and why.
 *
 * Strangers make drops at will, so there is one line a minute at most, for all reasons together.
 * Thread: control thread.
 */
#ifndef WORKER_DROPS_H
#define WORKER_DROPS_H

#include "reason.h"

#include <stdint.h>

enum { WORKER_DROPS_MS = 60000 };

struct worker_drops {
	uint64_t told[REASON_PACKET_COUNT]; /* up to these counts */
	uint64_t told_at;		    /* monotonic ms; 0: not yet */
};

/* What was dropped before is not told. */
void worker_drops_begin(struct worker_drops *drops, const uint64_t counts[REASON_PACKET_COUNT]);

/* To be called once a second or so: tells what is new, at once if it has been quiet. */
void worker_drops_look(struct worker_drops *drops, const uint64_t counts[REASON_PACKET_COUNT],
		       uint64_t now);

#endif

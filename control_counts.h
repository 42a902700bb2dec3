/*
 * control_counts: how many connections and messages came to what end, by the names of reason.h:
 * since the keeper's start, over workers and versions.
 *
 * Lies in the kept memory, in the section KEPT_COUNTS: single words that only grow, in no
 * transaction. What a dead worker had not kept went without being counted. Thread: control thread.
 */
#ifndef CONTROL_COUNTS_H
#define CONTROL_COUNTS_H

#include "reason.h"

#include <stdint.h>

struct control_counts {
	uint64_t accepted;		    /* connections, whatever became of them */
	uint64_t calls_opened, calls_ended; /* ended: of those */
	uint64_t messages;		    /* passed on */
	uint64_t message_drops[REASON_MESSAGE_COUNT];
	uint64_t refusals[REASON_REFUSAL_COUNT];
	uint64_t ends[REASON_END_COUNT];
};

#endif

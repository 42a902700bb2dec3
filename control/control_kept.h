/*
 * control_kept: what outlives the process of connections that have, or had, a call.
 *
 * Such a connection is "kept": all that it takes to go on with it lies in a record in the kept
 * memory, and somebody else (the keeper) holds duplicates of its descriptors. A connection becomes
 * kept before its first Call-Request is handled, and stays so until it ends. Others end with the
 * process, and cost nothing here.
 *
 * Thread: control thread.
 */
#ifndef CONTROL_KEPT_H
#define CONTROL_KEPT_H

#include "call_snoop.h"
#include "control/control_leg.h"
#include "host/kept.h"
#include "host/why.h"
#include "reason.h"

enum { CONTROL_RECORDS_MAX = 1 << 18 };

/* Of one connection, in the section KEPT_CONNECTIONS. */
struct control_record {
	bool used; /* written last, and first when the connection ends */
	bool closing, established;
	uint32_t dropped, unopened;
	uint32_t pair; /* control_pairs_number */
	uint64_t number;
	struct {
		struct control_address proxy, peer;
	} ends[2];
	struct call_snoop_record snoop;
	struct control_leg_record legs[2];
};

/* What a relay is given, so that connections may outlive it. Callbacks must not call back. */
struct control_keeping {
	struct kept *kept; /* outlives the relay. NULL: nothing is kept, and the rest is not looked
			      at */
	/* From its return on somebody else holds duplicates of both legs' descriptors, client's and
	 * server's, as number index (below CONTROL_RECORDS_MAX), until he is told to let go of
	 * them. -1: he does not; the connection is not kept then. */
	int (*keep)(void *arg, uint32_t index, const int fds[2]);
	void (*release)(void *arg, uint32_t index);
	/* At the start, once for each connection of the process before: its descriptors (CLOEXEC,
	 * the relay's from now on; they stay duplicates of those held). False: there are none, the
	 * connection is lost. What is held and not asked for belongs to no connection: whoever
	 * holds it is to close it. */
	bool (*fds)(void *arg, uint32_t index, int fds[2]);
	void *arg;
};

/* How many connections and messages came to what end: since the keeper's start, over workers and
 * versions. In the section KEPT_COUNTS: single words that only grow, in no transaction. What ended
 * with a dead worker, not kept, is in accepted only. */
struct control_counts {
	uint64_t accepted;		    /* connections, whatever became of them */
	uint64_t calls_opened, calls_ended; /* ended: of those */
	uint64_t messages;		    /* passed on */
	uint64_t message_drops[REASON_MESSAGE_COUNT];
	uint64_t refusals[REASON_REFUSAL_COUNT];
	uint64_t ends[REASON_END_COUNT];
};

struct control_kept;

/* NULL with a sentence. keeping is copied; its kept is not NULL. */
struct control_kept *control_kept_new(const struct control_keeping *keeping, struct why *why);
void control_kept_free(struct control_kept *kept); /* the memory stays; NULL is fine */

/* A new connection's number, kept or not: they go on over processes. */
uint64_t control_kept_next_number(struct control_kept *kept);

/* A free record, zero, for a connection with these descriptors, which are held from now on. NULL:
 * there is none, or nobody holds them; the log knows. The caller fills it, and sets used last. */
struct control_record *control_kept_take(struct control_kept *kept, const int fds[2]);

/* The connection has ended, its calls have; the descriptors are let go of. */
void control_kept_release(struct control_kept *kept, struct control_record *record);

/* Of the process before: tells of each used record with its descriptors. One without is free
 * afterwards, and the log knows; returned is how many these are. Once, before the first
 * control_kept_take. */
size_t control_kept_each(struct control_kept *kept,
			 void (*told)(void *arg, struct control_record *record, const int fds[2]),
			 void *arg);

/* The memory that records lie in. */
struct kept *control_kept_memory(const struct control_kept *kept);

#endif

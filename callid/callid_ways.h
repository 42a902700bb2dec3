/*
 * callid_ways: the ways of packets: made under an ID that is chosen for them, found by it, and the
 * quarantine in which the ID rests.
 *
 * callid_db's own. Thread: the table's writer, but for callid_ways_find.
 */
#ifndef CALLID_WAYS_H
#define CALLID_WAYS_H

#include "callid/callid_own.h"

/* Whatever its state, quarantine included; or NULL. Readers within read_begin and _end, too. */
struct callid_way *callid_ways_find(const struct callid_db *db, const struct callid_key *key);

/* Makes the way of packets from a side, keyed by an ID chosen for it, towards the other side under
 * the ID that side assigned. 0, or -1 with ENOSPC or ENOMEM. */
int callid_ways_add(struct callid_db *db, struct callid_call *call, enum callid_side from,
		    enum callid_way_state state);

/* Of a call whose facts are known: the way of packets from that side becomes one that a look-up
 * finds. */
void callid_ways_enter(struct callid_db *db, struct callid_way *way, struct callid_space *space);

/* A closing way goes to the end of the quarantine's lists. */
void callid_ways_rest(struct callid_db *db, struct callid_way *way);

/* The end of its quarantine; the call's slot is free with its last way. */
void callid_ways_free(struct callid_db *db, struct callid_way *way);

/* When a closing way's call ended. */
static inline uint64_t callid_ways_closed_at(const struct callid_way *way)
{
	return way->call->record->facts.closed_at[way->from];
}

#endif

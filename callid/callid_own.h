/*
 * callid_own: what the table consists of, and how it is changed. callid_db's own, shared by it
 * and by callid_slots, callid_ways and callid_restore; nobody else includes it.
 *
 * Calls live in slots that never move; their two ways are indexed by what a packet shows. What
 * outlives the process is a record for each slot; the rest is rebuilt from those.
 *
 * The lock is a reader-writer one that prefers the writer: the writer changes a few pointers under
 * it, a reader holds it for the look-ups of one batch. Seqlocks and RCU were weighed: they save the
 * reader one atomic operation a batch, which no measurement can find behind the system calls around
 * it.
 */
#ifndef CALLID_OWN_H
#define CALLID_OWN_H

#include "callid/callid_space.h"
#include "callid_db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

enum callid_way_state { CALLID_WAY_NONE, CALLID_WAY_HELD, CALLID_WAY_OPEN, CALLID_WAY_CLOSING };

/* Written by the one thread that looks packets up; zero again with each new way. */
struct callid_counters {
	_Atomic uint64_t packets, octets, drops, seen_at;
};

/* What outlives the process of the slot. The counters are in a line of their own for each way, and
 * in no transaction. */
struct callid_record {
	_Alignas(32) struct callid_counters counters[2];
	struct callid_facts {
		uint32_t generation;
		bool live, open;
		uint8_t caller, note;
		uint8_t states[2]; /* enum callid_way_state */
		uint16_t id[2], shown[2];
		struct callid_leg legs[2];
		uint64_t connection, reserved_at, opened_at, closed_at[2];
	} facts;
};

/* Of the records there are so many. */
struct callid_table {
	uint32_t chunks;
};

/* The way of packets from one side. */
struct callid_way {
	/* what a look-up reads: one line, and the counters' */
	_Alignas(64) struct callid_node node;
	struct callid_key key;
	uint16_t to_call_id;
	uint8_t state, from;
	uint32_t to_proxy_addr, to_peer_addr;
	callid_ref ref;
	struct callid_counters *counters;

	struct callid_node shown; /* by our address and the ID, whoever the peer */

	/* the writer's own */
	struct callid_call *call;
	struct callid_space *space;
	TAILQ_ENTRY(callid_way) in_closing, in_space_closing;
};

struct callid_call {
	struct callid_way ways[2]; /* by the side that the packets come from */
	struct callid_record *record;
	uint32_t slot;
	bool watched;
	SLIST_ENTRY(callid_call) in_free;
};

struct callid_db {
	pthread_rwlock_t lock;
	struct callid_index ways, shown;
	uint64_t generation;

	/* the writer's own; chunks is read under the lock */
	struct kept *kept;	       /* NULL: none, and the records are the heap's */
	struct callid_record *records; /* kept's */
	struct callid_table *table;    /* kept's */
	struct callid_call *chunks[CALLID_CHUNKS_MAX];
	size_t chunk_count;
	SLIST_HEAD(, callid_call) free_calls;
	struct callid_spaces spaces;
	TAILQ_HEAD(, callid_way) closing; /* oldest first */
	_Atomic size_t live_count, closing_count;
	struct {
		callid_observer *call;
		void *arg;
	} observers[CALLID_OBSERVERS_MAX];
	size_t observer_count;
	callid_counter *counter;
	void *counter_arg;
};

/* What readers see changes between these two, and the generation with it. */
static inline void callid_write_begin(struct callid_db *db)
{
	pthread_rwlock_wrlock(&db->lock);
	db->generation++;
}

static inline void callid_write_end(struct callid_db *db)
{
	pthread_rwlock_unlock(&db->lock);
}

/* A transaction of the kept memory, or the part of one that a caller has open. True: it is ours to
 * end. */
static inline bool callid_change_begin(struct callid_db *db)
{
	if (kept_is_open(db->kept))
		return false;
	kept_begin(db->kept);
	return true;
}

static inline void callid_change_end(struct callid_db *db, bool ours)
{
	if (ours)
		kept_commit(db->kept);
}

/* The call's facts, which are about to change. */
static inline struct callid_facts *callid_change(struct callid_db *db, struct callid_call *call)
{
	kept_save(db->kept, &call->record->facts, sizeof(call->record->facts));
	return &call->record->facts;
}

#endif

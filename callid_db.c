/*
 * Calls live in slots that never move; their two ways are indexed by what a packet shows. What
 * outlives the process is a record for each slot; the rest is rebuilt from those.
 *
 * The lock is a reader-writer one that prefers the writer: the writer changes a few pointers under
 * it, a reader holds it for the look-ups of one batch. Seqlocks and RCU were weighed: they save the
 * reader one atomic operation a batch, which no measurement can find behind the system calls around
 * it.
 */
#include "callid_db.h"

#include "callid/callid_index.h"
#include "callid/callid_space.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum way_state { WAY_NONE, WAY_HELD, WAY_OPEN, WAY_CLOSING };

/* Written by the one thread that looks packets up; zero again with each new way. */
struct counters {
	_Atomic uint64_t packets, octets, drops, seen_at;
};

/* What outlives the process of the slot. The counters are in a line of their own for each way, and
 * in no transaction. */
struct callid_record {
	_Alignas(32) struct counters counters[2];
	struct facts {
		uint32_t generation;
		bool live, open;
		uint8_t caller, note;
		uint8_t states[2]; /* enum way_state */
		uint16_t id[2], shown[2];
		struct callid_leg legs[2];
		uint64_t connection, reserved_at, opened_at, closed_at[2];
	} facts;
};

/* Of the records there are so many. */
struct table {
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
	struct counters *counters;

	struct callid_node shown; /* by our address and the ID, whoever the peer */

	/* the writer's own */
	struct call *call;
	struct callid_space *space;
	TAILQ_ENTRY(callid_way) in_closing, in_space_closing;
};

struct call {
	struct callid_way ways[2]; /* by the side that the packets come from */
	struct callid_record *record;
	uint32_t slot;
	bool watched;
	SLIST_ENTRY(call) in_free;
};

struct callid_db {
	pthread_rwlock_t lock;
	struct callid_index ways, shown;
	uint64_t generation;

	/* the writer's own; chunks is read under the lock */
	struct kept *kept;	       /* NULL: none, and the records are the heap's */
	struct callid_record *records; /* kept's */
	struct table *table;	       /* kept's */
	struct call *chunks[CALLID_CHUNKS_MAX];
	size_t chunk_count;
	SLIST_HEAD(, call) free_calls;
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

static void write_begin(struct callid_db *db)
{
	pthread_rwlock_wrlock(&db->lock);
	db->generation++;
}

static void write_end(struct callid_db *db)
{
	pthread_rwlock_unlock(&db->lock);
}

/* True: the transaction is ours to end. */
static bool change_begin(struct callid_db *db)
{
	if (kept_is_open(db->kept))
		return false;
	kept_begin(db->kept);
	return true;
}

static void change_end(struct callid_db *db, bool ours)
{
	if (ours)
		kept_commit(db->kept);
}

/* The call's facts, which are about to change. */
static struct facts *change(struct callid_db *db, struct call *call)
{
	kept_save(db->kept, &call->record->facts, sizeof(call->record->facts));
	return &call->record->facts;
}

/* ---- observers ---- */

void callid_db_observe(struct callid_db *db, callid_observer *observer, void *arg)
{
	assert(db->observer_count < CALLID_OBSERVERS_MAX);
	db->observers[db->observer_count].call = observer;
	db->observers[db->observer_count++].arg = arg;
}

void callid_db_count_also(struct callid_db *db, callid_counter *counter, void *arg)
{
	assert(!db->counter);
	db->counter = counter;
	db->counter_arg = arg;
}

static void tell(struct callid_db *db, callid_ref call, enum callid_event event)
{
	for (size_t i = 0; i < db->observer_count; i++)
		db->observers[i].call(db->observers[i].arg, call, event);
}

/* ---- calls and references ---- */

static callid_ref ref_of(const struct call *call)
{
	return (uint64_t)call->record->facts.generation << 32 | call->slot;
}

static struct call *call_at(const struct callid_db *db, uint32_t slot)
{
	return &db->chunks[slot / CALLID_SLOTS_A_CHUNK][slot % CALLID_SLOTS_A_CHUNK];
}

static struct call *call_of(const struct callid_db *db, callid_ref ref)
{
	uint32_t slot = (uint32_t)ref;
	if (slot / CALLID_SLOTS_A_CHUNK >= db->chunk_count)
		return NULL;
	struct call *call = call_at(db, slot);
	const struct facts *facts = &call->record->facts;
	return facts->live && facts->generation == ref >> 32 ? call : NULL;
}

/* Records of that chunk: kept's, or the heap's. NULL: no memory. */
static struct callid_record *chunk_records(struct callid_db *db, size_t chunk)
{
	enum { OCTETS = CALLID_SLOTS_A_CHUNK * sizeof(struct callid_record) };
	struct callid_record *records;
	if (!db->kept) {
		records = aligned_alloc(_Alignof(struct callid_record), OCTETS);
		return records ? memset(records, 0, OCTETS) : NULL;
	}
	records = db->records + chunk * CALLID_SLOTS_A_CHUNK;
	return kept_provide(db->kept, records, OCTETS) == 0 ? records : NULL;
}

/* Of the slots that nobody has. */
static int add_chunk(struct callid_db *db)
{
	enum { OCTETS = CALLID_SLOTS_A_CHUNK * sizeof(struct call) };
	struct callid_record *records = NULL;
	struct call *chunk = NULL;

	if (db->chunk_count < CALLID_CHUNKS_MAX)
		records = chunk_records(db, db->chunk_count);
	if (records)
		chunk = aligned_alloc(_Alignof(struct call), OCTETS);
	if (!chunk) {
		if (!db->kept)
			free(records);
		errno = ENOMEM;
		return -1;
	}
	memset(chunk, 0, OCTETS);
	for (uint32_t i = 0; i < CALLID_SLOTS_A_CHUNK; i++) {
		struct call *call = &chunk[i];
		call->slot = (uint32_t)(db->chunk_count * CALLID_SLOTS_A_CHUNK) + i;
		call->record = &records[i];
		for (int side = 0; side < 2; side++) {
			call->ways[side].call = call;
			call->ways[side].from = (uint8_t)side;
			call->ways[side].counters = &records[i].counters[side];
		}
	}
	write_begin(db);
	db->chunks[db->chunk_count++] = chunk;
	write_end(db);
	return 0;
}

/* Its slots that no call has, quarantine included, the lowest first. */
static void free_slots(struct callid_db *db, size_t chunk)
{
	for (uint32_t i = CALLID_SLOTS_A_CHUNK; i-- > 0;) {
		struct call *call = &db->chunks[chunk][i];
		const struct facts *facts = &call->record->facts;
		if (facts->states[0] == WAY_NONE && facts->states[1] == WAY_NONE)
			SLIST_INSERT_HEAD(&db->free_calls, call, in_free);
	}
}

static int grow(struct callid_db *db)
{
	if (add_chunk(db) != 0)
		return -1;
	if (db->table)
		db->table->chunks = (uint32_t)db->chunk_count;
	free_slots(db, db->chunk_count - 1);
	return 0;
}

static struct call *take_call(struct callid_db *db)
{
	if (SLIST_EMPTY(&db->free_calls) && grow(db) != 0)
		return NULL;
	struct call *call = SLIST_FIRST(&db->free_calls);
	SLIST_REMOVE_HEAD(&db->free_calls, in_free);
	return call;
}

static void read_counts(const struct counters *from, struct callid_counts *counts)
{
	*counts = (struct callid_counts){
	    .packets = atomic_load_explicit(&from->packets, memory_order_relaxed),
	    .octets = atomic_load_explicit(&from->octets, memory_order_relaxed),
	    .drops = atomic_load_explicit(&from->drops, memory_order_relaxed),
	    .seen_at = atomic_load_explicit(&from->seen_at, memory_order_relaxed),
	};
}

static void read_info(const struct call *call, struct callid_info *info)
{
	const struct facts *facts = &call->record->facts;
	*info = (struct callid_info){
	    .connection = facts->connection,
	    .open = facts->open,
	    .released = facts->states[!facts->caller] == WAY_OPEN,
	    .watched = call->watched,
	    .note = facts->note,
	    .caller = (enum callid_side)facts->caller,
	    .legs = {facts->legs[0], facts->legs[1]},
	    .id = {facts->id[0], facts->id[1]},
	    .reserved_at = facts->reserved_at,
	    .opened_at = facts->opened_at,
	};
	for (int side = 0; side < 2; side++) {
		if (facts->states[side] == WAY_NONE)
			continue;
		info->shown[side] = facts->shown[side];
		read_counts(&call->record->counters[side], &info->from[side]);
	}
}

static void count_elsewhere(const struct callid_db *db, callid_ref ref, struct callid_info *info)
{
	if (db->counter)
		db->counter(db->counter_arg, ref, info->from);
}

/* ---- ways ---- */

static struct callid_way *find_way(const struct callid_db *db, const struct callid_key *key)
{
	uint32_t hash =
	    callid_space_hash(&db->spaces, key->proxy_addr, key->peer_addr, key->call_id);
	for (struct callid_node *node = callid_index_first(&db->ways, hash); node;
	     node = node->next) {
		struct callid_way *way = (struct callid_way *)node;
		if (node->hash == hash && way->key.call_id == key->call_id &&
		    way->key.peer_addr == key->peer_addr && way->key.proxy_addr == key->proxy_addr)
			return way;
	}
	return NULL;
}

static bool free_in_space(const void *arg, const struct callid_leg *leg, uint16_t id)
{
	return !find_way(arg, &(struct callid_key){leg->proxy_addr, leg->peer_addr, id});
}

/* The end of a way's quarantine. */
static void free_way(struct callid_db *db, struct callid_way *way)
{
	struct call *call = way->call;
	struct callid_space *space = way->space;
	struct facts *facts = change(db, call);

	write_begin(db);
	callid_index_del(&db->ways, &way->node);
	callid_index_del(&db->shown, &way->shown);
	way->state = facts->states[way->from] = WAY_NONE;
	write_end(db);
	TAILQ_REMOVE(&db->closing, way, in_closing);
	TAILQ_REMOVE(&space->closing, way, in_space_closing);
	db->closing_count--;
	callid_space_give_back(space, way->key.call_id);
	if (facts->states[0] == WAY_NONE && facts->states[1] == WAY_NONE)
		SLIST_INSERT_HEAD(&db->free_calls, call, in_free);
}

/* A free one, else the one that has rested longest. */
static int choose_id(struct callid_db *db, struct callid_space *space, uint16_t preferred,
		     uint16_t *id)
{
	if (callid_space_choose(&db->spaces, space, preferred, free_in_space, db, id))
		return 0;
	struct callid_way *oldest = TAILQ_FIRST(&space->closing);
	if (oldest) {
		*id = oldest->key.call_id;
		free_way(db, oldest);
		return 0;
	}
	errno = ENOSPC;
	return -1;
}

/* Of a call whose facts are known: the way of packets from that side becomes one that a look-up
 * finds. */
static void enter_way(struct callid_db *db, struct callid_way *way, struct callid_space *space)
{
	const struct facts *facts = &way->call->record->facts;
	const struct callid_leg *leg = &facts->legs[way->from], *out = &facts->legs[!way->from];

	callid_space_take(space, facts->shown[way->from]);
	way->space = space;
	way->key = (struct callid_key){leg->proxy_addr, leg->peer_addr, facts->shown[way->from]};
	way->to_proxy_addr = out->proxy_addr;
	way->to_peer_addr = out->peer_addr;
	way->to_call_id = facts->id[!way->from];
	way->ref = ref_of(way->call);
	way->node.hash =
	    callid_space_hash(&db->spaces, leg->proxy_addr, leg->peer_addr, way->key.call_id);
	way->shown.hash = callid_space_hash(&db->spaces, leg->proxy_addr, 0, way->key.call_id);
	write_begin(db);
	way->state = facts->states[way->from];
	callid_index_add(&db->ways, &way->node);
	callid_index_add(&db->shown, &way->shown);
	write_end(db);
}

/* Makes the way of packets from a side, keyed by an ID chosen for it, towards the other side under
 * the ID that side assigned. */
static int add_way(struct callid_db *db, struct call *call, enum callid_side from,
		   enum way_state state)
{
	struct facts *facts = &call->record->facts;
	struct callid_way *way = &call->ways[from];
	struct callid_space *space = callid_space_get(&db->spaces, &facts->legs[from]);
	uint16_t id;

	if (!space)
		return -1;
	if (choose_id(db, space, facts->id[callid_other(from)], &id) != 0) {
		callid_space_drop_if_unused(&db->spaces, space);
		return -1;
	}
	change(db, call);
	way->counters->packets = way->counters->octets = 0;
	way->counters->drops = way->counters->seen_at = 0;
	write_begin(db);
	facts->shown[from] = id;
	facts->states[from] = (uint8_t)state;
	write_end(db);
	enter_way(db, way, space);
	return 0;
}

static void rest(struct callid_db *db, struct callid_way *way)
{
	TAILQ_INSERT_TAIL(&db->closing, way, in_closing);
	TAILQ_INSERT_TAIL(&way->space->closing, way, in_space_closing);
	db->closing_count++;
}

/* ---- what the process before has left ---- */

static uint64_t closed_at(const struct callid_way *way)
{
	return way->call->record->facts.closed_at[way->from];
}

static int by_end(const void *a, const void *b)
{
	uint64_t first = closed_at(*(struct callid_way *const *)a),
		 second = closed_at(*(struct callid_way *const *)b);
	return (first > second) - (first < second);
}

static int restore_call(struct callid_db *db, struct call *call)
{
	const struct facts *facts = &call->record->facts;

	db->live_count += facts->live;
	for (int side = 0; side < 2; side++) {
		if (facts->states[side] == WAY_NONE)
			continue;
		struct callid_space *space = callid_space_get(&db->spaces, &facts->legs[side]);
		if (!space)
			return -1;
		enter_way(db, &call->ways[side], space);
		db->closing_count += facts->states[side] == WAY_CLOSING;
	}
	return 0;
}

/* The ways in quarantine, in their order. */
static int restore_quarantine(struct callid_db *db)
{
	size_t count = 0;
	struct callid_way **ways = calloc(db->closing_count + 1, sizeof(struct callid_way *));
	if (!ways)
		return -1;
	for (uint32_t slot = 0; slot < db->chunk_count * CALLID_SLOTS_A_CHUNK; slot++) {
		struct call *call = call_at(db, slot);
		for (int side = 0; side < 2; side++) {
			if (call->ways[side].state == WAY_CLOSING)
				ways[count++] = &call->ways[side];
		}
	}
	qsort(ways, count, sizeof(struct callid_way *), by_end);
	db->closing_count = 0;
	for (size_t i = 0; i < count; i++)
		rest(db, ways[i]);
	free(ways);
	return 0;
}

static int restore(struct callid_db *db)
{
	db->table = kept_section(db->kept, KEPT_TABLE, sizeof(*db->table), 1);
	db->records = kept_section(db->kept, KEPT_CALLS, sizeof(*db->records),
				   (size_t)CALLID_SLOTS_A_CHUNK * CALLID_CHUNKS_MAX);
	if (!db->table || !db->records)
		return -1;
	while (db->chunk_count < db->table->chunks) {
		if (add_chunk(db) != 0)
			return -1;
	}
	for (uint32_t slot = 0; slot < db->chunk_count * CALLID_SLOTS_A_CHUNK; slot++) {
		if (restore_call(db, call_at(db, slot)) != 0)
			return -1;
	}
	for (size_t chunk = db->chunk_count; chunk-- > 0;)
		free_slots(db, chunk);
	return restore_quarantine(db);
}

/* ---- birth and death ---- */

struct callid_db *callid_db_new(struct kept *kept)
{
	struct callid_db *db = calloc(1, sizeof(*db));
	if (!db)
		return NULL;
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__ /* musl has one kind only */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
	pthread_rwlock_init(&db->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	SLIST_INIT(&db->free_calls);
	TAILQ_INIT(&db->closing);
	db->kept = kept;
	if (callid_index_init(&db->ways) != 0 || callid_index_init(&db->shown) != 0 ||
	    callid_space_init(&db->spaces) != 0 || (kept && restore(db) != 0)) {
		int error = errno;
		callid_db_free(db);
		errno = error;
		return NULL;
	}
	return db;
}

static void free_spaces(struct callid_db *db)
{
	for (uint32_t slot = 0; slot < db->chunk_count * CALLID_SLOTS_A_CHUNK; slot++) {
		for (int side = 0; side < 2; side++) {
			struct callid_way *way = &call_at(db, slot)->ways[side];
			if (way->state == WAY_NONE)
				continue;
			way->space->used--;
			callid_space_drop_if_unused(&db->spaces, way->space);
		}
	}
}

void callid_db_free(struct callid_db *db)
{
	if (!db)
		return;
	free_spaces(db);
	for (size_t i = 0; i < db->chunk_count; i++) {
		if (!db->kept)
			free(db->chunks[i]->record);
		free(db->chunks[i]);
	}
	callid_index_clear(&db->ways);
	callid_index_clear(&db->shown);
	callid_space_clear(&db->spaces);
	pthread_rwlock_destroy(&db->lock);
	free(db);
}

/* ---- the writer's functions ---- */

static void set_facts(struct callid_db *db, struct call *call, const struct callid_request *request,
		      uint64_t now)
{
	struct facts *facts = change(db, call);
	uint32_t generation = facts->generation;
	struct facts fresh = {
	    .generation = generation == UINT32_MAX ? 1 : generation + 1,
	    .caller = (uint8_t)request->caller,
	    .note = request->note,
	    .legs = {request->legs[0], request->legs[1]},
	    .connection = request->connection,
	    .reserved_at = now,
	};
	fresh.id[request->caller] = request->caller_id;
	/* Before the way is there: a reader who finds it may ask for the call. */
	write_begin(db);
	*facts = fresh;
	call->watched = false;
	write_end(db);
}

callid_ref callid_db_reserve(struct callid_db *db, const struct callid_request *request,
			     uint64_t now, uint16_t *shown)
{
	struct call *call = take_call(db);
	if (!call)
		return 0;
	enum callid_side callee = callid_other(request->caller);
	bool ours = change_begin(db);
	set_facts(db, call, request, now);
	if (add_way(db, call, callee, WAY_HELD) != 0) {
		change_end(db, ours);
		SLIST_INSERT_HEAD(&db->free_calls, call, in_free);
		return 0;
	}
	write_begin(db);
	call->record->facts.live = true;
	write_end(db);
	change_end(db, ours);
	db->live_count++;
	*shown = call->ways[callee].key.call_id;
	tell(db, ref_of(call), CALLID_RESERVED);
	return ref_of(call);
}

int callid_db_open(struct callid_db *db, callid_ref ref, uint16_t callee_id, uint64_t now,
		   uint16_t *shown)
{
	struct call *call = call_of(db, ref);
	assert(call && !call->record->facts.open);
	bool ours = change_begin(db);
	struct facts *facts = change(db, call);
	enum callid_side caller = (enum callid_side)facts->caller;
	write_begin(db);
	facts->id[callid_other(caller)] = callee_id;
	write_end(db);
	if (add_way(db, call, caller, WAY_OPEN) != 0) {
		change_end(db, ours);
		return -1;
	}
	write_begin(db);
	facts->open = true;
	facts->opened_at = now;
	write_end(db);
	change_end(db, ours);
	*shown = call->ways[caller].key.call_id;
	tell(db, ref, CALLID_OPENED);
	return 0;
}

void callid_db_release(struct callid_db *db, callid_ref ref)
{
	struct call *call = call_of(db, ref);
	if (!call)
		return;
	struct facts *facts = change(db, call);
	uint8_t callee = !facts->caller;
	write_begin(db);
	call->ways[callee].state = facts->states[callee] = WAY_OPEN;
	write_end(db);
	tell(db, ref, CALLID_RELEASED);
}

void callid_db_set_watched(struct callid_db *db, callid_ref ref, bool watched)
{
	struct call *call = call_of(db, ref);
	if (!call || call->watched == watched)
		return;
	write_begin(db);
	call->watched = watched;
	write_end(db);
	tell(db, ref, CALLID_CHANGED);
}

static void close_ways(struct callid_db *db, struct call *call, uint64_t now)
{
	bool ours = change_begin(db);
	struct facts *facts = change(db, call);
	write_begin(db);
	facts->live = false;
	for (int side = 0; side < 2; side++) {
		if (facts->states[side] == WAY_NONE)
			continue;
		facts->closed_at[side] = now;
		call->ways[side].state = facts->states[side] = WAY_CLOSING;
	}
	write_end(db);
	change_end(db, ours);
}

bool callid_db_end(struct callid_db *db, callid_ref ref, uint64_t now, struct callid_info *last)
{
	struct call *call = call_of(db, ref);
	if (!call)
		return false;
	close_ways(db, call, now);
	db->live_count--;
	for (int side = 0; side < 2; side++) {
		if (call->ways[side].state == WAY_CLOSING)
			rest(db, &call->ways[side]);
	}
	tell(db, ref, CALLID_ENDED);
	if (last) {
		read_info(call, last);
		count_elsewhere(db, ref, last);
	}
	return true;
}

void callid_db_expire(struct callid_db *db, uint64_t now)
{
	struct callid_way *way;
	while ((way = TAILQ_FIRST(&db->closing)) && now - closed_at(way) >= CALLID_QUARANTINE_MS) {
		struct callid_space *space = way->space;
		free_way(db, way);
		callid_space_drop_if_unused(&db->spaces, space);
	}
}

size_t callid_db_slots(const struct callid_db *db)
{
	return db->chunk_count * CALLID_SLOTS_A_CHUNK;
}

void callid_db_each(struct callid_db *db, callid_teller *told, void *arg)
{
	callid_db_each_in(db, 0, SIZE_MAX, told, arg);
}

void callid_db_each_in(struct callid_db *db, size_t first, size_t count, callid_teller *told,
		       void *arg)
{
	/* Those that come meanwhile, too. */
	for (size_t slot = first; slot - first < count && slot < callid_db_slots(db); slot++) {
		const struct call *call = call_at(db, (uint32_t)slot);
		struct callid_info info;
		if (!call->record->facts.live)
			continue;
		read_info(call, &info);
		count_elsewhere(db, ref_of(call), &info);
		told(arg, ref_of(call), &info);
	}
}

/* ---- readers ---- */

bool callid_db_get(struct callid_db *db, callid_ref ref, struct callid_info *info)
{
	callid_db_read_begin(db);
	const struct call *call = call_of(db, ref);
	if (call)
		read_info(call, info);
	callid_db_read_end(db);
	if (call)
		count_elsewhere(db, ref, info);
	return call != NULL;
}

void callid_db_totals(struct callid_db *db, struct callid_totals *totals)
{
	*totals = (struct callid_totals){db->live_count, db->closing_count};
}

void callid_db_read_begin(struct callid_db *db)
{
	pthread_rwlock_rdlock(&db->lock);
}

void callid_db_read_end(struct callid_db *db)
{
	pthread_rwlock_unlock(&db->lock);
}

uint64_t callid_db_generation(const struct callid_db *db)
{
	return db->generation;
}

/* One thread counts, so a load and a store do; a locked addition would cost more than the look-up.
 */
static void count(_Atomic uint64_t *counter, uint64_t more)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

enum callid_answer callid_db_route(struct callid_db *db, const struct callid_key *key,
				   size_t octets, uint64_t now, struct callid_route *route)
{
	struct callid_way *way = find_way(db, key);
	if (!way || way->state == WAY_CLOSING)
		return CALLID_NONE;
	*route = (struct callid_route){
	    .proxy_addr = way->to_proxy_addr,
	    .peer_addr = way->to_peer_addr,
	    .call_id = way->to_call_id,
	    .call = way->ref,
	    .from = (enum callid_side)way->from,
	};
	atomic_store_explicit(&way->counters->seen_at, now, memory_order_relaxed);
	if (way->state == WAY_HELD)
		return CALLID_HELD;
	count(&way->counters->packets, 1);
	count(&way->counters->octets, octets);
	return CALLID_ROUTE;
}

static const struct callid_way *way_of_shown(const struct callid_node *node)
{
	return (const struct callid_way *)((const char *)node - offsetof(struct callid_way, shown));
}

/* Where an address of ours has run short of IDs, one has a way for each of some peers: as many as
 * there are calls, divided by all IDs. */
bool callid_db_is_shown(const struct callid_db *db, uint32_t proxy_addr, uint16_t call_id)
{
	uint32_t hash = callid_space_hash(&db->spaces, proxy_addr, 0, call_id);
	for (const struct callid_node *node = callid_index_first(&db->shown, hash); node;
	     node = node->next) {
		const struct callid_way *way = way_of_shown(node);
		if (node->hash == hash && way->state != WAY_CLOSING &&
		    way->key.call_id == call_id && way->key.proxy_addr == proxy_addr)
			return true;
	}
	return false;
}

void callid_db_count_drop(struct callid_db *db, callid_ref ref, enum callid_side from)
{
	struct call *call = call_of(db, ref);
	if (call)
		count(&call->record->counters[from].drops, 1);
}

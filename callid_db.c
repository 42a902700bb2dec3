/*
 * Calls live in slots that never move; their two ways are indexed by what a packet shows.
 *
 * The lock is a reader-writer one that prefers the writer: the writer changes a few pointers under
 * it, a reader holds it for the look-ups of one batch. Seqlocks and RCU were weighed: they save the
 * reader one atomic operation a batch, which no measurement can find behind the system calls around
 * it.
 */
#include "callid_db.h"

#include "callid_index.h"
#include "callid_space.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

enum way_state { WAY_NONE, WAY_HELD, WAY_OPEN, WAY_CLOSING };

/* The way of packets from one side. */
struct callid_way {
	struct callid_node node;
	struct callid_key key;
	enum way_state state;
	uint32_t to_proxy_addr, to_peer_addr;
	uint16_t to_call_id;
	_Atomic uint64_t packets, octets, drops, seen_at;

	/* the writer's own */
	struct call *call;
	struct callid_space *space;
	uint64_t closed_at;
	TAILQ_ENTRY(callid_way) in_closing, in_space_closing;
};

struct call {
	struct callid_way ways[2]; /* by the side that the packets come from */
	uint32_t slot, generation;
	bool live, open;
	enum callid_side caller;
	struct callid_leg legs[2];
	uint16_t id[2];
	uint64_t connection, reserved_at, opened_at;
	SLIST_ENTRY(call) in_free;
};

struct callid_db {
	pthread_rwlock_t lock;
	struct callid_index ways;
	uint64_t generation;

	/* the writer's own; chunks is read under the lock */
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
	return (uint64_t)call->generation << 32 | call->slot;
}

static struct call *call_of(const struct callid_db *db, callid_ref ref)
{
	uint32_t slot = (uint32_t)ref;
	if (slot / CALLID_SLOTS_A_CHUNK >= db->chunk_count)
		return NULL;
	struct call *call = &db->chunks[slot / CALLID_SLOTS_A_CHUNK][slot % CALLID_SLOTS_A_CHUNK];
	return call->live && call->generation == ref >> 32 ? call : NULL;
}

static int add_chunk(struct callid_db *db)
{
	struct call *chunk = db->chunk_count < CALLID_CHUNKS_MAX
				 ? calloc(CALLID_SLOTS_A_CHUNK, sizeof(*chunk))
				 : NULL;
	if (!chunk) {
		errno = ENOMEM;
		return -1;
	}
	for (uint32_t i = CALLID_SLOTS_A_CHUNK; i-- > 0;) {
		chunk[i].slot = (uint32_t)(db->chunk_count * CALLID_SLOTS_A_CHUNK) + i;
		chunk[i].ways[0].call = chunk[i].ways[1].call = &chunk[i];
		SLIST_INSERT_HEAD(&db->free_calls, &chunk[i], in_free);
	}
	write_begin(db);
	db->chunks[db->chunk_count++] = chunk;
	write_end(db);
	return 0;
}

static struct call *take_call(struct callid_db *db)
{
	if (SLIST_EMPTY(&db->free_calls) && add_chunk(db) != 0)
		return NULL;
	struct call *call = SLIST_FIRST(&db->free_calls);
	SLIST_REMOVE_HEAD(&db->free_calls, in_free);
	return call;
}

static void read_counts(const struct callid_way *way, struct callid_counts *counts)
{
	*counts = (struct callid_counts){
	    .packets = atomic_load_explicit(&way->packets, memory_order_relaxed),
	    .octets = atomic_load_explicit(&way->octets, memory_order_relaxed),
	    .drops = atomic_load_explicit(&way->drops, memory_order_relaxed),
	    .seen_at = atomic_load_explicit(&way->seen_at, memory_order_relaxed),
	};
}

static void read_info(const struct call *call, struct callid_info *info)
{
	*info = (struct callid_info){
	    .connection = call->connection,
	    .open = call->open,
	    .caller = call->caller,
	    .legs = {call->legs[0], call->legs[1]},
	    .id = {call->id[0], call->id[1]},
	    .reserved_at = call->reserved_at,
	    .opened_at = call->opened_at,
	};
	for (int side = 0; side < 2; side++) {
		if (call->ways[side].state == WAY_NONE)
			continue;
		info->shown[side] = call->ways[side].key.call_id;
		read_counts(&call->ways[side], &info->from[side]);
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

	write_begin(db);
	callid_index_del(&db->ways, &way->node);
	way->state = WAY_NONE;
	write_end(db);
	TAILQ_REMOVE(&db->closing, way, in_closing);
	TAILQ_REMOVE(&space->closing, way, in_space_closing);
	db->closing_count--;
	callid_space_give_back(space, way->key.call_id);
	if (call->ways[0].state == WAY_NONE && call->ways[1].state == WAY_NONE)
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

/* Makes the way of packets from a side, keyed by an ID chosen for it, towards the other side under
 * the ID that side assigned. */
static int add_way(struct callid_db *db, struct call *call, enum callid_side from,
		   enum way_state state)
{
	const struct callid_leg *leg = &call->legs[from], *out = &call->legs[callid_other(from)];
	struct callid_way *way = &call->ways[from];
	struct callid_space *space = callid_space_get(&db->spaces, leg);
	uint16_t id;

	if (!space)
		return -1;
	if (choose_id(db, space, call->id[callid_other(from)], &id) != 0) {
		callid_space_drop_if_unused(&db->spaces, space);
		return -1;
	}
	callid_space_take(space, id);
	way->space = space;
	way->key = (struct callid_key){leg->proxy_addr, leg->peer_addr, id};
	way->to_proxy_addr = out->proxy_addr;
	way->to_peer_addr = out->peer_addr;
	way->to_call_id = call->id[callid_other(from)];
	way->packets = way->octets = way->drops = way->seen_at = 0;
	way->node.hash = callid_space_hash(&db->spaces, leg->proxy_addr, leg->peer_addr, id);
	write_begin(db);
	way->state = state;
	callid_index_add(&db->ways, &way->node);
	write_end(db);
	return 0;
}

static void close_way(struct callid_db *db, struct callid_way *way, uint64_t now)
{
	if (way->state == WAY_NONE)
		return;
	way->closed_at = now;
	TAILQ_INSERT_TAIL(&db->closing, way, in_closing);
	TAILQ_INSERT_TAIL(&way->space->closing, way, in_space_closing);
	db->closing_count++;
}

/* ---- birth and death ---- */

struct callid_db *callid_db_new(void)
{
	struct callid_db *db = calloc(1, sizeof(*db));
	if (!db)
		return NULL;
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&db->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	SLIST_INIT(&db->free_calls);
	TAILQ_INIT(&db->closing);
	if (callid_index_init(&db->ways) != 0 || callid_space_init(&db->spaces) != 0) {
		callid_db_free(db);
		return NULL;
	}
	return db;
}

static void free_spaces(struct callid_db *db)
{
	for (size_t i = 0; i < db->chunk_count * CALLID_SLOTS_A_CHUNK; i++) {
		struct call *call = &db->chunks[i / CALLID_SLOTS_A_CHUNK][i % CALLID_SLOTS_A_CHUNK];
		for (int side = 0; side < 2; side++) {
			struct callid_way *way = &call->ways[side];
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
	for (size_t i = 0; i < db->chunk_count; i++)
		free(db->chunks[i]);
	callid_index_clear(&db->ways);
	callid_space_clear(&db->spaces);
	pthread_rwlock_destroy(&db->lock);
	free(db);
}

/* ---- the writer's functions ---- */

callid_ref callid_db_reserve(struct callid_db *db, const struct callid_request *request,
			     uint64_t now, uint16_t *shown)
{
	struct call *call = take_call(db);
	if (!call)
		return 0;
	enum callid_side callee = callid_other(request->caller);
	call->open = false;
	call->caller = request->caller;
	call->legs[0] = request->legs[0];
	call->legs[1] = request->legs[1];
	call->id[request->caller] = request->caller_id;
	call->id[callee] = 0;
	call->connection = request->connection;
	call->reserved_at = now;
	call->opened_at = 0;
	/* Before the way is there: a reader who finds it reads the call's reference. */
	write_begin(db);
	call->generation = call->generation == UINT32_MAX ? 1 : call->generation + 1;
	write_end(db);
	if (add_way(db, call, callee, WAY_HELD) != 0) {
		SLIST_INSERT_HEAD(&db->free_calls, call, in_free);
		return 0;
	}
	write_begin(db);
	call->live = true;
	write_end(db);
	db->live_count++;
	*shown = call->ways[callee].key.call_id;
	tell(db, ref_of(call), CALLID_RESERVED);
	return ref_of(call);
}

int callid_db_open(struct callid_db *db, callid_ref ref, uint16_t callee_id, uint64_t now,
		   uint16_t *shown)
{
	struct call *call = call_of(db, ref);
	assert(call && !call->open);
	write_begin(db);
	call->id[callid_other(call->caller)] = callee_id;
	write_end(db);
	if (add_way(db, call, call->caller, WAY_OPEN) != 0)
		return -1;
	write_begin(db);
	call->open = true;
	call->opened_at = now;
	write_end(db);
	*shown = call->ways[call->caller].key.call_id;
	tell(db, ref, CALLID_OPENED);
	return 0;
}

void callid_db_release(struct callid_db *db, callid_ref ref)
{
	struct call *call = call_of(db, ref);
	if (!call)
		return;
	write_begin(db);
	call->ways[callid_other(call->caller)].state = WAY_OPEN;
	write_end(db);
	tell(db, ref, CALLID_RELEASED);
}

bool callid_db_end(struct callid_db *db, callid_ref ref, uint64_t now, struct callid_info *last)
{
	struct call *call = call_of(db, ref);
	if (!call)
		return false;
	write_begin(db);
	call->live = false;
	for (int side = 0; side < 2; side++) {
		if (call->ways[side].state != WAY_NONE)
			call->ways[side].state = WAY_CLOSING;
	}
	write_end(db);
	db->live_count--;
	close_way(db, &call->ways[0], now);
	close_way(db, &call->ways[1], now);
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
	while ((way = TAILQ_FIRST(&db->closing)) && now - way->closed_at >= CALLID_QUARANTINE_MS) {
		struct callid_space *space = way->space;
		free_way(db, way);
		callid_space_drop_if_unused(&db->spaces, space);
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
	    .call = ref_of(way->call),
	    .from = (enum callid_side)(way - way->call->ways),
	};
	atomic_store_explicit(&way->seen_at, now, memory_order_relaxed);
	if (way->state == WAY_HELD)
		return CALLID_HELD;
	count(&way->packets, 1);
	count(&way->octets, octets);
	return CALLID_ROUTE;
}

void callid_db_count_drop(struct callid_db *db, callid_ref ref, enum callid_side from)
{
	struct call *call = call_of(db, ref);
	if (call)
		count(&call->ways[from].drops, 1);
}

/*
 * The life of calls, and what is told of them. callid/callid_own.h says what the table consists
 * of.
 */
#include "callid_db.h"

#include "callid/callid_restore.h"
#include "callid/callid_slots.h"
#include "callid/callid_ways.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

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

/* ---- what is told of a call ---- */

static void read_counts(const struct callid_counters *from, struct callid_counts *counts)
{
	*counts = (struct callid_counts){
	    .packets = atomic_load_explicit(&from->packets, memory_order_relaxed),
	    .octets = atomic_load_explicit(&from->octets, memory_order_relaxed),
	    .drops = atomic_load_explicit(&from->drops, memory_order_relaxed),
	    .seen_at = atomic_load_explicit(&from->seen_at, memory_order_relaxed),
	};
}

static void read_info(const struct callid_call *call, struct callid_info *info)
{
	const struct callid_facts *facts = &call->record->facts;
	*info = (struct callid_info){
	    .connection = facts->connection,
	    .open = facts->open,
	    .released = facts->states[!facts->caller] == CALLID_WAY_OPEN,
	    .watched = call->watched,
	    .note = facts->note,
	    .caller = (enum callid_side)facts->caller,
	    .legs = {facts->legs[0], facts->legs[1]},
	    .id = {facts->id[0], facts->id[1]},
	    .reserved_at = facts->reserved_at,
	    .opened_at = facts->opened_at,
	};
	for (int side = 0; side < 2; side++) {
		if (facts->states[side] == CALLID_WAY_NONE)
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
	    callid_space_init(&db->spaces) != 0 || (kept && callid_restore(db) != 0)) {
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
			struct callid_way *way = &callid_slots_at(db, slot)->ways[side];
			if (way->state == CALLID_WAY_NONE)
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

static void set_facts(struct callid_db *db, struct callid_call *call,
		      const struct callid_request *request, uint64_t now)
{
	struct callid_facts *facts = callid_change(db, call);
	uint32_t generation = facts->generation;
	struct callid_facts fresh = {
	    .generation = generation == UINT32_MAX ? 1 : generation + 1,
	    .caller = (uint8_t)request->caller,
	    .note = request->note,
	    .legs = {request->legs[0], request->legs[1]},
	    .connection = request->connection,
	    .reserved_at = now,
	};
	fresh.id[request->caller] = request->caller_id;
	/* Before the way is there: a reader who finds it may ask for the call. */
	callid_write_begin(db);
	*facts = fresh;
	call->watched = false;
	callid_write_end(db);
}

callid_ref callid_db_reserve(struct callid_db *db, const struct callid_request *request,
			     uint64_t now, uint16_t *shown)
{
	struct callid_call *call = callid_slots_take(db);
	if (!call)
		return 0;
	enum callid_side callee = callid_other(request->caller);
	bool ours = callid_change_begin(db);
	set_facts(db, call, request, now);
	if (callid_ways_add(db, call, callee, CALLID_WAY_HELD) != 0) {
		callid_change_end(db, ours);
		SLIST_INSERT_HEAD(&db->free_calls, call, in_free);
		return 0;
	}
	callid_write_begin(db);
	call->record->facts.live = true;
	callid_write_end(db);
	callid_change_end(db, ours);
	db->live_count++;
	*shown = call->ways[callee].key.call_id;
	tell(db, callid_slots_ref(call), CALLID_RESERVED);
	return callid_slots_ref(call);
}

int callid_db_open(struct callid_db *db, callid_ref ref, uint16_t callee_id, uint64_t now,
		   uint16_t *shown)
{
	struct callid_call *call = callid_slots_find(db, ref);
	assert(call && !call->record->facts.open);
	bool ours = callid_change_begin(db);
	struct callid_facts *facts = callid_change(db, call);
	enum callid_side caller = (enum callid_side)facts->caller;
	callid_write_begin(db);
	facts->id[callid_other(caller)] = callee_id;
	callid_write_end(db);
	if (callid_ways_add(db, call, caller, CALLID_WAY_OPEN) != 0) {
		callid_change_end(db, ours);
		return -1;
	}
	callid_write_begin(db);
	facts->open = true;
	facts->opened_at = now;
	callid_write_end(db);
	callid_change_end(db, ours);
	*shown = call->ways[caller].key.call_id;
	tell(db, ref, CALLID_OPENED);
	return 0;
}

void callid_db_release(struct callid_db *db, callid_ref ref)
{
	struct callid_call *call = callid_slots_find(db, ref);
	if (!call)
		return;
	struct callid_facts *facts = callid_change(db, call);
	uint8_t callee = !facts->caller;
	callid_write_begin(db);
	call->ways[callee].state = facts->states[callee] = CALLID_WAY_OPEN;
	callid_write_end(db);
	tell(db, ref, CALLID_RELEASED);
}

void callid_db_set_watched(struct callid_db *db, callid_ref ref, bool watched)
{
	struct callid_call *call = callid_slots_find(db, ref);
	if (!call || call->watched == watched)
		return;
	callid_write_begin(db);
	call->watched = watched;
	callid_write_end(db);
	tell(db, ref, CALLID_CHANGED);
}

static void close_ways(struct callid_db *db, struct callid_call *call, uint64_t now)
{
	bool ours = callid_change_begin(db);
	struct callid_facts *facts = callid_change(db, call);
	callid_write_begin(db);
	facts->live = false;
	for (int side = 0; side < 2; side++) {
		if (facts->states[side] == CALLID_WAY_NONE)
			continue;
		facts->closed_at[side] = now;
		call->ways[side].state = facts->states[side] = CALLID_WAY_CLOSING;
	}
	callid_write_end(db);
	callid_change_end(db, ours);
}

bool callid_db_end(struct callid_db *db, callid_ref ref, uint64_t now, struct callid_info *last)
{
	struct callid_call *call = callid_slots_find(db, ref);
	if (!call)
		return false;
	close_ways(db, call, now);
	db->live_count--;
	for (int side = 0; side < 2; side++) {
		if (call->ways[side].state == CALLID_WAY_CLOSING)
			callid_ways_rest(db, &call->ways[side]);
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
	while ((way = TAILQ_FIRST(&db->closing)) &&
	       now - callid_ways_closed_at(way) >= CALLID_QUARANTINE_MS) {
		struct callid_space *space = way->space;
		callid_ways_free(db, way);
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
		const struct callid_call *call = callid_slots_at(db, (uint32_t)slot);
		struct callid_info info;
		if (!call->record->facts.live)
			continue;
		read_info(call, &info);
		count_elsewhere(db, callid_slots_ref(call), &info);
		told(arg, callid_slots_ref(call), &info);
	}
}

/* ---- readers ---- */

bool callid_db_get(struct callid_db *db, callid_ref ref, struct callid_info *info)
{
	callid_db_read_begin(db);
	const struct callid_call *call = callid_slots_find(db, ref);
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
	struct callid_way *way = callid_ways_find(db, key);
	if (!way || way->state == CALLID_WAY_CLOSING)
		return CALLID_NONE;
	*route = (struct callid_route){
	    .proxy_addr = way->to_proxy_addr,
	    .peer_addr = way->to_peer_addr,
	    .call_id = way->to_call_id,
	    .call = way->ref,
	    .from = (enum callid_side)way->from,
	};
	atomic_store_explicit(&way->counters->seen_at, now, memory_order_relaxed);
	if (way->state == CALLID_WAY_HELD)
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
		if (node->hash == hash && way->state != CALLID_WAY_CLOSING &&
		    way->key.call_id == call_id && way->key.proxy_addr == proxy_addr)
			return true;
	}
	return false;
}

void callid_db_count_drop(struct callid_db *db, callid_ref ref, enum callid_side from)
{
	struct callid_call *call = callid_slots_find(db, ref);
	if (call)
		count(&call->record->counters[from].drops, 1);
}

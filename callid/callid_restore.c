#include "callid/callid_restore.h"

#include "callid/callid_slots.h"
#include "callid/callid_ways.h"

#include <stdlib.h>

static int by_end(const void *a, const void *b)
{
	uint64_t first = callid_ways_closed_at(*(struct callid_way *const *)a),
		 second = callid_ways_closed_at(*(struct callid_way *const *)b);
	return (first > second) - (first < second);
}

static int restore_call(struct callid_db *db, struct callid_call *call)
{
	const struct callid_facts *facts = &call->record->facts;

	db->live_count += facts->live;
	for (int side = 0; side < 2; side++) {
		if (facts->states[side] == CALLID_WAY_NONE)
			continue;
		struct callid_space *space = callid_space_get(&db->spaces, &facts->legs[side]);
		if (!space)
			return -1;
		callid_ways_enter(db, &call->ways[side], space);
		db->closing_count += facts->states[side] == CALLID_WAY_CLOSING;
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
		struct callid_call *call = callid_slots_at(db, slot);
		for (int side = 0; side < 2; side++) {
			if (call->ways[side].state == CALLID_WAY_CLOSING)
				ways[count++] = &call->ways[side];
		}
	}
	qsort(ways, count, sizeof(struct callid_way *), by_end);
	db->closing_count = 0;
	for (size_t i = 0; i < count; i++)
		callid_ways_rest(db, ways[i]);
	free(ways);
	return 0;
}

int callid_restore(struct callid_db *db)
{
	db->table = kept_section(db->kept, KEPT_TABLE, sizeof(*db->table), 1);
	db->records = kept_section(db->kept, KEPT_CALLS, sizeof(*db->records),
				   (size_t)CALLID_SLOTS_A_CHUNK * CALLID_CHUNKS_MAX);
	if (!db->table || !db->records)
		return -1;
	while (db->chunk_count < db->table->chunks) {
		if (callid_slots_add_chunk(db) != 0)
			return -1;
	}
	for (uint32_t slot = 0; slot < db->chunk_count * CALLID_SLOTS_A_CHUNK; slot++) {
		if (restore_call(db, callid_slots_at(db, slot)) != 0)
			return -1;
	}
	for (size_t chunk = db->chunk_count; chunk-- > 0;)
		callid_slots_offer(db, chunk);
	return restore_quarantine(db);
}

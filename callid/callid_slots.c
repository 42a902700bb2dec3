#include "callid/callid_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int callid_slots_add_chunk(struct callid_db *db)
{
	enum { OCTETS = CALLID_SLOTS_A_CHUNK * sizeof(struct callid_call) };
	struct callid_record *records = NULL;
	struct callid_call *chunk = NULL;

	if (db->chunk_count < CALLID_CHUNKS_MAX)
		records = chunk_records(db, db->chunk_count);
	if (records)
		chunk = aligned_alloc(_Alignof(struct callid_call), OCTETS);
	if (!chunk) {
		if (!db->kept)
			free(records);
		errno = ENOMEM;
		return -1;
	}
	memset(chunk, 0, OCTETS);
	for (uint32_t i = 0; i < CALLID_SLOTS_A_CHUNK; i++) {
		struct callid_call *call = &chunk[i];
		call->slot = (uint32_t)(db->chunk_count * CALLID_SLOTS_A_CHUNK) + i;
		call->record = &records[i];
		for (int side = 0; side < 2; side++) {
			call->ways[side].call = call;
			call->ways[side].from = (uint8_t)side;
			call->ways[side].counters = &records[i].counters[side];
		}
	}
	callid_write_begin(db);
	db->chunks[db->chunk_count++] = chunk;
	callid_write_end(db);
	return 0;
}

void callid_slots_offer(struct callid_db *db, size_t chunk)
{
	for (uint32_t i = CALLID_SLOTS_A_CHUNK; i-- > 0;) {
		struct callid_call *call = &db->chunks[chunk][i];
		const struct callid_facts *facts = &call->record->facts;
		if (facts->states[0] == CALLID_WAY_NONE && facts->states[1] == CALLID_WAY_NONE)
			SLIST_INSERT_HEAD(&db->free_calls, call, in_free);
	}
}

static int grow(struct callid_db *db)
{
	if (callid_slots_add_chunk(db) != 0)
		return -1;
	if (db->table)
		db->table->chunks = (uint32_t)db->chunk_count;
	callid_slots_offer(db, db->chunk_count - 1);
	return 0;
}

struct callid_call *callid_slots_take(struct callid_db *db)
{
	if (SLIST_EMPTY(&db->free_calls) && grow(db) != 0)
		return NULL;
	struct callid_call *call = SLIST_FIRST(&db->free_calls);
	SLIST_REMOVE_HEAD(&db->free_calls, in_free);
	return call;
}

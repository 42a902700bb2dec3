/*
 * callid_slots: where calls stand: chunks of slots, with a record for each, and which of them are
 * free.
 *
 * callid_db's own. Thread: the table's writer; a reader within read_begin and _end may find calls.
 */
#ifndef CALLID_SLOTS_H
#define CALLID_SLOTS_H

#include "callid/callid_own.h"

static inline callid_ref callid_slots_ref(const struct callid_call *call)
{
	return (uint64_t)call->record->facts.generation << 32 | call->slot;
}

/* Of those that there are: callid_db_slots. */
static inline struct callid_call *callid_slots_at(const struct callid_db *db, uint32_t slot)
{
	return &db->chunks[slot / CALLID_SLOTS_A_CHUNK][slot % CALLID_SLOTS_A_CHUNK];
}

/* NULL: it is closing or gone. */
static inline struct callid_call *callid_slots_find(const struct callid_db *db, callid_ref ref)
{
	uint32_t slot = (uint32_t)ref;
	if (slot / CALLID_SLOTS_A_CHUNK >= db->chunk_count)
		return NULL;
	struct callid_call *call = callid_slots_at(db, slot);
	const struct callid_facts *facts = &call->record->facts;
	return facts->live && facts->generation == ref >> 32 ? call : NULL;
}

/* Of the slots that nobody has: the records are what kept holds, or empty. None of them is free
 * yet. 0, or -1 with ENOMEM. */
int callid_slots_add_chunk(struct callid_db *db);

/* Its slots that no call has, quarantine included, become free, the lowest first. */
void callid_slots_offer(struct callid_db *db, size_t chunk);

/* A free slot, of a new chunk where there is none. NULL with ENOMEM. */
struct callid_call *callid_slots_take(struct callid_db *db);

#endif

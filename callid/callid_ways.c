#include "callid/callid_ways.h"

#include "callid/callid_index.h"
#include "callid/callid_slots.h"
#include "callid/callid_space.h"

#include <errno.h>

struct callid_way *callid_ways_find(const struct callid_db *db, const struct callid_key *key)
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
	return !callid_ways_find(arg, &(struct callid_key){leg->proxy_addr, leg->peer_addr, id});
}

void callid_ways_free(struct callid_db *db, struct callid_way *way)
{
	struct callid_call *call = way->call;
	struct callid_space *space = way->space;
	struct callid_facts *facts = callid_change(db, call);

	callid_write_begin(db);
	callid_index_del(&db->ways, &way->node);
	callid_index_del(&db->shown, &way->shown);
	way->state = facts->states[way->from] = CALLID_WAY_NONE;
	callid_write_end(db);
	TAILQ_REMOVE(&db->closing, way, in_closing);
	TAILQ_REMOVE(&space->closing, way, in_space_closing);
	db->closing_count--;
	callid_space_give_back(space, way->key.call_id);
	if (facts->states[0] == CALLID_WAY_NONE && facts->states[1] == CALLID_WAY_NONE)
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
		callid_ways_free(db, oldest);
		return 0;
	}
	errno = ENOSPC;
	return -1;
}

void callid_ways_enter(struct callid_db *db, struct callid_way *way, struct callid_space *space)
{
	const struct callid_facts *facts = &way->call->record->facts;
	const struct callid_leg *leg = &facts->legs[way->from], *out = &facts->legs[!way->from];

	callid_space_take(space, facts->shown[way->from]);
	way->space = space;
	way->key = (struct callid_key){leg->proxy_addr, leg->peer_addr, facts->shown[way->from]};
	way->to_proxy_addr = out->proxy_addr;
	way->to_peer_addr = out->peer_addr;
	way->to_call_id = facts->id[!way->from];
	way->ref = callid_slots_ref(way->call);
	way->node.hash =
	    callid_space_hash(&db->spaces, leg->proxy_addr, leg->peer_addr, way->key.call_id);
	way->shown.hash = callid_space_hash(&db->spaces, leg->proxy_addr, 0, way->key.call_id);
	callid_write_begin(db);
	way->state = facts->states[way->from];
	callid_index_add(&db->ways, &way->node);
	callid_index_add(&db->shown, &way->shown);
	callid_write_end(db);
}

int callid_ways_add(struct callid_db *db, struct callid_call *call, enum callid_side from,
		    enum callid_way_state state)
{
	struct callid_facts *facts = &call->record->facts;
	struct callid_way *way = &call->ways[from];
	struct callid_space *space = callid_space_get(&db->spaces, &facts->legs[from]);
	uint16_t id;

	if (!space)
		return -1;
	if (choose_id(db, space, facts->id[callid_other(from)], &id) != 0) {
		callid_space_drop_if_unused(&db->spaces, space);
		return -1;
	}
	callid_change(db, call);
	way->counters->packets = way->counters->octets = 0;
	way->counters->drops = way->counters->seen_at = 0;
	callid_write_begin(db);
	facts->shown[from] = id;
	facts->states[from] = (uint8_t)state;
	callid_write_end(db);
	callid_ways_enter(db, way, space);
	return 0;
}

void callid_ways_rest(struct callid_db *db, struct callid_way *way)
{
	TAILQ_INSERT_TAIL(&db->closing, way, in_closing);
	TAILQ_INSERT_TAIL(&way->space->closing, way, in_space_closing);
	db->closing_count++;
}

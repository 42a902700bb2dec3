/*
 * Slots that never move: a record each, and its octets. The list of those that hold a packet, in
 * order of arrival, is short, and mostly empty.
 */
#include "gre/gre_hold.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* What outlives the process, beside the octets. */
struct record {
	/* By arrival, from 1; 0: the slot is free. Written last when a packet comes, as the one
	 * store that makes it be there, and 0 when it goes. */
	_Atomic uint64_t order;
	struct callid_key key;
	struct callid_route route;
	uint64_t since;
	uint16_t length, ip_length;
	uint8_t tos;
};

struct slot {
	struct gre_held packet;
	struct record *record;
	TAILQ_ENTRY(slot) in_list; /* of held, or free */
};
TAILQ_HEAD(slots, slot);

struct gre_hold {
	struct kept *kept; /* NULL: records and octets are the heap's */
	struct record *records;
	uint8_t (*octets)[GRE_HOLD_OCTETS];
	struct slot slots[GRE_HOLD_ALL];
	struct slots held, free;
	size_t count, max;
	uint64_t last_order;
};

/* ---- birth and death ---- */

static int find_memory(struct gre_hold *hold, struct kept *kept)
{
	hold->kept = kept;
	if (kept) {
		hold->records = kept_section(kept, KEPT_HELD, sizeof(*hold->records), GRE_HOLD_ALL);
		hold->octets = kept_section(kept, KEPT_HELD_OCTETS, GRE_HOLD_OCTETS, GRE_HOLD_ALL);
	} else {
		hold->records = calloc(GRE_HOLD_ALL, sizeof(*hold->records));
		hold->octets = calloc(GRE_HOLD_ALL, GRE_HOLD_OCTETS);
	}
	return hold->records && hold->octets ? 0 : -1;
}

static void restore_packet(struct gre_hold *hold, struct slot *slot)
{
	const struct record *record = slot->record;
	slot->packet = (struct gre_held){
	    .key = record->key,
	    .route = record->route,
	    .since = record->since,
	    .tos = record->tos,
	    .length = record->length,
	    .ip_length = record->ip_length,
	    .octets = slot->packet.octets,
	};
	TAILQ_INSERT_TAIL(&hold->held, slot, in_list);
	hold->count++;
	hold->last_order = record->order;
}

static int by_order(const void *a, const void *b)
{
	uint64_t first = (*(struct slot *const *)a)->record->order,
		 second = (*(struct slot *const *)b)->record->order;
	return (first > second) - (first < second);
}

static void restore(struct gre_hold *hold)
{
	struct slot *slots[GRE_HOLD_ALL];
	size_t count = 0;
	for (size_t i = 0; i < GRE_HOLD_ALL; i++) {
		struct slot *slot = &hold->slots[i];
		slot->record = &hold->records[i];
		slot->packet.octets = hold->octets[i];
		if (slot->record->order != 0)
			slots[count++] = slot;
		else
			TAILQ_INSERT_TAIL(&hold->free, slot, in_list);
	}
	qsort(slots, count, sizeof(slots[0]), by_order);
	for (size_t i = 0; i < count; i++)
		restore_packet(hold, slots[i]);
}

struct gre_hold *gre_hold_new(struct kept *kept)
{
	struct gre_hold *hold = calloc(1, sizeof(*hold));
	if (!hold)
		return NULL;
	hold->max = GRE_HOLD_ALL;
	TAILQ_INIT(&hold->held);
	TAILQ_INIT(&hold->free);
	if (find_memory(hold, kept) != 0) {
		int error = errno;
		gre_hold_free(hold);
		errno = error;
		return NULL;
	}
	restore(hold);
	return hold;
}

void gre_hold_set_max(struct gre_hold *hold, size_t max)
{
	hold->max = max > 0 && max < GRE_HOLD_ALL ? max : GRE_HOLD_ALL;
}

void gre_hold_free(struct gre_hold *hold)
{
	if (!hold)
		return;
	if (!hold->kept) {
		free(hold->records);
		free(hold->octets);
	}
	free(hold);
}

/* ---- packets ---- */

size_t gre_hold_count(const struct gre_hold *hold)
{
	return hold->count;
}

uint64_t gre_hold_oldest(const struct gre_hold *hold)
{
	const struct slot *oldest = TAILQ_FIRST(&hold->held);
	return oldest ? oldest->packet.since : 0;
}

static bool has_room(const struct gre_hold *hold, callid_ref call)
{
	const struct slot *slot;
	unsigned of_call = 0;

	if (TAILQ_EMPTY(&hold->free) || hold->count >= hold->max)
		return false;
	TAILQ_FOREACH(slot, &hold->held, in_list)
	of_call += slot->packet.route.call == call;
	return of_call < GRE_HOLD_A_CALL;
}

static void write_record(struct record *record, const struct gre_held *packet, uint64_t order)
{
	record->key = packet->key;
	record->route = packet->route;
	record->since = packet->since;
	record->length = packet->length;
	record->ip_length = packet->ip_length;
	record->tos = packet->tos;
	atomic_store_explicit(&record->order, order, memory_order_release);
}

bool gre_hold_add(struct gre_hold *hold, const struct gre_held *packet)
{
	if (packet->length > GRE_HOLD_OCTETS || !has_room(hold, packet->route.call))
		return false;
	struct slot *slot = TAILQ_FIRST(&hold->free);
	uint8_t *octets = slot->packet.octets;
	if (hold->kept && kept_provide(hold->kept, octets, packet->length) != 0)
		return false;
	memcpy(octets, packet->octets, packet->length);
	slot->packet = *packet;
	slot->packet.octets = octets;
	write_record(slot->record, packet, ++hold->last_order);
	TAILQ_REMOVE(&hold->free, slot, in_list);
	TAILQ_INSERT_TAIL(&hold->held, slot, in_list);
	hold->count++;
	return true;
}

static void free_slot(struct gre_hold *hold, struct slot *slot)
{
	atomic_store_explicit(&slot->record->order, 0, memory_order_release);
	TAILQ_INSERT_HEAD(&hold->free, slot, in_list);
}

void gre_hold_give_back(struct gre_hold *hold, const uint8_t *octets)
{
	size_t index = (size_t)(octets - hold->octets[0]) / GRE_HOLD_OCTETS;
	free_slot(hold, &hold->slots[index]);
}

void gre_hold_sweep(struct gre_hold *hold, gre_hold_judge *judge, void *arg)
{
	struct slot *slot = TAILQ_FIRST(&hold->held), *next;
	for (; slot; slot = next) {
		next = TAILQ_NEXT(slot, in_list);
		enum gre_hold_fate fate = judge(arg, &slot->packet);
		if (fate == GRE_HOLD_KEEP)
			continue;
		TAILQ_REMOVE(&hold->held, slot, in_list);
		hold->count--;
		if (fate == GRE_HOLD_DROP)
			free_slot(hold, slot);
	}
}

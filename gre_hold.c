/*
 * One list in order of arrival: it is short, and mostly empty.
 */
#include "gre_hold.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct entry {
	struct gre_held packet;
	TAILQ_ENTRY(entry) in_hold;
};

struct gre_hold {
	TAILQ_HEAD(, entry) entries;
	size_t count;
};

struct gre_hold *gre_hold_new(void)
{
	struct gre_hold *hold = calloc(1, sizeof(*hold));
	if (hold)
		TAILQ_INIT(&hold->entries);
	return hold;
}

void gre_hold_free(struct gre_hold *hold)
{
	struct entry *entry;
	if (!hold)
		return;
	while ((entry = TAILQ_FIRST(&hold->entries))) {
		TAILQ_REMOVE(&hold->entries, entry, in_hold);
		free(entry->packet.octets);
		free(entry);
	}
	free(hold);
}

size_t gre_hold_count(const struct gre_hold *hold)
{
	return hold->count;
}

uint64_t gre_hold_oldest(const struct gre_hold *hold)
{
	const struct entry *oldest = TAILQ_FIRST(&hold->entries);
	return oldest ? oldest->packet.since : 0;
}

static bool has_room(const struct gre_hold *hold, callid_ref call)
{
	const struct entry *entry;
	unsigned of_call = 0;

	if (hold->count >= GRE_HOLD_ALL)
		return false;
	TAILQ_FOREACH(entry, &hold->entries, in_hold)
	of_call += entry->packet.route.call == call;
	return of_call < GRE_HOLD_A_CALL;
}

bool gre_hold_add(struct gre_hold *hold, const struct gre_held *packet)
{
	if (!has_room(hold, packet->route.call))
		return false;
	struct entry *entry = malloc(sizeof(*entry));
	uint8_t *octets = malloc(packet->length);
	if (!entry || !octets) {
		free(entry);
		free(octets);
		return false;
	}
	memcpy(octets, packet->octets, packet->length);
	entry->packet = *packet;
	entry->packet.octets = octets;
	TAILQ_INSERT_TAIL(&hold->entries, entry, in_hold);
	hold->count++;
	return true;
}

void gre_hold_sweep(struct gre_hold *hold, gre_hold_judge *judge, void *arg)
{
	struct entry *entry = TAILQ_FIRST(&hold->entries), *next;
	for (; entry; entry = next) {
		next = TAILQ_NEXT(entry, in_hold);
		if (judge(arg, &entry->packet) == GRE_HOLD_KEEP)
			continue;
		TAILQ_REMOVE(&hold->entries, entry, in_hold);
		hold->count--;
		free(entry);
	}
}

/*
 * Packets that are being put together stand in a ring: the oldest gives way to a new one.
 */
#include "explain/explain_fragments.h"

#include <stdlib.h>
#include <string.h>

enum {
	UNIT = 8, /* octets; offsets count in these */
	PACKET_MAX = 65535,
	UNITS = (PACKET_MAX + UNIT) / UNIT,
};

struct explain_fragments_packet {
	struct explain_node node;
	bool used;
	struct explain_packet first; /* its fragment that came first; at offset 0 if has_head */
	bool has_head, cut;
	size_t captured;      /* octets of the fragment at offset 0 */
	size_t room, reached; /* octets of memory; up to where fragments have come */
	size_t length;	      /* of the whole, once the last one has come; else 0 */
	size_t units;	      /* that have come */
	uint8_t *octets;
	uint8_t seen[UNITS / 8 + 1]; /* a bit a unit */
};

int explain_fragments_init(struct explain_fragments *fragments)
{
	*fragments = (struct explain_fragments){0};
	fragments->packets = calloc(EXPLAIN_FRAGMENTS_MAX, sizeof(*fragments->packets));
	if (!fragments->packets)
		return -1;
	return explain_index_init(&fragments->index);
}

void explain_fragments_clear(struct explain_fragments *fragments)
{
	for (size_t i = 0; fragments->packets && i < EXPLAIN_FRAGMENTS_MAX; i++)
		free(fragments->packets[i].octets);
	free(fragments->packets);
	explain_index_clear(&fragments->index);
	*fragments = (struct explain_fragments){0};
}

/* Its memory stays for the next one. */
static void release(struct explain_fragments *fragments, struct explain_fragments_packet *whole)
{
	explain_index_del(&fragments->index, &whole->node);
	whole->used = false;
}

static void give_up(struct explain_fragments *fragments, struct explain_fragments_packet *whole)
{
	struct explain_packet head = whole->first;
	head.octets = whole->octets;
	head.length = whole->has_head ? head.length : 0;
	head.available = whole->has_head ? whole->captured : 0;
	release(fragments, whole);
	if (fragments->lost)
		fragments->lost(fragments->context, &head);
}

static struct explain_fragments_packet *begin(struct explain_fragments *fragments,
					      const struct explain_packet *packet,
					      struct explain_key key)
{
	struct explain_fragments_packet *whole = &fragments->packets[fragments->next];
	fragments->next = (fragments->next + 1) % EXPLAIN_FRAGMENTS_MAX;
	if (whole->used)
		give_up(fragments, whole);
	uint8_t *octets = whole->octets;
	size_t room = whole->room;
	*whole = (struct explain_fragments_packet){
	    .used = true, .octets = octets, .room = room, .first = *packet};
	explain_index_add(&fragments->index, &whole->node, key);
	return whole;
}

static struct explain_fragments_packet *find(struct explain_fragments *fragments,
					     const struct explain_packet *packet)
{
	const struct explain_key key = {packet->source, packet->destination,
					(uint32_t)packet->protocol << 16 | packet->identification};
	/* The node is the first thing in it. */
	struct explain_fragments_packet *whole =
	    (struct explain_fragments_packet *)explain_index_find(&fragments->index, key);
	if (whole &&
	    packet->time_us - whole->first.time_us > (int64_t)EXPLAIN_FRAGMENTS_WAIT_S * 1000000) {
		give_up(fragments, whole);
		whole = NULL;
	}
	return whole ? whole : begin(fragments, packet, key);
}

static bool make_room(struct explain_fragments_packet *whole, size_t end)
{
	if (end <= whole->room)
		return true;
	uint8_t *octets = realloc(whole->octets, end);
	if (!octets)
		return false;
	/* What a fragment's captured part leaves open is never another packet's. */
	memset(octets + whole->room, 0, end - whole->room);
	whole->octets = octets;
	whole->room = end;
	return true;
}

static bool is_seen(const struct explain_fragments_packet *whole, size_t unit)
{
	return whole->seen[unit / 8] & 1 << unit % 8;
}

static void copy_in(struct explain_fragments_packet *whole, const struct explain_packet *packet)
{
	for (size_t at = 0; at < packet->length; at += UNIT) {
		size_t unit = (packet->offset + at) / UNIT;
		size_t left = packet->available > at ? packet->available - at : 0;
		if (is_seen(whole, unit))
			continue;
		whole->seen[unit / 8] |= (uint8_t)(1 << unit % 8);
		whole->units++;
		memcpy(whole->octets + packet->offset + at, packet->octets + at,
		       left < UNIT ? left : UNIT);
	}
}

static bool is_whole(const struct explain_fragments_packet *whole)
{
	return whole->length != 0 && whole->reached <= whole->length &&
	       whole->units == (whole->length + UNIT - 1) / UNIT;
}

bool explain_fragments_take(struct explain_fragments *fragments, struct explain_packet *packet)
{
	size_t end = (size_t)packet->offset + packet->length;
	/* One that is not the last is of whole units. */
	if (end > PACKET_MAX || packet->length == 0 ||
	    (packet->more_fragments && packet->length % UNIT != 0))
		return false;
	struct explain_fragments_packet *whole = find(fragments, packet);
	if (!make_room(whole, end))
		return false;
	copy_in(whole, packet);
	whole->cut = whole->cut || packet->available < packet->length;
	whole->reached = end > whole->reached ? end : whole->reached;
	if (packet->offset == 0) {
		whole->has_head = true;
		whole->first.length = packet->length;
		whole->captured = packet->available;
	}
	if (!packet->more_fragments)
		whole->length = end;
	if (!is_whole(whole))
		return false;
	packet->total += whole->length - packet->length; /* one header, as whoever gets it counts */
	packet->octets = whole->octets;
	packet->offset = 0;
	packet->more_fragments = false;
	packet->fragmented = true;
	packet->length = whole->length;
	packet->available = whole->cut ? whole->captured : whole->length;
	release(fragments, whole);
	return true;
}

void explain_fragments_end(struct explain_fragments *fragments)
{
	for (size_t i = 0; i < EXPLAIN_FRAGMENTS_MAX; i++)
		if (fragments->packets[i].used)
			give_up(fragments, &fragments->packets[i]);
}

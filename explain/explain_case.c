/*
 * The lists and indexes, and GRE and ICMP, which need nothing else. TCP is explain_control's.
 */
#include "explain/explain_case.h"

#include "explain/explain_control.h"
#include "wire/bytes.h"

#include <stdlib.h>

enum {
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_GRE = 47,
	ICMP_UNREACHABLE = 3,
	ICMP_HEADER = 8,
	/* A call's first packets may stand in the capture before the message that tells its ID. */
	EARLY_US = 5000000,
};

static struct explain_call_end *end_of_packets(struct explain_node *node)
{
	return (struct explain_call_end *)((char *)node -
					   offsetof(struct explain_call_end, packets));
}

static struct explain_call_end *end_of_ids(struct explain_node *node)
{
	return (struct explain_call_end *)((char *)node - offsetof(struct explain_call_end, ids));
}

/* Calls. */

static void append(struct explain_call **first, struct explain_call **last,
		   struct explain_call *call)
{
	if (!*first)
		*first = call;
	*last = call;
}

static void add(struct explain_case *all, struct explain_call *call)
{
	struct explain_control *control = call->control;
	struct explain_call *last = control ? control->last_call : all->last_stray;
	if (last)
		last->next_here = call;
	if (all->last_call)
		all->last_call->next = call;
	append(&all->calls, &all->last_call, call);
	if (control)
		append(&control->first_call, &control->last_call, call);
	else
		append(&all->strays, &all->last_stray, call);
}

struct explain_call *explain_case_call(struct explain_case *all, struct explain_control *control,
				       int64_t time_us)
{
	static const char *const names[] = {"client", "server"};
	size_t limit = control ? EXPLAIN_CALLS_MAX : EXPLAIN_STRAYS_MAX;
	size_t *count = control ? &all->call_count : &all->stray_count;
	struct explain_call *call = *count < limit ? calloc(1, sizeof(*call)) : NULL;
	if (!call)
		return NULL;
	++*count;
	call->control = control;
	call->state = control ? EXPLAIN_CALL_ASKED : EXPLAIN_CALL_STRAY;
	call->number = control ? ++control->call_count : (unsigned)*count;
	call->asked_us = time_us;
	explain_ppp_begin(&call->ppp);
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		call->end[end].call = call;
		call->end[end].end = end;
		call->end[end].address = control ? control->end[end].address : 0;
		call->names[end] = control ? names[end] : call->name_texts[end];
	}
	add(all, call);
	return call;
}

/* A stray of which only this end's packets were seen becomes part of the call. */
static void adopt(struct explain_call_end *end, const struct explain_node *node)
{
	if (!node)
		return;
	const struct explain_call_end *stray =
	    (const struct explain_call_end *)((const char *)node -
					      offsetof(struct explain_call_end, packets));
	struct explain_call *call = end->call;
	const struct explain_way *way = &stray->call->way[stray->end];
	if (stray->call->control || stray->call->way[!stray->end].packets > 0 ||
	    call->way[end->end].packets > 0 || call->asked_us - way->first_us > EARLY_US)
		return;
	call->way[end->end] = *way;
	stray->call->adopted = true;
}

static void expect_packets(struct explain_case *all, struct explain_call_end *from, uint16_t id)
{
	const struct explain_call_end *to = &from->call->end[!from->end];
	const struct explain_key key = {from->address, to->address, id};
	adopt(from, explain_index_find(&all->by_packets, key));
	explain_index_add(&all->by_packets, &from->packets, key);
}

static struct explain_key id_key(const struct explain_control *control, enum explain_end end,
				 uint16_t id)
{
	return (struct explain_key){control->number, end, id};
}

void explain_case_assign(struct explain_case *all, struct explain_call *call, enum explain_end end,
			 uint16_t id)
{
	struct explain_call_end *own = &call->end[end];
	if (own->has_id)
		return;
	own->has_id = true;
	own->id = id;
	expect_packets(all, &call->end[!end], id);
	if (call->control)
		explain_index_add(&all->by_ids, &own->ids, id_key(call->control, end, id));
}

struct explain_call *explain_case_find(const struct explain_case *all,
				       const struct explain_control *control, enum explain_end end,
				       uint16_t id)
{
	struct explain_node *node = explain_index_find(&all->by_ids, id_key(control, end, id));
	return node ? end_of_ids(node)->call : NULL;
}

/* Strays. */

static struct explain_call_end *find_end(const struct explain_case *all, uint32_t source,
					 uint32_t destination, uint16_t id)
{
	const struct explain_key key = {source, destination, id};
	struct explain_node *node = explain_index_find(&all->by_packets, key);
	return node ? end_of_packets(node) : NULL;
}

/* One between the same ends of which only the other direction has been seen, if there is but one.
 */
static struct explain_call *half_stray(const struct explain_case *all,
				       const struct explain_packet *packet)
{
	struct explain_call *found = NULL;
	for (struct explain_call *call = all->strays; call; call = call->next_here) {
		if (call->adopted || call->end[EXPLAIN_CLIENT].has_id ||
		    call->end[EXPLAIN_CLIENT].address != packet->destination ||
		    call->end[EXPLAIN_SERVER].address != packet->source)
			continue;
		if (found)
			return NULL;
		found = call;
	}
	return found;
}

/* Who was seen first is end 0; the ID in its packets was assigned by end 1. */
static struct explain_call_end *stray_end(struct explain_case *all,
					  const struct explain_packet *packet, uint16_t id)
{
	if (all->stray_count >= EXPLAIN_STRAYS_MAX)
		return NULL;
	struct explain_call *call = half_stray(all, packet);
	if (call) {
		explain_case_assign(all, call, EXPLAIN_CLIENT, id);
		return &call->end[EXPLAIN_SERVER];
	}
	call = explain_case_call(all, NULL, packet->time_us);
	if (!call)
		return NULL;
	call->end[EXPLAIN_CLIENT].address = packet->source;
	call->end[EXPLAIN_SERVER].address = packet->destination;
	explain_words_address(packet->source, call->name_texts[EXPLAIN_CLIENT]);
	explain_words_address(packet->destination, call->name_texts[EXPLAIN_SERVER]);
	explain_case_assign(all, call, EXPLAIN_SERVER, id);
	return &call->end[EXPLAIN_CLIENT];
}

struct explain_call *explain_case_stray(const struct explain_case *all,
					const struct explain_control *control, enum explain_end end,
					uint16_t id)
{
	const struct explain_call_end *from =
	    find_end(all, control->end[!end].address, control->end[end].address, id);
	return from && !from->call->control && !from->call->adopted ? from->call : NULL;
}

/* GRE. */

static void note_short(struct explain_case *all, const struct explain_packet *packet)
{
	if (all->short_gre++ == 0)
		all->short_by = packet->source;
}

static void note_packet(struct explain_way *way, const struct explain_packet *packet,
			const struct gre_header *header)
{
	size_t length = header->length + header->payload_length;
	way->octets += packet->total;
	if (packet->total > way->largest)
		way->largest = packet->total;
	way->fragmented += packet->fragmented;
	way->cut += packet->available < length && packet->available < packet->length;
}

static void take_gre(struct explain_case *all, const struct explain_packet *packet)
{
	struct gre_header header;
	switch (gre_wire_read(packet->octets, packet->available, &header)) {
	case GRE_TRUNCATED:
		if (packet->available < packet->length)
			all->cut_gre++;
		else
			note_short(all, packet);
		return;
	case GRE_NOT_ENHANCED:
		all->plain_gre++;
		return;
	case GRE_OK:
		break;
	}
	all->gre++;
	if (packet->length < header.length + header.payload_length)
		note_short(all, packet);
	struct explain_call_end *end =
	    find_end(all, packet->source, packet->destination, header.call_id);
	if (!end)
		end = stray_end(all, packet, header.call_id);
	if (!end) {
		all->untold++;
		return;
	}
	struct explain_call *call = end->call;
	size_t there = packet->available - header.length;
	explain_way_take(&call->way[end->end], &call->way[!end->end], &header, packet->time_us);
	note_packet(&call->way[end->end], packet, &header);
	const struct explain_frame frame = {
	    .end = (int)end->end,
	    .time_us = packet->time_us,
	    .octets = packet->octets + header.length,
	    .length = there < header.payload_length ? there : header.payload_length,
	};
	explain_ppp_take(&call->ppp, &frame, call->names, &call->events);
}

/* ICMP: the packet that it answers stands in it, at least its first eight octets behind the IP
 * header, and there the call ID is (RFC 792). */

static void take_icmp(struct explain_case *all, const struct explain_packet *packet)
{
	const uint8_t *icmp = packet->octets, *inner = icmp + ICMP_HEADER;
	if (packet->available < ICMP_HEADER + 20 || icmp[0] != ICMP_UNREACHABLE ||
	    inner[0] >> 4 != 4 || inner[9] != PROTOCOL_GRE)
		return;
	size_t header = (size_t)(inner[0] & 15) * 4;
	if (header < 20 || packet->available < ICMP_HEADER + header + 8)
		return;
	struct explain_call_end *end = find_end(
	    all, bytes_get32(inner + 12), bytes_get32(inner + 16), bytes_get16(inner + header + 6));
	if (!end)
		return;
	struct explain_way *way = &end->call->way[end->end];
	way->unreachable++;
	way->unreachable_code = icmp[1];
	way->unreachable_by = packet->source;
	way->unreachable_mtu = bytes_get16(icmp + 6);
}

static void lose_fragments(void *context, const struct explain_packet *packet)
{
	const struct explain_case *all = context;
	struct gre_header header;
	if (packet->protocol != PROTOCOL_GRE ||
	    gre_wire_read(packet->octets, packet->available, &header) != GRE_OK)
		return;
	struct explain_call_end *end =
	    find_end(all, packet->source, packet->destination, header.call_id);
	if (end)
		end->call->way[end->end].fragments_lost++;
}

/* The whole. */

int explain_case_init(struct explain_case *all)
{
	*all = (struct explain_case){0};
	if (explain_index_init(&all->by_ports) < 0 || explain_index_init(&all->by_packets) < 0 ||
	    explain_index_init(&all->by_ids) < 0 || explain_fragments_init(&all->fragments) < 0)
		return -1;
	all->fragments.lost = lose_fragments;
	all->fragments.context = all;
	return 0;
}

void explain_case_clear(struct explain_case *all)
{
	for (struct explain_call *call = all->calls, *next; call; call = next) {
		next = call->next;
		explain_events_clear(&call->events);
		free(call);
	}
	for (struct explain_control *control = all->controls, *next; control; control = next) {
		next = control->next;
		explain_control_free(control);
	}
	explain_index_clear(&all->by_ports);
	explain_index_clear(&all->by_packets);
	explain_index_clear(&all->by_ids);
	explain_fragments_clear(&all->fragments);
	*all = (struct explain_case){0};
}

void explain_case_take(struct explain_case *all, const struct explain_packet *packet)
{
	struct explain_packet whole = *packet;
	all->end_us = packet->time_us;
	if (whole.protocol != PROTOCOL_ICMP && whole.protocol != PROTOCOL_TCP &&
	    whole.protocol != PROTOCOL_GRE)
		return;
	if ((whole.offset != 0 || whole.more_fragments) &&
	    !explain_fragments_take(&all->fragments, &whole))
		return;
	switch (whole.protocol) {
	case PROTOCOL_TCP:
		explain_control_take(all, &whole);
		break;
	case PROTOCOL_GRE:
		take_gre(all, &whole);
		break;
	default:
		take_icmp(all, &whole);
	}
}

void explain_case_end(struct explain_case *all)
{
	explain_fragments_end(&all->fragments);
	for (struct explain_control *control = all->controls; control; control = control->next)
		explain_control_end(all, control);
}

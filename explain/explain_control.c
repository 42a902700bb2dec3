#include "explain/explain_control.h"

#include "explain/explain_message.h"
#include "wire/bytes.h"

#include <stdlib.h>

enum { TCP_HEADER_MIN = 20 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* A TCP packet and where it belongs. */
struct segment {
	struct explain_case *all;
	const struct explain_packet *packet;
	uint16_t source_port, destination_port;
	uint32_t acknowledgement;
	uint8_t flags;
	struct explain_segment data;
};

static bool read_segment(struct segment *segment)
{
	const struct explain_packet *packet = segment->packet;
	const uint8_t *tcp = packet->octets;
	if (packet->available < TCP_HEADER_MIN)
		return false;
	size_t header = (size_t)(tcp[12] >> 4) * 4;
	if (header < TCP_HEADER_MIN || header > packet->length)
		return false;
	segment->source_port = bytes_get16(tcp);
	segment->destination_port = bytes_get16(tcp + 2);
	segment->acknowledgement = bytes_get32(tcp + 8);
	segment->flags = tcp[13];
	segment->data = (struct explain_segment){
	    .sequence = bytes_get32(tcp + 4),
	    .octets = tcp + header,
	    .available = packet->available > header ? packet->available - header : 0,
	    .length = packet->length - header,
	};
	/* A SYN has a number of its own. */
	if (segment->flags & TCP_SYN)
		segment->data.sequence++;
	return true;
}

static void on_message(void *context, const uint8_t *message, const struct pptp_header *header)
{
	explain_message_take(context, message, header);
}

static void on_hole(void *context, uint32_t octets)
{
	const struct explain_message_place *place = context;
	explain_events_add(&place->control->events, place->time_us,
			   "%u octets from the %s are not in the capture", octets,
			   explain_message_end_names[place->end]);
}

static void on_nonsense(void *context, const char *why)
{
	const struct explain_message_place *place = context;
	place->control->end[place->end].nonsense++;
	explain_events_add(&place->control->events, place->time_us,
			   "what the %s sends is no PPTP: %s",
			   explain_message_end_names[place->end], why);
}

static const struct explain_stream_listener listener = {on_message, on_hole, on_nonsense};

/* Which connection. */

/* The same for both directions: the lower end stands first. */
static struct explain_key key_of(const struct segment *segment, bool *swapped)
{
	uint32_t source = segment->packet->source, destination = segment->packet->destination;
	uint16_t from = segment->source_port, to = segment->destination_port;
	*swapped = source > destination || (source == destination && from > to);
	if (*swapped)
		return (struct explain_key){destination, source, (uint32_t)to << 16 | from};
	return (struct explain_key){source, destination, (uint32_t)from << 16 | to};
}

/* The type of the PPTP message at the start of its octets, or 0. */
static uint16_t message_type(const struct explain_segment *data)
{
	struct pptp_header header = {0};
	const char *why;
	if (data->available < PPTP_HEADER_LEN ||
	    pptp_wire_parse(data->octets, data->available, &header, &why) == WIRE_BAD)
		return 0;
	return header.type;
}

static bool is_pptp(const struct segment *segment)
{
	return segment->source_port == EXPLAIN_PORT || segment->destination_port == EXPLAIN_PORT ||
	       message_type(&segment->data) != 0;
}

/* Is whoever sent it the one who dialled? */
static bool is_from_client(const struct segment *segment)
{
	uint16_t type = message_type(&segment->data);
	if (segment->flags & TCP_SYN)
		return !(segment->flags & TCP_ACK);
	if (type == PPTP_START_REQUEST || type == PPTP_OUTGOING_CALL_REQUEST)
		return true;
	if (type == PPTP_START_REPLY || type == PPTP_OUTGOING_CALL_REPLY)
		return false;
	if (segment->source_port == EXPLAIN_PORT || segment->destination_port == EXPLAIN_PORT)
		return segment->destination_port == EXPLAIN_PORT;
	return segment->source_port > segment->destination_port;
}

static struct explain_control *new_control(const struct segment *segment, struct explain_key key)
{
	struct explain_case *all = segment->all;
	struct explain_control *control =
	    all->control_count < EXPLAIN_CONTROLS_MAX ? calloc(1, sizeof(*control)) : NULL;
	if (!control)
		return NULL;
	enum explain_end sender = is_from_client(segment) ? EXPLAIN_CLIENT : EXPLAIN_SERVER;
	control->number = (unsigned)++all->control_count;
	control->first_us = segment->packet->time_us;
	control->end[sender].address = segment->packet->source;
	control->end[sender].port = segment->source_port;
	control->end[!sender].address = segment->packet->destination;
	control->end[!sender].port = segment->destination_port;
	explain_index_add(&all->by_ports, &control->node, key);
	if (all->last_control)
		all->last_control->next = control;
	else
		all->controls = control;
	all->last_control = control;
	return control;
}

static enum explain_end sender_of(const struct explain_control *control,
				  const struct segment *segment)
{
	const struct explain_control_end *client = &control->end[EXPLAIN_CLIENT];
	return client->address == segment->packet->source && client->port == segment->source_port
		   ? EXPLAIN_CLIENT
		   : EXPLAIN_SERVER;
}

/* A SYN that is no repetition: the ports serve another connection now. */
static bool begins_anew(const struct explain_control *control, const struct segment *segment)
{
	const struct explain_control_end *sender = &control->end[sender_of(control, segment)];
	return (segment->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       (control->ended || sender->stream.begun) &&
	       (sender->syns == 0 || sender->first_sequence != segment->data.sequence);
}

static struct explain_control *find_control(const struct segment *segment)
{
	bool swapped;
	struct explain_key key = key_of(segment, &swapped);
	struct explain_node *node = explain_index_find(&segment->all->by_ports, key);
	struct explain_control *control = NULL;
	if (node)
		control = (struct explain_control *)((char *)node -
						     offsetof(struct explain_control, node));
	if (control && !begins_anew(control, segment))
		return control;
	if (!control && !is_pptp(segment))
		return NULL;
	control = new_control(segment, key);
	if (!control)
		segment->all->untold++;
	return control;
}

/* What happens to it. */

static void take_syn(struct explain_control *control, enum explain_end end,
		     const struct segment *segment)
{
	struct explain_control_end *own = &control->end[end];
	own->syns++;
	own->first_sequence = segment->data.sequence;
	if (own->syns > 1)
		return;
	control->from_start = true;
	/* No network is that fast. */
	if (end == EXPLAIN_SERVER && control->end[EXPLAIN_CLIENT].syns > 0 &&
	    segment->packet->time_us == control->first_us)
		control->made_up = true;
	if (!own->stream.begun)
		explain_stream_begin(&own->stream, segment->data.sequence);
	explain_events_add(&control->events, segment->packet->time_us,
			   end == EXPLAIN_CLIENT ? "client opens the connection"
						 : "server takes it");
}

static void end_calls(const struct explain_control *control, enum explain_end end, int64_t time_us)
{
	for (struct explain_call *call = control->first_call; call; call = call->next_here) {
		if (call->ended || call->state == EXPLAIN_CALL_REFUSED)
			continue;
		call->ended = true;
		call->ended_us = time_us;
		snprintf(call->ending, sizeof(call->ending), "the %s %s its control connection",
			 explain_message_end_names[end],
			 control->end[end].reset ? "resets" : "closes");
	}
}

static void take_ending(struct explain_control *control, enum explain_end end,
			const struct segment *segment)
{
	struct explain_control_end *own = &control->end[end];
	bool reset = segment->flags & TCP_RST;
	if (own->reset || (own->finished && !reset))
		return;
	/* Closed by both; what follows is of no interest to either. */
	bool over = control->end[0].finished && control->end[1].finished;
	own->reset = own->reset || reset;
	own->finished = own->finished || !reset;
	if (!over)
		explain_events_add(&control->events, segment->packet->time_us, "%s %s",
				   explain_message_end_names[end],
				   reset ? "resets the connection (RST)"
					 : "closes the connection (FIN)");
	if (!control->ended) {
		control->ended = true;
		control->ended_us = segment->packet->time_us;
		end_calls(control, end, control->ended_us);
	}
}

void explain_control_take(struct explain_case *all, const struct explain_packet *packet)
{
	struct segment segment = {.all = all, .packet = packet};
	if (!read_segment(&segment))
		return;
	struct explain_control *control = find_control(&segment);
	if (!control)
		return;
	enum explain_end end = sender_of(control, &segment);
	struct explain_message_place place = {all, control, end, packet->time_us};
	struct explain_message_place other = {all, control, !end, packet->time_us};
	control->last_us = packet->time_us;
	control->cut += segment.data.available < segment.data.length;
	if (segment.flags & TCP_SYN)
		take_syn(control, end, &segment);
	if (segment.flags & TCP_ACK)
		explain_stream_acknowledged(&control->end[!end].stream, segment.acknowledgement,
					    &listener, &other);
	explain_stream_take(&control->end[end].stream, &segment.data, &listener, &place);
	if (segment.flags & (TCP_FIN | TCP_RST))
		take_ending(control, end, &segment);
}

void explain_control_end(struct explain_case *all, struct explain_control *control)
{
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		struct explain_message_place place = {all, control, end, control->last_us};
		explain_stream_end(&control->end[end].stream, &listener, &place);
	}
}

void explain_control_free(struct explain_control *control)
{
	if (!control)
		return;
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++)
		explain_stream_clear(&control->end[end].stream);
	explain_events_clear(&control->events);
	free(control);
}

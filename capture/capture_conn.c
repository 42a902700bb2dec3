#include "capture/capture_conn.h"

#include "capture/capture_sink.h"
#include "capture/capture_wire.h"

static bool wants_conn(const struct capture_sink *sink, const struct capture_conn *conn)
{
	switch (sink->filter.what) {
	case CAPTURE_ALL:
		return true;
	case CAPTURE_CLIENT:
		return sink->filter.client_addr == conn->legs[CALLID_CLIENT].peer_addr;
	case CAPTURE_CALL:
		return sink->filter.connection == conn->number;
	}
	return false;
}

/* The sequence number of a stream's first octet. The same in the next process, so that what it
 * captures goes on where this one's ends. */
static uint32_t first_seq(const struct capture_conn *conn, enum callid_side side,
			  enum capture_direction direction)
{
	uint64_t mixed =
	    (conn->number * 4 + (uint64_t)side * 2 + (uint64_t)direction) * 0x9E3779B97F4A7C15U;
	return (uint32_t)(mixed >> 32);
}

/* One that has no octets yet, of that direction of the leg as it stands. */
static struct capture_wire_segment segment_of(const struct capture_conn *conn,
					      enum callid_side side,
					      enum capture_direction direction, uint8_t flags)
{
	const struct capture_leg *leg = &conn->legs[side];
	uint32_t in = first_seq(conn, side, CAPTURE_IN) + (uint32_t)leg->in,
		 out = first_seq(conn, side, CAPTURE_OUT) + (uint32_t)leg->out;
	bool is_in = direction == CAPTURE_IN;
	return (struct capture_wire_segment){
	    .source = is_in ? leg->peer_addr : leg->proxy_addr,
	    .destination = is_in ? leg->proxy_addr : leg->peer_addr,
	    .source_port = is_in ? leg->peer_port : leg->proxy_port,
	    .destination_port = is_in ? leg->proxy_port : leg->peer_port,
	    .seq = is_in ? in : out,
	    .ack = is_in ? out : in,
	    .id = capture_own_next_id(conn->capture),
	    .flags = flags,
	};
}

static void put_segment(struct capture_sink *sink, uint64_t time_us,
			const struct capture_wire_segment *segment)
{
	uint8_t head[CAPTURE_WIRE_HEAD_MAX];
	size_t length = capture_wire_tcp(head, segment);
	capture_sink_put(sink, time_us, (struct capture_piece){head, length},
			 (struct capture_piece){segment->octets, segment->length});
}

/* As if it had been made where its streams stand now: the client dials us, and we the server. */
static void put_beginning(struct capture_sink *sink, uint64_t time_us,
			  const struct capture_conn *conn, enum callid_side side)
{
	enum capture_direction dials = side == CALLID_CLIENT ? CAPTURE_IN : CAPTURE_OUT,
			       answers = dials == CAPTURE_IN ? CAPTURE_OUT : CAPTURE_IN;
	struct capture_wire_segment first = segment_of(conn, side, dials, CAPTURE_WIRE_SYN),
				    second = segment_of(conn, side, answers,
							CAPTURE_WIRE_SYN | CAPTURE_WIRE_ACK),
				    third = segment_of(conn, side, dials, CAPTURE_WIRE_ACK);
	first.seq--;
	first.ack = 0;
	second.seq--;
	put_segment(sink, time_us, &first);
	put_segment(sink, time_us, &second);
	put_segment(sink, time_us, &third);
}

/* A leg has begun for a sink where the bit of its side is set. */
static void begin_for(struct capture_sink *sink, int place, uint64_t time_us,
		      struct capture_conn *conn)
{
	if (conn->begun[place] >> 2 != sink->number)
		conn->begun[place] = sink->number << 2;
	for (int side = 0; side < 2; side++) {
		uint64_t bit = 1U << side;
		if (conn->begun[place] & bit || conn->legs[side].peer_port == 0)
			continue;
		put_beginning(sink, time_us, conn, (enum callid_side)side);
		conn->begun[place] |= bit;
	}
}

static void show_message(struct capture_conn *conn, const struct capture_wire_segment *segment)
{
	struct capture *capture = conn->capture;
	uint64_t time_us = capture_own_now_us();
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (!sink || !wants_conn(sink, conn))
			continue;
		begin_for(sink, i, time_us, conn);
		put_segment(sink, time_us, segment);
	}
	pthread_mutex_unlock(&capture->lock);
}

void capture_conn_message(struct capture_conn *conn, enum callid_side side,
			  enum capture_direction direction, const uint8_t *octets, size_t length)
{
	struct capture_leg *leg = &conn->legs[side];
	if (capture_is_on(conn->capture)) {
		struct capture_wire_segment segment =
		    segment_of(conn, side, direction, CAPTURE_WIRE_PSH | CAPTURE_WIRE_ACK);
		segment.octets = octets;
		segment.length = length;
		show_message(conn, &segment);
	}
	*(direction == CAPTURE_IN ? &leg->in : &leg->out) += length;
}

static void put_end(struct capture_sink *sink, uint64_t time_us, const struct capture_conn *conn,
		    enum callid_side side)
{
	uint8_t flags = CAPTURE_WIRE_FIN | CAPTURE_WIRE_ACK;
	enum capture_direction one = conn->legs[side].peer_closed ? CAPTURE_IN : CAPTURE_OUT,
			       other = one == CAPTURE_IN ? CAPTURE_OUT : CAPTURE_IN;
	struct capture_wire_segment first = segment_of(conn, side, one, flags),
				    second = segment_of(conn, side, other, flags),
				    last = segment_of(conn, side, one, CAPTURE_WIRE_ACK);
	second.ack++;
	last.seq++;
	last.ack++;
	put_segment(sink, time_us, &first);
	put_segment(sink, time_us, &second);
	put_segment(sink, time_us, &last);
}

void capture_conn_end(struct capture_conn *conn)
{
	struct capture *capture = conn->capture;
	uint64_t time_us;
	if (!capture_is_on(capture))
		return;
	time_us = capture_own_now_us();
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (!sink || conn->begun[i] >> 2 != sink->number)
			continue;
		for (int side = 0; side < 2; side++) {
			if (conn->begun[i] & 1U << side)
				put_end(sink, time_us, conn, (enum callid_side)side);
		}
	}
	pthread_mutex_unlock(&capture->lock);
	conn->capture = NULL;
}

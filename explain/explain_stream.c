#include "explain/explain_stream.h"

#include <stdlib.h>
#include <string.h>

/* A message may be all but one octet long when the next octets come. */
enum { PARTIAL_MAX = 2 * PPTP_MESSAGE_MAX };

struct explain_piece {
	struct explain_piece *next;
	uint32_t sequence;
	size_t length;
	uint8_t octets[];
};

/* Who is told what is found. */
struct teller {
	const struct explain_stream_listener *listener;
	void *context;
};

static void free_pieces(struct explain_stream *stream)
{
	for (struct explain_piece *piece = stream->waiting, *next; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	stream->waiting = NULL;
	stream->waiting_octets = stream->waiting_pieces = 0;
}

void explain_stream_clear(struct explain_stream *stream)
{
	free_pieces(stream);
	free(stream->partial);
	*stream = (struct explain_stream){0};
}

void explain_stream_begin(struct explain_stream *stream, uint32_t sequence)
{
	stream->begun = true;
	stream->searching = false;
	stream->next = sequence;
}

/* Messages, from octets that are in order. */

static void drop_octets(struct explain_stream *stream, size_t count)
{
	stream->length -= count;
	memmove(stream->partial, stream->partial + count, stream->length);
}

/* The header alone says where a message begins: a shorter match would be found everywhere. */
static void search(struct explain_stream *stream)
{
	struct pptp_header header;
	const char *why;
	size_t at = 0;
	while (stream->length - at >= PPTP_HEADER_LEN) {
		if (pptp_wire_parse(stream->partial + at, stream->length - at, &header, &why) !=
		    WIRE_BAD) {
			stream->searching = false;
			break;
		}
		at++;
	}
	stream->skipped += at;
	drop_octets(stream, at);
}

static void read_messages(struct explain_stream *stream, const struct teller *teller)
{
	struct pptp_header header;
	const char *why = NULL;
	for (;;) {
		if (stream->searching)
			search(stream);
		if (stream->searching || stream->length == 0)
			return;
		switch (pptp_wire_parse(stream->partial, stream->length, &header, &why)) {
		case WIRE_MORE:
			return;
		case WIRE_OK:
			teller->listener->message(teller->context, stream->partial, &header);
			drop_octets(stream, header.length);
			break;
		case WIRE_BAD:
			teller->listener->nonsense(teller->context, why);
			stream->searching = true;
			stream->skipped++;
			drop_octets(stream, 1);
			break;
		}
	}
}

static void read_octets(struct explain_stream *stream, const uint8_t *octets, size_t length,
			const struct teller *teller)
{
	if (!stream->partial)
		stream->partial = malloc(PARTIAL_MAX);
	if (!stream->partial)
		return;
	while (length > 0) {
		size_t room = PARTIAL_MAX - stream->length;
		size_t count = length < room ? length : room;
		memcpy(stream->partial + stream->length, octets, count);
		stream->length += count;
		octets += count;
		length -= count;
		read_messages(stream, teller);
	}
	/* Connections are many, and mostly between two messages. */
	if (stream->length == 0) {
		free(stream->partial);
		stream->partial = NULL;
	}
}

/* Order, from segments. */

static int32_t distance(uint32_t from, uint32_t to)
{
	return (int32_t)(to - from);
}

/* Takes what is new of octets that begin at or before `next`. */
static void go_on(struct explain_stream *stream, uint32_t sequence, const uint8_t *octets,
		  size_t length, const struct teller *teller)
{
	size_t known = (size_t)distance(sequence, stream->next);
	if (known >= length)
		return;
	stream->next = sequence + (uint32_t)length;
	read_octets(stream, octets + known, length - known, teller);
}

static void take_waiting(struct explain_stream *stream, const struct teller *teller)
{
	struct explain_piece *piece;
	while ((piece = stream->waiting) != NULL && distance(stream->next, piece->sequence) <= 0) {
		stream->waiting = piece->next;
		stream->waiting_octets -= piece->length;
		stream->waiting_pieces--;
		go_on(stream, piece->sequence, piece->octets, piece->length, teller);
		free(piece);
	}
}

static void jump(struct explain_stream *stream, uint32_t to, const struct teller *teller)
{
	uint32_t octets = to - stream->next;
	stream->skipped += stream->length;
	stream->length = 0;
	stream->lost += octets;
	stream->next = to;
	stream->searching = true;
	teller->listener->hole(teller->context, octets);
}

static void keep(struct explain_stream *stream, const struct explain_segment *segment)
{
	struct explain_piece **at = &stream->waiting;
	while (*at && distance((*at)->sequence, segment->sequence) > 0)
		at = &(*at)->next;
	/* Sent again, as the receiver waits for what is before it, too. */
	if (*at && (*at)->sequence == segment->sequence && (*at)->length >= segment->available)
		return;
	struct explain_piece *piece = malloc(sizeof(*piece) + segment->available);
	if (!piece)
		return;
	piece->next = *at;
	piece->sequence = segment->sequence;
	piece->length = segment->available;
	memcpy(piece->octets, segment->octets, segment->available);
	*at = piece;
	stream->waiting_octets += piece->length;
	stream->waiting_pieces++;
}

static void skip_hole(struct explain_stream *stream, const struct teller *teller)
{
	jump(stream, stream->waiting->sequence, teller);
	take_waiting(stream, teller);
}

void explain_stream_take(struct explain_stream *stream, const struct explain_segment *segment,
			 const struct explain_stream_listener *listener, void *context)
{
	const struct teller teller = {listener, context};
	if (segment->length == 0)
		return;
	if (!stream->begun) {
		stream->begun = stream->searching = true;
		stream->next = segment->sequence;
	}
	int32_t ahead = distance(stream->next, segment->sequence);
	if (ahead <= 0) {
		if ((size_t) - (int64_t)ahead >= segment->length)
			stream->repeated++;
		go_on(stream, segment->sequence, segment->octets, segment->available, &teller);
		take_waiting(stream, &teller);
		return;
	}
	keep(stream, segment);
	while (stream->waiting && (stream->waiting_octets > EXPLAIN_STREAM_WAITING ||
				   stream->waiting_pieces > EXPLAIN_STREAM_PIECES))
		skip_hole(stream, &teller);
}

void explain_stream_acknowledged(struct explain_stream *stream, uint32_t sequence,
				 const struct explain_stream_listener *listener, void *context)
{
	const struct teller teller = {listener, context};
	while (stream->waiting && distance(stream->waiting->sequence, sequence) > 0)
		skip_hole(stream, &teller);
}

void explain_stream_end(struct explain_stream *stream,
			const struct explain_stream_listener *listener, void *context)
{
	const struct teller teller = {listener, context};
	while (stream->waiting)
		skip_hole(stream, &teller);
}

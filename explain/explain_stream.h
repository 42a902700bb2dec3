/*
 * explain_stream: the control messages in one direction of a TCP connection (RFC 9293), from its
 * segments in any order, with repetitions, overlaps and holes.
 *
 * Bounded: EXPLAIN_STREAM_WAITING octets behind a hole, then the hole is taken for one of the
 * capture. Behind one, and where the stream's start is not known, it looks for the next message.
 * Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_STREAM_H
#define EXPLAIN_EXPLAIN_STREAM_H

#include "wire/pptp_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EXPLAIN_STREAM_WAITING = 16384, /* octets */
	EXPLAIN_STREAM_PIECES = 64,
};

struct explain_stream;

struct explain_stream_listener {
	/* A message that pptp_wire_parse calls WIRE_OK. */
	void (*message)(void *context, const uint8_t *message, const struct pptp_header *header);
	/* So many octets of the stream are not in the capture. */
	void (*hole)(void *context, uint32_t octets);
	/* What is there is no message; told once until the next one is found. */
	void (*nonsense)(void *context, const char *why);
};

struct explain_stream {		/* all zero: nothing is known yet */
	bool begun;		/* next is known */
	bool searching;		/* for the start of a message */
	uint32_t next;		/* sequence number of the octet that is waited for */
	uint64_t skipped, lost; /* octets that were no message; that are not in the capture */
	uint64_t repeated;	/* segments whose octets had all come */
	struct explain_piece *waiting; /* behind a hole, in order */
	size_t waiting_octets, waiting_pieces;
	size_t length;	  /* octets in `partial` */
	uint8_t *partial; /* the start of a message; NULL: not yet */
};

void explain_stream_clear(struct explain_stream *stream);

/* The first octet will have this sequence number: a SYN was seen. */
void explain_stream_begin(struct explain_stream *stream, uint32_t sequence);

/* One segment's octets, of which only `available` are in the capture. Without a start before it
 * the stream begins here. */
struct explain_segment {
	uint32_t sequence;
	const uint8_t *octets;
	size_t available, length;
};
void explain_stream_take(struct explain_stream *stream, const struct explain_segment *segment,
			 const struct explain_stream_listener *listener, void *context);

/* The receiver has got everything before this sequence number: what of it is missing is
 * missing in the capture alone. */
void explain_stream_acknowledged(struct explain_stream *stream, uint32_t sequence,
				 const struct explain_stream_listener *listener, void *context);

/* Nothing more comes: what waits behind holes is read. */
void explain_stream_end(struct explain_stream *stream,
			const struct explain_stream_listener *listener, void *context);

#endif

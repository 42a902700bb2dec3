/*
 * explain_way: one direction of a call's packets: how many, what is missing among their sequence
 * numbers, when it was silent.
 *
 * Sequence numbers begin anywhere and wrap. Bounded: a packet that comes later than
 * EXPLAIN_WAY_WINDOW numbers behind the highest is late, and never known to be a second copy.
 * Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_WAY_H
#define EXPLAIN_EXPLAIN_WAY_H

#include "wire/gre_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EXPLAIN_WAY_WINDOW = 1024,
	/* A step as far as this is no loss: the sender counts anew. */
	EXPLAIN_WAY_JUMP = 65536,
	EXPLAIN_SILENCE_S = 5,
	EXPLAIN_SILENCE_PACKETS = 3, /* that the other way brings meanwhile */
	EXPLAIN_SILENCES = 3,	     /* that are told one by one */
};

struct explain_silence {
	int64_t from_us, to_us;
	uint64_t packets; /* of the other way, meanwhile */
};

struct explain_way {
	uint64_t packets, octets; /* GRE packets; IP packets' octets, from their header on */
	uint64_t acks;		  /* packets with an acknowledgement only */
	int64_t first_us, last_us;
	size_t largest; /* octets of an IP packet, with its header */

	uint64_t numbered; /* packets with a sequence number */
	uint64_t missing;  /* numbers that never came */
	uint64_t late;	   /* packets behind one with a higher number */
	uint64_t twice;	   /* packets whose number had come */
	uint64_t restarts; /* EXPLAIN_WAY_JUMP */
	uint32_t highest;
	uint64_t seen[EXPLAIN_WAY_WINDOW / 64]; /* by number, as a ring */

	/* What the other end says that it has got. */
	bool acknowledged;
	uint32_t acknowledged_to;

	uint64_t fragmented, fragments_lost; /* packets */
	uint64_t cut;			     /* packets that the capture has not whole */

	uint64_t other_packets; /* of the other way, when the last one came */
	uint64_t silence_count;
	struct explain_silence silences[EXPLAIN_SILENCES];

	/* ICMP's answers to these packets. */
	uint64_t unreachable;
	uint8_t unreachable_code;
	uint32_t unreachable_by;
	uint16_t unreachable_mtu;
};

/* A packet came by `way`; the other direction is `other`. */
void explain_way_take(struct explain_way *way, struct explain_way *other,
		      const struct gre_header *header, int64_t time_us);

/* The silence up to now, if it is one. */
bool explain_way_silent(const struct explain_way *way, const struct explain_way *other,
			int64_t now_us, struct explain_silence *silence);

#endif

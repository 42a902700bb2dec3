/*
 * gre_wire: enhanced GRE packets as octets (RFC 2637 section 4.1), version 1, protocol type 0x880B.
 *
 * Pure; any thread. All values in host byte order. "octets" starts at the GRE header, behind the IP
 * header.
 */
#ifndef WIRE_GRE_WIRE_H
#define WIRE_GRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GRE_HEADER_MIN = 8 };

/* The first 32 bits of a legal packet, but for S (sequence number present) and A (acknowledgement
 * present). */
#define GRE_FIRST_MASK	0xEF7FFFFFU
#define GRE_FIRST_VALUE 0x2001880BU
#define GRE_FLAG_S	0x10000000U /* a sequence number follows */
#define GRE_FLAG_A	0x00800000U /* an acknowledgement number follows */

enum gre_answer {
	GRE_OK,
	GRE_TRUNCATED,	  /* shorter than its header, or than its payload length says */
	GRE_NOT_ENHANCED, /* other flags, version or protocol type */
};

/* Checks the header and its lengths; GRE_OK puts the call ID (assigned by the packet's receiver)
 * into *call_id. Octets behind the payload are legal. */
enum gre_answer gre_wire_check(const uint8_t *octets, size_t length, uint16_t *call_id);

struct gre_header {
	uint16_t call_id;	 /* assigned by the packet's receiver */
	uint16_t payload_length; /* as it says: what is there may be less */
	bool has_sequence, has_acknowledgement;
	uint32_t sequence, acknowledgement; /* 0 where it has none */
	size_t length;			    /* of the header */
};

/* Reads a header, of a packet that need not be all there: GRE_OK as soon as the header is. */
enum gre_answer gre_wire_read(const uint8_t *octets, size_t length, struct gre_header *header);

/* Of a packet that is GRE_OK. No checksum covers it. */
void gre_wire_set_call_id(uint8_t *octets, uint16_t call_id);

#endif

/*
 * explain_link: frames of a link as captures have them -> the IPv4 packet in it.
 *
 * Pure. Links: Ethernet, with VLAN tags and PPPoE, Linux cooked (both versions), raw IP, loopback
 * (both octet orders). All values in host byte order.
 */
#ifndef EXPLAIN_EXPLAIN_LINK_H
#define EXPLAIN_EXPLAIN_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 packet, or a fragment of one, without its header. */
struct explain_packet {
	int64_t time_us; /* since the capture's first packet */
	uint32_t source, destination;
	uint8_t protocol;
	uint16_t identification;
	uint16_t offset;       /* of a fragment, in octets */
	bool more_fragments;   /* follow */
	bool fragmented;       /* it came in fragments */
	const uint8_t *octets; /* behind the IP header; lives as long as the frame */
	size_t available;      /* of them in the capture */
	size_t length;	       /* of them on the wire, at least as many */
	size_t total;	       /* octets of the packet with its IP header; of a fragment, of that */
};

/* Can frames of this link type (libpcap's DLT_*) be read? */
bool explain_link_known(int type);

enum explain_link_answer {
	EXPLAIN_LINK_IPV4,
	EXPLAIN_LINK_OTHER, /* ARP, IPv6 and the like */
	EXPLAIN_LINK_CUT,   /* too little of it is in the capture */
	EXPLAIN_LINK_BAD,   /* IPv4, but its header is a lie */
};

/* A frame of which `available` octets are in the capture, of `length` on the wire. IPV4 fills all
 * of *packet but time_us and fragmented. */
enum explain_link_answer explain_link_read(int type, const uint8_t *frame, size_t available,
					   size_t length, struct explain_packet *packet);

#endif

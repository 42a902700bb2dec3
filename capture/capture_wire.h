/*
 * capture_wire: headers that a capture needs and that nobody has handed to us: of control messages,
 * which are a socket's octets here, and of packets whose IP header the system makes.
 *
 * Pure; any thread. Host byte order. RFC 791, RFC 9293.
 */
#ifndef CAPTURE_WIRE_H
#define CAPTURE_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum {
	CAPTURE_WIRE_IP = 20,		/* octets */
	CAPTURE_WIRE_HEAD_MAX = 20 + 24 /* IP and TCP */
};

enum { CAPTURE_WIRE_GRE = 47, CAPTURE_WIRE_TCP = 6 };

struct capture_wire_ip {
	uint32_t source, destination;
	uint16_t id;
	uint8_t protocol, tos;
};

/* The header of a packet that has length octets behind it, at most 65515; DF is set for TCP only,
 * as the system does with ours. */
void capture_wire_ip(uint8_t out[static CAPTURE_WIRE_IP], const struct capture_wire_ip *ip,
		     size_t length);

enum {
	CAPTURE_WIRE_FIN = 0x01,
	CAPTURE_WIRE_SYN = 0x02, /* with a window scale, so that no window ever looks full */
	CAPTURE_WIRE_PSH = 0x08,
	CAPTURE_WIRE_ACK = 0x10,
};

struct capture_wire_segment {
	uint32_t source, destination, seq, ack;
	uint16_t source_port, destination_port, id;
	uint8_t flags;
	const uint8_t *octets; /* the message */
	size_t length;
};

/* IP and TCP header of the segment, without its octets: their length, which is at most
 * CAPTURE_WIRE_HEAD_MAX. */
size_t capture_wire_tcp(uint8_t out[static CAPTURE_WIRE_HEAD_MAX],
			const struct capture_wire_segment *segment);

#endif

/*
 * probe_wire: what a client of PPTP says, and what it is answered: the messages and packets of one
 * short call, RFC 2637 sections 2.1, 2.2, 2.5, 2.6, 2.7, 4.1, and as much of LCP (RFC 1661) as
 * proves that somebody is there.
 *
 * Pure; any thread. Host byte order. Messages that are read are WIRE_OK of that type.
 */
#ifndef WIRE_PROBE_WIRE_H
#define WIRE_PROBE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROBE_MESSAGE_MAX = 168, /* the longest of these messages */
	PROBE_NAME = 64,	 /* octets of a name in them, not terminated if it has as many */
	PROBE_PACKET_MAX = 64,	 /* of these packets, from the GRE header on */
};

/* Each writes a whole message and returns its length. */
size_t probe_wire_start(uint8_t out[static PROBE_MESSAGE_MAX], const char *host,
			const char *vendor);
size_t probe_wire_echo(uint8_t out[static PROBE_MESSAGE_MAX], uint32_t identifier);
size_t probe_wire_echo_reply(uint8_t out[static PROBE_MESSAGE_MAX], uint32_t identifier);
size_t probe_wire_call(uint8_t out[static PROBE_MESSAGE_MAX], uint16_t call_id, uint16_t serial);

/* Of a Start-Control-Connection-Reply. */
struct probe_started {
	uint16_t version; /* 0x0100: 1.0 */
	uint8_t result, error;
	bool async, sync; /* framing */
	uint16_t firmware;
	const uint8_t *host, *vendor; /* PROBE_NAME octets each, within the message */
};
void probe_wire_read_started(const uint8_t *message, struct probe_started *started);

/* Of an Echo-Request or -Reply. */
uint32_t probe_wire_identifier(const uint8_t *message);

/* Of a reply whose shape has a Result Code: the General Error Code behind it. */
uint8_t probe_wire_error(const uint8_t *message);

/* ---- packets ---- */

/* An LCP Configure-Request that asks for a magic number and nothing else, in enhanced GRE. */
size_t probe_wire_configure(uint8_t out[static PROBE_PACKET_MAX], uint16_t call_id, uint32_t seq,
			    uint8_t identifier, uint32_t magic);

enum probe_lcp {
	PROBE_NO_LCP, /* no payload, or another protocol's */
	PROBE_LCP_REQUEST,
	PROBE_LCP_ANSWER, /* Configure-Ack, -Nak or -Reject, or Code-Reject */
	PROBE_LCP_OTHER,
};

struct probe_packet {
	uint16_t call_id;
	bool has_ack;
	uint32_t ack;
	enum probe_lcp lcp;
	uint8_t identifier; /* of LCP */
};

/* False: no enhanced GRE packet, or one that lies about its length. */
bool probe_wire_read_packet(const uint8_t *octets, size_t length, struct probe_packet *packet);

#endif

/*
 * A frame's protocol, then the control protocols' common header: code, identifier, length.
 */
#include "explain/explain_ppp.h"

#include "explain/explain_ppp_auth.h"
#include "explain/explain_ppp_layer.h"
#include "wire/bytes.h"

#include <stdio.h>

enum { CONTROL_HEADER = 4 };

/* Bits of MPPE's option, RFC 3078 section 2.1. */
#define MPPE_STATELESS 0x01000000U
#define MPPE_128       0x00000040U
#define MPPE_56	       0x00000080U
#define MPPE_40	       0x00000020U

const char *explain_ppp_mppe(uint32_t bits, char out[static 48])
{
	unsigned length = bits & MPPE_128 ? 128 : bits & MPPE_56 ? 56 : 40;
	if (!(bits & (MPPE_128 | MPPE_56 | MPPE_40)))
		snprintf(out, 48, "no MPPE");
	else
		snprintf(out, 48, "MPPE %u bits, %s", length,
			 bits & MPPE_STATELESS ? "stateless" : "stateful");
	return out;
}

void explain_ppp_begin(struct explain_ppp *ppp)
{
	*ppp = (struct explain_ppp){.terminator = -1};
}

/* Address and control field may be left away (ACFC), and so may a protocol's first octet if it is
 * zero (PFC), RFC 1661 sections 6.5 and 6.6. Returns the header's length, or 0. */
static size_t read_protocol(const uint8_t *octets, size_t length, uint16_t *protocol)
{
	size_t at = length >= 2 && octets[0] == 0xFF && octets[1] == 0x03 ? 2 : 0;
	if (length > at && octets[at] & 1) {
		*protocol = octets[at];
		return at + 1;
	}
	if (length < at + 2)
		return 0;
	*protocol = bytes_get16(octets + at);
	return at + 2;
}

/* Cut where the capture is; what is behind its own length is padding. */
static bool read_control(const struct explain_frame *frame, size_t at,
			 struct explain_ppp_packet *packet)
{
	if (frame->length < at + CONTROL_HEADER)
		return false;
	size_t there = frame->length - at, length = bytes_get16(frame->octets + at + 2);
	if (length < CONTROL_HEADER)
		return false;
	packet->code = frame->octets[at];
	packet->octets = frame->octets + at + CONTROL_HEADER;
	packet->length = (length < there ? length : there) - CONTROL_HEADER;
	return true;
}

static void take_control(uint16_t protocol, const struct explain_ppp_packet *packet)
{
	switch (protocol) {
	case EXPLAIN_PPP_LCP:
		explain_ppp_layer_take(packet, EXPLAIN_LCP);
		break;
	case EXPLAIN_PPP_CCP:
		explain_ppp_layer_take(packet, EXPLAIN_CCP);
		break;
	case EXPLAIN_PPP_IPCP:
		explain_ppp_layer_take(packet, EXPLAIN_IPCP);
		break;
	case EXPLAIN_PPP_IPV6CP:
		explain_ppp_layer_take(packet, EXPLAIN_IPV6CP);
		break;
	case EXPLAIN_PPP_PAP:
		explain_ppp_auth_take_pap(packet);
		break;
	case EXPLAIN_PPP_CHAP:
		explain_ppp_auth_take_chap(packet);
		break;
	case EXPLAIN_PPP_EAP:
		explain_ppp_auth_take_eap(packet);
		break;
	default:
		break;
	}
}

static void count_network_packet(struct explain_ppp *ppp, uint64_t *count,
				 const struct explain_frame *frame, size_t header)
{
	size_t length = frame->length - header;
	++*count;
	if (length > ppp->largest[frame->end])
		ppp->largest[frame->end] = length;
}

void explain_ppp_take(struct explain_ppp *ppp, const struct explain_frame *frame,
		      const char *const names[2], struct explain_events *events)
{
	uint16_t protocol = 0;
	size_t at = read_protocol(frame->octets, frame->length, &protocol);
	struct explain_ppp_packet packet = {
	    .ppp = ppp,
	    .events = events,
	    .names = names,
	    .time_us = frame->time_us,
	    .end = frame->end,
	};
	if (at == 0)
		return;
	if (protocol == EXPLAIN_PPP_COMPRESSED)
		count_network_packet(ppp, &ppp->encrypted[frame->end], frame, at);
	else if (protocol == EXPLAIN_PPP_IP || protocol == EXPLAIN_PPP_IPV6)
		count_network_packet(ppp, &ppp->plain[frame->end], frame, at);
	else if (protocol >= 0x8000 && read_control(frame, at, &packet))
		take_control(protocol, &packet);
}

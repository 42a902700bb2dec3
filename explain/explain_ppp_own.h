/*
 * explain_ppp_own: a control packet, and whom it concerns; protocols by number. explain_ppp's
 * own, shared by it and by explain_ppp_layer and explain_ppp_auth; nobody else includes it.
 */
#ifndef EXPLAIN_EXPLAIN_PPP_OWN_H
#define EXPLAIN_EXPLAIN_PPP_OWN_H

#include "explain/explain_ppp.h"

enum {
	EXPLAIN_PPP_IP = 0x0021,
	EXPLAIN_PPP_IPV6 = 0x0057,
	EXPLAIN_PPP_COMPRESSED = 0x00FD, /* MPPE is */
	EXPLAIN_PPP_IPCP = 0x8021,
	EXPLAIN_PPP_IPV6CP = 0x8057,
	EXPLAIN_PPP_CCP = 0x80FD,
	EXPLAIN_PPP_LCP = 0xC021,
	EXPLAIN_PPP_PAP = 0xC023,
	EXPLAIN_PPP_CHAP = 0xC223,
	EXPLAIN_PPP_EAP = 0xC227,
};

/* A control packet, and whom it concerns. */
struct explain_ppp_packet {
	struct explain_ppp *ppp;
	struct explain_events *events;
	const char *const *names;
	int64_t time_us;
	int end; /* whose it is */
	uint8_t code;
	const uint8_t *octets; /* behind its header */
	size_t length;
};

#define EXPLAIN_PPP_SAY(packet, ...)                                                               \
	explain_events_add((packet)->events, (packet)->time_us, __VA_ARGS__)

static inline const char *explain_ppp_sender(const struct explain_ppp_packet *packet)
{
	return packet->names[packet->end];
}

static inline const char *explain_ppp_receiver(const struct explain_ppp_packet *packet)
{
	return packet->names[!packet->end];
}

#endif

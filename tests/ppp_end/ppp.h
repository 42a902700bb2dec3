/* One PPP link without authentication: LCP, IPCP, and IP packets. No descriptors: the owner sends
 * frames and is told when the network comes and goes. */
#ifndef PPP_END_PPP_H
#define PPP_END_PPP_H

#include "negotiate.h"

enum {
	PPP_IP = 0x0021,
	PPP_IPCP = 0x8021,
	PPP_LCP = 0xc021,
	PPP_MRU_DEFAULT = 1500,
	PPP_PAYLOAD_MAX = 2000,
};

struct ppp {
	/* Set by the owner before ppp_start(); addresses in host order, 0: as the peer says. */
	uint16_t mtu;
	uint32_t want_local, want_remote;
	int restart_ms, tries;
	int echo_interval_ms; /* 0: no echo requests of our own */
	int echo_failures;
	/* Send one frame; payload has up to PPP_PAYLOAD_MAX octets. */
	void (*send)(struct ppp *ppp, uint16_t protocol, const uint8_t *payload, size_t len);
	void (*receive)(struct ppp *ppp, const uint8_t *packet, size_t len); /* an IP packet */
	void (*up)(struct ppp *ppp);
	void (*down)(struct ppp *ppp);

	/* For the owner to read. */
	uint32_t local, remote; /* valid from up() on */
	uint16_t peer_mru;
	uint32_t send_accm;	/* what the peer wants escaped */
	bool network;		/* between up() and down() */
	const char *end_reason; /* not NULL: it is over */

	/* Its own. */
	struct cp lcp, ipcp;
	uint32_t magic;
	uint32_t ask_local;
	bool ask_mru, ask_accm, ask_magic;
	uint8_t echo_id;
	int echo_missed;
	int64_t echo_due;
	int64_t now;
};

/* now: milliseconds of a clock that only goes forward. */
void ppp_start(struct ppp *ppp, int64_t now);
void ppp_stop(struct ppp *ppp, int64_t now);
/* A frame without flags and check; address, control and protocol may be compressed. */
void ppp_input(struct ppp *ppp, const uint8_t *frame, size_t len, int64_t now);
/* Whatever is due. Returns the milliseconds until it wants to be called again, -1: no need. */
int ppp_tick(struct ppp *ppp, int64_t now);

#endif

/*
 * explain_ppp: how far PPP came in a call, from the control packets of both ends: LCP (RFC 1661),
 * PAP (RFC 1334), CHAP (RFC 1994, 2433, 2759), EAP (RFC 3748), CCP with MPPE (RFC 1962, 3078), IPCP
 * (RFC 1332), IPV6CP.
 *
 * Knows no GRE and no time but what it is told. Passwords are not kept. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_PPP_H
#define EXPLAIN_EXPLAIN_PPP_H

#include "explain/explain_events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum explain_layer { EXPLAIN_LCP, EXPLAIN_CCP, EXPLAIN_IPCP, EXPLAIN_IPV6CP, EXPLAIN_LAYERS };

extern const char *const explain_ppp_layer_names[EXPLAIN_LAYERS];

enum { EXPLAIN_QUOTE_MAX = 100 };

/* One end's part in a layer. */
struct explain_ppp_part {
	unsigned requests; /* Configure-Requests that it sent */
	unsigned answers;  /* Configure-Ack, -Nak or -Reject that it sent */
	bool acknowledged; /* its last request was, by the other end */
	bool refused;	   /* it answered Configure-Reject, or rejected the protocol */
	bool terminated;   /* it sent a Terminate-Request */
};

enum explain_auth_outcome {
	EXPLAIN_AUTH_NONE,
	EXPLAIN_AUTH_RUNNING,
	EXPLAIN_AUTH_GOOD,
	EXPLAIN_AUTH_FAILED,
};

/* What each end has said: [0] and [1] are the call's ends. */
struct explain_ppp {
	struct explain_ppp_part part[EXPLAIN_LAYERS][2];
	bool up[EXPLAIN_LAYERS], was_up[EXPLAIN_LAYERS];
	uint32_t magic[2]; /* of the last Configure-Request; 0: none */
	uint16_t mru[2];   /* that was acknowledged; 0: the default */
	/* Of whom each end wants to be told a name: the protocol, and CHAP's algorithm. */
	uint16_t auth_protocol[2];
	uint8_t auth_algorithm[2];
	enum explain_auth_outcome auth[2];    /* as this end judges */
	char auth_name[2][EXPLAIN_QUOTE_MAX]; /* whom it judges, in quotes; or "" */
	char auth_said[2][EXPLAIN_QUOTE_MAX]; /* its sentence, in quotes; or "" */
	unsigned auth_error[2];		      /* E=691 and the like, or 0 */
	uint32_t mppe_wanted[2], mppe[2];     /* bits that were requested; acknowledged */
	uint32_t address[2];		      /* acknowledged; 0: none */
	unsigned echo_requests[2], echo_replies[2];
	unsigned resets[2];		 /* CCP Reset-Requests */
	uint64_t plain[2], encrypted[2]; /* network packets */
	size_t largest[2];		 /* of them, in octets behind PPP's header */
	int terminator;			 /* whose LCP Terminate-Request came first, or -1 */
	char reason[EXPLAIN_QUOTE_MAX];	 /* its text, in quotes; or "" */
};

void explain_ppp_begin(struct explain_ppp *ppp);

struct explain_frame {
	int end; /* whose it is: 0 or 1 */
	int64_t time_us;
	const uint8_t *octets; /* behind the GRE header */
	size_t length;	       /* in the capture */
};

/* names: what the ends are called in sentences. */
void explain_ppp_take(struct explain_ppp *ppp, const struct explain_frame *frame,
		      const char *const names[2], struct explain_events *events);

/* "MS-CHAPv2"; of neither protocol NULL. */
const char *explain_ppp_auth_name(uint16_t protocol, uint8_t algorithm);

/* "MPPE 128 bits, stateless", or "no MPPE". */
const char *explain_ppp_mppe(uint32_t bits, char out[static 48]);

#endif

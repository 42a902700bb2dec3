/* The automaton that LCP and IPCP share (RFC 1661, sections 4 and 5). Knows neither descriptors nor
 * options: what to ask for and what to make of the peer's wishes are the owner's functions. */
#ifndef PPP_END_NEGOTIATE_H
#define PPP_END_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cp_code {
	CP_CONFIGURE_REQUEST = 1,
	CP_CONFIGURE_ACK,
	CP_CONFIGURE_NAK,
	CP_CONFIGURE_REJECT,
	CP_TERMINATE_REQUEST,
	CP_TERMINATE_ACK,
	CP_CODE_REJECT,
	CP_PROTOCOL_REJECT, /* this one and the rest are LCP's alone */
	CP_ECHO_REQUEST,
	CP_ECHO_REPLY,
	CP_DISCARD_REQUEST,
};

enum cp_state { CP_CLOSED, CP_CLOSING, CP_REQ_SENT, CP_ACK_RCVD, CP_ACK_SENT, CP_OPENED };

enum { CP_OPTIONS_MAX = 1400, CP_HEADER = 4 };

struct cp;

struct cp_owner {
	uint16_t protocol;
	const char *name;
	/* Send one packet of this protocol. */
	void (*send)(struct cp *cp, const uint8_t *packet, size_t len);
	/* Write the options to ask for; returns their length. */
	size_t (*ask)(struct cp *cp, uint8_t *options);
	/* Judge the peer's well-formed options. Write the ones to answer with (room CP_OPTIONS_MAX)
	 * and their length; returns CP_CONFIGURE_ACK, _NAK or _REJECT. For ACK nothing is written.
	 */
	enum cp_code (*judge)(struct cp *cp, const uint8_t *options, size_t len, uint8_t *answer,
			      size_t *answer_len);
	/* One option that the peer wants otherwise (reject false: with this value), type and length
	 * included. */
	void (*corrected)(struct cp *cp, const uint8_t *option, bool reject);
	void (*up)(struct cp *cp);
	void (*down)(struct cp *cp);
	/* It will not come up (again), or has been closed; the reason is a word for the log. */
	void (*finished)(struct cp *cp, const char *reason);
	/* A code above CP_CODE_REJECT; returns false if it is unknown. NULL: all are. */
	bool (*extra)(struct cp *cp, const uint8_t *packet, size_t len);
};

struct cp {
	const struct cp_owner *owner;
	enum cp_state state;
	uint8_t id;	  /* of the last request, which its answer must repeat */
	uint8_t last_id;  /* given to any packet of ours */
	int tries;	  /* requests that may still be sent */
	int max_tries;	  /* set by the owner */
	int restart_ms;	  /* set by the owner */
	int64_t deadline; /* when the next one is due, ms; 0: none */
};

/* now is milliseconds of a clock that only goes forward, everywhere here. */
void cp_open(struct cp *cp, int64_t now);
void cp_close(struct cp *cp, int64_t now);
/* What carries it has gone: forget everything, say nothing. */
void cp_abandon(struct cp *cp);
void cp_input(struct cp *cp, const uint8_t *packet, size_t len, int64_t now);
void cp_tick(struct cp *cp, int64_t now);

#endif

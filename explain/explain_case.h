/*
 * explain_case: all that a capture has told so far: its control connections and calls, and where
 * the next packet belongs.
 *
 * An end is 0 or 1: EXPLAIN_CLIENT dialled. Of a call without a control connection nobody knows
 * who did; there end 0 is who was seen first. Times are microseconds since the capture's first
 * packet. Bounded, as strangers may have made the capture: what is beyond the limits is counted.
 * Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_CASE_H
#define EXPLAIN_EXPLAIN_CASE_H

#include "explain/explain_events.h"
#include "explain/explain_fragments.h"
#include "explain/explain_index.h"
#include "explain/explain_link.h"
#include "explain/explain_ppp.h"
#include "explain/explain_stream.h"
#include "explain/explain_way.h"
#include "explain/explain_words.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EXPLAIN_CONTROLS_MAX = 20000,
	EXPLAIN_CALLS_MAX = 50000,
	EXPLAIN_STRAYS_MAX = 1000, /* calls without a control connection */
	EXPLAIN_PORT = 1723,
};

enum explain_end { EXPLAIN_CLIENT, EXPLAIN_SERVER, EXPLAIN_ENDS };

/* What an end said of itself, and did. */
struct explain_control_end {
	uint32_t address;
	uint16_t port;
	struct explain_stream stream;
	unsigned syns;
	uint32_t first_sequence; /* of its SYN */
	bool finished, reset;	 /* FIN, RST */
	uint64_t messages;
	bool introduced; /* Start-Control-Connection-Request or -Reply */
	int64_t introduced_us;
	uint32_t introduction; /* a sum of that message, to tell it from others */
	uint16_t version, firmware;
	char host[EXPLAIN_QUOTE_MAX], vendor[EXPLAIN_QUOTE_MAX];
	uint64_t echo_requests, echo_replies;
	uint64_t unanswered; /* Echo-Requests since the other's last reply */
	int64_t unanswered_us;
	uint64_t nonsense; /* times that its stream was no PPTP */
};

struct explain_control {
	struct explain_control *next;
	struct explain_node node; /* by both addresses and ports */
	unsigned number;	  /* from 1 */
	struct explain_control_end end[EXPLAIN_ENDS];
	int64_t first_us, last_us, ended_us;
	bool from_start; /* its SYN is there, and what is said first */
	bool made_up;	 /* its handshake takes no time: a capture of ours */
	bool ended;	 /* FIN, RST, or replaced by a new one with the same ports */
	bool refused;	 /* by a Start-Reply */
	char refusal[EXPLAIN_RESULT_MAX];
	unsigned call_count;
	struct explain_call *first_call, *last_call;
	uint64_t cut;		      /* segments that the capture has not whole */
	struct explain_control *twin; /* the same calls on another leg */
	struct explain_events events;
};

enum explain_call_state {
	EXPLAIN_CALL_ASKED,
	EXPLAIN_CALL_UP,
	EXPLAIN_CALL_REFUSED,
	EXPLAIN_CALL_STRAY, /* nobody saw how it began */
};

/* Where packets of one sender are found, and IDs that it assigned. */
struct explain_call_end {
	struct explain_node packets, ids;
	struct explain_call *call;
	enum explain_end end;
	uint32_t address;
	bool has_id;
	uint16_t id; /* assigned by this end: packets to it carry it */
};

struct explain_call {
	struct explain_call *next;	 /* of all */
	struct explain_call *next_here;	 /* of its connection, or of the strays */
	struct explain_control *control; /* NULL: a stray */
	unsigned number;		 /* within its connection, or of the strays; from 1 */
	struct explain_call_end end[EXPLAIN_ENDS];
	const char *names[EXPLAIN_ENDS];
	char name_texts[EXPLAIN_ENDS][EXPLAIN_ADDRESS_MAX];
	enum explain_call_state state;
	enum explain_end asker;
	int64_t asked_us, up_us, ended_us;
	bool incoming; /* by Incoming-Call-Request */
	bool ended;
	bool adopted; /* a stray that turned out to be part of another call */
	unsigned of;  /* the connection that a stray turned out to be of; 0: not known */
	char ending[EXPLAIN_RESULT_MAX + 64];
	struct explain_way way[EXPLAIN_ENDS]; /* by sender */
	struct explain_ppp ppp;
	struct explain_call *twin; /* the same call on another leg */
	struct explain_events events;
};

struct explain_case {
	struct explain_control *controls, *last_control;
	struct explain_call *calls, *last_call;
	struct explain_call *strays, *last_stray;
	size_t control_count, call_count, stray_count;
	struct explain_index by_ports;	 /* explain_control.node */
	struct explain_index by_packets; /* explain_call_end.packets: source, destination, ID */
	struct explain_index by_ids;	 /* explain_call_end.ids: connection, end, ID */
	struct explain_fragments fragments;
	int64_t end_us; /* the last packet's time */
	uint64_t gre;	/* enhanced GRE packets */
	uint64_t plain_gre;
	uint64_t cut_gre;   /* the capture has not all of their header */
	uint64_t short_gre; /* on the wire, too, shorter than they say */
	uint32_t short_by;  /* who sent the first of these */
	uint64_t untold;    /* packets beyond the limits */
};

int explain_case_init(struct explain_case *all); /* 0, or -1 with errno */
void explain_case_clear(struct explain_case *all);

/* One IPv4 packet or fragment. */
void explain_case_take(struct explain_case *all, const struct explain_packet *packet);

/* Nothing more comes. */
void explain_case_end(struct explain_case *all);

/* A call of the connection, or a stray (NULL); without memory, or beyond a limit, NULL. */
struct explain_call *explain_case_call(struct explain_case *all, struct explain_control *control,
				       int64_t time_us);

/* The ID that an end has assigned: packets to it are this call's from now on. */
void explain_case_assign(struct explain_case *all, struct explain_call *call, enum explain_end end,
			 uint16_t id);

/* A connection's latest call by an ID that an end assigned, or NULL. */
struct explain_call *explain_case_find(const struct explain_case *all,
				       const struct explain_control *control, enum explain_end end,
				       uint16_t id);

/* A stray between a connection's ends, by the ID in packets to this one, or NULL. */
struct explain_call *explain_case_stray(const struct explain_case *all,
					const struct explain_control *control, enum explain_end end,
					uint16_t id);

#endif

/*
 * snapshot: what an operator sees, as it was at one moment: plain figures that the worker fills in
 * (worker_status) and that this room writes as JSON, metrics, page or table.
 *
 * Everything that a pointer leads to is the snapshot's own. Host byte order; times in milliseconds.
 * Thread: the one that has it.
 */
#ifndef STATUS_SNAPSHOT_H
#define STATUS_SNAPSHOT_H

#include "callid_db.h"
#include "pair.h"
#include "reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_NEVER UINT64_MAX /* of an age: it has not happened */

enum { SNAPSHOT_CALL_NAME = 32, SNAPSHOT_ERROR = 160, SNAPSHOT_RULE = 256 };

/* Packets from one side of a call. */
struct snapshot_direction {
	uint64_t packets, octets; /* routed from this side; octets from the IP header on */
	uint64_t drops;		  /* of those, not sent after all */
	uint64_t last_ms;	  /* since the last one came, or SNAPSHOT_NEVER */
	bool silent;		  /* nothing comes; the log has warned of it */
};

struct snapshot_call {
	char name[SNAPSHOT_CALL_NAME]; /* "12:49750": connection, and the client's call ID ("-"
					  until that is known); what --end takes */
	uint64_t connection;
	bool open; /* false: a Reply is waited for */
	enum callid_side caller;
	uint32_t addr[2];	/* peers', by side */
	uint16_t port[2];	/* of their control connection */
	uint32_t proxy_addr[2]; /* ours, by leg */
	bool known[2];		/* whether id[side], and shown to the other side, are known yet */
	uint16_t id[2];		/* assigned by that side */
	uint16_t shown[2];	/* what that side is shown for the other's */
	uint64_t age_ms;	/* since it opened; not open: since its Request */
	bool fastpath, captured;
	struct snapshot_direction from[2];
};

enum snapshot_state {
	SNAPSHOT_UNTRIED, /* listening; nobody has been dialled yet */
	SNAPSHOT_UP,	  /* the server answered the last dial */
	SNAPSHOT_DOWN,	  /* it did not */
	SNAPSHOT_IGNORED, /* conflicts with an earlier pair */
};

struct snapshot_pair {
	char listen[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX]; /* as given */
	enum snapshot_state state;
	uint64_t connections, calls;	      /* now */
	uint64_t accepted, connected, failed; /* since it is configured: clients, dials */
	char last_error[SNAPSHOT_ERROR];      /* "" : none */
	uint64_t last_error_ms;		      /* ago, or SNAPSHOT_NEVER */
};

/* An access rule, or an access command. */
struct snapshot_rule {
	char text[SNAPSHOT_RULE]; /* as given */
	bool command;
	uint64_t allowed; /* connections that it let in */
	uint64_t refused; /* of a command: that it was asked of and did not */
};

struct snapshot_totals {
	uint64_t connections, half_open, calls, calls_reserved, ids_resting; /* now */
	/* from here on: since the keeper's start, over workers and versions */
	uint64_t accepted, calls_opened, calls_ended, messages, workers; /* workers: started */
	uint64_t packets_received, packets_sent, packets_carried; /* carried: by the fast path */
	uint64_t packet_drops[REASON_PACKET_COUNT];
	uint64_t message_drops[REASON_MESSAGE_COUNT];
	uint64_t refusals[REASON_REFUSAL_COUNT];
	uint64_t ends[REASON_END_COUNT];
};

struct snapshot {
	const char *version; /* "3.0.0" */
	uint32_t keeper_pid, worker_pid;
	uint64_t up_ms; /* since the keeper's start */
	uint64_t worker_up_ms;
	uint64_t began_ms, worker_began_ms; /* the starts; of day, ms since 1970; steady */
	uint64_t time_s;		    /* of day, seconds since 1970 */
	bool fastpath;			    /* one is in use */
	bool capturing;
	struct snapshot_totals totals;
	struct snapshot_pair *pairs;
	size_t pair_count;
	struct snapshot_rule *rules;
	size_t rule_count;
	struct snapshot_call *calls; /* by connection, then in the order of their Requests */
	size_t call_count;
};

void snapshot_clear(struct snapshot *snapshot);

const char *snapshot_state_name(enum snapshot_state state); /* "untried", "up", ... */

#endif

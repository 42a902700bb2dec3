/*
 * callid_call: a call as the table tells of it: its sides and legs, the reference that names it,
 * its figures. Part of callid_db.h, for those that hold calls and change none, too.
 *
 * Host byte order; times are milliseconds of a monotonic clock.
 */
#ifndef CALLID_CALL_H
#define CALLID_CALL_H

#include <stdbool.h>
#include <stdint.h>

enum callid_side { CALLID_CLIENT, CALLID_SERVER }; /* also a direction: packets from that side */

static inline enum callid_side callid_other(enum callid_side side)
{
	return side == CALLID_CLIENT ? CALLID_SERVER : CALLID_CLIENT;
}

static inline const char *callid_side_name(enum callid_side side)
{
	return side == CALLID_CLIENT ? "client" : "server";
}

struct callid_leg {
	uint32_t proxy_addr, peer_addr;
};

typedef uint64_t callid_ref; /* names a call; 0 names none */

/* Where the call stands in the table: no two calls at a time share it, and it is below the greatest
 * number of calls that there ever were at once, rounded up to a chunk of CALLID_SLOTS_A_CHUNK. */
enum { CALLID_SLOTS_A_CHUNK = 256, CALLID_CHUNKS_MAX = 4096 };
static inline uint32_t callid_slot(callid_ref call)
{
	return (uint32_t)call;
}

struct callid_counts {
	uint64_t packets,
	    octets;	/* packets routed from this side, and their octets from the IP header on */
	uint64_t drops; /* of those, and of held ones: not sent after all */
	uint64_t seen_at; /* when the last one came, held ones included; 0: none yet */
};

struct callid_info {
	uint64_t connection;
	bool open;     /* false: reserved */
	bool released; /* no way is held any more */
	bool watched;  /* as callid_db_set_watched says */
	uint8_t note;  /* as in callid_request */
	enum callid_side caller;
	struct callid_leg legs[2];
	uint16_t id[2]; /* assigned by that side; the callee's only once open */
	/* what that side is shown for the other's; the caller's only once open */
	uint16_t shown[2];
	uint64_t reserved_at, opened_at;
	struct callid_counts from[2];
};

#endif

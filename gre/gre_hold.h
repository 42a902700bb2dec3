/*
 * gre_hold: early packets: those that a callee sends before its Reply has been written on to the
 * caller. The caller would drop them, and LCP repeats only after three seconds, so they wait here
 * and follow right behind the Reply.
 *
 * They lie in the kept memory: a process that takes over judges them as this one would have.
 *
 * Knows packets as octets and calls as numbers; neither the table nor sockets. Thread: the GRE
 * thread only.
 */
#ifndef GRE_HOLD_H
#define GRE_HOLD_H

#include "callid_db.h"
#include "host/kept.h"

enum {
	GRE_HOLD_A_CALL = 8,	/* packets */
	GRE_HOLD_ALL = 2048,	/* packets of all calls together, at most */
	GRE_HOLD_MS = 1000,	/* then they are stale */
	GRE_HOLD_OCTETS = 2048, /* of one packet; a larger one is not held */
};

struct gre_held {
	struct callid_key key;
	struct callid_route route; /* as it was when the packet came */
	uint64_t since;
	uint8_t tos;
	uint16_t length; /* of the GRE packet */
	uint16_t ip_length;
	uint8_t *octets;
};

struct gre_hold;

/* With the packets that kept holds, which outlives it; kept NULL: none, and all end with it. NULL
 * with errno. */
struct gre_hold *gre_hold_new(struct kept *kept);
void gre_hold_free(struct gre_hold *hold);

/* How many packets of all calls together are held from now on: at most, and at first,
 * GRE_HOLD_ALL; 0 is that, too. */
void gre_hold_set_max(struct gre_hold *hold, size_t max);

size_t gre_hold_count(const struct gre_hold *hold); /* packets held */
uint64_t gre_hold_oldest(
    const struct gre_hold *hold); /* since when the oldest waits; 0 where none does */

/* Copies the packet, octets included. False: no room, or it is too large. */
bool gre_hold_add(struct gre_hold *hold, const struct gre_held *packet);

enum gre_hold_fate {
	GRE_HOLD_KEEP,
	GRE_HOLD_DROP, /* it is gone */
	GRE_HOLD_LEND, /* no longer held, but its octets stay until gre_hold_give_back */
};

/* Asks about each packet, in the order in which a call's packets came. */
typedef enum gre_hold_fate gre_hold_judge(void *arg, struct gre_held *packet);
void gre_hold_sweep(struct gre_hold *hold, gre_hold_judge *judge, void *arg);

/* Octets that were lent are not used any more. Until then the packet counts as room taken, and the
 * next process would find it held. */
void gre_hold_give_back(struct gre_hold *hold, const uint8_t *octets);

#endif

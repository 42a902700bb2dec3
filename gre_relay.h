/*
 * gre_relay: the GRE thread: enhanced GRE packets in, each looked up in the table, its call ID
 * rewritten, out.
 *
 * It never asks about policy: no route, no packet. Sequence and acknowledgement numbers, payload,
 * DSCP and ECN stay as they are; TTL and IP identification are fresh; what is larger than the way
 * out leaves in fragments. RFC 2637 section 4.
 *
 * Thread: functions here are the main thread's; gre_relay_totals anybody's.
 */
#ifndef GRE_RELAY_H
#define GRE_RELAY_H

#include "callid_db.h"
#include "gre/gre_socket.h"
#include "host/kept.h"
#include "host/why.h"
#include "reason.h"

struct gre_totals {
	uint64_t received, sent;
	uint64_t drops[REASON_PACKET_COUNT];
};

struct capture;
struct gre_relay;

struct gre_relay_config {
	struct callid_db *db; /* outlives the relay */
	/* Holds totals and held packets, and outlives the relay. NULL: they end with it. */
	struct kept *kept;
	struct capture *capture; /* outlives the relay; NULL: nobody wants to see packets */
	/* Taken over, also where it fails; the granted receive_buffer is told, too. NULL: it opens
	 * its own. */
	const struct gre_socket *sockets;
};

/* With its sockets open, packets queue in them. NULL with a sentence in why. */
struct gre_relay *gre_relay_open(const struct gre_relay_config *config, struct why *why);

/* How many early packets of all calls together are held; see gre/gre_hold.h. Any
 * time; at first GRE_HOLD_ALL. */
void gre_relay_set_early_max(struct gre_relay *relay, size_t max);

/* Starts the thread, with all signals but SIGSYS blocked. 0, or -1 with a sentence. Once. */
int gre_relay_start(struct gre_relay *relay, struct why *why);

void gre_relay_totals(const struct gre_relay *relay, struct gre_totals *totals);

/* Ends the thread if it runs and closes everything. The table must not change any more: it still
 * knows this observer. NULL is fine. */
void gre_relay_close(struct gre_relay *relay);

#endif

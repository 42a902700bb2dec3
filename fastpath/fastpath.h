/*
 * fastpath: established calls' packets carried in the kernel, by XDP, before the network stack sees
 * them.
 *
 * It only accelerates: whatever it does not know for certain goes to the raw sockets (gre_relay),
 * which stay complete without it. It follows the table as an observer and adds its counters to
 * those of the table; the table need not know of it.
 *
 * Two halves, which may be two processes. The keeper's loads, attaches, makes room and follows
 * routes, neighbours and links; it stays when the worker dies. The worker's (this header) needs no
 * rights: it writes routes into memory that it was given descriptors of, and says which next hops
 * it wants. It asks the keeper for room by a callback, and the call takes the raw way meanwhile.
 *
 *   worker                                        keeper
 *   fastpath         calls -> routes              fastpath_keeper   all of the right column
 *   fastpath_memory  routes, counters, mapped     fastpath_maps     loaded; makes that memory
 *   fastpath_wanted  next hops that calls use --> fastpath_hops     next hops, kept right
 *                                                 fastpath_ports    interfaces, attached
 *   fastpath_shared.h, fastpath_record.h:         fastpath_netlink  what the host says
 *   records that fastpath.bpf.c, the eBPF half,   fastpath_letter.h what goes over an exec
 *   reads
 *
 * Thread: control thread. RFC 2637 section 4. IPv4, Ethernet. Host byte order.
 */
#ifndef FASTPATH_H
#define FASTPATH_H

#include "callid_db.h"
#include "fastpath/fastpath_shared.h"
#include "host/why.h"

enum fastpath_mode { FASTPATH_OFF, FASTPATH_AUTO, FASTPATH_NATIVE, FASTPATH_GENERIC };

/* What jiffies of the counters are in CLOCK_MONOTONIC. */
struct fastpath_clock {
	uint64_t jiffies, ns; /* the same moment */
	uint64_t tick_ns;     /* of one jiffy */
};

/* Positions of descriptors. */
enum {
	FASTPATH_GIVEN_WANTED, /* the table of next hops that calls use */
	FASTPATH_GIVEN_WAKE,   /* eventfd: it has changed */
	FASTPATH_GIVEN_ROUTES, /* FASTPATH_LOCALS of them */
	FASTPATH_GIVEN_COUNTS = FASTPATH_GIVEN_ROUTES + FASTPATH_LOCALS, /* so many chunks */
	FASTPATH_GIVEN_FDS = FASTPATH_GIVEN_COUNTS + FASTPATH_COUNTS_CHUNKS,
};

/* What the keeper's half gives to a worker at its start (fastpath_keeper_give). Flat: between two
 * processes it goes as it is, with the receiver's numbers put in for the descriptors. */
struct fastpath_given {
	uint32_t layout; /* FASTPATH_LAYOUT */
	uint32_t cpus;	 /* possible ones; from 1 on */
	struct fastpath_clock clock;
	uint32_t locals[FASTPATH_LOCALS]; /* whose the routes are: addresses of ours; 0: nobody's */
	int32_t fds[FASTPATH_GIVEN_FDS];  /* -1: none */
};

/* Room that is asked of the keeper. Flat, too. */
enum fastpath_room { FASTPATH_ROOM_ROUTES, FASTPATH_ROOM_COUNTS };
struct fastpath_request {
	uint32_t room; /* enum fastpath_room */
	/* Of routes: below FASTPATH_LOCALS, a new place or one whose address has no route any more.
	 * Of counters: the chunk, below FASTPATH_COUNTS_CHUNKS. */
	uint32_t at;
	uint32_t addr; /* of ours, of routes */
};
typedef void fastpath_want(void *arg, const struct fastpath_request *request);

struct fastpath_config {
	struct callid_db *db;		    /* outlives the fast path */
	const struct fastpath_given *given; /* descriptors stay the caller's, who may close them */
	/* Each request is answered by one fastpath_granted, at once (from within) or later. */
	fastpath_want *want;
	void *want_arg;
	uint64_t *carried; /* packets of calls that have ended; outlives the fast path */
};

struct fastpath;

/* 0 with *fastpath, or -1 with a sentence in why. Asks for nothing yet. One at a time for what a
 * keeper's half has given. */
int fastpath_open(struct fastpath **fastpath, const struct fastpath_config *config,
		  struct why *why);

/* Right behind it, where the table has calls already, of this worker or of one before it, whose
 * slots they still have: routes that are right stay untouched, and counters go on; missing ones are
 * added, and what no call has is cleared. */
void fastpath_restore(struct fastpath *fastpath);

/* The answer to a request: the memory's descriptor, which stays the caller's; or fd -1: the calls
 * that need it stay on the raw way. */
void fastpath_granted(struct fastpath *fastpath, const struct fastpath_request *request, int fd);

uint64_t fastpath_carried(const struct fastpath *fastpath); /* packets of calls that have ended */

/* The same of calls that are up. Walks them all. */
uint64_t fastpath_carrying(const struct fastpath *fastpath);

/* Whether it has both ways of the call: nothing but what it cannot do goes by the raw sockets. */
bool fastpath_has(const struct fastpath *fastpath, callid_ref call);

/* Leaves routes and next hops as they are: packets go on, also for a worker that comes after this
 * one. The table must not change or be asked any more: it still knows this observer. NULL is fine.
 */
void fastpath_close(struct fastpath *fastpath);

#endif

/*
 * callid_db: the shared table: call IDs that we hand out, the routes that they stand for, and the
 * counters of those routes.
 *
 * Every call joins two legs, the client's and the server's; each leg is a pair of addresses, ours
 * and the peer's. On each leg we show the peer a call ID of our own choice. A packet that the peer
 * sends carries the ID that it was shown (RFC 2637 section 4.1), so (our address, peer's address,
 * call ID) finds the way of that packet: whither, from which of our addresses, under which ID. The
 * table knows no sockets, no packets and no policy. An ID is unique per our address while that has
 * any free, so that (our address, call ID) finds it, too; beyond that per pair of addresses.
 *
 * Thread contract
 *   1. One writer: the control thread. Readers: any other thread.
 *   2. A look-up copies a small route out; no pointer into the table leaves it. A callid_ref is a
 * number that can outlive its call harmlessly.
 *   3. No lock is held across a system call; a batch of packets takes a reader's cost once
 * (callid_db_read_begin/_end).
 *   4. A call's life: reserved (request seen; the way callee -> caller is there, but held) -> open
 * (both ways; the held one until it is released) -> closing (its IDs in quarantine) -> gone.
 *
 * Calls and IDs in quarantine are records in the kept memory: the next process's table goes on with
 * them, under the same references. Changes that a caller makes within a transaction of the kept
 * memory are part of that; else each function has its own.
 *
 * Host byte order everywhere. Times are milliseconds of a monotonic clock, given by the caller.
 */
#ifndef CALLID_DB_H
#define CALLID_DB_H

#include "callid/callid_call.h"
#include "host/kept.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALLID_QUARANTINE_MS = 30000 };

struct callid_db;

/* With the calls and the quarantine that kept holds, which outlives the table; kept NULL: none, and
 * all ends with it. NULL with errno. */
struct callid_db *callid_db_new(struct kept *kept);
void callid_db_free(struct callid_db *db);

/* ---- the writer's functions: control thread only ---- */

struct callid_request {
	struct callid_leg legs[2];
	enum callid_side caller; /* the side whose Call-Request this is */
	/* the ID that it assigned: shown to the callee as it is where our address there has it free
	 */
	uint16_t caller_id;
	uint64_t connection; /* number of the control connection, for whoever reads callid_info */
	uint8_t note;	     /* the caller's own */
};

/*
 * Request seen: chooses the ID that the callee is shown (*shown) and opens the way callee ->
 * caller, held. Returns the call, or 0 with errno: ENOSPC where every ID between these two
 * addresses is taken, ENOMEM.
 */
callid_ref callid_db_reserve(struct callid_db *db, const struct callid_request *request,
			     uint64_t now, uint16_t *shown);

/* Reply seen: chooses the ID that the caller is shown for callee_id and opens the way caller ->
 * callee. 0, or -1 with errno as above; the call then stays reserved. Once a call, while it is
 * reserved. */
int callid_db_open(struct callid_db *db, callid_ref call, uint16_t callee_id, uint64_t now,
		   uint16_t *shown);

/* Reply passed on: packets from the callee are held no more. */
void callid_db_release(struct callid_db *db, callid_ref call);

/* Whether each of its packets is to be looked up here, since somebody wants to see it, and none
 * carried by another way. The table only passes it on, by callid_info and CALLID_CHANGED. It is not
 * kept: whoever wants to see packets is gone with his process, and the next one's calls are watched
 * by nobody at first. Harmless where the call has gone. */
void callid_db_set_watched(struct callid_db *db, callid_ref call, bool watched);

/* Closes both ways; the IDs rest for CALLID_QUARANTINE_MS, or less, oldest first, where a leg runs
 * short of them. False: it had ended already. *last, unless NULL, is the call as it was then. */
bool callid_db_end(struct callid_db *db, callid_ref call, uint64_t now, struct callid_info *last);

/* Frees what has rested long enough. Cheap when there is nothing to do; call it once a second or
 * so. */
void callid_db_expire(struct callid_db *db, uint64_t now);

/* Every call, reserved or open. told may end the one that it is told of. */
typedef void callid_teller(void *arg, callid_ref call, const struct callid_info *info);
void callid_db_each(struct callid_db *db, callid_teller *told, void *arg);

/* The same of those in this many slots from first on (see callid_slot); there are so many slots. */
void callid_db_each_in(struct callid_db *db, size_t first, size_t count, callid_teller *told,
		       void *arg);
size_t callid_db_slots(const struct callid_db *db);

/* Called by the writer after each change, in the writer's thread, outside the lock. At most
 * CALLID_OBSERVERS_MAX; they stay until the table is freed. */
enum { CALLID_OBSERVERS_MAX = 4 };
enum callid_event {
	CALLID_RESERVED,
	CALLID_OPENED,
	CALLID_RELEASED,
	CALLID_CHANGED, /* watched, or no more */
	CALLID_ENDED,
};
typedef void callid_observer(void *arg, callid_ref call, enum callid_event event);
void callid_db_observe(struct callid_db *db, callid_observer *observer, void *arg);

/* Who carries packets of calls by another way counts them, and adds his figures here: from within
 * callid_db_get and _end, in their thread, outside the lock, after the observers' CALLID_ENDED. At
 * most one; it stays until the table is freed. */
typedef void callid_counter(void *arg, callid_ref call, struct callid_counts from[2]);
void callid_db_count_also(struct callid_db *db, callid_counter *counter, void *arg);

/* ---- any thread ---- */

/* False: the call is closing or gone. */
bool callid_db_get(struct callid_db *db, callid_ref call, struct callid_info *info);

struct callid_totals {
	size_t calls;	/* reserved or open */
	size_t closing; /* call IDs in quarantine */
};
void callid_db_totals(struct callid_db *db, struct callid_totals *totals);

/* ---- readers: between callid_db_read_begin and _end, no system call in between ---- */

void callid_db_read_begin(struct callid_db *db);
void callid_db_read_end(struct callid_db *db);

struct callid_key {
	uint32_t proxy_addr, peer_addr; /* the packet's destination and source */
	uint16_t call_id;
};

struct callid_route {
	uint32_t proxy_addr, peer_addr; /* the packet's new source and destination */
	uint16_t call_id;
	callid_ref call;
	enum callid_side from;
};

enum callid_answer {
	CALLID_NONE,  /* no such call */
	CALLID_HELD,  /* the way is known but not open yet; *route is filled, the packet is not
			 counted but seen */
	CALLID_ROUTE, /* *route is filled, the packet of that many octets counted */
};

/* Grows with every change of the table: what was looked up before still holds while it stands. */
uint64_t callid_db_generation(const struct callid_db *db);

/* One thread may look up and count; more readers need counters of their own. */
enum callid_answer callid_db_route(struct callid_db *db, const struct callid_key *key,
				   size_t octets, uint64_t now, struct callid_route *route);

/* Whether that address of ours shows this ID to anybody, whoever that is, in a call that has not
 * ended. A look-up of its own, for packets that find no way. */
bool callid_db_is_shown(const struct callid_db *db, uint32_t proxy_addr, uint16_t call_id);

/* A packet that was routed, or held, but could not be sent. Harmless where the call has gone. */
void callid_db_count_drop(struct callid_db *db, callid_ref call, enum callid_side from);

#endif

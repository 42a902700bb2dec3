/*
 * snoop_own: what one connection's calls consist of. call_snoop's own, shared by it and by
 * snoop_calls and snoop_cleared; nobody else includes it.
 */
#ifndef SNOOP_OWN_H
#define SNOOP_OWN_H

#include "call_snoop.h"

#include <sys/queue.h>

struct snoop_id {
	uint16_t value;
	struct snoop_call *call;
};

struct snoop_call {
	callid_ref ref;
	bool incoming, open;
	enum callid_side caller;
	struct snoop_id own[2]; /* assigned by that side; the callee's once open */
	/* what that side is shown for the other's; the caller's once open */
	struct snoop_id shown[2];
	TAILQ_ENTRY(snoop_call) in_calls;
};

/* How far the farewell to one side has come. */
struct snoop_farewell {
	const struct snoop_call *last; /* that has been said */
	bool stop_said;
};

struct call_snoop {
	struct callid_db *db;
	struct callid_leg legs[2];
	uint64_t connection;
	const struct call_snoop_events *events;
	void *arg;
	TAILQ_HEAD(, snoop_call) calls;
	size_t count, max;	 /* calls; max 0: none */
	char too_many[64];	 /* says so */
	void *own[2], *shown[2]; /* search trees of snoop_id */
	callid_ref replied[2];	 /* by the callee's side: opened, its Reply not written on yet */
	struct kept *kept;	 /* where *record is; NULL: nowhere */
	struct call_snoop_record *record; /* &heap_record, or in kept */
	struct call_snoop_record heap_record;
	struct snoop_farewell farewell[2];
};

#endif

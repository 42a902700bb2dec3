/*
 * worker_fastpath: the fast path's half that the worker has, begun with what the keeper gives, and
 * asking it for room.
 *
 * Thread: control thread.
 */
#ifndef WORKER_FASTPATH_H
#define WORKER_FASTPATH_H

#include "callid_db.h"
#include "control_relay.h"
#include "fastpath/fastpath.h"
#include "host/kept.h"
#include "host/why.h"
#include "keeper/link.h"
#include "options.h"

struct worker_wishes;

/* Pointers outlive it. */
struct worker_fastpath_config {
	const struct options *options;
	int given; /* the letter's; -1: the keeper has not opened one yet */
	struct worker_wishes *wishes;
	struct control_relay *control; /* knows the addresses */
	struct callid_db *db;
	struct kept *kept;
};

struct worker_fastpath {
	struct fastpath *fastpath; /* NULL: none is in use */
	struct worker_wishes *wishes;
};

/* 0, with one or without; -1 with a sentence. Waits for the keeper, if there is none yet. */
int worker_fastpath_open(struct worker_fastpath *fastpath,
			 const struct worker_fastpath_config *config, struct why *why);
void worker_fastpath_close(struct worker_fastpath *fastpath); /* half-born is fine */

/* LINK_GRANTED; its descriptor is closed. */
void worker_fastpath_granted(struct worker_fastpath *fastpath, const struct link_message *message);

#endif

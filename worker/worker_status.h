/*
 * worker_status: the figures of one moment, from all rooms that have some, as a snapshot.
 *
 * Costs nothing until somebody asks; then a walk along connections and calls, and their sorting.
 * Thread: control thread.
 */
#ifndef WORKER_STATUS_H
#define WORKER_STATUS_H

#include "callid_db.h"
#include "capture/capture.h"
#include "control_relay.h"
#include "fastpath/fastpath.h"
#include "gre_relay.h"
#include "host/kept.h"
#include "host/why.h"
#include "options.h"
#include "status/snapshot.h"

/* What there was before this worker, and goes on behind it. */
struct worker_past;

/* Another worker has started. NULL with errno. */
struct worker_past *worker_status_begin(struct kept *kept);

/* Where the figures are. */
struct worker_status_sources {
	const struct options *options; /* in use */
	uint32_t keeper;	       /* its pid */
	struct worker_past *past;
	const struct control_relay *control;
	struct callid_db *db;
	const struct gre_relay *gre;
	const struct fastpath *fastpath; /* NULL: none is in use */
	const struct capture *capture;
};

/* 0 with *snapshot, for snapshot_clear; or -1 with a sentence and *snapshot empty: no memory. Not
 * while a configuration is being changed. */
int worker_status_fill(struct snapshot *snapshot, const struct worker_status_sources *from,
		       struct why *why);

/* The totals alone, which take no memory. */
void worker_status_totals(struct snapshot_totals *totals, const struct worker_status_sources *from);

#endif

/*
 * worker_totals: what the log hears at the end: how much there was of everything. Thread: control
 * thread.
 */
#ifndef WORKER_TOTALS_H
#define WORKER_TOTALS_H

#include "status/snapshot.h"

#include <stdbool.h>

/* fastpath: there is one. Reasons that nothing was dropped for are left out. */
void worker_totals_tell(const struct snapshot_totals *totals, bool fastpath);

#endif

/*
 * status_metrics: a snapshot in Prometheus' text format, version 0.0.4, as /metrics has it; the
 * manual's METRICS has a table of the names.
 *
 * One series for each pair, rule, reason and side, none for each call, so that their number is the
 * configuration's business and not the callers'. Base units (seconds). Any thread, if out is its
 * own.
 */
#ifndef STATUS_STATUS_METRICS_H
#define STATUS_STATUS_METRICS_H

#include "status/snapshot.h"

struct evbuffer;

#define STATUS_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends all of them. 0, or -1: no memory, and what was appended is not whole. */
int status_metrics_all(struct evbuffer *out, const struct snapshot *snapshot);

#endif

/*
 * status_json: a snapshot as JSON (RFC 8259), as /calls.json and --show --json have it; the
 * manual's STATUS PAGE has a table of the fields.
 *
 * Appends one value, without white space around it, to out. Text that is no UTF-8 has U+FFFD for
 * what is not. What has not happened, or is not known, is null. Times are milliseconds, addresses
 * dotted.
 *
 * 0, or -1: no memory, and what was appended is not whole. Any thread, if out is its own.
 */
#ifndef STATUS_STATUS_JSON_H
#define STATUS_STATUS_JSON_H

#include "status/snapshot.h"

struct evbuffer;

int status_json_pairs(struct evbuffer *out, const struct snapshot *snapshot); /* an array */
int status_json_rules(struct evbuffer *out, const struct snapshot *snapshot); /* an array */
/* An object: the totals, and whose they are: version, pids, times. */
int status_json_totals(struct evbuffer *out, const struct snapshot *snapshot);

/* In pieces, as status_maker wants them: an array; all of these, as {"calls": ..., "pairs": ...,
 * "rules": ..., "totals": ...}. */
int status_json_calls(struct evbuffer *out, const struct snapshot *snapshot, size_t *calls);
int status_json_all(struct evbuffer *out, const struct snapshot *snapshot, size_t *calls);

#endif

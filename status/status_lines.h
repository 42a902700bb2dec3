/*
 * status_lines: a snapshot as lines of fields separated by tabs, the first line their names: what
 * --show asks for, and what scripts can read.
 *
 * Numbers are plain: octets, milliseconds. "-" is what is not known, or has not happened. No field
 * is empty, or holds a tab or a control character.
 *
 *   calls   call state client server client_id server_sees server_id client_sees age_ms way
 *           client_packets client_octets client_drops client_last_ms client_silent
 *           server_packets server_octets server_drops server_last_ms server_silent
 *   pairs   listen peer state connections calls accepted connected failed last_error_ms last_error
 *   totals  figure value unit
 *
 * state of a call: open, reserved; way: raw, fast, captured; silent: yes, no. state of a pair:
 * untried, up, down, ignored. unit: -, ms, octets.
 *
 * 0, or -1: no memory, and what was appended to out is not whole. Any thread, if out is its own.
 */
#ifndef STATUS_STATUS_LINES_H
#define STATUS_STATUS_LINES_H

#include "status/snapshot.h"

struct evbuffer;

int status_lines_pairs(struct evbuffer *out, const struct snapshot *snapshot);
int status_lines_totals(struct evbuffer *out, const struct snapshot *snapshot);
/* In pieces, as status_maker wants them. */
int status_lines_calls(struct evbuffer *out, const struct snapshot *snapshot, size_t *calls);

#endif

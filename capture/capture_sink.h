/*
 * capture_sink: one of those who want to see: what is put into his queue, and the thread that
 * writes it to his file or socket.
 *
 * capture's own. Threads: as each function says; "under the lock" is the one of struct capture.
 */
#ifndef CAPTURE_SINK_H
#define CAPTURE_SINK_H

#include "capture/capture_own.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Whether it is to see packets of the call, whose client is this one. Control thread, or under the
 * lock. */
bool capture_sink_wants_call(const struct capture_sink *sink, callid_ref call,
			     uint32_t client_addr);

/* A packet that it is to see, of two pieces, for its queue. Any thread; under the lock. */
void capture_sink_put(struct capture_sink *sink, uint64_t time_us, struct capture_piece head,
		      struct capture_piece body);

/* ---- control thread ---- */

enum { CAPTURE_SINK_STOP_MS = 1000 }; /* for what waits to be written */

/* Its thread, and what that waits for. 0, or an errno: then there is nothing to be ended. */
int capture_sink_start(struct capture_sink *sink);

/* In so many milliseconds, by the clock that capture_sink_wait goes by. */
struct timespec capture_sink_soon(int ms);

/* Under the lock: false where it does not end in time. */
bool capture_sink_wait(struct capture_sink *sink, const struct timespec *until);

/* Under the lock: one who does not read. false: there is none, but perhaps a disk. */
bool capture_sink_shut_reader(const struct capture_sink *sink);

/* Has its thread end until then, or CAPTURE_SINK_STOP_MS later where a reader had to be shut;
 * figures, unless NULL, are as capture_stop tells them. False: it does not, and still uses the
 * sink. */
bool capture_sink_end(struct capture_sink *sink, const struct timespec *until,
		      struct capture_figures *figures);

/* Of one whose thread has never begun, or has been joined. */
void capture_sink_free(struct capture_sink *sink);

#endif

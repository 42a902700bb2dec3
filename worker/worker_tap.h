/*
 * worker_tap: callers at the control socket who want to see messages and packets (--tap): what they
 * ask for, and their end. What they get is the stream of a capture file, behind the line "OK tap";
 * once they have shut down their side of the connection it ends, with what they have missed.
 *
 * Thread: control thread.
 */
#ifndef WORKER_TAP_H
#define WORKER_TAP_H

#include "callid_db.h"
#include "capture/capture.h"
#include "host/why.h"

struct event_base;
struct status_caller;
struct worker_tap;

enum { WORKER_TAPS_MAX = 4 }; /* callers at once; there is a sink more for the file */

/* Pointers outlive it. NULL with a sentence. */
struct worker_tap *worker_tap_open(struct event_base *base, struct callid_db *db,
				   struct capture *capture, struct why *why);

/* what: "12:49750" (see status_call.h), "192.0.2.7", "all". The caller is answered. */
void worker_tap_start(struct worker_tap *taps, struct status_caller *caller, const char *what);

/* After capture_free, which ends all taps. NULL is fine. */
void worker_tap_close(struct worker_tap *taps);

#endif

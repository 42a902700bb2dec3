/*
 * control_silence: calls with a side of which no packets come, which is how protocol 47 that is
 * blocked on the way looks.
 *
 * Two cases. A call that has opened, and CONTROL_SILENCE_OPENED_MS later a side has sent nothing
 * yet, whatever the other does. And a call that was up, where one side has fallen silent while the
 * other goes on sending: what that has sent since is more than an answer that got lost, and has
 * lasted longer than ends leave between two LCP Echo-Requests, as not every end acknowledges what
 * it gets (RFC 2637 section 4.3) with a packet of its own. A side is warned of once, and again only
 * after it has come back, which is told, too. A call that is met with a side that far behind is the
 * process before's, which has warned of it.
 *
 * Calls are looked at in turns, all of them once in CONTROL_SILENCE_TURNS looks. Thread: control
 * thread.
 */
#ifndef CONTROL_SILENCE_H
#define CONTROL_SILENCE_H

#include "callid_db.h"
#include "host/log_limit.h"

enum {
	CONTROL_SILENCE_OPENED_MS = 10000,
	CONTROL_SILENCE_MS = 35000,	 /* of the other side's packets, with none back */
	CONTROL_SILENCE_PACKETS = 3,	 /* of the other side */
	CONTROL_SILENCE_TURNS = 5,	 /* looks, of a second each */
	CONTROL_SILENCE_WATCHES = 65536, /* calls that opened in that time; of further ones nobody
					    is warned then */
};

struct control_silence;

/* db and lines outlive it. NULL: no memory. */
struct control_silence *control_silence_new(struct callid_db *db, struct log_limit *lines);
void control_silence_free(struct control_silence *silence); /* NULL is fine */

/* A call that opened then; of several the earliest first. */
void control_silence_watch(struct control_silence *silence, callid_ref call, uint64_t opened_at);

/* To be called once a second or so. */
void control_silence_look(struct control_silence *silence, uint64_t now);

/* Whether nothing comes from that side, as it was judged last: what was warned of. */
bool control_silence_is(const struct control_silence *silence, callid_ref call,
			enum callid_side side);

#endif

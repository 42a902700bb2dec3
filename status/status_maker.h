/*
 * status_maker: makes texts of a snapshot that may be long, a piece a turn of the event loop, so
 * that calls' messages need not wait for the whole: one text after the other, as two at once would
 * only be later, and fill more memory.
 *
 * A text's figures are those of the moment when it begins, which is at once unless another is being
 * made. Thread: the one that runs the event base.
 */
#ifndef STATUS_STATUS_MAKER_H
#define STATUS_STATUS_MAKER_H

#include "host/why.h"
#include "status/snapshot.h"

#include <sys/queue.h>

struct event_base;
struct evbuffer;
struct status_maker;

/* Fills the snapshot, which is empty; who asked clears it. 0, or -1 with a sentence. */
typedef int status_look(void *arg, struct snapshot *snapshot, struct why *why);

/* How a snapshot is written: one of the two. Each 0, or -1: no memory. */
struct status_writer {
	int (*whole)(struct evbuffer *out, const struct snapshot *snapshot);
	/* Some calls more: *calls, 0 at first, are written already, and grow by at least one where
	 * there are more. What stands before and behind them comes with the first and the last of
	 * them, and both with none. */
	int (*piece)(struct evbuffer *out, const struct snapshot *snapshot, size_t *calls);
};

enum { STATUS_MAKER_CALLS = 500 }; /* in a piece; some 1 ms */

/* Where the piece ends that begins with this call. */
static inline size_t status_maker_piece_end(const struct snapshot *snapshot, size_t from)
{
	size_t left = snapshot->call_count - from;
	return from + (left < STATUS_MAKER_CALLS ? left : STATUS_MAKER_CALLS);
}

/* text is the teller's, and may be drained; NULL: there is none, and why says why. May begin
 * another making, with the same struct, too. */
typedef void status_made(void *arg, struct evbuffer *text, const struct why *why);

/* One text. It is the caller's, all zero before the first time, and stays where it is until it is
 * done or cancelled. */
struct status_making {
	/* private */
	TAILQ_ENTRY(status_making) in_queue;
	struct status_maker *maker; /* NULL: it is not being made */
	const struct status_writer *writer;
	status_made *done;
	void *arg;
	struct evbuffer *text; /* NULL: not begun */
	struct snapshot snapshot;
	size_t calls;
};

/* look, arg: where figures come from. NULL: no memory. */
struct status_maker *status_maker_new(struct event_base *base, status_look *look, void *arg);
void status_maker_free(struct status_maker *maker); /* nothing is being made; NULL is fine */

/* done is called once, maybe before this returns. The writer outlives the making. */
void status_maker_begin(struct status_maker *maker, struct status_making *making,
			const struct status_writer *writer, status_made *done, void *arg);

/* done is not called any more. Harmless where it is not being made. */
void status_maker_cancel(struct status_making *making);

/* Octets of unfinished texts. */
size_t status_maker_octets(const struct status_maker *maker);

#endif

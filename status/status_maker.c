#include "status/status_maker.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

struct status_maker {
	status_look *look;
	void *arg;
	struct event *turn;
	TAILQ_HEAD(, status_making) queue; /* the first one is being made */
};

static void stop(struct status_making *making)
{
	TAILQ_REMOVE(&making->maker->queue, making, in_queue);
	making->maker = NULL;
	snapshot_clear(&making->snapshot);
}

/* The text is taken out first, as done may begin anew. */
static void finish(struct status_making *making, bool good, const struct why *why)
{
	struct evbuffer *text = making->text;
	making->text = NULL;
	stop(making);
	making->done(making->arg, good ? text : NULL, why);
	if (text)
		evbuffer_free(text);
}

static int begin(struct status_making *making, struct why *why)
{
	const struct status_maker *maker = making->maker;
	making->text = evbuffer_new();
	making->calls = 0;
	return making->text ? maker->look(maker->arg, &making->snapshot, why) : -1;
}

/* Whether it is done. */
static bool write_piece(struct status_making *making, bool *good)
{
	const struct status_writer *writer = making->writer;
	if (writer->whole) {
		*good = writer->whole(making->text, &making->snapshot) == 0;
		return true;
	}
	*good = writer->piece(making->text, &making->snapshot, &making->calls) == 0;
	return !*good || making->calls >= making->snapshot.call_count;
}

static void go_on(struct status_maker *maker)
{
	struct status_making *making = TAILQ_FIRST(&maker->queue);
	struct why why = {"no memory"};
	bool good = true;
	if (!making->text)
		good = begin(making, &why) == 0;
	if (!good || write_piece(making, &good))
		finish(making, good, &why);
}

/* A timer, even of no time: between two turns it is looked who has sent something, which an event
 * that is made active does not allow. */
static void turn_later(struct status_maker *maker)
{
	const struct timeval at_once = {0};
	if (!TAILQ_EMPTY(&maker->queue) && !event_pending(maker->turn, EV_TIMEOUT, NULL))
		event_add(maker->turn, &at_once);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct status_maker *maker = arg;
	(void)fd, (void)what;
	if (!TAILQ_EMPTY(&maker->queue))
		go_on(maker);
	turn_later(maker);
}

void status_maker_begin(struct status_maker *maker, struct status_making *making,
			const struct status_writer *writer, status_made *done, void *arg)
{
	bool alone = TAILQ_EMPTY(&maker->queue);
	*making = (struct status_making){
	    .maker = maker,
	    .writer = writer,
	    .done = done,
	    .arg = arg,
	};
	TAILQ_INSERT_TAIL(&maker->queue, making, in_queue);
	if (alone)
		go_on(maker);
	turn_later(maker);
}

void status_maker_cancel(struct status_making *making)
{
	if (!making->maker)
		return;
	stop(making);
	if (making->text)
		evbuffer_free(making->text);
	making->text = NULL;
}

size_t status_maker_octets(const struct status_maker *maker)
{
	const struct status_making *first = TAILQ_FIRST(&maker->queue);
	return first && first->text ? evbuffer_get_length(first->text) : 0;
}

struct status_maker *status_maker_new(struct event_base *base, status_look *look, void *arg)
{
	struct status_maker *maker = calloc(1, sizeof(*maker));
	if (!maker)
		return NULL;
	*maker = (struct status_maker){
	    .look = look,
	    .arg = arg,
	    .turn = evtimer_new(base, on_turn, maker),
	};
	TAILQ_INIT(&maker->queue);
	if (maker->turn)
		return maker;
	free(maker);
	return NULL;
}

void status_maker_free(struct status_maker *maker)
{
	if (!maker)
		return;
	event_free(maker->turn);
	free(maker);
}

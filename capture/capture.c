/*
 * The table of sinks: who is in it, what they are told, and which calls are watched for them.
 */
#include "capture/capture.h"

#include "capture/capture_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

enum { HURRY_MS = 50 }; /* for a reader, while packets may wait for a successor */

bool capture_is_on(const struct capture *capture)
{
	return capture && atomic_load_explicit(&capture->count, memory_order_relaxed) > 0;
}

/* ---- sinks ---- */

static void watch(void *arg, callid_ref call, const struct callid_info *info)
{
	const struct capture *capture = arg;
	bool wanted = false;
	for (int i = 0; i < CAPTURE_SINKS_MAX && !wanted; i++)
		wanted = capture->sinks[i] &&
			 capture_sink_wants_call(capture->sinks[i], call,
						 info->legs[CALLID_CLIENT].peer_addr);
	callid_db_set_watched(capture->db, call, wanted);
}

static void on_table_change(void *arg, callid_ref call, enum callid_event event)
{
	struct capture *capture = arg;
	struct callid_info info;
	if (!capture_is_on(capture))
		return;
	if (event == CALLID_RESERVED && callid_db_get(capture->db, call, &info))
		watch(capture, call, &info);
	for (int i = 0; event == CALLID_ENDED && i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (!sink || sink->filter.what != CAPTURE_CALL || sink->filter.call != call)
			continue;
		sink->call_ended = true;
		capture_own_wake(capture);
	}
}

static int find_place(const struct capture *capture)
{
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (!capture->sinks[i])
			return i;
	}
	return -1;
}

struct capture_sink *capture_start(struct capture *capture,
				   const struct capture_sink_config *config, struct why *why)
{
	int place = find_place(capture);
	if (place < 0) {
		why_set(why, "there are %d captures already", CAPTURE_SINKS_MAX);
		return NULL;
	}
	struct capture_sink *sink = calloc(1, sizeof(*sink));
	int error = ENOMEM;
	if (sink) {
		*sink = (struct capture_sink){
		    .capture = capture,
		    .filter = config->filter,
		    .number = ++capture->last_number,
		    .limit = config->limit,
		    .tells_lost = config->tells_lost,
		    .events = config->events,
		    .arg = config->arg,
		    .next_fd = -1,
		    .fd = -1,
		};
		error = capture_queue_init(&sink->queue, CAPTURE_QUEUE) == 0
			    ? capture_sink_start(sink)
			    : ENOMEM;
	}
	if (error != 0) {
		why_set(why, "capture: %s", strerror(error));
		if (sink)
			capture_sink_free(sink);
		return NULL;
	}
	pthread_mutex_lock(&capture->lock);
	capture->sinks[place] = sink;
	pthread_mutex_unlock(&capture->lock);
	atomic_fetch_add_explicit(&capture->count, 1, memory_order_relaxed);
	callid_db_each(capture->db, watch, capture);
	return sink;
}

void capture_next(struct capture_sink *sink, int fd)
{
	pthread_mutex_lock(&sink->capture->lock);
	int unused = sink->next_fd;
	sink->next_fd = fd;
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->capture->lock);
	if (unused >= 0)
		close(unused);
}

void capture_figures(const struct capture_sink *sink, struct capture_figures *figures)
{
	pthread_mutex_lock(&sink->capture->lock);
	*figures = (struct capture_figures){.seen = sink->seen, .lost = sink->queue.lost};
	pthread_mutex_unlock(&sink->capture->lock);
}

void capture_finish(struct capture_sink *sink)
{
	pthread_mutex_lock(&sink->capture->lock);
	sink->stopping = true;
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->capture->lock);
}

static void stop(struct capture_sink *sink, const struct timespec *until,
		 struct capture_figures *figures)
{
	struct capture *capture = sink->capture;
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i] == sink)
			capture->sinks[i] = NULL;
	}
	pthread_mutex_unlock(&capture->lock);
	atomic_fetch_sub_explicit(&capture->count, 1, memory_order_relaxed);
	if (!capture_sink_end(sink, until, figures)) {
		pthread_detach(sink->thread);
		capture->abandoned = true;
		return;
	}
	pthread_join(sink->thread, NULL);
	pthread_cond_destroy(&sink->changed);
	if (sink->next_fd >= 0)
		close(sink->next_fd);
	capture_sink_free(sink);
}

void capture_stop(struct capture_sink *sink, struct capture_figures *figures)
{
	struct capture *capture = sink->capture;
	const struct timespec until = capture_sink_soon(CAPTURE_SINK_STOP_MS);
	stop(sink, &until, figures);
	callid_db_each(capture->db, watch, capture);
}

static void tell(struct capture *capture, struct capture_sink *sink)
{
	pthread_mutex_lock(&capture->lock);
	bool full = sink->full, ended = sink->ended;
	int error = sink->error;
	sink->full = sink->ended = false;
	pthread_mutex_unlock(&capture->lock);
	bool call_ended = sink->call_ended;
	sink->call_ended = false;
	if (ended)
		sink->events->ended(sink->arg, error);
	else if (call_ended)
		sink->events->call_ended(sink->arg);
	else if (full)
		sink->events->full(sink->arg);
}

void capture_attend(struct capture *capture)
{
	uint64_t ignored;
	if (read(capture->wake_fd, &ignored, sizeof(ignored)) < 0)
		return;
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i])
			tell(capture, capture->sinks[i]);
	}
}

/* ---- birth and death ---- */

struct capture *capture_new(struct callid_db *db, struct why *why)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	if (!capture) {
		why_set(why, "capture: no memory");
		return NULL;
	}
	capture->db = db;
	capture->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (capture->wake_fd < 0) {
		why_set(why, "capture: %s", strerror(errno));
		free(capture);
		return NULL;
	}
	pthread_mutex_init(&capture->lock, NULL);
	callid_db_observe(db, on_table_change, capture);
	return capture;
}

int capture_wake_fd(const struct capture *capture)
{
	return capture->wake_fd;
}

/* Who reads hears of the end; who does not is let go of. */
static void hurry_all(struct capture *capture)
{
	const struct timespec until = capture_sink_soon(HURRY_MS); /* for all of them */
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i])
			capture_finish(capture->sinks[i]);
	}
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i] && !capture_sink_wait(capture->sinks[i], &until))
			capture_sink_shut_reader(capture->sinks[i]);
	}
	pthread_mutex_unlock(&capture->lock);
}

static void stop_and_tell(struct capture_sink *sink, const struct timespec *until)
{
	const struct capture_events *events = sink->events;
	struct capture_figures figures;
	void *arg = sink->arg;
	stop(sink, until, &figures);
	if (events->stopped)
		events->stopped(arg, &figures);
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	const struct timespec until = capture_sink_soon(CAPTURE_SINK_STOP_MS); /* for all of them */
	hurry_all(capture);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i])
			stop_and_tell(capture->sinks[i], &until);
	}
	if (capture->abandoned)
		return; /* the process ends anyway */
	close(capture->wake_fd);
	pthread_mutex_destroy(&capture->lock);
	free(capture);
}

/*
 * One lock for the table of sinks and for all queues: it is held while a packet is copied, never
 * over a system call but for the wake-up of a writer that has nothing to do.
 */
#include "capture/capture.h"

#include "capture/capture_queue.h"
#include "capture/capture_wire.h"
#include "host/capture_file.h"
#include "wire/bytes.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	STOP_MS = 1000, /* for what waits to be written */
	HURRY_MS = 50,	/* for a reader, while packets may wait for a successor */
	ID_AT = 6,	/* of the call ID within the GRE header */
	GRE_HEADER = 8, /* up to and with it */
	HEAD_MAX = 60 + GRE_HEADER,
	MOST = CAPTURE_FILE_PACKET_MAX,
};

struct capture_sink {
	struct capture *capture;
	struct capture_filter filter;
	uint64_t number; /* no other sink has, or had, the same */
	uint64_t limit;
	bool tells_lost;
	const struct capture_events *events;
	void *arg;
	pthread_t thread;
	pthread_cond_t changed;

	/* under the lock */
	struct capture_queue queue;
	uint64_t seen;
	uint64_t written; /* of these; in all files */
	int next_fd;	  /* to be taken over; -1: none */
	int fd;		  /* what is written to; -1: none */
	int error;	  /* of writing; 0: none */
	bool stopping;	  /* by its owner */
	bool gone;	  /* the thread has left off */
	bool full, ended; /* to be told */

	bool call_ended; /* to be told; the control thread's */
};

struct capture {
	_Atomic unsigned count;
	pthread_mutex_t lock;
	struct capture_sink *sinks[CAPTURE_SINKS_MAX]; /* changed by the control thread only */
	uint64_t last_number;
	_Atomic uint16_t last_id; /* of made-up IP headers */
	struct callid_db *db;
	int wake_fd;
	bool abandoned; /* a thread that could not be ended still has its sink */
};

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint16_t next_id(struct capture *capture)
{
	return (uint16_t)(atomic_fetch_add_explicit(&capture->last_id, 1, memory_order_relaxed) +
			  1);
}

static void wake(const struct capture *capture)
{
	uint64_t one = 1;
	if (write(capture->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

bool capture_is_on(const struct capture *capture)
{
	return capture && atomic_load_explicit(&capture->count, memory_order_relaxed) > 0;
}

/* ---- what a sink wants ---- */

static bool wants_call(const struct capture_sink *sink, callid_ref call, uint32_t client_addr)
{
	switch (sink->filter.what) {
	case CAPTURE_ALL:
		return true;
	case CAPTURE_CLIENT:
		return sink->filter.client_addr == client_addr;
	case CAPTURE_CALL:
		return sink->filter.call == call;
	}
	return false;
}

static bool wants_conn(const struct capture_sink *sink, const struct capture_conn *conn)
{
	switch (sink->filter.what) {
	case CAPTURE_ALL:
		return true;
	case CAPTURE_CLIENT:
		return sink->filter.client_addr == conn->legs[CALLID_CLIENT].peer_addr;
	case CAPTURE_CALL:
		return sink->filter.connection == conn->number;
	}
	return false;
}

/* Under the lock. */
static void put(struct capture_sink *sink, uint64_t time_us, struct capture_piece head,
		struct capture_piece body)
{
	if (sink->error != 0 || sink->stopping)
		return;
	if (capture_queue_put(&sink->queue, time_us, head, body))
		sink->seen++;
	pthread_cond_signal(&sink->changed);
}

/* ---- packets ---- */

static void put_gre(struct capture *capture, const struct capture_gre *gre,
		    struct capture_piece head, struct capture_piece body)
{
	uint64_t time_us = now_us();
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (sink && wants_call(sink, gre->call, gre->client_addr))
			put(sink, time_us, head, body);
	}
	pthread_mutex_unlock(&capture->lock);
}

void capture_gre_in(struct capture *capture, const struct capture_gre *gre,
		    const struct capture_received *received)
{
	uint8_t head[HEAD_MAX];
	size_t length = received->length < MOST ? received->length : MOST,
	       rewritten = received->header ? received->header + GRE_HEADER : 0;

	assert(rewritten <= HEAD_MAX && rewritten <= length);
	memcpy(head, received->octets, rewritten);
	if (rewritten > 0)
		bytes_put16(head + received->header + ID_AT, received->call_id);
	put_gre(capture, gre, (struct capture_piece){head, rewritten},
		(struct capture_piece){received->octets + rewritten, length - rewritten});
}

void capture_gre_out(struct capture *capture, const struct capture_gre *gre, const uint8_t *octets,
		     size_t length)
{
	uint8_t head[CAPTURE_WIRE_IP];
	const struct capture_wire_ip ip = {
	    .source = gre->source,
	    .destination = gre->destination,
	    .id = next_id(capture),
	    .protocol = CAPTURE_WIRE_GRE,
	    .tos = gre->tos,
	};
	if (length > MOST - CAPTURE_WIRE_IP)
		return; /* the system would not have sent it */
	capture_wire_ip(head, &ip, length);
	put_gre(capture, gre, (struct capture_piece){head, sizeof(head)},
		(struct capture_piece){octets, length});
}

/* ---- messages ---- */

/* The sequence number of a stream's first octet. The same in the next process, so that what it
 * captures goes on where this one's ends. */
static uint32_t first_seq(const struct capture_conn *conn, enum callid_side side,
			  enum capture_direction direction)
{
	uint64_t mixed =
	    (conn->number * 4 + (uint64_t)side * 2 + (uint64_t)direction) * 0x9E3779B97F4A7C15U;
	return (uint32_t)(mixed >> 32);
}

/* One that has no octets yet, of that direction of the leg as it stands. */
static struct capture_wire_segment segment_of(const struct capture_conn *conn,
					      enum callid_side side,
					      enum capture_direction direction, uint8_t flags)
{
	const struct capture_leg *leg = &conn->legs[side];
	uint32_t in = first_seq(conn, side, CAPTURE_IN) + (uint32_t)leg->in,
		 out = first_seq(conn, side, CAPTURE_OUT) + (uint32_t)leg->out;
	bool is_in = direction == CAPTURE_IN;
	return (struct capture_wire_segment){
	    .source = is_in ? leg->peer_addr : leg->proxy_addr,
	    .destination = is_in ? leg->proxy_addr : leg->peer_addr,
	    .source_port = is_in ? leg->peer_port : leg->proxy_port,
	    .destination_port = is_in ? leg->proxy_port : leg->peer_port,
	    .seq = is_in ? in : out,
	    .ack = is_in ? out : in,
	    .id = next_id(conn->capture),
	    .flags = flags,
	};
}

static void put_segment(struct capture_sink *sink, uint64_t time_us,
			const struct capture_wire_segment *segment)
{
	uint8_t head[CAPTURE_WIRE_HEAD_MAX];
	size_t length = capture_wire_tcp(head, segment);
	put(sink, time_us, (struct capture_piece){head, length},
	    (struct capture_piece){segment->octets, segment->length});
}

/* As if it had been made where its streams stand now: the client dials us, and we the server. */
static void put_beginning(struct capture_sink *sink, uint64_t time_us,
			  const struct capture_conn *conn, enum callid_side side)
{
	enum capture_direction dials = side == CALLID_CLIENT ? CAPTURE_IN : CAPTURE_OUT,
			       answers = dials == CAPTURE_IN ? CAPTURE_OUT : CAPTURE_IN;
	struct capture_wire_segment first = segment_of(conn, side, dials, CAPTURE_WIRE_SYN),
				    second = segment_of(conn, side, answers,
							CAPTURE_WIRE_SYN | CAPTURE_WIRE_ACK),
				    third = segment_of(conn, side, dials, CAPTURE_WIRE_ACK);
	first.seq--;
	first.ack = 0;
	second.seq--;
	put_segment(sink, time_us, &first);
	put_segment(sink, time_us, &second);
	put_segment(sink, time_us, &third);
}

/* A leg has begun for a sink where the bit of its side is set. */
static void begin_for(struct capture_sink *sink, int place, uint64_t time_us,
		      struct capture_conn *conn)
{
	if (conn->begun[place] >> 2 != sink->number)
		conn->begun[place] = sink->number << 2;
	for (int side = 0; side < 2; side++) {
		uint64_t bit = 1U << side;
		if (conn->begun[place] & bit || conn->legs[side].peer_port == 0)
			continue;
		put_beginning(sink, time_us, conn, (enum callid_side)side);
		conn->begun[place] |= bit;
	}
}

static void show_message(struct capture_conn *conn, const struct capture_wire_segment *segment)
{
	struct capture *capture = conn->capture;
	uint64_t time_us = now_us();
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (!sink || !wants_conn(sink, conn))
			continue;
		begin_for(sink, i, time_us, conn);
		put_segment(sink, time_us, segment);
	}
	pthread_mutex_unlock(&capture->lock);
}

void capture_message(struct capture_conn *conn, enum callid_side side,
		     enum capture_direction direction, const uint8_t *octets, size_t length)
{
	struct capture_leg *leg = &conn->legs[side];
	if (capture_is_on(conn->capture)) {
		struct capture_wire_segment segment =
		    segment_of(conn, side, direction, CAPTURE_WIRE_PSH | CAPTURE_WIRE_ACK);
		segment.octets = octets;
		segment.length = length;
		show_message(conn, &segment);
	}
	*(direction == CAPTURE_IN ? &leg->in : &leg->out) += length;
}

static void put_end(struct capture_sink *sink, uint64_t time_us, const struct capture_conn *conn,
		    enum callid_side side)
{
	uint8_t flags = CAPTURE_WIRE_FIN | CAPTURE_WIRE_ACK;
	enum capture_direction one = conn->legs[side].peer_closed ? CAPTURE_IN : CAPTURE_OUT,
			       other = one == CAPTURE_IN ? CAPTURE_OUT : CAPTURE_IN;
	struct capture_wire_segment first = segment_of(conn, side, one, flags),
				    second = segment_of(conn, side, other, flags),
				    last = segment_of(conn, side, one, CAPTURE_WIRE_ACK);
	second.ack++;
	last.seq++;
	last.ack++;
	put_segment(sink, time_us, &first);
	put_segment(sink, time_us, &second);
	put_segment(sink, time_us, &last);
}

void capture_conn_end(struct capture_conn *conn)
{
	struct capture *capture = conn->capture;
	uint64_t time_us;
	if (!capture_is_on(capture))
		return;
	time_us = now_us();
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (!sink || conn->begun[i] >> 2 != sink->number)
			continue;
		for (int side = 0; side < 2; side++) {
			if (conn->begun[i] & 1U << side)
				put_end(sink, time_us, conn, (enum callid_side)side);
		}
	}
	pthread_mutex_unlock(&capture->lock);
	conn->capture = NULL;
}

/* ---- a sink's thread; what needs the lock has it unless it says otherwise ---- */

static void fail(struct capture_sink *sink, int error)
{
	sink->error = error ? error : EIO;
}

/* What add or flush have sent off; before is what had been written until then. */
static void count_written(struct capture_sink *sink, const struct capture_file *file,
			  uint64_t before)
{
	sink->written += capture_file_packets(file) - before;
}

/* Whoever reads along is to see what has been written, and an error is to be heard of. */
static void flush(struct capture_sink *sink, struct capture_file *file)
{
	uint64_t before = capture_file_packets(file);
	pthread_mutex_unlock(&sink->capture->lock);
	int result = capture_file_flush(file), error = errno;
	pthread_mutex_lock(&sink->capture->lock);
	count_written(sink, file, before);
	if (result != 0)
		fail(sink, error);
}

static void close_file(struct capture_sink *sink, struct capture_file **file)
{
	if (sink->error == 0)
		flush(sink, *file);
	sink->fd = -1;
	pthread_mutex_unlock(&sink->capture->lock);
	capture_file_close(*file);
	pthread_mutex_lock(&sink->capture->lock);
	*file = NULL;
}

static void take_next(struct capture_sink *sink, struct capture_file **file)
{
	int fd = sink->next_fd;
	sink->next_fd = -1;
	if (*file)
		close_file(sink, file);
	sink->fd = fd;
	*file = capture_file_open(fd);
	if (!*file) {
		sink->fd = -1;
		fail(sink, errno);
	}
}

static bool is_full(const struct capture_sink *sink, const struct capture_file *file)
{
	return sink->limit != 0 && capture_file_size(file) + CAPTURE_FILE_RECORD_MAX > sink->limit;
}

static void ask_for_next(struct capture_sink *sink, struct capture_file **file)
{
	close_file(sink, file);
	sink->full = true;
	wake(sink->capture);
}

/* Without the lock, as it may take long. */
static int write_one(struct capture_sink *sink, struct capture_file *file,
		     const struct capture_packet *packet)
{
	uint64_t before = capture_file_packets(file);
	pthread_mutex_unlock(&sink->capture->lock);
	int result = capture_file_add(file, packet->time_us, packet->octets, packet->length);
	int error = errno;
	pthread_mutex_lock(&sink->capture->lock);
	count_written(sink, file, before);
	if (result == 0)
		capture_queue_drop(&sink->queue);
	else
		fail(sink, error);
	return result;
}

static void write_all(struct capture_sink *sink)
{
	struct capture_file *file = NULL;
	struct capture_packet packet;
	bool flushed = false;

	while (sink->error == 0) {
		if (sink->next_fd >= 0) {
			take_next(sink, &file);
			flushed = false;
		} else if (file && capture_queue_first(&sink->queue, &packet)) {
			if (is_full(sink, file))
				ask_for_next(sink, &file);
			else
				write_one(sink, file, &packet);
			flushed = false;
		} else if (file && !flushed) {
			flush(sink, file);
			flushed = true;
		} else if (sink->stopping) {
			break;
		} else {
			pthread_cond_wait(&sink->changed, &sink->capture->lock);
		}
	}
	if (file && sink->error == 0 && sink->tells_lost)
		capture_file_end(file, sink->queue.lost);
	if (file)
		close_file(sink, &file);
}

static void *run(void *arg)
{
	struct capture_sink *sink = arg;
	pthread_mutex_lock(&sink->capture->lock);
	write_all(sink);
	sink->gone = sink->ended = true;
	wake(sink->capture);
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->capture->lock);
	return NULL;
}

/* ---- sinks ---- */

static void watch(void *arg, callid_ref call, const struct callid_info *info)
{
	const struct capture *capture = arg;
	bool wanted = false;
	for (int i = 0; i < CAPTURE_SINKS_MAX && !wanted; i++)
		wanted = capture->sinks[i] &&
			 wants_call(capture->sinks[i], call, info->legs[CALLID_CLIENT].peer_addr);
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
		wake(capture);
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

static int start_thread(struct capture_sink *sink)
{
	pthread_condattr_t attr;
	sigset_t all, before;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sink->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* a thread that blocks it dies without a word in the sandbox */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int error = pthread_create(&sink->thread, NULL, run, sink);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		pthread_cond_destroy(&sink->changed);
	return error;
}

static void free_sink(struct capture_sink *sink)
{
	capture_queue_clear(&sink->queue);
	free(sink);
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
		error = capture_queue_init(&sink->queue, CAPTURE_QUEUE) == 0 ? start_thread(sink)
									     : ENOMEM;
	}
	if (error != 0) {
		why_set(why, "capture: %s", strerror(error));
		if (sink)
			free_sink(sink);
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

static struct timespec soon(int ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

/* Under the lock: false where it does not end in time. */
static bool wait_for_thread(struct capture_sink *sink, const struct timespec *until)
{
	int error = 0;
	while (!sink->gone && error == 0)
		error = pthread_cond_timedwait(&sink->changed, &sink->capture->lock, until);
	return sink->gone;
}

/* Under the lock: one who does not read. false: there is none, but perhaps a disk. */
static bool shut_reader(const struct capture_sink *sink)
{
	/* A thread that has hardly run has not taken over its file yet. */
	int fd = sink->next_fd >= 0 ? sink->next_fd : sink->fd;
	return fd >= 0 && shutdown(fd, SHUT_RDWR) == 0;
}

static bool end_thread(struct capture_sink *sink, const struct timespec *until,
		       struct capture_figures *figures)
{
	struct capture *capture = sink->capture;
	pthread_mutex_lock(&capture->lock);
	sink->stopping = true;
	pthread_cond_broadcast(&sink->changed);
	bool gone = wait_for_thread(sink, until);
	if (!gone && shut_reader(sink)) {
		const struct timespec later = soon(STOP_MS);
		gone = wait_for_thread(sink, &later);
	}
	if (figures)
		*figures = (struct capture_figures){
		    .seen = sink->written,
		    .lost = sink->queue.lost + sink->seen - sink->written,
		};
	pthread_mutex_unlock(&capture->lock);
	return gone;
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
	if (!end_thread(sink, until, figures)) {
		pthread_detach(sink->thread);
		capture->abandoned = true;
		return;
	}
	pthread_join(sink->thread, NULL);
	pthread_cond_destroy(&sink->changed);
	if (sink->next_fd >= 0)
		close(sink->next_fd);
	free_sink(sink);
}

void capture_stop(struct capture_sink *sink, struct capture_figures *figures)
{
	struct capture *capture = sink->capture;
	const struct timespec until = soon(STOP_MS);
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
	const struct timespec until = soon(HURRY_MS); /* for all of them */
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i])
			capture_finish(capture->sinks[i]);
	}
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		if (capture->sinks[i] && !wait_for_thread(capture->sinks[i], &until))
			shut_reader(capture->sinks[i]);
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
	const struct timespec until = soon(STOP_MS); /* for all of them */
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

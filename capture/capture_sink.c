#include "capture/capture_sink.h"

#include "host/capture_file.h"
#include "host/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

bool capture_sink_wants_call(const struct capture_sink *sink, callid_ref call, uint32_t client_addr)
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

void capture_sink_put(struct capture_sink *sink, uint64_t time_us, struct capture_piece head,
		      struct capture_piece body)
{
	if (sink->error != 0 || sink->stopping)
		return;
	if (capture_queue_put(&sink->queue, time_us, head, body))
		sink->seen++;
	pthread_cond_signal(&sink->changed);
}

/* ---- its thread; what needs the lock has it unless it says otherwise ---- */

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
	capture_own_wake(sink->capture);
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
	capture_own_wake(sink->capture);
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->capture->lock);
	return NULL;
}

/* ---- its beginning and end ---- */

int capture_sink_start(struct capture_sink *sink)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sink->changed, &attr);
	pthread_condattr_destroy(&attr);
	int error = thread_start(&sink->thread, run, sink);
	if (error != 0)
		pthread_cond_destroy(&sink->changed);
	return error;
}

void capture_sink_free(struct capture_sink *sink)
{
	capture_queue_clear(&sink->queue);
	free(sink);
}

struct timespec capture_sink_soon(int ms)
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

bool capture_sink_wait(struct capture_sink *sink, const struct timespec *until)
{
	int error = 0;
	while (!sink->gone && error == 0)
		error = pthread_cond_timedwait(&sink->changed, &sink->capture->lock, until);
	return sink->gone;
}

bool capture_sink_shut_reader(const struct capture_sink *sink)
{
	/* A thread that has hardly run has not taken over its file yet. */
	int fd = sink->next_fd >= 0 ? sink->next_fd : sink->fd;
	return fd >= 0 && shutdown(fd, SHUT_RDWR) == 0;
}

bool capture_sink_end(struct capture_sink *sink, const struct timespec *until,
		      struct capture_figures *figures)
{
	struct capture *capture = sink->capture;
	pthread_mutex_lock(&capture->lock);
	sink->stopping = true;
	pthread_cond_broadcast(&sink->changed);
	bool gone = capture_sink_wait(sink, until);
	if (!gone && capture_sink_shut_reader(sink)) {
		const struct timespec later = capture_sink_soon(CAPTURE_SINK_STOP_MS);
		gone = capture_sink_wait(sink, &later);
	}
	if (figures)
		*figures = (struct capture_figures){
		    .seen = sink->written,
		    .lost = sink->queue.lost + sink->seen - sink->written,
		};
	pthread_mutex_unlock(&capture->lock);
	return gone;
}

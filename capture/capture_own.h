/*
 * capture_own: sinks, and the table of them. capture's own, shared by it and by capture_sink,
 * capture_gre and capture_conn; nobody else includes it.
 *
 * One lock for the table of sinks and for all queues: it is held while a packet is copied, never
 * over a system call but for the wake-up of a writer that has nothing to do.
 */
#ifndef CAPTURE_OWN_H
#define CAPTURE_OWN_H

#include "capture/capture.h"
#include "capture/capture_queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

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

static inline uint64_t capture_own_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline uint16_t capture_own_next_id(struct capture *capture)
{
	return (uint16_t)(atomic_fetch_add_explicit(&capture->last_id, 1, memory_order_relaxed) +
			  1);
}

static inline void capture_own_wake(const struct capture *capture)
{
	uint64_t one = 1;
	if (write(capture->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

#endif

/*
 * worker_capture: who wants to see messages and packets: the file of --capture, and callers with
 * --tap; when they begin and end, and what the log hears of it.
 *
 * The file's descriptors come from the keeper, who is asked for each. Thread: control thread.
 */
#ifndef WORKER_CAPTURE_H
#define WORKER_CAPTURE_H

#include "callid_db.h"
#include "capture/capture.h"
#include "host/why.h"

#include "worker/worker_tap.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct worker_capture;

struct worker_capture_config {
	struct event_base *base;
	struct callid_db *db; /* outlives it */
	/* Asks the keeper for a file; worker_capture_given answers. */
	void (*ask)(void *arg);
	void *arg;
};

/* What a configuration says. */
struct worker_capture_file {
	const char *path; /* NULL: none */
	unsigned limit_mib;
	bool fastpath; /* is wanted, too */
};

struct worker_capture *worker_capture_new(const struct worker_capture_config *config,
					  struct why *why);
struct capture *worker_capture_of(const struct worker_capture *captures);
struct worker_tap *worker_capture_taps(const struct worker_capture *captures);

/* From now on it is captured like this; what goes on as it was stays untouched. */
void worker_capture_use(struct worker_capture *captures, const struct worker_capture_file *file);

/* The keeper's answer: a descriptor, taken over, or -1 and why not. */
void worker_capture_given(struct worker_capture *captures, int fd, const char *reason);

/* Writes what waits, and ends all. The table must not change any more. NULL is fine. */
void worker_capture_free(struct worker_capture *captures);

#endif

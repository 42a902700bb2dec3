#include "worker/worker_capture.h"

#include "host/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOST_TOLD_S = 5 };

struct worker_capture {
	struct worker_capture_config config;
	struct capture *capture;
	struct worker_tap *taps;
	struct event *wake, *tick;
	struct capture_sink *file; /* NULL: none */
	char *path;		   /* as configured; NULL: none */
	unsigned limit_mib;
	bool asked;	/* the keeper, for a file of this path */
	unsigned stale; /* answers that are under way for an earlier path */
	uint64_t lost_told;
};

/* ---- the file ---- */

static void ask(struct worker_capture *captures)
{
	captures->asked = true;
	captures->config.ask(captures->config.arg);
}

static void tell_end(const struct worker_capture *captures, const struct capture_figures *figures)
{
	log_info("capture %s: ends: %llu packets by this worker, %llu lost", captures->path,
		 (unsigned long long)figures->seen, (unsigned long long)figures->lost);
}

static void stop_file(struct worker_capture *captures)
{
	struct capture_figures figures;
	if (!captures->file)
		return;
	capture_stop(captures->file, &figures);
	captures->file = NULL;
	event_del(captures->tick);
	if (captures->asked)
		captures->stale++;
	captures->asked = false;
	tell_end(captures, &figures);
}

static void on_full(void *arg)
{
	ask(arg);
}

static void on_ended(void *arg, int error)
{
	struct worker_capture *captures = arg;
	log_error("capture %s: cannot be written: %s; it ends, calls go on", captures->path,
		  strerror(error));
	stop_file(captures);
}

/* With the program, or for a successor. */
static void on_stopped(void *arg, const struct capture_figures *figures)
{
	struct worker_capture *captures = arg;
	captures->file = NULL;
	tell_end(captures, figures);
}

static const struct capture_events file_events = {
    .full = on_full, .ended = on_ended, .stopped = on_stopped};

static void start_file(struct worker_capture *captures, bool fastpath)
{
	const struct timeval often = {.tv_sec = LOST_TOLD_S};
	const struct capture_sink_config config = {
	    .filter = {.what = CAPTURE_ALL},
	    .limit = (uint64_t)captures->limit_mib << 20,
	    .events = &file_events,
	    .arg = captures,
	};
	struct why why;

	captures->file = capture_start(captures->capture, &config, &why);
	if (!captures->file) {
		log_error("capture %s: cannot begin: %s", captures->path, why.text);
		return;
	}
	captures->lost_told = 0;
	event_add(captures->tick, &often);
	ask(captures);
	log_info("capture %s: begins", captures->path);
	if (fastpath)
		log_warning("capture %s: all calls stay off the fast path meanwhile",
			    captures->path);
}

static bool is_same(const struct worker_capture *captures, const struct worker_capture_file *file)
{
	if (!captures->path || !file->path)
		return !captures->path && !file->path;
	return strcmp(captures->path, file->path) == 0 && captures->limit_mib == file->limit_mib;
}

void worker_capture_use(struct worker_capture *captures, const struct worker_capture_file *file)
{
	/* One that has failed is tried again. */
	if (is_same(captures, file) && (captures->file || !file->path))
		return;
	stop_file(captures);
	free(captures->path);
	captures->path = file->path ? strdup(file->path) : NULL;
	captures->limit_mib = file->limit_mib;
	if (captures->path)
		start_file(captures, file->fastpath);
}

void worker_capture_given(struct worker_capture *captures, int fd, const char *reason)
{
	if (captures->stale > 0 || !captures->file) {
		captures->stale -= captures->stale > 0;
		if (fd >= 0)
			close(fd);
		return;
	}
	captures->asked = false;
	if (fd >= 0) {
		capture_next(captures->file, fd);
		return;
	}
	log_error("%s; the capture ends, calls go on", reason);
	stop_file(captures);
}

/* ---- what it says by itself ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker_capture *captures = arg;
	(void)fd, (void)what;
	capture_attend(captures->capture);
}

/* Once in a while: a disk that is too slow is so for every packet. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker_capture *captures = arg;
	struct capture_figures figures;
	(void)fd, (void)what;
	if (!captures->file)
		return;
	capture_figures(captures->file, &figures);
	if (figures.lost == captures->lost_told)
		return;
	log_warning("capture %s: %llu packets lost: they come faster than they can be written",
		    captures->path, (unsigned long long)(figures.lost - captures->lost_told));
	captures->lost_told = figures.lost;
}

/* ---- birth and death ---- */

static int open_all(struct worker_capture *captures, struct why *why)
{
	captures->capture = capture_new(captures->config.db, why);
	if (!captures->capture)
		return -1;
	captures->taps =
	    worker_tap_open(captures->config.base, captures->config.db, captures->capture, why);
	if (!captures->taps)
		return -1;
	captures->wake = event_new(captures->config.base, capture_wake_fd(captures->capture),
				   EV_READ | EV_PERSIST, on_wake, captures);
	captures->tick = event_new(captures->config.base, -1, EV_PERSIST, on_tick, captures);
	if (!captures->wake || !captures->tick || event_add(captures->wake, NULL) != 0)
		return why_set(why, "capture: no memory");
	return 0;
}

struct worker_capture *worker_capture_new(const struct worker_capture_config *config,
					  struct why *why)
{
	struct worker_capture *captures = calloc(1, sizeof(*captures));
	if (!captures) {
		why_set(why, "capture: no memory");
		return NULL;
	}
	captures->config = *config;
	if (open_all(captures, why) == 0)
		return captures;
	worker_capture_free(captures);
	return NULL;
}

struct capture *worker_capture_of(const struct worker_capture *captures)
{
	return captures->capture;
}

struct worker_tap *worker_capture_taps(const struct worker_capture *captures)
{
	return captures->taps;
}

void worker_capture_free(struct worker_capture *captures)
{
	if (!captures)
		return;
	if (captures->wake)
		event_free(captures->wake);
	if (captures->tick)
		event_free(captures->tick);
	capture_free(captures->capture);
	worker_tap_close(captures->taps);
	free(captures->path);
	free(captures);
}

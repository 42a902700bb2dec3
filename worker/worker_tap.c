#include "worker/worker_tap.h"

#include "host/log.h"
#include "status/status_ask.h"
#include "status/status_call.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of what was asked for. */
enum { WHAT_MAX = 40 };

struct tap {
	LIST_ENTRY(tap) in_taps;
	struct worker_tap *taps;
	struct capture_sink *sink;
	struct event event;
	int fd; /* a duplicate, to hear of his end */
	char what[WHAT_MAX];
};

struct worker_tap {
	struct event_base *base;
	struct callid_db *db;
	struct capture *capture;
	LIST_HEAD(, tap) list;
	unsigned count;
};

/* ---- what is asked for ---- */

struct search {
	uint64_t connection;
	int32_t client_id;
	callid_ref found;
	bool several; /* of those without an ID */
};

static void compare_call(void *arg, callid_ref call, const struct callid_info *info)
{
	struct search *search = arg;
	bool assigned = info->open || info->caller == CALLID_CLIENT;
	int32_t client_id = assigned ? info->id[CALLID_CLIENT] : STATUS_CALL_UNASSIGNED;
	if (info->connection == search->connection && client_id == search->client_id) {
		search->several = !assigned && search->found != 0;
		search->found = call;
	}
}

static int find_filter(const struct worker_tap *taps, const char *what,
		       struct capture_filter *filter, struct why *why)
{
	struct search search = {0};
	struct in_addr addr;

	*filter = (struct capture_filter){.what = CAPTURE_ALL};
	if (strcmp(what, "all") == 0)
		return 0;
	if (inet_pton(AF_INET, what, &addr) == 1) {
		filter->what = CAPTURE_CLIENT;
		filter->client_addr = ntohl(addr.s_addr);
		return 0;
	}
	if (!status_call_parse(what, &search.connection, &search.client_id))
		return why_set(why,
			       "tap %.40s: neither a call, as --show calls has it (12:49750), nor "
			       "a client's address, nor all",
			       what);
	callid_db_each(taps->db, compare_call, &search);
	if (search.found == 0)
		return why_set(why, "%.40s: no such call", what);
	if (search.several)
		return why_set(why,
			       "%.40s: more than one call has no client ID yet: which one cannot "
			       "be told",
			       what);
	filter->what = CAPTURE_CALL;
	filter->call = search.found;
	filter->connection = search.connection;
	return 0;
}

/* ---- his end ---- */

static void forget(struct tap *tap)
{
	LIST_REMOVE(tap, in_taps);
	tap->taps->count--;
	event_del(&tap->event);
	close(tap->fd);
	free(tap);
}

static void tell_end(const struct tap *tap, const struct capture_figures *figures)
{
	log_info("tap %s: ends: %llu packets, %llu lost", tap->what,
		 (unsigned long long)figures->seen, (unsigned long long)figures->lost);
}

static void on_ended(void *arg, int error)
{
	struct tap *tap = arg;
	struct capture_figures figures;
	capture_stop(tap->sink, &figures);
	if (error != 0)
		log_debug("tap %s: %s", tap->what, strerror(error));
	tell_end(tap, &figures);
	forget(tap);
}

static void on_call_ended(void *arg)
{
	struct tap *tap = arg;
	capture_finish(tap->sink);
}

/* Nothing but an end is expected of him. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tap *tap = arg;
	char octets[256];
	(void)what;
	ssize_t got = recv(fd, octets, sizeof(octets), MSG_DONTWAIT);
	if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	event_del(&tap->event);
	capture_finish(tap->sink);
}

/* With the program, or for a successor. */
static void on_stopped(void *arg, const struct capture_figures *figures)
{
	struct tap *tap = arg;
	tell_end(tap, figures);
	forget(tap);
}

static const struct capture_events events = {
    .call_ended = on_call_ended, .ended = on_ended, .stopped = on_stopped};

/* ---- his beginning ---- */

static long uid_of(int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 ? (long)who.uid : -1;
}

/* A thread of its own writes to it, and may wait. Nothing was sent on it yet, so a line fits. */
static int prepare(int fd)
{
	static const char line[] = STATUS_ASK_OK "tap\n";
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
		return -1;
	return send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) ==
		       (ssize_t)sizeof(line) - 1
		   ? 0
		   : -1;
}

/* NULL: no memory, no sink. */
static struct tap *new_tap(struct worker_tap *taps, const struct capture_filter *filter,
			   const char *what, struct why *why)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	const struct capture_sink_config config = {
	    .filter = *filter, .tells_lost = true, .events = &events, .arg = tap};
	if (!tap) {
		why_set(why, "no memory");
		return NULL;
	}
	snprintf(tap->what, sizeof(tap->what), "%s", what);
	tap->taps = taps;
	tap->sink = capture_start(taps->capture, &config, why);
	if (tap->sink)
		return tap;
	free(tap);
	return NULL;
}

static void drop_new(struct tap *tap)
{
	capture_stop(tap->sink, NULL);
	free(tap);
}

/* fd is taken over. */
static void begin(struct worker_tap *taps, struct tap *tap, int fd)
{
	long uid = uid_of(fd);
	tap->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (tap->fd < 0 || prepare(fd) != 0 ||
	    event_assign(&tap->event, taps->base, tap->fd, EV_READ | EV_PERSIST, on_readable,
			 tap) != 0 ||
	    event_add(&tap->event, NULL) != 0) {
		if (tap->fd >= 0)
			close(tap->fd);
		close(fd);
		drop_new(tap);
		return;
	}
	LIST_INSERT_HEAD(&taps->list, tap, in_taps);
	taps->count++;
	log_info("tap %s: begins, asked for by user %ld", tap->what, uid);
	capture_next(tap->sink, fd);
}

void worker_tap_start(struct worker_tap *taps, struct status_caller *caller, const char *what)
{
	struct capture_filter filter;
	struct tap *tap = NULL;
	struct why why;

	if (taps->count >= WORKER_TAPS_MAX)
		why_set(&why, "busy: there are %d taps already", WORKER_TAPS_MAX);
	else if (find_filter(taps, what, &filter, &why) == 0)
		tap = new_tap(taps, &filter, what, &why);
	if (tap)
		begin(taps, tap, status_ask_take(caller));
	else
		status_ask_refuse(caller, "%s", why.text);
}

/* ---- birth and death ---- */

struct worker_tap *worker_tap_open(struct event_base *base, struct callid_db *db,
				   struct capture *capture, struct why *why)
{
	struct worker_tap *taps = calloc(1, sizeof(*taps));
	if (!taps) {
		why_set(why, "taps: no memory");
		return NULL;
	}
	*taps = (struct worker_tap){.base = base, .db = db, .capture = capture};
	LIST_INIT(&taps->list);
	return taps;
}

void worker_tap_close(struct worker_tap *taps)
{
	assert(!taps || LIST_EMPTY(&taps->list));
	free(taps);
}

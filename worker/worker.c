/*
 * What the keeper says is noted by a callback and done by the main loop, which alone may run the
 * event base again while it waits for something.
 */
#include "worker/worker.h"

#include "acl/acl_ask.h"
#include "callid_db.h"
#include "control_relay.h"
#include "gre_relay.h"
#include "host/log.h"
#include "host/names.h"
#include "host/process.h"
#include "host/sandbox.h"
#include "host/user.h"
#include "keeper/link.h"
#include "worker/worker_capture.h"
#include "worker/worker_change.h"
#include "worker/worker_own.h"
#include "worker/worker_rooms.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How many callbacks may run before sockets are looked at again: a busy connection does not keep
 * others waiting. */
enum { CALLBACKS_A_TURN = 64 };

/* ---- what the keeper says ---- */

static void close_if_open(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int descriptor(const struct link_message *message, unsigned which)
{
	return which < message->fd_count ? message->fds[which] : -1;
}

static void on_new_log(const struct worker *worker, int fd)
{
	if (fd >= 0)
		log_replace(fd);
	if (worker->names)
		names_reload(worker->names);
	log_info("SIGHUP: %sresolver's configuration read anew", fd >= 0 ? "log reopened, " : "");
}

static void on_message(void *arg, const struct link_message *message)
{
	struct worker *worker = arg;
	switch (message->type) {
	case LINK_LISTENING:
	case LINK_FASTPATH:
		worker_wishes_answered(&worker->wishes, message);
		return;
	case LINK_GRANTED:
		worker_fastpath_granted(&worker->fastpath, message);
		return;
	case LINK_CHECKED:
		acl_ask_answered(worker->ask, message->number, (enum acl_answer)message->answer,
				 message->count[0], message->text);
		return;
	case LINK_CAPTURE:
		worker_capture_given(worker->captures, descriptor(message, 0), message->text);
		return;
	case LINK_LOG:
		on_new_log(worker, descriptor(message, 0));
		return;
	case LINK_CHANGE:
		close_if_open(&worker->change);
		close_if_open(&worker->change_log);
		worker->change = descriptor(message, 0);
		worker->change_log = descriptor(message, 1);
		break;
	case LINK_END:
		worker->end = true;
		break;
	case LINK_HAND_OVER:
		worker->hand_over = true;
		break;
	default:
		return;
	}
	event_base_loopbreak(worker->base);
}

static void on_keeper_gone(void *arg)
{
	struct worker *worker = arg;
	worker->alone = true;
	event_base_loopbreak(worker->base);
}

/* ---- birth, in order ---- */

static void ignore_signals(void)
{
	/* They are for the keeper, who may be sent them as one of a group. */
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGPIPE};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

static int open_base(struct worker *worker, struct why *why)
{
	struct event_config *config = event_config_new();
	if (config) {
		/* Edge-triggered, as input that is only peeked at stays readable; early close, to
		 * tell a cut message from a slow one. */
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1 |
							  EV_FEATURE_EARLY_CLOSE);
		/* Fewer system calls: changes wait for the loop's next turn. A descriptor that is
		 * duplicated into another process must not be closed in the same turn as its event
		 * is deleted: the system would keep watching it, and nobody could take it out. */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK |
						  EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		event_config_set_max_dispatch_interval(config, NULL, CALLBACKS_A_TURN, 0);
		worker->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	return worker->base
		   ? 0
		   : why_set(why, "event loop: the system offers none that is edge-triggered");
}

static int open_link(struct worker *worker, struct why *why)
{
	worker->wishes.base = worker->base;
	worker->wishes.link = link_open(worker->base, worker->letter->link, false, on_message,
					on_keeper_gone, worker);
	return worker->wishes.link ? 0 : why_set(why, "link to the keeper: no memory");
}

static int give_up_rights(struct worker *worker, struct why *why)
{
	if (user_become(&worker->letter->user, why) != 0)
		return -1;
	return process_follow_parent((pid_t)worker->letter->keeper, why);
}

/* Before any thread starts, as Landlock holds only for the one that asks and those it starts. Which
 * walls there are not, see host/sandbox.h; -1 with a sentence. */
static int lock_in(const struct worker *worker, struct why *why)
{
	const struct sandbox_config config = {.report_fd = worker->letter->log};
	return sandbox_enter(&config, why);
}

static void tell_lacks(int lacks)
{
	if (lacks > 0)
		log_info("this kernel has no %s%s%s: the worker does without",
			 lacks & SANDBOX_LACKS_FILES ? "Landlock" : "",
			 lacks == (SANDBOX_LACKS_FILES | SANDBOX_LACKS_CALLS) ? " and no " : "",
			 lacks & SANDBOX_LACKS_CALLS ? "seccomp filter" : "");
}

static int open_all(struct worker *worker, struct why *why)
{
	int lacks;
	worker->configuration = worker_change_read(worker->letter, why);
	if (!worker->configuration)
		return -1;
	if (give_up_rights(worker, why) != 0 || (lacks = lock_in(worker, why)) < 0 ||
	    worker_change_open_log(worker_options(worker), worker->letter->log, why) != 0 ||
	    worker_legs_open(&worker->legs, worker->letter, &worker->wishes, why) != 0 ||
	    worker_listen_open(&worker->listen, worker->letter, &worker->wishes, why) != 0)
		return -1;
	tell_lacks(lacks);
	return worker_rooms_open(worker, why);
}

static void tell_ready(struct worker *worker)
{
	struct callid_totals totals;
	struct link_message message = {.type = LINK_READY};

	callid_db_totals(worker->db, &totals);
	message.number = (uint32_t)control_relay_pairs(worker->control);
	message.count[0] = (uint32_t)control_relay_connections(worker->control);
	message.count[1] = (uint32_t)totals.calls;
	worker_wishes_say(&worker->wishes, &message);
}

/* ---- death, in order; any half-born state ---- */

static void close_all(struct worker *worker)
{
	worker_rooms_close(worker);
	link_close(worker->wishes.link);
	close_if_open(&worker->change);
	close_if_open(&worker->change_log);
	if (worker->base)
		event_base_free(worker->base);
	libevent_global_shutdown();
	worker_listen_free(&worker->listen);
	worker_legs_free(&worker->legs);
	log_close();
	worker_change_free(worker->configuration);
}

static void on_all_closed(void *arg)
{
	struct worker *worker = arg;
	worker->closed = true;
	event_base_loopbreak(worker->base);
}

static void begin_end(struct worker *worker)
{
	worker->ending = true;
	control_relay_shut_down(worker->control, on_all_closed, worker);
}

/* Packets under way are sent; all else is in the kept memory or in the sockets. */
static void stop_for_successor(struct worker *worker)
{
	log_close(); /* first: it may wait for its reader, and packets should not */
	gre_relay_close(worker->gre);
	worker_capture_free(worker->captures);
}

static int fail(struct worker *worker, const struct why *why)
{
	struct link_message message = {.type = LINK_FAILED};
	snprintf(message.text, sizeof(message.text), "%s", why->text);
	if (worker->wishes.link)
		worker_wishes_say(&worker->wishes, &message);
	close_all(worker);
	return EXIT_FAILURE;
}

/* ---- life ---- */

static bool was_told_to_stop(const struct worker *worker)
{
	return worker->closed || worker->hand_over || worker->alone;
}

static void relay(struct worker *worker)
{
	while (!was_told_to_stop(worker)) {
		/* First, as a change runs the event base, and may hear of the end or of another
		 * change meanwhile. */
		while (worker->change >= 0 && !worker->end && !was_told_to_stop(worker))
			worker_change_use(worker);
		if (worker->end && !worker->ending && !was_told_to_stop(worker))
			begin_end(worker);
		if (!was_told_to_stop(worker) && event_base_dispatch(worker->base) != 0)
			abort(); /* libevent has lost its way: the keeper starts another */
	}
}

/* Standard descriptors may be a terminal that somebody wants back. */
static void leave_terminal(int null)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
}

int worker_run(const struct letter *letter)
{
	static struct worker worker = {.change = -1, .change_log = -1};
	struct why why;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	worker.letter = letter;
	ignore_signals();
	if (open_base(&worker, &why) != 0 || open_link(&worker, &why) != 0 ||
	    open_all(&worker, &why) != 0) {
		bool told = worker.end || worker.hand_over;
		if (!told)
			return fail(&worker, &why);
		close_all(&worker);
		return EXIT_SUCCESS;
	}
	tell_ready(&worker);
	if (!worker_options(&worker)->foreground)
		leave_terminal(null);
	close_if_open(&null);
	relay(&worker);
	if (worker.hand_over) {
		stop_for_successor(&worker);
		return EXIT_SUCCESS;
	}
	if (worker.alone)
		return EXIT_FAILURE;
	worker_rooms_tell_totals(&worker);
	close_all(&worker);
	return EXIT_SUCCESS;
}

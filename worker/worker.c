/*
 * What the keeper says is noted by a callback and done by the main loop, which alone may run the
 * event base again while it waits for something.
 */
#include "worker/worker.h"

#include "acl_ask.h"
#include "control_relay.h"
#include "fastpath/fastpath.h"
#include "gre_relay.h"
#include "host/kept.h"
#include "host/log.h"
#include "host/monotonic.h"
#include "host/names.h"
#include "host/process.h"
#include "host/sandbox.h"
#include "host/user.h"
#include "keeper/configuration.h"
#include "keeper/link.h"
#include "status/snapshot.h"
#include "status/status_http.h"
#include "worker/worker_ask.h"
#include "worker/worker_capture.h"
#include "worker/worker_drops.h"
#include "worker/worker_status.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many callbacks may run before sockets are looked at again: a busy connection does not keep
 * others waiting. */
enum { CALLBACKS_A_TURN = 64 };

/* A listening socket, the keeper's. */
struct listening {
	uint32_t addr;
	uint16_t port;
	int fd;
	char name[PAIR_TEXT_MAX]; /* "": not known */
};

struct page {
	struct pair_endpoint at;  /* port 0: there is none */
	struct status_http *http; /* NULL: not open yet */
};

struct worker {
	const struct letter *letter;
	struct configuration *configuration; /* others have pointers into it; NULL: not read yet */
	struct event_base *base;
	struct link *link;
	struct kept *kept;
	struct names *names;
	struct callid_db *db;
	struct worker_capture *captures;
	struct gre_relay *gre;
	struct acl_ask *ask;
	struct control_relay *control;
	struct fastpath *fastpath;
	struct worker_ask *callers;  /* at the control socket */
	struct page page, next_page; /* the next one: while the configuration is changed */
	bool page_goes;		     /* likewise: there is another one in it, or none */
	struct listening *listening;
	size_t listening_count;
	struct link_message answer; /* to a wish that is waited for */
	bool answered;
	struct worker_past *past; /* in the kept memory */
	struct worker_drops drops;
	struct event *drops_tick;
	bool *asked; /* by the letter's legs: the relay goes on with them */

	int lacks; /* of the sandbox's walls */

	/* what the keeper has said */
	int change; /* a letter's descriptor, or -1 */
	int change_log;
	bool changing; /* the next configuration is half in use */
	bool end, hand_over, alone;
	bool ending, closed;
};

static const struct options *options_of(const struct worker *worker)
{
	return &worker->configuration->options;
}

static void say(struct worker *worker, const struct link_message *message)
{
	link_send(worker->link, message);
}

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

static void on_granted(struct worker *worker, const struct link_message *message)
{
	const struct fastpath_request request = {
	    .room = message->count[0], .at = message->count[1], .addr = message->addr};
	int fd = descriptor(message, 0);
	fastpath_granted(worker->fastpath, &request, fd);
	close_if_open(&fd);
}

/* Without memory at once, else with the turn. */
static void stop_waiting(struct worker *worker)
{
	if (event_base_loopexit(worker->base, NULL) != 0)
		event_base_loopbreak(worker->base);
}

static void on_message(void *arg, const struct link_message *message)
{
	struct worker *worker = arg;
	switch (message->type) {
	case LINK_LISTENING:
	case LINK_FASTPATH:
		worker->answer = *message;
		worker->answered = true;
		stop_waiting(worker);
		return;
	case LINK_GRANTED:
		on_granted(worker, message);
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

/* ---- what we ask of the keeper ---- */

static void ask_command(void *arg, uint32_t number, const struct acl_ask_client *client)
{
	struct link_message message = {
	    .type = LINK_CHECK,
	    .number = number,
	    .check =
		{
		    .connection = client->connection,
		    .pair = client->pair,
		    .client_addr = client->addr,
		    .client_port = client->port,
		    .listen_addr = client->listen_addr,
		    .listen_port = client->listen_port,
		},
	};
	say(arg, &message);
}

static void cancel_command(void *arg, uint32_t number)
{
	struct link_message message = {.type = LINK_CANCEL, .number = number};
	say(arg, &message);
}

static int keep_legs(void *arg, uint32_t index, const int fds[2])
{
	struct worker *worker = arg;
	struct link_message message = {
	    .type = LINK_KEEP, .number = index, .fds = {fds[0], fds[1]}, .fd_count = 2};
	return link_send(worker->link, &message);
}

static void release_legs(void *arg, uint32_t index)
{
	struct link_message message = {.type = LINK_RELEASE, .number = index};
	say(arg, &message);
}

static struct listening *find_listening(const struct worker *worker, uint32_t addr, uint16_t port)
{
	for (size_t i = 0; i < worker->listening_count; i++) {
		struct listening *listening = &worker->listening[i];
		if (listening->addr == addr && listening->port == port)
			return listening;
	}
	return NULL;
}

static void name_listening(struct listening *listening, const char *name)
{
	snprintf(listening->name, sizeof(listening->name), "%s", name ? name : "");
}

static int add_listening(struct worker *worker, uint32_t addr, uint16_t port, int fd,
			 const char *name)
{
	struct listening *listening =
	    reallocarray(worker->listening, worker->listening_count + 1, sizeof(*listening));
	if (!listening)
		return -1;
	worker->listening = listening;
	listening += worker->listening_count++;
	*listening = (struct listening){.addr = addr, .port = port, .fd = fd};
	name_listening(listening, name);
	return 0;
}

static bool address_of_name(void *arg, const char *name, uint32_t *addr)
{
	const struct worker *worker = arg;
	for (size_t i = 0; i < worker->listening_count; i++) {
		if (strcmp(worker->listening[i].name, name) != 0)
			continue;
		*addr = worker->listening[i].addr;
		return true;
	}
	return false;
}

/* Runs the event base until the answer is there. */
static int ask_and_wait(struct worker *worker, const struct link_message *wish, struct why *why)
{
	worker->answered = false;
	say(worker, wish);
	while (!worker->answered) {
		if (event_base_dispatch(worker->base) != 0 ||
		    (!worker->answered && event_base_got_break(worker->base)))
			return why_set(why, "ended while it waited for the keeper");
	}
	return 0;
}

static int get_socket(struct worker *worker, uint32_t addr, uint16_t port, const char *name,
		      struct why *why)
{
	struct link_message wish = {.type = LINK_LISTEN, .addr = addr, .port = port};
	struct listening *there = find_listening(worker, addr, port);
	if (there && strcmp(there->name, name) == 0)
		return there->fd;
	snprintf(wish.text, sizeof(wish.text), "%s", name);
	if (ask_and_wait(worker, &wish, why) != 0)
		return -1;
	int fd = descriptor(&worker->answer, 0);
	if (fd < 0)
		return why_set(why, "%s", worker->answer.text);
	if (there) { /* the keeper had to hear of its new name only */
		name_listening(there, name);
		close(fd);
		return there->fd;
	}
	if (add_listening(worker, addr, port, fd, name) == 0)
		return fd;
	close(fd);
	return why_set(why, "listen on %s: no memory", name);
}

static bool is_at(const struct page *page, uint32_t addr, uint16_t port)
{
	return page->at.port != 0 && page->at.addr == addr && page->at.port == port;
}

/* For a pair. */
static int open_socket(void *arg, uint32_t addr, uint16_t port, const char *name, struct why *why)
{
	struct worker *worker = arg;
	if (is_at(worker->page_goes ? &worker->next_page : &worker->page, addr, port))
		return why_set(
		    why,
		    "listen on %.300s: the status page is there so far: take it out first, "
		    "then reload again",
		    name);
	return get_socket(worker, addr, port, name, why);
}

static void unlisten(struct worker *worker, struct listening *listening)
{
	struct link_message message = {
	    .type = LINK_UNLISTEN, .addr = listening->addr, .port = listening->port};
	close(listening->fd);
	*listening = worker->listening[--worker->listening_count];
	say(worker, &message);
}

/* Sockets that nobody listens on any more. */
static void drop_idle_sockets(struct worker *worker)
{
	/* The event base takes a descriptor out in its next turn only, and while the keeper has a
	 * duplicate nobody else does. */
	if (event_base_loopexit(worker->base, NULL) != 0)
		return; /* no memory: they stay until the next change */
	event_base_dispatch(worker->base);
	for (size_t i = worker->listening_count; i-- > 0;) {
		struct listening *listening = &worker->listening[i];
		if (!control_relay_listens(worker->control, listening->addr, listening->port) &&
		    !is_at(&worker->page, listening->addr, listening->port))
			unlisten(worker, listening);
	}
}

/* ---- what an earlier worker left ---- */

static int compare_legs(const void *index, const void *legs)
{
	uint32_t a = *(const uint32_t *)index, b = ((const struct letter_legs *)legs)->index;
	return (a > b) - (a < b);
}

/* They are in the order of their indexes. */
static bool legs_of_index(void *arg, uint32_t index, int fds[2])
{
	struct worker *worker = arg;
	const struct letter *letter = worker->letter;
	const struct letter_legs *legs =
	    bsearch(&index, letter->legs, letter->legs_count, sizeof(*letter->legs), compare_legs);
	if (!legs)
		return false;
	worker->asked[legs - letter->legs] = true;
	for (int side = 0; side < 2; side++) {
		fds[side] = legs->fds[side];
		fcntl(fds[side], F_SETFD, FD_CLOEXEC);
	}
	return true;
}

static void close_unasked(struct worker *worker)
{
	for (size_t i = 0; i < worker->letter->legs_count; i++) {
		const struct letter_legs *legs = &worker->letter->legs[i];
		if (worker->asked[i])
			continue;
		close(legs->fds[0]);
		close(legs->fds[1]);
		release_legs(worker, legs->index);
	}
}

/* ---- the configuration ---- */

static void free_configuration(struct configuration *configuration)
{
	if (configuration)
		configuration_clear(configuration);
	free(configuration);
}

/* NULL with a sentence. */
static struct configuration *read_letter(const struct letter *letter, struct why *why)
{
	struct configuration *configuration = calloc(1, sizeof(*configuration));
	if (!configuration) {
		why_set(why, "configuration: no memory");
		return NULL;
	}
	if (configuration_receive(configuration, letter, why) == OPTIONS_RUN)
		return configuration;
	free_configuration(configuration);
	return NULL;
}

/* ---- birth, in order ---- */

static void ignore_signals(void)
{
	/* They are for the keeper, who may be sent them as one of a group. */
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGPIPE};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

static int open_log(const struct options *options, int file, struct why *why)
{
	struct log_config config = {
	    .target = options->log_file	    ? LOG_TO_DESCRIPTOR
		      : options->foreground ? LOG_TO_STDOUT
					    : LOG_TO_SYSLOG,
	    .fd = file,
	    .level = options->log_level,
	    .name = "pptpproxy",
	};
	return log_open(&config, why);
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
	worker->link = link_open(worker->base, worker->letter->link, false, on_message,
				 on_keeper_gone, worker);
	return worker->link ? 0 : why_set(why, "link to the keeper: no memory");
}

static int give_up_rights(struct worker *worker, struct why *why)
{
	if (user_become(&worker->letter->user, why) != 0)
		return -1;
	return process_follow_parent((pid_t)worker->letter->keeper, why);
}

/* Before any thread starts, as Landlock holds only for the one that asks and those it starts. */
static int lock_in(struct worker *worker, struct why *why)
{
	const struct sandbox_config config = {.report_fd = worker->letter->log};
	worker->lacks = sandbox_enter(&config, why);
	return worker->lacks < 0 ? -1 : 0;
}

static void tell_lacks(int lacks)
{
	if (lacks > 0)
		log_info("this kernel has no %s%s%s: the worker does without",
			 lacks & SANDBOX_LACKS_FILES ? "Landlock" : "",
			 lacks == (SANDBOX_LACKS_FILES | SANDBOX_LACKS_CALLS) ? " and no " : "",
			 lacks & SANDBOX_LACKS_CALLS ? "seccomp filter" : "");
}

static void ask_for_capture(void *arg)
{
	struct link_message message = {.type = LINK_CAPTURE};
	say(arg, &message);
}

static int open_captures(struct worker *worker, struct why *why)
{
	const struct worker_capture_config config = {
	    .base = worker->base, .db = worker->db, .ask = ask_for_capture, .arg = worker};
	worker->captures = worker_capture_new(&config, why);
	return worker->captures ? 0 : -1;
}

static void use_capture(struct worker *worker)
{
	const struct options *options = options_of(worker);
	const struct worker_capture_file file = {
	    .path = options->capture,
	    .limit_mib = options->capture_limit_mib,
	    .fastpath = options->fastpath != FASTPATH_OFF,
	};
	worker_capture_use(worker->captures, &file);
}

static int open_gre(struct worker *worker, struct why *why)
{
	const struct gre_socket sockets = {
	    .receive_fd = worker->letter->raw_receive,
	    .send_fd = worker->letter->raw_send,
	    .receive_buffer = gre_socket_receive_buffer(worker->letter->raw_receive),
	};
	const struct gre_relay_config config = {
	    .db = worker->db,
	    .kept = worker->kept,
	    .capture = worker_capture_of(worker->captures),
	    .sockets = &sockets,
	};
	worker->gre = gre_relay_open(&config, why);
	if (!worker->gre)
		return -1;
	gre_relay_set_early_max(worker->gre, options_of(worker)->max_early_packets);
	return 0;
}

static int open_ask(struct worker *worker, struct why *why)
{
	const struct acl_ask_config config = {
	    .ask = ask_command, .cancel = cancel_command, .arg = worker};
	worker->ask = acl_ask_new(&config);
	return worker->ask ? 0 : why_set(why, "access commands: no memory");
}

/* ---- who asks ---- */

static void use_sources(const struct worker *worker, struct worker_status_sources *from)
{
	*from = (struct worker_status_sources){
	    .options = options_of(worker),
	    .keeper = (uint32_t)worker->letter->keeper,
	    .past = worker->past,
	    .control = worker->control,
	    .db = worker->db,
	    .gre = worker->gre,
	    .fastpath = worker->fastpath,
	    .capture = worker_capture_of(worker->captures),
	};
}

static int look(void *arg, struct snapshot *snapshot, struct why *why)
{
	const struct worker *worker = arg;
	struct worker_status_sources from;
	if (worker->changing)
		return why_set(why, "a new configuration is being taken up: ask again");
	use_sources(worker, &from);
	return worker_status_fill(snapshot, &from, why);
}

/* Last, as there is something to tell of then; so long callers wait in the socket's queue. */
static int open_callers(struct worker *worker, struct why *why)
{
	const struct worker_ask_config config = {
	    .base = worker->base,
	    .fd = worker->letter->instance,
	    .control = worker->control,
	    .taps = worker_capture_taps(worker->captures),
	    .look = look,
	    .arg = worker,
	};
	worker->callers = worker_ask_open(&config, why);
	return worker->callers ? 0 : -1;
}

static int open_page(struct worker *worker, struct page *page, const struct pair_endpoint *at,
		     struct why *why)
{
	struct status_http_config config = {.base = worker->base, .look = look, .arg = worker};
	char text[PAIR_TEXT_MAX];
	if (at->port == 0)
		return 0;
	pair_endpoint_text(at, text);
	if (control_relay_listens(worker->control, at->addr, at->port))
		return why_set(
		    why,
		    "status page on %.300s: a pair listens there so far: take it out first, "
		    "then reload again",
		    text);
	page->at = *at;
	config.fd = get_socket(worker, at->addr, at->port, text, why);
	if (config.fd < 0)
		return -1;
	page->http = status_http_open(&config, why);
	return page->http ? 0 : -1;
}

static void close_page(struct page *page)
{
	status_http_close(page->http);
	*page = (struct page){.http = NULL};
}

static void configure_control(struct worker *worker, const struct options *options,
			      struct control_relay_config *config)
{
	*config = (struct control_relay_config){
	    .base = worker->base,
	    .db = worker->db,
	    .names = worker->names,
	    .pairs = options->pairs,
	    .pair_count = options->pair_count,
	    .acl = &options->acl,
	    .commands = options->command_count > 0 ? worker->ask : NULL,
	    .capture = worker_capture_of(worker->captures),
	    .command_words = options->commands,
	    .command_count = options->command_count,
	    .acl_any = options->acl_any,
	    .acl_parallel = options->acl_parallel,
	    .connect_timeout_s = options->connect_timeout_s,
	    .handshake_timeout_s = options->handshake_timeout_s,
	    .keepalive_s = options->keepalive_s,
	    .descriptors = worker->letter->descriptors,
	    .limits =
		{
		    .connections = options->max_connections,
		    .per_source = options->max_per_source,
		    .rate_per_source = options->max_rate_per_source,
		    .calls = options->max_calls,
		},
	    .open_socket = open_socket,
	    .open_socket_arg = worker,
	    .keeping =
		{
		    .kept = worker->kept,
		    .keep = keep_legs,
		    .release = release_legs,
		    .fds = legs_of_index,
		    .arg = worker,
		},
	};
}

static int open_control(struct worker *worker, struct why *why)
{
	struct control_relay_config config;
	configure_control(worker, options_of(worker), &config);
	if (worker->letter->listener_count > 0)
		config.known = address_of_name;
	worker->control = control_relay_open(&config, why);
	return worker->control ? 0 : -1;
}

/* ---- fast path ---- */

static void tell_address(void *arg, uint32_t addr, bool ours)
{
	struct link_message message = {.type = LINK_ADDRESS, .number = ours, .addr = addr};
	say(arg, &message);
}

static void want_room(void *arg, const struct fastpath_request *request)
{
	struct worker *worker = arg;
	struct link_message message = {
	    .type = LINK_WANT,
	    .count = {request->room, request->at},
	    .addr = request->addr,
	};
	if (link_send(worker->link, &message) != 0)
		fastpath_granted(worker->fastpath, request, -1);
}

static int read_given(int fd, struct fastpath_given *given, struct why *why)
{
	ssize_t got = pread(fd, given, sizeof(*given), 0);
	return got == sizeof(*given) ? 0 : why_set(why, "fast path: it cannot be read");
}

/* The first worker has the keeper open it, as only now are the addresses known. */
static int ask_for_fastpath(struct worker *worker, struct fastpath_given *given, bool *is_there,
			    struct why *why)
{
	const struct link_message wish = {.type = LINK_FASTPATH};
	control_relay_addresses(worker->control, tell_address, worker);
	if (ask_and_wait(worker, &wish, why) != 0)
		return -1;
	*is_there = worker->answer.fd_count == 3;
	if (!*is_there)
		return 0;
	int result = read_given(worker->answer.fds[0], given, why);
	close(worker->answer.fds[0]);
	given->fds[FASTPATH_GIVEN_WANTED] = worker->answer.fds[1];
	given->fds[FASTPATH_GIVEN_WAKE] = worker->answer.fds[2];
	return result;
}

static void close_given(const struct fastpath_given *given)
{
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++) {
		if (given->fds[i] >= 0)
			close(given->fds[i]);
	}
}

static int use_given(struct worker *worker, const struct fastpath_given *given, struct why *why)
{
	struct fastpath_config config = {
	    .db = worker->db,
	    .given = given,
	    .want = want_room,
	    .want_arg = worker,
	    .carried = kept_section(worker->kept, KEPT_FASTPATH, sizeof(uint64_t), 1),
	};
	if (!config.carried)
		return why_set(why, "fast path: %s", strerror(errno));
	if (fastpath_open(&worker->fastpath, &config, why) != 0)
		return -1;
	fastpath_restore(worker->fastpath);
	return 0;
}

static int open_fastpath(struct worker *worker, struct why *why)
{
	const struct options *options = options_of(worker);
	struct fastpath_given given;
	bool is_there = worker->letter->given >= 0;
	int result;

	if (options->fastpath == FASTPATH_OFF)
		return 0;
	if (options->log_level == LOG_LEVEL_DUMP) {
		log_info("no fast path: with -e all packets are to be seen");
		return 0;
	}
	if (is_there)
		result = read_given(worker->letter->given, &given, why);
	else
		result = ask_for_fastpath(worker, &given, &is_there, why);
	if (result != 0 || !is_there)
		return result;
	result = use_given(worker, &given, why);
	close_given(&given);
	return result;
}

static int remember_letter(struct worker *worker, struct why *why)
{
	const struct letter *letter = worker->letter;
	worker->asked = calloc(letter->legs_count + 1, sizeof(*worker->asked));
	if (!worker->asked)
		return why_set(why, "worker: no memory");
	for (size_t i = 0; i < letter->listener_count; i++) {
		const struct letter_listener *listener = &letter->listeners[i];
		if (add_listening(worker, listener->addr, listener->port, listener->fd,
				  listener->name) != 0)
			return why_set(why, "worker: no memory");
	}
	return 0;
}

/* ---- packets that are dropped ---- */

static void on_drops_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	struct gre_totals totals;
	(void)fd, (void)what;
	gre_relay_totals(worker->gre, &totals);
	worker_drops_look(&worker->drops, totals.drops, monotonic_ms());
}

static int watch_drops(struct worker *worker, struct why *why)
{
	static const struct timeval second = {.tv_sec = 1};
	struct gre_totals totals;
	gre_relay_totals(worker->gre, &totals);
	worker_drops_begin(&worker->drops, totals.drops);
	worker->drops_tick = event_new(worker->base, -1, EV_PERSIST, on_drops_tick, worker);
	if (!worker->drops_tick || event_add(worker->drops_tick, &second) != 0)
		return why_set(why, "event loop: %s", strerror(errno));
	return 0;
}

static int open_all(struct worker *worker, struct why *why)
{
	worker->configuration = read_letter(worker->letter, why);
	if (!worker->configuration)
		return -1;
	if (give_up_rights(worker, why) != 0 || lock_in(worker, why) != 0 ||
	    open_log(options_of(worker), worker->letter->log, why) != 0 ||
	    remember_letter(worker, why) != 0)
		return -1;
	tell_lacks(worker->lacks);
	worker->kept = kept_open(worker->letter->kept, why);
	worker->names = names_new(worker->base, why);
	if (!worker->kept || !worker->names)
		return -1;
	worker->past = worker_status_begin(worker->kept);
	if (!worker->past)
		return why_set(why, "kept memory: %s", strerror(errno));
	worker->db = callid_db_new(worker->kept);
	if (!worker->db)
		return why_set(why, "table of calls: %s", strerror(errno));
	if (open_captures(worker, why) != 0)
		return -1;
	use_capture(worker);
	if (open_gre(worker, why) != 0 || open_ask(worker, why) != 0)
		return -1;
	/* First of all, as packets of calls that go on may be waiting. */
	if (watch_drops(worker, why) != 0 || gre_relay_start(worker->gre, why) != 0 ||
	    open_control(worker, why) != 0 || open_fastpath(worker, why) != 0)
		return -1;
	close_unasked(worker);
	if (open_page(worker, &worker->page, &options_of(worker)->stats, why) != 0)
		return -1;
	drop_idle_sockets(worker);
	return open_callers(worker, why);
}

static void tell_ready(struct worker *worker)
{
	struct callid_totals totals;
	struct link_message message = {.type = LINK_READY};

	callid_db_totals(worker->db, &totals);
	message.number = (uint32_t)control_relay_pairs(worker->control);
	message.count[0] = (uint32_t)control_relay_connections(worker->control);
	message.count[1] = (uint32_t)totals.calls;
	say(worker, &message);
}

/* ---- a new configuration ---- */

/* Closing a log may take a second, where nobody reads it. */
static void use_log(struct worker *worker, const struct options *was)
{
	const struct options *is = options_of(worker);
	const char *old_file = was->log_file ? was->log_file : "",
		   *file = is->log_file ? is->log_file : "";
	int fd = worker->change_log;
	struct why why;

	if (strcmp(old_file, file) == 0 && was->log_level == is->log_level)
		return;
	worker->change_log = -1;
	if (*old_file && *file && was->log_level == is->log_level) {
		log_replace(fd);
		return;
	}
	log_close();
	if (open_log(is, fd, &why) != 0)
		log_error("%s", why.text);
}

static void use_next_page(struct worker *worker)
{
	close_page(&worker->page);
	worker->page = worker->next_page;
	worker->next_page = (struct page){.http = NULL};
}

/* What is in use then, or NULL with a sentence. */
static struct configuration *use_letter(struct worker *worker, int fd, struct why *why)
{
	struct control_relay_config config;
	struct letter letter;
	struct configuration *next =
	    letter_read(fd, &letter, why) == 0 ? read_letter(&letter, why) : NULL;
	letter_clear(&letter);
	if (!next)
		return NULL;
	const struct pair_endpoint *stats = &next->options.stats;
	worker->page_goes =
	    stats->port != worker->page.at.port || stats->addr != worker->page.at.addr;
	configure_control(worker, &next->options, &config);
	if ((!worker->page_goes || open_page(worker, &worker->next_page, stats, why) == 0) &&
	    control_relay_change(worker->control, &config, why) == 0) {
		gre_relay_set_early_max(worker->gre, next->options.max_early_packets);
		if (worker->page_goes)
			use_next_page(worker);
		worker->page_goes = false;
		return next;
	}
	close_page(&worker->next_page);
	worker->page_goes = false;
	free_configuration(next);
	return NULL;
}

static void change(struct worker *worker)
{
	struct link_message message = {.type = LINK_CHANGED};
	struct configuration *was = worker->configuration, *next;
	struct why why;
	int fd = worker->change;

	worker->change = -1;
	worker->changing = true;
	next = use_letter(worker, fd, &why);
	worker->changing = false;
	if (next)
		message.number = (uint32_t)control_relay_pairs(worker->control);
	else
		snprintf(message.text, sizeof(message.text), "%s", why.text);
	/* At once: what is asked of the keeper from now on is asked by the new rules. */
	say(worker, &message);
	if (next) {
		worker->configuration = next;
		use_log(worker, &was->options);
		use_capture(worker);
		free_configuration(was);
	}
	drop_idle_sockets(worker); /* the old configuration's, or those of one that was refused */
	close_if_open(&worker->change_log);
}

/* ---- death, in order; any half-born state ---- */

static const char *packet_name(unsigned reason)
{
	return reason_packet_name((enum reason_packet)reason);
}

static const char *message_name(unsigned reason)
{
	return reason_message_name((enum reason_message)reason);
}

static const char *refusal_name(unsigned reason)
{
	return reason_refusal_name((enum reason_refusal)reason);
}

static const char *end_name(unsigned reason)
{
	return reason_end_name((enum reason_end)reason);
}

static void tell_counts(const char *what, const uint64_t *counts, size_t count,
			const char *(*name)(unsigned))
{
	for (unsigned i = 0; i < count; i++) {
		if (counts[i] > 0)
			log_info("%s %llu: %s", what, (unsigned long long)counts[i], name(i));
	}
}

static void tell_totals(const struct worker *worker)
{
	struct worker_status_sources from;
	struct snapshot_totals totals;

	use_sources(worker, &from);
	worker_status_totals(&totals, &from);
	log_info("table of calls: %llu calls, %llu call IDs in quarantine",
		 (unsigned long long)totals.calls, (unsigned long long)totals.ids_resting);
	log_info("connections: %llu accepted; calls: %llu opened, %llu ended; control messages: "
		 "%llu passed on",
		 (unsigned long long)totals.accepted, (unsigned long long)totals.calls_opened,
		 (unsigned long long)totals.calls_ended, (unsigned long long)totals.messages);
	tell_counts("connections refused:", totals.refusals, REASON_REFUSAL_COUNT, refusal_name);
	tell_counts("connections closed:", totals.ends, REASON_END_COUNT, end_name);
	tell_counts("control messages dropped:", totals.message_drops, REASON_MESSAGE_COUNT,
		    message_name);
	log_info("GRE packets: %llu received, %llu sent",
		 (unsigned long long)totals.packets_received,
		 (unsigned long long)totals.packets_sent);
	if (worker->fastpath)
		log_info("GRE packets carried by the fast path: %llu",
			 (unsigned long long)totals.packets_carried);
	tell_counts("GRE packets dropped:", totals.packet_drops, REASON_PACKET_COUNT, packet_name);
}

static void close_all(struct worker *worker)
{
	worker_ask_close(worker->callers);
	close_page(&worker->page);
	close_page(&worker->next_page);
	control_relay_close(worker->control);
	acl_ask_free(worker->ask);
	if (worker->drops_tick)
		event_free(worker->drops_tick);
	gre_relay_close(worker->gre);
	worker_capture_free(worker->captures);
	fastpath_close(worker->fastpath);
	names_free(worker->names);
	callid_db_free(worker->db);
	kept_close(worker->kept);
	link_close(worker->link);
	close_if_open(&worker->change);
	close_if_open(&worker->change_log);
	if (worker->base)
		event_base_free(worker->base);
	libevent_global_shutdown();
	free(worker->listening);
	free(worker->asked);
	log_close();
	free_configuration(worker->configuration);
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
	if (worker->link)
		say(worker, &message);
	close_all(worker);
	return EXIT_FAILURE;
}

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
			change(worker);
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
	if (!options_of(&worker)->foreground)
		leave_terminal(null);
	close_if_open(&null);
	relay(&worker);
	if (worker.hand_over) {
		stop_for_successor(&worker);
		return EXIT_SUCCESS;
	}
	if (worker.alone)
		return EXIT_FAILURE;
	tell_totals(&worker);
	close_all(&worker);
	return EXIT_SUCCESS;
}

#include "worker/worker_rooms.h"

#include "acl/acl_ask.h"
#include "gre_relay.h"
#include "host/kept.h"
#include "host/log.h"
#include "host/monotonic.h"
#include "host/names.h"
#include "status/snapshot.h"
#include "worker/worker_ask.h"
#include "worker/worker_capture.h"
#include "worker/worker_own.h"
#include "worker/worker_status.h"
#include "worker/worker_totals.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

/* ---- packets ---- */

static int open_captures(struct worker *worker, struct why *why)
{
	const struct worker_capture_config config = {.base = worker->base,
						     .db = worker->db,
						     .ask = worker_wishes_capture,
						     .arg = &worker->wishes};
	worker->captures = worker_capture_new(&config, why);
	return worker->captures ? 0 : -1;
}

void worker_rooms_use_capture(struct worker *worker)
{
	const struct options *options = worker_options(worker);
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
	gre_relay_set_early_max(worker->gre, worker_options(worker)->max_early_packets);
	return 0;
}

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

/* ---- control connections ---- */

static int open_ask(struct worker *worker, struct why *why)
{
	const struct acl_ask_config config = {.ask = worker_wishes_command,
					      .cancel = worker_wishes_cancel_command,
					      .arg = &worker->wishes};
	worker->ask = acl_ask_new(&config);
	return worker->ask ? 0 : why_set(why, "access commands: no memory");
}

/* For a pair. */
static int open_socket(void *arg, uint32_t addr, uint16_t port, const char *name, struct why *why)
{
	struct worker *worker = arg;
	if (worker_page_will_be_at(&worker->page, addr, port))
		return why_set(
		    why,
		    "listen on %.300s: the status page is there so far: take it out first, "
		    "then reload again",
		    name);
	return worker_listen_get(&worker->listen, addr, port, name, why);
}

static bool address_of_name(void *arg, const char *name, uint32_t *addr)
{
	const struct worker *worker = arg;
	return worker_listen_address(&worker->listen, name, addr);
}

void worker_rooms_configure_control(struct worker *worker, const struct options *options,
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
		    .keep = worker_legs_keep,
		    .release = worker_legs_release,
		    .fds = worker_legs_find,
		    .arg = &worker->legs,
		},
	};
}

static int open_control(struct worker *worker, struct why *why)
{
	struct control_relay_config config;
	worker_rooms_configure_control(worker, worker_options(worker), &config);
	if (worker->letter->listener_count > 0)
		config.known = address_of_name;
	worker->control = control_relay_open(&config, why);
	return worker->control ? 0 : -1;
}

static bool is_used(void *arg, uint32_t addr, uint16_t port)
{
	const struct worker *worker = arg;
	return control_relay_listens(worker->control, addr, port) ||
	       worker_page_is_at(&worker->page, addr, port);
}

void worker_rooms_drop_sockets(struct worker *worker)
{
	worker_listen_drop(&worker->listen, is_used, worker);
}

/* ---- who asks ---- */

static void use_sources(const struct worker *worker, struct worker_status_sources *from)
{
	*from = (struct worker_status_sources){
	    .options = worker_options(worker),
	    .keeper = (uint32_t)worker->letter->keeper,
	    .past = worker->past,
	    .control = worker->control,
	    .db = worker->db,
	    .gre = worker->gre,
	    .fastpath = worker->fastpath.fastpath,
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

static int open_page(struct worker *worker, struct why *why)
{
	const struct worker_page_config config = {
	    .base = worker->base,
	    .listen = &worker->listen,
	    .control = worker->control,
	    .look = look,
	    .arg = worker,
	};
	return worker_page_open(&worker->page, &config, &worker_options(worker)->stats, why);
}

void worker_rooms_tell_totals(const struct worker *worker)
{
	struct worker_status_sources from;
	struct snapshot_totals totals;

	use_sources(worker, &from);
	worker_status_totals(&totals, &from);
	worker_totals_tell(&totals, worker->fastpath.fastpath != NULL);
}

/* ---- all of them ---- */

static int open_fastpath(struct worker *worker, struct why *why)
{
	const struct worker_fastpath_config config = {
	    .options = worker_options(worker),
	    .given = worker->letter->given,
	    .wishes = &worker->wishes,
	    .control = worker->control,
	    .db = worker->db,
	    .kept = worker->kept,
	};
	return worker_fastpath_open(&worker->fastpath, &config, why);
}

int worker_rooms_open(struct worker *worker, struct why *why)
{
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
	worker_rooms_use_capture(worker);
	if (open_gre(worker, why) != 0 || open_ask(worker, why) != 0)
		return -1;
	/* First of all, as packets of calls that go on may be waiting. */
	if (watch_drops(worker, why) != 0 || gre_relay_start(worker->gre, why) != 0 ||
	    open_control(worker, why) != 0 || open_fastpath(worker, why) != 0)
		return -1;
	worker_legs_close_unasked(&worker->legs);
	if (open_page(worker, why) != 0)
		return -1;
	worker_rooms_drop_sockets(worker);
	return open_callers(worker, why);
}

void worker_rooms_close(struct worker *worker)
{
	worker_ask_close(worker->callers);
	worker_page_close(&worker->page);
	control_relay_close(worker->control);
	acl_ask_free(worker->ask);
	if (worker->drops_tick)
		event_free(worker->drops_tick);
	gre_relay_close(worker->gre);
	worker_capture_free(worker->captures);
	worker_fastpath_close(&worker->fastpath);
	names_free(worker->names);
	callid_db_free(worker->db);
	kept_close(worker->kept);
}

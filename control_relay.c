/*
 * Holds the connections together: how many there may be, what is checked once a second, and the
 * orderly end.
 */
#include "control_relay.h"

#include "control/control_conn.h"
#include "control/control_env.h"
#include "control/control_graves.h"
#include "control/control_listen.h"
#include "control/control_restore.h"
#include "control/control_rules.h"
#include "control/control_silence.h"
#include "control/control_sources.h"
#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	RETRY_S = 1,	       /* after the system had no descriptor left */
	FEW_CONNECTIONS = 100, /* a limit below it is worth a warning */
	TOLD_AGAIN_MS = 60000, /* that new connections wait */
	SHUTDOWN_S = 1,
	DESCRIPTORS_KEPT = 48, /* for log, sockets of our own, resolver */
};

struct control_relay {
	struct control_env env;
	struct control_listen *listen;
	size_t conn_room, conn_max; /* by the descriptors; and by --max-connections */
	struct control_limits limits;
	bool full, exhausted;  /* full: and nobody is half open */
	uint64_t waiting_told; /* when the log was told that new connections wait; 0: never */
	struct event tick, retry;
	struct control_silence *silence;
	struct control_counts own_counts; /* where nothing is kept */
	struct event shutdown;
	void (*done)(void *arg);
	void *done_arg;
};

/* ---- each second ---- */

static void on_call_opened(void *arg, callid_ref call)
{
	struct control_relay *relay = arg;
	control_silence_watch(relay->silence, call, monotonic_ms());
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct control_relay *relay = arg;
	uint64_t now = monotonic_ms();
	(void)fd;
	(void)what;
	callid_db_expire(relay->env.db, now);
	control_silence_look(relay->silence, now);
	control_sources_expire(relay->env.sources, now);
	log_limit_tell(&relay->env.limited, now);
}

/* ---- how many there may be ---- */

static void update_listeners(struct control_relay *relay)
{
	if (relay->listen && !relay->done)
		control_listen_pause(relay->listen, relay->full || relay->exhausted);
}

static void tell_waiting(struct control_relay *relay, const char *reason)
{
	uint64_t now = monotonic_ms();
	if (relay->waiting_told != 0 && now - relay->waiting_told < TOLD_AGAIN_MS)
		return;
	relay->waiting_told = now;
	log_warning("new connections wait, at %zu: %s", relay->env.conn_count, reason);
}

/* While somebody is half open there is room: that one gives way. */
static void update_full(struct control_relay *relay)
{
	bool full =
	    relay->env.conn_count >= relay->conn_max && !control_sources_oldest(relay->env.sources);
	if (full == relay->full)
		return;
	relay->full = full;
	if (full)
		tell_waiting(relay, relay->conn_max < relay->conn_room
					? "--max-connections allows no more"
					: "the limit of descriptors allows no more");
	update_listeners(relay);
}

static void tell_unwelcome(struct control_relay *relay, const struct control_address *client,
			   enum control_sources_answer answer)
{
	bool too_many = answer == CONTROL_SOURCES_TOO_MANY;
	enum reason_refusal reason = too_many ? REASON_LIMIT : REASON_RATE;
	char addr[INET_ADDRSTRLEN];
	relay->env.counts->refusals[reason]++;
	if (!log_limit_allows(&relay->env.lines[CONTROL_LINE_REFUSED], monotonic_ms()))
		return;
	inet_ntop(AF_INET, &(struct in_addr){htonl(client->addr)}, addr, sizeof(addr));
	if (too_many)
		log_info("%s:%u: refused: %s: %u connections of %s already (--max-per-source)",
			 addr, client->port, reason_refusal_name(reason), relay->limits.per_source,
			 addr);
	else
		log_info("%s:%u: refused: %s: more than %u new connections a second of %s "
			 "(--max-rate-per-source)",
			 addr, client->port, reason_refusal_name(reason),
			 relay->limits.rate_per_source, addr);
}

/* A stranger must not put anybody out, so who gives way is asked once the rules have let the
 * newcomer in: for that moment there is one more than there may be. */
static void on_accepted(void *arg, const struct pair *pair, void *loop_check,
			const struct control_socket *client)
{
	struct control_relay *relay = arg;
	enum control_sources_answer answer =
	    control_sources_ask(relay->env.sources, client->peer.addr, monotonic_ms());
	struct control_pair *figures = control_pairs_at(relay->env.pairs, pair->place);

	relay->env.counts->accepted++;
	if (figures)
		figures->accepted++;
	if (answer != CONTROL_SOURCES_WELCOME) {
		tell_unwelcome(relay, &client->peer, answer);
		close(client->fd);
		return;
	}
	control_conn_accept(&relay->env, pair, loop_check, client);
	while (relay->env.conn_count > relay->conn_max && control_conn_put_out(&relay->env))
		;
	update_full(relay);
}

static void on_exhausted(void *arg, const char *reason)
{
	struct control_relay *relay = arg;
	struct timeval after = {.tv_sec = RETRY_S};
	tell_waiting(relay, reason);
	relay->exhausted = true;
	event_add(&relay->retry, &after);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct control_relay *relay = arg;
	(void)fd;
	(void)what;
	relay->exhausted = false;
	update_listeners(relay);
}

static void finish_shutdown(struct control_relay *relay)
{
	void (*done)(void *) = relay->done;
	if (!done)
		return;
	relay->done = NULL;
	event_del(&relay->shutdown);
	done(relay->done_arg);
}

static void on_conn_gone(void *arg)
{
	struct control_relay *relay = arg;
	if (relay->env.conn_count == 0)
		finish_shutdown(relay);
	update_full(relay);
}

static void on_conn_settled(void *arg)
{
	update_full(arg);
}

void control_relay_set_limits(struct control_relay *relay, const struct control_limits *limits)
{
	relay->limits = *limits;
	relay->conn_max = limits->connections > 0 && limits->connections < relay->conn_room
			      ? limits->connections
			      : relay->conn_room;
	relay->env.max_calls = limits->calls;
	control_sources_set(relay->env.sources, limits->per_source, limits->rate_per_source);
	update_full(relay);
}

/* ---- birth and death ---- */

static int open_figures(struct control_relay *relay, const struct control_relay_config *config,
			struct why *why)
{
	struct kept *kept = config->keeping.kept;
	relay->env.counts = kept ? kept_section(kept, KEPT_COUNTS, sizeof(*relay->env.counts), 1)
				 : &relay->own_counts;
	relay->env.pairs = relay->env.counts ? control_pairs_new(kept) : NULL;
	relay->env.rules = relay->env.pairs ? control_rules_new(kept) : NULL;
	relay->silence =
	    relay->env.rules
		? control_silence_new(config->db, &relay->env.lines[CONTROL_LINE_NO_GRE])
		: NULL;
	return relay->silence ? 0 : why_set(why, "control relay: %s", strerror(errno));
}

/* 0, or -1 with a sentence. */
static int open_kept(struct control_relay *relay, const struct control_relay_config *config,
		     struct why *why)
{
	if (!config->keeping.kept)
		return 0;
	relay->env.graves = control_graves_new(config->base);
	if (!relay->env.graves)
		return why_set(why, "control relay: no memory");
	relay->env.kept = control_kept_new(&config->keeping, why);
	return relay->env.kept ? 0 : -1;
}

static int start_tick(struct control_relay *relay)
{
	struct timeval each = {.tv_sec = 1};
	return event_add(&relay->tick, &each);
}

static void on_shutdown_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish_shutdown(arg);
}

static struct control_listen *open_listeners(struct control_relay *relay,
					     const struct control_relay_config *config,
					     struct why *why)
{
	struct control_listen_config listen = {
	    .base = config->base,
	    .names = config->names,
	    .pairs = config->pairs,
	    .pair_count = config->pair_count,
	    .keepalive_s = config->keepalive_s,
	    .open_socket = config->open_socket,
	    .open_socket_arg = config->open_socket_arg,
	    .known = config->known,
	    .accepted = on_accepted,
	    .exhausted = on_exhausted,
	    .arg = relay,
	};
	return control_listen_open(&listen, why);
}

/* Two descriptors for each connection, so that whoever is taken in can be served. */
static void find_room(struct control_relay *relay, const struct control_relay_config *config)
{
	size_t kept = DESCRIPTORS_KEPT + config->pair_count +
		      2 * (config->commands ? config->acl_parallel : 0);
	relay->conn_room = config->descriptors > kept + 2 ? (config->descriptors - kept) / 2 : 1;
	if (relay->conn_room < FEW_CONNECTIONS || relay->conn_room < config->limits.connections)
		log_warning("the limit of %zu descriptors leaves room for %zu connections at once",
			    config->descriptors, relay->conn_room);
}

static int open_sources(struct control_relay *relay, struct why *why)
{
	struct control_sources_config sources = {.limited = &relay->env.limited};
	relay->env.sources = control_sources_new(&sources);
	return relay->env.sources ? 0 : why_set(why, "table of sources: no memory");
}

static void use_rules(struct control_relay *relay, const struct control_relay_config *config)
{
	struct control_env *env = &relay->env;
	env->acl = config->acl;
	env->acl_any = config->acl_any;
	env->commands = config->commands;
	control_rules_use(env->rules, config->acl, config->command_words, config->command_count);
	env->handshake_timeout_s = config->handshake_timeout_s;
	env->dial.connect_timeout_s = config->connect_timeout_s;
	env->dial.keepalive_s = config->keepalive_s;
	find_room(relay, config);
	control_relay_set_limits(relay, &config->limits);
}

int control_relay_change(struct control_relay *relay, const struct control_relay_config *config,
			 struct why *why)
{
	struct control_listen *listen = open_listeners(relay, config, why);
	if (!listen)
		return -1;
	if (control_pairs_use(relay->env.pairs, config->pairs, config->pair_count) != 0) {
		control_listen_close(listen);
		return why_set(why, "control relay: no memory");
	}
	control_listen_close(relay->listen);
	relay->listen = listen;
	use_rules(relay, config);
	update_listeners(relay);
	return 0;
}

struct control_relay *control_relay_open(const struct control_relay_config *config, struct why *why)
{
	struct control_relay *relay = calloc(1, sizeof(*relay));
	if (!relay) {
		why_set(why, "control relay: no memory");
		return NULL;
	}
	relay->env = (struct control_env){
	    .base = config->base,
	    .db = config->db,
	    .capture = config->capture,
	    .dial = {.base = config->base,
		     .names = config->names,
		     .forbidden = control_listen_forbidden},
	    .call_opened = on_call_opened,
	    .conn_gone = on_conn_gone,
	    .conn_settled = on_conn_settled,
	    .pair_used = control_listen_use,
	    .arg = relay,
	};
	control_conn_prepare(&relay->env);
	evtimer_assign(&relay->retry, config->base, on_retry, relay);
	evtimer_assign(&relay->shutdown, config->base, on_shutdown_deadline, relay);
	event_assign(&relay->tick, config->base, -1, EV_PERSIST, on_tick, relay);

	if (open_figures(relay, config, why) != 0 || open_kept(relay, config, why) != 0 ||
	    open_sources(relay, why) != 0)
		goto failed;
	use_rules(relay, config);
	control_restore(&relay->env, relay->silence);
	update_full(relay);
	relay->listen = open_listeners(relay, config, why);
	if (!relay->listen)
		goto failed;
	if (control_pairs_use(relay->env.pairs, config->pairs, config->pair_count) != 0) {
		why_set(why, "control relay: no memory");
		goto failed;
	}
	if (start_tick(relay) != 0) {
		why_set(why, "control relay: no timer");
		goto failed;
	}
	update_listeners(relay);
	return relay;
failed:
	control_relay_leave(relay); /* whoever tries again finds the connections */
	return NULL;
}

void control_relay_addresses(const struct control_relay *relay,
			     void (*told)(void *arg, uint32_t addr, bool ours), void *arg)
{
	control_listen_addresses(relay->listen, told, arg);
}

bool control_relay_listens(const struct control_relay *relay, uint32_t addr, uint16_t port)
{
	return control_listen_has(relay->listen, addr, port);
}

size_t control_relay_connections(const struct control_relay *relay)
{
	return relay->env.conn_count;
}

size_t control_relay_pairs(const struct control_relay *relay)
{
	return control_listen_pairs(relay->listen);
}

const struct control_counts *control_relay_counts(const struct control_relay *relay)
{
	return relay->env.counts;
}

void control_relay_each(const struct control_relay *relay, control_relay_teller *told, void *arg)
{
	const struct control_conn *conn;
	for (conn = LIST_FIRST(&relay->env.conns); conn; conn = control_conn_next(conn)) {
		struct control_conn_info info;
		control_conn_describe(conn, &info);
		told(arg, &info);
	}
}

void control_relay_pair(const struct control_relay *relay, uint32_t place,
			struct control_relay_pair *pair)
{
	*pair = (struct control_relay_pair){
	    .ignored = relay->listen && control_listen_ignores(relay->listen, place),
	    .figures = control_pairs_at(relay->env.pairs, place),
	};
	if (!pair->figures)
		return;
	pair->number = control_pairs_number(relay->env.pairs, pair->figures);
	pair->connections = control_pairs_connections(relay->env.pairs, pair->figures);
}

bool control_relay_silent(const struct control_relay *relay, callid_ref call, enum callid_side side)
{
	return control_silence_is(relay->silence, call, side);
}

uint64_t control_relay_refused(const struct control_relay *relay, size_t place)
{
	return control_rules_refused(relay->env.rules, place);
}

uint64_t control_relay_allowed(const struct control_relay *relay, size_t place)
{
	return control_rules_allowed(relay->env.rules, place);
}

int control_relay_end_call(struct control_relay *relay, uint64_t connection, int32_t client_id,
			   uid_t who, struct why *told)
{
	struct control_conn *conn = LIST_FIRST(&relay->env.conns);
	while (conn && control_conn_number(conn) != connection)
		conn = control_conn_next(conn);
	return conn ? control_conn_calls_end(conn, client_id, who, told)
		    : why_set(told, "no such call");
}

static void close_listeners(struct control_relay *relay)
{
	control_listen_close(relay->listen);
	relay->listen = NULL;
}

void control_relay_shut_down(struct control_relay *relay, void (*done)(void *arg), void *arg)
{
	struct timeval after = {.tv_sec = SHUTDOWN_S};
	struct control_conn *conn, *next;

	close_listeners(relay);
	event_del(&relay->retry);
	for (conn = LIST_FIRST(&relay->env.conns); conn; conn = next) {
		next = control_conn_next(conn);
		control_conn_shut_down(conn);
	}
	relay->done = done;
	relay->done_arg = arg;
	event_add(&relay->shutdown, &after);
	if (relay->env.conn_count == 0)
		finish_shutdown(relay);
}

/* All but its connections, which have gone. */
static void free_relay(struct control_relay *relay)
{
	control_listen_close(relay->listen);
	control_sources_free(relay->env.sources);
	for (int i = 0; i < CONTROL_LINES; i++)
		log_limit_clear(&relay->env.lines[i], monotonic_ms());
	control_silence_free(relay->silence);
	event_del(&relay->tick);
	event_del(&relay->retry);
	event_del(&relay->shutdown);
	control_graves_free(relay->env.graves);
	control_pairs_free(relay->env.pairs);
	control_rules_free(relay->env.rules);
	control_kept_free(relay->env.kept);
	free(relay);
}

void control_relay_leave(struct control_relay *relay)
{
	if (!relay)
		return;
	close_listeners(relay);
	while (!LIST_EMPTY(&relay->env.conns))
		control_conn_kept_leave(LIST_FIRST(&relay->env.conns));
	free_relay(relay);
}

void control_relay_close(struct control_relay *relay)
{
	if (!relay)
		return;
	close_listeners(relay);
	while (!LIST_EMPTY(&relay->env.conns))
		control_conn_abort(LIST_FIRST(&relay->env.conns));
	free_relay(relay);
}

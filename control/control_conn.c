/*
 * Access, the client's first message, the dial, then messages both ways; see control_conn.h for the
 * states.
 *
 * The server is dialled only once the client's whole Start-Control-Connection-Request is there:
 * pptpd, for one, accepts nobody else for 10 s while a connection says nothing. The request waits
 * in the client's socket until then.
 */
#include "control/control_conn.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINGER_S = 2,	   /* for queued octets and the peers' FINs */
	STALLED_S = 30,	   /* for one end to read what the other had sent before it went */
	YOUNG_MS = 1000,   /* half open, and not put out for its own source's newcomers */
	UNOPENED_TOLD = 5, /* of a connection's calls that never opened; more only with -d */
};

enum {
	ADDRESS_TEXT = INET_ADDRSTRLEN + 6,
	LABEL_TEXT = 2 * PAIR_TEXT_MAX + 32,
	LABEL_KEPT = 2 * ADDRESS_TEXT + 28, /* numeric: a number and two addresses */
};

#define NO_RULE SIZE_MAX

enum state { CHECKING, WAITING, DIALLING, RELAYING, PARTING, CLOSING };

struct control_conn {
	LIST_ENTRY(control_conn) in_env;
	struct control_env *env;
	struct control_guest guest;
	const struct pair *pair;
	void *loop_check;
	struct control_pair *figures; /* the pair's; NULL: it has none */
	uint64_t number;
	enum state state;
	struct control_leg legs[2];
	struct event deadline;
	struct acl_ask_check *check;
	unsigned rules; /* the generation of those that decide */
	size_t rule;	/* the place of the one that matches, or NO_RULE */
	struct control_dial *dial;
	struct call_snoop *snoop;
	struct control_pump pump;
	struct capture_conn captured;
	struct control_record *record; /* NULL: not kept */
	enum callid_side first;	       /* to be looked at next time */
	bool stalled;	   /* one end is gone, what the other has not read yet has a deadline */
	unsigned unopened; /* calls that ended before they opened */
	char label[LABEL_KEPT]; /* made once the server is known; empty: not yet */
};

/* ---- what the log says ---- */

static const char *address_text(struct control_address address, char out[static ADDRESS_TEXT])
{
	uint32_t addr = address.addr;
	snprintf(out, ADDRESS_TEXT, "%u.%u.%u.%u:%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
		 addr & 255, address.port);
	return out;
}

/* "#12 10.0.0.2:40000 -> 192.0.2.9:1723"; the pair's word while the server has no address yet. */
static const char *label(const void *arg)
{
	const struct control_conn *conn = arg;
	static char text[LABEL_TEXT];
	char client[ADDRESS_TEXT], server[PAIR_TEXT_MAX];
	if (conn->label[0] != '\0')
		return conn->label;
	if (conn->legs[CALLID_SERVER].peer.port != 0)
		address_text(conn->legs[CALLID_SERVER].peer, server);
	else
		pair_endpoint_text(&conn->pair->peer, server);
	snprintf(text, sizeof(text), "#%llu %s -> %s", (unsigned long long)conn->number,
		 address_text(conn->legs[CALLID_CLIENT].peer, client), server);
	return text;
}

/* Lines about what one source's connections and calls do. At the program's end, which is nobody's
 * attack, all are told. */
static bool may_tell(const struct control_conn *conn)
{
	return conn->state == PARTING ||
	       log_limit_allows(control_sources_lines(&conn->guest), monotonic_ms());
}

static void settle(struct control_conn *conn)
{
	if (!conn->guest.half_open)
		return;
	control_sources_settle(conn->env->sources, &conn->guest);
	conn->env->conn_settled(conn->env->arg);
}

static void on_call_opened(void *arg, callid_ref call)
{
	struct control_conn *conn = arg;
	struct callid_info info;
	settle(conn);
	conn->env->counts->calls_opened++;
	if (!callid_db_get(conn->env->db, call, &info))
		return;
	if (may_tell(conn))
		log_info(
		    "%s: call opened: client ID %u (server sees %u), server ID %u (client sees %u)",
		    label(conn), info.id[CALLID_CLIENT], info.shown[CALLID_SERVER],
		    info.id[CALLID_SERVER], info.shown[CALLID_CLIENT]);
	conn->env->call_opened(conn->env->arg, call);
}

static void on_call_ended(void *arg, const struct callid_info *info, const char *reason)
{
	struct control_conn *conn = arg;
	const struct callid_counts *client = &info->from[CALLID_CLIENT],
				   *server = &info->from[CALLID_SERVER];

	if (!info->open) {
		if ((++conn->unopened <= UNOPENED_TOLD && may_tell(conn)) ||
		    log_wants(LOG_LEVEL_DEBUG))
			log_info("%s: call ended before it opened: %s ID %u: %s", label(conn),
				 callid_side_name(info->caller), info->id[info->caller], reason);
		return;
	}
	conn->env->counts->calls_ended++;
	if (!may_tell(conn))
		return;
	log_info("%s: call ended: client ID %u, server ID %u: %s: %llu s; client sent %llu "
		 "packets, %llu octets, "
		 "%llu dropped; server sent %llu packets, %llu octets, %llu dropped",
		 label(conn), info->id[CALLID_CLIENT], info->id[CALLID_SERVER], reason,
		 (unsigned long long)(monotonic_ms() - info->opened_at) / 1000,
		 (unsigned long long)client->packets, (unsigned long long)client->octets,
		 (unsigned long long)client->drops, (unsigned long long)server->packets,
		 (unsigned long long)server->octets, (unsigned long long)server->drops);
}

static const struct call_snoop_events snoop_events = {.opened = on_call_opened,
						      .ended = on_call_ended};

/* ---- endings ---- */

/* A connection that relays needs it no more, and may outlive it. */
static void let_go_of_pair(struct control_conn *conn)
{
	if (conn->pair)
		conn->env->pair_used(conn->loop_check, false);
	conn->pair = NULL;
}

enum { END_TEXT = sizeof(struct why) + 32 };

/* The reason's name, and more about this one. */
static const char *end_text(enum reason_end reason, const char *more, char out[static END_TEXT])
{
	snprintf(out, END_TEXT, "%s%s", reason_end_name(reason), more);
	return out;
}

/* The one destroyer: any state. */
static void destroy(struct control_conn *conn, const char *reason)
{
	struct control_env *env = conn->env;

	capture_conn_end(&conn->captured);
	acl_ask_cancel(conn->check);
	control_dial_cancel(conn->dial);
	if (conn->snoop)
		call_snoop_end(conn->snoop, monotonic_ms(), reason);
	call_snoop_free(conn->snoop);
	if (conn->record)
		control_kept_release(env->kept, conn->record);
	let_go_of_pair(conn);
	control_pairs_put(env->pairs, conn->figures);
	event_del(&conn->deadline);
	control_leg_close(&conn->legs[CALLID_CLIENT]);
	control_leg_close(&conn->legs[CALLID_SERVER]);
	control_sources_del(env->sources, &conn->guest, monotonic_ms());
	LIST_REMOVE(conn, in_env);
	env->conn_count--;
	free(conn);
	env->conn_gone(env->arg);
}

void control_conn_abort(struct control_conn *conn)
{
	const char *name = reason_end_name(REASON_SHUTTING_DOWN);
	if (conn->state != CLOSING) {
		conn->env->counts->ends[REASON_SHUTTING_DOWN]++;
		log_info("%s: closed: %s", label(conn), name);
	}
	destroy(conn, name);
}

static void set_deadline(struct control_conn *conn, unsigned seconds)
{
	struct timeval after = {.tv_sec = seconds};
	event_add(&conn->deadline, &after);
}

/* Queued octets leave, then our FIN, then the peer's comes: a close with unread input would be a
 * reset, and a reset can overtake what has just been written. */
static void linger(struct control_conn *conn)
{
	bool open = false;
	for (int side = 0; side < 2; side++) {
		struct control_leg *leg = &conn->legs[side];
		if (!control_leg_is_open(leg))
			continue;
		if (control_leg_flush(leg) != 0) {
			control_leg_close(leg);
			continue;
		}
		if (control_leg_drained(leg)) {
			if (!leg->quiet)
				control_leg_discard(leg);
			if (leg->peer_closed)
				control_leg_close(leg);
			else
				control_leg_shut(leg);
		}
		open = open || control_leg_is_open(leg);
	}
	if (!open)
		destroy(conn, "");
}

static bool may_tell_end(struct control_conn *conn)
{
	struct log_limit *lines = conn->env->lines;
	if (conn->state >= RELAYING)
		return may_tell(conn);
	return log_limit_allows(
	    &lines[conn->state == DIALLING ? CONTROL_LINE_NO_SERVER : CONTROL_LINE_UNHEARD],
	    monotonic_ms());
}

static void tell_end(struct control_conn *conn, const char *reason)
{
	if (!may_tell_end(conn)) {
		/* It is counted. */
	} else if (conn->pump.dropped > 0)
		log_info("%s: closed: %s; %u messages dropped", label(conn), reason,
			 conn->pump.dropped);
	else
		log_info("%s: closed: %s", label(conn), reason);
}

/* more: behind the reason's name, "" or beginning with a colon or a blank. */
static void end_conn(struct control_conn *conn, enum reason_end reason, const char *more)
{
	char text[END_TEXT];
	end_text(reason, more, text);
	conn->env->counts->ends[reason]++;
	if (conn->snoop)
		call_snoop_end(conn->snoop, monotonic_ms(), text);
	tell_end(conn, text);
	if (conn->state != RELAYING && conn->state != PARTING) {
		destroy(conn, text);
		return;
	}
	for (int side = 0; side < 2; side++)
		conn->captured.legs[side].peer_closed = conn->legs[side].peer_closed;
	conn->state = CLOSING;
	if (conn->record)
		conn->record->closing = true;
	set_deadline(conn, LINGER_S);
	linger(conn);
}

static void refuse(struct control_conn *conn, enum reason_refusal reason, const char *more)
{
	const char *name = reason_refusal_name(reason);
	conn->env->counts->refusals[reason]++;
	if (log_limit_allows(&conn->env->lines[CONTROL_LINE_REFUSED], monotonic_ms()))
		log_info("%s: refused: %s%s", label(conn), name, more);
	destroy(conn, name);
}

static void put_out(struct control_conn *conn, uint64_t now)
{
	struct control_env *env = conn->env;
	const char *name = reason_end_name(REASON_PUT_OUT);
	/* That one which lingers has ended, is counted and in the log already. */
	env->counts->ends[REASON_PUT_OUT] += conn->state != CLOSING;
	if (conn->state != CLOSING && log_limit_allows(&env->lines[CONTROL_LINE_PUT_OUT], now))
		log_info("%s: closed: %s for a newcomer: half open for %llu s, the oldest of %u "
			 "such connections of its address",
			 label(conn), name, (unsigned long long)(now - conn->guest.since) / 1000,
			 control_sources_half_open(&conn->guest));
	destroy(conn, name);
}

bool control_conn_put_out(struct control_env *env)
{
	struct control_guest *guest = control_sources_oldest(env->sources);
	uint64_t now = monotonic_ms();
	if (!guest)
		return false;
	struct control_conn *newest = LIST_FIRST(&env->conns);
	if (newest->guest.half_open && newest->guest.source == guest->source &&
	    &newest->guest != guest && now - guest->since < YOUNG_MS) {
		refuse(newest, REASON_LIMIT,
		       ": no room, and its address has the most half-open connections");
		return true;
	}
	struct control_conn *conn =
	    (struct control_conn *)((char *)guest - offsetof(struct control_conn, guest));
	put_out(conn, now);
	return true;
}

/* Octets of that side, or for it, are not to be waited for any more. */
static void fail_side(struct control_conn *conn, const struct control_pump_failure *failure)
{
	control_leg_close(&conn->legs[failure->side]);
	end_conn(conn, failure->reason, failure->more);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *conn = arg;
	char more[96];
	static const char *const waiting_for[] = {
	    [CHECKING] = "the access command",
	    [WAITING] = "the client's Start-Control-Connection-Request",
	    [DIALLING] = "the server to accept the connection",
	    [RELAYING] = "the server's Start-Control-Connection-Reply",
	};
	(void)fd;
	(void)what;
	if (conn->state == CLOSING) {
		destroy(conn, "");
		return;
	}
	if (conn->stalled) {
		end_conn(conn, REASON_DEADLINE,
			 ": one end closed the connection, the other does not read");
		return;
	}
	snprintf(more, sizeof(more), ": waited %u s for %s", conn->env->handshake_timeout_s,
		 waiting_for[conn->state]);
	if (conn->state == DIALLING)
		control_pairs_dialled(conn->figures, more + 2, monotonic_ms());
	end_conn(conn, REASON_DEADLINE, more);
}

/* ---- relaying ---- */

/* One end has gone, and the other does not read what that one has sent: it gets some time, not all
 * there is. */
static void bound_the_wait(struct control_conn *conn)
{
	for (int side = 0; side < 2; side++) {
		const struct control_leg *leg = &conn->legs[side], *other = &conn->legs[!side];
		if (control_leg_drained(other) || conn->stalled || !control_leg_peer_is_gone(leg))
			continue;
		conn->stalled = true;
		set_deadline(conn, STALLED_S);
	}
}

/* True: a leg has failed; failure tells of the first one. */
static bool flush_both(struct control_conn *conn, struct control_pump_failure *failure)
{
	for (int side = 0; side < 2; side++) {
		if (control_pump_flush(&conn->pump, (enum callid_side)side, failure) ==
		    CONTROL_PUMP_FAILED)
			return true;
	}
	return false;
}

/* Passes on what has come, as far as events have told. Once a side has ended or failed, the other
 * is asked in any case: what it has sent before is still delivered. As flush_both. */
static bool pump_both(struct control_conn *conn, bool failed, struct control_pump_failure *failure,
		      enum control_pump_answer answers[2])
{
	enum callid_side first = conn->first, turns[] = {first, callid_other(first), first};
	bool over = failed, asked[2] = {false, false};

	/* Who goes first may fill the other's outbox, and then the other may not say anything. */
	if (control_leg_drained(&conn->legs[CALLID_CLIENT]) &&
	    control_leg_drained(&conn->legs[CALLID_SERVER]))
		conn->first = callid_other(first);
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		enum callid_side side = turns[i];
		struct control_pump_failure later;
		if (asked[side] || (conn->legs[side].quiet && !over))
			continue;
		asked[side] = true;
		answers[side] = control_pump_run(&conn->pump, side, failed ? &later : failure);
		failed = failed || answers[side] == CONTROL_PUMP_FAILED;
		over = over || answers[side] != CONTROL_PUMP_WAIT;
	}
	return failed;
}

/* What only the log depends on: in no transaction. */
static void note_in_record(struct control_conn *conn)
{
	if (!conn->record)
		return;
	conn->record->dropped = conn->pump.dropped;
	conn->record->unopened = conn->unopened;
}

static void relay(struct control_conn *conn)
{
	struct control_pump_failure failure;
	enum control_pump_answer answers[2] = {CONTROL_PUMP_WAIT, CONTROL_PUMP_WAIT};
	bool failed = flush_both(conn, &failure);

	failed = pump_both(conn, failed, &failure, answers);
	note_in_record(conn);
	if (conn->pump.established)
		settle(conn);
	if (conn->pump.established && !conn->stalled)
		event_del(&conn->deadline);
	if (failed)
		fail_side(conn, &failure);
	else if (answers[CALLID_CLIENT] == CONTROL_PUMP_ENDED)
		end_conn(conn, REASON_CLIENT_CLOSED, "");
	else if (answers[CALLID_SERVER] == CONTROL_PUMP_ENDED)
		end_conn(conn, REASON_SERVER_CLOSED, "");
	else
		bound_the_wait(conn);
}

/* ---- parting ---- */

/* False: there is more, once the peer has read some. */
static bool say_what_fits(struct control_conn *conn, enum callid_side to)
{
	struct control_leg *leg = &conn->legs[to];
	uint8_t message[PPTP_ANSWER_MAX];
	size_t length;

	if (!control_leg_is_open(leg))
		return true;
	if (control_leg_flush(leg) != 0) {
		control_leg_close(leg);
		return true;
	}
	while (control_leg_drained(leg)) {
		length = call_snoop_farewell(conn->snoop, to, message);
		if (length == 0)
			return true;
		if (control_pump_say(&conn->pump, to, message, length) != 0) {
			control_leg_close(leg);
			return true;
		}
	}
	return false;
}

static void say_farewell(struct control_conn *conn)
{
	bool client_told = say_what_fits(conn, CALLID_CLIENT),
	     server_told = say_what_fits(conn, CALLID_SERVER);
	if (client_told && server_told)
		end_conn(conn, REASON_SHUTTING_DOWN, "");
}

/* ---- before there is a server ---- */

static void on_leg(evutil_socket_t fd, short what, void *arg);

static void fill_record(struct control_conn *conn, struct control_record *record)
{
	record->number = conn->number;
	record->established = conn->pump.established;
	record->pair = control_pairs_number(conn->env->pairs, conn->figures);
	for (int side = 0; side < 2; side++) {
		record->ends[side].proxy = conn->legs[side].proxy;
		record->ends[side].peer = conn->legs[side].peer;
	}
}

/* Before its first call: from here on it outlives this process. */
static void keep(void *arg)
{
	struct control_conn *conn = arg;
	struct control_env *env = conn->env;
	const int fds[] = {conn->legs[0].fd, conn->legs[1].fd};
	struct kept *kept = control_kept_memory(env->kept);

	struct control_record *record = control_kept_take(env->kept, fds);
	if (!record)
		return;
	fill_record(conn, record);
	for (int side = 0; side < 2; side++) {
		if (control_leg_keep(&conn->legs[side], kept, &record->legs[side], env->graves) ==
		    0)
			continue;
		log_warning("%s: will not outlive a restart: %s", label(conn), strerror(errno));
		conn->legs[0].record = NULL;
		control_kept_release(env->kept, record);
		return;
	}
	call_snoop_keep(conn->snoop, kept, &record->snoop, true);
	conn->record = record;
	conn->pump.kept = kept;
	conn->pump.established_kept = &record->established;
	note_in_record(conn);
	kept_fence();
	record->used = true;
}

/* A kept leg's positions go on from the process before. The system counts the SYN of who dials as
 * an octet that has been acknowledged. */
static void prepare_capture(struct control_conn *conn)
{
	conn->captured =
	    (struct capture_conn){.capture = conn->env->capture, .number = conn->number};
	for (int side = 0; side < 2; side++) {
		const struct control_leg *leg = &conn->legs[side];
		const struct control_leg_record *record = leg->record;
		conn->captured.legs[side] = (struct capture_leg){
		    .proxy_addr = leg->proxy.addr,
		    .peer_addr = leg->peer.addr,
		    .proxy_port = leg->proxy.port,
		    .peer_port = leg->peer.port,
		    .in = record ? record->taken_before + record->take_to : 0,
		    .out =
			record ? record->sent_before + record->queued - (side == CALLID_SERVER) : 0,
		};
	}
}

/* Its legs are open. 0, or -1: no memory. */
static int start_snooping(struct control_conn *conn)
{
	struct control_leg *legs = conn->legs;
	const struct callid_leg addresses[] = {
	    [CALLID_CLIENT] = {legs[CALLID_CLIENT].proxy.addr, legs[CALLID_CLIENT].peer.addr},
	    [CALLID_SERVER] = {legs[CALLID_SERVER].proxy.addr, legs[CALLID_SERVER].peer.addr},
	};
	snprintf(conn->label, sizeof(conn->label), "%s", label(conn));
	conn->snoop = call_snoop_new(conn->env->db, addresses, conn->number, &snoop_events, conn);
	conn->pump = (struct control_pump){
	    .legs = legs,
	    .snoop = conn->snoop,
	    .label = label,
	    .label_arg = conn,
	    .before_call = conn->env->kept ? keep : NULL,
	    .before_call_arg = conn,
	    .captured = &conn->captured,
	    .lines = control_sources_lines(&conn->guest),
	    .counts = conn->env->counts,
	};
	prepare_capture(conn);
	if (!conn->snoop)
		return -1;
	call_snoop_set_max(conn->snoop, conn->env->max_calls);
	return 0;
}

static void on_dialled(void *arg, const struct control_socket *server, const char *failure)
{
	struct control_conn *conn = arg;

	conn->dial = NULL;
	control_pairs_dialled(conn->figures, failure, monotonic_ms());
	if (!server) {
		char more[sizeof(struct why) + 16];
		snprintf(more, sizeof(more), ": %s", failure);
		end_conn(conn, REASON_NO_SERVER, more);
		return;
	}
	if (control_leg_open(&conn->legs[CALLID_SERVER], server, conn->env->base, on_leg, conn) !=
	    0) {
		char more[128];
		snprintf(more, sizeof(more), ": server: %s", strerror(errno));
		end_conn(conn, REASON_FAILED, more);
		return;
	}
	if (start_snooping(conn) != 0) {
		end_conn(conn, REASON_END_MEMORY, "");
		return;
	}
	conn->state = RELAYING;
	let_go_of_pair(conn);
	relay(conn);
}

static void dial(struct control_conn *conn)
{
	struct control_dial_config config = conn->env->dial;
	config.forbidden_arg = conn->loop_check;
	config.lines = &conn->env->lines[CONTROL_LINE_NO_SERVER];
	config.label = conn->pair->peer.numeric ? "" : label(conn); /* names only have lines */
	conn->state = DIALLING;
	conn->dial = control_dial_start(&config, &conn->pair->peer, on_dialled, conn);
	if (!conn->dial)
		end_conn(conn, REASON_END_MEMORY, "");
}

static void fail_client(struct control_conn *conn, enum reason_end reason, const char *more)
{
	struct control_pump_failure failure = {.side = CALLID_CLIENT, .reason = reason};
	snprintf(failure.more, sizeof(failure.more), "%s", more);
	fail_side(conn, &failure);
}

/* Looks at the client's first message without taking it. */
static void await_request(struct control_conn *conn)
{
	struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	uint8_t octets[PPTP_MESSAGE_MAX];
	struct pptp_header header;
	const char *lie;
	char name[16], more[128];

	ssize_t got = control_leg_peek(leg, octets, sizeof(octets));
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (got < 0) {
		snprintf(more, sizeof(more), ": client: %s", strerror(errno));
		fail_client(conn, REASON_FAILED, more);
		return;
	}
	switch (pptp_wire_parse(octets, (size_t)got, &header, &lie)) {
	case WIRE_BAD:
		snprintf(more, sizeof(more), " message from client: %s", lie);
		fail_client(conn, REASON_MALFORMED, more);
		break;
	case WIRE_MORE:
		if (leg->peer_closed)
			end_conn(conn, REASON_CLIENT_CLOSED,
				 " before its Start-Control-Connection-Request");
		break;
	case WIRE_OK:
		if (header.type == PPTP_START_REQUEST) {
			dial(conn);
			break;
		}
		snprintf(more, sizeof(more),
			 ": client sent %s before a Start-Control-Connection-Request",
			 pptp_wire_name(header.type, name));
		fail_client(conn, REASON_MALFORMED, more);
	}
}

static void end_if_client_left(struct control_conn *conn)
{
	struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	uint8_t octet;
	ssize_t got = control_leg_peek(leg, &octet, sizeof(octet));
	if (leg->peer_closed || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		end_conn(conn, REASON_CLIENT_CLOSED, "");
}

static void on_leg(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *conn = arg;
	struct control_leg *leg =
	    &conn->legs[fd == conn->legs[CALLID_CLIENT].fd ? CALLID_CLIENT : CALLID_SERVER];

	if (what & EV_CLOSED)
		leg->peer_closed = true;
	if (what & (EV_READ | EV_CLOSED))
		leg->quiet = false;
	else if (conn->state < RELAYING)
		return;
	switch (conn->state) {
	case CHECKING:
		end_if_client_left(conn);
		break;
	case DIALLING:
		/* Its request waits, so a look would find no end: only the event can tell. */
		if (leg->peer_closed)
			end_conn(conn, REASON_CLIENT_CLOSED, "");
		break;
	case WAITING:
		await_request(conn);
		break;
	case RELAYING:
		relay(conn);
		break;
	case PARTING:
		say_farewell(conn);
		break;
	case CLOSING:
		linger(conn);
		break;
	}
}

/* ---- access ---- */

static void count_rule(struct control_conn *conn, size_t place)
{
	control_rules_count(conn->env->rules, conn->rules, place);
}

static void admit(struct control_conn *conn, const char *reason)
{
	log_debug("%s: allowed: %s", label(conn), reason);
	if (conn->rule != NO_RULE)
		count_rule(conn, conn->rule);
	conn->state = WAITING;
	await_request(conn);
}

static void refuse_by_command(struct control_conn *conn, const char *why)
{
	char more[512];
	snprintf(more, sizeof(more), ": %s", why);
	refuse(conn, REASON_COMMAND, more);
}

static void on_checked(void *arg, enum acl_answer answer, size_t which, const char *why)
{
	struct control_conn *conn = arg;
	conn->check = NULL;
	for (size_t i = 0; i < which && i < CONTROL_RULES_MAX; i++)
		control_rules_count_refused(conn->env->rules, conn->rules,
					    conn->env->acl->count + i);
	if (answer != ACL_ALLOW) {
		refuse_by_command(conn, why);
		return;
	}
	count_rule(conn, conn->env->acl->count + which);
	admit(conn, why);
}

static void ask_commands(struct control_conn *conn)
{
	const struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	struct acl_ask_client about = {
	    .connection = conn->number,
	    .pair = conn->pair->place,
	    .addr = leg->peer.addr,
	    .port = leg->peer.port,
	    .listen_addr = leg->proxy.addr,
	    .listen_port = leg->proxy.port,
	};
	conn->check = acl_ask_start(conn->env->commands, &about, on_checked, conn);
	if (!conn->check)
		refuse(conn, REASON_REFUSAL_MEMORY, "");
}

static void decide_access(struct control_conn *conn)
{
	const struct control_env *env = conn->env;
	const struct acl_rule *rule = NULL;
	char reason[64];
	bool by_rule = acl_match(env->acl, conn->legs[CALLID_CLIENT].peer.addr, &rule) == ACL_ALLOW;

	snprintf(reason, sizeof(reason), "rule %s", rule ? rule->text : "");
	conn->rules = control_rules_generation(env->rules);
	conn->rule = by_rule ? (size_t)(rule - env->acl->rules) : NO_RULE;
	if (env->acl->count == 0 && !env->commands)
		admit(conn, "no rules");
	else if (by_rule && (env->acl_any || !env->commands))
		admit(conn, reason);
	else if (env->commands && (by_rule || env->acl_any || env->acl->count == 0))
		ask_commands(conn);
	else
		refuse(conn, REASON_ACL, ": no access rule allows it");
}

/* ---- birth, and the end of the program ---- */

void control_conn_describe(const struct control_conn *conn, struct control_conn_info *info)
{
	*info = (struct control_conn_info){
	    .number = conn->number,
	    .peer = {conn->legs[CALLID_CLIENT].peer, conn->legs[CALLID_SERVER].peer},
	    .half_open = conn->guest.half_open,
	    .pair = control_pairs_number(conn->env->pairs, conn->figures),
	};
}

struct control_conn *control_conn_next(const struct control_conn *conn)
{
	return LIST_NEXT(conn, in_env);
}

void control_conn_prepare(struct control_env *env)
{
	static const char *const kinds[] = {
	    [CONTROL_LINE_REFUSED] = "clients refused",
	    [CONTROL_LINE_UNHEARD] = "connections that asked for nothing",
	    [CONTROL_LINE_NO_SERVER] = "connections without a server",
	    [CONTROL_LINE_PUT_OUT] = "connections put out for newcomers",
	    [CONTROL_LINE_NO_GRE] = "calls without GRE",
	};
	LIST_INIT(&env->conns);
	TAILQ_INIT(&env->limited);
	for (int i = 0; i < CONTROL_LINES; i++)
		log_limit_init(&env->lines[i], &env->limited, kinds[i]);
}

static uint64_t next_number(struct control_env *env)
{
	return env->kept ? control_kept_next_number(env->kept) : ++env->last_number;
}

static struct control_conn *new_conn(struct control_env *env, uint64_t number)
{
	struct control_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	conn->env = env;
	conn->number = number;
	conn->legs[CALLID_CLIENT] = conn->legs[CALLID_SERVER] = CONTROL_LEG_NONE;
	evtimer_assign(&conn->deadline, env->base, on_deadline, conn);
	return conn;
}

static void enter(struct control_conn *conn)
{
	LIST_INSERT_HEAD(&conn->env->conns, conn, in_env);
	conn->env->conn_count++;
}

/* One that there is no memory for. */
static void refuse_unmade(struct control_env *env, const struct control_socket *client)
{
	char address[ADDRESS_TEXT];
	env->counts->refusals[REASON_REFUSAL_MEMORY]++;
	if (log_limit_allows(&env->lines[CONTROL_LINE_REFUSED], monotonic_ms()))
		log_info("%s: refused: %s", address_text(client->peer, address),
			 reason_refusal_name(REASON_REFUSAL_MEMORY));
}

/* One that went before we looked. */
static void end_unseen(struct control_env *env, const struct control_socket *client)
{
	char address[ADDRESS_TEXT];
	env->counts->ends[REASON_CLIENT_CLOSED]++;
	if (log_limit_allows(&env->lines[CONTROL_LINE_UNHEARD], monotonic_ms()))
		log_info("%s: closed: %s at once", address_text(client->peer, address),
			 reason_end_name(REASON_CLIENT_CLOSED));
}

void control_conn_accept(struct control_env *env, const struct pair *pair, void *loop_check,
			 const struct control_socket *client)
{
	struct control_conn *conn = new_conn(env, next_number(env));
	if (!conn) {
		refuse_unmade(env, client);
		close(client->fd);
		return;
	}
	conn->pair = pair;
	conn->loop_check = loop_check;
	env->pair_used(loop_check, true);
	if (control_leg_open(&conn->legs[CALLID_CLIENT], client, env->base, on_leg, conn) != 0) {
		end_unseen(env, client);
		let_go_of_pair(conn);
		free(conn);
		return;
	}
	if (control_sources_add(env->sources, &conn->guest, conn->legs[CALLID_CLIENT].peer.addr,
				monotonic_ms()) != 0) {
		refuse_unmade(env, client);
		control_leg_close(&conn->legs[CALLID_CLIENT]);
		let_go_of_pair(conn);
		free(conn);
		return;
	}
	enter(conn);
	conn->figures = control_pairs_take(env->pairs, pair->place);
	log_debug("%s: accepted", label(conn));
	set_deadline(conn, env->handshake_timeout_s);
	decide_access(conn);
}

void control_conn_shut_down(struct control_conn *conn)
{
	if (conn->state == RELAYING) {
		conn->state = PARTING;
		event_del(&conn->deadline);
		say_farewell(conn);
	} else if (conn->state < PARTING) {
		end_conn(conn, REASON_SHUTTING_DOWN, "");
	}
}

/* ---- one call's end, by an operator's word ---- */

static int tell_ended(const struct control_conn *conn, const struct callid_info *info,
		      struct why *told)
{
	if (info->open)
		why_set(told, "call ended: %s: client ID %u, server ID %u", label(conn),
			info->id[CALLID_CLIENT], info->id[CALLID_SERVER]);
	else
		why_set(told, "call ended before it opened: %s: %s ID %u", label(conn),
			callid_side_name(info->caller), info->id[info->caller]);
	return 0;
}

static const char *why_none(const struct control_conn *conn, int32_t client_id)
{
	if (conn->state == RELAYING && client_id < 0 && call_snoop_unassigned(conn->snoop) > 1)
		return "more than one call has no client ID yet: which one cannot be told";
	return "no such call";
}

int control_conn_end_call(struct control_conn *conn, int32_t client_id, uid_t who, struct why *told)
{
	struct control_pump_failure failure;
	struct callid_info info;
	callid_ref call = conn->state == RELAYING ? call_snoop_find(conn->snoop, client_id) : 0;

	if (!call || !callid_db_get(conn->env->db, call, &info))
		return why_set(told, "%s", why_none(conn, client_id));
	if (!control_pump_has_room(&conn->pump))
		return why_set(told, "not ended: one end does not read what waits for it already");
	int result = tell_ended(conn, &info, told);
	char reason[48];
	snprintf(reason, sizeof(reason), "ended by the operator, user %u", (unsigned)who);
	if (control_pump_end_call(&conn->pump, call, reason, &failure) == CONTROL_PUMP_FAILED)
		fail_side(conn, &failure);
	else
		note_in_record(conn);
	return result;
}

uint64_t control_conn_number(const struct control_conn *conn)
{
	return conn->number;
}

/* ---- over the end of a process ---- */

/* -1 with errno. */
static int resume(struct control_conn *conn, const int fds[2])
{
	struct control_env *env = conn->env;
	struct control_record *record = conn->record;
	int error = 0;

	for (int side = 0; side < 2; side++) {
		struct control_socket socket = {
		    .fd = fds[side],
		    .proxy = record->ends[side].proxy,
		    .peer = record->ends[side].peer,
		};
		struct control_leg *leg = &conn->legs[side];
		if (control_leg_open(leg, &socket, env->base, on_leg, conn) != 0 ||
		    control_leg_resume(leg, control_kept_memory(env->kept), &record->legs[side],
				       record->closing, env->graves) != 0)
			error = errno;
	}
	errno = error;
	return error == 0 ? 0 : -1;
}

struct control_conn *control_conn_restore(struct control_env *env, struct control_record *record,
					  const int fds[2])
{
	struct control_conn *conn = new_conn(env, record->number);
	if (!conn) {
		close(fds[0]);
		close(fds[1]);
		control_kept_release(env->kept, record);
		return NULL;
	}
	enter(conn);
	/* Without memory nobody counts it. It has a call, so it is not half open. */
	control_sources_restore(env->sources, &conn->guest, record->ends[CALLID_CLIENT].peer.addr,
				monotonic_ms());
	conn->figures = control_pairs_take_number(env->pairs, record->pair);
	conn->record = record;
	conn->state = record->closing ? CLOSING : RELAYING;
	conn->unopened = record->unopened;
	int resumed = resume(conn, fds);
	if (resumed != 0 || start_snooping(conn) != 0) {
		env->counts->ends[REASON_FAILED]++;
		log_warning("#%llu: closed: %s: cannot go on: %s",
			    (unsigned long long)record->number, reason_end_name(REASON_FAILED),
			    resumed != 0 ? strerror(errno) : "no memory");
		destroy(conn, "");
		return NULL;
	}
	call_snoop_keep(conn->snoop, control_kept_memory(env->kept), &record->snoop, false);
	conn->pump.kept = control_kept_memory(env->kept);
	conn->pump.established = record->established;
	conn->pump.established_kept = &record->established;
	conn->pump.dropped = record->dropped;
	log_debug("%s: goes on", label(conn));
	return conn;
}

int control_conn_adopt(struct control_conn *conn, callid_ref call, const struct callid_info *info)
{
	/* Whatever the server has said before: it has accepted this. */
	if (info->open)
		conn->pump.established = true;
	return call_snoop_adopt(conn->snoop, call, info);
}

void control_conn_go_on(struct control_conn *conn)
{
	if (conn->state == CLOSING) {
		/* All of them had ended, unless the process did in the midst of that. */
		call_snoop_end(conn->snoop, monotonic_ms(), "connection closed");
		set_deadline(conn, LINGER_S);
		linger(conn);
		return;
	}
	if (!conn->pump.established)
		set_deadline(conn, conn->env->handshake_timeout_s);
	relay(conn);
}

void control_conn_leave(struct control_conn *conn)
{
	if (!conn->record) {
		control_conn_abort(conn);
		return;
	}
	conn->captured.capture = NULL; /* it goes on */
	call_snoop_leave(conn->snoop);
	conn->snoop = NULL;
	conn->record = NULL;
	conn->figures = NULL;
	control_leg_leave(&conn->legs[CALLID_CLIENT]);
	control_leg_leave(&conn->legs[CALLID_SERVER]);
	destroy(conn, "");
}

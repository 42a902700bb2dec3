/*
 * Access, the client's first message, the dial, then messages both ways; see control_conn.h for the
 * states.
 *
 * The server is dialled only once the client's whole Start-Control-Connection-Request is there:
 * pptpd, for one, accepts nobody else for 10 s while a connection says nothing. The request waits
 * in the client's socket until then.
 */
#include "control_conn.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINGER_S = 2,	      /* for queued octets and the peers' FINs */
	MESSAGES_A_TURN = 32, /* of one side, then others' turn */
	DROPS_TOLD = 5,	      /* of one connection; the rest is only counted */
};

enum state { CHECKING, WAITING, DIALLING, RELAYING, PARTING, CLOSING };

struct control_conn {
	LIST_ENTRY(control_conn) in_env;
	struct control_env *env;
	const struct pair *pair;
	void *loop_check;
	uint64_t number;
	enum state state;
	struct control_leg legs[2];
	struct event deadline;
	struct acl_cmd_check *check;
	struct control_dial *dial;
	struct call_snoop *snoop;
	bool established;
	unsigned dropped;
};

static const char *const side_names[] = {[CALLID_CLIENT] = "client", [CALLID_SERVER] = "server"};

/* ---- what the log says ---- */

enum { ADDRESS_TEXT = INET_ADDRSTRLEN + 6, LABEL_TEXT = 2 * PAIR_TEXT_MAX + 32 };

static const char *address_text(struct control_address address, char out[static ADDRESS_TEXT])
{
	char host[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &(struct in_addr){htonl(address.addr)}, host, sizeof(host));
	snprintf(out, ADDRESS_TEXT, "%s:%u", host, address.port);
	return out;
}

/* "#12 10.0.0.2:40000 -> 192.0.2.9:1723"; the pair's word while the server has no address yet. */
static const char *label(const struct control_conn *conn)
{
	static char text[LABEL_TEXT];
	char client[ADDRESS_TEXT], server[PAIR_TEXT_MAX];
	if (conn->legs[CALLID_SERVER].peer.port != 0)
		address_text(conn->legs[CALLID_SERVER].peer, server);
	else
		pair_endpoint_text(&conn->pair->peer, server);
	snprintf(text, sizeof(text), "#%llu %s -> %s", (unsigned long long)conn->number,
		 address_text(conn->legs[CALLID_CLIENT].peer, client), server);
	return text;
}

static void on_call_opened(void *arg, callid_ref call)
{
	struct control_conn *conn = arg;
	struct callid_info info;
	if (!callid_db_get(conn->env->db, call, &info))
		return;
	log_info("%s: call opened: client ID %u (server sees %u), server ID %u (client sees %u)",
		 label(conn), info.id[CALLID_CLIENT], info.shown[CALLID_SERVER],
		 info.id[CALLID_SERVER], info.shown[CALLID_CLIENT]);
	conn->env->call_opened(conn->env->arg, call);
}

static void on_call_ended(void *arg, const struct callid_info *info, const char *reason)
{
	const struct control_conn *conn = arg;
	const struct callid_counts *client = &info->from[CALLID_CLIENT],
				   *server = &info->from[CALLID_SERVER];

	if (!info->open) {
		log_info("%s: call ended before it opened: %s ID %u: %s", label(conn),
			 side_names[info->caller], info->id[info->caller], reason);
		return;
	}
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

static void dump_message(const struct control_conn *conn, const char *what, enum callid_side side,
			 const uint8_t *message, size_t length)
{
	char title[LABEL_TEXT + 64];
	if (!log_wants(LOG_LEVEL_DUMP))
		return;
	snprintf(title, sizeof(title), "%s: control %s %s, %zu octets", label(conn), what,
		 side_names[side], length);
	log_dump(title, message, length);
}

/* ---- endings ---- */

/* The one destroyer: any state. */
static void destroy(struct control_conn *conn, const char *reason)
{
	struct control_env *env = conn->env;

	acl_cmd_cancel(conn->check);
	control_dial_cancel(conn->dial);
	if (conn->snoop)
		call_snoop_end(conn->snoop, monotonic_ms(), reason);
	call_snoop_free(conn->snoop);
	event_del(&conn->deadline);
	control_leg_close(&conn->legs[CALLID_CLIENT]);
	control_leg_close(&conn->legs[CALLID_SERVER]);
	LIST_REMOVE(conn, in_env);
	env->conn_count--;
	free(conn);
	env->conn_gone(env->arg);
}

void control_conn_abort(struct control_conn *conn)
{
	destroy(conn, "given up");
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
			control_leg_shut(leg);
			control_leg_discard(leg);
			if (leg->peer_closed)
				control_leg_close(leg);
		}
		open = open || control_leg_is_open(leg);
	}
	if (!open)
		destroy(conn, "");
}

static void end_conn(struct control_conn *conn, const char *reason)
{
	if (conn->snoop)
		call_snoop_end(conn->snoop, monotonic_ms(), reason);
	if (conn->dropped > DROPS_TOLD)
		log_info("%s: closed: %s; %u messages dropped", label(conn), reason, conn->dropped);
	else
		log_info("%s: closed: %s", label(conn), reason);
	if (conn->state != RELAYING && conn->state != PARTING) {
		destroy(conn, reason);
		return;
	}
	conn->state = CLOSING;
	set_deadline(conn, LINGER_S);
	linger(conn);
}

static void refuse(struct control_conn *conn, const char *reason)
{
	log_info("%s: refused: %s", label(conn), reason);
	destroy(conn, reason);
}

/* What the side did, and that its octets are not to be waited for any more. */
__attribute__((format(printf, 3, 4))) static void fail_side(struct control_conn *conn,
							    enum callid_side side,
							    const char *format, ...)
{
	char reason[160];
	int used = snprintf(reason, sizeof(reason), "%s ", side_names[side]);
	va_list args;
	va_start(args, format);
	vsnprintf(reason + used, sizeof(reason) - (size_t)used, format, args);
	va_end(args);
	control_leg_close(&conn->legs[side]);
	end_conn(conn, reason);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *conn = arg;
	char reason[96];
	static const char *const waiting_for[] = {
	    [CHECKING] = "the access command",
	    [WAITING] = "the client's Start-Control-Connection-Request",
	    [DIALLING] = "the server to accept the connection",
	    [RELAYING] = "the server's Start-Control-Connection-Reply",
	};
	(void)fd;
	(void)what;
	if (conn->state == PARTING || conn->state == CLOSING) {
		destroy(conn, "shutting down");
		return;
	}
	snprintf(reason, sizeof(reason), "waited %u s for %s", conn->env->handshake_timeout_s,
		 waiting_for[conn->state]);
	end_conn(conn, reason);
}

/* ---- relaying ---- */

static void note_established(struct control_conn *conn)
{
	if (conn->established)
		return;
	conn->established = true;
	event_del(&conn->deadline);
	log_info("%s: connected", label(conn));
}

static void tell_drop(struct control_conn *conn, enum callid_side from, uint16_t type,
		      const char *reason)
{
	char name[16];
	if (++conn->dropped <= DROPS_TOLD)
		log_info("%s: dropped %s from %s: %s", label(conn), pptp_wire_name(type, name),
			 side_names[from], reason);
}

static int write_to(struct control_conn *conn, enum callid_side to, const uint8_t *message,
		    size_t length)
{
	dump_message(conn, "to", to, message, length);
	return control_leg_write(&conn->legs[to], message, length);
}

/* -1: the leg `*failed` does not take it. */
static int pass_message(struct control_conn *conn, enum callid_side from, uint8_t *message,
			const struct pptp_header *header, enum callid_side *failed)
{
	enum callid_side to = callid_other(from);
	struct snoop_step step;
	char name[16];

	log_debug("%s: %s from %s", label(conn), pptp_wire_name(header->type, name),
		  side_names[from]);
	dump_message(conn, "from", from, message, header->length);
	call_snoop_message(conn->snoop, from, message, header->length, monotonic_ms(), &step);
	*failed = to;
	if (step.verdict == SNOOP_DROP)
		tell_drop(conn, from, header->type, step.reason);
	else if (write_to(conn, to, message, header->length) != 0)
		return -1;
	if (control_leg_drained(&conn->legs[to]))
		call_snoop_written(conn->snoop, from);
	for (int side = 0; side < 2; side++) {
		const struct snoop_answer *answer = &step.answer[side];
		*failed = (enum callid_side)side;
		if (answer->length > 0 &&
		    write_to(conn, *failed, answer->octets, answer->length) != 0)
			return -1;
	}
	/* Result 0 occurs in the field. */
	if (from == CALLID_SERVER && header->type == PPTP_START_REPLY &&
	    pptp_wire_result(message) <= PPTP_RESULT_OK)
		note_established(conn);
	return 0;
}

enum pump { PUMP_WAIT, PUMP_ENDED, PUMP_GONE };

/* Passes on what waits from one side, as long as both legs take what they get. PUMP_GONE: the
 * connection has failed and is not this one's any more. */
static enum pump pump(struct control_conn *conn, enum callid_side from)
{
	struct control_leg *leg = &conn->legs[from], *other = &conn->legs[callid_other(from)];
	uint8_t octets[4 * PPTP_MESSAGE_MAX];

	for (unsigned handled = 0; handled < MESSAGES_A_TURN;) {
		if (!control_leg_drained(leg) || !control_leg_drained(other))
			return PUMP_WAIT;
		ssize_t got = control_leg_peek(leg, octets, sizeof(octets));
		if (got == 0)
			return PUMP_ENDED;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return PUMP_WAIT;
		if (got < 0) {
			fail_side(conn, from, "failed: %s", strerror(errno));
			return PUMP_GONE;
		}
		size_t at = 0;
		while (at < (size_t)got && control_leg_drained(leg) && control_leg_drained(other)) {
			struct pptp_header header;
			const char *lie;
			enum callid_side failed;
			enum wire_answer answer =
			    pptp_wire_parse(octets + at, (size_t)got - at, &header, &lie);
			if (answer == WIRE_BAD) {
				fail_side(conn, from, "sent a malformed message: %s", lie);
				return PUMP_GONE;
			}
			if (answer == WIRE_MORE)
				break;
			if (pass_message(conn, from, octets + at, &header, &failed) != 0) {
				fail_side(conn, failed, "failed: %s", strerror(errno));
				return PUMP_GONE;
			}
			control_leg_consume(leg, header.length);
			at += header.length;
			handled++;
		}
		if (at == 0)
			return leg->peer_closed ? PUMP_ENDED : PUMP_WAIT;
	}
	event_active(&leg->event, EV_READ, 0);
	return PUMP_WAIT;
}

static void relay(struct control_conn *conn)
{
	enum pump result[2];

	for (int side = 0; side < 2; side++) {
		if (control_leg_flush(&conn->legs[side]) != 0) {
			fail_side(conn, (enum callid_side)side, "failed: %s", strerror(errno));
			return;
		}
		if (control_leg_drained(&conn->legs[side]))
			call_snoop_written(conn->snoop, callid_other((enum callid_side)side));
	}
	/* Both, before an end of one counts: what the other has sent before is still delivered. */
	for (int side = 0; side < 2; side++) {
		result[side] = pump(conn, (enum callid_side)side);
		if (result[side] == PUMP_GONE)
			return;
	}
	if (result[CALLID_CLIENT] == PUMP_ENDED)
		end_conn(conn, "client closed the connection");
	else if (result[CALLID_SERVER] == PUMP_ENDED)
		end_conn(conn, "server closed the connection");
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
		if (write_to(conn, to, message, length) != 0) {
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
		end_conn(conn, "shutting down");
}

/* ---- before there is a server ---- */

static void on_leg(evutil_socket_t fd, short what, void *arg);

static void on_dialled(void *arg, int fd, const char *failure)
{
	struct control_conn *conn = arg;
	struct control_leg *legs = conn->legs;

	conn->dial = NULL;
	if (fd < 0) {
		char reason[sizeof(struct why) + 16];
		snprintf(reason, sizeof(reason), "no server: %s", failure);
		end_conn(conn, reason);
		return;
	}
	if (control_leg_open(&legs[CALLID_SERVER], fd, conn->env->base, on_leg, conn) != 0) {
		end_conn(conn, strerror(errno));
		return;
	}
	const struct callid_leg addresses[] = {
	    [CALLID_CLIENT] = {legs[CALLID_CLIENT].proxy.addr, legs[CALLID_CLIENT].peer.addr},
	    [CALLID_SERVER] = {legs[CALLID_SERVER].proxy.addr, legs[CALLID_SERVER].peer.addr},
	};
	conn->snoop = call_snoop_new(conn->env->db, addresses, conn->number, &snoop_events, conn);
	if (!conn->snoop) {
		end_conn(conn, "no memory");
		return;
	}
	conn->state = RELAYING;
	relay(conn);
}

static void dial(struct control_conn *conn)
{
	struct control_dial_config config = conn->env->dial;
	config.forbidden_arg = conn->loop_check;
	conn->state = DIALLING;
	conn->dial = control_dial_start(&config, &conn->pair->peer, on_dialled, conn);
	if (!conn->dial)
		end_conn(conn, "no memory");
}

/* Looks at the client's first message without taking it. */
static void await_request(struct control_conn *conn)
{
	struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	uint8_t octets[PPTP_MESSAGE_MAX];
	struct pptp_header header;
	const char *lie;
	char name[16];

	ssize_t got = control_leg_peek(leg, octets, sizeof(octets));
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (got < 0) {
		fail_side(conn, CALLID_CLIENT, "failed: %s", strerror(errno));
		return;
	}
	switch (pptp_wire_parse(octets, (size_t)got, &header, &lie)) {
	case WIRE_BAD:
		fail_side(conn, CALLID_CLIENT, "sent a malformed message: %s", lie);
		break;
	case WIRE_MORE:
		if (leg->peer_closed)
			end_conn(conn, "client closed the connection before its "
				       "Start-Control-Connection-Request");
		break;
	case WIRE_OK:
		if (header.type == PPTP_START_REQUEST)
			dial(conn);
		else
			fail_side(conn, CALLID_CLIENT,
				  "sent %s before a Start-Control-Connection-Request",
				  pptp_wire_name(header.type, name));
	}
}

static void end_if_client_left(struct control_conn *conn)
{
	struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	uint8_t octet;
	ssize_t got = control_leg_peek(leg, &octet, sizeof(octet));
	if (leg->peer_closed || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		end_conn(conn, "client closed the connection");
}

static void on_leg(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *conn = arg;
	if (what & EV_CLOSED)
		conn->legs[fd == conn->legs[CALLID_CLIENT].fd ? CALLID_CLIENT : CALLID_SERVER]
		    .peer_closed = true;
	switch (conn->state) {
	case CHECKING:
	case DIALLING:
		end_if_client_left(conn);
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

static void admit(struct control_conn *conn, const char *reason)
{
	log_debug("%s: allowed: %s", label(conn), reason);
	conn->state = WAITING;
	await_request(conn);
}

static void on_checked(void *arg, enum acl_answer answer, const char *why)
{
	struct control_conn *conn = arg;
	conn->check = NULL;
	if (answer == ACL_ALLOW)
		admit(conn, why);
	else
		refuse(conn, why);
}

static void ask_commands(struct control_conn *conn)
{
	char client[ADDRESS_TEXT], listen[ADDRESS_TEXT], peer[PAIR_TEXT_MAX], number[24];
	const struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	snprintf(number, sizeof(number), "#%llu", (unsigned long long)conn->number);
	struct acl_cmd_client about = {
	    .addr = leg->peer.addr,
	    .client = address_text(leg->peer, client),
	    .listen = address_text(leg->proxy, listen),
	    .peer = pair_endpoint_text(&conn->pair->peer, peer),
	    .label = number,
	};
	conn->check = acl_cmd_start(conn->env->commands, &about, on_checked, conn);
	if (!conn->check)
		refuse(conn, "no memory");
}

static void decide_access(struct control_conn *conn)
{
	const struct control_env *env = conn->env;
	const struct acl_rule *rule = NULL;
	char reason[64];
	bool by_rule = acl_match(env->acl, conn->legs[CALLID_CLIENT].peer.addr, &rule) == ACL_ALLOW;

	snprintf(reason, sizeof(reason), "rule %s", rule ? rule->text : "");
	if (env->acl->count == 0 && !env->commands)
		admit(conn, "no rules");
	else if (by_rule && (env->acl_any || !env->commands))
		admit(conn, reason);
	else if (env->commands && (by_rule || env->acl_any || env->acl->count == 0))
		ask_commands(conn);
	else
		refuse(conn, "no access rule allows it");
}

/* ---- birth, and the end of the program ---- */

struct control_conn *control_conn_next(const struct control_conn *conn)
{
	return LIST_NEXT(conn, in_env);
}

void control_conn_accept(struct control_env *env, const struct pair *pair, void *loop_check, int fd)
{
	struct control_conn *conn = calloc(1, sizeof(*conn));
	if (!conn) {
		close(fd);
		return;
	}
	conn->env = env;
	conn->pair = pair;
	conn->loop_check = loop_check;
	conn->number = ++env->last_number;
	conn->legs[CALLID_SERVER] = CONTROL_LEG_NONE;
	evtimer_assign(&conn->deadline, env->base, on_deadline, conn);
	if (control_leg_open(&conn->legs[CALLID_CLIENT], fd, env->base, on_leg, conn) != 0) {
		free(conn); /* it went away before we looked */
		return;
	}
	LIST_INSERT_HEAD(&env->conns, conn, in_env);
	env->conn_count++;
	log_debug("%s: accepted", label(conn));
	set_deadline(conn, env->handshake_timeout_s);
	decide_access(conn);
}

void control_conn_shut_down(struct control_conn *conn)
{
	if (conn->state == RELAYING) {
		conn->state = PARTING;
		set_deadline(conn, LINGER_S);
		say_farewell(conn);
	} else if (conn->state < PARTING) {
		end_conn(conn, "shutting down");
	}
}

/*
 * A connection among the others: its birth, its place in their list, who gives way to a newcomer;
 * and what an event means in each state, which leads to the control_conn_*.c. control_conn.h has
 * the states, control_conn_own.h the pieces.
 */
#include "control/control_conn_own.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum { YOUNG_MS = 1000 }; /* half open, and not put out for its own source's newcomers */

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

void control_conn_describe(const struct control_conn *conn, struct control_conn_info *info)
{
	*info = (struct control_conn_info){
	    .number = conn->number,
	    .peer = {conn->legs[CALLID_CLIENT].peer, conn->legs[CALLID_SERVER].peer},
	    .half_open = conn->guest.half_open,
	    .pair = control_pairs_number(conn->env->pairs, conn->figures),
	};
}

uint64_t control_conn_number(const struct control_conn *conn)
{
	return conn->number;
}

struct control_conn *control_conn_next(const struct control_conn *conn)
{
	return LIST_NEXT(conn, in_env);
}

void control_conn_settle(struct control_conn *conn)
{
	if (!conn->guest.half_open)
		return;
	control_sources_settle(conn->env->sources, &conn->guest);
	conn->env->conn_settled(conn->env->arg);
}

/* ---- events ---- */

void control_conn_on_leg(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *conn = arg;
	struct control_leg *leg =
	    &conn->legs[fd == conn->legs[CALLID_CLIENT].fd ? CALLID_CLIENT : CALLID_SERVER];

	if (what & EV_CLOSED)
		leg->peer_closed = true;
	if (what & (EV_READ | EV_CLOSED))
		leg->quiet = false;
	else if (conn->state < CONTROL_CONN_RELAYING)
		return;
	switch (conn->state) {
	case CONTROL_CONN_CHECKING:
		control_conn_access_look(conn);
		break;
	case CONTROL_CONN_DIALLING:
		/* Its request waits, so a look would find no end: only the event can tell. */
		if (leg->peer_closed)
			control_conn_end(conn, REASON_CLIENT_CLOSED, "");
		break;
	case CONTROL_CONN_WAITING:
		control_conn_request_await(conn);
		break;
	case CONTROL_CONN_RELAYING:
		control_conn_pass(conn);
		break;
	case CONTROL_CONN_PARTING:
		control_conn_pass_farewell(conn);
		break;
	case CONTROL_CONN_CLOSING:
		control_conn_end_linger(conn);
		break;
	}
}

/* ---- birth ---- */

static uint64_t next_number(struct control_env *env)
{
	return env->kept ? control_kept_next_number(env->kept) : ++env->last_number;
}

struct control_conn *control_conn_new(struct control_env *env, uint64_t number)
{
	struct control_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	conn->env = env;
	conn->number = number;
	conn->legs[CALLID_CLIENT] = conn->legs[CALLID_SERVER] = CONTROL_LEG_NONE;
	evtimer_assign(&conn->deadline, env->base, control_conn_end_on_deadline, conn);
	return conn;
}

void control_conn_enter(struct control_conn *conn)
{
	LIST_INSERT_HEAD(&conn->env->conns, conn, in_env);
	conn->env->conn_count++;
}

/* One that there is no memory for. */
static void refuse_unmade(struct control_env *env, const struct control_socket *client)
{
	char address[CONTROL_CONN_ADDRESS_TEXT];
	env->counts->refusals[REASON_REFUSAL_MEMORY]++;
	if (log_limit_allows(&env->lines[CONTROL_LINE_REFUSED], monotonic_ms()))
		log_info("%s: refused: %s", control_conn_log_address(client->peer, address),
			 reason_refusal_name(REASON_REFUSAL_MEMORY));
}

/* One that went before we looked. */
static void end_unseen(struct control_env *env, const struct control_socket *client)
{
	char address[CONTROL_CONN_ADDRESS_TEXT];
	env->counts->ends[REASON_CLIENT_CLOSED]++;
	if (log_limit_allows(&env->lines[CONTROL_LINE_UNHEARD], monotonic_ms()))
		log_info("%s: closed: %s: at once", control_conn_log_address(client->peer, address),
			 reason_end_name(REASON_CLIENT_CLOSED));
}

void control_conn_accept(struct control_env *env, const struct pair *pair, void *loop_check,
			 const struct control_socket *client)
{
	struct control_conn *conn = control_conn_new(env, next_number(env));
	if (!conn) {
		refuse_unmade(env, client);
		close(client->fd);
		return;
	}
	conn->pair = pair;
	conn->loop_check = loop_check;
	env->pair_used(loop_check, true);
	if (control_leg_open(&conn->legs[CALLID_CLIENT], client, env->base, control_conn_on_leg,
			     conn) != 0) {
		end_unseen(env, client);
		control_conn_end_pair(conn);
		free(conn);
		return;
	}
	if (control_sources_add(env->sources, &conn->guest, conn->legs[CALLID_CLIENT].peer.addr,
				monotonic_ms()) != 0) {
		refuse_unmade(env, client);
		control_leg_close(&conn->legs[CALLID_CLIENT]);
		control_conn_end_pair(conn);
		free(conn);
		return;
	}
	control_conn_enter(conn);
	conn->figures = control_pairs_take(env->pairs, pair->place);
	log_debug("%s: accepted", control_conn_log_label(conn));
	control_conn_end_after(conn, env->handshake_timeout_s);
	control_conn_access_decide(conn);
}

/* ---- ends from outside ---- */

static void put_out(struct control_conn *conn, uint64_t now)
{
	struct control_env *env = conn->env;
	const char *name = reason_end_name(REASON_PUT_OUT);
	/* That one which lingers has ended, is counted and in the log already. */
	env->counts->ends[REASON_PUT_OUT] += conn->state != CONTROL_CONN_CLOSING;
	if (conn->state != CONTROL_CONN_CLOSING &&
	    log_limit_allows(&env->lines[CONTROL_LINE_PUT_OUT], now))
		log_info("%s: closed: %s: for a newcomer: half open for %llu s, the oldest of %u "
			 "such connections of its address",
			 control_conn_log_label(conn), name,
			 (unsigned long long)(now - conn->guest.since) / 1000,
			 control_sources_half_open(&conn->guest));
	control_conn_end_destroy(conn, name);
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
		control_conn_end_refuse(
		    newest, REASON_LIMIT,
		    ": no room, and its address has the most half-open connections");
		return true;
	}
	struct control_conn *conn =
	    (struct control_conn *)((char *)guest - offsetof(struct control_conn, guest));
	put_out(conn, now);
	return true;
}

void control_conn_shut_down(struct control_conn *conn)
{
	if (conn->state == CONTROL_CONN_RELAYING) {
		conn->state = CONTROL_CONN_PARTING;
		event_del(&conn->deadline);
		control_conn_pass_farewell(conn);
	} else if (conn->state < CONTROL_CONN_PARTING) {
		control_conn_end(conn, REASON_SHUTTING_DOWN, "");
	}
}

void control_conn_abort(struct control_conn *conn)
{
	const char *name = reason_end_name(REASON_SHUTTING_DOWN);
	if (conn->state != CONTROL_CONN_CLOSING) {
		conn->env->counts->ends[REASON_SHUTTING_DOWN]++;
		log_info("%s: closed: %s", control_conn_log_label(conn), name);
	}
	control_conn_end_destroy(conn, name);
}

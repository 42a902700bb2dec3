/*
 * Every way out of a connection: refused, ended, past its deadline; and the one destroyer.
 */
#include "control/control_conn_own.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINGER_S = 2 }; /* for queued octets and the peers' FINs */

void control_conn_end_pair(struct control_conn *conn)
{
	if (conn->pair)
		conn->env->pair_used(conn->loop_check, false);
	conn->pair = NULL;
}

void control_conn_end_destroy(struct control_conn *conn, const char *reason)
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
	control_conn_end_pair(conn);
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

void control_conn_end_after(struct control_conn *conn, unsigned seconds)
{
	struct timeval after = {.tv_sec = seconds};
	event_add(&conn->deadline, &after);
}

/* Queued octets leave, then our FIN, then the peer's comes: a close with unread input would be a
 * reset, and a reset can overtake what has just been written. */
void control_conn_end_linger(struct control_conn *conn)
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
		control_conn_end_destroy(conn, "");
}

void control_conn_end_start_to_linger(struct control_conn *conn)
{
	control_conn_end_after(conn, LINGER_S);
	control_conn_end_linger(conn);
}

enum { END_TEXT = sizeof(struct why) + 32 };

/* The reason's name, and more about this one. */
static const char *end_text(enum reason_end reason, const char *more, char out[static END_TEXT])
{
	snprintf(out, END_TEXT, "%s%s", reason_end_name(reason), more);
	return out;
}

void control_conn_end(struct control_conn *conn, enum reason_end reason, const char *more)
{
	char text[END_TEXT];
	end_text(reason, more, text);
	conn->env->counts->ends[reason]++;
	if (conn->snoop)
		call_snoop_end(conn->snoop, monotonic_ms(), text);
	control_conn_log_end(conn, text);
	if (conn->state != CONTROL_CONN_RELAYING && conn->state != CONTROL_CONN_PARTING) {
		control_conn_end_destroy(conn, text);
		return;
	}
	for (int side = 0; side < 2; side++)
		conn->captured.legs[side].peer_closed = conn->legs[side].peer_closed;
	conn->state = CONTROL_CONN_CLOSING;
	if (conn->record)
		conn->record->closing = true;
	control_conn_end_start_to_linger(conn);
}

void control_conn_end_side(struct control_conn *conn, const struct control_pump_failure *failure)
{
	control_leg_close(&conn->legs[failure->side]);
	control_conn_end(conn, failure->reason, failure->more);
}

void control_conn_end_refuse(struct control_conn *conn, enum reason_refusal reason,
			     const char *more)
{
	const char *name = reason_refusal_name(reason);
	conn->env->counts->refusals[reason]++;
	if (log_limit_allows(&conn->env->lines[CONTROL_LINE_REFUSED], monotonic_ms()))
		log_info("%s: refused: %s%s", control_conn_log_label(conn), name, more);
	control_conn_end_destroy(conn, name);
}

void control_conn_end_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct control_conn *conn = arg;
	char more[96];
	static const char *const waiting_for[] = {
	    [CONTROL_CONN_CHECKING] = "the access command",
	    [CONTROL_CONN_WAITING] = "the client's Start-Control-Connection-Request",
	    [CONTROL_CONN_DIALLING] = "the server to accept the connection",
	    [CONTROL_CONN_RELAYING] = "the server's Start-Control-Connection-Reply",
	};
	(void)fd;
	(void)what;
	if (conn->state == CONTROL_CONN_CLOSING) {
		control_conn_end_destroy(conn, "");
		return;
	}
	if (conn->stalled) {
		control_conn_end(conn, REASON_DEADLINE,
				 ": one end closed the connection, the other does not read");
		return;
	}
	snprintf(more, sizeof(more), ": waited %u s for %s", conn->env->handshake_timeout_s,
		 waiting_for[conn->state]);
	if (conn->state == CONTROL_CONN_DIALLING)
		control_pairs_dialled(conn->figures, more + 2, monotonic_ms());
	control_conn_end(conn, REASON_DEADLINE, more);
}

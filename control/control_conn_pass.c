/*
 * Both legs are there: messages pass, until one end goes or the program says farewell.
 */
#include "control/control_conn_own.h"

#include "host/monotonic.h"

#include <stdio.h>

enum { STALLED_S = 30 }; /* for one end to read what the other had sent before it went */

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

int control_conn_pass_prepare(struct control_conn *conn)
{
	struct control_leg *legs = conn->legs;
	const struct callid_leg addresses[] = {
	    [CALLID_CLIENT] = {legs[CALLID_CLIENT].proxy.addr, legs[CALLID_CLIENT].peer.addr},
	    [CALLID_SERVER] = {legs[CALLID_SERVER].proxy.addr, legs[CALLID_SERVER].peer.addr},
	};
	snprintf(conn->label, sizeof(conn->label), "%s", control_conn_log_label(conn));
	conn->snoop = call_snoop_new(conn->env->db, addresses, conn->number,
				     &control_conn_calls_events, conn);
	conn->pump = (struct control_pump){
	    .legs = legs,
	    .snoop = conn->snoop,
	    .label = control_conn_log_label,
	    .label_arg = conn,
	    .before_call = conn->env->kept ? control_conn_kept_begin : NULL,
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
		control_conn_end_after(conn, STALLED_S);
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

void control_conn_pass(struct control_conn *conn)
{
	struct control_pump_failure failure;
	enum control_pump_answer answers[2] = {CONTROL_PUMP_WAIT, CONTROL_PUMP_WAIT};
	bool failed = flush_both(conn, &failure);

	failed = pump_both(conn, failed, &failure, answers);
	control_conn_kept_note(conn);
	if (conn->pump.established)
		control_conn_settle(conn);
	if (conn->pump.established && !conn->stalled)
		event_del(&conn->deadline);
	if (failed)
		control_conn_end_side(conn, &failure);
	else if (answers[CALLID_CLIENT] == CONTROL_PUMP_ENDED)
		control_conn_end(conn, REASON_CLIENT_CLOSED, "");
	else if (answers[CALLID_SERVER] == CONTROL_PUMP_ENDED)
		control_conn_end(conn, REASON_SERVER_CLOSED, "");
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

void control_conn_pass_farewell(struct control_conn *conn)
{
	bool client_told = say_what_fits(conn, CALLID_CLIENT),
	     server_told = say_what_fits(conn, CALLID_SERVER);
	if (client_told && server_told)
		control_conn_end(conn, REASON_SHUTTING_DOWN, "");
}

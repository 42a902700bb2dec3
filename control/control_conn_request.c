/*
 * The client's first message, then the dial.
 *
 * The server is dialled only once the client's whole Start-Control-Connection-Request is there:
 * pptpd, for one, accepts nobody else for 10 s while a connection says nothing. The request waits
 * in the client's socket until then.
 */
#include "control/control_conn_own.h"

#include "host/monotonic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_dialled(void *arg, const struct control_socket *server, const char *failure)
{
	struct control_conn *conn = arg;

	conn->dial = NULL;
	control_pairs_dialled(conn->figures, failure, monotonic_ms());
	if (!server) {
		char more[sizeof(struct why) + 16];
		snprintf(more, sizeof(more), ": %s", failure);
		control_conn_end(conn, REASON_NO_SERVER, more);
		return;
	}
	if (control_leg_open(&conn->legs[CALLID_SERVER], server, conn->env->base,
			     control_conn_on_leg, conn) != 0) {
		char more[128];
		snprintf(more, sizeof(more), ": server: %s", strerror(errno));
		control_conn_end(conn, REASON_FAILED, more);
		return;
	}
	if (control_conn_pass_prepare(conn) != 0) {
		control_conn_end(conn, REASON_END_MEMORY, "");
		return;
	}
	conn->state = CONTROL_CONN_RELAYING;
	control_conn_end_pair(conn);
	control_conn_pass(conn);
}

static void dial(struct control_conn *conn)
{
	struct control_dial_config config = conn->env->dial;
	config.forbidden_arg = conn->loop_check;
	config.lines = &conn->env->lines[CONTROL_LINE_NO_SERVER];
	/* Names only have lines. */
	config.label = conn->pair->peer.numeric ? "" : control_conn_log_label(conn);
	conn->state = CONTROL_CONN_DIALLING;
	conn->dial = control_dial_start(&config, &conn->pair->peer, on_dialled, conn);
	if (!conn->dial)
		control_conn_end(conn, REASON_END_MEMORY, "");
}

static void fail_client(struct control_conn *conn, enum reason_end reason, const char *more)
{
	struct control_pump_failure failure = {.side = CALLID_CLIENT, .reason = reason};
	snprintf(failure.more, sizeof(failure.more), "%s", more);
	control_conn_end_side(conn, &failure);
}

void control_conn_request_await(struct control_conn *conn)
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
		snprintf(more, sizeof(more), ": message from client: %s", lie);
		fail_client(conn, REASON_MALFORMED, more);
		break;
	case WIRE_MORE:
		if (leg->peer_closed)
			control_conn_end(conn, REASON_CLIENT_CLOSED,
					 ": before its Start-Control-Connection-Request");
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

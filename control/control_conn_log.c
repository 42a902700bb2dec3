/*
 * How a connection is called in the log, and whether its lines may stand there. What they say is
 * mostly told where it happens.
 */
#include "control/control_conn_own.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <stdio.h>

enum { LABEL_TEXT = 2 * PAIR_TEXT_MAX + 32 };

const char *control_conn_log_address(struct control_address address,
				     char out[static CONTROL_CONN_ADDRESS_TEXT])
{
	uint32_t addr = address.addr;
	snprintf(out, CONTROL_CONN_ADDRESS_TEXT, "%u.%u.%u.%u:%u", addr >> 24, addr >> 16 & 255,
		 addr >> 8 & 255, addr & 255, address.port);
	return out;
}

const char *control_conn_log_label(const void *arg)
{
	const struct control_conn *conn = arg;
	static char text[LABEL_TEXT];
	char client[CONTROL_CONN_ADDRESS_TEXT], server[PAIR_TEXT_MAX];
	if (conn->label[0] != '\0')
		return conn->label;
	if (conn->legs[CALLID_SERVER].peer.port != 0)
		control_conn_log_address(conn->legs[CALLID_SERVER].peer, server);
	else
		pair_endpoint_text(&conn->pair->peer, server);
	snprintf(text, sizeof(text), "#%llu %s -> %s", (unsigned long long)conn->number,
		 control_conn_log_address(conn->legs[CALLID_CLIENT].peer, client), server);
	return text;
}

bool control_conn_log_allowed(const struct control_conn *conn)
{
	return conn->state == CONTROL_CONN_PARTING ||
	       log_limit_allows(control_sources_lines(&conn->guest), monotonic_ms());
}

static bool may_tell_end(struct control_conn *conn)
{
	struct log_limit *lines = conn->env->lines;
	if (conn->state >= CONTROL_CONN_RELAYING)
		return control_conn_log_allowed(conn);
	if (conn->state == CONTROL_CONN_DIALLING)
		return log_limit_allows(&lines[CONTROL_LINE_NO_SERVER], monotonic_ms());
	return log_limit_allows(&lines[CONTROL_LINE_UNHEARD], monotonic_ms());
}

void control_conn_log_end(struct control_conn *conn, const char *reason)
{
	if (!may_tell_end(conn)) {
		/* It is counted. */
	} else if (conn->pump.dropped > 0)
		log_info("%s: closed: %s; %u messages dropped", control_conn_log_label(conn),
			 reason, conn->pump.dropped);
	else
		log_info("%s: closed: %s", control_conn_log_label(conn), reason);
}

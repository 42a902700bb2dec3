/*
 * Who may stay: access rules first, then commands, if they are to be asked.
 */
#include "control/control_conn_own.h"

#include "host/log.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#define NO_RULE SIZE_MAX

static void count_rule(struct control_conn *conn, size_t place)
{
	control_rules_count(conn->env->rules, conn->rules, place);
}

static void admit(struct control_conn *conn, const char *reason)
{
	log_debug("%s: allowed: %s", control_conn_log_label(conn), reason);
	if (conn->rule != NO_RULE)
		count_rule(conn, conn->rule);
	conn->state = CONTROL_CONN_WAITING;
	control_conn_request_await(conn);
}

static void refuse_by_command(struct control_conn *conn, const char *why)
{
	char more[512];
	snprintf(more, sizeof(more), ": %s", why);
	control_conn_end_refuse(conn, REASON_COMMAND, more);
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
		control_conn_end_refuse(conn, REASON_REFUSAL_MEMORY, "");
}

void control_conn_access_decide(struct control_conn *conn)
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
		control_conn_end_refuse(conn, REASON_ACL, ": no access rule allows it");
}

void control_conn_access_look(struct control_conn *conn)
{
	struct control_leg *leg = &conn->legs[CALLID_CLIENT];
	uint8_t octet;
	ssize_t got = control_leg_peek(leg, &octet, sizeof(octet));
	if (leg->peer_closed || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		control_conn_end(conn, REASON_CLIENT_CLOSED, "");
}

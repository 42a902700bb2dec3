/*
 * What becomes of a connection's calls: told, counted, and one of them ended by an operator's word.
 */
#include "control/control_conn_own.h"

#include "host/log.h"
#include "host/monotonic.h"

enum { UNOPENED_TOLD = 5 }; /* of a connection's calls that never opened; more only with -d */

static void on_call_opened(void *arg, callid_ref call)
{
	struct control_conn *conn = arg;
	struct callid_info info;
	control_conn_settle(conn);
	conn->env->counts->calls_opened++;
	if (!callid_db_get(conn->env->db, call, &info))
		return;
	if (control_conn_log_allowed(conn))
		log_info(
		    "%s: call opened: client ID %u (server sees %u), server ID %u (client sees %u)",
		    control_conn_log_label(conn), info.id[CALLID_CLIENT], info.shown[CALLID_SERVER],
		    info.id[CALLID_SERVER], info.shown[CALLID_CLIENT]);
	conn->env->call_opened(conn->env->arg, call);
}

static void on_call_ended(void *arg, const struct callid_info *info, const char *reason)
{
	struct control_conn *conn = arg;
	const struct callid_counts *client = &info->from[CALLID_CLIENT],
				   *server = &info->from[CALLID_SERVER];

	if (!info->open) {
		if ((++conn->unopened <= UNOPENED_TOLD && control_conn_log_allowed(conn)) ||
		    log_wants(LOG_LEVEL_DEBUG))
			log_info("%s: call ended before it opened: %s ID %u: %s",
				 control_conn_log_label(conn), callid_side_name(info->caller),
				 info->id[info->caller], reason);
		return;
	}
	conn->env->counts->calls_ended++;
	if (!control_conn_log_allowed(conn))
		return;
	log_info("%s: call ended: client ID %u, server ID %u: %s: %llu s; client sent %llu "
		 "packets, %llu octets, "
		 "%llu dropped; server sent %llu packets, %llu octets, %llu dropped",
		 control_conn_log_label(conn), info->id[CALLID_CLIENT], info->id[CALLID_SERVER],
		 reason, (unsigned long long)(monotonic_ms() - info->opened_at) / 1000,
		 (unsigned long long)client->packets, (unsigned long long)client->octets,
		 (unsigned long long)client->drops, (unsigned long long)server->packets,
		 (unsigned long long)server->octets, (unsigned long long)server->drops);
}

const struct call_snoop_events control_conn_calls_events = {.opened = on_call_opened,
							    .ended = on_call_ended};

/* ---- one call's end, by an operator's word ---- */

static int tell_ended(const struct control_conn *conn, const struct callid_info *info,
		      struct why *told)
{
	if (info->open)
		why_set(told, "call ended: %s: client ID %u, server ID %u",
			control_conn_log_label(conn), info->id[CALLID_CLIENT],
			info->id[CALLID_SERVER]);
	else
		why_set(told, "call ended before it opened: %s: %s ID %u",
			control_conn_log_label(conn), callid_side_name(info->caller),
			info->id[info->caller]);
	return 0;
}

static const char *why_none(const struct control_conn *conn, int32_t client_id)
{
	if (conn->state == CONTROL_CONN_RELAYING && client_id < 0 &&
	    call_snoop_unassigned(conn->snoop) > 1)
		return "more than one call has no client ID yet: which one cannot be told";
	return "no such call";
}

int control_conn_calls_end(struct control_conn *conn, int32_t client_id, uid_t who,
			   struct why *told)
{
	struct control_pump_failure failure;
	struct callid_info info;
	callid_ref call =
	    conn->state == CONTROL_CONN_RELAYING ? call_snoop_find(conn->snoop, client_id) : 0;

	if (!call || !callid_db_get(conn->env->db, call, &info))
		return why_set(told, "%s", why_none(conn, client_id));
	if (!control_pump_has_room(&conn->pump))
		return why_set(told, "not ended: one end does not read what waits for it already");
	int result = tell_ended(conn, &info, told);
	char reason[48];
	snprintf(reason, sizeof(reason), "ended by the operator, user %u", (unsigned)who);
	if (control_pump_end_call(&conn->pump, call, reason, &failure) == CONTROL_PUMP_FAILED)
		control_conn_end_side(conn, &failure);
	else
		control_conn_kept_note(conn);
	return result;
}

/*
 * A connection over the end of a process: its record in the kept memory, how it is left, and how
 * the next process goes on with it.
 */
#include "control/control_conn_own.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- the record ---- */

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

void control_conn_kept_begin(void *arg)
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
		log_warning("%s: will not outlive a restart: %s", control_conn_log_label(conn),
			    strerror(errno));
		conn->legs[0].record = NULL;
		control_kept_release(env->kept, record);
		return;
	}
	call_snoop_keep(conn->snoop, kept, &record->snoop, true);
	conn->record = record;
	conn->pump.kept = kept;
	conn->pump.established_kept = &record->established;
	control_conn_kept_note(conn);
	kept_fence();
	record->used = true;
}

void control_conn_kept_note(struct control_conn *conn)
{
	if (!conn->record)
		return;
	conn->record->dropped = conn->pump.dropped;
	conn->record->unopened = conn->unopened;
}

/* ---- left by one process, found by the next ---- */

void control_conn_kept_leave(struct control_conn *conn)
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
	control_conn_end_destroy(conn, "");
}

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
		if (control_leg_open(leg, &socket, env->base, control_conn_on_leg, conn) != 0 ||
		    control_leg_resume(leg, control_kept_memory(env->kept), &record->legs[side],
				       record->closing, env->graves) != 0)
			error = errno;
	}
	errno = error;
	return error == 0 ? 0 : -1;
}

struct control_conn *control_conn_kept_restore(struct control_env *env,
					       struct control_record *record, const int fds[2])
{
	struct control_conn *conn = control_conn_new(env, record->number);
	if (!conn) {
		close(fds[0]);
		close(fds[1]);
		control_kept_release(env->kept, record);
		return NULL;
	}
	control_conn_enter(conn);
	/* Without memory nobody counts it. It has a call, so it is not half open. */
	control_sources_restore(env->sources, &conn->guest, record->ends[CALLID_CLIENT].peer.addr,
				monotonic_ms());
	conn->figures = control_pairs_take_number(env->pairs, record->pair);
	conn->record = record;
	conn->state = record->closing ? CONTROL_CONN_CLOSING : CONTROL_CONN_RELAYING;
	conn->unopened = record->unopened;
	int resumed = resume(conn, fds);
	if (resumed != 0 || control_conn_pass_prepare(conn) != 0) {
		env->counts->ends[REASON_FAILED]++;
		log_warning("#%llu: closed: %s: cannot go on: %s",
			    (unsigned long long)record->number, reason_end_name(REASON_FAILED),
			    resumed != 0 ? strerror(errno) : "no memory");
		control_conn_end_destroy(conn, "");
		return NULL;
	}
	call_snoop_keep(conn->snoop, control_kept_memory(env->kept), &record->snoop, false);
	conn->pump.kept = control_kept_memory(env->kept);
	conn->pump.established = record->established;
	conn->pump.established_kept = &record->established;
	conn->pump.dropped = record->dropped;
	log_debug("%s: goes on", control_conn_log_label(conn));
	return conn;
}

int control_conn_kept_adopt(struct control_conn *conn, callid_ref call,
			    const struct callid_info *info)
{
	/* Whatever the server has said before: it has accepted this. */
	if (info->open)
		conn->pump.established = true;
	return call_snoop_adopt(conn->snoop, call, info);
}

void control_conn_kept_go_on(struct control_conn *conn)
{
	if (conn->state == CONTROL_CONN_CLOSING) {
		/* All of them had ended, unless the process did in the midst of that. */
		call_snoop_end(conn->snoop, monotonic_ms(), "connection closed");
		control_conn_end_start_to_linger(conn);
		return;
	}
	if (!conn->pump.established)
		control_conn_end_after(conn, conn->env->handshake_timeout_s);
	control_conn_pass(conn);
}

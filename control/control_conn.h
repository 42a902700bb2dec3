/*
 * control_conn: one control connection, from accept to the last octet.
 *
 *   checking -> waiting -> dialling -> relaying [-> parting] -> closing -> gone
 *   (access)   (SCCRQ)    (server)    (messages)  (farewell)   (queued octets, FINs)
 *
 * A connection is the set of its live handles; whatever happens, one function lets go of what is
 * left. Each has a number, and its log lines start with that and its addresses.
 *
 * Thread: control thread.
 */
#ifndef CONTROL_CONN_H
#define CONTROL_CONN_H

#include "callid_db.h"
#include "control/control_leg.h"
#include "host/why.h"

struct control_conn;
struct control_env;
struct control_record;
struct pair;

/* Makes the lists and the limits of lines; before the first connection. */
void control_conn_prepare(struct control_env *env);

/* Takes an accepted client over and decides, now or later, whether it may stay. pair outlives
 * the connection's need of it, as pair_used tells; loop_check is dial.forbidden_arg. */
void control_conn_accept(struct control_env *env, const struct pair *pair, void *loop_check,
			 const struct control_socket *client);

/* A connection of the process before, with its descriptors, both taken over. NULL: it is over, and
 * the log knows. Its calls are adopted next, then it goes on. */
struct control_conn *control_conn_kept_restore(struct control_env *env,
					       struct control_record *record, const int fds[2]);

/* As call_snoop_adopt. */
int control_conn_kept_adopt(struct control_conn *conn, callid_ref call,
			    const struct callid_info *info);
void control_conn_kept_go_on(struct control_conn *conn);

/* Another process goes on with it, if it is kept; else it is aborted. */
void control_conn_kept_leave(struct control_conn *conn);

/* Ends the half-open connection that gives way to the one that came last (see
 * control_sources_oldest); that one itself, where it is of the same source and the other has not
 * had a second yet: of a crowd that comes at once some are to get through. False: there is none. */
bool control_conn_put_out(struct control_env *env);

/* Tells both ends what their peer would have told them, and closes in order. */
void control_conn_shut_down(struct control_conn *conn);

/* What an operator sees of it. */
struct control_conn_info {
	uint64_t number;
	struct control_address peer[2]; /* by side; the server's port is 0 until it has accepted */
	bool half_open;
	uint32_t pair; /* that it came by: its figures' number, see control_pairs.h */
};
void control_conn_describe(const struct control_conn *conn, struct control_conn_info *info);

/* Ends one of its calls in order, the connection goes on; client_id and who as in
 * control_relay_end_call. 0, and told says what was ended; or -1, and told says why nothing was. */
int control_conn_calls_end(struct control_conn *conn, int32_t client_id, uid_t who,
			   struct why *told);

uint64_t control_conn_number(const struct control_conn *conn);

/* The one behind it in env->conns, NULL at the end. */
struct control_conn *control_conn_next(const struct control_conn *conn);

void control_conn_abort(
    struct control_conn *conn); /* lets go of everything now; the ends are told nothing */

#endif

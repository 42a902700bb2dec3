/*
 * control_conn: one control connection, from accept to the last octet.
 *
 *   checking -> waiting -> dialling -> relaying [-> parting]  -> closing -> gone
 *   (access)   (SCCRQ)    (server)     (messages)  (farewell)    (queued octets leave, the peers'
 * FINs come)
 *
 * A connection is the set of its live handles; whatever happens, one function lets go of what is
 * left. Each has a number, and its log lines start with that and its addresses.
 *
 * Thread: control thread.
 */
#ifndef CONTROL_CONN_H
#define CONTROL_CONN_H

#include "acl_ask.h"
#include "call_snoop.h"
#include "control/control_dial.h"
#include "control/control_graves.h"
#include "control/control_kept.h"
#include "control/control_leg.h"
#include "control/control_pairs.h"
#include "control/control_pump.h"
#include "control/control_rules.h"
#include "control/control_sources.h"
#include "host/why.h"
#include "pair.h"

#include <sys/queue.h>

struct control_conn;
LIST_HEAD(control_conns, control_conn);

/* Lines of connections that never got as far as a server, by kind: strangers can provoke them at
 * will. What connections say beyond that is limited by source. */
enum control_line {
	CONTROL_LINE_REFUSED,	/* no rule, no command, too many or too fast */
	CONTROL_LINE_UNHEARD,	/* ended before a whole Start-Control-Connection-Request */
	CONTROL_LINE_NO_SERVER, /* none could be reached; a name's last good answer serves */
	CONTROL_LINE_PUT_OUT,	/* for a newcomer */
	CONTROL_LINE_NO_GRE,	/* of calls that opened */
	CONTROL_LINES,
};

/* What all connections of a relay share; outlives them. */
struct control_env {
	struct event_base *base;
	struct callid_db *db;
	const struct acl *acl;	  /* no rules: any source, unless there are commands */
	struct acl_ask *commands; /* whom to ask about them; NULL: there are none */
	bool acl_any; /* a rule or a command is enough; else both, where both are given */
	unsigned handshake_timeout_s;
	struct control_dial_config dial; /* forbidden_arg is set for each pair */
	struct control_sources *sources; /* all connections are in it */
	unsigned max_calls;		 /* of one connection; 0: any number */

	struct control_conns conns;
	size_t conn_count;
	uint64_t last_number;
	struct control_kept *kept;     /* NULL: connections end with the process */
	struct control_graves *graves; /* of kept connections' descriptors */
	struct capture *capture;       /* NULL: nobody wants to see messages */
	struct control_counts *counts; /* of connections and messages */
	struct control_pairs *pairs;   /* what has become of each pair's */
	struct control_rules *rules;   /* how many each has let in */
	struct log_limits limited;     /* all kinds of lines that have a limit */
	struct log_limit lines[CONTROL_LINES];
	/* Told by connections. */
	void (*call_opened)(void *arg, callid_ref call);
	void (*conn_gone)(void *arg);	 /* conn_count is one less */
	void (*conn_settled)(void *arg); /* one is half open no more */
	/* A connection needs its pair, or no longer does. */
	void (*pair_used)(void *loop_check, bool used);
	void *arg;
};

/* Makes the lists and the limits of lines; before the first connection. */
void control_conn_prepare(struct control_env *env);

/* Takes an accepted client over and decides, now or later, whether it may stay. pair outlives
 * the connection's need of it, as pair_used tells; loop_check is dial.forbidden_arg. */
void control_conn_accept(struct control_env *env, const struct pair *pair, void *loop_check,
			 const struct control_socket *client);

/* A connection of the process before, with its descriptors, both taken over. NULL: it is over, and
 * the log knows. Its calls are adopted next, then it goes on. */
struct control_conn *control_conn_restore(struct control_env *env, struct control_record *record,
					  const int fds[2]);

/* As call_snoop_adopt. */
int control_conn_adopt(struct control_conn *conn, callid_ref call, const struct callid_info *info);
void control_conn_go_on(struct control_conn *conn);

/* Another process goes on with it, if it is kept; else it is aborted. */
void control_conn_leave(struct control_conn *conn);

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
int control_conn_end_call(struct control_conn *conn, int32_t client_id, uid_t who,
			  struct why *told);

uint64_t control_conn_number(const struct control_conn *conn);

/* The one behind it in env->conns, NULL at the end. */
struct control_conn *control_conn_next(const struct control_conn *conn);

void control_conn_abort(
    struct control_conn *conn); /* lets go of everything now; the ends are told nothing */

#endif

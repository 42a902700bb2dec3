/*
 * control_env: what all connections of a relay share: whom they ask, where they are counted, whom
 * they tell. The relay makes it, and it outlives them; it is for control_relay and those who have
 * connections in hand. Thread: control thread.
 */
#ifndef CONTROL_ENV_H
#define CONTROL_ENV_H

#include "acl/acl_ask.h"
#include "callid_db.h"
#include "control/control_dial.h"
#include "host/log_limit.h"

#include <sys/queue.h>

struct capture;
struct control_counts;
struct control_graves;
struct control_kept;
struct control_pairs;
struct control_rules;
struct control_sources;

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

#endif

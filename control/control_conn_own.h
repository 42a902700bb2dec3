/*
 * What a connection is made of, and what its pieces do for each other: for control_conn.c and the
 * control_conn_*.c only. Whoever else has a connection has a pointer, see control_conn.h.
 *
 *   control_conn   birth; what an event means in each state; who gives way
 *     |- _access     checking: rules and commands
 *     |- _request    waiting, dialling: the client's first message, its server
 *     |- _pass       relaying, parting: messages both ways, the farewell
 *     |- _calls      what becomes of its calls
 *     |- _kept       over the end of a process
 *     |- _end        closing, and any other way out
 *     '- _log        how it is called, what may be told
 *
 * After what says that the connection may be gone it is not to be touched again. Thread: control
 * thread.
 */
#ifndef CONTROL_CONN_OWN_H
#define CONTROL_CONN_OWN_H

#include "call_snoop.h"
#include "capture/capture.h"
#include "control/control_conn.h"
#include "control/control_env.h"
#include "control/control_kept.h"
#include "control/control_pairs.h"
#include "control/control_pump.h"
#include "control/control_rules.h"
#include "control/control_sources.h"
#include "pair.h"

#include <netinet/in.h>

enum {
	CONTROL_CONN_ADDRESS_TEXT = INET_ADDRSTRLEN + 6,
	/* numeric: a number and two addresses */
	CONTROL_CONN_LABEL_KEPT = 2 * CONTROL_CONN_ADDRESS_TEXT + 28,
};

enum control_conn_state {
	CONTROL_CONN_CHECKING,
	CONTROL_CONN_WAITING,
	CONTROL_CONN_DIALLING,
	CONTROL_CONN_RELAYING,
	CONTROL_CONN_PARTING,
	CONTROL_CONN_CLOSING,
};

struct control_conn {
	LIST_ENTRY(control_conn) in_env;
	struct control_env *env;
	struct control_guest guest;
	const struct pair *pair; /* NULL: it needs it no more */
	void *loop_check;
	struct control_pair *figures; /* the pair's; NULL: it has none */
	uint64_t number;
	enum control_conn_state state;
	struct control_leg legs[2];
	struct event deadline;
	struct acl_ask_check *check;
	unsigned rules; /* the generation of those that decide */
	size_t rule;	/* the place of the one that matches; SIZE_MAX: none does */
	struct control_dial *dial;
	struct call_snoop *snoop;
	struct control_pump pump;
	struct capture_conn captured;
	struct control_record *record; /* NULL: not kept */
	enum callid_side first;	       /* to be looked at next time */
	bool stalled;	   /* one end is gone, what the other has not read yet has a deadline */
	unsigned unopened; /* calls that ended before they opened */
	char label[CONTROL_CONN_LABEL_KEPT]; /* made once the server is known; empty: not yet */
};

/* ---- control_conn.c ---- */

/* In the first state, without legs, not entered yet. NULL: no memory. */
struct control_conn *control_conn_new(struct control_env *env, uint64_t number);
/* From here on it is one of env's, and control_conn_end_destroy lets go of it. */
void control_conn_enter(struct control_conn *conn);
/* Half open no more. */
void control_conn_settle(struct control_conn *conn);
/* Of each leg's event; arg is the connection, which may be gone afterwards. */
void control_conn_on_leg(evutil_socket_t fd, short what, void *arg);

/* ---- control_conn_access.c; it may be gone after each ---- */

void control_conn_access_decide(struct control_conn *conn);
/* While commands are asked: ends it if the client has left. */
void control_conn_access_look(struct control_conn *conn);

/* ---- control_conn_request.c ---- */

/* Looks at the client's first message without taking it, and dials once it is whole. It may be gone
 * afterwards. */
void control_conn_request_await(struct control_conn *conn);

/* ---- control_conn_pass.c ---- */

/* Makes the snoop and the pump. Its legs are open. 0, or -1: no memory. */
int control_conn_pass_prepare(struct control_conn *conn);
/* Passes on what has come, as far as events have told. It may be gone afterwards. */
void control_conn_pass(struct control_conn *conn);
/* Says as much of the farewell as the legs take. It may be gone afterwards. */
void control_conn_pass_farewell(struct control_conn *conn);

/* ---- control_conn_calls.c ---- */

extern const struct call_snoop_events control_conn_calls_events; /* arg is the connection */

/* ---- control_conn_kept.c ---- */

/* Before its first call: from here on it outlives this process. arg is the connection. */
void control_conn_kept_begin(void *arg);
/* What only the log depends on: in no transaction. */
void control_conn_kept_note(struct control_conn *conn);

/* ---- control_conn_end.c; but for the first two it may be gone after each ---- */

/* It needs its pair no more, and may outlive it. */
void control_conn_end_pair(struct control_conn *conn);
/* Ends it in so many seconds, unless something comes before. */
void control_conn_end_after(struct control_conn *conn, unsigned seconds);
void control_conn_end_on_deadline(evutil_socket_t fd, short what, void *arg);

/* The orderly end. more: behind the reason's name, "" or beginning with a colon. */
void control_conn_end(struct control_conn *conn, enum reason_end reason, const char *more);
/* As control_conn_end; octets of that side, or for it, are not to be waited for any more. */
void control_conn_end_side(struct control_conn *conn, const struct control_pump_failure *failure);
/* Of one that may not stay. */
void control_conn_end_refuse(struct control_conn *conn, enum reason_refusal reason,
			     const char *more);
/* Queued octets are to leave, the peers' FINs to come: from now on, and after an event. */
void control_conn_end_start_to_linger(struct control_conn *conn);
void control_conn_end_linger(struct control_conn *conn);
/* The one destroyer: any state. Its calls end for this reason. */
void control_conn_end_destroy(struct control_conn *conn, const char *reason);

/* ---- control_conn_log.c ---- */

/* "#12 10.0.0.2:40000 -> 192.0.2.9:1723"; the pair's word while the server has no address yet. arg
 * is the connection. Of its own, or valid until the next call. */
const char *control_conn_log_label(const void *arg);
const char *control_conn_log_address(struct control_address address,
				     char out[static CONTROL_CONN_ADDRESS_TEXT]);
/* Lines about what one source's connections and calls do. At the program's end, which is nobody's
 * attack, all are told. */
bool control_conn_log_allowed(const struct control_conn *conn);
/* That it has ended, if that may be told. */
void control_conn_log_end(struct control_conn *conn, const char *reason);

#endif

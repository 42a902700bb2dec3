/*
 * control_pump: messages from one leg of a control connection to the other: peek, parse, snoop,
 * write, consume.
 *
 * Holds no descriptor and no timer of its own; ends nothing. Thread: control thread.
 */
#ifndef CONTROL_PUMP_H
#define CONTROL_PUMP_H

#include "call_snoop.h"
#include "capture/capture_conn.h"
#include "control/control_kept.h"
#include "control/control_leg.h"
#include "host/log_limit.h"

struct kept;

struct control_pump {
	struct control_leg *legs;	    /* two, the client's and the server's */
	struct call_snoop *snoop;	    /* set before the first message */
	const char *(*label)(const void *); /* heads each log line */
	const void *label_arg;
	/* Asked before a Call-Request is handled while kept is NULL: may set that, having had both
	 * legs and the snoop kept there. NULL: nobody is asked. */
	void (*before_call)(void *arg);
	void *before_call_arg;
	struct kept *kept;
	struct capture_conn *captured; /* NULL: nobody wants to see messages */
	struct log_limit *lines;       /* of this client's source; NULL: no limit */
	struct control_counts *counts;
	bool established;	/* a successful Start-Control-Connection-Reply has passed */
	bool *established_kept; /* the same, in the kept memory; NULL: it is not kept */
	unsigned dropped;	/* messages */
};

enum control_pump_answer {
	CONTROL_PUMP_WAIT,  /* for octets, or until a leg has drained */
	CONTROL_PUMP_ENDED, /* all has been passed on, and the sender has closed: seen here, or told
			       by the leg's event (peer_closed) */
	CONTROL_PUMP_FAILED, /* see failure */
};

struct control_pump_failure {
	enum callid_side side; /* whose leg is of no use any more */
	enum reason_end reason;
	char more[128]; /* behind its name: ": client: Connection reset by peer", ": message from
			   server: magic cookie" */
};

/* Passes on what waits from one side, as long as both legs take what they get; at most so much at a
 * time that others get their turn (then the leg's event is made active again). */
enum control_pump_answer control_pump_run(struct control_pump *pump, enum callid_side from,
					  struct control_pump_failure *failure);

/* Tries again what a leg has not taken yet; whoever waits for a Reply to be written may then go on.
 */
enum control_pump_answer control_pump_flush(struct control_pump *pump, enum callid_side to,
					    struct control_pump_failure *failure);

/* Whether there is room for what control_pump_end_call says. */
bool control_pump_has_room(const struct control_pump *pump);

/* Ends one call of the snoop's (see call_snoop_end_one), where there is room: both ends are told,
 * behind what still waits for them. CONTROL_PUMP_WAIT, or CONTROL_PUMP_FAILED: the call has ended
 * all the same. */
enum control_pump_answer control_pump_end_call(struct control_pump *pump, callid_ref call,
					       const char *reason,
					       struct control_pump_failure *failure);

/* Writes a message of our own. 0, or -1 with errno. */
int control_pump_say(struct control_pump *pump, enum callid_side to, const uint8_t *message,
		     size_t length);

#endif

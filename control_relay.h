/*
 * control_relay: the control thread's work: listeners, the two legs of each control connection, who
 * may connect, deadlines.
 *
 * RFC 2637 sections 2 and 3. Calls go into the table by call_snoop; packets are none of its
 * business. Thread: the control thread, which runs the event base.
 */
#ifndef CONTROL_RELAY_H
#define CONTROL_RELAY_H

#include "acl.h"
#include "acl/acl_ask.h"
#include "callid_db.h"
#include "control/control_conn.h"
#include "control/control_kept.h"
#include "control/control_listen.h"
#include "control/control_pairs.h"
#include "host/why.h"
#include "pair.h"

#include <sys/types.h>

struct capture;
struct event_base;
struct names;
struct control_relay;

/* Of each 0: none but the system's. */
struct control_limits {
	unsigned connections;	  /* in all; never more than the descriptors allow */
	unsigned per_source;	  /* connections of one address */
	unsigned rate_per_source; /* new ones a second of one address */
	unsigned calls;		  /* of one connection */
};

/* Pointers outlive the relay. */
struct control_relay_config {
	struct event_base *base;
	struct callid_db *db;
	struct names *names;
	const struct pair *pairs;
	size_t pair_count;
	const struct acl *acl;
	struct acl_ask *commands; /* whom to ask about them; NULL: there are none */
	const struct acl_cmd_words *command_words; /* theirs, which know them over a reload */
	size_t command_count;
	bool acl_any;
	unsigned acl_parallel, connect_timeout_s, handshake_timeout_s, keepalive_s;
	size_t descriptors; /* the process's limit */
	struct control_limits limits;
	struct control_keeping keeping;
	struct capture *capture;		 /* NULL: nobody wants to see messages */
	control_listen_open_socket *open_socket; /* as in control/control_listen.h */
	void *open_socket_arg;
	control_listen_known *known; /* likewise */
};

/* First goes on with the connections of the process before, which keeping has, and ends the calls
 * in db that belong to none of them. Then resolves (running the event base meanwhile), binds and
 * listens. NULL with a sentence in why. */
struct control_relay *control_relay_open(const struct control_relay_config *config,
					 struct why *why);

/* Listens for these pairs and decides by these rules and limits from now on; what has begun goes
 * on. Runs the event base, so not from a callback of it; afterwards nothing refers to the earlier
 * configuration's pointers. -1 with a sentence in why, and nothing has changed. */
int control_relay_change(struct control_relay *relay, const struct control_relay_config *config,
			 struct why *why);

/* Other limits for those that come from now on. */
void control_relay_set_limits(struct control_relay *relay, const struct control_limits *limits);

size_t control_relay_connections(const struct control_relay *relay);
size_t control_relay_pairs(
    const struct control_relay *relay); /* that are listened for; ignored ones are not */

bool control_relay_listens(const struct control_relay *relay, uint32_t addr, uint16_t port);

/* The addresses that its pairs listen at (ours; 0: any) and dial, as they were at the start. */
void control_relay_addresses(const struct control_relay *relay,
			     void (*told)(void *arg, uint32_t addr, bool ours), void *arg);

/* ---- for whoever looks: figures of the moment ---- */

/* Since the keeper's start; the relay's. */
const struct control_counts *control_relay_counts(const struct control_relay *relay);

/* Every connection, the latest first. */
typedef void control_relay_teller(void *arg, const struct control_conn_info *conn);
void control_relay_each(const struct control_relay *relay, control_relay_teller *told, void *arg);

struct control_relay_pair {
	bool ignored;			    /* it conflicts with an earlier one */
	const struct control_pair *figures; /* the relay's; NULL: there are none */
	uint32_t number;		    /* of the figures, 1 to CONTROL_PAIRS_MAX */
	size_t connections;
};
/* Of the configuration's, by place. */
void control_relay_pair(const struct control_relay *relay, uint32_t place,
			struct control_relay_pair *pair);

/* As control_silence_is. */
bool control_relay_silent(const struct control_relay *relay, callid_ref call,
			  enum callid_side side);

/* How many a rule or a command has let in; the commands stand behind the rules. */
uint64_t control_relay_allowed(const struct control_relay *relay, size_t place);

/* How many a command was asked of and did not let in. */
uint64_t control_relay_refused(const struct control_relay *relay, size_t place);

/* Ends one call of the connection with this number: each end is told what its peer would have told
 * it; the connection and its other calls go on. client_id: what the client assigned, or negative,
 * as in call_snoop_find. who asks for it is for the log. 0, and told says what was ended; or -1,
 * and told says why nothing was. */
int control_relay_end_call(struct control_relay *relay, uint64_t connection, int32_t client_id,
			   uid_t who, struct why *told);

/* Takes nobody in any more, says farewell on every connection, and calls done when all have closed,
 * which may be before this returns, or after a second. */
void control_relay_shut_down(struct control_relay *relay, void (*done)(void *arg), void *arg);

/* In place of control_relay_close where another process goes on with the kept connections and their
 * calls: it lets go of those as they are. Others are closed. NULL is fine. */
void control_relay_leave(struct control_relay *relay);

/* NULL is fine. In the midst of a shutdown it ends what is left of the connections, and so calls
 * done from within, unless there are none or the second is over. */
void control_relay_close(struct control_relay *relay);

#endif

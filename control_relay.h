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
#include "acl_cmd.h"
#include "callid_db.h"
#include "control_kept.h"
#include "host/why.h"
#include "pair.h"

struct event_base;
struct names;
struct control_relay;

/* Pointers outlive the relay. */
struct control_relay_config {
	struct event_base *base;
	struct callid_db *db;
	struct names *names;
	const struct pair *pairs;
	size_t pair_count;
	const struct acl *acl;
	const struct acl_cmd_words *commands; /* looked up already */
	size_t command_count;
	bool acl_any;
	unsigned acl_timeout_s, acl_parallel, connect_timeout_s, handshake_timeout_s, keepalive_s;
	size_t descriptors; /* the process's limit */
	struct control_keeping keeping;
};

/* First goes on with the connections of the process before, which keeping has, and ends the calls
 * in db that belong to none of them. Then resolves (running the event base meanwhile), binds and
 * listens. NULL with a sentence in why. */
struct control_relay *control_relay_open(const struct control_relay_config *config,
					 struct why *why);

size_t control_relay_pairs(
    const struct control_relay *relay); /* that are listened for; ignored ones are not */

/* The addresses that its pairs listen at (ours; 0: any) and dial, as they were at the start. */
void control_relay_addresses(const struct control_relay *relay,
			     void (*told)(void *arg, uint32_t addr, bool ours), void *arg);

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

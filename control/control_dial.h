/*
 * control_dial: finds a server's addresses and connects to the first that answers, without
 * blocking.
 *
 * Thread: control thread. Host byte order.
 */
#ifndef CONTROL_DIAL_H
#define CONTROL_DIAL_H

#include "control/control_leg.h"
#include "host/log_limit.h"
#include "pair.h"

struct names;
struct control_dial;

struct control_dial_config {
	struct event_base *base;
	struct names *names;
	unsigned connect_timeout_s; /* for each address */
	unsigned keepalive_s;
	/* Whether an address must not be dialled: it would come back to the pair that dials. */
	bool (*forbidden)(void *arg, uint32_t addr, uint16_t port);
	void *forbidden_arg;
	const char *label;	 /* heads log lines; valid during control_dial_start only */
	struct log_limit *lines; /* NULL: no limit */
};

/* server: connected, the callee's from now on, with its peer's address; or NULL, and a sentence in
 * failure. Both are valid during the call only. */
typedef void control_dial_done(void *arg, const struct control_socket *server, const char *failure);

/* done is called once, from the event loop and never from within this call, unless cancelled. What
 * config points to, and the endpoint, outlive the dial; *config itself is copied. NULL: no memory.
 */
struct control_dial *control_dial_start(const struct control_dial_config *config,
					const struct pair_endpoint *endpoint,
					control_dial_done *done, void *arg);
void control_dial_cancel(struct control_dial *dial); /* NULL is fine */

#endif
